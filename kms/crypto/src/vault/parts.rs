//! Three scalars that go together: of the key, of the mask and of its blinder. A share, or a part of one.

use curve25519_dalek_4::constants::RISTRETTO_BASEPOINT_TABLE as G;
use curve25519_dalek_4::ristretto::RistrettoPoint;
use curve25519_dalek_4::scalar::Scalar;
use opaque_ke::rand::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::contents::CIPHERTEXT_BYTES_MAX;
use super::group::{self, ELEMENT_BYTES, SecretScalar};

const VERSION: u8 = 1;
/// `version u8 || k[32] || m[32] || blinder[32]`, before the ciphertext.
const HEAD_BYTES: usize = 1 + 3 * ELEMENT_BYTES;
/// The longest message.
pub(crate) const MESSAGE_BYTES_MAX: usize = HEAD_BYTES + CIPHERTEXT_BYTES_MAX;

/// k, m and the blinder m' of a share, or of a part of one. Wiped on drop.
pub(crate) struct Parts(pub(crate) [SecretScalar; 3]);

impl Parts {
    /// Fresh ones.
    fn random(random: &mut (impl RngCore + CryptoRng)) -> Self {
        Self([(); 3].map(|()| SecretScalar::random(random)))
    }

    /// `sum of weight * part`.
    pub(crate) fn sum<'a>(weighted: impl Iterator<Item = (Scalar, &'a Self)>) -> Self {
        let mut sums = Zeroizing::new([Scalar::ZERO; 3]);
        for (weight, Self(parts)) in weighted {
            sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += weight * part.value());
        }
        Self(sums.map(SecretScalar::new))
    }

    /// As many summands as asked for, all but the last of them random.
    pub(crate) fn split(self, count: usize, random: &mut (impl RngCore + CryptoRng)) -> Vec<Self> {
        let mut summands: Vec<_> = (1..count).map(|_| Self::random(random)).collect();
        let taken = summands.iter().map(|summand| (-Scalar::ONE, summand));
        let last = Self::sum([(Scalar::ONE, &self)].into_iter().chain(taken));
        summands.push(last);
        summands
    }

    /// `k G` and `m G + m' H`.
    pub(crate) fn commitments(&self) -> [RistrettoPoint; 2] {
        let [key, mask, blinder] = &self.0;
        [key.value() * G, mask.value() * G + blinder.value() * group::mask_base()]
    }

    /// `version u8 (1) || k[32] || m[32] || m'[32] || ciphertext`: what is sealed to a keeper.
    pub(crate) fn message(&self, ciphertext: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(HEAD_BYTES + ciphertext.len()));
        out.push(VERSION);
        self.0.iter().for_each(|part| out.extend_from_slice(part.bytes()));
        out.extend_from_slice(ciphertext);
        out
    }

    /// Reads a message; the ciphertext is whatever stands behind the scalars, also nothing.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Self, Vec<u8>)> {
        let rest = bytes.strip_prefix(&[VERSION])?;
        let (key, rest) = rest.split_first_chunk()?;
        let (mask, rest) = rest.split_first_chunk()?;
        let (blinder, ciphertext) = rest.split_first_chunk()?;
        let parts = [key, mask, blinder].map(|part| SecretScalar::parse(part).ok());
        let [Some(key), Some(mask), Some(blinder)] = parts else { return None };
        (ciphertext.len() <= CIPHERTEXT_BYTES_MAX).then(|| (Self([key, mask, blinder]), ciphertext.to_vec()))
    }
}
