//! New shares of the same secrets: for the present keepers (a refresh), or for others (a change of keepers).
//!
//! t holders, the dealers, each share their own share among those who hold from then on; Lagrange's weights put the new
//! polynomials together (Y. Desmedt, S. Jajodia, "Redistributing secret shares to new access structures", 1997). The
//! constant commitments C_0 and D_0 stay, the threshold stays, and old shares are worth nothing beside new ones as long as
//! one dealer is honest, which t dealers of whom fewer than t are not always have among them.
//!
//! Nobody has to trust the one who carries the messages: every handout is signed for this renewal, a dealer stands only by
//! what it has dealt itself, and nothing holds before the ledger has every new holder's acknowledgement of one hash.

use curve25519_dalek_4::ristretto::RistrettoPoint;
use curve25519_dalek_4::scalar::Scalar;
use opaque_ke::rand::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha256};

use super::contents::ciphertext_hash;
use super::facts::{Vault, VaultFacts, VaultKeeper, check_keepers};
use super::group::{self, ELEMENT_BYTES, GroupError};
use super::handout::{self, Dealing, Handout, PieceError};
use super::parts::Parts;
use super::share::{Complaint, KeeperShare};
use super::sharing::{Commitments, check_threshold, deal, deal_blinded};
use crate::hpke_box::BoxKey;
use crate::labels;
use crate::random::with_randomness;

mod errors;

pub use errors::RenewalError;

/// Who deals, and who holds from then on.
#[derive(Clone, Debug)]
pub struct Renewal {
    vault: Vault,
    keepers: Vec<VaultKeeper>,
    dealers: Vec<u8>,
    run: [u8; 32],
}

impl Renewal {
    /// Of a vault as it is: who holds from then on, in the order of their indices, and which t of the present keepers deal,
    /// ascending.
    pub fn new(vault: Vault, keepers: Vec<VaultKeeper>, dealers: Vec<u8>) -> Result<Self, RenewalError> {
        let facts = vault.facts();
        check_threshold(facts.threshold, keepers.len())?;
        check_keepers(&keepers)?;
        facts.share_version.checked_add(1).ok_or(RenewalError::Versions)?;
        group::check_indices(&dealers)?;
        if dealers.len() != usize::from(facts.threshold) || !dealers.is_sorted() {
            return Err(RenewalError::Dealers { needed: facts.threshold, found: dealers.len() });
        }
        if let Some(&index) = dealers.iter().find(|&&dealer| vault.keeper(dealer).is_none()) {
            return Err(GroupError::Index { index }.into());
        }
        let ids: Vec<_> = keepers.iter().map(|keeper| keeper.id).collect();
        // INVARIANT: both lists have at most 16 members.
        let count = |len: usize| u8::try_from(len).unwrap_or(u8::MAX);
        let context = vault.shares().context(labels::VAULT_RENEWAL);
        let lists = [&[count(dealers.len())][..], &dealers, &[count(ids.len())], &ids.concat()].concat();
        let run = Sha256::digest([context, lists].concat()).into();
        Ok(Self { vault, keepers, dealers, run })
    }

    /// Names the renewal: `SHA-256(context || count u8 || dealers || count u8 || ids of the keepers to come)`. A dealer
    /// keeps what it dealt under this name.
    pub const fn id(&self) -> &[u8; 32] {
        &self.run
    }

    /// A dealer's part. It keeps what it hands out, and hands out the same when it is asked again.
    pub fn deal(
        &self,
        share: &KeeperShare,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Result<Dealing, RenewalError> {
        with_randomness(|random| self.deal_with(share, sign, random))
    }

    pub(crate) fn deal_with(
        &self,
        share: &KeeperShare,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<Dealing, RenewalError> {
        share.check(&self.vault).map_err(RenewalError::Share)?;
        let from = share.index();
        if !self.dealers.contains(&from) {
            return Err(RenewalError::NotADealer { index: from });
        }
        let (threshold, count) = (self.vault.facts().threshold, self.keepers.len());
        let [key, mask, blinder] = share.parts().map(|part| part.value());
        let key = deal(key, threshold, count, random)?;
        let mask = deal_blinded([mask, blinder], threshold, count, random)?;
        let (evaluation, commitments) = (key.commitments, mask.commitments);
        let handout = Handout { from, evaluation, mask: commitments, pieces: Vec::new(), signature: [0; 64] };
        let parts = key.shares.into_iter().zip(mask.shares.into_iter().zip(mask.blinders));
        let pieces = (1..).zip(&self.keepers).zip(parts);
        let pieces = pieces
            .map(|((index, keeper), (key, (mask, blinder)))| (index, keeper, Parts([key, mask, blinder])));
        let dealing = Dealing::new(&self.run, handout, pieces, share.ciphertext(), sign, random);
        dealing.map_err(|(index, source)| RenewalError::Seal { index, source })
    }

    /// Holds all dealers' handouts, in their order, against the vault: the new commitments, for everybody to see.
    pub fn agree(&self, handouts: Vec<Handout>) -> Result<Agreed, RenewalError> {
        let threshold = self.vault.facts().threshold;
        if !handouts.iter().map(|handout| &handout.from).eq(&self.dealers) {
            return Err(RenewalError::Dealers { needed: threshold, found: handouts.len() });
        }
        let deals: Vec<_> = handouts.iter().map(|handout| self.read(handout)).collect::<Result<_, _>>()?;
        let weights = group::weights(&self.dealers, 0)?;
        let sum = |which: usize| -> Vec<[u8; ELEMENT_BYTES]> {
            let mut sums = vec![RistrettoPoint::default(); usize::from(threshold)];
            for (deal, weight) in deals.iter().zip(&weights) {
                let points = deal.get(which).map(Commitments::points).unwrap_or_default();
                sums.iter_mut().zip(points).for_each(|(sum, point)| *sum += weight * point);
            }
            sums.iter().map(group::encode).collect()
        };
        let (evaluation, mask) = (sum(0), sum(1));
        Ok(Agreed { renewal: self.clone(), handouts, deals, weights, evaluation, mask })
    }

    /// Holds one dealer's handout against the vault: whoever gathers them finds out at once who lies, and has another one
    /// deal.
    pub fn check(&self, handout: &Handout) -> Result<(), RenewalError> {
        self.read(handout).map(drop)
    }

    /// A signed handout's commitments, to its evaluation key and mask.
    fn read(&self, handout: &Handout) -> Result<[Commitments; 2], RenewalError> {
        let (dealer, threshold) = (handout.from, self.vault.facts().threshold);
        let keeper = self.vault.keeper(dealer).ok_or(GroupError::Index { index: dealer })?;
        if !handout.is_of(&self.run, keeper, [usize::from(threshold), self.keepers.len()]) {
            return Err(RenewalError::Unsigned { dealer });
        }
        let read = |points: &[[u8; ELEMENT_BYTES]]| {
            Commitments::parse(points, threshold)
                .map_err(|source| RenewalError::Commitments { dealer, source })
        };
        let [evaluation, mask] = [read(&handout.evaluation)?, read(&handout.mask)?];
        let own = evaluation.points().first() == Some(&self.vault.evaluation().at(dealer))
            && mask.points().first() == Some(&self.vault.mask().at(dealer));
        if own { Ok([evaluation, mask]) } else { Err(RenewalError::Constant { dealer }) }
    }
}

/// A renewal whose handouts hold: what is public of the new shares is fixed.
#[derive(Clone, Debug)]
pub struct Agreed {
    renewal: Renewal,
    handouts: Vec<Handout>,
    deals: Vec<[Commitments; 2]>,
    weights: Vec<Scalar>,
    evaluation: Vec<[u8; ELEMENT_BYTES]>,
    mask: Vec<[u8; ELEMENT_BYTES]>,
}

impl Agreed {
    /// What is public afterwards. The ledger's refresh is put together from it; its hash comes back in [`Self::vault`].
    pub fn facts(&self, shares_hash: [u8; 32]) -> VaultFacts {
        let Self { renewal: Renewal { vault, keepers, .. }, evaluation, mask, .. } = self;
        let facts = vault.facts().clone();
        VaultFacts {
            share_version: facts.share_version.saturating_add(1), // `Renewal::new` has refused the last one
            keepers: keepers.clone(),
            evaluation: evaluation.clone(),
            mask: mask.clone(),
            shares_hash,
            ..facts
        }
    }

    /// The same, checked as everybody will check it.
    pub fn vault(&self, shares_hash: [u8; 32]) -> Result<Vault, RenewalError> {
        Ok(Vault::check(self.facts(shares_hash))?)
    }

    /// Refuses unless a keeper can stand by these handouts: one that has dealt must find its own among them, as it is. To
    /// be asked before a keeper that leaves gives its consent; [`Self::receive`] asks it itself.
    pub fn stand_by(&self, keeper: &[u8; 32], own: Option<&Handout>) -> Result<(), RenewalError> {
        let Some(dealer) = self.renewal.vault.index_of(keeper) else { return Ok(()) };
        match self.handouts.iter().find(|handout| handout.from == dealer) {
            Some(found) if own != Some(found) => Err(RenewalError::Foreign { dealer }),
            _ => Ok(()),
        }
    }

    /// A keeper's new share, from one sealed piece of each dealer, in their order; `own` is what it has dealt itself. Only
    /// when the share is kept may it be acknowledged.
    pub fn receive(
        &self,
        shares_hash: [u8; 32],
        keeper: &[u8; 32],
        key: &BoxKey,
        own: Option<&Handout>,
        pieces: &[Vec<u8>],
    ) -> Result<KeeperShare, RenewalError> {
        self.stand_by(keeper, own)?;
        let after = self.vault(shares_hash)?;
        let index = after.index_of(keeper).ok_or(RenewalError::Share(Complaint::NotAKeeper))?;
        if pieces.len() != self.handouts.len() {
            let needed = after.facts().threshold;
            return Err(RenewalError::Dealers { needed, found: pieces.len() });
        }
        let from = self.handouts.iter().zip(&self.deals);
        let opened = from.zip(pieces).map(|(from, sealed)| self.open(from, index, key, sealed));
        let (parts, ciphertexts): (Vec<_>, Vec<_>) =
            opened.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let sum = Parts::sum(self.weights.iter().copied().zip(&parts));
        // Every dealer has sent it; one that fits is enough.
        let fits = |ciphertext: &Vec<u8>| ciphertext_hash(ciphertext) == after.facts().ciphertext_hash;
        let ciphertext = ciphertexts.into_iter().find(fits);
        let ciphertext = ciphertext.ok_or(RenewalError::Share(Complaint::Ciphertext))?;
        let share = KeeperShare::new(&after, index, sum, ciphertext);
        share.check(&after).map_err(RenewalError::Share)?;
        Ok(share)
    }

    /// Opens a dealer's piece and holds it against the commitments.
    fn open(
        &self,
        (handout, [evaluation, mask]): (&Handout, &[Commitments; 2]),
        index: u8,
        key: &BoxKey,
        sealed: &[u8],
    ) -> Result<(Parts, Vec<u8>), RenewalError> {
        let dealer = handout.from;
        let hash = handout.pieces.get(usize::from(index) - 1).ok_or(RenewalError::Changed { dealer })?;
        let opened = handout::open(&self.renewal.run, [dealer, index], key, hash, sealed);
        let (parts, ciphertext) = opened.map_err(|error| match error {
            PieceError::Changed => RenewalError::Changed { dealer },
            PieceError::Unreadable(source) => RenewalError::Piece { dealer, source: Some(source) },
            PieceError::Malformed => RenewalError::Piece { dealer, source: None },
        })?;
        let [key, value, blinder] = &parts.0;
        let fits = evaluation.holds(index, key) && mask.holds_blinded(index, value, blinder);
        if fits { Ok((parts, ciphertext)) } else { Err(RenewalError::Piece { dealer, source: None }) }
    }
}
