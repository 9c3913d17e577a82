//! `keyward.v1.Keys`.

use bytes::Bytes;
use keyward_domain::{AccountId, Labels};
use keyward_proto::custody::{self as proto, keys_server::Keys, rotate_key_request};
use tonic::{Request, Response, Status};

use super::{
    Face,
    convert::{array, key, key_version, key_with_receipt},
};
use crate::{
    failure::Failure,
    keys::{
        import::{Import, mode_named},
        list::Search,
        rotate::To,
    },
    tokens::link::Link,
};

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
                mode: mode_named(&m.mode)?,
                sealed: &m.sealed_private_key,
                consent: &[],
                mark: &m.idempotency_key,
            };
            custody.import_key(&caller, &import).await.map(key_with_receipt)
        })
        .await
    }

    async fn export(
        &self,
        request: Request<proto::ExportKeyRequest>,
    ) -> Result<Response<proto::ExportKeyResponse>, Status> {
        self.answer("key.export", request, |custody, caller, m| async move {
            let (key, exported) = custody.export_key(&caller, &m.key, &m.format, &m.network).await?;
            Ok(proto::ExportKeyResponse {
                key_id: key.row.key_id.to_vec().into(),
                public_key: key.public_key.as_bytes().to_vec().into(),
                scheme: key.public_key.scheme().name().to_owned(),
                exported: exported.into(),
            })
        })
        .await
    }

    async fn list(
        &self,
        request: Request<proto::ListKeysRequest>,
    ) -> Result<Response<proto::ListKeysResponse>, Status> {
        self.answer("key.list", request, |custody, caller, m| async move {
            let page = custody.list_keys(&caller, &search(&m)?).await?;
            let next = page.next.map(|id| Bytes::copy_from_slice(&id));
            Ok(proto::ListKeysResponse {
                keys: page.keys.iter().map(key).collect(),
                next_page_token: next.unwrap_or_default(),
            })
        })
        .await
    }

    async fn show(&self, request: Request<proto::ShowKeyRequest>) -> Result<Response<proto::Key>, Status> {
        self.answer("key.show", request, |custody, caller, m| async move {
            let shown = custody.show_key(&caller, &m.key).await?;
            let versions = custody.versions(&caller, &shown).await?;
            Ok(proto::Key { versions: versions.iter().map(key_version).collect(), ..key(&shown) })
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

    async fn rotate(
        &self,
        request: Request<proto::RotateKeyRequest>,
    ) -> Result<Response<proto::KeyWithReceipt>, Status> {
        self.answer("key.rotate", request, |custody, caller, m| async move {
            let to = rotate_to(m.to.as_ref())?;
            custody.rotate_key(&caller, &m.key, to, &m.idempotency_key).await.map(key_with_receipt)
        })
        .await
    }

    async fn schedule_destruction(
        &self,
        request: Request<proto::ScheduleDestructionRequest>,
    ) -> Result<Response<proto::KeyWithReceipt>, Status> {
        self.answer("key.schedule-destroy", request, |custody, caller, m| async move {
            let scheduled = custody.schedule_destruction(&caller, &m.key, m.wait_ms, &m.idempotency_key);
            scheduled.await.map(key_with_receipt)
        })
        .await
    }

    async fn cancel_destruction(
        &self,
        request: Request<proto::ChangeKeyRequest>,
    ) -> Result<Response<proto::KeyWithReceipt>, Status> {
        self.answer("key.cancel-destroy", request, |custody, caller, m| async move {
            custody.cancel_destruction(&caller, &m.key, &m.idempotency_key).await.map(key_with_receipt)
        })
        .await
    }

    async fn set_labels(
        &self,
        request: Request<proto::SetLabelsRequest>,
    ) -> Result<Response<proto::KeyWithReceipt>, Status> {
        self.answer("key.label", request, |custody, caller, m| async move {
            let set: Labels = m.set.into_iter().collect();
            let changed = custody.set_labels(&caller, &m.key, &set, &m.remove, &m.idempotency_key);
            changed.await.map(key_with_receipt)
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

fn search(m: &proto::ListKeysRequest) -> Result<Search<'_>, Failure> {
    let account = if m.account.is_empty() { None } else { Some(AccountId(array("account", &m.account)?)) };
    let after = if m.page_token.is_empty() { None } else { Some(array("page_token", &m.page_token)?) };
    let labelled = !m.label_key.is_empty() || !m.label_value.is_empty();
    Ok(Search {
        account,
        state: &m.state,
        label: labelled.then_some((m.label_key.as_str(), m.label_value.as_str())),
        alias_prefix: &m.alias_prefix,
        scheme: &m.scheme,
        all_versions: m.all_versions,
        page_size: m.page_size,
        after,
    })
}

/// What a rotation asks for; alias, scheme and idempotency key are those of the rotation itself.
fn rotate_to(to: Option<&rotate_key_request::To>) -> Result<To<'_>, Failure> {
    use rotate_key_request::To::{Import as Imported, Token};
    Ok(match to {
        None => To::Made,
        Some(Token(to)) => To::Token(Link {
            token: &to.token,
            key_label: &to.key_label,
            id: &to.id,
            scheme: "",
            alias: "",
            agent: &to.agent,
            pin: to.pin.to_vec().into(),
            mark: &[],
        }),
        Some(Imported(to)) => To::Imported(Import {
            alias: "",
            scheme: "",
            public_key: &to.public_key,
            nonce: array("nonce", &to.nonce)?,
            not_after: to.not_after,
            proof: &to.proof,
            mode: mode_named(&to.mode)?,
            sealed: &to.sealed_private_key,
            consent: &to.consent,
            mark: &[],
        }),
    })
}
