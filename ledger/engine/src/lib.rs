//! The consensus engine of the ledger: agreement, dissemination, catch-up and block storage, by
//! commonware (simplex and marshal). This is the only room that knows commonware.
//!
//! Blocks are opaque bytes with height, parent and digest ([`Format`]); the state machine is a boxed
//! [`Application`]; what is final lies in a [`Store`], for which [`Segments`] keeps append-only files. What
//! blocks mean, pools, RPC and verification for others are not its business.
//!
//! Votes are durable before they are sent, in a journal per epoch. An engine whose journal was lost or
//! rolled back refuses to vote ([`EngineError::VoteJournalLost`]), until it has a key that never voted.
mod adapter;
mod application;
mod block;
mod bridge;
mod certificate;
mod config;
mod convert;
mod disk;
mod early;
mod elector;
mod engine;
mod epochs;
mod files;
mod gossip;
mod journal;
mod node;
mod scout;
#[doc(hidden)]
pub mod seat;
mod segments;
mod store;
mod strict;
mod watch;

#[cfg(test)]
extern crate self as keyward_ledger_engine;
#[cfg(test)]
mod simulation;

pub use application::{
    Ancestors, Application, BoxFuture, EpochPlan, Event, Evidence, Fault, LeaderTerm, ProposeContext,
    SignedVote,
};
pub use block::{Block, BlockHeader, Format};
pub use certificate::{Certificate, CertificateError, SIGNERS_MAX};
pub use config::{ConsensusKey, EngineConfig, Floor, Peer, Role, Timing};
pub use disk::{DISK_REMEDY, EXIT_CODE_DISK, is_disk_error, probe_disk};
pub use engine::{EXIT_CODE_FAULT, Engine, EngineError, EngineHandle};
pub use files::damaged_files;
pub use gossip::Heard;
pub use journal::disown;
pub use scout::Scout;
pub use segments::{
    Bucket, BucketConfig, BucketError, BucketKey, ColdShare, Cooled, Damaged, Folder, Place, Reader,
    Recovery, Scrubbed, Segments, SegmentsConfig, Shelf, ShelfMark, Step,
};
pub use store::{Id, Kind, Store, StoreError};
