//! The keeper's part in closed address epochs: it holds a share of what opens them, and gives its part only to an opening that
//! the ledger has recorded, sealed to the grantee whom the ledger names.
//!
//! So t keepers open together what nobody opens alone, and none of them before everybody can see who asked. What they hold is
//! dealt by the person's side, which erases it afterwards; dealing it anew to other keepers is not this room's business.

mod deposit;
mod error;
mod face;
mod kept;
mod open;
mod place;
mod tend;

use std::path::Path;
use std::sync::Arc;

use keyward_crypto::KeyEncryptionKey;
use keyward_ledger_core::hash::Hash;

pub use error::ViewingError;
pub use face::ViewingFace;

use crate::{
    answered::Answered,
    chest::{Chest, Sweep},
    shares::SharesError,
};
use kept::Kept;

/// The folder of these shares below the keeper's.
const FOLDER: &str = "viewing";
/// Parts remembered at most, about 250 bytes each.
const PARTS_MAX: usize = 4_096;

/// What a keeper has of closed address epochs.
pub(crate) struct Viewing {
    pub(crate) store: Chest<Kept>,
    /// The last parts that were given.
    pub(crate) given: Answered,
    pub(crate) sweep: Sweep,
}

impl Viewing {
    pub(crate) fn open(
        folder: &Path,
        kek: Arc<dyn KeyEncryptionKey>,
        keeper: Hash,
    ) -> Result<Self, SharesError> {
        Ok(Self {
            store: Chest::open(&folder.join(FOLDER), kek, keeper)?,
            given: Answered::new(PARTS_MAX),
            sweep: Sweep::default(),
        })
    }
}
