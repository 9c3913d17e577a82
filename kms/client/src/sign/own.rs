//! Signing with a key of mode `self`: the service records the intent, this side signs its own message, the service
//! records the release.
//!
//! Nothing that the service hands over is signed: its answer names an intent, which the ledger's receipt proves to be
//! for this key and this very payload.

use std::time::Instant;

use keyward_crypto::SigningKey;
use keyward_ledger_verify::Opening;
use keyward_proto::custody::begin_response::Result as Begun;
use keyward_proto::custody::{FinishRequest, ToSign};

use super::{Order, Signature, believed};
use crate::client::{Client, bytes32};
use crate::error::ClientError;

impl Client {
    /// Signs an order with a key of this side, and has it recorded as the service's own signatures are. Within the
    /// client's deadline and as often as [`Client::with_tries`] allows; under the order's mark it is done once.
    pub async fn sign_own(&self, order: &Order, key: &SigningKey) -> Result<Signature, ClientError> {
        order.refuse_reserved()?;
        let until = Instant::now() + self.deadline;
        let begun = self.try_again(until, |left| async move {
            self.answer(self.signing().begin(self.request_within(order.request(0), left)).await)
        });
        let (answer, made) = match begun.await?.result {
            Some(Begun::Signed(answer)) => (answer, None),
            Some(Begun::ToSign(start)) => {
                let intent = self.check_start(order, key, &start)?;
                let made = order.signed_by(key)?;
                let finish = FinishRequest { intent: intent.to_vec().into(), signature: made.clone().into() };
                let finish = &finish;
                let answer = self.try_again(until, |left| async move {
                    self.answer(self.signing().finish(self.request_within(finish.clone(), left)).await)
                });
                (answer.await?, Some(made))
            }
            None => return Err(ClientError::Answer { what: "it is empty" }),
        };
        let signature = believed(self, order, answer)?;
        if signature.public_key != *key.public_key() {
            return Err(ClientError::Answer { what: "another key has signed" });
        }
        if made.is_some_and(|made| made != signature.signature) {
            return Err(ClientError::Answer { what: "it is another signature than the one made here" });
        }
        Ok(signature)
    }

    /// What was begun must be for this key, and the ledger must have recorded it for this payload. Gives the intent's id.
    fn check_start(&self, order: &Order, key: &SigningKey, start: &ToSign) -> Result<[u8; 32], ClientError> {
        let key_id = key.public_key().id();
        if start.key_id.as_ref() != key_id.as_bytes() {
            return Err(ClientError::Answer { what: "it is about another key" });
        }
        let (intent, r) = (bytes32("intent", &start.intent)?, bytes32("r", &start.r)?);
        let opening = Opening { r: &r, payload_hash: &order.payload_hash()? };
        self.check_intent(&start.receipt, &intent, &key_id, opening)?;
        Ok(intent)
    }
}
