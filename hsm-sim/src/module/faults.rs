//! Faults on purpose, before and after each call: what the control file wants, done as a real device does it.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cryptoki_sys as sys;
use cryptoki_sys::{CK_RV, CK_SLOT_ID};

use super::crypto::Activity;
use super::{Module, SLOTS, State};
use crate::error::{Error, Refusal, Result};
use crate::faults::{Call, Fault, Place, Then};

/// How long a held-up call sleeps before it looks whether the token is still there.
const NAP: Duration = Duration::from_millis(10);

/// The families of calls that make up an operation.
const FAMILIES: [(&str, Option<Activity>); 8] = [
    ("C_SignRecover", Some(Activity::Signing)),
    ("C_VerifyRecover", Some(Activity::Verifying)),
    ("C_Sign", Some(Activity::Signing)),
    ("C_Verify", Some(Activity::Verifying)),
    ("C_Encrypt", Some(Activity::Sealing)),
    ("C_Decrypt", Some(Activity::Opening)),
    ("C_Digest", Some(Activity::Hashing)),
    ("C_FindObjects", None),
];

/// What part of an operation a function is.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Part {
    Init,
    Update,
    End,
}

/// The family and part of a function, if it belongs to an operation.
fn part_of(function: &str) -> Option<(&'static str, Part)> {
    FAMILIES.iter().find_map(|(family, _)| {
        let part = match function.strip_prefix(family)? {
            "Init" => Part::Init,
            "Update" => Part::Update,
            "" if *family == "C_FindObjects" => Part::Update,
            "" | "Final" => Part::End,
            // `C_DigestKey`; and the calls on two operations at once, which are left alone.
            "Key" => Part::Update,
            _ => return None,
        };
        Some((*family, part))
    })
}

impl Module {
    /// What the control file has to say before a call: to be held up, to be refused, or what follows it.
    pub(crate) fn before(&self, call: &Call) -> Result<Then> {
        if !self.look()? {
            return Ok(Then::default());
        }
        let Some(slot) = self.slot_of(call.place) else { return Ok(Then::default()) };
        let ms = self.faults.latency_ms(slot, call);
        self.hold_up(slot, call, Duration::from_millis(ms))?;
        self.refuse_stuck(call)?;
        let buggy = self.faults.is_buggy(slot);
        match self.faults.fire(slot, call)? {
            Some(fault) if fault.trigger().is_some_and(|trigger| trigger.after) => {
                Ok(Then { late: Some(fault), buggy })
            }
            Some(Fault::Garble(trigger)) => Ok(Then { late: Some(Fault::Garble(trigger)), buggy }),
            Some(fault) => self.happen(call, slot, &fault, buggy).map(|()| Then::default()),
            None => Ok(Then { late: None, buggy }),
        }
    }

    /// What follows a call that answered `code`: the answer, and whether its output is to be garbled.
    pub(crate) fn after(&self, call: &Call, then: &Then, code: CK_RV) -> Result<(CK_RV, bool)> {
        let Some(slot) = self.slot_of(call.place).filter(|_| then.buggy || then.late.is_some()) else {
            return Ok((code, false));
        };
        let failed = !matches!(
            code,
            sys::CKR_OK
                | sys::CKR_BUFFER_TOO_SMALL
                | sys::CKR_OPERATION_NOT_INITIALIZED
                | sys::CKR_OPERATION_ACTIVE
                | sys::CKR_USER_NOT_LOGGED_IN
        );
        if failed && then.buggy {
            self.end_operation(call, true);
        }
        match &then.late {
            Some(Fault::Garble(_)) => Ok((code, code == sys::CKR_OK)),
            Some(fault) if code == sys::CKR_OK => {
                self.happen(call, slot, fault, then.buggy).map(|()| (code, false))
            }
            _ => Ok((code, false)),
        }
    }

    /// Takes up what the control file says of slots. Says whether there is any fault.
    pub(crate) fn look(&self) -> Result<bool> {
        Ok(self.faults.look(|pulled| self.state().set_pulled(pulled))?)
    }

    /// Sleeps, unless the token is pulled, the fault lifted or the library finalised meanwhile.
    fn hold_up(&self, slot: CK_SLOT_ID, call: &Call, length: Duration) -> Result<()> {
        let end = Instant::now() + length;
        let mut left = length;
        while !left.is_zero() {
            thread::sleep(left.min(NAP));
            if self.is_closed() {
                return Err(Refusal::NotInitialized.into());
            }
            self.look()?;
            self.state().still_there(call.place)?;
            if self.faults.latency_ms(slot, call) == 0 {
                break;
            }
            left = end.saturating_duration_since(Instant::now());
        }
        Ok(())
    }

    /// An operation that a buggy token kept: it cannot be begun anew, and ends without a result.
    fn refuse_stuck(&self, call: &Call) -> Result<()> {
        let (Place::Session(session), Some((family, part))) = (call.place, part_of(call.function)) else {
            return Ok(());
        };
        if !self.faults.is_stuck(session, family) {
            return Ok(());
        }
        match part {
            Part::Init => Err(Refusal::OperationActive.into()),
            Part::Update => Err(Refusal::FunctionFailed.into()),
            Part::End => {
                self.faults.free_stuck(|stuck, kept| (stuck, kept) == (session, family));
                Err(Refusal::FunctionFailed.into())
            }
        }
    }

    fn happen(&self, call: &Call, slot: CK_SLOT_ID, fault: &Fault, buggy: bool) -> Result<()> {
        match fault {
            Fault::Pull(_) => {
                // The control file says now that the token is out.
                self.look()?;
                self.state().still_there(call.place)?;
                Err(Refusal::TokenRemoved.into())
            }
            Fault::Error { code, .. } => {
                self.end_operation(call, buggy);
                Err(Error::OnPurpose(*code))
            }
            Fault::Lose(_) => {
                self.state().lose_sessions(slot)?;
                Err(Refusal::SessionClosed.into())
            }
            Fault::Crash(_) => std::process::abort(),
            Fault::Garble(_) | Fault::Buggy | Fault::Latency { .. } => Ok(()),
        }
    }

    /// Ends the operation that failed; a buggy token does not let go of it.
    fn end_operation(&self, call: &Call, buggy: bool) {
        let (Place::Session(session), Some((family, part))) = (call.place, part_of(call.function)) else {
            return;
        };
        if part == Part::Init {
            return;
        }
        match FAMILIES.iter().find(|(known, _)| *known == family) {
            Some((_, Some(activity))) => self.abandon(session, *activity),
            _ => drop(self.find_final(session)),
        }
        if buggy {
            self.faults.keep_stuck(session, family);
        }
    }

    /// The slot that a call goes to, if there is something in it.
    fn slot_of(&self, place: Place) -> Option<CK_SLOT_ID> {
        let state = self.state();
        match place {
            Place::Slot(slot) => state.present(slot).is_ok().then_some(slot),
            Place::Session(session) => state.sessions.get(&session).map(|session| session.slot),
        }
    }
}

impl State {
    /// Whether what a call under way goes to was not pulled meanwhile.
    fn still_there(&mut self, place: Place) -> Result<()> {
        match place {
            Place::Slot(slot) => self.present(slot).or(Err(Refusal::TokenRemoved.into())),
            Place::Session(session) => self.session(session).map(|_| ()),
        }
    }

    /// Tokens go out and come back. Going out closes sessions and drops the login, as real ones do.
    fn set_pulled(&mut self, pulled: [bool; SLOTS as usize]) {
        for (slot, out) in (0..).zip(pulled) {
            let Some(bay) = usize::try_from(slot).ok().and_then(|slot| self.bays.get_mut(slot)) else {
                continue;
            };
            if bay.pulled == out {
                continue;
            }
            (bay.pulled, bay.event) = (out, true);
            if out {
                self.remove_sessions(slot);
            }
        }
    }

    /// Closes every session on the token, which stays where it is.
    fn lose_sessions(&mut self, slot: CK_SLOT_ID) -> Result<()> {
        self.token_mut(slot)?.logout();
        self.drop_sessions(slot);
        Ok(())
    }
}

/// Tells sleepers that the library is closed.
#[derive(Debug, Default)]
pub(super) struct Closing {
    closed: Mutex<bool>,
    bell: std::sync::Condvar,
}

impl Closing {
    fn close(&self) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_all();
    }

    /// Waits so long, or until the library is closed, and says whether it is.
    pub(super) fn wait(&self, length: Duration) -> bool {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.bell.wait_timeout_while(closed, length, |closed| !*closed);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Module {
    /// Ends what waits in this library: `C_Finalize` was called.
    pub fn close(&self) {
        self.closing.close();
    }

    fn is_closed(&self) -> bool {
        self.closing.wait(Duration::ZERO)
    }
}
