//! The gRPC face of a keeper.

use std::sync::Arc;

use bytes::Bytes;
use keyward_ledger_core::{entry::RuleName, vault::Sealing};
use keyward_proto::custody::{
    ConferRequest, ConferResponse, DepositShareRequest, DepositShareResponse, DrillShareRequest,
    DrillShareResponse, EvaluateAttemptRequest, EvaluateAttemptResponse, ReleaseShareRequest,
    ReleaseShareResponse,
    keepers_server::{Keepers, KeepersServer},
};
use tonic::{Request, Response, Status};

use crate::{
    callers::{Caller, Callers, PENDING_OF_CALLER_MAX},
    desk::Calls,
    error::KeeperError,
    keeper::Keeper,
    word::Said,
};

/// The longest request: what sixteen keepers hand out to one.
const REQUEST_BYTES_MAX: usize = 512 << 10;

/// A keeper that answers calls.
#[derive(Clone, Debug)]
pub struct Face {
    keeper: Keeper,
    calls: Calls,
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
        Self { keeper, calls: Calls::default(), callers: Arc::new(Callers::new(places)) }
    }

    async fn answer<T>(
        &self,
        verb: &'static str,
        work: impl Future<Output = Result<T, KeeperError>>,
    ) -> Result<Response<T>, Status> {
        self.calls.answer(verb, work).await
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
            let keeper = &self.keeper;
            let waiting =
                keeper.on_disk(|inner| Ok(inner.shares.waiting()?.iter().map(|place| place.hash).collect()));
            let deposit = keeper.deposit(&sealing, &share, &signature);
            let acknowledgement = self.callers.placed(&caller, hash, waiting, deposit).await?;
            Ok(DepositShareResponse { acknowledgement: Bytes::copy_from_slice(&acknowledgement) })
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
