//! Associations from the side of who belongs to them: addresses of several parties and chains that stand together.
//!
//! What the service shows is believed when it verifies against the client's own trust file. What several have to sign goes from
//! one to the next as a [`Petition`](crate::Petition); the address of another chain signs a text in its own wallet.

mod address;
mod check;
mod entry;
mod error;
mod export;
mod missing;
#[cfg(test)]
mod tests;
mod words;

pub use address::{AddressTextError, address_words, parse_address, parse_proof, proof_words};
pub use check::{Checked, Concern, Evidence, MemberEvidence, verify};
pub use entry::Shown;
pub use error::AssociationError;
pub use export::{Export, ExportError};
pub use keyward_ledger_core::address::{Address, AddressFormat, proof_text};
pub use keyward_ledger_core::entry::{AssociationAct, AssociationTerms, Member, Quorum};
pub use keyward_ledger_core::state::association::{AssociationState, MemberState};
pub use missing::{Missing, missing};
pub use words::{act_words, quorum_words};
