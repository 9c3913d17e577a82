//! Keys of mode `self`: made and proved here, and kept on this device alone.

use keyward_crypto::{SecretBytes, SigningKey};
use keyward_domain::scheme::{KeyId, Scheme};
use keyward_domain::{KeyName, Mode};
use keyward_proto::custody::{
    ImportKeyRequest, Key, RotateKeyRequest, RotateToImport, rotate_key_request::To,
};

use crate::client::{Client, bytes32, idempotency_key};
use crate::device::DeviceKeys;
use crate::error::ClientError;
use crate::keys::KeyWithReceipt;

impl Client {
    /// Makes a key on this side, keeps it on the device under the export key of the session's login, and has its public
    /// part bound.
    ///
    /// The key is on the device before the ledger knows of it, and its file stays there whatever the answer: a service
    /// that says it refused may have bound it, and nobody's bare word takes away a key's only file. Of one that is not
    /// bound nothing depends; [`Client::show_key`] tells which is.
    pub async fn create_own_key(
        &self,
        alias: &str,
        scheme: Scheme,
        device: &DeviceKeys,
        export_key: &SecretBytes,
    ) -> Result<KeyWithReceipt, ClientError> {
        let key = SigningKey::generate(scheme).map_err(ClientError::Key)?;
        device.put(&key, Some(alias), export_key)?;
        self.bind_own_key(alias, &key).await
    }

    /// Binds a key of this side in mode `self`; it is proved here, and its private part goes nowhere. So an app gets a key that
    /// speaks for its account, and keeps it where it keeps the key of its certificate.
    pub async fn bind_own_key(&self, alias: &str, key: &SigningKey) -> Result<KeyWithReceipt, ClientError> {
        let made = self.prove(key, Mode::Own, None).await?;
        let message = ImportKeyRequest {
            alias: alias.to_owned(),
            scheme: key.scheme().name().to_owned(),
            public_key: made.public_key.as_bytes().to_vec().into(),
            nonce: made.parts.nonce.to_vec().into(),
            not_after: made.parts.not_after,
            proof: made.proof.clone().into(),
            idempotency_key: idempotency_key()?,
            mode: Mode::Own.name().to_owned(),
            ..Default::default()
        };
        let bound = self.answer(self.keys().import(self.request(message)).await)?;
        self.check_made(KeyWithReceipt::of(bound)?, &made)
    }

    /// Rotates a key to one of mode `self` that is made here. A present version of that mode, which must be on this
    /// device, consents; once the receipt was verified it is forgotten here: it never signs again. The new one stays
    /// whatever the answer, as in [`Client::create_own_key`].
    pub async fn rotate_own_key(
        &self,
        key: &str,
        device: &DeviceKeys,
        export_key: &SecretBytes,
    ) -> Result<KeyWithReceipt, ClientError> {
        let before = self.show_key(key).await?;
        let scheme =
            Scheme::from_name(&before.scheme).ok_or(ClientError::Answer { what: "unknown scheme" })?;
        let previous = own_id(&before)?;
        let consenting = match Mode::from_name(&before.mode) {
            Some(Mode::Own) => Some(device.load_named(&previous, key, export_key)?),
            _ => None,
        };
        // A hosted key has no file yet: of it the name that was asked for is what the person knows.
        let named = || match KeyName::parse(key) {
            Ok(KeyName::Alias(alias) | KeyName::Version(alias, _)) => Some(alias.as_str().to_owned()),
            _ => None,
        };
        let alias = consenting.as_ref().map_or_else(named, |(_, alias)| alias.clone().or_else(named));
        let consenting = consenting.map(|(key, _)| key);
        let next = SigningKey::generate(scheme).map_err(ClientError::Key)?;
        device.put(&next, alias.as_deref(), export_key)?;
        let rotated = self.supersede(key, &previous, consenting.as_ref(), &next).await?;
        if self.trusted.is_some() && consenting.is_some() {
            device.remove(&previous)?;
        }
        Ok(rotated)
    }

    async fn supersede(
        &self,
        name: &str,
        previous: &KeyId,
        consenting: Option<&SigningKey>,
        next: &SigningKey,
    ) -> Result<KeyWithReceipt, ClientError> {
        let made = self.prove(next, Mode::Own, Some(previous)).await?;
        let consent = consenting.map(|key| key.sign_message(&made.challenge.message)).transpose();
        let to = RotateToImport {
            public_key: made.public_key.as_bytes().to_vec().into(),
            nonce: made.parts.nonce.to_vec().into(),
            not_after: made.parts.not_after,
            proof: made.proof.clone().into(),
            sealed_private_key: Default::default(),
            mode: Mode::Own.name().to_owned(),
            consent: consent.map_err(ClientError::Proof)?.unwrap_or_default().into(),
        };
        let message = RotateKeyRequest {
            key: name.to_owned(),
            idempotency_key: idempotency_key()?,
            to: Some(To::Import(to)),
        };
        let rotated = self.answer(self.keys().rotate(self.request(message)).await)?;
        self.check_made(KeyWithReceipt::of(rotated)?, &made)
    }

    /// A key of mode `self` by its alias or id, opened on this device. Which key an alias is, the service says: it must be
    /// one that was made under that alias.
    pub async fn own_key(
        &self,
        name: &str,
        device: &DeviceKeys,
        export_key: &SecretBytes,
    ) -> Result<SigningKey, ClientError> {
        Ok(device.load_named(&own_id(&self.show_key(name).await?)?, name, export_key)?.0)
    }
}

fn own_id(key: &Key) -> Result<KeyId, ClientError> {
    Ok(KeyId(bytes32("key id", &key.key_id)?))
}
