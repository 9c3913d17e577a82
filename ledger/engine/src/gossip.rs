//! Messages of the application to every peer, beside consensus: best effort, bounded, never relied on.
use crate::{Application, bridge::key_bytes};
use bytes::Bytes;
use commonware_codec::{Copying, DecodeExt as _};
use commonware_cryptography::ed25519::PublicKey;
use commonware_macros::select_loop;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::Spawner;
use futures::{StreamExt as _, channel::mpsc};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::debug;

/// The network channel of these messages, after those of consensus.
pub(crate) const CHANNEL: u64 = 5;
/// Messages that wait to be sent.
const OUTGOING_MAX: usize = 256;

/// Takes a message and the key of the peer that sent it. Must not block.
pub type Heard = Arc<dyn Fn([u8; 32], Bytes) + Send + Sync>;

/// Sends to connected peers.
pub(crate) struct Outgoing {
    queue: Mutex<mpsc::Sender<(Recipients<PublicKey>, Bytes)>>,
    /// The network panics on longer messages.
    bytes_max: usize,
}

impl Outgoing {
    /// Queues a message to every peer; drops it when too many wait.
    pub(crate) fn send(&self, message: Bytes) {
        self.queue(Recipients::All, message);
    }

    /// Queues a message to one peer; drops it when too many wait.
    pub(crate) fn send_to(&self, peer: &[u8; 32], message: Bytes) {
        match PublicKey::decode(Copying(peer)) {
            Ok(peer) => self.queue(Recipients::One(peer), message),
            Err(error) => debug!(%error, "a message to a peer with no key is dropped"),
        }
    }

    fn queue(&self, to: Recipients<PublicKey>, message: Bytes) {
        if message.len() > self.bytes_max {
            debug!(bytes = message.len(), "a message to peers is too long: it is dropped");
            return;
        }
        if self.queue.lock().unwrap_or_else(PoisonError::into_inner).try_send((to, message)).is_err() {
            debug!("too many messages wait to be sent to peers: one is dropped");
        }
    }
}

/// What the application hears.
pub(crate) fn to(application: &Arc<dyn Application>) -> Heard {
    let application = application.clone();
    Arc::new(move |from, message| application.gossip(from, message))
}

/// Passes messages between the node and its peers until the engine stops.
pub(crate) fn start<E, S, R>(
    context: E,
    (mut sender, mut receiver): (S, R),
    heard: Heard,
    bytes_max: usize,
) -> Outgoing
where
    E: Spawner,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let (outgoing, mut queue) = mpsc::channel(OUTGOING_MAX);
    context.spawn(move |context| async move {
        select_loop! {
            context,
            on_stopped => {},
            Some((to, message)) = queue.next() else break => {
                let _reached = sender.send(to, message, false);
            },
            received = receiver.recv() => {
                let Ok((from, message)) = received else { break };
                heard(key_bytes(&from), Bytes::from(message));
            },
        }
    });
    Outgoing { queue: Mutex::new(outgoing), bytes_max }
}
