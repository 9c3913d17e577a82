//! DKLs23 by the library (J. Doerner, Y. Kondi, E. Lee, A. Shelat, "Threshold ECDSA in Three Rounds", IEEE S&P 2024): its
//! values in its own bytes, read strictly; whom it blames.
//!
//! The library draws its randomness itself, from rand's thread generator, which the system seeds.

use dkls23_core::protocols::{Abort, AbortKind, AbortReason, Parameters, PartyIndex};
use k256::elliptic_curve::ff::PrimeField as _;
use k256::elliptic_curve::group::GroupEncoding as _;
use k256::{AffinePoint, Scalar};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{Element, LibraryError, Secret};
use crate::shared::errors::{Lie, RunError};
use crate::shared::holders::Holders;

pub(crate) mod generation;
pub(crate) mod signing;
pub(crate) mod state;

/// The curve.
pub(crate) type Curve = k256::Secp256k1;

/// What the library refused, and whether it must never again compute with whom it blames.
pub(crate) struct Refused {
    source: LibraryError,
    bans: bool,
}

impl Refused {
    fn new(abort: &Abort, holders: &Holders) -> Self {
        let culprit = culprit(&abort.reason).map(|party| holders.identifier_of(party.as_u8()));
        let bans = matches!(abort.kind, AbortKind::BanCounterparty(_));
        Self { source: LibraryError::new(abort.description(), culprit), bans }
    }

    /// The error of a run at this place: its holder never blames itself.
    pub(crate) fn at(
        self,
        place: u8,
        holders: &Holders,
        lie: Lie,
        evidence: impl FnOnce(u8) -> Vec<Vec<u8>>,
    ) -> RunError {
        let Self { source, bans } = self;
        match source.culprit().map(|number| holders.owner(number)) {
            Some(liar) if liar != place => {
                RunError::caught(liar, if bans { Lie::Product } else { lie }, evidence(liar), source)
            }
            _ => source.into(),
        }
    }
}

impl From<LibraryError> for Refused {
    fn from(source: LibraryError) -> Self {
        Self { source, bans: false }
    }
}

/// Whom a reason blames; what is wrong with the own state is nobody's fault.
const fn culprit(reason: &AbortReason) -> Option<PartyIndex> {
    match reason {
        AbortReason::SessionBindingMismatch { counterparty }
        | AbortReason::ProofVerificationFailed { counterparty }
        | AbortReason::CommitmentMismatch { counterparty }
        | AbortReason::TrivialInstancePoint { counterparty }
        | AbortReason::OtConsistencyCheckFailed { counterparty }
        | AbortReason::MultiplicationVerificationFailed { counterparty, .. }
        | AbortReason::GammaUInconsistency { counterparty }
        | AbortReason::ZeroShareDecommitFailed { counterparty } => Some(*counterparty),
        _ => None,
    }
}

fn index(number: u16, holders: &Holders) -> Result<PartyIndex, LibraryError> {
    PartyIndex::new(holders.party(number)).map_err(|error| LibraryError::new(error, None))
}

fn parameters(holders: &Holders) -> Result<Parameters, LibraryError> {
    let total = u8::try_from(holders.all_identifiers().len()).unwrap_or(u8::MAX);
    let needed = u8::try_from(holders.needed()).unwrap_or(u8::MAX);
    Parameters::new(needed, total).map_err(|error| LibraryError::new(error, None))
}

/// A value of the library in postcard's bytes.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Zeroizing<Vec<u8>>, LibraryError> {
    let failed = |error: postcard::Error| LibraryError::new(error.to_string(), None);
    let size = postcard::experimental::serialized_size(value).map_err(failed)?;
    let mut out = Zeroizing::new(vec![0; size]);
    postcard::to_slice(value, &mut out).map_err(failed)?;
    Ok(out)
}

/// Reads exactly one value from its one encoding.
pub(crate) fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes::<T>(bytes).ok()?;
    let canonical = rest.is_empty() && encode(&value).is_ok_and(|again| again.as_slice() == bytes);
    canonical.then_some(value)
}

fn element(point: &AffinePoint) -> Element {
    point.to_bytes().to_vec()
}

fn point(element: &Element) -> Option<AffinePoint> {
    let bytes: [u8; 33] = element.as_slice().try_into().ok()?;
    Option::from(AffinePoint::from_bytes(&bytes.into()))
}

fn secret(scalar: &Scalar) -> Secret {
    Zeroizing::new(scalar.to_bytes().into())
}

fn scalar(bytes: &[u8; 32]) -> Option<Scalar> {
    Option::from(Scalar::from_repr((*bytes).into()))
}
