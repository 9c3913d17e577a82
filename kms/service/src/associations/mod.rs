//! Associations: what persons sign is handed in, and what the ledger proves is shown.
//!
//! INVARIANT: nothing here decides who belongs to what. The ledger does, by the signatures and proofs in the entry; the service
//! asks for a session of one who signed so that strangers fill no log.

mod entries;
mod show;
