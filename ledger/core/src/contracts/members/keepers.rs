//! Keepers come, change their keys and go. A keeper submits with its key, as long as it is one.

use super::effect::{parse, remove_submitter, set_submitter};
use crate::codec::DecodeError;
use crate::contracts::{Context, StateView, Stop};
use crate::genesis::{Role, Submitter};
use crate::hash::Hash;
use crate::keeper::Keeper;
use crate::outcome::Refusal;
use crate::state::keeper::{KEEPERS_MAX, KeeperState, keeper_key, keepers_key};
use crate::state::layout::{SubmitterState, submitter_key};
use crate::state::member::{decode_list, write_list};

/// A keeper that is one now.
pub(crate) fn keeper(state: &dyn StateView, id: &Hash) -> Result<Option<Keeper>, DecodeError> {
    let known = state.get(&keeper_key(id)).map(KeeperState::decode).transpose()?;
    Ok(known.filter(|known| known.present).map(|known| known.keeper))
}

/// The keeper whose key this is now.
pub(super) fn keeper_of(state: &dyn StateView, key: &[u8; 32]) -> Result<Option<Keeper>, DecodeError> {
    for id in ids(state)? {
        if let Some(found) = keeper(state, &id)?.filter(|keeper| keeper.key == *key) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Whether a keeper that proves its key may come, or change: the key is nobody else's, and neither is the name. Vaults know
/// keepers by their names: who went comes back with the key that it had, and nobody else comes under its name.
pub(super) fn fits(
    state: &dyn StateView,
    context: &Context<'_>,
    keeper: &Keeper,
    proof: &[u8; 64],
) -> Result<bool, Stop> {
    let key = parse(&keeper.key)?;
    key.verify(&keeper.message(context.chain_id), proof).map_err(|_mismatch| Refusal::ProofInvalid)?;
    let (id, ids) = (keeper.id(), ids(state)?);
    let others = keeper_of(state, &keeper.key)?.is_some_and(|holder| holder.name != keeper.name);
    let submitter = state.get(&submitter_key(&keeper.key)).map(SubmitterState::decode).transpose()?;
    let free = submitter.is_none_or(|known| known.role == Role::Keeper || known.block_entries_max == 0);
    let gone = state.get(&keeper_key(&id)).map(KeeperState::decode).transpose()?;
    let gone = gone.filter(|known| !known.present).is_some_and(|known| known.keeper.key != keeper.key);
    Ok(free && !others && !gone && (ids.contains(&id) || ids.len() < KEEPERS_MAX))
}

/// Takes a keeper in, or puts what it says now in the place of what it said before.
pub(super) fn set(
    state: &mut dyn StateView,
    context: &Context<'_>,
    new: &Keeper,
    block_entries_max: u32,
) -> Result<(), DecodeError> {
    let (id, mut ids) = (new.id(), ids(state)?);
    if let Some(before) = keeper(state, &id)?.filter(|before| before.key != new.key) {
        remove_submitter(state, &before.key)?;
    }
    if let Err(place) = ids.binary_search(&id) {
        ids.insert(place, id);
        state.put(keepers_key(), write_list(&ids));
    }
    set_submitter(state, &Submitter { key: new.key, role: Role::Keeper, block_entries_max })?;
    let (present, height, keeper) = (true, context.height, new.clone());
    state.put(keeper_key(&id), KeeperState { present, height, keeper }.encode());
    Ok(())
}

/// Takes a keeper out. What it said stays to be read.
pub(super) fn remove(state: &mut dyn StateView, context: &Context<'_>, id: &Hash) -> Result<(), DecodeError> {
    let Some(keeper) = keeper(state, id)? else { return Ok(()) };
    remove_submitter(state, &keeper.key)?;
    let ids: Vec<_> = ids(state)?.into_iter().filter(|other| other != id).collect();
    state.put(keepers_key(), write_list(&ids));
    let (present, height) = (false, context.height);
    state.put(keeper_key(id), KeeperState { present, height, keeper }.encode());
    Ok(())
}

fn ids(state: &dyn StateView) -> Result<Vec<Hash>, DecodeError> {
    decode_list(state.get(&keepers_key()), KEEPERS_MAX)
}
