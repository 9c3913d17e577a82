//! The way to the custody service: a client made from a profile, and its errors in words.

use std::error::Error as _;

use keyward_client::{Client, ClientError, Connection, Identity};

use crate::failure::{Exit, Failure, Result};
use crate::files;
use crate::profile::Profile;

/// Whose calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum As {
    /// The person who logged in, if somebody did, else the certificate's holder.
    Whoever,
    /// The certificate's holder.
    Certificate,
}

impl As {
    /// From the flag `--as-certificate`.
    pub(crate) const fn of(as_certificate: bool) -> Self {
        if as_certificate { Self::Certificate } else { Self::Whoever }
    }
}

/// A connected service.
pub(crate) struct Service {
    pub(crate) client: Client,
    /// Whether calls are made in a person's session.
    pub(crate) person: bool,
}

/// Connects with a profile's certificate and trust file, and with its session if wanted and kept.
pub(crate) async fn connect(profile: &Profile, whose: As) -> Result<Service> {
    let (ca_pem, certificate_pem, key_pem) = profile.identity()?;
    let trust = files::read(&profile.path(&profile.file.trust))?;
    let wrong = failed("cannot use the profile");
    let mut servers = std::iter::once(&profile.file.service).chain(&profile.file.more_services).peekable();
    let client = loop {
        let Some(address) = servers.next() else {
            return Err(Failure::usage("the profile names no service", "correct the profile"));
        };
        let identity = Identity { certificate_pem: certificate_pem.clone(), key_pem: key_pem.clone() };
        let connection =
            Connection { address: address.clone(), ca_pem: ca_pem.clone(), identity: Some(identity) };
        match Client::connect_through(&connection, profile.proxy()?.as_ref()).await {
            Ok(client) => break client,
            // Nothing was sent: another server of the same service is as good.
            Err(error) if error.unreachable() && servers.peek().is_some() => {
                tracing::info!(address, %error, "not reached: the next server is asked");
            }
            Err(error) => return Err(failed("cannot reach the service")(error)),
        }
    };
    let client = client.with_trust(&trust).map_err(&wrong)?;
    let kept = if whose == As::Whoever { profile.session()? } else { None };
    let Some(kept) = kept else { return Ok(Service { client, person: false }) };
    let client = client.with_session(kept.token()?.as_ref()).map_err(&wrong)?.with_account(kept.account()?);
    Ok(Service { client, person: true })
}

/// Words for what the client says.
pub(crate) fn failed(what: &str) -> impl Fn(ClientError) -> Failure + use<> {
    let what = what.to_owned();
    move |error| failure(&what, &error)
}

fn failure(what: &str, error: &ClientError) -> Failure {
    let remedy = error.remedy().unwrap_or("try again; if it goes on, tell the operator");
    let mut failure = Failure::refused(what, remedy);
    // The service's message ends with the remedy; it stands in its own line.
    let said = error.to_string();
    let said =
        said.trim_end_matches('.').trim_end_matches(remedy).trim_end_matches([' ', ';', ':', ',', '.']);
    failure.causes.push(said.to_owned());
    if let Some(source) = error.source() {
        failure = failure.because(source);
    }
    if error.unreachable() {
        failure.exit = Exit::Unreachable;
    }
    failure.code = error.code().map(str::to_owned);
    if let ClientError::Refused(refusal) = error {
        failure.request = Some(refusal.request_id.clone()).filter(|id| !id.is_empty());
    }
    failure
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_client::Refusal;
    use keyward_domain::Code;

    use super::*;

    fn refused(code: Code, message: String) -> Failure {
        let refusal = Refusal {
            status: code.canonical().number(),
            code: Some(code),
            code_name: code.name().to_owned(),
            message,
            request_id: "abc".into(),
            retry: code.retry(),
            retry_after_ms: code.retry_after_ms(),
        };
        failure("cannot sign", &ClientError::Refused(refusal))
    }

    #[test]
    fn a_refusal_brings_cause_and_remedy_apart() {
        let failure = refused(Code::KeyFrozen, format!("key `a` is frozen; {}", Code::KeyFrozen.remedy()));
        assert_eq!(failure.message(), "cannot sign: key `a` is frozen");
        assert_eq!((failure.exit, failure.next.as_str()), (Exit::Refused, Code::KeyFrozen.remedy()));
        assert_eq!((failure.code.as_deref(), failure.request.as_deref()), (Some("KEY_FROZEN"), Some("abc")));
    }

    #[test]
    fn an_unavailable_ledger_is_unreachable() {
        assert_eq!(refused(Code::LedgerUnavailable, "no quorum".into()).exit, Exit::Unreachable);
    }
}
