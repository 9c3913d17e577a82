//! A holder's share of a key: kept sealed, held against the key before it is used.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

use super::facts::SharedKey;
use super::suite::dealing::base;
use super::suite::{LibraryError, Secret, each};
use crate::secret::SecretBytes;

const VERSION: u8 = 1;
/// `version u8 || stamp[32] || place u8 || count u8`.
const HEAD_BYTES: usize = 1 + 32 + 1 + 1;

/// Why a share is not used.
#[derive(Debug, Error)]
pub enum ShareError {
    /// Not the bytes of a share.
    #[error("the bytes are no share")]
    Malformed,
    /// Of another key, or from before its values were dealt anew.
    #[error("the share is not one of this key as it is now")]
    OtherKey,
    /// It does not fit what is public of the key.
    #[error("the share does not fit the key")]
    Wrong,
    /// The library refused it.
    #[error(transparent)]
    Library(#[from] LibraryError),
}

/// A holder's share: secret, wiped on drop. The recovery share that a vault seals is the user's in these bytes.
pub struct KeyShare {
    stamp: [u8; 32],
    place: u8,
    values: Vec<Secret>,
}

impl KeyShare {
    /// A share that is held against the key at once; values in the order of the holder's identifiers.
    pub(crate) fn new(key: &SharedKey, place: u8, values: Vec<Secret>) -> Result<Self, ShareError> {
        let share = Self { stamp: key.stamp(place), place, values };
        share.check(key)?;
        Ok(share)
    }

    /// Whose it is.
    pub const fn place(&self) -> u8 {
        self.place
    }

    /// Holds it against the key: after a restart, and before it is used.
    pub fn check(&self, key: &SharedKey) -> Result<(), ShareError> {
        if self.stamp != key.stamp(self.place) || key.holders().at(self.place).is_none() {
            return Err(ShareError::OtherKey);
        }
        let identifiers = key.holders().identifiers(self.place);
        if identifiers.len() != self.values.len() {
            return Err(ShareError::OtherKey);
        }
        for (number, value) in identifiers.iter().zip(&self.values) {
            if Some(&each!(key.scheme(), base(value))?) != key.public().shares.get(number) {
                return Err(ShareError::Wrong);
            }
        }
        Ok(())
    }

    /// The values by identifier, of a share that belongs to this key.
    pub(crate) fn values(&self, key: &SharedKey) -> Result<BTreeMap<u16, &Secret>, ShareError> {
        if self.stamp != key.stamp(self.place) {
            return Err(ShareError::OtherKey);
        }
        Ok(key.holders().identifiers(self.place).into_iter().zip(&self.values).collect())
    }

    /// The whole share, only so that it can be kept sealed: `version u8 (1) || stamp[32] || place u8 || count u8 || value[32]*`, at most
    /// 515 bytes.
    pub fn to_secret(&self) -> SecretBytes {
        let mut out = Zeroizing::new(Vec::with_capacity(HEAD_BYTES + 32 * self.values.len()));
        out.push(VERSION);
        out.extend_from_slice(&self.stamp);
        out.push(self.place);
        // INVARIANT: a holder has at most 15 identifiers.
        out.push(u8::try_from(self.values.len()).unwrap_or(u8::MAX));
        self.values.iter().for_each(|value| out.extend_from_slice(value.as_slice()));
        SecretBytes::from(out)
    }

    /// From the bytes of [`Self::to_secret`], held against the key.
    pub fn from_secret(bytes: &[u8], key: &SharedKey) -> Result<Self, ShareError> {
        let share = parse(bytes).ok_or(ShareError::Malformed)?;
        share.check(key)?;
        Ok(share)
    }
}

impl fmt::Debug for KeyShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyShare(redacted)")
    }
}

fn parse(bytes: &[u8]) -> Option<KeyShare> {
    let (&stamp, rest) = bytes.strip_prefix(&[VERSION])?.split_first_chunk()?;
    let (&[place, count], rest) = rest.split_first_chunk()?;
    let (values, behind) = rest.as_chunks::<32>();
    let fits = behind.is_empty() && values.len() == usize::from(count);
    fits.then(|| KeyShare { stamp, place, values: values.iter().copied().map(Zeroizing::new).collect() })
}
