//! A share as it is kept: which vault it is of, since when, and what a recovery needs of it.

use keyward_crypto::vault::KeeperShare;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::place::Place;

const VERSION: u8 = 1;

/// Why bytes are no kept share.
#[derive(Debug, Error)]
pub enum HeldError {
    /// Another version or another length.
    #[error("not the bytes of a kept share")]
    Malformed,
    /// The share is of something else than the file's name says.
    #[error("a share of another sealing")]
    Other,
}

/// A kept share.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) place: Place,
    /// When it was last acknowledged, in milliseconds of ledger time.
    pub(crate) kept_ms: u64,
    pub(crate) share: KeeperShare,
}

impl Held {
    /// `version u8 (1) || kept_ms u64 || share`.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        self.share.to_secret().expose(|share| {
            let mut out = Zeroizing::new(Vec::with_capacity(9 + share.len()));
            out.push(VERSION);
            out.extend_from_slice(&self.kept_ms.to_be_bytes());
            out.extend_from_slice(share);
            out
        })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeldError> {
        let parts = || {
            let (kept_ms, share) = bytes.strip_prefix(&[VERSION])?.split_first_chunk()?;
            let share = KeeperShare::from_secret(share).ok()?;
            Some(Self { place: Place::of(share.shares()), kept_ms: u64::from_be_bytes(*kept_ms), share })
        };
        parts().ok_or(HeldError::Malformed)
    }
}
