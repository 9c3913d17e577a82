//! A keeper's lost share comes back from t others, who learn nothing of it and give nothing of theirs away.
//!
//! Each helper splits its weighted share into one summand per helper; each helper adds up what it was given and hands the
//! sum on; the sums add up to the lost share. Every summand is held against a commitment, and a helper's commitments must
//! add up to its weighted share, which the vault's commitments give.
//!
//! A sum hides a helper's summands only if the others' are honest: one who could make up the others' handouts, and open the
//! sums, would have the helper's share. So every handout is signed for this run, and a helper adds up only what includes
//! its own, as it is.

use curve25519_dalek_4::ristretto::RistrettoPoint;
use curve25519_dalek_4::scalar::Scalar;
use opaque_ke::rand::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha256};

use super::contents::ciphertext_hash;
use super::facts::{Vault, VaultKeeper};
use super::group::{self, ELEMENT_BYTES, GroupError};
use super::handout::{self, Dealing, Handout, PieceError, signed};
use super::parts::Parts;
use super::share::{Complaint, KeeperShare};
use crate::hpke_box::BoxKey;
use crate::labels;
use crate::random::with_randomness;

mod errors;

pub use errors::RepairError;

/// Whose share is lost, and who helps.
#[derive(Clone, Debug)]
pub struct Repair {
    vault: Vault,
    lost: u8,
    helpers: Vec<u8>,
    weights: Vec<Scalar>,
    run: [u8; 32],
}

/// A helper's last word: the sum, sealed to the keeper that lost its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairSum {
    /// The helper's index.
    pub helper: u8,
    /// The helper's signature.
    pub signature: [u8; 64],
    /// The sealed sum, with the ciphertext.
    pub sealed: Vec<u8>,
}

impl RepairSum {
    /// `version u8 (1) || helper u8 || signature[64] || sealed`.
    pub fn encode(&self) -> Vec<u8> {
        [&[1, self.helper][..], &self.signature, &self.sealed].concat()
    }

    /// Reads one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&helper, rest) = bytes.strip_prefix(&[1])?.split_first()?;
        let (signature, sealed) = rest.split_first_chunk()?;
        Some(Self { helper, signature: *signature, sealed: sealed.to_vec() })
    }
}

/// The commitments of one helper to each of its summands.
type Column = Vec<[RistrettoPoint; 2]>;

impl Repair {
    /// Names the lost share, the threshold of other keepers that help, ascending, and 32 random bytes that the keeper which
    /// lost its share has chosen for this run.
    pub fn new(vault: Vault, lost: u8, helpers: Vec<u8>, nonce: [u8; 32]) -> Result<Self, RepairError> {
        let (needed, found) = (vault.facts().threshold, helpers.len());
        let weights = group::weights(&helpers, lost)?;
        if found != usize::from(needed) || helpers.contains(&lost) || !helpers.is_sorted() {
            return Err(RepairError::Helpers { lost, needed, found });
        }
        let stranger = helpers.iter().copied().chain([lost]).find(|index| vault.keeper(*index).is_none());
        if let Some(index) = stranger {
            return Err(GroupError::Index { index }.into());
        }
        let context = vault.shares().context(labels::VAULT_REPAIR);
        let head = [&context[..], &nonce, &[lost, needed], &helpers].concat();
        let run = Sha256::digest(head).into();
        Ok(Self { vault, lost, helpers, weights, run })
    }

    /// Names the repair: `SHA-256(context || nonce[32] || lost u8 || t u8 || helpers)`. A helper keeps what it handed out
    /// under this name.
    pub const fn id(&self) -> &[u8; 32] {
        &self.run
    }

    /// What the keeper that lost its share signs, so that nobody else sets the others to work: `label || run[32]`.
    pub fn request_message(&self) -> Vec<u8> {
        [&labels::tagged(labels::VAULT_REPAIR_REQUEST)[..], &self.run].concat()
    }

    /// A helper's first step. It keeps what it hands out, and hands out the same when it is asked again.
    pub fn split(
        &self,
        share: &KeeperShare,
        request: &[u8; 64],
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<Dealing, RepairError> {
        with_randomness(|random| self.split_with(share, request, sign, random))
    }

    pub(crate) fn split_with(
        &self,
        share: &KeeperShare,
        request: &[u8; 64],
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<Dealing, RepairError> {
        share.check(&self.vault).map_err(RepairError::Share)?;
        let from = share.index();
        let weight = self.weight(from)?;
        if !signed(self.keeper(self.lost)?, &self.request_message(), request) {
            return Err(RepairError::NotAsked { lost: self.lost });
        }
        let summands = Parts::sum([(weight, share.whole())].into_iter()).split(self.helpers.len(), random);
        let commitments =
            summands.iter().map(|summand| summand.commitments().map(|point| group::encode(&point)));
        let (evaluation, mask) = commitments.map(|[evaluation, mask]| (evaluation, mask)).unzip();
        let handout = Handout { from, evaluation, mask, pieces: Vec::new(), signature: [0; 64] };
        let receivers = self.helpers.iter().map(|&helper| Ok((helper, self.keeper(helper)?)));
        let receivers: Vec<_> = receivers.collect::<Result<_, RepairError>>()?;
        let pieces =
            receivers.into_iter().zip(summands).map(|((index, keeper), parts)| (index, keeper, parts));
        let dealing = Dealing::new(&self.run, handout, pieces, &[], sign, random);
        dealing.map_err(|(index, source)| RepairError::Seal { index, source })
    }

    /// A helper's second step: opens what every helper sent it, in their order, checks it against what they handed out, and
    /// seals the sum to the keeper that lost its share. `own` is what it has handed out itself.
    pub fn add(
        &self,
        share: &KeeperShare,
        key: &BoxKey,
        own: &Handout,
        handouts: &[Handout],
        pieces: &[Vec<u8>],
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<RepairSum, RepairError> {
        with_randomness(|random| self.add_with(share, key, own, handouts, pieces, sign, random))
    }

    #[allow(clippy::too_many_arguments, reason = "what a helper has, and what it was sent")]
    pub(crate) fn add_with(
        &self,
        share: &KeeperShare,
        key: &BoxKey,
        own: &Handout,
        handouts: &[Handout],
        pieces: &[Vec<u8>],
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<RepairSum, RepairError> {
        share.check(&self.vault).map_err(RepairError::Share)?;
        let helper = share.index();
        let place = self.helpers.iter().position(|index| *index == helper);
        let place = place.ok_or(GroupError::Index { index: helper })?;
        let columns = self.columns(handouts)?;
        if handouts.get(place) != Some(own) {
            return Err(RepairError::Foreign { helper });
        }
        if pieces.len() != handouts.len() {
            return Err(self.helpers_error(pieces.len()));
        }
        let mut summands = Vec::with_capacity(pieces.len());
        for ((handout, sealed), column) in handouts.iter().zip(pieces).zip(&columns) {
            let from = handout.from;
            let hash = handout.pieces.get(place).ok_or(RepairError::Unsigned { helper: from })?;
            let (summand, _) = self.open([from, helper], key, hash, sealed)?;
            if column.get(place) != Some(&summand.commitments()) {
                return Err(RepairError::Wrong { helper: from, source: None });
            }
            summands.push(summand);
        }
        let message = Parts::sum(summands.iter().map(|summand| (Scalar::ONE, summand)));
        let message = message.message(share.ciphertext());
        let to = self.keeper(self.lost)?;
        let sealed = handout::seal(&self.run, [helper, self.lost], &to.sealing_key, &message, random);
        let sealed = sealed.map_err(|source| RepairError::Seal { index: self.lost, source })?;
        let signature = sign(&self.sum_statement(helper, handouts, &Sha256::digest(&sealed).into()));
        Ok(RepairSum { helper, signature, sealed })
    }

    /// The end: the sums of all helpers, in their order, give the share back.
    pub fn finish(
        &self,
        key: &BoxKey,
        handouts: &[Handout],
        sums: &[RepairSum],
    ) -> Result<KeeperShare, RepairError> {
        let columns = self.columns(handouts)?;
        if !sums.iter().map(|sum| &sum.helper).eq(&self.helpers) {
            return Err(self.helpers_error(sums.len()));
        }
        let (mut parts, mut found) = (Vec::with_capacity(sums.len()), None);
        for (place, RepairSum { helper, signature, sealed }) in sums.iter().enumerate() {
            let helper = *helper;
            let hash = Sha256::digest(sealed).into();
            if !signed(self.keeper(helper)?, &self.sum_statement(helper, handouts, &hash), signature) {
                return Err(RepairError::Unsigned { helper });
            }
            let (sum, ciphertext) = self.open([helper, self.lost], key, &hash, sealed)?;
            let due = add(columns.iter().filter_map(|column| column.get(place)));
            if sum.commitments() != due {
                return Err(RepairError::Wrong { helper, source: None });
            }
            parts.push(sum);
            found = found
                .or(Some(ciphertext)
                    .filter(|text| ciphertext_hash(text) == self.vault.facts().ciphertext_hash));
        }
        let whole = Parts::sum(parts.iter().map(|part| (Scalar::ONE, part)));
        let ciphertext = found.ok_or(RepairError::Share(Complaint::Ciphertext))?;
        let share = KeeperShare::new(&self.vault, self.lost, whole, ciphertext);
        share.check(&self.vault).map_err(RepairError::Share)?;
        Ok(share)
    }

    /// Holds one helper's handout against the vault: whoever gathers them finds out at once who lies, and asks another one.
    pub fn check(&self, handout: &Handout) -> Result<(), RepairError> {
        self.column(handout).map(drop)
    }

    /// What each helper committed to for each helper: signed, and adding up to its weighted share.
    fn columns(&self, handouts: &[Handout]) -> Result<Vec<Column>, RepairError> {
        if !handouts.iter().map(|handout| &handout.from).eq(&self.helpers) {
            return Err(self.helpers_error(handouts.len()));
        }
        handouts.iter().map(|handout| self.column(handout)).collect()
    }

    fn column(&self, handout: &Handout) -> Result<Column, RepairError> {
        let (helper, count) = (handout.from, self.helpers.len());
        if !handout.is_of(&self.run, self.keeper(helper)?, [count; 2]) {
            return Err(RepairError::Unsigned { helper });
        }
        let read = |point: &[u8; ELEMENT_BYTES]| {
            group::element(point).map_err(|source| RepairError::Commitment { helper, source })
        };
        let pairs = handout.evaluation.iter().zip(&handout.mask);
        let column = pairs.map(|(evaluation, mask)| Ok([read(evaluation)?, read(mask)?]));
        let column: Column = column.collect::<Result<_, RepairError>>()?;
        let weight = self.weight(helper)?;
        let due = [weight * self.vault.evaluation().at(helper), weight * self.vault.mask().at(helper)];
        if add(column.iter()) == due { Ok(column) } else { Err(RepairError::Wrong { helper, source: None }) }
    }

    fn open(
        &self,
        way: [u8; 2],
        key: &BoxKey,
        hash: &[u8; 32],
        sealed: &[u8],
    ) -> Result<(Parts, Vec<u8>), RepairError> {
        let [helper, _] = way;
        handout::open(&self.run, way, key, hash, sealed).map_err(|error| match error {
            PieceError::Changed => RepairError::Changed { helper },
            PieceError::Unreadable(source) => RepairError::Wrong { helper, source: Some(source) },
            PieceError::Malformed => RepairError::Wrong { helper, source: None },
        })
    }

    /// `label || run[32] || helper u8 || SHA-256 of all handouts[32] || SHA-256 of the sealed sum[32]`.
    pub(crate) fn sum_statement(&self, helper: u8, handouts: &[Handout], sealed: &[u8; 32]) -> Vec<u8> {
        let handouts: Vec<u8> = handouts.iter().flat_map(Handout::encode).collect();
        let label = labels::tagged(labels::VAULT_REPAIR_SUM);
        [&label[..], &self.run, &[helper], &Sha256::digest(handouts), sealed].concat()
    }

    fn weight(&self, helper: u8) -> Result<Scalar, RepairError> {
        let found = self.helpers.iter().zip(&self.weights).find(|(index, _)| **index == helper);
        Ok(*found.ok_or(GroupError::Index { index: helper })?.1)
    }

    fn keeper(&self, index: u8) -> Result<&VaultKeeper, RepairError> {
        Ok(self.vault.keeper(index).ok_or(GroupError::Index { index })?)
    }

    const fn helpers_error(&self, found: usize) -> RepairError {
        RepairError::Helpers { lost: self.lost, needed: self.vault.facts().threshold, found }
    }
}

fn add<'a>(points: impl Iterator<Item = &'a [RistrettoPoint; 2]>) -> [RistrettoPoint; 2] {
    points.fold([RistrettoPoint::default(); 2], |[a, b], [c, d]| [a + c, b + d])
}
