//! The way to the custody service: a client made from a profile, and its errors in words.

use std::error::Error;
use std::time::Duration;

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

/// The same client, which waits so many seconds for an answer if that is said.
pub(crate) fn waiting(client: Client, seconds: Option<u64>) -> Client {
    match seconds {
        Some(seconds) => client.with_deadline(Duration::from_secs(seconds)),
        None => client,
    }
}

/// An error of the client's side, which knows its stable code and what to do next.
pub(crate) trait Told: Error + Sized + 'static {
    /// The service's refusal or the trouble on the way to it, where it is nothing else.
    fn client(&self) -> Option<&ClientError>;
    fn code(&self) -> Option<&str>;
    fn remedy(&self) -> Option<&'static str>;
    /// Whether nobody could be reached.
    fn unreachable(&self) -> bool;
    /// What to do next where a code, which other rooms know as well, means something of its own here.
    fn next_for(_code: &str) -> Option<&'static str> {
        None
    }
}

/// Makes an error [`Told`] by its own methods: what of it is the client's, and words of a command's own for codes.
macro_rules! told {
    ($error:ty, $client:pat => $inner:ident $(, $next_for:expr)?) => {
        impl $crate::service::Told for $error {
            fn client(&self) -> Option<&keyward_client::ClientError> {
                if let $client = self { Some($inner) } else { None }
            }

            fn code(&self) -> Option<&str> {
                self.code()
            }

            fn remedy(&self) -> Option<&'static str> {
                self.remedy()
            }

            fn unreachable(&self) -> bool {
                self.unreachable()
            }
            $(
                fn next_for(code: &str) -> Option<&'static str> {
                    $next_for(code)
                }
            )?
        }
    };
}
pub(crate) use told;

impl Told for ClientError {
    fn client(&self) -> Option<&ClientError> {
        Some(self)
    }

    fn code(&self) -> Option<&str> {
        self.code()
    }

    fn remedy(&self) -> Option<&'static str> {
        self.remedy()
    }

    fn unreachable(&self) -> bool {
        self.unreachable()
    }
}

const AGAIN: &str = "try again; if it goes on, tell the operator";

/// Words for what the client says.
pub(crate) fn failed<E: Told>(what: &str) -> impl Fn(E) -> Failure + use<E> {
    let what = what.to_owned();
    move |error| {
        let mut failure = match error.client() {
            Some(error) => of_client(&what, error),
            None => {
                let exit = if error.unreachable() { Exit::Unreachable } else { Exit::Refused };
                let code = error.code().map(str::to_owned);
                let refused = Failure::refused(&what, error.remedy().unwrap_or(AGAIN));
                Failure { exit, code, ..refused.because(&error) }
            }
        };
        if let Some(next) = failure.code.as_deref().and_then(E::next_for) {
            next.clone_into(&mut failure.next);
        }
        failure
    }
}

fn of_client(what: &str, error: &ClientError) -> Failure {
    let remedy = error.remedy().unwrap_or(AGAIN);
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
        failed("cannot sign")(ClientError::Refused(refusal))
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
