//! The life of a bound key: bound, frozen and thawed, superseded by its next version, scheduled for destruction,
//! destroyed. A part of [`registry`](super::registry).

use super::registry::{possession_challenge, require_open, rotation_challenge};
use super::{Context, StateView, Stop, not_expired};
use crate::entry::{BindKey, KeyConsent, Mode, RotateKey};
use crate::hash::Hash;
use crate::outcome::Refusal;
use crate::scheme::{self, KeyId, PublicKey};
use crate::state::layout::{KeyState, KeyStatus, key_key};

/// The shortest waiting period before destruction, in milliseconds: a second.
pub const DESTRUCTION_WAIT_MIN_MS: u64 = 1_000;
/// The longest waiting period before destruction, in milliseconds: 366 days.
pub const DESTRUCTION_WAIT_MAX_MS: u64 = 366 * 24 * 60 * 60 * 1_000;

/// A bound key.
pub(crate) fn bound_key(state: &dyn StateView, key_id: &KeyId) -> Result<KeyState, Stop> {
    let value = state.get(&key_key(key_id)).ok_or(Refusal::KeyUnknown)?;
    Ok(KeyState::decode(value)?)
}

/// Refuses a key that no intent may name.
pub(crate) fn refuse_unless_active(key: &KeyState) -> Result<(), Refusal> {
    refuse_unless_held(key)?;
    if key.status == KeyStatus::Frozen { Err(Refusal::KeyFrozen) } else { Ok(()) }
}

/// Refuses a key that is past being active or frozen.
pub(super) fn refuse_unless_held(key: &KeyState) -> Result<(), Refusal> {
    match key.status {
        KeyStatus::Active | KeyStatus::Frozen => Ok(()),
        KeyStatus::Superseded { .. } => Err(Refusal::KeySuperseded),
        KeyStatus::Scheduled { .. } => Err(Refusal::KeyScheduled),
        KeyStatus::Destroyed { .. } => Err(Refusal::KeyDestroyed),
    }
}

pub(super) fn bind(state: &mut dyn StateView, context: &Context<'_>, bind: &BindKey) -> Result<(), Stop> {
    let key = bindable(state, context, bind)?;
    let BindKey { account, mode, nonce, not_after, .. } = bind;
    let message = possession_challenge(context.chain_id, account, *mode, &key, nonce, *not_after);
    put(state, context, bind, &key, &message, 1)
}

pub(super) fn rotate(
    state: &mut dyn StateView,
    context: &Context<'_>,
    rotate: &RotateKey,
) -> Result<(), Stop> {
    let RotateKey { previous, bind, consent } = rotate;
    let key = bindable(state, context, bind)?;
    let before = bound_key(state, previous)?;
    if before.account != bind.account {
        return Err(Refusal::KeyVersion.into());
    }
    refuse_unless_held(&before)?;
    let version = before.version.checked_add(1).ok_or(Refusal::KeyVersion)?;
    let BindKey { account, mode, nonce, not_after, .. } = bind;
    let message = rotation_challenge(context.chain_id, account, *mode, &key, nonce, *not_after, previous);
    check_consent(&before, previous, consent.as_ref(), &message)?;
    put(state, context, bind, &key, &message, version)?;
    set(state, previous, before, KeyStatus::Superseded { successor: key.id() });
    Ok(())
}

/// A key of mode `self` is replaced by its holder alone; of other keys no such signature has a meaning.
fn check_consent(
    before: &KeyState,
    previous: &KeyId,
    consent: Option<&KeyConsent>,
    message: &[u8],
) -> Result<(), Refusal> {
    let invalid = Refusal::HolderSignatureInvalid;
    match (before.mode, consent) {
        (Mode::Own, Some(consent)) => {
            let key = PublicKey::parse(before.scheme, &consent.public_key).or(Err(invalid))?;
            if key.id() != *previous {
                return Err(invalid);
            }
            scheme::verify(&key, message, &consent.signature).or(Err(invalid))
        }
        (Mode::Linked | Mode::Hosted, None) => Ok(()),
        (Mode::Own, None) | (Mode::Linked | Mode::Hosted, Some(_)) => Err(invalid),
        (Mode::Shared, _) => Err(Refusal::KeyShared),
    }
}

/// The key that is to be bound, checked for all but its proof.
fn bindable(state: &dyn StateView, context: &Context<'_>, bind: &BindKey) -> Result<PublicKey, Stop> {
    not_expired(bind.not_after, context)?;
    require_open(state, &bind.account)?;
    if bind.mode == Mode::Shared {
        return Err(Refusal::KeyShared.into());
    }
    let key = PublicKey::parse(bind.scheme, &bind.public_key).or(Err(Refusal::PublicKeyInvalid))?;
    refuse_if_bound(state, &key)?;
    Ok(key)
}

/// Refuses a key that was ever bound.
fn refuse_if_bound(state: &dyn StateView, key: &PublicKey) -> Result<(), Stop> {
    let Some(value) = state.get(&key_key(&key.id())) else { return Ok(()) };
    match KeyState::decode(value)?.status {
        KeyStatus::Destroyed { .. } => Err(Refusal::KeyDestroyed.into()),
        _ => Err(Refusal::KeyAlreadyBound.into()),
    }
}

/// Binds a shared key, of which its keepers have said that they hold it.
pub(super) fn bind_shared(
    state: &mut dyn StateView,
    context: &Context<'_>,
    account: &Hash,
    key: &PublicKey,
) -> Result<(), Stop> {
    refuse_if_bound(state, key)?;
    let (account, mode, scheme, status) = (*account, Mode::Shared, key.scheme(), KeyStatus::Active);
    let bound = KeyState { account, mode, scheme, status, height: context.height, version: 1 };
    state.put(key_key(&key.id()), bound.encode());
    Ok(())
}

fn put(
    state: &mut dyn StateView,
    context: &Context<'_>,
    bind: &BindKey,
    key: &PublicKey,
    message: &[u8],
    version: u32,
) -> Result<(), Stop> {
    scheme::verify(key, message, &bind.proof).or(Err(Refusal::ProofInvalid))?;
    let BindKey { account, mode, scheme, .. } = *bind;
    let status = KeyStatus::Active;
    let bound = KeyState { account, mode, scheme, status, height: context.height, version };
    state.put(key_key(&key.id()), bound.encode());
    Ok(())
}

fn set(state: &mut dyn StateView, key_id: &KeyId, key: KeyState, status: KeyStatus) {
    state.put(key_key(key_id), KeyState { status, ..key }.encode());
}

pub(super) fn freeze(state: &mut dyn StateView, key_id: &KeyId) -> Result<(), Stop> {
    let key = bound_key(state, key_id)?;
    refuse_unless_active(&key)?;
    set(state, key_id, key, KeyStatus::Frozen);
    Ok(())
}

pub(super) fn unfreeze(state: &mut dyn StateView, key_id: &KeyId) -> Result<(), Stop> {
    let key = bound_key(state, key_id)?;
    refuse_unless_held(&key)?;
    if key.status != KeyStatus::Frozen {
        return Err(Refusal::KeyNotFrozen.into());
    }
    set(state, key_id, key, KeyStatus::Active);
    Ok(())
}

pub(super) fn schedule(
    state: &mut dyn StateView,
    context: &Context<'_>,
    key_id: &KeyId,
    wait_ms: u64,
) -> Result<(), Stop> {
    if !(DESTRUCTION_WAIT_MIN_MS..=DESTRUCTION_WAIT_MAX_MS).contains(&wait_ms) {
        return Err(Refusal::DestructionWait.into());
    }
    let key = bound_key(state, key_id)?;
    let successor = match key.status {
        KeyStatus::Active | KeyStatus::Frozen => None,
        KeyStatus::Superseded { successor } => Some(successor),
        KeyStatus::Scheduled { .. } => return Err(Refusal::KeyScheduled.into()),
        KeyStatus::Destroyed { .. } => return Err(Refusal::KeyDestroyed.into()),
    };
    let destroy_after_ms = context.time_ms.saturating_add(wait_ms);
    set(state, key_id, key, KeyStatus::Scheduled { destroy_after_ms, successor });
    Ok(())
}

/// Gives a key back without its signatures: thawing it is a step of its own.
pub(super) fn cancel(state: &mut dyn StateView, key_id: &KeyId) -> Result<(), Stop> {
    let key = bound_key(state, key_id)?;
    let status = match scheduled(&key)? {
        (_, None) => KeyStatus::Frozen,
        (_, Some(successor)) => KeyStatus::Superseded { successor },
    };
    set(state, key_id, key, status);
    Ok(())
}

pub(super) fn destroy(state: &mut dyn StateView, context: &Context<'_>, key_id: &KeyId) -> Result<(), Stop> {
    let key = bound_key(state, key_id)?;
    let (destroy_after_ms, successor) = scheduled(&key)?;
    if context.time_ms < destroy_after_ms {
        return Err(Refusal::DestructionEarly.into());
    }
    set(state, key_id, key, KeyStatus::Destroyed { at_ms: context.time_ms, successor });
    Ok(())
}

/// When a scheduled key may be destroyed, and its successor.
fn scheduled(key: &KeyState) -> Result<(u64, Option<KeyId>), Refusal> {
    match key.status {
        KeyStatus::Scheduled { destroy_after_ms, successor } => Ok((destroy_after_ms, successor)),
        KeyStatus::Destroyed { .. } => Err(Refusal::KeyDestroyed),
        _ => Err(Refusal::KeyNotScheduled),
    }
}
