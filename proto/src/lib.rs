//! The network's messages and services, generated from the .proto files beside this crate.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]

/// `keyward.ledger.v1`: the validators' face.
pub mod ledger {
    tonic::include_proto!("keyward.ledger.v1");
}

/// `keyward.v1`: the custody service's face.
pub mod custody {
    tonic::include_proto!("keyward.v1");
}

/// The encoded file descriptors, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
