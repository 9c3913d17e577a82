//! What is no dealing, what a keeper does not take, and what it does not give.

use super::super::share::share_info;
use super::*;
use crate::hpke_box;
use crate::vault::SharingError;

#[test]
fn bytes_that_no_honest_dealer_writes_are_refused() {
    let world = World::dealt(Seeded::printed(), 2, 3);
    let good = world.dealing.encode();
    assert_eq!(Dealing::decode(&good).unwrap(), world.dealing);
    for end in 0..good.len() {
        assert!(Dealing::decode(&good[..end]).is_err(), "{end}");
    }
    assert!(matches!(Dealing::decode(&[&good[..], &[0]].concat()), Err(DealingError::Malformed { .. })));
    assert!(matches!(Dealing::decode(&[2]), Err(DealingError::Version { version: 2 })));
    let refused = |change: &dyn Fn(&mut Dealing)| {
        let mut dealing = world.dealing.clone();
        change(&mut dealing);
        assert!(dealing.check().is_err());
        Dealing::decode(&dealing.encode()).unwrap_err()
    };
    assert!(matches!(refused(&|dealing| dealing.last = 99), DealingError::Empty));
    assert!(matches!(refused(&|dealing| dealing.last = 124), DealingError::Malformed { .. }));
    assert!(matches!(refused(&|dealing| dealing.keepers.swap(0, 1)), DealingError::Keepers));
    assert!(matches!(refused(&|dealing| dealing.keepers[1] = dealing.keepers[0]), DealingError::Keepers));
    assert!(matches!(refused(&|dealing| dealing.sealed[0] = 2), DealingError::Malformed { .. }));
    assert!(matches!(refused(&|dealing| dealing.commitments[0] = [0; 32]), DealingError::Sharing(_)));
    assert!(matches!(refused(&|dealing| dealing.commitments[1] = [0xff; 32]), DealingError::Sharing(_)));
    for threshold in [0, 1, 4, 255] {
        let refused = refused(&|dealing| dealing.threshold = threshold);
        assert!(matches!(refused, DealingError::Sharing(SharingError::Threshold { .. })), "{refused}");
    }
}

#[test]
fn every_bit_of_a_dealing_changes_its_name() {
    let world = World::dealt(Seeded::printed(), 2, 2);
    let good = world.dealing.encode();
    for at in 0..8 * good.len() {
        let mut changed = good.clone();
        changed[at / 8] ^= 1 << (at % 8);
        if let Ok(other) = Dealing::decode(&changed) {
            assert_ne!(other.hash(), world.dealing.hash());
            // Its shares open for no other dealing.
            let opened = ViewingShare::open(&other, &[1; 32], &world.keepers[0].key, &world.sealed[0]);
            assert!(opened.is_err(), "{at}");
        }
    }
}

#[test]
fn a_plan_without_sense_deals_nothing() {
    let mut world = World::dealt(Seeded::printed(), 2, 3);
    let mut refused = |change: &dyn Fn(&mut DealingPlan), cover: &ViewingCover| {
        let mut plan = plan(&world.keepers, 2);
        change(&mut plan);
        deal_with(&plan, cover, &mut world.random).unwrap_err()
    };
    let root = AddressRoot::generate().unwrap();
    let (first, last) = (5, 4);
    let empty = ViewingCover::of(&root, first..=last);
    let cover = ViewingCover::of(&root, 4..=5);
    assert!(matches!(refused(&|_| {}, &empty), DealingError::Empty));
    assert!(matches!(refused(&|plan| plan.keepers.swap(0, 2), &cover), DealingError::Keepers));
    assert!(matches!(refused(&|plan| plan.threshold = 4, &cover), DealingError::Sharing(_)));
    assert!(matches!(refused(&|plan| plan.threshold = 1, &cover), DealingError::Sharing(_)));
    let refused = refused(&|plan| plan.keepers[1].sealing_key = [0; 32], &cover);
    assert!(matches!(refused, DealingError::Keeper { index: 2, .. }), "{refused}");
}

#[test]
fn a_keeper_takes_its_own_share_of_its_own_dealing_and_no_other() {
    let mut world = World::dealt(Seeded::printed(), 2, 3);
    let (keepers, dealing) = (&world.keepers, &world.dealing);
    let open = |id: &[u8; 32], place: usize, sealed: &[u8]| {
        ViewingShare::open(dealing, id, &keepers[place].key, sealed).unwrap_err()
    };
    let unreadable = |error| matches!(error, ViewingShareError::Unreadable(_));
    assert!(matches!(open(&[9; 32], 0, &world.sealed[0]), ViewingShareError::NotAKeeper));
    assert!(unreadable(open(&[1; 32], 0, &world.sealed[1])));
    assert!(unreadable(open(&[2; 32], 0, &world.sealed[0])), "sealed for another place");
    for at in 0..8 * world.sealed[0].len() {
        let mut changed = world.sealed[0].clone();
        changed[at / 8] ^= 1 << (at % 8);
        assert!(unreadable(open(&[1; 32], 0, &changed)), "{at}");
    }
    // A dealer that gives keeper 1 what is keeper 2's, or nothing that is a share.
    let info = share_info(&dealing.hash(), &[1; 32]);
    let others = world.shares[1].message(65);
    for (message, wrong) in [(&others[..], true), (&others[..64], false), (&[1; 65][..], true), (b"", false)]
    {
        let sealed = hpke_box::seal(&keepers[0].key.public(), &info, message, &mut world.random).unwrap();
        match open(&[1; 32], 0, &sealed) {
            ViewingShareError::Wrong => assert!(wrong),
            ViewingShareError::Malformed => assert!(!wrong),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_share_is_given_for_its_own_dealing_and_ledger_alone() {
    let mut world = World::dealt(Seeded::printed(), 2, 2);
    let opening = world.opening;
    let sign = |_: &[u8]| panic!("nothing is signed");
    for other in [Opening { dealing: [9; 32], ..opening }, Opening { chain_id: [9; 32], ..opening }] {
        let refused = world.shares[0].answer(&other, sign).unwrap_err();
        assert!(matches!(refused, ViewingShareError::OtherDealing));
    }
    let no_key = Opening { grantee_key: [0; 32], ..opening };
    let keeper = &world.keepers[0];
    let refused = world.shares[0].answer(&no_key, |message| keeper.sign(message)).unwrap_err();
    assert!(matches!(refused, ViewingShareError::Seal(_)));
    let plan = plan(&world.keepers, 2);
    let (other, _) = deal_with(&plan, &world.cover, &mut world.random).unwrap();
    assert!(matches!(world.shares[0].check(&other), Err(ViewingShareError::OtherDealing)));
}

#[test]
fn parts_are_gathered_for_the_dealings_own_keepers_and_opening() {
    let world = World::dealt(Seeded::printed(), 2, 3);
    let refused = |keepers: Vec<VaultKeeper>, opening: Opening| {
        let gathering = Gathering::new(world.dealing.clone(), keepers, opening);
        matches!(gathering, Err(GatheringError::OtherDealing))
    };
    let (named, opening) = (world.named(), world.opening);
    let mut swapped = named.clone();
    swapped.swap(0, 1);
    assert!(refused(swapped, opening));
    assert!(refused(named[..2].to_vec(), opening));
    assert!(refused(named.clone(), Opening { dealing: [9; 32], ..opening }));
    assert!(refused(named.clone(), Opening { chain_id: [9; 32], ..opening }));
    assert!(!refused(named, opening));
}
