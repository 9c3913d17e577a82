//! `delegation`: those whom an account trusts recover it after a delay that it can veto, or act for it within limits.
//!
//! Recoveries wait and are vetoed as `timelock` says, disputes are decided as `approval` says, acts are charged as `rate`
//! says. Here stands what a recovery does, and how one stops another; who the delegates are stands in [`trust`].
//!
//! Whoever has stolen the credential can sign changes like its owner. So the older trust wins: changes carry numbers, a
//! recovery under an older delegation takes the place of one under a younger, and once it is executed it ends all that was
//! signed after it.

mod trust;

use super::authored::Consent;
use super::keys::{bound_key, refuse_unless_active};
use super::registry::{replace_credential, require_open};
use super::{Call, Context, StateView, Stop, rate, timelock};
use crate::ed25519;
use crate::entry::{Act, Case, DelegationAct, Party, Recovery, RuleName, Scope};
use crate::hash::Hash;
use crate::outcome::{Outcome, Refusal};
use crate::scheme::KeyId;
use crate::state::delegation::{DelegationState, Delegations, delegation_key, delegations_key};
use crate::state::layout::{TimelockCaseStatus, TimelockState, timelock_key};

/// The contract.
pub fn apply(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<Outcome, Stop> {
    let (act, consent) = Consent::carried(call)?;
    let Act::Delegation(act) = act else { return Err(Refusal::EntryKindUnknown.into()) };
    match act {
        DelegationAct::Appoint(define) => {
            consent.of_account(state, context, &define.rule.owner)?;
            trust::appoint(state, context, define)
        }
        DelegationAct::Revoke { rule, version } => {
            consent.of_account(state, context, &rule.owner)?;
            trust::revoke(state, context, rule, *version)
        }
        DelegationAct::OpenRecovery { recovery, proof } => {
            let case = open(state, context, consent, recovery, proof)?;
            return Ok(Outcome::accepted_with(&case));
        }
        DelegationAct::VetoRecovery(case) => {
            let author = consent.one(state, context)?;
            veto(state, context, case, author)
        }
        DelegationAct::CancelRecovery(case) => cancel(state, context, consent, case),
        DelegationAct::ExecuteRecovery { recovery, case, judged } => {
            let (party, _) = consent.one(state, context)?;
            execute(state, context, recovery, case, party, judged.as_ref())
        }
        DelegationAct::Operate { rule, key_id, amount, .. } => {
            operate(state, context, consent, rule, key_id, *amount)
        }
    }?;
    Ok(Outcome::ACCEPTED)
}

/// The case of the account's recovery that waits, is disputed or may be executed, and the rule under which it was opened.
fn living(
    state: &dyn StateView,
    context: &Context<'_>,
    all: &Delegations,
) -> Result<Option<(Hash, Hash)>, Stop> {
    let Some(rule) = all.recovery else { return Ok(None) };
    let found = state.get(&timelock_key(&rule)).map(TimelockState::decode).transpose()?;
    let live = found.and_then(|found| found.live).filter(|(_, ends_ms)| *ends_ms >= context.time_ms);
    Ok(live.map(|(case, _)| (rule, case)))
}

/// Refuses while a recovery of the account is open.
pub(super) fn refuse_in_recovery(
    state: &dyn StateView,
    context: &Context<'_>,
    account: &Hash,
) -> Result<(), Stop> {
    let all = trust::all(state, account)?;
    if living(state, context, &all)?.is_some() { Err(Refusal::RecoveryOpen.into()) } else { Ok(()) }
}

/// Takes the consent of as many delegates as it takes, each of an account of its own and none of the owner's.
fn delegates(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    named: (&[Party], u8),
    owner: &Hash,
) -> Result<(), Stop> {
    let (parties, needed) = named;
    let mut accounts = consent.named(state, context, parties, needed)?;
    if accounts.contains(owner) {
        return Err(Refusal::AuthorNotNamed.into());
    }
    accounts.sort_unstable();
    accounts.dedup();
    if accounts.len() < usize::from(needed) { Err(Refusal::AuthorsMissing.into()) } else { Ok(()) }
}

/// Opens a recovery that enough delegates have signed, and the key that is to be the credential. Gives the case's id.
fn open(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    recovery: &Recovery,
    proof: &[u8; 64],
) -> Result<Hash, Stop> {
    let owner = recovery.rule.owner;
    // What is due holds before the recovery lives: afterwards it would wait with what came later.
    trust::settle(state, context, &owner)?;
    let now = trust::of(state, &recovery.rule)?;
    trust::in_force(&now, Scope::RECOVER)?;
    require_open(state, &owner)?;
    let all = trust::all(state, &owner)?;
    if let Some((rule, case)) = living(state, context, &all)? {
        let other = trust::by_id(state, &rule)?.ok_or(Refusal::TimelockBusy)?;
        if other.version <= now.version {
            return Err(Refusal::TimelockBusy.into());
        }
        timelock::close(state, &case)?;
    }
    let payload = recovery.payload(context.chain_id);
    ed25519::verify(&recovery.public_key, &payload, proof).or(Err(Refusal::ProofInvalid))?;
    // The timelock counts the accounts of those who ask; a key of the account itself is no delegate.
    let asked = timelock::asked(state, context, consent, &trust::lock(&now), &payload)?;
    if timelock::case(state, &asked)?.partisans.contains(&owner) {
        return Err(Refusal::AuthorNotNamed.into());
    }
    let recovery = Some(now.id());
    state.put(delegations_key(&owner), Delegations { recovery, ..all }.encode());
    Ok(asked)
}

/// Stops a recovery in the account's own name: by its credential, or by a key that the account named under the terms that
/// the recovery goes by. Any other key of it may be one that the service bound. After a first veto, which may be a thief's, no change of the account's
/// delegates holds for as long as the recovery waited, so that the delegates can ask again.
fn veto(
    state: &mut dyn StateView,
    context: &Context<'_>,
    of: &Case,
    author: (Party, Hash),
) -> Result<(), Stop> {
    let (party, account) = (author.0, &author.1);
    let now = delegation_of(state, &of.id)?;
    if now.rule.owner != *account {
        return Err(Refusal::AuthorNotNamed.into());
    }
    timelock::veto_as(state, context, of, account, |terms| terms.vetoers.contains(&party))?;
    let vetoes = state.get(&timelock_key(&now.id())).map(TimelockState::decode).transpose()?;
    if vetoes.is_some_and(|timelock| timelock.vetoes == 1) {
        let (all, delay_ms) = (trust::all(state, account)?, now.terms.map_or(0, |terms| terms.delay_ms));
        let hold_ms = all.hold_ms.max(context.time_ms.saturating_add(delay_ms));
        state.put(delegations_key(account), Delegations { hold_ms, ..all }.encode());
    }
    Ok(())
}

/// Takes a recovery back in the name of as many delegates as could ask for another one. What approvers decide stays theirs.
fn cancel(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    of: &Case,
) -> Result<(), Stop> {
    let owner = delegation_of(state, &of.id)?.rule.owner;
    let (found, rule) = timelock::live_case(state, context, of)?;
    if found.status == TimelockCaseStatus::Disputed {
        return Err(Refusal::TimelockDisputed.into());
    }
    delegates(state, context, consent, (&rule.terms.openers, rule.terms.needed), &owner)?;
    timelock::close(state, &of.id)
}

/// Binds what was asked to the account, and ends what was signed after the trust that asked. No key of the account is shown
/// to anybody.
fn execute(
    state: &mut dyn StateView,
    context: &Context<'_>,
    recovery: &Recovery,
    id: &Hash,
    party: Party,
    judged: Option<&Hash>,
) -> Result<(), Stop> {
    // The same payload under a rule of somebody else's is no recovery.
    let now = delegation_of(state, id)?;
    if now.rule != recovery.rule {
        return Err(Refusal::CaseUnknown.into());
    }
    let of = Case { id: *id, payload: recovery.payload(context.chain_id) };
    let delegates = trust::accounts(state, now.terms.as_ref())?;
    timelock::execute(state, context, &of, party, judged, &delegates)?;
    require_open(state, &now.rule.owner)?;
    trust::end_younger(state, &now)?;
    replace_credential(state, &now.rule.owner, &recovery.public_key)
}

/// Charges what delegates are about to do for the account with a key of it.
fn operate(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    rule: &RuleName,
    key_id: &KeyId,
    amount: u128,
) -> Result<(), Stop> {
    trust::settle(state, context, &rule.owner)?;
    let now = trust::of(state, rule)?;
    let terms = trust::in_force(&now, Scope::OPERATE)?;
    require_open(state, &rule.owner)?;
    delegates(state, context, consent, (&terms.delegates, terms.needed), &rule.owner)?;
    let key = bound_key(state, key_id)?;
    if key.account != rule.owner {
        return Err(Refusal::KeyUnknown.into());
    }
    refuse_unless_active(&key)?;
    rate::charge(state, context, &now.id(), amount)
}

/// The delegation under which a case was opened.
fn delegation_of(state: &dyn StateView, case: &Hash) -> Result<DelegationState, Stop> {
    let rule = timelock::case(state, case)?.rule;
    let value = state.get(&delegation_key(&rule)).ok_or(Refusal::CaseUnknown)?;
    Ok(DelegationState::decode(value)?)
}
