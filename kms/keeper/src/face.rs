//! The gRPC face of a keeper.

use std::sync::Arc;

use bytes::Bytes;
use keyward_domain::{Code, Coded as _};
use keyward_ledger_core::{entry::RuleName, hash::Hash, vault::Sealing};
use keyward_proto::custody::{
    ConferRequest, ConferResponse, DepositShareRequest, DepositShareResponse, DrillShareRequest,
    DrillShareResponse, EvaluateAttemptRequest, EvaluateAttemptResponse, ReleaseShareRequest,
    ReleaseShareResponse,
    keepers_server::{Keepers, KeepersServer},
};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, metadata::MetadataValue};

use crate::{
    callers::{Caller, Callers, PENDING_OF_CALLER_MAX, Taken},
    error::KeeperError,
    keeper::Keeper,
    word::Said,
};

/// Requests under way at most; more are told to come again.
const CALLS_MAX: usize = 256;
/// The longest request: what sixteen keepers hand out to one.
const REQUEST_BYTES_MAX: usize = 512 << 10;

/// A keeper that answers calls.
#[derive(Clone, Debug)]
pub struct Face {
    keeper: Keeper,
    calls: Arc<Semaphore>,
    callers: Arc<Callers>,
}

impl Face {
    /// The service to put on a port.
    pub fn service(keeper: Keeper) -> KeepersServer<Self> {
        KeepersServer::new(Self::of(keeper)).max_decoding_message_size(REQUEST_BYTES_MAX)
    }

    pub(crate) fn of(keeper: Keeper) -> Self {
        Self::with(keeper, PENDING_OF_CALLER_MAX)
    }

    /// A face with so many waiting places for each caller.
    pub(crate) fn with(keeper: Keeper, places: usize) -> Self {
        let (calls, callers) = (Arc::new(Semaphore::new(CALLS_MAX)), Arc::new(Callers::new(places)));
        Self { keeper, calls, callers }
    }

    async fn answer<T>(
        &self,
        verb: &'static str,
        work: impl Future<Output = Result<T, KeeperError>>,
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
    async fn place(&self, caller: &Caller, sealing: Hash) -> Result<Taken, KeeperError> {
        if let Taken::Full { .. } = self.callers.take(caller, sealing) {
            let waiting = self.keeper.on_disk(|inner| inner.shares.waiting()).await?;
            self.callers.tidy_up(&waiting.iter().map(|place| place.hash).collect());
        }
        match self.callers.take(caller, sealing) {
            Taken::Full { waiting } => Err(KeeperError::Full { waiting }),
            taken => Ok(taken),
        }
    }
}

#[tonic::async_trait]
impl Keepers for Face {
    async fn deposit(
        &self,
        request: Request<DepositShareRequest>,
    ) -> Result<Response<DepositShareResponse>, Status> {
        let caller = Caller::of(&request);
        let DepositShareRequest { sealing, share, signature } = request.into_inner();
        self.answer("deposit", async {
            let signature = array("signature", &signature)?;
            let hash = Sealing::decode(&sealing).map(|sealing| sealing.hash());
            let hash = hash.map_err(|_error| KeeperError::Malformed { what: "sealing" })?;
            let taken = self.place(&caller, hash).await?;
            match self.keeper.deposit(&sealing, &share, &signature).await {
                Ok(acknowledgement) => {
                    self.callers.kept(&caller, hash);
                    Ok(DepositShareResponse { acknowledgement: Bytes::copy_from_slice(&acknowledgement) })
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

    async fn evaluate(
        &self,
        request: Request<EvaluateAttemptRequest>,
    ) -> Result<Response<EvaluateAttemptResponse>, Status> {
        let EvaluateAttemptRequest { leaf_index, element } = request.into_inner();
        self.answer("evaluate", async {
            let answer = self.keeper.evaluate(leaf_index, &array("element", &element)?).await?;
            Ok(EvaluateAttemptResponse { answer: answer.into() })
        })
        .await
    }

    async fn release(
        &self,
        request: Request<ReleaseShareRequest>,
    ) -> Result<Response<ReleaseShareResponse>, Status> {
        let ReleaseShareRequest { leaf_index, opened_leaf_index } = request.into_inner();
        self.answer("release", async {
            let answer = self.keeper.release(leaf_index, opened_leaf_index).await?;
            Ok(ReleaseShareResponse { answer: answer.into() })
        })
        .await
    }

    async fn drill(
        &self,
        request: Request<DrillShareRequest>,
    ) -> Result<Response<DrillShareResponse>, Status> {
        let DrillShareRequest { account, vault, nonce } = request.into_inner();
        self.answer("drill", async {
            let name = RuleName { owner: array("account", &account)?, name: array("vault", &vault)? };
            let answer = self.keeper.drill(&name, &array("nonce", &nonce)?).await?;
            Ok(DrillShareResponse { answer: answer.into() })
        })
        .await
    }

    async fn confer(&self, request: Request<ConferRequest>) -> Result<Response<ConferResponse>, Status> {
        let ConferRequest { from, time_ms, word, signature } = request.into_inner();
        self.answer("confer", async {
            let (from, signature) = (array("from", &from)?, array("signature", &signature)?);
            let answer = self.keeper.confer(&Said { from, time_ms, word: word.into(), signature }).await?;
            Ok(ConferResponse { answer: answer.into() })
        })
        .await
    }
}

fn array<const N: usize>(what: &'static str, bytes: &[u8]) -> Result<[u8; N], KeeperError> {
    bytes.try_into().map_err(|_length| KeeperError::Malformed { what })
}

/// What the caller reads: what happened, then what to do.
pub(crate) fn status(code: Code, message: &str) -> Status {
    let canonical = tonic::Code::from_i32(code.canonical().number());
    let mut status = Status::new(canonical, format!("{message}: {}", code.remedy()));
    let trailers = status.metadata_mut();
    trailers.insert("keyward-code", MetadataValue::from_static(code.name()));
    let retry = if code.retry() { "true" } else { "false" };
    trailers.insert("keyward-retry", MetadataValue::from_static(retry));
    status
}

pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
