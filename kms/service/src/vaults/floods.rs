//! Bounds on how often an account asks for something about vaults and shared keys, each server for itself: a burst, and then
//! as much as time gives back. What an account may guess is counted on the ledger, not here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use keyward_domain::Code;
use keyward_store::Id;

use crate::failure::Failure;

/// Accounts that are counted at most.
const COUNTED_MAX: usize = 65_536;
/// Questions of one account to keepers at once: two to each keeper of a vault.
const AT_ONCE_MAX: usize = 32;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Flood {
    /// Entries: each stands on the ledger for good, refused ones too.
    Entry,
    /// Shares, which keepers hold until they are sealed.
    Deposit,
    /// Questions to keepers, and shown codes.
    Question,
    /// Entries about shared keys.
    SharedEntry,
    /// Questions to the keepers of shared keys, and about them.
    SharedQuestion,
    /// Keys that keepers are asked to begin: each takes one of the places that a keeper has for all of ours.
    SharedOpening,
    /// Dealings of closed address epochs: handed to keepers, and recorded.
    Dealing,
    /// Openings under grants, and what is delivered of them: one and one for each account of a tenant.
    Opening,
    /// Other entries about audits.
    Audit,
    /// Questions about audits.
    AuditQuestion,
}

impl Flood {
    /// How many at once, and after how long one comes back, in milliseconds.
    pub(crate) const fn bound(self) -> (u64, u64) {
        match self {
            Self::Entry => (120, 10_000),
            Self::Deposit => (128, 5_000),
            Self::Question => (512, 500),
            Self::SharedEntry => (120, 10_000),
            Self::SharedQuestion => (1024, 250),
            Self::SharedOpening => (64, 30_000),
            Self::Dealing => (128, 5_000),
            Self::Opening => (8192, 500),
            Self::Audit => (120, 10_000),
            Self::AuditQuestion => (512, 500),
        }
    }

    const fn code(self) -> Code {
        match self {
            Self::Entry | Self::Deposit | Self::Question => Code::VaultLimited,
            Self::SharedEntry | Self::SharedQuestion | Self::SharedOpening => Code::SharedLimited,
            Self::Dealing => Code::ViewingLimited,
            Self::Opening | Self::Audit | Self::AuditQuestion => Code::AuditLimited,
        }
    }
}

/// Spent, and since when it comes back.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    count: u64,
    since_ms: u64,
}

impl Spent {
    fn at(self, now_ms: u64, back_ms: u64) -> Self {
        let back = now_ms.saturating_sub(self.since_ms) / back_ms;
        if back >= self.count {
            return Self { count: 0, since_ms: now_ms };
        }
        // INVARIANT: `back` is below the count, and back * back_ms at most now.
        Self {
            count: self.count.saturating_sub(back),
            since_ms: self.since_ms.saturating_add(back.saturating_mul(back_ms)),
        }
    }

    /// Refuses unless there is one left, and says when.
    fn room(self, flood: Flood, now_ms: u64) -> Result<(), Failure> {
        let (burst, back_ms) = flood.bound();
        if self.count < burst {
            return Ok(());
        }
        let wait_ms = self.since_ms.saturating_add(back_ms).saturating_sub(now_ms);
        let message = format!("the account has asked more than `{burst}` times");
        Err(Failure { wait_ms: Some(wait_ms), ..Failure::new(flood.code(), message) })
    }
}

/// What accounts have spent lately.
#[derive(Debug, Default)]
pub(crate) struct Floods(Mutex<HashMap<(Id, Flood), Spent>>);

impl Floods {
    /// Refuses where there is none left, and takes none: for what is charged only if it goes wrong.
    pub(crate) fn check(&self, account: Id, flood: Flood, now_ms: u64) -> Result<(), Failure> {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, back_ms) = flood.bound();
        match counted.get(&(account, flood)) {
            Some(spent) => spent.at(now_ms, back_ms).room(flood, now_ms),
            None => Ok(()),
        }
    }

    /// Takes one, or says when there is one again.
    pub(crate) fn charge(&self, account: Id, flood: Flood, now_ms: u64) -> Result<(), Failure> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= COUNTED_MAX {
            counted.retain(|(_, flood), spent| spent.at(now_ms, flood.bound().1).count > 0);
            if counted.len() >= COUNTED_MAX {
                return Err(Failure::new(Code::ServiceBusy, "too many accounts ask at once"));
            }
        }
        let (_, back_ms) = flood.bound();
        let spent = counted.entry((account, flood)).or_insert(Spent { count: 0, since_ms: now_ms });
        *spent = spent.at(now_ms, back_ms);
        spent.room(flood, now_ms)?;
        spent.count = spent.count.saturating_add(1);
        Ok(())
    }
}

/// Questions to keepers under way, by account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asking(Arc<Mutex<HashMap<Id, usize>>>);

impl Asking {
    fn lock(&self) -> MutexGuard<'_, HashMap<Id, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place among the account's questions; given back when it is dropped.
    pub(crate) fn enter(&self, account: Id) -> Result<Asked, Failure> {
        let mut under_way = self.lock();
        let count = under_way.entry(account).or_default();
        if *count >= AT_ONCE_MAX {
            return Err(Failure::new(Code::ServiceBusy, "too many questions of this account are under way"));
        }
        *count = count.saturating_add(1);
        Ok(Asked { asking: self.clone(), account })
    }
}

/// A question to a keeper.
#[derive(Debug)]
pub(crate) struct Asked {
    asking: Asking,
    account: Id,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut under_way = self.asking.lock();
        if let Some(count) = under_way.get_mut(&self.account) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                under_way.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_burst_is_taken_and_comes_back_one_by_one() {
        let floods = Floods::default();
        let (burst, back_ms) = Flood::Deposit.bound();
        for _ in 0..burst {
            floods.charge([1; 32], Flood::Deposit, 1_000).unwrap();
        }
        let refused = floods.charge([1; 32], Flood::Deposit, 1_001).unwrap_err();
        assert_eq!((refused.code, refused.wait_ms), (Code::VaultLimited, Some(back_ms - 1)));
        floods.charge([2; 32], Flood::Deposit, 1_001).unwrap();
        floods.charge([1; 32], Flood::Entry, 1_001).unwrap();
        floods.charge([1; 32], Flood::Deposit, 1_000 + back_ms).unwrap();
        let refused = floods.charge([1; 32], Flood::Deposit, 1_000 + back_ms).unwrap_err();
        assert_eq!(refused.wait_ms, Some(back_ms));
    }

    #[test]
    fn places_are_bounded_for_each_account_and_given_back() {
        let asking = Asking::default();
        let mut held: Vec<_> = (0..AT_ONCE_MAX).map(|_| asking.enter([1; 32]).unwrap()).collect();
        assert_eq!(asking.enter([1; 32]).unwrap_err().code, Code::ServiceBusy);
        asking.enter([2; 32]).unwrap();
        held.pop();
        asking.enter([1; 32]).unwrap();
        held.clear();
        assert!(asking.lock().is_empty());
    }
}
