//! One-time codes, which the service asks for before it hands in an attempt: a second factor against whoever has a
//! session or a password alone, and none against the service itself.

use std::fmt;

use keyward_proto::custody::{ConfirmCodeRequest, RemoveCodeRequest, SetUpCodeRequest};
use zeroize::Zeroizing;

use crate::client::Client;
use crate::error::ClientError;

/// A fresh secret for an authenticator; it counts once a first code of it is shown.
pub struct CodeSecret {
    /// `otpauth://totp/..`, with the secret in it; wiped on drop.
    pub uri: Zeroizing<String>,
}

impl fmt::Debug for CodeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeSecret(redacted)")
    }
}

impl Client {
    /// Has a fresh secret made, shown this once. `code`: one of the secret that counts now; empty if none does.
    pub async fn set_up_code(&self, code: &str) -> Result<CodeSecret, ClientError> {
        let message = SetUpCodeRequest { code: code.to_owned() };
        let made = self.answer(self.vaults().set_up_code(self.request(message)).await)?;
        Ok(CodeSecret { uri: made.uri.into() })
    }

    /// Shows a first code of the fresh secret: from now on each attempt needs one.
    pub async fn confirm_code(&self, code: &str) -> Result<(), ClientError> {
        let message = ConfirmCodeRequest { code: code.to_owned() };
        self.answer(self.vaults().confirm_code(self.request(message)).await).map(drop)
    }

    /// Ends it: with a code, or as a security officer with a user name and without one.
    pub async fn remove_code(&self, code: &str, user_name: &str) -> Result<Option<Vec<u8>>, ClientError> {
        let message = RemoveCodeRequest { code: code.to_owned(), user_name: user_name.to_owned() };
        let removed = self.answer(self.vaults().remove_code(self.request(message)).await)?;
        if user_name.is_empty() {
            return Ok(None);
        }
        self.check_kind(&removed.receipt, "note")?;
        Ok(Some(removed.receipt.to_vec()))
    }
}
