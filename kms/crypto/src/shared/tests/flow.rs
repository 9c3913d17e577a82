use std::collections::BTreeMap;

use k256::ecdsa::signature::hazmat::PrehashVerifier as _;
use keyward_domain::scheme::{PublicKey, verify, verify_digest};

use super::super::suite::dealing::{base, interpolate_secret};
use super::super::suite::signing::{NoncePair, Task, aggregate, commit, sign};
use super::super::suite::{Public, each};
use super::super::*;
use super::world::{self, World, parties, roster};
use super::{FROST, Seeded};
use crate::vault::VAULTED_SECRET_BYTES_MAX;
use crate::{Network, p2tr_address};

/// By libraries that did not sign: libsecp256k1 or the ledger's rule, then one more.
pub(super) fn verifies_elsewhere(key: &PublicKey, message: &[u8], signature: &[u8]) {
    match SharedScheme::of(key.scheme()).unwrap() {
        SharedScheme::Ed25519 => {
            verify(key, message, signature).unwrap();
            let bytes = key.as_bytes().try_into().unwrap();
            let dalek = ed25519_dalek::VerifyingKey::from_bytes(bytes).unwrap();
            let parsed = ed25519_dalek::Signature::from_slice(signature).unwrap();
            dalek.verify_strict(message, &parsed).unwrap();
            let lc = &aws_lc_rs::signature::ED25519;
            aws_lc_rs::signature::UnparsedPublicKey::new(lc, bytes).verify(message, signature).unwrap();
        }
        SharedScheme::Bip340 => {
            verify_digest(key, message.try_into().unwrap(), signature).unwrap();
            let newer = k256::schnorr::VerifyingKey::from_slice(key.as_bytes()).unwrap();
            newer.verify_raw(message, &signature.try_into().unwrap()).unwrap();
        }
        SharedScheme::EcdsaSecp256k1 => {
            verify_digest(key, message.try_into().unwrap(), signature).unwrap();
            let newer = k256::ecdsa::VerifyingKey::from_sec1_bytes(key.as_bytes()).unwrap();
            let parsed = k256::ecdsa::Signature::from_slice(signature).unwrap();
            newer.verify_prehash(message, &parsed).unwrap();
            assert_eq!(parsed.normalize_s(), parsed, "high s");
        }
    }
}

#[test]
fn the_user_and_any_threshold_of_keepers_sign_and_other_libraries_verify() {
    for scheme in FROST {
        for (threshold, keepers) in [(2, 2), (2, 3), (3, 5)] {
            let mut world = World::generated(Seeded::printed(), scheme, threshold, keepers);
            for _ in 0..3 {
                let who = world.random.choose(threshold, keepers);
                let plan = world.plan(&who, Tweak::None);
                let signature = world.sign(plan.clone()).unwrap();
                let key = world.key.public_key(&Tweak::None).unwrap();
                verifies_elsewhere(&key, &plan.message, &signature);
            }
        }
    }
}

#[test]
fn a_tweaked_key_signs_for_its_taproot_address() {
    let mut world = World::generated(Seeded::printed(), SharedScheme::Bip340, 2, 3);
    let inner = world.key.public_key(&Tweak::None).unwrap();
    for tweak in [Tweak::KeyPath, Tweak::Scripts([0x5a; 32])] {
        let plan = world.plan(&[1, 3], tweak);
        let signature = world.sign(plan.clone()).unwrap();
        let output = world.key.public_key(&tweak).unwrap();
        verifies_elsewhere(&output, &plan.message, &signature);
        let digest = plan.message.as_slice().try_into().unwrap();
        assert!(verify_digest(&inner, digest, &signature).is_err());
        let address = bech32::segwit::encode_v1(bech32::hrp::BC, output.as_bytes()).unwrap();
        let same = p2tr_address(&inner, Network::Mainnet).unwrap() == address;
        assert_eq!(same, tweak == Tweak::KeyPath);
    }
}

/// The values of these holders, by identifier.
fn values(world: &World, places: &[u8]) -> BTreeMap<u16, super::super::suite::Secret> {
    let of = |place| world.shares[place].values(&world.key).unwrap();
    places.iter().flat_map(of).map(|(number, value)| (number, value.clone())).collect()
}

#[test]
fn only_sets_with_the_user_and_a_threshold_of_keepers_hold_the_key() {
    for scheme in FROST {
        for (threshold, keepers) in [(2_u8, 3_u8), (3, 4), (2, 4)] {
            let world = World::generated(Seeded::printed(), scheme, threshold, keepers);
            for set in 1_u32..1 << (keepers + 1) {
                let places: Vec<u8> = (0..=keepers).filter(|place| set & (1 << place) != 0).collect();
                let authorised = places[0] == USER && places.len() > usize::from(threshold);
                let secret = each!(scheme, interpolate_secret(&values(&world, &places), None)).unwrap();
                let whole = each!(scheme, base(&secret)).unwrap() == world.key.public().key;
                assert_eq!(whole, authorised, "{threshold} of {keepers}: {places:?}");
            }
        }
    }
}

#[test]
fn sets_that_are_not_authorised_sign_nothing_even_with_a_threshold_of_their_own() {
    for scheme in FROST {
        let mut world = World::generated(Seeded::printed(), scheme, 2, 3);
        for places in [&[1, 2, 3][..], &[USER, 2]] {
            let values = values(&world, places);
            let (mut nonces, mut commitments) = (BTreeMap::new(), BTreeMap::new());
            for (&number, value) in &values {
                let (pair, shown) = each!(scheme, commit(value, &mut world.random)).unwrap();
                nonces.insert(number, pair);
                commitments.insert(number, shown);
            }
            let needed = u16::try_from(values.len()).unwrap();
            let public = Public { needed, ..world.key.public().clone() };
            let message = world.random.bytes();
            let task =
                Task { public: &public, tweak: &Tweak::None, message: &message, commitments: &commitments };
            let one = |(number, pair): (u16, NoncePair)| {
                (number, each!(scheme, sign(task, number, &values[&number], pair)).unwrap())
            };
            let shares = nonces.into_iter().map(one).collect();
            assert!(each!(scheme, aggregate(task, &shares)).is_err(), "{places:?}");
        }
    }
}

#[test]
fn plans_are_refused_unless_they_name_exactly_the_threshold_of_keepers() {
    let mut world = World::generated(Seeded::printed(), SharedScheme::Ed25519, 2, 3);
    for keepers in [&[][..], &[1], &[1, 2, 3], &[2, 1], &[2, 2], &[0, 2], &[3, 4]] {
        let plan = world.plan(keepers, Tweak::None);
        let error = Signing::new(world.key.clone(), world.roster(), plan).unwrap_err();
        assert!(matches!(error, RunError::Keepers { needed: 2 }), "{keepers:?}");
        let error = Renewal::new(world.key.clone(), world.roster(), world.roster(), keepers, 1).unwrap_err();
        assert!(matches!(error, RunError::Keepers { needed: 2 }), "{keepers:?}");
    }
    let plan = world.plan(&[1, 2], Tweak::KeyPath);
    assert!(matches!(Signing::new(world.key.clone(), world.roster(), plan), Err(RunError::Tweak)));

    let mut world = World::generated(world.random, SharedScheme::Bip340, 2, 2);
    let plan = SigningPlan { message: vec![1; 31], ..world.plan(&[1, 2], Tweak::None) };
    assert!(matches!(
        Signing::new(world.key.clone(), world.roster(), plan),
        Err(RunError::Digest { found: 31 })
    ));
}

#[test]
fn a_copy_of_the_users_share_signs_in_its_place_and_fits_a_vault() {
    let mut world = World::generated(Seeded::printed(), SharedScheme::Ed25519, 2, 16);
    let sealed = world.shares[&USER].to_secret();
    assert!(sealed.len() <= VAULTED_SECRET_BYTES_MAX, "{} bytes", sealed.len());
    let back = sealed.expose(|bytes| KeyShare::from_secret(bytes, &world.key)).unwrap();
    world.shares.insert(USER, back);
    let plan = world.plan(&[7, 16], Tweak::None);
    world.sign(plan).unwrap();
}

#[test]
fn a_new_device_and_new_keys_of_a_keeper_sign_with_the_shares_that_there_are() {
    for scheme in FROST {
        let mut world = World::generated(Seeded::printed(), scheme, 2, 3);
        let before = world.roster();
        let plan = world.plan(&[1, 3], Tweak::None);
        let old = Signing::new(world.key.clone(), before.clone(), plan.clone()).unwrap();
        let (_, stale) = world.commit(&old, &[1, 3]);
        for place in [USER, 3] {
            let mut random = world.random.fork();
            world.parties[usize::from(place)] = world.party(place).rekeyed(&mut random);
        }
        // what the old device and the old key of the keeper signed is nobody's any more
        let new = Signing::new(world.key.clone(), world.roster(), plan.clone()).unwrap();
        assert_ne!(new.id(), old.id());
        for (message, place) in stale.iter().zip([USER, 1, 3]) {
            let error = new.package(std::slice::from_ref(message)).unwrap_err();
            let refused = match place {
                1 => matches!(error, RunError::OtherRun { place: 1 }),
                _ => matches!(error, RunError::Unsigned { place: found } if found == place),
            };
            assert!(refused, "{error:?}");
        }
        world.sign(plan).unwrap();
        // the key knows nothing of it
        let bytes = world.key.encode();
        for holder in [before.at(USER).unwrap(), before.at(3).unwrap()] {
            let stands = |part: &[u8; 32]| bytes.windows(32).any(|window| window == part);
            assert!(stands(&holder.id) && !stands(&holder.signing_key) && !stands(&holder.sealing_key));
        }
    }
}

#[test]
fn the_keys_of_other_holders_begin_no_run() {
    let mut world = World::generated(Seeded::printed(), SharedScheme::Ed25519, 2, 3);
    let mut strangers: Vec<_> = world.parties.iter().map(world::Party::again).collect();
    strangers[2] = world::Party::new(&mut world.random);
    let (key, others) = (world.key.clone(), roster(&strangers, 2));
    let plan = world.plan(&[1, 3], Tweak::None);
    let refused = [
        Signing::new(key.clone(), others.clone(), plan).map(drop),
        Renewal::new(key.clone(), others.clone(), world.roster(), &[1, 3], 1).map(drop),
        Repair::new(key.clone(), others.clone(), 2, &[1, 3], 1).map(drop),
        Refresh::new(key.clone(), others.clone(), &[1, 3], 1).map(drop),
        key.confirmed(&others, &[0; 32], &[]),
        key.refreshed(&roster(&world.parties, 3), &[0; 32], &[]), // another threshold
    ];
    for refused in refused {
        assert!(matches!(refused, Err(RunError::OtherHolders)), "{refused:?}");
    }
}

#[test]
fn holders_that_share_a_key_and_thresholds_that_protect_nothing_are_refused() {
    let mut random = Seeded::printed();
    let mut all = parties(&mut random, 3);
    let keepers = |all: &[world::Party]| all[1..].iter().map(world::Party::holder).collect::<Vec<_>>();
    for threshold in [0, 1, 4, 255] {
        let refused = Roster::new(all[0].holder(), keepers(&all), threshold);
        assert!(matches!(refused, Err(HoldersError::Threshold { keepers: 3, .. })));
    }
    let mut many = keepers(&parties(&mut random, 17));
    assert!(matches!(
        Roster::new(all[0].holder(), many.clone(), 2),
        Err(HoldersError::Threshold { keepers: 17, .. })
    ));
    many.truncate(3);
    many[2].sealing_key = all[0].holder().sealing_key;
    let twice = Roster::new(all[0].holder(), many.clone(), 2);
    assert!(matches!(twice, Err(HoldersError::Twice { first: 0, second: 3 })));
    many[2] = Holder { signing_key: [2; 32], ..all[1].holder() }; // y = 2 is no point
    let no_key = Roster::new(all[0].holder(), many, 2);
    assert!(matches!(no_key, Err(HoldersError::SigningKey { place: 3, .. })));
    all.truncate(3);
    let two = roster(&all, 2);
    let found = two.holders().place_of(&all[2].holder().id);
    assert_eq!((two.holders().keepers(), found), (2, Some(2)));
}
