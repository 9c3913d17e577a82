//! A node that has nothing yet takes a snapshot of the others', so that it need not replay everything.
//!
//! It happens before anything else of the node runs: the others are asked over the peer network alone, what they
//! send lies in the folder `joining`, and becomes the folder `floor` by one rename once all of it verified. Whatever
//! is cut off before that leaves nothing but `joining`, which the next start removes.

mod ask;
mod message;
mod offer;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use keyward_ledger_core::{ed25519::SigningKey, genesis::Genesis, receipt::Certified};
use keyward_ledger_engine::{Engine, Heard, Role, Scout};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::{
    Config, RunError, engine_config_with,
    floor::Floor,
    intake, io_error,
    machine::{Machine, Timer},
    snapshot::Snapshot,
};

use ask::Asker;
pub(crate) use ask::Line;
pub(crate) use offer::Offers;

/// What a node with an empty data folder does about the blocks since genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUpFrom {
    /// A snapshot, if this node's key never was a validator's, else blocks.
    Auto,
    /// A snapshot. A key that was a validator's before does not vote any more: what it voted is not known here.
    Snapshot,
    /// All blocks are fetched and executed.
    Blocks,
}

/// How a new node gets in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchUp {
    /// From what.
    pub from: CatchUpFrom,
    /// A ledger shorter than this many blocks is replayed.
    pub blocks_min: u64,
}

impl Default for CatchUp {
    fn default() -> Self {
        Self { from: CatchUpFrom::Auto, blocks_min: 1024 }
    }
}

/// Messages that wait to be looked at, and the longest of them: an offer with many changes of the validators.
const HEARD_MAX: usize = 64;
const HEARD_BYTES_MAX: usize = 4 << 20;

impl Line for Scout {
    fn tell_all(&self, message: Bytes) {
        self.gossip(message);
    }

    fn tell(&self, peer: &[u8; 32], message: Bytes) {
        Scout::tell(self, peer, message);
    }
}

/// Asks the others for a snapshot if this node wants one.
pub(crate) async fn run(config: &Config) -> Result<(), RunError> {
    let genesis = Genesis::decode(&config.genesis)?;
    let joining = joining_in(&config.data_dir);
    clean(&config.data_dir).map_err(io_error(&joining))?;
    if !wants(config, &genesis) {
        return Ok(());
    }
    fs::create_dir_all(&joining).map_err(io_error(&joining))?;
    let (heard, speaks) = line();
    let mut network = engine_config_with(config, &genesis, config.peers.clone(), Role::Observer, None);
    network.storage = joining.join("network");
    let peers = network.peers.iter().filter(|peer| peer.key != network.key.public()).count();
    let scout = Arc::new(Engine::scout(network, speaks)?);
    let taken = ask(config, &genesis, scout.clone(), heard, Machine::real().timer, peers).await;
    let _ended = tokio::task::spawn_blocking(move || scout.join()).await;
    let taken = taken.map_err(io_error(&joining))?;
    if let Some((certified, snapshot)) = taken {
        settle(config, &genesis, &certified, &snapshot).map_err(io_error(&joining))?;
    }
    clean(&config.data_dir).map_err(io_error(&joining))
}

/// A snapshot that verifies with its proof, in the folder `joining`; none if nobody has one.
pub(crate) async fn ask(
    config: &Config,
    genesis: &Genesis,
    line: Arc<dyn Line>,
    heard: mpsc::Receiver<intake::Message>,
    timer: Arc<dyn Timer>,
    peers: usize,
) -> io::Result<Option<(Certified, Snapshot)>> {
    let dir = joining_in(&config.data_dir);
    fs::create_dir_all(&dir)?;
    let blocks_min = config.catch_up.blocks_min;
    let taken = Asker { genesis, line, heard, timer, dir, blocks_min, peers }.ask().await?;
    if taken.is_none() {
        info!("no snapshot is taken over: every block since genesis is fetched and executed");
    }
    Ok(taken.map(|(offer, snapshot)| (offer.certified, snapshot)))
}

/// Whether a node asks for a snapshot: it has nothing, and would not give up a vote without being told to.
fn wants(config: &Config, genesis: &Genesis) -> bool {
    let own = SigningKey::from_seed(&config.validator_key).public_key();
    let has_something = ["floor", "blocks", "engine", "snapshots", "index"]
        .iter()
        .any(|name| config.data_dir.join(name).exists());
    match config.catch_up.from {
        _ if has_something => false,
        CatchUpFrom::Blocks => false,
        CatchUpFrom::Auto => genesis.set().member(&own).is_none(),
        CatchUpFrom::Snapshot => true,
    }
}

/// What the scout hears, and where it goes.
pub(crate) fn line() -> (mpsc::Receiver<intake::Message>, Heard) {
    let (sender, receiver) = mpsc::channel(HEARD_MAX);
    let heard = Arc::new(move |from, message: Bytes| {
        if message::is_ours(&message) && message.len() <= HEARD_BYTES_MAX {
            // Those that do not fit are asked for again.
            let _full = sender.try_send((from, message));
        }
    });
    (receiver, heard)
}

fn joining_in(data_dir: &Path) -> PathBuf {
    data_dir.join("joining")
}

/// Removes what an attempt left that was cut off.
pub(crate) fn clean(data_dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(joining_in(data_dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Puts a verified snapshot into its place, whole or not at all.
pub(crate) fn settle(
    config: &Config,
    genesis: &Genesis,
    certified: &Certified,
    snapshot: &Snapshot,
) -> io::Result<()> {
    let own = SigningKey::from_seed(&config.validator_key).public_key();
    let seated = seated(&own, genesis, snapshot);
    let height = snapshot.ledger.height();
    if seated && config.catch_up.from == CatchUpFrom::Auto {
        warn!(
            height,
            "this key was a validator's before: blocks are replayed, because with a snapshot it could not vote any more"
        );
        return Ok(());
    }
    let joining = joining_in(&config.data_dir);
    match fs::remove_dir_all(joining.join("network")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Told to take one for any key: it may have been seated after this block, and voted.
    let lost = seated || config.catch_up.from == CatchUpFrom::Snapshot;
    Floor::write_proof(&joining, certified, snapshot.ledger.log(), lost)?;
    fs::rename(&joining, Floor::dir(&config.data_dir))?;
    fs::File::open(&config.data_dir)?.sync_all()?;
    info!(height, records = snapshot.ledger.log().size(), "this node begins at a snapshot of the others'");
    Ok(())
}

/// Whether a key was a validator's up to a snapshot. A state that does not say counts as if it was.
fn seated(key: &[u8; 32], genesis: &Genesis, snapshot: &Snapshot) -> bool {
    let in_set = |set: &keyward_ledger_core::certificate::ValidatorSet| set.member(key).is_some();
    let changed = snapshot.ledger.set_changes(0);
    in_set(genesis.set())
        || in_set(snapshot.ledger.set())
        || changed.map_or(true, |changes| changes.iter().any(|change| in_set(&change.set)))
}
