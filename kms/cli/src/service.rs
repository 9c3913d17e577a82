//! The way to the custody service: a connection, the kept session, and errors in words.

use std::time::Duration;

use keyward_domain::Code;
use keyward_proto::custody;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use crate::failure::{Exit, Failure, Result};
use crate::profile::Profile;

/// How long a connection may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long a call may take: the ledger's time-out and some more.
const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// Receipts of a full batch are longer than the default of 4 MiB.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Whose calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum As {
    /// The person who logged in, if somebody did, else the certificate's holder.
    Whoever,
    /// The certificate's holder.
    Certificate,
}

/// A connected service.
#[derive(Clone)]
pub(crate) struct Service {
    channel: Channel,
    address: String,
    session: Option<MetadataValue<Ascii>>,
    /// The person's name, if calls are made in their session.
    pub(crate) user_name: Option<String>,
}

impl Service {
    /// Connects with a profile's certificate, and its session if wanted and kept.
    pub(crate) async fn connect(profile: &Profile, whose: As) -> Result<Self> {
        let address = profile.file.service.clone();
        let channel = endpoint(profile)?.connect().await.map_err(|error| {
            let next = "see whether the service runs (`keyward up`) and the profile's address and certificate are its own";
            Failure::unreachable(format!("the service at `{address}` does not answer"), next).because(&error)
        })?;
        let kept = if whose == As::Whoever { profile.session()? } else { None };
        let (session, user_name) = match kept {
            Some(kept) => (Some(bearer(&kept.token()?)?), Some(kept.user_name.clone())),
            None => (None, None),
        };
        Ok(Self { channel, address, session, user_name })
    }

    /// A request with deadline and session.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(CALL_DEADLINE);
        if let Some(session) = &self.session {
            request.metadata_mut().insert("authorization", session.clone());
        }
        request
    }

    /// Words for a refusal.
    pub(crate) fn refused(&self, what: &str) -> impl FnOnce(Status) -> Failure + use<> {
        let (what, address) = (what.to_owned(), self.address.clone());
        move |status| of_status(&what, &address, &status)
    }

    #[expect(dead_code, reason = "for the flows of accounts")]
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn keys(&self) -> custody::keys_client::KeysClient<Channel> {
        custody::keys_client::KeysClient::new(self.channel.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    pub(crate) fn signing(&self) -> custody::signing_client::SigningClient<Channel> {
        custody::signing_client::SigningClient::new(self.channel.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    pub(crate) fn tokens(&self) -> custody::tokens_client::TokensClient<Channel> {
        custody::tokens_client::TokensClient::new(self.channel.clone())
    }

    pub(crate) fn accounts(&self) -> custody::accounts_client::AccountsClient<Channel> {
        custody::accounts_client::AccountsClient::new(self.channel.clone())
    }

    pub(crate) fn admin(&self) -> custody::admin_client::AdminClient<Channel> {
        custody::admin_client::AdminClient::new(self.channel.clone())
    }
}

fn endpoint(profile: &Profile) -> Result<Endpoint> {
    let (ca, certificate, key) = profile.identity()?;
    let wrong = |error: tonic::transport::Error| {
        Failure::usage("the profile's address or certificates cannot be used", "correct the profile")
            .because(&error)
    };
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(ca))
        .identity(Identity::from_pem(certificate, key.as_bytes()));
    let endpoint = Endpoint::from_shared(profile.file.service.clone()).map_err(wrong)?;
    let endpoint = endpoint.tls_config(tls).map_err(wrong)?;
    Ok(endpoint.connect_timeout(CONNECT_DEADLINE).tcp_nodelay(true))
}

fn bearer(token: &[u8]) -> Result<MetadataValue<Ascii>> {
    let text = zeroize::Zeroizing::new(format!("Bearer {}", *zeroize::Zeroizing::new(hex::encode(token))));
    let mut value: MetadataValue<Ascii> = text.as_str().parse().map_err(|error| {
        Failure::refused("the kept session is malformed", "log in again (`keyward account login`)")
            .because(&error)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a status is to the caller.
pub(crate) fn of_status(what: &str, address: &str, status: &Status) -> Failure {
    let trailer =
        |name: &str| status.metadata().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let Some(name) = trailer("keyward-code") else { return without_code(what, address, status) };
    let code = Code::from_name(&name);
    let remedy = code.map_or("look the code up in the service's documents", Code::remedy);
    // The message ends with the remedy; it stands in its own line.
    let message = status
        .message()
        .trim_end_matches('.')
        .trim_end_matches(remedy)
        .trim_end_matches([' ', ';', ':', ',']);
    let mut failure = Failure::refused(what, remedy);
    failure.causes.push(message.to_owned());
    if status.code() == tonic::Code::Unavailable {
        failure.exit = Exit::Unreachable;
    }
    failure.code = Some(name);
    failure.request = trailer("keyward-request-id");
    failure
}

/// Nobody of ours said this: the connection broke, or TLS ended it.
fn without_code(what: &str, address: &str, status: &Status) -> Failure {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    if text.contains("received fatal alert") {
        let what = format!("{what}: the service at `{address}` refused our certificate ({text})");
        return Failure::unreachable(
            what,
            "use a profile whose certificate is from the service's own authority",
        );
    }
    match status.code() {
        tonic::Code::Unavailable
        | tonic::Code::Unknown
        | tonic::Code::Cancelled
        | tonic::Code::DeadlineExceeded => {
            let what = format!("{what}: the service at `{address}` does not answer ({text})");
            Failure::unreachable(what, "see whether the service runs, then try again")
        }
        code => Failure::refused(format!("{what}: {text} ({code:?})"), "see the service's log"),
    }
}

/// A fresh mark on a write: a call that is repeated by the transport is done once.
pub(crate) fn idempotency_key() -> Result<Vec<u8>> {
    Ok(crate::sealed::random32()?.iter().copied().take(16).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_coded_status_brings_cause_and_remedy_apart() {
        let mut status =
            Status::failed_precondition(format!("key `a` is frozen; {}", Code::KeyFrozen.remedy()));
        status.metadata_mut().insert("keyward-code", "KEY_FROZEN".parse().unwrap());
        status.metadata_mut().insert("keyward-request-id", "abc".parse().unwrap());
        let failure = of_status("cannot sign", "https://x", &status);
        assert_eq!(failure.message(), "cannot sign: key `a` is frozen");
        assert_eq!((failure.exit, failure.next.as_str()), (Exit::Refused, Code::KeyFrozen.remedy()));
        assert_eq!(failure.request.as_deref(), Some("abc"));
    }

    #[test]
    fn an_unavailable_ledger_and_a_silent_service_are_unreachable() {
        let mut status = Status::unavailable("no quorum");
        assert_eq!(of_status("x", "https://x", &status).exit, Exit::Unreachable);
        status.metadata_mut().insert("keyward-code", "LEDGER_UNAVAILABLE".parse().unwrap());
        assert_eq!(of_status("x", "https://x", &status).exit, Exit::Unreachable);
    }
}
