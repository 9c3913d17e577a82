//! Keepers, dealers and carriers that lie.

use super::super::share::share_info;
use super::*;
use crate::hpke_box;
use crate::vault::group::SecretScalar;
use crate::vault::sharing::combine;

/// Keeper 1 gives, signed, what keeper 2 holds.
fn signed_share_of_another(world: &mut World) -> Vec<u8> {
    let share = world.shares[1].message(65);
    forged(world, 1, &share)
}

/// Keeper `index` signs and seals these bytes as its part.
fn forged(world: &mut World, index: u8, share: &[u8]) -> Vec<u8> {
    let keeper = &world.keepers[usize::from(index) - 1];
    let signature = keeper.sign(&world.opening.statement(&keeper.id, share));
    sealed(world, index, &[share, &signature].concat())
}

fn sealed(world: &mut World, index: u8, part: &[u8]) -> Vec<u8> {
    let info = world.opening.info(&world.keepers[usize::from(index) - 1].id);
    hpke_box::seal(&world.opening.grantee_key, &info, part, &mut world.random).unwrap()
}

#[test]
fn a_keeper_that_signs_another_share_is_named_and_the_others_go_on() {
    let mut world = World::dealt(Seeded::printed(), 2, 3);
    let mut gathering = world.gathering();
    let part = signed_share_of_another(&mut world);
    let id = world.keepers[0].id;
    let refused = gathering.part(&world.grantee, &id, &part).unwrap_err();
    assert!(matches!(refused, PartError::Wrong { index: 1 }), "{refused}");
    for index in [2, 3] {
        let (part, id) = (world.part(index), world.keepers[usize::from(index) - 1].id);
        gathering.part(&world.grantee, &id, &part).unwrap();
    }
    assert!(world.is_dealt(&gathering.cover().unwrap()));
}

#[test]
fn signed_bytes_that_are_no_share_name_their_keeper_too() {
    let mut world = World::dealt(Seeded::printed(), 2, 2);
    let right = world.shares[0].message(65);
    let mut zero = right.to_vec();
    zero[1..33].fill(0);
    let mut other_version = right.to_vec();
    other_version[0] = 2;
    for share in [&zero[..], &other_version, &right[..64], b""] {
        let part = forged(&mut world, 1, share);
        let refused = world.gathering().part(&world.grantee, &[1; 32], &part).unwrap_err();
        assert!(matches!(refused, PartError::Wrong { index: 1 }), "{refused}");
    }
}

#[test]
fn what_a_carrier_can_make_blames_nobody() {
    let mut world = World::dealt(Seeded::printed(), 2, 3);
    let good = world.part(1);
    let mut gathering = world.gathering();
    let mut refused = |part: &[u8]| gathering.part(&world.grantee, &[1; 32], part).unwrap_err();
    for at in 0..8 * good.len() {
        let mut changed = good.clone();
        changed[at / 8] ^= 1 << (at % 8);
        assert!(matches!(refused(&changed), PartError::Unreadable { index: 1, .. }), "{at}");
    }
    for end in 0..good.len() {
        assert!(matches!(refused(&good[..end]), PartError::Unreadable { .. }));
    }
    // The carrier may seal to the grantee, and signs for no keeper.
    let share = world.shares[0].message(65);
    let unsigned = sealed(&mut world, 1, &[&share[..], &[0; 64]].concat());
    let short = sealed(&mut world, 1, &[1; 63]);
    let mut gathering = world.gathering();
    let mut refused = |part: &[u8]| gathering.part(&world.grantee, &[1; 32], part).unwrap_err();
    assert!(matches!(refused(&unsigned), PartError::NotSigned { index: 1 }));
    assert!(matches!(refused(&short), PartError::Malformed { index: 1 }));
}

#[test]
fn a_part_counts_for_its_opening_grantee_and_keeper_alone() {
    let mut world = World::dealt(Seeded::printed(), 2, 3);
    let opening = world.opening;
    let stranger = GrantKey::generate().unwrap();
    let others = [
        Opening { grant_id: [9; 32], ..opening },
        Opening { leaf_index: 78, ..opening },
        Opening { grantee_key: stranger.public(), ..opening },
    ];
    for other in others {
        let part = world.part_for(1, &other);
        let refused = world.gathering().part(&world.grantee, &[1; 32], &part).unwrap_err();
        assert!(matches!(refused, PartError::Unreadable { index: 1, .. }), "{other:?}");
    }
    // Whoever opens one for itself cannot seal it on: the signature is for its own key.
    let other = Opening { grantee_key: stranger.public(), ..opening };
    let part = world.part_for(1, &other);
    let plain = stranger.as_box().open(&other.info(&[1; 32]), &part, 200).unwrap();
    let on = plain.expose(|plain| sealed(&mut world, 1, plain));
    let refused = world.gathering().part(&world.grantee, &[1; 32], &on).unwrap_err();
    assert!(matches!(refused, PartError::NotSigned { index: 1 }));
    // Another keeper's part in this one's name, one twice, and nobody's.
    let part = world.part(2);
    let mut gathering = world.gathering();
    assert!(matches!(gathering.part(&world.grantee, &[1; 32], &part), Err(PartError::Unreadable { .. })));
    assert!(!gathering.part(&world.grantee, &[2; 32], &part).unwrap());
    assert!(matches!(gathering.part(&world.grantee, &[2; 32], &part), Err(PartError::Twice { index: 2 })));
    assert!(matches!(gathering.part(&world.grantee, &[9; 32], &part), Err(PartError::NotAKeeper)));
    assert!(matches!(gathering.cover(), Err(GatheringError::TooFew { needed: 2, found: 1 })));
}

#[test]
fn fewer_shares_than_needed_give_no_key_that_opens() {
    let mut world = World::dealt(Seeded::printed(), 3, 4);
    let values: Vec<_> = world.shares.iter().map(|share| (share.index(), &share.pair.value)).collect();
    // t - 1 shares taken for all, and t - 1 with one that is guessed.
    let guess = SecretScalar::random(&mut world.random);
    let two = combine(&values[..2], 2).unwrap();
    let guessed = combine(&[values[0], values[1], (3, &guess)], 3).unwrap();
    for key in [&two, &guessed, &guess] {
        assert!(world.dealing.open(key).is_err());
    }
    let all = combine(&values[1..], 3).unwrap();
    assert!(world.is_dealt(&world.dealing.open(&all).unwrap()));
}

#[test]
fn a_dealer_that_sealed_something_else_is_found_out_when_it_is_opened() {
    let mut world = World::dealt(Seeded::printed(), 2, 2);
    let mut dealing = world.dealing.clone();
    *dealing.sealed.last_mut().unwrap() ^= 1;
    world.opening.dealing = dealing.hash();
    // The keepers hold its shares: they fit the commitments.
    for (place, keeper) in world.keepers.iter().enumerate() {
        let message = world.shares[place].message(65);
        let info = share_info(&dealing.hash(), &keeper.id);
        let sealed = hpke_box::seal(&keeper.key.public(), &info, &message, &mut world.random).unwrap();
        world.shares[place] = ViewingShare::open(&dealing, &keeper.id, &keeper.key, &sealed).unwrap();
    }
    world.dealing = dealing;
    let mut gathering = world.gathering();
    for index in [1, 2] {
        let part = world.part(index);
        gathering.part(&world.grantee, &[index; 32], &part).unwrap();
    }
    assert!(matches!(gathering.cover(), Err(GatheringError::Dealt(_))));
}
