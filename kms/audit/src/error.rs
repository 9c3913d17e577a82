//! Why a grant file, or records after it, are not looked at.

use keyward_ledger_core::codec::DecodeError;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_verify::Failure;
use thiserror::Error;

use crate::grant_file::GrantFileError;

/// What stops an audit. Findings about single records stop nothing: they stand in the report.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The grant file does not read.
    #[error(transparent)]
    File(#[from] GrantFileError),
    /// The trust file does not hold.
    #[error("the trust file does not hold")]
    Trust(#[source] Failure),
    /// The grant is of another ledger than the trust file.
    #[error("the grant is one of the ledger {found}, the trust file names {trusted}")]
    OtherLedger {
        /// The grant's, in hex.
        found: String,
        /// The trust file's, in hex.
        trusted: String,
    },
    /// A receipt does not hold.
    #[error("the receipt of {what} does not hold")]
    Receipt {
        /// What it should show.
        what: &'static str,
        /// Why.
        #[source]
        cause: Failure,
    },
    /// A receipt holds, for something else.
    #[error("the receipt of {what} is of something else: {why}")]
    OtherReceipt {
        /// What it should show.
        what: &'static str,
        /// What it shows.
        why: String,
    },
    /// The purpose is not the one that was approved.
    #[error("the purpose in the grant file is not the one that was asked for and approved")]
    OtherPurpose,
    /// An opening without the record of its delivery.
    #[error(
        "the epochs {first} to {last} of the account {} have no receipt of their delivery",
        hex::encode(account)
    )]
    NotDelivered {
        /// The account.
        account: Hash,
        /// The first epoch.
        first: u32,
        /// The last epoch.
        last: u32,
    },
    /// Records are missing.
    #[error("the record {found} came where {expected} was expected")]
    Gap {
        /// The index in the log that should have come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// The log has another record than the receipt.
    #[error("the record {leaf_index} is not the one that the grant file's receipt shows there")]
    OtherRecord {
        /// Its index in the log.
        leaf_index: u64,
    },
    /// An accepted record's entry does not read.
    #[error("the entry of the record {leaf_index} does not read")]
    Entry {
        /// Its index in the log.
        leaf_index: u64,
        /// Why.
        #[source]
        cause: DecodeError,
    },
}

impl AuditError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code(),
            Self::Trust(failure) => failure.code(),
            Self::OtherLedger { .. } => "GRANT_OTHER_LEDGER",
            Self::Receipt { .. } => "GRANT_RECEIPT_INVALID",
            Self::OtherReceipt { .. } => "GRANT_RECEIPT_OTHER",
            Self::OtherPurpose => "GRANT_PURPOSE_OTHER",
            Self::NotDelivered { .. } => "GRANT_NOT_DELIVERED",
            Self::Gap { .. } => "LOG_GAP",
            Self::OtherRecord { .. } => "GRANT_OTHER_RECORD",
            Self::Entry { .. } => "ENTRY_MALFORMED",
        }
    }

    /// What to do next, in one line.
    pub const fn next(&self) -> &'static str {
        match self {
            Self::File(_) | Self::Receipt { .. } | Self::OtherReceipt { .. } | Self::OtherPurpose => {
                "do not rely on this grant file; get it again with `keyward audit open`"
            }
            Self::Trust(_) => "get the trust file again from somebody you trust",
            Self::OtherLedger { .. } => {
                "use the trust file and the export of the ledger that the grant is of"
            }
            Self::NotDelivered { .. } => "open these epochs again with `keyward audit open`",
            Self::Gap { .. } => "give the records in the order of the log, without gaps",
            Self::OtherRecord { .. } | Self::Entry { .. } => {
                "do not rely on either; compare with other validators and tell the ledger's operators"
            }
        }
    }
}
