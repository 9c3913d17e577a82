use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::super::pieces::{Way, seal, sealed_bytes};
use super::super::suite::dealing::{base, interpolate_secret};
use super::super::suite::each;
use super::super::*;
use super::world::{World, altered};
use super::{FROST, Seeded};

fn named(error: &RunError, place: u8, what: Lie) -> bool {
    matches!(error, RunError::Lied { place: found, lie, .. } if *found == place && *lie == what)
}

fn shifts(world: &mut World, refresh: &Refresh, keepers: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    for &place in keepers {
        let party = &world.parties[usize::from(place)];
        let sign = |message: &[u8]| party.sign(message);
        messages.push(refresh.deal_with(place, sign, &mut world.random).unwrap().encode());
    }
    messages
}

/// All keepers take their new shares; gives the old ones back.
fn refreshed(world: &mut World, keepers: &[u8]) -> (SharedKey, BTreeMap<u8, KeyShare>) {
    let refresh = Refresh::new(world.key.clone(), world.roster(), keepers, 1).unwrap();
    let messages = shifts(world, &refresh, keepers);
    let agreed = refresh.agree(&messages).unwrap();
    let receive = |place: u8| agreed.receive(&world.shares[&place], None, &world.party(place).key).unwrap();
    let all: Vec<Dealt> = (1..=world.key.holders().keepers()).map(receive).collect();
    let confirm = |dealt: &Dealt| {
        let party = world.party(dealt.share().place());
        dealt.confirmation(|message| party.sign(message)).encode()
    };
    let confirmations: Vec<_> = all.iter().map(confirm).collect();
    agreed.key().refreshed(&world.roster(), refresh.id(), &confirmations).unwrap();
    let missing = agreed.key().refreshed(&world.roster(), refresh.id(), &confirmations[1..]).unwrap_err();
    assert!(matches!(missing, RunError::Missing { places } if places == [1]));
    let mut old = BTreeMap::new();
    for dealt in all {
        let (share, _) = dealt.confirmed(&confirmations).unwrap();
        let place = share.place();
        old.insert(place, world.shares.insert(place, share).unwrap());
    }
    (std::mem::replace(&mut world.key, agreed.key().clone()), old)
}

#[test]
fn keepers_refresh_alone_and_the_users_share_still_signs() {
    for scheme in FROST {
        for (threshold, keepers) in [(2, 2), (2, 3), (3, 5)] {
            let mut world = World::generated(Seeded::printed(), scheme, threshold, keepers);
            let sealed = world.shares[&USER].to_secret();
            for _ in 0..2 {
                let dealers = world.random.choose(threshold, keepers);
                let (before, old) = refreshed(&mut world, &dealers);
                assert_eq!(world.key.share_version(), before.share_version() + 1);
                assert_eq!(
                    world.key.public_key(&Tweak::None).unwrap(),
                    before.public_key(&Tweak::None).unwrap()
                );
                for share in old.values() {
                    assert!(matches!(share.check(&world.key), Err(ShareError::OtherKey)));
                }
                let who = world.random.choose(threshold, keepers);
                let plan = world.plan(&who, Tweak::None);
                world.sign(plan).unwrap();
            }
            // the copy that a vault keeps is still the user's share
            let copy = sealed.expose(|bytes| KeyShare::from_secret(bytes, &world.key)).unwrap();
            world.shares.insert(USER, copy);
            let who = world.random.choose(threshold, keepers);
            let plan = world.plan(&who, Tweak::None);
            world.sign(plan).unwrap();
        }
    }
}

#[test]
fn a_keepers_old_value_among_new_ones_gives_nothing() {
    for scheme in FROST {
        let mut world = World::generated(Seeded::printed(), scheme, 2, 3);
        let (before, old) = refreshed(&mut world, &[1, 2]);
        let mut mixed = BTreeMap::new();
        let user = world.shares[&USER].values(&world.key).unwrap();
        let first = old[&1].values(&before).unwrap();
        let second = world.shares[&2].values(&world.key).unwrap();
        for (number, value) in user.into_iter().chain(first).chain(second) {
            mixed.insert(number, value.clone());
        }
        let secret = each!(scheme, interpolate_secret(&mixed, None)).unwrap();
        assert_ne!(each!(scheme, base(&secret)).unwrap(), world.key.public().key);
        let fresh = world.shares[&1].values(&world.key).unwrap();
        fresh.into_iter().for_each(|(number, value)| drop(mixed.insert(number, value.clone())));
        let secret = each!(scheme, interpolate_secret(&mixed, None)).unwrap();
        assert_eq!(each!(scheme, base(&secret)).unwrap(), world.key.public().key);
    }
}

#[test]
fn a_lie_in_a_refresh_is_named() {
    for scheme in FROST {
        let mut world = World::generated(Seeded::printed(), scheme, 3, 4);
        let refresh = Refresh::new(world.key.clone(), world.roster(), &[1, 3, 4], 1).unwrap();
        let messages = shifts(&mut world, &refresh, &[1, 3, 4]);
        let size = scheme.element_bytes();
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            refresh.agree(&altered(&messages, world.party(3), 3, change)).unwrap_err()
        };
        let error = with(&|body| body[size..2 * size].fill(0xff));
        assert!(named(&error, 3, Lie::Opening));
        let RunError::Lied { evidence, .. } = error else { unreachable!() };
        assert_eq!(refresh.judge(&evidence[0]).unwrap_err().liar(), Some(3));
        assert!(messages.iter().all(|message| refresh.judge(message).is_ok()));
        assert!(named(&with(&|body| body.truncate(body.len() - 1)), 3, Lie::Malformed));
        assert!(named(&with(&|body| body.truncate(size)), 3, Lie::Malformed));
        assert!(matches!(refresh.agree(&messages[1..]), Err(RunError::Missing { places }) if places == [1]));
        let next = Refresh::new(world.key.clone(), world.roster(), &[1, 3, 4], 2).unwrap();
        assert!(matches!(next.agree(&messages), Err(RunError::OtherRun { place: 1 })));

        // keeper 3 seals a wrong scalar to keeper 2, and something unreadable to keeper 1
        let roster = world.roster();
        let way = Way { run: refresh.id(), transcript: &[0; 32], from: 3, to: 2 };
        let wrong = seal(way, &roster, [Zeroizing::new([1; 32])].iter(), &mut Seeded::new(1)).unwrap();
        let lying = altered(&messages, world.party(3), 3, |body| {
            let start = 2 * size;
            body[start..start + sealed_bytes(1)].fill(9);
            body[start + sealed_bytes(1)..start + 2 * sealed_bytes(1)].copy_from_slice(&wrong);
        });
        let agreed = refresh.agree(&lying).unwrap();
        for place in [1, 2] {
            let error = agreed.receive(&world.shares[&place], None, &world.party(place).key).unwrap_err();
            assert!(named(&error, 3, Lie::Piece), "{error:?}");
        }
        let own = Message::decode(&messages[1]).unwrap();
        let error = agreed.receive(&world.shares[&3], Some(&own), &world.party(3).key).unwrap_err();
        assert!(matches!(error, RunError::Foreign { place: 3 }));
        assert!(agreed.receive(&world.shares[&4], None, &world.party(4).key).is_ok());
        let error = agreed.receive(&world.shares[&USER], None, &world.party(USER).key).unwrap_err();
        assert!(matches!(error, RunError::NotAPart { place: USER }));
    }
}

#[test]
fn only_a_threshold_of_keepers_refreshes() {
    let world = World::generated(Seeded::printed(), SharedScheme::Ed25519, 2, 3);
    for dealers in [&[][..], &[1], &[1, 2, 3], &[2, 1], &[USER, 1], &[3, 4]] {
        let refused = Refresh::new(world.key.clone(), world.roster(), dealers, 1);
        assert!(matches!(refused, Err(RunError::Keepers { needed: 2 })), "{dealers:?}");
    }
    let refresh = Refresh::new(world.key.clone(), world.roster(), &[1, 3], 1).unwrap();
    let error = refresh.deal_with(2, |_| [0; 64], &mut Seeded::new(1)).unwrap_err();
    assert!(matches!(error, RunError::NotAPart { place: 2 }));
}
