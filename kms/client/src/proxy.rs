//! The way out through an HTTP proxy: a CONNECT tunnel (RFC 9110, section 9.3.6), with TLS to the service inside it.
//!
//! The proxy sees where the tunnel goes and how much passes; it cannot read or change it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::codegen::{Service, http::Uri};
use zeroize::Zeroizing;

/// How long the proxy may take to open the tunnel.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// The head of its answer at most.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// Why a tunnel was not opened.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Not the address of a proxy.
    #[error("`{0}` is not of the form `http://[user:password@]host:port`")]
    Address(String),
    /// A proxy that is itself reached over TLS.
    #[error(
        "the proxy `{0}` is reached over TLS, which is not supported: the tunnel is encrypted in any case"
    )]
    Tls(String),
    /// Nobody answers there.
    #[error("the proxy `{address}` does not answer")]
    Unreachable {
        /// The proxy.
        address: String,
        /// What the network said.
        #[source]
        source: std::io::Error,
    },
    /// No answer in time.
    #[error("the proxy `{0}` did not open the tunnel in time")]
    Late(String),
    /// It wants to know who we are.
    #[error("the proxy `{0}` wants a user name and password: `http://user:password@host:port`")]
    Credentials(String),
    /// It refuses.
    #[error("the proxy `{address}` refuses the tunnel to `{target}` with status {status}")]
    Refused {
        /// The proxy.
        address: String,
        /// Where to.
        target: String,
        /// What it answered.
        status: u16,
    },
    /// It does not speak HTTP.
    #[error("the proxy `{0}` answers with something that is not HTTP")]
    Answer(String),
}

/// An HTTP proxy.
#[derive(Clone)]
pub struct Proxy {
    /// `host:port`.
    address: String,
    /// The value of `Proxy-Authorization`.
    authorization: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({}, credentials redacted)", self.address)
    }
}

impl Proxy {
    /// Reads `http://[user:password@]host:port`; `host:port` alone will do.
    pub fn parse(text: &str) -> Result<Self, ProxyError> {
        // What is shown of a proxy that cannot be read: never its password.
        let shown = text.rsplit('@').next().unwrap_or_default().to_owned();
        let wrong = || ProxyError::Address(shown.clone());
        if text.starts_with("https://") {
            return Err(ProxyError::Tls(shown));
        }
        let rest = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, rest),
        };
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | '?' | '#' | '@');
        if host.is_empty() || !host.chars().all(plain) || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        let authorization = credentials.map(|credentials| {
            let credentials = Zeroizing::new(unescaped(credentials));
            Zeroizing::new(format!("Basic {}", Base64::encode_string(&credentials)))
        });
        Ok(Self { address: address.to_owned(), authorization })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Opens a tunnel to `target`, `host:port`.
    pub async fn tunnel(&self, target: &str) -> Result<TcpStream, ProxyError> {
        let address = || self.address.clone();
        let opened = timeout(CONNECT_DEADLINE, self.open(target)).await;
        opened.map_err(|_elapsed| ProxyError::Late(address()))?
    }

    async fn open(&self, target: &str) -> Result<TcpStream, ProxyError> {
        let failed = |source| ProxyError::Unreachable { address: self.address.clone(), source };
        let mut stream = TcpStream::connect(&self.address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let mut head = Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
        if let Some(authorization) = &self.authorization {
            head.push_str("Proxy-Authorization: ");
            head.push_str(authorization);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.map_err(failed)?;
        let answer = self.answer(&mut stream).await?;
        let status = status(&answer).ok_or_else(|| ProxyError::Answer(self.address.clone()))?;
        match status {
            200..=299 => Ok(stream),
            407 => Err(ProxyError::Credentials(self.address.clone())),
            status => {
                let (address, target) = (self.address.clone(), target.to_owned());
                Err(ProxyError::Refused { address, target, status })
            }
        }
    }

    /// The head of the answer, and not a byte more: what follows belongs to the tunnel.
    async fn answer(&self, stream: &mut TcpStream) -> Result<Vec<u8>, ProxyError> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= HEAD_BYTES_MAX {
                return Err(ProxyError::Answer(self.address.clone()));
            }
            let byte = stream.read_u8().await;
            head.push(
                byte.map_err(|source| ProxyError::Unreachable { address: self.address.clone(), source })?,
            );
        }
        Ok(head)
    }
}

/// `HTTP/1.x NNN ..`
fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    let version = words.next()?;
    let status = words.next().filter(|digits| digits.len() == 3)?;
    if version.starts_with("HTTP/1.") { status.parse().ok() } else { None }
}

/// `%41` is `A` in the credentials of a URL; anything else stays.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.split_first_chunk::<2>()).flatten();
        let value =
            escaped.and_then(|(digits, _)| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (value, escaped) {
            (Some(value), Some((_, after))) => {
                bytes.push(value);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

/// Connects through a proxy, where the library would connect by itself.
#[derive(Clone, Debug)]
pub(crate) struct Through(pub(crate) Proxy);

impl Service<Uri> for Through {
    type Response = TokioIo<TcpStream>;
    type Error = ProxyError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let proxy = self.0.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            let target = format!("{host}:{}", uri.port_u16().unwrap_or(443));
            proxy.tunnel(&target).await.map(TokioIo::new)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_proxy_has_a_host_and_a_port_and_perhaps_credentials() {
        for text in ["http://proxy.bank:3128", "http://proxy.bank:3128/", "proxy.bank:3128"] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!((proxy.address(), proxy.authorization.is_none()), ("proxy.bank:3128", true));
        }
        assert_eq!(Proxy::parse("http://[::1]:8080").unwrap().address(), "[::1]:8080");
        // RFC 7617, section 2.
        let proxy = Proxy::parse("http://Aladdin:open%20sesame@proxy:1").unwrap();
        assert_eq!(
            proxy.authorization.as_deref().map(String::as_str),
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        );
        assert_eq!(format!("{proxy:?}"), "Proxy(proxy:1, credentials redacted)");
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_showing_a_password() {
        for text in [
            "",
            "http://",
            "proxy",
            "http://proxy",
            "http://:1",
            "http://pro xy:1",
            "http://proxy:99999",
            "http://a:secret@proxy",
            "http://proxy:1\r\nX: y",
            "http://a/b:1",
        ] {
            let error = Proxy::parse(text).unwrap_err();
            assert!(matches!(error, ProxyError::Address(_)), "{text}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let error = Proxy::parse("https://a:secret@proxy:1").unwrap_err();
        assert!(matches!(&error, ProxyError::Tls(_)) && !error.to_string().contains("secret"));
    }

    #[test]
    fn only_an_http_answer_has_a_status() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407 Proxy Authentication Required\r\nX: y\r\n\r\n"), Some(407));
        for bad in [
            &b"SSH-2.0-x\r\n\r\n"[..],
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 20 \r\n\r\n",
            b"\r\n\r\n",
            b"\xff\r\n\r\n",
        ] {
            assert_eq!(status(bad), None);
        }
    }
}
