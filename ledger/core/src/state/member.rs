//! Nodes, pending changes, terms and the regime's book in the state.

use super::layout::read_bool;
use crate::block::Regime;
use crate::certificate::{VALIDATORS_MAX, ValidatorSet};
use crate::change::{CHANGE_BYTES_MAX, Member, read_address, write_address};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;

/// The most observers.
pub const OBSERVERS_MAX: usize = 64;
/// The most changes that may wait at a time: four of each validator.
pub const CHANGES_MAX: usize = 4 * VALIDATORS_MAX;

const CHANGE_PREFIX: &[u8] = b"change/";

/// `member/` and the node's key: [`MemberState`].
pub fn member_key(key: &[u8; 32]) -> Vec<u8> {
    [b"member/".as_slice(), key].concat()
}

/// `member/observers`: a list of keys, ascending.
pub fn observers_key() -> Vec<u8> {
    b"member/observers".to_vec()
}

/// `change/` and the change's id: [`ChangeState`].
pub fn change_key(id: &Hash) -> Vec<u8> {
    [CHANGE_PREFIX, id].concat()
}

/// `change/pending`: a list of ids, oldest first. Some may have expired.
pub fn pending_changes_key() -> Vec<u8> {
    b"change/pending".to_vec()
}

/// `config`: a [`Configuration`](crate::change::Configuration).
pub fn config_key() -> Vec<u8> {
    b"config".to_vec()
}

/// `epoch/version`: `u32 version || u64 first epoch`.
pub fn version_key() -> Vec<u8> {
    b"epoch/version".to_vec()
}

/// `epoch/last`: the number of the newest term as u32.
pub fn last_term_key() -> Vec<u8> {
    b"epoch/last".to_vec()
}

/// `epoch/` and the term's number as u32: [`TermState`].
pub fn term_key(number: u32) -> Vec<u8> {
    [b"epoch/".as_slice(), &number.to_be_bytes()].concat()
}

/// Whether a state key is that of a change, which ends at a height.
pub(super) fn is_change_key(key: &[u8]) -> bool {
    key.starts_with(CHANGE_PREFIX) && key.len() == CHANGE_PREFIX.len() + 32
}

/// Decodes a list of 32-byte values; an absent one is empty.
pub fn decode_list(value: Option<&[u8]>, max: usize) -> Result<Vec<[u8; 32]>, DecodeError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let mut reader = Reader::new(value);
    let list = reader.list("list", max, |reader| reader.array("item"))?;
    reader.finish("list")?;
    Ok(list)
}

/// `u32 count || items`.
pub(crate) fn write_list(items: &[[u8; 32]]) -> Vec<u8> {
    let mut out = Writer::with_capacity(4 + 32 * items.len());
    out.count(items.len());
    for item in items {
        out.raw(item);
    }
    out.finish()
}

/// A node that was admitted: `u8 present || u64 height || bytes name || address || bytes rpc`. Validators of
/// genesis that were never admitted have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberState {
    /// Whether it is an observer or a validator still.
    pub present: bool,
    /// The height of the last change.
    pub height: u64,
    /// What it says of itself.
    pub member: Member,
}

impl MemberState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(256);
        out.u8(u8::from(self.present)).u64(self.height).bytes(self.member.name.as_bytes());
        write_address(&mut out, &self.member.peer);
        out.bytes(self.member.rpc.as_bytes());
        out.finish()
    }

    /// Decodes what stands under a node's key.
    pub fn decode(key: &[u8; 32], bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (present, height) = (read_bool(&mut reader, "present")?, reader.u64("height")?);
        let text = |reader: &mut Reader<'_>, max| {
            let bytes = reader.bytes("text", max)?;
            String::from_utf8(bytes.to_vec())
                .map_err(|_utf8| DecodeError::Invalid { what: "text", why: "is not UTF-8" })
        };
        let name = text(&mut reader, crate::genesis::NAME_BYTES_MAX)?;
        let peer = read_address(&mut reader)?;
        let rpc = text(&mut reader, crate::change::RPC_ADDRESS_BYTES_MAX)?;
        reader.finish("member")?;
        Ok(Self { present, height, member: Member { key: *key, name, peer, rpc } })
    }
}

/// Where a proposed change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ChangeStatus {
    /// Waits for approvals or for the epoch's end.
    Pending = 0,
    /// In force since the end of an epoch.
    Effective = 1,
    /// Dropped at the end of an epoch: it no longer fitted, or its proposer had left.
    Dropped = 2,
}

/// A proposed change: `u8 status || u64 height || u64 not_after || proposer[32] || list of approving key[32] ||
/// bytes change`. It stays up to height `not_after`, so that it cannot be proposed a second time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeState {
    /// Where it stands.
    pub status: ChangeStatus,
    /// The height at which it came to stand there.
    pub height: u64,
    /// The last height at which it may be approved.
    pub not_after: u64,
    /// Who proposed it.
    pub proposer: [u8; 32],
    /// Who signed it, the proposer first.
    pub approvals: Vec<[u8; 32]>,
    /// The change.
    pub change: Vec<u8>,
}

impl ChangeState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(128 + self.change.len() + 32 * self.approvals.len());
        out.u8(self.status as u8).u64(self.height).u64(self.not_after).raw(&self.proposer);
        out.raw(&write_list(&self.approvals)).bytes(&self.change);
        out.finish()
    }

    /// Decodes exactly one value.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let status = match reader.u8("change status")? {
            0 => ChangeStatus::Pending,
            1 => ChangeStatus::Effective,
            2 => ChangeStatus::Dropped,
            code => return Err(DecodeError::UnknownCode { what: "change status", code: u64::from(code) }),
        };
        let state = Self {
            status,
            height: reader.u64("height")?,
            not_after: reader.u64("not after")?,
            proposer: reader.array("proposer")?,
            approvals: reader.list("approvals", CHANGES_MAX, |reader| reader.array("approval"))?,
            change: reader.bytes("change", CHANGE_BYTES_MAX)?.to_vec(),
        };
        reader.finish("change")?;
        Ok(state)
    }

    /// How many of a set's members signed.
    pub fn approvals_of(&self, set: &ValidatorSet) -> usize {
        self.approvals.iter().filter(|key| set.member(key).is_some()).count()
    }
}

/// A run of epochs with one set of validators and one regime:
/// `u64 first epoch || u8 regime || validators || list of suspect[32]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermState {
    /// Its first epoch.
    pub first_epoch: u64,
    /// The regime.
    pub regime: Regime,
    /// The validators.
    pub set: ValidatorSet,
    /// Those that do not lead, because they were convicted of a fault; ascending.
    pub suspects: Vec<[u8; 32]>,
}

impl TermState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(16 + 32 * self.set.len());
        out.u64(self.first_epoch).u8(self.regime.code()).raw(&self.set.encode());
        out.raw(&write_list(&self.suspects));
        out.finish()
    }

    /// Decodes exactly one value.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (first_epoch, regime) = (reader.u64("first epoch")?, Regime::read(&mut reader)?);
        let set = ValidatorSet::read(&mut reader)?;
        let suspects = reader.list("suspects", VALIDATORS_MAX, |reader| reader.array("suspect"))?;
        let term = Self { first_epoch, regime, set, suspects };
        reader.finish("term")?;
        Ok(term)
    }
}

/// Reads `u32 version || u64 first epoch`.
pub fn decode_version(bytes: &[u8]) -> Result<(u32, u64), DecodeError> {
    let mut reader = Reader::new(bytes);
    let found = (reader.u32("version")?, reader.u64("first epoch")?);
    reader.finish("version")?;
    Ok(found)
}

/// `u32 version || u64 first epoch`.
pub fn encode_version(version: u32, from_epoch: u64) -> Vec<u8> {
    let mut out = Writer::with_capacity(12);
    out.u32(version).u64(from_epoch);
    out.finish()
}
