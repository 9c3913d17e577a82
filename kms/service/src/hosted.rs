//! Hosted keys: sealed under the key-encryption key with their place as associated data, opened for a moment.

use std::sync::Arc;

use keyward_crypto::{SigningKey, hosted_key_aad};
use keyward_domain::AccountId;
use keyward_store::Custody as Place;
use zeroize::Zeroizing;

use crate::{custody::Custody, failure::Failure, keybook::KnownKey};

/// The version that a key starts with.
pub(crate) const FIRST_VERSION: u32 = 1;

impl Custody {
    /// Seals a private key for its row, as that version of its alias.
    pub(crate) async fn seal_key(
        &self,
        key: &SigningKey,
        account: AccountId,
        version: u32,
    ) -> Result<Place, Failure> {
        let aad = hosted_key_aad(&key.public_key().id(), &account.0, version);
        let secret = key.expose(|bytes| Zeroizing::new(bytes.to_vec()));
        let number = self.kek.current();
        let sealed = self.kek.seal_under(number, aad, secret).await?;
        Ok(Place::Hosted { sealed, kek: self.kek.label(number) })
    }

    /// The private key, from the cache or opened now. It is compared with the public key before it is used.
    pub(crate) async fn opened_key(&self, key: &KnownKey, sealed: &[u8]) -> Result<Arc<SigningKey>, Failure> {
        let now_ms = self.clock.now_ms();
        if let Some(opened) = self.opened.find(&key.row.key_id, now_ms) {
            return Ok(opened);
        }
        let aad = hosted_key_aad(&key.public_key.id(), &key.row.account, key.row.version);
        let secret = self.kek.open(aad, sealed.to_vec()).await?;
        let opened = secret
            .expose(|bytes| SigningKey::from_secret(key.public_key.scheme(), bytes))
            .map_err(Failure::internal)?;
        if *opened.public_key() != key.public_key {
            return Err(Failure::internal("an opened key is not the one that its row names"));
        }
        let opened = Arc::new(opened);
        self.opened.keep(key.row.key_id, opened.clone(), now_ms);
        Ok(opened)
    }
}
