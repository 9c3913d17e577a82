//! The key-encryption keys in a token: the first under the configured label, number n under `label/n`.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};

use keyward_crypto::{Envelope, SecretBytes};
use keyward_domain::Code;
use keyward_token::{Module, TokenName};
use zeroize::Zeroizing;

use super::tokens::failure;
use crate::{
    failure::Failure,
    kek::{FIRST, labelled},
    ports::{Kek, Later},
};

/// AES-256 keys that never leave their token.
pub(crate) struct TokenKek {
    module: Module,
    token: TokenName,
    label: String,
    current: AtomicU32,
}

impl TokenKek {
    /// The keys of this label in a token where somebody has logged in.
    pub(crate) fn new(module: Module, token: TokenName, label: String) -> Self {
        Self { module, token, label, current: AtomicU32::new(FIRST.get()) }
    }
}

impl Kek for TokenKek {
    fn seal_under(
        &self,
        number: NonZeroU32,
        aad: Vec<u8>,
        plaintext: Zeroizing<Vec<u8>>,
    ) -> Later<'_, Result<Vec<u8>, Failure>> {
        Box::pin(async move {
            let nonce = Envelope::fresh_nonce().map_err(Failure::internal)?;
            let (label, kept) = (self.label(number), plaintext.clone());
            let sealed = self.module.encrypt(&self.token, &label, nonce, &aad, plaintext).await;
            let ciphertext = sealed.map_err(failure)?;
            // A key whose envelope does not open is lost: better told now than when it is needed.
            let opened = self.module.decrypt(&self.token, &label, nonce, &aad, &ciphertext).await;
            if !SecretBytes::from(opened.map_err(failure)?).matches(&kept) {
                return Err(Failure::new(Code::TokenUnavailable, "the token does not open what it sealed"));
            }
            Ok(Envelope { kek: Some(number), nonce, ciphertext }.encode())
        })
    }

    fn open(&self, aad: Vec<u8>, sealed: Vec<u8>) -> Later<'_, Result<SecretBytes, Failure>> {
        Box::pin(async move {
            let Envelope { kek, nonce, ciphertext } = Envelope::decode(&sealed).map_err(Failure::internal)?;
            let label = self.label(kek.unwrap_or(FIRST));
            let opened = self.module.decrypt(&self.token, &label, nonce, &aad, &ciphertext).await;
            Ok(SecretBytes::from(opened.map_err(failure)?))
        })
    }

    fn ready(&self) -> Later<'_, bool> {
        Box::pin(async move {
            matches!(self.module.find_kek(&self.token, &self.label(self.current())).await, Ok(true))
        })
    }

    fn label(&self, number: NonZeroU32) -> String {
        labelled(&self.label, number)
    }

    fn current(&self) -> NonZeroU32 {
        NonZeroU32::new(self.current.load(Ordering::Relaxed)).unwrap_or(FIRST)
    }

    fn adopt(&self, number: NonZeroU32) {
        // Whoever read an older state later than somebody else read a newer one changes nothing.
        self.current.fetch_max(number.get(), Ordering::Relaxed);
    }

    fn exists(&self, number: NonZeroU32) -> Later<'_, Result<bool, Failure>> {
        Box::pin(async move { self.module.find_kek(&self.token, &self.label(number)).await.map_err(failure) })
    }

    fn make(&self, number: NonZeroU32) -> Later<'_, Result<(), Failure>> {
        Box::pin(async move {
            let label = self.label(number);
            if !self.module.find_kek(&self.token, &label).await.map_err(failure)? {
                self.module.generate_kek(&self.token, &label).await.map_err(failure)?;
                tracing::info!(token = %self.token, label, "made a key-encryption key");
            }
            Ok(())
        })
    }

    fn remove(&self, number: NonZeroU32) -> Later<'_, Result<bool, Failure>> {
        Box::pin(
            async move { self.module.destroy_kek(&self.token, &self.label(number)).await.map_err(failure) },
        )
    }
}
