//! Passwords: wiped, never printed, never sent.

use std::fmt;
use std::sync::Arc;

use keyward_crypto::SecretBytes;

use crate::error::ClientError;

/// The longest password.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// A password; its bytes are wiped when the last use of it ends.
pub struct Password(Arc<SecretBytes>);

impl Password {
    /// Takes the text over.
    pub fn new(text: String) -> Result<Self, ClientError> {
        let len = text.len();
        let password = Self(Arc::new(SecretBytes::from(text)));
        if len == 0 || len > PASSWORD_BYTES_MAX { Err(ClientError::Password { len }) } else { Ok(password) }
    }

    /// The same bytes, for a thread that stretches them.
    pub(crate) fn shared(&self) -> Arc<SecretBytes> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(redacted)")
    }
}
