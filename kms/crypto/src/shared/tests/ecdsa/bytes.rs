use super::super::super::*;
use super::super::Seeded;
use super::super::world::World;
use super::{SCHEME, world};
use crate::vault::VAULTED_SECRET_BYTES_MAX;

#[test]
fn a_share_comes_back_from_its_bytes_and_from_nothing_else() {
    let world = world();
    let read = |bytes: &[u8]| KeyShare::from_secret(bytes, &world.key);
    for place in [USER, 1] {
        let share = world.shares[&place].to_secret().expose(<[u8]>::to_vec);
        assert!(share.len() <= SHARE_BYTES_MAX);
        assert_eq!(read(&share).unwrap().to_secret().expose(<[u8]>::to_vec), share);
        let malformed = |bytes: &[u8]| matches!(read(bytes), Err(ShareError::Malformed));
        let values = 35 + 32 * world.key.holders().identifiers(place).len();
        for end in (0..values + 8).chain([share.len() / 2, share.len() - 1]) {
            assert!(malformed(&share[..end]), "{end} of {}", share.len());
        }
        assert!(malformed(&[&share[..], &[0]].concat()));
        let with = |at: usize, byte: u8| {
            let mut bytes = share.clone();
            bytes[at] = byte;
            bytes
        };
        assert!(malformed(&with(0, 3)), "a version");
        assert!(malformed(&with(0, 1)), "state behind a share without");
        assert!(malformed(&with(values, 1)), "a ban of nobody");
        assert!(malformed(&with(values + 1, 0xff)), "a length");
        assert!(malformed(&with(values + 5, 0x7f)), "a count of seeds");
        assert!(matches!(read(&with(1, share[1] ^ 1)), Err(ShareError::OtherKey)));
        assert!(matches!(read(&with(40, share[40] ^ 1)), Err(ShareError::Wrong)));
    }
    // bans are of holders, ascending
    let share = world.shares[&1].to_secret().expose(<[u8]>::to_vec);
    let banning = |places: &[u8]| {
        let count = u8::try_from(places.len()).unwrap();
        read(&[&share[..67], &[count], places, &share[68..]].concat())
            .map(|share| share.bans().collect::<Vec<_>>())
    };
    assert_eq!(banning(&[0, 2]).unwrap(), [0, 2]);
    for wrong in [&[2, 0][..], &[2, 2], &[4]] {
        assert!(matches!(banning(wrong), Err(ShareError::Malformed)), "{wrong:?}");
    }
    // another holder's state behind the own values
    let other = world.shares[&2].to_secret().expose(<[u8]>::to_vec);
    let mixed = [&share[..67], &other[67..]].concat();
    assert!(matches!(read(&mixed), Err(ShareError::Malformed)));
    assert_eq!(format!("{:?}", world.shares[&1]), "KeyShare(redacted)");
}

#[test]
fn the_values_alone_fit_a_vault_and_sign_nothing() {
    let mut world = world();
    let recovery = world.shares[&USER].recovery();
    assert!(recovery.len() <= VAULTED_SECRET_BYTES_MAX);
    let back = recovery.expose(|bytes| KeyShare::from_secret(bytes, &world.key)).unwrap();
    assert_eq!(back.to_secret().len(), recovery.len());
    let plan = world.plan(&[1, 3], Tweak::None);
    let signing = Signing::new(world.key.clone(), world.roster(), plan).unwrap();
    let refused = signing.commit(&back, &world.boots[0], |message| world.party(USER).sign(message)).map(drop);
    assert!(matches!(refused, Err(RunError::Stateless)));

    let frost = World::generated(Seeded::printed(), SharedScheme::Bip340, 2, 2);
    let share = &frost.shares[&1];
    assert!(share.recovery().matches(&share.to_secret().expose(<[u8]>::to_vec)));
    let mut longer = share.to_secret().expose(<[u8]>::to_vec);
    longer[0] = 2;
    longer.push(0);
    assert!(matches!(KeyShare::from_secret(&longer, &frost.key), Err(ShareError::Malformed)));
}

#[test]
fn a_key_reads_as_no_other_scheme() {
    let world = world();
    let mut bytes = world.key.encode();
    assert_eq!(bytes[1], SCHEME.code());
    bytes[1] = SharedScheme::Bip340.code();
    assert!(matches!(SharedKey::decode(&bytes), Err(SharedKeyError::Inconsistent)));
}
