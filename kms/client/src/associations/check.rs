//! Whether all that the ledger says of an association is one version: a pure look at its proofs.
//!
//! The association is proven before and after its members, in the same version. Versions never come again, so what was proven
//! of the members between is of that version too.

use keyward_ledger_core::address::proof_text;
use keyward_ledger_core::state::association::{
    AddressState, AssociationState, MemberState, address_key, association_key,
};
use keyward_ledger_core::state::layout::{AccountState, KeyState, KeyStatus, account_key, key_key};
use keyward_ledger_verify::{MaxAge, StateQuery, StateVerdict, chain_id, verify_state};

use super::address::address_words;
use super::error::AssociationError;
use crate::evidence::EvidenceError;

const ASSOCIATION: &str = "the association";
const ADDRESS: &str = "a member's address";
const ACCOUNT: &str = "a member's account";
const KEY: &str = "a member's key";

/// State receipts of an association and of each of its members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Of the association.
    pub association: Vec<u8>,
    /// Of its members, in the order in which they stand there.
    pub members: Vec<MemberEvidence>,
    /// Of the association again, at a height not below the members'.
    pub again: Vec<u8>,
}

/// State receipts of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberEvidence {
    /// Where the address stands.
    pub address: Vec<u8>,
    /// Its account.
    pub account: Vec<u8>,
    /// Its key; empty for an address of another chain.
    pub key: Vec<u8>,
}

/// An association of which everything is one version.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What stands.
    pub state: AssociationState,
    /// Each member, in their order: what has become of it since, if anything has.
    pub concerns: Vec<Option<Concern>>,
    /// The heights between which it was that.
    pub heights: (u64, u64),
    /// The time of the later one, in milliseconds since 1970.
    pub time_ms: u64,
}

/// What an association does not follow by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// The account that answers for the address is closed.
    AccountClosed,
    /// The key does not sign, or another one has taken over.
    Key(KeyStatus),
}

/// Holds the evidence against a trust file: the proofs, that they are of one version, and what each address signed.
pub fn verify(
    trust: &[u8],
    association: &[u8; 32],
    evidence: &Evidence,
    max_age: Option<MaxAge>,
) -> Result<Checked, AssociationError> {
    let chain =
        chain_id(trust).map_err(|source| AssociationError::Proof { what: "the trust file", source })?;
    let key = association_key(association);
    let at = |receipt| proven(trust, ASSOCIATION, &StateQuery { key: &key, min_height: 0, max_age }, receipt);
    let first = at(&evidence.association)?;
    let value = first.value.ok_or(AssociationError::Unknown)?;
    let state = AssociationState::decode(&value).map_err(EvidenceError::malformed(ASSOCIATION))?;
    let last = at(&evidence.again)?;
    if last.height < first.height || last.value.as_ref() != Some(&value) {
        return Err(AssociationError::Torn);
    }
    let (shown, standing) = (evidence.members.len(), state.members.len());
    if shown != standing {
        return Err(AssociationError::OtherMembers { shown, standing });
    }
    let look = Look { trust, max_age, from: first.height, to: last.height };
    let mut concerns = Vec::with_capacity(standing);
    for (member, evidence) in state.members.iter().zip(&evidence.members) {
        look.stands(association, member, &evidence.address)?;
        if member.address.key_id().is_none() {
            let MemberState { account, address, since, proof } = member;
            let text = proof_text(&chain, association, *since, account, address);
            let unproven = |source| AssociationError::Address { address: address_words(address), source };
            address.verify(&text, proof).map_err(unproven)?;
        }
        concerns.push(look.concern(member, evidence)?);
    }
    Ok(Checked { state, concerns, heights: (look.from, look.to), time_ms: last.time_ms })
}

fn proven(
    trust: &[u8],
    what: &'static str,
    query: &StateQuery<'_>,
    receipt: &[u8],
) -> Result<StateVerdict, AssociationError> {
    verify_state(trust, receipt, query).map_err(|source| AssociationError::Proof { what, source })
}

/// A look at members between the two at their association.
struct Look<'a> {
    trust: &'a [u8],
    max_age: Option<MaxAge>,
    from: u64,
    to: u64,
}

impl Look<'_> {
    /// What stands under a key. A proof of before says nothing of what became of it: a frozen key would still sign.
    fn at(
        &self,
        what: &'static str,
        key: &[u8],
        receipt: &[u8],
    ) -> Result<Option<Vec<u8>>, AssociationError> {
        let query = StateQuery { key, min_height: 0, max_age: self.max_age };
        let found = proven(self.trust, what, &query, receipt)?;
        if (self.from..=self.to).contains(&found.height) {
            Ok(found.value)
        } else {
            Err(AssociationError::Torn)
        }
    }

    /// Refuses an address that stands elsewhere.
    fn stands(
        &self,
        association: &[u8; 32],
        member: &MemberState,
        receipt: &[u8],
    ) -> Result<(), AssociationError> {
        let found = self.at(ADDRESS, &address_key(&member.address), receipt)?;
        let stands = found.map(|value| AddressState::decode(&value)).transpose();
        let stands = stands.map_err(EvidenceError::malformed(ADDRESS))?;
        let wanted = AddressState { association: *association, since: member.since, left: None };
        if stands == Some(wanted) {
            return Ok(());
        }
        let stands = match stands {
            None => "nowhere".to_owned(),
            Some(AddressState { association, since, .. }) => {
                format!("in association {} since version {since}", hex::encode(association))
            }
        };
        Err(AssociationError::NotOneVersion { address: address_words(&member.address), stands })
    }

    fn concern(
        &self,
        member: &MemberState,
        evidence: &MemberEvidence,
    ) -> Result<Option<Concern>, AssociationError> {
        let account = self.at(ACCOUNT, &account_key(&member.account), &evidence.account)?;
        let account = account.map(|value| AccountState::decode(&value)).transpose();
        if account.map_err(EvidenceError::malformed(ACCOUNT))?.is_none_or(|account| !account.open) {
            return Ok(Some(Concern::AccountClosed));
        }
        let Some(key_id) = member.address.key_id() else { return Ok(None) };
        let key = self.at(KEY, &key_key(&key_id), &evidence.key)?;
        let key =
            key.map(|value| KeyState::decode(&value)).transpose().map_err(EvidenceError::malformed(KEY))?;
        match key {
            Some(key) if key.account == member.account => {
                Ok((key.status != KeyStatus::Active).then_some(Concern::Key(key.status)))
            }
            _ => Err(AssociationError::NotOneVersion {
                address: address_words(&member.address),
                stands: "under no such account".to_owned(),
            }),
        }
    }
}
