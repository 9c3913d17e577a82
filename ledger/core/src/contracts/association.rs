//! `association`: which addresses of whom, on which chains, belong together; in versions that nobody skips.
//!
//! Each change is signed as the terms in force say, and by the account of each member that comes. An address stands in one
//! association only, and its holder has shown that it is theirs. A key that a service bound speaks for no account that has a
//! credential. While a member disputes what stands, nothing changes.

use super::authored::{Consent, account_of, is_own_word};
use super::keys::{bound_key, refuse_unless_active};
use super::{Call, Context, StateView, Stop};
use crate::address::{Address, AddressFormat, proof_text};
use crate::entry::{
    ASSOCIATION_MEMBERS_MAX, Act, AssociationAct, AssociationTerms, Member, Party, Quorum, Terms as _,
};
use crate::hash::Hash;
use crate::outcome::{Outcome, Refusal};
use crate::state::association::{
    AddressState, AssociationState, DisputeState, MemberState, address_key, association_key,
};
use crate::state::layout::End;

/// The contract.
pub fn apply(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<Outcome, Stop> {
    let (act, consent) = Consent::carried(call)?;
    let Act::Association(act) = act else { return Err(Refusal::EntryKindUnknown.into()) };
    let id = act.association();
    let next = match act {
        AssociationAct::Open { terms, members, .. } => open(state, context, consent, id, terms, members),
        AssociationAct::Update { version, terms, removed, added, .. } => {
            let before = changeable(state, id, *version)?;
            update(state, context, consent, id, before, (terms.as_ref(), removed, added))
        }
        AssociationAct::Leave { version, address, .. } => {
            let before = changeable(state, id, *version)?;
            leave(state, context, consent, before, address)
        }
        AssociationAct::Dispute { version, reason, .. } => {
            dispute(state, context, consent, id, *version, reason)
        }
        AssociationAct::Settle { dispute, .. } => settle(state, context, consent, id, *dispute),
    }?;
    state.put(association_key(id), next.encode());
    Ok(Outcome::ACCEPTED)
}

fn open(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    id: &Hash,
    terms: &AssociationTerms,
    members: &[Member],
) -> Result<AssociationState, Stop> {
    if state.get(&association_key(id)).is_some() {
        return Err(Refusal::AssociationExists.into());
    }
    if members.is_empty() {
        return Err(Refusal::AssociationInvalid.into());
    }
    can_be_met(state, terms)?;
    let speakers = consent.everybody(state, context)?;
    agreed(state, &speakers, &terms.change, members)?;
    let mut opened = AssociationState {
        version: 1,
        terms: terms.clone(),
        members: Vec::new(),
        disputes: 0,
        dispute: None,
        heard: Vec::new(),
        leaf: context.leaf_index,
    };
    admit(state, context, id, &mut opened, members)?;
    Ok(opened)
}

fn update(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    id: &Hash,
    before: AssociationState,
    (terms, removed, added): (Option<&AssociationTerms>, &[Address], &[Member]),
) -> Result<AssociationState, Stop> {
    if terms.is_none() && removed.is_empty() && added.is_empty() {
        return Err(Refusal::AssociationInvalid.into());
    }
    let speakers = consent.everybody(state, context)?;
    agreed(state, &speakers, &before.terms.change, added)?;
    let mut next = following(before, context);
    if let Some(terms) = terms {
        can_be_met(state, terms)?;
        next.terms = terms.clone();
    }
    for address in removed {
        remove(state, context, &mut next, address)?;
    }
    admit(state, context, id, &mut next, added)?;
    Ok(next)
}

fn leave(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    before: AssociationState,
    address: &Address,
) -> Result<AssociationState, Stop> {
    let account = consent.own_word(state, context)?;
    let mut next = following(before, context);
    if remove(state, context, &mut next, address)?.account == account {
        Ok(next)
    } else {
        Err(Refusal::AuthorNotNamed.into())
    }
}

fn dispute(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    id: &Hash,
    version: u32,
    reason: &Hash,
) -> Result<AssociationState, Stop> {
    let before = known(state, id)?;
    undisputed(&before)?;
    if before.version != version {
        return Err(Refusal::AssociationVersion.into());
    }
    let account = consent.own_word(state, context)?;
    if !before.members.iter().any(|member| member.account == account) {
        return Err(Refusal::AuthorNotNamed.into());
    }
    // Who was heard is heard again of the next version: nobody stops an association for ever.
    if before.heard.contains(&account) {
        return Err(Refusal::DisputeHeard.into());
    }
    let disputes = before.disputes.checked_add(1).ok_or(Refusal::AssociationInvalid)?;
    let heard = before.heard.iter().copied().chain([account]).collect();
    Ok(AssociationState {
        disputes,
        dispute: Some(DisputeState { account, reason: *reason }),
        heard,
        ..before
    })
}

/// Ends a dispute: by the word of the account that raised it, or of those whom the terms name for this.
fn settle(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    id: &Hash,
    number: u32,
) -> Result<AssociationState, Stop> {
    let before = known(state, id)?;
    let open = before.dispute.filter(|_| before.disputes == number).ok_or(Refusal::AssociationUndisputed)?;
    let speakers = consent.everybody(state, context)?;
    let takes_back =
        |(party, account): &(Party, Hash)| *account == open.account && is_own_word(state, party, account);
    if speakers.is_empty() || !speakers.iter().all(takes_back) {
        agreed(state, &speakers, &before.terms.settle, &[])?;
    }
    Ok(AssociationState { dispute: None, ..before })
}

/// Refuses unless enough of a quorum have signed, and the account of each new member, and nobody else.
fn agreed(
    state: &dyn StateView,
    speakers: &[(Party, Hash)],
    quorum: &Quorum,
    added: &[Member],
) -> Result<(), Refusal> {
    let is_word = |(party, account): &(Party, Hash), of: &Member| {
        *account == of.account && is_own_word(state, party, account)
    };
    let comes = |speaker| added.iter().any(|member| is_word(speaker, member));
    if speakers.iter().any(|speaker| !quorum.parties.contains(&speaker.0) && !comes(speaker)) {
        return Err(Refusal::AuthorNotNamed);
    }
    if !quorum.is_met(speakers) {
        return Err(Refusal::AuthorsMissing);
    }
    let speaks = |member: &Member| speakers.iter().any(|speaker| is_word(speaker, member));
    if added.iter().all(speaks) { Ok(()) } else { Err(Refusal::MemberConsentMissing) }
}

/// Refuses terms that nobody could ever meet: each party can speak now, and enough of them for different accounts.
fn can_be_met(state: &dyn StateView, terms: &AssociationTerms) -> Result<(), Stop> {
    if !terms.is_sound() {
        return Err(Refusal::RuleInvalid.into());
    }
    for quorum in [&terms.change, &terms.settle] {
        let named = quorum.parties.iter().map(|party| Ok((*party, account_of(state, party)?)));
        if !quorum.is_met(&named.collect::<Result<Vec<_>, Stop>>()?) {
            return Err(Refusal::RuleInvalid.into());
        }
    }
    Ok(())
}

/// Takes members in, each with its proof, and writes down that their addresses stand here.
fn admit(
    state: &mut dyn StateView,
    context: &Context<'_>,
    id: &Hash,
    next: &mut AssociationState,
    added: &[Member],
) -> Result<(), Stop> {
    for Member { account, address, proof } in added {
        if !address.is_sound() {
            return Err(Refusal::AddressInvalid.into());
        }
        let key = address_key(address);
        let stands = state.get(&key).map(AddressState::decode).transpose()?;
        if stands.is_some_and(|stands| stands.left.is_none()) {
            return Err(Refusal::AddressTaken.into());
        }
        let text = proof_text(context.chain_id, id, next.version, account, address);
        holds(state, account, address, &text, proof)?;
        let since = next.version;
        state.put(key, AddressState { association: *id, since, left: None }.encode());
        let member = MemberState { account: *account, address: address.clone(), since, proof: proof.clone() };
        next.members.push(member);
    }
    next.members.sort_unstable_by(|one, other| one.address.cmp(&other.address));
    if next.members.len() > ASSOCIATION_MEMBERS_MAX {
        return Err(Refusal::AssociationInvalid.into());
    }
    Ok(())
}

/// Refuses unless an address is its account's: by the state for a key of this ledger, by its own proof for any other.
fn holds(
    state: &dyn StateView,
    account: &Hash,
    address: &Address,
    text: &str,
    proof: &[u8],
) -> Result<(), Stop> {
    if address.format != AddressFormat::Key {
        return Ok(address.verify(text, proof).or(Err(Refusal::AddressUnproven))?);
    }
    let bound = bound_key(state, &address.key_id().ok_or(Refusal::AddressInvalid)?)?;
    if bound.account != *account {
        return Err(Refusal::KeyUnknown.into());
    }
    refuse_unless_active(&bound)?;
    // A proof that means nothing could be mistaken for one that does.
    if proof.is_empty() { Ok(()) } else { Err(Refusal::AddressUnproven.into()) }
}

/// Takes a member out, whose address is free from now on. Gives who it was.
fn remove(
    state: &mut dyn StateView,
    context: &Context<'_>,
    next: &mut AssociationState,
    address: &Address,
) -> Result<MemberState, Stop> {
    let place = next.members.iter().position(|member| member.address == *address);
    let member = next.members.remove(place.ok_or(Refusal::MemberUnknown)?);
    let key = address_key(address);
    let value = state.get(&key).ok_or(Refusal::MemberUnknown)?;
    let left = AddressState { left: Some(context.height), ..AddressState::decode(value)? };
    state.put_until(key, left.encode(), End::Height(context.height));
    Ok(member)
}

/// An association that was opened.
fn known(state: &dyn StateView, id: &Hash) -> Result<AssociationState, Stop> {
    let value = state.get(&association_key(id)).ok_or(Refusal::AssociationUnknown)?;
    Ok(AssociationState::decode(value)?)
}

/// An association whose next version is this one, and which nobody disputes.
fn changeable(state: &dyn StateView, id: &Hash, version: u32) -> Result<AssociationState, Stop> {
    let before = known(state, id)?;
    undisputed(&before)?;
    if before.version.checked_add(1) == Some(version) {
        Ok(before)
    } else {
        Err(Refusal::AssociationVersion.into())
    }
}

fn undisputed(association: &AssociationState) -> Result<(), Refusal> {
    if association.dispute.is_some() { Err(Refusal::AssociationDisputed) } else { Ok(()) }
}

/// The next version, with nothing changed yet. INVARIANT: [`changeable`] has held that there is a next one.
fn following(before: AssociationState, context: &Context<'_>) -> AssociationState {
    let version = before.version.saturating_add(1);
    AssociationState { version, heard: Vec::new(), leaf: context.leaf_index, ..before }
}
