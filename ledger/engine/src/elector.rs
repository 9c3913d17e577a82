//! Who leads: everybody in turn, without those that were convicted of a fault.
use commonware_consensus::simplex::elector::{Config, Elector, Scheduled, Terms};
use commonware_consensus::types::Round;
use commonware_cryptography::{certificate::Scheme, ed25519::PublicKey};
use commonware_utils::{Faults as _, N3f1, Participant, ordered::Set};

/// Round robin over the validators that are not suspected. Every node must name the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    pub(crate) terms: Terms,
    pub(crate) suspects: Vec<[u8; 32]>,
}

impl<S: Scheme<PublicKey = PublicKey>> Config<S> for Turns {
    type Elector = Leaders;

    fn build(self, participants: &Set<PublicKey>) -> Leaders {
        let trusted = participants.iter().enumerate().filter(|(_, key)| {
            !self.suspects.iter().any(|suspect| {
                let bytes: &[u8] = key.as_ref();
                bytes == suspect
            })
        });
        let trusted: Vec<_> = trusted.map(|(index, _)| Participant::from_usize(index)).collect();
        let everybody = (0..participants.len()).map(Participant::from_usize);
        // With f or fewer left, none of them may be honest: then everybody leads, as far as they do.
        let faults = N3f1::max_faults(participants.len()) as usize;
        let order = if trusted.len() > faults { trusted } else { everybody.collect() };
        Leaders { order, terms: self.terms }
    }
}

/// Leaders in turn, one for each term of views.
#[derive(Clone, Debug)]
pub(crate) struct Leaders {
    order: Vec<Participant>,
    terms: Terms,
}

impl<S: Scheme<PublicKey = PublicKey>> Elector<S> for Leaders {
    type Mode = Scheduled;

    fn terms(&self) -> Terms {
        self.terms
    }

    fn elect(&self, round: Round, (): ()) -> Participant {
        let turn = round.epoch().get().wrapping_add(round.view().term_index(self.terms.length()));
        let count = u64::try_from(self.order.len()).unwrap_or(u64::MAX);
        // INVARIANT: a set is never empty, so there is a leader.
        let index = turn.checked_rem(count).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.order.get(index)).copied().unwrap_or_else(|| Participant::from_usize(0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::strict::StrictScheme;
    use commonware_consensus::simplex::elector::RoundRobin;
    use commonware_consensus::types::{Epoch, View};
    use commonware_cryptography::{Signer as _, ed25519::PrivateKey};
    use commonware_utils::TryCollect as _;

    fn set(count: u64) -> Set<PublicKey> {
        (0..count).map(|seed| PrivateKey::from_seed(seed).public_key()).try_collect().unwrap()
    }

    fn leaders(set: &Set<PublicKey>, suspects: &[usize]) -> Vec<usize> {
        let suspects =
            suspects.iter().map(|index| set.get(*index).unwrap().as_ref().try_into().unwrap()).collect();
        let turns = Turns { terms: Terms::rotating(), suspects };
        let leaders = Config::<StrictScheme>::build(turns, set);
        let elect =
            |view| Elector::<StrictScheme>::elect(&leaders, Round::new(Epoch::new(3), View::new(view)), ());
        (1..=24).map(|view| usize::from(elect(view))).collect()
    }

    #[test]
    fn without_suspects_everybody_leads_as_in_plain_round_robin() {
        let set = set(4);
        let plain =
            Config::<StrictScheme>::build(RoundRobin::<commonware_cryptography::Sha256>::default(), &set);
        let expected = (1..=24).map(|view| {
            usize::from(Elector::<StrictScheme>::elect(
                &plain,
                Round::new(Epoch::new(3), View::new(view)),
                (),
            ))
        });
        assert_eq!(leaders(&set, &[]), expected.collect::<Vec<_>>());
    }

    #[test]
    fn suspects_do_not_lead_and_all_others_do() {
        let led = leaders(&set(4), &[2]);
        assert!([0, 1, 3].iter().all(|index| led.contains(index)) && !led.contains(&2));
    }

    #[test]
    fn when_too_few_are_left_everybody_leads() {
        let led = leaders(&set(4), &[0, 1, 2]);
        assert!((0..4).all(|index| led.contains(&index)));
        assert!((0..4).any(|index| !leaders(&set(4), &[0, 1]).contains(&index)));
    }
}
