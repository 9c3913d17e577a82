//! Key-encryption keys: AES-256 in the token, and AES-GCM with them.

use std::sync::TryLockError;

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use zeroize::Zeroizing;

use crate::error::{DeviceCause, TokenError};
use crate::keys::two_found;
use crate::session::Open;
use crate::types::TokenName;
use crate::worker::{Fault, Worker, while_doing};

const KEK_BYTES: u64 = 32;
const TAG_BITS: u64 = 128;

impl Worker<'_> {
    /// Makes the key once: where an earlier attempt of the same job has made it, it is there already. It is one
    /// object, so there is nothing half-made, and nothing is removed: envelopes may lie under it soon.
    /// One at a time: whoever waited no longer and asks anew would not see the one that is still being made.
    pub(crate) fn generate_kek(&self, token: &TokenName, label: &str, id: &[u8]) -> Result<(), TokenError> {
        let _making = match self.library.making.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(broken)) => broken.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(TokenError::Busy { path: self.library.path().to_owned() });
            }
        };
        self.with(token, |open| {
            open.require_login(token)?;
            if open.holds(token, id)? {
                return Ok(());
            }
            if open.find_kek(token, label)?.is_some() {
                let (token, label) = (token.clone(), label.to_owned());
                return Err(Fault::Final(TokenError::KeyExists { token, label }));
            }
            let template = [
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::AES),
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Encrypt(true),
                Attribute::Decrypt(true),
                Attribute::Label(label.as_bytes().to_vec()),
                Attribute::Id(id.to_vec()),
                Attribute::ValueLen(KEK_BYTES.into()),
            ];
            open.session
                .generate_key(&Mechanism::AesKeyGen, &template)
                .map_err(while_doing(token, "make a key-encryption key"))?;
            Ok(())
        })
    }

    pub(crate) fn find_kek(&self, token: &TokenName, label: &str) -> Result<bool, TokenError> {
        self.with(token, |open| {
            open.require_login(token)?;
            Ok(open.find_kek(token, label)?.is_some())
        })
    }

    pub(crate) fn destroy_kek(&self, token: &TokenName, label: &str) -> Result<bool, TokenError> {
        self.with(token, |open| {
            open.require_login(token)?;
            let Some(kek) = open.find_kek(token, label)? else { return Ok(false) };
            open.keks.remove(label);
            open.session.destroy_object(kek).map_err(while_doing(token, "remove a key-encryption key"))?;
            Ok(true)
        })
    }

    pub(crate) fn encrypt(
        &self,
        token: &TokenName,
        label: &str,
        mut nonce: [u8; 12],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, TokenError> {
        self.with(token, |open| {
            let kek = open.kek(token, label)?;
            let mechanism = gcm(token, &mut nonce, aad)?;
            let sealed = open.session.encrypt(&mechanism, kek, plaintext);
            sealed.map_err(while_doing(token, "seal"))
        })
    }

    pub(crate) fn decrypt(
        &self,
        token: &TokenName,
        label: &str,
        mut nonce: [u8; 12],
        aad: &[u8],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, TokenError> {
        self.with(token, |open| {
            let kek = open.kek(token, label)?;
            let mechanism = gcm(token, &mut nonce, aad)?;
            match open.session.decrypt(&mechanism, kek, ciphertext) {
                Ok(plain) => Ok(Zeroizing::new(plain)),
                Err(error) if is_refusal(&error) => {
                    let (token, source) = (token.clone(), DeviceCause::from(error));
                    Err(Fault::Final(TokenError::DecryptRefused { token, source }))
                }
                Err(error) => Err(while_doing(token, "open an envelope")(error)),
            }
        })
    }
}

impl Open {
    fn kek(&mut self, token: &TokenName, label: &str) -> Result<ObjectHandle, Fault> {
        if let Some(handle) = self.keks.get(label) {
            return Ok(*handle);
        }
        self.require_login(token)?;
        self.find_kek(token, label)?.ok_or_else(|| {
            let wanted = format!("`{label}` that encrypts keys");
            Fault::Final(TokenError::KeyMissing { token: token.clone(), wanted })
        })
    }

    /// Whether an object of this id is there.
    fn holds(&self, token: &TokenName, id: &[u8]) -> Result<bool, Fault> {
        let wanted = [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::Id(id.to_vec())];
        let found = self.session.find_objects(&wanted).map_err(while_doing(token, "look for a key"))?;
        Ok(!found.is_empty())
    }

    fn find_kek(&mut self, token: &TokenName, label: &str) -> Result<Option<ObjectHandle>, Fault> {
        let found = self
            .session
            .find_objects(&[
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::AES),
                Attribute::Label(label.as_bytes().to_vec()),
            ])
            .map_err(while_doing(token, "look for a key"))?;
        match found.as_slice() {
            [] => Ok(None),
            [handle] => {
                self.keks.insert(label.to_owned(), *handle);
                Ok(Some(*handle))
            }
            [first, second, ..] => {
                Err(two_found(self, token, format!("the label `{label}`"), *first, *second))
            }
        }
    }
}

fn gcm<'a>(token: &TokenName, nonce: &'a mut [u8; 12], aad: &'a [u8]) -> Result<Mechanism<'a>, Fault> {
    let params = GcmParams::new(nonce, aad, TAG_BITS.into());
    Ok(Mechanism::AesGcm(params.map_err(while_doing(token, "take the parameters of AES-GCM"))?))
}

/// How tokens say that the tag does not fit; SoftHSM2 calls it a general error.
fn is_refusal(error: &Error) -> bool {
    let Error::Pkcs11(code, _) = error else { return false };
    matches!(
        code,
        RvError::EncryptedDataInvalid
            | RvError::EncryptedDataLenRange
            | RvError::DataInvalid
            | RvError::DataLenRange
            | RvError::SignatureInvalid
            | RvError::GeneralError
            | RvError::FunctionFailed
    )
}
