//! `vault`: what the owner seals and every keeper acknowledges, guesses that are paid for before they are answered, and
//! an end that each keeper proves.
//!
//! Counting is that of [`attempts`]; here stands what an attempt is bound to, and when there may be one.

use super::attempts::{self, Request};
use super::authored::Consent;
use super::members::keeper;
use super::registry::require_open;
use super::{Call, Context, StateView, Stop, only};
use crate::ed25519;
use crate::entry::{Act, RuleName, VaultAct, VaultAttempt};
use crate::genesis::Role;
use crate::hash::{Hash, Tag};
use crate::outcome::{Outcome, Refusal};
use crate::state::vault::{HolderState, VaultState, holder_key, vault_key};
use crate::vault::{Refresh, Sealing, acknowledgement_message, consent_message, vault_rule};

/// The contract.
pub fn apply(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<Outcome, Stop> {
    let (act, consent) = Consent::carried(call)?;
    let Act::Vault(act) = act else { return Err(Refusal::EntryKindUnknown.into()) };
    match act {
        VaultAct::Attempt(attempt) => return ask(state, call, context, consent, attempt),
        VaultAct::Destroy { vault, version } => destroy(state, call, context, consent, vault, *version),
        VaultAct::Seal { sealing, acknowledgements } => {
            consent.of_account(state, context, &sealing.vault.owner)?;
            seal(state, context, sealing, acknowledgements)
        }
        VaultAct::Open { attempt, signature } => {
            consent.nobody()?;
            live(state, &attempt.vault)?;
            attempts::prove(state, context, &request(attempt), signature)
        }
        VaultAct::Erase { vault, version, keeper } => {
            consent.nobody()?;
            only(call, &[Role::Keeper])?;
            erase(state, call, vault, *version, keeper)
        }
        VaultAct::Refresh { refresh, acknowledgements, consents } => {
            consent.nobody()?;
            renew(state, context, refresh, acknowledgements, consents)
        }
    }?;
    Ok(Outcome::ACCEPTED)
}

/// What an attempt is bound to, as one hash: `tagged("keyward/vault-request/v1", rule id || version u32 || share version
/// u32 || element || reply key)`.
pub fn request(attempt: &VaultAttempt) -> Request {
    let VaultAttempt { vault, version, share_version, element, reply_key } = attempt;
    let rule = vault_rule(vault);
    let versions = [version.to_be_bytes(), share_version.to_be_bytes()].concat();
    let hash = Tag::VaultRequest.hash(&[&rule, &versions, element, reply_key]);
    Request { rule, version: *version, hash }
}

/// Seals a vault in its next version. The counter goes on as it stands: a new sealing is no proof of success.
fn seal(
    state: &mut dyn StateView,
    context: &Context<'_>,
    sealing: &Sealing,
    acknowledgements: &[[u8; 64]],
) -> Result<(), Stop> {
    let Some(constants) = sealing.shares.constants().filter(|_| sealing.is_sound()) else {
        return Err(Refusal::VaultInvalid.into());
    };
    in_time(sealing.expires_ms, context)?;
    let rule = vault_rule(&sealing.vault);
    let before = state.get(&vault_key(&rule)).map(VaultState::decode).transpose()?;
    if before.as_ref().is_some_and(|before| before.destroyed) {
        return Err(Refusal::VaultDestroyed.into());
    }
    if before.map_or(0, |before| before.version).checked_add(1) != Some(sealing.version) {
        return Err(Refusal::VaultVersionStale.into());
    }
    let (hash, keepers) = (sealing.hash(), &sealing.shares.keepers);
    acknowledged(state, context, &hash, keepers, acknowledgements)?;
    attempts::define(state, context, &rule, sealing.version, &sealing.terms)?;
    let vault = VaultState {
        vault: sealing.vault,
        destroyed: false,
        version: sealing.version,
        sealing: hash,
        sealing_leaf: context.leaf_index,
        share_version: 1,
        shares: hash,
        shares_leaf: context.leaf_index,
        threshold: sealing.shares.threshold(),
        keepers: keepers.clone(),
        constants,
    };
    hold(state, &rule, &vault)?;
    Ok(())
}

/// Refuses what may be recorded no more: whoever held it back would replace shares by those that keepers have let go of.
pub(super) fn in_time(expires_ms: Option<u64>, context: &Context<'_>) -> Result<(), Refusal> {
    if expires_ms.is_some_and(|expires_ms| context.time_ms > expires_ms) {
        return Err(Refusal::Expired);
    }
    Ok(())
}

/// Writes a vault and that each of its keepers holds a share of it.
fn hold(state: &mut dyn StateView, rule: &Hash, vault: &VaultState) -> Result<(), Stop> {
    for keeper in &vault.keepers {
        let key = holder_key(rule, keeper);
        let erased = state.get(&key).map(HolderState::decode).transpose()?.map_or(0, |holder| holder.erased);
        // What was erased before is held again.
        let holder = HolderState { held: vault.version, erased: erased.min(vault.version.saturating_sub(1)) };
        state.put(key, holder.encode());
    }
    state.put(vault_key(rule), vault.encode());
    Ok(())
}

/// Refuses unless every keeper is one now and has acknowledged its share.
fn acknowledged(
    state: &dyn StateView,
    context: &Context<'_>,
    hash: &Hash,
    keepers: &[Hash],
    signatures: &[[u8; 64]],
) -> Result<(), Stop> {
    for ((index, id), signature) in (1..).zip(keepers).zip(signatures) {
        signed_by(state, id, &acknowledgement_message(context.chain_id, hash, index), signature)?;
    }
    if keepers.len() == signatures.len() { Ok(()) } else { Err(Refusal::VaultAcknowledgement.into()) }
}

/// Refuses unless it is a keeper now and has signed with its present key.
pub(super) fn signed_by(
    state: &dyn StateView,
    id: &Hash,
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), Stop> {
    let keeper = keeper(state, id)?.ok_or(Refusal::VaultKeeperUnknown)?;
    ed25519::verify(&keeper.key, message, signature).or(Err(Refusal::VaultAcknowledgement))?;
    Ok(())
}

/// Spends an attempt. One that came too early is told the block time from which on there may be one.
fn ask(
    state: &mut dyn StateView,
    call: &Call<'_>,
    context: &Context<'_>,
    consent: Consent<'_>,
    attempt: &VaultAttempt,
) -> Result<Outcome, Stop> {
    only(call, &[Role::Service, Role::Keeper])?;
    let vault = live(state, &attempt.vault)?;
    if (attempt.version, attempt.share_version) != (vault.version, vault.share_version) {
        return Err(Refusal::VaultVersionStale.into());
    }
    let request = request(attempt);
    let counter = attempts::counter(state, context, &request.rule)?;
    if counter.terms.askers.is_empty() {
        // Nobody signs: the service has asked for a login.
        only(call, &[Role::Service])?;
    }
    match attempts::asked(state, context, consent, &request) {
        Ok(granted) => Ok(Outcome::accepted_with(&granted.id)),
        Err(Stop::Refused(refusal @ (Refusal::AttemptsCooling | Refusal::AttemptsSpent))) => {
            let data = attempts::next_ms(&counter).map_or_else(Vec::new, |ms| ms.to_be_bytes().to_vec());
            Ok(Outcome { code: refusal.code(), data })
        }
        Err(stop) => Err(stop),
    }
}

/// Ends a vault for good, in its account's name. Nobody speaks for a closed account: any service may end its vaults.
fn destroy(
    state: &mut dyn StateView,
    call: &Call<'_>,
    context: &Context<'_>,
    consent: Consent<'_>,
    vault: &RuleName,
    version: u32,
) -> Result<(), Stop> {
    match require_open(state, &vault.owner) {
        Err(Stop::Refused(Refusal::AccountClosed)) => {
            only(call, &[Role::Service])?;
            consent.nobody()?;
        }
        other => {
            other?;
            consent.of_account(state, context, &vault.owner)?;
        }
    }
    let found = known(state, vault)?;
    if found.destroyed {
        return Err(Refusal::VaultDestroyed.into());
    }
    if found.version != version {
        return Err(Refusal::VaultVersionStale.into());
    }
    state.put(vault_key(&vault_rule(vault)), VaultState { destroyed: true, ..found }.encode());
    Ok(())
}

/// Takes a keeper's word that it holds nothing of a vault up to a version any more: only of what nobody needs.
fn erase(
    state: &mut dyn StateView,
    call: &Call<'_>,
    vault: &RuleName,
    version: u32,
    id: &Hash,
) -> Result<(), Stop> {
    let (rule, found) = (vault_rule(vault), known(state, vault)?);
    let submits = keeper(state, id)?.is_some_and(|keeper| keeper.key == *call.submitter);
    let holder = state.get(&holder_key(&rule, id)).map(HolderState::decode).transpose()?;
    let Some(holder) = holder.filter(|holder| submits && (1..=holder.held).contains(&version)) else {
        return Err(Refusal::VaultNotHolder.into());
    };
    if !found.destroyed && version == found.version && found.keepers.contains(id) {
        return Err(Refusal::VaultInUse.into());
    }
    if version <= holder.erased {
        return Err(Refusal::VaultErased.into());
    }
    state.put(holder_key(&rule, id), HolderState { erased: version, ..holder }.encode());
    Ok(())
}

/// Puts shares dealt anew in the place of those before: of the same secrets, acknowledged by everybody who holds them now,
/// and with as many of those who held them so far as could have opened the vault.
fn renew(
    state: &mut dyn StateView,
    context: &Context<'_>,
    refresh: &Refresh,
    acknowledgements: &[[u8; 64]],
    consents: &[(u8, [u8; 64])],
) -> Result<(), Stop> {
    let before = live(state, &refresh.vault)?;
    in_time(refresh.expires_ms, context)?;
    if refresh.version != before.version || before.share_version.checked_add(1) != Some(refresh.share_version)
    {
        return Err(Refusal::VaultVersionStale.into());
    }
    if !refresh.shares.is_sound() || refresh.shares.threshold() != before.threshold {
        return Err(Refusal::VaultInvalid.into());
    }
    if refresh.shares.constants() != Some(before.constants) {
        return Err(Refusal::VaultCommitmentChanged.into());
    }
    let (hash, keepers) = (refresh.hash(), &refresh.shares.keepers);
    acknowledged(state, context, &hash, keepers, acknowledgements)?;
    for (index, signature) in consents {
        let holder = usize::from(*index).checked_sub(1).and_then(|place| before.keepers.get(place));
        let holder = holder.filter(|holder| !keepers.contains(holder)).ok_or(Refusal::VaultNotHolder)?;
        signed_by(state, holder, &consent_message(context.chain_id, &hash, *index), signature)?;
    }
    let staying = keepers.iter().filter(|keeper| before.keepers.contains(keeper)).count();
    if staying.saturating_add(consents.len()) < usize::from(before.threshold) {
        return Err(Refusal::VaultConsentMissing.into());
    }
    let vault = VaultState {
        share_version: refresh.share_version,
        shares: hash,
        shares_leaf: context.leaf_index,
        keepers: keepers.clone(),
        ..before
    };
    hold(state, &vault_rule(&refresh.vault), &vault)
}

/// A vault that was sealed once.
fn known(state: &dyn StateView, vault: &RuleName) -> Result<VaultState, Stop> {
    let value = state.get(&vault_key(&vault_rule(vault))).ok_or(Refusal::VaultUnknown)?;
    Ok(VaultState::decode(value)?)
}

/// A vault that may be opened: neither it nor its account has ended.
fn live(state: &dyn StateView, vault: &RuleName) -> Result<VaultState, Stop> {
    let found = known(state, vault)?;
    require_open(state, &vault.owner)?;
    if found.destroyed { Err(Refusal::VaultDestroyed.into()) } else { Ok(found) }
}
