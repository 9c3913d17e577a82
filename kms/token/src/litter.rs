//! Half-made keys: what was asked to be made, without an answer that says how it ended.
//!
//! A key's `CKA_ID` is drawn here before it is made. If the making fails, is answered too late or ends with the
//! process that ran it, everything with this id is removed as soon as the token does anything else. Nobody was
//! told the id, so nothing can have come to depend on such a key. Until the job's deadline it may still be under way,
//! so it is looked for again; what is made after it is removed by whoever makes it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::TokenError;
use crate::request::{Answer, Request};
use crate::types::TokenName;

/// How many are remembered; the oldest go first.
const PIECES_MAX: usize = 64;
/// A job's deadline comes to a child this much later at most.
const ON_THE_WAY: Duration = Duration::from_secs(1);

/// Something to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    token: TokenName,
    id: Vec<u8>,
    /// Until when it may still be made.
    until: Instant,
}

impl Piece {
    /// What a request with this deadline is going to make.
    pub(crate) fn made_by(request: &Request, until: Instant) -> Option<Self> {
        let Request::GenerateKey { token, id, .. } = request else { return None };
        let until = until.checked_add(ON_THE_WAY).unwrap_or(until);
        Some(Self { token: token.clone(), id: id.clone(), until })
    }

    /// Its removal.
    pub(crate) fn request(&self) -> Request {
        Request::RemoveKey { token: self.token.clone(), id: self.id.clone() }
    }
}

/// All that is to be removed.
#[derive(Debug, Default)]
pub(crate) struct Litter {
    pieces: Mutex<Vec<Piece>>,
    count: AtomicUsize,
}

impl Litter {
    /// What must be removed before this request sees the token.
    pub(crate) fn before(&self, request: &Request) -> Vec<Piece> {
        if self.count.load(Ordering::Acquire) == 0 || !request.shows_keys() {
            return Vec::new();
        }
        let Some(token) = request.token() else { return Vec::new() };
        self.with(|pieces| pieces.iter().filter(|piece| piece.token == *token).cloned().collect())
    }

    /// Takes note of how the making of a key ended.
    pub(crate) fn after(&self, made: Option<Piece>, outcome: &Result<Answer, TokenError>) {
        let unclear = match outcome {
            Ok(_) => false,
            Err(error) => error.is_unclear(),
        };
        if let Some(made) = made.filter(|_| unclear) {
            self.with(|pieces| {
                if pieces.len() == PIECES_MAX {
                    pieces.remove(0);
                }
                pieces.push(made);
            });
        }
    }

    /// Takes note of how a removal ended that was begun at that moment.
    pub(crate) fn swept(&self, piece: &Piece, begun: Instant, outcome: Result<&Answer, &TokenError>) {
        match outcome {
            Ok(_) if begun < piece.until => {}
            Ok(_) => self.with(|pieces| pieces.retain(|other| other != piece)),
            Err(error) => {
                tracing::warn!(token = %piece.token, %error, "a half-made key could not be removed yet")
            }
        }
    }

    fn with<R>(&self, f: impl FnOnce(&mut Vec<Piece>) -> R) -> R {
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        let result = f(&mut pieces);
        self.count.store(pieces.len(), Ordering::Release);
        result
    }
}
