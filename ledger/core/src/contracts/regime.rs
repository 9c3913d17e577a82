//! `regime`: faults, complaints and agreements, and what follows from them for the way the ledger agrees.
//!
//! All of them carry their author's signature, so it does not matter who submits them. A switch takes effect at
//! the end of an epoch ([`close`]); the state says why, and which record brought it about.

use super::members::{configuration, parameters, set_in_force, signed_by, term_of};
use super::{Call, Context, StateView, Stop};
use crate::block::Regime;
use crate::certificate::ValidatorSet;
use crate::change::{Configuration, RegimeMode};
use crate::codec::DecodeError;
use crate::ed25519;
use crate::entry::{Agreement, Complaint, ComplaintKind, Entry, Evidence};
use crate::genesis::Role;
use crate::hash::{Hash, Tag, ZERO};
use crate::outcome::{Outcome, Refusal};
use crate::state::layout::{BatchState, SubmitterState, batch_key, submitter_key};
use crate::state::regime::{
    Agreed, Book, COMPLAINTS_MAX, Complained, FaultState, Reason, RegimeState, Trigger, agreements_key,
    book_key, complaints_key, fault_key, read_agreements, read_complaints, regime_key, write_agreements,
    write_complaints,
};
use crate::vote::Vote;

/// The contract.
pub fn apply(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<Outcome, Stop> {
    match call.entry {
        Entry::Evidence(evidence) => convict(state, context, evidence),
        Entry::Complaint(complaint) => complain(state, context, complaint),
        Entry::Agreement(agreement) => agree(state, context, agreement),
        _ => Err(Refusal::EntryKindUnknown.into()),
    }?;
    Ok(Outcome::ACCEPTED)
}

/// What the author of a complaint signs:
/// `tagged("keyward/complaint/v1", chain id || u8 kind || author || u64 epoch || u64 number || hash)`.
pub fn complaint_message(chain_id: &Hash, complaint: &Complaint) -> Hash {
    let Complaint { kind, author, epoch, number, hash, .. } = complaint;
    let (epoch, number) = (epoch.to_be_bytes(), number.to_be_bytes());
    Tag::Complaint.hash(&[chain_id, &[*kind as u8], author, &epoch, &number, hash])
}

/// What a member signs of a state: `tagged("keyward/agreement/v1", chain id || member || u64 height || root)`.
pub fn agreement_message(chain_id: &Hash, member: &[u8; 32], height: u64, state_root: &Hash) -> Hash {
    Tag::Agreement.hash(&[chain_id, member, &height.to_be_bytes(), state_root])
}

fn convict(state: &mut dyn StateView, context: &Context<'_>, evidence: &Evidence) -> Result<(), Stop> {
    let parse =
        |message: &[u8]| Vote::parse(context.chain_id, message).map_err(|_bad| Refusal::EvidenceInvalid);
    let [first, second] = &evidence.votes;
    let (one, other) = (parse(&first.message)?, parse(&second.message)?);
    if !one.excludes(&other) {
        return Err(Refusal::EvidenceInvalid.into());
    }
    let now = present(state, context)?;
    within_reach(one.epoch, now)?;
    let set = match term_of(state, one.epoch)? {
        Some(term) => term.set,
        None => set_in_force(state)?,
    };
    let key = set.member(&evidence.validator).ok_or(Refusal::NotAMember)?;
    for vote in &evidence.votes {
        key.verify(&vote.message, &vote.signature).map_err(|_mismatch| Refusal::EvidenceInvalid)?;
    }
    let record = fault_key(&evidence.validator);
    let known = state.get(&record).map(FaultState::decode).transpose()?;
    if known.is_some_and(|known| known.epoch >= one.epoch) {
        return Err(Refusal::EvidenceKnown.into());
    }
    let fault = FaultState { epoch: one.epoch, view: one.view, leaf_index: context.leaf_index };
    state.put(record, fault.encode());
    alarm(state, context, Reason::Equivocation, evidence.validator, now)
}

/// Takes a complaint in, and counts those of its kind.
pub(crate) fn complain(
    state: &mut dyn StateView,
    context: &Context<'_>,
    complaint: &Complaint,
) -> Result<(), Stop> {
    let (kind, now) = (complaint.kind, present(state, context)?);
    within_reach(complaint.epoch, now)?;
    let message = complaint_message(context.chain_id, complaint);
    let (set, configuration) = (set_in_force(state)?, configuration(state)?);
    match kind {
        ComplaintKind::Unheard => {
            let author =
                state.get(&submitter_key(&complaint.author)).map(SubmitterState::decode).transpose()?;
            let may = |author: &SubmitterState| author.block_entries_max > 0 && author.role != Role::Member;
            author.filter(may).ok_or(Refusal::RoleNotAllowed)?;
            ed25519::verify(&complaint.author, &message, &complaint.signature)
                .map_err(|_mismatch| Refusal::StatementSignature)?;
        }
        _ => signed_by(&set, &complaint.author, &message, &complaint.signature)?,
    }
    if !is_founded(state, context, complaint, &configuration)? {
        return Err(Refusal::ComplaintUnfounded.into());
    }
    let mut open = read_complaints(state.get(&complaints_key()))?;
    open.retain(|other| other.epoch.saturating_add(1) >= now);
    let new = Complained { kind: kind as u8, author: complaint.author, epoch: complaint.epoch };
    // What was counted is gone from the list, but not said anew: its epoch's fault is written down.
    if open.contains(&new) || has_fault(state, complaint.epoch)? {
        return Err(Refusal::ComplaintKnown.into());
    }
    if open.len() >= COMPLAINTS_MAX {
        return Err(Refusal::ComplaintLimit.into());
    }
    open.push(new);
    if authors(&open, kind, &set) >= needed(kind, &set, &configuration) {
        open.retain(|other| other.kind != kind as u8);
        alarm(state, context, reason(kind), ZERO, now)?;
    }
    state.put(complaints_key(), write_complaints(&open));
    Ok(())
}

/// Whether the ledger does not show the opposite.
fn is_founded(
    state: &dyn StateView,
    context: &Context<'_>,
    complaint: &Complaint,
    configuration: &Configuration,
) -> Result<bool, DecodeError> {
    Ok(match complaint.kind {
        ComplaintKind::StateRoot | ComplaintKind::Scrub => complaint.number <= context.height,
        ComplaintKind::SkippedViews => complaint.number >= u64::from(configuration.skipped_views_min),
        ComplaintKind::Unheard => {
            let slot = state.get(&batch_key(&complaint.author, complaint.number));
            let slot = slot.map(BatchState::decode).transpose()?;
            slot.is_none_or(|slot| slot.sequence < complaint.number)
        }
    })
}

/// How many complain of one thing: members in force, or submitters.
fn authors(open: &[Complained], kind: ComplaintKind, set: &ValidatorSet) -> usize {
    let of_kind = open.iter().filter(|other| other.kind == kind as u8);
    let counts =
        of_kind.filter(|other| kind == ComplaintKind::Unheard || set.member(&other.author).is_some());
    let mut keys: Vec<_> = counts.map(|other| other.author).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.len()
}

fn needed(kind: ComplaintKind, set: &ValidatorSet, configuration: &Configuration) -> usize {
    match kind {
        ComplaintKind::Unheard => usize::try_from(configuration.submitters_min).unwrap_or(usize::MAX),
        // One more than may be faulty, so that an honest one is among them.
        _ => set.len().saturating_sub(set.quorum()).saturating_add(1),
    }
}

const fn reason(kind: ComplaintKind) -> Reason {
    match kind {
        ComplaintKind::StateRoot => Reason::StateRoots,
        ComplaintKind::Scrub => Reason::Scrubs,
        ComplaintKind::SkippedViews => Reason::SkippedViews,
        ComplaintKind::Unheard => Reason::Unheard,
    }
}

/// Writes a fault down. The fast regime ends with the epoch, if it is not pinned.
fn alarm(
    state: &mut dyn StateView,
    context: &Context<'_>,
    reason: Reason,
    subject: [u8; 32],
    now: u64,
) -> Result<(), Stop> {
    let mut book = book(state)?;
    book.fault_epoch = now;
    // INVARIANT: suspects are members in force or of the next epoch, so that the list has its bound.
    if reason == Reason::Equivocation
        && set_in_force(state)?.member(&subject).is_some()
        && let Err(place) = book.suspects.binary_search(&subject)
    {
        book.suspects.insert(place, subject);
    }
    if book.waiting.is_none() && parameters(state)?.regime == Regime::Fast {
        book.waiting = Some(Trigger { reason, leaf_index: context.leaf_index, subject });
    }
    state.put(book_key(), book.encode());
    // What was agreed before the fault says nothing of the time after it.
    if state.get(&agreements_key()).is_some() {
        state.put(agreements_key(), write_agreements(&[]));
    }
    Ok(())
}

fn agree(state: &mut dyn StateView, context: &Context<'_>, agreement: &Agreement) -> Result<(), Stop> {
    let Agreement { member, height, state_root, signature } = agreement;
    let message = agreement_message(context.chain_id, member, *height, state_root);
    let set = set_in_force(state)?;
    signed_by(&set, member, &message, signature)?;
    let (now, length) = (present(state, context)?, parameters(state)?.epoch_length);
    let epoch = height.checked_div(length).unwrap_or(0);
    let mut agreed = read_agreements(state.get(&agreements_key()))?;
    agreed.retain(|other| set.member(&other.member).is_some());
    let later = agreed.iter().any(|other| other.member == *member && other.height >= *height);
    if *height >= context.height || epoch.saturating_add(1) < now || later {
        return Err(Refusal::AgreementOld.into());
    }
    agreed.retain(|other| other.member != *member);
    agreed.push(Agreed {
        member: *member,
        height: *height,
        state_root: *state_root,
        leaf_index: context.leaf_index,
    });
    state.put(agreements_key(), write_agreements(&agreed));
    Ok(())
}

fn present(state: &dyn StateView, context: &Context<'_>) -> Result<u64, DecodeError> {
    Ok(context.height.checked_div(parameters(state)?.epoch_length).unwrap_or(0))
}

/// Refuses what is about another epoch than the present one and the one before.
fn within_reach(epoch: u64, now: u64) -> Result<(), Refusal> {
    if epoch > now || epoch.saturating_add(1) < now { Err(Refusal::EpochOutOfReach) } else { Ok(()) }
}

/// What stands against the fast regime.
pub(crate) fn book(state: &dyn StateView) -> Result<Book, DecodeError> {
    state.get(&book_key()).map_or_else(|| Ok(Book::default()), Book::decode)
}

/// Whether a fault of this epoch or a later one is written down: complaints of the epoch add nothing to it.
pub(crate) fn has_fault(state: &dyn StateView, epoch: u64) -> Result<bool, DecodeError> {
    Ok(state.get(&book_key()).is_some() && book(state)?.fault_epoch >= epoch)
}

/// The switch that made the regime in force, if there was one.
pub(crate) fn last_switch(state: &dyn StateView) -> Result<Option<RegimeState>, DecodeError> {
    state.get(&regime_key()).map(RegimeState::decode).transpose()
}

/// Whether a switch waits for the end of the epoch.
pub(crate) fn is_due(state: &dyn StateView) -> Result<bool, DecodeError> {
    if state.get(&book_key()).is_none() {
        return Ok(false);
    }
    Ok(book(state)?.waiting.is_some() && configuration(state)?.mode == RegimeMode::Auto)
}

/// The regime and its suspects from the next epoch on.
pub(crate) struct NextRegime {
    pub(crate) regime: Regime,
    pub(crate) suspects: Vec<[u8; 32]>,
}

/// Ends an epoch: `set` is that of the next one, `present` the regime so far.
pub(crate) fn close(
    state: &mut dyn StateView,
    set: &ValidatorSet,
    present: Regime,
    context: &Context<'_>,
    next_epoch: u64,
) -> Result<NextRegime, DecodeError> {
    let before = book(state)?;
    let mut book = before.clone();
    let switch = match (configuration(state)?, present) {
        (Configuration { mode: RegimeMode::Auto, .. }, Regime::Fast) => {
            book.waiting.map(|trigger| (Regime::Strict, trigger))
        }
        (configuration @ Configuration { mode: RegimeMode::Auto, .. }, Regime::Strict) => {
            calm(state, set, &book, &configuration, next_epoch)?.map(|trigger| (Regime::Fast, trigger))
        }
        (Configuration { mode: RegimeMode::Fast, .. }, Regime::Strict) => {
            Some((Regime::Fast, pinned(context)))
        }
        (Configuration { mode: RegimeMode::Strict, .. }, Regime::Fast) => {
            Some((Regime::Strict, pinned(context)))
        }
        _ => None,
    };
    let regime = switch.map_or(present, |(regime, _)| regime);
    if let Some((regime, trigger)) = switch {
        let switched = RegimeState { regime, first_epoch: next_epoch, height: context.height, trigger };
        state.put(regime_key(), switched.encode());
        if regime == Regime::Fast {
            book.suspects.clear();
            state.put(agreements_key(), write_agreements(&[]));
        }
    }
    book.suspects.retain(|key| set.member(key).is_some());
    book.waiting = None;
    // A book that nobody needs would say that there was a fault in epoch 0.
    if book != before {
        state.put(book_key(), book.encode());
    }
    let suspects = match regime {
        Regime::Strict => book.suspects,
        Regime::Fast => Vec::new(),
    };
    Ok(NextRegime { regime, suspects })
}

const fn pinned(context: &Context<'_>) -> Trigger {
    Trigger { reason: Reason::Configuration, leaf_index: context.leaf_index, subject: ZERO }
}

/// Every member agreed on one state of the epoch that ends or of the one before, and enough epochs were clean.
fn calm(
    state: &dyn StateView,
    set: &ValidatorSet,
    book: &Book,
    configuration: &Configuration,
    next_epoch: u64,
) -> Result<Option<Trigger>, DecodeError> {
    // The epoch of the fault itself does not count.
    let clean = next_epoch.saturating_sub(book.fault_epoch).saturating_sub(1);
    if clean < u64::from(configuration.clean_epochs) {
        return Ok(None);
    }
    let mut agreed = read_agreements(state.get(&agreements_key()))?;
    agreed.retain(|agreed| set.member(&agreed.member).is_some());
    let length = parameters(state)?.epoch_length;
    let of = |key: [u8; 32]| agreed.iter().find(|agreed| agreed.member == key);
    let Some(first) = agreed.first() else { return Ok(None) };
    let recent = first.height.checked_div(length).unwrap_or(0).saturating_add(2) >= next_epoch;
    let same = |agreed: &Agreed| (agreed.height, agreed.state_root) == (first.height, first.state_root);
    if !recent || !set.keys().all(|key| of(key).is_some_and(same)) {
        return Ok(None);
    }
    let leaf_index = agreed.iter().map(|agreed| agreed.leaf_index).max().unwrap_or(0);
    Ok(Some(Trigger { reason: Reason::Agreement, leaf_index, subject: ZERO }))
}
