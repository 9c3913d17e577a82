//! Signatures over one stream: orders in at the caller's pace, answers out as they come.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyward_proto::custody::{SignRequest, SignStreamResponse};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};

use super::{Order, Signature, signed};
use crate::client::Client;
use crate::error::ClientError;

/// The most orders of one stream that wait for their answers; the service works on so many of a stream at once.
pub const WINDOW_MAX: usize = 256;

/// Orders that were sent and are not answered, each with its place in the window.
type Open = Arc<Mutex<HashMap<u64, (Order, OwnedSemaphorePermit)>>>;

/// Where orders go in. Dropping it ends the stream after the answers that are due.
#[derive(Debug)]
pub struct Orders {
    requests: mpsc::Sender<SignRequest>,
    window: Arc<Semaphore>,
    open: Open,
    next_tag: u64,
}

/// Where answers come out, in the order in which they are ready.
#[derive(Debug)]
pub struct Answers {
    client: Client,
    responses: Streaming<SignStreamResponse>,
    open: Open,
}

/// An order and what became of it.
#[derive(Debug)]
pub struct Answered {
    /// The order's number in this stream, as [`Orders::send`] gave it.
    pub number: u64,
    /// The order: if its refusal says retry, it may be sent again as it is.
    pub order: Order,
    /// The signature, checked as everywhere in this crate, or why there is none.
    pub result: Result<Signature, ClientError>,
}

impl Client {
    /// Opens a stream on which at most `window` orders (1 to 256) wait for their answers: more wait in
    /// [`Orders::send`]. A stream has no deadline; it lives until its orders end or the connection breaks.
    pub async fn sign_stream(&self, window: usize) -> Result<(Orders, Answers), ClientError> {
        let window = window.clamp(1, WINDOW_MAX);
        let (requests, queue) = mpsc::channel(window);
        let mut request = Request::new(ReceiverStream::new(queue));
        self.sign_in(&mut request);
        let responses = self.answer(self.signing().sign_stream(request).await)?;
        let open = Open::default();
        let orders =
            Orders { requests, window: Arc::new(Semaphore::new(window)), open: open.clone(), next_tag: 0 };
        Ok((orders, Answers { client: self.clone(), responses, open }))
    }
}

impl Orders {
    /// Sends an order when there is a place in the window; answers with its number. Fails once the stream has ended.
    pub async fn send(&mut self, order: Order) -> Result<u64, ClientError> {
        let Ok(place) = self.window.clone().acquire_owned().await else {
            return Err(ClientError::StreamEnded);
        };
        let tag = self.next_tag;
        self.next_tag += 1;
        let request = order.request(tag);
        // Noted first: the answer may be there before `send` returns.
        lock(&self.open).insert(tag, (order, place));
        match self.requests.send(request).await {
            Ok(()) => Ok(tag),
            Err(_closed) => {
                lock(&self.open).remove(&tag);
                Err(ClientError::StreamEnded)
            }
        }
    }
}

impl Answers {
    /// The next answer; none when the orders have ended and all are answered. After an error, what was sent may or
    /// may not have been signed: send [`Answers::unanswered`] again, on another stream, and it is done once.
    pub async fn next(&mut self) -> Result<Option<Answered>, ClientError> {
        let response = match self.responses.message().await {
            Ok(Some(response)) => response,
            Ok(None) if lock(&self.open).is_empty() => return Ok(None),
            Ok(None) => return Err(ClientError::StreamEnded),
            Err(status) => return Err(self.client.refusal(status)),
        };
        let number = response.tag;
        let Some((order, _place)) = lock(&self.open).remove(&number) else {
            return Err(ClientError::Answer { what: "it answers what was not asked" });
        };
        let result = signed(&self.client, &order, response);
        Ok(Some(Answered { number, order, result }))
    }

    /// The orders that were sent and not answered, by their numbers.
    pub fn unanswered(&self) -> Vec<Order> {
        let mut left: Vec<_> =
            lock(&self.open).iter().map(|(tag, (order, _))| (*tag, order.clone())).collect();
        left.sort_unstable_by_key(|(tag, _)| *tag);
        left.into_iter().map(|(_, order)| order).collect()
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        // Whoever waits for a place waits for nothing now.
        lock(&self.open).clear();
    }
}

fn lock<T>(open: &Mutex<T>) -> MutexGuard<'_, T> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}
