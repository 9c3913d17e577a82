use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::super::pieces::{Way, seal, sealed_bytes};
use super::super::suite::dealing::{base, deal, interpolate_secret};
use super::super::suite::each;
use super::super::*;
use super::world::{Party, World, altered, confirmed, parties, roster};
use super::{FROST, Seeded};

fn named(error: &RunError, place: u8, what: Lie) -> bool {
    matches!(error, RunError::Lied { place: found, lie, .. } if *found == place && *lie == what)
}

/// The world after a renewal to these parties, dealt by the user and these keepers.
fn renewed(mut world: World, to: Vec<Party>, threshold: u8, keepers: &[u8]) -> (World, World) {
    let renewal =
        Renewal::new(world.key.clone(), world.roster(), roster(&to, threshold), keepers, 1).unwrap();
    let messages = world.deal(&renewal, keepers);
    let agreed = renewal.agree(&messages).unwrap();
    let receive = |(place, party): (u8, &Party)| agreed.receive(place, None, &party.key).unwrap();
    let all = (0..).zip(&to).map(receive).collect();
    let (key, shares) = confirmed(all, &to);
    let boots = to.iter().map(|_| Boot::random(&mut world.random)).collect();
    let random = Seeded::new(3);
    (world, World { random, parties: to, boots, key, shares })
}

fn signs(world: &mut World, keepers: &[u8]) {
    let plan = world.plan(keepers, Tweak::None);
    world.sign(plan).unwrap();
}

/// The same user with other keepers.
fn others(world: &World, random: &mut Seeded, keepers: u8) -> Vec<Party> {
    let mut all = parties(random, keepers);
    all[0] = world.party(USER).again();
    all
}

#[test]
fn a_renewal_keeps_the_key_and_old_shares_do_not_mix_with_new_ones() {
    for scheme in FROST {
        let world = World::generated(Seeded::printed(), scheme, 2, 3);
        let same = world.parties.iter().map(Party::again).collect();
        let (old, mut new) = renewed(world, same, 2, &[1, 3]);
        assert_eq!(new.key.holders(), old.key.holders());
        assert_eq!((new.key.share_version(), old.key.share_version()), (2, 1));
        let keys = [&old.key, &new.key].map(|key| key.public_key(&Tweak::None).unwrap());
        assert_eq!(keys[0], keys[1]);
        for keepers in [[1, 2], [1, 3], [2, 3]] {
            signs(&mut new, &keepers);
        }
        for (place, share) in &old.shares {
            assert!(matches!(share.check(&new.key), Err(ShareError::OtherKey)), "{place}");
        }
        // values of both versions together give nothing, also where only one is of the other version
        for odd in 0..=2_u8 {
            let mut mixed = BTreeMap::new();
            for place in 0..=2 {
                let from = if place == odd { &old } else { &new };
                let values = from.shares[&place].values(&from.key).unwrap();
                mixed.extend(values.into_iter().map(|(number, value)| (number, value.clone())));
            }
            let secret = each!(scheme, interpolate_secret(&mixed, None)).unwrap();
            assert_ne!(each!(scheme, base(&secret)).unwrap(), new.key.public().key);
        }
    }
}

#[test]
fn holders_and_threshold_change_and_the_key_stays() {
    for scheme in FROST {
        let mut world = World::generated(Seeded::printed(), scheme, 2, 3);
        let key = world.key.public_key(&Tweak::None).unwrap();
        let mut random = world.random.fork();
        // more keepers and a higher threshold, then fewer
        let five = others(&world, &mut random, 5);
        let (_, mut five) = renewed(world, five, 3, &[2, 3]);
        signs(&mut five, &[1, 3, 5]);
        let two = others(&five, &mut random, 2);
        let (_, mut two) = renewed(five, two, 2, &[2, 4, 5]);
        signs(&mut two, &[1, 2]);
        assert_eq!(two.key.share_version(), 3);
        assert_eq!(two.key.public_key(&Tweak::None).unwrap(), key);
    }
}

#[test]
fn nothing_is_dealt_to_another_user_or_to_other_keys_of_one_who_stays() {
    let mut world = World::generated(Seeded::printed(), SharedScheme::Ed25519, 2, 3);
    let mut random = world.random.fork();
    let new = |to: Vec<Party>| Renewal::new(world.key.clone(), world.roster(), roster(&to, 2), &[1, 3], 1);
    let again = || world.parties.iter().map(Party::again).collect::<Vec<_>>();
    let mut replaced = again();
    replaced[0] = Party::new(&mut random);
    assert!(matches!(new(replaced), Err(RunError::OtherHolders)));
    for place in 0..=3 {
        let mut rekeyed = again();
        rekeyed[place] = rekeyed[place].rekeyed(&mut random);
        assert!(matches!(new(rekeyed), Err(RunError::OtherHolders)), "{place}");
    }
    assert!(new(again()).is_ok());
}

#[test]
fn a_lie_in_a_redealing_is_named() {
    for scheme in FROST {
        let mut world = World::generated(Seeded::printed(), scheme, 2, 3);
        let renewal = Renewal::new(world.key.clone(), world.roster(), world.roster(), &[1, 3], 1).unwrap();
        let messages = world.deal(&renewal, &[1, 3]);
        let size = scheme.element_bytes();
        for place in [USER, 3] {
            let with = |change: &dyn Fn(&mut Vec<u8>)| {
                renewal.agree(&altered(&messages, world.party(place), place, change)).unwrap_err()
            };
            assert!(named(&with(&|body| body[size..2 * size].fill(0xff)), place, Lie::Opening));
            assert!(named(&with(&|body| body.truncate(body.len() - 1)), place, Lie::Malformed));
            assert!(named(&with(&|body| body.truncate(size)), place, Lie::Malformed));
            // shares of another secret, well dealt
            let (other, _) =
                each!(scheme, deal(&Zeroizing::new([1; 32]), 4, &[1, 2, 3, 257], &mut world.random))
                    .map(|(commitments, pieces)| (commitments.concat(), pieces))
                    .unwrap();
            let error = {
                let lying = altered(&messages, world.party(place), place, |body| {
                    body[..other.len()].copy_from_slice(&other);
                });
                renewal.agree(&lying).unwrap_err()
            };
            assert!(named(&error, place, Lie::Constant) && Lie::Constant.is_public(), "{error:?}");
            let RunError::Lied { evidence, .. } = error else { unreachable!() };
            assert_eq!(renewal.judge(&evidence[0]).unwrap_err().liar(), Some(place));
            assert!(messages.iter().all(|message| renewal.judge(message).is_ok()));
        }
        assert!(
            matches!(renewal.agree(&messages[1..]), Err(RunError::Missing { places }) if places == [USER])
        );
        let next = Renewal::new(world.key.clone(), world.roster(), world.roster(), &[1, 3], 2).unwrap();
        assert!(matches!(next.agree(&messages), Err(RunError::OtherRun { place: USER })));
        let error = renewal.deal_with(&world.shares[&2], |_| [0; 64], &mut world.random).unwrap_err();
        assert!(matches!(error, RunError::NotAPart { place: 2 }));
    }
}

#[test]
fn a_wrong_piece_is_named_by_its_receiver_and_dealers_stand_by_their_own() {
    for scheme in FROST {
        let mut world = World::generated(Seeded::printed(), scheme, 2, 3);
        let renewal = Renewal::new(world.key.clone(), world.roster(), world.roster(), &[1, 3], 1).unwrap();
        let messages = world.deal(&renewal, &[1, 3]);
        // keeper 3 seals a wrong scalar to keeper 2, and something unreadable to keeper 1
        let way = Way { run: renewal.id(), transcript: &[0; 32], from: 3, to: 2 };
        let wrong = seal(way, &world.roster(), [Zeroizing::new([1; 32])].iter(), &mut world.random).unwrap();
        let start = 4 * scheme.element_bytes() + sealed_bytes(2);
        let lying = altered(&messages, world.party(3), 3, |body| {
            body[start..start + sealed_bytes(1)].fill(9);
            body[start + sealed_bytes(1)..start + 2 * sealed_bytes(1)].copy_from_slice(&wrong);
        });
        let agreed = renewal.agree(&lying).unwrap();
        for place in [1, 2] {
            let error = agreed.receive(place, None, &world.party(place).key).unwrap_err();
            assert!(named(&error, 3, Lie::Piece), "{error:?}");
        }
        assert!(agreed.receive(USER, None, &world.party(USER).key).is_ok());
        // keeper 3 itself was shown what it has not dealt
        let own = Message::decode(&messages[2]).unwrap();
        assert!(matches!(agreed.stand_by(&own), Err(RunError::Foreign { place: 3 })));
        let error = agreed.receive(3, Some(&own), &world.party(3).key).unwrap_err();
        assert!(matches!(error, RunError::Foreign { place: 3 }));
        assert!(renewal.agree(&messages).unwrap().stand_by(&own).is_ok());
    }
}
