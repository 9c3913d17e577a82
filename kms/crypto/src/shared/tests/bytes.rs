//! Bytes that must not change, and bytes that nobody may read as something else.

use sha2::{Digest as _, Sha256};

use super::super::*;
use super::world::World;
use super::{FROST, Seeded};

/// One key and one signature from fixed randomness, line by line.
fn story(scheme: SharedScheme) -> String {
    let mut world = World::generated(Seeded::new(5), scheme, 2, 3);
    let mut out = format!("[{}]\n", scheme.scheme());
    let mut line = |name: &str, bytes: &[u8]| out.push_str(&format!("{name} = {}\n", hex::encode(bytes)));
    line("Key", &world.key.encode());
    line("KeyHash", &world.key.hash());
    line("PublicKey", world.key.public_key(&Tweak::None).unwrap().as_bytes());
    for share in world.shares.values() {
        line("Share", &share.to_secret().expose(<[u8]>::to_vec));
    }
    let plan = world.plan(&[1, 3], Tweak::None);
    line("Message", &plan.message);
    let signing = Signing::new(world.key.clone(), world.roster(), plan).unwrap();
    line("Run", signing.id());
    let (nonces, messages) = world.commit(&signing, &[1, 3]);
    messages.iter().for_each(|message| line("Commitment", message));
    let package = signing.package(&messages).unwrap();
    let shares = world.share(&package, nonces);
    shares.iter().for_each(|message| line("SignatureShare", message));
    line("Signature", &package.signature(&shares).unwrap());
    let renewal = Renewal::new(world.key.clone(), world.roster(), world.roster(), &[1, 3], 1).unwrap();
    let messages = world.deal(&renewal, &[1, 3]);
    line("Renewal", renewal.id());
    line("RedealingsHash", &Sha256::digest(messages.concat()));
    line("RenewedKeyHash", &renewal.agree(&messages).unwrap().key().hash());
    let repair = Repair::new(world.key.clone(), world.roster(), 2, &[1, 3], 1).unwrap();
    let messages = world.split(&repair, 2, &[1, 3]);
    line("Repair", repair.id());
    line("SplitsHash", &Sha256::digest(messages.concat()));
    let refresh = Refresh::new(world.key.clone(), world.roster(), &[1, 3], 1).unwrap();
    let mut shift = |place: u8| {
        let party = &world.parties[usize::from(place)];
        refresh.deal_with(place, |message| party.sign(message), &mut world.random).unwrap().encode()
    };
    let messages = [shift(1), shift(3)];
    line("Refresh", refresh.id());
    line("ShiftsHash", &Sha256::digest(messages.concat()));
    line("RefreshedKeyHash", &refresh.agree(&messages).unwrap().key().hash());
    out
}

#[test]
fn shared_keys_have_the_golden_bytes() {
    let stories = FROST.map(story).join("\n");
    let found = format!(
        "# Keys of the user and 2 of 3 keepers; the randomness is the tests' generator from seed 5.\n\n{stories}"
    );
    // A change of these bytes is a change of format: a new version beside the old one, never in its place.
    if std::env::var_os("KEYWARD_PRINT_GOLDEN").is_some() {
        println!("{found}");
    }
    let golden = std::fs::read_to_string("tests/vectors/shared.txt").unwrap();
    assert!(found == golden, "the bytes of shared keys changed");
}

#[test]
fn truncated_and_lengthened_bytes_are_refused() {
    let mut world = World::generated(Seeded::printed(), SharedScheme::Bip340, 2, 3);
    let plan = world.plan(&[1, 3], Tweak::None);
    let signing = Signing::new(world.key.clone(), world.roster(), plan).unwrap();
    let (_, messages) = world.commit(&signing, &[1, 3]);
    let (message, key) = (&messages[1], world.key.encode());
    let share = world.shares[&USER].to_secret().expose(<[u8]>::to_vec);
    assert_eq!(Message::decode(message).unwrap().encode(), *message);
    assert_eq!(SharedKey::decode(&key).unwrap(), world.key);
    for end in 0..message.len() {
        assert!(Message::decode(&message[..end]).is_err(), "{end}");
    }
    for end in 0..key.len() {
        assert!(matches!(SharedKey::decode(&key[..end]), Err(SharedKeyError::Malformed)), "{end}");
    }
    for end in 0..share.len() {
        assert!(KeyShare::from_secret(&share[..end], &world.key).is_err(), "{end}");
    }
    let longer = |bytes: &[u8]| [bytes, &[0]].concat();
    assert!(Message::decode(&longer(message)).is_err());
    assert!(SharedKey::decode(&longer(&key)).is_err());
    assert!(KeyShare::from_secret(&longer(&share), &world.key).is_err());
}

#[test]
fn other_versions_steps_and_schemes_are_refused() {
    let mut world = World::generated(Seeded::printed(), SharedScheme::Ed25519, 2, 2);
    let plan = world.plan(&[1, 2], Tweak::None);
    let signing = Signing::new(world.key.clone(), world.roster(), plan).unwrap();
    let (_, messages) = world.commit(&signing, &[1, 2]);
    let with = |place: usize, byte: u8| {
        let mut bytes = messages[0].clone();
        bytes[place] = byte;
        Message::decode(&bytes)
    };
    assert_eq!(with(0, 2), Err(MessageError::Version { found: 2 }));
    assert_eq!(with(1, 0), Err(MessageError::Step { found: 0 }));
    assert_eq!(with(1, 13), Err(MessageError::Step { found: 13 }));
    assert!(matches!(with(35, 0xff), Err(MessageError::Length { .. })));
    let mut key = world.key.encode();
    for byte in [0, 1, 3, 7, 9] {
        key[1] = byte; // no scheme, or one of which no key is shared
        assert!(matches!(SharedKey::decode(&key), Err(SharedKeyError::Malformed)), "{byte}");
    }
}

#[test]
fn a_key_whose_shares_do_not_belong_together_is_refused() {
    for scheme in FROST {
        let world = World::generated(Seeded::printed(), scheme, 2, 3);
        let size = scheme.element_bytes();
        let key = world.key.encode();
        let points = key.len() - 6 * size; // the key, then five shares
        for place in 0..6 {
            let mut bytes = key.clone();
            let other = points + (place + 1) % 6 * size;
            let other = bytes[other..other + size].to_vec();
            bytes[points + place * size..points + (place + 1) * size].copy_from_slice(&other);
            assert!(matches!(SharedKey::decode(&bytes), Err(SharedKeyError::Inconsistent)), "{place}");
        }
        let mut bytes = key.clone();
        bytes[points + size..points + 2 * size].fill(0xff);
        assert!(matches!(SharedKey::decode(&bytes), Err(SharedKeyError::Library(_))), "no point");
    }
}

#[test]
fn a_share_that_is_not_of_the_key_is_refused() {
    let world = World::generated(Seeded::printed(), SharedScheme::Bip340, 2, 3);
    let read = |bytes: &[u8]| KeyShare::from_secret(bytes, &world.key).unwrap_err();
    let mut share = world.shares[&1].to_secret().expose(<[u8]>::to_vec);
    share[40] ^= 1;
    assert!(matches!(read(&share), ShareError::Wrong));
    share[40] ^= 1;
    share[1] ^= 1;
    assert!(matches!(read(&share), ShareError::OtherKey));
    share[1] ^= 1;
    for place in [USER, 2, 4] {
        share[33] = place; // another holder's
        assert!(matches!(read(&share), ShareError::OtherKey), "{place}");
    }
}
