//! Between commonware's finalization and our [`Certificate`].
use crate::{Certificate, strict::StrictScheme};
use commonware_codec::{Copying, DecodeExt as _, types::lazy::Lazy};
use commonware_consensus::{
    simplex::types::{Finalization, Proposal},
    types::{Epoch, Round, View},
};
use commonware_cryptography::{
    certificate::Signers,
    ed25519::{Signature, certificate::Certificate as Signatures},
    sha256::Digest,
};
use commonware_utils::Participant;

pub(crate) type Finalized = Finalization<StrictScheme, Digest>;

/// `None` if a signature is not 64 bytes, which no verified finalization holds.
pub(crate) fn certificate(finalization: &Finalized) -> Option<Certificate> {
    let Proposal { round, parent, payload } = &finalization.proposal;
    let Signatures { signers, signatures } = &finalization.certificate;
    let signers_with = signers.iter().zip(signatures).map(|(signer, signature)| {
        let bytes: &[u8] = signature.get()?.as_ref();
        Some((signer.get(), bytes.try_into().ok()?))
    });
    Some(Certificate {
        epoch: round.epoch().get(),
        view: round.view().get(),
        parent_view: parent.get(),
        digest: payload.0,
        set_size: u32::try_from(signers.len()).ok()?,
        signers: signers_with.collect::<Option<_>>()?,
    })
}

/// `None` if the certificate names a signer twice or outside its set.
pub(crate) fn finalization(certificate: &Certificate) -> Option<Finalized> {
    let round = Round::new(Epoch::new(certificate.epoch), View::new(certificate.view));
    let indices = certificate.signers.iter().map(|(index, _)| Participant::new(*index));
    let signatures = certificate.signers.iter().map(|(_, bytes)| signature(bytes).map(Lazy::from));
    Some(Finalization {
        proposal: Proposal::new(round, View::new(certificate.parent_view), Digest(certificate.digest)),
        certificate: Signatures {
            signers: Signers::new(certificate.set_size, indices).ok()?,
            signatures: signatures.collect::<Option<_>>()?,
        },
    })
}

fn signature(bytes: &[u8; 64]) -> Option<Signature> {
    Signature::decode(Copying(bytes)).ok()
}
