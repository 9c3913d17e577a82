//! What each change demands, and what it does.

use std::collections::BTreeSet;

use super::{announced, configuration, keepers};
use crate::certificate::ValidatorSet;
use crate::change::{Change, Member, rotation_message};
use crate::codec::DecodeError;
use crate::contracts::{Context, StateView, Stop};
use crate::ed25519::VerifyingKey;
use crate::execute::EXECUTION_VERSION;
use crate::genesis::{Role, Submitter};
use crate::outcome::Refusal;
use crate::state::layout::{SubmitterState, submitter_key};
use crate::state::member::{
    MemberState, OBSERVERS_MAX, config_key, decode_list, encode_version, member_key, observers_key,
    version_key, write_list,
};

/// The most nodes, observers included: as many as the network below takes.
pub const MEMBERS_MAX: usize = 64;

/// Validators and observers while changes are made.
pub(super) struct Roster {
    validators: BTreeSet<[u8; 32]>,
    observers: BTreeSet<[u8; 32]>,
    observers_before: BTreeSet<[u8; 32]>,
}

impl Roster {
    pub(super) fn of(state: &dyn StateView, set: &ValidatorSet) -> Result<Self, DecodeError> {
        let observers = decode_list(state.get(&observers_key()), OBSERVERS_MAX)?;
        let observers: BTreeSet<_> = observers.into_iter().collect();
        Ok(Self { validators: set.keys().collect(), observers_before: observers.clone(), observers })
    }

    fn holds(&self, key: &[u8; 32]) -> bool {
        self.validators.contains(key) || self.observers.contains(key)
    }

    /// Refuses a change that does not fit what is in force.
    pub(super) fn check(
        &self,
        state: &dyn StateView,
        change: &Change,
        context: &Context<'_>,
    ) -> Result<(), Stop> {
        let fits = match change {
            Change::Admit { member, proof } => {
                let key = parse(&member.key)?;
                let message = member.message(context.chain_id);
                key.verify(&message, proof).map_err(|_mismatch| Refusal::ProofInvalid)?;
                let room =
                    self.holds(&member.key) || self.validators.len() + self.observers.len() < MEMBERS_MAX;
                room && keepers::keeper_of(state, &member.key)?.is_none()
            }
            Change::Promote { key } => self.observers.contains(key),
            // INVARIANT: a set is never empty.
            Change::Remove { key } => {
                self.observers.contains(key) || (self.validators.contains(key) && self.validators.len() > 1)
            }
            Change::Rotate { old, new, proof } => {
                let key = parse(new)?;
                let message = rotation_message(context.chain_id, old, new);
                key.verify(&message, proof).map_err(|_mismatch| Refusal::ProofInvalid)?;
                self.holds(old) && !self.holds(new) && keepers::keeper_of(state, new)?.is_none()
            }
            Change::SetSubmitter(submitter) => {
                parse(&submitter.key)?;
                let keeper = keepers::keeper_of(state, &submitter.key)?;
                submitter.role != Role::Member && submitter.block_entries_max > 0 && keeper.is_none()
            }
            Change::RemoveSubmitter { key } => {
                let known = state.get(&submitter_key(key)).map(SubmitterState::decode).transpose()?;
                let removable =
                    |known: SubmitterState| known.block_entries_max > 0 && known.role != Role::Member;
                known.is_some_and(removable) && keepers::keeper_of(state, key)?.is_none()
            }
            Change::Configure(new) => {
                let present = configuration(state)?;
                new.is_sound() && present.version.checked_add(1) == Some(new.version)
            }
            Change::Announce { version, from_epoch } => {
                let (present, since) = announced(state)?.unwrap_or((EXECUTION_VERSION_AT_GENESIS, 0));
                let epoch = epoch_of(state, context.height)?;
                *version > present && since <= epoch && *from_epoch > epoch
            }
            Change::SetKeeper { keeper, block_entries_max, proof } => {
                *block_entries_max > 0
                    && !self.holds(&keeper.key)
                    && keepers::fits(state, context, keeper, proof)?
            }
            Change::RemoveKeeper { id } => keepers::keeper(state, id)?.is_some(),
        };
        if fits { Ok(()) } else { Err(Refusal::ChangeImpossible.into()) }
    }

    /// Makes a change that fits; one that does not leaves everything as it was.
    pub(super) fn make(
        &mut self,
        state: &mut dyn StateView,
        change: &Change,
        context: &Context<'_>,
        next_epoch: u64,
    ) -> Result<(), Stop> {
        self.check(state, change, context)?;
        match change {
            Change::Admit { member, .. } => {
                if !self.holds(&member.key) {
                    self.observers.insert(member.key);
                }
                write_member(state, member.clone(), true, context.height);
            }
            Change::Promote { key } => {
                self.observers.remove(key);
                self.validators.insert(*key);
            }
            Change::Remove { key } => {
                self.observers.remove(key);
                self.validators.remove(key);
                if let Some(known) = read_member(state, key)? {
                    write_member(state, known.member, false, context.height);
                }
            }
            Change::Rotate { old, new, .. } => {
                let place =
                    if self.validators.remove(old) { &mut self.validators } else { &mut self.observers };
                place.insert(*new);
                self.observers.remove(old);
                if let Some(known) = read_member(state, old)? {
                    write_member(state, known.member.clone(), false, context.height);
                    write_member(state, Member { key: *new, ..known.member }, true, context.height);
                }
            }
            Change::SetSubmitter(submitter) => set_submitter(state, submitter)?,
            Change::RemoveSubmitter { key } => remove_submitter(state, key)?,
            Change::Configure(new) => state.put(config_key(), new.encode()),
            Change::Announce { version, from_epoch } => {
                state.put(version_key(), encode_version(*version, (*from_epoch).max(next_epoch)));
            }
            Change::SetKeeper { keeper, block_entries_max, .. } => {
                keepers::set(state, context, keeper, *block_entries_max)?;
            }
            Change::RemoveKeeper { id } => keepers::remove(state, context, id)?,
        }
        Ok(())
    }

    /// Writes the observers and gives the validators.
    pub(super) fn finish(self, state: &mut dyn StateView) -> Result<ValidatorSet, DecodeError> {
        if self.observers != self.observers_before {
            state.put(observers_key(), write_list(&self.observers.into_iter().collect::<Vec<_>>()));
        }
        let keys: Vec<_> = self.validators.into_iter().collect();
        ValidatorSet::new(&keys)
            .map_err(|_set| DecodeError::Invalid { what: "validators", why: "are no set" })
    }
}

/// What nodes of the first ledgers execute as.
const EXECUTION_VERSION_AT_GENESIS: u32 = 1;
const _: () = assert!(EXECUTION_VERSION >= EXECUTION_VERSION_AT_GENESIS, "versions only grow");

fn epoch_of(state: &dyn StateView, height: u64) -> Result<u64, DecodeError> {
    Ok(height.checked_div(super::parameters(state)?.epoch_length).unwrap_or(0))
}

pub(super) fn parse(key: &[u8; 32]) -> Result<VerifyingKey, Refusal> {
    VerifyingKey::parse(key).map_err(|_refused| Refusal::PublicKeyInvalid)
}

fn read_member(state: &dyn StateView, key: &[u8; 32]) -> Result<Option<MemberState>, DecodeError> {
    state.get(&member_key(key)).map(|value| MemberState::decode(key, value)).transpose()
}

fn write_member(state: &mut dyn StateView, member: Member, present: bool, height: u64) {
    let key = member_key(&member.key);
    state.put(key, MemberState { present, height, member }.encode());
}

pub(super) fn set_submitter(state: &mut dyn StateView, submitter: &Submitter) -> Result<(), DecodeError> {
    let known = state.get(&submitter_key(&submitter.key)).map(SubmitterState::decode).transpose()?;
    let highest = known.map_or(0, |known| known.highest);
    let fresh = SubmitterState::new(submitter);
    state.put(submitter_key(&submitter.key), SubmitterState { highest, ..fresh }.encode());
    Ok(())
}

pub(super) fn remove_submitter(state: &mut dyn StateView, key: &[u8; 32]) -> Result<(), DecodeError> {
    if let Some(known) = state.get(&submitter_key(key)).map(SubmitterState::decode).transpose()? {
        // The window stays: old batches must not become new ones if the submitter comes back.
        state.put(submitter_key(key), SubmitterState { block_entries_max: 0, ..known }.encode());
    }
    Ok(())
}
