//! `keyward.v1.Tokens`.

use keyward_proto::custody::{self as proto, tokens_server::Tokens};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{
    Face,
    convert::{key_with_receipt, token},
};
use crate::tokens::link::Link;

#[tonic::async_trait]
impl Tokens for Face {
    async fn list(
        &self,
        request: Request<proto::ListTokensRequest>,
    ) -> Result<Response<proto::ListTokensResponse>, Status> {
        self.answer("token.list", request, |custody, caller, _| async move {
            let tokens = custody.list_tokens(&caller).await?;
            Ok(proto::ListTokensResponse { tokens: tokens.into_iter().map(token).collect() })
        })
        .await
    }

    async fn link(
        &self,
        request: Request<proto::LinkRequest>,
    ) -> Result<Response<proto::KeyWithReceipt>, Status> {
        self.answer("token.link", request, |custody, caller, m| async move {
            let link = Link {
                token: &m.token,
                key_label: &m.key_label,
                id: &m.id,
                scheme: &m.scheme,
                alias: &m.alias,
                agent: &m.agent,
                pin: Zeroizing::new(m.pin.to_vec()),
                mark: &m.idempotency_key,
            };
            custody.link_key(&caller, link).await.map(key_with_receipt)
        })
        .await
    }
}
