//! `attempts`: a counter that is spent before a guess is answered, and goes back by time or by a proof of success only.
//!
//! An attempt is bound to what was asked. Time is that of blocks.

use super::authored::{Consent, next_version};
use super::{Call, Context, StateView, Stop, only};
use crate::codec::Writer;
use crate::ed25519;
use crate::entry::{Act, Attempt, AttemptsTerms, Define, RuleName, Terms as _, kind};
use crate::genesis::Role;
use crate::hash::{Hash, Tag};
use crate::outcome::{Outcome, Refusal};
use crate::state::layout::{AttemptsState, End, GrantState, attempts_key, grant_key};

/// How long a granted attempt may be answered and proven, in milliseconds: a day.
pub const GRANT_LIVE_MS: u64 = 24 * 60 * 60 * 1_000;

const SUCCESS_LABEL: &[u8] = b"keyward/attempt-success/v1";

/// The message that the success key signs: `u8 26 || "keyward/attempt-success/v1" || chain id[32] || attempt id[32]`.
pub fn success_message(chain_id: &Hash, attempt_id: &Hash) -> Vec<u8> {
    let mut out = Writer::with_capacity(96);
    // INVARIANT: the label is shorter than 256 bytes.
    out.u8(u8::try_from(SUCCESS_LABEL.len()).unwrap_or(u8::MAX)).raw(SUCCESS_LABEL);
    out.raw(chain_id).raw(attempt_id);
    out.finish()
}

/// What an attempt is bound to, as one hash: `tagged("keyward/attempt-request/v1", rule || version u32 || element ||
/// reply_key)`.
pub fn request_hash(rule: &Hash, attempt: &Attempt) -> Hash {
    let version = attempt.version.to_be_bytes();
    Tag::AttemptRequest.hash(&[rule, &version, &attempt.element, &attempt.reply_key])
}

/// What is asked of a counter: which counter, in the version that the asker knows, and the hash of everything that the
/// attempt is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The counter's rule.
    pub rule: Hash,
    /// The counter's version.
    pub version: u32,
    /// Names the request; includes rule and version.
    pub hash: Hash,
}

impl Request {
    fn of(rule: &Hash, attempt: &Attempt) -> Self {
        Self { rule: *rule, version: attempt.version, hash: request_hash(rule, attempt) }
    }
}

/// The contract.
pub fn apply(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<Outcome, Stop> {
    let (act, consent) = Consent::carried(call)?;
    let id = |rule: &RuleName| rule.id(kind::DEFINE_ATTEMPTS);
    match act {
        Act::DefineAttempts(Define { rule, version, terms }) => {
            consent.of_account(state, context, &rule.owner)?;
            define(state, context, &id(rule), *version, terms)?;
            Ok(Outcome::ACCEPTED)
        }
        Act::GrantAttempt { rule, attempt } => {
            only(call, &[Role::Service, Role::Keeper])?;
            let granted = asked(state, context, consent, &Request::of(&id(rule), attempt))?;
            Ok(Outcome::accepted_with(&granted.id))
        }
        Act::ProveAttempt { rule, attempt, signature } => {
            consent.nobody()?;
            prove(state, context, &Request::of(&id(rule), attempt), signature)?;
            Ok(Outcome::ACCEPTED)
        }
        _ => Err(Refusal::EntryKindUnknown.into()),
    }
}

/// Sets a counter in its next version. What was spent stays spent: new terms are no proof of success.
pub fn define(
    state: &mut dyn StateView,
    context: &Context<'_>,
    rule: &Hash,
    version: u32,
    terms: &AttemptsTerms,
) -> Result<(), Stop> {
    let before = state.get(&attempts_key(rule)).map(AttemptsState::decode).transpose()?;
    next_version(before.as_ref().map(|before| before.version), version)?;
    if !terms.is_sound() {
        return Err(Refusal::RuleInvalid.into());
    }
    let terms = terms.clone();
    let after = match before.map(|before| refilled(before, context.time_ms)) {
        None => {
            let (spent, granted, number, refilled_ms, granted_ms) = (0, 0, 0, 0, 0);
            AttemptsState { version, terms, spent, granted, number, refilled_ms, granted_ms }
        }
        Some(before) => AttemptsState { version, terms, refilled_ms: context.time_ms, ..before },
    };
    state.put(attempts_key(rule), after.encode());
    Ok(())
}

/// The counter as it stands now.
pub fn counter(state: &dyn StateView, context: &Context<'_>, rule: &Hash) -> Result<AttemptsState, Stop> {
    let value = state.get(&attempts_key(rule)).ok_or(Refusal::RuleUnknown)?;
    Ok(refilled(AttemptsState::decode(value)?, context.time_ms))
}

/// A live attempt that was granted for exactly this request.
pub fn granted(
    state: &dyn StateView,
    context: &Context<'_>,
    request: &Request,
) -> Result<Option<GrantState>, Stop> {
    let value = state.get(&grant_key(&request.hash));
    let granted = value.map(GrantState::decode).transpose()?;
    Ok(granted.filter(|granted| granted.ends_ms >= context.time_ms))
}

/// Grants what its askers signed. Asked again, it is the same attempt, which costs nothing and needs nobody; what askers
/// signed for it anew is remembered, so that it cannot be shown for another attempt once this one has ended.
pub fn asked(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    request: &Request,
) -> Result<GrantState, Stop> {
    if let Some(granted) = granted(state, context, request)? {
        let counter = counter(state, context, &request.rule)?;
        consent.remember(state, context, &counter.terms.askers)?;
        return Ok(granted);
    }
    let counter = counter(state, context, &request.rule)?;
    if counter.version != request.version {
        return Err(Refusal::RuleVersion.into());
    }
    consent.named(state, context, &counter.terms.askers, counter.terms.needed)?;
    spend(state, context, request, counter)
}

/// Spends an attempt of a counter that was read in this step.
fn spend(
    state: &mut dyn StateView,
    context: &Context<'_>,
    request: &Request,
    mut counter: AttemptsState,
) -> Result<GrantState, Stop> {
    let (terms, now_ms) = (&counter.terms, context.time_ms);
    if counter.granted >= terms.lifetime {
        return Err(Refusal::AttemptsLocked.into());
    }
    if counter.spent >= terms.limit {
        return Err(Refusal::AttemptsSpent.into());
    }
    if counter.granted > 0 && now_ms < counter.granted_ms.saturating_add(terms.cool_down_ms) {
        return Err(Refusal::AttemptsCooling.into());
    }
    if counter.spent == 0 {
        counter.refilled_ms = now_ms;
    }
    // INVARIANT: limit and lifetime lie far below u32::MAX, and no ledger grants 2^64 attempts.
    counter.spent = counter.spent.saturating_add(1);
    counter.granted = counter.granted.saturating_add(1);
    counter.number = counter.number.saturating_add(1);
    counter.granted_ms = now_ms;
    let id = Tag::Attempt.hash(&[&request.hash, &counter.number.to_be_bytes()]);
    let granted = GrantState { ends_ms: now_ms.saturating_add(GRANT_LIVE_MS), id, proven: false };
    state.put(attempts_key(&request.rule), counter.encode());
    state.put_until(grant_key(&request.hash), granted.encode(), End::TimeMs(granted.ends_ms));
    Ok(granted)
}

/// Takes a proof that a live attempt of the present version succeeded, once: the counter is full again.
pub fn prove(
    state: &mut dyn StateView,
    context: &Context<'_>,
    request: &Request,
    signature: &[u8; 64],
) -> Result<(), Stop> {
    let granted = granted(state, context, request)?.ok_or(Refusal::AttemptUnknown)?;
    if granted.proven {
        return Err(Refusal::AttemptProven.into());
    }
    let counter = counter(state, context, &request.rule)?;
    if counter.version != request.version {
        return Err(Refusal::RuleVersion.into());
    }
    let message = success_message(context.chain_id, &granted.id);
    ed25519::verify(&counter.terms.success_key, &message, signature).or(Err(Refusal::SuccessInvalid))?;
    state.put(attempts_key(&request.rule), AttemptsState { spent: 0, granted: 0, ..counter }.encode());
    let proven = GrantState { proven: true, ..granted };
    state.put(grant_key(&request.hash), proven.encode());
    Ok(())
}

/// The first block time at which a counter, read now, may grant again, as far as it lies with time alone.
pub fn next_ms(counter: &AttemptsState) -> Option<u64> {
    let AttemptsState { terms, spent, granted, refilled_ms, granted_ms, .. } = counter;
    if *granted >= terms.lifetime {
        return None;
    }
    let cool_ms = if *granted > 0 { granted_ms.saturating_add(terms.cool_down_ms) } else { 0 };
    let missing = u64::from(spent.saturating_add(1).saturating_sub(terms.limit));
    let back_ms = match (missing, terms.refill_ms) {
        (0, _) => 0,
        (_, 0) => return None,
        (missing, refill_ms) => refilled_ms.saturating_add(missing.saturating_mul(refill_ms)),
    };
    Some(cool_ms.max(back_ms))
}

/// The counter with the attempts that came back up to now.
fn refilled(counter: AttemptsState, now_ms: u64) -> AttemptsState {
    let refill_ms = counter.terms.refill_ms;
    let Some(back) = now_ms.saturating_sub(counter.refilled_ms).checked_div(refill_ms) else {
        return counter;
    };
    let spent = u64::from(counter.spent).saturating_sub(back);
    let refilled_ms = counter.refilled_ms.saturating_add(back.saturating_mul(refill_ms));
    AttemptsState { spent: u32::try_from(spent).unwrap_or(counter.spent), refilled_ms, ..counter }
}
