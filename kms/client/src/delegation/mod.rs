//! Delegates from the side of the persons: who appoints, who is appointed, and who has lost everything.
//!
//! Nothing that the service shows is believed that does not verify against the client's own trust file, and every entry is
//! signed here. What several delegates have to sign goes from one to the next as a [`Request`], and who
//! changes it makes it worthless. Who is asked to sign one compares its [`Request::fingerprint`] with the person who made it,
//! by voice: a stranger's request looks the same.

mod act;
mod entry;
mod error;
mod recover;
mod request;
mod show;

pub use act::ToSign;
pub use error::DelegationError;
pub use keyward_domain::scheme::KeyId;
pub use keyward_ledger_core::entry::{DelegationTerms, Party, RuleName, Scope, Window};
pub use keyward_ledger_core::state::delegation::NextDelegation;
pub use request::Request;
pub use show::{DelegationStatus, LiveRecovery, Trust};

use crate::sign::Signature;

/// An entry that was recorded and accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The receipt of its record.
    pub receipt: Vec<u8>,
    /// Where it stands in the log.
    pub leaf_index: u64,
    /// That block's time, in milliseconds since 1970.
    pub time_ms: u64,
}

/// A delegated act, and the signature that it has paid for.
#[derive(Clone, Debug)]
pub struct Acted {
    /// The act's record.
    pub done: Done,
    /// The signature; its receipt is the intent's.
    pub signature: Signature,
}

/// Under what delegates act: policies of Cedar, named by their hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySet {
    /// What terms name.
    pub hash: [u8; 32],
    /// The schema.
    pub schema: String,
    /// The files: name and text.
    pub files: Vec<(String, String)>,
}
