//! A keeper of vault shares: it holds a share of many vaults, and the whole of none.
//!
//! It acts on final ledger state alone, which it asks for with proof: it takes a share that fits a sealing, answers an
//! attempt that the ledger granted, gives its part of a secret for an attempt that the ledger recorded as a success, and
//! erases what was sealed anew or destroyed. With the others it deals shares anew and gives lost ones back. So it does with
//! shares of keys, and of what opens closed address epochs. Whoever calls may lie about all but what the ledger proves.

mod agenda;
mod alive;
mod answer;
mod answered;
mod ask;
mod callers;
mod chest;
mod choice;
mod circle;
mod confer;
mod dealings;
mod deposit;
mod desk;
mod disk;
mod drill;
mod error;
mod face;
mod facts;
mod held;
mod keeper;
mod ledger;
mod looks;
mod place;
mod recent;
mod renew;
mod renewed;
mod repair;
mod room;
mod shared;
mod shares;
// Beside the tests of single keepers in one binary: both need all of a keeper's code, which takes long to build.
#[cfg(test)]
#[path = "../tests/simulation/main.rs"]
mod simulation;
mod successors;
mod tend;
#[cfg(test)]
mod tests;
mod turns;
mod viewing;
mod word;

pub use circle::{Circle, CircleError, Heard, Peers, REFRESH_INTERVAL, Refused};
pub use deposit::{EXPIRES_MAX_MS, PENDING_MAX, PENDING_MS, PENDING_OF_ACCOUNT_MAX};
pub use error::KeeperError;
pub use face::Face;
pub use held::HeldError;
pub use keeper::{Keeper, Keys, OpenError, STATE_AGE_MAX_MS};
pub use ledger::{Final, Ledger, LedgerError, Look, Pending, Validators};
pub use shared::{SharedError, SharedFace};
pub use shares::SharesError;
pub use tend::ROUND_PAUSE;
pub use viewing::{ViewingError, ViewingFace};
pub use word::Said;
