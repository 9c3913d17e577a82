//! Notices as HTTPS requests: one POST each, signed, never redirected.
//!
//! Headers: `keyward-notice` (the id), `keyward-timestamp` (Unix seconds), `keyward-signature: v1=` and the hex of
//! HMAC-SHA256 over `timestamp "." body` under the shared key. Whoever receives checks the signature, refuses old timestamps,
//! and takes an id that it has seen as delivered.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::Full;
use hyper::{Request, Uri, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::tls::Peer;
use crate::{
    config::{NoticesError, WebhookConfig},
    hex::hex,
    ports::{Courier, CourierError, Later, Letter, silent},
};

/// The shortest key, in bytes.
const KEY_BYTES_MIN: usize = 32;
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) struct Webhook {
    peer: Peer,
    authority: String,
    path: String,
    key: Zeroizing<Vec<u8>>,
}

impl Webhook {
    pub(crate) fn new(config: &WebhookConfig) -> Result<Self, NoticesError> {
        let invalid = || NoticesError::Url { url: config.url.clone() };
        let url: Uri = config.url.parse().map_err(|_unreadable| invalid())?;
        // An `@` would be a password in the configuration.
        let authority = url.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.filter(|_| url.scheme_str() == Some("https")).ok_or_else(invalid)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let peer = Peer::new(host, authority.port_u16().unwrap_or(443), &config.ca_pem)?;
        if config.key.len() < KEY_BYTES_MIN {
            return Err(NoticesError::Key { bytes: config.key.len(), min: KEY_BYTES_MIN });
        }
        let path = url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { peer, authority: authority.to_string(), path, key: config.key.clone() })
    }

    fn request(&self, letter: &Letter) -> Result<Request<Full<Bytes>>, CourierError> {
        let timestamp = letter.now_ms / 1000;
        let signature = sign(&self.key, timestamp, &letter.body)?;
        Request::post(&self.path)
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("keyward/", env!("CARGO_PKG_VERSION")))
            .header("keyward-notice", hex(&letter.id))
            .header("keyward-timestamp", timestamp)
            .header("keyward-signature", format!("v1={signature}"))
            .body(Full::new(Bytes::from(letter.body.clone())))
            .map_err(silent)
    }

    async fn post(&self, letter: &Letter) -> Result<(), CourierError> {
        let stream = self.peer.secure(self.peer.dial().await?).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(silent)?;
        let mut asked = pin!(sender.send_request(self.request(letter)?));
        // The connection is driven here and ends with the answer's head; nobody reads the body.
        let answer = tokio::select! {
            answer = &mut asked => answer,
            // It may have ended with the answer.
            _ended = connection => asked.await,
        };
        let answer = answer.map_err(silent)?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(CourierError::Refused { answer: format!("HTTP {}", answer.status().as_u16()) })
    }
}

impl Courier for Webhook {
    fn deliver(&self, letter: Letter) -> Later<'_, Result<(), CourierError>> {
        Box::pin(async move { timeout(ANSWER_TIMEOUT, self.post(&letter)).await.map_err(silent)? })
    }
}

fn sign(key: &[u8], timestamp: u64, body: &str) -> Result<String, CourierError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(silent)?;
    mac.update(format!("{timestamp}.{body}").as_bytes());
    Ok(hex(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_signature_is_that_of_rfc_4231_over_time_and_body() {
        // Computed with `openssl dgst -sha256 -hmac` over `1700000000.{}`.
        let signature = sign(b"01234567890123456789012345678901", 1_700_000_000, "{}").unwrap();
        assert_eq!(signature, "ecda773e6e53778bc980ea70b65b2e515c321182e61f5b116b8d8f3e49d2a854");
    }

    #[test]
    fn only_https_without_a_password_is_a_url() {
        for url in
            ["http://one.example/", "https://me:secret@one.example/", "one.example", "ftp://one.example", ""]
        {
            let config =
                WebhookConfig { url: url.into(), ca_pem: String::new(), key: Zeroizing::new(vec![1; 32]) };
            assert!(matches!(Webhook::new(&config), Err(NoticesError::Url { .. })), "{url}");
        }
    }
}
