//! The token through its C function list, as an application loads it; and OpenSC beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(unsafe_code, reason = "these tests are a C caller")]

mod caller;
mod conventions;
mod faults;
mod hostile;
mod lifecycle;
mod mechanisms;
mod objects;
mod opensc;
mod pins;
mod processes;
mod rules;
mod sealed;
mod signatures;
mod steps;
mod wrapping;
mod wycheproof;
