//! The peer network without consensus: to ask the others something before there is a chain here to agree on.
use crate::{
    Engine, EngineConfig, EngineError,
    engine::{Joined, Prepared, guard},
    gossip::{self, Heard, Outgoing},
};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Receiver;
use commonware_runtime::{Runner as _, Spawner, Supervisor as _, tokio};
use futures::channel::oneshot;
use std::{
    fmt,
    sync::{Mutex, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};
use tracing::error;

/// How long a graceful stop may take.
const STOP_TIME_OUT: Duration = Duration::from_secs(5);

/// A node that is connected with its peers and takes no part in consensus. Dropping it ends it without waiting.
pub struct Scout {
    stop: Mutex<Option<oneshot::Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    outgoing: Outgoing,
}

impl fmt::Debug for Scout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scout")
    }
}

impl Scout {
    pub(crate) fn on_foreign_runtime(outgoing: Outgoing) -> Self {
        Self { stop: Mutex::new(None), thread: Mutex::new(None), outgoing }
    }

    /// Sends a message to every connected peer, best effort.
    pub fn gossip(&self, message: bytes::Bytes) {
        self.outgoing.send(message);
    }

    /// Sends a message to one peer if it is connected, best effort.
    pub fn tell(&self, peer: &[u8; 32], message: bytes::Bytes) {
        self.outgoing.send_to(peer, message);
    }

    /// Leaves the network and waits until its port is free.
    pub fn join(&self) {
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(stop) = stop {
            let _already_gone = stop.send(());
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            error!("the thread of the peer network ended with a panic");
        }
    }
}

impl Engine {
    /// Joins the peer network on a thread of its own and nothing else; `heard` takes what peers say beside consensus.
    /// Nothing is voted, and `storage` is only a folder for the runtime.
    pub fn scout(config: EngineConfig, heard: Heard) -> Result<Scout, EngineError> {
        let prepared = Prepared::new(config)?;
        let (ready, started) = mpsc::sync_channel(1);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("ledger-scout".into())
            .spawn(move || {
                let storage = prepared.storage.clone();
                guard(&storage, || prepared.listen(heard, &ready, stopped));
            })
            .map_err(EngineError::Thread)?;
        let outgoing = started.recv().map_err(EngineError::Ended)?;
        Ok(Scout { stop: Mutex::new(Some(stop)), thread: Mutex::new(Some(thread)), outgoing })
    }
}

impl Prepared {
    fn listen(self, heard: Heard, ready: &mpsc::SyncSender<Outgoing>, stopped: oneshot::Receiver<()>) {
        let runtime = tokio::Config::new()
            .with_storage_directory(self.storage.clone())
            .with_worker_threads(self.worker_threads);
        tokio::Runner::new(runtime).start(|context| async move {
            let Joined { networks, messages, oracle: _oracle, bytes_max } = self.network(&context);
            let outgoing = gossip::start(context.child("gossip"), messages, heard, bytes_max);
            let unheard = networks.map(|(_, receiver)| receiver);
            let _ignoring = context.child("ignore").spawn(move |context| ignore(context, unheard));
            let _told = ready.send(outgoing);
            // A dropped handle ends it like a call does.
            let _asked = stopped.await.is_ok();
            if let Err(error) = context.stop(0, Some(STOP_TIME_OUT)).await {
                error!(%error, "tasks of the peer network did not stop in time");
            }
        });
    }
}

/// Takes messages of consensus out of the network's queues, so that peers are not held up, until each is closed.
pub(crate) async fn ignore<E, R>(context: E, receivers: [R; 5])
where
    E: Spawner,
    R: Receiver<PublicKey = PublicKey>,
{
    let reading = receivers.map(|mut receiver| {
        context.child("unheard").spawn(move |_| async move { while receiver.recv().await.is_ok() {} })
    });
    let _ended = futures::future::join_all(reading).await;
}
