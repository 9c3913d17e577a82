//! What the gRPC faces of a keeper have in common: how many requests are under way, and what callers read of a refusal.

use std::sync::Arc;

use keyward_domain::{Code, Coded};
use tokio::sync::Semaphore;
use tonic::{Response, Status, metadata::MetadataValue};

use crate::error::KeeperError;

/// Requests under way at most at one face; more are told to come again.
const CALLS_MAX: usize = 256;

/// Why a keeper does not do what it is asked for.
pub(crate) trait Refusal: Coded + std::error::Error + 'static {
    /// What the caller reads: what happened, then what to do.
    fn status(&self) -> Status {
        status(self.code(), &self.to_string())
    }
}

impl Refusal for KeeperError {}

/// The requests to a face that are under way.
#[derive(Clone, Debug)]
pub(crate) struct Calls(Arc<Semaphore>);

impl Default for Calls {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CALLS_MAX)))
    }
}

impl Calls {
    /// Answers a request in its turn, or says why not.
    pub(crate) async fn answer<T, E: Refusal>(
        &self,
        verb: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<Response<T>, Status> {
        let Ok(_turn) = self.0.try_acquire() else {
            return Err(status(Code::ServiceBusy, "too many requests are under way"));
        };
        work.await.map(Response::new).map_err(|error| {
            match error.code() {
                Code::Internal => tracing::error!(verb, error = chain(&error), "failed"),
                code => tracing::info!(verb, code = code.name(), error = chain(&error), "refused"),
            }
            error.status()
        })
    }
}

pub(crate) fn status(code: Code, message: &str) -> Status {
    let canonical = tonic::Code::from_i32(code.canonical().number());
    let mut status = Status::new(canonical, format!("{message}: {}", code.remedy()));
    let trailers = status.metadata_mut();
    trailers.insert("keyward-code", MetadataValue::from_static(code.name()));
    let retry = if code.retry() { "true" } else { "false" };
    trailers.insert("keyward-retry", MetadataValue::from_static(retry));
    status
}

/// An error with its causes, for our log.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
