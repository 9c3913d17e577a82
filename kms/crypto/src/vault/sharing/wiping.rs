//! Containers for the sharing library that wipe what they held: its own wipe nothing.

use curve25519_dalek_4::scalar::Scalar;
use vsss_rs::{
    Feldman, IdentifierPrimeField, Pedersen, PedersenResult, Polynomial, PrimeFieldShare, Shamir, Share as _,
    ShareVerifierGroup, WriteableShareSet,
};
use zeroize::Zeroize as _;

use crate::vault::group::SecretScalar;

pub(super) type Point = curve25519_dalek_5::RistrettoPoint;
pub(super) type Field = IdentifierPrimeField<curve25519_dalek_5::Scalar>;
pub(super) type Share = PrimeFieldShare<curve25519_dalek_5::Scalar>;
pub(super) type Verifier = ShareVerifierGroup<Point>;

/// Shares or coefficients that are wiped on drop: the library's polynomial and its set of shares.
pub(super) struct Wiped(pub(super) Vec<Share>);

impl Wiped {
    /// One share.
    pub(super) fn of(index: u8, value: &SecretScalar) -> Self {
        Self(vec![Share::with_identifier_and_value(identifier(index), field(value.value()))])
    }

    pub(super) fn secrets(&self) -> Vec<SecretScalar> {
        self.0.iter().map(|share| secret(share.value())).collect()
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        for share in &mut self.0 {
            share.identifier_mut().0.zeroize();
            share.value_mut().0.zeroize();
        }
    }
}

impl AsRef<[Share]> for Wiped {
    fn as_ref(&self) -> &[Share] {
        &self.0
    }
}

impl AsMut<[Share]> for Wiped {
    fn as_mut(&mut self) -> &mut [Share] {
        &mut self.0
    }
}

impl Polynomial<Share> for Wiped {
    fn create(size_hint: usize) -> Self {
        Self(vec![Share::default(); size_hint])
    }

    fn coefficients(&self) -> &[Share] {
        &self.0
    }

    fn coefficients_mut(&mut self) -> &mut [Share] {
        &mut self.0
    }
}

impl WriteableShareSet<Share> for Wiped {
    fn create(size_hint: usize) -> Self {
        Self(vec![Share::default(); size_hint])
    }
}

/// The library's schemes over containers that wipe themselves.
pub(super) struct Wiping;

impl Shamir<Share> for Wiping {
    type InnerPolynomial = Wiped;
    type ShareSet = Wiped;
}

impl Feldman<Share, Verifier> for Wiping {
    type VerifierSet = Vec<Verifier>;
}

impl Pedersen<Share, Verifier> for Wiping {
    type FeldmanVerifierSet = Vec<Verifier>;
    type PedersenVerifierSet = Vec<Verifier>;
    type PedersenResult = Blinded;
}

/// What Pedersen's scheme gives. The commitments without blinder are dropped: they would show mask times base.
pub(super) struct Blinded {
    blinder: Field,
    pub(super) shares: Wiped,
    pub(super) blinders: Wiped,
    bare: Vec<Verifier>,
    pub(super) commitments: Vec<Verifier>,
}

impl PedersenResult<Share, Verifier> for Blinded {
    type ShareSet = Wiped;
    type FeldmanVerifierSet = Vec<Verifier>;
    type PedersenVerifierSet = Vec<Verifier>;

    fn new(
        blinder: Field,
        shares: Wiped,
        blinders: Wiped,
        bare: Vec<Verifier>,
        commitments: Vec<Verifier>,
    ) -> Self {
        Self { blinder, shares, blinders, bare, commitments }
    }

    fn blinder(&self) -> &Field {
        &self.blinder
    }

    fn secret_shares(&self) -> &Wiped {
        &self.shares
    }

    fn blinder_shares(&self) -> &Wiped {
        &self.blinders
    }

    fn feldman_verifier_set(&self) -> &Vec<Verifier> {
        &self.bare
    }

    fn pedersen_verifier_set(&self) -> &Vec<Verifier> {
        &self.commitments
    }
}

impl Drop for Blinded {
    fn drop(&mut self) {
        self.blinder.0.zeroize();
        self.bare.iter_mut().for_each(|point| point.0.zeroize());
    }
}

pub(super) fn identifier(index: u8) -> Field {
    IdentifierPrimeField(curve25519_dalek_5::Scalar::from(index))
}

/// The same scalar in the newer library: both keep it reduced.
pub(super) fn field(scalar: &Scalar) -> Field {
    IdentifierPrimeField(curve25519_dalek_5::Scalar::from_bytes_mod_order(scalar.to_bytes()))
}

fn secret(value: &Field) -> SecretScalar {
    SecretScalar::new(Scalar::from_bytes_mod_order(value.0.to_bytes()))
}
