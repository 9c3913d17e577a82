//! Public keys and what verifies under them.

use super::*;

#[test]
fn public_keys_have_one_encoding() {
    for keys in signer::all().into_iter().chain([Box::new(signer::Sm2) as Box<dyn Keys>]) {
        let key = keys.public_key();
        let (scheme, good) = (key.scheme(), key.as_bytes());
        assert_eq!(PublicKey::parse(scheme, good).unwrap(), key);
        for end in 0..good.len() {
            assert!(PublicKey::parse(scheme, &good[..end]).is_err(), "{scheme} cut at {end}");
        }
        assert!(PublicKey::parse(scheme, &[good, &[0]].concat()).is_err());
        hammer(scheme.name(), &[good.to_vec()], 500, |bytes| {
            if let Ok(key) = PublicKey::parse(scheme, bytes) {
                assert_eq!(key.as_bytes(), bytes);
                let _ = keyward_ledger_core::scheme::verify(&key, b"m", &vec![7; key.signature_len()]);
            }
        });
        let signature = keys.sign(b"message");
        assert_eq!(signature.len(), key.signature_len());
        for at in 0..signature.len() {
            let mut changed = signature.clone();
            changed[at] ^= 1;
            assert!(
                keyward_ledger_core::scheme::verify(&key, b"message", &changed).is_err(),
                "{scheme} byte {at}"
            );
        }
        assert!(keyward_ledger_core::scheme::verify(&key, b"message", &signature[1..]).is_err());
        assert!(keyward_ledger_core::scheme::verify(&key, b"massage", &signature).is_err());
    }
    let small = SigningKey::from_seed(&[1; 32]).public_key();
    assert!(PublicKey::from_sec1(Scheme::Ed25519, &small).is_err());
    assert!(PublicKey::from_rsa(Scheme::RsaPss, &[0xff; 255], &[1, 0, 1]).is_err(), "2040 bits");
    assert!(PublicKey::from_rsa(Scheme::RsaPss, &[0xff; 1025], &[1, 0, 1]).is_err(), "8200 bits");
    assert!(PublicKey::from_rsa(Scheme::RsaPss, &[0xfe; 256], &[1, 0, 1]).is_err(), "even modulus");
    for exponent in [&[1][..], &[2], &[0], &[1, 0, 0, 0, 1]] {
        assert!(PublicKey::from_rsa(Scheme::RsaPss, &[0xff; 256], exponent).is_err(), "{exponent:?}");
    }
    let padded =
        PublicKey::from_rsa(Scheme::RsaPss, &[&[0, 0], &[0xff; 256][..]].concat(), &[0, 1, 0, 1]).unwrap();
    assert_eq!(padded.signature_len(), 256);
    let largest = PublicKey::from_rsa(Scheme::RsaPss, &[0xff; 1024], &[0xff; 4]).unwrap();
    assert_eq!(largest.as_bytes().len(), PublicKey::BYTES_MAX);
}

#[test]
fn a_point_has_one_encoding_and_so_a_key_one_id() {
    // x of each curve's generator.
    for (scheme, x) in [
        (Scheme::EcdsaSecp256k1, "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
        (Scheme::EcdsaP256, "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
        (Scheme::Sm2, "32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7"),
    ] {
        for head in 0..=u8::MAX {
            let encoded = [&[head][..], &hex::decode(x).unwrap()].concat();
            match (head, PublicKey::parse(scheme, &encoded)) {
                (2 | 3, parsed) => assert_eq!(parsed.unwrap().as_bytes(), encoded),
                (_, refused) => assert_eq!(refused, Err(PublicKeyError::OtherForm { scheme }), "{head}"),
            }
        }
    }
}
