//! Messages of the next epoch, kept until its engine runs.
//!
//! Nodes reach an epoch's end at slightly different times, and votes are sent once: what arrives before our
//! own engine of the next epoch runs would be lost, and its first view with it.
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{
    Message, Receiver, Sender,
    utils::mux::{SubReceiver, SubSender},
};
use std::{collections::VecDeque, num::NonZeroUsize};

/// Messages kept; more are dropped, which costs time, never safety.
const HELD_MAX: usize = 4096;

/// A channel of the next epoch.
pub(crate) struct Early<S: Sender<PublicKey = PublicKey>> {
    sender: SubSender<S>,
    receiver: Replay,
}

impl<S: Sender<PublicKey = PublicKey>> Early<S> {
    pub(crate) fn new((sender, receiver): (SubSender<S>, SubReceiver<PublicKey>)) -> Self {
        Self { sender, receiver: Replay { held: VecDeque::new(), receiver } }
    }

    /// Waits for a message, keeps it and says who sent it; `None` when the network is gone.
    pub(crate) async fn listen(&mut self) -> Option<PublicKey> {
        let message = self.receiver.receiver.recv().await.ok()?;
        let from = message.0.clone();
        if self.receiver.held.len() < HELD_MAX {
            self.receiver.held.push_back(message);
        }
        Some(from)
    }

    /// The channel for the epoch's engine, kept messages first.
    pub(crate) fn open(self) -> (SubSender<S>, Replay) {
        (self.sender, self.receiver)
    }
}

/// A receiver that yields kept messages before new ones.
#[derive(Debug)]
pub(crate) struct Replay {
    held: VecDeque<Message<PublicKey>>,
    receiver: SubReceiver<PublicKey>,
}

impl Receiver for Replay {
    type Error = <SubReceiver<PublicKey> as Receiver>::Error;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, Self::Error> {
        match self.held.pop_front() {
            Some(message) => Ok(message),
            None => self.receiver.recv().await,
        }
    }

    fn capacity(&self) -> NonZeroUsize {
        self.receiver.capacity()
    }
}
