//! `approval`: m of n in each group over one exact payload, each with its own signature, used up once.
//!
//! Nobody approves what they asked for. A missing rule, an unknown approver and an empty group refuse.

use super::authored::{Consent, next_version};
use super::registry::require_open;
use super::{Call, Context, StateView, Stop};
use crate::entry::{Act, ApprovalTerms, Case, Define, Party, Terms as _, kind};
use crate::hash::{Hash, Tag};
use crate::outcome::{Outcome, Refusal};
use crate::state::layout::{
    ApprovalCase, ApprovalCaseStatus as Status, ApprovalState, End, approval_case_key, approval_key,
};

/// The contract.
pub fn apply(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<Outcome, Stop> {
    let (act, consent) = Consent::carried(call)?;
    if let Act::DefineApproval(Define { rule, version, terms }) = act {
        consent.of_account(state, context, &rule.owner)?;
        define(state, &rule.id(kind::DEFINE_APPROVAL), *version, terms)?;
        return Ok(Outcome::ACCEPTED);
    }
    let (party, account) = consent.one(state, context)?;
    match act {
        Act::OpenApproval { rule, payload, live_ms } => {
            let rule = rule.id(kind::DEFINE_APPROVAL);
            let case = open(state, context, &rule, payload, *live_ms, &account)?;
            return Ok(Outcome::accepted_with(&case));
        }
        Act::Approve { case, group } => approve(state, context, case, *group, party, &account),
        Act::RefuseApproval(case) => refuse(state, context, case, party, &account),
        Act::WithdrawApproval(case) => withdraw(state, context, case, &account),
        Act::UseApproval(case) => use_own(state, context, case, &account),
        _ => Err(Refusal::EntryKindUnknown.into()),
    }?;
    Ok(Outcome::ACCEPTED)
}

/// Sets a rule in its next version. Cases of the versions before are worth nothing from now on.
pub fn define(
    state: &mut dyn StateView,
    rule: &Hash,
    version: u32,
    terms: &ApprovalTerms,
) -> Result<(), Stop> {
    let before = state.get(&approval_key(rule)).map(ApprovalState::decode).transpose()?;
    next_version(before.as_ref().map(|before| before.version), version)?;
    if !terms.is_sound() {
        return Err(Refusal::RuleInvalid.into());
    }
    let cases = before.map_or(0, |before| before.cases);
    state.put(approval_key(rule), ApprovalState { version, terms: terms.clone(), cases }.encode());
    Ok(())
}

/// Opens a case for an account that asks. Gives the case's id.
pub fn open(
    state: &mut dyn StateView,
    context: &Context<'_>,
    rule_id: &Hash,
    payload: &Hash,
    live_ms: u64,
    initiator: &Hash,
) -> Result<Hash, Stop> {
    let mut rule = rule(state, rule_id)?;
    if live_ms == 0 || live_ms > rule.terms.live_ms_max {
        return Err(Refusal::ExpiryTooFar.into());
    }
    rule.cases = rule.cases.saturating_add(1);
    let id = Tag::Case.hash(&[rule_id, &rule.cases.to_be_bytes()]);
    let case = ApprovalCase {
        ends_ms: context.time_ms.saturating_add(live_ms),
        rule: *rule_id,
        version: rule.version,
        payload: *payload,
        initiator: *initiator,
        status: Status::Open,
        approvals: Vec::new(),
    };
    state.put(approval_key(rule_id), rule.encode());
    state.put_until(approval_case_key(&id), case.encode(), End::TimeMs(case.ends_ms));
    Ok(id)
}

/// Takes an approval of a member of a group.
pub fn approve(
    state: &mut dyn StateView,
    context: &Context<'_>,
    case: &Case,
    group: u8,
    party: Party,
    account: &Hash,
) -> Result<(), Stop> {
    let (mut found, rule) = open_case(state, context, case)?;
    let members = rule.terms.groups.get(usize::from(group)).map(|group| group.members.as_slice());
    if !members.unwrap_or_default().contains(&party) {
        return Err(Refusal::AuthorNotNamed.into());
    }
    if found.initiator == *account {
        return Err(Refusal::ApproverIsInitiator.into());
    }
    if found.approvals.iter().any(|(_, given)| given == account) {
        return Err(Refusal::ApprovalGiven.into());
    }
    // INVARIANT: no more approvals than members, of which the rule's bounds allow GROUPS_MAX * PARTIES_MAX.
    found.approvals.push((group, *account));
    state.put(approval_case_key(&case.id), found.encode());
    Ok(())
}

/// Closes a case in the name of a member of any group.
pub fn refuse(
    state: &mut dyn StateView,
    context: &Context<'_>,
    case: &Case,
    party: Party,
    account: &Hash,
) -> Result<(), Stop> {
    let (found, rule) = open_case(state, context, case)?;
    if !rule.terms.groups.iter().any(|group| group.members.contains(&party)) {
        return Err(Refusal::AuthorNotNamed.into());
    }
    if found.initiator == *account {
        return Err(Refusal::ApproverIsInitiator.into());
    }
    close(state, case, found, Status::Closed);
    Ok(())
}

/// Takes an account's approval back, or closes the case if the account is its initiator.
pub fn withdraw(
    state: &mut dyn StateView,
    context: &Context<'_>,
    case: &Case,
    account: &Hash,
) -> Result<(), Stop> {
    let (mut found, _) = open_case(state, context, case)?;
    if found.initiator == *account {
        close(state, case, found, Status::Closed);
        return Ok(());
    }
    let given = found.approvals.len();
    found.approvals.retain(|(_, approver)| approver != account);
    if found.approvals.len() == given {
        return Err(Refusal::ApprovalNotGiven.into());
    }
    state.put(approval_case_key(&case.id), found.encode());
    Ok(())
}

/// Uses a case's approvals up, for the one rule that the caller goes by. Approvals of accounts that were closed since, or
/// that stand in `excluded`, do not count.
pub fn use_up(
    state: &mut dyn StateView,
    context: &Context<'_>,
    rule_id: &Hash,
    case: &Case,
    excluded: &[Hash],
) -> Result<(), Stop> {
    let (found, rule) = open_case(state, context, case)?;
    if found.rule != *rule_id {
        return Err(Refusal::CaseUnknown.into());
    }
    let mut given = Vec::with_capacity(found.approvals.len());
    for (group, account) in &found.approvals {
        match require_open(state, account) {
            Ok(()) if !excluded.contains(account) => given.push(*group),
            Ok(()) | Err(Stop::Refused(_)) => {}
            Err(broken) => return Err(broken),
        }
    }
    let complete = (0..).zip(&rule.terms.groups).all(|(number, group)| {
        let count = given.iter().filter(|for_group| **for_group == number).count();
        count >= usize::from(group.needed.max(1))
    });
    if rule.terms.groups.is_empty() || !complete {
        return Err(Refusal::ApprovalsMissing.into());
    }
    close(state, case, found, Status::Used);
    Ok(())
}

fn use_own(
    state: &mut dyn StateView,
    context: &Context<'_>,
    case: &Case,
    account: &Hash,
) -> Result<(), Stop> {
    let (found, _) = open_case(state, context, case)?;
    if found.initiator != *account {
        return Err(Refusal::AuthorNotNamed.into());
    }
    use_up(state, context, &found.rule, case, &[])
}

fn close(state: &mut dyn StateView, case: &Case, found: ApprovalCase, status: Status) {
    state.put(approval_case_key(&case.id), ApprovalCase { status, ..found }.encode());
}

/// A rule as it stands.
pub fn rule(state: &dyn StateView, rule: &Hash) -> Result<ApprovalState, Stop> {
    let value = state.get(&approval_key(rule)).ok_or(Refusal::RuleUnknown)?;
    Ok(ApprovalState::decode(value)?)
}

/// A case that is open, about the payload and under its rule's present version.
fn open_case(
    state: &dyn StateView,
    context: &Context<'_>,
    case: &Case,
) -> Result<(ApprovalCase, ApprovalState), Stop> {
    let value = state.get(&approval_case_key(&case.id)).ok_or(Refusal::CaseUnknown)?;
    let found = ApprovalCase::decode(value)?;
    if found.ends_ms < context.time_ms {
        return Err(Refusal::CaseUnknown.into());
    }
    if found.payload != case.payload {
        return Err(Refusal::CasePayload.into());
    }
    match found.status {
        Status::Open => {}
        Status::Closed => return Err(Refusal::CaseClosed.into()),
        Status::Used => return Err(Refusal::CaseUsed.into()),
    }
    let rule = rule(state, &found.rule)?;
    if rule.version != found.version {
        return Err(Refusal::RuleVersion.into());
    }
    Ok((found, rule))
}
