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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::simulation::support::Toy;
    use commonware_consensus::{
        simplex::types::{ConflictingNotarize, NullifyFinalize, Proposal},
        types::{Epoch, Round, View},
    };
    use commonware_cryptography::{
        Signer as _,
        ed25519::{PrivateKey, PublicKey},
    };
    use commonware_utils::{TryCollect as _, ordered::Set};

    fn scheme(signer: u64) -> StrictScheme {
        let set: Set<PublicKey> =
            (0..4).map(|seed| PrivateKey::from_seed(seed).public_key()).try_collect().unwrap();
        StrictScheme::new(b"watch/test", set, Some(PrivateKey::from_seed(signer)))
    }

    fn proposal(payload: u8) -> Proposal<Digest> {
        Proposal::new(Round::new(Epoch::new(2), View::new(5)), View::new(4), Digest([payload; 32]))
    }

    fn report(activity: Activity<StrictScheme, Digest>) -> Vec<Event> {
        let toy = Arc::new(Toy::new(Vec::new(), crate::LeaderTerm::Rotating, 0, []));
        let mut watch = Watch { application: toy.clone(), scheme: scheme(0) };
        let _ = watch.report(activity);
        toy.events()
    }

    #[test]
    fn equivocation_is_handed_out_as_votes_that_anybody_can_check() {
        let (scheme, me) = (scheme(2), PrivateKey::from_seed(2).public_key());
        let votes = [proposal(1), proposal(2)].map(|proposal| Notarize::sign(&scheme, proposal).unwrap());
        let [first, second] = votes;
        let notarize = Activity::ConflictingNotarize(ConflictingNotarize::new(first, second));
        let round = proposal(1).round;
        let nullify = Activity::NullifyFinalize(NullifyFinalize::new(
            Nullify::sign::<Digest>(&scheme, round).unwrap(),
            Finalize::sign(&scheme, proposal(1)).unwrap(),
        ));
        for (activity, fault) in
            [(notarize, Fault::ConflictingNotarize), (nullify, Fault::NullifyAndFinalize)]
        {
            let events = report(activity);
            let [Event::Fault(evidence)] = events.as_slice() else { panic!("{events:?}") };
            assert_eq!((evidence.fault, evidence.epoch, evidence.view), (fault, 2, 5));
            assert_eq!(evidence.validator, key_bytes(&me));
            assert_ne!(evidence.votes[0].message, evidence.votes[1].message);
            let key = ed25519_dalek::VerifyingKey::from_bytes(&evidence.validator).unwrap();
            for vote in &evidence.votes {
                let signature = ed25519_dalek::Signature::from_bytes(&vote.signature);
                key.verify_strict(&vote.message, &signature).unwrap();
            }
        }
    }

    #[test]
    fn evidence_with_a_signature_that_does_not_hold_is_dropped() {
        let first = Notarize::sign(&scheme(1), proposal(1)).unwrap();
        let mut second = Notarize::sign(&scheme(1), proposal(2)).unwrap();
        second.attestation.signature = first.attestation.signature.clone();
        let activity = Activity::ConflictingNotarize(ConflictingNotarize::new(first, second));
        assert_eq!(report(activity), vec![]);
    }
}
