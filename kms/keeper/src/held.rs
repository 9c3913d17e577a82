//! A share as it is kept: which vault it is of, since when, how far its keeper is bound by it, and what a recovery needs of
//! it.

use keyward_crypto::vault::KeeperShare;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::chest::Share;
use crate::place::Place;

/// Of a share that a sealing dealt, or that came back.
const VERSION: u8 = 1;
/// Of a share of a renewal.
const RENEWED: u8 = 2;

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

/// How far a keeper is bound by a share that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bond {
    /// Acknowledged for a sealing, which is final within a day or never; or one of the present shares that came back.
    Sealed,
    /// Promised to whoever holds at this index: nobody has an acknowledgement, so it may go.
    Promised { to: u8 },
    /// Acknowledged to whoever holds at this index: it stays until the ledger takes that no more for long.
    Acknowledged { to: u8 },
}

impl Bond {
    const fn code(self) -> Option<[u8; 2]> {
        match self {
            Self::Sealed => None,
            Self::Promised { to } => Some([1, to]),
            Self::Acknowledged { to } => Some([2, to]),
        }
    }

    const fn of(code: [u8; 2]) -> Option<Self> {
        match code {
            [1, to] => Some(Self::Promised { to }),
            [2, to] => Some(Self::Acknowledged { to }),
            _ => None,
        }
    }
}

/// A kept share.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) place: Place,
    /// When it was last bound, in milliseconds of ledger time.
    pub(crate) kept_ms: u64,
    pub(crate) bond: Bond,
    pub(crate) share: KeeperShare,
}

impl Share for Held {
    type Place = Place;

    fn place(&self) -> Place {
        self.place
    }

    /// `version u8 (1) || kept_ms u64 || share`; of a renewal `version u8 (2) || kept_ms u64 || bond u8 (1 promised, 2
    /// acknowledged) || index u8 || share`.
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let code = self.bond.code();
        self.share.to_secret().expose(|share| {
            let mut out = Zeroizing::new(Vec::with_capacity(11 + share.len()));
            out.push(code.map_or(VERSION, |_| RENEWED));
            out.extend_from_slice(&self.kept_ms.to_be_bytes());
            out.extend(code.into_iter().flatten());
            out.extend_from_slice(share);
            out
        })
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&version, rest) = bytes.split_first()?;
        let (kept_ms, rest) = rest.split_first_chunk()?;
        let (bond, share) = match version {
            VERSION => (Bond::Sealed, rest),
            RENEWED => {
                let (code, share) = rest.split_first_chunk()?;
                (Bond::of(*code)?, share)
            }
            _ => return None,
        };
        let share = KeeperShare::from_secret(share).ok()?;
        let (place, kept_ms) = (Place::of(share.shares()), u64::from_be_bytes(*kept_ms));
        Some(Self { place, kept_ms, bond, share })
    }
}
