//! The edge of the face: requests are marked with their arrival, and what the gRPC library refuses before a verb is
//! reached gets a stable code too.

use std::time::Instant;

use keyward_domain::Code as Stable;
use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{Request, Response},
    transport::Server,
};
use tower::{
    layer::util::{Identity, Stack},
    util::{MapRequestLayer, MapResponseLayer},
};

use super::{MESSAGE_BYTES_MAX, status::Question};
use crate::failure::Failure;

type Mark = fn(Request<Body>) -> Request<Body>;
type Explain = fn(Response<Body>) -> Response<Body>;

/// A server whose every refusal carries a stable code.
pub(crate) type Coded = Server<Stack<MapResponseLayer<Explain>, Stack<MapRequestLayer<Mark>, Identity>>>;

/// When the head of a request was read: time-outs count from there, however slowly the rest comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived(pub(super) Instant);

/// Marks what comes in, and gives refusals their codes on their way out.
pub(crate) fn coded(server: Server) -> Coded {
    server.layer(MapRequestLayer::new(mark as Mark)).layer(MapResponseLayer::new(explain as Explain))
}

fn mark(mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(Arrived(Instant::now()));
    request
}

/// An answer that is nothing but a status holds it in its head.
fn explain(response: Response<Body>) -> Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok => explained("request", status).into_http(),
        _ => response,
    }
}

/// The status with a stable code; one that has it stays as it is.
pub(super) fn explained(verb: &'static str, status: Status) -> Status {
    if status.metadata().contains_key("keyward-code") {
        return status;
    }
    let failure = match status.code() {
        Code::OutOfRange => {
            let message = format!("the request has more than `{MESSAGE_BYTES_MAX}` bytes");
            Failure::because(Stable::MessageTooLarge, message, status)
        }
        // Our own failures have a code: this is the library on bytes that it cannot read.
        Code::Internal | Code::ResourceExhausted | Code::InvalidArgument => {
            Failure::because(Stable::RequestMalformed, "the request cannot be read", status)
        }
        Code::Unimplemented => {
            Failure::because(Stable::MethodUnknown, "there is no such method, or not so encoded", status)
        }
        _ => return status,
    };
    Question::new(verb).refuse(&failure)
}
