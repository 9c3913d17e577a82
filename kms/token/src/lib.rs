//! Tokens and HSMs behind PKCS#11: the only room that knows `cryptoki`.
//!
//! Threads of its own own a module (one, if the module allows no more); jobs reach them over a bounded queue and
//! carry a deadline. Tokens are chosen by label or serial, never by slot. After a removal, a lost session or a device
//! error the sessions are dropped, opened again, logged in again, and keys found again by `CKA_ID`; a PIN that was
//! refused is never tried again. Signatures come out in their one encoding but unverified: whoever asked verifies.
//!
//! A module can be loaded in a child process instead ([`Module::open_in_child`], [`serve_host`]): what crashes or
//! hangs there is ended and begun again, and the service goes on.

mod attributes;
mod bare;
mod call;
mod canonical;
mod doing;
mod error;
mod find;
mod host;
mod keys;
mod library;
mod litter;
mod module;
mod offers;
mod queue;
mod request;
mod sealing;
mod session;
mod setup;
mod sign;
mod types;
mod worker;

pub use bare::sign_bare;
pub use call::Call;
pub use error::{DeviceCause, PinTries, Stuck, TokenError};
pub use find::{MODULE_FILE, find_module};
pub use host::{HostProgram, serve_host};
pub use module::{DEADLINE, LANES, Module, ModuleSource, QUEUE_JOBS_MAX};
pub use types::{Claims, KeyKind, LABEL_BYTES_MAX, Payload, Pin, Sm2Claims, TokenInfo, TokenKey, TokenName};
