//! The end of an epoch: what the account committed to in it, for those alone who see the epoch. Once for each epoch, whoever and
//! however often it is tried.
//!
//! It is counted at a height of the ledger at which the epoch has elapsed: from then on the ledger takes no use in it any more, so what
//! it does not have by then it will never have.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use keyward_crypto::unlinkable::{Closing, SpendingPoint, ViewingLeaf, closing_tag, seal_closing};
use keyward_domain::{Code, detail::records_root};
use keyward_ledger_core::{
    entry::{CloseEpoch, Entry},
    outcome::Refusal,
    state::addresses::{closed_epoch_key, read_leaf, used_address_key},
    unlinkable::{AddressEpoch, EDGE_MS},
};
use keyward_policies::Verb;
use keyward_store::{AddressEpoch as Row, AddressRow, Change, Id, StoreError};
use zeroize::Zeroizing;

use super::{
    other,
    own::{LEAF_PIN, SPENDING_PIN, pinned},
};
use crate::{
    caller::Caller,
    custody::{Custody, random},
    failure::Failure,
    guard::refused,
    ports::Final,
    vaults::floods::Flood,
};

/// Epochs that one look closes.
const CLOSED_AT_ONCE: u32 = 256;
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How late a closing may be before the operator hears of it, and looks between two tellings.
const LATE_MS: u64 = 60 * 60 * 1000;
const TELL_EVERY: u32 = 30;
/// How far before our clock's time of a choice the ledger may have it, in milliseconds: block time may lie 30 s from a clock, and ours so far.
const CHOSEN_EDGE_MS: u64 = 4 * EDGE_MS;

/// Closes epochs until the service ends.
pub(crate) async fn run(custody: Arc<Custody>) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks: u32 = 0;
    loop {
        look.tick().await;
        // As many accounts as there are: what was a full look is followed by the next one.
        let closed = loop {
            match custody.close_elapsed_epochs().await {
                Ok(true) => {}
                closed => break closed,
            }
        };
        let failure = closed.err();
        if let Some(failure) = &failure {
            tracing::debug!(%failure, "epochs of addresses are closed later");
        }
        if looks.is_multiple_of(TELL_EVERY)
            && let Ok(late @ 1..) = custody.late_epochs().await
        {
            let failure = failure.map(|failure| failure.to_string());
            tracing::warn!(
                late,
                failure,
                "epochs of addresses that ended more than an hour ago are not closed: audits cannot see that they are complete"
            );
        }
        looks = looks.wrapping_add(1);
    }
}

impl Custody {
    /// Closes epochs of hosted roots that have elapsed, at once and in random order: one after the other by account they would tell on
    /// the ledger whose they are. One that is not to be closed now keeps no other from it. Fails by the first of them; whether there may be
    /// more.
    pub(crate) async fn close_elapsed_epochs(&self) -> Result<bool, Failure> {
        let before_ms = self.clock.now_ms().saturating_sub(EDGE_MS);
        let mut rows = Vec::new();
        for row in self.store.elapsed_address_epochs(before_ms, CLOSED_AT_ONCE).await? {
            rows.push((random::<16>()?, row));
        }
        rows.sort_by_key(|(place, _)| *place);
        let mut closings = Vec::with_capacity(rows.len());
        for (_, row) in &rows {
            closings.push(self.close_hosted(row));
        }
        let closed = join_all(closings).await;
        closed.into_iter().collect::<Result<(), Failure>>()?;
        Ok(u32::try_from(rows.len()).is_ok_and(|count| count >= CLOSED_AT_ONCE))
    }

    /// How many epochs should have been closed long ago, as far as one look counts.
    pub(crate) async fn late_epochs(&self) -> Result<usize, Failure> {
        let before_ms = self.clock.now_ms().saturating_sub(LATE_MS);
        Ok(self.store.elapsed_address_epochs(before_ms, CLOSED_AT_ONCE).await?.len())
    }

    async fn close_hosted(&self, row: &Row) -> Result<(), Failure> {
        let sealed = row.sealed.as_ref().ok_or_else(|| Failure::internal("an epoch without its leaf"))?;
        let (view, spending) = self.open_epoch(&row.account, row.epoch, sealed)?;
        self.close_epoch(row, &view, spending, row.given).await.map(drop)
    }

    /// Closes an epoch of a root that is the person's own, which brings what closes it. Run it in a task of its own.
    pub(crate) async fn close_own_epoch(
        &self,
        caller: &Caller,
        epoch: u32,
        leaf: Zeroizing<[u8; 32]>,
        spending: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let _permit = self.permit()?;
        let account = self.address_account(caller, Verb::AddressUse)?;
        let chosen = self.own_addresses(account).await?;
        let point = SpendingPoint::decode(spending).map_err(other)?;
        if point.epoch() != epoch {
            return Err(Failure::new(Code::AddressOther, "the spending point is of another epoch"));
        }
        let leaf_pin = pinned(LEAF_PIN, &account.0, leaf.as_slice());
        let spending_pin = pinned(SPENDING_PIN, &account.0, spending);
        let row = self.store.address_epoch(account.0, epoch).await?.unwrap_or(Row {
            account: account.0,
            epoch,
            epoch_ms: chosen.epoch_ms,
            given: 0,
            records: 0,
            sealed: None,
            leaf_pin: None,
            spending_pin: None,
            closing: None,
            closed_leaf: None,
        });
        let differs = |before: Option<[u8; 32]>, now| before.is_some_and(|before| before != now);
        if differs(row.leaf_pin, leaf_pin) || differs(row.spending_pin, spending_pin) {
            let what = "the viewing leaf or spending point is not the one of the epoch's intents";
            return Err(Failure::new(Code::AddressOther, what));
        }
        if let Some(leaf_index) = row.closed_leaf {
            return Ok(self.ledger.record(leaf_index).await?.receipt(None));
        }
        // Each closing stands on the ledger for good.
        self.floods.charge(account.0, Flood::Entry, self.clock.now_ms())?;
        // By our own row: whom the ledger were asked about the account here would see whose the tag is that comes next.
        let earliest_ms = chosen.created_ms.saturating_sub(CHOSEN_EDGE_MS);
        if AddressEpoch::at(chosen.epoch_ms, earliest_ms).is_none_or(|first| epoch < first.number) {
            return Err(Failure::new(Code::AddressEpoch, "the account had no addresses in that epoch yet"));
        }
        let view = ViewingLeaf::from_bytes(epoch, leaf);
        let records = self.records_of(&row, &view).await?;
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        self.close_counted(&row, &view, point, (count, records)).await
    }

    /// The receipt of the closing.
    async fn close_epoch(
        &self,
        row: &Row,
        view: &ViewingLeaf,
        spending: SpendingPoint,
        addresses: u32,
    ) -> Result<Vec<u8>, Failure> {
        let records = self.records_of(row, view).await?;
        self.close_counted(row, view, spending, (addresses, records)).await
    }

    async fn close_counted(
        &self,
        row: &Row,
        view: &ViewingLeaf,
        spending: SpendingPoint,
        (addresses, leaves): (u32, Vec<[u8; 32]>),
    ) -> Result<Vec<u8>, Failure> {
        let (by, entry) = match &row.closing {
            Some(kept) => read_kept(kept)?,
            None => {
                let records = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
                let closing = Closing { spending, addresses, records, root: records_root(leaves) };
                self.keep_closing(row, view, &closing).await?
            }
        };
        let record = self.record_closing(&by, entry).await?;
        let (account, epoch, leaf_index) = (row.account, row.epoch, record.leaf_index());
        self.store.apply(vec![Change::CloseAddressEpoch { account, epoch, leaf_index }]).await?;
        Ok(record.receipt(None))
    }

    /// The record of a closing. The server that kept it hands it in; another one does when that one is gone.
    async fn record_closing(&self, by: &Id, entry: Entry) -> Result<Box<dyn Final>, Failure> {
        let Entry::CloseEpoch(CloseEpoch { tag, .. }) = entry else {
            return Err(Failure::internal("what closes an epoch is another entry"));
        };
        let own = self.ledger.submitter();
        if *by != own {
            if let Some(record) = self.closed_by(&tag, by).await? {
                return Ok(record);
            }
            if self.store.servers().await?.iter().any(|server| server.submitter == *by) {
                return Err(Failure::new(Code::ServiceBusy, "another server is closing the epoch"));
            }
        }
        let record = self.ledger.commit(entry).await?;
        match record.outcome().refusal() {
            None if record.outcome().is_accepted() => Ok(record),
            // An earlier try got through.
            Some(Refusal::EpochClosed) => self.closed_by(&tag, &own).await?.ok_or_else(|| {
                Failure::new(Code::LedgerUnavailable, "the ledger lags behind its own answer")
            }),
            _ => Err(refused(record.outcome().name())),
        }
    }

    /// What closed an epoch for one of our servers. Others may copy a tag that they see on its way: theirs open for nobody.
    async fn closed_by(&self, tag: &Id, submitter: &Id) -> Result<Option<Box<dyn Final>>, Failure> {
        let Some(leaf) = self.ledger.state(closed_epoch_key(tag, submitter)).await? else { return Ok(None) };
        Ok(Some(self.ledger.record(read_leaf(&leaf).map_err(Failure::internal)?).await?))
    }

    /// Keeps the entry before it leaves: of several that close an epoch, the first one's counts. The server that hands it in, and the
    /// entry.
    async fn keep_closing(
        &self,
        row: &Row,
        view: &ViewingLeaf,
        closing: &Closing,
    ) -> Result<(Id, Entry), Failure> {
        let tag = closing_tag(view).map_err(Failure::internal)?;
        let (epoch_ms, epoch) = (row.epoch_ms, row.epoch);
        let mut close = CloseEpoch { tag, epoch_ms, epoch, closing: Vec::new() };
        close.closing = seal_closing(view, &close.public_fields(), closing).map_err(Failure::internal)?;
        let (by, entry) = (self.ledger.submitter(), Entry::CloseEpoch(close));
        let kept = [&by[..], &entry.encode()].concat();
        let keep = Change::KeepAddressClosing { account: row.account, epoch, entry: kept };
        match self.store.apply(vec![keep]).await {
            Ok(()) => Ok((by, entry)),
            Err(StoreError::Missing { .. }) => {
                let kept = self.store.address_epoch(row.account, epoch).await?.and_then(|row| row.closing);
                read_kept(&kept.ok_or_else(|| Failure::internal("an epoch's closing is gone"))?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The leaf hashes of the account's records of an epoch in the log's order, every intent settled. Refused until the ledger's own
    /// time says that the epoch has elapsed.
    async fn records_of(&self, row: &Row, view: &ViewingLeaf) -> Result<Vec<[u8; 32]>, Failure> {
        let tag = closing_tag(view).map_err(Failure::internal)?;
        // Whatever stands there: what counts is the time of the answer.
        self.elapsed_value(row, closed_epoch_key(&tag, &self.ledger.submitter())).await?;
        let mut settled = Vec::new();
        for used in self.store.addresses_used_in(row.account, row.epoch).await? {
            settled.extend(match used.leaf {
                Some(leaf) => Some(leaf),
                None => self.settle_use(row, &used).await?,
            });
        }
        settled.sort_by_key(|(leaf_index, _)| *leaf_index);
        Ok(settled.into_iter().map(|(_, leaf_hash)| leaf_hash).collect())
    }

    /// Where the ledger has a use of which nobody heard; nowhere: it never will.
    async fn settle_use(&self, row: &Row, used: &AddressRow) -> Result<Option<(u64, [u8; 32])>, Failure> {
        let public_key = used.new.public_key;
        let [_, x @ ..] = public_key;
        let Some(intent) = used.intent else { return Ok(None) };
        let found = match self.elapsed_value(row, used_address_key(&x)).await? {
            None => None,
            Some(value) => {
                let record = self.ledger.record(read_leaf(&value).map_err(Failure::internal)?).await?;
                let entry = Entry::decode(record.entry()).map_err(Failure::internal)?;
                let ours = matches!(&entry, Entry::UseAddress(entry) if entry.id == intent);
                ours.then(|| (record.leaf_index(), record.leaf_hash()))
            }
        };
        let change = match found {
            Some((leaf_index, leaf_hash)) => {
                Change::AddressUsed { account: row.account, public_key, intent, leaf_index, leaf_hash }
            }
            None => Change::FreeAddress { account: row.account, public_key, intent },
        };
        self.store.apply(vec![change]).await?;
        Ok(found)
    }

    /// What stands under a state key at a height at which the epoch has elapsed.
    async fn elapsed_value(&self, row: &Row, key: Vec<u8>) -> Result<Option<Vec<u8>>, Failure> {
        let proven = self.ledger.proven(key).await?;
        if AddressEpoch::new(row.epoch_ms, row.epoch).is_elapsed(proven.time_ms) {
            return Ok(proven.value);
        }
        let what = format!("the address epoch `{}` has not elapsed by the ledger's time", row.epoch);
        Err(Failure::new(Code::EpochUnderWay, what))
    }
}

/// Reads what is kept of a closing: `submitter[32] || entry`.
fn read_kept(kept: &[u8]) -> Result<(Id, Entry), Failure> {
    let (by, entry) =
        kept.split_first_chunk().ok_or_else(|| Failure::internal("a kept closing is too short"))?;
    Ok((*by, Entry::decode(entry).map_err(Failure::internal)?))
}
