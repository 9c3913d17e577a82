//! Paying to a fresh address of somebody, and finding what was paid to one's own.
//!
//! Which announcements there are, the service says. One that is withheld is found out by whoever has its receipt from the payer.

use std::ops::RangeInclusive;
use std::time::Instant;

use keyward_crypto::unlinkable::{MetaAddress, Payment};
use keyward_ledger_core::entry::{AnnouncePayment, Custody, Entry};
use keyward_ledger_core::unlinkable::PAYMENT_BYTES;
use keyward_proto::custody::{
    AnnouncePaymentRequest, AnnouncedPayment, AnnouncedRequest, MetaAddressRequest, ScanPaymentsRequest,
};
use tonic::codegen::Bytes;

use super::Address;
use super::book::{AddressSource, Book, Found};
use super::error::AddressesError;
use super::give::{KnownAddress, known};
use super::root::OwnRoot;
use crate::client::{Client, idempotency_key};
use crate::delegation::Done;

/// Announcements that are looked at at once.
const ANNOUNCED_MAX: usize = 4 << 20;
/// Pages that are asked for before they are taken for ones without an end.
const PAGES_MAX: u32 = 1 << 16;

/// A meta-address, for payers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnMeta {
    /// 71 bytes.
    pub meta_address: Vec<u8>,
    /// Its epoch.
    pub epoch: u32,
    /// When that ends, in milliseconds since 1970.
    pub ends_ms: u64,
}

/// An address to pay to, whose announcement is on the ledger.
#[derive(Clone, Debug)]
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

/// What a look at announcements has shown.
#[derive(Clone, Debug)]
pub struct Scan {
    /// What looks like payments to this account.
    pub found: Vec<(Address, Found)>,
    /// How many announcements were looked at.
    pub looked_at: u64,
    /// How many of those that were found have no room on this device: they are found again, or kept by name.
    pub unkept: usize,
}

/// An announcement that a payer's receipt proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Proven {
    leaf_index: u64,
    announced: AnnouncePayment,
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
        Ok(OwnMeta { meta_address: answer.meta_address.to_vec(), epoch, ends_ms: named.ends_ms() })
    }

    /// The same of an own root, derived here.
    pub async fn own_meta_address(&self, root: &OwnRoot<'_>) -> Result<OwnMeta, AddressesError> {
        let chosen = self.chosen_addresses().await?;
        chosen.need(Custody::Own)?;
        let epoch = chosen.epoch()?;
        let book = root.read()?;
        let meta = MetaAddress::new(&book.view(epoch.number)?, book.spending(epoch.number)?)?;
        Ok(OwnMeta { meta_address: meta.encode()?, epoch: epoch.number, ends_ms: epoch.ends_ms() })
    }

    /// A fresh address to pay to, announced so that its receiver finds it. Nothing should be paid before that is recorded, and
    /// this answers only then.
    pub async fn pay_to_meta_address(&self, meta_address: &[u8]) -> Result<Paid, AddressesError> {
        self.address_trust()?;
        let meta = MetaAddress::decode(meta_address)?;
        let (address, payment) = meta.pay()?;
        let (epoch, payment) = (meta.epoch(), encoded(&payment)?);
        let request = AnnouncePaymentRequest {
            epoch,
            payment: Bytes::copy_from_slice(&payment),
            idempotency_key: idempotency_key()?,
        };
        let (patient, request) = (self.patient(), &request);
        let answer = patient.try_again(Instant::now() + self.deadline, |left| async move {
            self.answer(self.addresses().announce(self.request_within(request.clone(), left)).await)
        });
        let receipt = answer.await?.receipt;
        let verdict = self.recorded_address(&receipt, "the announcement", |entry| {
            matches!(entry, Entry::AnnouncePayment(found) if (found.epoch, found.payment) == (epoch, payment))
        })?;
        let (leaf_index, time_ms) = (verdict.leaf_index, verdict.time_ms);
        let done = Done { receipt: receipt.to_vec(), leaf_index, time_ms };
        Ok(Paid { address, epoch, payment, done })
    }

    /// Has the service look for payments to a hosted root in these epochs. What payers' receipts prove to have been announced to
    /// anybody must be among what the service shows. Gives what was found, and how many announcements were looked at.
    pub async fn scan_payments(
        &self,
        epochs: RangeInclusive<u32>,
        receipts: &[Vec<u8>],
    ) -> Result<(Vec<KnownAddress>, u64), AddressesError> {
        let proven = self.proven_announcements(receipts)?;
        if !proven.is_empty() {
            let (first, last) = spanned(&proven, &epochs);
            held(&self.announced(first..=last).await?, &proven)?;
        }
        let request = ScanPaymentsRequest { first_epoch: *epochs.start(), last_epoch: *epochs.end() };
        let answer = self.answer(self.addresses().scan(self.request(request)).await)?;
        let found: Vec<_> = answer.found.iter().map(known).collect::<Result<_, _>>()?;
        let is_one = |one: &KnownAddress| matches!(one.source, AddressSource::Payment { epoch, .. } if epochs.contains(&epoch));
        if !found.iter().all(is_one) {
            return Err(AddressesError::Substituted { what: "payments that were not looked for" });
        }
        Ok((found, answer.looked_at))
    }

    /// Looks for payments to an own root among everybody's announcements of these epochs, here, so that nobody learns which are
    /// its own; and keeps what is found. What payers' receipts prove must be among what the service shows. That is known to be
    /// paid from then on, and so is what was paid to the addresses in `keep`, whose holder has seen that something lies there.
    pub async fn scan_own_payments(
        &self,
        root: &OwnRoot<'_>,
        epochs: RangeInclusive<u32>,
        receipts: &[Vec<u8>],
        keep: &[Address],
    ) -> Result<Scan, AddressesError> {
        self.chosen_addresses().await?.need(Custody::Own)?;
        let proven = self.proven_announcements(receipts)?;
        let open_from = root.read()?.viewing.first();
        if let Some(gone) = proven.iter().find(|one| one.announced.epoch < open_from) {
            return Err(AddressesError::Erased { epoch: gone.announced.epoch });
        }
        let (first, last) = spanned(&proven, &epochs);
        if last < open_from {
            return Ok(Scan { found: Vec::new(), looked_at: 0, unkept: 0 });
        }
        let announced = self.announced(first.max(open_from)..=last).await?;
        held(&announced, &proven)?;
        root.update(|book| {
            let looked_at = u64::try_from(announced.len()).unwrap_or(u64::MAX);
            let mut scan = Scan { found: Vec::new(), looked_at, unkept: 0 };
            for one in &announced {
                let is_proven = proven.iter().any(|proven| proven.leaf_index == one.leaf_index);
                if is_proven || epochs.contains(&one.epoch) {
                    book.look_at(&Found { confirmed: is_proven, ..*one }, keep, &mut scan)?;
                }
            }
            Ok(scan)
        })
    }

    /// Everybody's announcements of some epochs, in the ledger's order.
    async fn announced(&self, epochs: RangeInclusive<u32>) -> Result<Vec<Found>, AddressesError> {
        let (mut all, mut from_leaf_index): (Vec<Found>, _) = (Vec::new(), 0);
        for _ in 0..PAGES_MAX {
            let request =
                AnnouncedRequest { first_epoch: *epochs.start(), last_epoch: *epochs.end(), from_leaf_index };
            let page = self.answer(self.addresses().announced(self.request(request)).await)?;
            for one in &page.payments {
                let found = read(one)?;
                let is_next = all.last().is_none_or(|last| last.leaf_index < found.leaf_index);
                if !is_next || !epochs.contains(&found.epoch) || found.leaf_index < from_leaf_index {
                    return Err(AddressesError::Announcement { leaf_index: found.leaf_index });
                }
                all.push(found);
            }
            if all.len() > ANNOUNCED_MAX {
                return Err(AddressesError::Substituted {
                    what: "more announcements than are looked at at once",
                });
            }
            match page.next_leaf_index {
                0 => return Ok(all),
                next if next > from_leaf_index => from_leaf_index = next,
                _ => {
                    return Err(AddressesError::Substituted { what: "the same page of announcements again" });
                }
            }
        }
        Err(AddressesError::Substituted { what: "announcements without an end" })
    }

    fn proven_announcements(&self, receipts: &[Vec<u8>]) -> Result<Vec<Proven>, AddressesError> {
        let prove = |receipt: &Vec<u8>| {
            let is_one = |entry: &Entry| matches!(entry, Entry::AnnouncePayment(_));
            let verdict = self.recorded_address(receipt, "the announcement", is_one)?;
            match verdict.entry {
                Some(Entry::AnnouncePayment(announced)) => {
                    Ok(Proven { leaf_index: verdict.leaf_index, announced })
                }
                _ => Err(AddressesError::Substituted { what: "the receipt of another entry" }),
            }
        };
        receipts.iter().map(prove).collect()
    }
}

impl Book {
    /// Keeps an announcement if it looks like one to this account.
    fn look_at(&mut self, one: &Found, keep: &[Address], scan: &mut Scan) -> Result<(), AddressesError> {
        let payment = Payment::decode(&one.payment);
        let payment = payment.map_err(|_| AddressesError::Announcement { leaf_index: one.leaf_index })?;
        let seen = payment.seen(&self.view(one.epoch)?, self.spending(one.epoch)?)?;
        let Some(address) = seen else { return Ok(()) };
        let one = Found { confirmed: one.confirmed || keep.contains(&address), ..*one };
        if !self.find(one) {
            scan.unkept = scan.unkept.saturating_add(1);
        }
        let kept = self.payments.iter().find(|kept| (kept.epoch, kept.payment) == (one.epoch, one.payment));
        scan.found.push((address, kept.copied().unwrap_or(one)));
        Ok(())
    }
}

/// The epochs that are asked for so that every proven announcement is among what comes.
fn spanned(proven: &[Proven], epochs: &RangeInclusive<u32>) -> (u32, u32) {
    let of = || proven.iter().map(|one| one.announced.epoch);
    let first = of().min().map_or(*epochs.start(), |first| first.min(*epochs.start()));
    let last = of().max().map_or(*epochs.end(), |last| last.max(*epochs.end()));
    (first, last)
}

/// What is proven must be shown, and as it is.
fn held(announced: &[Found], proven: &[Proven]) -> Result<(), AddressesError> {
    for Proven { leaf_index, announced: one } in proven {
        let leaf_index = *leaf_index;
        match announced.iter().find(|shown| shown.leaf_index == leaf_index) {
            None => return Err(AddressesError::Withheld { leaf_index }),
            Some(shown) if (shown.epoch, shown.payment) != (one.epoch, one.payment) => {
                return Err(AddressesError::Announcement { leaf_index });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn read(one: &AnnouncedPayment) -> Result<Found, AddressesError> {
    let leaf_index = one.leaf_index;
    let payment = one.payment[..].try_into();
    let payment = payment.map_err(|_length| AddressesError::Announcement { leaf_index })?;
    Ok(Found { epoch: one.epoch, payment, leaf_index, spent: false, confirmed: false })
}

fn encoded(payment: &Payment) -> Result<[u8; PAYMENT_BYTES], AddressesError> {
    let bytes = payment.encode()?;
    let malformed = |_length| AddressesError::Substituted { what: "a payment of another length" };
    bytes.try_into().map_err(malformed)
}
