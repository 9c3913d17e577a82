//! Faults on purpose: a control file in the store's folder says what goes wrong, and this library lets it.
//!
//! `rule` is the language, [`Control`] the file, `injector` what a process makes of it. Nothing here decides what
//! PKCS#11 means: the C boundary asks before and after each call, and [`Module`](crate::Module) does the rest.

mod control;
mod injector;
mod rule;

pub use self::control::{CONTROL_FILE, Control, ControlError};
pub(crate) use self::injector::{Call, Injector, Place, Then};
pub use self::rule::{Calls, Fault, Rule, RuleError, Trigger};
