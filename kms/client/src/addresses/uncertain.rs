//! Uses that were begun here and of which no receipt came: what validators prove of them, whatever the service says.
//!
//! The ledger keeps every used address for good. So a proof of its state says that the address was used, and where, or that it was not
//! up to a height, and nobody has to be believed.

use keyward_ledger_core::entry::{Custody, Entry, UseAddress};
use keyward_ledger_core::state::addresses::{read_leaf, used_address_key};

use super::Address;
use super::book::{AddressSource, Book, Spent};
use super::entry::leaf_of;
use super::error::AddressesError;
use super::root::OwnRoot;
use crate::client::Client;

/// A use of which this side does not know what became. Prints redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct UncertainUse {
    /// The address.
    pub address: Address,
    /// Where it comes from.
    pub source: AddressSource,
    /// The epoch of its use.
    pub epoch: u32,
    /// The height up to which its intent can be recorded; nothing of one that only the service has told of.
    pub not_after: Option<u64>,
}

impl UncertainUse {
    /// The state key that validators are asked for.
    pub fn state_key(&self) -> Vec<u8> {
        let [_, x @ ..] = self.address;
        used_address_key(&x)
    }
}

/// What the ledger proves of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseStanding {
    /// It was used.
    Used {
        /// Where the record stands.
        leaf_index: u64,
        /// The height of the proof.
        height: u64,
    },
    /// It was not.
    Unused {
        /// Up to this height.
        height: u64,
        /// Whether its intent cannot be recorded any more, so that this stays so.
        lapsed: bool,
    },
}

impl Client {
    /// The uses of which nobody has given a receipt, by epoch.
    pub async fn uncertain_uses(&self, root: &OwnRoot<'_>) -> Result<Vec<UncertainUse>, AddressesError> {
        self.chosen_addresses().await?.need(Custody::Own)?;
        root.read()?.uncertain_uses()
    }

    /// What a state receipt of [`UncertainUse::state_key`], from whichever validator, proves of a use.
    pub fn use_standing(
        &self,
        uncertain: &UncertainUse,
        receipt: &[u8],
    ) -> Result<UseStanding, AddressesError> {
        const WHAT: &str = "whether the address was used";
        let proven = self.address_trust()?.recent(&uncertain.state_key(), receipt);
        let proven = proven.map_err(|source| AddressesError::Proof { what: WHAT, source })?;
        let height = proven.height;
        Ok(match proven.value {
            Some(value) => UseStanding::Used { leaf_index: read_leaf(&value)?, height },
            None => {
                let lapsed = uncertain.not_after.is_some_and(|not_after| height >= not_after);
                UseStanding::Unused { height, lapsed }
            }
        })
    }

    /// Takes the receipt of a use's record from whoever has it, as the service's answer would have been taken: its signature can be
    /// had from then on, and the epoch's end is held against it. Gives the address.
    pub fn settle_use(&self, root: &OwnRoot<'_>, receipt: &[u8]) -> Result<Address, AddressesError> {
        let is_one = |entry: &Entry| matches!(entry, Entry::UseAddress(_));
        let verdict = self.recorded_address(receipt, "the intent", is_one)?;
        match verdict.entry {
            Some(Entry::UseAddress(used)) => {
                let is_ours = root.update(|book| book.settle((used.epoch, &used), receipt))?;
                if is_ours { Ok(used.public_key) } else { Err(AddressesError::NotOurs) }
            }
            _ => Err(AddressesError::Substituted { what: "the receipt of another entry" }),
        }
    }
}

impl Book {
    /// Keeps place and receipt of an intent's record, whose receipt was verified before; says whether the intent is one of those that
    /// were begun here.
    pub(super) fn settle(
        &mut self,
        (epoch, used): (u32, &UseAddress),
        receipt: &[u8],
    ) -> Result<bool, AddressesError> {
        let (leaf, body) = (leaf_of(receipt)?, used.body());
        let is_it = |spent: &Spent| match &spent.begun {
            Some(begun) => Ok(begun.body == body),
            None => Ok(spent.leaf.is_none() && self.address(&spent.source)? == used.public_key),
        };
        let known = self.epochs.get(&epoch).map_or(&[][..], |book| book.spent.as_slice());
        let found: Vec<bool> = known.iter().map(is_it).collect::<Result<_, AddressesError>>()?;
        let place = found.iter().position(|is_it| *is_it);
        let known = self.epochs.get_mut(&epoch).map(|book| &mut book.spent);
        let Some(spent) = known.zip(place).and_then(|(known, place)| known.get_mut(place)) else {
            return Ok(false);
        };
        spent.leaf = Some(leaf);
        if let Some(begun) = &mut spent.begun {
            begun.receipt = receipt.to_vec();
        }
        Ok(true)
    }

    fn uncertain_uses(&self) -> Result<Vec<UncertainUse>, AddressesError> {
        let spent =
            self.epochs.iter().flat_map(|(epoch, book)| book.spent.iter().map(|spent| (*epoch, spent)));
        let uncertain = spent.filter(|(_, spent)| spent.leaf.is_none());
        uncertain.map(|(epoch, spent)| self.uncertain_use(epoch, spent)).collect()
    }

    fn uncertain_use(&self, epoch: u32, spent: &Spent) -> Result<UncertainUse, AddressesError> {
        let (address, not_after) = match &spent.begun {
            Some(begun) => {
                let used = UseAddress::from_body(&begun.body, begun.proof)?;
                (used.public_key, Some(used.not_after))
            }
            None => (self.address(&spent.source)?, None),
        };
        Ok(UncertainUse { address, source: spent.source, epoch, not_after })
    }
}
