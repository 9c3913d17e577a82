//! The key-encryption key in a token.

use keyward_crypto::{Envelope, SecretBytes};
use keyward_token::{Module, TokenError, TokenName};
use zeroize::Zeroizing;

use super::tokens::failure;
use crate::{
    failure::Failure,
    ports::{Kek, Later},
};

/// An AES-256 key that never leaves its token.
pub(crate) struct TokenKek {
    module: Module,
    token: TokenName,
    label: String,
}

impl TokenKek {
    /// Finds the key, or makes it when the token has none of that label.
    pub(crate) async fn find_or_make(
        module: Module,
        token: TokenName,
        label: String,
    ) -> Result<Self, TokenError> {
        if !module.find_kek(&token, &label).await? {
            module.generate_kek(&token, &label).await?;
            tracing::info!(%token, label, "made the key-encryption key");
        }
        Ok(Self { module, token, label })
    }
}

impl Kek for TokenKek {
    fn seal(&self, aad: Vec<u8>, plaintext: Zeroizing<Vec<u8>>) -> Later<'_, Result<Vec<u8>, Failure>> {
        Box::pin(async move {
            let nonce = Envelope::fresh_nonce().map_err(Failure::internal)?;
            let sealed = self.module.encrypt(&self.token, &self.label, nonce, &aad, plaintext).await;
            Ok(Envelope { nonce, ciphertext: sealed.map_err(failure)? }.encode())
        })
    }

    fn open(&self, aad: Vec<u8>, sealed: Vec<u8>) -> Later<'_, Result<SecretBytes, Failure>> {
        Box::pin(async move {
            let Envelope { nonce, ciphertext } = Envelope::decode(&sealed).map_err(Failure::internal)?;
            let opened = self.module.decrypt(&self.token, &self.label, nonce, &aad, &ciphertext).await;
            Ok(SecretBytes::from(opened.map_err(failure)?))
        })
    }

    fn ready(&self) -> Later<'_, bool> {
        Box::pin(async move { matches!(self.module.find_kek(&self.token, &self.label).await, Ok(true)) })
    }
}
