//! How a node speaks to the others: as it is, not at all, in two halves, or repeating itself.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{
    Recipients,
    simulated::{SplitForwarder, SplitOrigin, SplitRouter, SplitTarget},
};
use commonware_runtime::IoBuf;

/// How a node speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// Sends what it has to say.
    Plain,
    /// Hears everything and says nothing.
    Mute,
    /// Says its votes again, long after.
    Repeating,
}

/// What went over a node's channels so far, counted once for each recipient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Handed to the network.
    pub sent: u64,
    /// Come out of it.
    pub heard: u64,
    /// Kept back, because the node is mute.
    pub withheld: u64,
    /// Old votes said again that came to somebody.
    pub repeated: u64,
}

#[derive(Default)]
pub(crate) struct Counts {
    sent: AtomicU64,
    heard: AtomicU64,
    withheld: AtomicU64,
    repeated: AtomicU64,
    /// Old votes that were said again.
    again: Mutex<BTreeSet<Vec<u8>>>,
}

impl Counts {
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic {
            sent: self.sent.load(Relaxed),
            heard: self.heard.load(Relaxed),
            withheld: self.withheld.load(Relaxed),
            repeated: self.repeated.load(Relaxed),
        }
    }

    /// An old vote is said again.
    pub(crate) fn says_again(&self, message: &IoBuf) {
        self.again().insert(message.as_ref().to_vec());
    }

    /// A vote came to somebody.
    fn came(&self, message: &IoBuf) {
        if self.again().contains(message.as_ref()) {
            self.repeated.fetch_add(1, Relaxed);
        }
    }

    fn again(&self) -> MutexGuard<'_, BTreeSet<Vec<u8>>> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the two instances of a node share its channels.
#[derive(Clone, Debug, Default)]
pub struct Split {
    /// Whom the second twin talks with; the first talks with the rest.
    pub second: Vec<usize>,
    /// Who hears the votes of both.
    pub overhears: Option<usize>,
    /// With whom neither talks.
    pub neither: Vec<usize>,
}

/// Messages kept to be repeated.
const REPEATED_MAX: usize = 4096;
/// How many of the last votes are too new to be repeated.
const NEW: usize = 16;

/// The votes that a repeating node has said. It lives as long as the node that says them.
#[derive(Default)]
pub(crate) struct Said(Mutex<Vec<IoBuf>>);

impl Said {
    fn keep(&self, message: &IoBuf) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() < REPEATED_MAX && !said.contains(message) {
            said.push(message.clone());
        }
    }

    /// The old message at a place, counted round.
    pub(crate) fn at(&self, number: usize) -> Option<IoBuf> {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.get(number.checked_rem(said.len().saturating_sub(NEW))?).cloned()
    }
}

/// Which instance of a node talks with whom on one channel. A node is one instance, but for twins: two with the
/// same key, of which each talks with one part of the others.
#[derive(Clone)]
pub(crate) struct Mouth {
    pub(crate) voice: Voice,
    pub(crate) said: Option<Arc<Said>>,
    pub(crate) split: Option<Arc<Split>>,
    /// Whether votes travel here.
    pub(crate) votes: bool,
    pub(crate) me: usize,
    pub(crate) all: Arc<Vec<PublicKey>>,
    pub(crate) counts: Arc<Counts>,
    /// Of all nodes, in the order of `all`.
    pub(crate) everyone: Arc<Vec<Arc<Counts>>>,
}

impl Mouth {
    pub(crate) fn forwarder(self) -> impl SplitForwarder<PublicKey> {
        move |origin: SplitOrigin, recipients: &Recipients<PublicKey>, message: &IoBuf| {
            let wanted: Vec<PublicKey> = match recipients {
                Recipients::All => self.others().filter(|key| self.talks(origin, key)).cloned().collect(),
                Recipients::Some(keys) => {
                    keys.iter().filter(|key| self.talks(origin, key)).cloned().collect()
                }
                Recipients::One(key) => {
                    Some(key).filter(|key| self.talks(origin, key)).cloned().into_iter().collect()
                }
            };
            if self.voice == Voice::Mute {
                self.counts.withheld.fetch_add(wanted.len() as u64, Relaxed);
                return None;
            }
            self.counts.sent.fetch_add(wanted.len() as u64, Relaxed);
            if let Some(said) = &self.said {
                said.keep(message);
            }
            Some(Recipients::Some(wanted))
        }
    }

    pub(crate) fn router(self) -> impl SplitRouter<PublicKey> {
        move |(from, message): &(PublicKey, IoBuf)| {
            self.counts.heard.fetch_add(1, Relaxed);
            if self.votes
                && let Some(speaker) = self.index(from).and_then(|from| self.everyone.get(from))
            {
                speaker.came(message);
            }
            let Some(split) = &self.split else { return SplitTarget::Primary };
            match self.index(from) {
                Some(from) if split.neither.contains(&from) => SplitTarget::None,
                Some(from) if split.second.contains(&from) => SplitTarget::Secondary,
                _ => SplitTarget::Primary,
            }
        }
    }

    fn others(&self) -> impl Iterator<Item = &PublicKey> {
        self.all.iter().enumerate().filter(|(index, _)| *index != self.me).map(|(_, key)| key)
    }

    fn index(&self, key: &PublicKey) -> Option<usize> {
        self.all.iter().position(|other| other == key)
    }

    /// Whether one of the instances says to a node what it says to all.
    fn talks(&self, origin: SplitOrigin, with: &PublicKey) -> bool {
        let (Some(split), Some(with)) = (&self.split, self.index(with)) else { return true };
        if split.neither.contains(&with) {
            return false;
        }
        let overhears = self.votes && split.overhears == Some(with);
        overhears || split.second.contains(&with) == (origin == SplitOrigin::Secondary)
    }
}
