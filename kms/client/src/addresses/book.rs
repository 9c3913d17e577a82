//! What a person's side keeps of its own addresses: what they grow from, which were given out and used, and what was paid to them.
//!
//! No index is given out twice, and an address whose use was begun is used for nothing else: both are written down before anybody
//! else hears of them.

mod bytes;

use std::collections::BTreeMap;
use std::fmt;

use keyward_crypto::unlinkable::PuncturedViewing;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::log::Frontier;
use keyward_ledger_core::unlinkable::PAYMENT_BYTES;

use super::Address;
use super::error::AddressesError;

/// Payments that are kept: half of what a file holds.
const PAYMENTS_MAX: usize = 8_192;

/// Where an address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressSource {
    /// The address at an index of its epoch. It is used in that epoch or never.
    Index {
        /// The epoch.
        epoch: u32,
        /// Its index.
        index: u32,
    },
    /// Paid to by somebody.
    Payment {
        /// The epoch of the meta-address that was paid to.
        epoch: u32,
        /// What the payer announced.
        payment: [u8; PAYMENT_BYTES],
    },
}

impl AddressSource {
    /// The epoch whose keys it has.
    pub const fn epoch(&self) -> u32 {
        match self {
            Self::Index { epoch, .. } | Self::Payment { epoch, .. } => *epoch,
        }
    }
}

/// A use that was begun: what an answer that never came is asked for again with. Prints redacted, as what holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Begun {
    /// All of the intent up to its proof.
    pub body: Vec<u8>,
    /// What opens its commitment.
    pub opening: Hash,
    /// The address's own signature of the intent.
    pub proof: [u8; 64],
    /// The receipt of the intent's record, once it was verified here; empty before.
    pub receipt: Vec<u8>,
}

/// An address that was used, or whose use was begun, in an epoch.
#[derive(Clone, PartialEq, Eq)]
pub struct Spent {
    /// Which one.
    pub source: AddressSource,
    /// Place and leaf hash of the intent's record, once the ledger has it.
    pub leaf: Option<(u64, Hash)>,
    /// As long as nobody has its signature.
    pub begun: Option<Begun>,
}

/// What was done in one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochBook {
    /// The index of the next address.
    pub next: u32,
    /// Intents of this epoch, in the order in which they were begun; none any more once its end was verified.
    pub spent: Vec<Spent>,
    /// Where its end stands on the ledger, once that was verified.
    pub closed: Option<u64>,
}

/// A payment to this account, as whoever announced it says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The epoch of the meta-address.
    pub epoch: u32,
    /// What the payer announced.
    pub payment: [u8; PAYMENT_BYTES],
    /// Where that stands on the ledger.
    pub leaf_index: u64,
    /// Whether its address was used, or its use was begun.
    pub spent: bool,
    /// Whether it is known to be one: by a payer's receipt, or by the word of the person.
    pub confirmed: bool,
}

/// All of it.
pub struct Book {
    /// What the addresses grow from, as far as it was not dealt to keepers.
    pub viewing: PuncturedViewing,
    pub(super) epochs: BTreeMap<u32, EpochBook>,
    pub(super) payments: Vec<Found>,
}

impl Book {
    /// Of a root of which nothing was used.
    pub const fn new(viewing: PuncturedViewing) -> Self {
        Self { viewing, epochs: BTreeMap::new(), payments: Vec::new() }
    }

    /// What was done, by epoch.
    pub const fn epochs(&self) -> &BTreeMap<u32, EpochBook> {
        &self.epochs
    }

    /// What was found, in the order in which it was.
    pub fn payments(&self) -> &[Found] {
        &self.payments
    }

    /// Epochs up to one with intents, whose end this side has not seen.
    pub fn unclosed_through(&self, epoch: u32) -> Vec<u32> {
        let open = |(_, book): &(&u32, &EpochBook)| book.closed.is_none() && !book.spent.is_empty();
        self.epochs.range(..=epoch).filter(open).map(|(epoch, _)| *epoch).collect()
    }

    /// How many payments that are known to be some were found in epochs up to one and not used. Their keys go with the epoch's
    /// viewing leaf.
    pub fn unspent_through(&self, epoch: u32) -> usize {
        self.payments.iter().filter(|found| found.epoch <= epoch && !found.spent && found.confirmed).count()
    }

    /// How many there are that may be some, or somebody else's.
    pub fn unconfirmed_through(&self, epoch: u32) -> usize {
        self.payments.iter().filter(|found| found.epoch <= epoch && !found.spent && !found.confirmed).count()
    }

    /// Without what opens epochs up to this one, and what was done in them.
    pub(super) fn without_through(self, last: u32) -> Result<Self, AddressesError> {
        let Self { viewing, mut epochs, mut payments } = self;
        epochs.retain(|epoch, _| *epoch > last);
        payments.retain(|found| found.epoch > last);
        Ok(Self { viewing: viewing.after(last)?, epochs, payments })
    }

    /// The next index of an epoch; it is given out from now on.
    pub(super) fn give_out(&mut self, epoch: u32) -> Result<u32, AddressesError> {
        let book = self.epochs.entry(epoch).or_default();
        let index = book.next;
        book.next = index.checked_add(1).ok_or(AddressesError::Exhausted { epoch })?;
        Ok(index)
    }

    /// The use of an address, wherever it was begun.
    pub(super) fn spent(&self, source: &AddressSource) -> Option<(u32, &Spent)> {
        let find = |(epoch, book): (&u32, &'_ EpochBook)| {
            book.spent.iter().position(|spent| spent.source == *source).map(|at| (*epoch, at))
        };
        let (epoch, at) = self.epochs.iter().find_map(find)?;
        Some((epoch, self.epochs.get(&epoch)?.spent.get(at)?))
    }

    /// Whether the source is a payment that was used, in an epoch that may be closed by now.
    pub(super) fn is_paid_out(&self, source: &AddressSource) -> bool {
        self.payments.iter().any(|found| {
            found.spent && *source == AddressSource::Payment { epoch: found.epoch, payment: found.payment }
        })
    }

    /// Notes that the use of an address begins in an epoch, in place of one that the ledger has not recorded.
    pub(super) fn begin(
        &mut self,
        epoch: u32,
        source: AddressSource,
        begun: Begun,
    ) -> Result<(), AddressesError> {
        if self.spent(&source).is_some_and(|(_, spent)| spent.leaf.is_some()) {
            return Err(AddressesError::Spent);
        }
        for book in self.epochs.values_mut() {
            book.spent.retain(|spent| spent.source != source);
        }
        let spent = Spent { source, leaf: None, begun: Some(begun) };
        self.epochs.entry(epoch).or_default().spent.push(spent);
        for found in &mut self.payments {
            found.spent |= source == AddressSource::Payment { epoch: found.epoch, payment: found.payment };
        }
        Ok(())
    }

    /// The use that was begun with an intent.
    pub(super) fn of_intent(&mut self, epoch: u32, body: &[u8]) -> Option<&mut Spent> {
        let is_it = |spent: &&mut Spent| spent.begun.as_ref().is_some_and(|begun| begun.body == body);
        self.epochs.get_mut(&epoch)?.spent.iter_mut().find(is_it)
    }

    /// Keeps what was found, once, and says whether it is kept. There is a bound, or whoever announces much would leave no room for
    /// what is done; what is known to be a payment takes the place of what may be none.
    pub(super) fn find(&mut self, found: Found) -> bool {
        let is_it = |known: &&mut Found| (known.epoch, known.payment) == (found.epoch, found.payment);
        if let Some(known) = self.payments.iter_mut().find(is_it) {
            known.confirmed |= found.confirmed;
            return true;
        }
        if self.payments.len() >= PAYMENTS_MAX {
            let doubtful = self.payments.iter().position(|known| !known.confirmed && !known.spent);
            let Some(place) = doubtful.filter(|_| found.confirmed) else { return false };
            self.payments.remove(place);
        }
        self.payments.push(found);
        true
    }

    /// Takes back that a payment is known to be one.
    pub(super) fn doubt(&mut self, address: &Address) -> Result<(), AddressesError> {
        let AddressSource::Payment { epoch, payment } = self.source(address)? else {
            return Err(AddressesError::NotOurs);
        };
        for found in &mut self.payments {
            found.confirmed &= (found.epoch, found.payment) != (epoch, payment);
        }
        Ok(())
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Book({} epochs, redacted)", self.epochs.len())
    }
}

impl EpochBook {
    /// Intents that the ledger is known to have.
    pub fn recorded(&self) -> usize {
        self.spent.iter().filter(|spent| spent.leaf.is_some()).count()
    }

    /// Those of which nobody has said what became of them.
    pub fn uncertain(&self) -> usize {
        self.spent.len().saturating_sub(self.recorded())
    }

    /// The root over the known records, in the log's order.
    pub(super) fn root(&self) -> Hash {
        let mut leaves: Vec<_> = self.spent.iter().filter_map(|spent| spent.leaf).collect();
        leaves.sort_unstable();
        let mut frontier = Frontier::default();
        leaves.into_iter().for_each(|(_, hash)| frontier.append(hash));
        frontier.root()
    }
}

#[cfg(test)]
mod tests;
