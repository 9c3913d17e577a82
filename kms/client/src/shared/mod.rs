//! Keys that a person shares with t of n keepers, from the person's side: made, used, dealt anew and repaired together, whole
//! nowhere.
//!
//! The service carries messages and hands entries in, and may lie in all of it. So keepers and their keys come from proven
//! state, an entry counts when its receipt verifies, a keeper's message when its signature and the protocol's own checks
//! hold, and a signature when it verifies under the key that the ledger has. The person's share is on the device, sealed
//! under the login, before the key is bound; what signing takes of randomness stays in memory and is used up by one share.
//! Without a trust file every call refuses.

mod ask;
mod back;
mod create;
mod devices;
mod entry;
mod error;
mod faults;
mod order;
mod part;
mod renew;
mod repair;
mod sign;
mod status;

pub use back::SharedBack;
pub use create::SharedOrder;
pub use devices::DeviceChange;
pub use error::{SharedError, SharedFault, SharedFaultCause};
pub use order::{Format, SharedSignOrder};
pub use renew::RenewOrder;
pub use sign::SharedSigner;
pub use status::SharedStatus;

/// What is being done, for those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedStep {
    /// What the service shows is held against the trust file.
    Proving,
    /// Every holder commits to its part, and the commitments are held against their proofs.
    Opening,
    /// An entry waits until it is final.
    Recording,
    /// Holders deal each other sealed pieces.
    Dealing,
    /// Holders agree with one another on what they multiply with (threshold ECDSA alone).
    Agreeing,
    /// Every keeper keeps its share and says of what.
    Confirming,
}

/// Where steps are told.
pub type SharedProgress<'a> = &'a (dyn Fn(SharedStep) + Sync);
