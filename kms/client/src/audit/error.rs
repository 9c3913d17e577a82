//! Why audits cannot be read, or an entry about them is not recorded.

use keyward_crypto::unlinkable::AddressError;
use keyward_crypto::viewing::{DealingError, GatheringError};
use keyward_domain::Code;
use thiserror::Error;

use super::dealt::PartFault;
use crate::approvals::ApprovalError;
use crate::device::DeviceError;
use crate::error::ClientError;
use crate::evidence::{EvidenceError, UNBELIEVED};

/// Why what a service shows or delivers is not accepted.
#[derive(Debug, Error)]
pub enum AuditError {
    /// What the service shows of the ledger is not accepted, or is a refusal.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// What is shown as a dealing is none.
    #[error("the service shows a dealing that does not read")]
    Dealing(#[source] DealingError),
    /// The tenant has no terms.
    #[error("the tenant has published no terms for audits")]
    Unpublished,
    /// No such grant was asked for.
    #[error("no grant of this id was asked for")]
    GrantUnknown,
    /// The key on this device is another than the grant's.
    #[error("the key on this device is not the one of the grant")]
    KeyOther,
    /// The package does not open, or opens something else than what was opened.
    #[error("the package that was delivered is not what was opened")]
    Package(#[source] AddressError),
    /// Keepers gave too few parts that count.
    #[error("of epochs {first} to {last} {found} keepers gave parts that count, and {needed} are needed{}", wrong(.faults))]
    TooFewParts {
        /// The first epoch.
        first: u32,
        /// The last one.
        last: u32,
        /// How many are needed.
        needed: u8,
        /// How many there are.
        found: usize,
        /// The parts that do not count.
        faults: Vec<PartFault>,
    },
    /// The parts count, and give no cover of these epochs.
    #[error("what keepers opened is refused")]
    Parts(#[source] GatheringError),
    /// The grant's key cannot be made or used.
    #[error("the grant's key cannot be used")]
    Key(#[source] AddressError),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[source] getrandom::Error),
    /// The entry could not be signed, or was refused.
    #[error(transparent)]
    Entry(ApprovalError),
    /// This device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The service refused, or did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl From<ApprovalError> for AuditError {
    fn from(error: ApprovalError) -> Self {
        match error {
            ApprovalError::Client(error) => Self::Client(error),
            error => Self::Entry(error),
        }
    }
}

fn wrong(faults: &[PartFault]) -> String {
    let words = faults.iter().map(|fault| format!("; keeper `{}`: {}", fault.keeper, fault.cause));
    words.collect()
}

impl AuditError {
    /// The stable code.
    pub fn code(&self) -> Option<&str> {
        Some(match self {
            Self::Evidence(error) => error.code("AUDIT_UNPROVEN", "AUDIT_SUBSTITUTED"),
            Self::Dealing(_) => "AUDIT_SUBSTITUTED",
            Self::Unpublished => Code::AuditUnpublished.name(),
            Self::GrantUnknown => Code::GrantUnknown.name(),
            Self::KeyOther => "GRANT_KEY_OTHER",
            Self::Package(_) => "GRANT_PACKAGE_INVALID",
            Self::TooFewParts { .. } => "VIEWING_PARTS_TOO_FEW",
            Self::Parts(_) => "VIEWING_PARTS_REFUSED",
            Self::Key(_) => Code::GrantKeyInvalid.name(),
            Self::Randomness(_) | Self::Device(_) => return None,
            Self::Entry(error) => return error.code(),
            Self::Client(error) => return error.code(),
        })
    }

    /// What to do next, where this side knows it.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Evidence(error) => error.remedy("look at `keyward audit show`, and begin again"),
            Self::Dealing(_) => UNBELIEVED,
            Self::Unpublished => Code::AuditUnpublished.remedy(),
            Self::GrantUnknown => Code::GrantUnknown.remedy(),
            Self::KeyOther | Self::Device(DeviceError::SecretMissing { .. }) => {
                "use the device and profile that the grant was asked for with: its key is there alone"
            }
            Self::Package(_) => {
                "open it again; if it goes on, tell the ledger's operators: the record of the delivery has the package's hash"
            }
            Self::TooFewParts { .. } => {
                "open it again when more of its keepers run: what is opened stays open as long as the grant stands"
            }
            Self::Parts(_) => {
                "tell the ledger's operators: either the account dealt no cover of these epochs, or the dealing is another one"
            }
            Self::Key(_) | Self::Randomness(_) => "try again",
            Self::Device(_) => return None,
            Self::Entry(error) => return error.remedy(),
            Self::Client(error) => return error.remedy(),
        })
    }

    /// Whether nobody could be reached, so that nothing was decided.
    pub fn unreachable(&self) -> bool {
        match self {
            Self::Entry(error) => error.unreachable(),
            Self::Client(error) => error.unreachable(),
            _ => false,
        }
    }
}
