//! The engine and its stores in one binary: real engines over TCP, folders and buckets on which things go wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cluster;
#[path = "support/cluster.rs"]
mod cluster_support;
mod fuzz;
#[allow(dead_code, unreachable_pub, missing_docs)]
#[path = "../../core/tests/common/mutate.rs"]
mod mutate;
mod segments;
mod store;
mod strangers;
mod support;
