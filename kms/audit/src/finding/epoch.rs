//! Address epochs of accounts: their records, their closing, and whether they agree.

use std::collections::HashMap;

use keyward_crypto::unlinkable::{
    Address, AddressError, Closing, EpochAddresses, Payment, ViewingLeaf, open_closing,
};
use keyward_ledger_core::entry::CloseEpoch;
use keyward_ledger_core::log::Frontier;
use keyward_ledger_core::scheme::Scheme;
use keyward_ledger_core::unlinkable::{AddressEpoch, EDGE_MS};

use super::{AccountEpoch, AddressCheck, Place};
use crate::relink::{At, Relinker};
use crate::relinked::Looked;

/// How complete what was found of an epoch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// The epoch is closed, over exactly the records that were found.
    Complete,
    /// The epoch is closed over another number of records.
    CountDiffers {
        /// How many the closing counts.
        closed: u32,
    },
    /// As many records, and not the same ones.
    RecordsDiffer,
    /// No closing was found.
    NotClosed,
    /// There is a closing, and it does not open.
    ClosingUnreadable {
        /// Why, in words.
        why: String,
    },
    /// The records that were looked at begin after the epoch did.
    BeganBefore,
}

impl Completeness {
    /// The stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::CountDiffers { .. } => "count-differs",
            Self::RecordsDiffer => "records-differ",
            Self::NotClosed => "not-closed",
            Self::ClosingUnreadable { .. } => "closing-unreadable",
            Self::BeganBefore => "began-before",
        }
    }
}

/// An epoch of an account in which something was found.
#[derive(Clone, Debug)]
pub struct EpochFinding {
    /// Which.
    pub of: AccountEpoch,
    /// Its length in milliseconds, where a record says it.
    pub epoch_ms: u64,
    /// Transactions that were found.
    pub found: u32,
    /// Those of them about which something is not true.
    pub lying: u32,
    /// Addresses that were given out, as the closing says.
    pub addresses: Option<u32>,
    /// The record of the closing: the first under its tag that opens, else the first.
    pub closing: Option<Place>,
    /// Records under its tag that do not open: others can write such.
    pub unreadable: u32,
    /// How complete it is.
    pub completeness: Completeness,
}

impl Relinker {
    /// An account closed an epoch.
    pub(crate) fn closed(&mut self, at: &mut At<'_>, close: &CloseEpoch) {
        let leaves = self.leaves.at(close.epoch);
        let Some(leaf) = leaves.iter().find(|leaf| leaf.tag == Some(close.tag)) else { return };
        let closing = open_closing(&leaf.view, &close.public_fields(), &close.closing);
        let of = AccountEpoch { account: leaf.account, epoch: close.epoch };
        let Some(view) = self.leaves.copy(&of.account, of.epoch) else { return };
        let epoch = self.epochs.entry(of).or_default();
        if !epoch.close(close.epoch_ms, at.place(), closing, view) {
            return;
        }
        self.receive(of, close.epoch_ms);
        for number in self.waiting.remove(&of).unwrap_or_default() {
            self.check_address(number);
        }
    }

    /// Those with something in them, by account and number.
    pub(crate) fn epochs(&self) -> Vec<EpochFinding> {
        let mut lying: HashMap<AccountEpoch, u32> = HashMap::new();
        for one in self.transactions.iter().filter(|one| !one.lies.is_empty()) {
            *lying.entry(one.of).or_default() += 1;
        }
        let finding = |(of, epoch): (&AccountEpoch, &Epoch)| {
            epoch.finding(*of, lying.get(of).copied().unwrap_or_default(), self.looked.as_ref())
        };
        self.epochs.iter().map(finding).collect()
    }
}

/// What records told of an epoch so far.
#[derive(Debug, Default)]
pub(crate) struct Epoch {
    epoch_ms: u64,
    found: u32,
    records: Frontier,
    closing: Option<(Place, Closed)>,
    /// Records under the closing's tag that do not open.
    unreadable: u32,
}

/// A closing.
#[derive(Debug)]
enum Closed {
    /// It opens: what it says, and the addresses that follow from it.
    Open(Closing, Box<EpochAddresses>),
    /// It does not.
    Unreadable(AddressError),
}

impl Epoch {
    /// Takes a record that the epoch's viewing leaf opens.
    pub(crate) fn record(&mut self, epoch_ms: u64, place: &Place) {
        self.epoch_ms = epoch_ms;
        self.found = self.found.saturating_add(1);
        self.records.append(place.leaf_hash);
    }

    /// Takes a record under the closing's tag, and says whether it is the closing: the first that opens. The tag stands in the clear
    /// before it is final, so others may record something under it.
    pub(crate) fn close(
        &mut self,
        epoch_ms: u64,
        place: Place,
        closing: Result<Closing, AddressError>,
        view: ViewingLeaf,
    ) -> bool {
        let is_open = closing.is_ok();
        self.unreadable = self.unreadable.saturating_add(u32::from(!is_open));
        if self.open().is_some() || (self.closing.is_some() && !is_open) {
            return false;
        }
        if is_open || self.found == 0 {
            self.epoch_ms = epoch_ms;
        }
        let closed = match closing {
            Ok(closing) => Closed::Open(closing, Box::new(EpochAddresses::new(view, closing.spending))),
            Err(error) => Closed::Unreadable(error),
        };
        self.closing = Some((place, closed));
        is_open
    }

    fn open(&self) -> Option<(&Closing, &EpochAddresses)> {
        match &self.closing {
            Some((_, Closed::Open(closing, addresses))) => Some((closing, addresses)),
            Some((_, Closed::Unreadable(_))) | None => None,
        }
    }

    /// Whether an address is the one at an index.
    pub(crate) fn check_index(&self, index: u32, address: &Address, scheme: Scheme) -> AddressCheck {
        let Some((_, addresses)) = self.open() else { return AddressCheck::NotClosed };
        judged(addresses.address(index).is_ok_and(|own| same(&own, address, scheme)))
    }

    /// Whether an address is the one that a payment was made to.
    pub(crate) fn check_payment(&self, payment: &[u8], address: &Address, scheme: Scheme) -> AddressCheck {
        if self.open().is_none() {
            return AddressCheck::NotClosed;
        }
        judged(self.paid(payment).is_some_and(|own| same(&own, address, scheme)))
    }

    /// The address that a payment was made to, if it was made to this account in this epoch.
    pub(crate) fn paid(&self, payment: &[u8]) -> Option<Address> {
        let (closing, addresses) = self.open()?;
        let payment = Payment::decode(payment).ok()?;
        payment.seen(addresses.view(), closing.spending).ok().flatten()
    }

    /// What is said of it in the end.
    pub(crate) fn finding(&self, of: AccountEpoch, lying: u32, looked: Option<&Looked>) -> EpochFinding {
        EpochFinding {
            of,
            epoch_ms: self.epoch_ms,
            found: self.found,
            lying,
            addresses: self.open().map(|(closing, _)| closing.addresses),
            closing: self.closing.as_ref().map(|(place, _)| *place),
            unreadable: self.unreadable,
            completeness: self.completeness(of, looked),
        }
    }

    fn completeness(&self, of: AccountEpoch, looked: Option<&Looked>) -> Completeness {
        let closing = match &self.closing {
            Some((_, Closed::Open(closing, _))) => closing,
            Some((_, Closed::Unreadable(error))) => {
                return Completeness::ClosingUnreadable { why: error.to_string() };
            }
            None => return Completeness::NotClosed,
        };
        let begins_ms = AddressEpoch::new(self.epoch_ms, of.epoch).begins_ms();
        if closing.records == self.found && closing.root == self.records.root() {
            Completeness::Complete
        } else if looked
            .is_some_and(|seen| seen.first_leaf > 0 && seen.from_ms > begins_ms.saturating_sub(EDGE_MS))
        {
            Completeness::BeganBefore
        } else if closing.records == self.found {
            Completeness::RecordsDiffer
        } else {
            Completeness::CountDiffers { closed: closing.records }
        }
    }
}

const fn judged(is_own: bool) -> AddressCheck {
    if is_own { AddressCheck::Derived } else { AddressCheck::Foreign }
}

/// BIP340 knows a point by its x alone.
fn same(own: &Address, found: &Address, scheme: Scheme) -> bool {
    match scheme {
        Scheme::Bip340 => own.iter().skip(1).eq(found.iter().skip(1)),
        _ => own == found,
    }
}
