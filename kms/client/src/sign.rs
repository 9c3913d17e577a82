//! Signatures from the service: believed when they verify, and when their receipt does.

use keyward_domain::KeyName;
use keyward_domain::scheme::{PublicKey, Scheme, verify, verify_digest};
use keyward_proto::custody::sign_request::Payload;
use keyward_proto::custody::{SignRequest, SignResponse};

use crate::client::{Client, idempotency_key};
use crate::error::ClientError;

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
}

impl Client {
    /// Has a message signed.
    pub async fn sign_message(&self, key: &str, message: &[u8]) -> Result<Signature, ClientError> {
        let answer = self.sign(key, Payload::Message(message.to_vec().into())).await?;
        let signature = parse(key, answer)?;
        verify(&signature.public_key, message, &signature.signature).map_err(ClientError::Signature)?;
        self.check_receipt(&signature, Some(message))?;
        Ok(signature)
    }

    /// Has a SHA-256 digest signed; not with Ed25519 keys.
    pub async fn sign_digest(&self, key: &str, digest: &[u8; 32]) -> Result<Signature, ClientError> {
        let answer = self.sign(key, Payload::Digest(digest.to_vec().into())).await?;
        let signature = parse(key, answer)?;
        verify_digest(&signature.public_key, digest, &signature.signature).map_err(ClientError::Signature)?;
        match self.check_receipt(&signature, None)? {
            Some(payload_hash) if payload_hash != *digest => {
                Err(ClientError::ReceiptMismatch { what: "it is about another digest" })
            }
            _ => Ok(signature),
        }
    }

    async fn sign(&self, key: &str, payload: Payload) -> Result<SignResponse, ClientError> {
        let message = SignRequest {
            key: key.to_owned(),
            payload: Some(payload),
            idempotency_key: idempotency_key()?,
            tag: 0,
        };
        self.answer(self.signing().sign(self.request(message)).await)
    }

    /// The receipt must release exactly this signature of this key; returns the payload hash in it.
    fn check_receipt(
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
    })
}
