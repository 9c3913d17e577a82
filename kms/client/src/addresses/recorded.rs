//! Uses of own addresses, found in the ledger's records: what a service does not list, and an older copy of the root does not know.
//!
//! Everybody's records are looked through here, so nobody learns which are this account's: asked about them one by one, a validator
//! would. Whose a record is, its detail says, which the epoch's leaf alone opens. So no index is guessed, and however many lie unused
//! between two, both are found.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::ops::RangeInclusive;

use keyward_crypto::unlinkable::{ViewingLeaf, detail_is_for, open_detail};
use keyward_domain::detail::{Detail, Source};
use keyward_ledger_core::entry::{Custody, Entry, UseAddress, kind, kind_of};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::record::Record;
use keyward_ledger_core::scheme;
use keyward_ledger_core::unlinkable::use_address_message;

use super::Address;
use super::book::{AddressSource, Book, Spent};
use super::chosen::Chosen;
use super::error::AddressesError;
use super::give::{AddressState, KnownAddress};
use super::root::OwnRoot;
use crate::client::Client;

/// Own uses in records that are looked through. Prints redacted.
pub struct RecordedUses {
    chosen: Chosen,
    chain_id: Hash,
    epochs: RangeInclusive<u32>,
    book: Book,
    views: BTreeMap<u32, ViewingLeaf>,
    found: BTreeMap<AddressSource, RecordedUse>,
}

/// What the ledger has of an address.
struct RecordedUse {
    address: Address,
    /// The epoch of its use.
    epoch: u32,
    leaf: (u64, Hash),
    /// Else its intent was refused, and stands in the log with it.
    accepted: bool,
}

impl Client {
    /// Begins to look for uses of an own root's addresses in these epochs, as far as they were not dealt.
    pub async fn recorded_uses(
        &self,
        root: &OwnRoot<'_>,
        epochs: RangeInclusive<u32>,
    ) -> Result<RecordedUses, AddressesError> {
        let chosen = self.chosen_addresses().await?;
        chosen.need(Custody::Own)?;
        let (chain_id, book) = (self.address_trust()?.chain_id, root.read()?);
        let epochs = book.viewing.first().max(*epochs.start())..=*epochs.end();
        Ok(RecordedUses { chosen, chain_id, epochs, book, views: BTreeMap::new(), found: BTreeMap::new() })
    }
}

impl RecordedUses {
    /// Takes a record of the log, which the caller has verified, in any order.
    pub fn feed(&mut self, leaf_index: u64, record: &Record) -> Result<(), AddressesError> {
        if kind_of(&record.entry) != Some(kind::USE_ADDRESS) {
            return Ok(());
        }
        let Ok(Entry::UseAddress(used)) = Entry::decode(&record.entry) else { return Ok(()) };
        if used.epoch_ms != self.chosen.state.epoch_ms || !self.epochs.contains(&used.epoch) {
            return Ok(());
        }
        let Some(source) = self.own(&used)? else { return Ok(()) };
        let accepted = record.outcome.is_accepted();
        if !accepted && !self.vouched(&used) {
            return Ok(());
        }
        let (address, epoch, leaf) = (used.public_key, used.epoch, (leaf_index, record.id()));
        let found = RecordedUse { address, epoch, leaf, accepted };
        if accepted || !self.found.contains_key(&source) {
            self.found.insert(source, found);
        }
        Ok(())
    }

    /// Keeps what was found: none of its indices is given out again. Gives every address of the epochs that the records or this device
    /// know of, oldest first; the service is asked nothing.
    pub fn keep(self, root: &OwnRoot<'_>) -> Result<Vec<KnownAddress>, AddressesError> {
        let Self { chosen, epochs, found, .. } = self;
        root.update(|book| {
            let mut listed = BTreeMap::new();
            for (source, one) in &found {
                book.recorded(*source, one);
                let leaf_index = one.accepted.then_some(one.leaf.0);
                let state = AddressState::Used;
                let known = KnownAddress {
                    address: one.address,
                    source: *source,
                    state,
                    leaf_index,
                    created_ms: None,
                };
                listed.insert(*source, known);
            }
            book.known(&chosen, &epochs, &listed)
        })
    }

    /// Where the address of a use comes from, if it is this account's.
    fn own(&mut self, used: &UseAddress) -> Result<Option<AddressSource>, AddressesError> {
        let view = match self.views.entry(used.epoch) {
            Place::Occupied(known) => known.into_mut(),
            Place::Vacant(place) => place.insert(self.book.view(used.epoch)?),
        };
        if !detail_is_for(view, &used.id, &used.detail) {
            return Ok(None);
        }
        // A service that was shown the leaf seals with it whatever it likes: what does not read or fit is none of this account's.
        let Ok(opened) = open_detail(view, &used.id, &used.public_fields(), &used.detail) else {
            return Ok(None);
        };
        let Ok(detail) = opened.expose(Detail::decode) else { return Ok(None) };
        let source = match detail.source {
            Source::Index(index) => AddressSource::Index { epoch: used.epoch, index },
            Source::Payment { epoch, payment } => AddressSource::Payment { epoch, payment },
        };
        let is_own = matches!(self.book.address(&source), Ok(own) if own == used.public_key);
        Ok(is_own.then_some(source))
    }

    /// Whether the address itself has signed an intent, as the ledger has seen of those that it accepted.
    fn vouched(&self, used: &UseAddress) -> bool {
        let message = use_address_message(&self.chain_id, &used.body());
        used.key().is_some_and(|key| scheme::verify(&key, &message, &used.proof).is_ok())
    }
}

impl Book {
    /// The ledger has a use of this address.
    fn recorded(&mut self, source: AddressSource, one: &RecordedUse) {
        match source {
            AddressSource::Index { epoch, index } => {
                let book = self.epochs.entry(epoch).or_default();
                book.next = book.next.max(index.saturating_add(1));
            }
            AddressSource::Payment { epoch, payment } => {
                for found in &mut self.payments {
                    found.spent |= one.accepted && (found.epoch, found.payment) == (epoch, payment);
                }
            }
        }
        if !one.accepted {
            return;
        }
        let mut spent = self.epochs.values_mut().flat_map(|book| &mut book.spent);
        match spent.find(|spent| spent.source == source) {
            // Of what was begun here, a receipt says that the record is of the same intent.
            Some(spent) if spent.begun.is_none() => spent.leaf = Some(one.leaf),
            Some(_) => {}
            None => {
                let book = self.epochs.entry(one.epoch).or_default();
                if book.closed.is_none() {
                    book.spent.push(Spent { source, leaf: Some(one.leaf), begun: None });
                }
            }
        }
    }
}
