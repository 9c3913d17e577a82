//! The C boundary: `extern "C"` shells that read pointers, call [`Module`] and write the answer back.
//!
//! Nothing is decided here. Every shell runs under [`guard`], so that a panic becomes `CKR_GENERAL_ERROR`.
#![allow(non_snake_case, reason = "the names of the PKCS#11 standard")]

mod crypto;
mod faulty;
mod general;
mod keys;
mod list;
mod memory;
mod objects;
mod parameter;
mod process;
mod reach;
mod sessions;
mod unsupported;

use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use cryptoki_sys as sys;
use cryptoki_sys::{CK_RV, CK_SESSION_HANDLE};

pub use self::list::C_GetFunctionList;
use self::process::process;
use crate::error::{Error, Refusal, Result};
use crate::module::Module;
use crate::module::crypto::Activity;

/// The environment variable that makes failures of the store say their causes on standard error.
const TRACE_VARIABLE: &str = "HSM_SIM_TRACE";

/// The library between `C_Initialize` and `C_Finalize`, and the process that initialised it: after a fork the
/// child has to initialise its own.
struct Instance {
    module: Arc<Module>,
    process: u32,
}

/// Whether [`TRACE_VARIABLE`] was set at `C_Initialize`: the environment is not read at any other time.
static TRACED: AtomicBool = AtomicBool::new(false);

static INSTANCE: RwLock<Option<Instance>> = RwLock::new(None);

fn initialise() -> Result<()> {
    let mut instance = INSTANCE.write().unwrap_or_else(PoisonError::into_inner);
    let process = process();
    if instance.as_ref().is_some_and(|known| known.process == process) {
        return Err(Refusal::AlreadyInitialized.into());
    }
    TRACED.store(std::env::var_os(TRACE_VARIABLE).is_some(), Ordering::Relaxed);
    let module = Arc::new(Module::from_environment()?);
    if let Some(parent) = instance.replace(Instance { module, process }) {
        // A fork copied the parent's state, perhaps with a lock held by a thread that does not exist here.
        std::mem::forget(parent);
    }
    Ok(())
}

fn finalise() -> Result<()> {
    let mut instance = INSTANCE.write().unwrap_or_else(PoisonError::into_inner);
    match instance.take() {
        Some(known) if known.process == process() => {
            known.module.close();
            Ok(())
        }
        other => {
            std::mem::forget(other);
            Err(Refusal::NotInitialized.into())
        }
    }
}

fn module() -> Result<Arc<Module>> {
    let instance = INSTANCE.read().unwrap_or_else(PoisonError::into_inner);
    let own = instance.as_ref().filter(|known| known.process == process());
    Ok(own.map(|known| Arc::clone(&known.module)).ok_or(Refusal::NotInitialized)?)
}

/// Runs a shell's body: an error becomes its return value, a panic `CKR_GENERAL_ERROR`.
fn guard(body: impl FnOnce() -> Result<()>) -> CK_RV {
    code_of(|| body().map(|()| sys::CKR_OK))
}

/// As [`guard`], for a body that knows its return value.
fn code_of(body: impl FnOnce() -> Result<CK_RV>) -> CK_RV {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            trace(&error);
            error.code()
        }
        Err(_) => sys::CKR_GENERAL_ERROR,
    }
}

/// As [`guard`], for calls on an operation: an error ends it.
fn guard_activity(
    session: CK_SESSION_HANDLE,
    activity: Activity,
    body: impl FnOnce(&Module) -> Result<()>,
) -> CK_RV {
    guard(|| {
        let module = module()?;
        let done = body(&module);
        match &done {
            Err(Error::Refused(Refusal::BufferTooSmall)) | Ok(()) => {}
            // The operation waits for its PIN.
            Err(Error::Refused(Refusal::NotLoggedIn)) => {}
            Err(_) => module.abandon(session, activity),
        }
        done
    })
}

/// Return values say little. Refusals are the caller's business; a store that fails is the operator's.
fn trace(error: &Error) {
    if matches!(error, Error::Refused(_)) || !TRACED.load(Ordering::Relaxed) {
        return;
    }
    let mut line = format!("hsm-sim: {error}");
    let mut cause = error.source();
    while let Some(next) = cause {
        line.push_str(&format!(": {next}"));
        cause = next.source();
    }
    eprintln!("{line}");
}
