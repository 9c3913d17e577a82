//! What opens closed address epochs, dealt to keepers: t of n of them open a run of epochs to a grantee, and nobody alone.
//!
//! An account that holds its address root itself deals the viewing cover of epochs that are over ([`deal`]) and erases them
//! ([`crate::unlinkable::PuncturedViewing`]). A keeper checks and keeps its share ([`ViewingShare`]), and gives it, sealed to the
//! grantee, to an opening that it has seen final. The grantee holds each part against the commitments ([`Gathering`]). When
//! something may be opened is the ledger's to say. The bytes are in SPEC.md.

mod dealing;
mod errors;
mod gathering;
mod share;

pub use dealing::{Dealing, DealingPlan, deal};
pub use errors::{DealingError, GatheringError, PartError, ViewingShareError};
pub use gathering::Gathering;
pub use share::{Opening, ViewingShare};

#[cfg(test)]
mod tests;
