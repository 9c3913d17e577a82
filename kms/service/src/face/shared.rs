//! `keyward.v1.Shared`.

use bytes::Bytes;
use keyward_domain::Code;
use keyward_proto::custody::{
    self as proto, answer_shared_response::Result as Middle, ask_co_signer_request::Request as Asked,
    ask_co_signer_response::Answer, begin_shared_response::Result as Start,
    finish_shared_response::Result as End, shared_server::Shared, show_shared_key_request::Which as Named,
};
use tonic::{Request, Response, Status};

use super::{
    Face,
    convert::{array, key, key_with_receipt, signed},
};
use crate::{
    failure::Failure,
    guard::{BeginShared, EndShared, Fault, Faults, FinishShared, GoOnShared, SignedShared, StartShared},
    ports::{CoSigned, ToCoSigner},
    shared::{
        bind::Bind,
        entries::HandIn,
        malformed,
        show::{ShownShared, Which},
    },
    vaults::entries::HandedIn,
};

#[tonic::async_trait]
impl Shared for Face {
    async fn ask(
        &self,
        request: Request<proto::AskCoSignerRequest>,
    ) -> Result<Response<proto::AskCoSignerResponse>, Status> {
        self.answer("shared.ask", request, |custody, caller, m| async move {
            let keeper = array("keeper", &m.keeper)?;
            let what = m.request.ok_or_else(|| malformed("there is no request to the keeper"))?;
            let answer = match custody.ask_about_shared(&caller, keeper, passed_on(what)).await? {
                CoSigned::Round(round) => Answer::Round(round),
                CoSigned::Share(share) => Answer::Share(share),
            };
            Ok(proto::AskCoSignerResponse { answer: Some(answer) })
        })
        .await
    }

    async fn open(
        &self,
        request: Request<proto::SharedEntryRequest>,
    ) -> Result<Response<proto::SharedEntryResponse>, Status> {
        self.answer("shared.open", request, |custody, caller, m| async move {
            custody.open_shared(&caller, &m.entry, &m.idempotency_key).await.map(handed_in)
        })
        .await
    }

    async fn bind(
        &self,
        request: Request<proto::BindSharedKeyRequest>,
    ) -> Result<Response<proto::KeyWithReceipt>, Status> {
        self.answer("shared.bind", request, |custody, caller, m| async move {
            let (entry, shared_key, alias) = (&m.entry[..], &m.shared_key[..], m.alias.as_str());
            let bind = Bind { entry, shared_key, alias, mark: &m.idempotency_key };
            custody.bind_shared(&caller, bind).await.map(key_with_receipt)
        })
        .await
    }

    async fn change(
        &self,
        request: Request<proto::ChangeSharedKeyRequest>,
    ) -> Result<Response<proto::SharedEntryResponse>, Status> {
        self.answer("shared.change", request, |custody, caller, m| async move {
            let what = HandIn { entry: &m.entry, shared_key: &m.shared_key, mark: &m.idempotency_key };
            custody.change_shared(&caller, what).await.map(handed_in)
        })
        .await
    }

    async fn begin(
        &self,
        request: Request<proto::BeginSharedRequest>,
    ) -> Result<Response<proto::BeginSharedResponse>, Status> {
        self.answer("shared.begin", request, |custody, caller, m| async move {
            let payload = m.payload.ok_or_else(|| {
                Failure::new(Code::PayloadMissing, "the payload is not shown: signers look at it")
            })?;
            let asked = BeginShared {
                entry: m.entry,
                payload,
                message: m.message,
                attempt: m.attempt,
                device: m.device,
                mark: m.idempotency_key,
            };
            let result = match custody.begin_shared(&caller, &asked).await? {
                StartShared::Committed(begun) => Start::Begun(proto::SharedBegun {
                    intent: Bytes::copy_from_slice(&begun.intent),
                    receipt: begun.receipt.into(),
                    leaf_index: begun.leaf_index,
                    commitments: begun.commitments,
                    expires_unix_ms: begun.expires_ms,
                }),
                StartShared::Signed(done) => Start::Signed(response(done)),
                StartShared::Faults(told) => Start::Faults(faults(told)),
            };
            Ok(proto::BeginSharedResponse { result: Some(result) })
        })
        .await
    }

    async fn answer(
        &self,
        request: Request<proto::AnswerSharedRequest>,
    ) -> Result<Response<proto::AnswerSharedResponse>, Status> {
        self.answer("shared.answer", request, |custody, caller, m| async move {
            let intent = array("intent", &m.intent)?;
            let asked = FinishShared { intent, attempt: m.attempt, device: m.device };
            let result = match custody.answer_shared(&caller, &asked).await? {
                GoOnShared::Answered(answers) => Middle::Answers(proto::SharedAnswers { answers }),
                GoOnShared::Signed(done) => Middle::Signed(response(done)),
                GoOnShared::Faults(told) => Middle::Faults(faults(told)),
            };
            Ok(proto::AnswerSharedResponse { result: Some(result) })
        })
        .await
    }

    async fn finish(
        &self,
        request: Request<proto::FinishSharedRequest>,
    ) -> Result<Response<proto::FinishSharedResponse>, Status> {
        self.answer("shared.finish", request, |custody, caller, m| async move {
            let intent = array("intent", &m.intent)?;
            let asked = FinishShared { intent, attempt: m.attempt, device: m.device };
            let result = match custody.finish_shared(&caller, &asked).await? {
                EndShared::Signed(done) => End::Signed(response(done)),
                EndShared::Faults(told) => End::Faults(faults(told)),
            };
            Ok(proto::FinishSharedResponse { result: Some(result) })
        })
        .await
    }

    async fn show(
        &self,
        request: Request<proto::ShowSharedKeyRequest>,
    ) -> Result<Response<proto::ShowSharedKeyResponse>, Status> {
        self.answer("shared.show", request, |custody, caller, m| async move {
            let shown = match &m.which {
                Some(Named::Key(name)) => custody.show_shared(&caller, Which::Key(name)).await?,
                Some(Named::Name(name)) => {
                    custody.show_shared(&caller, Which::Name(array("name", name)?)).await?
                }
                None => return Err(malformed("no key is named")),
            };
            Ok(shown_key(shown))
        })
        .await
    }
}

fn passed_on(asked: Asked) -> ToCoSigner {
    match asked {
        Asked::OpenKey(request) => ToCoSigner::OpenKey(request),
        Asked::DealKey(request) => ToCoSigner::DealKey(request),
        Asked::AgreeKey(request) => ToCoSigner::AgreeKey(request),
        Asked::KeepKey(request) => ToCoSigner::KeepKey(request),
        Asked::RedealKey(request) => ToCoSigner::RedealKey(request),
        Asked::KeepRenewedKey(request) => ToCoSigner::KeepRenewedKey(request),
        Asked::AskRepair(request) => ToCoSigner::AskRepair(request),
        Asked::SplitShare(request) => ToCoSigner::SplitShare(request),
        Asked::SumShare(request) => ToCoSigner::SumShare(request),
        Asked::KeepRepairedShare(request) => ToCoSigner::KeepRepairedShare(request),
        Asked::ShowShare(request) => ToCoSigner::ShowShare(request),
    }
}

fn handed_in(HandedIn { leaf_index, receipt }: HandedIn) -> proto::SharedEntryResponse {
    proto::SharedEntryResponse { receipt: receipt.into(), leaf_index }
}

/// As of any signature, but that it verifies under the key and the intent's tweak.
fn response(SignedShared { signed: done, output_key }: SignedShared) -> proto::SignResponse {
    let public_key = Bytes::copy_from_slice(output_key.as_bytes());
    proto::SignResponse { public_key, ..signed(done) }
}

fn faults(Faults { faults, expires_ms }: Faults) -> proto::SharedFaults {
    let fault = |fault: Fault| proto::SharedFault {
        place: u32::from(fault.place),
        keeper: Bytes::copy_from_slice(&fault.keeper),
        code: fault.code.to_owned(),
        message: fault.message,
        evidence: fault.evidence,
    };
    proto::SharedFaults { faults: faults.into_iter().map(fault).collect(), expires_unix_ms: expires_ms }
}

fn shown_key(shown: ShownShared) -> proto::ShowSharedKeyResponse {
    proto::ShowSharedKeyResponse {
        key: shown.key.as_deref().map(key),
        shared_key: shown.shared_key.into(),
        run: shown.run.into(),
        bound: shown.bound.into(),
        shared: shown.shared.into(),
        keepers: shown.keepers.into_iter().map(Bytes::from).collect(),
        executor: Bytes::copy_from_slice(&shown.executor),
        policy: Bytes::copy_from_slice(&shown.policy),
        ledger_height: shown.height,
    }
}
