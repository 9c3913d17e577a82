//! What callers of a keeper meet on the validator's port: the keeper, or the word that it is away.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use keyward_domain::Code;
use keyward_keeper::Face;
use keyward_proto::custody::keepers_server::KeepersServer;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::metadata::MetadataValue;
use tonic::server::NamedService;
use tonic::{Code as Canonical, Status};

/// A keeper's service.
pub(super) type Answering = KeepersServer<Face>;

/// The service of a keeper that comes and goes.
#[derive(Clone)]
pub(super) struct Gate(pub(super) watch::Receiver<Option<Answering>>);

impl NamedService for Gate {
    const NAME: &'static str = <Answering as NamedService>::NAME;
}

impl Service<http::Request<Body>> for Gate {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answering = self.0.borrow().clone();
        Box::pin(async move {
            match answering {
                Some(mut keeper) => keeper.call(request).await,
                None => Ok(away().into_http()),
            }
        })
    }
}

fn away() -> Status {
    let code = Code::KeeperUnavailable;
    let message = format!("the keeper beside this validator does not run now: {}", code.remedy());
    let mut status = Status::new(Canonical::from_i32(code.canonical().number()), message);
    let trailers = status.metadata_mut();
    trailers.insert("keyward-code", MetadataValue::from_static(code.name()));
    trailers.insert("keyward-retry", MetadataValue::from_static(if code.retry() { "true" } else { "false" }));
    status
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[tokio::test]
    async fn a_keeper_that_is_away_says_so_with_a_code_and_to_come_again() {
        let (_sender, answering) = watch::channel(None);
        let answer = Gate(answering).call(http::Request::new(Body::empty())).await.unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(status.code(), Canonical::Unavailable);
        assert_eq!(status.metadata().get("keyward-code").unwrap(), "KEEPER_UNAVAILABLE");
        assert_eq!(status.metadata().get("keyward-retry").unwrap(), "true");
    }
}
