//! Operations under way in a session: signing, verifying, sealing, opening, hashing, searching.

mod ciphering;
mod hashing;
mod signing;

use cryptoki_sys::CK_OBJECT_HANDLE;
use zeroize::Zeroizing;

pub(crate) use self::ciphering::Ciphering;
pub(crate) use self::hashing::Hashing;
pub(crate) use self::signing::Signing;
use crate::error::{Refusal, Result};

/// The longest message gathered in parts for a mechanism that does not take it up as it comes, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1 << 24;

/// The room that a caller offers for an output.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Room {
    /// No buffer: the caller asks for the length.
    Query,
    /// A buffer of so many bytes.
    Bytes(usize),
}

/// The answer of an operation that has an output.
#[derive(Debug)]
pub enum Reply {
    /// The length asked for, or a bound on it; nothing has changed.
    Length(usize),
    /// The buffer is too small, this much is needed; nothing has changed.
    TooSmall(usize),
    /// The output of this step.
    Bytes(Zeroizing<Vec<u8>>),
}

/// Whether a key with `CKA_ALWAYS_AUTHENTICATE` waits for its PIN.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Context {
    /// No such key is in use.
    #[default]
    Free,
    /// An operation was begun and the PIN has not been given.
    Needed,
    /// It was given for this operation.
    Given,
}

/// What a session is doing. Each kind of operation can be active once.
#[derive(Default)]
pub(crate) struct Operations {
    pub(crate) signing: Option<Signing>,
    pub(crate) verifying: Option<Signing>,
    pub(crate) sealing: Option<Ciphering>,
    pub(crate) opening: Option<Ciphering>,
    pub(crate) hashing: Option<Hashing>,
    pub(crate) search: Option<std::vec::IntoIter<CK_OBJECT_HANDLE>>,
    pub(crate) context: Context,
}

impl Operations {
    /// Ends everything that uses a key, as logging out does.
    pub(crate) fn end_keyed(&mut self) {
        let hashing = self.hashing.take();
        *self = Self { hashing, ..Self::default() };
    }

    /// Refuses a step of a private key's operation whose PIN is still missing; the operation goes on.
    pub(crate) fn check_context(&self) -> Result<(), Refusal> {
        if self.context == Context::Needed { Err(Refusal::NotLoggedIn) } else { Ok(()) }
    }

    /// Forgets a PIN that was given for one operation, once no private key is in use.
    pub(crate) fn settle_context(&mut self) {
        if self.signing.is_none() && self.opening.is_none() {
            self.context = Context::Free;
        }
    }
}

/// Runs the last step of an operation under the length convention: a query or a small buffer leaves it
/// active; anything else ends it, whatever comes of it.
pub(crate) fn conclude<T>(
    active: &mut Option<T>,
    room: Room,
    length: impl FnOnce(&T) -> usize,
    run: impl FnOnce(T) -> Result<Zeroizing<Vec<u8>>>,
) -> Result<Reply> {
    let operation = active.take().ok_or(Refusal::OperationMissing)?;
    let needed = length(&operation);
    match room {
        Room::Bytes(room) if room >= needed => run(operation).map(Reply::Bytes),
        Room::Bytes(_) => {
            *active = Some(operation);
            Ok(Reply::TooSmall(needed))
        }
        Room::Query => {
            *active = Some(operation);
            Ok(Reply::Length(needed))
        }
    }
}
