//! The keeper's part in keys that a user shares with keepers: it makes, uses, deals anew and gives back shares, and never has
//! more of a key than its own.
//!
//! What it does for a key stands on the ledger and is read there: who holds it, which device speaks for the user, which
//! intent allows which signature, under which approvals and policies. Messages of holders are held against the
//! cryptography's rules; whoever carries them is trusted with nothing.

mod begin;
mod error;
mod face;
mod generate;
mod kept;
mod lag;
mod multiply;
mod nonces;
pub(crate) mod permit;
pub(crate) mod plan;
mod refresh;
mod renew;
mod repair;
mod roster;
mod runs;
mod sign;
mod store;
mod tend;
mod word;

use std::path::Path;
use std::sync::Arc;

use keyward_crypto::{
    KeyEncryptionKey,
    shared::{Message, SharedScheme},
};
use keyward_ledger_core::hash::Hash;
use keyward_policies::Tenants;

pub use error::SharedError;
pub use face::SharedFace;
pub(crate) use generate::Generating;
pub(crate) use nonces::Commitments;
#[cfg(test)]
pub(crate) use runs::RUNS_OF_CALLER_MAX;
pub(crate) use runs::Runs;
pub(crate) use store::Store;
pub(crate) use word::{RefreshWord, VERSION};

use crate::chest::Sweep;
use crate::shares::SharesError;

/// The folder of these shares below the keeper's.
const FOLDER: &str = "shared";

/// What a keeper has of shared keys: shares on disk, runs in memory.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) generations: Runs<Generating>,
    /// Those of schemes whose holders agree on what they multiply with.
    pub(crate) long_generations: Runs<Generating>,
    pub(crate) commitments: Commitments,
    /// Held in the steps that multiply: whoever lies in one is banned before the next one.
    pub(crate) multiplying: Arc<tokio::sync::Mutex<()>>,
    /// What we handed out of a renewal or refresh, and of a repair.
    pub(crate) dealings: Runs<Message>,
    pub(crate) splits: Runs<Message>,
    pub(crate) policies: Tenants,
    pub(crate) sweep: Sweep,
}

impl Shared {
    pub(crate) fn open(
        folder: &Path,
        kek: Arc<dyn KeyEncryptionKey>,
        keeper: Hash,
        policies: Tenants,
    ) -> Result<Self, SharesError> {
        Ok(Self {
            store: Store::open(&folder.join(FOLDER), kek, keeper)?,
            generations: Runs::default(),
            long_generations: Runs::long(),
            commitments: Commitments::default(),
            multiplying: Arc::default(),
            dealings: Runs::default(),
            splits: Runs::default(),
            policies,
            sweep: Sweep::default(),
        })
    }

    /// The generations of keys of a scheme.
    pub(crate) const fn generations_of(&self, scheme: SharedScheme) -> &Runs<Generating> {
        if scheme.answers() { &self.long_generations } else { &self.generations }
    }
}
