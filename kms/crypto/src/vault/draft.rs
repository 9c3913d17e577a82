//! The user's side of a sealing: chooses the secrets, derives the keys, encrypts, deals the shares.
//!
//! [`VaultDraft::new`] gives what is public; the caller puts it into a sealing, hashes that and asks for one sealed
//! share per keeper. All keepers acknowledge, or the draft is thrown away: nothing was opened by it.

use std::fmt;

use opaque_ke::rand::{CryptoRng, RngCore};
use thiserror::Error;
use voprf::{Ristretto255, VoprfServer};
use zeroize::Zeroizing;

use super::contents::{self, ContentsError, Place, VaultedKey};
use super::facts::{FactsError, Vault, VaultFacts, VaultKeeper, VaultMode, VaultStretch};
use super::group::SecretScalar;
use super::keys::{Root, VaultKeyError, stretch};
use super::oprf::OprfError;
use super::parts::Parts;
use super::share::{KeeperShare, share_info};
use super::sharing::{Dealt, DealtBlinded, SharingError, check_threshold, deal, deal_blinded};
use crate::hpke_box::{self, BoxError};
use crate::random::with_randomness;
use crate::secret::SecretBytes;

/// Why a vault was not sealed.
#[derive(Debug, Error)]
pub enum DraftError {
    /// The threshold protects nothing or cannot be reached.
    #[error(transparent)]
    Sharing(#[from] SharingError),
    /// Keepers or versions are refused.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// The keys could not be derived.
    #[error(transparent)]
    Keys(#[from] VaultKeyError),
    /// The contents do not fit.
    #[error(transparent)]
    Contents(#[from] ContentsError),
    /// The oblivious function refused.
    #[error(transparent)]
    Oprf(#[from] OprfError),
    /// A share could not be sealed to a keeper.
    #[error("the share of keeper {index} could not be sealed")]
    Keeper {
        /// The keeper.
        index: u8,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[from] getrandom::Error),
}

/// What a vault is to be.
#[derive(Clone, Debug)]
pub struct VaultPlan {
    /// The ledger.
    pub chain_id: [u8; 32],
    /// The account's name on the ledger.
    pub account: [u8; 32],
    /// The vault's id: 32 random bytes, the same when a vault is sealed anew.
    pub vault: [u8; 32],
    /// 1, then one more each time the vault is sealed anew.
    pub version: u32,
    /// How many keepers are needed, at least 2.
    pub threshold: u8,
    /// The keepers, in the order of their indices.
    pub keepers: Vec<VaultKeeper>,
    /// How the password is stretched.
    pub stretch: VaultStretch,
}

/// A vault that is about to be sealed: everything secret of it wipes itself.
pub struct VaultDraft {
    plan: VaultPlan,
    mode: VaultMode,
    key: Dealt,
    mask: DealtBlinded,
    proof_key: [u8; 32],
    ciphertext: Vec<u8>,
}

impl VaultDraft {
    /// Fresh secrets for a vault, sealed anew or for the first time; takes as long as the stretching takes. With an
    /// OPAQUE export key (64 bytes) the mode is `self`, without one `vault`.
    pub fn new(
        plan: VaultPlan,
        password: &SecretBytes,
        keys: &[VaultedKey],
        export_key: Option<&SecretBytes>,
    ) -> Result<Self, DraftError> {
        with_randomness(|random| Self::with(plan, password, keys, export_key, random))
    }

    pub(crate) fn with(
        plan: VaultPlan,
        password: &SecretBytes,
        keys: &[VaultedKey],
        export_key: Option<&SecretBytes>,
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<Self, DraftError> {
        check_threshold(plan.threshold, plan.keepers.len())?;
        let mode = if export_key.is_some() { VaultMode::Own } else { VaultMode::Vault };
        let plain = contents::encode(keys)?;
        let (key, mask) = (SecretScalar::random(random), SecretScalar::random(random));
        let root = root(&plan, password, &key)?;
        let data_key = root.data_key(&mask, mode, export_key)?;
        let place = Place { account: &plan.account, vault: &plan.vault, version: plan.version, mode };
        let ciphertext = contents::seal(&data_key, &place, &plain, random)?;
        let mut proof_key = [0; 32];
        proof_key.copy_from_slice(root.proof_key()?.public_key().as_bytes());
        let (threshold, keepers) = (plan.threshold, plan.keepers.len());
        let key = deal(key.value(), threshold, keepers, random)?;
        let blinder = SecretScalar::random(random);
        let mask = deal_blinded([mask.value(), blinder.value()], threshold, keepers, random)?;
        Ok(Self { plan, mode, key, mask, proof_key, ciphertext })
    }

    /// What is public. A sealing is put together from it; its hash comes back in [`Self::vault`].
    pub fn facts(&self, shares_hash: [u8; 32]) -> VaultFacts {
        let VaultPlan { chain_id, account, vault, version, threshold, keepers, stretch } = self.plan.clone();
        VaultFacts {
            chain_id,
            account,
            vault,
            version,
            share_version: 1,
            mode: self.mode,
            threshold,
            keepers,
            evaluation: self.key.commitments.clone(),
            mask: self.mask.commitments.clone(),
            proof_key: self.proof_key,
            stretch,
            ciphertext_hash: contents::ciphertext_hash(&self.ciphertext),
            shares_hash,
        }
    }

    /// The same, checked as a keeper or a recovering user will check it.
    pub fn vault(&self, shares_hash: [u8; 32]) -> Result<Vault, FactsError> {
        Vault::check(self.facts(shares_hash))
    }

    /// One sealed share per keeper, in their order, bound to the hash of the sealing.
    pub fn shares(&self, shares_hash: [u8; 32]) -> Result<Vec<Vec<u8>>, DraftError> {
        with_randomness(|random| self.shares_with(shares_hash, random))
    }

    pub(crate) fn shares_with(
        &self,
        shares_hash: [u8; 32],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<Vec<Vec<u8>>, DraftError> {
        let vault = self.vault(shares_hash)?;
        let mut sealed = Vec::with_capacity(self.plan.keepers.len());
        let masks = self.mask.shares.iter().zip(&self.mask.blinders);
        let parts = self.key.shares.iter().zip(masks);
        for ((index, keeper), (key, (mask, blinder))) in (1..).zip(&self.plan.keepers).zip(parts) {
            let parts = Parts([key, mask, blinder].map(|part| SecretScalar::new(*part.value())));
            let share = KeeperShare::new(&vault, index, parts, self.ciphertext.clone());
            let info = share_info(&vault, &keeper.id);
            let message = hpke_box::seal(&keeper.sealing_key, &info, &share.message(), random);
            sealed.push(message.map_err(|source| DraftError::Keeper { index, source })?);
        }
        Ok(sealed)
    }
}

/// The root under the whole key, which exists here and nowhere later.
pub(super) fn root(plan: &VaultPlan, password: &SecretBytes, key: &SecretScalar) -> Result<Root, DraftError> {
    let stretched = stretch(password, &plan.account, &plan.vault, &plan.stretch)?;
    let server = VoprfServer::<Ristretto255>::new_with_key(key.bytes()).map_err(OprfError::from)?;
    let output = server.evaluate(stretched.as_slice()).map_err(OprfError::from)?;
    Ok(Root::new(&Zeroizing::new(output.into()))?)
}

impl fmt::Debug for VaultDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultDraft(redacted)")
    }
}
