//! The grantee's side: keepers' parts, each held against the commitments, and what t of them open.

use std::fmt;

use zeroize::Zeroizing;

use super::dealing::Dealing;
use super::errors::{DealingError, GatheringError, PartError};
use super::share::{Opening, PART_BYTES, Pair};
use crate::unlinkable::{GrantKey, ViewingCover};
use crate::vault::sharing::{Commitments, combine};
use crate::vault::{VaultKeeper, signed};

/// An opening that gathers keepers' parts.
pub struct Gathering {
    dealing: Dealing,
    commitments: Commitments,
    keepers: Vec<VaultKeeper>,
    opening: Opening,
    parts: Vec<(u8, Pair)>,
}

impl Gathering {
    /// Of a dealing whose hash the ledger proves, for its keepers, whose keys the ledger proves, in the dealing's order.
    pub fn new(
        dealing: Dealing,
        keepers: Vec<VaultKeeper>,
        opening: Opening,
    ) -> Result<Self, GatheringError> {
        let commitments = dealing.check().map_err(|error| match error {
            DealingError::Sharing(error) => GatheringError::Sharing(error),
            _ => GatheringError::OtherDealing,
        })?;
        let same = dealing.hash() == opening.dealing
            && dealing.chain_id == opening.chain_id
            && keepers.iter().map(|keeper| &keeper.id).eq(&dealing.keepers);
        if same {
            Ok(Self { dealing, commitments, keepers, opening, parts: Vec::new() })
        } else {
            Err(GatheringError::OtherDealing)
        }
    }

    /// Takes a keeper's sealed part and holds it against the commitments; answers whether there are enough now.
    pub fn part(&mut self, key: &GrantKey, keeper: &[u8; 32], sealed: &[u8]) -> Result<bool, PartError> {
        let index = self.dealing.index_of(keeper).ok_or(PartError::NotAKeeper)?;
        let known = self.keepers.get(usize::from(index) - 1).ok_or(PartError::NotAKeeper)?;
        if self.parts.iter().any(|(other, _)| *other == index) {
            return Err(PartError::Twice { index });
        }
        let plain = key.as_box().open(&self.opening.info(keeper), sealed, PART_BYTES);
        let plain = plain.map_err(|source| PartError::Unreadable { index, source })?;
        let part = plain.expose(|plain| {
            let (share, signature) = plain.split_last_chunk::<64>()?;
            Some((Zeroizing::new(share.to_vec()), *signature))
        });
        let (share, signature) = part.ok_or(PartError::Malformed { index })?;
        if !signed(known, &self.opening.statement(keeper, &share), &signature) {
            return Err(PartError::NotSigned { index });
        }
        let pair = Pair::parse(&share)
            .filter(|pair| self.commitments.holds_blinded(index, &pair.value, &pair.blinder))
            .ok_or(PartError::Wrong { index })?;
        self.parts.push((index, pair));
        Ok(self.is_enough())
    }

    /// Whether as many keepers have given their parts as are needed.
    pub fn is_enough(&self) -> bool {
        self.parts.len() >= usize::from(self.dealing.threshold)
    }

    /// What the parts open.
    pub fn cover(&self) -> Result<ViewingCover, GatheringError> {
        let (needed, found) = (self.dealing.threshold, self.parts.len());
        let parts = self.parts.get(..usize::from(needed)).ok_or(GatheringError::TooFew { needed, found })?;
        let parts: Vec<_> = parts.iter().map(|(index, pair)| (*index, &pair.value)).collect();
        let key = combine(&parts, needed)?;
        self.dealing.open(&key).map_err(GatheringError::Dealt)
    }
}

impl fmt::Debug for Gathering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gathering(redacted)")
    }
}
