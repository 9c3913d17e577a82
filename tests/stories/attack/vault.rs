//! Guessing at a vault's password with shares of some of its keepers, and with everything that is public.

use aes_gcm::{
    Aes256Gcm, KeyInit as _,
    aead::{Aead as _, Payload},
};
use curve25519_dalek_4::{
    constants::RISTRETTO_BASEPOINT_TABLE as G,
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
    traits::Identity as _,
};
use keyward_ledger_core::vault::{Sealing, VaultMode};
use sha2::{Digest as _, Sha256, Sha512};

use super::formulas::{Mode, Stretch, ed25519, expand, finalize, hash_to_group, subsets, tagged, weights};
use super::loot::Share;

/// A vault as the ledger shows it to everybody.
pub struct Vault {
    pub sealing: Sealing,
    evaluation: Vec<RistrettoPoint>,
    mask: Vec<RistrettoPoint>,
}

/// A word, and what Argon2id makes of it for one vault.
pub struct Word<'a> {
    pub text: &'a str,
    stretched: [u8; 32],
}

/// What a word's guess was held against with success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confirmed {
    /// Words whose root gives the proof key that stands on the ledger.
    pub by_proof_key: Vec<String>,
    /// Words whose root opens the contents.
    pub by_contents: Vec<String>,
    /// Words that a commitment is made of.
    pub by_commitment: Vec<String>,
}

/// A root that the contents opened under, with the data key.
pub struct Opened {
    pub root: [u8; 32],
    pub data_key: [u8; 32],
    pub plain: Vec<u8>,
}

fn points(bytes: &[[u8; 32]]) -> Vec<RistrettoPoint> {
    bytes.iter().map(|bytes| CompressedRistretto(*bytes).decompress().unwrap()).collect()
}

/// A polynomial in the exponent.
fn at(points: &[RistrettoPoint], index: u8) -> RistrettoPoint {
    points.iter().rev().fold(RistrettoPoint::identity(), |sum, point| sum * Scalar::from(index) + point)
}

/// H, the second base of the commitments to the mask.
fn second_base() -> RistrettoPoint {
    RistrettoPoint::from_uniform_bytes(&Sha512::digest(tagged("keyward/vault-mask-base/v1")).into())
}

impl Vault {
    pub fn new(sealing: Sealing) -> Self {
        let (evaluation, mask) = (points(&sealing.shares.evaluation), points(&sealing.shares.mask));
        Self { sealing, evaluation, mask }
    }

    pub fn threshold(&self) -> usize {
        self.evaluation.len()
    }

    /// What the product makes of a word before it asks any keeper.
    pub fn word<'a>(&self, text: &'a str) -> Word<'a> {
        let Sealing { vault, stretching, .. } = &self.sealing;
        let salt = Sha256::digest([&tagged("keyward/vault-salt/v1")[..], &vault.owner, &vault.name].concat());
        let (memory_kib, passes, lanes) = (stretching.memory_kib, stretching.passes, stretching.lanes);
        Word { text, stretched: Stretch { memory_kib, passes, lanes }.apply(text.as_bytes(), &salt) }
    }

    /// Whether a stolen share is the real one: both commitments hold, and so does the ciphertext's hash.
    pub fn is_open(&self, share: &Share) -> bool {
        let mask = &share.mask * G + share.blinder * second_base();
        &share.key * G == at(&self.evaluation, share.index)
            && mask == at(&self.mask, share.index)
            && Sha256::digest(&share.ciphertext)[..] == self.sealing.ciphertext_hash
    }

    /// Whether what shares of the key interpolate to is the key that the sealing is committed to.
    pub fn is_whole(&self, shares: &[&Share]) -> bool {
        &interpolated(shares, |share| share.key) * G == self.evaluation[0]
    }

    /// Every way from a word to a root that these shares give: all sets of them as if they were enough, and for one share
    /// too few, whatever public or own value might stand in for the missing evaluation.
    fn roots(&self, word: &Word<'_>, shares: &[&Share]) -> Vec<[u8; 32]> {
        let point = hash_to_group(&word.stretched, Mode::Vault);
        let keepers = u8::try_from(self.sealing.shares.keepers.len()).unwrap();
        let own = shares.iter().flat_map(|share| [share.key, share.mask, share.blinder]);
        let own: Vec<_> = own.chain([Scalar::ZERO, Scalar::ONE]).map(|scalar| scalar * point).collect();
        let mut found = Vec::new();
        for chosen in subsets(shares) {
            let mut indices: Vec<u8> = chosen.iter().map(|share| share.index).collect();
            let sum = |indices: &[u8], last: &RistrettoPoint| {
                let evaluations = chosen.iter().map(|share| share.key * point).chain([*last]);
                weights(indices).iter().zip(evaluations).map(|(weight, point)| weight * point).sum()
            };
            found.push(sum(&indices, &RistrettoPoint::identity()));
            for missing in (1..=keepers).filter(|index| chosen.iter().all(|share| share.index != *index)) {
                indices.push(missing);
                let key = at(&self.evaluation, missing);
                let public = [key, key + point, self.evaluation[0], self.evaluation[0] + point];
                found.extend(own.iter().chain(&public).map(|last| sum(&indices, last)));
                indices.pop();
            }
        }
        let root = |point| expand(&finalize(&word.stretched, point), b"keyward/vault-root/v1");
        found.iter().filter(|point| **point != RistrettoPoint::identity()).map(root).collect()
    }

    /// Opens the contents under a root, with every mask that these shares give and with what an attacker has in place of
    /// the export key.
    fn opened(&self, root: &[u8; 32], shares: &[&Share], export_keys: &[Vec<u8>]) -> Option<Opened> {
        let mut masks = vec![Scalar::ZERO];
        for chosen in subsets(shares) {
            masks.push(interpolated(&chosen, |share| share.mask));
        }
        let mode = self.sealing.mode.code();
        let info = [&tagged("keyward/vault-data-key/v1")[..], &[mode]].concat();
        let ciphertext = &shares.first()?.ciphertext;
        masks.iter().flat_map(|mask| export_keys.iter().map(move |export_key| (mask, export_key))).find_map(
            |(mask, export_key)| {
                let data_key = expand(&[&root[..], mask.as_bytes(), export_key].concat(), &info);
                let plain = self.decrypted(&data_key, ciphertext)?;
                Some(Opened { root: *root, data_key, plain })
            },
        )
    }

    fn decrypted(&self, data_key: &[u8; 32], ciphertext: &[u8]) -> Option<Vec<u8>> {
        let Sealing { vault, version, mode, .. } = &self.sealing;
        let label = tagged("keyward/vault-contents/v1");
        let aad = [&label[..], &vault.owner, &vault.name, &version.to_be_bytes(), &[mode.code()]].concat();
        let (nonce, msg) = ciphertext[1..].split_first_chunk::<12>()?;
        Aes256Gcm::new(data_key.into()).decrypt(nonce.into(), Payload { msg, aad: &aad }).ok()
    }

    /// The words that some check tells apart from the others, with these shares and an export key if there is one; and
    /// what was opened last.
    pub fn guess(
        &self,
        words: &[Word<'_>],
        shares: &[&Share],
        export_key: Option<&[u8]>,
    ) -> (Confirmed, Option<Opened>) {
        let (mut confirmed, mut opened) = (Confirmed::default(), None);
        let mut export_keys = vec![Vec::new()];
        export_keys.extend(export_key.map(<[u8]>::to_vec));
        for word in words {
            let roots = self.roots(word, shares);
            let proves = |root: &&[u8; 32]| {
                ed25519(&expand(*root, b"keyward/vault-proof-key/v1")) == self.sealing.terms.success_key
            };
            if roots.iter().any(|root| proves(&root)) {
                confirmed.by_proof_key.push(word.text.to_owned());
            }
            if let Some(found) = roots.iter().find_map(|root| self.opened(root, shares, &export_keys)) {
                confirmed.by_contents.push(word.text.to_owned());
                opened = Some(found);
            }
            if self.is_committed(word) {
                confirmed.by_commitment.push(word.text.to_owned());
            }
        }
        (confirmed, opened)
    }

    /// Whether a commitment, or a keeper's key, is made of a word alone.
    fn is_committed(&self, word: &Word<'_>) -> bool {
        let scalars = [
            Scalar::from_bytes_mod_order(word.stretched),
            Scalar::from_bytes_mod_order_wide(&Sha512::digest(word.stretched).into()),
            Scalar::from_bytes_mod_order_wide(&Sha512::digest(word.text).into()),
        ];
        let keepers = u8::try_from(self.sealing.shares.keepers.len()).unwrap();
        let public: Vec<_> = (0..=keepers).map(|index| at(&self.evaluation, index)).collect();
        let is_known = |point: RistrettoPoint| {
            public.contains(&point) || self.evaluation.contains(&point) || self.mask.contains(&point)
        };
        scalars.iter().any(|scalar| is_known(scalar * G) || is_known(scalar * second_base()))
    }

    /// Whether password and keepers are enough, without the login.
    pub fn opens_without_login(&self) -> bool {
        self.sealing.mode == VaultMode::Vault
    }
}

/// What shares interpolate to, be they enough or not.
fn interpolated(shares: &[&Share], part: impl Fn(&Share) -> Scalar) -> Scalar {
    let indices: Vec<u8> = shares.iter().map(|share| share.index).collect();
    weights(&indices).iter().zip(shares).map(|(weight, share)| weight * part(share)).sum()
}
