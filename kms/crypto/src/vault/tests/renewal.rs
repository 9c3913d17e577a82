//! Shares dealt anew over a relay that does what it likes.

use curve25519_dalek_4::scalar::Scalar;

use super::super::group::SecretScalar;
use super::super::oprf::Evaluator;
use super::super::parts::Parts;
use super::super::sharing::{deal, deal_blinded};
use super::super::*;
use super::Seeded;
use super::world::{Keeper, World};
use crate::hpke_box;

const HASH: [u8; 32] = [6; 32];

fn refresh(world: &World, dealers: &[u8]) -> Renewal {
    Renewal::new(world.vault.clone(), world.plan.keepers.clone(), dealers.to_vec()).unwrap()
}

fn dealing(world: &World, renewal: &Renewal, dealer: u8) -> Dealing {
    let keeper = world.keeper(dealer);
    renewal.deal(keeper.share(), |message| keeper.sign(message)).unwrap()
}

/// What a round of dealing gives.
struct Round {
    renewal: Renewal,
    dealings: Vec<Dealing>,
}

impl Round {
    fn new(world: &World, renewal: Renewal, dealers: &[u8]) -> Self {
        let dealings = dealers.iter().map(|&dealer| dealing(world, &renewal, dealer)).collect();
        Self { renewal, dealings }
    }

    fn handouts(&self) -> Vec<Handout> {
        self.dealings.iter().map(|dealing| dealing.handout.clone()).collect()
    }

    fn agreed(&self) -> Agreed {
        self.renewal.agree(self.handouts()).unwrap()
    }

    fn own(&self, dealer: u8) -> Option<&Handout> {
        self.dealings.iter().map(|dealing| &dealing.handout).find(|handout| handout.from == dealer)
    }

    fn pieces(&self, index: u8) -> Vec<Vec<u8>> {
        self.dealings.iter().map(|dealing| dealing.pieces[usize::from(index) - 1].clone()).collect()
    }

    /// The refreshed shares of the present keepers.
    fn refreshed(&self, world: &World) -> Vec<KeeperShare> {
        let agreed = self.agreed();
        let share = |(index, keeper): (u8, &Keeper)| {
            agreed.receive(HASH, &[index; 32], &keeper.key, self.own(index), &self.pieces(index)).unwrap()
        };
        (1..).zip(&world.keepers).map(share).collect()
    }
}

#[test]
fn refresh_keeps_the_secrets_and_makes_old_shares_worthless() {
    let mut world = World::sealed(Seeded::printed(), 3, 5, None);
    for version in 2..=3 {
        let mut dealers = world.random.choose_in_any_order(3, 5);
        dealers.sort_unstable();
        let round = Round::new(&world, refresh(&world, &dealers), &dealers);
        let (after, shares) = (round.agreed().vault(HASH).unwrap(), round.refreshed(&world));
        let (old, new) = (world.vault.facts(), after.facts());
        assert_eq!((old.evaluation[0], old.mask[0]), (new.evaluation[0], new.mask[0]));
        assert!(old.evaluation[1..].iter().zip(&new.evaluation[1..]).all(|(old, new)| old != new));
        assert_eq!((new.share_version, new.shares_hash), (version, HASH));
        let before = std::mem::replace(&mut world.vault, after);
        let replace = |(keeper, share): (&mut Keeper, KeeperShare)| keeper.share.replace(share).unwrap();
        let old_shares: Vec<_> = world.keepers.iter_mut().zip(shares).map(replace).collect();
        assert!(old_shares.iter().all(|share| share.check(&world.vault).is_err()));
        assert!(world.keepers.iter().all(|keeper| keeper.share().check(&before).is_err()));
        assert_eq!(world.recover("right", [&[1, 3, 5], &[2, 3, 4]], None).unwrap().len(), 1);
        assert!(matches!(world.guess("wrong", &[1, 2, 3]).1, Err(RecoveryError::WrongPassword)));
        // Two new disks and one old one are still one too few.
        let (_, request) = world.begin("right");
        let combined = |third: &KeeperShare| {
            let shares = [world.keeper(1).share(), world.keeper(2).share(), third];
            let evaluations = [1, 2, 3].into_iter().zip(shares).map(|(index, share)| {
                let evaluator = share.evaluator().unwrap();
                (index, evaluator.evaluate(&request.element, &mut Seeded::new(1)).unwrap().element)
            });
            oprf::combine(&evaluations.collect::<Vec<_>>(), 3).unwrap()
        };
        assert_ne!(combined(&old_shares[2]), combined(world.keeper(3).share()));
    }
}

#[test]
fn change_of_keepers_hands_the_secrets_on_and_newcomers_get_the_ciphertext_too() {
    for count in [3, 4, 6] {
        let mut world = World::sealed(Seeded::printed(), 3, 5, None);
        // One stays under another index, the others are new.
        let mut holders: Vec<_> = (0..count).map(|_| Keeper::new(&mut world.random)).collect();
        let stays = std::mem::replace(&mut world.keepers[3], Keeper::new(&mut Seeded::new(3)));
        holders[0] = stays;
        let ids: Vec<_> = [4].into_iter().chain(100..99 + count).map(|id| [id; 32]).collect();
        let next = ids.iter().zip(&holders).map(|(id, keeper)| keeper.named(*id)).collect();
        let renewal = Renewal::new(world.vault.clone(), next, vec![1, 2, 4]).unwrap();
        let dealings = [world.keeper(1), world.keeper(2), &holders[0]]
            .map(|keeper| renewal.deal(keeper.share(), |message| keeper.sign(message)).unwrap())
            .into();
        let round = Round { renewal, dealings };
        let agreed = round.agreed();
        agreed.stand_by(&[1; 32], round.own(1)).unwrap();
        agreed.stand_by(&[5; 32], None).unwrap();
        let shares: Vec<_> = (1..)
            .zip(holders.iter().zip(&ids))
            .map(|(index, (keeper, id))| {
                let own = round.own(4).filter(|_| index == 1);
                agreed.receive(HASH, id, &keeper.key, own, &round.pieces(index)).unwrap()
            })
            .collect();
        let left = agreed.receive(HASH, &[1; 32], &world.keeper(1).key, round.own(1), &round.pieces(1));
        assert!(matches!(left, Err(RenewalError::Share(Complaint::NotAKeeper))));
        holders.iter_mut().zip(shares).for_each(|(keeper, share)| keeper.share = Some(share));
        (world.vault, world.keepers) = (agreed.vault(HASH).unwrap(), holders);
        let (who, then) =
            (world.random.choose_in_any_order(3, count), world.random.choose_in_any_order(3, count));
        assert_eq!(world.recover("right", [&who, &then], None).unwrap().len(), 1);
    }
}

#[test]
fn keeper_without_its_share_gets_a_new_one_at_a_refresh() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    world.keepers[2].share = None;
    let round = Round::new(&world, refresh(&world, &[1, 2]), &[1, 2]);
    let shares = round.refreshed(&world);
    shares[2].check(&round.agreed().vault(HASH).unwrap()).unwrap();
}

/// The relay deals in a dealer's name: HPKE does not say who sealed, and the commitments are right.
#[test]
fn handouts_that_a_relay_makes_or_changes_are_no_dealers() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let round = Round::new(&world, refresh(&world, &[1, 2]), &[1, 2]);
    let unsigned = |handouts: Vec<Handout>| {
        matches!(round.renewal.agree(handouts), Err(RenewalError::Unsigned { dealer: 2 }))
    };
    // K_2 stands there as the constant, and the rest is the relay's own polynomial.
    let mut forged = round.handouts();
    let own = deal(&Scalar::ONE, 2, 3, &mut world.random).unwrap().commitments;
    forged[1].evaluation[1] = own[1];
    assert!(unsigned(forged));
    let mut forged = round.handouts();
    forged[1].mask[1] = own[1];
    assert!(unsigned(forged));
    let mut forged = round.handouts();
    forged[1].pieces[2] = [0; 32];
    assert!(unsigned(forged));
    let mut forged = round.handouts();
    forged[1].signature[40] ^= 1;
    assert!(unsigned(forged));
    let mut forged = round.handouts();
    forged[1].evaluation.pop();
    assert!(unsigned(forged));
    // Another keeper's, in its name; and the keeper's own of another renewal.
    let mut forged = round.handouts();
    forged[1] = Handout { from: 2, ..round.dealings[0].handout.clone() };
    assert!(unsigned(forged));
    let (with_3, fewer) = (refresh(&world, &[2, 3]), world.plan.keepers[..2].to_vec());
    let fewer = Renewal::new(world.vault.clone(), fewer, vec![1, 2]).unwrap();
    for other in [with_3, fewer] {
        assert_ne!(other.id(), round.renewal.id());
        let mut forged = round.handouts();
        forged[1] = dealing(&world, &other, 2).handout;
        assert!(unsigned(forged));
    }
}

/// What the relay may have: two handouts of the same dealer for the same renewal, the first from before it lost it.
#[test]
fn dealer_stands_only_by_what_it_has_dealt_last() {
    let world = World::sealed(Seeded::printed(), 2, 3, None);
    let mut round = Round::new(&world, refresh(&world, &[1, 2]), &[1, 2]);
    let agreed = round.agreed();
    let last = dealing(&world, &round.renewal, 1).handout;
    assert_ne!(Some(&last), round.own(1));
    for own in [None, Some(&last), round.own(2)] {
        let refused = agreed.receive(HASH, &[1; 32], &world.keeper(1).key, own, &round.pieces(1));
        assert!(matches!(refused, Err(RenewalError::Foreign { dealer: 1 })));
        assert!(matches!(agreed.stand_by(&[1; 32], own), Err(RenewalError::Foreign { dealer: 1 })));
    }
    agreed.receive(HASH, &[1; 32], &world.keeper(1).key, round.own(1), &round.pieces(1)).unwrap();
    // What two receivers were shown differently, they acknowledge under different commitments.
    let shown = agreed.facts(HASH);
    round.dealings[0].handout = last;
    assert_ne!(round.agreed().facts(HASH).evaluation, shown.evaluation);
}

/// A handout with the dealer's signature, whatever stands in it.
fn signed_handout(world: &mut World, renewal: &Renewal, dealer: u8, secrets: [&Scalar; 3]) -> Dealing {
    let [key, mask, blinder] = secrets;
    let (count, random) = (world.keepers.len(), &mut world.random);
    let key = deal(key, world.plan.threshold, count, random).unwrap();
    let mask = deal_blinded([mask, blinder], world.plan.threshold, count, random).unwrap();
    let handout = Handout {
        from: dealer,
        evaluation: key.commitments,
        mask: mask.commitments,
        pieces: Vec::new(),
        signature: [0; 64],
    };
    let parts = key.shares.into_iter().zip(mask.shares.into_iter().zip(mask.blinders));
    let parts = parts.map(|(key, (mask, blinder))| Parts([key, mask, blinder]));
    let pieces = (1..).zip(&world.plan.keepers).zip(parts).map(|((index, to), parts)| (index, to, parts));
    let keeper = &world.keepers[usize::from(dealer) - 1];
    Dealing::new(renewal.id(), handout, pieces, &[], |message| keeper.sign(message), random).unwrap()
}

#[test]
fn dealer_that_deals_another_secret_is_named_by_everybody() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let mut round = Round::new(&world, refresh(&world, &[1, 2]), &[1, 2]);
    let parts = world.keeper(2).share().parts().map(|part| *part.value());
    let mut outcome = |[key, mask, blinder]: [&Scalar; 3]| {
        round.dealings[1] = signed_handout(&mut world, &round.renewal, 2, [key, mask, blinder]);
        let alone = round.renewal.check(&round.dealings[1].handout);
        let agreed = round.renewal.agree(round.handouts()).map(drop);
        let dealers = [&alone, &agreed].map(|checked| checked.as_ref().err().and_then(RenewalError::dealer));
        assert_eq!(dealers[0], dealers[1], "who gathers them sees it at once");
        agreed
    };
    outcome(parts.each_ref()).unwrap();
    let (other, [key, mask, blinder]) = (Scalar::from(5_u8), parts.each_ref());
    for wrong in [[&other, mask, blinder], [key, &other, blinder], [key, mask, &other]] {
        assert!(matches!(outcome(wrong), Err(RenewalError::Constant { dealer: 2 })));
    }
}

#[test]
fn piece_that_is_wrong_blames_its_dealer_and_one_that_was_changed_nobody() {
    let world = World::sealed(Seeded::printed(), 2, 3, None);
    let mut round = Round::new(&world, refresh(&world, &[1, 2]), &[1, 2]);
    let receive = |round: &Round, pieces: &[Vec<u8>]| {
        round.agreed().receive(HASH, &[3; 32], &world.keepers[2].key, None, pieces).map(drop)
    };
    let good = round.pieces(3);
    receive(&round, &good).unwrap();
    let changed = |result| matches!(result, Err(RenewalError::Changed { dealer: 2 }));
    assert!(changed(receive(&round, &[good[0].clone(), round.pieces(1)[1].clone()])), "another receiver's");
    assert!(changed(receive(&round, &[good[0].clone(), good[0].clone()])), "another dealer's");
    let again = dealing(&world, &round.renewal, 2);
    assert!(changed(receive(&round, &[good[0].clone(), again.pieces[2].clone()])), "of another handout");
    for at in [0, 40, good[1].len() - 1] {
        let mut piece = good[1].clone();
        piece[at] ^= 1;
        assert!(changed(receive(&round, &[good[0].clone(), piece])));
    }
    let few = receive(&round, &good[..1]).unwrap_err();
    assert!(matches!(few, RenewalError::Dealers { needed: 2, found: 1 }));

    // The dealer's signature under what does not fit, does not open, or is none.
    let keeper = &world.keepers[1];
    let sealed = |part: u8, text: &[u8]| {
        let mut parts = [1_u8, 2, 3].map(|value| SecretScalar::new(Scalar::from(value)));
        parts[usize::from(part)] = SecretScalar::new(Scalar::from(9_u8));
        let to = world.keepers[2].key.public();
        let message = Parts(parts).message(text);
        handout::seal(round.renewal.id(), [2, 3], &to, &message, &mut Seeded::new(1)).unwrap()
    };
    let elsewhere = hpke_box::seal(&keeper.key.public(), b"", &[1; 97], &mut Seeded::new(1)).unwrap();
    let none = handout::seal(
        round.renewal.id(),
        [2, 3],
        &world.keepers[2].key.public(),
        &[2; 97],
        &mut Seeded::new(1),
    );
    let cases = [(sealed(0, b""), false), (sealed(1, b""), false), (elsewhere, true), (none.unwrap(), false)];
    for (piece, unreadable) in cases {
        let mut handout = round.dealings[1].handout.clone();
        handout.pieces[2] = super::sha256(&piece);
        handout.signature = keeper.sign(&handout.statement(round.renewal.id()));
        round.dealings[1].handout = handout;
        let Err(RenewalError::Piece { dealer: 2, source }) = receive(&round, &[good[0].clone(), piece])
        else {
            panic!("a wrong piece passed")
        };
        assert_eq!(source.is_some(), unreadable);
    }
}

#[test]
fn renewals_that_protect_nothing_or_cannot_be_told_apart_are_refused() {
    let world = World::sealed(Seeded::printed(), 2, 3, None);
    let keepers = &world.plan.keepers;
    let refused = |keepers: &[VaultKeeper], dealers: &[u8]| {
        Renewal::new(world.vault.clone(), keepers.to_vec(), dealers.to_vec()).unwrap_err()
    };
    assert!(matches!(refused(keepers, &[1]), RenewalError::Dealers { needed: 2, found: 1 }));
    assert!(matches!(refused(keepers, &[1, 2, 3]), RenewalError::Dealers { needed: 2, found: 3 }));
    assert!(matches!(refused(keepers, &[2, 1]), RenewalError::Dealers { .. }), "one set has one name");
    assert!(matches!(refused(keepers, &[2, 2]), RenewalError::Dealer(GroupError::Twice { index: 2 })));
    assert!(matches!(refused(keepers, &[0, 2]), RenewalError::Dealer(GroupError::Index { index: 0 })));
    assert!(matches!(refused(keepers, &[2, 4]), RenewalError::Dealer(GroupError::Index { index: 4 })));
    let twice = [keepers[0].clone(), keepers[1].clone(), keepers[0].clone()];
    let RenewalError::Facts(FactsError::KeeperTwice { index: 3 }) = refused(&twice, &[1, 2]) else {
        panic!("one keeper holds two shares")
    };
    let RenewalError::Sharing(SharingError::Threshold { .. }) = refused(&keepers[..1], &[1, 2]) else {
        panic!("fewer keepers than the threshold")
    };
    let last = VaultFacts { share_version: u32::MAX, ..world.vault.facts().clone() };
    let last = Renewal::new(Vault::check(last).unwrap(), keepers.clone(), vec![1, 2]);
    assert!(matches!(last, Err(RenewalError::Versions)));

    let renewal = refresh(&world, &[1, 2]);
    let keeper = world.keeper(3);
    let stranger = renewal.deal(keeper.share(), |message| keeper.sign(message)).unwrap_err();
    assert!(matches!(stranger, RenewalError::NotADealer { index: 3 }));
    let other = World::sealed(Seeded::new(9), 2, 3, None);
    let foreign = renewal.deal(other.keeper(1).share(), |message| keeper.sign(message)).unwrap_err();
    assert!(matches!(foreign, RenewalError::Share(Complaint::NotAKeeper)));
    let handouts = Round::new(&world, renewal.clone(), &[1, 2]).handouts();
    let swapped = vec![handouts[1].clone(), handouts[0].clone()];
    for few in [vec![], handouts[..1].to_vec(), swapped] {
        assert!(matches!(renewal.agree(few), Err(RenewalError::Dealers { .. })));
    }
}

#[test]
fn handouts_have_one_encoding_and_dealings_hold_what_they_name() {
    let world = World::sealed(Seeded::printed(), 2, 3, None);
    let dealing = dealing(&world, &refresh(&world, &[1, 2]), 1);
    let bytes = dealing.handout.encode();
    assert_eq!(bytes.len(), 3 + 4 * 32 + 1 + 3 * 32 + 64);
    assert_eq!(Handout::decode(&bytes), Some(dealing.handout.clone()));
    assert!((0..bytes.len()).all(|cut| Handout::decode(&bytes[..cut]).is_none()));
    assert!(Handout::decode(&[&bytes[..], &[0]].concat()).is_none());
    for (at, value) in [(0, 2), (2, 17), (2, 1), (2, 3), (3 + 4 * 32, 17), (3 + 4 * 32, 2)] {
        let mut changed = bytes.clone();
        changed[at] = value;
        assert!(Handout::decode(&changed).is_none(), "byte {at} = {value}");
    }
    let bytes = dealing.encode();
    assert_eq!(Dealing::decode(&bytes), Some(dealing));
    assert!((0..bytes.len()).all(|cut| Dealing::decode(&bytes[..cut]).is_none()));
    assert!(Dealing::decode(&[&bytes[..], &[0]].concat()).is_none());
    let mut changed = bytes;
    *changed.last_mut().unwrap() ^= 1;
    assert!(Dealing::decode(&changed).is_none(), "a damaged piece");
}

#[test]
fn evaluator_of_a_renewed_share_is_of_its_own_key() {
    let world = World::sealed(Seeded::printed(), 2, 3, None);
    let round = Round::new(&world, refresh(&world, &[1, 3]), &[1, 3]);
    let (after, shares) = (round.agreed().vault(HASH).unwrap(), round.refreshed(&world));
    let element = after.facts().evaluation[0];
    for share in &shares {
        let evaluation = share.evaluator().unwrap().evaluate(&element, &mut Seeded::new(1)).unwrap();
        oprf::verify(&element, &evaluation, after.evaluation_key(share.index()).unwrap()).unwrap();
        let old = Evaluator::new(world.keeper(share.index()).share().parts()[0]).unwrap();
        let old = old.evaluate(&element, &mut Seeded::new(1)).unwrap();
        assert!(oprf::verify(&element, &old, after.evaluation_key(share.index()).unwrap()).is_err());
    }
}
