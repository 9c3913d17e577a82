//! The group of the vault, ristretto255 (RFC 9496): how elements and scalars are read, and interpolation.

use std::fmt;
use std::sync::LazyLock;

use curve25519_dalek_4::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek_4::scalar::Scalar;
use curve25519_dalek_4::traits::{Identity as _, IsIdentity as _};
use opaque_ke::rand::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha512};
use thiserror::Error;
use zeroize::Zeroize as _;

use crate::labels;

/// Length of an encoded element and of an encoded scalar.
pub const ELEMENT_BYTES: usize = 32;

/// Why bytes are no element or scalar, or indices no set to interpolate from.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum GroupError {
    /// Not the one encoding of an element (RFC 9496, section 4.3.1).
    #[error("not a canonical element of ristretto255")]
    Element,
    /// The identity, which no public element may be.
    #[error("the identity where an element is asked for")]
    Identity,
    /// Not below the group's order.
    #[error("not a canonical scalar of ristretto255")]
    Scalar,
    /// Zero, which no secret scalar may be.
    #[error("zero where a secret scalar is asked for")]
    Zero,
    /// Keepers are numbered from 1.
    #[error("there is no keeper {index}")]
    Index {
        /// The number.
        index: u8,
    },
    /// One keeper stands twice.
    #[error("keeper {index} stands twice")]
    Twice {
        /// Its number.
        index: u8,
    },
}

/// Reads a public element: canonical and not the identity.
pub(crate) fn element(bytes: &[u8; ELEMENT_BYTES]) -> Result<RistrettoPoint, GroupError> {
    let point = CompressedRistretto(*bytes).decompress().ok_or(GroupError::Element)?;
    if point.is_identity() { Err(GroupError::Identity) } else { Ok(point) }
}

/// The one encoding of an element.
pub(crate) fn encode(point: &RistrettoPoint) -> [u8; ELEMENT_BYTES] {
    point.compress().to_bytes()
}

/// An element of which nobody knows how it hangs together with another: `one-way map(SHA-512(parts))` (RFC 9496,
/// section 4.3.4), the first part a label with its length. The oblivious function hashes to the group under its own
/// tag (RFC 9497), so no password can be put in here.
pub(crate) fn element_of(parts: &[&[u8]]) -> RistrettoPoint {
    RistrettoPoint::from_uniform_bytes(&Sha512::digest(parts.concat()).into())
}

/// The second base of the commitments to the mask.
pub(crate) fn mask_base() -> &'static RistrettoPoint {
    static BASE: LazyLock<RistrettoPoint> =
        LazyLock::new(|| element_of(&[&labels::tagged(labels::VAULT_MASK_BASE)]));
    &BASE
}

/// A secret scalar: wiped on drop, not copied, printed redacted.
pub(crate) struct SecretScalar(Scalar);

impl SecretScalar {
    pub(crate) fn new(scalar: Scalar) -> Self {
        Self(scalar)
    }

    /// Uniform in `1..order`.
    pub(crate) fn random(random: &mut (impl RngCore + CryptoRng)) -> Self {
        loop {
            let mut wide = [0; 64];
            random.fill_bytes(&mut wide);
            let scalar = Scalar::from_bytes_mod_order_wide(&wide);
            wide.zeroize();
            if scalar != Scalar::ZERO {
                return Self(scalar);
            }
        }
    }

    /// Reads 32 bytes, little-endian, below the order and not zero.
    pub(crate) fn parse(bytes: &[u8; ELEMENT_BYTES]) -> Result<Self, GroupError> {
        let scalar =
            Option::<Scalar>::from(Scalar::from_canonical_bytes(*bytes)).ok_or(GroupError::Scalar)?;
        if scalar == Scalar::ZERO { Err(GroupError::Zero) } else { Ok(Self(scalar)) }
    }

    pub(crate) const fn value(&self) -> &Scalar {
        &self.0
    }

    pub(crate) const fn bytes(&self) -> &[u8; ELEMENT_BYTES] {
        self.0.as_bytes()
    }
}

impl Drop for SecretScalar {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretScalar(redacted)")
    }
}

/// Refuses the number 0 among the indices, and one that stands twice.
pub(crate) fn check_indices(indices: &[u8]) -> Result<(), GroupError> {
    for (place, &index) in indices.iter().enumerate() {
        if index == 0 {
            return Err(GroupError::Index { index });
        }
        if indices.iter().take(place).any(|&other| other == index) {
            return Err(GroupError::Twice { index });
        }
    }
    Ok(())
}

/// Lagrange's weights: `f(at) = sum of weight * f(index)` for every polynomial of a degree below the number of
/// indices. Refused: the number 0 among the indices, and one that stands twice.
pub(crate) fn weights(indices: &[u8], at: u8) -> Result<Vec<Scalar>, GroupError> {
    check_indices(indices)?;
    let at = Scalar::from(at);
    let weight = |&index: &u8| {
        let own = Scalar::from(index);
        let others = indices.iter().filter(|&&other| other != index).map(|&other| Scalar::from(other));
        let (above, below) = others.fold((Scalar::ONE, Scalar::ONE), |(above, below), other| {
            (above * (at - other), below * (own - other))
        });
        above * below.invert() // no two are the same, so `below` is not zero
    };
    Ok(indices.iter().map(weight).collect())
}

/// `sum of point * at^place`: a polynomial in the exponent, by Horner's rule. Everything here is public.
pub(crate) fn evaluate_points(points: &[RistrettoPoint], at: u8) -> RistrettoPoint {
    let at = Scalar::from(at);
    points.iter().rev().fold(RistrettoPoint::identity(), |sum, point| sum * at + point)
}
