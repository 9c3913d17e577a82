//! Why a shared key was not made, used or changed, and whose fault it was.

use keyward_crypto::SignError;
use keyward_crypto::shared::{HoldersError, RunError, SharedKeyError};
use keyward_domain::{Code, DisclosureError};
use thiserror::Error;

use crate::device::DeviceError;
use crate::error::ClientError;
use crate::evidence::{EvidenceError, UNBELIEVED};
use crate::vault::VaultError;

/// What was wrong with one keeper, or with the way to it.
#[derive(Debug, Error)]
#[error("{keeper}: {cause}")]
pub struct SharedFault {
    /// Its place among the key's holders, from 1.
    pub place: u8,
    /// Its name on the ledger.
    pub keeper: String,
    /// What was wrong.
    #[source]
    pub cause: SharedFaultCause,
}

/// What was wrong.
#[derive(Debug, Error)]
pub enum SharedFaultCause {
    /// It refused, or did not answer.
    #[error(transparent)]
    Call(#[from] ClientError),
    /// Its message does not hold: the error has what convicts it, where anything does.
    #[error(transparent)]
    Run(#[from] RunError),
    /// What came back as its acknowledgement is not signed by it, or is of something else.
    #[error("the acknowledgement is not the keeper's, of this key")]
    Acknowledgement,
    /// The service says that it was silent or wrong; nobody has shown it.
    #[error("{message} ({code})")]
    Told {
        /// The stable code.
        code: String,
        /// What the service says.
        message: String,
    },
    /// Asking it broke off on this side.
    #[error("asking it broke off")]
    Lost(#[source] tokio::task::JoinError),
}

/// Why nothing came of what was wanted. What a device keeps stays as it was, but for shares that were dealt and may yet come
/// into force.
#[derive(Debug, Error)]
pub enum SharedError {
    /// Nothing can be verified.
    #[error("the client has no trust file: nothing that a service says of shared keys can be believed")]
    TrustMissing,
    /// Shared keys belong to accounts.
    #[error("nobody is logged in, and shared keys belong to accounts")]
    AccountMissing,
    /// The login is not the session's.
    #[error("the login is for another account than the session's")]
    OtherAccount,
    /// What the service shows of the ledger is not accepted, or is a refusal.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The keepers cannot be read.
    #[error("the keepers cannot be read")]
    Keepers(#[source] VaultError),
    /// Keys of this scheme cannot be shared.
    #[error("keys of `{scheme}` cannot be shared")]
    Scheme {
        /// The scheme.
        scheme: &'static str,
    },
    /// A scheme whose protocol is experimental, and nobody has asked for that.
    #[error("sharing a key of `{scheme}` is experimental: nobody outside has reviewed the protocol's code")]
    Experimental {
        /// The scheme.
        scheme: &'static str,
    },
    /// What shares of experimental protocols cannot have done to them.
    #[error("the key is shared by an experimental protocol: {what}")]
    ExperimentalWithout {
        /// What cannot be done.
        what: &'static str,
    },
    /// This device does not use its share with so many keepers any more that too few are left.
    #[error("this device signs no more with {}: {} tried what could have told of the key's share", .keepers.join(", "), if .keepers.len() == 1 { "it" } else { "they" })]
    Banned {
        /// Their names.
        keepers: Vec<String>,
    },
    /// Another key of the account has this alias.
    #[error("a key `{alias}` is there already")]
    AliasTaken {
        /// The alias.
        alias: String,
    },
    /// The ledger has no keeper of that name.
    #[error("the ledger has no keeper `{name}`")]
    KeeperUnknown {
        /// The name.
        name: String,
    },
    /// Fewer keepers than wanted, or fewer than two of them needed.
    #[error("{threshold} of {keepers} keepers cannot be: the ledger has {known}, and at least 2 are needed")]
    Choice {
        /// How many were to be needed.
        threshold: u8,
        /// How many were to hold shares.
        keepers: usize,
        /// How many the ledger has.
        known: usize,
    },
    /// The holders are refused.
    #[error("the holders of the key are refused")]
    Holders(#[from] HoldersError),
    /// What the service shows as the key is none.
    #[error("what is shown as the shared key is none")]
    Key(#[from] SharedKeyError),
    /// A step of the protocol failed on this side, or nobody can be named.
    #[error("the holders' messages do not go together")]
    Run(#[from] RunError),
    /// Some keepers did not do their part, and too few are left, or all were needed.
    #[error("{} of the keepers did not do their part: {}", .faults.len(), words(.faults))]
    Faults {
        /// Who, and why.
        faults: Vec<SharedFault>,
    },
    /// The share on this device is none of the key as it is now.
    #[error(
        "the share on this device is not in force: the key's shares were dealt anew since, or never to it"
    )]
    ShareStale,
    /// As many shares wait on this device as it keeps.
    #[error("eight shares of this key lie on this device, for renewals that were not heard of again")]
    SharesWait,
    /// Another device speaks for the key.
    #[error("this device does not speak for the key: another one does")]
    DeviceOther,
    /// This device does not speak for the key yet.
    #[error("this device does not speak for the key before its lock ends, at {opens_ms} ms since 1970")]
    DeviceWaits {
        /// The first block time at which it does.
        opens_ms: u64,
    },
    /// This device speaks for the key already.
    #[error("this device speaks for the key already")]
    DevicePresent,
    /// No other device waits.
    #[error("no other device waits to speak for the key")]
    DeviceNone,
    /// The key takes no signature without approvals.
    #[error("the key signs under approval rule {} only", hex::encode(.rule))]
    ApprovalNeeded {
        /// The rule.
        rule: [u8; 32],
    },
    /// The payload does not say what would be signed.
    #[error("the payload is not what would be signed")]
    Payload(#[from] DisclosureError),
    /// A payload with several digests, of which none was named.
    #[error("the payload has {digests} digests to sign: name one")]
    Digests {
        /// How many.
        digests: usize,
    },
    /// Another process began this signature.
    #[error("another process began this signature under the same mark")]
    BegunBefore,
    /// There is no such keeper among the key's holders.
    #[error("keeper `{name}` holds no share of the key")]
    NotAHolder {
        /// Its name.
        name: String,
    },
    /// This side could not sign.
    #[error("the entry could not be signed")]
    Sign(#[source] SignError),
    /// The service refused, did not answer, or the device failed.
    #[error(transparent)]
    Client(#[from] ClientError),
}

fn words(faults: &[SharedFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The holder whose message does not hold, or is not there; whether it lied is another question ([`RunError::liar`]).
pub(super) fn named(error: &RunError) -> Option<u8> {
    match error {
        RunError::Unsigned { place }
        | RunError::OtherRun { place }
        | RunError::OtherStep { place, .. }
        | RunError::Unexpected { place }
        | RunError::Equivocated { place, .. }
        | RunError::Restarted { place }
        | RunError::Lied { place, .. }
        | RunError::Diverged { place } => Some(*place),
        RunError::Missing { places } => places.first().copied(),
        _ => None,
    }
}

impl From<DeviceError> for SharedError {
    fn from(error: DeviceError) -> Self {
        Self::Client(error.into())
    }
}

impl From<VaultError> for SharedError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::TrustMissing => Self::TrustMissing,
            VaultError::AccountMissing => Self::AccountMissing,
            VaultError::OtherAccount => Self::OtherAccount,
            VaultError::Evidence(error) => Self::Evidence(error),
            VaultError::Stale { what, source } => Self::Evidence(EvidenceError::Proof { what, source }),
            VaultError::Sign(error) => Self::Sign(error),
            VaultError::Client(error) => Self::Client(error),
            other => Self::Keepers(other),
        }
    }
}

impl SharedError {
    /// The stable code.
    pub fn code(&self) -> Option<&str> {
        use keyward_domain::Coded as _;
        Some(match self {
            Self::TrustMissing => "SHARED_TRUST_MISSING",
            Self::AccountMissing => "SESSION_REQUIRED",
            Self::OtherAccount => "SHARED_OTHER_ACCOUNT",
            Self::Evidence(error) => error.code("SHARED_UNPROVEN", "SHARED_SUBSTITUTED"),
            Self::Key(_) => "SHARED_SUBSTITUTED",
            Self::Keepers(error) => return error.code(),
            Self::Scheme { .. } => "SHARED_SCHEME",
            Self::Experimental { .. } | Self::ExperimentalWithout { .. } => "SHARED_EXPERIMENTAL",
            Self::Banned { .. } => "SHARED_BANNED",
            Self::AliasTaken { .. } => Code::AliasTaken.name(),
            Self::KeeperUnknown { .. } => "SHARED_KEEPER_UNKNOWN",
            Self::Choice { .. } => "SHARED_THRESHOLD",
            Self::Holders(error) => error.code(),
            Self::Run(error) => error.code(),
            Self::Faults { .. } => "SHARED_KEEPERS_FAILED",
            Self::ShareStale => "SHARED_SHARE_STALE",
            Self::SharesWait => "SHARED_SHARES_WAIT",
            Self::DeviceOther => "SHARED_DEVICE_OTHER",
            Self::DeviceWaits { .. } => "SHARED_DEVICE_WAITS",
            Self::DevicePresent => "SHARED_DEVICE_PRESENT",
            Self::DeviceNone => "SHARED_DEVICE_NONE",
            Self::ApprovalNeeded { .. } => "APPROVAL_REQUIRED",
            Self::Payload(error) => error.code().name(),
            Self::Digests { .. } => "SHARED_DIGESTS",
            Self::BegunBefore => "SHARED_BEGUN_BEFORE",
            Self::NotAHolder { .. } => "SHARED_NOT_A_HOLDER",
            Self::Sign(_) => return None,
            Self::Client(error) => return error.code(),
        })
    }

    /// What to do next, where this side knows it.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::TrustMissing => "give the profile the ledger's trust file",
            Self::AccountMissing | Self::OtherAccount => "log in first (`keyward account login`)",
            Self::Evidence(error) => error.remedy("look at `keyward key shared show`, and begin again"),
            Self::Key(_) => UNBELIEVED,
            Self::Keepers(error) => return error.remedy(),
            Self::Scheme { .. } => {
                "share a key of ed25519 or bip340, or one of ecdsa-secp256k1, which is experimental"
            }
            Self::Experimental { .. } => {
                "say `--experimental` once you have read what SECURITY.md says of it, or share a key of ed25519 or bip340"
            }
            Self::ExperimentalWithout { .. } => {
                "make a new key, and have this one sign over to it what it holds"
            }
            Self::Banned { .. } => {
                "make a new key with other keepers; as long as enough others are there, have this one sign over to it what it holds"
            }
            Self::AliasTaken { .. } => return Some(Code::AliasTaken.remedy()),
            Self::KeeperUnknown { .. } | Self::Choice { .. } | Self::Holders(_) => {
                "choose among the ledger's keepers (`keyward ledger member list`), at least two of them needed"
            }
            Self::Run(RunError::TooManyKeepers { .. }) => {
                "choose fewer keepers (`--keepers N`), or share a key of ed25519 or bip340"
            }
            Self::Run(_) => "begin again; if it goes on, tell the ledger's operators",
            Self::Faults { .. } => {
                "see that these keepers run, then begin again; one that is gone for good is replaced with `keyward key shared renew`"
            }
            Self::ShareStale => {
                "use the device on which the key was dealt anew, or recover the share from a vault that was sealed since"
            }
            Self::DeviceOther => {
                "use the device that speaks for the key, or put this one in its place (`keyward key shared replace-device`)"
            }
            Self::SharesWait => "wait an hour: after that the ledger takes none of them any more",
            Self::DeviceWaits { .. } => {
                "wait until then: nobody can shorten it, and the present device can stop it"
            }
            Self::DevicePresent => "nothing is left to do: sign",
            Self::DeviceNone => "look at `keyward key shared show`",
            Self::ApprovalNeeded { .. } => {
                "ask for approval first (`keyward approve ask`), and name the case (`--approval CASE`)"
            }
            Self::Payload(_) => "name the format that the payload has (`--format`)",
            Self::Digests { .. } => "sign one input after the other (`--input N`)",
            Self::BegunBefore => "wait for the other process, or ask again under another mark",
            Self::NotAHolder { .. } => "look at `keyward key shared show` for the key's keepers",
            Self::Sign(_) => "try again",
            Self::Client(error) => return error.remedy(),
        })
    }

    /// Whether nobody could be reached.
    pub fn unreachable(&self) -> bool {
        match self {
            Self::Keepers(error) => error.unreachable(),
            Self::Client(error) => error.unreachable(),
            _ => false,
        }
    }
}
