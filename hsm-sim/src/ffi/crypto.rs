//! Signing, verifying, sealing, opening and hashing.
#![allow(unsafe_code, reason = "shells of the C boundary")]

use cryptoki_sys::{CK_BYTE, CK_MECHANISM, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_ULONG};

use super::memory::{answer, input, room};
use super::parameter::mechanism;
use super::{guard, guard_activity, module};
use crate::error::{Refusal, Result};
use crate::module::Module;
use crate::module::crypto::Activity;

/// Without a mechanism an init call ends what is active, as clients of PKCS#11 v3.0 expect; v2.40
/// has no such call.
fn cancel(module: &Module, session: CK_SESSION_HANDLE, activity: Activity) -> Result<()> {
    if module.cancel(session, activity) { Ok(()) } else { Err(Refusal::Arguments.into()) }
}

/// `C_...Init` with a key.
macro_rules! starts {
    ($($name:ident = $activity:ident, $method:ident;)*) => {$(
        pub(super) unsafe extern "C" fn $name(
            session: CK_SESSION_HANDLE,
            how: *mut CK_MECHANISM,
            key: CK_OBJECT_HANDLE,
        ) -> CK_RV {
            guard(|| {
                let module = module()?;
                module.check_session(session)?;
                if how.is_null() {
                    return cancel(&module, session, Activity::$activity);
                }
                // SAFETY: the caller's mechanism.
                module.$method(session, &unsafe { mechanism(how)? }, key)
            })
        }
    )*};
}

starts! {
    C_SignInit = Signing, sign_init;
    C_VerifyInit = Verifying, verify_init;
    C_EncryptInit = Sealing, encrypt_init;
    C_DecryptInit = Opening, decrypt_init;
}

/// An input and an output under the length convention.
macro_rules! transforms {
    ($($name:ident = $activity:ident, $method:ident;)*) => {$(
        pub(super) unsafe extern "C" fn $name(
            session: CK_SESSION_HANDLE,
            data: *mut CK_BYTE,
            data_length: CK_ULONG,
            out: *mut CK_BYTE,
            out_length: *mut CK_ULONG,
        ) -> CK_RV {
            guard_activity(session, Activity::$activity, |module| {
                // SAFETY: the caller's input and output.
                unsafe {
                    let reply = module.$method(session, input(data, data_length)?, room(out, out_length)?)?;
                    answer(reply, out, out_length)
                }
            })
        }
    )*};
}

transforms! {
    C_Sign = Signing, sign;
    C_Encrypt = Sealing, encrypt;
    C_EncryptUpdate = Sealing, encrypt_update;
    C_Decrypt = Opening, decrypt;
    C_DecryptUpdate = Opening, decrypt_update;
    C_Digest = Hashing, digest;
}

/// One part of a message.
macro_rules! updates {
    ($($name:ident = $activity:ident, $method:ident;)*) => {$(
        pub(super) unsafe extern "C" fn $name(
            session: CK_SESSION_HANDLE,
            part: *mut CK_BYTE,
            part_length: CK_ULONG,
        ) -> CK_RV {
            guard_activity(session, Activity::$activity, |module| {
                // SAFETY: the caller's input.
                module.$method(session, unsafe { input(part, part_length)? })
            })
        }
    )*};
}

updates! {
    C_SignUpdate = Signing, sign_update;
    C_VerifyUpdate = Verifying, verify_update;
    C_VerifyFinal = Verifying, verify_final;
    C_DigestUpdate = Hashing, digest_update;
}

/// An output under the length convention.
macro_rules! finals {
    ($($name:ident = $activity:ident, $method:ident;)*) => {$(
        pub(super) unsafe extern "C" fn $name(
            session: CK_SESSION_HANDLE,
            out: *mut CK_BYTE,
            out_length: *mut CK_ULONG,
        ) -> CK_RV {
            guard_activity(session, Activity::$activity, |module| {
                // SAFETY: the caller's output.
                unsafe { answer(module.$method(session, room(out, out_length)?)?, out, out_length) }
            })
        }
    )*};
}

finals! {
    C_SignFinal = Signing, sign_final;
    C_EncryptFinal = Sealing, encrypt_final;
    C_DecryptFinal = Opening, decrypt_final;
    C_DigestFinal = Hashing, digest_final;
}

pub(super) unsafe extern "C" fn C_Verify(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    data_length: CK_ULONG,
    signature: *mut CK_BYTE,
    signature_length: CK_ULONG,
) -> CK_RV {
    guard_activity(session, Activity::Verifying, |module| {
        // SAFETY: the caller's inputs.
        unsafe { module.verify(session, input(data, data_length)?, input(signature, signature_length)?) }
    })
}

pub(super) unsafe extern "C" fn C_DigestInit(session: CK_SESSION_HANDLE, how: *mut CK_MECHANISM) -> CK_RV {
    guard(|| {
        let module = module()?;
        module.check_session(session)?;
        if how.is_null() {
            return cancel(&module, session, Activity::Hashing);
        }
        // SAFETY: the caller's mechanism.
        module.digest_init(session, &unsafe { mechanism(how)? })
    })
}

pub(super) unsafe extern "C" fn C_DigestKey(session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE) -> CK_RV {
    guard_activity(session, Activity::Hashing, |module| module.digest_key(session, key))
}
