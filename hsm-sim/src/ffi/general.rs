//! General, slot and token functions.
#![allow(unsafe_code, reason = "shells of the C boundary")]

use std::ffi::c_void;

use cryptoki_sys as sys;
use cryptoki_sys::{
    CK_BBOOL, CK_FLAGS, CK_INFO, CK_MECHANISM_INFO, CK_MECHANISM_TYPE, CK_RV, CK_SLOT_ID, CK_SLOT_INFO,
    CK_TOKEN_INFO, CK_ULONG, CK_UTF8CHAR, CK_VERSION,
};

use super::memory::{get, input, present, put, put_list};
use super::{finalise, guard, initialise, module};
use crate::error::{Refusal, Result};
use crate::mechanism::{MECHANISMS, info};
use crate::token::PIN_BYTES;

const MANUFACTURER: &str = "Keyward non-production";
const LIBRARY: &str = "Keyward hsm-sim, NON-PRODUCTION";
const MODEL: &str = "hsm-sim nonprod";
const VERSION: CK_VERSION = CK_VERSION { major: 0, minor: 1 };

pub(super) unsafe extern "C" fn C_Initialize(args: *mut c_void) -> CK_RV {
    guard(|| {
        if !args.is_null() {
            // SAFETY: not null, so it points to the arguments' structure.
            check_arguments(&unsafe { get(args.cast::<sys::CK_C_INITIALIZE_ARGS>())? })?;
        }
        initialise()
    })
}

/// The four mutex functions come together or not at all. This library locks with the operating system's own,
/// which a caller that insists on its functions does not allow.
fn check_arguments(args: &sys::CK_C_INITIALIZE_ARGS) -> Result<(), Refusal> {
    let given = [
        args.CreateMutex.is_some(),
        args.DestroyMutex.is_some(),
        args.LockMutex.is_some(),
        args.UnlockMutex.is_some(),
    ];
    let (all, any) = (given.iter().all(|given| *given), given.iter().any(|given| *given));
    if !args.pReserved.is_null() || all != any {
        return Err(Refusal::Arguments);
    }
    if all && args.flags & sys::CKF_OS_LOCKING_OK == 0 { Err(Refusal::CannotLock) } else { Ok(()) }
}

pub(super) unsafe extern "C" fn C_Finalize(reserved: *mut c_void) -> CK_RV {
    guard(|| if reserved.is_null() { finalise() } else { Err(Refusal::Arguments.into()) })
}

pub(super) unsafe extern "C" fn C_GetInfo(out: *mut CK_INFO) -> CK_RV {
    guard(|| {
        module()?;
        let info = CK_INFO {
            cryptokiVersion: CK_VERSION { major: 2, minor: 40 },
            manufacturerID: padded(MANUFACTURER),
            flags: 0,
            libraryDescription: padded(LIBRARY),
            libraryVersion: VERSION,
        };
        // SAFETY: the caller's structure.
        unsafe { put(out, info) }
    })
}

pub(super) unsafe extern "C" fn C_GetSlotList(
    token_present: CK_BBOOL,
    out: *mut CK_SLOT_ID,
    count: *mut CK_ULONG,
) -> CK_RV {
    guard(|| {
        let module = module()?;
        module.look()?;
        // SAFETY: the caller's list.
        unsafe { put_list(&module.slots(token_present != sys::CK_FALSE), out, count) }
    })
}

pub(super) unsafe extern "C" fn C_GetSlotInfo(slot: CK_SLOT_ID, out: *mut CK_SLOT_INFO) -> CK_RV {
    guard(|| {
        let present = if module()?.has_token(slot)? { sys::CKF_TOKEN_PRESENT } else { 0 };
        let info = CK_SLOT_INFO {
            slotDescription: padded(&format!("Keyward software token slot {slot}")),
            manufacturerID: padded(MANUFACTURER),
            flags: present | sys::CKF_REMOVABLE_DEVICE,
            hardwareVersion: VERSION,
            firmwareVersion: VERSION,
        };
        // SAFETY: the caller's structure.
        unsafe { put(out, info) }
    })
}

pub(super) unsafe extern "C" fn C_GetTokenInfo(slot: CK_SLOT_ID, out: *mut CK_TOKEN_INFO) -> CK_RV {
    guard(|| {
        let module = module()?;
        present(out)?;
        let status = module.token_status(slot)?;
        let unknown = sys::CK_UNAVAILABLE_INFORMATION;
        let info = CK_TOKEN_INFO {
            label: status.label,
            manufacturerID: padded(MANUFACTURER),
            model: padded(MODEL),
            serialNumber: status.serial,
            flags: status.flags,
            ulMaxSessionCount: crate::module::SESSIONS_MAX as CK_ULONG,
            ulSessionCount: status.sessions,
            ulMaxRwSessionCount: crate::module::SESSIONS_MAX as CK_ULONG,
            ulRwSessionCount: status.sessions_read_write,
            ulMaxPinLen: *PIN_BYTES.end() as CK_ULONG,
            ulMinPinLen: *PIN_BYTES.start() as CK_ULONG,
            ulTotalPublicMemory: unknown,
            ulFreePublicMemory: unknown,
            ulTotalPrivateMemory: unknown,
            ulFreePrivateMemory: unknown,
            hardwareVersion: VERSION,
            firmwareVersion: VERSION,
            utcTime: padded(""),
        };
        // SAFETY: the caller's structure.
        unsafe { put(out, info) }
    })
}

pub(super) unsafe extern "C" fn C_GetMechanismList(
    slot: CK_SLOT_ID,
    out: *mut CK_MECHANISM_TYPE,
    count: *mut CK_ULONG,
) -> CK_RV {
    guard(|| {
        module()?.check_token(slot)?;
        // SAFETY: the caller's list.
        unsafe { put_list(&MECHANISMS.map(|(kind, ..)| kind), out, count) }
    })
}

pub(super) unsafe extern "C" fn C_GetMechanismInfo(
    slot: CK_SLOT_ID,
    kind: CK_MECHANISM_TYPE,
    out: *mut CK_MECHANISM_INFO,
) -> CK_RV {
    guard(|| {
        module()?.check_token(slot)?;
        let known = info(kind)?;
        let info = CK_MECHANISM_INFO {
            ulMinKeySize: known.key_min,
            ulMaxKeySize: known.key_max,
            flags: known.flags,
        };
        // SAFETY: the caller's structure.
        unsafe { put(out, info) }
    })
}

pub(super) unsafe extern "C" fn C_InitToken(
    slot: CK_SLOT_ID,
    pin: *mut CK_UTF8CHAR,
    pin_length: CK_ULONG,
    label: *mut CK_UTF8CHAR,
) -> CK_RV {
    guard(|| {
        let module = module()?;
        module.check_token(slot)?;
        present(pin)?;
        // SAFETY: the caller's PIN, and a label of 32 bytes as the standard has it.
        let (pin, label) = unsafe { (input(pin, pin_length)?, get(label.cast::<[u8; 32]>())?) };
        module.init_token(slot, pin, label)
    })
}

pub(super) unsafe extern "C" fn C_WaitForSlotEvent(
    flags: CK_FLAGS,
    out: *mut CK_SLOT_ID,
    reserved: *mut c_void,
) -> CK_RV {
    guard(|| {
        let module = module()?;
        present(out)?;
        if !reserved.is_null() {
            return Err(Refusal::Arguments.into());
        }
        let slot = module.wait_for_slot_event(flags & sys::CKF_DONT_BLOCK == 0)?;
        // SAFETY: the caller's slot.
        unsafe { put(out, slot) }
    })
}

/// Text padded with blanks, as PKCS#11 has it; it is never longer.
fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = text.bytes();
    std::array::from_fn(|_| bytes.next().unwrap_or(b' '))
}
