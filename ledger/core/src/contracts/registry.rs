//! `registry`: accounts, their credentials, and the keys bound to them with proof of possession.
//!
//! What may become of a bound key stands in [`keys`](super::keys).

use super::authored::Consent;
use super::{Call, Context, StateView, Stop, addresses, delegation, keys, not_expired, only};
use crate::codec::Writer;
use crate::ed25519;
use crate::entry::{Act, BindCredential, Entry, Mode};
use crate::genesis::Role;
use crate::hash::Hash;
use crate::outcome::{Outcome, Refusal};
use crate::scheme::{KeyId, PublicKey};
use crate::state::layout::{AccountState, CredentialState, account_key, credential_key};

const POSSESSION_LABEL: &[u8] = b"keyward/possession/v1";
const ROTATION_LABEL: &[u8] = b"keyward/rotation/v1";
const CREDENTIAL_LABEL: &[u8] = b"keyward/credential/v1";

/// The message that a key signs, under its own scheme, to prove its possession.
pub fn possession_challenge(
    chain_id: &Hash,
    account: &Hash,
    mode: Mode,
    key: &PublicKey,
    nonce: &Hash,
    not_after: u64,
) -> Vec<u8> {
    challenge(POSSESSION_LABEL, chain_id, account, mode, key, nonce, not_after).finish()
}

/// The message that a key signs, under its own scheme, to prove its possession and to take over from `previous`.
pub fn rotation_challenge(
    chain_id: &Hash,
    account: &Hash,
    mode: Mode,
    key: &PublicKey,
    nonce: &Hash,
    not_after: u64,
    previous: &KeyId,
) -> Vec<u8> {
    let mut out = challenge(ROTATION_LABEL, chain_id, account, mode, key, nonce, not_after);
    out.raw(&previous.0);
    out.finish()
}

fn challenge(
    tag: &[u8],
    chain_id: &Hash,
    account: &Hash,
    mode: Mode,
    key: &PublicKey,
    nonce: &Hash,
    not_after: u64,
) -> Writer {
    let mut out = Writer::with_capacity(172 + key.as_bytes().len());
    label(&mut out, tag).raw(chain_id).raw(account);
    out.u8(mode.code()).u8(key.scheme().code()).bytes(key.as_bytes()).raw(nonce).u64(not_after);
    out
}

/// The message that a new credential signs as proof, and the present one as consent.
pub fn credential_challenge(
    chain_id: &Hash,
    account: &Hash,
    version: u32,
    public_key: &[u8; 32],
    nonce: &Hash,
    not_after: u64,
) -> Vec<u8> {
    let mut out = Writer::with_capacity(164);
    label(&mut out, CREDENTIAL_LABEL).raw(chain_id).raw(account);
    out.u32(version).raw(public_key).raw(nonce).u64(not_after);
    out.finish()
}

fn label<'a>(out: &'a mut Writer, label: &[u8]) -> &'a mut Writer {
    // INVARIANT: labels are shorter than 256 bytes.
    out.u8(u8::try_from(label.len()).unwrap_or(u8::MAX)).raw(label)
}

/// The contract.
pub fn apply(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<Outcome, Stop> {
    match call.entry {
        // An account's own word is for anybody to submit.
        Entry::Authored(_) => {}
        Entry::FreezeKey { .. } | Entry::UnfreezeKey { .. } => only(call, &[Role::Service, Role::Operator])?,
        _ => only(call, &[Role::Service])?,
    }
    match call.entry {
        Entry::OpenAccount { account } => open(state, context, account),
        Entry::CloseAccount { account } => close(state, context, account),
        Entry::Authored(_) => close_own(state, call, context),
        Entry::BindCredential(bind) => bind_credential(state, context, bind),
        Entry::BindKey(bind) => keys::bind(state, context, bind),
        Entry::RotateKey(rotate) => keys::rotate(state, context, rotate),
        Entry::FreezeKey { key_id } => keys::freeze(state, key_id),
        Entry::UnfreezeKey { key_id } => keys::unfreeze(state, key_id),
        Entry::ScheduleDestroyKey { key_id, wait_ms } => keys::schedule(state, context, key_id, *wait_ms),
        Entry::CancelDestroyKey { key_id } => keys::cancel(state, key_id),
        Entry::DestroyKey { key_id } => keys::destroy(state, context, key_id),
        _ => Err(Refusal::EntryKindUnknown.into()),
    }?;
    Ok(Outcome::ACCEPTED)
}

fn open(state: &mut dyn StateView, context: &Context<'_>, account: &Hash) -> Result<(), Stop> {
    let key = account_key(account);
    if state.get(&key).is_some() {
        return Err(Refusal::AccountExists.into());
    }
    state.put(key, AccountState { open: true, height: context.height }.encode());
    Ok(())
}

/// Closes an account that has no credential. One that has is closed by its holder's word and by nobody else's.
fn close(state: &mut dyn StateView, context: &Context<'_>, account: &Hash) -> Result<(), Stop> {
    require_open(state, account)?;
    if credential(state, account)?.is_some() {
        return Err(Refusal::AuthorsMissing.into());
    }
    end(state, context, account)
}

/// Closes an account in its own name, but not while it is recovered: whose the credential is, that is what the recovery is
/// about, and a thief must not end what the delegates are giving back.
fn close_own(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<(), Stop> {
    let (act, consent) = Consent::carried(call)?;
    let Act::CloseAccount { account } = act else { return Err(Refusal::EntryKindUnknown.into()) };
    consent.of_account(state, context, account)?;
    delegation::refuse_in_recovery(state, context, account)?;
    end(state, context, account)
}

fn end(state: &mut dyn StateView, context: &Context<'_>, account: &Hash) -> Result<(), Stop> {
    state.put(account_key(account), AccountState { open: false, height: context.height }.encode());
    addresses::close(state, account, context.time_ms)
}

/// Refuses unless the account is open.
pub(crate) fn require_open(state: &dyn StateView, account: &Hash) -> Result<(), Stop> {
    let value = state.get(&account_key(account)).ok_or(Refusal::AccountUnknown)?;
    if AccountState::decode(value)?.open { Ok(()) } else { Err(Refusal::AccountClosed.into()) }
}

/// An account's present credential.
pub(super) fn credential(state: &dyn StateView, account: &Hash) -> Result<Option<CredentialState>, Stop> {
    Ok(state.get(&credential_key(account)).map(CredentialState::decode).transpose()?)
}

/// Puts a key in the place of an account's credential, as its next version, without the present one's consent: the caller
/// has asked those who may decide that, and the key for its proof.
pub(super) fn replace_credential(
    state: &mut dyn StateView,
    account: &Hash,
    public_key: &[u8; 32],
) -> Result<(), Stop> {
    let present = credential(state, account)?.map_or(0, |present| present.version);
    let version = present.checked_add(1).ok_or(Refusal::CredentialVersion)?;
    state.put(credential_key(account), CredentialState { version, public_key: *public_key }.encode());
    Ok(())
}

fn bind_credential(
    state: &mut dyn StateView,
    context: &Context<'_>,
    bind: &BindCredential,
) -> Result<(), Stop> {
    not_expired(bind.not_after, context)?;
    require_open(state, &bind.account)?;
    let key = credential_key(&bind.account);
    let present = credential(state, &bind.account)?;
    if Some(bind.version) != present.map_or(0, |present| present.version).checked_add(1) {
        return Err(Refusal::CredentialVersion.into());
    }
    let message = credential_challenge(
        context.chain_id,
        &bind.account,
        bind.version,
        &bind.public_key,
        &bind.nonce,
        bind.not_after,
    );
    check_holder(present.as_ref(), bind, &message)?;
    let proven = ed25519::verify(&bind.public_key, &message, &bind.proof);
    proven.or(Err(Refusal::ProofInvalid))?;
    state.put(key, CredentialState { version: bind.version, public_key: bind.public_key }.encode());
    Ok(())
}

fn check_holder(
    present: Option<&CredentialState>,
    bind: &BindCredential,
    message: &[u8],
) -> Result<(), Refusal> {
    match (present, &bind.holder_signature) {
        (None, None) => Ok(()),
        (Some(present), Some(signature)) => {
            ed25519::verify(&present.public_key, message, signature).or(Err(Refusal::HolderSignatureInvalid))
        }
        (None, Some(_)) | (Some(_), None) => Err(Refusal::HolderSignatureInvalid),
    }
}
