//! Who can sign now, as the ledger proves it: accounts by their credential, keys by their binding.

use keyward_ledger_core::codec::Writer;
use keyward_ledger_core::ed25519;
use keyward_ledger_core::entry::{Author, Mode, Party};
use keyward_ledger_core::scheme::{PublicKey, Scheme, verify};
use keyward_ledger_core::state::layout::{
    AccountState, CredentialState, KeyState, KeyStatus, account_key, credential_key, key_key,
};
use keyward_proto::custody::{ListSignersRequest, ShownSigner};
use thiserror::Error;

use super::error::VaultError;
use super::proof::View;
use crate::client::Client;
use crate::evidence::EvidenceError;

const CREDENTIAL: &str = "an account's credential";
const KEY: &str = "a key's binding";
const ACCOUNT: &str = "an account";
/// Parties of one call.
const PARTIES_MAX: usize = 40;

/// What the ledger has of a party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// An account.
    Account {
        /// Whether it is open.
        open: bool,
        /// The public key of its credential (Ed25519).
        credential: Option<[u8; 32]>,
    },
    /// A key that is bound, or was.
    Key {
        /// How it stands.
        state: KeyState,
        /// Whether its account is open.
        open: bool,
    },
    /// A key of which the ledger has nothing.
    Unknown,
    /// The service shows nothing of it, as it does of hosted keys of others: nothing is proven.
    Hidden,
}

/// Why a party cannot sign an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unable {
    /// No such account, or it has no credential.
    #[error("the ledger knows no credential of it")]
    Unknown,
    /// No such key.
    #[error("the ledger knows no such key")]
    Unbound,
    /// Its account has ended.
    #[error("its account is closed")]
    Closed,
    /// It signs what its host wants.
    #[error("it is a hosted key, and its word is its host's")]
    Hosted,
    /// It signs by the word of others.
    #[error("it is a shared key, which is nobody's word")]
    Shared,
    /// Nothing is proven of it.
    #[error("the service proves nothing of it, as of hosted keys of others")]
    Hidden,
    /// It is frozen.
    #[error("it is frozen")]
    Frozen,
    /// Its next version has taken over.
    #[error("its next version has taken over")]
    Superseded,
    /// It is scheduled for destruction or destroyed.
    #[error("it is destroyed, or will be")]
    Destroyed,
}

impl Signer {
    /// Why it cannot sign now; none if it can.
    pub const fn unable(&self) -> Option<Unable> {
        Some(match self {
            Self::Account { credential: None, .. } => Unable::Unknown,
            Self::Account { open: false, .. } | Self::Key { open: false, .. } => Unable::Closed,
            Self::Account { .. } => return None,
            Self::Key { state: KeyState { mode: Mode::Hosted, .. }, .. } => Unable::Hosted,
            Self::Key { state: KeyState { mode: Mode::Shared, .. }, .. } => Unable::Shared,
            Self::Key { state, .. } => match state.status {
                KeyStatus::Active => return None,
                KeyStatus::Frozen => Unable::Frozen,
                KeyStatus::Superseded { .. } => Unable::Superseded,
                KeyStatus::Scheduled { .. } | KeyStatus::Destroyed { .. } => Unable::Destroyed,
            },
            Self::Unknown => Unable::Unbound,
            Self::Hidden => Unable::Hidden,
        })
    }

    /// Whether a signature over a message is its own.
    pub(super) fn has_signed(&self, author: &Author, message: &[u8]) -> bool {
        match (self, author.party) {
            (Self::Account { credential: Some(key), .. }, Party::Credential(_)) => {
                ed25519::verify(key, message, &author.signature).is_ok()
            }
            (Self::Key { state, .. }, Party::Key(key_id)) => {
                let key = PublicKey::parse(state.scheme, &author.public_key).ok();
                let key = key.filter(|key| key.id() == key_id);
                key.is_some_and(|key| verify(&key, message, &author.signature).is_ok())
            }
            _ => false,
        }
    }
}

/// Parties as the ledger has them, and the height at which it has.
pub(super) struct Signers {
    pub(super) list: Vec<Signer>,
    pub(super) height: u64,
}

impl Client {
    /// The parties, in their order, each from its own receipts.
    pub(super) async fn signers(&self, view: &View, parties: &[Party]) -> Result<Signers, VaultError> {
        let mut signers = Signers { list: Vec::new(), height: 0 };
        for some in parties.chunks(PARTIES_MAX) {
            let named = some.iter().map(|party| encoded(*party).into()).collect();
            let request = self.request(ListSignersRequest { parties: named });
            let shown = self.answer(self.vaults().signers(request).await)?.signers;
            if shown.len() != some.len() {
                return Err(EvidenceError::Substituted("more or fewer signers than were asked for").into());
            }
            for (party, shown) in some.iter().zip(&shown) {
                signers.list.push(one(view, *party, shown, &mut signers.height)?);
            }
        }
        Ok(signers)
    }
}

fn encoded(party: Party) -> Vec<u8> {
    let mut out = Writer::with_capacity(33);
    party.write(&mut out);
    out.finish()
}

fn one(view: &View, party: Party, shown: &ShownSigner, height: &mut u64) -> Result<Signer, VaultError> {
    if shown.standing.is_empty() {
        return Ok(Signer::Hidden);
    }
    match party {
        Party::Credential(account) => {
            let found = view.state(CREDENTIAL, &credential_key(&account), &shown.standing, 0)?;
            *height = found.height.max(*height);
            let open = open(view, &account, shown)?;
            let Some(value) = found.value else { return Ok(Signer::Account { open, credential: None }) };
            let state = CredentialState::decode(&value).map_err(EvidenceError::malformed(CREDENTIAL))?;
            // A key that is none verifies nothing.
            let known = PublicKey::parse(Scheme::Ed25519, &state.public_key).is_ok();
            Ok(Signer::Account { open, credential: known.then_some(state.public_key) })
        }
        Party::Key(key_id) => {
            let found = view.state(KEY, &key_key(&key_id), &shown.standing, 0)?;
            *height = found.height.max(*height);
            let Some(value) = found.value else { return Ok(Signer::Unknown) };
            let state = KeyState::decode(&value).map_err(EvidenceError::malformed(KEY))?;
            Ok(Signer::Key { state, open: open(view, &state.account, shown)? })
        }
    }
}

fn open(view: &View, account: &[u8; 32], shown: &ShownSigner) -> Result<bool, VaultError> {
    let found = view.state(ACCOUNT, &account_key(account), &shown.account, 0)?;
    let Some(value) = found.value else { return Ok(false) };
    Ok(AccountState::decode(&value).map_err(EvidenceError::malformed(ACCOUNT))?.open)
}
