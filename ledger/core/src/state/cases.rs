//! Rules and cases of the standard contracts in the state.

use super::layout::{decode_exactly, read_bool};
use crate::codec::{DecodeError, Reader, Writer};
use crate::entry::{
    AUTHORS_MAX, ApprovalTerms, AttemptsTerms, GROUPS_MAX, PARTIES_MAX, RateTerms, Terms, TimelockTerms,
};
use crate::hash::Hash;

/// A counter of attempts: `version u32 || terms || spent u32 || granted u32 || number u64 || refilled_ms u64 || granted_ms
/// u64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptsState {
    /// 1, then one more each time.
    pub version: u32,
    /// The terms in force.
    pub terms: AttemptsTerms,
    /// Attempts spent that have not come back.
    pub spent: u32,
    /// Attempts granted since the last proof of success.
    pub granted: u32,
    /// Attempts granted ever.
    pub number: u64,
    /// Since when the next attempt comes back.
    pub refilled_ms: u64,
    /// When the last attempt was granted.
    pub granted_ms: u64,
}

impl AttemptsState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(160);
        self.terms.write(out.u32(self.version));
        out.u32(self.spent).u32(self.granted).u64(self.number).u64(self.refilled_ms).u64(self.granted_ms);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: reader.u32("rule version")?,
            terms: AttemptsTerms::read(reader)?,
            spent: reader.u32("spent")?,
            granted: reader.u32("granted")?,
            number: reader.u64("number")?,
            refilled_ms: reader.u64("refilled")?,
            granted_ms: reader.u64("granted time")?,
        })
    }
}
decode_exactly!(AttemptsState, "attempts");

/// A granted attempt: `ends_ms u64 || id[32] || proven u8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantState {
    /// The last block time at which it lives.
    pub ends_ms: u64,
    /// The attempt's id, never given twice.
    pub id: Hash,
    /// Whether it was shown to have succeeded.
    pub proven: bool,
}

impl GrantState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(41);
        out.u64(self.ends_ms).raw(&self.id).u8(u8::from(self.proven));
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            ends_ms: reader.u64("end")?,
            id: reader.array("attempt id")?,
            proven: read_bool(reader, "proven")?,
        })
    }
}
decode_exactly!(GrantState, "grant");

/// What was spent in one window: `index u64 || count u64 || amount[16]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Which window: block time divided by its length.
    pub index: u64,
    /// Charges in it.
    pub count: u64,
    /// All charges together.
    pub amount: u128,
}

/// A rate: `version u32 || terms ||` one `spent` for each window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateState {
    /// 1, then one more each time.
    pub version: u32,
    /// The terms in force.
    pub terms: RateTerms,
    /// What was spent in the last window of each length that was charged.
    pub spent: Vec<Spent>,
}

impl RateState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(160);
        self.terms.write(out.u32(self.version));
        for spent in &self.spent {
            out.u64(spent.index).u64(spent.count).raw(&spent.amount.to_be_bytes());
        }
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (version, terms) = (reader.u32("rule version")?, RateTerms::read(reader)?);
        let read = |_| {
            Ok(Spent {
                index: reader.u64("window index")?,
                count: reader.u64("count")?,
                amount: u128::from_be_bytes(reader.array("amount")?),
            })
        };
        let spent = terms.windows.iter().map(read).collect::<Result<_, DecodeError>>()?;
        Ok(Self { version, terms, spent })
    }
}
decode_exactly!(RateState, "rate");

/// An approval rule: `version u32 || terms || cases u64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalState {
    /// 1, then one more each time.
    pub version: u32,
    /// The terms in force.
    pub terms: ApprovalTerms,
    /// Cases opened ever.
    pub cases: u64,
}

impl ApprovalState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(160);
        self.terms.write(out.u32(self.version));
        out.u64(self.cases);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: reader.u32("rule version")?,
            terms: ApprovalTerms::read(reader)?,
            cases: reader.u64("cases")?,
        })
    }
}
decode_exactly!(ApprovalState, "approval rule");

macro_rules! status {
    ($(#[$doc:meta])* $name:ident $what:literal { $($(#[$variant_doc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $code,)*
        }

        impl $name {
            fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                match reader.u8($what)? {
                    $($code => Ok(Self::$variant),)*
                    code => Err(DecodeError::UnknownCode { what: $what, code: u64::from(code) }),
                }
            }
        }
    };
}

status! {
    /// Where an approval case stands.
    ApprovalCaseStatus "approval case status" {
        /// Approvals are collected.
        Open = 0,
        /// It was refused or withdrawn.
        Closed = 1,
        /// Its approvals were used up.
        Used = 2,
    }
}

/// An approval case: `ends_ms u64 || rule[32] || version u32 || payload[32] || initiator[32] || status u8 ||
/// list(96) of (group u8 || account[32])`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalCase {
    /// The last block time at which it lives.
    pub ends_ms: u64,
    /// The id of its rule.
    pub rule: Hash,
    /// The rule's version when the case was opened.
    pub version: u32,
    /// The hash of what is to be done.
    pub payload: Hash,
    /// The account that asked.
    pub initiator: Hash,
    /// Where it stands.
    pub status: ApprovalCaseStatus,
    /// Which accounts approved, and for which group; in order, each account once.
    pub approvals: Vec<(u8, Hash)>,
}

impl ApprovalCase {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(160 + 33 * self.approvals.len());
        out.u64(self.ends_ms).raw(&self.rule).u32(self.version).raw(&self.payload).raw(&self.initiator);
        out.u8(self.status as u8).count(self.approvals.len());
        for (group, account) in &self.approvals {
            out.u8(*group).raw(account);
        }
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            ends_ms: reader.u64("end")?,
            rule: reader.array("rule")?,
            version: reader.u32("rule version")?,
            payload: reader.array("payload")?,
            initiator: reader.array("initiator")?,
            status: ApprovalCaseStatus::read(reader)?,
            approvals: reader.list("approvals", GROUPS_MAX * PARTIES_MAX, |reader| {
                Ok((reader.u8("group")?, reader.array("account")?))
            })?,
        })
    }
}
decode_exactly!(ApprovalCase, "approval case");

/// A definition that waits for the end of an act: `terms || version u32 of the credential`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The terms of the rule's next version.
    pub terms: TimelockTerms,
    /// Which version of the owner's credential signed it: it holds as long as that one does. None where this was not
    /// written down, and then it never holds.
    pub credential: Option<u32>,
}

/// A timelock rule: `version u32 || terms || cases u64 || vetoes u32 || (0 u8 | 1 u8 || case[32] || ends_ms u64)`, and
/// in the end a definition that waits for the act, if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelockState {
    /// 1, then one more each time.
    pub version: u32,
    /// The terms in force.
    pub terms: TimelockTerms,
    /// Acts opened ever.
    pub cases: u64,
    /// Vetoes since an act was last executed.
    pub vetoes: u32,
    /// The act that waits or is disputed, and the last block time at which it does.
    pub live: Option<(Hash, u64)>,
    /// The next version, from the end of the act on.
    pub next: Option<Waiting>,
}

impl TimelockState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(256);
        self.terms.write(out.u32(self.version));
        out.u64(self.cases).u32(self.vetoes);
        match &self.live {
            None => out.u8(0),
            Some((case, ends_ms)) => out.u8(1).raw(case).u64(*ends_ms),
        };
        if let Some(next) = &self.next {
            next.terms.write(&mut out);
            if let Some(version) = next.credential {
                out.u32(version);
            }
        }
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: reader.u32("rule version")?,
            terms: TimelockTerms::read(reader)?,
            cases: reader.u64("cases")?,
            vetoes: reader.u32("vetoes")?,
            live: match read_bool(reader, "live")? {
                false => None,
                true => Some((reader.array("case id")?, reader.u64("end")?)),
            },
            next: match reader.rest() {
                [] => None,
                _ => Some(Waiting {
                    terms: TimelockTerms::read(reader)?,
                    credential: match reader.rest() {
                        [] => None,
                        _ => Some(reader.u32("credential version")?),
                    },
                }),
            },
        })
    }
}
decode_exactly!(TimelockState, "timelock rule");

status! {
    /// Where an act under a timelock stands.
    TimelockCaseStatus "timelock case status" {
        /// It waits, or may be executed.
        Waiting = 0,
        /// It was vetoed or cancelled.
        Closed = 1,
        /// It was executed.
        Executed = 2,
        /// Approvers decide whether it may be executed.
        Disputed = 3,
    }
}

/// An act under a timelock: `ends_ms u64 || rule[32] || payload[32] || opens_ms u64 || status u8 ||
/// list(17) of account[32]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelockCase {
    /// The last block time at which it lives.
    pub ends_ms: u64,
    /// The id of its rule.
    pub rule: Hash,
    /// The hash of what is to be done.
    pub payload: Hash,
    /// The first block time at which it may be executed.
    pub opens_ms: u64,
    /// Where it stands.
    pub status: TimelockCaseStatus,
    /// Who opened it and who disputed it: none of them may decide.
    pub partisans: Vec<Hash>,
}

impl TimelockCase {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(96 + 32 * self.partisans.len());
        out.u64(self.ends_ms).raw(&self.rule).raw(&self.payload).u64(self.opens_ms).u8(self.status as u8);
        out.count(self.partisans.len());
        for account in &self.partisans {
            out.raw(account);
        }
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            ends_ms: reader.u64("end")?,
            rule: reader.array("rule")?,
            payload: reader.array("payload")?,
            opens_ms: reader.u64("opening")?,
            status: TimelockCaseStatus::read(reader)?,
            partisans: reader.list("partisans", AUTHORS_MAX + 1, |reader| reader.array("account"))?,
        })
    }
}
decode_exactly!(TimelockCase, "timelock case");
