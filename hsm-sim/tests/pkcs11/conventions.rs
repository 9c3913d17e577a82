//! Operations: lengths asked for, buffers too small, errors that end, two at once, logout in between.

use std::ptr::null_mut;

use cryptoki_sys::*;

use crate::caller::{Bench, P256, SECP256K1, Template, USER_PIN, c, ok, plain, with_parameter};

fn aes_key(bench: &Bench, session: CK_SESSION_HANDLE) -> CK_OBJECT_HANDLE {
    let mut template = Template::default().number(CKA_VALUE_LEN, 32).flag(CKA_TOKEN, true);
    let (entries, count) = template.raw();
    let mut key = 0;
    ok!(bench.caller, C_GenerateKey, session, &mut plain(CKM_AES_KEY_GEN), entries, count, &mut key);
    key
}

fn gcm(nonce: &mut [u8], aad: &mut [u8]) -> CK_GCM_PARAMS {
    CK_GCM_PARAMS {
        pIv: nonce.as_mut_ptr(),
        ulIvLen: nonce.len() as CK_ULONG,
        ulIvBits: 96,
        pAAD: aad.as_mut_ptr(),
        ulAADLen: aad.len() as CK_ULONG,
        ulTagBits: 128,
    }
}

#[test]
fn a_query_and_a_small_buffer_leave_a_signature_active_and_an_error_ends_it() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let (_, key) = caller.curve_pair(session, SECP256K1, "k");
    let (mut digest, mut out, mut length) = ([7_u8; 32], [0_u8; 64], 0);

    assert_eq!(
        c!(caller, C_Sign, session, digest.as_mut_ptr(), 32, out.as_mut_ptr(), &mut length),
        CKR_OPERATION_NOT_INITIALIZED
    );
    ok!(caller, C_SignInit, session, &mut plain(CKM_ECDSA), key);
    assert_eq!(c!(caller, C_SignInit, session, &mut plain(CKM_ECDSA), key), CKR_OPERATION_ACTIVE);
    ok!(caller, C_Sign, session, digest.as_mut_ptr(), 32, null_mut(), &mut length);
    assert_eq!(length, 64);
    length = 63;
    assert_eq!(
        c!(caller, C_Sign, session, digest.as_mut_ptr(), 32, out.as_mut_ptr(), &mut length),
        CKR_BUFFER_TOO_SMALL
    );
    assert_eq!(length, 64);
    ok!(caller, C_Sign, session, digest.as_mut_ptr(), 32, out.as_mut_ptr(), &mut length);
    assert_eq!(
        c!(caller, C_Sign, session, digest.as_mut_ptr(), 32, out.as_mut_ptr(), &mut length),
        CKR_OPERATION_NOT_INITIALIZED
    );

    // Each of these ends it: a digest of the wrong length, a missing length, a missing input.
    for wrong in 0..3 {
        ok!(caller, C_SignInit, session, &mut plain(CKM_ECDSA), key);
        length = 64;
        let code = match wrong {
            0 => c!(caller, C_Sign, session, digest.as_mut_ptr(), 0, out.as_mut_ptr(), &mut length),
            1 => c!(caller, C_Sign, session, digest.as_mut_ptr(), 32, out.as_mut_ptr(), null_mut()),
            _ => c!(caller, C_Sign, session, null_mut(), 32, out.as_mut_ptr(), &mut length),
        };
        assert_eq!(code, if wrong == 0 { CKR_DATA_LEN_RANGE } else { CKR_ARGUMENTS_BAD });
        assert_eq!(
            c!(caller, C_Sign, session, digest.as_mut_ptr(), 32, out.as_mut_ptr(), &mut length),
            CKR_OPERATION_NOT_INITIALIZED
        );
    }
}

#[test]
fn parts_and_the_whole_give_the_same_signature() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let (public, private) = caller.curve_pair(session, P256, "k");
    let message = b"a message in three parts".to_vec();
    let whole = caller.sign(session, &mut plain(CKM_ECDSA_SHA256), private, &message).unwrap();
    ok!(caller, C_SignInit, session, &mut plain(CKM_ECDSA_SHA256), private);
    for part in message.chunks(9) {
        ok!(caller, C_SignUpdate, session, part.as_ptr().cast_mut(), part.len() as CK_ULONG);
    }
    let (mut out, mut length) = ([0_u8; 64], 0);
    ok!(caller, C_SignFinal, session, null_mut(), &mut length);
    length = 10;
    assert_eq!(c!(caller, C_SignFinal, session, out.as_mut_ptr(), &mut length), CKR_BUFFER_TOO_SMALL);
    ok!(caller, C_SignFinal, session, out.as_mut_ptr(), &mut length);
    assert_eq!(whole, out, "RFC 6979 is deterministic");

    ok!(caller, C_VerifyInit, session, &mut plain(CKM_ECDSA_SHA256), public);
    assert_eq!(c!(caller, C_VerifyInit, session, &mut plain(CKM_ECDSA_SHA256), public), CKR_OPERATION_ACTIVE);
    for part in message.chunks(5) {
        ok!(caller, C_VerifyUpdate, session, part.as_ptr().cast_mut(), part.len() as CK_ULONG);
    }
    ok!(caller, C_VerifyFinal, session, out.as_mut_ptr(), 64);
    assert_eq!(c!(caller, C_VerifyFinal, session, out.as_mut_ptr(), 64), CKR_OPERATION_NOT_INITIALIZED);

    // The whole cannot end what was begun in parts.
    ok!(caller, C_SignInit, session, &mut plain(CKM_ECDSA_SHA256), private);
    ok!(caller, C_SignUpdate, session, message.as_ptr().cast_mut(), 3);
    length = 64;
    assert_eq!(
        c!(caller, C_Sign, session, message.as_ptr().cast_mut(), 3, out.as_mut_ptr(), &mut length),
        CKR_OPERATION_ACTIVE
    );
    assert_eq!(
        c!(caller, C_SignFinal, session, out.as_mut_ptr(), &mut length),
        CKR_OPERATION_NOT_INITIALIZED
    );
}

#[test]
fn gcm_seals_and_opens_and_refuses_what_was_changed() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let key = aes_key(&bench, session);
    let (mut nonce, mut aad, mut plain_text) =
        ([3_u8; 12], *b"who and what", *b"thirty-two bytes of somebody's k");
    let mut params = gcm(&mut nonce, &mut aad);
    let mut mechanism = with_parameter(CKM_AES_GCM, &mut params);
    ok!(caller, C_EncryptInit, session, &mut mechanism, key);
    let mut length = 0;
    ok!(caller, C_Encrypt, session, plain_text.as_mut_ptr(), 32, null_mut(), &mut length);
    assert_eq!(length, 48);
    let mut sealed = [0_u8; 48];
    length = 47;
    assert_eq!(
        c!(caller, C_Encrypt, session, plain_text.as_mut_ptr(), 32, sealed.as_mut_ptr(), &mut length),
        CKR_BUFFER_TOO_SMALL
    );
    ok!(caller, C_Encrypt, session, plain_text.as_mut_ptr(), 32, sealed.as_mut_ptr(), &mut length);
    assert_eq!(length, 48);
    assert_ne!(sealed[..32], plain_text);

    let open = |sealed: &[u8], mechanism: &mut CK_MECHANISM| {
        ok!(caller, C_DecryptInit, session, mechanism, key);
        let (mut out, mut length) = (vec![0_u8; 64], 64);
        let data = (sealed.as_ptr().cast_mut(), sealed.len() as CK_ULONG);
        let code = c!(caller, C_Decrypt, session, data.0, data.1, out.as_mut_ptr(), &mut length);
        out.truncate(length as usize);
        (code, out)
    };
    assert_eq!(open(&sealed, &mut mechanism), (CKR_OK, plain_text.to_vec()));
    for place in [0, 31, 32, 47] {
        let mut changed = sealed;
        changed[place] ^= 1;
        assert_eq!(open(&changed, &mut mechanism).0, CKR_ENCRYPTED_DATA_INVALID);
    }
    assert_eq!(open(&sealed[..15], &mut mechanism).0, CKR_ENCRYPTED_DATA_LEN_RANGE);
    let mut other = *b"who and whom";
    let mut params = gcm(&mut nonce, &mut other);
    assert_eq!(open(&sealed, &mut with_parameter(CKM_AES_GCM, &mut params)).0, CKR_ENCRYPTED_DATA_INVALID);

    // The length of the plaintext is known before; the query leaves the operation active.
    ok!(caller, C_DecryptInit, session, &mut mechanism, key);
    ok!(caller, C_Decrypt, session, sealed.as_mut_ptr(), 48, null_mut(), &mut length);
    assert_eq!(length, 32);
    let mut out = [0_u8; 32];
    ok!(caller, C_Decrypt, session, sealed.as_mut_ptr(), 48, out.as_mut_ptr(), &mut length);
    assert_eq!(out, plain_text);
}

#[test]
fn gcm_agrees_with_a_test_case_of_others() {
    // McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16.
    let key = hex::decode("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308").unwrap();
    let mut nonce = hex::decode("cafebabefacedbaddecaf888").unwrap();
    let mut aad = hex::decode("feedfacedeadbeeffeedfacedeadbeefabaddad2").unwrap();
    let mut text = hex::decode(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    )
    .unwrap();
    let expected = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b";
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let template = Template::default().number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_AES);
    let key = caller.create(session, template.with(CKA_VALUE, &key)).unwrap();
    let mut params = gcm(&mut nonce, &mut aad);
    ok!(caller, C_EncryptInit, session, &mut with_parameter(CKM_AES_GCM, &mut params), key);
    let (mut out, mut length) = (vec![0_u8; text.len() + 16], text.len() as CK_ULONG + 16);
    let text_length = text.len() as CK_ULONG;
    ok!(caller, C_Encrypt, session, text.as_mut_ptr(), text_length, out.as_mut_ptr(), &mut length);
    assert_eq!(hex::encode(out), expected);
}

#[test]
fn gcm_parameters_are_checked() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let key = aes_key(&bench, session);
    let (mut nonce, mut aad) = ([3_u8; 12], [0_u8; 4]);
    let good = gcm(&mut nonce, &mut aad);
    let init = |params: CK_GCM_PARAMS| {
        let mut params = params;
        c!(caller, C_EncryptInit, session, &mut with_parameter(CKM_AES_GCM, &mut params), key)
    };
    for bad in [
        CK_GCM_PARAMS { ulIvLen: 257, ..good },
        CK_GCM_PARAMS { ulIvLen: 0, ..good },
        CK_GCM_PARAMS { pIv: null_mut(), ..good },
        CK_GCM_PARAMS { ulTagBits: 0, ..good },
        CK_GCM_PARAMS { ulTagBits: 64, ..good },
        CK_GCM_PARAMS { ulTagBits: 129, ..good },
        CK_GCM_PARAMS { pAAD: null_mut(), ..good },
        CK_GCM_PARAMS { ulAADLen: CK_ULONG::MAX, ..good },
        CK_GCM_PARAMS { ulIvLen: CK_ULONG::MAX, ..good },
    ] {
        assert_eq!(init(bad), CKR_MECHANISM_PARAM_INVALID);
    }
    assert_eq!(c!(caller, C_EncryptInit, session, &mut plain(CKM_AES_GCM), key), CKR_MECHANISM_PARAM_INVALID);
    let mut short = 0_u32;
    assert_eq!(
        c!(caller, C_EncryptInit, session, &mut with_parameter(CKM_AES_GCM, &mut short), key),
        CKR_MECHANISM_PARAM_INVALID
    );
    assert_eq!(init(good), CKR_OK);
    assert_eq!(init(good), CKR_OPERATION_ACTIVE);
}

#[test]
fn digests_come_whole_and_in_parts() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.open(0, 0);
    let (mut out, mut length) = ([0_u8; 32], 0);
    ok!(caller, C_DigestInit, session, &mut plain(CKM_SHA256));
    assert_eq!(c!(caller, C_DigestInit, session, &mut plain(CKM_SHA256)), CKR_OPERATION_ACTIVE);
    ok!(caller, C_Digest, session, b"abc".as_ptr().cast_mut(), 3, null_mut(), &mut length);
    assert_eq!(length, 32);
    ok!(caller, C_Digest, session, b"abc".as_ptr().cast_mut(), 3, out.as_mut_ptr(), &mut length);
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(hex::encode(out), expected);
    ok!(caller, C_DigestInit, session, &mut plain(CKM_SHA256));
    ok!(caller, C_DigestUpdate, session, b"a".as_ptr().cast_mut(), 1);
    ok!(caller, C_DigestUpdate, session, b"bc".as_ptr().cast_mut(), 2);
    length = 31;
    assert_eq!(c!(caller, C_DigestFinal, session, out.as_mut_ptr(), &mut length), CKR_BUFFER_TOO_SMALL);
    ok!(caller, C_DigestFinal, session, out.as_mut_ptr(), &mut length);
    assert_eq!(hex::encode(out), expected);
    assert_eq!(c!(caller, C_DigestUpdate, session, out.as_mut_ptr(), 1), CKR_OPERATION_NOT_INITIALIZED);
    assert_eq!(c!(caller, C_DigestInit, session, &mut plain(CKM_MD5)), CKR_MECHANISM_INVALID);
}

#[test]
fn mechanisms_and_keys_must_fit() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let (public, private) = caller.curve_pair(session, SECP256K1, "k");
    let aes = aes_key(&bench, session);
    let sign = |mechanism, key| c!(caller, C_SignInit, session, &mut plain(mechanism), key);
    assert_eq!(sign(CKM_ECDSA, public), CKR_KEY_TYPE_INCONSISTENT);
    assert_eq!(sign(CKM_ECDSA, aes), CKR_KEY_TYPE_INCONSISTENT);
    assert_eq!(sign(CKM_EDDSA, private), CKR_KEY_TYPE_INCONSISTENT);
    assert_eq!(sign(CKM_SHA256, private), CKR_MECHANISM_INVALID);
    assert_eq!(sign(CKM_RSA_PKCS_PSS, private), CKR_MECHANISM_PARAM_INVALID);
    assert_eq!(sign(CKM_ECDSA, 0), CKR_KEY_HANDLE_INVALID);
    assert_eq!(sign(CKM_ECDSA, CK_ULONG::MAX), CKR_KEY_HANDLE_INVALID);
    let mut junk = [0_u8; 5];
    assert_eq!(
        c!(caller, C_SignInit, session, &mut with_parameter(CKM_ECDSA, &mut junk), private),
        CKR_MECHANISM_PARAM_INVALID
    );
    assert_eq!(c!(caller, C_SignInit, session, null_mut(), private), CKR_ARGUMENTS_BAD);
    assert_eq!(sign(CKM_ECDSA, private), CKR_OK);

    let idle = Template::default().with(CKA_EC_PARAMS, P256).flag(CKA_VERIFY, false);
    let allowed = Template::default().with(CKA_ALLOWED_MECHANISMS, &CKM_ECDSA_SHA256.to_ne_bytes());
    let (public, private) = caller.generate_pair(session, CKM_EC_KEY_PAIR_GEN, idle.clone(), allowed);
    let verify = c!(caller, C_VerifyInit, session, &mut plain(CKM_ECDSA), public);
    assert_eq!(verify, CKR_KEY_FUNCTION_NOT_PERMITTED);
    let other = caller.open(0, 0);
    assert_eq!(c!(caller, C_SignInit, other, &mut plain(CKM_ECDSA), private), CKR_MECHANISM_INVALID);
    assert_eq!(c!(caller, C_SignInit, other, &mut plain(CKM_ECDSA_SHA256), private), CKR_OK);
}

#[test]
fn logging_out_ends_operations_on_keys() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let (_, key) = caller.curve_pair(session, SECP256K1, "k");
    ok!(caller, C_SignInit, session, &mut plain(CKM_ECDSA), key);
    ok!(caller, C_Logout, session);
    let (mut out, mut length) = ([0_u8; 64], 64);
    assert_eq!(
        c!(caller, C_Sign, session, [7; 32].as_mut_ptr(), 32, out.as_mut_ptr(), &mut length),
        CKR_OPERATION_NOT_INITIALIZED
    );
    assert_eq!(c!(caller, C_SignInit, session, &mut plain(CKM_ECDSA), key), CKR_KEY_HANDLE_INVALID);
    assert_eq!(caller.login(session, CKU_USER, USER_PIN), CKR_OK);
    // Handles of private objects do not outlive the login.
    assert_eq!(c!(caller, C_SignInit, session, &mut plain(CKM_ECDSA), key), CKR_KEY_HANDLE_INVALID);
}

#[test]
fn random_bytes_differ_whatever_the_seed() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.open(0, 0);
    let (mut one, mut two) = ([0_u8; 64], [0_u8; 64]);
    ok!(caller, C_GenerateRandom, session, one.as_mut_ptr(), 64);
    ok!(caller, C_GenerateRandom, session, two.as_mut_ptr(), 64);
    assert_ne!(one, two);
    // A seed is taken, and does not decide what comes.
    let mut after = [[0_u8; 64]; 2];
    for bytes in &mut after {
        ok!(caller, C_SeedRandom, session, two.as_mut_ptr(), 64);
        ok!(caller, C_GenerateRandom, session, bytes.as_mut_ptr(), 64);
    }
    assert_ne!(after[0], after[1]);
    assert_eq!(c!(caller, C_SeedRandom, session, null_mut(), 64), CKR_ARGUMENTS_BAD);
    ok!(caller, C_GenerateRandom, session, null_mut(), 0);
    assert_eq!(c!(caller, C_GenerateRandom, session, null_mut(), 1), CKR_ARGUMENTS_BAD);
    assert_eq!(c!(caller, C_GenerateRandom, session, one.as_mut_ptr(), CK_ULONG::MAX), CKR_ARGUMENTS_BAD);
}

#[test]
fn sessions_sign_side_by_side() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let (public, private) = caller.curve_pair(session, SECP256K1, "k");
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            scope.spawn(move || {
                let session = caller.open(0, 0);
                for round in 0..50_u8 {
                    let digest = [thread ^ round.rotate_left(3); 32];
                    let signature = caller.sign(session, &mut plain(CKM_ECDSA), private, &digest).unwrap();
                    assert_eq!(
                        caller.verify(session, &mut plain(CKM_ECDSA), public, &digest, &signature),
                        CKR_OK
                    );
                }
            });
        }
    });
}
