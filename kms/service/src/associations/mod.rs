//! Associations: what parties sign is handed in, and what the ledger proves is shown.
//!
//! INVARIANT: nothing here decides who belongs to what. The ledger does, by the signatures and proofs in the entry; the service
//! asks for one who signed, in a session or with the certificate of the account, so that strangers fill no log.

mod entries;
mod show;
