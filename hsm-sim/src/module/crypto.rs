//! Operations with keys: signing, verifying, sealing, opening; and hashing.

use std::sync::Arc;

use cryptoki_sys as sys;
use cryptoki_sys::{
    CK_ATTRIBUTE_TYPE, CK_MECHANISM_TYPE, CK_OBJECT_CLASS, CK_OBJECT_HANDLE, CK_SESSION_HANDLE,
};

use super::{Module, Session};
use crate::error::{Error, Refusal, Result};
use crate::key::Key;
use crate::mechanism::{Cipher, Mechanism, Scheme};
use crate::object::Object;
use crate::operation::{Ciphering, Context, Hashing, Operations, Reply, Room, Signing, conclude};

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
        self.cancel(handle, activity);
    }

    /// As [`Module::abandon`], and says whether there was an operation to end.
    pub fn cancel(&self, handle: CK_SESSION_HANDLE, activity: Activity) -> bool {
        let Ok(session) = self.state().session(handle) else { return false };
        let mut operations = session.operations();
        let ended = match activity {
            Activity::Signing => operations.signing.take().is_some(),
            Activity::Verifying => operations.verifying.take().is_some(),
            Activity::Sealing => operations.sealing.take().is_some(),
            Activity::Opening => operations.opening.take().is_some(),
            Activity::Hashing => operations.hashing.take().is_some(),
        };
        operations.settle_context();
        ended
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
            let key = usable(object, mechanism.kind, class_of(&scheme, sys::CKO_PRIVATE_KEY), sys::CKA_SIGN)?;
            Ok(Signing::sign(scheme, key)?)
        };
        self.start(handle, key, |operations| &mut operations.signing, prepare)
    }

    /// `C_Sign`.
    ///
    /// # Errors
    /// If no signature is under way, or the data does not fit the mechanism.
    pub fn sign(&self, handle: CK_SESSION_HANDLE, data: &[u8], room: Room) -> Result<Reply> {
        self.private_step(handle, |operations| {
            single_part(&mut operations.signing, Signing::is_in_parts)?;
            conclude(&mut operations.signing, room, Signing::signature_bytes, |signing| signing.finish(data))
        })
    }

    /// `C_SignUpdate`.
    ///
    /// # Errors
    /// If no signature is under way, or the message is too long.
    pub fn sign_update(&self, handle: CK_SESSION_HANDLE, part: &[u8]) -> Result<()> {
        self.private_step(handle, |operations| gather(&mut operations.signing, part))
    }

    /// `C_SignFinal`.
    ///
    /// # Errors
    /// If no signature is under way, or the data does not fit the mechanism.
    pub fn sign_final(&self, handle: CK_SESSION_HANDLE, room: Room) -> Result<Reply> {
        self.private_step(handle, |operations| {
            conclude(&mut operations.signing, room, Signing::signature_bytes, |signing| signing.finish(&[]))
        })
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
            let key =
                usable(object, mechanism.kind, class_of(&scheme, sys::CKO_PUBLIC_KEY), sys::CKA_VERIFY)?;
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
        gather(&mut session.operations().verifying, part)
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
        mechanism: &Mechanism,
        key: CK_OBJECT_HANDLE,
    ) -> Result<()> {
        let prepare = |object: &Object| ciphering(object, mechanism, true);
        self.start(handle, key, |operations| &mut operations.sealing, prepare)
    }

    /// `C_Encrypt`.
    ///
    /// # Errors
    /// If no encryption is under way, or the message does not fit the mechanism.
    pub fn encrypt(&self, handle: CK_SESSION_HANDLE, plain: &[u8], room: Room) -> Result<Reply> {
        let session = self.state().session(handle)?;
        Ciphering::whole(&mut session.operations().sealing, plain, room)
    }

    /// `C_EncryptUpdate`.
    ///
    /// # Errors
    /// If no encryption is under way, or the mechanism takes no parts.
    pub fn encrypt_update(&self, handle: CK_SESSION_HANDLE, part: &[u8], room: Room) -> Result<Reply> {
        let session = self.state().session(handle)?;
        let mut operations = session.operations();
        going(operations.sealing.as_mut())?.update(part, room)
    }

    /// `C_EncryptFinal`.
    ///
    /// # Errors
    /// If no encryption is under way, or the message does not end where it may.
    pub fn encrypt_final(&self, handle: CK_SESSION_HANDLE, room: Room) -> Result<Reply> {
        let session = self.state().session(handle)?;
        Ciphering::finish(&mut session.operations().sealing, room)
    }

    /// `C_DecryptInit`.
    ///
    /// # Errors
    /// If the mechanism, its parameter or the key do not fit, or a decryption is under way.
    pub fn decrypt_init(
        &self,
        handle: CK_SESSION_HANDLE,
        mechanism: &Mechanism,
        key: CK_OBJECT_HANDLE,
    ) -> Result<()> {
        let prepare = |object: &Object| ciphering(object, mechanism, false);
        self.start(handle, key, |operations| &mut operations.opening, prepare)
    }

    /// `C_Decrypt`.
    ///
    /// # Errors
    /// If no decryption is under way, or the ciphertext does not open.
    pub fn decrypt(&self, handle: CK_SESSION_HANDLE, sealed: &[u8], room: Room) -> Result<Reply> {
        self.private_step(handle, |operations| Ciphering::whole(&mut operations.opening, sealed, room))
    }

    /// `C_DecryptUpdate`.
    ///
    /// # Errors
    /// If no decryption is under way, or the mechanism takes no parts.
    pub fn decrypt_update(&self, handle: CK_SESSION_HANDLE, part: &[u8], room: Room) -> Result<Reply> {
        self.private_step(handle, |operations| going(operations.opening.as_mut())?.update(part, room))
    }

    /// `C_DecryptFinal`.
    ///
    /// # Errors
    /// If no decryption is under way, or the ciphertext does not open.
    pub fn decrypt_final(&self, handle: CK_SESSION_HANDLE, room: Room) -> Result<Reply> {
        self.private_step(handle, |operations| Ciphering::finish(&mut operations.opening, room))
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
        conclude(active, room, Hashing::digest_bytes, |hashing| Ok(hashing.finish(data)))
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

    /// `C_DigestKey`: the value of a secret key that may leave the token; of another, a digest would tell whether
    /// a guess at it is right.
    ///
    /// # Errors
    /// If no digest is under way, or the key cannot be digested.
    pub fn digest_key(&self, handle: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE) -> Result<()> {
        let (session, object) = self.state().visible(handle, key).map_err(no_key)?;
        let mut operations = session.operations();
        let hashing = operations.hashing.as_mut().ok_or(Refusal::OperationMissing)?;
        let key = object.key()?;
        let value = key.secret().filter(|_| object.flag(sys::CKA_EXTRACTABLE));
        hashing.update(value.ok_or(Refusal::KeyIndigestible)?);
        Ok(())
    }

    /// `C_DigestFinal`.
    ///
    /// # Errors
    /// If no digest is under way.
    pub fn digest_final(&self, handle: CK_SESSION_HANDLE, room: Room) -> Result<Reply> {
        let session = self.state().session(handle)?;
        let active = &mut session.operations().hashing;
        conclude(active, room, Hashing::digest_bytes, |hashing| Ok(hashing.finish(&[])))
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
        let (session, object) = state.visible(handle, key).map_err(no_key)?;
        let session: &Session = &session;
        let mut operations = session.operations();
        let active = place(&mut operations);
        if active.is_some() {
            return Err(Refusal::OperationActive.into());
        }
        *active = Some(prepare(&object)?);
        if object.flag(sys::CKA_ALWAYS_AUTHENTICATE) {
            operations.context = Context::Needed;
        }
        Ok(())
    }

    /// A step of an operation that may need its own PIN.
    fn private_step<T>(
        &self,
        handle: CK_SESSION_HANDLE,
        step: impl FnOnce(&mut Operations) -> Result<T>,
    ) -> Result<T> {
        let session = self.state().session(handle)?;
        let mut operations = session.operations();
        operations.check_context()?;
        let done = step(&mut operations);
        operations.settle_context();
        done
    }
}

/// What is wrong with the handle of a key.
pub(super) fn no_key(error: Error) -> Error {
    match error {
        Error::Refused(Refusal::ObjectHandle) => Refusal::KeyHandle.into(),
        other => other,
    }
}

/// An authentication code uses the same secret key both ways.
fn class_of(scheme: &Scheme, class: CK_OBJECT_CLASS) -> CK_OBJECT_CLASS {
    if matches!(scheme, Scheme::Mac(_)) { sys::CKO_SECRET_KEY } else { class }
}

pub(super) fn usable(
    object: &Object,
    mechanism: CK_MECHANISM_TYPE,
    class: CK_OBJECT_CLASS,
    permission: CK_ATTRIBUTE_TYPE,
) -> Result<Arc<Key>> {
    let key = object.key_for(class, permission)?;
    if object.allows(mechanism) { Ok(key) } else { Err(Refusal::Mechanism.into()) }
}

fn ciphering(object: &Object, mechanism: &Mechanism, encrypts: bool) -> Result<Ciphering> {
    let cipher = Cipher::parse(mechanism)?;
    let class = match (&cipher, encrypts) {
        (Cipher::Rsa(_), true) => sys::CKO_PUBLIC_KEY,
        (Cipher::Rsa(_), false) => sys::CKO_PRIVATE_KEY,
        _ => sys::CKO_SECRET_KEY,
    };
    let permission = if encrypts { sys::CKA_ENCRYPT } else { sys::CKA_DECRYPT };
    Ok(Ciphering::new(cipher, usable(object, mechanism.kind, class, permission)?, encrypts)?)
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

/// No part follows the end, even if the last output has not been fetched.
fn going(active: Option<&mut Ciphering>) -> Result<&mut Ciphering, Refusal> {
    match active {
        Some(operation) if operation.has_ended() => Err(Refusal::OperationActive),
        active => active.ok_or(Refusal::OperationMissing),
    }
}

/// An error ends the operation.
fn gather(active: &mut Option<Signing>, part: &[u8]) -> Result<()> {
    let mut signing = active.take().ok_or(Refusal::OperationMissing)?;
    signing.update(part)?;
    *active = Some(signing);
    Ok(())
}
