//! Shared keys that sign ECDSA: what FROST's tests do not say of them already. Making such a key costs a second, so one serves all.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::super::*;
use super::Seeded;
use super::flow::verifies_elsewhere;
use super::world::{World, altered, parties};

mod bytes;
mod generation;
mod layout;
mod signing;

const SCHEME: SharedScheme = SharedScheme::EcdsaSecp256k1;

/// The one key of the user and 2 of 3 keepers, as it was kept.
fn world() -> World {
    type Kept = (u64, Vec<u8>, BTreeMap<u8, Vec<u8>>);
    static KEPT: OnceLock<Kept> = OnceLock::new();
    let (seed, key, shares) = KEPT.get_or_init(|| {
        let seed = getrandom::u64().unwrap();
        let world = World::generated(Seeded::new(seed), SCHEME, 2, 3);
        let share = |(place, share): (&u8, &KeyShare)| (*place, share.to_secret().expose(<[u8]>::to_vec));
        (seed, world.key.encode(), world.shares.iter().map(share).collect())
    });
    let mut random = Seeded::new(*seed);
    let parties = parties(&mut random, 3);
    let key = SharedKey::decode(key).unwrap();
    let read = |(&place, share): (&u8, &Vec<u8>)| (place, KeyShare::from_secret(share, &key).unwrap());
    let shares = shares.iter().map(read).collect();
    let mut random = Seeded::printed();
    let boots = (0..=3).map(|_| Boot::random(&mut random)).collect();
    World { random, parties, boots, key, shares }
}

fn named(error: &RunError, place: u8, what: Lie) -> bool {
    matches!(error, RunError::Lied { place: found, lie, evidence, .. }
        if *found == place && *lie == what && !evidence.is_empty())
}

#[test]
fn the_user_and_any_threshold_of_keepers_sign_and_other_libraries_verify() {
    let mut world = world();
    let key = world.key.public_key(&Tweak::None).unwrap();
    for who in [[1, 2], [1, 3], [2, 3]] {
        let plan = world.plan(&who, Tweak::None);
        let signature = world.sign(plan.clone()).unwrap();
        verifies_elsewhere(&key, &plan.message, &signature);
        assert_ne!(world.sign(plan).unwrap(), signature, "another nonce each time");
    }
    for keepers in [2, 3] {
        let mut world = World::generated(Seeded::printed(), SCHEME, keepers, keepers);
        let plan = world.plan(&(1..=keepers).collect::<Vec<_>>(), Tweak::None);
        let signature = world.sign(plan.clone()).unwrap();
        verifies_elsewhere(&world.key.public_key(&Tweak::None).unwrap(), &plan.message, &signature);
    }
}

#[test]
fn neither_all_keepers_nor_the_user_with_too_few_have_as_many_parties_as_signing_takes() {
    use super::super::suite::dealing::{base, interpolate_secret};
    use super::super::suite::group;
    let world = world();
    let holders = world.key.holders();
    for set in 1_u32..1 << 4 {
        let places: Vec<u8> = (0..=3).filter(|place| set & (1 << place) != 0).collect();
        let authorised = places[0] == USER && places.len() > 2;
        let of = |place| world.shares[place].values(&world.key).unwrap();
        let at = |number| SCHEME.place_of(number, holders);
        let values: BTreeMap<_, _> =
            places.iter().flat_map(of).map(|(number, value)| (at(number), value.clone())).collect();
        assert_eq!(values.len() >= usize::from(holders.needed()), authorised);
        let secret = group!(SCHEME, interpolate_secret(&values, None)).unwrap();
        let whole = group!(SCHEME, base(&secret)).unwrap() == world.key.public().key;
        assert_eq!(whole, authorised, "{places:?}");
    }
}

#[test]
fn what_the_scheme_cannot_do_is_refused_by_name() {
    let mut world = world();
    let (key, roster) = (world.key.clone(), world.roster());
    let experimental = [
        Renewal::new(key.clone(), roster.clone(), roster.clone(), &[1, 3], 1).map(drop),
        Repair::new(key.clone(), roster.clone(), 2, &[1, 3], 1).map(drop),
        Refresh::new(key.clone(), roster.clone(), &[1, 3], 1).map(drop),
    ];
    for refused in experimental {
        assert!(matches!(refused, Err(RunError::Experimental)), "{refused:?}");
    }
    let plan = world.plan(&[1, 3], Tweak::KeyPath);
    assert!(matches!(Signing::new(key.clone(), roster.clone(), plan), Err(RunError::Tweak)));
    let plan = SigningPlan { message: vec![1; 33], ..world.plan(&[1, 3], Tweak::None) };
    assert!(matches!(Signing::new(key, roster, plan), Err(RunError::Digest { found: 33 })));

    let many = parties(&mut world.random, 6);
    let name = KeyName { chain_id: [1; 32], key: [2; 32] };
    let generation = Generation::new(name, SCHEME, super::world::roster(&many, 4), 1);
    let refused = generation.open(1, |message| many[1].sign(message)).map(drop);
    assert!(matches!(refused, Err(RunError::TooManyKeepers { keepers_max: 5 })));
    assert!(
        SCHEME.is_experimental() && SharedScheme::ALL.iter().filter(|one| one.is_experimental()).count() == 1
    );
}

#[test]
fn frost_has_neither_agreement_nor_answer() {
    let mut world = World::generated(Seeded::printed(), SharedScheme::Bip340, 2, 2);
    let plan = world.plan(&[1, 2], Tweak::None);
    let signing = Signing::new(world.key.clone(), world.roster(), plan).unwrap();
    let (nonces, messages) = world.commit(&signing, &[1, 2]);
    let package = signing.package(&messages).unwrap();
    let mut nonces = nonces.into_iter().map(|(_, nonces)| nonces);
    let (user, party) = (nonces.next().unwrap(), world.party(USER));
    let sign = |message: &[u8]| party.sign(message);
    let refused = user.answer(&world.shares[&USER], &world.boots[0], &package, &party.key, sign).map(drop);
    assert!(matches!(refused, Err(RunError::NoStep { step: Step::Answer })));
    let (keeper, party) = (nonces.next().unwrap(), world.party(1));
    let refused =
        keeper.sign(&world.shares[&1], &world.boots[1], &package, &messages, &party.key, sign).map(drop);
    assert!(matches!(refused, Err(RunError::NoStep { step: Step::Answer })));
    assert!(matches!(package.judge_answer(&messages[0]), Err(RunError::NoStep { step: Step::Answer })));
}
