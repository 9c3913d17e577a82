//! Simplex's Ed25519 signing scheme under our one verification rule.
//!
//! commonware verifies by ZIP 215: cofactored, with non-canonical points. Keyward's rule is stricter
//! (canonical A and R, S below the group order, no small-order points, cofactorless), and a signature that
//! one path takes and another refuses splits a chain. So every vote and certificate passes through here.
use commonware_consensus::simplex::{
    scheme::{Namespace, ed25519},
    types::Subject,
};
use commonware_cryptography::{
    Digest,
    certificate::{
        AssemblyError, Attestation, Membership, Scheme, Subject as _, Verification, Verifier,
        verify_then_assemble,
    },
    ed25519::{PrivateKey, PublicKey, Signature, certificate::Certificate},
};
use commonware_parallel::Strategy;
use commonware_utils::{
    N3f1, Participant,
    iter::NonEmpty,
    ordered::{Quorum as _, Set},
    union_unique,
};
use ed25519_dalek::VerifyingKey;
use rand_core::CryptoRng;
use std::sync::Arc;

/// The scheme of one epoch.
#[derive(Clone, Debug)]
pub(crate) struct StrictScheme {
    inner: ed25519::Scheme,
    namespace: Namespace,
    /// Strictly valid keys by participant; `None` for a key that can verify nothing.
    keys: Arc<Vec<Option<VerifyingKey>>>,
}

impl StrictScheme {
    /// A scheme that signs if `key` belongs to `participants`, and verifies in any case.
    pub(crate) fn new(base: &[u8], participants: Set<PublicKey>, key: Option<PrivateKey>) -> Self {
        let keys = Arc::new(participants.iter().map(|key| strict_key(key)).collect());
        let inner = key
            .and_then(|key| ed25519::Scheme::signer(base, participants.clone(), key))
            .unwrap_or_else(|| ed25519::Scheme::verifier(base, participants));
        Self { inner, namespace: Namespace::new(base), keys }
    }

    /// The exact bytes a vote signs.
    pub(crate) fn message<D: Digest>(&self, subject: &Subject<'_, D>) -> Vec<u8> {
        union_unique(subject.namespace(&self.namespace), &subject.message())
    }

    pub(crate) fn verify_one(&self, signer: Participant, signature: &Signature, message: &[u8]) -> bool {
        let key = self.keys.get(usize::from(signer)).and_then(Option::as_ref);
        let Some(key) = key else { return false };
        let bytes: &[u8] = signature.as_ref();
        ed25519_dalek::Signature::from_slice(bytes)
            .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
    }
}

/// A public key whose encoding is canonical and whose point is not of small order.
pub(crate) fn strict_key(bytes: &[u8]) -> Option<VerifyingKey> {
    let bytes: &[u8; 32] = bytes.try_into().ok()?;
    let key = VerifyingKey::from_bytes(bytes).ok()?;
    let canonical = key.to_edwards().compress().to_bytes() == *bytes;
    (canonical && !key.is_weak()).then_some(key)
}

fn inner(attestation: Attestation<StrictScheme>) -> Attestation<ed25519::Scheme> {
    Attestation { signer: attestation.signer, signature: attestation.signature }
}

impl Verifier for StrictScheme {
    type Subject<'a, D: Digest> = Subject<'a, D>;
    type Faults = N3f1;
    type PublicKey = PublicKey;
    type Certificate = Certificate;

    fn verify_certificate<R: CryptoRng, D: Digest>(
        &self,
        _: &mut R,
        subject: Subject<'_, D>,
        certificate: &Certificate,
        _: &impl Strategy,
    ) -> bool {
        let set = self.inner.participants();
        let count = certificate.signers.count();
        if certificate.signers.len() != set.len()
            || count != certificate.signatures.len()
            || count < set.quorum::<N3f1>() as usize
        {
            return false;
        }
        let message = self.message(&subject);
        certificate.signers.iter().zip(&certificate.signatures).all(|(signer, signature)| {
            signature.get().is_some_and(|signature| self.verify_one(signer, signature, &message))
        })
    }

    /// The strict rule has no sound batch form, so votes are checked one by one.
    fn is_batchable() -> bool {
        false
    }

    fn max_certificate_size(participants: u32) -> usize {
        ed25519::Scheme::max_certificate_size(participants)
    }

    fn certificate_codec_config(&self) -> usize {
        self.inner.certificate_codec_config()
    }

    fn certificate_codec_config_unbounded() -> usize {
        ed25519::Scheme::certificate_codec_config_unbounded()
    }
}

impl Scheme for StrictScheme {
    type Signature = Signature;

    fn me(&self) -> Option<Membership> {
        self.inner.me()
    }

    fn participants(&self) -> &Set<PublicKey> {
        self.inner.participants()
    }

    fn sign<D: Digest>(&self, subject: Subject<'_, D>) -> Option<Attestation<Self>> {
        let Attestation { signer, signature } = Scheme::sign::<D>(&self.inner, subject)?;
        Some(Attestation { signer, signature })
    }

    fn verify_attestation<R: CryptoRng, D: Digest>(
        &self,
        _: &mut R,
        subject: Subject<'_, D>,
        attestation: &Attestation<Self>,
        _: &impl Strategy,
    ) -> bool {
        let message = self.message(&subject);
        attestation
            .signature
            .get()
            .is_some_and(|signature| self.verify_one(attestation.signer, signature, &message))
    }

    fn optimistic_assemble<'a, R, D, I, J>(
        &self,
        rng: &mut R,
        subject: Subject<'_, D>,
        pending: I,
        verified: J,
        strategy: &impl Strategy,
    ) -> Result<Certificate, Verification<Self>>
    where
        R: CryptoRng,
        D: Digest,
        I: IntoIterator<Item = Attestation<Self>>,
        I::IntoIter: ExactSizeIterator + Send,
        J: IntoIterator<Item = &'a Attestation<Self>>,
        J::IntoIter: Send,
    {
        verify_then_assemble::<Self, _, D, _, _>(self, rng, subject, pending, verified, strategy)
    }

    fn assemble<I>(
        &self,
        attestations: NonEmpty<I>,
        strategy: &impl Strategy,
    ) -> Result<Certificate, AssemblyError>
    where
        I: Iterator<Item = Attestation<Self>> + Send,
    {
        let (first, rest) = attestations.into_parts();
        self.inner.assemble(NonEmpty::new(inner(first), rest.map(inner)), strategy)
    }

    fn is_attributable() -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
