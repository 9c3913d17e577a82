//! Each function once more, around the shell of the same name: faults on purpose happen before it and after it.
#![allow(unsafe_code, reason = "shells of the C boundary")]

use cryptoki_sys::*;

use super::{code_of, guard, module};
use crate::faults::{Call, Place, Then};

/// The shells that do the work.
mod shells {
    pub(in crate::ffi) use super::super::{
        crypto::*, general::*, keys::*, objects::*, sessions::*, unsupported::*,
    };
}

/// Runs a shell with what the control file wants before it and after it.
fn around(call: Call, output: (*mut CK_BYTE, *mut CK_ULONG), work: impl FnOnce() -> CK_RV) -> CK_RV {
    let Ok(module) = module() else { return work() };
    let mut then = Then::default();
    let before = guard(|| {
        then = module.before(&call)?;
        Ok(())
    });
    if before != CKR_OK {
        return before;
    }
    let code = work();
    if then.late.is_none() && !then.buggy {
        return code;
    }
    code_of(|| {
        let (code, garbles) = module.after(&call, &then, code)?;
        if garbles {
            // SAFETY: the shell succeeded, so it wrote as many bytes as it wrote to the length.
            unsafe { garble(output.0, output.1) };
        }
        Ok(code)
    })
}

/// # Safety
/// Both are null, or valid: `length` for a `CK_ULONG`, `out` for as many bytes.
unsafe fn garble(out: *mut CK_BYTE, length: *mut CK_ULONG) {
    if out.is_null() || length.is_null() {
        return;
    }
    // SAFETY: not null, and as promised by the caller.
    unsafe {
        let Some(last) =
            usize::try_from(length.read_unaligned()).ok().and_then(|length| length.checked_sub(1))
        else {
            return;
        };
        *out.add(last) ^= 1;
    }
}

/// Functions without an output that faults change.
macro_rules! around {
    ($($name:ident($place:ident $at:ident: $at_type:ty $(, $argument:ident: $type:ty)*);)*) => {$(
        pub(super) unsafe extern "C" fn $name($at: $at_type $(, $argument: $type)*) -> CK_RV {
            let call = Call { function: stringify!($name), place: Place::$place($at) };
            let none = (std::ptr::null_mut(), std::ptr::null_mut());
            // SAFETY: the caller's arguments, handed on as they came.
            around(call, none, || unsafe { shells::$name($at $(, $argument)*) })
        }
    )*};
}

/// Functions that write bytes under the length convention, last but one and last.
macro_rules! around_output {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {$(
        pub(super) unsafe extern "C" fn $name(
            session: CK_SESSION_HANDLE,
            $($argument: $type,)*
            out: *mut CK_BYTE,
            length: *mut CK_ULONG,
        ) -> CK_RV {
            // SAFETY: the caller's arguments, handed on as they came.
            let work = || unsafe { shells::$name(session, $($argument,)* out, length) };
            if out.is_null() {
                // Lengths are known on this side: nothing goes to the device.
                return work();
            }
            let call = Call { function: stringify!($name), place: Place::Session(session) };
            around(call, (out, length), work)
        }
    )*};
}

type Session = CK_SESSION_HANDLE;
type Slot = CK_SLOT_ID;
type Object = CK_OBJECT_HANDLE;
type Bytes = *mut CK_BYTE;
type Attributes = *mut CK_ATTRIBUTE;
type Mechanism = *mut CK_MECHANISM;

around! {
    C_GetSlotInfo(Slot slot: Slot, out: *mut CK_SLOT_INFO);
    C_GetTokenInfo(Slot slot: Slot, out: *mut CK_TOKEN_INFO);
    C_GetMechanismList(Slot slot: Slot, out: *mut CK_MECHANISM_TYPE, count: *mut CK_ULONG);
    C_GetMechanismInfo(Slot slot: Slot, kind: CK_MECHANISM_TYPE, out: *mut CK_MECHANISM_INFO);
    C_InitToken(Slot slot: Slot, pin: *mut CK_UTF8CHAR, length: CK_ULONG, label: *mut CK_UTF8CHAR);
    C_InitPIN(Session session: Session, pin: *mut CK_UTF8CHAR, length: CK_ULONG);
    C_SetPIN(
        Session session: Session, old: *mut CK_UTF8CHAR, old_length: CK_ULONG,
        new: *mut CK_UTF8CHAR, new_length: CK_ULONG
    );
    C_OpenSession(
        Slot slot: Slot, flags: CK_FLAGS, application: *mut std::ffi::c_void, notify: CK_NOTIFY,
        out: *mut CK_SESSION_HANDLE
    );
    C_CloseSession(Session session: Session);
    C_CloseAllSessions(Slot slot: Slot);
    C_GetSessionInfo(Session session: Session, out: *mut CK_SESSION_INFO);
    C_SetOperationState(
        Session session: Session, state: Bytes, length: CK_ULONG, encryption: Object, authentication: Object
    );
    C_Login(Session session: Session, user: CK_USER_TYPE, pin: *mut CK_UTF8CHAR, length: CK_ULONG);
    C_Logout(Session session: Session);
    C_CreateObject(Session session: Session, entries: Attributes, count: CK_ULONG, out: *mut Object);
    C_CopyObject(
        Session session: Session, object: Object, entries: Attributes, count: CK_ULONG, out: *mut Object
    );
    C_DestroyObject(Session session: Session, object: Object);
    C_GetObjectSize(Session session: Session, object: Object, out: *mut CK_ULONG);
    C_GetAttributeValue(Session session: Session, object: Object, entries: Attributes, count: CK_ULONG);
    C_SetAttributeValue(Session session: Session, object: Object, entries: Attributes, count: CK_ULONG);
    C_FindObjectsInit(Session session: Session, entries: Attributes, count: CK_ULONG);
    C_FindObjects(Session session: Session, out: *mut Object, most: CK_ULONG, count: *mut CK_ULONG);
    C_FindObjectsFinal(Session session: Session);
    C_EncryptInit(Session session: Session, how: Mechanism, key: Object);
    C_DecryptInit(Session session: Session, how: Mechanism, key: Object);
    C_DigestInit(Session session: Session, how: Mechanism);
    C_DigestUpdate(Session session: Session, part: Bytes, length: CK_ULONG);
    C_DigestKey(Session session: Session, key: Object);
    C_SignInit(Session session: Session, how: Mechanism, key: Object);
    C_SignUpdate(Session session: Session, part: Bytes, length: CK_ULONG);
    C_SignRecoverInit(Session session: Session, how: Mechanism, key: Object);
    C_VerifyInit(Session session: Session, how: Mechanism, key: Object);
    C_Verify(Session session: Session, data: Bytes, data_length: CK_ULONG, signature: Bytes, length: CK_ULONG);
    C_VerifyUpdate(Session session: Session, part: Bytes, length: CK_ULONG);
    C_VerifyFinal(Session session: Session, signature: Bytes, length: CK_ULONG);
    C_VerifyRecoverInit(Session session: Session, how: Mechanism, key: Object);
    C_GenerateKey(
        Session session: Session, how: Mechanism, entries: Attributes, count: CK_ULONG, out: *mut Object
    );
    C_GenerateKeyPair(
        Session session: Session, how: Mechanism, public: Attributes, public_count: CK_ULONG,
        private: Attributes, private_count: CK_ULONG, public_out: *mut Object, private_out: *mut Object
    );
    C_UnwrapKey(
        Session session: Session, how: Mechanism, key: Object, wrapped: Bytes, length: CK_ULONG,
        entries: Attributes, count: CK_ULONG, out: *mut Object
    );
    C_DeriveKey(
        Session session: Session, how: Mechanism, key: Object, entries: Attributes, count: CK_ULONG,
        out: *mut Object
    );
    C_SeedRandom(Session session: Session, seed: Bytes, length: CK_ULONG);
    C_GenerateRandom(Session session: Session, out: Bytes, length: CK_ULONG);
}

around_output! {
    C_GetOperationState();
    C_Encrypt(data: Bytes, data_length: CK_ULONG);
    C_EncryptUpdate(data: Bytes, data_length: CK_ULONG);
    C_EncryptFinal();
    C_Decrypt(data: Bytes, data_length: CK_ULONG);
    C_DecryptUpdate(data: Bytes, data_length: CK_ULONG);
    C_DecryptFinal();
    C_Digest(data: Bytes, data_length: CK_ULONG);
    C_DigestFinal();
    C_Sign(data: Bytes, data_length: CK_ULONG);
    C_SignFinal();
    C_SignRecover(data: Bytes, data_length: CK_ULONG);
    C_VerifyRecover(data: Bytes, data_length: CK_ULONG);
    C_DigestEncryptUpdate(data: Bytes, data_length: CK_ULONG);
    C_DecryptDigestUpdate(data: Bytes, data_length: CK_ULONG);
    C_SignEncryptUpdate(data: Bytes, data_length: CK_ULONG);
    C_DecryptVerifyUpdate(data: Bytes, data_length: CK_ULONG);
    C_WrapKey(how: Mechanism, wrapping: Object, key: Object);
}
