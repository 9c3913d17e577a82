//! What one process makes of the control file: which rules it knows, how often each met its call, which fires.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki_sys::{CK_SESSION_HANDLE, CK_SLOT_ID};

use super::control::{Control, ControlError};
use super::rule::{Fault, Rule};
use crate::module::SLOTS;
use crate::store::Stamp;

/// Where a call goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Slot(CK_SLOT_ID),
    Session(CK_SESSION_HANDLE),
}

/// A call of a C function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) function: &'static str,
    pub(crate) place: Place,
}

/// What is to happen after a call.
#[derive(Debug, Default)]
pub(crate) struct Then {
    /// A fault that lets the work be done first.
    pub(crate) late: Option<Fault>,
    /// Whether an error leaves the operation active.
    pub(crate) buggy: bool,
}

/// The faults of a process.
#[derive(Debug)]
pub(crate) struct Injector {
    control: Control,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    stamp: Option<Stamp>,
    rules: Vec<Armed>,
    /// Operations that a buggy token keeps: the session and the family.
    stuck: BTreeSet<(CK_SESSION_HANDLE, &'static str)>,
}

#[derive(Debug)]
struct Armed {
    rule: Rule,
    calls: u32,
}

impl Injector {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { control: Control::at(folder), seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the control file if it changed, and hands on which slots are empty. Says whether there is any fault
    /// to think of. One `stat` if nothing changed.
    pub(crate) fn look(&self, apply: impl FnOnce([bool; SLOTS as usize])) -> Result<bool, ControlError> {
        let mut seen = self.seen();
        if self.control.stamp()? != seen.stamp {
            let (stamp, rules) = self.control.load()?;
            seen.arm(rules);
            seen.stamp = stamp;
            apply(seen.pulled());
        }
        Ok(!seen.rules.is_empty() || !seen.stuck.is_empty())
    }

    /// How long this call is held up.
    pub(crate) fn latency_ms(&self, slot: CK_SLOT_ID, call: &Call) -> u64 {
        let seen = self.seen();
        let waits =
            seen.rules.iter().filter(|armed| armed.rule.slot == slot).map(|armed| match armed.rule.fault {
                Fault::Latency { ms, on } if on.contain(call.function) => ms,
                _ => 0,
            });
        waits.sum()
    }

    pub(crate) fn is_buggy(&self, slot: CK_SLOT_ID) -> bool {
        let buggy = |armed: &Armed| armed.rule.slot == slot && armed.rule.fault == Fault::Buggy;
        self.seen().rules.iter().any(buggy)
    }

    /// Counts the call, and takes the first rule whose turn it is out of the control file.
    pub(crate) fn fire(&self, slot: CK_SLOT_ID, call: &Call) -> Result<Option<Fault>, ControlError> {
        let due = self.seen().count(slot, call.function);
        let Some(rule) = due else { return Ok(None) };
        if rule.fault.trigger().is_some_and(|trigger| trigger.times.is_none()) {
            return Ok(Some(rule.fault));
        }
        let mut fired = false;
        self.control.update(|rules| {
            // It is gone if another process was faster.
            let place = rules.iter().position(|known| *known == rule);
            fired = place.is_some();
            place.into_iter().for_each(|place| spend(rules, place));
            fired
        })?;
        Ok(fired.then_some(rule.fault))
    }

    pub(crate) fn keep_stuck(&self, session: CK_SESSION_HANDLE, family: &'static str) {
        self.seen().stuck.insert((session, family));
    }

    pub(crate) fn is_stuck(&self, session: CK_SESSION_HANDLE, family: &'static str) -> bool {
        self.seen().stuck.contains(&(session, family))
    }

    pub(crate) fn free_stuck(&self, which: impl Fn(CK_SESSION_HANDLE, &'static str) -> bool) {
        self.seen().stuck.retain(|(session, family)| !which(*session, family));
    }
}

/// One time less: the rule goes with the last one, and a token that is pulled stays out.
fn spend(rules: &mut Vec<Rule>, place: usize) {
    let Some(rule) = rules.get_mut(place) else { return };
    if matches!(rule.fault, Fault::Pull(_)) {
        rule.fault = Fault::Pull(None);
        return;
    }
    let left = rule.fault.trigger_mut().and_then(|trigger| {
        let left = trigger.times?.checked_sub(1).filter(|left| *left > 0)?;
        (trigger.at, trigger.times) = (1, Some(left));
        Some(left)
    });
    if left.is_none() {
        rules.remove(place);
    }
}

impl Seen {
    /// Takes rules over; those known keep their count.
    fn arm(&mut self, rules: Vec<Rule>) {
        let mut known = std::mem::take(&mut self.rules);
        self.rules = rules
            .into_iter()
            .map(|rule| {
                let place = known.iter().position(|armed| armed.rule == rule);
                let calls = place.map_or(0, |place| known.swap_remove(place).calls);
                Armed { rule, calls }
            })
            .collect();
    }

    fn pulled(&self) -> [bool; SLOTS as usize] {
        let mut pulled = [false; SLOTS as usize];
        for armed in self.rules.iter().filter(|armed| armed.rule.fault == Fault::Pull(None)) {
            let slot = usize::try_from(armed.rule.slot).ok().and_then(|slot| pulled.get_mut(slot));
            slot.into_iter().for_each(|slot| *slot = true);
        }
        pulled
    }

    fn count(&mut self, slot: CK_SLOT_ID, function: &str) -> Option<Rule> {
        let mut due = None;
        for armed in self.rules.iter_mut().filter(|armed| armed.rule.slot == slot) {
            let Some(trigger) = armed.rule.fault.trigger().filter(|trigger| trigger.on.contain(function))
            else {
                continue;
            };
            armed.calls = armed.calls.saturating_add(1);
            if armed.calls >= trigger.at && due.is_none() {
                due = Some(armed.rule.clone());
            }
        }
        due
    }
}
