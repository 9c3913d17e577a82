//! What was handed out, so that who asks again is handed the same; and what records said, so that it is asked for once.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use keyward_crypto::vault::Dealing;
use keyward_ledger_core::hash::Hash;

use crate::successors::Origin;

/// Dealings remembered of what one keeper asked for: nobody pushes out what another one needs.
const OF_KEEPER_MAX: usize = 4;
/// Origins remembered at most.
const ORIGINS_MAX: usize = 16_384;

/// After a stop dealings are forgotten, and their runs come to nothing: a dealer stands only by what it remembers, and
/// the run begins anew with another dealing.
#[derive(Debug, Default)]
pub(crate) struct Dealings(Mutex<VecDeque<(Hash, Hash, Arc<Dealing>)>>);

impl Dealings {
    /// What was handed out in a run, whoever asked.
    pub(crate) fn find(&self, run: &Hash) -> Option<Arc<Dealing>> {
        let dealings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        dealings.iter().find(|(_, known, _)| known == run).map(|(_, _, dealing)| dealing.clone())
    }

    /// Remembers for a keeper that asked what was handed out first in a run.
    pub(crate) fn remember(&self, from: &Hash, run: Hash, dealing: Arc<Dealing>) -> Arc<Dealing> {
        let mut dealings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = dealings.iter().find(|(_, known, _)| *known == run).map(|(_, _, first)| first.clone());
        let dealing = first.unwrap_or(dealing);
        if dealings.iter().any(|(by, known, _)| by == from && *known == run) {
            return dealing;
        }
        if dealings.iter().filter(|(by, ..)| by == from).count() >= OF_KEEPER_MAX
            && let Some(oldest) = dealings.iter().position(|(by, ..)| by == from)
        {
            dealings.remove(oldest);
        }
        dealings.push_back((*from, run, dealing.clone()));
        dealing
    }
}

/// Origins of shares by their hashes.
#[derive(Debug, Default)]
pub(crate) struct Origins(Mutex<std::collections::HashMap<Hash, Origin>>);

impl Origins {
    pub(crate) fn find(&self, shares: &Hash) -> Option<Origin> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(shares).copied()
    }

    pub(crate) fn remember(&self, shares: Hash, origin: Origin) {
        let mut origins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if origins.len() >= ORIGINS_MAX {
            origins.clear();
        }
        origins.insert(shares, origin);
    }
}
