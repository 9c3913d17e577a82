//! What commands about shared keys have in common: progress, and errors in words.

use std::sync::{Mutex, PoisonError};

use keyward_client::shared::{SharedError, SharedStep};

use crate::failure::{Exit, Failure};
use crate::output::{Output, Waiting};
use crate::service::failed;

/// Words for what the client says.
pub(crate) fn refused(what: &str) -> impl Fn(SharedError) -> Failure + use<> {
    let what = what.to_owned();
    move |error| {
        if let SharedError::Client(error) = error {
            return failed(&what)(error);
        }
        let next = error.remedy().unwrap_or("try again; if it goes on, tell the operator");
        let failure = Failure::refused(&what, next).because(&error);
        let exit = if error.unreachable() { Exit::Unreachable } else { failure.exit };
        Failure { code: error.code().map(str::to_owned), exit, ..failure }
    }
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
            SharedStep::Confirming => "every keeper keeps its share and says so",
        };
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        // The one before ends first.
        drop(now.take());
        *now = Some(self.output.wait_for(words));
    }
}
