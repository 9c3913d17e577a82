//! Wrapping, deriving and RSA encryption through the C interface, and what each of them refuses.

use std::ptr::null_mut;

use cryptoki_sys::*;
use hsm_sim::{CKM_KEYWARD_SM2_KEY_PAIR_GEN, CKM_KEYWARD_SM2_SM3, CKM_KEYWARD_SM3};

use crate::caller::{Bench, ED25519, P256, SECP256K1, Template, c, ok, plain, with_parameter};
use crate::mechanisms::{P384, P521, SM2};
use crate::steps::{open_secret, secret, with_bytes};

/// The parameter of OAEP, without a label.
pub(crate) fn oaep(hash: CK_MECHANISM_TYPE, mgf: CK_ULONG) -> CK_RSA_PKCS_OAEP_PARAMS {
    let source = CKZ_DATA_SPECIFIED;
    CK_RSA_PKCS_OAEP_PARAMS { hashAlg: hash, mgf, source, pSourceData: null_mut(), ulSourceDataLen: 0 }
}

#[test]
fn keys_of_every_kind_travel_wrapped_and_sign_as_before() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let under = caller.create(session, open_secret(CKK_AES, &[7; 32])).unwrap();
    let public = Template::default().number(CKA_MODULUS_BITS, 2048).flag(CKA_WRAP, true);
    let private = Template::default().flag(CKA_UNWRAP, true);
    let (rsa_public, rsa_private) = caller.generate_pair(session, CKM_RSA_PKCS_KEY_PAIR_GEN, public, private);
    let mut iv = [4; 16];
    let mut inner = oaep(CKM_SHA256, CKG_MGF1_SHA256);
    let mut both = CK_RSA_AES_KEY_WRAP_PARAMS { ulAESKeyBits: 256, pOAEPParams: &mut inner };
    for (params, key_type, generate, sign) in [
        (SECP256K1, CKK_EC, CKM_EC_KEY_PAIR_GEN, CKM_ECDSA_SHA256),
        (P256, CKK_EC, CKM_EC_KEY_PAIR_GEN, CKM_ECDSA_SHA256),
        (P384, CKK_EC, CKM_EC_KEY_PAIR_GEN, CKM_ECDSA_SHA384),
        (P521, CKK_EC, CKM_EC_KEY_PAIR_GEN, CKM_ECDSA_SHA512),
        (SM2, CKK_EC, CKM_KEYWARD_SM2_KEY_PAIR_GEN, CKM_KEYWARD_SM2_SM3),
        (ED25519, CKK_EC_EDWARDS, CKM_EC_EDWARDS_KEY_PAIR_GEN, CKM_EDDSA),
        (&[], CKK_RSA, CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_SHA256_RSA_PKCS),
    ] {
        let template = match key_type {
            CKK_RSA => Template::default().number(CKA_MODULUS_BITS, 2048),
            _ => Template::default().with(CKA_EC_PARAMS, params),
        };
        let leaves = Template::default().flag(CKA_EXTRACTABLE, true);
        let (verifying, signing) = caller.generate_pair(session, generate, template, leaves);
        for (wrapper, unwrapper, how) in [
            (under, under, &mut with_bytes(CKM_AES_CBC_PAD, &mut iv)),
            (under, under, &mut plain(CKM_AES_KEY_WRAP_KWP)),
            (rsa_public, rsa_private, &mut with_parameter(CKM_RSA_AES_KEY_WRAP, &mut both)),
        ] {
            let wrapped = caller.wrap(session, how, wrapper, signing).unwrap();
            let template =
                || Template::default().number(CKA_CLASS, CKO_PRIVATE_KEY).number(CKA_KEY_TYPE, key_type);
            let again = caller.unwrap(session, how, unwrapper, &wrapped, template()).unwrap();
            let signature = caller.sign(session, &mut plain(sign), again, b"message").unwrap();
            assert_eq!(caller.verify(session, &mut plain(sign), verifying, b"message", &signature), CKR_OK);
            for attribute in [CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE] {
                assert_eq!(caller.attribute(session, again, attribute), Ok(vec![0]));
            }
            // A flipped bit, a cut and another type come to nothing.
            let mut changed = wrapped.clone();
            *changed.last_mut().unwrap() ^= 1;
            let refused = caller.unwrap(session, how, unwrapper, &changed, template()).unwrap_err();
            assert_eq!(refused, CKR_WRAPPED_KEY_INVALID, "{key_type:#x} {:#x}", how.mechanism);
            let cut = &wrapped[..wrapped.len() - 1];
            let refused = caller.unwrap(session, how, unwrapper, cut, template()).unwrap_err();
            assert_eq!(refused, CKR_WRAPPED_KEY_LEN_RANGE);
            let other = if key_type == CKK_RSA { CKK_EC } else { CKK_RSA };
            let template = Template::default().number(CKA_CLASS, CKO_PRIVATE_KEY).number(CKA_KEY_TYPE, other);
            let refused = caller.unwrap(session, how, unwrapper, &wrapped, template).unwrap_err();
            assert_eq!(refused, CKR_WRAPPED_KEY_INVALID);
        }
    }
}

#[test]
fn wrapping_keeps_its_rules() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let under = caller.create(session, open_secret(CKK_AES, &[7; 16])).unwrap();
    let stays = caller.create(session, secret(CKK_AES, &[1; 16])).unwrap();
    let odd = caller.create(session, open_secret(CKK_GENERIC_SECRET, &[1; 17])).unwrap();
    let leaves = caller.create(session, open_secret(CKK_AES, &[9; 16])).unwrap();
    let how = &mut plain(CKM_AES_KEY_WRAP);
    assert_eq!(caller.wrap(session, how, under, stays), Err(CKR_KEY_UNEXTRACTABLE));
    assert_eq!(caller.wrap(session, how, under, odd), Err(CKR_KEY_SIZE_RANGE));
    assert_eq!(caller.wrap(session, how, under, 0), Err(CKR_KEY_HANDLE_INVALID));
    assert_eq!(caller.wrap(session, how, 0, leaves), Err(CKR_WRAPPING_KEY_HANDLE_INVALID));
    assert_eq!(caller.wrap(session, how, odd, leaves), Err(CKR_WRAPPING_KEY_TYPE_INCONSISTENT));
    let trusting = open_secret(CKK_AES, &[5; 16]).flag(CKA_WRAP_WITH_TRUSTED, true);
    let trusting = caller.create(session, trusting).unwrap();
    assert_eq!(caller.wrap(session, how, under, trusting), Err(CKR_KEY_NOT_WRAPPABLE));
    let public = Template::default().number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_AES);
    let unwrap = |key, template: &Template| {
        caller.unwrap(session, &mut plain(CKM_AES_KEY_WRAP), key, &[0; 24], template.clone())
    };
    assert_eq!(unwrap(0, &public), Err(CKR_UNWRAPPING_KEY_HANDLE_INVALID));
    assert_eq!(unwrap(odd, &public), Err(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT));
    assert_eq!(unwrap(under, &public), Err(CKR_WRAPPED_KEY_INVALID));
    assert_eq!(unwrap(under, &Template::default()), Err(CKR_TEMPLATE_INCOMPLETE));
    assert_eq!(unwrap(under, &public.clone().with(CKA_VALUE, &[0; 16])).unwrap_err(), {
        let wrapped = caller.wrap(session, how, under, leaves).unwrap();
        let given = public.clone().with(CKA_VALUE, &[0; 16]);
        let refused = caller.unwrap(session, how, under, &wrapped, given).unwrap_err();
        assert_eq!(refused, CKR_TEMPLATE_INCONSISTENT);
        CKR_WRAPPED_KEY_INVALID
    });
    let how = &mut plain(CKM_AES_ECB);
    assert_eq!(caller.wrap(session, how, under, leaves), Err(CKR_MECHANISM_INVALID));
    let mut iv = [0; 8];
    let how = &mut with_bytes(CKM_AES_KEY_WRAP, &mut iv);
    assert_eq!(caller.wrap(session, how, under, leaves), Err(CKR_MECHANISM_PARAM_INVALID));
}

#[test]
fn what_could_not_be_read_again_is_not_unwrapped_into_the_token() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let under = caller.create(session, open_secret(CKK_AES, &[7; 16])).unwrap();
    let mut iv = [0; 16];
    let how = &mut with_bytes(CKM_AES_CBC_PAD, &mut iv);
    let public = Template::default()
        .number(CKA_CLASS, CKO_SECRET_KEY)
        .number(CKA_KEY_TYPE, CKK_GENERIC_SECRET)
        .flag(CKA_TOKEN, true);
    for (bytes, fits) in [((1 << 16) + 1, false), (1 << 16, true)] {
        let wrapped = caller.encrypt(session, how, under, &vec![3; bytes]).unwrap();
        let made = caller.unwrap(session, how, under, &wrapped, public.clone());
        assert_eq!(made.is_ok(), fits, "{bytes} bytes: {made:?}");
    }
    // The token reads again.
    bench.caller.restart(bench.path());
    bench.caller.user_session();
}

#[test]
fn two_sides_derive_the_same_secret() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    for (params, generate) in [
        (SECP256K1, CKM_EC_KEY_PAIR_GEN),
        (P256, CKM_EC_KEY_PAIR_GEN),
        (P384, CKM_EC_KEY_PAIR_GEN),
        (P521, CKM_EC_KEY_PAIR_GEN),
        (SM2, CKM_KEYWARD_SM2_KEY_PAIR_GEN),
    ] {
        let pair = || {
            let public = Template::default().with(CKA_EC_PARAMS, params);
            caller.generate_pair(session, generate, public, Template::default().flag(CKA_DERIVE, true))
        };
        let (one, other) = (pair(), pair());
        for (kdf, shared) in [(CKD_NULL, 0), (CKD_SHA256_KDF, 0), (CKD_SHA512_KDF, 5)] {
            let secret = |own, others| {
                let mut point = caller.attribute(session, others, CKA_EC_POINT).unwrap();
                let mut data = [6_u8; 5];
                let mut ecdh = CK_ECDH1_DERIVE_PARAMS {
                    kdf,
                    ulSharedDataLen: shared,
                    pSharedData: data.as_mut_ptr(),
                    ulPublicDataLen: point.len() as CK_ULONG,
                    pPublicData: point.as_mut_ptr(),
                };
                let open = Template::default().flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE, true);
                let open = open.number(CKA_KEY_TYPE, CKK_AES).number(CKA_VALUE_LEN, 32);
                let how = &mut with_parameter(CKM_ECDH1_DERIVE, &mut ecdh);
                let made = caller.derive(session, how, own, open).unwrap();
                caller.attribute(session, made, CKA_VALUE).unwrap()
            };
            let (first, second) = (secret(one.1, other.0), secret(other.1, one.0));
            assert_eq!(first, second);
            assert_eq!(first.len(), 32);
            assert_ne!(first, secret(one.1, one.0));
        }
    }
}

#[test]
fn a_derivation_keeps_its_rules() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let public = Template::default().with(CKA_EC_PARAMS, P256);
    let (public, base) = caller.generate_pair(
        session,
        CKM_EC_KEY_PAIR_GEN,
        public,
        Template::default().flag(CKA_DERIVE, true),
    );
    let mut point = caller.attribute(session, public, CKA_EC_POINT).unwrap();
    let derive = |kdf, shared: CK_ULONG, point: &mut [u8], template: Template| {
        let mut data = [0_u8; 8];
        let mut ecdh = CK_ECDH1_DERIVE_PARAMS {
            kdf,
            ulSharedDataLen: shared,
            pSharedData: data.as_mut_ptr(),
            ulPublicDataLen: point.len() as CK_ULONG,
            pPublicData: point.as_mut_ptr(),
        };
        caller.derive(session, &mut with_parameter(CKM_ECDH1_DERIVE, &mut ecdh), base, template)
    };
    let none = Template::default;
    // What was sensitive and inside stays so only if the new key is too.
    let made = derive(CKD_NULL, 0, &mut point, none()).unwrap();
    let flags = |key| {
        [CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE]
            .map(|flag| caller.attribute(session, key, flag).unwrap()[0])
    };
    assert_eq!(flags(made), [0, 1, 1]);
    let open = none().flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE, true);
    assert_eq!(flags(derive(CKD_NULL, 0, &mut point, open).unwrap()), [0, 0, 0]);
    // A shorter key is the end of the coordinate, and the beginning of what a function gives.
    let value = |kdf, bytes: CK_ULONG, point: &mut [u8]| {
        let open = none().flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE, true);
        let sized = open.number(CKA_KEY_TYPE, CKK_GENERIC_SECRET).number(CKA_VALUE_LEN, bytes);
        caller.attribute(session, derive(kdf, 0, point, sized).unwrap(), CKA_VALUE).unwrap()
    };
    assert_eq!(value(CKD_NULL, 16, &mut point), value(CKD_NULL, 32, &mut point)[16..]);
    assert_eq!(value(CKD_SHA256_KDF, 16, &mut point), value(CKD_SHA256_KDF, 80, &mut point)[..16]);
    let invalid = Err(CKR_MECHANISM_PARAM_INVALID);
    assert_eq!(derive(CKD_NULL, 1, &mut point, none()), invalid);
    assert_eq!(derive(CKD_CPDIVERSIFY_KDF, 0, &mut point, none()), invalid);
    assert_eq!(derive(CKD_NULL, 0, &mut [], none()), invalid);
    // A point off the curve, and the point at infinity.
    let mut off = point.clone();
    off[66] ^= 1;
    assert_eq!(derive(CKD_NULL, 0, &mut off, none()), invalid);
    assert_eq!(derive(CKD_NULL, 0, &mut [0], none()), invalid);
    let long = none().number(CKA_KEY_TYPE, CKK_GENERIC_SECRET).number(CKA_VALUE_LEN, 33);
    assert_eq!(derive(CKD_NULL, 0, &mut point, long), Err(CKR_KEY_SIZE_RANGE));
    let odd = none().number(CKA_KEY_TYPE, CKK_AES).number(CKA_VALUE_LEN, 20);
    assert_eq!(derive(CKD_NULL, 0, &mut point, odd), Err(CKR_KEY_SIZE_RANGE));
    let class = none().number(CKA_CLASS, CKO_PRIVATE_KEY);
    assert_eq!(derive(CKD_NULL, 0, &mut point, class), Err(CKR_TEMPLATE_INCONSISTENT));
    let given = none().with(CKA_VALUE, &[1; 32]);
    assert_eq!(derive(CKD_NULL, 0, &mut point, given), Err(CKR_TEMPLATE_INCONSISTENT));
}

#[test]
fn rsa_encryption_keeps_its_rules() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let public = Template::default().number(CKA_MODULUS_BITS, 1024).flag(CKA_ENCRYPT, true);
    let private = Template::default().flag(CKA_DECRYPT, true);
    let (public, private) = caller.generate_pair(session, CKM_RSA_PKCS_KEY_PAIR_GEN, public, private);
    let mut params = oaep(CKM_SHA256, CKG_MGF1_SHA256);
    for (mechanism, most) in [(CKM_RSA_PKCS, 117), (CKM_RSA_PKCS_OAEP, 62)] {
        let how = &mut match mechanism {
            CKM_RSA_PKCS => plain(mechanism),
            _ => with_parameter(mechanism, &mut params),
        };
        let sealed = caller.encrypt(session, how, public, &vec![1; most]).unwrap();
        assert_eq!(sealed.len(), 128);
        assert_eq!(caller.decrypt(session, how, private, &sealed), Ok(vec![1; most]));
        assert_eq!(caller.encrypt(session, how, public, &vec![1; most + 1]), Err(CKR_DATA_LEN_RANGE));
        let opened = caller.decrypt(session, how, private, &sealed[1..]);
        assert_eq!(opened, Err(CKR_ENCRYPTED_DATA_LEN_RANGE));
        // A buffer for the plaintext alone is enough, although the bound asked for is longer.
        let short = caller.encrypt(session, how, public, &[2; 3]).unwrap();
        ok!(caller, C_DecryptInit, session, how, private);
        let (mut out, mut length) = ([0; 3], 2);
        let call = |out: &mut [u8], length: &mut CK_ULONG| {
            c!(caller, C_Decrypt, session, short.as_ptr().cast_mut(), 128, out.as_mut_ptr(), length)
        };
        assert_eq!((call(&mut out, &mut length), length), (CKR_BUFFER_TOO_SMALL, 3));
        assert_eq!((call(&mut out, &mut length), length, out), (CKR_OK, 3, [2; 3]));
        let parts = caller.cipher_in_parts(session, how, public, (&[1; 4], 2, true));
        assert_eq!(parts, Err(CKR_FUNCTION_NOT_SUPPORTED));
        assert_eq!(c!(caller, C_EncryptInit, session, how, private), CKR_KEY_TYPE_INCONSISTENT);
    }
    for bad in [
        CK_RSA_PKCS_OAEP_PARAMS { hashAlg: CKM_MD5, ..params },
        CK_RSA_PKCS_OAEP_PARAMS { hashAlg: CKM_KEYWARD_SM3, ..params },
        CK_RSA_PKCS_OAEP_PARAMS { mgf: 0, ..params },
        CK_RSA_PKCS_OAEP_PARAMS { source: 2, ..params },
        CK_RSA_PKCS_OAEP_PARAMS { ulSourceDataLen: 1, ..params },
        CK_RSA_PKCS_OAEP_PARAMS { ulSourceDataLen: CK_ULONG::MAX, ..params },
    ] {
        let mut bad = bad;
        let how = &mut with_parameter(CKM_RSA_PKCS_OAEP, &mut bad);
        assert_eq!(c!(caller, C_EncryptInit, session, how, public), CKR_MECHANISM_PARAM_INVALID);
    }
    // SHA-1 signs nothing.
    let mut pss = CK_RSA_PKCS_PSS_PARAMS { hashAlg: CKM_SHA_1, mgf: CKG_MGF1_SHA1, sLen: 20 };
    let how = &mut with_parameter(CKM_RSA_PKCS_PSS, &mut pss);
    assert_eq!(c!(caller, C_SignInit, session, how, private), CKR_MECHANISM_PARAM_INVALID);
    let how = &mut plain(CKM_SHA1_RSA_PKCS);
    assert_eq!(c!(caller, C_SignInit, session, how, private), CKR_MECHANISM_INVALID);
}
