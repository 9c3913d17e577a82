//! Why a keeper does not do its part in a shared key, with a stable code for each reason.

use keyward_crypto::shared::{HoldersError, RunError, ShareError, SharedKeyError};
use keyward_domain::{Code, Coded, DisclosureError};
use keyward_ledger_core::codec::DecodeError;
use keyward_policies::PolicyError;
use thiserror::Error;
use tonic::{Status, metadata::MetadataValue};

use crate::{
    desk::{Refusal, status},
    error::KeeperError,
    keeper::unreadable,
    ledger::LedgerError,
    shares::SharesError,
};

/// Why a keeper did not do its part in a shared key. A refusal gives nothing away and changes nothing.
#[derive(Debug, Error)]
pub enum SharedError {
    /// The request does not decode, or says what no honest caller says.
    #[error("the request is malformed: {what}")]
    Malformed {
        /// The part.
        what: &'static str,
    },
    /// The ledger has no shared key of this id, or has none under this name that could be renewed or repaired.
    #[error("the ledger has no such shared key")]
    UnknownKey,
    /// The keeper is none of the key's.
    #[error("this keeper holds no place in the key")]
    NoPlace,
    /// The share is not here.
    #[error("the keeper's share of the key as it is now is not here")]
    NoShare,
    /// A share that is said to be lost is here.
    #[error("the share is here: nothing is lost")]
    NotLost,
    /// A keeper is none on the ledger, or we are known there under other keys.
    #[error("keeper {place} of the key is not known on the ledger as it is here")]
    Keeper {
        /// Its place.
        place: u8,
    },
    /// The account is closed.
    #[error("the account is not open")]
    Closed,
    /// The key may not sign now.
    #[error("the key is {status}")]
    Status {
        /// Where it stands in its life.
        status: &'static str,
        /// The code.
        code: Code,
    },
    /// The holders are not holders of one key.
    #[error(transparent)]
    Holders(#[from] HoldersError),
    /// The ledger has no such generation, another one, or one with other openings.
    #[error("the generation is not the one of the ledger: {why}")]
    OtherRun {
        /// What differs.
        why: &'static str,
    },
    /// The key that was handed in is not the one on the ledger.
    #[error("the key is not the one on the ledger")]
    OtherKey,
    /// The device is not the one in force.
    #[error("the device is not the one in force")]
    OtherDevice,
    /// The plan is for other shares than the present ones.
    #[error("the key's shares are of version {now}")]
    Stale {
        /// The present version.
        now: u32,
    },
    /// The record must come within a day.
    #[error("the record must come between `{now_ms}` and `{latest_ms}`, in Unix milliseconds of ledger time")]
    Expiry {
        /// The ledger's time.
        now_ms: u64,
        /// The latest end.
        latest_ms: u64,
    },
    /// Nothing of the run is known here: it ended, never began, or the keeper has restarted since.
    #[error("this run is not under way here")]
    NoRun,
    /// The attempt was answered, or was begun otherwise.
    #[error("this attempt is over, or was begun with another plan")]
    Spent,
    /// Too many runs are under way.
    #[error("{under_way} runs of this caller are under way already")]
    Full {
        /// How many.
        under_way: usize,
    },
    /// The record is no accepted intent that allows this signature.
    #[error("record {leaf_index} does not allow this signature: {why}")]
    Intent {
        /// The record's place in the log.
        leaf_index: u64,
        /// Why not.
        why: &'static str,
    },
    /// What is shown is not what is signed.
    #[error(transparent)]
    Payload(#[from] DisclosureError),
    /// The key's approval rule has not approved it.
    #[error("the approval rule of the key has not approved this payload")]
    NotApproved,
    /// The policies are not those that the intent names, or not those in force.
    #[error("the policy set is not the one in force that the intent names")]
    OtherPolicy,
    /// The tenant's set is not read by this build: a keeper that does not know what it says refuses.
    #[error("the tenant's policy set is not read here")]
    UnreadPolicy(#[from] PolicyError),
    /// The policies forbid it.
    #[error("the policies do not allow it: {reasons}")]
    Forbidden {
        /// The policies that forbid it.
        reasons: String,
    },
    /// The policies ask for approvals.
    #[error("the policies ask for the approval of {rules}")]
    NeedsApproval {
        /// The rules, in hex.
        rules: String,
    },
    /// The run does not go on: a message is refused, or somebody lied.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Bytes that are no shared key.
    #[error("the bytes are no shared key")]
    Key(#[from] SharedKeyError),
    /// A share that does not fit.
    #[error("the share does not fit the key")]
    Share(#[from] ShareError),
    /// What every call of a keeper may meet.
    #[error(transparent)]
    Other(#[from] KeeperError),
}

impl SharedError {
    /// Whether a share is as good as lost: not here, or not to be opened.
    pub(crate) const fn is_lost(&self) -> bool {
        let damaged = matches!(
            self,
            Self::Other(KeeperError::Shares(SharesError::Sealed { .. } | SharesError::Content { .. }))
        );
        damaged || matches!(self, Self::NoShare)
    }

    /// Whether it is refused by what may have changed since the ledger was asked: shares, holders, their keys, policies.
    pub(crate) const fn may_be_outdated(&self) -> bool {
        match self {
            Self::NoPlace
            | Self::NoShare
            | Self::Keeper { .. }
            | Self::Closed
            | Self::Status { .. }
            | Self::Stale { .. }
            | Self::OtherPolicy => true,
            Self::Run(error) => matches!(
                error,
                RunError::OtherHolders
                    | RunError::NotAHolder { .. }
                    | RunError::Keepers { .. }
                    | RunError::Unsigned { .. }
                    | RunError::OtherRun { .. }
            ),
            _ => false,
        }
    }

    /// The place of a holder that has certainly lied: 0 is the user.
    pub const fn liar(&self) -> Option<u8> {
        match self {
            Self::Run(error) => error.liar(),
            _ => None,
        }
    }
}

impl From<SharesError> for SharedError {
    fn from(error: SharesError) -> Self {
        KeeperError::from(error).into()
    }
}

impl From<LedgerError> for SharedError {
    fn from(error: LedgerError) -> Self {
        KeeperError::from(error).into()
    }
}

/// State that this version cannot read: a newer ledger.
impl From<DecodeError> for SharedError {
    fn from(error: DecodeError) -> Self {
        unreadable(error).into()
    }
}

impl Coded for SharedError {
    fn code(&self) -> Code {
        match self {
            Self::Malformed { .. } | Self::Holders(_) | Self::Key(_) => Code::SharedRequestMalformed,
            Self::UnknownKey => Code::SharedKeyUnknown,
            Self::NoPlace | Self::NoShare => Code::SharedShareMissing,
            Self::NotLost => Code::SharedShareHeld,
            Self::Keeper { .. } => Code::SharedKeeperUnknown,
            Self::Closed => Code::AccountClosed,
            Self::Status { code, .. } => *code,
            Self::OtherRun { .. } => Code::SharedRunOther,
            Self::OtherKey => Code::SharedKeyOther,
            Self::OtherDevice => Code::SharedDeviceRefused,
            Self::Stale { .. } => Code::SharedVersionStale,
            Self::Expiry { .. } => Code::AuthorSignatureExpired,
            Self::NoRun | Self::Spent => Code::SharedAttemptStale,
            Self::Full { .. } => Code::ServiceBusy,
            Self::Intent { .. } | Self::Other(KeeperError::Ledger(LedgerError::NoRecord { .. })) => {
                Code::SharedIntentRefused
            }
            Self::Payload(error) => error.code(),
            Self::NotApproved => Code::SharedApprovalMissing,
            Self::OtherPolicy | Self::UnreadPolicy(_) => Code::SharedPolicyOther,
            Self::Forbidden { .. } => Code::PolicyDenied,
            Self::NeedsApproval { .. } => Code::ApprovalRequired,
            Self::Run(RunError::Randomness(_) | RunError::Seal { .. }) => Code::Internal,
            Self::Run(RunError::Foreign { .. } | RunError::Spent { .. }) => Code::SharedAttemptStale,
            Self::Run(RunError::Banned { .. }) => Code::SharedBanned,
            Self::Run(RunError::Experimental) => Code::SharedExperimental,
            Self::Run(RunError::Stateless) => Code::SharedShareMissing,
            Self::Run(RunError::NoStep { .. }) => Code::SharedRequestMalformed,
            Self::Run(RunError::TooManyKeepers { .. }) => Code::SharedInvalid,
            Self::Run(error) if error.liar().is_some() => Code::SharedHolderLied,
            Self::Run(_) => Code::SharedMessageRefused,
            Self::Share(_) => Code::SharedShareMissing,
            Self::Other(error) => error.code(),
        }
    }
}

impl Refusal for SharedError {
    fn status(&self) -> Status {
        let mut status = status(self.code(), &self.to_string());
        if let Some(place) = self.liar() {
            // Callers go on without it.
            status.metadata_mut().insert("keyward-holder", MetadataValue::from(u64::from(place)));
        }
        status
    }
}
