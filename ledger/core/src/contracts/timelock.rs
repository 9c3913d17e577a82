//! `timelock`: an act opens after a delay of block time unless somebody named vetoes it, and is executed once.
//!
//! One act at a time lives under a rule, and the rule stands still as long as it does: a definition waits for its end, so
//! that whoever opens act after act cannot hold off a change. It holds then if the owner's credential is still the one
//! that signed it: the act may have been the way to take the account back. From the second veto on approvers decide, so
//! that nobody can veto for ever.
//!
//! Other contracts open acts under rules of their own kinds; those are theirs alone to veto, cancel and execute.

use super::authored::{Consent, next_version};
use super::{Call, Context, StateView, Stop, approval, registry};
use crate::entry::{Act, Case, Define, Party, RuleName, Terms as _, TimelockTerms, kind};
use crate::hash::{Hash, Tag};
use crate::outcome::{Outcome, Refusal};
use crate::state::delegation::delegation_key;
use crate::state::layout::{
    End, TimelockCase, TimelockCaseStatus as Status, TimelockState, Waiting, timelock_case_key, timelock_key,
};

/// From this veto on approvers decide, if the rule names some.
const DISPUTED_FROM: u32 = 2;

/// What approvers decide of a disputed act: `tagged("keyward/dispute/v1", case || payload)`.
pub fn dispute_payload(case: &Case) -> Hash {
    Tag::Dispute.hash(&[&case.id, &case.payload])
}

/// A rule by its id, and the account that may define it anew. Its kind is in the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The rule's id.
    pub id: Hash,
    /// The owner.
    pub owner: Hash,
}

impl Lock {
    fn of(rule: &RuleName) -> Self {
        Self { id: rule.id(kind::DEFINE_TIMELOCK), owner: rule.owner }
    }
}

/// The contract.
pub fn apply(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<Outcome, Stop> {
    let (act, consent) = Consent::carried(call)?;
    match act {
        Act::DefineTimelock(Define { rule, version, terms }) => {
            consent.of_account(state, context, &rule.owner)?;
            define(state, context, &Lock::of(rule), *version, terms)
        }
        Act::OpenTimelock { rule, payload } => {
            let case = asked(state, context, consent, &Lock::of(rule), payload)?;
            return Ok(Outcome::accepted_with(&case));
        }
        Act::VetoTimelock(case) => {
            let (party, account) = consent.one(state, context)?;
            plain(state, case)?;
            veto_as(state, context, case, &account, |terms| terms.vetoers.contains(&party))
        }
        Act::CancelTimelock(case) => {
            let (party, _) = consent.one(state, context)?;
            plain(state, case)?;
            cancel(state, context, case, party)
        }
        Act::ExecuteTimelock { case, judged } => {
            let (party, _) = consent.one(state, context)?;
            plain(state, case)?;
            execute(state, context, case, party, judged.as_ref(), &[])
        }
        _ => Err(Refusal::EntryKindUnknown.into()),
    }?;
    Ok(Outcome::ACCEPTED)
}

/// Sets a rule in its next version, once no act lives under it, in the name of its owner's present credential. Defined
/// again meanwhile, the last definition counts.
pub fn define(
    state: &mut dyn StateView,
    context: &Context<'_>,
    lock: &Lock,
    version: u32,
    terms: &TimelockTerms,
) -> Result<(), Stop> {
    let (key, credential) = (timelock_key(&lock.id), credential_version(state, &lock.owner)?);
    let before = state.get(&key).map(TimelockState::decode).transpose()?;
    let before = before.map(|before| settled(before, credential, context));
    next_version(before.as_ref().map(|before| before.version), version)?;
    if !terms.is_sound() {
        return Err(Refusal::RuleInvalid.into());
    }
    let (terms, next) = (terms.clone(), None);
    let after = match before {
        None => TimelockState { version, terms, cases: 0, vetoes: 0, live: None, next },
        Some(before) if before.live.is_some() => {
            TimelockState { next: Some(Waiting { terms, credential }), ..before }
        }
        Some(before) => TimelockState { version, terms, next, ..before },
    };
    state.put(key, after.encode());
    Ok(())
}

/// Opens an act that enough openers, of as many accounts, have signed. Gives the case's id.
pub fn asked(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    lock: &Lock,
    payload: &Hash,
) -> Result<Hash, Stop> {
    let rule = settled(rule(state, &lock.id)?, credential_version(state, &lock.owner)?, context);
    if rule.live.is_some() {
        return Err(Refusal::TimelockBusy.into());
    }
    let mut openers = consent.named(state, context, &rule.terms.openers, rule.terms.needed)?;
    openers.sort_unstable();
    openers.dedup();
    if openers.len() < usize::from(rule.terms.needed) {
        return Err(Refusal::AuthorsMissing.into());
    }
    Ok(open(state, context, &lock.id, rule, payload, openers))
}

fn open(
    state: &mut dyn StateView,
    context: &Context<'_>,
    rule_id: &Hash,
    mut rule: TimelockState,
    payload: &Hash,
    partisans: Vec<Hash>,
) -> Hash {
    rule.cases = rule.cases.saturating_add(1);
    let id = Tag::Case.hash(&[rule_id, &rule.cases.to_be_bytes()]);
    let opens_ms = context.time_ms.saturating_add(rule.terms.delay_ms);
    let ends_ms = opens_ms.saturating_add(rule.terms.open_ms);
    let case = TimelockCase {
        ends_ms,
        rule: *rule_id,
        payload: *payload,
        opens_ms,
        status: Status::Waiting,
        partisans,
    };
    rule.live = Some((id, ends_ms));
    state.put(timelock_key(rule_id), rule.encode());
    state.put_until(timelock_case_key(&id), case.encode(), End::TimeMs(ends_ms));
    id
}

/// Stops an act in the name of an account, if the rule's terms allow. From the second veto on, and where the rule names
/// approvers, they decide; the act gets as long again.
pub fn veto_as(
    state: &mut dyn StateView,
    context: &Context<'_>,
    case: &Case,
    account: &Hash,
    allowed: impl FnOnce(&TimelockTerms) -> bool,
) -> Result<(), Stop> {
    let (mut found, mut rule) = live_case(state, context, case)?;
    if !allowed(&rule.terms) {
        return Err(Refusal::AuthorNotNamed.into());
    }
    if found.status == Status::Disputed {
        return Err(Refusal::TimelockDisputed.into());
    }
    rule.vetoes = rule.vetoes.saturating_add(1);
    if rule.vetoes < DISPUTED_FROM || rule.terms.judges.is_none() {
        end(state, &case.id, found, rule, Status::Closed);
        return Ok(());
    }
    let TimelockTerms { delay_ms, open_ms, .. } = rule.terms;
    found.status = Status::Disputed;
    // INVARIANT: at most AUTHORS_MAX openers, and this one vetoer.
    found.partisans.push(*account);
    found.ends_ms = found.ends_ms.max(context.time_ms.saturating_add(delay_ms).saturating_add(open_ms));
    rule.live = Some((case.id, found.ends_ms));
    state.put(timelock_key(&found.rule), rule.encode());
    state.put_until(timelock_case_key(&case.id), found.encode(), End::TimeMs(found.ends_ms));
    Ok(())
}

/// Takes an act back, in the name of any opener of the rule.
pub fn cancel(
    state: &mut dyn StateView,
    context: &Context<'_>,
    case: &Case,
    party: Party,
) -> Result<(), Stop> {
    let (found, rule) = live_case(state, context, case)?;
    if !rule.terms.openers.contains(&party) {
        return Err(Refusal::AuthorNotNamed.into());
    }
    end(state, &case.id, found, rule, Status::Closed);
    Ok(())
}

/// Closes an act that lives, whoever asked for it: another contract has decided so.
pub fn close(state: &mut dyn StateView, id: &Hash) -> Result<(), Stop> {
    let found = case(state, id)?;
    let rule = rule(state, &found.rule)?;
    end(state, id, found, rule, Status::Closed);
    Ok(())
}

/// Does what was opened, in the name of any opener of the rule. A disputed act takes the approval case that decided it;
/// approvals of those who asked for it, of those who disputed it and of the accounts `excluded` do not count.
pub fn execute(
    state: &mut dyn StateView,
    context: &Context<'_>,
    case: &Case,
    party: Party,
    judged: Option<&Hash>,
    excluded: &[Hash],
) -> Result<(), Stop> {
    let (found, mut rule) = live_case(state, context, case)?;
    if !rule.terms.openers.contains(&party) {
        return Err(Refusal::AuthorNotNamed.into());
    }
    if context.time_ms < found.opens_ms {
        return Err(Refusal::TimelockEarly.into());
    }
    match (found.status, judged, rule.terms.judges) {
        (Status::Disputed, Some(id), Some(judges)) => {
            let decision = Case { id: *id, payload: dispute_payload(case) };
            let excluded = [&found.partisans, excluded].concat();
            approval::use_up(state, context, &judges, &decision, &excluded)?;
        }
        (Status::Disputed, _, _) => return Err(Refusal::TimelockDisputed.into()),
        (_, Some(_), _) => return Err(Refusal::CaseUnknown.into()),
        (_, None, _) => {}
    }
    rule.vetoes = 0;
    end(state, &case.id, found, rule, Status::Executed);
    Ok(())
}

/// Ends an act. A definition that waits is looked at when the rule is used next, after all that the act does.
fn end(state: &mut dyn StateView, id: &Hash, found: TimelockCase, rule: TimelockState, status: Status) {
    state.put(timelock_key(&found.rule), TimelockState { live: None, ..rule }.encode());
    state.put(timelock_case_key(id), TimelockCase { status, ..found }.encode());
}

/// The rule as it stands now: an act whose time is over does not live any more, and without one a definition that waited
/// holds, or is dropped if its owner has another credential by now.
fn settled(rule: TimelockState, credential: Option<u32>, context: &Context<'_>) -> TimelockState {
    if rule.live.is_some_and(|(_, ends_ms)| ends_ms >= context.time_ms) {
        return rule;
    }
    let (live, next) = (None, None);
    match rule.next {
        Some(waiting) if credential.is_some() && waiting.credential == credential => {
            // INVARIANT: the definition was taken for the version after this one, so there is one.
            let version = rule.version.saturating_add(1);
            TimelockState { version, terms: waiting.terms, live, next, ..rule }
        }
        _ => TimelockState { live, next, ..rule },
    }
}

/// Which version of its credential an account has.
fn credential_version(state: &dyn StateView, account: &Hash) -> Result<Option<u32>, Stop> {
    Ok(registry::credential(state, account)?.map(|present| present.version))
}

/// An act under a timelock, as long as it lives.
pub fn case(state: &dyn StateView, id: &Hash) -> Result<TimelockCase, Stop> {
    let value = state.get(&timelock_case_key(id)).ok_or(Refusal::CaseUnknown)?;
    Ok(TimelockCase::decode(value)?)
}

/// Refuses a case that another contract has opened: what it does is that contract's business alone.
fn plain(state: &dyn StateView, of: &Case) -> Result<(), Stop> {
    let rule = case(state, &of.id)?.rule;
    if state.get(&delegation_key(&rule)).is_some() { Err(Refusal::CaseUnknown.into()) } else { Ok(()) }
}

fn rule(state: &dyn StateView, rule: &Hash) -> Result<TimelockState, Stop> {
    let value = state.get(&timelock_key(rule)).ok_or(Refusal::RuleUnknown)?;
    Ok(TimelockState::decode(value)?)
}

/// An act about the payload that waits or is disputed, and its rule.
pub fn live_case(
    state: &dyn StateView,
    context: &Context<'_>,
    of: &Case,
) -> Result<(TimelockCase, TimelockState), Stop> {
    let found = case(state, &of.id)?;
    if found.ends_ms < context.time_ms {
        return Err(Refusal::CaseUnknown.into());
    }
    if found.payload != of.payload {
        return Err(Refusal::CasePayload.into());
    }
    match found.status {
        Status::Waiting | Status::Disputed => {}
        Status::Closed => return Err(Refusal::CaseClosed.into()),
        Status::Executed => return Err(Refusal::CaseUsed.into()),
    }
    let rule = rule(state, &found.rule)?;
    Ok((found, rule))
}
