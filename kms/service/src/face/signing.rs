//! `keyward.v1.Signing`: one, many, a stream.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use futures::future::join_all;
use keyward_domain::{Code, payload::BATCH_LEN_MAX};
use keyward_proto::custody::{
    self as proto, sign_request::Payload, sign_stream_response::Result as Answer, signing_server::Signing,
};
use prost::Message as _;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use super::{Face, convert, status};
use crate::{
    approvals::sign::AskApproved,
    caller::{Caller, Shown},
    custody::Custody,
    failure::Failure,
    guard::{Input, Said},
};

/// Requests of a batch that share a task.
const GROUP: usize = 16;

type Answers = Pin<Box<dyn Stream<Item = Result<proto::SignStreamResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Signing for Face {
    async fn begin(
        &self,
        request: Request<proto::SignRequest>,
    ) -> Result<Response<proto::BeginResponse>, Status> {
        self.answer("key.sign-begin", request, |custody, caller, m| async move {
            if m.approval.is_some() {
                let what = "a key of mode `self` signs for its holder alone, and uses no approvals up";
                return Err(Failure::new(Code::KeyIsSelf, what));
            }
            let input = input(m.payload)?;
            let said = Said::of(&input, m.shown.map(convert::shown).as_ref())?;
            let start = custody.begin_sign(&caller, &m.key, (input, said), &m.idempotency_key).await?;
            Ok(convert::start(start))
        })
        .await
    }

    async fn finish(
        &self,
        request: Request<proto::FinishRequest>,
    ) -> Result<Response<proto::SignResponse>, Status> {
        self.answer("key.sign-finish", request, |custody, caller, m| async move {
            let intent = convert::array("intent", &m.intent)?;
            custody.finish_sign(&caller, &intent, &m.signature).await.map(convert::signed)
        })
        .await
    }

    async fn sign(
        &self,
        request: Request<proto::SignRequest>,
    ) -> Result<Response<proto::SignResponse>, Status> {
        self.answer("key.sign", request, |custody, caller, message| async move {
            sign(&custody, &caller, message).await
        })
        .await
    }

    async fn sign_batch(
        &self,
        request: Request<proto::SignBatchRequest>,
    ) -> Result<Response<proto::SignBatchResponse>, Status> {
        self.answer("key.sign-batch", request, |custody, caller, message| async move {
            sign_all(custody, caller, message.requests).await
        })
        .await
    }

    type SignStreamStream = Answers;

    async fn sign_stream(
        &self,
        request: Request<Streaming<proto::SignRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let question = status::Question::new("key.sign-stream");
        let shown = self.identities.shown(&request, self.custody.clock.now_ms());
        let authenticated = async {
            let shown = shown?;
            self.custody.authenticate(&shown).await?;
            Ok(shown)
        };
        let shown = match authenticated.await {
            Ok(shown) => shown,
            Err(failure) => return question.end(Err(failure)),
        };
        let (answers, stream) = mpsc::channel(self.stream_in_flight);
        let in_flight = self.stream_in_flight;
        tokio::spawn(serve(self.custody.clone(), shown, request.into_inner(), answers, in_flight));
        question.end(Ok(Box::pin(ReceiverStream::new(stream)) as Answers))
    }
}

/// Signs what comes in, a bounded number at once; the client's own pace bounds the rest.
async fn serve(
    custody: Arc<Custody>,
    shown: Shown,
    mut requests: Streaming<proto::SignRequest>,
    answers: mpsc::Sender<Result<proto::SignStreamResponse, Status>>,
    in_flight: usize,
) {
    let places = Arc::new(Semaphore::new(in_flight));
    let shown = Arc::new(shown);
    while let Some(request) = requests.next().await {
        let request = match request {
            Ok(request) => request,
            Err(status) => {
                tracing::debug!(%status, "a stream broke off");
                let _gone = answers.send(Err(super::edge::explained("key.sign-stream", status))).await;
                return;
            }
        };
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (custody, shown, answers) = (custody.clone(), shown.clone(), answers.clone());
        tokio::spawn(async move {
            let _place = place;
            let tag = request.tag;
            // A session may end while its stream goes on: each request is authenticated.
            let result = match custody.authenticate(&shown).await {
                Ok(caller) => sign(&custody, &caller, request).await,
                Err(failure) => Err(failure),
            };
            // The client may have gone; what was signed is queued all the same.
            let _gone = answers.send(Ok(answer(tag, result))).await;
        });
    }
}

async fn sign_all(
    custody: Arc<Custody>,
    caller: Caller,
    requests: Vec<proto::SignRequest>,
) -> Result<proto::SignBatchResponse, Failure> {
    if requests.len() > BATCH_LEN_MAX {
        let message = format!("`{}` requests are more than `{BATCH_LEN_MAX}`", requests.len());
        return Err(Failure::new(Code::BatchTooLarge, message));
    }
    let caller = Arc::new(caller);
    let mut responses = Vec::with_capacity(requests.len());
    let mut groups = Vec::with_capacity(requests.len().div_ceil(GROUP));
    let mut requests = requests.into_iter().peekable();
    while requests.peek().is_some() {
        let group: Vec<_> = requests.by_ref().take(GROUP).collect();
        groups.push(tokio::spawn(sign_group(custody.clone(), caller.clone(), group)));
    }
    for group in groups {
        responses.extend(group.await.map_err(Failure::internal)?);
    }
    Ok(proto::SignBatchResponse { responses })
}

/// One task for a few requests: a task for each would wake threads for each.
async fn sign_group(
    custody: Arc<Custody>,
    caller: Arc<Caller>,
    group: Vec<proto::SignRequest>,
) -> Vec<proto::SignStreamResponse> {
    let signing = group.into_iter().map(async |request| {
        let tag = request.tag;
        answer(tag, sign(&custody, &caller, request).await)
    });
    join_all(signing).await
}

async fn sign(
    custody: &Custody,
    caller: &Caller,
    request: proto::SignRequest,
) -> Result<proto::SignResponse, Failure> {
    let proto::SignRequest { key, payload, idempotency_key: mark, approval, shown, word, .. } = request;
    let input = input(payload)?;
    let word = word.map(|word| word.encode_to_vec()).unwrap_or_default();
    let said = Said::of(&input, shown.map(convert::shown).as_ref())?.telling(word)?;
    let Some(approval) = approval else {
        return custody.sign(caller, &key, (&input, &said), &mark).await.map(convert::signed);
    };
    let ask = AskApproved {
        key: &key,
        input: &input,
        said: &said,
        mark: &mark,
        case: convert::array("case_id", &approval.case_id)?,
        opening: convert::array("opening", &approval.opening)?,
        use_entry: &approval.use_entry,
    };
    let done = custody.sign_approved(caller, ask).await?;
    Ok(proto::SignResponse {
        approval_receipt: done.act.receipt.into(),
        approval_leaf_index: done.act.leaf_index,
        ..convert::signed(done.signed)
    })
}

fn input(payload: Option<Payload>) -> Result<Input<Bytes>, Failure> {
    match payload {
        Some(Payload::Message(message)) => Ok(Input::Message(message)),
        Some(Payload::Digest(digest)) => Ok(Input::Digest(digest)),
        None => Err(Failure::new(Code::PayloadMissing, "there is neither a message nor a digest")),
    }
}

fn answer(tag: u64, result: Result<proto::SignResponse, Failure>) -> proto::SignStreamResponse {
    let result = match result {
        Ok(signed) => Answer::Signed(signed),
        Err(failure) => {
            status::log("key.sign", &status::request_id(), &failure);
            Answer::Refusal(proto::Refusal {
                status: failure.code.canonical().number(),
                code: failure.code.name().to_owned(),
                message: status::sentence(&failure),
                retry: failure.code.retry(),
                retry_after_ms: failure.code.retry_after_ms().unwrap_or_default(),
            })
        }
    };
    proto::SignStreamResponse { tag, result: Some(result) }
}
