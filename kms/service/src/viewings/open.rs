//! What keepers open under a grant: every dealing that lies wholly in the opened epochs, with the parts that keepers gave.
//!
//! The parts are sealed to the grantee, who needs t of them and holds each against the dealing. A keeper that is silent once is not
//! waited for again in the same opening.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use keyward_domain::{AccountId, Code};
use keyward_ledger_core::state::{addresses::DealtState, keeper::keeper_key};
use keyward_proto::custody::{DealtViewing, KeeperViewing};
use keyward_store::{Id, ViewingDealing};

use crate::{custody::Custody, failure::Failure, ports::ToKeeper};

/// Dealings that one opening shows at most: those of a month of days.
const DEALINGS_MAX: usize = 31;
/// Rows that are looked through for them: some were never recorded.
const LOOK_MAX: u32 = 512;
/// Dealings of one opening that are asked for at once.
const AT_ONCE: usize = 4;
/// The pause before a keeper that has not seen the opening yet is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Keepers that were silent in an opening.
#[derive(Default)]
struct Silent(Mutex<BTreeSet<Id>>);

impl Silent {
    fn contains(&self, keeper: &Id) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(keeper)
    }

    fn insert(&self, keeper: Id) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(keeper);
    }
}

impl Custody {
    /// Refuses a range of which keepers could open nothing, or more than one answer holds; before its opening is recorded.
    pub(crate) async fn own_may_be_opened(
        &self,
        account: AccountId,
        first: u32,
        last: u32,
    ) -> Result<(), Failure> {
        self.dealt_within(account, first, last).await.map(drop)
    }

    /// What keepers give to a final opening of an account's epochs. Asked again it asks them again.
    pub(crate) async fn open_dealt(
        &self,
        opened_leaf_index: u64,
        account: AccountId,
        first: u32,
        last: u32,
    ) -> Result<Vec<DealtViewing>, Failure> {
        let (dealt, silent) = (self.dealt_within(account, first, last).await?, Silent::default());
        let shown = dealt.into_iter().map(|dealt| self.show_dealt(opened_leaf_index, dealt, &silent));
        stream::iter(shown).buffered(AT_ONCE).try_collect().await
    }

    /// The recorded dealings that lie wholly in a range, with their bytes.
    async fn dealt_within(
        &self,
        account: AccountId,
        first: u32,
        last: u32,
    ) -> Result<Vec<(ViewingDealing, DealtState)>, Failure> {
        let rows = self.store.dealings(account.0, first, last, LOOK_MAX).await?;
        let firsts: BTreeSet<_> = rows.iter().map(|row| row.first).collect();
        if firsts.len() > DEALINGS_MAX {
            let message = format!("more than `{DEALINGS_MAX}` dealings lie in these epochs");
            return Err(Failure::new(Code::ViewingSpan, message));
        }
        let recorded = firsts.into_iter().map(|first| self.recorded_dealing(&account.0, first));
        let recorded: Vec<_> = stream::iter(recorded).buffered(AT_ONCE).try_collect().await?;
        let found = |dealt: DealtState| {
            let row = rows.iter().find(|row| row.hash == dealt.dealing_hash)?;
            Some((row.clone(), dealt))
        };
        let dealt: Vec<_> = recorded.into_iter().flatten().filter_map(found).collect();
        if dealt.is_empty() {
            let message = "no dealing of the account lies wholly in these epochs";
            return Err(Failure::new(Code::ViewingNotDealt, message));
        }
        Ok(dealt)
    }

    async fn show_dealt(
        &self,
        leaf_index: u64,
        (row, dealt): (ViewingDealing, DealtState),
        silent: &Silent,
    ) -> Result<DealtViewing, Failure> {
        let (record, keepers, parts) = futures::join!(
            self.ledger.record(dealt.leaf),
            self.receipts(dealt.keepers.iter().map(keeper_key)),
            join_all(dealt.keepers.iter().map(|keeper| self.part(*keeper, leaf_index, row.first, silent))),
        );
        let parts = dealt.keepers.iter().zip(parts).filter_map(|(keeper, part)| {
            Some(KeeperViewing { keeper_id: Bytes::copy_from_slice(keeper), part: part? })
        });
        Ok(DealtViewing {
            first_epoch: row.first,
            last_epoch: row.last,
            parts: parts.collect(),
            dealing: row.dealing.into(),
            recorded: record?.receipt(None).into(),
            keepers: keepers?.into_iter().map(Bytes::from).collect(),
        })
    }

    /// One keeper's part, if it gives one; asked again while it has not seen the opening yet.
    async fn part(&self, keeper: Id, leaf_index: u64, first: u32, silent: &Silent) -> Option<Bytes> {
        let until = Instant::now() + self.keeper_wait;
        while !silent.contains(&keeper) {
            let what = ToKeeper::OpenViewing { leaf_index, first };
            let failure = match self.ask_about_viewing(keeper, what).await {
                Ok(part) => return Some(part),
                Err(failure) => failure,
            };
            let behind = matches!(failure.code, Code::ViewingNotOpened | Code::LedgerUnavailable);
            if behind && Instant::now() + PAUSE < until {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            tracing::warn!(keeper = crate::hex::hex(&keeper), %failure, "a keeper gives no part");
            if behind || failure.code == Code::KeeperUnavailable {
                silent.insert(keeper);
            }
            break;
        }
        None
    }
}
