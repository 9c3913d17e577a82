//! A holder's share of a key: kept sealed, held against the key before it is used.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

use super::facts::SharedKey;
use super::suite::dealing::base;
use super::suite::ecdsa::state::{self, Parties};
use super::suite::{LibraryError, Secret, group};
use super::{RunError, SharedScheme};
use crate::secret::SecretBytes;

const VERSION: u8 = 1;
/// Of a share that keeps more than its values.
const VERSION_WITH_STATE: u8 = 2;
/// The longest share: about 52 KB for each pair of a user's four parties with eight others.
pub const SHARE_BYTES_MAX: usize = 2 * 1024 * 1024;
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

/// A holder's share: secret, wiped on drop. The recovery share that a vault seals is the user's, its values alone.
pub struct KeyShare {
    stamp: [u8; 32],
    place: u8,
    values: Vec<Secret>,
    state: Option<State>,
}

/// What a share of an ECDSA key keeps besides its values.
struct State {
    parties: Parties,
    /// The same, encoded.
    bytes: Zeroizing<Vec<u8>>,
    /// With whom it must not compute.
    banned: BTreeSet<u8>,
}

impl KeyShare {
    /// A share that is held against the key at once; values in the order of the holder's identifiers.
    pub(crate) fn new(key: &SharedKey, place: u8, values: Vec<Secret>) -> Result<Self, ShareError> {
        let share = Self { stamp: key.stamp(place), place, values, state: None };
        share.check(key)?;
        Ok(share)
    }

    /// The same of an ECDSA key, with what its parties keep.
    pub(crate) fn with_parties(
        key: &SharedKey,
        place: u8,
        values: Vec<Secret>,
        mut parties: Parties,
    ) -> Result<Self, ShareError> {
        state::settle(&mut parties, key);
        let bytes = state::to_bytes(&parties)?;
        let state = Some(State { parties, bytes, banned: BTreeSet::new() });
        Ok(Self { state, ..Self::new(key, place, values)? })
    }

    /// Never again computes with this holder. It counts once [`Self::to_secret`] is kept.
    pub fn ban(&mut self, place: u8) {
        if let Some(state) = &mut self.state {
            state.banned.insert(place);
        }
    }

    /// With whom it must not compute.
    pub fn bans(&self) -> impl Iterator<Item = u8> + '_ {
        self.state.iter().flat_map(|state| state.banned.iter().copied())
    }

    /// What its parties keep, if it may compute with these holders.
    pub(crate) fn parties(&self, signers: &[u8]) -> Result<&Parties, RunError> {
        let state = self.state.as_ref().ok_or(RunError::Stateless)?;
        match signers.iter().find(|place| state.banned.contains(place)) {
            Some(&place) => Err(RunError::Banned { place }),
            None => Ok(&state.parties),
        }
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
            if Some(&group!(key.scheme(), base(value))?) != key.public().shares.get(number) {
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

    /// The whole share, only so that it can be kept sealed: its values alone, and for a share with state `version u8 (2) || stamp[32]
    /// || place u8 || count u8 || value[32]* || banned u8 || place u8* || (u32 length || state)*`, at most [`SHARE_BYTES_MAX`].
    pub fn to_secret(&self) -> SecretBytes {
        let Some(State { bytes, banned, .. }) = &self.state else { return self.recovery() };
        let room = HEAD_BYTES + 32 * self.values.len() + 1 + banned.len() + bytes.len();
        let mut out = Zeroizing::new(Vec::with_capacity(room));
        self.write(VERSION_WITH_STATE, &mut out);
        // INVARIANT: at most 5 keepers.
        out.push(u8::try_from(banned.len()).unwrap_or(u8::MAX));
        out.extend(banned);
        out.extend_from_slice(bytes);
        SecretBytes::from(out)
    }

    /// Its values alone, as a vault seals them: `version u8 (1) || stamp[32] || place u8 || count u8 || value[32]*`, at most 515 bytes.
    pub(crate) fn recovery(&self) -> SecretBytes {
        let mut out = Zeroizing::new(Vec::with_capacity(HEAD_BYTES + 32 * self.values.len()));
        self.write(VERSION, &mut out);
        SecretBytes::from(out)
    }

    fn write(&self, version: u8, out: &mut Vec<u8>) {
        out.push(version);
        out.extend_from_slice(&self.stamp);
        out.push(self.place);
        // INVARIANT: a holder has at most 15 identifiers.
        out.push(u8::try_from(self.values.len()).unwrap_or(u8::MAX));
        self.values.iter().for_each(|value| out.extend_from_slice(value.as_slice()));
    }

    /// From the bytes of [`Self::to_secret`] or [`Self::recovery`], held against the key.
    pub fn from_secret(bytes: &[u8], key: &SharedKey) -> Result<Self, ShareError> {
        let (share, state) = parse(bytes).ok_or(ShareError::Malformed)?;
        share.check(key)?;
        let Some(bytes) = state else { return Ok(share) };
        if key.scheme() != SharedScheme::EcdsaSecp256k1 {
            return Err(ShareError::Malformed);
        }
        let state = parse_state(bytes, &share, key).ok_or(ShareError::Malformed)?;
        Ok(Self { state: Some(state), ..share })
    }
}

impl fmt::Debug for KeyShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyShare(redacted)")
    }
}

/// The share, and what stands behind its values if its version knows more.
fn parse(bytes: &[u8]) -> Option<(KeyShare, Option<&[u8]>)> {
    let (&version, rest) = bytes.split_first()?;
    let (&stamp, rest) = rest.split_first_chunk()?;
    let (&[place, count], rest) = rest.split_first_chunk()?;
    let (values, behind) = rest.split_at_checked(32 * usize::from(count))?;
    let (values, _) = values.as_chunks::<32>();
    let values = values.iter().copied().map(Zeroizing::new).collect();
    let share = KeyShare { stamp, place, values, state: None };
    match version {
        VERSION if behind.is_empty() => Some((share, None)),
        VERSION_WITH_STATE => Some((share, Some(behind))),
        _ => None,
    }
}

fn parse_state(bytes: &[u8], share: &KeyShare, key: &SharedKey) -> Option<State> {
    let (&count, rest) = bytes.split_first()?;
    let (places, rest) = rest.split_at_checked(usize::from(count))?;
    let ascending = places.iter().zip(places.iter().skip(1)).all(|(one, next)| one < next);
    let there = places.iter().all(|&place| key.holders().at(place).is_some());
    let parties = state::from_bytes(rest, &share.values(key).ok()?, key)?;
    let (bytes, banned) = (Zeroizing::new(rest.to_vec()), places.iter().copied().collect());
    (ascending && there).then_some(State { parties, bytes, banned })
}
