//! What the state holds: each kind of key, and the bytes of its value.

use crate::block::Regime;
use crate::codec::{DecodeError, Reader, Writer};
use crate::entry::Party;
use crate::genesis::{Role, Submitter};
use crate::hash::Hash;
use crate::scheme::KeyId;

pub use super::cases::{
    ApprovalCase, ApprovalCaseStatus, ApprovalState, AttemptsState, GrantState, RateState, Spent,
    TimelockCase, TimelockCaseStatus, TimelockState, Waiting,
};
pub use super::key::{KeyState, KeyStatus};

/// How many sequences back and ahead of a submitter's highest one a batch may have.
pub const SEQUENCE_WINDOW: u64 = 1024;

const INTENT_PREFIX: &[u8] = b"intent/";
const NONCE_PREFIX: &[u8] = b"authored/";
const GRANT_PREFIX: &[u8] = b"attempts/grant/";
const APPROVAL_CASE_PREFIX: &[u8] = b"approval/case/";
const TIMELOCK_CASE_PREFIX: &[u8] = b"timelock/case/";

/// `parameters`.
pub fn parameters_key() -> Vec<u8> {
    b"parameters".to_vec()
}

/// `validators`.
pub fn validators_key() -> Vec<u8> {
    b"validators".to_vec()
}

/// `submitter/` and the public key.
pub fn submitter_key(submitter: &[u8; 32]) -> Vec<u8> {
    [b"submitter/".as_slice(), submitter].concat()
}

/// `batch/`, the submitter, and `sequence mod 1024` as u32.
pub fn batch_key(submitter: &[u8; 32], sequence: u64) -> Vec<u8> {
    let slot = u32::try_from(sequence % SEQUENCE_WINDOW).unwrap_or(0).to_be_bytes();
    [b"batch/".as_slice(), submitter, &slot].concat()
}

/// `account/` and the account.
pub fn account_key(account: &Hash) -> Vec<u8> {
    [b"account/".as_slice(), account].concat()
}

/// `credential/` and the account.
pub fn credential_key(account: &Hash) -> Vec<u8> {
    [b"credential/".as_slice(), account].concat()
}

/// `key/` and the key id.
pub fn key_key(key_id: &KeyId) -> Vec<u8> {
    [b"key/".as_slice(), &key_id.0].concat()
}

/// `intent/` and the intent id.
pub fn intent_key(id: &Hash) -> Vec<u8> {
    [INTENT_PREFIX, id].concat()
}

/// `authored/`, the party and the nonce: what an author has signed before.
pub fn nonce_key(party: Party, nonce: &Hash) -> Vec<u8> {
    let mut key = Writer::with_capacity(NONCE_PREFIX.len() + 65);
    party.write(key.raw(NONCE_PREFIX));
    key.raw(nonce);
    key.finish()
}

/// `attempts/rule/` and the rule's id.
pub fn attempts_key(rule: &Hash) -> Vec<u8> {
    [b"attempts/rule/".as_slice(), rule].concat()
}

/// `attempts/grant/` and the request's hash.
pub fn grant_key(request: &Hash) -> Vec<u8> {
    [GRANT_PREFIX, request].concat()
}

/// `rate/rule/` and the rule's id.
pub fn rate_key(rule: &Hash) -> Vec<u8> {
    [b"rate/rule/".as_slice(), rule].concat()
}

/// `approval/rule/` and the rule's id.
pub fn approval_key(rule: &Hash) -> Vec<u8> {
    [b"approval/rule/".as_slice(), rule].concat()
}

/// `approval/case/` and the case's id.
pub fn approval_case_key(case: &Hash) -> Vec<u8> {
    [APPROVAL_CASE_PREFIX, case].concat()
}

/// `timelock/rule/` and the rule's id.
pub fn timelock_key(rule: &Hash) -> Vec<u8> {
    [b"timelock/rule/".as_slice(), rule].concat()
}

/// `timelock/case/` and the case's id.
pub fn timelock_case_key(case: &Hash) -> Vec<u8> {
    [TIMELOCK_CASE_PREFIX, case].concat()
}

/// The last moment of a state entry that does not live for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// It lives in blocks up to this height.
    Height(u64),
    /// It lives in blocks up to this time, in milliseconds since 1970.
    TimeMs(u64),
}

impl End {
    /// Whether a block lies past it.
    pub const fn is_before(self, height: u64, time_ms: u64) -> bool {
        match self {
            Self::Height(last) => last < height,
            Self::TimeMs(last) => last < time_ms,
        }
    }
}

/// When an entry of the state ends, for those that do.
pub fn end_of(key: &[u8], value: &[u8]) -> Result<Option<End>, DecodeError> {
    let has = |prefix| key.starts_with(prefix);
    if has(INTENT_PREFIX) {
        IntentState::decode(value).map(|intent| Some(End::Height(intent.not_after)))
    } else if has(NONCE_PREFIX) {
        read_nonce(value).map(|not_after| Some(End::Height(not_after)))
    } else if has(GRANT_PREFIX) {
        GrantState::decode(value).map(|grant| Some(End::TimeMs(grant.ends_ms)))
    } else if has(APPROVAL_CASE_PREFIX) {
        ApprovalCase::decode(value).map(|case| Some(End::TimeMs(case.ends_ms)))
    } else if has(TIMELOCK_CASE_PREFIX) {
        TimelockCase::decode(value).map(|case| Some(End::TimeMs(case.ends_ms)))
    } else if super::association::is_address_key(key) {
        let address = super::association::AddressState::decode(value)?;
        Ok(address.left.map(End::Height))
    } else if super::member::is_change_key(key) {
        super::member::ChangeState::decode(value).map(|change| Some(End::Height(change.not_after)))
    } else if let end @ Some(_) = super::addresses::end_of(key, value)? {
        Ok(end)
    } else {
        super::shared::end_of(key, value)
    }
}

fn read_nonce(value: &[u8]) -> Result<u64, DecodeError> {
    let mut reader = Reader::new(value);
    let not_after = reader.u64("not after")?;
    reader.finish("nonce")?;
    Ok(not_after)
}

macro_rules! decode_exactly {
    ($type:ident, $what:literal) => {
        impl $type {
            /// Decodes exactly one value.
            pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                let mut reader = Reader::new(bytes);
                let value = Self::read(&mut reader)?;
                reader.finish($what)?;
                Ok(value)
            }
        }
    };
}
pub(super) use decode_exactly;

/// What rules the ledger: `epoch_length u64 || regime u8 || clock_bound_ms u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Blocks of an epoch.
    pub epoch_length: u64,
    /// How the ledger agrees.
    pub regime: Regime,
    /// How far a live proposal's time may lie from a voter's clock.
    pub clock_bound_ms: u64,
}

impl Parameters {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(17);
        out.u64(self.epoch_length).u8(self.regime.code()).u64(self.clock_bound_ms);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch_length = reader.u64("epoch length")?;
        if epoch_length == 0 {
            return Err(DecodeError::Invalid { what: "epoch length", why: "is zero" });
        }
        Ok(Self { epoch_length, regime: Regime::read(reader)?, clock_bound_ms: reader.u64("clock bound")? })
    }
}
decode_exactly!(Parameters, "parameters");

/// A submitter: `role u8 || block_entries_max u32 || highest u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmitterState {
    /// What it may submit.
    pub role: Role,
    /// How many of its entries one block may carry; 0 for one that was removed.
    pub block_entries_max: u32,
    /// The highest sequence in a block; 0 before the first.
    pub highest: u64,
}

impl SubmitterState {
    /// A submitter that has not submitted anything.
    pub const fn new(submitter: &Submitter) -> Self {
        Self { role: submitter.role, block_entries_max: submitter.block_entries_max, highest: 0 }
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(13);
        out.u8(self.role.code()).u32(self.block_entries_max).u64(self.highest);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let role = reader.u8("role")?;
        let role =
            Role::from_code(role).ok_or(DecodeError::UnknownCode { what: "role", code: u64::from(role) })?;
        Ok(Self { role, block_entries_max: reader.u32("block entries")?, highest: reader.u64("highest")? })
    }
}
decode_exactly!(SubmitterState, "submitter");

/// A batch in its submitter's window: `sequence u64 || digest[32] || height u64 || first_leaf u64 || count u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchState {
    /// The batch's sequence.
    pub sequence: u64,
    /// The batch's digest.
    pub digest: Hash,
    /// The height of the block that carries it.
    pub height: u64,
    /// The log index of its first record.
    pub first_leaf: u64,
    /// How many records it made.
    pub count: u32,
}

impl BatchState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(60);
        out.u64(self.sequence).raw(&self.digest).u64(self.height).u64(self.first_leaf).u32(self.count);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sequence: reader.u64("sequence")?,
            digest: reader.array("digest")?,
            height: reader.u64("height")?,
            first_leaf: reader.u64("first leaf")?,
            count: reader.u32("count")?,
        })
    }
}
decode_exactly!(BatchState, "batch");

/// An account: `open u8 || height u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountState {
    /// Whether it is open.
    pub open: bool,
    /// The height at which it was opened or closed.
    pub height: u64,
}

impl AccountState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(9);
        out.u8(u8::from(self.open)).u64(self.height);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { open: read_bool(reader, "open")?, height: reader.u64("height")? })
    }
}
decode_exactly!(AccountState, "account");

/// An account's credential: `version u32 || public key[32]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialState {
    /// 1, then one more each time.
    pub version: u32,
    /// The Ed25519 public key.
    pub public_key: [u8; 32],
}

impl CredentialState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(36);
        out.u32(self.version).raw(&self.public_key);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { version: reader.u32("version")?, public_key: reader.array("public key")? })
    }
}
decode_exactly!(CredentialState, "credential");

/// A live intent: `executor[32] || key id[32] || commitment[32] || not_after u64 || released u8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntentState {
    /// The submitter that acts.
    pub executor: [u8; 32],
    /// The key to use.
    pub key_id: KeyId,
    /// The commitment to the payload.
    pub commitment: Hash,
    /// The last height at which the claim lives; then it is pruned.
    pub not_after: u64,
    /// Whether its release was recorded.
    pub released: bool,
}

impl IntentState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(105);
        out.raw(&self.executor).raw(&self.key_id.0).raw(&self.commitment);
        out.u64(self.not_after).u8(u8::from(self.released));
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            executor: reader.array("executor")?,
            key_id: KeyId(reader.array("key id")?),
            commitment: reader.array("commitment")?,
            not_after: reader.u64("not after")?,
            released: read_bool(reader, "released")?,
        })
    }
}
decode_exactly!(IntentState, "intent");

/// Reads 0 or 1.
pub(super) fn read_bool(reader: &mut Reader<'_>, what: &'static str) -> Result<bool, DecodeError> {
    match reader.u8(what)? {
        0 => Ok(false),
        1 => Ok(true),
        code => Err(DecodeError::UnknownCode { what, code: u64::from(code) }),
    }
}
