//! Which process this is, without a system call each time, and right after a fork.
#![allow(unsafe_code, reason = "a handler for forks is registered with the C library")]

use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// This process's number, or 0 when it has to be asked for.
static KNOWN: AtomicU32 = AtomicU32::new(0);
/// Whether a fork is told to us, so that a number may be kept.
static TOLD: AtomicBool = AtomicBool::new(false);
static REGISTERED: Once = Once::new();

/// This process's number.
pub(super) fn process() -> u32 {
    match KNOWN.load(Ordering::Relaxed) {
        0 => ask(),
        known => known,
    }
}

fn ask() -> u32 {
    REGISTERED.call_once(|| {
        // SAFETY: the handler touches one atomic number, which it may after a fork.
        let told = unsafe { libc::pthread_atfork(None, None, Some(forget)) } == 0;
        TOLD.store(told, Ordering::Relaxed);
    });
    let own = std::process::id();
    if TOLD.load(Ordering::Relaxed) {
        KNOWN.store(own, Ordering::Relaxed);
    }
    own
}

/// Runs in the child of a fork.
unsafe extern "C" fn forget() {
    KNOWN.store(0, Ordering::Relaxed);
}
