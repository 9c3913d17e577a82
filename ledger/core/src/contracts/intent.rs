//! `intent`: the right to use a key once, claimed by its executor before it acts, and the record of what was
//! released.

use super::keys::{bound_key, refuse_unless_active};
use super::registry::require_open;
use super::{Call, Context, StateView, Stop, not_expired, only};
use crate::entry::{Entry, Intent, Mode, Release};
use crate::genesis::Role;
use crate::hash::Hash;
use crate::outcome::{Outcome, Refusal};
use crate::state::layout::{End, IntentState, KeyState, intent_key};

/// How many blocks ahead the last height of an intent may lie.
pub const INTENT_BLOCKS_MAX: u64 = 4096;

/// The contract.
pub fn apply(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<Outcome, Stop> {
    match call.entry {
        Entry::Intent(intent) => claim(state, call, context, intent, false).map(|_| ()),
        Entry::Release(released) => release(state, call, released),
        _ => Err(Refusal::EntryKindUnknown.into()),
    }?;
    Ok(Outcome::ACCEPTED)
}

/// Claims the right to use a key, which is a shared one or none: what a shared key signs takes its account's word besides.
/// Gives the key.
pub(super) fn claim(
    state: &mut dyn StateView,
    call: &Call<'_>,
    context: &Context<'_>,
    intent: &Intent,
    is_shared: bool,
) -> Result<KeyState, Stop> {
    entitled(call, context, &intent.executor, intent.not_after)?;
    let key = bound_key(state, &intent.key_id)?;
    match (key.mode == Mode::Shared, is_shared) {
        (true, false) => return Err(Refusal::KeyShared.into()),
        (false, true) => return Err(Refusal::KeyNotShared.into()),
        (true, true) | (false, false) => {}
    }
    refuse_unless_active(&key)?;
    require_open(state, &key.account)?;
    let live = IntentState {
        executor: intent.executor,
        key_id: intent.key_id,
        commitment: intent.commitment,
        not_after: intent.not_after,
        released: false,
    };
    begin(state, &intent.id, &live)?;
    Ok(key)
}

/// Refuses unless the executor submits itself, and the claim ends within reach.
pub(super) fn entitled(
    call: &Call<'_>,
    context: &Context<'_>,
    executor: &[u8; 32],
    not_after: u64,
) -> Result<(), Refusal> {
    only(call, &[Role::Service])?;
    if executor != call.submitter {
        return Err(Refusal::NotExecutor);
    }
    not_expired(not_after, context)?;
    if not_after - context.height > INTENT_BLOCKS_MAX { Err(Refusal::ExpiryTooFar) } else { Ok(()) }
}

/// Lets an intent live, under an id that none has that lives.
pub(super) fn begin(state: &mut dyn StateView, id: &Hash, live: &IntentState) -> Result<(), Refusal> {
    let claim = intent_key(id);
    if state.get(&claim).is_some() {
        return Err(Refusal::IntentReplayed);
    }
    state.put_until(claim, live.encode(), End::Height(live.not_after));
    Ok(())
}

fn release(state: &mut dyn StateView, call: &Call<'_>, release: &Release) -> Result<(), Stop> {
    let key = intent_key(&release.intent_id);
    let live = IntentState::decode(state.get(&key).ok_or(Refusal::IntentUnknown)?)?;
    if live.executor != *call.submitter {
        return Err(Refusal::NotExecutor.into());
    }
    if live.released {
        return Err(Refusal::AlreadyReleased.into());
    }
    state.put(key, IntentState { released: true, ..live }.encode());
    Ok(())
}
