//! Object functions and key generation.
#![allow(unsafe_code, reason = "shells of the C boundary")]

use cryptoki_sys::{CK_ATTRIBUTE, CK_MECHANISM, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_ULONG};

use super::memory::{attributes, present, put, put_attribute, put_numbers, ready, template, wanted};
use super::parameter::mechanism;
use super::{guard, module};
use crate::error::Result;
use crate::{Module, Template};

/// A call that makes one object of a template; nothing is made whose handle cannot be handed over.
///
/// # Safety
/// The template and `out` are the caller's, as in [`template`] and [`ready`].
pub(super) unsafe fn makes(
    session: CK_SESSION_HANDLE,
    (entries, count): (*mut CK_ATTRIBUTE, CK_ULONG),
    out: *mut CK_OBJECT_HANDLE,
    make: impl FnOnce(&Module, &Template) -> Result<CK_OBJECT_HANDLE>,
) -> CK_RV {
    guard(|| {
        let module = module()?;
        module.check_session(session)?;
        // SAFETY: as promised by the caller.
        unsafe {
            ready(out)?;
            put(out, make(&module, &template(entries, count)?)?)
        }
    })
}

pub(super) unsafe extern "C" fn C_CreateObject(
    session: CK_SESSION_HANDLE,
    entries: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    out: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: the caller's template and handle.
    unsafe {
        makes(session, (entries, count), out, |module, template| module.create_object(session, template))
    }
}

pub(super) unsafe extern "C" fn C_CopyObject(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    entries: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    out: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: the caller's template and handle.
    unsafe {
        makes(session, (entries, count), out, |module, template| {
            module.copy_object(session, object, template)
        })
    }
}

pub(super) unsafe extern "C" fn C_DestroyObject(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
) -> CK_RV {
    guard(|| module()?.destroy_object(session, object))
}

pub(super) unsafe extern "C" fn C_GetObjectSize(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    out: *mut CK_ULONG,
) -> CK_RV {
    guard(|| {
        let size = module()?.object_size(session, object)?;
        // SAFETY: the caller's number.
        unsafe { put(out, size) }
    })
}

pub(super) unsafe extern "C" fn C_GetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    entries: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    guard(|| {
        let module = module()?;
        module.check_session(session)?;
        // SAFETY: the caller's template.
        let asked = unsafe { attributes(entries, count)? };
        let revealed = module.attributes(session, object, &wanted(&asked))?;
        let mut first_refusal = Ok(());
        for (index, revealed) in revealed.into_iter().enumerate() {
            // SAFETY: `index` is below `count`.
            let done = unsafe { put_attribute(entries.wrapping_add(index), revealed) };
            first_refusal = first_refusal.and(done);
        }
        Ok(first_refusal?)
    })
}

pub(super) unsafe extern "C" fn C_SetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    entries: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    guard(|| {
        let module = module()?;
        module.check_session(session)?;
        // SAFETY: the caller's template.
        module.set_attributes(session, object, &unsafe { template(entries, count)? })
    })
}

pub(super) unsafe extern "C" fn C_FindObjectsInit(
    session: CK_SESSION_HANDLE,
    entries: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    guard(|| {
        let module = module()?;
        module.check_session(session)?;
        // SAFETY: the caller's template.
        module.find_init(session, &unsafe { template(entries, count)? })
    })
}

pub(super) unsafe extern "C" fn C_FindObjects(
    session: CK_SESSION_HANDLE,
    out: *mut CK_OBJECT_HANDLE,
    most: CK_ULONG,
    count: *mut CK_ULONG,
) -> CK_RV {
    guard(|| {
        let module = module()?;
        module.check_session(session)?;
        if most > 0 {
            present(out)?;
        }
        // SAFETY: the caller's number.
        unsafe { put(count, 0)? };
        let found = module.find(session, usize::try_from(most).unwrap_or(usize::MAX))?;
        // SAFETY: the caller's list and number; no more than `most` were found.
        unsafe {
            put_numbers(out, &found)?;
            put(count, found.len() as CK_ULONG)
        }
    })
}

pub(super) unsafe extern "C" fn C_FindObjectsFinal(session: CK_SESSION_HANDLE) -> CK_RV {
    guard(|| module()?.find_final(session))
}

pub(super) unsafe extern "C" fn C_GenerateKey(
    session: CK_SESSION_HANDLE,
    how: *mut CK_MECHANISM,
    entries: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    out: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: the caller's mechanism, template and handle.
    unsafe {
        makes(session, (entries, count), out, |module, template| {
            module.generate_key(session, &mechanism(how)?, template)
        })
    }
}

pub(super) unsafe extern "C" fn C_GenerateKeyPair(
    session: CK_SESSION_HANDLE,
    how: *mut CK_MECHANISM,
    public: *mut CK_ATTRIBUTE,
    public_count: CK_ULONG,
    private: *mut CK_ATTRIBUTE,
    private_count: CK_ULONG,
    public_out: *mut CK_OBJECT_HANDLE,
    private_out: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    guard(|| {
        let module = module()?;
        module.check_session(session)?;
        // SAFETY: the caller's mechanism, templates and handles.
        unsafe {
            ready(public_out)?;
            ready(private_out)?;
            let (public, private) = (template(public, public_count)?, template(private, private_count)?);
            let made = module.generate_key_pair(session, &mechanism(how)?, &public, &private)?;
            put(public_out, made.0)?;
            put(private_out, made.1)
        }
    })
}
