//! A projection of the ledger in PostgreSQL, for people who ask in SQL: its records for the supervised, and for each audit
//! grant what it opens, under a role of its own that sees nothing else. The same tables in a file of SQLite.
//!
//! Blocks come verified; what a grant opens is found by `kms/audit`. This room knows the SQL, and what keeps readers apart:
//! the page below says which walls there are, what they are for, and what they do not hold.
#![doc = include_str!("../SPEC.md")]

mod archive;
mod connect;
mod contents;
mod copy;
mod database;
mod error;
mod feed;
mod flood;
mod guard;
mod lease;
mod log;
mod projector;
mod readers;
mod reading;
mod renewal;
mod sample;
mod seen;
mod sqlite;
mod strangers;
mod table;
mod tables;
mod upkeep;
mod walls;

pub use archive::{Archive, Filed, Unfiled};
pub use database::{Database, Ledger};
pub use error::ProjectionError;
pub use feed::Feed;
pub use guard::Guard;
pub use log::Segment;
pub use projector::{Block, Projector};
pub use readers::{Bounds, Credentials, ReaderError};
pub use sample::{Answered, QUESTIONS, Question, Sample};
pub use seen::Seen;
pub use sqlite::SqliteFile;
