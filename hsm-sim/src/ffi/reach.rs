//! Whether a caller's pointer leads anywhere. The kernel does the copying: where a plain access would end the
//! process, it answers.
//!
//! Where the kernel does not offer that (other systems, some sandboxes) the access is a plain one.
#![allow(unsafe_code, reason = "the C boundary reads and writes the caller's memory")]

/// Copies from the caller's memory, and says whether all of it could be read.
///
/// # Safety
/// `ours` is valid for writes of `length` bytes.
pub(super) unsafe fn fetch(theirs: *const u8, ours: *mut u8, length: usize) -> bool {
    // SAFETY: `ours` as promised; the kernel checks what is the caller's.
    match unsafe { ask(Direction::Read, ours, theirs.cast_mut(), length) } {
        Some(done) => done,
        None => {
            // SAFETY: nobody can be asked, so the caller of the library is believed.
            unsafe { ours.copy_from_nonoverlapping(theirs, length) };
            true
        }
    }
}

/// Copies to the caller's memory, and says whether all of it could be written.
///
/// # Safety
/// `ours` is valid for reads of `length` bytes.
pub(super) unsafe fn store(ours: *const u8, theirs: *mut u8, length: usize) -> bool {
    // SAFETY: as above.
    match unsafe { ask(Direction::Write, ours.cast_mut(), theirs, length) } {
        Some(done) => done,
        None => {
            // SAFETY: as above.
            unsafe { theirs.copy_from_nonoverlapping(ours, length) };
            true
        }
    }
}

/// Whether every page of a range can be read now.
pub(super) fn is_readable(start: *const u8, length: usize) -> bool {
    let Some(last) = length.checked_sub(1) else { return true };
    if start.addr().checked_add(last).is_none() {
        return false;
    }
    let mut byte = 0_u8;
    // Each page by its first byte in the range. Pages are larger on some machines, never smaller.
    let second = PAGE_BYTES - start.addr() % PAGE_BYTES;
    let mut places = std::iter::once(0).chain((second..=last).step_by(PAGE_BYTES));
    // SAFETY: `byte` is one byte.
    places.all(|place| unsafe { probe(start.wrapping_add(place), &mut byte) })
}

const PAGE_BYTES: usize = 4096;

/// # Safety
/// `ours` is valid for a byte.
unsafe fn probe(theirs: *const u8, ours: *mut u8) -> bool {
    // SAFETY: as promised; the kernel checks what is the caller's.
    unsafe { ask(Direction::Read, ours, theirs.cast_mut(), 1) }.unwrap_or(true)
}

enum Direction {
    Read,
    Write,
}

/// Lets the kernel copy within this process; `None` if it does not do that here.
///
/// # Safety
/// `ours` is valid for `length` bytes, in the direction asked for.
#[cfg(target_os = "linux")]
unsafe fn ask(direction: Direction, ours: *mut u8, theirs: *mut u8, length: usize) -> Option<bool> {
    let ours = libc::iovec { iov_base: ours.cast(), iov_len: length };
    let theirs = libc::iovec { iov_base: theirs.cast(), iov_len: length };
    let process = libc::pid_t::try_from(super::process::process()).ok()?;
    // SAFETY: one part on each side; the kernel checks both.
    let copied = unsafe {
        match direction {
            Direction::Read => libc::process_vm_readv(process, &ours, 1, &theirs, 1, 0),
            Direction::Write => libc::process_vm_writev(process, &ours, 1, &theirs, 1, 0),
        }
    };
    match usize::try_from(copied) {
        Ok(copied) => Some(copied == length),
        Err(_) if std::io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT) => Some(false),
        Err(_) => None,
    }
}

#[cfg(not(target_os = "linux"))]
unsafe fn ask(_: Direction, _: *mut u8, _: *mut u8, _: usize) -> Option<bool> {
    None
}
