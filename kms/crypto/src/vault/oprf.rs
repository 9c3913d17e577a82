//! The oblivious function of the vault: RFC 9497, mode VOPRF, ristretto255-SHA512, its key shared among keepers.
//!
//! Each keeper evaluates under its share and proves it against its own evaluation key; the sum of t evaluations
//! with Lagrange's weights is the evaluation under the whole key, which nobody ever holds. What one key gives
//! and what t shares of it give is the same output.

use curve25519_dalek_4::ristretto::RistrettoPoint;
use curve25519_dalek_4::scalar::Scalar;
use curve25519_dalek_4::traits::{IsIdentity as _, MultiscalarMul as _};
use opaque_ke::rand::{CryptoRng, RngCore};
use thiserror::Error;
use voprf::{BlindedElement, EvaluationElement, OprfClient, Proof, Ristretto255, VoprfClient, VoprfServer};
use zeroize::Zeroizing;

use super::group::{self, ELEMENT_BYTES, GroupError, SecretScalar};
use super::sharing::SharingError;

/// Length of a proof: `c[32] || s[32]`.
pub const PROOF_BYTES: usize = 64;
/// Length of the function's output.
pub(crate) const OUTPUT_BYTES: usize = 64;

/// Why the function was not evaluated, or an evaluation is refused.
#[derive(Debug, Error)]
pub enum OprfError {
    /// The blinded element or the evaluation is no element.
    #[error("the element is refused")]
    Element(#[from] GroupError),
    /// The library refused: a wrong proof, or an input that is empty or too long.
    #[error("the oblivious function refused: {0}")]
    Refused(voprf::Error),
    /// The evaluations are not the ones that are needed.
    #[error(transparent)]
    Sharing(#[from] SharingError),
}

impl From<voprf::Error> for OprfError {
    fn from(error: voprf::Error) -> Self {
        Self::Refused(error)
    }
}

/// A keeper's evaluation of a blinded element, with its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The blinded element times the keeper's share.
    pub element: [u8; ELEMENT_BYTES],
    /// `c[32] || s[32]` (RFC 9497, section 2.2.1).
    pub proof: [u8; PROOF_BYTES],
}

/// A secret input behind its blind; wipes itself.
pub(crate) struct Blinded {
    client: OprfClient<Ristretto255>,
    element: [u8; ELEMENT_BYTES],
}

impl Blinded {
    /// Blinds an input of 1 to 65,535 bytes with fresh randomness.
    pub(crate) fn new(input: &[u8], random: &mut (impl RngCore + CryptoRng)) -> Result<Self, OprfError> {
        Self::with_blind(input, &SecretScalar::random(random))
    }

    pub(crate) fn with_blind(input: &[u8], blind: &SecretScalar) -> Result<Self, OprfError> {
        let started = VoprfClient::<Ristretto255>::deterministic_blind_unchecked(input, *blind.value())?;
        let element = started.message.serialize().into();
        group::element(&element)?;
        // The verifiable client finishes single evaluations only. The plain one takes the sum: the last step is
        // the same in both modes (RFC 9497, sections 3.3.1 and 3.3.2).
        Ok(Self { client: OprfClient::deserialize(blind.bytes())?, element })
    }

    pub(crate) const fn element(&self) -> &[u8; ELEMENT_BYTES] {
        &self.element
    }

    /// Takes the blind off the combined evaluation and hashes: the function's output.
    pub(crate) fn finalize(
        &self,
        input: &[u8],
        combined: &[u8; ELEMENT_BYTES],
    ) -> Result<Zeroizing<[u8; OUTPUT_BYTES]>, OprfError> {
        let output = self.client.finalize(input, &EvaluationElement::deserialize(combined)?)?;
        Ok(Zeroizing::new(output.into()))
    }
}

/// A share of the key, made ready once, its public part beside it. Wiped on drop.
pub(crate) struct Evaluator(VoprfServer<Ristretto255>);

impl Evaluator {
    pub(crate) fn new(share: &SecretScalar) -> Result<Self, OprfError> {
        Ok(Self(VoprfServer::new_with_key(share.bytes())?))
    }

    /// Evaluates a blinded element and proves it; every proof takes a fresh nonce.
    pub(crate) fn evaluate(
        &self,
        element: &[u8; ELEMENT_BYTES],
        random: &mut (impl RngCore + CryptoRng),
    ) -> Result<Evaluation, OprfError> {
        let element = BlindedElement::from_value_unchecked(group::element(element)?);
        let done = self.0.blind_evaluate(random, &element);
        Ok(Evaluation { element: done.message.serialize().into(), proof: done.proof.serialize().into() })
    }
}

/// Holds an evaluation against the keeper's evaluation key. Nothing secret is needed: anybody can.
pub(crate) fn verify(
    element: &[u8; ELEMENT_BYTES],
    evaluation: &Evaluation,
    key: &[u8; ELEMENT_BYTES],
) -> Result<(), OprfError> {
    let (key, _) = (group::element(key)?, group::element(element)?);
    let evaluated = EvaluationElement::<Ristretto255>::deserialize(&evaluation.element)?;
    let proof = Proof::deserialize(&evaluation.proof)?;
    // The library verifies a proof on the way to an output; with the blind 1 that output is nobody's.
    let client = [Scalar::ONE.to_bytes(), *element].concat();
    VoprfClient::<Ristretto255>::deserialize(&client)?.finalize(b"verify", &evaluated, &proof, key)?;
    Ok(())
}

/// Puts exactly the threshold of verified evaluations together: the evaluation under the whole key.
pub(crate) fn combine(
    evaluations: &[(u8, [u8; ELEMENT_BYTES])],
    threshold: u8,
) -> Result<[u8; ELEMENT_BYTES], OprfError> {
    if evaluations.len() != usize::from(threshold) {
        let refused = SharingError::Shares { needed: usize::from(threshold), found: evaluations.len() };
        return Err(refused.into());
    }
    let indices: Vec<u8> = evaluations.iter().map(|(index, _)| *index).collect();
    let weights = group::weights(&indices, 0)?;
    let points: Vec<RistrettoPoint> =
        evaluations.iter().map(|(_, element)| group::element(element)).collect::<Result<_, _>>()?;
    let sum = RistrettoPoint::multiscalar_mul(&weights, &points);
    if sum.is_identity() { Err(GroupError::Identity.into()) } else { Ok(group::encode(&sum)) }
}
