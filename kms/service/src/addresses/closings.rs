//! Which accounts are closed on the ledger, read without asking about any of them: a validator that is asked for an account around each
//! use of an address would read off whose the use is.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicU64, Ordering},
};

use keyward_ledger_core::entry::{Act, Entry, kind};
use keyward_store::Id;
use tokio::sync::Mutex;

use crate::{failure::Failure, ports::Ledger};

/// By whose word: the service's that hosts the account, or the account's own.
const KINDS: [u16; 2] = [kind::CLOSE_ACCOUNT, kind::CLOSE_OWN_ACCOUNT];

/// The closings that the ledger tells of. A validator that lies can leave one out for as long as it is the one that is asked; upkeep asks
/// for the proven state of accounts with addresses in turn, at no use's time.
#[derive(Default)]
pub(crate) struct Closings {
    /// How many have asked.
    asked: AtomicU64,
    seen: Mutex<Seen>,
}

struct Seen {
    accounts: HashSet<Id>,
    /// Each kind, and the log index from which on nothing of it was read.
    unread: [(u16, u64); KINDS.len()],
    /// So many had asked when the last look began that came to its end: it tells them what they need.
    answered: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Self { accounts: HashSet::new(), unread: KINDS.map(|kind| (kind, 0)), answered: 0 }
    }
}

impl Closings {
    /// Whether the ledger has a closing of the account, as of now. Who asks meanwhile shares one look.
    pub(super) async fn tell_of(&self, ledger: &dyn Ledger, account: &Id) -> Result<bool, Failure> {
        let place = self.asked.fetch_add(1, Ordering::AcqRel);
        let mut seen = self.seen.lock().await;
        if place >= seen.answered {
            let begun = self.asked.load(Ordering::Acquire);
            seen.read(ledger).await?;
            seen.answered = begun;
        }
        Ok(seen.accounts.contains(account))
    }
}

impl Seen {
    async fn read(&mut self, ledger: &dyn Ledger) -> Result<(), Failure> {
        for (kind, unread) in &mut self.unread {
            loop {
                let (records, next) = ledger.of_kind(*kind, 0..u64::MAX, *unread).await?;
                for record in records {
                    let entry = Entry::decode(record.entry()).map_err(Failure::internal)?;
                    self.accounts.extend(closed_by(&entry));
                    *unread = (*unread).max(record.leaf_index().saturating_add(1));
                }
                match next {
                    Some(next) if next > *unread => *unread = next,
                    Some(_) => {}
                    None => break,
                }
            }
        }
        Ok(())
    }
}

fn closed_by(entry: &Entry) -> Option<Id> {
    match entry {
        Entry::CloseAccount { account } => Some(*account),
        Entry::Authored(authored) => match &authored.act {
            Act::CloseAccount { account } => Some(*account),
            _ => None,
        },
        _ => None,
    }
}
