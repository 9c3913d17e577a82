//! Cases about something that is not to be told: what a service opens and uses up in nobody's name.

use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::{Hash, Tag};

/// What a blind case's approvals are for: `tagged("keyward/blind-case/v1", lock || content)`. No other payload is such a hash.
pub fn blind_payload(lock: &Hash, content: &Hash) -> Hash {
    Tag::BlindCase.hash(&[lock, content])
}

/// What only who knows the token opens: `tagged("keyward/blind-lock/v1", token)`.
pub fn blind_lock(token: &Hash) -> Hash {
    Tag::BlindLock.hash(&[token])
}

/// Asks for approvals, for somebody who is not named: `rule id[32] || lock[32] || content[32] || live_ms u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenBlindCase {
    /// The id of an approval rule.
    pub rule: Hash,
    /// [`blind_lock`] of the token that uses the case up.
    pub lock: Hash,
    /// A hash, blinded, of what is asked for.
    pub content: Hash,
    /// How long the case lives.
    pub live_ms: u64,
}

impl OpenBlindCase {
    /// What approvers sign for.
    pub fn payload(&self) -> Hash {
        blind_payload(&self.lock, &self.content)
    }

    pub(super) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.raw(&self.rule).raw(&self.lock).raw(&self.content).u64(self.live_ms)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            rule: reader.array("rule id")?,
            lock: reader.array("lock")?,
            content: reader.array("content")?,
            live_ms: reader.u64("life")?,
        })
    }
}

/// Uses the approvals of a blind case up: `case id[32] || token[32] || content[32]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UseBlindCase {
    /// The case.
    pub case: Hash,
    /// What the case's lock is of.
    pub token: Hash,
    /// As the case was opened with.
    pub content: Hash,
}

impl UseBlindCase {
    /// What approvers signed for, if this is the case's token and content.
    pub fn payload(&self) -> Hash {
        blind_payload(&blind_lock(&self.token), &self.content)
    }

    pub(super) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.raw(&self.case).raw(&self.token).raw(&self.content)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            case: reader.array("case id")?,
            token: reader.array("token")?,
            content: reader.array("content")?,
        })
    }
}
