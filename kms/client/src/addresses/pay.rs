//! Paying to a fresh address of somebody.

use std::fmt;
use std::time::Instant;

use keyward_crypto::unlinkable::{MetaAddress, Payment};
use keyward_ledger_core::entry::{Custody, Entry};
use keyward_ledger_core::unlinkable::PAYMENT_BYTES;
use keyward_proto::custody::{AnnouncePaymentRequest, MetaAddressRequest};
use tonic::codegen::Bytes;

use super::Address;
use super::error::AddressesError;
use super::root::OwnRoot;
use crate::client::{Client, idempotency_key};
use crate::delegation::Done;

/// A meta-address, for payers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnMeta {
    /// 71 bytes.
    pub meta_address: Vec<u8>,
    /// Its epoch.
    pub epoch: u32,
    /// The length of the account's epochs.
    pub epoch_ms: u64,
    /// When that ends, in milliseconds since 1970.
    pub ends_ms: u64,
}

/// An address to pay to, whose announcement is on the ledger. Prints redacted.
#[derive(Clone)]
pub struct Paid {
    /// Where the money is to go: nobody but payer and receiver knows whose it is.
    pub address: Address,
    /// The epoch of the meta-address.
    pub epoch: u32,
    /// What was announced.
    pub payment: [u8; PAYMENT_BYTES],
    /// The record of the announcement.
    pub done: Done,
}

impl fmt::Debug for Paid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Paid(redacted)")
    }
}

impl Client {
    /// What payers need to pay to a hosted root in the epoch under way.
    pub async fn meta_address(&self) -> Result<OwnMeta, AddressesError> {
        let chosen = self.chosen_addresses().await?;
        chosen.need(Custody::Hosted)?;
        let answer = self.answer(self.addresses().meta(self.request(MetaAddressRequest {})).await)?;
        let epoch = MetaAddress::decode(&answer.meta_address)?.epoch();
        let named = chosen.epoch_of(epoch);
        if !named.is_under_way(chosen.now_ms) || named.ends_ms() != answer.ends_unix_ms {
            return Err(AddressesError::Substituted {
                what: "a meta-address of an epoch that is not under way",
            });
        }
        let (meta_address, epoch_ms) = (answer.meta_address.to_vec(), chosen.state.epoch_ms);
        Ok(OwnMeta { meta_address, epoch, epoch_ms, ends_ms: named.ends_ms() })
    }

    /// The same of an own root, derived here.
    pub async fn own_meta_address(&self, root: &OwnRoot<'_>) -> Result<OwnMeta, AddressesError> {
        let chosen = self.chosen_addresses().await?;
        chosen.need(Custody::Own)?;
        let epoch = chosen.epoch()?;
        let book = root.read()?;
        let meta = MetaAddress::new(&book.view(epoch.number)?, book.spending(epoch.number)?)?;
        let (meta_address, epoch_ms) = (meta.encode()?, epoch.length_ms);
        Ok(OwnMeta { meta_address, epoch: epoch.number, epoch_ms, ends_ms: epoch.ends_ms() })
    }

    /// A fresh address to pay to, announced so that its receiver finds it. Nothing should be paid before that is recorded, and
    /// this answers only then.
    pub async fn pay_to_meta_address(&self, meta_address: &[u8]) -> Result<Paid, AddressesError> {
        self.pay_in_epochs_of(meta_address, 0).await
    }

    /// The same to somebody whose epochs have another length than those that accounts choose at this service now, as
    /// [`OwnMeta::epoch_ms`] says it (0: these).
    pub async fn pay_in_epochs_of(&self, meta_address: &[u8], epoch_ms: u64) -> Result<Paid, AddressesError> {
        self.address_trust()?;
        let meta = MetaAddress::decode(meta_address)?;
        let (address, payment) = meta.pay()?;
        let (epoch, payment) = (meta.epoch(), encoded(&payment)?);
        let request = AnnouncePaymentRequest {
            epoch,
            payment: Bytes::copy_from_slice(&payment),
            idempotency_key: idempotency_key()?,
            epoch_ms,
        };
        let (patient, request) = (self.patient(), &request);
        let answer = patient.try_again(Instant::now() + self.deadline, |left| async move {
            self.answer(self.addresses().announce(self.request_within(request.clone(), left)).await)
        });
        let receipt = answer.await?.receipt;
        let verdict = self.recorded_address(&receipt, "the announcement", |entry| {
            matches!(entry, Entry::AnnouncePayment(found) if (found.epoch, found.payment) == (epoch, payment)
                && (epoch_ms == 0 || found.epoch_ms == epoch_ms))
        })?;
        let (leaf_index, time_ms) = (verdict.leaf_index, verdict.time_ms);
        let done = Done { receipt: receipt.to_vec(), leaf_index, time_ms };
        Ok(Paid { address, epoch, payment, done })
    }
}

fn encoded(payment: &Payment) -> Result<[u8; PAYMENT_BYTES], AddressesError> {
    let bytes = payment.encode()?;
    let malformed = |_length| AddressesError::Substituted { what: "a payment of another length" };
    bytes.try_into().map_err(malformed)
}
