//! Sharing a scalar among keepers so that each can check its share: Feldman's and Pedersen's schemes, by vsss-rs.
//!
//! P. Feldman, "A practical scheme for non-interactive verifiable secret sharing" (FOCS 1987); T. Pedersen,
//! "Non-interactive and information-theoretic secure verifiable secret sharing" (CRYPTO 1991). The library's own
//! containers wipe nothing, so ours stand in for them; it does not count commitments, so that happens here. It stands
//! on the newer curve25519-dalek: scalars and points meet the oblivious function's as bytes.

use curve25519_dalek_4::ristretto::RistrettoPoint;
use curve25519_dalek_4::scalar::Scalar;
use curve25519_dalek_4::traits::IsIdentity as _;
use curve25519_dalek_5::ristretto::CompressedRistretto;
use opaque_ke::rand::{CryptoRng, RngCore};
use thiserror::Error;
use vsss_rs::pedersen::PedersenOptions;
use vsss_rs::{
    Feldman as _, FeldmanVerifierSet, Pedersen as _, PedersenVerifierSet, ReadableShareSet, Share as _,
    ShareElement as _,
};

use super::group::{self, ELEMENT_BYTES, GroupError, SecretScalar};
use crate::random::Newer;

mod wiping;

use wiping::{Share, Verifier, Wiped, Wiping, field, identifier};

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
    /// The library refused.
    #[error("the sharing library refused: {0}")]
    Library(vsss_rs::Error),
}

impl From<vsss_rs::Error> for SharingError {
    fn from(error: vsss_rs::Error) -> Self {
        Self::Library(error)
    }
}

/// A dealt secret: the shares of keepers 1 to n, and the commitments, constant term first.
pub(crate) struct Dealt {
    pub(crate) shares: Vec<SecretScalar>,
    pub(crate) commitments: Vec<[u8; ELEMENT_BYTES]>,
}

/// A dealt secret with its blinder.
pub(crate) struct DealtBlinded {
    pub(crate) shares: Vec<SecretScalar>,
    pub(crate) blinders: Vec<SecretScalar>,
    pub(crate) commitments: Vec<[u8; ELEMENT_BYTES]>,
}

/// Feldman's scheme.
pub(crate) fn deal(
    secret: &Scalar,
    threshold: u8,
    keepers: usize,
    random: &mut (impl RngCore + CryptoRng),
) -> Result<Dealt, SharingError> {
    check_threshold(threshold, keepers)?;
    let secret = Wiped(vec![Share::with_identifier_and_value(identifier(0), field(secret))]);
    let [share] = &secret.0[..] else { return Err(SharingError::Shares { needed: 1, found: 0 }) };
    let (threshold, random) = (usize::from(threshold), Newer(random));
    let (shares, verifiers) =
        Wiping::split_secret_with_verifier(threshold, keepers, share.value(), None::<Verifier>, random)?;
    let verifiers = <Vec<Verifier> as FeldmanVerifierSet<Share, Verifier>>::verifiers(&verifiers);
    Ok(Dealt { shares: shares.secrets(), commitments: encode(verifiers) })
}

/// Pedersen's scheme, with H as the second base.
pub(crate) fn deal_blinded(
    [secret, blinder]: [&Scalar; 2],
    threshold: u8,
    keepers: usize,
    random: &mut (impl RngCore + CryptoRng),
) -> Result<DealtBlinded, SharingError> {
    check_threshold(threshold, keepers)?;
    let both = Wiped(vec![Share::with_identifier_and_value(field(blinder), field(secret))]);
    let [both] = &both.0[..] else { return Err(SharingError::Shares { needed: 1, found: 0 }) };
    let options = PedersenOptions::<Share, Verifier> {
        secret: both.value(),
        blinder: Some(*both.identifier()),
        secret_generator: Some(Verifier::one()),
        blinder_generator: Some(mask_base()?),
    };
    let dealt =
        Wiping::split_secret_with_blind_verifiers(usize::from(threshold), keepers, &options, Newer(random))?;
    let verifiers = PedersenVerifierSet::<Share, Verifier>::blind_verifiers(&dealt.commitments);
    Ok(DealtBlinded {
        shares: dealt.shares.secrets(),
        blinders: dealt.blinders.secrets(),
        commitments: encode(verifiers),
    })
}

/// What is public about a shared secret: one commitment per coefficient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commitments {
    points: Vec<RistrettoPoint>,
    verifiers: Vec<Verifier>,
}

impl Commitments {
    /// Reads exactly as many as the threshold says; the identity is refused.
    pub(crate) fn parse(bytes: &[[u8; ELEMENT_BYTES]], threshold: u8) -> Result<Self, SharingError> {
        if bytes.len() != usize::from(threshold) {
            return Err(SharingError::Count { expected: usize::from(threshold), found: bytes.len() });
        }
        let refused = |place| move |source| SharingError::Commitment { place, source };
        let read = |(place, bytes)| group::element(bytes).map_err(refused(place));
        let points = bytes.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        let read = |(place, bytes)| verifier(bytes).map_err(refused(place));
        Ok(Self { points, verifiers: bytes.iter().enumerate().map(read).collect::<Result<_, _>>()? })
    }

    /// The constant term first.
    pub(crate) fn points(&self) -> &[RistrettoPoint] {
        &self.points
    }

    /// The commitment to the share of keeper `index`; under Feldman's scheme its evaluation key.
    pub(crate) fn at(&self, index: u8) -> RistrettoPoint {
        group::evaluate_points(&self.points, index)
    }

    /// Feldman's check.
    pub(crate) fn holds(&self, index: u8, share: &SecretScalar) -> bool {
        let share = Wiped::of(index, share);
        let set: Vec<Verifier> = FeldmanVerifierSet::<Share, Verifier>::with_generator_and_verifiers(
            Verifier::one(),
            &self.verifiers,
        );
        share.0.iter().all(|share| FeldmanVerifierSet::<Share, Verifier>::verify_share(&set, share).is_ok())
    }

    /// Pedersen's check.
    pub(crate) fn holds_blinded(&self, index: u8, share: &SecretScalar, blinder: &SecretScalar) -> bool {
        let (share, blinder) = (Wiped::of(index, share), Wiped::of(index, blinder));
        let Ok(base) = mask_base() else { return false };
        let set: Vec<Verifier> = PedersenVerifierSet::<Share, Verifier>::with_generators_and_verifiers(
            Verifier::one(),
            base,
            &self.verifiers,
        );
        let mut pairs = share.0.iter().zip(&blinder.0);
        pairs.all(|(share, blinder)| {
            PedersenVerifierSet::<Share, Verifier>::verify_share_and_blinder(&set, share, blinder).is_ok()
        })
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
    group::check_indices(&indices)?;
    let share = |(index, share): &(u8, &SecretScalar)| {
        Share::with_identifier_and_value(identifier(*index), field(share.value()))
    };
    let mut whole = Wiped(vec![Share::default()]);
    let set = Wiped(shares.iter().map(share).collect());
    whole
        .0
        .iter_mut()
        .try_for_each(|whole| ReadableShareSet::<Share>::combine_in_place(&set, whole.value_mut()))?;
    whole.secrets().pop().ok_or(SharingError::Shares { needed: 1, found: 0 })
}

fn verifier(bytes: &[u8; ELEMENT_BYTES]) -> Result<Verifier, GroupError> {
    let point = CompressedRistretto(*bytes).decompress().ok_or(GroupError::Element)?;
    Ok(vsss_rs::ValueGroup(point))
}

fn mask_base() -> Result<Verifier, GroupError> {
    verifier(&group::encode(group::mask_base()))
}

fn encode(verifiers: &[Verifier]) -> Vec<[u8; ELEMENT_BYTES]> {
    verifiers.iter().map(|verifier| verifier.0.compress().to_bytes()).collect()
}
