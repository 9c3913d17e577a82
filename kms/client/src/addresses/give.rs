//! Giving out addresses, and which there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use keyward_ledger_core::entry::Custody;
use keyward_proto::custody::{ListAddressesRequest, ListedAddress, NextAddressesRequest};

use super::Address;
use super::book::{AddressSource, Book, Found, Spent};
use super::chosen::Chosen;
use super::entry::{address_of, source_of};
use super::error::AddressesError;
use super::root::OwnRoot;
use crate::client::{Client, idempotency_key};

/// The most of one page, and of one call for fresh ones.
const PAGE_LEN_MAX: u32 = 256;
/// Indices that were given out and not used may lie so far apart.
const SKIPPED_MAX: u32 = 65_536;
/// Pages that are asked for before a list is taken for one without an end.
const PAGES_MAX: u32 = 8_192;

/// What has become of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressState {
    /// Given out, or paid to, and not used.
    Fresh,
    /// It has signed, or its use was begun.
    Used,
    /// Its epoch is over, and it was not used.
    Expired,
}

impl AddressState {
    /// `fresh`, `used` or `expired`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Used => "used",
            Self::Expired => "expired",
        }
    }
}

/// An address of the account. Prints redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct KnownAddress {
    /// The address.
    pub address: Address,
    /// Where it comes from.
    pub source: AddressSource,
    /// What has become of it.
    pub state: AddressState,
    /// Where the intent of its use stands on the ledger, as far as that is known.
    pub leaf_index: Option<u64>,
    /// When it was given out or found, as the service says; nothing where this side alone knows.
    pub created_ms: Option<u64>,
}

impl Client {
    /// Fresh addresses of a hosted root, 1 to 256.
    pub async fn next_addresses(&self, count: u32) -> Result<Vec<KnownAddress>, AddressesError> {
        let chosen = self.chosen_addresses().await?;
        chosen.need(Custody::Hosted)?;
        let request = NextAddressesRequest { count, idempotency_key: idempotency_key()? };
        let answer = self.answer(self.addresses().next(self.request(request)).await)?;
        let given: Vec<_> = answer.addresses.iter().map(known).collect::<Result<_, _>>()?;
        let is_next = |one: &KnownAddress| {
            matches!(one.source, AddressSource::Index { epoch, .. } if chosen.is_under_way(epoch))
                && one.state == AddressState::Fresh
        };
        let distinct: BTreeSet<_> = given.iter().map(|one| one.address).collect();
        let wanted = usize::try_from(count.max(1)).unwrap_or(usize::MAX);
        if given.len() != wanted || distinct.len() != given.len() || !given.iter().all(is_next) {
            return Err(AddressesError::Substituted { what: "other addresses than so many fresh ones" });
        }
        Ok(given)
    }

    /// A page of addresses that were given out or found at the service, newest first, with those of before a time alone (0: all).
    pub async fn list_addresses(
        &self,
        limit: u32,
        before_unix_ms: u64,
    ) -> Result<Vec<KnownAddress>, AddressesError> {
        let request = ListAddressesRequest { limit, before_unix_ms };
        let answer = self.answer(self.addresses().list(self.request(request)).await)?;
        let listed: Vec<_> = answer.addresses.iter().map(known).collect::<Result<_, _>>()?;
        let descends = listed.is_sorted_by(|one, other| one.created_ms > other.created_ms);
        let before = |one: &KnownAddress| before_unix_ms == 0 || one.created_ms < Some(before_unix_ms);
        if !descends || !listed.iter().all(before) {
            return Err(AddressesError::Substituted { what: "addresses that are not in their order" });
        }
        Ok(listed)
    }

    /// Every address of these epochs that the service knows of, oldest first.
    pub async fn recover_addresses(
        &self,
        epochs: RangeInclusive<u32>,
    ) -> Result<Vec<KnownAddress>, AddressesError> {
        let (mut found, mut before) = (Vec::new(), 0);
        for _ in 0..PAGES_MAX {
            let page = self.list_addresses(PAGE_LEN_MAX, before).await?;
            before = page.last().and_then(|last| last.created_ms).unwrap_or_default();
            found.extend(page.into_iter().filter(|one| epochs.contains(&one.source.epoch())));
            if before == 0 {
                found.reverse();
                return Ok(found);
            }
        }
        Err(AddressesError::Substituted { what: "addresses without an end" })
    }

    /// Fresh addresses of an own root: derived here, and asked of nobody.
    pub async fn next_own_addresses(
        &self,
        root: &OwnRoot<'_>,
        count: u32,
    ) -> Result<Vec<KnownAddress>, AddressesError> {
        let chosen = self.chosen_addresses().await?;
        chosen.need(Custody::Own)?;
        let epoch = chosen.epoch()?.number;
        root.update(|book| {
            let given = (0..count.max(1)).map(|_| {
                let source = AddressSource::Index { epoch, index: book.give_out(epoch)? };
                let address = book.address(&source)?;
                let state = AddressState::Fresh;
                Ok(KnownAddress { address, source, state, leaf_index: None, created_ms: None })
            });
            given.collect()
        })
    }

    /// Every address of an own root in these epochs that this side or the service knows of: derived from the root, oldest first, with
    /// their records. From now on no index is given out that either has seen, even where the file was put back from an older copy. What
    /// the service leaves out only the ledger's records tell ([`Self::recorded_uses`]).
    pub async fn recover_own_addresses(
        &self,
        root: &OwnRoot<'_>,
        epochs: RangeInclusive<u32>,
    ) -> Result<Vec<KnownAddress>, AddressesError> {
        let chosen = self.chosen_addresses().await?;
        chosen.need(Custody::Own)?;
        // What was dealt nobody derives here.
        let epochs = root.read()?.viewing.first().max(*epochs.start())..=*epochs.end();
        let listed = self.recover_addresses(epochs.clone()).await?;
        let listed: BTreeMap<_, _> = listed.into_iter().map(|one| (one.source, one)).collect();
        root.update(|book| {
            for one in listed.values() {
                if book.address(&one.source)? != one.address {
                    return Err(AddressesError::Underived);
                }
                book.seen(one)?;
            }
            book.known(&chosen, &epochs, &listed)
        })
    }
}

impl Book {
    /// Somebody has seen this one: it is never given out again, nor used if the ledger has it.
    fn seen(&mut self, one: &KnownAddress) -> Result<(), AddressesError> {
        match one.source {
            AddressSource::Index { epoch, index } => {
                let is_known = self.spent(&one.source).is_some();
                let book = self.epochs.entry(epoch).or_default();
                // The service may have been shown the leaf: what it names is derived by it as well, and so far apart nobody gives out.
                if index > book.next.saturating_add(SKIPPED_MAX) {
                    return Err(AddressesError::Substituted {
                        what: "an address of an index that was never given out",
                    });
                }
                book.next = book.next.max(index.saturating_add(1));
                if one.leaf_index.is_some() && !is_known && book.closed.is_none() {
                    // Its record is one of the epoch's, and this side has no receipt of it.
                    book.spent.push(Spent { source: one.source, leaf: None, begun: None });
                }
            }
            AddressSource::Payment { epoch, payment } => {
                let is_it = |found: &&mut Found| (found.epoch, found.payment) == (epoch, payment);
                if let Some(found) = self.payments.iter_mut().find(is_it) {
                    found.spent |= one.leaf_index.is_some();
                }
            }
        }
        Ok(())
    }

    /// What is known of the addresses of some epochs, by epoch and place; those that are listed were derived before.
    pub(super) fn known(
        &self,
        chosen: &Chosen,
        epochs: &RangeInclusive<u32>,
        listed: &BTreeMap<AddressSource, KnownAddress>,
    ) -> Result<Vec<KnownAddress>, AddressesError> {
        let indices = self.epochs.range(epochs.clone()).flat_map(|(&epoch, book)| {
            (0..book.next).map(move |index| AddressSource::Index { epoch, index })
        });
        let payments = self.payments.iter().filter(|found| epochs.contains(&found.epoch));
        let payments =
            payments.map(|found| AddressSource::Payment { epoch: found.epoch, payment: found.payment });
        // What was paid and used may be known by its record alone.
        let used = listed.values().filter(|one| one.state == AddressState::Used).map(|one| one.source);
        let used = used.filter(|source| epochs.contains(&source.epoch()));
        let sources: BTreeSet<_> = indices.chain(payments).chain(used).collect();
        let mut known: Vec<_> = sources
            .into_iter()
            .map(|source| self.known_one(chosen, source, listed.get(&source)))
            .collect::<Result<_, _>>()?;
        known.sort_by_key(|one| one.source.epoch());
        Ok(known)
    }

    fn known_one(
        &self,
        chosen: &Chosen,
        source: AddressSource,
        listed: Option<&KnownAddress>,
    ) -> Result<KnownAddress, AddressesError> {
        let spent = self.spent(&source).map(|(_, spent)| spent);
        let own_leaf = spent.and_then(|spent| spent.leaf).map(|(leaf, _)| leaf);
        let listed_leaf = listed.and_then(|one| one.leaf_index);
        if own_leaf.is_some() && listed_leaf.is_some() && own_leaf != listed_leaf {
            return Err(AddressesError::Substituted {
                what: "another record of an address than its receipt proves",
            });
        }
        let is_used = spent.is_some()
            || self.is_paid_out(&source)
            || listed.is_some_and(|one| one.state == AddressState::Used);
        let is_over = matches!(source, AddressSource::Index { epoch, .. } if !chosen.is_under_way(epoch));
        let state = match (is_used, is_over) {
            (true, _) => AddressState::Used,
            (false, true) => AddressState::Expired,
            (false, false) => AddressState::Fresh,
        };
        Ok(KnownAddress {
            address: self.address(&source)?,
            source,
            state,
            leaf_index: own_leaf.or(listed_leaf),
            created_ms: listed.and_then(|one| one.created_ms),
        })
    }
}

pub(super) fn known(listed: &ListedAddress) -> Result<KnownAddress, AddressesError> {
    let state = match listed.state.as_str() {
        "fresh" => AddressState::Fresh,
        "used" => AddressState::Used,
        "expired" => AddressState::Expired,
        _ => return Err(AddressesError::Substituted { what: "an address in no state that there is" }),
    };
    Ok(KnownAddress {
        address: address_of(&listed.public_key)?,
        source: source_of(listed.source.as_ref())?,
        state,
        // 0: its use was begun, and the service does not know of a record.
        leaf_index: Some(listed.leaf_index).filter(|leaf| state == AddressState::Used && *leaf != 0),
        created_ms: Some(listed.created_unix_ms),
    })
}
