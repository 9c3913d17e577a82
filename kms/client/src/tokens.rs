//! Tokens attached to the service: thin typed calls.

use keyward_domain::scheme::Scheme;
use keyward_proto::custody::{LinkRequest, ListTokensRequest, Token};
use zeroize::Zeroizing;

use crate::client::{Client, idempotency_key};
use crate::error::ClientError;
use crate::keys::KeyWithReceipt;

/// Which key of which token to link.
pub struct Link {
    /// The token's label or serial.
    pub token: String,
    /// The key's label.
    pub key_label: String,
    /// Its `CKA_ID`, when the label is not unique; else empty.
    pub id: Vec<u8>,
    /// The scheme to sign with.
    pub scheme: Scheme,
    /// The alias to give.
    pub alias: String,
    /// The token agent that the token is attached to; empty: to the service.
    pub agent: String,
    /// The token's PIN; wiped on drop here, kept sealed by the service. Empty for a token at an agent.
    pub pin: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({} of {}, pin redacted)", self.key_label, self.token)
    }
}

impl Client {
    /// The tokens attached to the service.
    pub async fn list_tokens(&self) -> Result<Vec<Token>, ClientError> {
        Ok(self.answer(self.tokens().list(self.request(ListTokensRequest {})).await)?.tokens)
    }

    /// Binds a key that lives in a token; its private part stays there.
    pub async fn link(&self, link: Link) -> Result<KeyWithReceipt, ClientError> {
        let message = LinkRequest {
            token: link.token,
            key_label: link.key_label,
            id: link.id.into(),
            scheme: link.scheme.name().to_owned(),
            alias: link.alias,
            agent: link.agent,
            pin: link.pin.to_vec().into(),
            idempotency_key: idempotency_key()?,
        };
        let linked = KeyWithReceipt::of(self.answer(self.tokens().link(self.request(message)).await)?)?;
        self.check_bound(&linked.receipt, &linked.key.public_key)?;
        Ok(linked)
    }
}
