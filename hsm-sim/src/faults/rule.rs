//! One rule of the control file: a line of words, which are also the arguments of `hsm-fault`.

use std::fmt;
use std::str::{FromStr, SplitWhitespace};

use cryptoki_sys as sys;
use cryptoki_sys::{CK_RV, CK_SLOT_ID};
use thiserror::Error;

use crate::module::SLOTS;

/// The longest that one call is held up, in milliseconds.
const LATENCY_MS_MAX: u64 = 600_000;

/// What goes wrong in one slot.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Rule {
    /// The slot.
    pub slot: CK_SLOT_ID,
    /// The fault.
    pub fault: Fault,
}

/// The kinds of fault.
#[derive(Debug, PartialEq, Eq, Clone)]
pub enum Fault {
    /// The token is out; with a trigger, it is pulled inside that call.
    Pull(Option<Trigger>),
    /// An error leaves the operation active.
    Buggy,
    /// Calls take longer.
    Latency {
        /// By so much.
        ms: u64,
        /// Which.
        on: Calls,
    },
    /// A call answers an error.
    Error {
        /// `CKR_...`.
        code: CK_RV,
        /// When.
        trigger: Trigger,
    },
    /// The process's sessions on the token are closed.
    Lose(Trigger),
    /// The last byte of an output is changed.
    Garble(Trigger),
    /// The process aborts.
    Crash(Trigger),
}

/// When a fault happens.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Trigger {
    /// In which calls.
    pub on: Calls,
    /// In the how manieth of them, counted from 1 by each process since it saw the rule.
    pub at: u32,
    /// How often from there on; `None` is always.
    pub times: Option<u32>,
    /// Whether the token does its work first, and only the answer is lost.
    pub after: bool,
}

/// Which calls a rule is about. Calls that only ask for a length are none of them.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Calls {
    /// Those that use or make keys and objects.
    Use,
    /// Every call on the slot or a session of it.
    Any,
    /// The one of this name.
    Named(&'static str),
}

/// Why a line is no rule.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum RuleError {
    /// A word is missing.
    #[error("the line ends where {0} is expected")]
    Missing(&'static str),
    /// A word is not what stands there.
    #[error("`{word}` is not {expected}")]
    Word {
        /// The word.
        word: String,
        /// What was expected.
        expected: &'static str,
    },
}

/// Functions that use or make keys and objects.
const USE: [&str; 20] = [
    "C_Sign",
    "C_SignFinal",
    "C_SignRecover",
    "C_Verify",
    "C_VerifyFinal",
    "C_VerifyRecover",
    "C_Encrypt",
    "C_EncryptFinal",
    "C_Decrypt",
    "C_DecryptFinal",
    "C_WrapKey",
    "C_UnwrapKey",
    "C_DeriveKey",
    "C_GenerateKey",
    "C_GenerateKeyPair",
    "C_CreateObject",
    "C_CopyObject",
    "C_DestroyObject",
    "C_SetAttributeValue",
    "C_Login",
];

/// The other functions that faults happen in.
const OTHERS: [&str; 42] = [
    "C_GetSlotInfo",
    "C_GetTokenInfo",
    "C_GetMechanismList",
    "C_GetMechanismInfo",
    "C_InitToken",
    "C_InitPIN",
    "C_SetPIN",
    "C_OpenSession",
    "C_CloseSession",
    "C_CloseAllSessions",
    "C_GetSessionInfo",
    "C_GetOperationState",
    "C_SetOperationState",
    "C_Logout",
    "C_GetObjectSize",
    "C_GetAttributeValue",
    "C_FindObjectsInit",
    "C_FindObjects",
    "C_FindObjectsFinal",
    "C_EncryptInit",
    "C_EncryptUpdate",
    "C_DecryptInit",
    "C_DecryptUpdate",
    "C_DigestInit",
    "C_Digest",
    "C_DigestUpdate",
    "C_DigestKey",
    "C_DigestFinal",
    "C_SignInit",
    "C_SignUpdate",
    "C_SignRecoverInit",
    "C_VerifyInit",
    "C_VerifyUpdate",
    "C_VerifyRecoverInit",
    "C_DigestEncryptUpdate",
    "C_DecryptDigestUpdate",
    "C_SignEncryptUpdate",
    "C_DecryptVerifyUpdate",
    "C_SeedRandom",
    "C_GenerateRandom",
    "C_GetSlotList",
    "C_WaitForSlotEvent",
];

/// The errors that have a name here; any other is given as a hexadecimal number.
const CODES: [(&str, CK_RV); 18] = [
    ("CKR_DEVICE_ERROR", sys::CKR_DEVICE_ERROR),
    ("CKR_DEVICE_MEMORY", sys::CKR_DEVICE_MEMORY),
    ("CKR_DEVICE_REMOVED", sys::CKR_DEVICE_REMOVED),
    ("CKR_FUNCTION_FAILED", sys::CKR_FUNCTION_FAILED),
    ("CKR_FUNCTION_CANCELED", sys::CKR_FUNCTION_CANCELED),
    ("CKR_GENERAL_ERROR", sys::CKR_GENERAL_ERROR),
    ("CKR_HOST_MEMORY", sys::CKR_HOST_MEMORY),
    ("CKR_KEY_HANDLE_INVALID", sys::CKR_KEY_HANDLE_INVALID),
    ("CKR_OBJECT_HANDLE_INVALID", sys::CKR_OBJECT_HANDLE_INVALID),
    ("CKR_OPERATION_ACTIVE", sys::CKR_OPERATION_ACTIVE),
    ("CKR_OPERATION_NOT_INITIALIZED", sys::CKR_OPERATION_NOT_INITIALIZED),
    ("CKR_PIN_EXPIRED", sys::CKR_PIN_EXPIRED),
    ("CKR_PIN_INCORRECT", sys::CKR_PIN_INCORRECT),
    ("CKR_PIN_LOCKED", sys::CKR_PIN_LOCKED),
    ("CKR_SESSION_CLOSED", sys::CKR_SESSION_CLOSED),
    ("CKR_SESSION_HANDLE_INVALID", sys::CKR_SESSION_HANDLE_INVALID),
    ("CKR_TOKEN_NOT_PRESENT", sys::CKR_TOKEN_NOT_PRESENT),
    ("CKR_USER_NOT_LOGGED_IN", sys::CKR_USER_NOT_LOGGED_IN),
];

impl Fault {
    /// When it happens, for faults that happen at a moment.
    pub(crate) fn trigger(&self) -> Option<&Trigger> {
        match self {
            Self::Pull(trigger) => trigger.as_ref(),
            Self::Error { trigger, .. }
            | Self::Lose(trigger)
            | Self::Garble(trigger)
            | Self::Crash(trigger) => Some(trigger),
            Self::Buggy | Self::Latency { .. } => None,
        }
    }

    pub(super) fn trigger_mut(&mut self) -> Option<&mut Trigger> {
        match self {
            Self::Pull(trigger) => trigger.as_mut(),
            Self::Error { trigger, .. }
            | Self::Lose(trigger)
            | Self::Garble(trigger)
            | Self::Crash(trigger) => Some(trigger),
            Self::Buggy | Self::Latency { .. } => None,
        }
    }
}

impl Calls {
    pub(crate) fn contain(self, function: &str) -> bool {
        match self {
            Self::Use => USE.contains(&function),
            Self::Any => true,
            Self::Named(name) => name == function,
        }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(line: &str) -> Result<Self, RuleError> {
        let mut words = line.split_whitespace();
        let kind = next(&mut words, "a fault")?;
        let expected = "a fault: `pull`, `buggy`, `latency`, `error`, `lose`, `garble` or `crash`";
        if !["pull", "buggy", "latency", "error", "lose", "garble", "crash"].contains(&kind) {
            return Err(wrong(kind, expected));
        }
        let slot = slot(next(&mut words, "a slot")?)?;
        let fault = match kind {
            "pull" if words.clone().next().is_none() => Fault::Pull(None),
            "pull" => Fault::Pull(Some(trigger(&mut words)?)),
            "buggy" => Fault::Buggy,
            "latency" => latency(&mut words)?,
            "error" => {
                Fault::Error { code: code(next(&mut words, "an error")?)?, trigger: trigger(&mut words)? }
            }
            "lose" => Fault::Lose(trigger(&mut words)?),
            "garble" => Fault::Garble(trigger(&mut words)?),
            _ => Fault::Crash(trigger(&mut words)?),
        };
        match words.next() {
            None => Ok(Self { slot, fault }),
            Some(word) => Err(wrong(word, "the end of the rule")),
        }
    }
}

/// A slot's number.
pub(super) fn slot(word: &str) -> Result<CK_SLOT_ID, RuleError> {
    let number = word.parse().ok().filter(|slot| *slot < SLOTS);
    number.ok_or_else(|| wrong(word, "a slot"))
}

fn latency(words: &mut SplitWhitespace<'_>) -> Result<Fault, RuleError> {
    let word = next(words, "milliseconds")?;
    let ms = word.parse().ok().filter(|ms| *ms <= LATENCY_MS_MAX);
    let ms = ms.ok_or_else(|| wrong(word, "a number of milliseconds up to 600000"))?;
    let on = match words.next() {
        None => Calls::Use,
        Some("on") => calls(next(words, "a function")?)?,
        Some(word) => return Err(wrong(word, "`on`")),
    };
    Ok(Fault::Latency { ms, on })
}

fn trigger(words: &mut SplitWhitespace<'_>) -> Result<Trigger, RuleError> {
    let mut trigger = Trigger { on: Calls::Use, at: 1, times: Some(1), after: false };
    while let Some(word) = words.next() {
        match word {
            "on" => trigger.on = calls(next(words, "a function")?)?,
            "at" => trigger.at = count(next(words, "a number")?)?,
            "times" => {
                trigger.times = match next(words, "a number")? {
                    "always" => None,
                    word => Some(count(word)?),
                }
            }
            "after" => trigger.after = true,
            _ => return Err(wrong(word, "`on`, `at`, `times` or `after`")),
        }
    }
    Ok(trigger)
}

fn calls(word: &str) -> Result<Calls, RuleError> {
    match word {
        "use" => return Ok(Calls::Use),
        "any" => return Ok(Calls::Any),
        _ => {}
    }
    let known = USE.iter().chain(&OTHERS).find(|name| **name == word);
    known.map(|name| Calls::Named(name)).ok_or_else(|| wrong(word, "a function, `use` or `any`"))
}

fn count(word: &str) -> Result<u32, RuleError> {
    word.parse().ok().filter(|count| *count > 0).ok_or_else(|| wrong(word, "a number from 1"))
}

fn code(word: &str) -> Result<CK_RV, RuleError> {
    let named = CODES.iter().find(|(name, _)| *name == word).map(|(_, code)| *code);
    let hex = word.strip_prefix("0x").and_then(|digits| CK_RV::from_str_radix(digits, 16).ok());
    let code = named.or(hex).filter(|code| *code != sys::CKR_OK);
    code.ok_or_else(|| wrong(word, "an error: `CKR_DEVICE_ERROR`, another name of the README, or `0x...`"))
}

fn next<'a>(words: &mut SplitWhitespace<'a>, expected: &'static str) -> Result<&'a str, RuleError> {
    words.next().ok_or(RuleError::Missing(expected))
}

fn wrong(word: &str, expected: &'static str) -> RuleError {
    RuleError::Word { word: word.to_owned(), expected }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = self.slot;
        match &self.fault {
            Fault::Pull(None) => write!(f, "pull {slot}"),
            Fault::Pull(Some(trigger)) => write!(f, "pull {slot} {trigger}"),
            Fault::Buggy => write!(f, "buggy {slot}"),
            Fault::Latency { ms, on } => write!(f, "latency {slot} {ms} on {on}"),
            Fault::Error { code, trigger } => match CODES.iter().find(|(_, known)| known == code) {
                Some((name, _)) => write!(f, "error {slot} {name} {trigger}"),
                None => write!(f, "error {slot} {code:#x} {trigger}"),
            },
            Fault::Lose(trigger) => write!(f, "lose {slot} {trigger}"),
            Fault::Garble(trigger) => write!(f, "garble {slot} {trigger}"),
            Fault::Crash(trigger) => write!(f, "crash {slot} {trigger}"),
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "on {} at {} times ", self.on, self.at)?;
        match self.times {
            Some(times) => write!(f, "{times}")?,
            None => f.write_str("always")?,
        }
        f.write_str(if self.after { " after" } else { "" })
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Use => "use",
            Self::Any => "any",
            Self::Named(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_back_as_they_are_written() {
        for (line, canonical) in [
            ("pull 0", "pull 0"),
            ("  pull  1  on C_Sign at 2", "pull 1 on C_Sign at 2 times 1"),
            ("buggy 3", "buggy 3"),
            ("latency 0 5", "latency 0 5 on use"),
            ("latency 0 5 on any", "latency 0 5 on any"),
            ("error 0 CKR_DEVICE_ERROR", "error 0 CKR_DEVICE_ERROR on use at 1 times 1"),
            ("error 0 0x30 times always", "error 0 CKR_DEVICE_ERROR on use at 1 times always"),
            ("error 2 0x80000001 after", "error 2 0x80000001 on use at 1 times 1 after"),
            ("lose 0 on C_SignFinal", "lose 0 on C_SignFinal at 1 times 1"),
            ("garble 0", "garble 0 on use at 1 times 1"),
            ("crash 0 at 7", "crash 0 on use at 7 times 1"),
        ] {
            let rule: Rule = line.parse().unwrap();
            assert_eq!(rule.to_string(), canonical);
            assert_eq!(canonical.parse(), Ok(rule));
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for line in [
            "",
            "push 0",
            "pull",
            "pull 4",
            "pull x",
            "pull 0 on",
            "pull 0 on C_Signn",
            "pull 0 now",
            "buggy 0 on any",
            "latency 0",
            "latency 0 600001",
            "latency 0 5 at 3",
            "error 0",
            "error 0 CKR_OK",
            "error 0 0x0",
            "error 0 CKR_DEVICE_ERROR at 0",
            "error 0 CKR_DEVICE_ERROR times 0",
            "crash 0 at 4294967296",
        ] {
            assert!(line.parse::<Rule>().is_err(), "{line}");
        }
    }
}
