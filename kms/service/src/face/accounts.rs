//! `keyward.v1.Accounts`.

use bytes::Bytes;
use keyward_domain::profile::Fields;
use keyward_proto::custody::{self as proto, accounts_server::Accounts};
use tonic::{Request, Response, Status};

use super::{Face, convert::array, shown::Identities};
use crate::{
    accounts::{password::Offer, register::Finish},
    failure::Failure,
};

#[tonic::async_trait]
impl Accounts for Face {
    async fn register_start(
        &self,
        request: Request<proto::RegisterStartRequest>,
    ) -> Result<Response<proto::RegisterStartResponse>, Status> {
        let (custody, message) = (self.custody.clone(), request.into_inner());
        self.answer_anybody("account.register-start", async move {
            let started = custody.register_start(&message.user_name, &message.registration_request).await?;
            Ok(proto::RegisterStartResponse {
                registration_id: started.id.to_vec().into(),
                registration_response: started.response.into(),
                chain_id: custody.ledger.chain_id().to_vec().into(),
                account: started.account.to_vec().into(),
                nonce: started.nonce.to_vec().into(),
                not_after: started.not_after,
            })
        })
        .await
    }

    async fn register_finish(
        &self,
        request: Request<proto::RegisterFinishRequest>,
    ) -> Result<Response<proto::RegisterFinishResponse>, Status> {
        let (custody, message) = (self.custody.clone(), request.into_inner());
        self.answer_anybody("account.register-finish", async move {
            let parts = [&message.registration_id, &message.credential, &message.credential_proof];
            let finish = finish(parts, &message.registration_upload)?;
            let (account, receipt) = custody.register_finish(finish).await?;
            Ok(proto::RegisterFinishResponse { account: account.to_vec().into(), receipt: receipt.into() })
        })
        .await
    }

    async fn login_start(
        &self,
        request: Request<proto::LoginStartRequest>,
    ) -> Result<Response<proto::LoginStartResponse>, Status> {
        let (custody, message) = (self.custody.clone(), request.into_inner());
        self.answer_anybody("account.login-start", async move {
            let (id, response) = custody.login_start(&message.user_name, &message.credential_request).await?;
            Ok(proto::LoginStartResponse {
                login_id: id.to_vec().into(),
                credential_response: response.into(),
            })
        })
        .await
    }

    async fn login_finish(
        &self,
        request: Request<proto::LoginFinishRequest>,
    ) -> Result<Response<proto::LoginFinishResponse>, Status> {
        let certificate = Identities::fingerprint(&request);
        let (custody, message) = (self.custody.clone(), request.into_inner());
        self.answer_anybody("account.login-finish", async move {
            let id = array("login_id", &message.login_id)?;
            let session = custody.login_finish(id, &message.credential_finalization, certificate).await?;
            Ok(proto::LoginFinishResponse {
                session: session.token.to_vec().into(),
                expires_unix_ms: session.expires_ms,
                account: session.account.to_vec().into(),
            })
        })
        .await
    }

    async fn show(
        &self,
        request: Request<proto::ShowAccountRequest>,
    ) -> Result<Response<proto::Account>, Status> {
        self.answer("account.show", request, |custody, caller, _| async move {
            let (row, keys) = custody.show_account(&caller).await?;
            Ok(proto::Account {
                user_name: row.name,
                account: row.account.to_vec().into(),
                state: row.state.word().to_owned(),
                created_unix_ms: row.created_ms,
                key_count: u32::try_from(keys).unwrap_or(u32::MAX),
            })
        })
        .await
    }

    async fn prepare_close(
        &self,
        request: Request<proto::PrepareCloseRequest>,
    ) -> Result<Response<proto::PrepareCloseResponse>, Status> {
        self.answer("account.close-prepare", request, |custody, caller, _| async move {
            let credential = custody.prepare_close(&caller).await?;
            Ok(proto::PrepareCloseResponse { credential: credential.into() })
        })
        .await
    }

    async fn close(
        &self,
        request: Request<proto::CloseAccountRequest>,
    ) -> Result<Response<proto::CloseAccountResponse>, Status> {
        self.answer("account.close", request, |custody, caller, message| async move {
            let closed = custody.close_account(&caller, &message.entry, &message.idempotency_key).await?;
            let vaults = closed.vaults.into_iter().map(|ended| proto::EndedVault {
                vault: ended.vault.to_vec().into(),
                receipt: ended.receipt.into(),
                leaf_index: ended.leaf_index,
            });
            Ok(proto::CloseAccountResponse {
                receipt: closed.receipt.into(),
                vaults: vaults.collect(),
                keeping_waits: closed.keeping_waits,
            })
        })
        .await
    }

    async fn change_password_start(
        &self,
        request: Request<proto::ChangePasswordStartRequest>,
    ) -> Result<Response<proto::ChangePasswordStartResponse>, Status> {
        self.answer("account.password-start", request, |custody, caller, m| async move {
            let Offer { started, version, present } =
                custody.password_start(&caller, &m.registration_request).await?;
            Ok(proto::ChangePasswordStartResponse {
                registration_id: started.id.to_vec().into(),
                registration_response: started.response.into(),
                chain_id: custody.ledger.chain_id().to_vec().into(),
                account: started.account.to_vec().into(),
                nonce: started.nonce.to_vec().into(),
                not_after: started.not_after,
                version,
                credential: present.into(),
            })
        })
        .await
    }

    async fn change_password_finish(
        &self,
        request: Request<proto::ChangePasswordFinishRequest>,
    ) -> Result<Response<proto::ChangePasswordFinishResponse>, Status> {
        self.answer("account.password-finish", request, |custody, caller, m| async move {
            let parts = [&m.registration_id, &m.credential, &m.credential_proof];
            let finish = finish(parts, &m.registration_upload)?;
            let holder_signature = array("holder_signature", &m.holder_signature)?;
            let receipt = custody.password_finish(&caller, finish, holder_signature).await?;
            Ok(proto::ChangePasswordFinishResponse { receipt: receipt.into() })
        })
        .await
    }

    async fn set_profile(
        &self,
        request: Request<proto::SetProfileRequest>,
    ) -> Result<Response<proto::SetProfileResponse>, Status> {
        self.answer("account.profile.write", request, |custody, caller, m| async move {
            let fields = Fields::parse(m.fields).map_err(Failure::of)?;
            let receipt = custody.set_profile(&caller, &fields, &m.idempotency_key).await?;
            Ok(proto::SetProfileResponse { receipt: receipt.into() })
        })
        .await
    }

    async fn show_profile(
        &self,
        request: Request<proto::ShowProfileRequest>,
    ) -> Result<Response<proto::ShowProfileResponse>, Status> {
        self.answer("account.profile.read", request, |custody, caller, m| async move {
            let read = custody.show_profile(&caller, &m.user_name, &m.reason).await?;
            Ok(proto::ShowProfileResponse {
                fields: read.fields.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                receipt: read.receipt.into(),
                blinding: read.blinding.to_vec().into(),
            })
        })
        .await
    }

    async fn erase_profile(
        &self,
        request: Request<proto::EraseProfileRequest>,
    ) -> Result<Response<proto::EraseProfileResponse>, Status> {
        self.answer("account.profile.erase", request, |custody, caller, m| async move {
            let receipt = custody.erase_profile(&caller, &m.user_name, &m.idempotency_key).await?;
            Ok(proto::EraseProfileResponse { receipt: receipt.into() })
        })
        .await
    }
}

/// What finishes a registration, of an account or of another password.
fn finish([id, credential, proof]: [&Bytes; 3], upload: &[u8]) -> Result<Finish, Failure> {
    Ok(Finish {
        id: array("registration_id", id)?,
        upload: upload.to_vec(),
        credential: array("credential", credential)?,
        proof: array("credential_proof", proof)?,
    })
}
