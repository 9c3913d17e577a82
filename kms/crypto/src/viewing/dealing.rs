//! A dealing: a viewing cover under a key that keepers share.

use opaque_ke::rand::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::errors::DealingError;
use super::share;
use crate::committing::{self, CommittedKey};
use crate::labels;
use crate::random::with_randomness;
use crate::unlinkable::{AddressError, ViewingCover};
use crate::vault::VaultKeeper;
use crate::vault::group::{ELEMENT_BYTES, SecretScalar};
use crate::vault::sharing::{Commitments, check_threshold, deal_blinded};

const VERSION: u8 = 1;
/// Of the cover that is sealed in a dealing.
const SEALED_VERSION: u8 = 1;

/// Who gets shares of what.
#[derive(Clone, Debug)]
pub struct DealingPlan {
    /// The ledger.
    pub chain_id: [u8; 32],
    /// The account's name on the ledger.
    pub account: [u8; 32],
    /// The last block time at which the dealing may be recorded, in milliseconds since 1970.
    pub expires_ms: u64,
    /// How many keepers are needed, at least 2.
    pub threshold: u8,
    /// The keepers, at most 16, by ascending id.
    pub keepers: Vec<VaultKeeper>,
}

/// What is public of a dealing. The ledger has its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dealing {
    /// The ledger.
    pub chain_id: [u8; 32],
    /// The account's name on the ledger.
    pub account: [u8; 32],
    /// The first address epoch.
    pub first: u32,
    /// The last one.
    pub last: u32,
    /// The last block time at which it may be recorded, in milliseconds since 1970: keepers let go of shares that were not.
    pub expires_ms: u64,
    /// How many keepers are needed.
    pub threshold: u8,
    /// The keepers' ids, ascending: a keeper's index is its place, from 1.
    pub keepers: Vec<[u8; 32]>,
    /// Pedersen's commitments to the key, the constant term first.
    pub commitments: Vec<[u8; ELEMENT_BYTES]>,
    /// The viewing cover: `version u8 (1) || commitment[32] || ciphertext || tag[16]`.
    pub sealed: Vec<u8>,
}

impl Dealing {
    /// `version u8 (1) || chain id[32] || account[32] || first u32 || last u32 || expires_ms u64 || t u8 || n u8 || keeper id[32]* ||
    /// commitment[32]* || sealed cover`, n keepers and t commitments.
    pub fn encode(&self) -> Vec<u8> {
        [&self.head()[..], &self.sealed].concat()
    }

    /// Everything before the sealed cover, which is bound to it.
    fn head(&self) -> Vec<u8> {
        let Self { chain_id, account, threshold, keepers, commitments, .. } = self;
        // INVARIANT: more than 16 are neither made nor read.
        let count = u8::try_from(keepers.len()).unwrap_or(u8::MAX);
        let (first, last) = (self.first.to_be_bytes(), self.last.to_be_bytes());
        let (expires, counts) = (self.expires_ms.to_be_bytes(), [*threshold, count]);
        let lists = [keepers.concat(), commitments.concat()].concat();
        [&[VERSION][..], chain_id, account, &first, &last, &expires, &counts, &lists].concat()
    }

    /// Reads exactly one; refused is what no honest dealer writes. Whether the cover opens, only t keepers can tell.
    pub fn decode(bytes: &[u8]) -> Result<Self, DealingError> {
        let malformed = || DealingError::Malformed { len: bytes.len() };
        let (&version, rest) = bytes.split_first().ok_or_else(malformed)?;
        if version != VERSION {
            return Err(DealingError::Version { version });
        }
        let (chain_id, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let (account, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let (first, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let (last, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let (expires_ms, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let (&[threshold, count], rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        check_threshold(threshold, usize::from(count))?;
        let (keepers, rest) = read_list(rest, count).ok_or_else(malformed)?;
        let (commitments, sealed) = read_list(rest, threshold).ok_or_else(malformed)?;
        let (first, last) = (u32::from_be_bytes(*first), u32::from_be_bytes(*last));
        let dealing = Self {
            chain_id: *chain_id,
            account: *account,
            first,
            last,
            expires_ms: u64::from_be_bytes(*expires_ms),
            threshold,
            keepers,
            commitments,
            sealed: sealed.to_vec(),
        };
        dealing.check()?;
        Ok(dealing)
    }

    /// Range, keepers, threshold, commitments and the cover's length.
    pub(super) fn check(&self) -> Result<Commitments, DealingError> {
        if self.first > self.last {
            return Err(DealingError::Empty);
        }
        check_threshold(self.threshold, self.keepers.len())?;
        if !self.keepers.is_sorted_by(|one, next| one < next) {
            return Err(DealingError::Keepers);
        }
        let sealed_len = 1 + committing::OVERHEAD_BYTES + ViewingCover::encoded_len(self.first, self.last);
        if self.sealed.len() != sealed_len || self.sealed.first() != Some(&SEALED_VERSION) {
            return Err(DealingError::Malformed { len: self.sealed.len() });
        }
        Ok(Commitments::parse(&self.commitments, self.threshold)?)
    }

    /// What names it: `SHA-256(label || dealing)`.
    pub fn hash(&self) -> [u8; 32] {
        let label = labels::tagged(labels::VIEWING_DEALING);
        Sha256::new().chain_update(label).chain_update(self.encode()).finalize().into()
    }

    /// The index of a keeper, from 1.
    pub fn index_of(&self, keeper: &[u8; 32]) -> Option<u8> {
        (1..).zip(&self.keepers).find(|(_, known)| *known == keeper).map(|(index, _)| index)
    }

    /// Opens the cover with the key that the keepers share.
    pub(super) fn open(&self, key: &SecretScalar) -> Result<ViewingCover, AddressError> {
        let key = self.key(key)?;
        let sealed = self.sealed.get(1..).unwrap_or_default();
        let cover = ViewingCover::decode(&key.open(&self.associated(), sealed)?)?;
        let (found, expected) = (cover.epochs(), self.first..=self.last);
        if found == expected { Ok(cover) } else { Err(AddressError::Range { found, expected }) }
    }

    fn seal(&self, key: &SecretScalar, cover: &ViewingCover) -> Result<Vec<u8>, AddressError> {
        let plain = cover.encode();
        let sealed = plain
            .expose(|plain| self.key(key)?.seal(&self.associated(), plain).map_err(AddressError::from))?;
        Ok([&[SEALED_VERSION][..], &sealed].concat())
    }

    /// `HKDF(k[32], no salt, label || chain id[32] || account[32] || first u32 || last u32; 64 bytes)`: key and commitment.
    fn key(&self, key: &SecretScalar) -> Result<CommittedKey, AddressError> {
        let (first, last) = (self.first.to_be_bytes(), self.last.to_be_bytes());
        let label = labels::tagged(labels::VIEWING_KEY);
        let info = [&label[..], &self.chain_id, &self.account, &first, &last].concat();
        let mut both = Zeroizing::new([0; 64]);
        let hkdf = hkdf::Hkdf::<Sha256>::new(None, key.bytes());
        hkdf.expand(&info, both.as_mut_slice()).map_err(|_| AddressError::Derivation)?;
        Ok(CommittedKey::new(&both))
    }

    /// `label || head`.
    fn associated(&self) -> Vec<u8> {
        [labels::tagged(labels::VIEWING_KEY), self.head()].concat()
    }
}

fn read_list(bytes: &[u8], count: u8) -> Option<(Vec<[u8; 32]>, &[u8])> {
    let (list, rest) = bytes.split_at_checked(32 * usize::from(count))?;
    let (list, _) = list.as_chunks();
    Some((list.to_vec(), rest))
}

/// Deals a viewing cover: what is public, and for each keeper, in their order, a share sealed to it.
pub fn deal(plan: &DealingPlan, cover: &ViewingCover) -> Result<(Dealing, Vec<Vec<u8>>), DealingError> {
    with_randomness(|random| deal_with(plan, cover, random))
}

pub(super) fn deal_with(
    plan: &DealingPlan,
    cover: &ViewingCover,
    random: &mut (impl RngCore + CryptoRng),
) -> Result<(Dealing, Vec<Vec<u8>>), DealingError> {
    let (key, blinder) = (SecretScalar::random(random), SecretScalar::random(random));
    let dealt = deal_blinded([key.value(), blinder.value()], plan.threshold, plan.keepers.len(), random)?;
    let mut dealing = Dealing {
        chain_id: plan.chain_id,
        account: plan.account,
        first: *cover.epochs().start(),
        last: *cover.epochs().end(),
        expires_ms: plan.expires_ms,
        threshold: plan.threshold,
        keepers: plan.keepers.iter().map(|keeper| keeper.id).collect(),
        commitments: dealt.commitments,
        sealed: Vec::new(),
    };
    dealing.sealed = dealing.seal(&key, cover).map_err(DealingError::Cover)?;
    dealing.check()?;
    let hash = dealing.hash();
    let mut sealed = Vec::with_capacity(plan.keepers.len());
    let parts = dealt.shares.iter().zip(&dealt.blinders);
    for ((index, keeper), (value, blinder)) in (1..).zip(&plan.keepers).zip(parts) {
        let message = share::seal(&hash, keeper, [value, blinder], random);
        sealed.push(message.map_err(|source| DealingError::Keeper { index, source })?);
    }
    Ok((dealing, sealed))
}
