//! Reading and writing a caller's memory. Null pointers, absurd lengths and pointers that lead nowhere are refused;
//! that a pointer leads to what it should, only the caller knows.
#![allow(unsafe_code, reason = "the C boundary reads and writes the caller's memory")]

use std::mem::{MaybeUninit, offset_of};

use cryptoki_sys as sys;
use cryptoki_sys::{CK_ATTRIBUTE, CK_ATTRIBUTE_TYPE, CK_BYTE, CK_ULONG};
use zeroize::Zeroizing;

use super::reach::{fetch, is_readable, store};
use crate::attribute::{ATTRIBUTE_BYTES_MAX, ATTRIBUTES_MAX};
use crate::error::{Refusal, Result};
use crate::module::objects::Template;
use crate::operation::{Reply, Room};

/// The longest input of one call, in bytes.
const INPUT_BYTES_MAX: usize = 1 << 28;

/// The bytes at `pointer`; null is the empty input.
///
/// # Safety
/// `pointer` is null or valid for reads of `length` bytes while the result lives.
pub(super) unsafe fn input<'a>(pointer: *const CK_BYTE, length: CK_ULONG) -> Result<&'a [u8], Refusal> {
    let length = bounded(length, INPUT_BYTES_MAX)?;
    match (pointer.is_null(), length) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Refusal::Arguments),
        (false, _) if !is_readable(pointer, length) => Err(Refusal::Arguments),
        // SAFETY: not null, `length` readable bytes, and the caller promises that they stay so.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(pointer, length) }),
    }
}

/// Writes `value`.
///
/// # Safety
/// `pointer` is null or valid for a write of `T`.
pub(super) unsafe fn put<T>(pointer: *mut T, value: T) -> Result<()> {
    present(pointer)?;
    // SAFETY: `value` is a `T`; alignment is not assumed.
    let stored = unsafe { store((&raw const value).cast(), pointer.cast(), size_of::<T>()) };
    if stored { Ok(()) } else { Err(Refusal::Arguments.into()) }
}

/// Writes bytes.
///
/// # Safety
/// `pointer` is null or valid for writes of as many bytes.
pub(super) unsafe fn put_bytes(pointer: *mut CK_BYTE, bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.is_empty() {
        return Ok(());
    }
    present(pointer)?;
    // SAFETY: `bytes` is as long as it is.
    let stored = unsafe { store(bytes.as_ptr(), pointer, bytes.len()) };
    if stored { Ok(()) } else { Err(Refusal::Arguments) }
}

/// Writes numbers one after the other.
///
/// # Safety
/// `pointer` is null or valid for writes of as many numbers.
pub(super) unsafe fn put_numbers(pointer: *mut CK_ULONG, numbers: &[CK_ULONG]) -> Result<(), Refusal> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
    // SAFETY: as promised by the caller.
    unsafe { put_bytes(pointer.cast(), &bytes) }
}

/// Makes sure that a handle can be handed over before the work is done: it is set to `CK_INVALID_HANDLE`.
///
/// # Safety
/// `pointer` is null or valid for a write of a handle.
pub(super) unsafe fn ready(pointer: *mut CK_ULONG) -> Result<()> {
    // SAFETY: as promised by the caller.
    unsafe { put(pointer, sys::CK_INVALID_HANDLE) }
}

/// Reads a value.
///
/// # Safety
/// `pointer` is null or valid for a read of `T`, which any bytes may make up.
pub(super) unsafe fn get<T: Copy>(pointer: *const T) -> Result<T, Refusal> {
    if pointer.is_null() {
        return Err(Refusal::Arguments);
    }
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: there is room for a `T`; alignment is not assumed.
    if !unsafe { fetch(pointer.cast(), value.as_mut_ptr().cast(), size_of::<T>()) } {
        return Err(Refusal::Arguments);
    }
    // SAFETY: every byte was written, and any bytes make up a `T`.
    Ok(unsafe { value.assume_init() })
}

/// Refuses a null pointer before work is done whose result could not be handed over.
pub(super) fn present<T>(pointer: *mut T) -> Result<(), Refusal> {
    if pointer.is_null() { Err(Refusal::Arguments) } else { Ok(()) }
}

/// A list answer under the length convention of `C_GetSlotList`.
///
/// # Safety
/// `count` is null or valid for a `CK_ULONG`; `out` is null or valid for `*count` items.
pub(super) unsafe fn put_list(items: &[CK_ULONG], out: *mut CK_ULONG, count: *mut CK_ULONG) -> Result<()> {
    // SAFETY: as promised by the caller.
    unsafe {
        let room = get(count)?;
        put(count, items.len() as CK_ULONG)?;
        if out.is_null() {
            return Ok(());
        }
        if room < items.len() as CK_ULONG {
            return Err(Refusal::BufferTooSmall.into());
        }
        Ok(put_numbers(out, items)?)
    }
}

/// The room that a caller offers.
///
/// # Safety
/// `length` is null or valid for a `CK_ULONG`.
pub(super) unsafe fn room(out: *const CK_BYTE, length: *const CK_ULONG) -> Result<Room, Refusal> {
    // SAFETY: as promised by the caller.
    let offered = unsafe { get(length)? };
    match out.is_null() {
        true => Ok(Room::Query),
        false => Ok(Room::Bytes(usize::try_from(offered).unwrap_or(usize::MAX))),
    }
}

/// Hands an answer over.
///
/// # Safety
/// `length` is valid for a `CK_ULONG`, and `out` for the bytes of the room that [`room`] read from it.
pub(super) unsafe fn answer(reply: Reply, out: *mut CK_BYTE, length: *mut CK_ULONG) -> Result<()> {
    // SAFETY: `reply` holds bytes only if they fit the room.
    unsafe {
        match reply {
            Reply::Length(needed) => put(length, needed as CK_ULONG)?,
            Reply::TooSmall(needed) => {
                put(length, needed as CK_ULONG)?;
                return Err(Refusal::BufferTooSmall.into());
            }
            Reply::Bytes(bytes) => {
                put(length, bytes.len() as CK_ULONG)?;
                put_bytes(out, &bytes)?;
            }
        }
    }
    Ok(())
}

/// A template's attributes, copied.
///
/// # Safety
/// `pointer` is null or valid for reads of `count` attributes, and each of them for its value.
pub(super) unsafe fn template(pointer: *const CK_ATTRIBUTE, count: CK_ULONG) -> Result<Template, Refusal> {
    // SAFETY: as promised by the caller.
    let attributes = unsafe { attributes(pointer, count)? };
    let mut template = Template::new();
    for attribute in attributes {
        bounded(attribute.ulValueLen, ATTRIBUTE_BYTES_MAX).or(Err(Refusal::AttributeValue))?;
        // SAFETY: as promised by the caller.
        let bytes = unsafe { input(attribute.pValue.cast(), attribute.ulValueLen) };
        template.push((attribute.type_, Zeroizing::new(bytes.or(Err(Refusal::AttributeValue))?.to_vec())));
    }
    Ok(template)
}

/// A template's entries as they are.
///
/// # Safety
/// `pointer` is null or valid for reads of `count` attributes.
pub(super) unsafe fn attributes(
    pointer: *const CK_ATTRIBUTE,
    count: CK_ULONG,
) -> Result<Vec<CK_ATTRIBUTE>, Refusal> {
    let count = bounded(count, ATTRIBUTES_MAX)?;
    if count > 0 && pointer.is_null() {
        return Err(Refusal::Arguments);
    }
    let mut entries = Vec::<CK_ATTRIBUTE>::with_capacity(count);
    let bytes = count * size_of::<CK_ATTRIBUTE>();
    // SAFETY: there is room for as many; any bytes make up an attribute.
    unsafe {
        if count > 0 && !fetch(pointer.cast(), entries.as_mut_ptr().cast(), bytes) {
            return Err(Refusal::Arguments);
        }
        entries.set_len(count);
    }
    Ok(entries)
}

/// Answers `C_GetAttributeValue` for one entry.
///
/// # Safety
/// `entry` is valid for an attribute, whose `pValue` is null or valid for writes of `ulValueLen` bytes.
pub(super) unsafe fn put_attribute(
    entry: *mut CK_ATTRIBUTE,
    revealed: Result<Zeroizing<Vec<u8>>, Refusal>,
) -> Result<(), Refusal> {
    // SAFETY: as promised by the caller.
    unsafe {
        let asked = get(entry)?;
        let place = entry.cast::<u8>().wrapping_add(offset_of!(CK_ATTRIBUTE, ulValueLen));
        let put_length = |length: CK_ULONG| put_numbers(place.cast(), &[length]);
        let bytes = match revealed {
            Ok(bytes) => bytes,
            Err(refusal) => {
                put_length(sys::CK_UNAVAILABLE_INFORMATION)?;
                return Err(refusal);
            }
        };
        let needed = bytes.len() as CK_ULONG;
        if !asked.pValue.is_null() && asked.ulValueLen < needed {
            put_length(sys::CK_UNAVAILABLE_INFORMATION)?;
            return Err(Refusal::BufferTooSmall);
        }
        if !asked.pValue.is_null() && put_bytes(asked.pValue.cast(), &bytes).is_err() {
            put_length(sys::CK_UNAVAILABLE_INFORMATION)?;
            return Err(Refusal::Arguments);
        }
        put_length(needed)
    }
}

/// Names of types that templates are asked for.
pub(super) fn wanted(entries: &[CK_ATTRIBUTE]) -> Vec<CK_ATTRIBUTE_TYPE> {
    entries.iter().map(|entry| entry.type_).collect()
}

fn bounded(length: CK_ULONG, bound: usize) -> Result<usize, Refusal> {
    usize::try_from(length).ok().filter(|length| *length <= bound).ok_or(Refusal::Arguments)
}
