//! The real keepers: beside validators, on their callers' port, dialled with the service's own identity on the ledger.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use keyward_ledger_client::{Dial, Identity, channel};
use keyward_proto::custody::{
    DepositShareRequest, DrillShareRequest, EvaluateAttemptRequest, ReleaseShareRequest,
    keepers_client::KeepersClient,
};
use tonic::{Code, Status, transport::Channel};

use crate::{
    ports::{KeeperError, Keepers, Later, ToKeeper},
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

    fn client(&self, address: &str) -> Result<KeepersClient<Channel>, KeeperError> {
        let silent = |source: Box<dyn std::error::Error + Send + Sync>| KeeperError::Silent { source };
        if !address.starts_with("https://") {
            return Err(silent(format!("`{address}` is no https address").into()));
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match open.get(address) {
            Some(found) => found.clone(),
            None => {
                let made = channel(address, &self.identity, self.dial.as_ref())
                    .map_err(|error| silent(error.into()))?;
                if open.len() >= CHANNELS_MAX {
                    open.clear();
                }
                open.insert(address.to_owned(), made.clone());
                made
            }
        };
        Ok(KeepersClient::new(found).max_decoding_message_size(ANSWER_BYTES_MAX + FRAME_BYTES))
    }
}

impl Keepers for Channels {
    fn ask(&self, address: String, what: ToKeeper) -> Later<'_, Result<Bytes, KeeperError>> {
        Box::pin(async move {
            let mut keeper = self.client(&address)?;
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
            };
            answer.map_err(refused)
        })
    }
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
