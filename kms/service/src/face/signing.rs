//! `keyward.v1.Signing`: one, many, a stream.

use std::{pin::Pin, sync::Arc};

use keyward_domain::{Code, payload::BATCH_LEN_MAX};
use keyward_proto::custody::{
    self as proto, sign_request::Payload, sign_stream_response::Result as Answer, signing_server::Signing,
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use super::{Face, convert, status};
use crate::{
    caller::{Caller, Shown},
    custody::Custody,
    failure::Failure,
    guard::{Input, Signed},
};

type Answers = Pin<Box<dyn Stream<Item = Result<proto::SignStreamResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Signing for Face {
    async fn sign(
        &self,
        request: Request<proto::SignRequest>,
    ) -> Result<Response<proto::SignResponse>, Status> {
        self.answer("key.sign", request, |custody, caller, message| async move {
            sign(&custody, &caller, message).await.map(convert::signed)
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
        let shown = self.identities.shown(&request);
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
    let count = requests.len();
    let mut under_way = JoinSet::new();
    for (place, request) in requests.into_iter().enumerate() {
        let (custody, caller) = (custody.clone(), caller.clone());
        under_way.spawn(async move {
            let tag = request.tag;
            (place, answer(tag, sign(&custody, &caller, request).await))
        });
    }
    let mut responses = Vec::with_capacity(count);
    while let Some(done) = under_way.join_next().await {
        responses.push(done.map_err(Failure::internal)?);
    }
    responses.sort_unstable_by_key(|(place, _)| *place);
    Ok(proto::SignBatchResponse { responses: responses.into_iter().map(|(_, response)| response).collect() })
}

async fn sign(custody: &Custody, caller: &Caller, request: proto::SignRequest) -> Result<Signed, Failure> {
    let input = match request.payload {
        Some(Payload::Message(message)) => Input::Message(message),
        Some(Payload::Digest(digest)) => Input::Digest(digest),
        None => return Err(Failure::new(Code::PayloadMissing, "there is neither a message nor a digest")),
    };
    custody.sign(caller, &request.key, &input, &request.idempotency_key).await
}

fn answer(tag: u64, result: Result<Signed, Failure>) -> proto::SignStreamResponse {
    let result = match result {
        Ok(signed) => Answer::Signed(convert::signed(signed)),
        Err(failure) => {
            status::log("key.sign", &status::request_id(), &failure);
            Answer::Refusal(proto::Refusal {
                status: failure.code.canonical().number(),
                code: failure.code.name().to_owned(),
                message: status::sentence(&failure),
                retry: failure.code.retry(),
            })
        }
    };
    proto::SignStreamResponse { tag, result: Some(result) }
}
