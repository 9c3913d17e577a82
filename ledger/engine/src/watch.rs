//! Reports of the engine that are not blocks: skipped views and signed fault evidence.
use crate::{Application, Event, Evidence, Fault, SignedVote, bridge::key_bytes, strict::StrictScheme};
use bytes::Bytes;
use commonware_actor::Feedback;
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_consensus::{
    Epochable, Reporter, Viewable,
    simplex::types::{Activity, Attributable, Finalize, Notarize, Nullify, Subject},
};
use commonware_cryptography::{
    certificate::{Attestation, Scheme as _},
    sha256::Digest,
};
use std::sync::Arc;

/// Watches one epoch.
#[derive(Clone)]
pub(crate) struct Watch {
    pub(crate) application: Arc<dyn Application>,
    pub(crate) scheme: StrictScheme,
}

impl Reporter for Watch {
    type Activity = Activity<StrictScheme, Digest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        if let Some(event) = self.event(&activity) {
            self.application.event(event);
        }
        Feedback::Ok
    }
}

impl Watch {
    fn event(&self, activity: &Activity<StrictScheme, Digest>) -> Option<Event> {
        match activity {
            Activity::Nullification(nullification) => Some(Event::Nullified {
                epoch: nullification.epoch().get(),
                view: nullification.view().get(),
            }),
            Activity::ConflictingNotarize(evidence) => {
                let (first, second) = pair::<Notarize<_, _>, Notarize<_, _>>(evidence.encode())?;
                let votes = [
                    self.vote(Subject::Notarize { proposal: &first.proposal }, &first.attestation)?,
                    self.vote(Subject::Notarize { proposal: &second.proposal }, &second.attestation)?,
                ];
                self.fault(Fault::ConflictingNotarize, evidence, votes)
            }
            Activity::ConflictingFinalize(evidence) => {
                let (first, second) = pair::<Finalize<_, _>, Finalize<_, _>>(evidence.encode())?;
                let votes = [
                    self.vote(Subject::Finalize { proposal: &first.proposal }, &first.attestation)?,
                    self.vote(Subject::Finalize { proposal: &second.proposal }, &second.attestation)?,
                ];
                self.fault(Fault::ConflictingFinalize, evidence, votes)
            }
            Activity::NullifyFinalize(evidence) => {
                let (first, second) = pair::<Nullify<_>, Finalize<_, _>>(evidence.encode())?;
                let votes = [
                    self.vote(Subject::Nullify { round: first.round }, &first.attestation)?,
                    self.vote(Subject::Finalize { proposal: &second.proposal }, &second.attestation)?,
                ];
                self.fault(Fault::NullifyAndFinalize, evidence, votes)
            }
            _ => None,
        }
    }

    /// A vote as anybody can check it, or `None` if its signature does not hold.
    fn vote(&self, subject: Subject<'_, Digest>, vote: &Attestation<StrictScheme>) -> Option<SignedVote> {
        let message = self.scheme.message(&subject);
        let signature = vote.signature.get()?;
        let bytes: &[u8] = signature.as_ref();
        self.scheme
            .verify_one(vote.signer, signature, &message)
            .then_some(SignedVote { message, signature: bytes.try_into().ok()? })
    }

    fn fault(
        &self,
        fault: Fault,
        evidence: &(impl Attributable + Epochable + Viewable),
        votes: [SignedVote; 2],
    ) -> Option<Event> {
        let validator = self.scheme.participants().get(usize::from(evidence.signer()))?;
        Some(Event::Fault(Box::new(Evidence {
            fault,
            epoch: evidence.epoch().get(),
            view: evidence.view().get(),
            validator: key_bytes(validator),
            votes,
        })))
    }
}

/// The two votes of an evidence, which keeps them private but encodes them one after the other.
fn pair<A, B>(mut bytes: Bytes) -> Option<(A, B)>
where
    A: commonware_codec::Read<Cfg = ()>,
    B: commonware_codec::Read<Cfg = ()>,
{
    let first = A::read_cfg(&mut bytes, &()).ok()?;
    let second = B::decode(bytes).ok()?;
    Some((first, second))
}
