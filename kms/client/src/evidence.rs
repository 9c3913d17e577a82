//! Why what a service shows of the ledger is not accepted: the same whatever it is about. Each subject has codes of its own
//! for it, and its own words on what to do.

use keyward_ledger_core::codec::DecodeError;
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_verify::Failure;
use thiserror::Error;

/// What to do about evidence that nobody has to believe.
pub(crate) const UNBELIEVED: &str = "see that this machine's clock is right; else do not rely on this service, and tell the ledger's operators";

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

    /// An outcome that is no acceptance.
    pub(crate) fn refused(outcome: &Outcome) -> Self {
        let unknown = "for a reason that this version does not know";
        let meaning = outcome.refusal().map_or(unknown, |refusal| refusal.describe());
        Self::Refused { code: outcome.name(), meaning }
    }

    /// The stable code, of which a subject has two of its own.
    pub(crate) const fn code(&self, unproven: &'static str, substituted: &'static str) -> &'static str {
        match self {
            Self::Proof { .. } | Self::Malformed { .. } => unproven,
            Self::Substituted(_) => substituted,
            Self::Refused { code, .. } => code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approvals::ApprovalError;
    use crate::associations::AssociationError;
    use crate::audit::AuditError;
    use crate::delegation::DelegationError;
    use crate::policies::PoliciesError;
    use crate::shared::SharedError;
    use crate::vault::VaultError;

    fn all() -> [EvidenceError; 4] {
        let malformed = DecodeError::Invalid { what: "x", why: "y" };
        [
            EvidenceError::proof("the case")(Failure::OtherStateKey),
            EvidenceError::malformed("the case")(malformed),
            EvidenceError::Substituted("another case"),
            EvidenceError::Refused { code: "CASE_USED", meaning: "it is used up" },
        ]
    }

    #[test]
    fn every_subject_says_the_same_under_codes_of_its_own() {
        let words = [
            "the service's proof of the case does not hold",
            "what is proven of the case is malformed",
            "the service shows another case",
            "the ledger refused: it is used up",
        ];
        macro_rules! subject {
            ($error:ty, $name:literal) => {
                let codes = [
                    concat!($name, "_UNPROVEN"),
                    concat!($name, "_UNPROVEN"),
                    concat!($name, "_SUBSTITUTED"),
                    "CASE_USED",
                ];
                for ((error, words), code) in all().into_iter().zip(words).zip(codes) {
                    let error = <$error>::from(error);
                    assert_eq!(error.code(), Some(code));
                    assert!(error.remedy().is_some());
                    // Evidence about associations may come from files.
                    if !error.to_string().starts_with("the proof of") {
                        assert_eq!(error.to_string(), words);
                    }
                }
            };
        }
        subject!(ApprovalError, "APPROVAL");
        subject!(AssociationError, "ASSOCIATION");
        subject!(AuditError, "AUDIT");
        subject!(DelegationError, "DELEGATION");
        subject!(PoliciesError, "POLICY");
        subject!(SharedError, "SHARED");
        subject!(VaultError, "VAULT");
    }
}
