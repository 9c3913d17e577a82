//! Failures on the wire: canonical status, stable code, request id, whether to retry, what to do next.

use keyward_domain::{Canonical, Code as Stable};
use tonic::{Code, Response, Status, metadata::MetadataValue};

use crate::failure::{Failure, chain};

/// One request, with the id that joins the caller's error and our log.
pub(super) struct Question {
    verb: &'static str,
}

impl Question {
    pub(super) fn new(verb: &'static str) -> Self {
        Self { verb }
    }

    pub(super) fn end<A>(self, result: Result<A, Failure>) -> Result<Response<A>, Status> {
        result.map(Response::new).map_err(|failure| self.refuse(&failure))
    }

    pub(super) fn refuse(&self, failure: &Failure) -> Status {
        let id = request_id();
        log(self.verb, &id, failure);
        let mut status = Status::new(code(failure.code), sentence(failure));
        let trailers = status.metadata_mut();
        trailers.insert("keyward-code", MetadataValue::from_static(failure.code.name()));
        if let Ok(id) = MetadataValue::try_from(&id) {
            trailers.insert("keyward-request-id", id);
        }
        let wait_ms = wait_ms(failure);
        let retry = if wait_ms.is_some() { "true" } else { "false" };
        trailers.insert("keyward-retry", MetadataValue::from_static(retry));
        if let Some(wait_ms) = wait_ms {
            trailers.insert("keyward-retry-after-ms", MetadataValue::from(wait_ms));
        }
        status
    }
}

/// How long to wait before the same request is tried again; nothing where that is no use.
fn wait_ms(failure: &Failure) -> Option<u32> {
    let known = failure.wait_ms.map(|wait_ms| u32::try_from(wait_ms).unwrap_or(u32::MAX));
    known.or_else(|| failure.code.retry_after_ms())
}

/// The error's own line in our log; secrets are in no error.
pub(super) fn log(verb: &str, id: &str, failure: &Failure) {
    let cause = failure.cause.as_deref().map(|cause| chain(cause)).unwrap_or_default();
    let (code, message) = (failure.code.name(), failure.message.as_str());
    match failure.code.canonical() {
        Canonical::Internal | Canonical::DataLoss => {
            tracing::error!(verb, id, code, message, cause, "failed")
        }
        _ => tracing::info!(verb, id, code, message, cause, "refused"),
    }
}

/// What the caller reads: what happened, then what to do.
pub(super) fn sentence(failure: &Failure) -> String {
    format!("{}: {}", failure.message, failure.code.remedy())
}

pub(super) fn code(code: Stable) -> Code {
    Code::from_i32(code.canonical().number())
}

/// 16 hex digits; only errors have one, so that good calls pay nothing for it.
pub(super) fn request_id() -> String {
    let mut bytes = [0; 8];
    // Without randomness the id is zeros: the error itself still reaches caller and log.
    let _filled = getrandom::fill(&mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}
