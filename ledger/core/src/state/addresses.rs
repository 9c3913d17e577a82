//! Unlinkable addresses in the state: who has them, which were used, and which epochs are closed and dealt.

use super::layout::{End, decode_exactly};
use crate::codec::{DecodeError, Reader, Writer};
use crate::entry::{AuditTerms, Custody};
use crate::hash::Hash;
use crate::unlinkable::{AddressEpoch, EDGE_MS, VIEWING_KEEPERS_MAX};

const HANDLE_PREFIX: &[u8] = b"address/handle/";

/// `address/account/` and the account: [`AddressesState`].
pub fn addresses_key(account: &Hash) -> Vec<u8> {
    [b"address/account/".as_slice(), account].concat()
}

/// `address/used/` and the x of the address: the log index of the record that used it, for good.
pub fn used_address_key(x: &[u8; 32]) -> Vec<u8> {
    [b"address/used/".as_slice(), x].concat()
}

/// `address/handle/`, the rate rule's id and the handle: [`HandleState`].
pub fn handle_key(rule: &Hash, handle: &Hash) -> Vec<u8> {
    [HANDLE_PREFIX, rule, handle].concat()
}

/// `address/closed/`, the tag and the submitter: the log index of the record that closed it. Somebody else who copies a tag that is
/// on its way closes nothing.
pub fn closed_epoch_key(tag: &Hash, submitter: &[u8; 32]) -> Vec<u8> {
    [b"address/closed/".as_slice(), tag, submitter].concat()
}

/// `address/dealt/`, the account and the first epoch: [`DealtState`].
pub fn dealt_key(account: &Hash, first: u32) -> Vec<u8> {
    [b"address/dealt/".as_slice(), account, &first.to_be_bytes()].concat()
}

/// Reads the log index that stands under a used address or a closed epoch.
pub fn read_leaf(value: &[u8]) -> Result<u64, DecodeError> {
    let mut reader = Reader::new(value);
    let leaf = reader.u64("log index")?;
    reader.finish("log index")?;
    Ok(leaf)
}

/// When an entry of the state about addresses ends, for those that do.
pub(super) fn end_of(key: &[u8], value: &[u8]) -> Result<Option<End>, DecodeError> {
    if !key.starts_with(HANDLE_PREFIX) {
        return Ok(None);
    }
    HandleState::decode(value).map(|handle| Some(End::TimeMs(handle.ends_ms)))
}

/// What an account has chosen: `tenant[32] || custody u8 || epoch_ms u64 || first u32 || (0 u8 | 1 u8 || dealt u32) || leaf u64
/// || (0 u8 | 1 u8 || closed_ms u64)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressesState {
    /// Whose audit terms it is under.
    pub tenant: Hash,
    /// Where its address root lies.
    pub custody: Custody,
    /// The length of its epochs.
    pub epoch_ms: u64,
    /// The first epoch in which it can have used addresses.
    pub first: u32,
    /// The last epoch that was dealt.
    pub dealt: Option<u32>,
    /// The log index of the record that chose.
    pub leaf: u64,
    /// The block time at which the account was closed; none as long as it is open.
    pub closed_ms: Option<u64>,
}

impl AddressesState {
    /// The first epoch that was not dealt; none after the last that there is.
    pub fn next_dealt(&self) -> Option<u32> {
        self.dealt.map_or(Some(self.first), |dealt| dealt.checked_add(1))
    }

    /// The last epoch in which it can have used addresses, once it is closed.
    pub fn last(&self) -> Option<u32> {
        let last = AddressEpoch::at(self.epoch_ms, self.closed_ms?.saturating_add(EDGE_MS));
        last.map(|epoch| epoch.number)
    }

    /// Whether what the account did from a time on can be opened, by the terms and the time of now. A closed account did nothing later
    /// than it was closed, and what it did before is kept for so long after it.
    pub fn can_be_opened(&self, from_ms: u64, terms: &AuditTerms, now_ms: u64) -> bool {
        self.closed_ms.is_none_or(|closed_ms| {
            from_ms <= closed_ms.saturating_add(EDGE_MS) && !self.is_over(terms, now_ms)
        })
    }

    /// Whether nothing of the account can be opened any more, unless its tenant's terms change.
    pub fn is_over(&self, terms: &AuditTerms, now_ms: u64) -> bool {
        self.closed_ms.is_some_and(|closed_ms| now_ms >= closed_ms.saturating_add(terms.kept_ms))
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(67);
        out.raw(&self.tenant).u8(self.custody.code()).u64(self.epoch_ms).u32(self.first);
        match self.dealt {
            None => out.u8(0),
            Some(dealt) => out.u8(1).u32(dealt),
        };
        out.u64(self.leaf);
        match self.closed_ms {
            None => out.u8(0),
            Some(closed_ms) => out.u8(1).u64(closed_ms),
        };
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            tenant: reader.array("tenant")?,
            custody: Custody::read(reader)?,
            epoch_ms: reader.u64("epoch length")?,
            first: reader.u32("first epoch")?,
            dealt: reader.option_with("dealt", |reader| reader.u32("last epoch dealt"))?,
            leaf: reader.u64("log index")?,
            closed_ms: reader.option_with("closed", |reader| reader.u64("time of closing"))?,
        })
    }
}
decode_exactly!(AddressesState, "addresses");

/// What was used under a handle: `ends_ms u64 || count u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandleState {
    /// The last block time of its window.
    pub ends_ms: u64,
    /// How many addresses.
    pub count: u64,
}

impl HandleState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(16);
        out.u64(self.ends_ms).u64(self.count);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { ends_ms: reader.u64("end")?, count: reader.u64("count")? })
    }
}
decode_exactly!(HandleState, "handle");

/// A run of epochs that keepers hold shares for: `last u32 || dealing hash[32] || threshold u8 || list(16) of keeper id[32] ||
/// leaf u64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DealtState {
    /// The last epoch.
    pub last: u32,
    /// The hash of what is public of the dealing.
    pub dealing_hash: Hash,
    /// How many keepers it takes.
    pub threshold: u8,
    /// The keepers' ids, ascending.
    pub keepers: Vec<Hash>,
    /// The log index of the record.
    pub leaf: u64,
}

impl DealtState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(64 + 32 * self.keepers.len());
        out.u32(self.last).raw(&self.dealing_hash).u8(self.threshold).count(self.keepers.len());
        self.keepers.iter().for_each(|keeper| {
            out.raw(keeper);
        });
        out.u64(self.leaf);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            last: reader.u32("last epoch")?,
            dealing_hash: reader.array("dealing hash")?,
            threshold: reader.u8("threshold")?,
            keepers: reader.list("keepers", VIEWING_KEEPERS_MAX, |reader| reader.array("keeper id"))?,
            leaf: reader.u64("log index")?,
        })
    }
}
decode_exactly!(DealtState, "dealt epochs");
