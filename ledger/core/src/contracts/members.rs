//! `members`: who runs the ledger and by which rules, decided by a quorum of the validators in force.
//!
//! A change is proposed and approved with the validators' own signatures, whoever submits them, and takes
//! effect at the end of an epoch ([`close`]). It is kept up to its last height, so that old signatures cannot
//! be used a second time.

mod effect;
mod keepers;

use super::{Call, Context, StateView, Stop, not_expired};
use crate::block::Regime;
use crate::certificate::ValidatorSet;
use crate::change::{Change, Configuration, Subject, approval_message, change_id};
use crate::codec::DecodeError;
use crate::ed25519::VerifyingKey;
use crate::entry::{ApproveChange, Entry, ProposeChange};
use crate::hash::Hash;
use crate::outcome::{Outcome, Refusal};
use crate::state::layout::{End, Parameters, parameters_key, validators_key};
use crate::state::member::{
    CHANGES_MAX, ChangeState, ChangeStatus, TermState, change_key, config_key, decode_list, last_term_key,
    pending_changes_key, term_key, version_key, write_list,
};

pub use effect::MEMBERS_MAX;
pub(crate) use keepers::keeper;

/// How many blocks ahead the last height of a proposal may lie.
pub const CHANGE_BLOCKS_MAX: u64 = 1 << 22;
/// How many open changes one proposer may have.
pub const CHANGES_PER_PROPOSER: usize = 4;

/// The contract.
pub fn apply(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<Outcome, Stop> {
    match call.entry {
        Entry::ProposeChange(entry) => propose(state, context, entry),
        Entry::ApproveChange(entry) => approve(state, context, entry),
        _ => Err(Refusal::EntryKindUnknown.into()),
    }?;
    Ok(Outcome::ACCEPTED)
}

fn propose(state: &mut dyn StateView, context: &Context<'_>, entry: &ProposeChange) -> Result<(), Stop> {
    let change = Change::decode(&entry.change).map_err(|_malformed| Refusal::ChangeMalformed)?;
    not_expired(entry.not_after, context)?;
    if entry.not_after - context.height > CHANGE_BLOCKS_MAX {
        return Err(Refusal::ExpiryTooFar.into());
    }
    let set = set_in_force(state)?;
    let id = change_id(context.chain_id, &entry.proposer, entry.not_after, &entry.change);
    signed_by(&set, &entry.proposer, &id, &entry.signature)?;
    if state.get(&change_key(&id)).is_some() {
        return Err(Refusal::ChangeKnown.into());
    }
    let mut ids = Vec::new();
    let mut subjects = Vec::new();
    for (other, pending) in pending(state, context.height)? {
        ids.push(other);
        if pending.proposer == entry.proposer {
            subjects.push(Change::decode(&pending.change)?.subject());
        }
    }
    if subjects.len() >= CHANGES_PER_PROPOSER
        || subjects.contains(&change.subject())
        || ids.len() >= CHANGES_MAX
    {
        return Err(Refusal::ChangeLimit.into());
    }
    effect::Roster::of(state, &set)?.check(state, &change, context)?;
    ids.push(id);
    let opened = ChangeState {
        status: ChangeStatus::Pending,
        height: context.height,
        not_after: entry.not_after,
        proposer: entry.proposer,
        approvals: vec![entry.proposer],
        change: entry.change.clone(),
    };
    state.put(pending_changes_key(), write_list(&ids));
    state.put_until(change_key(&id), opened.encode(), End::Height(entry.not_after));
    Ok(())
}

fn approve(state: &mut dyn StateView, context: &Context<'_>, entry: &ApproveChange) -> Result<(), Stop> {
    let key = change_key(&entry.change_id);
    let mut change = match state.get(&key) {
        Some(value) => ChangeState::decode(value)?,
        None => return Err(Refusal::ChangeUnknown.into()),
    };
    if change.status != ChangeStatus::Pending {
        return Err(Refusal::ChangeSettled.into());
    }
    let message = approval_message(context.chain_id, &entry.change_id);
    signed_by(&set_in_force(state)?, &entry.validator, &message, &entry.signature)?;
    if change.approvals.contains(&entry.validator) {
        return Err(Refusal::ApprovedBefore.into());
    }
    if change.approvals.len() >= CHANGES_MAX {
        return Err(Refusal::ChangeLimit.into());
    }
    change.approvals.push(entry.validator);
    state.put(key, change.encode());
    Ok(())
}

/// Refuses unless a member of the set signed the message.
pub(crate) fn signed_by(
    set: &ValidatorSet,
    key: &[u8; 32],
    message: &Hash,
    signature: &[u8; 64],
) -> Result<(), Refusal> {
    let member: &VerifyingKey = set.member(key).ok_or(Refusal::NotAMember)?;
    member.verify(message, signature).map_err(|_mismatch| Refusal::StatementSignature)
}

/// The validators that certify the next block.
pub(crate) fn set_in_force(state: &dyn StateView) -> Result<ValidatorSet, DecodeError> {
    ValidatorSet::decode(state.get(&validators_key()).unwrap_or_default())
}

/// The parameters in force.
pub(crate) fn parameters(state: &dyn StateView) -> Result<Parameters, DecodeError> {
    Parameters::decode(state.get(&parameters_key()).unwrap_or_default())
}

/// The configuration in force.
pub fn configuration(state: &dyn StateView) -> Result<Configuration, DecodeError> {
    match state.get(&config_key()) {
        Some(value) => Configuration::decode(value),
        None => parameters(state).map(|parameters| Configuration::initial(parameters.clock_bound_ms)),
    }
}

/// Changes that are open at a height, oldest first.
fn pending(state: &dyn StateView, height: u64) -> Result<Vec<(Hash, ChangeState)>, DecodeError> {
    let mut open = Vec::new();
    for id in decode_list(state.get(&pending_changes_key()), CHANGES_MAX)? {
        let Some(value) = state.get(&change_key(&id)) else { continue };
        let change = ChangeState::decode(value)?;
        if change.status == ChangeStatus::Pending && change.not_after >= height {
            open.push((id, change));
        }
    }
    Ok(open)
}

/// Whether a change has its quorum and waits for the epoch's end.
pub(crate) fn is_due(state: &dyn StateView, set: &ValidatorSet, height: u64) -> Result<bool, DecodeError> {
    if state.get(&pending_changes_key()).is_none() {
        return Ok(false);
    }
    Ok(pending(state, height)?.iter().any(|(_, change)| change.approvals_of(set) >= set.quorum()))
}

/// What holds from the next epoch on.
pub(crate) struct Next {
    pub(crate) set: ValidatorSet,
    pub(crate) parameters: Parameters,
    pub(crate) suspects: Vec<[u8; 32]>,
}

/// Ends an epoch: approved changes take effect in the order of their proposals, and those that no longer
/// fit are dropped. `next_epoch` is the first in which they hold.
pub(crate) fn close(
    state: &mut dyn StateView,
    set: &ValidatorSet,
    context: &Context<'_>,
    next_epoch: u64,
) -> Result<Next, DecodeError> {
    let before = parameters(state)?;
    let suspected = last_term_state(state)?.map(|term| term.suspects).unwrap_or_default();
    let mut next = Next { set: set.clone(), parameters: before, suspects: Vec::new() };
    if state.get(&pending_changes_key()).is_some() {
        settle(state, &mut next, context, next_epoch)?;
    }
    let regime = super::regime::close(state, &next.set, before.regime, context, next_epoch)?;
    (next.parameters.regime, next.suspects) = (regime.regime, regime.suspects);
    if next.set != *set || next.parameters.regime != before.regime || next.suspects != suspected {
        begin_term(state, set, before.regime, &next, next_epoch)?;
    }
    if next.parameters != before {
        state.put(parameters_key(), next.parameters.encode());
    }
    if next.set != *set {
        state.put(validators_key(), next.set.encode());
    }
    Ok(next)
}

fn settle(
    state: &mut dyn StateView,
    next: &mut Next,
    context: &Context<'_>,
    next_epoch: u64,
) -> Result<(), DecodeError> {
    let before = next.set.clone();
    let mut roster = effect::Roster::of(state, &before)?;
    let mut settled: Vec<Subject> = Vec::new();
    let mut open = Vec::new();
    for (id, mut waiting) in pending(state, context.height)? {
        let change = Change::decode(&waiting.change)?;
        let subject = change.subject();
        if settled.contains(&subject) {
            waiting.status = ChangeStatus::Dropped;
        } else if waiting.approvals_of(&before) >= before.quorum() {
            let made = roster.make(state, &change, context, next_epoch);
            waiting.status = match made {
                Ok(()) => ChangeStatus::Effective,
                Err(Stop::Refused(_)) => ChangeStatus::Dropped,
                Err(Stop::Broken(broken)) => return Err(broken),
            };
            if waiting.status == ChangeStatus::Effective {
                settled.push(subject);
            }
        } else {
            open.push((id, waiting));
            continue;
        }
        waiting.height = context.height;
        state.put(change_key(&id), waiting.encode());
    }
    next.set = roster.finish(state)?;
    next.parameters.clock_bound_ms = configuration(state)?.clock_bound_ms;
    let mut ids = Vec::with_capacity(open.len());
    for (id, mut waiting) in open {
        let subject = Change::decode(&waiting.change)?.subject();
        if next.set.member(&waiting.proposer).is_some() && !settled.contains(&subject) {
            ids.push(id);
        } else {
            waiting.status = ChangeStatus::Dropped;
            waiting.height = context.height;
            state.put(change_key(&id), waiting.encode());
        }
    }
    state.put(pending_changes_key(), write_list(&ids));
    Ok(())
}

/// Writes down that another set or regime holds; the first time also what held since genesis.
fn begin_term(
    state: &mut dyn StateView,
    set: &ValidatorSet,
    regime: Regime,
    next: &Next,
    next_epoch: u64,
) -> Result<(), DecodeError> {
    let number = match last_term(state)? {
        Some(last) => last.saturating_add(1),
        None => {
            let first = TermState { first_epoch: 0, regime, set: set.clone(), suspects: Vec::new() };
            state.put(term_key(0), first.encode());
            1
        }
    };
    let term = TermState {
        first_epoch: next_epoch,
        regime: next.parameters.regime,
        set: next.set.clone(),
        suspects: next.suspects.clone(),
    };
    state.put(term_key(number), term.encode());
    state.put(last_term_key(), number.to_be_bytes().to_vec());
    Ok(())
}

/// The number of the newest term, if there was ever a change.
pub(crate) fn last_term(state: &dyn StateView) -> Result<Option<u32>, DecodeError> {
    let Some(value) = state.get(&last_term_key()) else { return Ok(None) };
    let mut reader = crate::codec::Reader::new(value);
    let number = reader.u32("term")?;
    reader.finish("term")?;
    Ok(Some(number))
}

/// The newest term, if there was ever a change.
fn last_term_state(state: &dyn StateView) -> Result<Option<TermState>, DecodeError> {
    last_term(state)?.map(|number| term(state, number)).transpose()
}

/// A term by its number.
pub(crate) fn term(state: &dyn StateView, number: u32) -> Result<TermState, DecodeError> {
    TermState::decode(state.get(&term_key(number)).unwrap_or_default())
}

/// The term of an epoch that has begun, going back from the newest; `None` before the first change.
pub(crate) fn term_of(state: &dyn StateView, epoch: u64) -> Result<Option<TermState>, DecodeError> {
    let Some(last) = last_term(state)? else { return Ok(None) };
    for number in (0..=last).rev() {
        let term = term(state, number)?;
        if term.first_epoch <= epoch {
            return Ok(Some(term));
        }
    }
    Ok(None)
}

/// The announced execution version and the first epoch in which it holds.
pub(crate) fn announced(state: &dyn StateView) -> Result<Option<(u32, u64)>, DecodeError> {
    state.get(&version_key()).map(crate::state::member::decode_version).transpose()
}
