//! Groups of addresses of several parties and chains.

use super::author::Party;
use super::kind;
use super::terms::{PARTIES_MAX, Terms};
use crate::address::Address;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;

/// The most addresses of one association.
pub const ASSOCIATION_MEMBERS_MAX: usize = 32;
/// The most members that one entry adds, and the most that one removes.
pub const MEMBER_CHANGES_MAX: usize = 16;
/// The longest proof of a member.
pub const MEMBER_PROOF_BYTES_MAX: usize = 128;

/// How many of whom: `needed u8 || list(24) of party`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// How many different accounts it takes; at least 1.
    pub needed: u8,
    /// Who counts.
    pub parties: Vec<Party>,
}

impl Quorum {
    /// Whether enough different accounts among these parties belong to it.
    pub fn is_met(&self, speakers: &[(Party, Hash)]) -> bool {
        let mut accounts: Vec<_> = speakers
            .iter()
            .filter(|(party, _)| self.parties.contains(party))
            .map(|(_, account)| account)
            .collect();
        accounts.sort_unstable();
        accounts.dedup();
        self.needed >= 1 && accounts.len() >= usize::from(self.needed)
    }

    fn write(&self, out: &mut Writer) {
        Party::write_list(&self.parties, out.u8(self.needed));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let needed = reader.u8("needed")?;
        Ok(Self { needed, parties: Party::read_list(reader, "parties", PARTIES_MAX)? })
    }
}

/// By whom an association is changed, and by whom a dispute of it is settled: `change: quorum || settle: quorum`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociationTerms {
    /// Who signs the next version.
    pub change: Quorum,
    /// Who ends a dispute against the word of the one who raised it.
    pub settle: Quorum,
}

impl Terms for AssociationTerms {
    fn write(&self, out: &mut Writer) {
        self.change.write(out);
        self.settle.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { change: Quorum::read(reader)?, settle: Quorum::read(reader)? })
    }

    fn is_sound(&self) -> bool {
        let sound = |of: &Quorum| of.needed >= 1 && usize::from(of.needed) <= of.parties.len();
        sound(&self.change) && sound(&self.settle)
    }
}

/// An address that is to belong to an association: `account[32] || address || bytes(128) proof`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The account that answers for it.
    pub account: Hash,
    /// The address.
    pub address: Address,
    /// The address's own word, see [`proof_text`](crate::address::proof_text); empty for a key bound on this ledger.
    pub proof: Vec<u8>,
}

impl Member {
    fn write(&self, out: &mut Writer) {
        self.address.write(out.raw(&self.account));
        out.bytes(&self.proof);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            account: reader.array("account")?,
            address: Address::read(reader)?,
            proof: reader.bytes("proof", MEMBER_PROOF_BYTES_MAX)?.to_vec(),
        })
    }
}

/// What is wanted of an association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssociationAct {
    /// Opens an association in version 1; authors are those whom the terms name for changes, and each member.
    Open {
        /// Its id: random.
        association: Hash,
        /// How it is changed from now on.
        terms: AssociationTerms,
        /// Who belongs to it; strictly ascending by address.
        members: Vec<Member>,
    },
    /// Changes it; authors are those whom the terms in force name for changes, and each new member.
    Update {
        /// Which one.
        association: Hash,
        /// The present version plus 1.
        version: u32,
        /// Other terms, if they change.
        terms: Option<AssociationTerms>,
        /// The addresses that go; strictly ascending.
        removed: Vec<Address>,
        /// The members that come; strictly ascending by address.
        added: Vec<Member>,
    },
    /// A member goes, by its own account's word.
    Leave {
        /// Which one.
        association: Hash,
        /// The present version plus 1.
        version: u32,
        /// The address that goes.
        address: Address,
    },
    /// A member's account disputes what stands: nothing changes until that is settled.
    Dispute {
        /// Which one.
        association: Hash,
        /// The present version.
        version: u32,
        /// The hash of why, for people.
        reason: Hash,
    },
    /// Ends a dispute; authors are those whom the terms name for it, or the account that raised it.
    Settle {
        /// Which one.
        association: Hash,
        /// The number of the dispute, from 1.
        dispute: u32,
        /// The hash of what was decided, for people; zeros for nothing.
        verdict: Hash,
    },
}

impl AssociationAct {
    /// The code of the entry's kind.
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Open { .. } => kind::OPEN_ASSOCIATION,
            Self::Update { .. } => kind::UPDATE_ASSOCIATION,
            Self::Leave { .. } => kind::LEAVE_ASSOCIATION,
            Self::Dispute { .. } => kind::DISPUTE_ASSOCIATION,
            Self::Settle { .. } => kind::SETTLE_ASSOCIATION,
        }
    }

    /// The association that it is about.
    pub const fn association(&self) -> &Hash {
        match self {
            Self::Open { association, .. }
            | Self::Update { association, .. }
            | Self::Leave { association, .. }
            | Self::Dispute { association, .. }
            | Self::Settle { association, .. } => association,
        }
    }

    /// The members that it adds.
    pub fn added(&self) -> &[Member] {
        match self {
            Self::Open { members: added, .. } | Self::Update { added, .. } => added,
            _ => &[],
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.raw(self.association());
        match self {
            Self::Open { terms, members, .. } => {
                terms.write(out);
                write_members(members, out);
            }
            Self::Update { version, terms, removed, added, .. } => {
                out.u32(*version);
                match terms {
                    None => {
                        out.u8(0);
                    }
                    Some(terms) => terms.write(out.u8(1)),
                }
                out.count(removed.len());
                removed.iter().for_each(|address| address.write(out));
                write_members(added, out);
            }
            Self::Leave { version, address, .. } => address.write(out.u32(*version)),
            Self::Dispute { version, reason: hash, .. }
            | Self::Settle { dispute: version, verdict: hash, .. } => {
                out.u32(*version).raw(hash);
            }
        }
    }

    /// Reads an act of an association's kind.
    pub(super) fn read(kind: u16, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let association = reader.array("association")?;
        Ok(match kind {
            kind::OPEN_ASSOCIATION => {
                let terms = AssociationTerms::read(reader)?;
                Self::Open { association, terms, members: read_members(reader)? }
            }
            kind::UPDATE_ASSOCIATION => Self::Update {
                association,
                version: reader.u32("association version")?,
                terms: reader.option_with("terms", AssociationTerms::read)?,
                removed: read_addresses(reader)?,
                added: read_members(reader)?,
            },
            kind::LEAVE_ASSOCIATION => {
                let version = reader.u32("association version")?;
                Self::Leave { association, version, address: Address::read(reader)? }
            }
            kind::DISPUTE_ASSOCIATION => {
                let version = reader.u32("association version")?;
                Self::Dispute { association, version, reason: reader.array("reason")? }
            }
            kind::SETTLE_ASSOCIATION => {
                let dispute = reader.u32("dispute")?;
                Self::Settle { association, dispute, verdict: reader.array("verdict")? }
            }
            code => return Err(DecodeError::UnknownCode { what: "entry kind", code: u64::from(code) }),
        })
    }
}

fn write_members(members: &[Member], out: &mut Writer) {
    out.count(members.len());
    members.iter().for_each(|member| member.write(out));
}

fn read_members(reader: &mut Reader<'_>) -> Result<Vec<Member>, DecodeError> {
    let members = reader.list("members", MEMBER_CHANGES_MAX, Member::read)?;
    ascending("members", members.is_sorted_by(|before, next| before.address < next.address))?;
    Ok(members)
}

fn read_addresses(reader: &mut Reader<'_>) -> Result<Vec<Address>, DecodeError> {
    let addresses = reader.list("addresses", MEMBER_CHANGES_MAX, Address::read)?;
    ascending("addresses", addresses.is_sorted_by(|before, next| before < next))?;
    Ok(addresses)
}

/// No address stands twice.
pub(crate) const fn ascending(what: &'static str, sorted: bool) -> Result<(), DecodeError> {
    if sorted { Ok(()) } else { Err(DecodeError::Invalid { what, why: "are not strictly ascending" }) }
}
