//! Wrapping, unwrapping and deriving.
#![allow(unsafe_code, reason = "shells of the C boundary")]

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BYTE, CK_MECHANISM, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_ULONG,
};

use super::memory::{answer, input, room};
use super::objects::makes;
use super::parameter::mechanism;
use super::{guard, module};

pub(super) unsafe extern "C" fn C_WrapKey(
    session: CK_SESSION_HANDLE,
    how: *mut CK_MECHANISM,
    under: CK_OBJECT_HANDLE,
    key: CK_OBJECT_HANDLE,
    out: *mut CK_BYTE,
    out_length: *mut CK_ULONG,
) -> CK_RV {
    guard(|| {
        let module = module()?;
        module.check_session(session)?;
        // SAFETY: the caller's mechanism and output.
        unsafe {
            let reply = module.wrap_key(session, &mechanism(how)?, under, key, room(out, out_length)?)?;
            answer(reply, out, out_length)
        }
    })
}

pub(super) unsafe extern "C" fn C_UnwrapKey(
    session: CK_SESSION_HANDLE,
    how: *mut CK_MECHANISM,
    under: CK_OBJECT_HANDLE,
    wrapped: *mut CK_BYTE,
    wrapped_length: CK_ULONG,
    entries: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    out: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: the caller's mechanism, input, template and handle.
    unsafe {
        makes(session, (entries, count), out, |module, template| {
            module.unwrap_key(session, &mechanism(how)?, under, input(wrapped, wrapped_length)?, template)
        })
    }
}

pub(super) unsafe extern "C" fn C_DeriveKey(
    session: CK_SESSION_HANDLE,
    how: *mut CK_MECHANISM,
    base: CK_OBJECT_HANDLE,
    entries: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    out: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: the caller's mechanism, template and handle.
    unsafe {
        makes(session, (entries, count), out, |module, template| {
            module.derive_key(session, &mechanism(how)?, base, template)
        })
    }
}
