//! The custody service's durable memory: accounts, keys, intents and what is under way, behind one trait.
//!
//! What the rows mean is decided elsewhere; this room keeps them, atomically, and is the only one that knows
//! SQL. Secrets arrive sealed. [`Store`] is the promise and `tests/contract` holds every adapter to it;
//! [`Database`] keeps
//! it over SQLite and over PostgreSQL.

mod change;
mod database;
mod error;
mod location;
mod rows;
mod store;

pub use change::Change;
pub use database::Database;
pub use error::StoreError;
pub use location::{Location, LocationError, PostgresServer};
pub use rows::*;
pub use store::{Pending, Store};
