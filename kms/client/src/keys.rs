//! Keys: thin typed calls, receipts checked.

use keyward_domain::{Labels, scheme::Scheme};
use keyward_proto::custody::{
    self, AuthorizeRequest, ChangeKeyRequest, CreateKeyRequest, ExportKeyRequest, ExportKeyResponse, Key,
    ListKeysRequest, RotateKeyRequest, RotateToToken, ScheduleDestructionRequest, SetLabelsRequest,
    ShowKeyRequest, rotate_key_request::To,
};
use zeroize::Zeroizing;

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

/// Which keys to find; every part that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct KeySearch {
    /// Of one account.
    pub account: Option<[u8; 32]>,
    /// In one state, by its word; empty: in any.
    pub state: String,
    /// With a label of this key and value.
    pub label: Option<(String, String)>,
    /// With an alias that begins so.
    pub alias_prefix: String,
    /// Of one scheme.
    pub scheme: Option<Scheme>,
    /// Superseded and destroyed ones too.
    pub all_versions: bool,
}

/// Which key of which token takes over.
pub struct RotateTo {
    /// The token's label or serial.
    pub token: String,
    /// The key's label.
    pub key_label: String,
    /// Its `CKA_ID`, when the label is not unique; else empty.
    pub id: Vec<u8>,
    /// The token agent that the token is attached to; empty: to the service.
    pub agent: String,
    /// The token's PIN; empty for the token of the present version, and for a token at an agent.
    pub pin: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for RotateTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RotateTo({} of {}, pin redacted)", self.key_label, self.token)
    }
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

    /// The keys that the caller may see, without superseded and destroyed ones.
    pub async fn list_keys(&self) -> Result<Vec<Key>, ClientError> {
        self.search_keys(&KeySearch::default()).await
    }

    /// The keys that the caller may see and that fit, by account, alias and version.
    pub async fn search_keys(&self, search: &KeySearch) -> Result<Vec<Key>, ClientError> {
        let (label_key, label_value) = search.label.clone().unwrap_or_default();
        let mut message = ListKeysRequest {
            account: search.account.map(|account| account.to_vec()).unwrap_or_default().into(),
            state: search.state.clone(),
            label_key,
            label_value,
            alias_prefix: search.alias_prefix.clone(),
            scheme: search.scheme.map(|scheme| scheme.name().to_owned()).unwrap_or_default(),
            all_versions: search.all_versions,
            ..Default::default()
        };
        let mut keys = Vec::new();
        loop {
            let page = self.answer(self.keys().list(self.request(message.clone())).await)?;
            keys.extend(page.keys);
            if page.next_page_token.is_empty() {
                break;
            }
            // Tokens ascend, so that the pages end whatever the service says.
            if page.next_page_token <= message.page_token {
                return Err(ClientError::Answer { what: "the pages of keys go backwards" });
            }
            message.page_token = page.next_page_token;
        }
        keys.sort_by(|a, b| (&a.account, &a.alias, a.version).cmp(&(&b.account, &b.alias, b.version)));
        Ok(keys)
    }

    /// One key, by alias, alias and version, or key id in hex.
    pub async fn show_key(&self, key: &str) -> Result<Key, ClientError> {
        self.answer(self.keys().show(self.request(ShowKeyRequest { key: key.to_owned() })).await)
    }

    /// A public key in a form that other programs read: text in UTF-8, or DER. An empty network is the main one.
    pub async fn export_key(
        &self,
        key: &str,
        format: &str,
        network: &str,
    ) -> Result<ExportKeyResponse, ClientError> {
        let message =
            ExportKeyRequest { key: key.to_owned(), format: format.to_owned(), network: network.to_owned() };
        self.answer(self.keys().export(self.request(message)).await)
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

    /// Rotates a hosted key of an app: its next version is made inside the service.
    pub async fn rotate_app_key(&self, key: &str) -> Result<KeyWithReceipt, ClientError> {
        self.rotate(key, None).await
    }

    /// Rotates a linked key to another key of a token.
    pub async fn rotate_to_token(&self, key: &str, to: RotateTo) -> Result<KeyWithReceipt, ClientError> {
        let RotateTo { token, key_label, id, agent, pin } = to;
        let pin = pin.to_vec().into();
        let to = RotateToToken { token, key_label, id: id.into(), pin, agent };
        self.rotate(key, Some(To::Token(to))).await
    }

    async fn rotate(&self, key: &str, to: Option<To>) -> Result<KeyWithReceipt, ClientError> {
        let before = self.show_key(key).await?;
        let message = RotateKeyRequest { key: key.to_owned(), idempotency_key: idempotency_key()?, to };
        let rotated = KeyWithReceipt::of(self.answer(self.keys().rotate(self.request(message)).await)?)?;
        self.check_rotated(&rotated.receipt, &before.key_id, &rotated.key.public_key)?;
        Ok(rotated)
    }

    /// Starts the waiting period before a key is destroyed; 0 is the service's shortest one.
    pub async fn schedule_destruction(&self, key: &str, wait_ms: u64) -> Result<KeyWithReceipt, ClientError> {
        let message =
            ScheduleDestructionRequest { key: key.to_owned(), wait_ms, idempotency_key: idempotency_key()? };
        let answer = self.answer(self.keys().schedule_destruction(self.request(message)).await)?;
        let changed = KeyWithReceipt::of(answer)?;
        self.check_scheduled(&changed.receipt, &changed.key.key_id, wait_ms)?;
        Ok(changed)
    }

    /// Takes a scheduled destruction back.
    pub async fn cancel_destruction(&self, key: &str) -> Result<KeyWithReceipt, ClientError> {
        let message = ChangeKeyRequest { key: key.to_owned(), idempotency_key: idempotency_key()? };
        let answer = self.answer(self.keys().cancel_destruction(self.request(message)).await)?;
        let changed = KeyWithReceipt::of(answer)?;
        self.check_entry(&changed.receipt, "cancel-destroy-key", &changed.key.key_id)?;
        Ok(changed)
    }

    /// Sets and removes labels of a key.
    pub async fn set_labels(
        &self,
        key: &str,
        set: &Labels,
        remove: &[String],
    ) -> Result<KeyWithReceipt, ClientError> {
        let message = SetLabelsRequest {
            key: key.to_owned(),
            set: set.clone().into_iter().collect(),
            remove: remove.to_vec(),
            idempotency_key: idempotency_key()?,
        };
        let changed = KeyWithReceipt::of(self.answer(self.keys().set_labels(self.request(message)).await)?)?;
        self.check_kind(&changed.receipt, "note")?;
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
