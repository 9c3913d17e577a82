//! What is refused.

use std::ops::RangeInclusive;

use thiserror::Error;

use crate::committing::CommittingError;
use crate::hpke_box::BoxError;
use crate::signing::SigningKeyError;

/// Why an address, a cover or a detail was not made, read or opened.
#[derive(Debug, Error)]
pub enum AddressError {
    /// Not the bytes of what was expected.
    #[error("{len} bytes are no {what}")]
    Malformed {
        /// What was expected.
        what: &'static str,
        /// Their count.
        len: usize,
    },
    /// Of another version.
    #[error("{what} of version {version} is not known")]
    Version {
        /// What was read.
        what: &'static str,
        /// The version found.
        version: u8,
    },
    /// Bytes that are no point of the curve.
    #[error("a point of the {what} is not on secp256k1")]
    Point {
        /// What was read.
        what: &'static str,
    },
    /// Two parts of different epochs were put together.
    #[error("the parts are of the address epochs {one} and {other}")]
    Epochs {
        /// One of them.
        one: u32,
        /// The other.
        other: u32,
    },
    /// Another range of epochs than the one that was asked for.
    #[error("a cover of the address epochs {}..={} where {}..={} is expected", found.start(), found.end(), expected.start(), expected.end())]
    Range {
        /// What it covers.
        found: RangeInclusive<u32>,
        /// What it should cover.
        expected: RangeInclusive<u32>,
    },
    /// No epoch from here on is left.
    #[error("address epoch {epoch} is the last that there is: it cannot be erased")]
    Erased {
        /// The epoch.
        epoch: u32,
    },
    /// A scalar became zero or a point infinite, which happens to nobody by chance.
    #[error("the key at this place is none: use the next index")]
    NoKey,
    /// The derivation takes no such lengths. The lengths are constants of this room.
    #[error("the derivation refuses its lengths")]
    Derivation,
    /// It was sealed for another record, in another epoch or by another account.
    #[error("it was sealed under another key: another record, address epoch or account")]
    OtherKey,
    /// Changed bytes or other public fields; or it could not be sealed.
    #[error("it does not open: it, or its public fields, were changed")]
    Changed(#[source] aes_gcm::Error),
    /// What is to be sealed is too long.
    #[error("a detail of {len} bytes is too long: at most {DETAIL}", DETAIL = super::DETAIL_BYTES_MAX)]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// What is sealed to one receiver was not sealed or opened.
    #[error(transparent)]
    Box(#[from] BoxError),
    /// The library takes no such key.
    #[error("the key at this place is refused")]
    Key(#[from] SigningKeyError),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[from] getrandom::Error),
}

/// What stands behind the version of an encoding, which has this one alone.
pub(super) fn behind_version<'a>(
    expected: u8,
    what: &'static str,
    bytes: &'a [u8],
) -> Result<&'a [u8], AddressError> {
    match bytes.split_first() {
        Some((&version, rest)) if version == expected => Ok(rest),
        Some((&version, _)) => Err(AddressError::Version { what, version }),
        None => Err(AddressError::Malformed { what, len: 0 }),
    }
}

impl From<CommittingError> for AddressError {
    fn from(error: CommittingError) -> Self {
        match error {
            CommittingError::OtherKey => Self::OtherKey,
            CommittingError::Cipher(source) => Self::Changed(source),
        }
    }
}
