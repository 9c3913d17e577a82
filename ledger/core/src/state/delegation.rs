//! Delegations in the state.

use super::layout::{decode_exactly, read_bool};
use crate::codec::{DecodeError, Reader, Writer};
use crate::entry::{DelegationTerms, RuleName, Terms as _, kind};
use crate::hash::Hash;

/// The most delegations of an account that are in force or wait.
pub const DELEGATIONS_MAX: usize = 16;
/// The most names that an account ever gives its delegations: each stays in the state.
pub const DELEGATION_NAMES_MAX: u32 = 64;

/// `delegation/` and the rule's id: [`DelegationState`].
pub fn delegation_key(rule: &Hash) -> Vec<u8> {
    [b"delegation/".as_slice(), rule].concat()
}

/// `delegation/account/` and the account: [`Delegations`].
pub fn delegations_key(account: &Hash) -> Vec<u8> {
    [b"delegation/account/".as_slice(), account].concat()
}

/// A delegation: `rule || version u32 || stopped u8 || (0 u8 | 1 u8 || terms) || (0 u8 | 1 u8 || version u32 || from_ms u64 ||
/// (0 u8 | 1 u8 || terms))`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegationState {
    /// Its name.
    pub rule: RuleName,
    /// The number of the change that holds; 0 before one does. The smaller, the older is the trust.
    pub version: u32,
    /// Whether delegates act for the account no longer, though the terms are in force still.
    pub stopped: bool,
    /// What is in force; none before the first terms are, and once they ended.
    pub terms: Option<DelegationTerms>,
    /// What is to come.
    pub next: Option<NextDelegation>,
}

/// A change that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextDelegation {
    /// Its number.
    pub version: u32,
    /// The first block time at which it may hold.
    pub from_ms: u64,
    /// The terms; none to revoke.
    pub terms: Option<DelegationTerms>,
}

impl DelegationState {
    /// A delegation of which nothing was ever said.
    pub(crate) const fn none(rule: RuleName) -> Self {
        Self { rule, version: 0, stopped: false, terms: None, next: None }
    }

    /// Its rule's id.
    pub fn id(&self) -> Hash {
        self.rule.id(kind::APPOINT_DELEGATES)
    }

    /// Whether there is anything in force or to come.
    pub(crate) const fn stands(&self) -> bool {
        self.terms.is_some() || self.next.is_some()
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(512);
        self.rule.write(&mut out).u32(self.version).u8(u8::from(self.stopped));
        write_terms(&mut out, self.terms.as_ref());
        match &self.next {
            None => {
                out.u8(0);
            }
            Some(next) => {
                write_terms(out.u8(1).u32(next.version).u64(next.from_ms), next.terms.as_ref());
            }
        }
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            rule: RuleName::read(reader)?,
            version: reader.u32("rule version")?,
            stopped: read_bool(reader, "stopped")?,
            terms: reader.option_with("terms", DelegationTerms::read)?,
            next: reader.option_with("next", |reader| {
                Ok(NextDelegation {
                    version: reader.u32("next version")?,
                    from_ms: reader.u64("from")?,
                    terms: reader.option_with("terms", DelegationTerms::read)?,
                })
            })?,
        })
    }
}
decode_exactly!(DelegationState, "delegation");

/// What an account's delegations have to do with each other: `list(16) of rule id[32] || (0 u8 | 1 u8 || rule id[32]) ||
/// changes u32 || hold_ms u64 || names u32`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delegations {
    /// Those that are in force or wait.
    pub rules: Vec<Hash>,
    /// The rule under which the last recovery was opened.
    pub recovery: Option<Hash>,
    /// How many changes the account has ever signed.
    pub changes: u32,
    /// The first block time at which a change may hold, after a veto.
    pub hold_ms: u64,
    /// How many names its delegations have ever had.
    pub names: u32,
}

impl Delegations {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(64 + 32 * self.rules.len());
        out.count(self.rules.len());
        self.rules.iter().for_each(|rule| {
            out.raw(rule);
        });
        out.option(self.recovery.as_ref()).u32(self.changes).u64(self.hold_ms).u32(self.names);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            rules: reader.list("delegations", DELEGATIONS_MAX, |reader| reader.array("rule"))?,
            recovery: reader.option("rule")?,
            changes: reader.u32("changes")?,
            hold_ms: reader.u64("hold")?,
            names: reader.u32("names")?,
        })
    }
}
decode_exactly!(Delegations, "delegations");

fn write_terms(out: &mut Writer, terms: Option<&DelegationTerms>) {
    match terms {
        None => {
            out.u8(0);
        }
        Some(terms) => terms.write(out.u8(1)),
    }
}
