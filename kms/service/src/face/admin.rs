//! `keyward.v1.Admin`.

use keyward_proto::custody::{self as proto, admin_server::Admin};
use tonic::{Request, Response, Status};

use super::{
    Face,
    convert::{notice, unreleased},
};

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

    async fn notices(
        &self,
        request: Request<proto::NoticesRequest>,
    ) -> Result<Response<proto::NoticesResponse>, Status> {
        self.answer("admin.notices", request, |custody, caller, _| async move {
            let notices = custody.undelivered_notices(&caller).await?;
            Ok(proto::NoticesResponse { notices: notices.into_iter().map(notice).collect() })
        })
        .await
    }

    async fn rotate_kek(
        &self,
        request: Request<proto::RotateKekRequest>,
    ) -> Result<Response<proto::RotateKekResponse>, Status> {
        self.answer("kek.rotate", request, |custody, caller, m| async move {
            let receipt = custody.rotate_kek(&caller, &m.idempotency_key).await?;
            let number = custody.kek.current().get();
            Ok(proto::RotateKekResponse { number, receipt: receipt.into() })
        })
        .await
    }

    async fn kek_status(
        &self,
        request: Request<proto::KekStatusRequest>,
    ) -> Result<Response<proto::KekStatusResponse>, Status> {
        self.answer("kek.show", request, |custody, caller, _| async move {
            let status = custody.kek_status(&caller).await?;
            let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            Ok(proto::KekStatusResponse {
                number: status.state.number.get(),
                label: status.label,
                since_unix_ms: status.state.since_ms,
                resealed: status.state.resealed,
                keys_left: count(status.left.keys),
                profiles_left: count(status.left.profiles),
                pins_left: count(status.left.pins),
                secrets_left: count(status.left.secrets),
                present: status.present.into_iter().map(std::num::NonZeroU32::get).collect(),
            })
        })
        .await
    }

    async fn remove_kek(
        &self,
        request: Request<proto::RemoveKekRequest>,
    ) -> Result<Response<proto::RemoveKekResponse>, Status> {
        self.answer("kek.remove", request, |custody, caller, m| async move {
            let receipt = custody.remove_kek(&caller, m.number, &m.idempotency_key).await?;
            Ok(proto::RemoveKekResponse { receipt: receipt.into() })
        })
        .await
    }
}
