//! Announced payments that only the account and its payer recognise.

use std::collections::HashMap;

use keyward_domain::detail::PAYMENT_BYTES;
use keyward_ledger_core::entry::AnnouncePayment;

use super::{AccountEpoch, Place};
use crate::relink::{At, Relinker};

/// An announced payment that only the account and its payer recognise.
#[derive(Clone, Copy, Debug)]
pub struct PaymentReceived {
    /// The announcement's record.
    pub place: Place,
    /// Who is paid, in which epoch.
    pub of: AccountEpoch,
    /// The announcement.
    pub payment: [u8; PAYMENT_BYTES],
    /// The address that it leads to: SEC1 compressed.
    pub public_key: [u8; 33],
    /// The index in the log of the transaction that used this address, if one was found.
    pub used_by: Option<u64>,
}

/// An announcement: its record, and the payment.
pub(crate) type Announced = (Place, [u8; PAYMENT_BYTES]);

impl Relinker {
    /// Somebody announced a payment.
    pub(crate) fn announced(&mut self, at: &mut At<'_>, announce: &AnnouncePayment) {
        if !self.leaves.at(announce.epoch).is_empty() {
            let of_epoch = self.announced.entry((announce.epoch_ms, announce.epoch)).or_default();
            of_epoch.push((at.place(), announce.payment));
        }
    }

    /// Looks through the announcements of an epoch that an account has closed.
    pub(crate) fn receive(&mut self, of: AccountEpoch, epoch_ms: u64) {
        let Some(epoch) = self.epochs.get(&of) else { return };
        let announced = self.announced.get(&(epoch_ms, of.epoch));
        for (place, payment) in announced.into_iter().flatten() {
            let Some(public_key) = epoch.paid(payment) else { continue };
            self.payments.push(PaymentReceived {
                place: *place,
                of,
                payment: *payment,
                public_key,
                used_by: None,
            });
        }
    }

    /// Those that were found so far, in the log's order, with what used their addresses.
    pub(crate) fn payments(&self) -> Vec<PaymentReceived> {
        let used: HashMap<_, _> =
            self.transactions.iter().map(|one| (x(&one.public_key), one.place.leaf_index)).collect();
        let with_use = |payment: &PaymentReceived| PaymentReceived {
            used_by: used.get(x(&payment.public_key)).copied(),
            ..*payment
        };
        let mut payments: Vec<_> = self.payments.iter().map(with_use).collect();
        payments.sort_by_key(|payment| payment.place);
        payments
    }
}

/// What BIP340 knows an address by: its x alone. Two addresses that differ in the parity of y have one key, up to its sign.
fn x(address: &[u8; 33]) -> &[u8] {
    address.split_first().map(|(_, x)| x).unwrap_or_default()
}
