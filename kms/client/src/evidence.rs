//! Why what a service shows of the ledger is not accepted: the same whatever it is about. Each subject has codes of its own
//! for it, and its own words on what to do.

use keyward_domain::Code;
use keyward_ledger_core::codec::DecodeError;
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_verify::Failure;
use thiserror::Error;

/// What to do about evidence that nobody has to believe.
pub(crate) const UNBELIEVED: &str = "see that this machine's clock is right; else do not rely on this service, and tell the ledger's operators";

/// What to do about a refusal that this version does not know.
const UPDATE: &str =
    "update this program, then try again: the ledger is newer, and what it refused has changed nothing";

/// Why evidence is not accepted.
#[derive(Debug, Error)]
pub enum EvidenceError {
    /// A proof does not hold, is too old, or is of something else.
    #[error("the service's proof of {what} does not hold")]
    Proof {
        /// Of what.
        what: &'static str,
        /// Why.
        #[source]
        source: Failure,
    },
    /// Proven, and nothing that the ledger writes there.
    #[error("what is proven of {what} is malformed")]
    Malformed {
        /// Of what.
        what: &'static str,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// A proof holds, and shows something else than what was asked for.
    #[error("the service shows {0}")]
    Substituted(&'static str),
    /// The proof holds: the ledger has recorded the entry as refused.
    #[error("the ledger refused: {meaning}")]
    Refused {
        /// The stable code.
        code: &'static str,
        /// In words.
        meaning: &'static str,
    },
    /// The same, for a reason that a newer ledger has.
    #[error("the ledger refused, with the code {number} that this version does not know")]
    RefusedUnknown {
        /// The code in the record.
        number: u16,
    },
}

impl EvidenceError {
    /// A proof of this does not hold.
    pub(crate) fn proof(what: &'static str) -> impl Fn(Failure) -> Self {
        move |source| Self::Proof { what, source }
    }

    /// What is proven of this does not read.
    pub(crate) fn malformed(what: &'static str) -> impl Fn(DecodeError) -> Self {
        move |source| Self::Malformed { what, source }
    }

    /// Refuses what the ledger has recorded as refused, whether this version knows why or not.
    pub(crate) fn accepted(outcome: &Outcome) -> Result<(), Self> {
        match outcome.refusal() {
            _ if outcome.is_accepted() => Ok(()),
            Some(refusal) => Err(Self::Refused { code: refusal.name(), meaning: refusal.describe() }),
            None => Err(Self::RefusedUnknown { number: outcome.code }),
        }
    }

    /// Whether it is proven that the ledger refused: no lie.
    pub(crate) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::RefusedUnknown { .. })
    }

    /// What to do next; of a refusal that is known, what its subject says.
    pub(crate) const fn remedy(&self, of_refusal: &'static str) -> &'static str {
        match self {
            Self::Proof { .. } | Self::Malformed { .. } | Self::Substituted(_) => UNBELIEVED,
            Self::Refused { .. } => of_refusal,
            Self::RefusedUnknown { .. } => UPDATE,
        }
    }

    /// The stable code, of which a subject has two of its own.
    pub(crate) const fn code(&self, unproven: &'static str, substituted: &'static str) -> &'static str {
        match self {
            Self::Proof { .. } | Self::Malformed { .. } => unproven,
            Self::Substituted(_) => substituted,
            Self::Refused { code, .. } => code,
            Self::RefusedUnknown { .. } => Code::LedgerRefused.name(),
        }
    }
}

#[cfg(test)]
mod tests;
