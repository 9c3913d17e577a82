//! Finding what was paid to one's own addresses, some thousand announcements at a time.
//!
//! Which announcements there are, the service says: the ledger proves each of them and counts none, so a list that leaves some out or ends
//! early looks like a shorter one. One that is withheld is found out by whoever has its receipt from the payer.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use keyward_crypto::unlinkable::{AddressError, Payment};
use keyward_ledger_core::entry::{AnnouncePayment, Custody, Entry};
use keyward_proto::custody::{AnnouncedPayment, AnnouncedRequest, ScanPaymentsRequest};

use super::Address;
use super::book::{AddressSource, Book, Found};
use super::error::AddressesError;
use super::give::{KnownAddress, known};
use super::root::OwnRoot;
use crate::client::Client;

/// A look ends with the page with which it has seen so many announcements,
const ANNOUNCED_MAX: usize = 1 << 14;
/// or so many pages.
const PAGES_MAX: u32 = 64;
/// Whoever goes on from look to look ends after so many: a service can invent announcements without end.
pub const LOOKS_MAX: usize = 128;

/// What a look at announcements has shown.
#[derive(Clone)]
pub struct Scan<T> {
    /// Payments to this account, as whoever announced them says.
    pub found: Vec<T>,
    /// How many announcements were looked at.
    pub looked_at: u64,
    /// How many of those that were found have no room on this device: they are found again, or kept by name.
    pub unkept: usize,
    /// Where the next look goes on; none: there are no more, as the service says.
    pub next_leaf_index: Option<u64>,
}

/// Announcements that payers' receipts prove, by their places.
type Proven = BTreeMap<u64, AnnouncePayment>;

/// Announcements as the service shows them, in the ledger's order, and where the next ones begin.
type Shown = (Vec<Found>, Option<u64>);

impl Client {
    /// Has the service look for payments to a hosted root in these epochs, from a place in the log on (0: the beginning). What payers'
    /// receipts prove to have been announced to anybody must be among what the service shows.
    pub async fn scan_payments(
        &self,
        epochs: RangeInclusive<u32>,
        from_leaf_index: u64,
        receipts: &[Vec<u8>],
    ) -> Result<Scan<KnownAddress>, AddressesError> {
        for (leaf_index, announced) in self.proven_announcements(receipts)? {
            let epoch = announced.epoch..=announced.epoch;
            let (shown, _) = self.page_of_announced(&epoch, leaf_index).await?;
            held(&shown, &[(leaf_index, announced)].into(), leaf_index..=leaf_index)?;
        }
        let (first_epoch, last_epoch) = epochs.clone().into_inner();
        let request = ScanPaymentsRequest { first_epoch, last_epoch, from_leaf_index };
        let answer = self.answer(self.addresses().scan(self.request(request)).await)?;
        let found: Vec<_> = answer.found.iter().map(known).collect::<Result<_, _>>()?;
        let is_one = |one: &KnownAddress| matches!(one.source, AddressSource::Payment { epoch, .. } if epochs.contains(&epoch));
        if !found.iter().all(is_one) {
            return Err(AddressesError::Substituted { what: "payments that were not looked for" });
        }
        let next_leaf_index = next(from_leaf_index, answer.next_leaf_index)?;
        Ok(Scan { found, looked_at: answer.looked_at, unkept: 0, next_leaf_index })
    }

    /// Looks for payments to an own root among everybody's announcements of these epochs, from a place in the log on (0: the beginning),
    /// here, so that nobody learns which are its own; and keeps what is found. What payers' receipts prove must be among what the service
    /// shows of the places that it looks at. That is known to be paid from then on, and so is what was paid to the addresses in `keep`,
    /// whose holder has seen that something lies there. Of what lies before the first place nothing is held against anything
    /// ([`Self::announced_at`] says where receipts lie).
    pub async fn scan_own_payments(
        &self,
        root: &OwnRoot<'_>,
        epochs: RangeInclusive<u32>,
        from_leaf_index: u64,
        receipts: &[Vec<u8>],
        keep: &[Address],
    ) -> Result<Scan<(Address, Found)>, AddressesError> {
        self.chosen_addresses().await?.need(Custody::Own)?;
        let proven = self.proven_announcements(receipts)?;
        let open_from = root.read()?.viewing.first();
        if let Some(gone) = proven.values().find(|announced| announced.epoch < open_from) {
            return Err(AddressesError::Erased { epoch: gone.epoch });
        }
        let (first, last) = spanned(&proven, &epochs);
        if last < open_from {
            return Ok(Scan { found: Vec::new(), looked_at: 0, unkept: 0, next_leaf_index: None });
        }
        let (shown, next_leaf_index) =
            self.announced(&(first.max(open_from)..=last), from_leaf_index).await?;
        let last_place = next_leaf_index.map_or(u64::MAX, |next| next.saturating_sub(1));
        held(&shown, &proven, from_leaf_index..=last_place)?;
        root.update(|book| {
            let looked_at = u64::try_from(shown.len()).unwrap_or(u64::MAX);
            let mut scan = Scan { found: Vec::new(), looked_at, unkept: 0, next_leaf_index };
            for one in &shown {
                let is_proven = proven.contains_key(&one.leaf_index);
                if is_proven || epochs.contains(&one.epoch) {
                    book.look_at(&Found { confirmed: is_proven, ..*one }, keep, &mut scan)?;
                }
            }
            Ok(scan)
        })
    }

    /// Where the announcements stand in the log that payers' receipts prove.
    pub fn announced_at(&self, receipts: &[Vec<u8>]) -> Result<Vec<u64>, AddressesError> {
        Ok(self.proven_announcements(receipts)?.into_keys().collect())
    }

    /// Everybody's announcements of some epochs from a place in the log on: as many pages as one look takes.
    async fn announced(
        &self,
        epochs: &RangeInclusive<u32>,
        from_leaf_index: u64,
    ) -> Result<Shown, AddressesError> {
        let (mut all, mut from) = (Vec::new(), from_leaf_index);
        for _ in 0..PAGES_MAX {
            let (page, next) = self.page_of_announced(epochs, from).await?;
            all.extend(page);
            match next {
                None => return Ok((all, None)),
                Some(next) => from = next,
            }
            if all.len() >= ANNOUNCED_MAX {
                break;
            }
        }
        Ok((all, Some(from)))
    }

    async fn page_of_announced(
        &self,
        epochs: &RangeInclusive<u32>,
        from_leaf_index: u64,
    ) -> Result<Shown, AddressesError> {
        let (first_epoch, last_epoch) = epochs.clone().into_inner();
        let request = AnnouncedRequest { first_epoch, last_epoch, from_leaf_index };
        let page = self.answer(self.addresses().announced(self.request(request)).await)?;
        let next = next(from_leaf_index, page.next_leaf_index)?;
        let mut places = from_leaf_index..next.unwrap_or(u64::MAX);
        let mut shown = Vec::with_capacity(page.payments.len());
        for one in &page.payments {
            let found = read(one)?;
            if !places.contains(&found.leaf_index) || !epochs.contains(&found.epoch) {
                return Err(AddressesError::Announcement { leaf_index: found.leaf_index });
            }
            places.start = found.leaf_index.saturating_add(1);
            shown.push(found);
        }
        Ok((shown, next))
    }

    fn proven_announcements(&self, receipts: &[Vec<u8>]) -> Result<Proven, AddressesError> {
        let prove = |receipt: &Vec<u8>| {
            let is_one = |entry: &Entry| matches!(entry, Entry::AnnouncePayment(_));
            let verdict = self.recorded_address(receipt, "the announcement", is_one)?;
            match verdict.entry {
                Some(Entry::AnnouncePayment(announced)) => Ok((verdict.leaf_index, announced)),
                _ => Err(AddressesError::Substituted { what: "the receipt of another entry" }),
            }
        };
        receipts.iter().map(prove).collect()
    }
}

impl<T> fmt::Debug for Scan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scan(redacted)")
    }
}

impl Book {
    /// Keeps an announcement if it is one of a payment to this account.
    fn look_at(
        &mut self,
        one: &Found,
        keep: &[Address],
        scan: &mut Scan<(Address, Found)>,
    ) -> Result<(), AddressesError> {
        // Any service may have announced what is no point: it is nobody's, and hides nothing that comes after it.
        let Ok(payment) = Payment::decode(&one.payment) else { return Ok(()) };
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

/// Where the next page begins: behind this one.
fn next(from: u64, said: u64) -> Result<Option<u64>, AddressesError> {
    match said {
        0 => Ok(None),
        next if next > from => Ok(Some(next)),
        _ => Err(AddressesError::Substituted { what: "the same page of announcements again" }),
    }
}

/// The epochs that are asked for so that every proven announcement is among what comes.
fn spanned(proven: &Proven, epochs: &RangeInclusive<u32>) -> (u32, u32) {
    let of = || proven.values().map(|announced| announced.epoch);
    let first = of().min().map_or(*epochs.start(), |first| first.min(*epochs.start()));
    let last = of().max().map_or(*epochs.end(), |last| last.max(*epochs.end()));
    (first, last)
}

/// What is proven to stand at these places must be shown, and as it is.
fn held(shown: &[Found], proven: &Proven, places: RangeInclusive<u64>) -> Result<(), AddressesError> {
    if places.is_empty() {
        return Ok(());
    }
    for (&leaf_index, one) in proven.range(places) {
        let place = shown.binary_search_by_key(&leaf_index, |shown| shown.leaf_index);
        match place.ok().and_then(|place| shown.get(place)) {
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
    let payment = one.payment[..].try_into().map_err(|_length| {
        let source = AddressError::Malformed { what: "payment", len: one.payment.len() };
        AddressesError::AnnouncementMalformed { leaf_index, source }
    })?;
    Ok(Found { epoch: one.epoch, payment, leaf_index, spent: false, confirmed: false })
}
