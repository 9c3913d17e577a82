//! Announcements of payments: recorded for a payer, read by everybody who may be paid.

use keyward_crypto::unlinkable::Payment;
use keyward_domain::Code;
use keyward_ledger_core::{
    entry::{AnnouncePayment, Entry, kind},
    unlinkable::{AddressEpoch, EDGE_MS, PAYMENT_BYTES},
};
use keyward_policies::Verb;
use keyward_store::Change;

use super::{choose::malformed, other};
use crate::{
    caller::Caller,
    custody::Custody,
    failure::Failure,
    guard::refused,
    once::{Once, request_hash},
    vaults::floods::Flood,
};

/// The most epochs of one question.
const EPOCHS_MAX: u32 = 256;

/// An announcement on the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) epoch: u32,
    pub(crate) payment: [u8; PAYMENT_BYTES],
    pub(crate) leaf_index: u64,
}

impl Custody {
    /// Records an announcement in an epoch under way, by its length (0: the one that is configured) and number; returns its receipt.
    /// Run it in a task of its own.
    pub(crate) async fn announce_payment(
        &self,
        caller: &Caller,
        (epoch_ms, epoch): (u64, u32),
        payment: [u8; PAYMENT_BYTES],
        mark: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let _permit = self.permit()?;
        let account = self.address_account(caller, Verb::AddressUse)?;
        Payment::decode(&payment).map_err(other)?;
        let epoch_ms = if epoch_ms == 0 { self.epoch_ms() } else { epoch_ms };
        let announce = AnnouncePayment { epoch_ms, epoch, payment };
        let of = announce.address_epoch();
        if !of.is_sound() || !of.is_under_way(self.clock.now_ms()) {
            let what = format!(
                "the address epoch `{epoch}` of `{epoch_ms}` ms is not under way; a receiver's epochs may have another length"
            );
            return Err(Failure::new(Code::AddressEpoch, what));
        }
        let fields: [&[u8]; 3] = [&epoch_ms.to_be_bytes(), &epoch.to_be_bytes(), &payment];
        let hash = request_hash("address.announce", &fields);
        let name = match self.once(caller, mark, hash).await? {
            Once::Done(receipt) => return Ok(receipt),
            Once::Fresh(name) => name,
        };
        let recorded = async {
            self.floods.charge(account.0, Flood::Entry, self.clock.now_ms())?;
            let record = self.ledger.commit(Entry::AnnouncePayment(announce)).await?;
            if !record.outcome().is_accepted() {
                return Err(refused(record.outcome().name()));
            }
            let receipt = record.receipt(None);
            if let Some(name) = name.clone() {
                self.store.apply(vec![Change::Complete(name, receipt.clone())]).await?;
            }
            Ok(receipt)
        };
        let recorded = recorded.await;
        if recorded.is_err() {
            self.give_back(name).await;
        }
        recorded
    }

    /// Announcements of everybody's payments in these epochs, from a log index on, and where the next page begins (0: nowhere). Epochs
    /// have the length that the caller chose; of somebody who chose nothing, the one that is configured.
    pub(crate) async fn announced_payments(
        &self,
        caller: &Caller,
        (first, last): (u32, u32),
        from_leaf: u64,
    ) -> Result<(Vec<Announced>, u64), Failure> {
        let _permit = self.permit()?;
        let account = self.address_account(caller, Verb::AddressShow)?;
        self.floods.charge(account.0, Flood::Question, self.clock.now_ms())?;
        let chosen = self.store.address_account(account.0).await?;
        let epoch_ms = chosen.map_or_else(|| self.epoch_ms(), |row| row.epoch_ms);
        let (found, next) = self.page_of_payments(epoch_ms, (first, last), from_leaf).await?;
        Ok((found, next.unwrap_or_default()))
    }

    pub(super) async fn page_of_payments(
        &self,
        epoch_ms: u64,
        (first, last): (u32, u32),
        from_leaf: u64,
    ) -> Result<(Vec<Announced>, Option<u64>), Failure> {
        let epochs = first..=last;
        if epochs.is_empty() || last - first >= EPOCHS_MAX {
            return Err(malformed(format!("name 1 to {EPOCHS_MAX} epochs, from the first to the last")));
        }
        let begins_ms = AddressEpoch::new(epoch_ms, first).begins_ms().saturating_sub(EDGE_MS);
        let ends_ms = AddressEpoch::new(epoch_ms, last).ends_ms().saturating_add(EDGE_MS);
        let kind = kind::ANNOUNCE_PAYMENT;
        let (records, next) = self.ledger.of_kind(kind, begins_ms..ends_ms, from_leaf).await?;
        let mut found = Vec::with_capacity(records.len());
        for record in records {
            let Entry::AnnouncePayment(announce) =
                Entry::decode(record.entry()).map_err(Failure::internal)?
            else {
                continue;
            };
            if announce.epoch_ms == epoch_ms && epochs.contains(&announce.epoch) {
                let AnnouncePayment { epoch, payment, .. } = announce;
                found.push(Announced { epoch, payment, leaf_index: record.leaf_index() });
            }
        }
        Ok((found, next))
    }
}
