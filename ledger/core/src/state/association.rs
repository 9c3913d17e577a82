//! Associations in the state, and which association an address stands in.

use super::layout::decode_exactly;
use crate::address::Address;
use crate::codec::{DecodeError, Reader, Writer};
use crate::entry::{
    ASSOCIATION_MEMBERS_MAX, AssociationTerms, MEMBER_PROOF_BYTES_MAX, Terms as _, ascending,
};
use crate::hash::Hash;

const ADDRESS_PREFIX: &[u8] = b"association/address/";

/// `association/id/` and the association's id: [`AssociationState`].
pub fn association_key(association: &Hash) -> Vec<u8> {
    [b"association/id/".as_slice(), association].concat()
}

/// `association/address/`, `format u8` and the address's bytes: [`AddressState`].
pub fn address_key(address: &Address) -> Vec<u8> {
    [ADDRESS_PREFIX, &[address.format.code()], &address.bytes].concat()
}

/// Whether a state key is one of [`address_key`].
pub(super) fn is_address_key(key: &[u8]) -> bool {
    key.starts_with(ADDRESS_PREFIX)
}

/// A member that stands: `account[32] || address || version u32 || bytes(128) proof`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberState {
    /// The account that answers for the address.
    pub account: Hash,
    /// The address.
    pub address: Address,
    /// The association's version in which it came: its proof names it.
    pub since: u32,
    /// Its proof; empty for a key bound on this ledger.
    pub proof: Vec<u8>,
}

/// A dispute: `account[32] || reason[32]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisputeState {
    /// The account that raised it.
    pub account: Hash,
    /// The hash of why.
    pub reason: Hash,
}

/// An association: `version u32 || terms || list(32) of member || disputes u32 || (0 u8 | 1 u8 || dispute) || list(32) of
/// account[32] || log index u64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociationState {
    /// 1, then one more with each change.
    pub version: u32,
    /// By whom it is changed.
    pub terms: AssociationTerms,
    /// Who belongs to it; strictly ascending by address.
    pub members: Vec<MemberState>,
    /// How many disputes there ever were: the number of the one that is open, if one is.
    pub disputes: u32,
    /// The dispute that is open.
    pub dispute: Option<DisputeState>,
    /// The accounts that have disputed this version, in order: each is heard once.
    pub heard: Vec<Hash>,
    /// The log index of the record that made this version.
    pub leaf: u64,
}

impl AssociationState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(512 + 192 * self.members.len());
        self.terms.write(out.u32(self.version));
        out.count(self.members.len());
        for member in &self.members {
            member.address.write(out.raw(&member.account));
            out.u32(member.since).bytes(&member.proof);
        }
        out.u32(self.disputes);
        match &self.dispute {
            None => out.u8(0),
            Some(dispute) => out.u8(1).raw(&dispute.account).raw(&dispute.reason),
        };
        out.count(self.heard.len());
        self.heard.iter().for_each(|account| {
            out.raw(account);
        });
        out.u64(self.leaf);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (version, terms) = (reader.u32("association version")?, AssociationTerms::read(reader)?);
        let members = reader.list("members", ASSOCIATION_MEMBERS_MAX, |reader| {
            Ok(MemberState {
                account: reader.array("account")?,
                address: Address::read(reader)?,
                since: reader.u32("member version")?,
                proof: reader.bytes("proof", MEMBER_PROOF_BYTES_MAX)?.to_vec(),
            })
        })?;
        ascending("members", members.is_sorted_by(|before, next| before.address < next.address))?;
        Ok(Self {
            version,
            terms,
            members,
            disputes: reader.u32("disputes")?,
            dispute: reader.option_with("dispute", |reader| {
                Ok(DisputeState { account: reader.array("account")?, reason: reader.array("reason")? })
            })?,
            heard: reader.list("heard", ASSOCIATION_MEMBERS_MAX, |reader| reader.array("account"))?,
            leaf: reader.u64("log index")?,
        })
    }
}
decode_exactly!(AssociationState, "association");

/// Where an address stands: `association[32] || version u32 || (0 u8 | 1 u8 || height u64)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressState {
    /// The association.
    pub association: Hash,
    /// The association's version in which it came.
    pub since: u32,
    /// The height at which it went: it is free again, and the entry is gone from the next block on.
    pub left: Option<u64>,
}

impl AddressState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(45);
        out.raw(&self.association).u32(self.since);
        match self.left {
            None => out.u8(0),
            Some(height) => out.u8(1).u64(height),
        };
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            association: reader.array("association")?,
            since: reader.u32("member version")?,
            left: reader.option_with("left", |reader| reader.u64("height"))?,
        })
    }
}
decode_exactly!(AddressState, "address");
