//! `keyward.v1.Admin`.

use keyward_proto::custody::{self as proto, admin_server::Admin};
use tonic::{Request, Response, Status};

use super::{Face, convert::unreleased};

#[tonic::async_trait]
impl Admin for Face {
    async fn status(
        &self,
        request: Request<proto::AdminStatusRequest>,
    ) -> Result<Response<proto::AdminStatusResponse>, Status> {
        self.answer("admin.status", request, |custody, caller, _| async move {
            let status = custody.status(&caller).await?;
            Ok(proto::AdminStatusResponse {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                chain_id: status.chain_id.to_vec().into(),
                policy: status.policy.to_vec().into(),
                ledger_height: status.height,
                unreleased: status.unreleased.into_iter().map(unreleased).collect(),
                trust: status.trust,
                ledger_reachable: status.ledger_reachable,
                token_ready: status.token_ready,
            })
        })
        .await
    }
}
