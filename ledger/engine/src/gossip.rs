//! Messages of the application to every peer, beside consensus: best effort, bounded, never relied on.
use crate::{Application, bridge::key_bytes};
use bytes::Bytes;
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

/// Sends to every connected peer.
pub(crate) struct Outgoing {
    queue: Mutex<mpsc::Sender<Bytes>>,
    /// The network panics on longer messages.
    bytes_max: usize,
}

impl Outgoing {
    /// Queues a message; drops it when too many wait.
    pub(crate) fn send(&self, message: Bytes) {
        if message.len() > self.bytes_max {
            debug!(bytes = message.len(), "a message to peers is too long: it is dropped");
            return;
        }
        if self.queue.lock().unwrap_or_else(PoisonError::into_inner).try_send(message).is_err() {
            debug!("too many messages wait to be sent to peers: one is dropped");
        }
    }
}

/// Passes messages between the application and the peers until the engine stops.
pub(crate) fn start<E, S, R>(
    context: E,
    (mut sender, mut receiver): (S, R),
    application: Arc<dyn Application>,
    bytes_max: usize,
) -> Outgoing
where
    E: Spawner,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let (outgoing, mut queue) = mpsc::channel::<Bytes>(OUTGOING_MAX);
    context.spawn(move |context| async move {
        select_loop! {
            context,
            on_stopped => {},
            Some(message) = queue.next() else break => {
                let _reached = sender.send(Recipients::All, message, false);
            },
            received = receiver.recv() => {
                let Ok((from, message)) = received else { break };
                application.gossip(key_bytes(&from), Bytes::from(message));
            },
        }
    });
    Outgoing { queue: Mutex::new(outgoing), bytes_max }
}
