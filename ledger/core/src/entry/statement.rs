//! What members and submitters sign about the ledger itself: changes, evidence, complaints, agreements.

use crate::change::CHANGE_BYTES_MAX;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;
use crate::vote::VOTE_BYTES_MAX;

/// A change of members or rules, proposed by a validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposeChange {
    /// The [`Change`](crate::change::Change). The contract parses it, so that a bad one is refused by name.
    pub change: Vec<u8>,
    /// The last height at which it may be approved.
    pub not_after: u64,
    /// The proposing validator's key.
    pub proposer: [u8; 32],
    /// Its signature over the [`change_id`](crate::change::change_id).
    pub signature: [u8; 64],
}

/// A validator's approval of a proposed change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApproveChange {
    /// The [`change_id`](crate::change::change_id).
    pub change_id: Hash,
    /// The validator's key.
    pub validator: [u8; 32],
    /// Its signature over the [`approval_message`](crate::change::approval_message).
    pub signature: [u8; 64],
}

/// A vote of the engine's protocol as it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedVote {
    /// The signed bytes, at most 256; [`Vote`](crate::vote::Vote) reads them.
    pub message: Vec<u8>,
    /// The signature over exactly these bytes.
    pub signature: [u8; 64],
}

/// Two votes of one validator that exclude each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Who signed both.
    pub validator: [u8; 32],
    /// The votes.
    pub votes: [SignedVote; 2],
}

/// What a complaint is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ComplaintKind {
    /// A member's: another node shows another state root at the height `number`; `hash` is that root.
    StateRoot = 1,
    /// A member's: what its files hold of the height `number` does not verify; `hash` is zeros.
    Scrub = 2,
    /// A member's: `number` views of the epoch were skipped; `hash` is zeros.
    SkippedViews = 3,
    /// A submitter's: its batch of sequence `number` and digest `hash` is not taken up.
    Unheard = 4,
}

impl ComplaintKind {
    /// The kind of a code, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::StateRoot),
            2 => Some(Self::Scrub),
            3 => Some(Self::SkippedViews),
            4 => Some(Self::Unheard),
            _ => None,
        }
    }
}

/// What went wrong, as a member or a submitter signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// What it is about.
    pub kind: ComplaintKind,
    /// Who complains.
    pub author: [u8; 32],
    /// The epoch in which it happened: the present one or the one before.
    pub epoch: u64,
    /// See [`ComplaintKind`].
    pub number: u64,
    /// See [`ComplaintKind`].
    pub hash: Hash,
    /// The author's signature over [`complaint_message`](crate::contracts::regime::complaint_message).
    pub signature: [u8; 64],
}

/// Which state a member has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The member.
    pub member: [u8; 32],
    /// The height.
    pub height: u64,
    /// The state root after the block at that height.
    pub state_root: Hash,
    /// Its signature over [`agreement_message`](crate::contracts::regime::agreement_message).
    pub signature: [u8; 64],
}

impl ProposeChange {
    pub(super) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.bytes(&self.change).u64(self.not_after).raw(&self.proposer).raw(&self.signature)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            change: reader.bytes("change", CHANGE_BYTES_MAX)?.to_vec(),
            not_after: reader.u64("not after")?,
            proposer: reader.array("proposer")?,
            signature: reader.array("signature")?,
        })
    }
}

impl ApproveChange {
    pub(super) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.raw(&self.change_id).raw(&self.validator).raw(&self.signature)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            change_id: reader.array("change id")?,
            validator: reader.array("validator")?,
            signature: reader.array("signature")?,
        })
    }
}

impl SignedVote {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            message: reader.bytes("vote", VOTE_BYTES_MAX)?.to_vec(),
            signature: reader.array("signature")?,
        })
    }
}

impl Evidence {
    pub(super) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.raw(&self.validator);
        for vote in &self.votes {
            out.bytes(&vote.message).raw(&vote.signature);
        }
        out
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let validator = reader.array("validator")?;
        Ok(Self { validator, votes: [SignedVote::read(reader)?, SignedVote::read(reader)?] })
    }
}

impl Complaint {
    pub(super) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.u8(self.kind as u8).raw(&self.author).u64(self.epoch);
        out.u64(self.number).raw(&self.hash).raw(&self.signature)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = reader.u8("complaint kind")?;
        Ok(Self {
            kind: ComplaintKind::from_code(code)
                .ok_or(DecodeError::UnknownCode { what: "complaint kind", code: u64::from(code) })?,
            author: reader.array("author")?,
            epoch: reader.u64("epoch")?,
            number: reader.u64("number")?,
            hash: reader.array("hash")?,
            signature: reader.array("signature")?,
        })
    }
}

impl Agreement {
    pub(super) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.raw(&self.member).u64(self.height).raw(&self.state_root).raw(&self.signature)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            member: reader.array("member")?,
            height: reader.u64("height")?,
            state_root: reader.array("state root")?,
            signature: reader.array("signature")?,
        })
    }
}
