//! What commands about shared keys have in common: progress, and what to do next.

use std::sync::{Mutex, PoisonError};

use keyward_client::shared::{SharedError, SharedStep};
use keyward_crypto::shared::SharedScheme;
use keyward_domain::scheme::Scheme;

use super::approve;
use crate::output::{Output, Waiting};
use crate::service::told;

told!(SharedError, Self::Client(error) => error, next_for);

/// What to do next about the case that a signature names.
fn next_for(code: &str) -> Option<&'static str> {
    match code {
        "APPROVALS_MISSING" | "CASE_CLOSED" | "CASE_PAYLOAD" | "CASE_UNKNOWN" | "CASE_USED" => {
            approve::next_for(code)
        }
        _ => None,
    }
}

/// What is said of keys that are shared by such a protocol, and of their signatures.
pub(crate) const EXPERIMENTAL: &str = "experimental: nobody outside has reviewed its code";

/// Whether keys of this scheme are shared by a protocol that nobody outside has reviewed.
pub(crate) fn is_experimental(scheme: Scheme) -> bool {
    SharedScheme::of(scheme).is_some_and(SharedScheme::is_experimental)
}

/// Shows what is being done, one step after the other.
pub(crate) struct Steps {
    output: Output,
    now: Mutex<Option<Waiting>>,
}

impl Steps {
    pub(crate) const fn new(output: Output) -> Self {
        Self { output, now: Mutex::new(None) }
    }

    pub(crate) fn show(&self, step: SharedStep) {
        let words = match step {
            SharedStep::Proving => "what the service shows is held against the trust file",
            SharedStep::Opening => "every holder commits to its part",
            SharedStep::Recording => "the ledger records it",
            SharedStep::Dealing => "the holders deal each other sealed pieces",
            SharedStep::Agreeing => "the holders agree on what they multiply with",
            SharedStep::Confirming => "every keeper keeps its share and says so",
        };
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        // The one before ends first.
        drop(now.take());
        *now = Some(self.output.wait_for(words));
    }
}
