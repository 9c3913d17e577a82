//! Ports and configuration files, written at each start.

use super::cluster::Cluster;
use super::layout::{Layout, PROFILES, numbered};
use super::ports::{Chooser, Chosen, local};
use super::prepare;
use super::state::NodeState;
use crate::config::TlsFiles;
use crate::config::keeper::{KeeperKey, KeeperSection};
use crate::config::node::{self, NodeConfig, PeerConfig};
use crate::config::serve::{AgentFile, LedgerFile, ModuleFile, ServeConfig, TokenFile};
use crate::failure::Result;

impl Cluster {
    /// Settles ports, and writes every configuration file.
    pub(crate) fn configure(&mut self) -> Result<()> {
        self.settle_ports()?;
        self.write_configuration()?;
        self.tell_of_keepers();
        Ok(())
    }

    /// Keeps ports that are free; chooses again, with a notice, where somebody else listens.
    fn settle_ports(&mut self) -> Result<()> {
        let mut chooser = Chooser::default();
        let (output, layout) = (self.output, &self.layout);
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
            let before = node.rpc_port;
            settle(format!("node-{} for callers", index + 1), &mut node.rpc_port)?;
            if before.is_some_and(|before| node.rpc_port != Some(before)) && has_keeper(layout, index + 1) {
                let name = prepare::keeper_name(index + 1);
                let next = "free the port and start again, or have the ledger take in its new address";
                output.note(format!("  {name} stands on the ledger with its old port: {next}"));
            }
        }
        prepare::write_toml(&self.layout.state(), &self.state)
    }

    /// Folders that were made before there were keepers go on without; said is how they come in.
    fn tell_of_keepers(&self) {
        let Some(index) = (1..=self.validators()).find(|index| !has_keeper(&self.layout, *index)) else {
            return;
        };
        let (node, name) = (self.layout.node_config(index), prepare::keeper_name(index));
        self.output.note(format!(
            "  node-{index} has no keeper of vault shares: for one, end this, run `keyward ledger member keeper --node {} --name \
             {name} --rpc {} --trust {} --out {name}.toml`, start again, and have the validators take the file in \
             (`keyward ledger member propose set-keeper`, `approve`)",
            node.display(),
            self.node_urls().get(index - 1).cloned().unwrap_or_default(),
            self.layout.trust().display(),
        ));
    }

    fn write_configuration(&self) -> Result<()> {
        let peers = self.state.nodes.iter().map(|node| PeerConfig {
            key: node.key.clone(),
            address: local(node.peer_port.unwrap_or_default()),
        });
        let peers: Vec<_> = peers.collect();
        for (index, node) in self.state.nodes.iter().enumerate() {
            // Folders that are older than checkpoints have no key for them.
            let signs = self.layout.checkpoint_key(index + 1).exists();
            let mut config = node_config(node, signs, &peers);
            // Folders that are older than keepers have no keys for them, until `keyward ledger member keeper` makes them.
            config.keeper = has_keeper(&self.layout, index + 1)
                .then(|| KeeperSection::named(prepare::keeper_name(index + 1)));
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
            addresses: Default::default(),
            notices: None,
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
        keeper: None,
        peers: peers.to_vec(),
    }
}

/// Whether a keeper stands beside node `index`.
fn has_keeper(layout: &Layout, index: usize) -> bool {
    KeeperKey::ALL.iter().all(|key| layout.keeper_key(index, *key).exists())
}

fn tls_files() -> TlsFiles {
    TlsFiles { ca: "../ca/ca.pem".into(), certificate: "certificate.pem".into(), key: "tls.key".into() }
}

/// What callers name a port of this machine.
pub(super) fn url(port: Option<u16>) -> String {
    format!("https://{}", local(port.unwrap_or_default()))
}
