//! Contact and identity fields of accounts.

use std::{collections::BTreeMap, fmt};

use keyward_proto::custody::{EraseProfileRequest, SetProfileRequest, ShowProfileRequest};

use crate::client::{Client, idempotency_key};
use crate::error::ClientError;

/// Fields that were read, and the proof that the read was recorded.
#[derive(Clone, PartialEq, Eq)]
pub struct ReadProfile {
    /// The fields by name.
    pub fields: BTreeMap<String, String>,
    /// The receipt of the note that records the read.
    pub receipt: Vec<u8>,
    /// What opens the note's commitment, 32 bytes.
    pub blinding: Vec<u8>,
}

impl fmt::Debug for ReadProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadProfile(redacted, {})", self.fields.len())
    }
}

impl Client {
    /// Replaces the fields of the session's person; returns the receipt.
    pub async fn set_profile(&self, fields: BTreeMap<String, String>) -> Result<Vec<u8>, ClientError> {
        let message =
            SetProfileRequest { fields: fields.into_iter().collect(), idempotency_key: idempotency_key()? };
        let set = self.answer(self.accounts().set_profile(self.request(message)).await)?;
        self.check_kind(&set.receipt, "note")?;
        Ok(set.receipt.to_vec())
    }

    /// The fields of the session's person (no user name), or with a reason those of another one.
    pub async fn show_profile(&self, user_name: &str, reason: &str) -> Result<ReadProfile, ClientError> {
        let message = ShowProfileRequest { user_name: user_name.to_owned(), reason: reason.to_owned() };
        let read = self.answer(self.accounts().show_profile(self.request(message)).await)?;
        self.check_kind(&read.receipt, "note")?;
        Ok(ReadProfile {
            fields: read.fields.into_iter().collect(),
            receipt: read.receipt.to_vec(),
            blinding: read.blinding.to_vec(),
        })
    }

    /// Erases the fields of the session's person (no user name) or of another one, for good; returns the receipt.
    pub async fn erase_profile(&self, user_name: &str) -> Result<Vec<u8>, ClientError> {
        let message =
            EraseProfileRequest { user_name: user_name.to_owned(), idempotency_key: idempotency_key()? };
        let erased = self.answer(self.accounts().erase_profile(self.request(message)).await)?;
        self.check_kind(&erased.receipt, "note")?;
        Ok(erased.receipt.to_vec())
    }
}
