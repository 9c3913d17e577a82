//! The custody service's durable memory: accounts, keys, intents and what is under way, behind one trait.
//!
//! What the rows mean is decided elsewhere; this room keeps them, atomically, and is the only one that knows
//! SQL. Secrets arrive sealed. [`Store`] is the promise and `tests/contract` holds every adapter to it;
//! [`Sqlite`] is the embedded adapter.

mod error;
mod rows;
mod sqlite;
mod store;

pub use error::StoreError;
pub use rows::*;
pub use sqlite::Sqlite;
pub use store::{Pending, Store};
