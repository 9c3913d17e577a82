//! An engine on a runtime and a network of the caller's: how whole clusters of nodes run in one simulation.
//!
//! Hidden from the documentation, because it speaks of commonware: only `ledger/simulation` calls it.
use crate::{
    Application, EngineConfig, EngineError, EngineHandle, Format, Store,
    block::BlockCodec,
    engine::payload_bytes_max,
    gossip::{self, Heard},
    journal,
    node::{self, Settings, Silent},
    scout::{self, Scout},
};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Blocker, Provider as Peers, Receiver, Sender};
use commonware_runtime::{Clock, Handle, Metrics, Spawner, Storage};
use rand_core::CryptoRng;
use std::sync::Arc;

/// The network's channels, in the order in which [`start_on`] takes them.
pub const CHANNELS: [u64; 6] = {
    let [votes, certificates, requests, blocks, backfill] = node::CHANNELS;
    [votes, certificates, requests, blocks, backfill, gossip::CHANNEL]
};
/// The channel on which votes travel.
pub const VOTES: u64 = node::CHANNELS[0];

/// The longest message that a network must carry for blocks of this format.
pub fn message_bytes_max(format: Arc<dyn Format>) -> u32 {
    commonware_p2p::max_message_size(&[payload_bytes_max(&BlockCodec(format))])
}

/// Starts an engine; `prefix` keeps its partitions apart from those of others in the same storage. It ends when
/// the task of the returned handle is aborted.
pub async fn start_on<E, P, B, S, R>(
    context: E,
    config: EngineConfig,
    prefix: String,
    application: Arc<dyn Application>,
    store: Arc<dyn Store>,
    peers: (P, B),
    networks: [(S, R); 6],
) -> Result<(Handle<()>, EngineHandle), EngineError>
where
    E: Spawner + Clock + CryptoRng + Metrics + Storage,
    P: Peers<PublicKey = PublicKey>,
    B: Blocker<PublicKey = PublicKey> + Sync,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let mut settings = Settings::new(&config, prefix)?;
    settings.journal = Some(journal::check(&config.storage, config.key.public(), &*store)?);
    let bytes_max = payload_bytes_max(&settings.codec);
    let [votes, certificates, requests, blocks, backfill, messages] = networks;
    let networks = [votes, certificates, requests, blocks, backfill];
    let outgoing = gossip::start(context.child("gossip"), messages, gossip::to(&application), bytes_max);
    let node = node::start(context, settings, application, store, peers, networks, None::<Silent>).await?;
    Ok((node.handle, EngineHandle::on_foreign_runtime(node.marshal, node.progress, outgoing)))
}

/// Listens and speaks beside consensus without taking part in it; ends when the task of the returned handle is aborted.
pub fn scout_on<E, S, R>(
    context: E,
    format: Arc<dyn Format>,
    heard: Heard,
    networks: [(S, R); 6],
) -> (Handle<()>, Scout)
where
    E: Spawner,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let bytes_max = payload_bytes_max(&BlockCodec(format));
    let [votes, certificates, requests, blocks, backfill, messages] = networks;
    let outgoing = gossip::start(context.child("gossip"), messages, heard, bytes_max);
    let handle = context.child("scout").spawn(move |context| async move {
        let unheard = [votes, certificates, requests, blocks, backfill].map(|(_, receiver)| receiver);
        scout::ignore(context, unheard).await;
    });
    (handle, Scout::on_foreign_runtime(outgoing))
}
