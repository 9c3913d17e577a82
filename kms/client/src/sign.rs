//! Signatures from the service: believed when they verify, and when their receipt does.

mod order;
mod own;
mod stream;

use std::time::Instant;

use keyward_domain::payload::BATCH_LEN_MAX;
use keyward_domain::scheme::{PublicKey, Scheme};
use keyward_domain::{Code, KeyName};
use keyward_proto::custody::sign_stream_response::Result as Answer;
use keyward_proto::custody::{SignBatchRequest, SignResponse, SignStreamResponse};

pub use order::{MARK_BYTES_MAX, Order};
pub use stream::{Answered, Answers, Orders, WINDOW_MAX};

use crate::client::Client;
use crate::error::{ClientError, Refusal};

/// Message bytes of one call: half of what the service takes.
const CALL_BYTES: usize = 4 << 20;

/// A signature that verified.
#[derive(Clone, Debug)]
pub struct Signature {
    /// In its scheme's one encoding.
    pub signature: Vec<u8>,
    /// The key that made it.
    pub public_key: PublicKey,
    /// The DER form, for ECDSA.
    pub signature_der: Option<Vec<u8>>,
    /// The Ethereum address, for `ecdsa-secp256k1`.
    pub address: Option<String>,
    /// The receipt of the intent that authorised it.
    pub receipt: Vec<u8>,
    /// Whether its holders made it by a protocol that nobody outside has reviewed. The signature is one like any other.
    pub experimental: bool,
}

impl Client {
    /// Has a message signed.
    pub async fn sign_message(&self, key: &str, message: &[u8]) -> Result<Signature, ClientError> {
        self.sign(&Order::message(key, message.to_vec())?).await
    }

    /// Has a SHA-256 digest signed; not with Ed25519 keys.
    pub async fn sign_digest(&self, key: &str, digest: &[u8; 32]) -> Result<Signature, ClientError> {
        self.sign(&Order::digest(key, digest)?).await
    }

    /// Has an order signed, within the client's deadline and as often as [`Client::with_tries`] allows.
    pub async fn sign(&self, order: &Order) -> Result<Signature, ClientError> {
        self.sign_until(order, Instant::now() + self.deadline).await
    }

    async fn sign_until(&self, order: &Order, until: Instant) -> Result<Signature, ClientError> {
        let answer = self.try_again(until, |left| async move {
            self.answer(self.signing().sign(self.request_within(order.request(0), left)).await)
        });
        believed(self, order, answer.await?)
    }

    /// Has orders signed in calls of up to 256; one result for each order, in their order. Those that may be tried again
    /// are tried again as often as [`Client::with_tries`] allows, within one more deadline for all of them; a call that fails
    /// as a whole fails all of them.
    pub async fn sign_batch(
        &self,
        orders: &[Order],
    ) -> Result<Vec<Result<Signature, ClientError>>, ClientError> {
        let mut results = Vec::with_capacity(orders.len());
        let mut left = orders;
        while !left.is_empty() {
            let (call, later) = left.split_at(call_len(left));
            results.extend(self.sign_chunk(call).await?);
            left = later;
        }
        let until = Instant::now() + self.deadline;
        for (order, result) in orders.iter().zip(&mut results) {
            let again = matches!(result, Err(error) if self.tries > 1 && error.pause(1).is_some());
            if again && Instant::now() < until {
                *result = self.sign_until(order, until).await;
            }
        }
        Ok(results)
    }

    async fn sign_chunk(&self, orders: &[Order]) -> Result<Vec<Result<Signature, ClientError>>, ClientError> {
        let answer = self.try_again(Instant::now() + self.deadline, |left| async move {
            let requests = (0..).zip(orders).map(|(tag, order)| order.request(tag)).collect();
            let request = self.request_within(SignBatchRequest { requests }, left);
            self.answer(self.signing().sign_batch(request).await)
        });
        let responses = answer.await?.responses;
        if responses.len() != orders.len() || !(0..).zip(&responses).all(|(tag, answer)| answer.tag == tag) {
            return Err(ClientError::Answer { what: "a batch's answers are not those of its orders" });
        }
        Ok(orders.iter().zip(responses).map(|(order, response)| signed(self, order, response)).collect())
    }

    /// The receipt must release exactly this signature of this key; returns the payload hash in it.
    pub(crate) fn check_receipt(
        &self,
        signature: &Signature,
        message: Option<&[u8]>,
    ) -> Result<Option<[u8; 32]>, ClientError> {
        let Some(verdict) = self.verdict(&signature.receipt, message)? else { return Ok(None) };
        if verdict.key_id() != Some(signature.public_key.id())
            || verdict.signature.as_ref() != Some(&signature.signature)
        {
            return Err(ClientError::ReceiptMismatch { what: "it releases another signature" });
        }
        Ok(verdict.payload_hash)
    }
}

/// How many of these orders go into the next call: 256, or fewer where they are long.
fn call_len(orders: &[Order]) -> usize {
    let mut bytes = 0;
    let fitting = orders.iter().take(BATCH_LEN_MAX).take_while(|order| {
        bytes += order.message_bytes().map_or(0, <[u8]>::len);
        bytes <= CALL_BYTES
    });
    fitting.count().max(1)
}

/// What a batch or stream says to an order.
fn signed(client: &Client, order: &Order, response: SignStreamResponse) -> Result<Signature, ClientError> {
    match response.result {
        Some(Answer::Signed(answer)) => believed(client, order, answer),
        Some(Answer::Refusal(refusal)) => Err(ClientError::Refused(Refusal {
            status: refusal.status,
            code: Code::from_name(&refusal.code),
            code_name: refusal.code,
            message: refusal.message,
            request_id: String::new(),
            retry: refusal.retry,
            retry_after_ms: refusal.retry.then_some(refusal.retry_after_ms),
        })),
        None => Err(ClientError::Answer { what: "it is empty" }),
    }
}

pub(crate) fn believed(
    client: &Client,
    order: &Order,
    answer: SignResponse,
) -> Result<Signature, ClientError> {
    let signature = parse(order.key(), answer)?;
    order.check(client, &signature)?;
    Ok(signature)
}

fn parse(asked: &str, answer: SignResponse) -> Result<Signature, ClientError> {
    let scheme = Scheme::from_name(&answer.scheme).ok_or(ClientError::Answer { what: "unknown scheme" })?;
    let Ok(public_key) = PublicKey::parse(scheme, &answer.public_key) else {
        return Err(ClientError::Answer { what: "the public key is malformed" });
    };
    let id = public_key.id();
    if answer.key_id.as_ref() != id.as_bytes() {
        return Err(ClientError::Answer { what: "key id and public key do not belong together" });
    }
    if let Ok(KeyName::Id(wanted)) = KeyName::parse(asked)
        && wanted != *id.as_bytes()
    {
        return Err(ClientError::Answer { what: "another key has signed" });
    }
    let (der, address) = (answer.signature_der.to_vec(), answer.address);
    Ok(Signature {
        signature: answer.signature.to_vec(),
        public_key,
        signature_der: (!der.is_empty()).then_some(der),
        address: (!address.is_empty()).then_some(address),
        receipt: answer.receipt.to_vec(),
        experimental: answer.experimental,
    })
}
