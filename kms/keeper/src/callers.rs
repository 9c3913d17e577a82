//! Callers: how many of a keeper's waiting places each of them has taken.
//!
//! A service hands in shares for many accounts. One that lies, or that somebody else has taken over, must not take every
//! place for a day. What is counted here is forgotten with the process; the bound on all places together is not.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use keyward_ledger_core::hash::Hash;
use tonic::Request;

use crate::{deposit::PENDING_MAX, error::KeeperError};

/// Places that one caller takes at most: three others find some whatever it does.
pub(crate) const PENDING_OF_CALLER_MAX: usize = PENDING_MAX / 4;

/// A caller by its certificate; those without one count as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Caller(pub(crate) Vec<u8>);

impl Caller {
    /// Whoever has sent a request.
    pub(crate) fn of<T>(request: &Request<T>) -> Self {
        let leaf = request.peer_certs().and_then(|chain| chain.first().map(|leaf| leaf.to_vec()));
        Self(leaf.unwrap_or_default())
    }
}

/// What a caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// A place for a sealing, or for another dealing.
    New,
    /// It has a place for that sealing.
    Before,
    /// None: it has so many.
    Full { waiting: usize },
}

/// The sealings that each caller has handed in.
#[derive(Debug)]
pub(crate) struct Callers {
    most: usize,
    sealings: Mutex<HashMap<Caller, HashSet<Hash>>>,
}

impl Callers {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, sealings: Mutex::default() }
    }

    /// Does what keeps a share that waits, in a place of its caller. Where that has none left, those make some that wait no more.
    pub(crate) async fn placed<T, E: From<KeeperError>>(
        &self,
        caller: &Caller,
        sealing: Hash,
        waiting: impl Future<Output = Result<HashSet<Hash>, KeeperError>>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        if let Taken::Full { .. } = self.take(caller, sealing) {
            self.tidy_up(&waiting.await?);
        }
        let taken = self.take(caller, sealing);
        if let Taken::Full { waiting } = taken {
            return Err(KeeperError::Full { held: waiting }.into());
        }
        let done = work.await;
        match &done {
            Ok(_) => self.kept(caller, sealing),
            Err(_) if taken == Taken::New => self.give_back(caller, &sealing),
            Err(_) => {}
        }
        done
    }

    /// Takes a place for a sealing.
    pub(crate) fn take(&self, caller: &Caller, sealing: Hash) -> Taken {
        let mut sealings = self.sealings.lock().unwrap_or_else(PoisonError::into_inner);
        let own = sealings.entry(caller.clone()).or_default();
        if own.contains(&sealing) {
            return Taken::Before;
        }
        if own.len() >= self.most {
            return Taken::Full { waiting: own.len() };
        }
        own.insert(sealing);
        Taken::New
    }

    /// Counts what came to be kept, also if it was thought to be over meanwhile.
    pub(crate) fn kept(&self, caller: &Caller, sealing: Hash) {
        let mut sealings = self.sealings.lock().unwrap_or_else(PoisonError::into_inner);
        sealings.entry(caller.clone()).or_default().insert(sealing);
    }

    /// Gives a place back.
    pub(crate) fn give_back(&self, caller: &Caller, sealing: &Hash) {
        let mut sealings = self.sealings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = sealings.get_mut(caller) {
            own.remove(sealing);
        }
    }

    /// Gives every place back that is none any more, by the sealings that wait.
    pub(crate) fn tidy_up(&self, waiting: &HashSet<Hash>) {
        let mut sealings = self.sealings.lock().unwrap_or_else(PoisonError::into_inner);
        sealings.retain(|_, own| {
            own.retain(|sealing| waiting.contains(sealing));
            !own.is_empty()
        });
    }
}
