//! The holders of a key with the keys that they have on a day: what a run is between.
//!
//! None of it is part of the shared key: a user replaces a device, and a keeper its keys, without anything being dealt anew.

use keyward_domain::scheme::{PublicKey, Scheme};

use super::holders::{Holders, HoldersError, check_distinct};

const KEY_BYTES: usize = 32;

/// One who holds a share, as the ledger knows it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id: the user's account, or the keeper's.
    pub id: [u8; KEY_BYTES],
    /// Its Ed25519 key, with which it signs messages: that of the user's device in force, or the keeper's ledger key.
    pub signing_key: [u8; KEY_BYTES],
    /// Its HPKE key (X25519), to which pieces are sealed.
    pub sealing_key: [u8; KEY_BYTES],
}

/// All holders with their keys. It goes into the name of a run, so parties that know different keys are in different runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    holders: Holders,
    all: Vec<Holder>,
}

impl Roster {
    /// Keepers get the places 1 to n in this order.
    pub fn new(user: Holder, keepers: Vec<Holder>, threshold: u8) -> Result<Self, HoldersError> {
        let holders = Holders::new(user.id, keepers.iter().map(|keeper| keeper.id).collect(), threshold)?;
        let all: Vec<Holder> = std::iter::once(user).chain(keepers).collect();
        check_distinct(&all.iter().map(|holder| holder.signing_key).collect::<Vec<_>>())?;
        check_distinct(&all.iter().map(|holder| holder.sealing_key).collect::<Vec<_>>())?;
        for (place, holder) in holders.places().zip(&all) {
            PublicKey::parse(Scheme::Ed25519, &holder.signing_key)
                .map_err(|source| HoldersError::SigningKey { place, source })?;
        }
        Ok(Self { holders, all })
    }

    /// Who they are.
    pub const fn holders(&self) -> &Holders {
        &self.holders
    }

    /// The holder at a place.
    pub fn at(&self, place: u8) -> Option<&Holder> {
        self.all.get(usize::from(place))
    }

    /// Whether whoever stands in both has the same keys in both.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        let same = |holder: &&Holder| other.all.iter().all(|there| there.id != holder.id || there == *holder);
        self.all.iter().all(|holder| same(&holder))
    }

    /// `t u8 || n u8 || (id[32] || signing key[32] || sealing key[32])*`, the user first.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.holders.threshold(), self.holders.keepers()];
        for Holder { id, signing_key, sealing_key } in &self.all {
            [id, signing_key, sealing_key].into_iter().for_each(|bytes| out.extend_from_slice(bytes));
        }
        out
    }
}
