//! Sharing a scalar among keepers so that each can check its share: Feldman's and Pedersen's schemes.
//!
//! P. Feldman, "A practical scheme for non-interactive verifiable secret sharing" (FOCS 1987); T. Pedersen,
//! "Non-interactive and information-theoretic secure verifiable secret sharing" (CRYPTO 1991). The polynomial,
//! whose constant term is the secret, is wiped as soon as the shares are made.

use curve25519_dalek_4::constants::RISTRETTO_BASEPOINT_TABLE as G;
use curve25519_dalek_4::ristretto::RistrettoPoint;
use curve25519_dalek_4::scalar::Scalar;
use curve25519_dalek_4::traits::IsIdentity as _;
use opaque_ke::rand::{CryptoRng, RngCore};
use thiserror::Error;
use zeroize::Zeroizing;

use super::group::{self, ELEMENT_BYTES, GroupError, SecretScalar};

/// The fewest shares that may open a vault: with one, a single keeper would be the whole.
pub const THRESHOLD_MIN: u8 = 2;
/// The most keepers of one vault.
pub const KEEPERS_MAX: u8 = 16;

/// Why commitments, shares or a threshold are refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SharingError {
    /// Not `2 <= threshold <= keepers <= 16`.
    #[error("{threshold} of {keepers} keepers: there must be 2 <= threshold <= keepers <= {KEEPERS_MAX}")]
    Threshold {
        /// The threshold.
        threshold: u8,
        /// The keepers.
        keepers: usize,
    },
    /// The number of commitments is not the threshold.
    #[error("{found} commitments where {expected} are needed")]
    Count {
        /// How many there must be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A commitment is none.
    #[error("commitment {place} is refused")]
    Commitment {
        /// Its place, from 0.
        place: usize,
        /// Why.
        #[source]
        source: GroupError,
    },
    /// A keeper's share would be zero.
    #[error("the commitments give keeper {index} the identity as its key")]
    ShareKey {
        /// The keeper.
        index: u8,
    },
    /// No such keeper, or one that stands twice.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// Fewer or more shares than the threshold.
    #[error("{found} shares where {needed} are needed")]
    Shares {
        /// How many there must be.
        needed: usize,
        /// How many there are.
        found: usize,
    },
}

/// A polynomial with secret coefficients, wiped on drop.
pub(crate) struct Polynomial(Zeroizing<Vec<Scalar>>);

impl Polynomial {
    /// With this constant term, and as many coefficients in all as the threshold says.
    pub(crate) fn random(constant: &Scalar, threshold: u8, random: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut coefficients = Zeroizing::new(Vec::with_capacity(usize::from(threshold)));
        coefficients.push(*constant);
        for _ in 1..threshold {
            coefficients.push(*SecretScalar::random(random).value());
        }
        Self(coefficients)
    }

    /// The share of keeper `index`: the value there, by Horner's rule.
    pub(crate) fn share(&self, index: u8) -> SecretScalar {
        let at = Scalar::from(index);
        SecretScalar::new(self.0.iter().rev().fold(Scalar::ZERO, |sum, coefficient| sum * at + coefficient))
    }

    /// Feldman's commitments: each coefficient times the base.
    pub(crate) fn commitments(&self) -> Vec<RistrettoPoint> {
        self.0.iter().map(|coefficient| coefficient * G).collect()
    }

    /// Pedersen's commitments, with another polynomial's coefficients on the second base.
    pub(crate) fn blinded_commitments(&self, blinder: &Self) -> Vec<RistrettoPoint> {
        self.0.iter().zip(blinder.0.iter()).map(|(one, other)| mask_commitment(one, other)).collect()
    }
}

/// `mask * G + blinder * H`.
pub(crate) fn mask_commitment(mask: &Scalar, blinder: &Scalar) -> RistrettoPoint {
    mask * G + blinder * group::mask_base()
}

/// What is public about a shared secret: one commitment per coefficient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commitments(Vec<RistrettoPoint>);

impl Commitments {
    /// Reads exactly as many as the threshold says; the identity is refused.
    pub(crate) fn parse(bytes: &[[u8; ELEMENT_BYTES]], threshold: u8) -> Result<Self, SharingError> {
        if bytes.len() != usize::from(threshold) {
            return Err(SharingError::Count { expected: usize::from(threshold), found: bytes.len() });
        }
        let read = |(place, bytes)| {
            group::element(bytes).map_err(|source| SharingError::Commitment { place, source })
        };
        Ok(Self(bytes.iter().enumerate().map(read).collect::<Result<_, _>>()?))
    }

    /// The commitment to the share of keeper `index`; under Feldman's scheme its evaluation key.
    pub(crate) fn at(&self, index: u8) -> RistrettoPoint {
        group::evaluate_points(&self.0, index)
    }

    /// Feldman's check.
    pub(crate) fn holds(&self, index: u8, share: &SecretScalar) -> bool {
        index != 0 && share.value() * G == self.at(index)
    }

    /// Pedersen's check.
    pub(crate) fn holds_blinded(&self, index: u8, share: &SecretScalar, blinder: &SecretScalar) -> bool {
        index != 0 && mask_commitment(share.value(), blinder.value()) == self.at(index)
    }
}

/// Refuses a threshold that protects nothing or that nobody can reach.
pub(crate) fn check_threshold(threshold: u8, keepers: usize) -> Result<u8, SharingError> {
    let refused = SharingError::Threshold { threshold, keepers };
    match u8::try_from(keepers) {
        Ok(count) if THRESHOLD_MIN <= threshold && threshold <= count && count <= KEEPERS_MAX => Ok(count),
        _ => Err(refused),
    }
}

/// The evaluation keys of keepers 1 to `keepers`; none may be the identity.
pub(crate) fn share_keys(
    commitments: &Commitments,
    keepers: u8,
) -> Result<Vec<[u8; ELEMENT_BYTES]>, SharingError> {
    let key = |index| {
        let key = commitments.at(index);
        if key.is_identity() { Err(SharingError::ShareKey { index }) } else { Ok(group::encode(&key)) }
    };
    (1..=keepers).map(key).collect()
}

/// Puts a secret together from exactly the threshold of shares. Whether they belong together is the caller's to
/// check before, share by share.
pub(crate) fn combine(shares: &[(u8, &SecretScalar)], threshold: u8) -> Result<SecretScalar, SharingError> {
    if shares.len() != usize::from(threshold) {
        return Err(SharingError::Shares { needed: usize::from(threshold), found: shares.len() });
    }
    let indices: Vec<u8> = shares.iter().map(|(index, _)| *index).collect();
    let weights = group::weights(&indices, 0)?;
    let terms = shares.iter().zip(&weights);
    Ok(SecretScalar::new(terms.fold(Scalar::ZERO, |sum, ((_, share), weight)| sum + share.value() * weight)))
}
