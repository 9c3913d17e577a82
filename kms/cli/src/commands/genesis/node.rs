//! `keyward genesis node`: the configuration of an organisation's node, from what the ceremony left.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use keyward_ledger_core::ed25519::SigningKey;
use serde_json::json;

use super::{CHECKPOINT, SECRET, VALIDATOR};
use crate::commands::Context;
use crate::commands::member::{Founder, MemberFile};
use crate::config::TlsFiles;
use crate::config::keeper::KeeperSection;
use crate::config::node::{self, NodeConfig, PeerConfig};
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::keeper;

const CONFIG: &str = "node.toml";
const GENESIS: &str = "genesis";
const CA: &str = "ca.pem";
const CERTIFICATE: &str = "certificate.pem";
const TLS: &str = "tls.key";

#[derive(Debug, clap::Args)]
pub(super) struct Node {
    /// The folder that `keyward genesis key` made; `tls.key` lies in it, too.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The genesis that all agreed on.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The node's certificate, PEM: what the authority made of the request.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// The authority that nodes, services and callers are certified by, PEM.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// Where the node listens for the others.
    #[arg(long, value_name = "IP:PORT")]
    peer_listen: SocketAddr,
    /// Where it listens for callers.
    #[arg(long, value_name = "IP:PORT")]
    rpc_listen: SocketAddr,
    /// The member files of all founders, which it must have been made of, for their addresses; whoever joins later is made known by the ledger.
    #[arg(required = true, value_name = "FILE")]
    members: Vec<PathBuf>,
}

impl Node {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let at = |name: &str| self.dir.join(name);
        let config = at(CONFIG);
        if config.symlink_metadata().is_ok() {
            let what = format!("`{}` is there already", config.display());
            return Err(Failure::refused(what, "edit it, or choose another folder"));
        }
        let genesis = super::read(&self.genesis)?;
        let founders = super::founders::founded(&genesis, &self.members)?;
        let peer = |file: &MemberFile| PeerConfig { key: file.key.clone(), address: file.peer };
        let peers = founders.iter().map(peer).collect();
        let settings = NodeConfig {
            data_dir: "data".into(),
            genesis: GENESIS.into(),
            operator_secret: SECRET.into(),
            validator_key: VALIDATOR.into(),
            checkpoint_key: at(CHECKPOINT).exists().then(|| CHECKPOINT.into()),
            peer_listen: self.peer_listen,
            rpc_listen: self.rpc_listen,
            idle_block_interval_ms: node::idle_block_interval_ms(),
            block_interval_min_ms: node::block_interval_min_ms(),
            scrub_pause_s: node::scrub_pause_s(),
            scrub_bytes_per_s: node::scrub_bytes_per_s(),
            segment_bytes_max: node::segment_bytes_max(),
            snapshot_blocks: node::snapshot_blocks(),
            catch_up: node::CatchUpFile::default(),
            catch_up_blocks_min: node::catch_up_blocks_min(),
            tls: TlsFiles { ca: CA.into(), certificate: CERTIFICATE.into(), key: TLS.into() },
            cold: None,
            keeper: None,
            peers,
        };
        // What does not hold together is no configuration: it is opened where the files were given, before any is written.
        let given = NodeConfig {
            genesis: absolute(&self.genesis)?,
            tls: TlsFiles {
                ca: absolute(&self.ca)?,
                certificate: absolute(&self.certificate)?,
                key: settings.tls.key.clone(),
            },
            ..settings.clone()
        };
        let own = SigningKey::from_seed(&given.open(&config)?.validator_key).public_key();
        let keeper = own_keeper(&given, &config, &own, &founders)?;
        let text = toml::to_string(&NodeConfig { keeper, ..settings }).map_err(|error| {
            Failure::refused("the configuration cannot be written", "tell us about this").because(&error)
        })?;
        // All are read before one is written: they may lie in each other's places.
        let given = [(GENESIS, &self.genesis), (CA, &self.ca), (CERTIFICATE, &self.certificate)];
        let given = given.map(|(name, from)| files::read(from).map(|bytes| (name, bytes)));
        for (name, bytes) in given.into_iter().collect::<Result<Vec<_>>>()? {
            files::write(&at(name), &bytes, Access::Public)?;
        }
        // Last: a folder without it was not finished.
        files::write(&config, text.as_bytes(), Access::Public)?;
        let words = format!("`{}` is ready: keyward node --config {0}", config.display());
        context.output.answer(words, &json!({ "config": config }));
        Ok(())
    }
}

/// The section of our keeper, if one founds the ledger beside this node; its keys must lie in the folder.
fn own_keeper(
    given: &NodeConfig,
    config: &Path,
    own: &[u8; 32],
    founders: &[MemberFile],
) -> Result<Option<KeeperSection>> {
    let mut found = None;
    for file in founders {
        let Founder { member, keeper, .. } = file.founding()?;
        found = keeper.filter(|_| member.key == *own).or(found);
    }
    let Some(found) = found else { return Ok(None) };
    let section = KeeperSection::named(found.name);
    let with_keeper = NodeConfig { keeper: Some(section.clone()), ..given.clone() };
    let keys = keeper::check(&with_keeper, config)?;
    if keys.is_some_and(|keys| (keys.signing, keys.sealing) == (found.key, found.hpke_key)) {
        return Ok(Some(section));
    }
    let what = format!("the keeper `{}` founds the ledger with other keys than lie here", section.name);
    Err(Failure::refused(what, "give the folder that `keyward genesis key` made"))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        Failure::usage(format!("`{}` is no path", path.display()), "give another file").because(&error)
    })
}
