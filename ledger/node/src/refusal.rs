//! What the node's face refuses, with a stable code that callers may act on.

use tonic::{Code, Status, metadata::MetadataValue};

/// Trailer that carries the stable code.
pub const CODE_TRAILER: &str = "keyward-code";
/// Trailer that says whether the same request may succeed later: `true` or `false`.
pub const RETRY_TRAILER: &str = "keyward-retry";

macro_rules! refusals {
    ($($variant:ident $code:literal $status:ident $retry:literal,)*) => {
        /// A refusal of the ledger's face.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Refusal { $($variant,)* }

        impl Refusal {
            const fn facts(self) -> (&'static str, Code, bool) {
                match self { $(Self::$variant => ($code, Code::$status, $retry),)* }
            }
        }
    };
}

refusals! {
    BatchMalformed "BATCH_MALFORMED" InvalidArgument false,
    BatchSignature "BATCH_SIGNATURE_INVALID" Unauthenticated false,
    BatchRefused "BATCH_REFUSED" FailedPrecondition false,
    WrongChain "WRONG_CHAIN" InvalidArgument false,
    SubmitterUnknown "SUBMITTER_UNKNOWN" PermissionDenied false,
    SequenceConflict "SEQUENCE_CONFLICT" AlreadyExists false,
    SequenceTooOld "SEQUENCE_TOO_OLD" FailedPrecondition false,
    SequenceTooFar "SEQUENCE_TOO_FAR" FailedPrecondition false,
    BatchExpired "BATCH_EXPIRED" FailedPrecondition false,
    PoolFull "POOL_FULL" ResourceExhausted true,
    NotFinal "NOT_FINAL" DeadlineExceeded true,
    Stopping "STOPPING" Unavailable true,
    NoCertificate "NO_CERTIFICATE_YET" Unavailable true,
    RequestMalformed "REQUEST_MALFORMED" InvalidArgument false,
    RequestTooLong "REQUEST_TOO_LONG" OutOfRange false,
    MethodUnknown "METHOD_UNKNOWN" Unimplemented false,
    ReadNotAllowed "READ_NOT_ALLOWED" PermissionDenied false,
    StreamsFull "STREAMS_FULL" ResourceExhausted true,
    LookUpBusy "LOOK_UP_BUSY" ResourceExhausted true,
    RecordUnknown "RECORD_UNKNOWN" NotFound false,
    BelowFloor "HEIGHT_BELOW_FLOOR" DataLoss false,
    HeightUnknown "HEIGHT_UNKNOWN" NotFound false,
    CheckpointUnknown "CHECKPOINT_UNKNOWN" NotFound true,
    StoreFailed "STORE_FAILED" DataLoss true,
}

impl Refusal {
    /// The gRPC status: the message says what happened, the trailers carry the code and whether to retry.
    pub(crate) fn status(self, message: impl Into<String>) -> Status {
        let (code, status, retry) = self.facts();
        let mut answer = Status::new(status, message);
        answer.metadata_mut().insert(CODE_TRAILER, MetadataValue::from_static(code));
        answer
            .metadata_mut()
            .insert(RETRY_TRAILER, MetadataValue::from_static(if retry { "true" } else { "false" }));
        answer
    }
}
