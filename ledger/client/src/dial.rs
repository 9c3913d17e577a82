//! How a connection to a validator is opened where it is not straight: through a tunnel that somebody else opens.
//!
//! TLS to the validator runs inside, so whoever carries the tunnel sees only where it goes.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::codegen::{Service, http::Uri};

/// What opening a connection gives.
pub type Dialled<'a> =
    Pin<Box<dyn Future<Output = Result<TcpStream, Box<dyn Error + Send + Sync>>> + Send + 'a>>;

/// Opens connections.
pub trait Dial: fmt::Debug + Send + Sync {
    /// A connection to `host`, without the brackets of an IPv6 address, and `port`.
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialled<'a>;
}

/// The library's connector.
#[derive(Clone, Debug)]
pub(crate) struct Through(pub(crate) Arc<dyn Dial>);

impl Service<Uri> for Through {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dial = self.0.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
            let stream = dial.dial(host, uri.port_u16().unwrap_or(443)).await?;
            Ok(TokioIo::new(stream))
        })
    }
}
