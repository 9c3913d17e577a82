//! `audit`: terms that a tenant's approvers keep, and grants by which somebody sees accounts for a period: asked for, approved, issued,
//! opened run by run, delivered, used and revoked, each step a record of its own.

use super::addresses::{chosen, elapsed};
use super::authored::{Consent, is_own_word, next_version};
use super::policy::{Succession, approved};
use super::registry::require_open;
use super::{Call, Context, StateView, Stop, approval, only};
use crate::entry::{Act, AuditAct, Case, Entry, Grant, OpenGrant, PublishAudit, RevokeGrant};
use crate::genesis::Role;
use crate::hash::Hash;
use crate::outcome::{Outcome, Refusal};
use crate::state::addresses::AddressesState;
use crate::state::audit::{
    AuditGrantState, AuditGrantStatus as Status, AuditState, audit_grant_key, audit_key,
};
use crate::unlinkable::AddressEpoch;

/// How long after a grant's end the log of what was looked at under it may still be noted.
pub const LOG_AFTER_MS: u64 = 3_600_000;

/// The contract.
pub fn apply(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<Outcome, Stop> {
    match call.entry {
        Entry::DeliverGrant(deliver) => {
            only(call, &[Role::Service])?;
            let found = in_force(state, context, &deliver.opened.grant)?;
            in_scope(state, context, &found.grant, &deliver.opened)
        }
        Entry::UseGrant(used) => {
            only(call, &[Role::Service, Role::Operator])?;
            was_in_force(state, context, &used.grant)
        }
        Entry::Authored(authored) => {
            let consent = Consent::of(authored);
            let Act::Audit(act) = &authored.act else { return Err(Refusal::EntryKindUnknown.into()) };
            match act {
                AuditAct::Publish(publish) => publish_terms(state, call, context, consent, publish),
                AuditAct::Request(grant) => request(state, context, consent, grant),
                AuditAct::Issue { grant, case } => issue(state, context, consent, grant, case),
                AuditAct::Open(open) => open_run(state, context, consent, open),
                AuditAct::Revoke(wanted) => revoke(state, context, consent, wanted),
            }
        }
        _ => Err(Refusal::EntryKindUnknown.into()),
    }?;
    Ok(Outcome::ACCEPTED)
}

/// Sets a tenant's terms in their next version, as a policy set is published.
fn publish_terms(
    state: &mut dyn StateView,
    call: &Call<'_>,
    context: &Context<'_>,
    consent: Consent<'_>,
    publish: &PublishAudit,
) -> Result<(), Stop> {
    let (_, account) = consent.one(state, context)?;
    let before = terms_of(state, &publish.tenant)?;
    next_version(before.map(|before| before.version), publish.version)?;
    if !publish.terms.is_sound() {
        return Err(Refusal::RuleInvalid.into());
    }
    approval::rule(state, &publish.rule)?;
    let rule = before.map(|before| before.rule);
    let succession = Succession { rule, case: publish.case, publication: publish.publication() };
    succession.allowed(state, call, context, &account)?;
    let PublishAudit { version, terms, rule, .. } = *publish;
    let published = AuditState { version, terms, rule, leaf: context.leaf_index };
    state.put(audit_key(&publish.tenant), published.encode());
    Ok(())
}

/// Writes down what somebody asks to see, within the terms of now.
fn request(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    grant: &Grant,
) -> Result<(), Stop> {
    let grantee = consent.own_word(state, context)?;
    let key = audit_grant_key(&grant.id);
    if state.get(&key).is_some() {
        return Err(Refusal::GrantExists.into());
    }
    let published = terms_of(state, &grant.tenant)?.ok_or(Refusal::AuditUnpublished)?;
    if !is_within(grant, &published, context) {
        return Err(Refusal::GrantTooWide.into());
    }
    for account in &grant.accounts {
        let Some(of) = chosen(state, account)?.filter(|of| of.tenant == grant.tenant) else {
            require_open(state, account)?;
            return Err(Refusal::AddressesUnknown.into());
        };
        can_be_opened(&of, grant.from_ms, &published, context)?;
    }
    let requested = AuditGrantState {
        status: Status::Requested,
        grantee,
        terms_version: published.version,
        requested_leaf: context.leaf_index,
        issued_leaf: 0,
        revoked_ms: 0,
        grant: grant.clone(),
    };
    state.put(key, requested.encode());
    Ok(())
}

/// Refuses what a closed account cannot have done any more, and what of it is not kept any more by the terms of now.
fn can_be_opened(
    of: &AddressesState,
    from_ms: u64,
    published: &AuditState,
    context: &Context<'_>,
) -> Result<(), Refusal> {
    let can = of.can_be_opened(from_ms, &published.terms, context.time_ms);
    if can { Ok(()) } else { Err(Refusal::AccountClosed) }
}

/// Whether a grant has a period and an end ahead, and reaches no further than the terms let it.
fn is_within(grant: &Grant, published: &AuditState, context: &Context<'_>) -> bool {
    let terms = &published.terms;
    let span_ms = grant.until_ms.saturating_sub(grant.from_ms);
    let live_ms = grant.expires_ms.saturating_sub(context.time_ms);
    (1..=terms.span_ms_max).contains(&span_ms)
        && (1..=terms.live_ms_max).contains(&live_ms)
        && grant.account_count() <= terms.accounts_max
}

/// Uses up what others approved of exactly this grant, under the terms that stand and stood when it was asked for.
fn issue(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    id: &Hash,
    case: &Hash,
) -> Result<(), Stop> {
    let account = consent.own_word(state, context)?;
    let found = known(state, id)?;
    if found.grantee != account {
        return Err(Refusal::AuthorNotNamed.into());
    }
    if found.status != Status::Requested {
        return Err(Refusal::GrantState.into());
    }
    not_expired(&found, context)?;
    let published = terms_of(state, &found.grant.tenant)?.ok_or(Refusal::AuditUnpublished)?;
    if published.version != found.terms_version {
        return Err(Refusal::RuleVersion.into());
    }
    let case = Case { id: *case, payload: found.grant.payload() };
    approved(state, context, &published.rule, &case, &account)?;
    let issued = AuditGrantState { status: Status::Issued, issued_leaf: context.leaf_index, ..found };
    state.put(audit_grant_key(id), issued.encode());
    Ok(())
}

/// Says, before anything is handed out, which epochs of which account the grantee opens.
fn open_run(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    open: &OpenGrant,
) -> Result<(), Stop> {
    let account = consent.own_word(state, context)?;
    if known(state, &open.grant)?.grantee != account {
        return Err(Refusal::AuthorNotNamed.into());
    }
    let found = in_force(state, context, &open.grant)?;
    in_scope(state, context, &found.grant, open)
}

/// Ends a grant for good, by the word of who has it or of anybody who may approve the tenant's audits now.
fn revoke(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    wanted: &RevokeGrant,
) -> Result<(), Stop> {
    let (party, account) = consent.one(state, context)?;
    let found = known(state, &wanted.grant)?;
    if found.status == Status::Revoked {
        return Err(Refusal::GrantState.into());
    }
    let is_grantee = found.grantee == account && is_own_word(state, &party, &account);
    if !is_grantee {
        let published = terms_of(state, &found.grant.tenant)?.ok_or(Refusal::AuditUnpublished)?;
        let groups = approval::rule(state, &published.rule)?.terms.groups;
        if !groups.iter().any(|group| group.members.contains(&party)) {
            return Err(Refusal::AuthorNotNamed.into());
        }
    }
    let revoked = AuditGrantState { status: Status::Revoked, revoked_ms: context.time_ms, ..found };
    state.put(audit_grant_key(&wanted.grant), revoked.encode());
    Ok(())
}

/// A tenant's terms as they stand, if there are any.
fn terms_of(state: &dyn StateView, tenant: &Hash) -> Result<Option<AuditState>, Stop> {
    Ok(state.get(&audit_key(tenant)).map(AuditState::decode).transpose()?)
}

/// A grant that was asked for.
fn known(state: &dyn StateView, id: &Hash) -> Result<AuditGrantState, Stop> {
    let value = state.get(&audit_grant_key(id)).ok_or(Refusal::GrantUnknown)?;
    Ok(AuditGrantState::decode(value)?)
}

const fn not_expired(found: &AuditGrantState, context: &Context<'_>) -> Result<(), Refusal> {
    if context.time_ms < found.grant.expires_ms { Ok(()) } else { Err(Refusal::GrantExpired) }
}

/// A grant that was issued, and neither revoked nor expired.
fn in_force(state: &dyn StateView, context: &Context<'_>, id: &Hash) -> Result<AuditGrantState, Stop> {
    let found = known(state, id)?;
    if found.status != Status::Issued {
        return Err(Refusal::GrantState.into());
    }
    not_expired(&found, context)?;
    Ok(found)
}

/// A grant that was issued, and is in force or ended a short while ago: the end of a log of looks comes after the last of them. It
/// opens nothing any more.
fn was_in_force(state: &dyn StateView, context: &Context<'_>, id: &Hash) -> Result<(), Stop> {
    let found = known(state, id)?;
    let ends_ms = found.ends_ms().ok_or(Refusal::GrantState)?;
    if context.time_ms < ends_ms.saturating_add(LOG_AFTER_MS) {
        return Ok(());
    }
    Err(if found.status == Status::Revoked { Refusal::GrantState } else { Refusal::GrantExpired }.into())
}

/// Refuses unless the account is one of the grant and open, and the epochs have elapsed and lie wholly in its period.
fn in_scope(
    state: &dyn StateView,
    context: &Context<'_>,
    grant: &Grant,
    open: &OpenGrant,
) -> Result<(), Stop> {
    let of = chosen(state, &open.account)?.filter(|of| of.tenant == grant.tenant);
    let named = grant.is_whole_tenant() || grant.accounts.contains(&open.account);
    let of = of.filter(|_| named).ok_or(Refusal::GrantScope)?;
    let published = terms_of(state, &grant.tenant)?.ok_or(Refusal::AuditUnpublished)?;
    let epoch = |number| AddressEpoch::new(of.epoch_ms, number);
    let (first, last) = (epoch(open.first), epoch(open.last));
    let is_ordered = open.first <= open.last;
    if !is_ordered || first.begins_ms() < grant.from_ms || last.ends_ms() > grant.until_ms {
        return Err(Refusal::GrantScope.into());
    }
    can_be_opened(&of, last.begins_ms(), &published, context)?;
    Ok(elapsed(last, context)?)
}
