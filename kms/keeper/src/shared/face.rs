//! The gRPC face of the keeper's part in shared keys.

use bytes::Bytes;
use keyward_domain::scheme::KeyId;
use keyward_proto::custody::{
    AgreeKeyRequest, AnswerRequest, AskRepairRequest, CoSignRequest, CommitRequest, DealKeyRequest,
    Disclosure, KeepKeyRequest, KeepRenewedKeyRequest, KeepRepairedShareRequest, OpenKeyRequest,
    RedealKeyRequest, Round, ShowShareRequest, ShowShareResponse, SplitShareRequest, SumShareRequest,
    co_signers_server::{CoSigners, CoSignersServer},
};
use tonic::{Request, Response, Status};

use super::{
    error::SharedError,
    generate::Answer,
    permit::Disclosed,
    plan::{GenerationPlan, RenewalPlan, RepairPlan, SigningPlan, array, messages, option},
};
use crate::{callers::Caller, desk::Calls, keeper::Keeper};

/// The longest request: what five keepers and a user send in all steps of making a key of threshold ECDSA. A message and the
/// payload that says it, 1 MiB each, and what sixteen keepers and a user send in a step are far shorter.
const REQUEST_BYTES_MAX: usize = 12 << 20;

/// A keeper that takes its part in shared keys.
#[derive(Clone, Debug)]
pub struct SharedFace {
    keeper: Keeper,
    calls: Calls,
}

impl SharedFace {
    /// The service to put on a port.
    pub fn service(keeper: Keeper) -> CoSignersServer<Self> {
        CoSignersServer::new(Self::of(keeper)).max_decoding_message_size(REQUEST_BYTES_MAX)
    }

    pub(crate) fn of(keeper: Keeper) -> Self {
        Self { keeper, calls: Calls::default() }
    }

    async fn answer<T>(
        &self,
        verb: &'static str,
        work: impl Future<Output = Result<T, SharedError>>,
    ) -> Result<Response<T>, Status> {
        self.calls.answer(verb, work).await
    }
}

impl From<Answer> for Round {
    fn from(answer: Answer) -> Self {
        let acknowledgement =
            answer.acknowledgement.as_ref().map(|signature| Bytes::copy_from_slice(signature));
        Self { message: answer.message.into(), acknowledgement: acknowledgement.unwrap_or_default() }
    }
}

/// What is shown of a signature.
fn disclosed(leaf_index: u64, shown: Option<Disclosure>, policy: Bytes) -> Result<Disclosed, SharedError> {
    let shown = shown.ok_or(SharedError::Malformed { what: "payload" })?;
    let Disclosure { payload, format, opening } = shown;
    let (payload, opening) = (payload.into(), array("opening", &opening)?);
    Ok(Disclosed { leaf_index, payload, format, opening, policy: policy.into() })
}

#[tonic::async_trait]
impl CoSigners for SharedFace {
    async fn open_key(&self, request: Request<OpenKeyRequest>) -> Result<Response<Round>, Status> {
        let caller = Caller::of(&request);
        let OpenKeyRequest { plan } = request.into_inner();
        self.answer("open-key", async {
            Ok(self.keeper.open_key(&caller, &GenerationPlan::read(plan)?).await?.into())
        })
        .await
    }

    async fn deal_key(&self, request: Request<DealKeyRequest>) -> Result<Response<Round>, Status> {
        let DealKeyRequest { plan, messages: list } = request.into_inner();
        self.answer("deal-key", async {
            Ok(self.keeper.deal_key(&GenerationPlan::read(plan)?, messages(list)).await?.into())
        })
        .await
    }

    async fn agree_key(&self, request: Request<AgreeKeyRequest>) -> Result<Response<Round>, Status> {
        let AgreeKeyRequest { plan, messages: list } = request.into_inner();
        self.answer("agree-key", async {
            Ok(self.keeper.agree_key(&GenerationPlan::read(plan)?, messages(list)).await?.into())
        })
        .await
    }

    async fn keep_key(&self, request: Request<KeepKeyRequest>) -> Result<Response<Round>, Status> {
        let KeepKeyRequest { plan, messages: list, approval_rule, policy_tenant } = request.into_inner();
        self.answer("keep-key", async {
            let rule = option("approval rule", &approval_rule)?;
            let tenant = option("policy tenant", &policy_tenant)?;
            let plan = GenerationPlan::read(plan)?;
            Ok(self.keeper.keep_key(&plan, messages(list), [rule, tenant]).await?.into())
        })
        .await
    }

    async fn commit(&self, request: Request<CommitRequest>) -> Result<Response<Round>, Status> {
        let caller = Caller::of(&request);
        let CommitRequest { plan, device } = request.into_inner();
        self.answer("commit", async {
            Ok(self.keeper.commit(&caller, &SigningPlan::read(plan)?, &device).await?.into())
        })
        .await
    }

    async fn answer(&self, request: Request<AnswerRequest>) -> Result<Response<Round>, Status> {
        let AnswerRequest { plan, leaf_index, payload, messages: list, policy } = request.into_inner();
        self.answer("answer", async {
            let disclosed = disclosed(leaf_index, payload, policy)?;
            let plan = SigningPlan::read(plan)?;
            Ok(self.keeper.answer_commitments(&plan, &disclosed, messages(list)).await?.into())
        })
        .await
    }

    async fn co_sign(&self, request: Request<CoSignRequest>) -> Result<Response<Round>, Status> {
        let CoSignRequest { plan, leaf_index, payload, messages: list, policy } = request.into_inner();
        self.answer("co-sign", async {
            let disclosed = disclosed(leaf_index, payload, policy)?;
            let plan = SigningPlan::read(plan)?;
            Ok(self.keeper.cosign(&plan, &disclosed, messages(list)).await?.into())
        })
        .await
    }

    async fn redeal_key(&self, request: Request<RedealKeyRequest>) -> Result<Response<Round>, Status> {
        let caller = Caller::of(&request);
        let RedealKeyRequest { plan, device } = request.into_inner();
        self.answer("redeal-key", async {
            Ok(self.keeper.redeal_key(&caller, &RenewalPlan::read(plan)?, &device).await?.into())
        })
        .await
    }

    async fn keep_renewed_key(
        &self,
        request: Request<KeepRenewedKeyRequest>,
    ) -> Result<Response<Round>, Status> {
        let KeepRenewedKeyRequest { plan, key, messages: list, expires_ms } = request.into_inner();
        self.answer("keep-renewed-key", async {
            let plan = RenewalPlan::read(plan)?;
            Ok(self.keeper.keep_renewed_key(&plan, &key, messages(list), expires_ms).await?.into())
        })
        .await
    }

    async fn ask_repair(&self, request: Request<AskRepairRequest>) -> Result<Response<Round>, Status> {
        let AskRepairRequest { plan, key } = request.into_inner();
        self.answer("ask-repair", async {
            Ok(self.keeper.ask_repair(&RepairPlan::read(plan)?, &key).await?.into())
        })
        .await
    }

    async fn split_share(&self, request: Request<SplitShareRequest>) -> Result<Response<Round>, Status> {
        let caller = Caller::of(&request);
        let SplitShareRequest { plan, request, device } = request.into_inner();
        self.answer("split-share", async {
            let plan = RepairPlan::read(plan)?;
            Ok(self.keeper.split_share(&caller, &plan, [&request, &device]).await?.into())
        })
        .await
    }

    async fn sum_share(&self, request: Request<SumShareRequest>) -> Result<Response<Round>, Status> {
        let SumShareRequest { plan, messages: list } = request.into_inner();
        self.answer("sum-share", async {
            Ok(self.keeper.sum_share(&RepairPlan::read(plan)?, messages(list)).await?.into())
        })
        .await
    }

    async fn keep_repaired_share(
        &self,
        request: Request<KeepRepairedShareRequest>,
    ) -> Result<Response<Round>, Status> {
        let KeepRepairedShareRequest { plan, key, splits, sums } = request.into_inner();
        self.answer("keep-repaired-share", async {
            let (plan, lists) = (RepairPlan::read(plan)?, [messages(splits), messages(sums)]);
            self.keeper.keep_repaired_share(&plan, &key, lists).await?;
            Ok(Round::default())
        })
        .await
    }

    async fn show_share(
        &self,
        request: Request<ShowShareRequest>,
    ) -> Result<Response<ShowShareResponse>, Status> {
        let ShowShareRequest { key_id } = request.into_inner();
        self.answer("show-share", async {
            let facts = self.keeper.shared_key_now(&KeyId(array("key id", &key_id)?)).await?;
            let kept = self.keeper.share_now(&facts).await?;
            Ok(ShowShareResponse {
                share_version: kept.key.share_version(),
                key_hash: Bytes::copy_from_slice(&facts.shared.key_hash),
                key: kept.key.encode().into(),
            })
        })
        .await
    }
}
