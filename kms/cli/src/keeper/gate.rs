//! What callers of a keeper meet on the validator's port: the keeper, or the word that it is away.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use keyward_domain::Code;
use keyward_keeper::{Face, Keeper, SharedFace, ViewingFace};
use keyward_proto::custody::co_signers_server::CoSignersServer;
use keyward_proto::custody::keepers_server::KeepersServer;
use keyward_proto::custody::viewing_keepers_server::ViewingKeepersServer;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::metadata::MetadataValue;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::{Code as Canonical, Status};

/// A keeper's services: vaults, shared keys, and closed address epochs.
#[derive(Clone)]
pub(super) struct Answering {
    vaults: KeepersServer<Face>,
    keys: CoSignersServer<SharedFace>,
    epochs: ViewingKeepersServer<ViewingFace>,
}

impl Answering {
    pub(super) fn of(keeper: &Keeper) -> Self {
        Self {
            vaults: Face::service(keeper.clone()),
            keys: SharedFace::service(keeper.clone()),
            epochs: ViewingFace::service(keeper.clone()),
        }
    }
}

/// What stands on the port for a keeper that comes and goes.
pub(super) fn routes(answering: &watch::Receiver<Option<Answering>>) -> Routes {
    let vaults = Gate { answering: answering.clone(), part: |answering| answering.vaults.clone() };
    let keys = Gate { answering: answering.clone(), part: |answering| answering.keys.clone() };
    let epochs = Gate { answering: answering.clone(), part: |answering| answering.epochs.clone() };
    Routes::new(vaults).add_service(keys).add_service(epochs)
}

/// One service of a keeper that comes and goes.
struct Gate<S> {
    answering: watch::Receiver<Option<Answering>>,
    part: fn(&Answering) -> S,
}

impl<S> Clone for Gate<S> {
    fn clone(&self) -> Self {
        Self { answering: self.answering.clone(), part: self.part }
    }
}

impl<S: NamedService> NamedService for Gate<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Gate<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let part = self.answering.borrow().as_ref().map(self.part);
        Box::pin(async move {
            match part {
                Some(mut part) => part.call(request).await,
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
        for path in
            ["/keyward.v1.Keepers/Deposit", "/keyward.v1.CoSigners/Commit", "/keyward.v1.ViewingKeepers/Open"]
        {
            let request = http::Request::builder().uri(path).body(Body::empty()).unwrap();
            let answer = routes(&answering).call(request).await.unwrap();
            let status = Status::from_header_map(answer.headers()).unwrap();
            assert_eq!(status.code(), Canonical::Unavailable);
            assert_eq!(status.metadata().get("keyward-code").unwrap(), "KEEPER_UNAVAILABLE");
            assert_eq!(status.metadata().get("keyward-retry").unwrap(), "true");
        }
    }
}
