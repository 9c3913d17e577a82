//! Why what a service says or does about addresses is not accepted.

use keyward_crypto::unlinkable::AddressError;
use keyward_crypto::{SignError, SigningKeyError};
use keyward_domain::Code;
use keyward_ledger_core::codec::DecodeError;
use keyward_ledger_core::entry::Custody;
use keyward_ledger_verify::Failure;
use thiserror::Error;

use crate::approvals::ApprovalError;
use crate::device::DeviceError;
use crate::error::ClientError;
use crate::evidence::EvidenceError;
use crate::petition::PetitionError;

/// Why addresses are not chosen, shown, used, closed or paid to.
#[derive(Debug, Error)]
pub enum AddressesError {
    /// Nothing can be verified.
    #[error("the client has no trust file: nothing that a service says of addresses can be believed")]
    TrustMissing,
    /// The account has chosen none.
    #[error("the account has not chosen unlinkable addresses")]
    NotChosen,
    /// It has, and that is for good.
    #[error("the account has chosen `{custody}` addresses before: that is for good")]
    ChosenBefore {
        /// Where their root lies.
        custody: &'static str,
    },
    /// The root lies somewhere else than the call needs.
    #[error("the account's addresses are `{custody}`")]
    OtherCustody {
        /// Where their root lies.
        custody: &'static str,
    },
    /// The root is not on this device.
    #[error("the root of the account's addresses is not on this device")]
    RootMissing,
    /// The epochs were dealt to keepers, and nothing here opens them.
    #[error(
        "address epoch {epoch} is not open on this device any more: its addresses and payments are the keepers' now"
    )]
    Erased {
        /// The epoch.
        epoch: u32,
    },
    /// Every index was given out.
    #[error("every address of epoch {epoch} was given out")]
    Exhausted {
        /// The epoch.
        epoch: u32,
    },
    /// Nobody here knows the address.
    #[error("the address is none of this account's that this device knows")]
    NotOurs,
    /// It was used, or its use was begun for something else.
    #[error("the address was used before: it signs once")]
    Spent,
    /// Its epoch is over.
    #[error("the address is of epoch {epoch}, which is over: it cannot be used any more")]
    Expired {
        /// The epoch.
        epoch: u32,
    },
    /// The epoch has not elapsed yet.
    #[error("address epoch {epoch} is not over")]
    UnderWay {
        /// The epoch.
        epoch: u32,
    },
    /// A meta-address is of an epoch that is over or has not begun.
    #[error("the meta-address is of epoch {epoch}, which is not under way")]
    MetaEpoch {
        /// The epoch.
        epoch: u32,
    },
    /// It signs one digest, and this payload has others.
    #[error("signers of this payload sign {0} digests, and an address signs once")]
    Digests(usize),
    /// A proof does not hold, is too old, or is of something else.
    #[error("the service's proof of {what} does not hold")]
    Proof {
        /// Of what.
        what: &'static str,
        /// Why.
        #[source]
        source: Failure,
    },
    /// A proof holds, and shows something else than what was asked for.
    #[error("the service shows {what}")]
    Substituted {
        /// What it shows.
        what: &'static str,
    },
    /// The proof holds: the ledger has recorded the entry as refused.
    #[error(transparent)]
    RefusedByLedger(EvidenceError),
    /// An address is not the one that this side derives.
    #[error("the service names another address than the one that this device derives")]
    Underived,
    /// An intent is not the one that was asked for.
    #[error("nothing was signed: the intent that the service would have signed {what}")]
    Intent {
        /// What differs.
        what: &'static str,
    },
    /// An intent does not read.
    #[error("nothing was signed: the intent that the service would have signed does not read")]
    IntentMalformed(#[source] DecodeError),
    /// The detail does not open with the epoch's leaf.
    #[error("nothing was signed: the intent's detail is not for whom it should be")]
    DetailClosed(#[source] AddressError),
    /// The detail says something else.
    #[error("nothing was signed: the intent's detail {what}")]
    Detail {
        /// What differs.
        what: &'static str,
    },
    /// What the closing says is not what this device knows.
    #[error("the service has closed epoch {epoch} wrongly: its closing {what}")]
    Closing {
        /// The epoch.
        epoch: u32,
        /// What differs.
        what: &'static str,
    },
    /// The closing counts fewer records than there are.
    #[error("the service has closed epoch {epoch} with {found} records, and this device knows of {known}")]
    ClosingShort {
        /// The epoch.
        epoch: u32,
        /// What the closing counts.
        found: u32,
        /// What this device has receipts of.
        known: usize,
    },
    /// An announcement that a receipt proves is not among those that the service shows.
    #[error("the service withholds the announcement at leaf {leaf_index}")]
    Withheld {
        /// Where it stands on the ledger.
        leaf_index: u64,
    },
    /// An announcement is another one than its receipt proves, or does not stand in its order.
    #[error("the service shows another announcement at leaf {leaf_index} than the ledger has")]
    Announcement {
        /// Where it says that it stands.
        leaf_index: u64,
    },
    /// What is shown as an announcement is none.
    #[error("the service shows what is no announcement at leaf {leaf_index}")]
    AnnouncementMalformed {
        /// Where it says that it stands.
        leaf_index: u64,
        /// Why.
        #[source]
        source: AddressError,
    },
    /// What is kept here, or was answered, does not read.
    #[error("it does not read")]
    Decode(#[from] DecodeError),
    /// A detail does not read.
    #[error("the detail does not read")]
    DetailMalformed(#[source] DecodeError),
    /// A derivation was refused.
    #[error("the address cannot be derived")]
    Derive(#[from] AddressError),
    /// A key could not be made.
    #[error("the key of the address could not be made")]
    Key(#[from] SigningKeyError),
    /// It could not be signed.
    #[error("the address could not sign")]
    Sign(#[source] SignError),
    /// The account's word could not be given.
    #[error("the entry could not be signed")]
    Word(#[from] PetitionError),
    /// The case is not one that this can be signed by.
    #[error(transparent)]
    Approval(ApprovalError),
    /// No limit can be like this.
    #[error("the limit {0}")]
    Limit(&'static str),
    /// There is no such rule.
    #[error("the ledger has no rate rule of this id")]
    LimitUnknown,
    /// The service refused, or did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl From<ApprovalError> for AddressesError {
    fn from(error: ApprovalError) -> Self {
        match error {
            ApprovalError::Client(error) => Self::Client(error),
            error => Self::Approval(error),
        }
    }
}

impl From<DeviceError> for AddressesError {
    fn from(error: DeviceError) -> Self {
        Self::Client(ClientError::Device(error))
    }
}

const LIES: &str = "do not rely on this service: keep what it answered, and tell the ledger's operators; see that this machine's clock is right";

impl AddressesError {
    /// The stable code.
    pub fn code(&self) -> Option<&str> {
        Some(match self {
            Self::TrustMissing => "ADDRESSES_TRUST_MISSING",
            Self::NotChosen => "ADDRESSES_UNKNOWN",
            Self::ChosenBefore { .. } => "ADDRESSES_CHOSEN",
            Self::OtherCustody { custody } if *custody == Custody::Own.name() => "ADDRESSES_OWN",
            Self::OtherCustody { .. } => "ADDRESSES_HOSTED",
            Self::RootMissing => "ADDRESS_ROOT_MISSING",
            Self::Erased { .. } => "ADDRESS_EPOCH_ERASED",
            Self::Exhausted { .. } => "ADDRESS_EPOCH_EXHAUSTED",
            Self::NotOurs => "ADDRESS_UNKNOWN",
            Self::Spent => "ADDRESS_USED",
            Self::Expired { .. } => "ADDRESS_EPOCH",
            Self::UnderWay { .. } => "EPOCH_UNDER_WAY",
            Self::MetaEpoch { .. } => "META_ADDRESS_EXPIRED",
            Self::Digests(_) => "ADDRESS_SIGNS_ONCE",
            Self::Proof { .. } => "ADDRESSES_UNPROVEN",
            Self::Substituted { .. } => "ADDRESSES_SUBSTITUTED",
            Self::RefusedByLedger(error) => error.code("ADDRESSES_UNPROVEN", "ADDRESSES_SUBSTITUTED"),
            Self::Underived => "ADDRESS_UNDERIVED",
            Self::Intent { .. } | Self::IntentMalformed(_) => "ADDRESS_INTENT_OTHER",
            Self::DetailClosed(_) | Self::Detail { .. } | Self::DetailMalformed(_) => "ADDRESS_DETAIL_OTHER",
            Self::Closing { .. } => "EPOCH_CLOSING_OTHER",
            Self::ClosingShort { .. } => "EPOCH_CLOSING_SHORT",
            Self::Withheld { .. } => "ANNOUNCEMENT_WITHHELD",
            Self::Announcement { .. } | Self::AnnouncementMalformed { .. } => "ANNOUNCEMENT_OTHER",
            Self::Decode(_) | Self::Derive(_) => "ADDRESS_MALFORMED",
            Self::Key(_) | Self::Sign(_) | Self::Word(_) => return None,
            Self::Limit(_) => "RULE_INVALID",
            Self::LimitUnknown => "RULE_UNKNOWN",
            Self::Approval(error) => return error.code(),
            Self::Client(error) => return error.code(),
        })
    }

    /// What to do next, where this side knows it.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::TrustMissing => "give the profile the ledger's trust file",
            Self::NotChosen => "choose them first (`keyward address choose`, or `choose --own`)",
            Self::ChosenBefore { .. } | Self::OtherCustody { .. } => "look at `keyward address show`",
            Self::RootMissing => {
                "use the device on which they were chosen, or put its folder `keys` back from your copy: nobody else has the root"
            }
            Self::Erased { .. } => "have a grant opened for these epochs (`keyward audit`)",
            Self::Exhausted { .. } | Self::UnderWay { .. } => "wait for the end of the epoch",
            Self::NotOurs => {
                "look at `keyward address list`; if it was paid to, find the payment first (`keyward address scan`)"
            }
            Self::Spent | Self::Expired { .. } => "sign with a fresh one (`--address new`)",
            Self::MetaEpoch { .. } => "ask the receiver for the present one (`keyward address meta`)",
            Self::Digests(_) => "sign each of them with a payload of its own, or with a key (`--key`)",
            Self::Proof { .. }
            | Self::Substituted { .. }
            | Self::Underived
            | Self::Intent { .. }
            | Self::IntentMalformed(_)
            | Self::DetailClosed(_)
            | Self::Detail { .. }
            | Self::DetailMalformed(_)
            | Self::Closing { .. }
            | Self::ClosingShort { .. }
            | Self::Withheld { .. }
            | Self::Announcement { .. }
            | Self::AnnouncementMalformed { .. } => LIES,
            Self::RefusedByLedger(error) => error.remedy("look at `keyward address show`, and begin again"),
            Self::Decode(_) | Self::Derive(_) => "give it as it was printed",
            Self::Key(_) | Self::Sign(_) | Self::Word(_) => "try again",
            Self::Limit(_) => "choose at least 1 use, in a window of `1s` to `366d`",
            Self::LimitUnknown => "define one (`keyward address limit define`), which prints its id",
            Self::Approval(error) => return error.remedy(),
            Self::Client(error) => return error.remedy(),
        })
    }

    /// Whether the ledger went on to where intents have another end, and nothing was recorded.
    pub(super) fn is_stale(&self) -> bool {
        let stale = Some(Code::AddressIntentStale);
        matches!(self, Self::Client(ClientError::Refused(refusal)) if refusal.code == stale)
    }

    /// Whether nobody could be reached, so that nothing was decided.
    pub fn unreachable(&self) -> bool {
        matches!(self, Self::Client(error) if error.unreachable())
    }
}
