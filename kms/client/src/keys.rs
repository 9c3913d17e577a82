//! Keys: thin typed calls, receipts checked.

use keyward_domain::scheme::Scheme;
use keyward_proto::custody::{
    self, AuthorizeRequest, ChangeKeyRequest, CreateKeyRequest, Key, ListKeysRequest, ShowKeyRequest,
};

use crate::client::{Client, idempotency_key};
use crate::error::ClientError;

/// A key, and the receipt of what was done to it.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyWithReceipt {
    /// The key.
    pub key: Key,
    /// The receipt.
    pub receipt: Vec<u8>,
}

impl KeyWithReceipt {
    pub(crate) fn of(answer: custody::KeyWithReceipt) -> Result<Self, ClientError> {
        let key = answer.key.ok_or(ClientError::Answer { what: "the key is missing" })?;
        Ok(Self { key, receipt: answer.receipt.to_vec() })
    }
}

impl Client {
    /// Makes a hosted key of the calling app, inside the service.
    pub async fn create_app_key(&self, alias: &str, scheme: Scheme) -> Result<KeyWithReceipt, ClientError> {
        let message = CreateKeyRequest {
            alias: alias.to_owned(),
            scheme: scheme.name().to_owned(),
            idempotency_key: idempotency_key()?,
        };
        let made = KeyWithReceipt::of(self.answer(self.keys().create(self.request(message)).await)?)?;
        self.check_bound(&made.receipt, &made.key.public_key)?;
        Ok(made)
    }

    /// The keys that the caller may see.
    pub async fn list_keys(&self) -> Result<Vec<Key>, ClientError> {
        Ok(self.answer(self.keys().list(self.request(ListKeysRequest {})).await)?.keys)
    }

    /// One key, by alias or key id in hex.
    pub async fn show_key(&self, key: &str) -> Result<Key, ClientError> {
        self.answer(self.keys().show(self.request(ShowKeyRequest { key: key.to_owned() })).await)
    }

    /// Freezes a key: it signs no more.
    pub async fn freeze_key(&self, key: &str) -> Result<KeyWithReceipt, ClientError> {
        let message = ChangeKeyRequest { key: key.to_owned(), idempotency_key: idempotency_key()? };
        let changed = KeyWithReceipt::of(self.answer(self.keys().freeze(self.request(message)).await)?)?;
        self.check_entry(&changed.receipt, "freeze-key", &changed.key.key_id)?;
        Ok(changed)
    }

    /// Thaws a frozen key.
    pub async fn unfreeze_key(&self, key: &str) -> Result<KeyWithReceipt, ClientError> {
        let message = ChangeKeyRequest { key: key.to_owned(), idempotency_key: idempotency_key()? };
        let changed = KeyWithReceipt::of(self.answer(self.keys().unfreeze(self.request(message)).await)?)?;
        self.check_entry(&changed.receipt, "unfreeze-key", &changed.key.key_id)?;
        Ok(changed)
    }

    /// Lets an app sign with a person's key without a live session, until revoked.
    pub async fn authorize(&self, key: &str, app: &str) -> Result<Vec<u8>, ClientError> {
        let message = authorization(key, app)?;
        let receipt = self.answer(self.keys().authorize(self.request(message)).await)?.receipt;
        self.check_if_any(&receipt)
    }

    /// Takes that back.
    pub async fn revoke(&self, key: &str, app: &str) -> Result<Vec<u8>, ClientError> {
        let message = authorization(key, app)?;
        let receipt = self.answer(self.keys().revoke(self.request(message)).await)?.receipt;
        self.check_if_any(&receipt)
    }

    /// Authorisations may be kept by the service alone: then there is no receipt.
    fn check_if_any(&self, receipt: &[u8]) -> Result<Vec<u8>, ClientError> {
        if !receipt.is_empty() {
            self.verdict(receipt, None)?;
        }
        Ok(receipt.to_vec())
    }
}

fn authorization(key: &str, app: &str) -> Result<AuthorizeRequest, ClientError> {
    Ok(AuthorizeRequest { key: key.to_owned(), app: app.to_owned(), idempotency_key: idempotency_key()? })
}
