//! The split-key vault: a secret that a password and t of n keepers open together, and nobody alone.
//!
//! Sans-IO: bytes in, bytes out. Who may attempt when is the ledger's to say; what is sealed, kept and carried is the
//! callers' business. What each party does: [`VaultDraft`] (the user seals), [`KeeperShare`] (a keeper checks,
//! evaluates, releases), [`Recovery`] (the user comes back), [`Renewal`] (keepers deal shares anew), [`Repair`] (keepers give
//! one of them its lost share back). The bytes are in SPEC.md.

mod answers;
mod contents;
mod draft;
mod drill;
mod facts;
pub(crate) mod group;
mod handout;
mod keeper;
mod keys;
mod oprf;
mod parts;
mod recovery;
mod renewal;
mod repair;
mod share;
pub(crate) mod sharing;

pub use crate::hpke_box::{BoxError, BoxKey};
pub use answers::{Answered, Evidence};
pub use contents::{
    CIPHERTEXT_BYTES_MAX, ContentsError, VAULTED_KEYS_MAX, VAULTED_SECRET_BYTES_MAX, VaultedKey,
    ciphertext_hash,
};
pub use draft::{DraftError, VaultDraft, VaultPlan};
pub use drill::{DrillAnswer, DrillError, verify_drill};
pub use facts::{FactsError, ShareSet, Vault, VaultFacts, VaultKeeper, VaultMode, VaultStretch};
pub use group::{ELEMENT_BYTES, GroupError};
pub(crate) use handout::signed;
pub use handout::{Dealing, Handout};
pub use keeper::{Grant, KeeperError, element_hash};
pub use keys::VaultKeyError;
pub use oprf::{Evaluation, OprfError, PROOF_BYTES};
pub use recovery::{AnswerError, AttemptRequest, Evaluating, Proven, Recovery, RecoveryError};
pub use renewal::{Agreed, Renewal, RenewalError};
pub use repair::{Repair, RepairError, RepairSum};
pub use share::{Complaint, KeeperShare};
pub use sharing::{KEEPERS_MAX, SharingError, THRESHOLD_MIN};

#[cfg(test)]
mod tests;
