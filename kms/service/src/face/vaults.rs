//! `keyward.v1.Vaults`.

use bytes::Bytes;
use keyward_proto::custody::{self as proto, vaults_server::Vaults};
use tonic::{Request, Response, Status};

use super::{Face, convert::array};
use crate::vaults::{
    entries::{HandIn, HandedIn, Kind},
    relay::Deposit,
};

fn handed_in(HandedIn { leaf_index, receipt }: HandedIn) -> proto::VaultEntryResponse {
    proto::VaultEntryResponse { receipt: receipt.into(), leaf_index }
}

fn all(receipts: Vec<Vec<u8>>) -> Vec<Bytes> {
    receipts.into_iter().map(Bytes::from).collect()
}

impl Face {
    async fn entry(
        &self,
        verb: &'static str,
        kind: Kind,
        request: Request<proto::VaultEntryRequest>,
    ) -> Result<Response<proto::VaultEntryResponse>, Status> {
        self.answer(verb, request, move |custody, caller, m| async move {
            let what = HandIn { kind, entry: &m.entry, mark: &m.idempotency_key, code: "" };
            custody.hand_in(&caller, what).await.map(handed_in)
        })
        .await
    }
}

#[tonic::async_trait]
impl Vaults for Face {
    async fn keepers(
        &self,
        request: Request<proto::ListKeepersRequest>,
    ) -> Result<Response<proto::ListKeepersResponse>, Status> {
        self.answer("vault.keepers", request, |custody, caller, _| async move {
            let shown = custody.show_keepers(&caller).await?;
            Ok(proto::ListKeepersResponse { list: shown.list.into(), keepers: all(shown.keepers) })
        })
        .await
    }

    async fn show(
        &self,
        request: Request<proto::ShowVaultRequest>,
    ) -> Result<Response<proto::ShowVaultResponse>, Status> {
        self.answer("vault.show", request, |custody, caller, m| async move {
            let shown = custody.show_vault(&caller, array("vault", &m.vault)?).await?;
            Ok(proto::ShowVaultResponse {
                vault: shown.vault.into(),
                sealing: shown.sealing.into(),
                shares: shown.shares.into(),
                counter: shown.counter.into(),
                holders: all(shown.holders),
                keepers: all(shown.keepers),
                code_required: shown.code_required,
            })
        })
        .await
    }

    async fn deposit(
        &self,
        request: Request<proto::VaultDepositRequest>,
    ) -> Result<Response<proto::VaultDepositResponse>, Status> {
        self.answer("vault.deposit", request, |custody, caller, m| async move {
            let (keeper, signature) = (array("keeper", &m.keeper)?, array("signature", &m.signature)?);
            let deposit = Deposit { keeper, sealing: m.sealing, share: m.share, signature };
            let acknowledgement = custody.deposit_share(&caller, deposit).await?;
            Ok(proto::VaultDepositResponse { acknowledgement })
        })
        .await
    }

    async fn seal(
        &self,
        request: Request<proto::VaultEntryRequest>,
    ) -> Result<Response<proto::VaultEntryResponse>, Status> {
        self.entry("vault.seal", Kind::Seal, request).await
    }

    async fn attempt(
        &self,
        request: Request<proto::VaultAttemptRequest>,
    ) -> Result<Response<proto::VaultEntryResponse>, Status> {
        self.answer("vault.attempt", request, |custody, caller, m| async move {
            let kind = Kind::Attempt;
            let what = HandIn { kind, entry: &m.entry, mark: &m.idempotency_key, code: &m.code };
            custody.hand_in(&caller, what).await.map(handed_in)
        })
        .await
    }

    async fn evaluate(
        &self,
        request: Request<proto::VaultEvaluateRequest>,
    ) -> Result<Response<proto::VaultAnswer>, Status> {
        self.answer("vault.evaluate", request, |custody, caller, m| async move {
            let (keeper, element) = (array("keeper", &m.keeper)?, array("element", &m.element)?);
            let answer = custody.evaluate_share(&caller, keeper, m.leaf_index, element).await?;
            Ok(proto::VaultAnswer { answer })
        })
        .await
    }

    async fn open(
        &self,
        request: Request<proto::VaultEntryRequest>,
    ) -> Result<Response<proto::VaultEntryResponse>, Status> {
        self.entry("vault.open", Kind::Open, request).await
    }

    async fn release(
        &self,
        request: Request<proto::VaultReleaseRequest>,
    ) -> Result<Response<proto::VaultAnswer>, Status> {
        self.answer("vault.release", request, |custody, caller, m| async move {
            let keeper = array("keeper", &m.keeper)?;
            let answer = custody.release_share(&caller, keeper, m.leaf_index, m.opened_leaf_index).await?;
            Ok(proto::VaultAnswer { answer })
        })
        .await
    }

    async fn drill(
        &self,
        request: Request<proto::VaultDrillRequest>,
    ) -> Result<Response<proto::VaultAnswer>, Status> {
        self.answer("vault.drill", request, |custody, caller, m| async move {
            let (keeper, vault) = (array("keeper", &m.keeper)?, array("vault", &m.vault)?);
            let answer = custody.drill_share(&caller, keeper, vault, array("nonce", &m.nonce)?).await?;
            Ok(proto::VaultAnswer { answer })
        })
        .await
    }

    async fn destroy(
        &self,
        request: Request<proto::VaultEntryRequest>,
    ) -> Result<Response<proto::VaultEntryResponse>, Status> {
        self.entry("vault.destroy", Kind::Destroy, request).await
    }

    async fn signers(
        &self,
        request: Request<proto::ListSignersRequest>,
    ) -> Result<Response<proto::ListSignersResponse>, Status> {
        self.answer("vault.signers", request, |custody, caller, m| async move {
            let parties: Vec<&[u8]> = m.parties.iter().map(AsRef::as_ref).collect();
            let shown = custody.show_signers(&caller, &parties).await?;
            let signers = shown.into_iter().map(|shown| proto::ShownSigner {
                standing: shown.standing.into(),
                account: shown.account.into(),
            });
            Ok(proto::ListSignersResponse { signers: signers.collect() })
        })
        .await
    }

    async fn set_up_code(
        &self,
        request: Request<proto::SetUpCodeRequest>,
    ) -> Result<Response<proto::SetUpCodeResponse>, Status> {
        self.answer("vault.code.set-up", request, |custody, caller, m| async move {
            let fresh = custody.set_up_code(&caller, &m.code).await?;
            let secret = fresh.secret.expose(Bytes::copy_from_slice);
            Ok(proto::SetUpCodeResponse { secret, uri: fresh.uri.to_string() })
        })
        .await
    }

    async fn confirm_code(
        &self,
        request: Request<proto::ConfirmCodeRequest>,
    ) -> Result<Response<proto::ConfirmCodeResponse>, Status> {
        self.answer("vault.code.confirm", request, |custody, caller, m| async move {
            custody.confirm_code(&caller, &m.code).await?;
            Ok(proto::ConfirmCodeResponse {})
        })
        .await
    }

    async fn remove_code(
        &self,
        request: Request<proto::RemoveCodeRequest>,
    ) -> Result<Response<proto::RemoveCodeResponse>, Status> {
        self.answer("vault.code.remove", request, |custody, caller, m| async move {
            let receipt = custody.remove_code(&caller, &m.code, &m.user_name).await?;
            Ok(proto::RemoveCodeResponse { receipt: receipt.into() })
        })
        .await
    }
}
