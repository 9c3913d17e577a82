//! `intent`: the right to use a key once, claimed by its executor before it acts, and the record of what was
//! released.

use super::keys::{bound_key, refuse_unless_active};
use super::registry::require_open;
use super::{Call, Context, Contract, StateView, Stop, not_expired, only};
use crate::entry::{Entry, Intent, Mode, Release};
use crate::genesis::Role;
use crate::outcome::{Outcome, Refusal};
use crate::state::layout::{End, IntentState, KeyState, intent_key};

/// How many blocks ahead the last height of an intent may lie.
pub const INTENT_BLOCKS_MAX: u64 = 4096;

/// The contract.
#[derive(Clone, Copy, Debug)]
pub struct Intents;

impl Contract for Intents {
    fn apply(
        &self,
        state: &mut dyn StateView,
        call: &Call<'_>,
        context: &Context<'_>,
    ) -> Result<Outcome, Stop> {
        match call.entry {
            Entry::Intent(intent) => claim(state, call, context, intent, false).map(|_| ()),
            Entry::Release(released) => release(state, call, released),
            _ => Err(Refusal::EntryKindUnknown.into()),
        }?;
        Ok(Outcome::ACCEPTED)
    }
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
    only(call, &[Role::Service])?;
    if intent.executor != *call.submitter {
        return Err(Refusal::NotExecutor.into());
    }
    not_expired(intent.not_after, context)?;
    if intent.not_after - context.height > INTENT_BLOCKS_MAX {
        return Err(Refusal::ExpiryTooFar.into());
    }
    let key = bound_key(state, &intent.key_id)?;
    match (key.mode == Mode::Shared, is_shared) {
        (true, false) => return Err(Refusal::KeyShared.into()),
        (false, true) => return Err(Refusal::KeyNotShared.into()),
        (true, true) | (false, false) => {}
    }
    refuse_unless_active(&key)?;
    require_open(state, &key.account)?;
    let claim = intent_key(&intent.id);
    if state.get(&claim).is_some() {
        return Err(Refusal::IntentReplayed.into());
    }
    let live = IntentState {
        executor: intent.executor,
        key_id: intent.key_id,
        commitment: intent.commitment,
        not_after: intent.not_after,
        released: false,
    };
    state.put_until(claim, live.encode(), End::Height(intent.not_after));
    Ok(key)
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
