//! The end of an own epoch: recorded by the service, and held against what this side knows of the epoch.

use std::time::Instant;

use keyward_crypto::unlinkable::{Closing, SpendingPoint, ViewingLeaf, closing_tag, open_closing};
use keyward_ledger_core::entry::{CloseEpoch, Custody, Entry};
use keyward_proto::custody::CloseAddressEpochRequest;

use super::book::{AddressSource, EpochBook, Spent};
use super::error::AddressesError;
use super::own::Started;
use super::root::OwnRoot;
use crate::client::Client;
use crate::delegation::Done;
use crate::error::ClientError;

/// An epoch whose end is on the ledger as it should be.
#[derive(Clone, Debug)]
pub struct ClosedEpoch {
    /// The epoch.
    pub epoch: u32,
    /// The record of its end.
    pub done: Done,
    /// How many records the closing counts.
    pub records: u32,
    /// Those among them of which this side never got a receipt: it has begun them, and cannot say that they are what the closing's
    /// root is over.
    pub unseen: u32,
    /// Uses that were begun here and that the service says were never recorded: its word, and not the closing's.
    pub denied: usize,
}

impl Client {
    /// Own epochs that have elapsed, with intents, and whose end this side has not seen yet.
    pub async fn address_epochs_to_close(&self, root: &OwnRoot<'_>) -> Result<Vec<u32>, AddressesError> {
        let chosen = self.chosen_addresses().await?;
        chosen.need(Custody::Own)?;
        let mut epochs = root.read()?.unclosed_through(u32::MAX);
        epochs.retain(|epoch| chosen.epoch_of(*epoch).is_elapsed(chosen.ledger_ms));
        Ok(epochs)
    }

    /// Has the service record the end of an own epoch, and believes it if the closing says what this side knows: the epoch's own
    /// keys, and no record fewer, no other record, and no record more than were begun here.
    pub async fn close_address_epoch(
        &self,
        root: &OwnRoot<'_>,
        epoch: u32,
    ) -> Result<ClosedEpoch, AddressesError> {
        let chosen = self.chosen_addresses().await?;
        chosen.need(Custody::Own)?;
        if !chosen.epoch_of(epoch).is_elapsed(chosen.ledger_ms) {
            return Err(AddressesError::UnderWay { epoch });
        }
        self.settle_epoch(root, epoch).await?;
        let book = root.read()?;
        let (view, spending) = (book.view(epoch)?, book.spending(epoch)?);
        let request = CloseAddressEpochRequest {
            epoch,
            viewing_leaf: view.expose(|leaf| leaf.to_vec()).into(),
            spending_point: spending.encode()?.into(),
        };
        // The service may ask a node that is a moment behind the one whose proof was shown here.
        let (patient, request) = (self.patient(), &request);
        let answer = patient.try_again(Instant::now() + self.deadline, |left| async move {
            self.answer(self.addresses().close(self.request_within(request.clone(), left)).await)
        });
        let answer = answer.await?;
        let (closing, done) = self.closing(&answer.receipt, &view, chosen.state.epoch_ms)?;
        let known = book.epochs().get(&epoch).cloned().unwrap_or_default();
        let unseen = check_closing(&closing, &spending, &known, epoch)?;
        let denied = known.uncertain().saturating_sub(usize::try_from(unseen).unwrap_or(usize::MAX));
        root.update(|book| {
            book.close(epoch, done.leaf_index);
            Ok(())
        })?;
        Ok(ClosedEpoch { epoch, done, records: closing.records, unseen, denied })
    }

    /// Asks again for the receipts of what was begun and of which no answer came.
    async fn settle_epoch(&self, root: &OwnRoot<'_>, epoch: u32) -> Result<(), AddressesError> {
        let known = root.read()?.epochs().get(&epoch).cloned().unwrap_or_default();
        for spent in known.spent.into_iter().filter(|spent| spent.leaf.is_none()) {
            let Some(begun) = spent.begun else { continue };
            match self.record_begun(root, Started { epoch, begun }).await {
                // The ledger never had it.
                Err(AddressesError::Client(ClientError::Refused(refusal))) if !refusal.retry => {}
                done => drop(done?),
            }
        }
        Ok(())
    }

    /// The closing in a receipt, which must be that of the leaf's epoch.
    fn closing(
        &self,
        receipt: &[u8],
        view: &ViewingLeaf,
        epoch_ms: u64,
    ) -> Result<(Closing, Done), AddressesError> {
        let (tag, epoch) = (closing_tag(view)?, view.epoch());
        let is_ours = |entry: &Entry| {
            matches!(entry, Entry::CloseEpoch(found)
                if (found.tag, found.epoch_ms, found.epoch) == (tag, epoch_ms, epoch))
        };
        let verdict = self.recorded_address(receipt, "the closing", is_ours)?;
        let Some(Entry::CloseEpoch(found)) = verdict.entry else {
            return Err(AddressesError::Substituted { what: "the receipt of another entry" });
        };
        let opened = opened(&found, view)?;
        let (leaf_index, time_ms) = (verdict.leaf_index, verdict.time_ms);
        Ok((opened, Done { receipt: receipt.to_vec(), leaf_index, time_ms }))
    }
}

fn opened(found: &CloseEpoch, view: &ViewingLeaf) -> Result<Closing, AddressesError> {
    let wrong =
        |_| AddressesError::Closing { epoch: found.epoch, what: "does not open with the epoch's leaf" };
    open_closing(view, &found.public_fields(), &found.closing).map_err(wrong)
}

/// Gives how many records the closing counts that this side has no receipt of.
fn check_closing(
    closing: &Closing,
    spending: &SpendingPoint,
    known: &EpochBook,
    epoch: u32,
) -> Result<u32, AddressesError> {
    let wrong = |what| Err(AddressesError::Closing { epoch, what });
    if closing.spending != *spending {
        return wrong("names other keys");
    }
    let (recorded, found) = (known.recorded(), closing.records);
    let counted = usize::try_from(found).unwrap_or(usize::MAX);
    if counted < recorded {
        return Err(AddressesError::ClosingShort { epoch, found, known: recorded });
    }
    let unseen = counted.saturating_sub(recorded);
    if unseen > known.uncertain() {
        return wrong("counts records that this device has not begun");
    }
    if unseen == 0 && closing.root != known.root() {
        return wrong("is over other records");
    }
    if closing.addresses < found {
        return wrong("counts fewer addresses than records");
    }
    Ok(u32::try_from(unseen).unwrap_or(u32::MAX))
}

impl super::book::Book {
    /// Notes where the end of an epoch stands. What was paid and never recorded may be used again; what has no signature yet stays
    /// to be gone on with, and what the service denies stays too, with the proof that it was given.
    fn close(&mut self, epoch: u32, leaf_index: u64) {
        let Some(book) = self.epochs.get_mut(&epoch) else { return };
        book.closed = Some(leaf_index);
        let stays = |spent: &Spent| {
            let is_index = matches!(spent.source, AddressSource::Index { .. });
            spent.begun.is_some() && (spent.leaf.is_some() || is_index)
        };
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut book.spent).into_iter().partition(stays);
        book.spent = kept;
        for spent in gone.iter().filter(|spent| spent.leaf.is_none()) {
            let AddressSource::Payment { epoch, payment } = spent.source else { continue };
            for found in
                self.payments.iter_mut().filter(|found| (found.epoch, found.payment) == (epoch, payment))
            {
                found.spent = false;
            }
        }
    }
}
