//! `keyward.v1.Keys`.

use keyward_proto::custody::{self as proto, keys_server::Keys};
use tonic::{Request, Response, Status};

use super::{
    Face,
    convert::{array, key, key_with_receipt},
};
use crate::keys::import::Import;

#[tonic::async_trait]
impl Keys for Face {
    async fn create(
        &self,
        request: Request<proto::CreateKeyRequest>,
    ) -> Result<Response<proto::KeyWithReceipt>, Status> {
        self.answer("key.create", request, |custody, caller, m| async move {
            custody.create_key(&caller, &m.alias, &m.scheme, &m.idempotency_key).await.map(key_with_receipt)
        })
        .await
    }

    async fn prepare_import(
        &self,
        request: Request<proto::PrepareImportRequest>,
    ) -> Result<Response<proto::PrepareImportResponse>, Status> {
        self.answer("key.prepare-import", request, |custody, caller, m| async move {
            let prepared = custody.prepare_import(&caller, &m.scheme).await?;
            Ok(proto::PrepareImportResponse {
                chain_id: custody.ledger.chain_id().to_vec().into(),
                account: prepared.account.0.to_vec().into(),
                nonce: prepared.nonce.to_vec().into(),
                not_after: prepared.not_after,
                sealing_key: prepared.sealing_key.to_vec().into(),
            })
        })
        .await
    }

    async fn import(
        &self,
        request: Request<proto::ImportKeyRequest>,
    ) -> Result<Response<proto::KeyWithReceipt>, Status> {
        self.answer("key.import", request, |custody, caller, m| async move {
            let import = Import {
                alias: &m.alias,
                scheme: &m.scheme,
                public_key: &m.public_key,
                nonce: array("nonce", &m.nonce)?,
                not_after: m.not_after,
                proof: &m.proof,
                sealed: &m.sealed_private_key,
                mark: &m.idempotency_key,
            };
            custody.import_key(&caller, &import).await.map(key_with_receipt)
        })
        .await
    }

    async fn list(
        &self,
        request: Request<proto::ListKeysRequest>,
    ) -> Result<Response<proto::ListKeysResponse>, Status> {
        self.answer("key.list", request, |custody, caller, _| async move {
            let keys = custody.list_keys(&caller).await?;
            Ok(proto::ListKeysResponse { keys: keys.iter().map(key).collect() })
        })
        .await
    }

    async fn show(&self, request: Request<proto::ShowKeyRequest>) -> Result<Response<proto::Key>, Status> {
        self.answer("key.show", request, |custody, caller, m| async move {
            Ok(key(&*custody.show_key(&caller, &m.key).await?))
        })
        .await
    }

    async fn freeze(
        &self,
        request: Request<proto::ChangeKeyRequest>,
    ) -> Result<Response<proto::KeyWithReceipt>, Status> {
        self.answer("key.freeze", request, |custody, caller, m| async move {
            custody.freeze_key(&caller, &m.key, &m.idempotency_key).await.map(key_with_receipt)
        })
        .await
    }

    async fn unfreeze(
        &self,
        request: Request<proto::ChangeKeyRequest>,
    ) -> Result<Response<proto::KeyWithReceipt>, Status> {
        self.answer("key.unfreeze", request, |custody, caller, m| async move {
            custody.unfreeze_key(&caller, &m.key, &m.idempotency_key).await.map(key_with_receipt)
        })
        .await
    }

    async fn authorize(
        &self,
        request: Request<proto::AuthorizeRequest>,
    ) -> Result<Response<proto::AuthorizeResponse>, Status> {
        self.answer("key.authorize", request, |custody, caller, m| async move {
            let receipt = custody.authorise_app(&caller, &m.key, &m.app, &m.idempotency_key).await?;
            Ok(proto::AuthorizeResponse { receipt: receipt.into() })
        })
        .await
    }

    async fn revoke(
        &self,
        request: Request<proto::AuthorizeRequest>,
    ) -> Result<Response<proto::AuthorizeResponse>, Status> {
        self.answer("key.revoke", request, |custody, caller, m| async move {
            let receipt = custody.revoke_app(&caller, &m.key, &m.app, &m.idempotency_key).await?;
            Ok(proto::AuthorizeResponse { receipt: receipt.into() })
        })
        .await
    }
}
