//! Whom an account trusts: appointed and revoked with a number for each change, in force after a delay.

use super::living;
use crate::contracts::authored::{account_of, next_version};
use crate::contracts::timelock::{self, Lock};
use crate::contracts::{Context, StateView, Stop, approval, keys, members, rate};
use crate::entry::{Define, DelegationTerms, Party, RuleName, Scope, Terms as _, kind};
use crate::hash::Hash;
use crate::outcome::Refusal;
use crate::state::delegation::{
    DELEGATION_NAMES_MAX, DELEGATIONS_MAX, DelegationState, Delegations, NextDelegation, delegation_key,
    delegations_key,
};
use crate::state::layout::{RateState, TimelockState, rate_key, timelock_key};

/// What an account's delegations have to do with each other.
pub(super) fn all(state: &dyn StateView, account: &Hash) -> Result<Delegations, Stop> {
    Ok(state.get(&delegations_key(account)).map(Delegations::decode).transpose()?.unwrap_or_default())
}

/// A delegation as it was last settled.
pub(super) fn of(state: &dyn StateView, rule: &RuleName) -> Result<DelegationState, Stop> {
    let known = by_id(state, &rule.id(kind::APPOINT_DELEGATES))?;
    Ok(known.unwrap_or(DelegationState::none(*rule)))
}

/// A delegation by its rule's id, if anything was ever said of it.
pub(super) fn by_id(state: &dyn StateView, id: &Hash) -> Result<Option<DelegationState>, Stop> {
    Ok(state.get(&delegation_key(id)).map(DelegationState::decode).transpose()?)
}

/// The rule of `timelock` that a delegation's recoveries go by.
pub(super) fn lock(now: &DelegationState) -> Lock {
    Lock { id: now.id(), owner: now.rule.owner }
}

/// The terms in force, if they reach so far.
pub(super) fn in_force(now: &DelegationState, scope: Scope) -> Result<&DelegationTerms, Stop> {
    let acts = scope.includes(Scope::OPERATE);
    let terms = now.terms.as_ref().filter(|terms| terms.scope.includes(scope) && !(acts && now.stopped));
    terms.ok_or_else(|| Refusal::DelegationNotInForce.into())
}

/// Puts other terms before the account's delegation. They hold after the longest delay of theirs and of all delegations of the
/// account in force: whoever has got hold of the credential cannot have delegates of their own before the others could act.
pub(super) fn appoint(
    state: &mut dyn StateView,
    context: &Context<'_>,
    define: &Define<DelegationTerms>,
) -> Result<(), Stop> {
    let Define { rule, version, terms } = define;
    let all = numbered(state, context, &rule.owner, *version)?;
    check(state, rule, terms)?;
    let now = of(state, rule)?;
    if !now.stands() && all.rules.len() >= DELEGATIONS_MAX {
        return Err(Refusal::DelegationLimit.into());
    }
    if all.names >= DELEGATION_NAMES_MAX && by_id(state, &now.id())?.is_none() {
        return Err(Refusal::DelegationNames.into());
    }
    let mut delay_ms = terms.delay_ms;
    for id in &all.rules {
        let other = by_id(state, id)?.and_then(|other| other.terms);
        delay_ms = delay_ms.max(other.map_or(0, |other| other.delay_ms));
    }
    let from_ms = context.time_ms.saturating_add(delay_ms);
    let next = Some(NextDelegation { version: *version, from_ms, terms: Some(terms.clone()) });
    put(state, &DelegationState { next, ..now })
}

/// Ends a delegation: acts at once, recovery after its delay. Terms that were never in force are taken back.
pub(super) fn revoke(
    state: &mut dyn StateView,
    context: &Context<'_>,
    rule: &RuleName,
    version: u32,
) -> Result<(), Stop> {
    numbered(state, context, &rule.owner, version)?;
    let now = of(state, rule)?;
    if !now.stands() {
        return Err(Refusal::DelegationNotInForce.into());
    }
    let next = now.terms.as_ref().map(|terms| {
        let from_ms = context.time_ms.saturating_add(terms.delay_ms);
        NextDelegation { version, from_ms, terms: None }
    });
    put(state, &DelegationState { next, stopped: now.terms.is_some(), ..now })
}

/// Counts a change: its number is the next one of the account. One that somebody held back is worth nothing after another.
fn numbered(
    state: &mut dyn StateView,
    context: &Context<'_>,
    owner: &Hash,
    version: u32,
) -> Result<Delegations, Stop> {
    settle(state, context, owner)?;
    let all = all(state, owner)?;
    next_version(Some(all.changes), version)?;
    let all = Delegations { changes: version, ..all };
    state.put(delegations_key(owner), all.encode());
    Ok(all)
}

/// Refuses terms that are out of their bounds, name somebody who could not speak, or under which the account or a delegate
/// would judge its own case.
fn check(state: &dyn StateView, rule: &RuleName, terms: &DelegationTerms) -> Result<(), Stop> {
    let recovers = terms.scope.includes(Scope::RECOVER);
    let hasty = recovers && terms.delay_ms < members::configuration(state)?.recovery_delay_min_ms;
    if !terms.is_sound() || hasty {
        return Err(Refusal::RuleInvalid.into());
    }
    let speaks = |party| account_of(state, party);
    let mut parties = terms.delegates.iter().map(speaks).collect::<Result<Vec<_>, _>>()?;
    parties.sort_unstable();
    parties.dedup();
    if parties.contains(&rule.owner) || parties.len() < usize::from(terms.needed) {
        return Err(Refusal::RuleInvalid.into());
    }
    for key_id in &terms.vetoers {
        if account_of(state, &Party::Key(*key_id))? != rule.owner {
            return Err(Refusal::AuthorNotNamed.into());
        }
    }
    parties.push(rule.owner);
    terms.judges.as_ref().map_or(Ok(()), |judges| check_judges(state, judges, &parties))
}

/// Refuses judges whose rule is one of the parties', or who are too few without them and those who cannot speak.
fn check_judges(state: &dyn StateView, judges: &RuleName, parties: &[Hash]) -> Result<(), Stop> {
    if parties.contains(&judges.owner) {
        return Err(Refusal::RuleInvalid.into());
    }
    for group in approval::rule(state, &judges.id(kind::DEFINE_APPROVAL))?.terms.groups {
        let mut accounts = Vec::new();
        for member in &group.members {
            match account_of(state, member) {
                Ok(account) if !parties.contains(&account) => accounts.push(account),
                Ok(_) | Err(Stop::Refused(_)) => {}
                Err(broken) => return Err(broken),
            }
        }
        accounts.sort_unstable();
        accounts.dedup();
        if accounts.len() < usize::from(group.needed) {
            return Err(Refusal::RuleInvalid.into());
        }
    }
    Ok(())
}

/// The accounts of the delegates, as far as they are known.
pub(super) fn accounts(state: &dyn StateView, terms: Option<&DelegationTerms>) -> Result<Vec<Hash>, Stop> {
    let mut accounts = Vec::new();
    for delegate in terms.map_or(&[][..], |terms| &terms.delegates) {
        match delegate {
            Party::Credential(account) => accounts.push(*account),
            Party::Key(key_id) => match keys::bound_key(state, key_id) {
                Ok(key) => accounts.push(key.account),
                Err(Stop::Refused(_)) => {}
                Err(broken) => return Err(broken),
            },
        }
    }
    Ok(accounts)
}

/// Lets what has waited long enough hold, for all delegations of the account, unless a recovery of it lives.
pub(super) fn settle(state: &mut dyn StateView, context: &Context<'_>, owner: &Hash) -> Result<(), Stop> {
    let all = all(state, owner)?;
    if living(state, context, &all)?.is_some() {
        return Ok(());
    }
    for id in &all.rules {
        let Some(now) = by_id(state, id)? else { continue };
        let due = |next: &NextDelegation| next.from_ms.max(all.hold_ms) <= context.time_ms;
        let Some(next) = now.next.clone().filter(due) else { continue };
        if let Some(terms) = &next.terms {
            set_rules(state, context, &lock(&now), terms)?;
        }
        let NextDelegation { version, terms, .. } = next;
        put(state, &DelegationState { version, stopped: false, terms, next: None, ..now })?;
    }
    Ok(())
}

/// Sets the rules by which the terms go.
fn set_rules(
    state: &mut dyn StateView,
    context: &Context<'_>,
    lock: &Lock,
    terms: &DelegationTerms,
) -> Result<(), Stop> {
    let before = state.get(&timelock_key(&lock.id)).map(TimelockState::decode).transpose()?;
    let version = before.map_or(0, |before| before.version).saturating_add(1);
    timelock::define(state, context, lock, version, &terms.timelock(&lock.owner))?;
    if terms.scope.includes(Scope::OPERATE) {
        let before = state.get(&rate_key(&lock.id)).map(RateState::decode).transpose()?;
        let version = before.map_or(0, |before| before.version).saturating_add(1);
        rate::define(state, &lock.id, version, &terms.rate())?;
    }
    Ok(())
}

/// After a recovery: what waits was signed by a credential that is worth nothing now, and may have been a thief's like all
/// that was signed after the trust that recovered. Who was revoked stays so until somebody is appointed anew: a recovery
/// gives nobody the right to act.
pub(super) fn end_younger(state: &mut dyn StateView, recovering: &DelegationState) -> Result<(), Stop> {
    for id in all(state, &recovering.rule.owner)?.rules {
        let Some(now) = by_id(state, &id)? else { continue };
        let terms = now.terms.clone().filter(|_| now.version <= recovering.version);
        let stopped = now.stopped && terms.is_some();
        put(state, &DelegationState { terms, stopped, next: None, ..now })?;
    }
    Ok(())
}

/// Writes a delegation down, and whether it stands among the account's.
fn put(state: &mut dyn StateView, now: &DelegationState) -> Result<(), Stop> {
    let (id, mut all) = (now.id(), all(state, &now.rule.owner)?);
    if by_id(state, &id)?.is_none() {
        all.names = all.names.saturating_add(1);
    }
    match now.stands() {
        false => all.rules.retain(|other| *other != id),
        true if all.rules.contains(&id) => {}
        true => all.rules.push(id),
    }
    state.put(delegations_key(&now.rule.owner), all.encode());
    state.put(delegation_key(&id), now.encode());
    Ok(())
}
