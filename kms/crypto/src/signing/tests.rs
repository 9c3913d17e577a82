//! Other people's vectors first, then our own promises.

use super::*;
use keyward_domain::scheme::{verify, verify_digest};

const HOSTED: [Scheme; 4] = [Scheme::EcdsaSecp256k1, Scheme::Bip340, Scheme::EcdsaP256, Scheme::Ed25519];

fn key(scheme: Scheme, secret: &str) -> SigningKey {
    SigningKey::from_secret(scheme, &hex::decode(secret).unwrap()).unwrap()
}

fn signed(scheme: Scheme, secret: &str, message: &[u8]) -> String {
    let key = key(scheme, secret);
    let signature = key.sign_message(message).unwrap();
    verify(key.public_key(), message, &signature).unwrap();
    hex::encode(signature)
}

#[test]
fn p256_signs_as_rfc_6979_appendix_a_2_5() {
    let secret = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
    // The RFC's s of "sample" is f7cb1c94..., which is high: n - s stands here.
    assert_eq!(
        signed(Scheme::EcdsaP256, secret, b"sample"),
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
         0834e36ad29a83bf2bc9385e491d6099c8fdf9d1ed67aa7ea5f51f93782857a9"
    );
    assert_eq!(
        signed(Scheme::EcdsaP256, secret, b"test"),
        "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367\
         019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"
    );
}

#[test]
fn secp256k1_signs_as_the_published_deterministic_signatures() {
    // bitcointalk.org topic 285142, as many libraries carry them (low S).
    let one = "0000000000000000000000000000000000000000000000000000000000000001";
    let minus_one = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140";
    let table: [(&str, &[u8], &str); 3] = [
        (
            one,
            b"Satoshi Nakamoto",
            "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d82442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5",
        ),
        (
            one,
            b"All those moments will be lost in time, like tears in rain. Time to die...",
            "8600dbd41e348fe5c9465ab92d23e3db8b98b873beecd930736488696438cb6b547fe64427496db33bf66019dacbf0039c04199abb0122918601db38a72cfc21",
        ),
        (
            minus_one,
            b"Satoshi Nakamoto",
            "fd567d121db66e382991534ada77a6bd3106f0a1098c231e47993447cd6af2d06b39cd0eb1bc8603e159ef5c20a5c8ad685a45b06ce9bebed3f153d10d93bed5",
        ),
    ];
    for (secret, message, signature) in table {
        assert_eq!(signed(Scheme::EcdsaSecp256k1, secret, message), signature);
    }
}

#[test]
fn ed25519_signs_as_rfc_8032_section_7_1() {
    let table = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
    for (secret, public, message, signature) in table {
        assert_eq!(hex::encode(key(Scheme::Ed25519, secret).public_key().as_bytes()), public);
        assert_eq!(signed(Scheme::Ed25519, secret, &hex::decode(message).unwrap()), signature);
    }
}

#[test]
fn bip340_signs_and_refuses_as_its_vectors() {
    let mut signing = 0;
    for line in include_str!("../../tests/vectors/bip340.csv").lines().skip(1) {
        let fields: Vec<_> = line.splitn(8, ',').collect();
        let bytes = |at: usize| hex::decode(fields[at]).unwrap();
        let (digest, signature): ([u8; 32], _) = (bytes(4).try_into().unwrap(), bytes(5));
        let public = PublicKey::parse(Scheme::Bip340, &bytes(2));
        let valid = public.as_ref().is_ok_and(|key| verify_digest(key, &digest, &signature).is_ok());
        assert_eq!(valid, fields[6] == "TRUE", "vector {}", fields[0]);
        if !fields[1].is_empty() {
            let key = key(Scheme::Bip340, fields[1]);
            assert_eq!(key.public_key(), &public.unwrap());
            let Key::Bip340(inner) = &key.held.get().key else { panic!("not bip340") };
            assert_eq!(bip340(inner, &digest, &bytes(3).try_into().unwrap()).unwrap(), signature);
            signing += 1;
        }
    }
    assert_eq!(signing, 4);
}

#[test]
fn what_is_signed_verifies_and_nothing_else_does() {
    for scheme in HOSTED {
        let key = SigningKey::generate(scheme).unwrap();
        let other = SigningKey::generate(scheme).unwrap();
        let signature = key.sign_message(b"pay 12.50").unwrap();
        assert_eq!(signature.len(), 64);
        verify(key.public_key(), b"pay 12.50", &signature).unwrap();
        assert!(verify(key.public_key(), b"pay 12.51", &signature).is_err());
        assert!(verify(other.public_key(), b"pay 12.50", &signature).is_err());
    }
}

#[test]
fn aws_lc_agrees_with_our_signatures_and_we_with_its() {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, EcdsaKeyPair, UnparsedPublicKey};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, Ed25519KeyPair, KeyPair as _};
    let key = SigningKey::generate(Scheme::EcdsaP256).unwrap();
    let signature = key.sign_message(b"m").unwrap();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key().as_bytes())
        .verify(b"m", &signature)
        .unwrap();
    let key = SigningKey::generate(Scheme::Ed25519).unwrap();
    let signature = key.sign_message(b"m").unwrap();
    UnparsedPublicKey::new(&ED25519, key.public_key().as_bytes()).verify(b"m", &signature).unwrap();
    let seed = key.expose(|secret| Ed25519KeyPair::from_seed_unchecked(secret).unwrap());
    assert_eq!(seed.public_key().as_ref(), key.public_key().as_bytes());
    assert_eq!(seed.sign(b"m").as_ref(), signature);

    let foreign = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let public = PublicKey::from_sec1(Scheme::EcdsaP256, foreign.public_key().as_ref()).unwrap();
    for _ in 0..8 {
        let raw = foreign.sign(&aws_lc_rs::rand::SystemRandom::new(), b"m").unwrap();
        let low = crate::normalise_ecdsa(Scheme::EcdsaP256, raw.as_ref()).unwrap();
        verify(&public, b"m", &low).unwrap();
    }
}

#[test]
fn bip340_signatures_of_one_message_differ_and_ecdsa_ones_do_not() {
    let twice = |scheme| {
        let key = SigningKey::generate(scheme).unwrap();
        (key.sign_digest(&[7; 32]).unwrap(), key.sign_digest(&[7; 32]).unwrap())
    };
    let (first, second) = twice(Scheme::Bip340);
    assert_ne!(first, second);
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::EcdsaP256] {
        let (first, second) = twice(scheme);
        assert_eq!(first, second);
    }
}

#[test]
fn digest_is_refused_by_ed25519_and_equals_the_message_elsewhere() {
    for scheme in HOSTED {
        let key = SigningKey::generate(scheme).unwrap();
        let digest = Sha256::digest(b"message").into();
        match key.sign_digest(&digest) {
            Err(error) => assert!(scheme == Scheme::Ed25519 && matches!(error, SignError::DigestNotSigned)),
            Ok(signature) => verify(key.public_key(), b"message", &signature).unwrap(),
        }
    }
}

#[test]
fn secret_comes_back_as_it_was_given() {
    for scheme in HOSTED {
        let key = SigningKey::generate(scheme).unwrap();
        let again = key.expose(|secret| SigningKey::from_secret(scheme, secret)).unwrap();
        assert_eq!(key.public_key(), again.public_key());
        assert!(key.expose(|one| again.expose(|two| one == two)));
        assert_eq!(format!("{key:?}"), format!("SigningKey({scheme}, redacted)"));
    }
}

#[test]
fn no_key_from_a_wrong_length_zero_the_order_or_an_rsa_scheme() {
    for scheme in HOSTED {
        for len in [0, 1, 31, 33, 64] {
            assert!(matches!(
                SigningKey::from_secret(scheme, &vec![1; len]),
                Err(SigningKeyError::Length { len: found, .. }) if found == len
            ));
        }
        if scheme != Scheme::Ed25519 {
            for bytes in [[0; 32], [0xff; 32]] {
                let refused = SigningKey::from_secret(scheme, &bytes);
                assert!(matches!(refused, Err(SigningKeyError::OutOfRange { .. })));
            }
        }
    }
    for scheme in [Scheme::RsaPss, Scheme::RsaPkcs1] {
        assert!(matches!(SigningKey::generate(scheme), Err(SigningKeyError::SchemeNotHosted { .. })));
    }
}
