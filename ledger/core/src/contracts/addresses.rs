//! `addresses`: one-time addresses of accounts that are not named. Each proves its one use by its own key; epochs end under a tag,
//! and what opens them is dealt to keepers.

use super::authored::Consent;
use super::intent::{begin, entitled};
use super::rate::rate;
use super::vault::{in_time, signed_by};
use super::{Call, Context, StateView, Stop, only};
use crate::entry::{
    Act, AddressAct, ChooseAddresses, CloseEpoch, Custody, DealViewing, Entry, HandleLimit, UseAddress,
};
use crate::genesis::Role;
use crate::hash::Hash;
use crate::outcome::{Outcome, Refusal};
use crate::scheme;
use crate::state::addresses::{
    AddressesState, DealtState, HandleState, addresses_key, closed_epoch_key, dealt_key, handle_key,
    used_address_key,
};
use crate::state::layout::{End, IntentState, key_key};
use crate::unlinkable::{AddressEpoch, DEALT_MS_MAX, EDGE_MS, VIEWING_THRESHOLD_MIN, use_address_message};

/// The contract.
pub fn apply(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<Outcome, Stop> {
    match call.entry {
        Entry::UseAddress(used) => claim(state, call, context, used),
        Entry::CloseEpoch(close) => {
            only(call, &[Role::Service])?;
            end_epoch(state, context, call.submitter, close)
        }
        Entry::AnnouncePayment(announce) => {
            // A payment is recorded and nothing else: whose it is shows itself to its receiver.
            only(call, &[Role::Service])?;
            Ok(under_way(announce.address_epoch(), context)?)
        }
        Entry::Authored(authored) => match &authored.act {
            Act::Addresses(AddressAct::Choose(wanted)) => {
                choose(state, context, Consent::of(authored), wanted)
            }
            Act::Addresses(AddressAct::Deal(dealing)) => deal(state, context, Consent::of(authored), dealing),
            _ => Err(Refusal::EntryKindUnknown.into()),
        },
        _ => Err(Refusal::EntryKindUnknown.into()),
    }?;
    Ok(Outcome::ACCEPTED)
}

/// What an account has chosen, if it has.
pub(super) fn chosen(state: &dyn StateView, account: &Hash) -> Result<Option<AddressesState>, Stop> {
    Ok(state.get(&addresses_key(account)).map(AddressesState::decode).transpose()?)
}

/// Writes down when an account was closed, if it has chosen.
pub(super) fn close(state: &mut dyn StateView, account: &Hash, closed_ms: u64) -> Result<(), Stop> {
    if let Some(of) = chosen(state, account)? {
        let closed = AddressesState { closed_ms: Some(closed_ms), ..of };
        state.put(addresses_key(account), closed.encode());
    }
    Ok(())
}

/// Refuses an epoch that has not elapsed.
pub(super) const fn elapsed(epoch: AddressEpoch, context: &Context<'_>) -> Result<(), Refusal> {
    if epoch.is_elapsed(context.time_ms) { Ok(()) } else { Err(Refusal::EpochUnderWay) }
}

fn under_way(epoch: AddressEpoch, context: &Context<'_>) -> Result<(), Refusal> {
    if epoch.is_sound() && epoch.is_under_way(context.time_ms) { Ok(()) } else { Err(Refusal::AddressEpoch) }
}

/// Refuses unless the one author speaks for this account as itself.
fn own_word_of(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    account: &Hash,
) -> Result<(), Stop> {
    if consent.own_word(state, context)? == *account { Ok(()) } else { Err(Refusal::AuthorNotNamed.into()) }
}

fn choose(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    wanted: &ChooseAddresses,
) -> Result<(), Stop> {
    let ChooseAddresses { account, tenant, custody, epoch_ms } = *wanted;
    own_word_of(state, context, consent, &account)?;
    // Whose clock is behind may use an address in the epoch before.
    let first = AddressEpoch::at(epoch_ms, context.time_ms.saturating_sub(EDGE_MS));
    let first = first.ok_or(Refusal::AddressEpoch)?.number;
    if chosen(state, &account)?.is_some() {
        return Err(Refusal::AddressesChosen.into());
    }
    let leaf = context.leaf_index;
    let addresses = AddressesState { tenant, custody, epoch_ms, first, dealt: None, leaf, closed_ms: None };
    state.put(addresses_key(&account), addresses.encode());
    Ok(())
}

/// Claims the right to use an address, which nobody has used in either scheme.
fn claim(
    state: &mut dyn StateView,
    call: &Call<'_>,
    context: &Context<'_>,
    used: &UseAddress,
) -> Result<(), Stop> {
    entitled(call, context, &used.executor, used.not_after)?;
    under_way(used.address_epoch(), context)?;
    let key = used.key().ok_or(Refusal::PublicKeyInvalid)?;
    // What a bound key may do is its account's and its status's business.
    if state.get(&key_key(&key.id())).is_some() {
        return Err(Refusal::KeyAlreadyBound.into());
    }
    let address = used_address_key(&used.x());
    if state.get(&address).is_some() {
        return Err(Refusal::AddressUsed.into());
    }
    let live = IntentState {
        executor: used.executor,
        key_id: key.id(),
        commitment: used.commitment,
        not_after: used.not_after,
        released: false,
    };
    begin(state, &used.id, &live)?;
    if let Some(limit) = &used.limit {
        count(state, context, limit)?;
    }
    let message = use_address_message(context.chain_id, &used.body());
    scheme::verify(&key, &message, &used.proof).or(Err(Refusal::ProofInvalid))?;
    state.put(address, context.leaf_index.to_be_bytes().to_vec());
    Ok(())
}

/// Counts a use under its handle, in the present window of its rule.
fn count(state: &mut dyn StateView, context: &Context<'_>, limit: &HandleLimit) -> Result<(), Stop> {
    let terms = rate(state, &limit.rule)?.terms;
    let ([window], []) = (terms.windows.as_slice(), terms.chargers.as_slice()) else {
        return Err(Refusal::RuleInvalid.into());
    };
    let key = handle_key(&limit.rule, &limit.handle);
    let before = state.get(&key).map(HandleState::decode).transpose()?;
    let before = before.filter(|handle| handle.ends_ms >= context.time_ms);
    let count = before.map_or(0, |handle| handle.count);
    if count >= window.count_max {
        return Err(Refusal::RateExceeded.into());
    }
    // A rule that was given another window lets nobody begin anew in the one that is under way.
    let number = context.time_ms.checked_div(window.length_ms).unwrap_or(0);
    let ends_ms = number.saturating_add(1).saturating_mul(window.length_ms).saturating_sub(1);
    let ends_ms = before.map_or(ends_ms, |handle| handle.ends_ms.max(ends_ms));
    let after = HandleState { ends_ms, count: count.saturating_add(1) };
    state.put_until(key, after.encode(), End::TimeMs(ends_ms));
    Ok(())
}

/// Ends an epoch of an account that only its viewing leaf knows by the tag.
fn end_epoch(
    state: &mut dyn StateView,
    context: &Context<'_>,
    closer: &[u8; 32],
    close: &CloseEpoch,
) -> Result<(), Stop> {
    if !close.address_epoch().is_sound() {
        return Err(Refusal::AddressEpoch.into());
    }
    elapsed(close.address_epoch(), context)?;
    let key = closed_epoch_key(&close.tag, closer);
    if state.get(&key).is_some() {
        return Err(Refusal::EpochClosed.into());
    }
    state.put(key, context.leaf_index.to_be_bytes().to_vec());
    Ok(())
}

/// Records that keepers hold shares of what opens the next run of an account's epochs, without a gap.
fn deal(
    state: &mut dyn StateView,
    context: &Context<'_>,
    consent: Consent<'_>,
    dealing: &DealViewing,
) -> Result<(), Stop> {
    let DealViewing { run, threshold, acknowledgements } = dealing;
    own_word_of(state, context, consent, &run.account)?;
    let before = chosen(state, &run.account)?.filter(|chosen| chosen.custody == Custody::Own);
    let before = before.ok_or(Refusal::AddressesUnknown)?;
    // Keepers may have let go of their shares.
    in_time(Some(run.expires_ms), context)?;
    if before.next_dealt() != Some(run.first) || run.last < run.first {
        return Err(Refusal::DealingGap.into());
    }
    elapsed(AddressEpoch::new(before.epoch_ms, run.last), context)?;
    // A grant opens whole runs alone: a longer one would lie in no period that terms allow.
    let epochs = u64::from(run.last - run.first) + 1;
    if epochs.saturating_mul(before.epoch_ms) > DEALT_MS_MAX {
        return Err(Refusal::DealingGap.into());
    }
    if *threshold < VIEWING_THRESHOLD_MIN || usize::from(*threshold) > acknowledgements.len() {
        return Err(Refusal::VaultInvalid.into());
    }
    for (keeper, signature) in acknowledgements {
        let message = run.acknowledgement_message(context.chain_id, keeper);
        signed_by(state, keeper, &message, signature)?;
    }
    let dealt = DealtState {
        last: run.last,
        dealing_hash: run.dealing_hash,
        threshold: *threshold,
        keepers: acknowledgements.iter().map(|(keeper, _)| *keeper).collect(),
        leaf: context.leaf_index,
    };
    state.put(dealt_key(&run.account, run.first), dealt.encode());
    let after = AddressesState { dealt: Some(run.last), ..before };
    state.put(addresses_key(&run.account), after.encode());
    Ok(())
}
