//! The gRPC face of the keeper's part in closed address epochs.

use std::sync::Arc;

use bytes::Bytes;
use keyward_crypto::viewing::Dealing;
use keyward_proto::custody::{
    DepositViewingRequest, DepositViewingResponse, OpenViewingRequest, OpenViewingResponse,
    viewing_keepers_server::{ViewingKeepers, ViewingKeepersServer},
};
use tonic::{Request, Response, Status};

use super::error::ViewingError;
use crate::{
    callers::{Caller, Callers, PENDING_OF_CALLER_MAX},
    desk::Calls,
    keeper::Keeper,
};

/// The longest request: a dealing among sixteen keepers, and a share.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// A keeper that takes its part in closed address epochs.
#[derive(Clone, Debug)]
pub struct ViewingFace {
    keeper: Keeper,
    calls: Calls,
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
        Self { keeper, calls: Calls::default(), callers: Arc::new(Callers::new(places)) }
    }

    async fn answer<T>(
        &self,
        verb: &'static str,
        work: impl Future<Output = Result<T, ViewingError>>,
    ) -> Result<Response<T>, Status> {
        self.calls.answer(verb, work).await
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
            let keeper = &self.keeper;
            let waiting = keeper
                .on_disk(|inner| Ok(inner.viewing.store.waiting()?.iter().map(|place| place.hash).collect()));
            let deposit = keeper.deposit_viewing(&dealing, &share, &signature);
            let acknowledgement = self.callers.placed(&caller, hash, waiting, deposit).await?;
            Ok(DepositViewingResponse { acknowledgement: Bytes::copy_from_slice(&acknowledgement) })
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
