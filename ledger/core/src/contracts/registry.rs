//! `registry`: accounts, their credentials, and the keys bound to them with proof of possession.

use super::{Call, Context, Contract, StateView, Stop, not_expired, only};
use crate::codec::Writer;
use crate::ed25519;
use crate::entry::{BindCredential, BindKey, Entry, Mode};
use crate::genesis::Role;
use crate::hash::Hash;
use crate::outcome::{Outcome, Refusal};
use crate::scheme::{self, KeyId, PublicKey, Scheme};
use crate::state::layout::{AccountState, CredentialState, KeyState, account_key, credential_key, key_key};

const POSSESSION_LABEL: &[u8] = b"keyward/possession/v1";
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
    challenge(chain_id, account, mode, key.scheme(), key.as_bytes(), nonce, not_after)
}

fn challenge(
    chain_id: &Hash,
    account: &Hash,
    mode: Mode,
    scheme: Scheme,
    public_key: &[u8],
    nonce: &Hash,
    not_after: u64,
) -> Vec<u8> {
    let mut out = Writer::with_capacity(140 + public_key.len());
    label(&mut out, POSSESSION_LABEL).raw(chain_id).raw(account);
    out.u8(mode.code()).u8(scheme.code()).bytes(public_key).raw(nonce).u64(not_after);
    out.finish()
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
#[derive(Clone, Copy, Debug)]
pub struct Registry;

impl Contract for Registry {
    fn apply(
        &self,
        state: &mut dyn StateView,
        call: &Call<'_>,
        context: &Context<'_>,
    ) -> Result<Outcome, Stop> {
        match call.entry {
            Entry::OpenAccount { account } => open(state, call, context, account),
            Entry::CloseAccount { account } => close(state, call, context, account),
            Entry::BindCredential(bind) => bind_credential(state, call, context, bind),
            Entry::BindKey(bind) => bind_key(state, call, context, bind),
            Entry::FreezeKey { key_id } => set_frozen(state, call, key_id, true),
            Entry::UnfreezeKey { key_id } => set_frozen(state, call, key_id, false),
            _ => Err(Refusal::EntryKindUnknown.into()),
        }?;
        Ok(Outcome::ACCEPTED)
    }
}

fn open(
    state: &mut dyn StateView,
    call: &Call<'_>,
    context: &Context<'_>,
    account: &Hash,
) -> Result<(), Stop> {
    only(call, &[Role::Service])?;
    let key = account_key(account);
    if state.get(&key).is_some() {
        return Err(Refusal::AccountExists.into());
    }
    state.put(key, AccountState { open: true, height: context.height }.encode());
    Ok(())
}

fn close(
    state: &mut dyn StateView,
    call: &Call<'_>,
    context: &Context<'_>,
    account: &Hash,
) -> Result<(), Stop> {
    only(call, &[Role::Service])?;
    require_open(state, account)?;
    state.put(account_key(account), AccountState { open: false, height: context.height }.encode());
    Ok(())
}

/// Refuses unless the account is open.
pub(crate) fn require_open(state: &dyn StateView, account: &Hash) -> Result<(), Stop> {
    let value = state.get(&account_key(account)).ok_or(Refusal::AccountUnknown)?;
    if AccountState::decode(value)?.open { Ok(()) } else { Err(Refusal::AccountClosed.into()) }
}

fn bind_credential(
    state: &mut dyn StateView,
    call: &Call<'_>,
    context: &Context<'_>,
    bind: &BindCredential,
) -> Result<(), Stop> {
    only(call, &[Role::Service])?;
    not_expired(bind.not_after, context)?;
    require_open(state, &bind.account)?;
    let key = credential_key(&bind.account);
    let present = state.get(&key).map(CredentialState::decode).transpose()?;
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

fn bind_key(
    state: &mut dyn StateView,
    call: &Call<'_>,
    context: &Context<'_>,
    bind: &BindKey,
) -> Result<(), Stop> {
    only(call, &[Role::Service])?;
    not_expired(bind.not_after, context)?;
    require_open(state, &bind.account)?;
    let public_key = PublicKey::parse(bind.scheme, &bind.public_key).or(Err(Refusal::PublicKeyInvalid))?;
    let key = key_key(&public_key.id());
    if state.get(&key).is_some() {
        return Err(Refusal::KeyAlreadyBound.into());
    }
    let message = possession_challenge(
        context.chain_id,
        &bind.account,
        bind.mode,
        &public_key,
        &bind.nonce,
        bind.not_after,
    );
    scheme::verify(&public_key, &message, &bind.proof).or(Err(Refusal::ProofInvalid))?;
    let bound = KeyState {
        account: bind.account,
        mode: bind.mode,
        scheme: bind.scheme,
        frozen: false,
        height: context.height,
    };
    state.put(key, bound.encode());
    Ok(())
}

/// A bound key.
pub(crate) fn bound_key(state: &dyn StateView, key_id: &KeyId) -> Result<KeyState, Stop> {
    let value = state.get(&key_key(key_id)).ok_or(Refusal::KeyUnknown)?;
    Ok(KeyState::decode(value)?)
}

fn set_frozen(state: &mut dyn StateView, call: &Call<'_>, key_id: &KeyId, frozen: bool) -> Result<(), Stop> {
    only(call, &[Role::Service, Role::Operator])?;
    let key = bound_key(state, key_id)?;
    match (key.frozen, frozen) {
        (true, true) => Err(Refusal::KeyFrozen.into()),
        (false, false) => Err(Refusal::KeyNotFrozen.into()),
        _ => {
            state.put(key_key(key_id), KeyState { frozen, ..key }.encode());
            Ok(())
        }
    }
}
