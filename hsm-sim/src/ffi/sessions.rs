//! Session functions, PINs and random bytes.
#![allow(unsafe_code, reason = "shells of the C boundary")]

use std::ffi::c_void;

use cryptoki_sys as sys;
use cryptoki_sys::{
    CK_BYTE, CK_FLAGS, CK_NOTIFY, CK_RV, CK_SESSION_HANDLE, CK_SESSION_INFO, CK_SLOT_ID, CK_ULONG,
    CK_USER_TYPE, CK_UTF8CHAR,
};
use zeroize::Zeroizing;

use super::memory::{input, present, put, put_bytes, ready};
use super::{guard, module};
use crate::error::{Error, Refusal, Result};
use crate::seal::Role;

/// The most random bytes of one call.
const RANDOM_BYTES_MAX: CK_ULONG = 1 << 24;

pub(super) unsafe extern "C" fn C_OpenSession(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    _application: *mut c_void,
    _notify: CK_NOTIFY,
    out: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    guard(|| {
        let module = module()?;
        // SAFETY: the caller's handle.
        unsafe { ready(out)? };
        if flags & sys::CKF_SERIAL_SESSION == 0 {
            return Err(Refusal::SessionParallel.into());
        }
        let handle = module.open_session(slot, flags & sys::CKF_RW_SESSION != 0)?;
        // SAFETY: the caller's handle.
        unsafe { put(out, handle) }
    })
}

pub(super) unsafe extern "C" fn C_CloseSession(session: CK_SESSION_HANDLE) -> CK_RV {
    guard(|| module()?.close_session(session))
}

pub(super) unsafe extern "C" fn C_CloseAllSessions(slot: CK_SLOT_ID) -> CK_RV {
    guard(|| module()?.close_all_sessions(slot))
}

pub(super) unsafe extern "C" fn C_GetSessionInfo(
    session: CK_SESSION_HANDLE,
    out: *mut CK_SESSION_INFO,
) -> CK_RV {
    guard(|| {
        let status = module()?.session_status(session)?;
        let info = CK_SESSION_INFO {
            slotID: status.slot,
            state: status.state,
            flags: status.flags,
            ulDeviceError: 0,
        };
        // SAFETY: the caller's structure.
        unsafe { put(out, info) }
    })
}

pub(super) unsafe extern "C" fn C_Login(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: *mut CK_UTF8CHAR,
    pin_length: CK_ULONG,
) -> CK_RV {
    guard(|| {
        let module = module()?;
        module.check_session(session)?;
        // There is no protected path: a PIN comes with the call.
        present(pin)?;
        // SAFETY: the caller's PIN.
        let pin = unsafe { input(pin, pin_length)? };
        match user {
            sys::CKU_SO => module.login(session, Role::Officer, pin),
            sys::CKU_USER => module.login(session, Role::User, pin),
            sys::CKU_CONTEXT_SPECIFIC => module.login_for_operation(session, pin),
            _ => Err(Refusal::UserType.into()),
        }
    })
}

pub(super) unsafe extern "C" fn C_Logout(session: CK_SESSION_HANDLE) -> CK_RV {
    guard(|| module()?.logout(session))
}

pub(super) unsafe extern "C" fn C_InitPIN(
    session: CK_SESSION_HANDLE,
    pin: *mut CK_UTF8CHAR,
    pin_length: CK_ULONG,
) -> CK_RV {
    guard(|| {
        let module = module()?;
        module.check_session(session)?;
        present(pin)?;
        // SAFETY: the caller's PIN.
        module.init_pin(session, unsafe { input(pin, pin_length)? })
    })
}

pub(super) unsafe extern "C" fn C_SetPIN(
    session: CK_SESSION_HANDLE,
    old: *mut CK_UTF8CHAR,
    old_length: CK_ULONG,
    new: *mut CK_UTF8CHAR,
    new_length: CK_ULONG,
) -> CK_RV {
    guard(|| {
        let module = module()?;
        module.check_session(session)?;
        present(old)?;
        present(new)?;
        // SAFETY: the caller's PINs.
        let (old, new) = unsafe { (input(old, old_length)?, input(new, new_length)?) };
        module.set_pin(session, old, new)
    })
}

/// The seed is taken and has no effect: random bytes come from the operating system only, which needs none.
pub(super) unsafe extern "C" fn C_SeedRandom(
    session: CK_SESSION_HANDLE,
    seed: *mut CK_BYTE,
    length: CK_ULONG,
) -> CK_RV {
    guard(|| {
        module()?.check_session(session)?;
        if length == 0 { Ok(()) } else { Ok(present(seed)?) }
    })
}

pub(super) unsafe extern "C" fn C_GenerateRandom(
    session: CK_SESSION_HANDLE,
    out: *mut CK_BYTE,
    length: CK_ULONG,
) -> CK_RV {
    guard(|| {
        module()?.check_session(session)?;
        if length == 0 {
            return Ok(());
        }
        present(out)?;
        let bytes = random_bytes(length)?;
        // SAFETY: the caller promises room for `length` bytes.
        unsafe { put_bytes(out, &bytes)? };
        Ok(())
    })
}

fn random_bytes(length: CK_ULONG) -> Result<Zeroizing<Vec<u8>>> {
    let length =
        usize::try_from(length).ok().filter(|_| length <= RANDOM_BYTES_MAX).ok_or(Refusal::Arguments)?;
    let mut bytes = Zeroizing::new(vec![0; length]);
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    Ok(bytes)
}
