//! Signatures, checked against the schemes' own crates rather than by the token.

use cryptoki_sys::*;
use ed25519_dalek::Verifier as _;
use hsm_sim::CKM_KEYWARD_BIP340;
use k256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::{BoxedUint, Pkcs1v15Sign, Pss, RsaPublicKey};
use sha2::{Digest, Sha256};

use crate::caller::{Bench, ED25519, P256, SECP256K1, Template, c, ok, plain, with_parameter};

const MESSAGE: &[u8] = b"pay 100 to the bearer";

#[test]
fn ecdsa_signatures_verify_elsewhere() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let digest = Sha256::digest(MESSAGE);
    for params in [SECP256K1, P256] {
        let (public, private) = caller.curve_pair(session, params, "k");
        let point = caller.attribute(session, public, CKA_EC_POINT).unwrap();
        for (mechanism, data) in [(CKM_ECDSA, digest.as_slice()), (CKM_ECDSA_SHA256, MESSAGE)] {
            let signature = caller.sign(session, &mut plain(mechanism), private, data).unwrap();
            if params == SECP256K1 {
                let parsed = k256::ecdsa::Signature::from_slice(&signature).unwrap().normalize_s();
                let key = k256::ecdsa::VerifyingKey::from_sec1_bytes(&point[2..]).unwrap();
                key.verify_prehash(&digest, &parsed).unwrap();
            } else {
                let parsed = p256::ecdsa::Signature::from_slice(&signature).unwrap();
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point[2..]).unwrap();
                key.verify_prehash(&digest, &parsed).unwrap();
            }
            let verify = |data: &[u8], signature: &[u8]| {
                caller.verify(session, &mut plain(mechanism), public, data, signature)
            };
            assert_eq!(verify(data, &signature), CKR_OK);
            let mut changed = signature.clone();
            changed[40] ^= 1;
            assert_eq!(verify(data, &changed), CKR_SIGNATURE_INVALID);
            assert_eq!(verify(data, &signature[..63]), CKR_SIGNATURE_LEN_RANGE);
            assert_eq!(verify(data, &[0; 64]), CKR_SIGNATURE_INVALID);
            assert_eq!(verify(&[1; 32], &signature), CKR_SIGNATURE_INVALID);
        }
    }
}

#[test]
fn an_ecdsa_signature_is_verified_without_its_leading_zeros() {
    const P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let (public, private) = caller.curve_pair(session, P521, "k");
    // The first byte of each half is 0 or 1, so that one signature in four can lose both.
    let (mut both, mut one) = (0, 0);
    for count in 0..64 {
        let digest = [count; 64];
        let signature = caller.sign(session, &mut plain(CKM_ECDSA), private, &digest).unwrap();
        let (r, s) = signature.split_at(66);
        let verify =
            |parts: &[&[u8]]| caller.verify(session, &mut plain(CKM_ECDSA), public, &digest, &parts.concat());
        let shorter = verify(&[&r[1..], &s[1..]]);
        if (r[0], s[0]) == (0, 0) {
            assert_eq!(shorter, CKR_OK);
            both += 1;
        } else {
            assert_eq!(shorter, CKR_SIGNATURE_INVALID);
            one += 1;
        }
        assert_eq!(verify(&[&r[1..], s]), CKR_SIGNATURE_LEN_RANGE, "the halves are of one length");
        assert_eq!(verify(&[&[0], r, &[0], s]), CKR_SIGNATURE_LEN_RANGE);
        assert_eq!(verify(&[&r[9..], &s[9..]]), CKR_SIGNATURE_LEN_RANGE);
    }
    assert!(both > 0 && one > 0);
}

#[test]
fn an_imported_key_signs_as_rfc_6979_says() {
    // RFC 6979, A.2.5: P-256, SHA-256, message "sample".
    let value = hex::decode("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721").unwrap();
    let expected = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let template = Template::default().number(CKA_CLASS, CKO_PRIVATE_KEY).number(CKA_KEY_TYPE, CKK_EC);
    let key = caller.create(session, template.with(CKA_EC_PARAMS, P256).with(CKA_VALUE, &value)).unwrap();
    for attribute in [CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE] {
        assert_eq!(caller.attribute(session, key, attribute), Ok(vec![0]));
    }
    let signature = caller.sign(session, &mut plain(CKM_ECDSA_SHA256), key, b"sample").unwrap();
    assert_eq!(hex::encode(signature), expected);
}

#[test]
fn ed25519_signatures_verify_elsewhere() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let old_oid: &[u8] = &[0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];
    for params in [ED25519, old_oid, b"\x13\x0cedwards25519"] {
        let template = Template::default().with(CKA_EC_PARAMS, params);
        let (public, private) =
            caller.generate_pair(session, CKM_EC_EDWARDS_KEY_PAIR_GEN, template, Template::default());
        let point = caller.attribute(session, public, CKA_EC_POINT).unwrap();
        let key = ed25519_dalek::VerifyingKey::from_bytes(point[2..].try_into().unwrap()).unwrap();
        let signature = caller.sign(session, &mut plain(CKM_EDDSA), private, MESSAGE).unwrap();
        let parsed = ed25519_dalek::Signature::from_slice(&signature).unwrap();
        key.verify(MESSAGE, &parsed).unwrap();
        key.verify_strict(MESSAGE, &parsed).unwrap();
        assert_eq!(caller.verify(session, &mut plain(CKM_EDDSA), public, MESSAGE, &signature), CKR_OK);
        assert_eq!(
            caller.verify(session, &mut plain(CKM_EDDSA), public, b"x", &signature),
            CKR_SIGNATURE_INVALID
        );
    }
    // RFC 8032, 7.1, test 2.
    let seed = hex::decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
    let template =
        Template::default().number(CKA_CLASS, CKO_PRIVATE_KEY).number(CKA_KEY_TYPE, CKK_EC_EDWARDS);
    let key = caller.create(session, template.with(CKA_EC_PARAMS, ED25519).with(CKA_VALUE, &seed)).unwrap();
    let signature = caller.sign(session, &mut plain(CKM_EDDSA), key, &[0x72]).unwrap();
    assert_eq!(
        hex::encode(signature),
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    );
}

#[test]
fn bip340_signatures_verify_elsewhere() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let digest = Sha256::digest(MESSAGE);
    for _ in 0..8 {
        let (public, private) = caller.curve_pair(session, SECP256K1, "k");
        let point = caller.attribute(session, public, CKA_EC_POINT).unwrap();
        let key = k256::schnorr::VerifyingKey::from_slice(&point[3..35]).unwrap();
        let signature = caller.sign(session, &mut plain(CKM_KEYWARD_BIP340), private, &digest).unwrap();
        let parsed = k256::schnorr::Signature::try_from(signature.as_slice()).unwrap();
        key.verify_raw(&digest, &parsed).unwrap();
        let mut mechanism = plain(CKM_KEYWARD_BIP340);
        assert_eq!(caller.verify(session, &mut mechanism, public, &digest, &signature), CKR_OK);
        assert_eq!(
            caller.verify(session, &mut mechanism, public, &[1; 32], &signature),
            CKR_SIGNATURE_INVALID
        );
        assert_eq!(caller.sign(session, &mut mechanism, private, MESSAGE), Err(CKR_DATA_LEN_RANGE));
    }
    let (_, p256) = caller.curve_pair(session, P256, "k");
    let mut mechanism = plain(CKM_KEYWARD_BIP340);
    assert_eq!(c!(caller, C_SignInit, session, &mut mechanism, p256), CKR_KEY_TYPE_INCONSISTENT);
}

#[test]
fn rsa_signatures_verify_elsewhere() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let template = Template::default().number(CKA_MODULUS_BITS, 2048).flag(CKA_TOKEN, true);
    let open =
        Template::default().flag(CKA_TOKEN, true).flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE, true);
    let (public, private) = caller.generate_pair(session, CKM_RSA_PKCS_KEY_PAIR_GEN, template, open);
    let number = |attribute| caller.attribute(session, public, attribute).unwrap();
    assert_eq!(number(CKA_PUBLIC_EXPONENT), [1, 0, 1]);
    let integer = |bytes: Vec<u8>| BoxedUint::from_be_slice_vartime(&bytes);
    let key = RsaPublicKey::new(integer(number(CKA_MODULUS)), integer(number(CKA_PUBLIC_EXPONENT))).unwrap();
    let digest = Sha256::digest(MESSAGE);
    let sign = |mechanism: &mut CK_MECHANISM, data: &[u8]| {
        let signature = caller.sign(session, mechanism, private, data).unwrap();
        assert_eq!(signature.len(), 256);
        assert_eq!(caller.verify(session, mechanism, public, data, &signature), CKR_OK);
        let mut changed = signature.clone();
        changed[200] ^= 1;
        assert_eq!(caller.verify(session, mechanism, public, data, &changed), CKR_SIGNATURE_INVALID);
        assert_eq!(caller.verify(session, mechanism, public, data, &changed[1..]), CKR_SIGNATURE_LEN_RANGE);
        signature
    };
    let signature = sign(&mut plain(CKM_SHA256_RSA_PKCS), MESSAGE);
    key.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, &signature).unwrap();
    let signature = sign(&mut plain(CKM_RSA_PKCS), b"raw");
    key.verify(Pkcs1v15Sign::new_unprefixed(), b"raw", &signature).unwrap();
    assert_eq!(caller.sign(session, &mut plain(CKM_RSA_PKCS), private, &[1; 246]), Err(CKR_DATA_LEN_RANGE));
    let mut pss = CK_RSA_PKCS_PSS_PARAMS { hashAlg: CKM_SHA256, mgf: CKG_MGF1_SHA256, sLen: 32 };
    let signature = sign(&mut with_parameter(CKM_SHA256_RSA_PKCS_PSS, &mut pss), MESSAGE);
    key.verify(Pss::<Sha256>::new_with_salt(32), &digest, &signature).unwrap();
    let signature = sign(&mut with_parameter(CKM_RSA_PKCS_PSS, &mut pss), &digest);
    key.verify(Pss::<Sha256>::new_with_salt(32), &digest, &signature).unwrap();
    for bad in [
        CK_RSA_PKCS_PSS_PARAMS { hashAlg: CKM_SHA_1, ..pss },
        CK_RSA_PKCS_PSS_PARAMS { mgf: CKG_MGF1_SHA1, ..pss },
        CK_RSA_PKCS_PSS_PARAMS { sLen: 1 << 40, ..pss },
    ] {
        let mut bad = bad;
        let mut mechanism = with_parameter(CKM_RSA_PKCS_PSS, &mut bad);
        assert_eq!(c!(caller, C_SignInit, session, &mut mechanism, private), CKR_MECHANISM_PARAM_INVALID);
    }

    // Out and in again: the imported copy signs the same.
    let mut copy = Template::default().number(CKA_CLASS, CKO_PRIVATE_KEY).number(CKA_KEY_TYPE, CKK_RSA);
    for attribute in [
        CKA_MODULUS,
        CKA_PUBLIC_EXPONENT,
        CKA_PRIVATE_EXPONENT,
        CKA_PRIME_1,
        CKA_PRIME_2,
        CKA_EXPONENT_1,
        CKA_EXPONENT_2,
        CKA_COEFFICIENT,
    ] {
        copy = copy.with(attribute, &caller.attribute(session, private, attribute).unwrap());
    }
    let copy = caller.create(session, copy).unwrap();
    let again = caller.sign(session, &mut plain(CKM_RSA_PKCS), copy, b"raw").unwrap();
    key.verify(Pkcs1v15Sign::new_unprefixed(), b"raw", &again).unwrap();
}

#[test]
fn hmac_agrees_with_rfc_4231() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let template =
        Template::default().number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_GENERIC_SECRET);
    let key = caller.create(session, template.with(CKA_VALUE, &[0x0b; 20])).unwrap();
    let mac = caller.sign(session, &mut plain(CKM_SHA256_HMAC), key, b"Hi There").unwrap();
    assert_eq!(hex::encode(&mac), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_eq!(caller.verify(session, &mut plain(CKM_SHA256_HMAC), key, b"Hi There", &mac), CKR_OK);
    assert_eq!(caller.verify(session, &mut plain(CKM_SHA256_HMAC), key, b"Hi", &mac), CKR_SIGNATURE_INVALID);
    let mut template = Template::default().number(CKA_VALUE_LEN, 48);
    let ((entries, count), mut made) = (template.raw(), 0);
    ok!(caller, C_GenerateKey, session, &mut plain(CKM_GENERIC_SECRET_KEY_GEN), entries, count, &mut made);
    assert_eq!(caller.sign(session, &mut plain(CKM_SHA256_HMAC), made, b"x").unwrap().len(), 32);
}
