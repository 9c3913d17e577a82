//! Ports and configuration files, written at each start.

use super::cluster::Cluster;
use super::layout::{PROFILES, numbered};
use super::ports::{Chooser, Chosen, local};
use super::prepare;
use super::state::NodeState;
use crate::config::TlsFiles;
use crate::config::node::{self, NodeConfig, PeerConfig};
use crate::config::serve::{AgentFile, LedgerFile, ModuleFile, ServeConfig, TokenFile};
use crate::failure::Result;

impl Cluster {
    /// Keeps ports that are free; chooses again, with a notice, where somebody else listens.
    pub(super) fn settle_ports(&mut self) -> Result<()> {
        let mut chooser = Chooser::default();
        let output = self.output;
        let mut settle = |name: String, port: &mut Option<u16>| -> Result<()> {
            let Chosen { port: chosen, instead_of } = chooser.choose(*port)?;
            if let Some(busy) = instead_of {
                output.note(format!("  port {busy} is taken: {name} listens on {chosen} now"));
            }
            *port = Some(chosen);
            Ok(())
        };
        settle("the service".into(), &mut self.state.service_port)?;
        for (index, port) in self.state.more_service_ports.iter_mut().enumerate() {
            let mut chosen = Some(*port).filter(|port| *port != 0);
            settle(format!("service-{}", index.saturating_add(2)), &mut chosen)?;
            *port = chosen.unwrap_or_default();
        }
        for (index, node) in self.state.nodes.iter_mut().enumerate() {
            settle(format!("node-{} for validators", index + 1), &mut node.peer_port)?;
            settle(format!("node-{} for callers", index + 1), &mut node.rpc_port)?;
        }
        prepare::write_toml(&self.layout.state(), &self.state)
    }

    pub(super) fn write_configuration(&self) -> Result<()> {
        let peers = self.state.nodes.iter().map(|node| PeerConfig {
            key: node.key.clone(),
            address: local(node.peer_port.unwrap_or_default()),
        });
        let peers: Vec<_> = peers.collect();
        for (index, node) in self.state.nodes.iter().enumerate() {
            // Folders that are older than checkpoints have no key for them.
            let signs = self.layout.checkpoint_key(index + 1).exists();
            let config = node_config(node, signs, &peers);
            prepare::write_toml(&self.layout.node_config(index + 1), &config)?;
        }
        for index in 1..=self.servers() {
            prepare::write_toml(&self.layout.service_config(index), &self.serve_config(index)?)?;
        }
        for role in PROFILES {
            prepare::write_profile(&self.layout, role, &self.service_urls(), &self.node_urls())?;
        }
        Ok(())
    }

    fn serve_config(&self, index: usize) -> Result<ServeConfig> {
        // Without others the bundled module is looked for at each start, beside the program that then runs.
        let modules = match self.extra.modules.as_slice() {
            [] => Vec::new(),
            others => {
                let bundled = crate::config::serve::bundled_module(None)?;
                std::iter::once(bundled).chain(others.iter().cloned()).map(ModuleFile::Path).collect()
            }
        };
        Ok(ServeConfig {
            tenant: "default".into(),
            listen: local(self.service_port(index).unwrap_or_default()),
            database: self.state.database.clone().unwrap_or_else(|| "keyward.sqlite".into()),
            database_password: None,
            operator_secret: "../operator.secret".into(),
            tls: tls_files(),
            ledger: LedgerFile {
                proxy: None,
                nodes: self.node_urls(),
                trust: "../trust".into(),
                submitter_key: format!("../submitters/{}.key", numbered("service", index)).into(),
                deadline_ms: 5000,
            },
            token: TokenFile {
                modules,
                kek_token: prepare::TOKEN_LABEL.into(),
                kek_label: "keyward-kek".into(),
                pin: "token.pin".into(),
            },
            agent_wait_ms: 5 * 60 * 1000,
            // To be tried out within a coffee; a real service keeps its default of a week.
            destruction_wait_min_s: 5,
            agents: vec![AgentFile { name: "local-agent".into(), operators: vec!["local-operator".into()] }],
        })
    }
}

fn node_config(node: &NodeState, signs_checkpoints: bool, peers: &[PeerConfig]) -> NodeConfig {
    NodeConfig {
        data_dir: "data".into(),
        genesis: "../genesis".into(),
        operator_secret: "../operator.secret".into(),
        validator_key: "validator.key".into(),
        checkpoint_key: signs_checkpoints.then(|| "checkpoint.key".into()),
        peer_listen: local(node.peer_port.unwrap_or_default()),
        rpc_listen: local(node.rpc_port.unwrap_or_default()),
        idle_block_interval_ms: node::idle_block_interval_ms(),
        block_interval_min_ms: node::block_interval_min_ms(),
        scrub_pause_s: node::scrub_pause_s(),
        scrub_bytes_per_s: node::scrub_bytes_per_s(),
        segment_bytes_max: node::segment_bytes_max(),
        snapshot_blocks: node::snapshot_blocks(),
        catch_up: node::CatchUpFile::default(),
        catch_up_blocks_min: node::catch_up_blocks_min(),
        tls: tls_files(),
        cold: None,
        peers: peers.to_vec(),
    }
}

fn tls_files() -> TlsFiles {
    TlsFiles { ca: "../ca/ca.pem".into(), certificate: "certificate.pem".into(), key: "tls.key".into() }
}

/// What callers name a port of this machine.
pub(super) fn url(port: Option<u16>) -> String {
    format!("https://{}", local(port.unwrap_or_default()))
}
