//! Using keys: signing, verifying, sealing, opening; and hashing.

use std::sync::Arc;

use cryptoki_sys as sys;
use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_MECHANISM_TYPE, CK_OBJECT_CLASS, CK_OBJECT_HANDLE, CK_SESSION_HANDLE,
};

use super::{Module, Session};
use crate::error::{Error, Refusal, Result};
use crate::key::Key;
use crate::mechanism::{Gcm, Mechanism, Scheme};
use crate::object::Object;
use crate::operation::{Hashing, Operations, Reply, Room, Sealing, Signing, conclude};

/// The kinds of operation that can be active in a session.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Activity {
    /// `C_SignInit` and what follows.
    Signing,
    /// `C_VerifyInit` and what follows.
    Verifying,
    /// `C_EncryptInit` and what follows.
    Sealing,
    /// `C_DecryptInit` and what follows.
    Opening,
    /// `C_DigestInit` and what follows.
    Hashing,
}

impl Module {
    /// Ends an operation, as an error in a call on it does.
    pub fn abandon(&self, handle: CK_SESSION_HANDLE, activity: Activity) {
        let Ok(session) = self.state().session(handle) else { return };
        let mut operations = session.operations();
        match activity {
            Activity::Signing => operations.signing = None,
            Activity::Verifying => operations.verifying = None,
            Activity::Sealing => operations.sealing = None,
            Activity::Opening => operations.opening = None,
            Activity::Hashing => operations.hashing = None,
        }
    }

    /// `C_SignInit`.
    ///
    /// # Errors
    /// If the mechanism, its parameter or the key do not fit, or a signature is under way.
    pub fn sign_init(
        &self,
        handle: CK_SESSION_HANDLE,
        mechanism: &Mechanism,
        key: CK_OBJECT_HANDLE,
    ) -> Result<()> {
        let prepare = |object: &Object| {
            let scheme = Scheme::parse(mechanism)?;
            let class = class_of(scheme, sys::CKO_PRIVATE_KEY);
            let key = usable(object, mechanism.kind, class, sys::CKA_SIGN)?;
            Ok(Signing::sign(scheme, key)?)
        };
        self.start(handle, key, |operations| &mut operations.signing, prepare)
    }

    /// `C_Sign`.
    ///
    /// # Errors
    /// If no signature is under way, or the data does not fit the mechanism.
    pub fn sign(&self, handle: CK_SESSION_HANDLE, data: &[u8], room: Room) -> Result<Reply> {
        let session = self.state().session(handle)?;
        let active = &mut session.operations().signing;
        single_part(active, Signing::is_in_parts)?;
        conclude(active, room, |signing| Ok(signing.signature_bytes()), |signing| signing.finish(data))
    }

    /// `C_SignUpdate`.
    ///
    /// # Errors
    /// If no signature is under way, or the message is too long.
    pub fn sign_update(&self, handle: CK_SESSION_HANDLE, part: &[u8]) -> Result<()> {
        let session = self.state().session(handle)?;
        update(&mut session.operations().signing, part)
    }

    /// `C_SignFinal`.
    ///
    /// # Errors
    /// If no signature is under way, or the data does not fit the mechanism.
    pub fn sign_final(&self, handle: CK_SESSION_HANDLE, room: Room) -> Result<Reply> {
        let session = self.state().session(handle)?;
        let active = &mut session.operations().signing;
        conclude(active, room, |signing| Ok(signing.signature_bytes()), |signing| signing.finish(&[]))
    }

    /// `C_VerifyInit`.
    ///
    /// # Errors
    /// If the mechanism, its parameter or the key do not fit, or a verification is under way.
    pub fn verify_init(
        &self,
        handle: CK_SESSION_HANDLE,
        mechanism: &Mechanism,
        key: CK_OBJECT_HANDLE,
    ) -> Result<()> {
        let prepare = |object: &Object| {
            let scheme = Scheme::parse(mechanism)?;
            let class = class_of(scheme, sys::CKO_PUBLIC_KEY);
            let key = usable(object, mechanism.kind, class, sys::CKA_VERIFY)?;
            Ok(Signing::verify(scheme, key)?)
        };
        self.start(handle, key, |operations| &mut operations.verifying, prepare)
    }

    /// `C_Verify`.
    ///
    /// # Errors
    /// If no verification is under way, or the signature does not hold.
    pub fn verify(&self, handle: CK_SESSION_HANDLE, data: &[u8], signature: &[u8]) -> Result<()> {
        let session = self.state().session(handle)?;
        let active = &mut session.operations().verifying;
        single_part(active, Signing::is_in_parts)?;
        active.take().ok_or(Refusal::OperationMissing)?.check(data, signature)
    }

    /// `C_VerifyUpdate`.
    ///
    /// # Errors
    /// If no verification is under way, or the message is too long.
    pub fn verify_update(&self, handle: CK_SESSION_HANDLE, part: &[u8]) -> Result<()> {
        let session = self.state().session(handle)?;
        update(&mut session.operations().verifying, part)
    }

    /// `C_VerifyFinal`.
    ///
    /// # Errors
    /// If no verification is under way, or the signature does not hold.
    pub fn verify_final(&self, handle: CK_SESSION_HANDLE, signature: &[u8]) -> Result<()> {
        let session = self.state().session(handle)?;
        let verifying = session.operations().verifying.take().ok_or(Refusal::OperationMissing)?;
        verifying.check(&[], signature)
    }

    /// `C_EncryptInit`.
    ///
    /// # Errors
    /// If the mechanism, its parameter or the key do not fit, or an encryption is under way.
    pub fn encrypt_init(
        &self,
        handle: CK_SESSION_HANDLE,
        mechanism: Mechanism,
        key: CK_OBJECT_HANDLE,
    ) -> Result<()> {
        let prepare = |object: &Object| sealing(object, mechanism, sys::CKA_ENCRYPT);
        self.start(handle, key, |operations| &mut operations.sealing, prepare)
    }

    /// `C_Encrypt`: ciphertext and tag.
    ///
    /// # Errors
    /// If no encryption is under way.
    pub fn encrypt(&self, handle: CK_SESSION_HANDLE, plain: &[u8], room: Room) -> Result<Reply> {
        let session = self.state().session(handle)?;
        let active = &mut session.operations().sealing;
        conclude(active, room, |_| Ok(Sealing::sealed_bytes(plain)), |sealing| sealing.seal(plain))
    }

    /// `C_DecryptInit`.
    ///
    /// # Errors
    /// If the mechanism, its parameter or the key do not fit, or a decryption is under way.
    pub fn decrypt_init(
        &self,
        handle: CK_SESSION_HANDLE,
        mechanism: Mechanism,
        key: CK_OBJECT_HANDLE,
    ) -> Result<()> {
        let prepare = |object: &Object| sealing(object, mechanism, sys::CKA_DECRYPT);
        self.start(handle, key, |operations| &mut operations.opening, prepare)
    }

    /// `C_Decrypt`.
    ///
    /// # Errors
    /// If no decryption is under way, or the ciphertext does not open.
    pub fn decrypt(&self, handle: CK_SESSION_HANDLE, sealed: &[u8], room: Room) -> Result<Reply> {
        let session = self.state().session(handle)?;
        let active = &mut session.operations().opening;
        conclude(active, room, |_| Sealing::plain_bytes(sealed), |opening| opening.open(sealed))
    }

    /// `C_DigestInit`.
    ///
    /// # Errors
    /// If the mechanism is no digest, or a digest is under way.
    pub fn digest_init(&self, handle: CK_SESSION_HANDLE, mechanism: &Mechanism) -> Result<()> {
        let session = self.state().session(handle)?;
        let active = &mut session.operations().hashing;
        if active.is_some() {
            return Err(Refusal::OperationActive.into());
        }
        *active = Some(Hashing::start(mechanism)?);
        Ok(())
    }

    /// `C_Digest`.
    ///
    /// # Errors
    /// If no digest is under way.
    pub fn digest(&self, handle: CK_SESSION_HANDLE, data: &[u8], room: Room) -> Result<Reply> {
        let session = self.state().session(handle)?;
        let active = &mut session.operations().hashing;
        single_part(active, Hashing::is_in_parts)?;
        conclude(active, room, |hashing| Ok(hashing.digest_bytes()), |hashing| Ok(hashing.finish(data)))
    }

    /// `C_DigestUpdate`.
    ///
    /// # Errors
    /// If no digest is under way.
    pub fn digest_update(&self, handle: CK_SESSION_HANDLE, part: &[u8]) -> Result<()> {
        let session = self.state().session(handle)?;
        session.operations().hashing.as_mut().ok_or(Refusal::OperationMissing)?.update(part);
        Ok(())
    }

    /// `C_DigestFinal`.
    ///
    /// # Errors
    /// If no digest is under way.
    pub fn digest_final(&self, handle: CK_SESSION_HANDLE, room: Room) -> Result<Reply> {
        let session = self.state().session(handle)?;
        let active = &mut session.operations().hashing;
        conclude(active, room, |hashing| Ok(hashing.digest_bytes()), |hashing| Ok(hashing.finish(&[])))
    }

    /// Starts an operation with a key. The state stays locked, so that a logout cannot slip in between.
    fn start<T>(
        &self,
        handle: CK_SESSION_HANDLE,
        key: CK_OBJECT_HANDLE,
        place: impl FnOnce(&mut Operations) -> &mut Option<T>,
        prepare: impl FnOnce(&Object) -> Result<T>,
    ) -> Result<()> {
        let mut state = self.state();
        let (session, object) = match state.visible(handle, key) {
            Err(Error::Refused(Refusal::ObjectHandle)) => return Err(Refusal::KeyHandle.into()),
            found => found?,
        };
        let session: &Session = &session;
        let mut operations = session.operations();
        let active = place(&mut operations);
        if active.is_some() {
            return Err(Refusal::OperationActive.into());
        }
        *active = Some(prepare(&object)?);
        Ok(())
    }
}

/// HMAC uses the same secret key both ways.
fn class_of(scheme: Scheme, class: CK_OBJECT_CLASS) -> CK_OBJECT_CLASS {
    if scheme == Scheme::Hmac { sys::CKO_SECRET_KEY } else { class }
}

fn usable(
    object: &Object,
    mechanism: CK_MECHANISM_TYPE,
    class: CK_OBJECT_CLASS,
    permission: CK_ATTRIBUTE_TYPE,
) -> Result<Arc<Key>> {
    let key = object.key_for(class, permission)?;
    if object.allows(mechanism) { Ok(key) } else { Err(Refusal::Mechanism.into()) }
}

fn sealing(object: &Object, mechanism: Mechanism, permission: CK_ATTRIBUTE_TYPE) -> Result<Sealing> {
    let kind = mechanism.kind;
    let gcm = Gcm::parse(mechanism)?;
    Ok(Sealing::new(gcm, usable(object, kind, sys::CKO_SECRET_KEY, permission)?)?)
}

/// A call for the whole message ends an operation that was begun in parts.
fn single_part<T>(active: &mut Option<T>, in_parts: impl FnOnce(&T) -> bool) -> Result<(), Refusal> {
    match active.take() {
        Some(operation) if in_parts(&operation) => Err(Refusal::OperationActive),
        operation => {
            *active = operation;
            Ok(())
        }
    }
}

/// An error ends the operation.
fn update(active: &mut Option<Signing>, part: &[u8]) -> Result<()> {
    let mut signing = active.take().ok_or(Refusal::OperationMissing)?;
    signing.update(part)?;
    *active = Some(signing);
    Ok(())
}
