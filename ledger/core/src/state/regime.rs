//! The regime in the state: what is in force and why, faults, complaints and agreements.

use crate::block::Regime;
use crate::certificate::VALIDATORS_MAX;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;

use super::member::write_list;

/// The most complaints that are kept.
pub const COMPLAINTS_MAX: usize = 1024;

/// `regime`: [`RegimeState`].
pub fn regime_key() -> Vec<u8> {
    b"regime".to_vec()
}

/// `regime/book`: [`Book`].
pub fn book_key() -> Vec<u8> {
    b"regime/book".to_vec()
}

/// `regime/complaints`: a list of [`Complained`].
pub fn complaints_key() -> Vec<u8> {
    b"regime/complaints".to_vec()
}

/// `regime/agreements`: a list of [`Agreed`].
pub fn agreements_key() -> Vec<u8> {
    b"regime/agreements".to_vec()
}

/// `regime/fault/` and the validator's key: [`FaultState`].
pub fn fault_key(validator: &[u8; 32]) -> Vec<u8> {
    [b"regime/fault/".as_slice(), validator].concat()
}

/// Why a regime is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// Genesis says so.
    Genesis = 0,
    /// A validator signed two votes that exclude each other.
    Equivocation = 1,
    /// f + 1 members found another state root than the ledger's.
    StateRoots = 2,
    /// f + 1 members found damage in their files.
    Scrubs = 3,
    /// f + 1 members saw too many views skipped.
    SkippedViews = 4,
    /// Enough submitters were not heard.
    Unheard = 5,
    /// Every member agreed on one state, and enough epochs were clean.
    Agreement = 6,
    /// The configuration pins it.
    Configuration = 7,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Genesis,
        Self::Equivocation,
        Self::StateRoots,
        Self::Scrubs,
        Self::SkippedViews,
        Self::Unheard,
        Self::Agreement,
        Self::Configuration,
    ];

    /// The name, as commands show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Genesis => "genesis",
            Self::Equivocation => "equivocation",
            Self::StateRoots => "state-roots",
            Self::Scrubs => "scrubs",
            Self::SkippedViews => "skipped-views",
            Self::Unheard => "unheard-submitters",
            Self::Agreement => "agreement",
            Self::Configuration => "configuration",
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = reader.u8("reason")?;
        let found = Self::ALL.into_iter().find(|reason| *reason as u8 == code);
        found.ok_or(DecodeError::UnknownCode { what: "reason", code: u64::from(code) })
    }
}

/// What brought a switch about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Why.
    pub reason: Reason,
    /// The place in the log of the entry that made it so.
    pub leaf_index: u64,
    /// The convicted validator; else zeros.
    pub subject: [u8; 32],
}

impl Trigger {
    fn write(&self, out: &mut Writer) {
        out.u8(self.reason as u8).u64(self.leaf_index).raw(&self.subject);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            reason: Reason::read(reader)?,
            leaf_index: reader.u64("leaf index")?,
            subject: reader.array("subject")?,
        })
    }
}

/// The switch that made the regime in force:
/// `u8 regime || u64 first epoch || u64 height || u8 reason || u64 leaf index || subject[32]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegimeState {
    /// The regime.
    pub regime: Regime,
    /// The first epoch in which it holds.
    pub first_epoch: u64,
    /// The height of the block that ended the epoch before.
    pub height: u64,
    /// Why.
    pub trigger: Trigger,
}

impl RegimeState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(58);
        out.u8(self.regime.code()).u64(self.first_epoch).u64(self.height);
        self.trigger.write(&mut out);
        out.finish()
    }

    /// Decodes exactly one value.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let state = Self {
            regime: Regime::read(&mut reader)?,
            first_epoch: reader.u64("first epoch")?,
            height: reader.u64("height")?,
            trigger: Trigger::read(&mut reader)?,
        };
        reader.finish("regime")?;
        Ok(state)
    }
}

/// What stands against the fast regime: `u64 fault epoch || list of suspect[32] || u8 0`, or `u8 1 || trigger` in
/// the end while a switch waits for the epoch's end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// The last epoch with a fault.
    pub fault_epoch: u64,
    /// Validators that were convicted since the fast regime ended, ascending.
    pub suspects: Vec<[u8; 32]>,
    /// The switch to the strict regime that waits.
    pub waiting: Option<Trigger>,
}

impl Book {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(64);
        out.u64(self.fault_epoch).raw(&write_list(&self.suspects));
        match &self.waiting {
            None => {
                out.u8(0);
            }
            Some(trigger) => trigger.write(out.u8(1)),
        }
        out.finish()
    }

    /// Decodes exactly one value.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let fault_epoch = reader.u64("fault epoch")?;
        let suspects = reader.list("suspects", VALIDATORS_MAX, |reader| reader.array("suspect"))?;
        let waiting = match super::layout::read_bool(&mut reader, "waiting")? {
            true => Some(Trigger::read(&mut reader)?),
            false => None,
        };
        reader.finish("book")?;
        Ok(Self { fault_epoch, suspects, waiting })
    }
}

/// A complaint that counts: `u8 kind || author[32] || u64 epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complained {
    /// The kind's code.
    pub kind: u8,
    /// Who complained.
    pub author: [u8; 32],
    /// Of which epoch.
    pub epoch: u64,
}

/// A member's last agreement: `member[32] || u64 height || state root[32] || u64 leaf index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The member.
    pub member: [u8; 32],
    /// The height.
    pub height: u64,
    /// The state root after that block, as the member has it.
    pub state_root: Hash,
    /// The place in the log.
    pub leaf_index: u64,
}

/// Decodes the complaints; absent ones are none.
pub(crate) fn read_complaints(value: Option<&[u8]>) -> Result<Vec<Complained>, DecodeError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let mut reader = Reader::new(value);
    let list = reader.list("complaints", COMPLAINTS_MAX, |reader| {
        Ok(Complained {
            kind: reader.u8("kind")?,
            author: reader.array("author")?,
            epoch: reader.u64("epoch")?,
        })
    })?;
    reader.finish("complaints")?;
    Ok(list)
}

pub(crate) fn write_complaints(list: &[Complained]) -> Vec<u8> {
    let mut out = Writer::with_capacity(4 + 41 * list.len());
    out.count(list.len());
    for complained in list {
        out.u8(complained.kind).raw(&complained.author).u64(complained.epoch);
    }
    out.finish()
}

/// Decodes the agreements; absent ones are none.
pub(crate) fn read_agreements(value: Option<&[u8]>) -> Result<Vec<Agreed>, DecodeError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let mut reader = Reader::new(value);
    let list = reader.list("agreements", VALIDATORS_MAX, |reader| {
        Ok(Agreed {
            member: reader.array("member")?,
            height: reader.u64("height")?,
            state_root: reader.array("state root")?,
            leaf_index: reader.u64("leaf index")?,
        })
    })?;
    reader.finish("agreements")?;
    Ok(list)
}

pub(crate) fn write_agreements(list: &[Agreed]) -> Vec<u8> {
    let mut out = Writer::with_capacity(4 + 80 * list.len());
    out.count(list.len());
    for agreed in list {
        out.raw(&agreed.member).u64(agreed.height).raw(&agreed.state_root).u64(agreed.leaf_index);
    }
    out.finish()
}

/// A validator's last conviction: `u64 epoch || u64 view || u64 leaf index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultState {
    /// The epoch of the two votes.
    pub epoch: u64,
    /// Their view.
    pub view: u64,
    /// The place in the log of the evidence.
    pub leaf_index: u64,
}

impl FaultState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(24);
        out.u64(self.epoch).u64(self.view).u64(self.leaf_index);
        out.finish()
    }

    /// Decodes exactly one value.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let state = Self {
            epoch: reader.u64("epoch")?,
            view: reader.u64("view")?,
            leaf_index: reader.u64("leaf index")?,
        };
        reader.finish("fault")?;
        Ok(state)
    }
}
