//! `shared`: keys that a user and t of n keepers hold together: generated in the open, used by their account's word, dealt
//! anew, and moved to another device after a time lock.
//!
//! Who speaks for a key is named when it is opened: keys that a service binds to the account later say nothing about it.

use super::approval;
use super::authored::{Consent, account_of};
use super::intent;
use super::keys::{bind_shared, bound_key, refuse_unless_held};
use super::members::keeper;
use super::registry::require_open;
use super::{Call, Context, StateView, Stop};
use crate::ed25519;
use crate::entry::{
    Act, Case, Intent, Party, Renewal, RuleName, SharedAct, SharedBinding, SharedIntent, SharedOpening,
    SharedRenewal, Tweak,
};
use crate::hash::Hash;
use crate::outcome::{Outcome, Refusal};
use crate::scheme::{KeyId, PublicKey, Scheme};
use crate::shared::{
    Circle, Device, LOCK_MAX_MS, SHARED_LIFE_MAX_MS, acknowledgement_message, approval_payload, is_shareable,
    shared_rule, veto_message,
};
use crate::state::layout::{ApprovalCase, End, approval_case_key};
use crate::state::shared::{
    PendingDevice, SharedIntentState, SharedKeyState, SharedNameState, SharedRunState, shared_attempts,
    shared_attempts_key, shared_intent_key, shared_key_key, shared_run_key,
};

/// The contract.
pub fn apply(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<Outcome, Stop> {
    let (act, consent) = Consent::carried(call)?;
    let Act::Shared(act) = act else { return Err(Refusal::EntryKindUnknown.into()) };
    match act {
        SharedAct::Open(opening) => open(state, context, consent, opening),
        SharedAct::Bind(binding) => bind(state, context, consent, binding),
        SharedAct::Intent(intent) => claim(state, call, context, consent, intent),
        SharedAct::Renew(renewal) => renew(state, context, consent, renewal),
        SharedAct::ReplaceDevice { key_id, device } => replace(state, context, consent, key_id, device),
        SharedAct::CancelDevice { key_id, signature } => {
            consent.nobody()?;
            cancel(state, context, key_id, signature)
        }
    }?;
    Ok(Outcome::ACCEPTED)
}

/// Opens a generation, or the next attempt at one. It takes the place of the attempt before.
fn open(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    opening: &SharedOpening,
) -> Result<(), Stop> {
    let SharedOpening { name, circle, attempt, expires_ms, .. } = opening;
    speaks(state, context, consent, &name.owner, &opening.speakers)?;
    let sound = is_shareable(opening.scheme)
        && circle.is_sound()
        && opening.device.is_sound()
        && opening.lock_ms <= LOCK_MAX_MS;
    if !sound {
        return Err(Refusal::SharedInvalid.into());
    }
    for speaker in &opening.speakers {
        if account_of(state, speaker)? != name.owner {
            return Err(Refusal::AuthorNotNamed.into());
        }
    }
    in_time(*expires_ms, context)?;
    run(state, context, name)?;
    // Counted for good: what keepers have acknowledged in one attempt is of no use in any other, under other speakers.
    let (rule, opened) = (shared_rule(name), shared_attempts_key(&shared_rule(name)));
    if shared_attempts(state.get(&opened))?.checked_add(1) != Some(*attempt) {
        return Err(Refusal::SharedAttempt.into());
    }
    for id in &circle.keepers {
        keeper(state, id)?.ok_or(Refusal::SharedKeeperUnknown)?;
    }
    let run = SharedRunState {
        expires_ms: *expires_ms,
        name: *name,
        scheme: opening.scheme,
        circle: circle.clone(),
        attempt: *attempt,
        lock_ms: opening.lock_ms,
        device: opening.device,
        speakers: opening.speakers.clone(),
        openings: opening.openings.clone(),
    };
    let value = SharedNameState::Run(Box::new(run)).encode();
    state.put(opened, attempt.to_be_bytes().to_vec());
    state.put_until(shared_run_key(&rule), value, End::TimeMs(*expires_ms));
    Ok(())
}

/// Binds the key that a generation has made, once each of its keepers says that it holds its share.
fn bind(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    binding: &SharedBinding,
) -> Result<(), Stop> {
    let run = run(state, context, &binding.name)?.ok_or(Refusal::SharedRunUnknown)?;
    speaks(state, context, consent, &binding.name.owner, &run.speakers)?;
    if binding.attempt != run.attempt {
        return Err(Refusal::SharedAttempt.into());
    }
    if binding.scheme != run.scheme {
        return Err(Refusal::SharedInvalid.into());
    }
    let key = PublicKey::parse(run.scheme, &binding.public_key).or(Err(Refusal::PublicKeyInvalid))?;
    if let Some(rule) = &binding.approval_rule {
        approval::rule(state, rule)?;
    }
    let record = binding.record_hash(&run.circle);
    acknowledged(state, context, &record, &run.circle, &binding.acknowledgements)?;
    bind_shared(state, context, &binding.name.owner, &key)?;
    let shared = SharedKeyState {
        name: run.name,
        scheme: run.scheme,
        circle: run.circle,
        key_hash: binding.key_hash,
        share_version: 1,
        device: run.device,
        lock_ms: run.lock_ms,
        approval_rule: binding.approval_rule,
        policy_tenant: binding.policy_tenant,
        speakers: run.speakers,
        pending: None,
        leaf: context.leaf_index,
    };
    state.put(shared_key_key(&key.id()), shared.encode());
    // The name stays taken for good: its value says so, and does not end.
    state.put(shared_run_key(&shared_rule(&binding.name)), SharedNameState::Bound(key.id()).encode());
    Ok(())
}

/// Claims the right to use a key once, in its account's name.
fn claim(
    state: &mut dyn StateView,
    call: &Call<'_>,
    context: &Context<'_>,
    consent: Consent<'_>,
    wanted: &SharedIntent,
) -> Result<(), Stop> {
    let SharedIntent { id, key_id, executor, commitment, policy, not_after, .. } = *wanted;
    let plain = Intent { id, key_id, executor, commitment, policy, not_after };
    let account = intent::claim(state, call, context, &plain, true)?.account;
    let shared = known(state, &key_id)?;
    speaks(state, context, consent, &account, &shared.speakers)?;
    if wanted.share_version != shared.share_version {
        return Err(Refusal::SharedVersionStale.into());
    }
    let in_circle = |place: &u8| (1..=shared.circle.keepers.len()).contains(&usize::from(*place));
    if wanted.signers.len() != usize::from(shared.circle.threshold) || !wanted.signers.iter().all(in_circle) {
        return Err(Refusal::SharedSigners.into());
    }
    if wanted.tweak != Tweak::Plain && shared.scheme != Scheme::Bip340 {
        return Err(Refusal::SharedTweak.into());
    }
    let approved_rule = approved(state, context, &shared, &account, wanted)?;
    let (act, share_version) = (consent.payload, wanted.share_version);
    let live = SharedIntentState { not_after, act, share_version, approved_rule };
    state.put_until(shared_intent_key(&id), live.encode(), End::Height(not_after));
    Ok(())
}

/// Uses the intent's approval case up. A key with an approval rule takes no intent without a case of this rule; one without
/// takes any. The account has asked itself, and whoever asks does not approve. Gives the rule.
fn approved(
    state: &mut dyn StateView,
    context: &Context<'_>,
    shared: &SharedKeyState,
    account: &Hash,
    wanted: &SharedIntent,
) -> Result<Option<Hash>, Stop> {
    let Some(case) = wanted.case else {
        return if shared.approval_rule.is_some() { Err(Refusal::ApprovalsMissing.into()) } else { Ok(None) };
    };
    let value = state.get(&approval_case_key(&case)).ok_or(Refusal::CaseUnknown)?;
    let found = ApprovalCase::decode(value)?;
    if found.initiator != *account {
        return Err(Refusal::AuthorNotNamed.into());
    }
    let rule = shared.approval_rule.unwrap_or(found.rule);
    let of = Case { id: case, payload: approval_payload(&wanted.key_id, &wanted.commitment) };
    approval::use_up(state, context, &rule, &of, &[])?;
    Ok(Some(rule))
}

/// Puts shares dealt anew in the place of those before, once each of their holders has acknowledged its own.
fn renew(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    renewal: &SharedRenewal,
) -> Result<(), Stop> {
    let (account, before) = held(state, &renewal.key_id)?;
    match renewal.renewal {
        Renewal::Refresh => consent.nobody()?,
        Renewal::Renew => speaks(state, context, consent, &account, &before.speakers)?,
    }
    require_open(state, &account)?;
    in_time(renewal.expires_ms, context)?;
    if before.share_version.checked_add(1) != Some(renewal.share_version) {
        return Err(Refusal::SharedVersionStale.into());
    }
    if renewal.renewal == Renewal::Refresh && renewal.circle != before.circle {
        return Err(Refusal::SharedHoldersChanged.into());
    }
    if !renewal.circle.is_sound() {
        return Err(Refusal::SharedInvalid.into());
    }
    if renewal.device != *before.device_in_force(context.time_ms) {
        return Err(Refusal::SharedDeviceOther.into());
    }
    acknowledged(state, context, &renewal.record_hash(), &renewal.circle, &renewal.acknowledgements)?;
    let after = SharedKeyState {
        circle: renewal.circle.clone(),
        key_hash: renewal.key_hash,
        share_version: renewal.share_version,
        leaf: context.leaf_index,
        ..before
    };
    state.put(shared_key_key(&renewal.key_id), after.encode());
    Ok(())
}

/// Lets another device wait for its time.
fn replace(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    key_id: &KeyId,
    device: &Device,
) -> Result<(), Stop> {
    let (account, before) = held(state, key_id)?;
    speaks(state, context, consent, &account, &before.speakers)?;
    let now = *before.device_in_force(context.time_ms);
    if !device.is_sound() || *device == now {
        return Err(Refusal::SharedInvalid.into());
    }
    if before.waiting_device(context.time_ms).is_some() {
        return Err(Refusal::SharedDeviceWaits.into());
    }
    let opens_ms = context.time_ms.saturating_add(before.lock_ms);
    let pending = Some(PendingDevice { device: *device, opens_ms });
    state.put(shared_key_key(key_id), SharedKeyState { device: now, pending, ..before }.encode());
    Ok(())
}

/// Keeps a device that waits from ever being in force, by the word of the one that is.
fn cancel(
    state: &mut dyn StateView,
    context: &Context<'_>,
    key_id: &KeyId,
    signature: &[u8; 64],
) -> Result<(), Stop> {
    let (_, before) = held(state, key_id)?;
    let waiting = before.waiting_device(context.time_ms).ok_or(Refusal::SharedDeviceNone)?;
    let message = veto_message(context.chain_id, key_id, &waiting.device.signing_key);
    let vetoed = ed25519::verify(&before.device.signing_key, &message, signature);
    vetoed.or(Err(Refusal::SharedVetoInvalid))?;
    state.put(shared_key_key(key_id), SharedKeyState { pending: None, ..before }.encode());
    Ok(())
}

/// Takes the consent of one of a key's speakers, in its account's name.
fn speaks(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    account: &Hash,
    speakers: &[Party],
) -> Result<(), Stop> {
    let (party, of) = consent.one(state, context)?;
    if of == *account && speakers.contains(&party) { Ok(()) } else { Err(Refusal::AuthorNotNamed.into()) }
}

/// Refuses what may be recorded no more, and what could be held back too long.
fn in_time(expires_ms: u64, context: &Context<'_>) -> Result<(), Refusal> {
    if context.time_ms > expires_ms {
        return Err(Refusal::Expired);
    }
    if expires_ms - context.time_ms > SHARED_LIFE_MAX_MS { Err(Refusal::ExpiryTooFar) } else { Ok(()) }
}

/// The generation that lives under a name. Refuses a name under which a key was bound.
fn run(
    state: &dyn StateView,
    context: &Context<'_>,
    name: &RuleName,
) -> Result<Option<SharedRunState>, Stop> {
    match state.get(&shared_run_key(&shared_rule(name))).map(SharedNameState::decode).transpose()? {
        Some(SharedNameState::Bound(_)) => Err(Refusal::SharedNameBound.into()),
        Some(SharedNameState::Run(run)) if run.expires_ms >= context.time_ms => Ok(Some(*run)),
        _ => Ok(None),
    }
}

/// Refuses unless every keeper is one now and has acknowledged its share.
fn acknowledged(
    state: &dyn StateView,
    context: &Context<'_>,
    record: &Hash,
    circle: &Circle,
    signatures: &[[u8; 64]],
) -> Result<(), Stop> {
    if circle.keepers.len() != signatures.len() {
        return Err(Refusal::SharedAcknowledgement.into());
    }
    for ((place, id), signature) in (1..).zip(&circle.keepers).zip(signatures) {
        let keeper = keeper(state, id)?.ok_or(Refusal::SharedKeeperUnknown)?;
        let message = acknowledgement_message(context.chain_id, record, place);
        ed25519::verify(&keeper.key, &message, signature).or(Err(Refusal::SharedAcknowledgement))?;
    }
    Ok(())
}

/// A shared key that was bound.
fn known(state: &dyn StateView, key_id: &KeyId) -> Result<SharedKeyState, Stop> {
    let value = state.get(&shared_key_key(key_id)).ok_or(Refusal::KeyNotShared)?;
    Ok(SharedKeyState::decode(value)?)
}

/// A shared key whose shares are of use, frozen or not, and its account.
fn held(state: &dyn StateView, key_id: &KeyId) -> Result<(Hash, SharedKeyState), Stop> {
    let key = bound_key(state, key_id)?;
    let shared = known(state, key_id)?;
    refuse_unless_held(&key)?;
    Ok((key.account, shared))
}
