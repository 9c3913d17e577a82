//! A share that is lost and comes back, over a relay that does what it likes.

use curve25519_dalek_4::scalar::Scalar;

use super::super::group::{self, SecretScalar, weights};
use super::super::parts::Parts;
use super::super::*;
use super::Seeded;
use super::world::{World, bytes};

struct Run {
    repair: Repair,
    request: [u8; 64],
    dealings: Vec<Dealing>,
}

impl Run {
    fn new(world: &mut World, lost: u8, helpers: &[u8]) -> Self {
        let nonce = bytes(&mut world.random);
        let repair = Repair::new(world.vault.clone(), lost, helpers.to_vec(), nonce).unwrap();
        let request = world.keeper(lost).sign(&repair.request_message());
        let mut run = Self { repair, request, dealings: Vec::new() };
        run.dealings = helpers.iter().map(|&helper| run.split(world, helper)).collect();
        run
    }

    fn split(&self, world: &World, helper: u8) -> Dealing {
        let keeper = world.keeper(helper);
        self.repair.split(keeper.share(), &self.request, |message| keeper.sign(message)).unwrap()
    }

    fn handouts(&self) -> Vec<Handout> {
        self.dealings.iter().map(|dealing| dealing.handout.clone()).collect()
    }

    fn pieces(&self, place: usize) -> Vec<Vec<u8>> {
        self.dealings.iter().map(|dealing| dealing.pieces[place].clone()).collect()
    }

    fn sum(&self, world: &World, place: usize) -> RepairSum {
        self.sum_of(world, place, &self.handouts(), &self.pieces(place)).unwrap()
    }

    fn sum_of(
        &self,
        world: &World,
        place: usize,
        handouts: &[Handout],
        pieces: &[Vec<u8>],
    ) -> Result<RepairSum, RepairError> {
        let own = &self.dealings[place].handout;
        let keeper = world.keeper(own.from);
        self.repair.add(keeper.share(), &keeper.key, own, handouts, pieces, |message| keeper.sign(message))
    }

    fn sums(&self, world: &World) -> Vec<RepairSum> {
        (0..self.dealings.len()).map(|place| self.sum(world, place)).collect()
    }
}

#[test]
fn lost_share_comes_back_from_any_threshold_of_others_and_is_the_same() {
    let mut world = World::sealed(Seeded::printed(), 3, 5, None);
    for helpers in [[1, 2, 4], [1, 4, 5]] {
        let run = Run::new(&mut world, 3, &helpers);
        let (handouts, sums) = (run.handouts(), run.sums(&world));
        let key = &world.keeper(3).key;
        let share = run.repair.finish(key, &handouts, &sums).unwrap();
        let lost = world.keeper(3).share().to_secret();
        assert!(lost.expose(|lost| share.to_secret().matches(lost)));
        let few = run.repair.finish(key, &handouts, &sums[1..]);
        assert!(matches!(few, Err(RepairError::Helpers { lost: 3, needed: 3, found: 2 })));
        let mut swapped = sums.clone();
        swapped.swap(0, 1);
        let swapped = run.repair.finish(key, &handouts, &swapped);
        assert!(matches!(swapped, Err(RepairError::Helpers { .. })));
        // Only the keeper whose share it is can open the sums.
        let other = run.repair.finish(&world.keeper(1).key, &handouts, &sums);
        assert!(matches!(other, Err(RepairError::Wrong { source: Some(_), .. })));
    }
}

/// The attack on unsigned handouts: keeper 3 says that its share is lost, and with the relay's help makes up what helper 2
/// hands out, with commitments that add up to helper 2's weighted share as they must. Helper 1's sum, and the piece that it
/// sealed to helper 2 (who adds it up against handouts made up in helper 1's name), would then give its share away.
#[test]
fn helper_adds_up_nothing_that_a_relay_has_made_up() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let run = Run::new(&mut world, 3, &[1, 2]);
    let known = Parts([5_u8, 6, 7].map(|value| SecretScalar::new(Scalar::from(value))));
    let weight = weights(&[1, 2], 3).unwrap()[1];
    let due = [weight * world.vault.evaluation().at(2), weight * world.vault.mask().at(2)];
    let commitments = known.commitments();
    let rest = [due[0] - commitments[0], due[1] - commitments[1]].map(|point| group::encode(&point));
    let [evaluation, mask] = commitments.map(|point| group::encode(&point));
    let piece = {
        let to = world.keeper(1).key.public();
        handout::seal(run.repair.id(), [2, 1], &to, &known.message(&[]), &mut world.random).unwrap()
    };
    let pieces = [&piece, &run.dealings[1].pieces[1]].map(|piece| super::sha256(piece)).to_vec();
    let forged = Handout {
        from: 2,
        evaluation: vec![evaluation, rest[0]],
        mask: vec![mask, rest[1]],
        pieces,
        signature: [0; 64],
    };
    let given = [run.dealings[0].pieces[0].clone(), piece];
    // Without a signature, and with whatever signatures the attackers can make.
    let thief = world.keeper(3);
    let of_thief = thief.sign(&forged.statement(run.repair.id()));
    for signature in [[0; 64], run.dealings[1].handout.signature, of_thief] {
        let handouts = [run.dealings[0].handout.clone(), Handout { signature, ..forged.clone() }];
        let refused = run.sum_of(&world, 0, &handouts, &given);
        assert!(matches!(refused, Err(RepairError::Unsigned { helper: 2 })), "{refused:?}");
    }
    // All else about it is right: had helper 2 signed it, helper 1 would have added it up.
    let signature = world.keeper(2).sign(&forged.statement(run.repair.id()));
    let handouts = [run.dealings[0].handout.clone(), Handout { signature, ..forged }];
    run.sum_of(&world, 0, &handouts, &given).unwrap();
}

#[test]
fn helper_adds_up_only_what_includes_its_own_handout_as_it_is() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let run = Run::new(&mut world, 3, &[1, 2]);
    let other = run.split(&world, 1);
    let handouts = [other.handout.clone(), run.dealings[1].handout.clone()];
    let pieces = [other.pieces[0].clone(), run.dealings[1].pieces[0].clone()];
    let refused = run.sum_of(&world, 0, &handouts, &pieces);
    assert!(matches!(refused, Err(RepairError::Foreign { helper: 1 })), "{refused:?}");
    // A handout of another run is no handout of this one.
    let second = Run::new(&mut world, 3, &[1, 2]);
    let handouts = [run.dealings[0].handout.clone(), second.dealings[1].handout.clone()];
    let refused = run.sum_of(&world, 0, &handouts, &run.pieces(0));
    assert!(matches!(refused, Err(RepairError::Unsigned { helper: 2 })));
}

#[test]
fn helpers_are_set_to_work_only_by_the_keeper_that_lost_its_share() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let run = Run::new(&mut world, 3, &[1, 2]);
    let keeper = world.keeper(1);
    let second = Run::new(&mut World::sealed(Seeded::new(4), 2, 3, None), 3, &[1, 2]);
    let message = run.repair.request_message();
    for request in [[0; 64], keeper.sign(&message), second.request] {
        let refused = run.repair.split(keeper.share(), &request, |message| keeper.sign(message));
        assert!(matches!(refused, Err(RepairError::NotAsked { lost: 3 })));
    }
}

#[test]
fn helper_that_cheats_is_named_and_a_changed_message_blames_nobody() {
    let mut world = World::sealed(Seeded::printed(), 2, 4, None);
    let run = Run::new(&mut world, 4, &[1, 3]);
    let (honest, pieces) = (run.handouts(), run.pieces(0));
    run.sum_of(&world, 0, &honest, &pieces).unwrap();
    let sign = |handout: Handout| {
        let signature = world.keeper(3).sign(&handout.statement(run.repair.id()));
        Handout { signature, ..handout }
    };
    let add = |handout: Handout| {
        let alone = run.repair.check(&handout).unwrap_err();
        assert_eq!(alone.helper(), Some(3), "who gathers them sees it at once");
        run.sum_of(&world, 0, &[honest[0].clone(), handout], &pieces)
    };
    honest.iter().for_each(|handout| run.repair.check(handout).unwrap());
    // Commitments that do not add up to the helper's weighted share, or are none.
    let mut wrong = honest[1].clone();
    wrong.mask[0] = honest[0].mask[0];
    assert!(matches!(add(sign(wrong)), Err(RepairError::Wrong { helper: 3, source: None })));
    let mut wrong = honest[1].clone();
    wrong.evaluation[1] = honest[0].evaluation[1];
    assert!(matches!(add(sign(wrong)), Err(RepairError::Wrong { helper: 3, source: None })));
    let mut wrong = honest[1].clone();
    wrong.mask[0] = [0; 32];
    assert!(matches!(add(sign(wrong)), Err(RepairError::Commitment { helper: 3, .. })));
    let mut wrong = honest[1].clone();
    wrong.evaluation.pop();
    assert!(matches!(add(sign(wrong)), Err(RepairError::Unsigned { helper: 3 })), "of another size");
    // Right commitments of one split, and the summand of another: only the helper can have signed that.
    let other = run.split(&world, 3);
    let mut wrong = honest[1].clone();
    wrong.pieces[0] = other.handout.pieces[0];
    let given = [pieces[0].clone(), other.pieces[0].clone()];
    let refused = run.sum_of(&world, 0, &[honest[0].clone(), sign(wrong)], &given);
    assert!(matches!(refused, Err(RepairError::Wrong { helper: 3, source: None })));
    // The same summand from the relay.
    let refused = run.sum_of(&world, 0, &honest, &given);
    assert!(matches!(refused, Err(RepairError::Changed { helper: 3 })));
    let refused = run.sum_of(&world, 0, &honest, &pieces[..1]);
    assert!(matches!(refused, Err(RepairError::Helpers { found: 1, .. })));
}

#[test]
fn sum_that_is_wrong_blames_its_helper_and_one_that_was_changed_nobody() {
    let mut world = World::sealed(Seeded::printed(), 2, 4, None);
    let run = Run::new(&mut world, 4, &[1, 3]);
    let (handouts, sums) = (run.handouts(), run.sums(&world));
    let finish = |sums: &[RepairSum]| run.repair.finish(&world.keeper(4).key, &handouts, sums).map(drop);
    finish(&sums).unwrap();
    for at in [0, 40, sums[1].sealed.len() - 1] {
        let mut changed = sums.clone();
        changed[1].sealed[at] ^= 1;
        assert!(matches!(finish(&changed), Err(RepairError::Unsigned { helper: 3 })));
    }
    let mut changed = sums.clone();
    changed[1].signature = sums[0].signature;
    assert!(matches!(finish(&changed), Err(RepairError::Unsigned { helper: 3 })));
    // Helper 3 adds up other handouts than those that the lost keeper is shown.
    let again = run.split(&world, 1);
    let other = [again.handout.clone(), handouts[1].clone()];
    let given = [again.pieces[1].clone(), run.dealings[1].pieces[1].clone()];
    let elsewhere = run.sum_of(&world, 1, &other, &given).unwrap();
    let refused = finish(&[sums[0].clone(), elsewhere.clone()]);
    assert!(matches!(refused, Err(RepairError::Unsigned { helper: 3 })));
    // The same sum, signed for the right handouts: wrong.
    let hash = super::sha256(&elsewhere.sealed);
    let signature = world.keeper(3).sign(&run.repair.sum_statement(3, &handouts, &hash));
    let refused = finish(&[sums[0].clone(), RepairSum { signature, ..elsewhere }]);
    assert!(matches!(refused, Err(RepairError::Wrong { helper: 3, source: None })));
    let bytes = sums[0].encode();
    assert_eq!(RepairSum::decode(&bytes).as_ref(), Some(&sums[0]));
    assert!((0..66).all(|cut| RepairSum::decode(&bytes[..cut]).is_none()));
}

#[test]
fn repairs_by_too_few_by_the_lost_or_by_strangers_are_refused() {
    let mut world = World::sealed(Seeded::printed(), 2, 3, None);
    let refused =
        |lost, helpers: &[u8]| Repair::new(world.vault.clone(), lost, helpers.to_vec(), [1; 32]).unwrap_err();
    assert!(matches!(refused(1, &[2]), RepairError::Helpers { .. }));
    assert!(matches!(refused(1, &[1, 2, 3]), RepairError::Helpers { .. }));
    assert!(matches!(refused(1, &[1, 2]), RepairError::Helpers { .. }));
    assert!(matches!(refused(1, &[3, 2]), RepairError::Helpers { .. }), "one set has one name");
    assert!(matches!(refused(1, &[2, 2]), RepairError::Helper(GroupError::Twice { index: 2 })));
    assert!(matches!(refused(1, &[2, 9]), RepairError::Helper(GroupError::Index { index: 9 })));
    assert!(matches!(refused(9, &[2, 3]), RepairError::Helper(GroupError::Index { index: 9 })));
    let run = Run::new(&mut world, 1, &[2, 3]);
    let keeper = world.keeper(1);
    let stranger = run.repair.split(keeper.share(), &run.request, |message| keeper.sign(message));
    assert!(matches!(stranger, Err(RepairError::Helper(GroupError::Index { index: 1 }))));
    let other = World::sealed(Seeded::new(9), 2, 3, None);
    let foreign = run.repair.split(other.keeper(2).share(), &run.request, |message| keeper.sign(message));
    assert!(matches!(foreign, Err(RepairError::Share(Complaint::NotAKeeper))));
}
