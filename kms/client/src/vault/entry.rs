//! Entries about a vault: signed by the account here, handed in by the service, believed when their receipt verifies.

use std::future::Future;
use std::time::{Duration, Instant};

use keyward_ledger_core::entry::{Act, Authored, ENTRY_BYTES_MAX, Entry, VaultAct};
use keyward_proto::custody::VaultEntryResponse;
use keyward_proto::custody::vaults_client::VaultsClient;
use tonic::codegen::Bytes;
use tonic::transport::Channel;

use super::HAND_IN_TRIES;
use super::error::VaultError;
use super::proof::{Recorded, View};
use crate::client::{Client, idempotency_key};
use crate::error::ClientError;
use crate::evidence::EvidenceError;
use crate::person::Login;
use crate::petition::{Petition, PetitionError};

/// How many blocks the account's signature of a sealing or an ending counts, and anybody's consent: half of what the ledger
/// allows, because the height that this side knows may be some minutes old.
pub(crate) const SIGNED_BLOCKS: u64 = 8_192;
/// How many blocks its signature of an attempt counts: whoever holds it back can spend the guess that long, and no longer.
const ATTEMPT_BLOCKS: u64 = 512;

/// An entry that was recorded and accepted, with the receipt that shows it.
pub(super) struct HandedIn {
    pub(super) receipt: Vec<u8>,
    pub(super) record: Recorded,
}

impl Client {
    /// Vaults, for calls made by hand.
    pub fn vaults(&self) -> VaultsClient<Channel> {
        VaultsClient::new(self.channel())
    }

    /// Hands an entry in until somebody says what became of it, and believes its receipt alone.
    pub(super) async fn hand_in<F>(
        &self,
        view: &View,
        entry: &Entry,
        call: impl Fn(Bytes, Bytes, Duration) -> F,
    ) -> Result<HandedIn, VaultError>
    where
        F: Future<Output = Result<VaultEntryResponse, ClientError>>,
    {
        let (bytes, mark) = (entry.encode(), idempotency_key()?);
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(VaultError::TooLong { len: bytes.len() });
        }
        let patient = self.clone().with_tries(self.tries.max(HAND_IN_TRIES));
        let bytes = Bytes::from(bytes);
        let answer = patient
            .try_again(Instant::now() + self.deadline, |left| call(bytes.clone(), mark.clone(), left))
            .await?;
        let record = view.accepted(entry, &answer.receipt)?;
        if record.leaf_index != answer.leaf_index {
            return Err(EvidenceError::Substituted("the receipt of another entry").into());
        }
        Ok(HandedIn { receipt: answer.receipt.to_vec(), record })
    }
}

/// An act that nobody has to sign.
pub(super) const fn unsigned(act: VaultAct) -> Entry {
    Entry::Authored(Authored { act: Act::Vault(act), authors: Vec::new() })
}

/// An act in the account's name. `height` is one that the ledger has passed.
pub(super) fn signed(view: &View, act: VaultAct, login: &Login, height: u64) -> Result<Entry, VaultError> {
    if login.session.account != view.account {
        return Err(VaultError::OtherAccount);
    }
    let petition = Petition::new(view.chain_id(), Act::Vault(act));
    Ok(with_own_word(petition, login, height.saturating_add(SIGNED_BLOCKS))?.entry())
}

/// An attempt with the words that others gave, and the account's own where it is asked for.
pub(super) fn attempting(petition: &Petition, own: Option<&Login>, height: u64) -> Result<Entry, VaultError> {
    let petition = match own {
        Some(login) => with_own_word(petition.clone(), login, height.saturating_add(ATTEMPT_BLOCKS))?,
        None => petition.clone(),
    };
    Ok(petition.entry())
}

fn with_own_word(mut petition: Petition, login: &Login, not_after: u64) -> Result<Petition, VaultError> {
    match petition.sign_as_account(login.session.account, &login.credential, not_after) {
        Ok(()) => Ok(petition),
        Err(PetitionError::Sign(error)) => Err(VaultError::Sign(error)),
        Err(PetitionError::Randomness(error)) => Err(ClientError::Randomness(error).into()),
        // Others' words are taken one by one, and never in the account's own name.
        Err(PetitionError::Malformed | PetitionError::SignedBefore(_)) => {
            Err(EvidenceError::Substituted("a word of the account's that it has not given").into())
        }
    }
}

pub(crate) fn random32() -> Result<[u8; 32], VaultError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(ClientError::Randomness)?;
    Ok(bytes)
}

/// Long computations are not for an async worker.
pub(crate) async fn computing<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, VaultError> {
    tokio::task::spawn_blocking(work).await.map_err(VaultError::Thread)
}
