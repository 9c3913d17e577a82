//! The gRPC face of the keeper's part in closed address epochs.

use std::sync::Arc;

use bytes::Bytes;
use keyward_crypto::viewing::Dealing;
use keyward_domain::{Code, Coded as _};
use keyward_ledger_core::hash::Hash;
use keyward_proto::custody::{
    DepositViewingRequest, DepositViewingResponse, OpenViewingRequest, OpenViewingResponse,
    viewing_keepers_server::{ViewingKeepers, ViewingKeepersServer},
};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::error::ViewingError;
use crate::{
    callers::{Caller, Callers, PENDING_OF_CALLER_MAX, Taken},
    error::KeeperError,
    face::{chain, status},
    keeper::Keeper,
};

/// Requests under way at most; more are told to come again.
const CALLS_MAX: usize = 256;
/// The longest request: a dealing among sixteen keepers, and a share.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// A keeper that takes its part in closed address epochs.
#[derive(Clone, Debug)]
pub struct ViewingFace {
    keeper: Keeper,
    calls: Arc<Semaphore>,
    callers: Arc<Callers>,
}

impl ViewingFace {
    /// The service to put on a port.
    pub fn service(keeper: Keeper) -> ViewingKeepersServer<Self> {
        let face = Self::with(keeper, PENDING_OF_CALLER_MAX);
        ViewingKeepersServer::new(face).max_decoding_message_size(REQUEST_BYTES_MAX)
    }

    /// A face with so many waiting places for each caller.
    pub(crate) fn with(keeper: Keeper, places: usize) -> Self {
        let (calls, callers) = (Arc::new(Semaphore::new(CALLS_MAX)), Arc::new(Callers::new(places)));
        Self { keeper, calls, callers }
    }

    async fn answer<T>(
        &self,
        verb: &'static str,
        work: impl Future<Output = Result<T, ViewingError>>,
    ) -> Result<Response<T>, Status> {
        let Ok(_turn) = self.calls.try_acquire() else {
            return Err(status(Code::ServiceBusy, "too many requests are under way"));
        };
        work.await.map(Response::new).map_err(|error| {
            let code = error.code();
            match code {
                Code::Internal => tracing::error!(verb, error = chain(&error), "failed"),
                _ => tracing::info!(verb, code = code.name(), error = chain(&error), "refused"),
            }
            status(code, &error.to_string())
        })
    }

    /// A caller's place for a share that waits. Where it has none left, those make some that wait no more.
    async fn place(&self, caller: &Caller, dealing: Hash) -> Result<Taken, KeeperError> {
        if let Taken::Full { .. } = self.callers.take(caller, dealing) {
            let waiting = self.keeper.on_disk(|inner| inner.viewing.store.waiting()).await?;
            self.callers.tidy_up(&waiting.iter().map(|place| place.hash).collect());
        }
        match self.callers.take(caller, dealing) {
            Taken::Full { waiting } => Err(KeeperError::Full { waiting }),
            taken => Ok(taken),
        }
    }
}

#[tonic::async_trait]
impl ViewingKeepers for ViewingFace {
    async fn deposit(
        &self,
        request: Request<DepositViewingRequest>,
    ) -> Result<Response<DepositViewingResponse>, Status> {
        let caller = Caller::of(&request);
        let DepositViewingRequest { dealing, share, signature } = request.into_inner();
        self.answer("deposit-viewing", async {
            let signature = signature.as_ref().try_into();
            let signature = signature.map_err(|_length| ViewingError::Malformed { what: "signature" })?;
            let hash = Dealing::decode(&dealing).map(|dealing| dealing.hash());
            let hash = hash.map_err(|_error| ViewingError::Malformed { what: "dealing" })?;
            let taken = self.place(&caller, hash).await?;
            match self.keeper.deposit_viewing(&dealing, &share, &signature).await {
                Ok(acknowledgement) => {
                    self.callers.kept(&caller, hash);
                    Ok(DepositViewingResponse { acknowledgement: Bytes::copy_from_slice(&acknowledgement) })
                }
                Err(error) => {
                    if taken == Taken::New {
                        self.callers.give_back(&caller, &hash);
                    }
                    Err(error)
                }
            }
        })
        .await
    }

    async fn open(
        &self,
        request: Request<OpenViewingRequest>,
    ) -> Result<Response<OpenViewingResponse>, Status> {
        let OpenViewingRequest { opened_leaf_index, first_epoch } = request.into_inner();
        self.answer("open-viewing", async {
            let part = self.keeper.open_viewing(opened_leaf_index, first_epoch).await?;
            Ok(OpenViewingResponse { part: part.into() })
        })
        .await
    }
}
