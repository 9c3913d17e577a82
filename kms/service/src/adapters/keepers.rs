//! The real keepers: beside validators, on their callers' port, dialled with the service's own identity on the ledger.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use keyward_ledger_client::{Dial, Identity, channel};
use keyward_proto::custody::{
    DepositShareRequest, DepositViewingRequest, DrillShareRequest, EvaluateAttemptRequest,
    OpenViewingRequest, ReleaseShareRequest, Round, co_signers_client::CoSignersClient,
    keepers_client::KeepersClient, viewing_keepers_client::ViewingKeepersClient,
};
use tonic::{Code, Response, Status, transport::Channel};

use crate::{
    ports::{CoSigned, KeeperError, Keepers, Later, ToCoSigner, ToKeeper},
    shared::relay::ROUND_BYTES_MAX,
    vaults::relay::ANSWER_BYTES_MAX,
};

/// Channels at most: a ledger has at most 64 keepers, and addresses change.
const CHANNELS_MAX: usize = 128;
/// What gRPC adds to an answer.
const FRAME_BYTES: usize = 1 << 10;

/// One channel for each address, made when it is first used.
pub(crate) struct Channels {
    identity: Identity,
    dial: Option<Arc<dyn Dial>>,
    open: Mutex<HashMap<String, Channel>>,
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channels")
    }
}

impl Channels {
    /// As whom keepers are dialled, and how.
    pub(crate) fn new(identity: Identity, dial: Option<Arc<dyn Dial>>) -> Self {
        Self { identity, dial, open: Mutex::default() }
    }

    fn channel(&self, address: &str) -> Result<Channel, KeeperError> {
        let silent = |source: Box<dyn std::error::Error + Send + Sync>| KeeperError::Silent { source };
        if !address.starts_with("https://") {
            return Err(silent(format!("`{address}` is no https address").into()));
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = open.get(address) {
            return Ok(found.clone());
        }
        let made =
            channel(address, &self.identity, self.dial.as_ref()).map_err(|error| silent(error.into()))?;
        if open.len() >= CHANNELS_MAX {
            open.clear();
        }
        open.insert(address.to_owned(), made.clone());
        Ok(made)
    }
}

impl Keepers for Channels {
    fn ask(&self, address: String, what: ToKeeper) -> Later<'_, Result<Bytes, KeeperError>> {
        Box::pin(async move {
            let channel = self.channel(&address)?;
            let mut keeper =
                KeepersClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX + FRAME_BYTES);
            let answer = match what {
                ToKeeper::Deposit { sealing, share, signature } => keeper
                    .deposit(DepositShareRequest {
                        sealing,
                        share,
                        signature: Bytes::copy_from_slice(&signature),
                    })
                    .await
                    .map(|answer| answer.into_inner().acknowledgement),
                ToKeeper::Evaluate { leaf_index, element } => keeper
                    .evaluate(EvaluateAttemptRequest {
                        leaf_index,
                        element: Bytes::copy_from_slice(&element),
                    })
                    .await
                    .map(|answer| answer.into_inner().answer),
                ToKeeper::Release { leaf_index, opened_leaf_index } => keeper
                    .release(ReleaseShareRequest { leaf_index, opened_leaf_index })
                    .await
                    .map(|answer| answer.into_inner().answer),
                ToKeeper::Drill { account, vault, nonce } => keeper
                    .drill(DrillShareRequest {
                        account: Bytes::copy_from_slice(&account),
                        vault: Bytes::copy_from_slice(&vault),
                        nonce: Bytes::copy_from_slice(&nonce),
                    })
                    .await
                    .map(|answer| answer.into_inner().answer),
                ToKeeper::DepositViewing { dealing, share, signature } => {
                    let signature = Bytes::copy_from_slice(&signature);
                    let request = DepositViewingRequest { dealing, share, signature };
                    viewing(channel).deposit(request).await.map(|answer| answer.into_inner().acknowledgement)
                }
                ToKeeper::OpenViewing { leaf_index, first } => {
                    let request = OpenViewingRequest { opened_leaf_index: leaf_index, first_epoch: first };
                    viewing(channel).open(request).await.map(|answer| answer.into_inner().part)
                }
            };
            answer.map_err(refused)
        })
    }

    fn co_sign(&self, address: String, what: ToCoSigner) -> Later<'_, Result<CoSigned, KeeperError>> {
        Box::pin(async move {
            let mut keeper = CoSignersClient::new(self.channel(&address)?)
                .max_decoding_message_size(ROUND_BYTES_MAX + FRAME_BYTES);
            let round = |answer: Response<Round>| CoSigned::Round(answer.into_inner());
            let answer = match what {
                ToCoSigner::OpenKey(request) => keeper.open_key(request).await.map(round),
                ToCoSigner::DealKey(request) => keeper.deal_key(request).await.map(round),
                ToCoSigner::AgreeKey(request) => keeper.agree_key(request).await.map(round),
                ToCoSigner::KeepKey(request) => keeper.keep_key(request).await.map(round),
                ToCoSigner::Commit(request) => keeper.commit(request).await.map(round),
                ToCoSigner::Answer(request) => keeper.answer(request).await.map(round),
                ToCoSigner::CoSign(request) => keeper.co_sign(request).await.map(round),
                ToCoSigner::RedealKey(request) => keeper.redeal_key(request).await.map(round),
                ToCoSigner::KeepRenewedKey(request) => keeper.keep_renewed_key(request).await.map(round),
                ToCoSigner::AskRepair(request) => keeper.ask_repair(request).await.map(round),
                ToCoSigner::SplitShare(request) => keeper.split_share(request).await.map(round),
                ToCoSigner::SumShare(request) => keeper.sum_share(request).await.map(round),
                ToCoSigner::KeepRepairedShare(request) => {
                    keeper.keep_repaired_share(request).await.map(round)
                }
                ToCoSigner::ShowShare(request) => {
                    keeper.show_share(request).await.map(|answer| CoSigned::Share(answer.into_inner()))
                }
            };
            answer.map_err(refused)
        })
    }
}

fn viewing(channel: Channel) -> ViewingKeepersClient<Channel> {
    ViewingKeepersClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX + FRAME_BYTES)
}

/// With a stable code it is the keeper's refusal; without one it is the way to it that failed, or no keeper.
fn refused(status: Status) -> KeeperError {
    let code = status.metadata().get("keyward-code").and_then(|code| code.to_str().ok());
    if let Some(code) = code {
        return KeeperError::Refused { code: code.to_owned(), message: status.message().to_owned() };
    }
    match status.code() {
        Code::OutOfRange | Code::Internal | Code::ResourceExhausted => {
            KeeperError::Malformed { source: status.into() }
        }
        _ => KeeperError::Silent { source: status.into() },
    }
}
