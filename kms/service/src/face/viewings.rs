//! `keyward.v1.Viewings`.

use keyward_proto::custody::{self as proto, viewings_server::Viewings};
use tonic::{Request, Response, Status};

use super::{Face, convert::array};
use crate::{failure::Failure, viewings::Deal};

#[tonic::async_trait]
impl Viewings for Face {
    async fn deal(
        &self,
        request: Request<proto::DealViewingRequest>,
    ) -> Result<Response<proto::DealViewingResponse>, Status> {
        self.answer("viewing.deal", request, |custody, caller, m| async move {
            let signature = array("signature", &m.signature)?;
            let share = |share: proto::DealtShare| Ok((array("keeper id", &share.keeper_id)?, share.share));
            let shares = m.shares.into_iter().map(share).collect::<Result<_, Failure>>()?;
            let deal = Deal { dealing: m.dealing, shares, signature };
            let acknowledgements = custody.deal_viewing(&caller, deal).await?;
            Ok(proto::DealViewingResponse { acknowledgements })
        })
        .await
    }

    async fn record(
        &self,
        request: Request<proto::AuditEntryRequest>,
    ) -> Result<Response<proto::AuditEntryResponse>, Status> {
        self.answer("viewing.record", request, |custody, caller, m| async move {
            let done = custody.record_dealing(&caller, &m.entry).await?;
            Ok(proto::AuditEntryResponse { receipt: done.receipt.into(), leaf_index: done.leaf_index })
        })
        .await
    }
}
