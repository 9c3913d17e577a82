//! A keeper's share of a dealing: opened, held against the commitments, kept, and given to a final opening.

use std::fmt;

use opaque_ke::rand::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::dealing::Dealing;
use super::errors::{DealingError, ViewingShareError};
use crate::hpke_box::{self, BoxError, BoxKey};
use crate::labels;
use crate::random::with_randomness;
use crate::secret::SecretBytes;
use crate::vault::VaultKeeper;
use crate::vault::group::{ELEMENT_BYTES, SecretScalar};

const VERSION: u8 = 1;
/// `version u8 || share[32] || blinder[32]`.
const SHARE_BYTES: usize = 1 + 2 * ELEMENT_BYTES;
/// What is kept before it: `version u8 || dealing hash[32] || chain id[32] || account[32] || first u32 || last u32 || keeper id[32] ||
/// index u8`.
const KEPT_HEAD_BYTES: usize = 1 + 4 * 32 + 2 * 4 + 1;
/// The share with the keeper's signature.
pub(super) const PART_BYTES: usize = SHARE_BYTES + 64;

/// A final opening of a dealing, as the ledger has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The ledger.
    pub chain_id: [u8; 32],
    /// The grant's id.
    pub grant_id: [u8; 32],
    /// The place of the open-grant in the log.
    pub leaf_index: u64,
    /// The dealing's hash.
    pub dealing: [u8; 32],
    /// The grantee's X25519 key, from the grant.
    pub grantee_key: [u8; 32],
}

impl Opening {
    /// `label || chain id[32] || grant id[32] || leaf index u64 || dealing hash[32] || keeper id[32]`.
    fn bound(&self, label: &str, keeper: &[u8; 32]) -> Vec<u8> {
        let Self { chain_id, grant_id, leaf_index, dealing, .. } = self;
        let label = labels::tagged(label);
        [&label[..], chain_id, grant_id, &leaf_index.to_be_bytes(), dealing, keeper].concat()
    }

    /// HPKE `info` of a part.
    pub(super) fn info(&self, keeper: &[u8; 32]) -> Vec<u8> {
        self.bound(labels::VIEWING_PART, keeper)
    }

    /// What the keeper signs: `bound || grantee key[32] || share`.
    pub(super) fn statement(&self, keeper: &[u8; 32], share: &[u8]) -> Zeroizing<Vec<u8>> {
        let bound = self.bound(labels::VIEWING_GIVEN, keeper);
        Zeroizing::new([&bound[..], &self.grantee_key, share].concat())
    }
}

/// The value at a keeper's index, and its blinder's. Wiped on drop.
pub(super) struct Pair {
    pub(super) value: SecretScalar,
    pub(super) blinder: SecretScalar,
}

impl Pair {
    /// Reads `version u8 (1) || share[32] || blinder[32]`.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (value, blinder) = bytes.strip_prefix(&[VERSION])?.split_first_chunk()?;
        let blinder = blinder.try_into().ok()?;
        Some(Self { value: SecretScalar::parse(value).ok()?, blinder: SecretScalar::parse(blinder).ok()? })
    }
}

/// `version u8 (1) || share[32] || blinder[32]`.
fn share_bytes([value, blinder]: [&SecretScalar; 2], capacity: usize) -> Zeroizing<Vec<u8>> {
    // One allocation: growing would leave copies that nobody wipes.
    let mut out = Zeroizing::new(Vec::with_capacity(capacity));
    out.push(VERSION);
    out.extend_from_slice(value.bytes());
    out.extend_from_slice(blinder.bytes());
    out
}

/// HPKE `info` of a share: `label || dealing hash[32] || keeper id[32]`.
pub(super) fn share_info(dealing: &[u8; 32], keeper: &[u8; 32]) -> Vec<u8> {
    [&labels::tagged(labels::VIEWING_SHARE)[..], dealing, keeper].concat()
}

/// Seals a share to its keeper.
pub(super) fn seal(
    dealing: &[u8; 32],
    keeper: &VaultKeeper,
    share: [&SecretScalar; 2],
    random: &mut (impl RngCore + CryptoRng),
) -> Result<Vec<u8>, BoxError> {
    let info = share_info(dealing, &keeper.id);
    hpke_box::seal(&keeper.sealing_key, &info, &share_bytes(share, SHARE_BYTES), random)
}

/// A keeper's share of what opens a run of closed epochs: secret, wiped on drop.
pub struct ViewingShare {
    dealing: [u8; 32],
    chain_id: [u8; 32],
    account: [u8; 32],
    first: u32,
    last: u32,
    keeper: [u8; 32],
    index: u8,
    pub(super) pair: Pair,
}

impl ViewingShare {
    /// Opens a share that was sealed to this keeper and holds it against the dealing; only then it is acknowledged.
    pub fn open(
        dealing: &Dealing,
        keeper: &[u8; 32],
        key: &BoxKey,
        sealed: &[u8],
    ) -> Result<Self, ViewingShareError> {
        let index = dealing.index_of(keeper).ok_or(ViewingShareError::NotAKeeper)?;
        let hash = dealing.hash();
        let plain = key.open(&share_info(&hash, keeper), sealed, SHARE_BYTES);
        let plain = plain.map_err(ViewingShareError::Unreadable)?;
        let pair = plain.expose(Pair::parse).ok_or(ViewingShareError::Malformed)?;
        let Dealing { chain_id, account, first, last, .. } = *dealing;
        let share = Self { dealing: hash, chain_id, account, first, last, keeper: *keeper, index, pair };
        share.check(dealing)?;
        Ok(share)
    }

    /// Holds the share against its dealing again: after a restart.
    pub fn check(&self, dealing: &Dealing) -> Result<(), ViewingShareError> {
        if dealing.hash() != self.dealing || dealing.index_of(&self.keeper) != Some(self.index) {
            return Err(ViewingShareError::OtherDealing);
        }
        let commitments = dealing.check().map_err(|error| match error {
            DealingError::Sharing(error) => ViewingShareError::Sharing(error),
            _ => ViewingShareError::Malformed,
        })?;
        if commitments.holds_blinded(self.index, &self.pair.value, &self.pair.blinder) {
            Ok(())
        } else {
            Err(ViewingShareError::Wrong)
        }
    }

    /// The hash of its dealing.
    pub const fn dealing(&self) -> &[u8; 32] {
        &self.dealing
    }

    /// The account whose epochs it helps to open.
    pub const fn account(&self) -> &[u8; 32] {
        &self.account
    }

    /// The first address epoch.
    pub const fn first(&self) -> u32 {
        self.first
    }

    /// The last one.
    pub const fn last(&self) -> u32 {
        self.last
    }

    /// The keeper's index, from 1.
    pub const fn index(&self) -> u8 {
        self.index
    }

    /// Gives the share to a final opening: signed with the keeper's Ed25519 key and sealed to the grantee. Given again it tells nobody
    /// more. That the grant covers this dealing's account and epochs, the caller has seen in final state.
    pub fn answer(
        &self,
        opening: &Opening,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<Vec<u8>, ViewingShareError> {
        with_randomness(|random| self.answer_with(opening, sign, random))
    }

    /// What is sealed to the keeper, and what it gives with its signature.
    pub(super) fn message(&self, capacity: usize) -> Zeroizing<Vec<u8>> {
        share_bytes([&self.pair.value, &self.pair.blinder], capacity)
    }

    pub(super) fn answer_with(
        &self,
        opening: &Opening,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<Vec<u8>, ViewingShareError> {
        if opening.dealing != self.dealing || opening.chain_id != self.chain_id {
            return Err(ViewingShareError::OtherDealing);
        }
        let mut part = self.message(PART_BYTES);
        let signature = sign(&opening.statement(&self.keeper, &part));
        part.extend_from_slice(&signature);
        Ok(hpke_box::seal(&opening.grantee_key, &opening.info(&self.keeper), &part, random)?)
    }

    /// The whole share, only so that it can be kept sealed: `version u8 (1) || dealing hash[32] || chain id[32] || account[32] ||
    /// first u32 || last u32 || keeper id[32] || index u8 || share`.
    pub fn to_secret(&self) -> SecretBytes {
        let share = self.message(SHARE_BYTES);
        let mut out = Zeroizing::new(Vec::with_capacity(KEPT_HEAD_BYTES + SHARE_BYTES));
        out.push(VERSION);
        [&self.dealing, &self.chain_id, &self.account]
            .into_iter()
            .for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(&self.first.to_be_bytes());
        out.extend_from_slice(&self.last.to_be_bytes());
        out.extend_from_slice(&self.keeper);
        out.push(self.index);
        out.extend_from_slice(&share);
        out.into()
    }

    /// From the bytes of [`Self::to_secret`]. Whether it is still the dealing's says [`Self::check`].
    pub fn from_secret(bytes: &[u8]) -> Result<Self, ViewingShareError> {
        parse_kept(bytes).ok_or(ViewingShareError::Malformed)
    }
}

fn parse_kept(bytes: &[u8]) -> Option<ViewingShare> {
    let (dealing, rest) = bytes.strip_prefix(&[VERSION])?.split_first_chunk()?;
    let (chain_id, rest) = rest.split_first_chunk()?;
    let (account, rest) = rest.split_first_chunk()?;
    let (first, rest) = rest.split_first_chunk()?;
    let (last, rest) = rest.split_first_chunk()?;
    let (keeper, rest) = rest.split_first_chunk()?;
    let (&index, rest) = rest.split_first()?;
    Some(ViewingShare {
        dealing: *dealing,
        chain_id: *chain_id,
        account: *account,
        first: u32::from_be_bytes(*first),
        last: u32::from_be_bytes(*last),
        keeper: *keeper,
        index,
        pair: Pair::parse(rest)?,
    })
}

impl fmt::Debug for ViewingShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ViewingShare({}..={}, redacted)", self.first, self.last)
    }
}
