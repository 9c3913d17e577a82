//! Entries about shared keys: signed by the account here, handed in by the service, believed when their receipt verifies.

use std::future::Future;
use std::time::{Duration, Instant};

use keyward_ledger_core::entry::{Act, Authored, Entry, SharedAct};
use keyward_ledger_core::hash::sha256;
use keyward_proto::custody::shared_client::SharedClient;
use tonic::codegen::Bytes;
use tonic::transport::Channel;

use super::error::SharedError;
use crate::client::Client;
use crate::error::ClientError;
use crate::evidence::EvidenceError;
use crate::person::Login;
use crate::petition::{Petition, PetitionError};
use crate::vault::entry::SIGNED_BLOCKS;
use crate::vault::proof::View;

/// All messages of a making are shorter than this, with five keepers and threshold ECDSA too.
const ANSWER_BYTES_MAX: usize = 16 << 20;
const MARK_BYTES: usize = 16;
/// How often an entry is handed in where nobody says whether it arrived: its mark sees to it that it is done once.
const HAND_IN_TRIES: u32 = 4;

impl Client {
    /// Shared keys, for calls made by hand.
    pub fn shared(&self) -> SharedClient<Channel> {
        SharedClient::new(self.channel())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
            .max_encoding_message_size(ANSWER_BYTES_MAX)
    }

    /// Hands an entry in until somebody says what became of it, and believes its receipt alone; gives that beside the answer
    /// in which it stood.
    pub(super) async fn hand_in_shared<F, T>(
        &self,
        view: &View,
        entry: &Entry,
        call: impl Fn(Bytes, Bytes, Duration) -> F,
        receipt: impl Fn(&T) -> Vec<u8>,
    ) -> Result<(Vec<u8>, T), SharedError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let (bytes, mark) = (Bytes::from(entry.encode()), mark(entry));
        let patient = self.clone().with_tries(self.tries.max(HAND_IN_TRIES));
        let answer = patient
            .try_again(Instant::now() + self.deadline, |left| call(bytes.clone(), mark.clone(), left))
            .await?;
        let receipt = receipt(&answer);
        view.accepted(entry, &receipt)?;
        Ok((receipt, answer))
    }
}

/// An entry is handed in under one mark, whoever hands it in again.
fn mark(entry: &Entry) -> Bytes {
    let hash = sha256(&[b"keyward/shared-hand-in/v1", &entry.encode()]);
    Bytes::copy_from_slice(hash.get(..MARK_BYTES).unwrap_or_default())
}

/// An act that nobody has to sign.
pub(super) const fn unsigned(act: SharedAct) -> Entry {
    Entry::Authored(Authored { act: Act::Shared(act), authors: Vec::new() })
}

/// An act in the account's name. `height` is one that the ledger has passed.
pub(super) fn signed(view: &View, act: SharedAct, login: &Login, height: u64) -> Result<Entry, SharedError> {
    if login.session.account != view.account {
        return Err(SharedError::OtherAccount);
    }
    let mut petition = Petition::new(view.chain_id(), Act::Shared(act));
    let not_after = height.saturating_add(SIGNED_BLOCKS);
    match petition.sign(login.party(), &login.credential, not_after) {
        Ok(()) => Ok(petition.entry()),
        Err(PetitionError::Sign(error)) => Err(SharedError::Sign(error)),
        Err(PetitionError::Randomness(error)) => Err(ClientError::Randomness(error).into()),
        // A fresh petition has no signatures.
        Err(PetitionError::Malformed | PetitionError::SignedBefore(_)) => {
            Err(EvidenceError::Substituted("a word of the account's that it has not given").into())
        }
    }
}
