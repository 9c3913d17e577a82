//! Who holds the shares of a key, and which of the library's identifiers are whose.
//!
//! One polynomial of degree n shares the key, so n + 1 of its values give it. Each of n keepers holds one value, the user
//! n - t + 1: all keepers together lack one, the user and t keepers have just enough. SPEC.md says why that is all of it.
//! Holders are ids here; the keys that they speak with are those of the day, see [`super::Roster`].

use keyward_domain::scheme::PublicKeyError;
use thiserror::Error;

use crate::vault::{KEEPERS_MAX, THRESHOLD_MIN};

/// The user's place among the holders; keepers stand in 1 to n.
pub const USER: u8 = 0;
/// The user's identifiers begin behind this one; those of keepers are their places.
const USER_IDENTIFIERS: u16 = 256;
const ID_BYTES: usize = 32;

/// Why holders are refused.
#[derive(Debug, Error)]
pub enum HoldersError {
    /// Not `2 <= threshold <= keepers <= 16`.
    #[error(
        "{threshold} of {keepers} keepers: there must be {THRESHOLD_MIN} <= threshold <= keepers <= {KEEPERS_MAX}"
    )]
    Threshold {
        /// The threshold.
        threshold: u8,
        /// The keepers.
        keepers: usize,
    },
    /// Two holders have the same id, signing key or sealing key: one would hold more than its part.
    #[error("holders {first} and {second} share an id or a key")]
    Twice {
        /// The first holder's place.
        first: u8,
        /// The second one's.
        second: u8,
    },
    /// A signing key is none.
    #[error("the signing key of holder {place} is refused")]
    SigningKey {
        /// The holder's place.
        place: u8,
        /// Why.
        #[source]
        source: PublicKeyError,
    },
}

impl HoldersError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Threshold { .. } => "SHARED_THRESHOLD",
            Self::Twice { .. } => "SHARED_HOLDER_TWICE",
            Self::SigningKey { .. } => "SHARED_HOLDER_KEY",
        }
    }
}

/// The user and the keepers of a shared key: signing takes the user and `threshold` keepers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holders {
    ids: Vec<[u8; ID_BYTES]>,
    keepers: u8,
    threshold: u8,
}

impl Holders {
    /// The user's id is its account's, keepers' are theirs on the ledger; these get the places 1 to n in this order.
    pub fn new(
        user: [u8; ID_BYTES],
        keepers: Vec<[u8; ID_BYTES]>,
        threshold: u8,
    ) -> Result<Self, HoldersError> {
        let refused = HoldersError::Threshold { threshold, keepers: keepers.len() };
        let count = match u8::try_from(keepers.len()) {
            Ok(count) if THRESHOLD_MIN <= threshold && threshold <= count && count <= KEEPERS_MAX => count,
            _ => return Err(refused),
        };
        let ids = std::iter::once(user).chain(keepers).collect();
        let holders = Self { ids, keepers: count, threshold };
        check_distinct(&holders.ids)?;
        Ok(holders)
    }

    /// How many keepers sign with the user.
    pub const fn threshold(&self) -> u8 {
        self.threshold
    }

    /// How many keepers there are.
    pub const fn keepers(&self) -> u8 {
        self.keepers
    }

    /// Everybody's id by place, the user's first.
    pub fn ids(&self) -> &[[u8; ID_BYTES]] {
        &self.ids
    }

    /// The id of the holder at a place.
    pub fn at(&self, place: u8) -> Option<&[u8; ID_BYTES]> {
        self.ids.get(usize::from(place))
    }

    /// The place of a holder.
    pub fn place_of(&self, id: &[u8; ID_BYTES]) -> Option<u8> {
        self.places().zip(&self.ids).find(|(_, holder)| *holder == id).map(|(place, _)| place)
    }

    /// Every place: the user's, then the keepers'.
    pub fn places(&self) -> impl Iterator<Item = u8> + use<> {
        USER..=self.keepers
    }

    /// The keepers' places.
    pub(crate) fn keeper_places(&self) -> Vec<u8> {
        (1..=self.keepers).collect()
    }

    /// The library's identifiers of a holder, ascending.
    pub(crate) fn identifiers(&self, place: u8) -> Vec<u16> {
        if place == USER {
            let weight = u16::from(self.keepers - self.threshold) + 1;
            (1..=weight).map(|number| USER_IDENTIFIERS + number).collect()
        } else {
            vec![u16::from(place)]
        }
    }

    /// The identifiers of several holders, ascending.
    pub(crate) fn identifiers_of(&self, places: &[u8]) -> Vec<u16> {
        let mut all: Vec<u16> = places.iter().flat_map(|&place| self.identifiers(place)).collect();
        all.sort_unstable();
        all
    }

    /// Every identifier, ascending.
    pub(crate) fn all_identifiers(&self) -> Vec<u16> {
        self.identifiers_of(&self.places().collect::<Vec<_>>())
    }

    /// Whose an identifier is.
    pub(crate) fn owner(&self, identifier: u16) -> u8 {
        u8::try_from(identifier).unwrap_or(USER) // the user's are above 256
    }

    /// An identifier among parties that are counted from 1 without gaps: the keepers, then the user's.
    pub(crate) fn party(&self, identifier: u16) -> u8 {
        match identifier.checked_sub(USER_IDENTIFIERS) {
            // INVARIANT: at most 31 identifiers.
            Some(number) => u8::try_from(number).unwrap_or(u8::MAX).saturating_add(self.keepers),
            None => self.owner(identifier),
        }
    }

    /// The identifier of a party.
    pub(crate) fn identifier_of(&self, party: u8) -> u16 {
        match party.checked_sub(self.keepers) {
            Some(number) if number > 0 => USER_IDENTIFIERS + u16::from(number),
            _ => u16::from(party),
        }
    }

    /// How many values of the polynomial give the key: n + 1.
    pub(crate) const fn needed(&self) -> u16 {
        self.keepers as u16 + 1
    }

    /// The user and these keepers, if they are exactly the threshold, ascending and there.
    pub(crate) fn authorised(&self, keepers: &[u8]) -> Option<Vec<u8>> {
        let fits = self.is_threshold(keepers);
        fits.then(|| std::iter::once(USER).chain(keepers.iter().copied()).collect())
    }

    /// Whether these are keepers, exactly the threshold, ascending.
    pub(crate) fn is_threshold(&self, keepers: &[u8]) -> bool {
        let ascending = keepers.iter().zip(keepers.iter().skip(1)).all(|(one, next)| one < next);
        let there = keepers.iter().all(|&place| place != USER && place <= self.keepers);
        ascending && there && keepers.len() == usize::from(self.threshold)
    }

    /// `t u8 || n u8 || id[32]*`, the user's first.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&[self.threshold, self.keepers][..], self.ids.as_flattened()].concat()
    }

    /// Reads holders and gives back what stands behind them.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&[threshold, keepers], rest) = bytes.split_first_chunk()?;
        let (ids, rest) = rest.split_at_checked((usize::from(keepers) + 1) * ID_BYTES)?;
        let (user, keepers) = ids.as_chunks().0.split_first()?;
        Some((Self::new(*user, keepers.to_vec(), threshold).ok()?, rest))
    }
}

/// Refuses when two holders have the same.
pub(super) fn check_distinct<T: PartialEq>(all: &[T]) -> Result<(), HoldersError> {
    for (second, one) in (0..).zip(all) {
        let mut before = (0..second).zip(all);
        if let Some((first, _)) = before.find(|(_, other)| *other == one) {
            return Err(HoldersError::Twice { first, second });
        }
    }
    Ok(())
}
