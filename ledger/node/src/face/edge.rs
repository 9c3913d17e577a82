//! The edge of the face: what the gRPC library refuses before a call is reached gets a stable code too.

use tonic::{Code, Status, body::Body, codegen::http::Response, transport::Server};
use tower::{
    layer::util::{Identity, Stack},
    util::MapResponseLayer,
};

use crate::{
    refusal::{CODE_TRAILER, Refusal},
    serve::REQUEST_BYTES_MAX,
};

type Explain = fn(Response<Body>) -> Response<Body>;

/// A server whose every refusal carries a stable code.
pub(crate) fn coded(server: Server) -> Server<Stack<MapResponseLayer<Explain>, Identity>> {
    server.layer(MapResponseLayer::new(explain as Explain))
}

/// An answer that is nothing but a status holds it in its head.
fn explain(response: Response<Body>) -> Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok => explained(status).into_http(),
        _ => response,
    }
}

/// The status with a stable code; one that has it stays as it is.
fn explained(status: Status) -> Status {
    if status.metadata().contains_key(CODE_TRAILER) {
        return status;
    }
    match status.code() {
        Code::OutOfRange => {
            Refusal::RequestTooLong.status(format!("a request has at most {REQUEST_BYTES_MAX} bytes"))
        }
        // Our own failures have a code: this is the library on bytes that it cannot read.
        Code::Internal | Code::InvalidArgument | Code::ResourceExhausted => {
            Refusal::RequestMalformed.status("the request cannot be read")
        }
        Code::Unimplemented => Refusal::MethodUnknown.status("there is no such method, or not so encoded"),
        _ => status,
    }
}
