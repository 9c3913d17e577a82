//! Mechanisms through the C interface: NIST's and the standards' own samples, parts, and what each of
//! them refuses.

use std::ptr::null_mut;

use cryptoki_sys::*;
use hsm_sim::{
    CKM_KEYWARD_BIP340, CKM_KEYWARD_HMAC_SM3, CKM_KEYWARD_SM2, CKM_KEYWARD_SM2_KEY_PAIR_GEN,
    CKM_KEYWARD_SM2_SM3, CKM_KEYWARD_SM3,
};

use crate::caller::{Bench, Caller, ED25519, P256, SECP256K1, Template, c, ok, plain, with_parameter};
use crate::steps::{open_secret, secret, with_bytes};
use crate::wrapping::oaep;

pub(crate) const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
pub(crate) const P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
pub(crate) const SM2: &[u8] = &[0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d];

/// NIST SP 800-38A, appendix F: the four blocks of every example.
const NIST_TEXT: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";
const NIST_KEYS: [&str; 3] = [
    "2b7e151628aed2a6abf7158809cf4f3c",
    "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
];

fn hex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

fn counter(block: &str, bits: CK_ULONG) -> CK_AES_CTR_PARAMS {
    CK_AES_CTR_PARAMS { ulCounterBits: bits, cb: hex(block).try_into().unwrap() }
}

#[test]
fn aes_modes_give_the_samples_of_sp_800_38a() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let expected = [
        // F.1.1, F.1.3, F.1.5
        "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4",
        "bd334f1d6e45f25ff712a214571fa5cc974104846d0ad3ad7734ecb3ecee4eefef7afd2270e2e60adce0ba2face6444e9a4b41ba738d6c72fb16691603c18e0e",
        "f3eed1bdb5d2a03c064b5a7e3db181f8591ccb10d410ed26dc5ba74a31362870b6ed21b99ca6f4f9f153e7b1beafed1d23304b7a39f9f3ff067d8d8f9e24ecc7",
        // F.2.1, F.2.3, F.2.5
        "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b273bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
        "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
        "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
        // F.5.1, F.5.3, F.5.5
        "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee",
        "1abc932417521ca24f2b0459fe7e6e0b090339ec0aa6faefd5ccc2c6f4ce8e941e36b26bd1ebc670d1bd1d665620abf74f78a7f6d29809585a97daec58c6b050",
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c52b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6",
    ];
    let text = hex(NIST_TEXT);
    let mut iv = hex("000102030405060708090a0b0c0d0e0f");
    let mut block = counter("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", 128);
    for (place, expected) in expected.iter().enumerate() {
        let key = caller.create(session, open_secret(CKK_AES, &hex(NIST_KEYS[place % 3]))).unwrap();
        let mut how = match place / 3 {
            0 => plain(CKM_AES_ECB),
            1 => with_bytes(CKM_AES_CBC, &mut iv),
            _ => with_parameter(CKM_AES_CTR, &mut block),
        };
        let sealed = caller.encrypt(session, &mut how, key, &text).unwrap();
        assert_eq!(hex::encode(&sealed), *expected, "{place}");
        assert_eq!(caller.decrypt(session, &mut how, key, &sealed), Ok(text.clone()));
        for step in [1, 15, 16, 17, 63] {
            let parts = caller.cipher_in_parts(session, &mut how, key, (&text, step, true));
            assert_eq!(parts, Ok(sealed.clone()), "{place} {step}");
            let parts = caller.cipher_in_parts(session, &mut how, key, (&sealed, step, false));
            assert_eq!(parts, Ok(text.clone()), "{place} {step}");
        }
    }
}

#[test]
fn digests_give_their_standards_samples() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.open(0, 0));
    // FIPS 180-4 and GB/T 32905: "abc".
    for (mechanism, expected) in [
        (CKM_SHA_1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (CKM_SHA224, "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
        (CKM_SHA256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            CKM_SHA384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            CKM_SHA512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (CKM_KEYWARD_SM3, "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
    ] {
        let digest = caller.digest(session, &mut plain(mechanism), b"abc").unwrap();
        assert_eq!(hex::encode(digest), expected, "{mechanism:#x}");
    }
}

#[test]
fn a_digest_takes_in_a_key_that_may_leave_and_no_other() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let leaves = caller.create(session, open_secret(CKK_GENERIC_SECRET, b"bc")).unwrap();
    let stays = caller.create(session, secret(CKK_GENERIC_SECRET, b"bc")).unwrap();
    ok!(caller, C_DigestInit, session, &mut plain(CKM_SHA256));
    ok!(caller, C_DigestUpdate, session, b"a".as_ptr().cast_mut(), 1);
    ok!(caller, C_DigestKey, session, leaves);
    let (mut out, mut length) = ([0; 32], 32);
    ok!(caller, C_DigestFinal, session, out.as_mut_ptr(), &mut length);
    assert_eq!(hex::encode(out), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ok!(caller, C_DigestInit, session, &mut plain(CKM_SHA256));
    assert_eq!(c!(caller, C_DigestKey, session, stays), CKR_KEY_INDIGESTIBLE);
    assert_eq!(c!(caller, C_DigestKey, session, leaves), CKR_OPERATION_NOT_INITIALIZED);
}

/// A public key on the SM2 curve from its coordinates.
fn sm2_public(caller: &Caller, session: CK_SESSION_HANDLE, x: &str, y: &str) -> CK_OBJECT_HANDLE {
    let point = [vec![0x04, 0x41, 0x04], hex(x), hex(y)].concat();
    let template = Template::default().number(CKA_CLASS, CKO_PUBLIC_KEY).number(CKA_KEY_TYPE, CKK_EC);
    caller.create(session, template.with(CKA_EC_PARAMS, SM2).with(CKA_EC_POINT, &point)).unwrap()
}

#[test]
fn sm2_accepts_the_sample_of_its_standard() {
    // GM/T 0003.5, section A.2: identifier 1234567812345678, message "message digest".
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let key = sm2_public(
        caller,
        session,
        "09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020",
        "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13",
    );
    let signature = hex(
        "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa",
    );
    let e = hex("f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640");
    let mut id = *b"1234567812345678";
    let verify = |how: &mut CK_MECHANISM, data: &[u8]| caller.verify(session, how, key, data, &signature);
    assert_eq!(verify(&mut plain(CKM_KEYWARD_SM2), &e), CKR_OK);
    assert_eq!(verify(&mut plain(CKM_KEYWARD_SM2_SM3), b"message digest"), CKR_OK);
    assert_eq!(verify(&mut with_bytes(CKM_KEYWARD_SM2_SM3, &mut id), b"message digest"), CKR_OK);
    id[0] ^= 1;
    assert_eq!(
        verify(&mut with_bytes(CKM_KEYWARD_SM2_SM3, &mut id), b"message digest"),
        CKR_SIGNATURE_INVALID
    );
    assert_eq!(verify(&mut plain(CKM_KEYWARD_SM2_SM3), b"message digesu"), CKR_SIGNATURE_INVALID);
    assert_eq!(verify(&mut plain(CKM_KEYWARD_SM2), &e[..31]), CKR_DATA_LEN_RANGE);
}

#[test]
fn sm2_keys_sign_and_other_keys_and_mechanisms_stay_away() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let made = Template::default;
    let (public, private) = caller.generate_pair(session, CKM_KEYWARD_SM2_KEY_PAIR_GEN, made(), made());
    assert_eq!(caller.attribute(session, public, CKA_EC_PARAMS).as_deref(), Ok(SM2));
    assert_eq!(caller.attribute(session, public, CKA_EC_POINT).unwrap().len(), 67);
    for (how, data) in [(CKM_KEYWARD_SM2, &[5; 32][..]), (CKM_KEYWARD_SM2_SM3, b"a message")] {
        let mut signature = caller.sign(session, &mut plain(how), private, data).unwrap();
        assert_eq!(signature.len(), 64);
        assert_eq!(caller.verify(session, &mut plain(how), public, data, &signature), CKR_OK);
        signature[9] ^= 1;
        assert_eq!(caller.verify(session, &mut plain(how), public, data, &signature), CKR_SIGNATURE_INVALID);
    }
    let (_, other) = caller.curve_pair(session, P256, "p256");
    let init = |mechanism, key| c!(caller, C_SignInit, session, &mut plain(mechanism), key);
    assert_eq!(init(CKM_KEYWARD_SM2, other), CKR_KEY_TYPE_INCONSISTENT);
    assert_eq!(init(CKM_ECDSA, private), CKR_KEY_TYPE_INCONSISTENT);
    assert_eq!(init(CKM_KEYWARD_BIP340, private), CKR_KEY_TYPE_INCONSISTENT);
    let mut long = vec![b'i'; 8192];
    let how = &mut with_bytes(CKM_KEYWARD_SM2_SM3, &mut long);
    assert_eq!(c!(caller, C_SignInit, session, how, private), CKR_MECHANISM_PARAM_INVALID);
    let mut wrong = made().with(CKA_EC_PARAMS, P256);
    let (mut first, mut second) = (0, 0);
    let (public, count) = wrong.raw();
    let how = &mut plain(CKM_KEYWARD_SM2_KEY_PAIR_GEN);
    let code =
        c!(caller, C_GenerateKeyPair, session, how, public, count, null_mut(), 0, &mut first, &mut second);
    assert_eq!(code, CKR_CURVE_NOT_SUPPORTED);
}

#[test]
fn ecdsa_on_every_curve_with_every_hash() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    for (params, bytes) in [(SECP256K1, 64), (P256, 64), (P384, 96), (P521, 132)] {
        let (public, private) = caller.curve_pair(session, params, "k");
        for mechanism in [CKM_ECDSA_SHA224, CKM_ECDSA_SHA256, CKM_ECDSA_SHA384, CKM_ECDSA_SHA512] {
            let signature = caller.sign(session, &mut plain(mechanism), private, b"message").unwrap();
            assert_eq!(signature.len(), bytes);
            assert_eq!(caller.verify(session, &mut plain(mechanism), public, b"message", &signature), CKR_OK);
            // The same digest made outside: CKM_ECDSA takes it, whatever its length.
            let digest = match mechanism {
                CKM_ECDSA_SHA224 => CKM_SHA224,
                CKM_ECDSA_SHA256 => CKM_SHA256,
                CKM_ECDSA_SHA384 => CKM_SHA384,
                _ => CKM_SHA512,
            };
            let digest = caller.digest(session, &mut plain(digest), b"message").unwrap();
            let code = caller.verify(session, &mut plain(CKM_ECDSA), public, &digest, &signature);
            assert_eq!(code, CKR_OK, "{params:?} {mechanism:#x}");
        }
    }
}

#[test]
fn deterministic_signatures_are_those_of_rfc_6979() {
    // RFC 6979, A.2.6 and A.2.7: message "sample", SHA-384 on P-384 and SHA-512 on P-521.
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    for (params, mechanism, value, expected) in [
        (
            P384,
            CKM_ECDSA_SHA384,
            "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5",
            "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe4699ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8",
        ),
        (
            P521,
            CKM_ECDSA_SHA512,
            "00fad06daa62ba3b25d2fb40133da757205de67f5bb0018fee8c86e1b68c7e75caa896eb32f1f47c70855836a6d16fcc1466f6d8fbec67db89ec0c08b0e996b83538",
            "00c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f174e25a1ee9017b5d450606add152b534931d7d4e8455cc91f9b15bf05ec36e377fa00617cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308281b68af282623eaa63e5b5c0723d8b8c37ff0777b1a20f8ccb1dccc43997f1ee0e44da4a67a",
        ),
    ] {
        let template = Template::default().number(CKA_CLASS, CKO_PRIVATE_KEY).number(CKA_KEY_TYPE, CKK_EC);
        let template = template.with(CKA_EC_PARAMS, params).with(CKA_VALUE, &hex(value));
        let key = caller.create(session, template).unwrap();
        let signature = caller.sign(session, &mut plain(mechanism), key, b"sample").unwrap();
        assert_eq!(hex::encode(signature), expected);
    }
}

#[test]
fn counters_do_not_start_over() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let key = caller.create(session, open_secret(CKK_AES, &[1; 16])).unwrap();
    // Two blocks are left of an 8-bit counter at 254.
    let mut block = counter("000000000000000000000000000000fe", 8);
    let how = &mut with_parameter(CKM_AES_CTR, &mut block);
    assert_eq!(caller.encrypt(session, how, key, &[0; 32]).unwrap().len(), 32);
    assert_eq!(caller.encrypt(session, how, key, &[0; 33]), Err(CKR_DATA_LEN_RANGE));
    for bits in [0, 129, CK_ULONG::MAX] {
        let mut block = counter("000000000000000000000000000000fe", bits);
        let how = &mut with_parameter(CKM_AES_CTR, &mut block);
        assert_eq!(caller.encrypt(session, how, key, &[0; 1]), Err(CKR_MECHANISM_PARAM_INVALID));
    }
}

#[test]
fn parts_keep_their_state_over_small_buffers_and_lose_it_over_errors() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let key = caller.create(session, open_secret(CKK_AES, &[1; 16])).unwrap();
    let (mut out, mut length, mut text) = ([0_u8; 64], 15, [3_u8; 40]);
    let mut iv = [0; 16];
    let how = &mut with_bytes(CKM_AES_CBC_PAD, &mut iv);
    ok!(caller, C_EncryptInit, session, how, key);
    assert_eq!(c!(caller, C_EncryptInit, session, how, key), CKR_OPERATION_ACTIVE);
    // The part does not count before there is room for what comes of it.
    for _ in 0..2 {
        let code = c!(caller, C_EncryptUpdate, session, text.as_mut_ptr(), 40, out.as_mut_ptr(), &mut length);
        assert_eq!((code, length), (CKR_BUFFER_TOO_SMALL, 32));
        length = 15;
    }
    length = 64;
    ok!(caller, C_EncryptUpdate, session, text.as_mut_ptr(), 40, out.as_mut_ptr(), &mut length);
    assert_eq!(length, 32);
    length = 1;
    assert_eq!(c!(caller, C_EncryptFinal, session, out.as_mut_ptr(), &mut length), CKR_BUFFER_TOO_SMALL);
    assert_eq!(length, 16);
    ok!(caller, C_EncryptFinal, session, out.as_mut_ptr(), &mut length);
    let code = c!(caller, C_EncryptFinal, session, out.as_mut_ptr(), &mut length);
    assert_eq!(code, CKR_OPERATION_NOT_INITIALIZED);

    // No part after the end has been asked for, and no call for the whole after a part.
    ok!(caller, C_EncryptInit, session, how, key);
    length = 0;
    ok!(caller, C_EncryptFinal, session, null_mut(), &mut length);
    length = 64;
    let code = c!(caller, C_EncryptUpdate, session, text.as_mut_ptr(), 1, out.as_mut_ptr(), &mut length);
    assert_eq!(code, CKR_OPERATION_ACTIVE);
    // Nor a whole: the nonce would serve twice.
    ok!(caller, C_EncryptInit, session, how, key);
    length = 0;
    ok!(caller, C_EncryptFinal, session, null_mut(), &mut length);
    length = 64;
    let code = c!(caller, C_Encrypt, session, text.as_mut_ptr(), 1, out.as_mut_ptr(), &mut length);
    assert_eq!(code, CKR_OPERATION_ACTIVE);
    ok!(caller, C_EncryptInit, session, how, key);
    ok!(caller, C_EncryptUpdate, session, text.as_mut_ptr(), 1, out.as_mut_ptr(), &mut length);
    length = 64;
    let code = c!(caller, C_Encrypt, session, text.as_mut_ptr(), 1, out.as_mut_ptr(), &mut length);
    assert_eq!(code, CKR_OPERATION_ACTIVE);
    ok!(caller, C_EncryptInit, session, how, key);

    // Without a mechanism what is active ends, as in PKCS#11 v3.0.
    ok!(caller, C_EncryptInit, session, null_mut(), 0);
    assert_eq!(c!(caller, C_EncryptInit, session, null_mut(), 0), CKR_ARGUMENTS_BAD);
    length = 64;
    let code = c!(caller, C_EncryptUpdate, session, text.as_mut_ptr(), 1, out.as_mut_ptr(), &mut length);
    assert_eq!(code, CKR_OPERATION_NOT_INITIALIZED);
    assert_eq!(c!(caller, C_DecryptFinal, session, out.as_mut_ptr(), &mut length), code);
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let key = caller.create(session, open_secret(CKK_AES, &[1; 24])).unwrap();
    let mut iv = [0; 16];
    for mechanism in [CKM_AES_ECB, CKM_AES_CBC] {
        let mut how = match mechanism {
            CKM_AES_ECB => plain(mechanism),
            _ => with_bytes(mechanism, &mut iv),
        };
        assert_eq!(caller.encrypt(session, &mut how, key, &[0; 17]), Err(CKR_DATA_LEN_RANGE));
        assert_eq!(caller.decrypt(session, &mut how, key, &[0; 17]), Err(CKR_ENCRYPTED_DATA_LEN_RANGE));
        let parts = caller.cipher_in_parts(session, &mut how, key, (&[0; 17], 16, true));
        assert_eq!(parts, Err(CKR_DATA_LEN_RANGE));
        let parts = caller.cipher_in_parts(session, &mut how, key, (&[0; 17], 16, false));
        assert_eq!(parts, Err(CKR_ENCRYPTED_DATA_LEN_RANGE));
    }
    let how = &mut with_bytes(CKM_AES_CBC_PAD, &mut iv);
    for bytes in [0, 15] {
        let opened = caller.decrypt(session, how, key, &vec![0; bytes]);
        assert_eq!(opened, Err(CKR_ENCRYPTED_DATA_LEN_RANGE));
    }
    for wrong in [0, 15, 17] {
        let mut iv = vec![0; wrong];
        let how = &mut with_bytes(CKM_AES_CBC, &mut iv);
        assert_eq!(c!(caller, C_EncryptInit, session, how, key), CKR_MECHANISM_PARAM_INVALID);
    }
    let mut given = [0; 16];
    let how = &mut with_bytes(CKM_AES_ECB, &mut given);
    assert_eq!(c!(caller, C_EncryptInit, session, how, key), CKR_MECHANISM_PARAM_INVALID);
    assert_eq!(c!(caller, C_EncryptInit, session, &mut plain(CKM_SHA256), key), CKR_MECHANISM_INVALID);
}

#[test]
fn a_key_does_only_what_it_permits() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let uses = [CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE];
    let none = uses.into_iter().fold(secret(CKK_AES, &[1; 16]), |template, one| template.flag(one, false));
    let key = caller.create(session, none).unwrap();
    let wrapped = caller.create(session, open_secret(CKK_AES, &[2; 16])).unwrap();
    let refused = CKR_KEY_FUNCTION_NOT_PERMITTED;
    assert_eq!(c!(caller, C_EncryptInit, session, &mut plain(CKM_AES_ECB), key), refused);
    assert_eq!(c!(caller, C_DecryptInit, session, &mut plain(CKM_AES_ECB), key), refused);
    assert_eq!(c!(caller, C_SignInit, session, &mut plain(CKM_AES_CMAC), key), refused);
    assert_eq!(c!(caller, C_VerifyInit, session, &mut plain(CKM_AES_CMAC), key), refused);
    assert_eq!(caller.wrap(session, &mut plain(CKM_AES_KEY_WRAP), key, wrapped), Err(refused));
    let template = || Template::default().number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_AES);
    let how = &mut plain(CKM_AES_KEY_WRAP);
    assert_eq!(caller.unwrap(session, how, key, &[0; 24], template()), Err(refused));
    let mut text = [0; 16];
    let mut data = CK_KEY_DERIVATION_STRING_DATA { pData: text.as_mut_ptr(), ulLen: 16 };
    let how = &mut with_parameter(CKM_AES_ECB_ENCRYPT_DATA, &mut data);
    assert_eq!(caller.derive(session, how, key, template()), Err(refused));
    // Allowed mechanisms bind wrapping too.
    let only = open_secret(CKK_AES, &[3; 16]).with(CKA_ALLOWED_MECHANISMS, &CKM_AES_ECB.to_ne_bytes());
    let only = caller.create(session, only).unwrap();
    let code = caller.wrap(session, &mut plain(CKM_AES_KEY_WRAP), only, wrapped);
    assert_eq!(code, Err(CKR_MECHANISM_INVALID));
}

#[test]
fn every_mechanism_of_the_list_has_an_entry_and_junk_parameters_never_crash() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let mut count = 0;
    ok!(caller, C_GetMechanismList, 0, null_mut(), &mut count);
    let mut list = vec![0; count as usize];
    ok!(caller, C_GetMechanismList, 0, list.as_mut_ptr(), &mut count);
    assert_eq!(list.iter().collect::<std::collections::BTreeSet<_>>().len(), list.len());
    let aes = caller.create(session, open_secret(CKK_AES, &[1; 16])).unwrap();
    let generic = caller.create(session, open_secret(CKK_GENERIC_SECRET, &[1; 16])).unwrap();
    let (public, private) = caller.curve_pair(session, SECP256K1, "k");
    for mechanism in list {
        let mut info = CK_MECHANISM_INFO::default();
        ok!(caller, C_GetMechanismInfo, 0, mechanism, &mut info);
        assert!(info.flags != 0 && info.ulMinKeySize <= info.ulMaxKeySize);
        let class = [(CKF_SIGN, CKF_VERIFY), (CKF_ENCRYPT, CKF_DECRYPT), (CKF_WRAP, CKF_UNWRAP)];
        assert!(class.iter().all(|(one, other)| (info.flags & one != 0) == (info.flags & other != 0)));
        for junk in 1..80 {
            let mut zeros = vec![0_u8; junk];
            for key in [aes, generic, public, private] {
                let how = &mut with_bytes(mechanism, &mut zeros);
                for code in [
                    c!(caller, C_SignInit, session, how, key),
                    c!(caller, C_EncryptInit, session, how, key),
                    c!(caller, C_DecryptInit, session, how, key),
                    caller.wrap(session, how, key, aes).err().unwrap_or(CKR_OK),
                    caller.derive(session, how, key, Template::default()).err().unwrap_or(CKR_OK),
                ] {
                    assert_ne!(code, CKR_GENERAL_ERROR, "{mechanism:#x} {junk}");
                }
                for cancel in [
                    c!(caller, C_SignInit, session, null_mut(), 0),
                    c!(caller, C_EncryptInit, session, null_mut(), 0),
                    c!(caller, C_DecryptInit, session, null_mut(), 0),
                ] {
                    assert!(cancel == CKR_OK || cancel == CKR_ARGUMENTS_BAD);
                }
            }
        }
    }
    assert_eq!(
        c!(caller, C_GetMechanismInfo, 0, CKM_MD5, &mut CK_MECHANISM_INFO::default()),
        CKR_MECHANISM_INVALID
    );
    let how = &mut plain(CKM_KEYWARD_HMAC_SM3);
    assert_eq!(c!(caller, C_SignInit, session, how, aes), CKR_KEY_TYPE_INCONSISTENT);
}

#[test]
fn null_pointers_and_absurd_lengths_in_parameters_are_refused() {
    let bench = Bench::new();
    let (caller, session) = (&bench.caller, bench.caller.user_session());
    let aes = caller.create(session, open_secret(CKK_AES, &[1; 16])).unwrap();
    let (_, ed) = caller.curve_pair(session, ED25519, "ed");
    let pair = Template::default().with(CKA_EC_PARAMS, P256);
    let derives = Template::default().flag(CKA_DERIVE, true);
    let (_, ec) = caller.generate_pair(session, CKM_EC_KEY_PAIR_GEN, pair, derives);
    let rsa = Template::default().number(CKA_MODULUS_BITS, 1024).flag(CKA_WRAP, true);
    let (rsa, _) = caller.generate_pair(session, CKM_RSA_PKCS_KEY_PAIR_GEN, rsa, Template::default());
    let invalid = CKR_MECHANISM_PARAM_INVALID;
    for length in [1, 16, CK_ULONG::MAX] {
        let derive = |how: &mut CK_MECHANISM, key| caller.derive(session, how, key, Template::default());
        let mut ecdh = CK_ECDH1_DERIVE_PARAMS {
            kdf: CKD_SHA256_KDF,
            ulSharedDataLen: 0,
            pSharedData: null_mut(),
            ulPublicDataLen: length,
            pPublicData: null_mut(),
        };
        assert_eq!(derive(&mut with_parameter(CKM_ECDH1_DERIVE, &mut ecdh), ec), Err(invalid));
        ecdh = CK_ECDH1_DERIVE_PARAMS { ulSharedDataLen: length, ulPublicDataLen: 0, ..ecdh };
        assert_eq!(derive(&mut with_parameter(CKM_ECDH1_DERIVE, &mut ecdh), ec), Err(invalid));
        let mut text = CK_KEY_DERIVATION_STRING_DATA { pData: null_mut(), ulLen: length };
        assert_eq!(derive(&mut with_parameter(CKM_AES_ECB_ENCRYPT_DATA, &mut text), aes), Err(invalid));
        let mut text = CK_AES_CBC_ENCRYPT_DATA_PARAMS { iv: [0; 16], pData: null_mut(), length };
        assert_eq!(derive(&mut with_parameter(CKM_AES_CBC_ENCRYPT_DATA, &mut text), aes), Err(invalid));
        let mut eddsa = CK_EDDSA_PARAMS { phFlag: 0, ulContextDataLen: length, pContextData: null_mut() };
        let how = &mut with_parameter(CKM_EDDSA, &mut eddsa);
        assert_eq!(c!(caller, C_SignInit, session, how, ed), invalid);
        let mut inner =
            CK_RSA_PKCS_OAEP_PARAMS { ulSourceDataLen: length, ..oaep(CKM_SHA256, CKG_MGF1_SHA256) };
        let mut both = CK_RSA_AES_KEY_WRAP_PARAMS { ulAESKeyBits: 256, pOAEPParams: &mut inner };
        let how = &mut with_parameter(CKM_RSA_AES_KEY_WRAP, &mut both);
        assert_eq!(caller.wrap(session, how, rsa, aes), Err(invalid));
        both.pOAEPParams = null_mut();
        let how = &mut with_parameter(CKM_RSA_AES_KEY_WRAP, &mut both);
        assert_eq!(caller.wrap(session, how, rsa, aes), Err(invalid));
        let how =
            &mut CK_MECHANISM { mechanism: CKM_AES_CBC, pParameter: null_mut(), ulParameterLen: length };
        assert_eq!(c!(caller, C_EncryptInit, session, how, aes), invalid);
    }
    for bits in [0, 64, 255, CK_ULONG::MAX] {
        let mut inner = oaep(CKM_SHA256, CKG_MGF1_SHA256);
        let mut both = CK_RSA_AES_KEY_WRAP_PARAMS { ulAESKeyBits: bits, pOAEPParams: &mut inner };
        let how = &mut with_parameter(CKM_RSA_AES_KEY_WRAP, &mut both);
        assert_eq!(caller.wrap(session, how, rsa, aes), Err(invalid));
    }
    // Ed25519 has neither prehash nor context here.
    let mut context = [1];
    for (prehashed, length) in [(1, 0), (0, 1)] {
        let pointer = context.as_mut_ptr();
        let mut eddsa =
            CK_EDDSA_PARAMS { phFlag: prehashed, ulContextDataLen: length, pContextData: pointer };
        let how = &mut with_parameter(CKM_EDDSA, &mut eddsa);
        assert_eq!(c!(caller, C_SignInit, session, how, ed), invalid);
    }

    // The calls' own pointers.
    let (how, bad) = (&mut plain(CKM_AES_KEY_WRAP), CKR_ARGUMENTS_BAD);
    let (mut out, mut length, mut made) = ([0; 24], 24, 0);
    let bytes = out.as_mut_ptr();
    assert_eq!(c!(caller, C_WrapKey, session, how, aes, aes, bytes, null_mut()), bad);
    assert_eq!(c!(caller, C_WrapKey, session, null_mut(), aes, aes, bytes, &mut length), bad);
    assert_eq!(c!(caller, C_UnwrapKey, session, how, aes, bytes, 24, null_mut(), 0, null_mut()), bad);
    assert_eq!(c!(caller, C_UnwrapKey, session, how, aes, null_mut(), 24, null_mut(), 0, &mut made), bad);
    assert_eq!(
        c!(caller, C_UnwrapKey, session, how, aes, bytes, CK_ULONG::MAX, null_mut(), 0, &mut made),
        bad
    );
    assert_eq!(c!(caller, C_UnwrapKey, session, how, aes, bytes, 24, null_mut(), 3, &mut made), bad);
    assert_eq!(c!(caller, C_DeriveKey, session, how, aes, null_mut(), 0, null_mut()), bad);
    assert_eq!(c!(caller, C_DeriveKey, session, null_mut(), aes, null_mut(), 0, &mut made), bad);
    length = 23;
    assert_eq!(c!(caller, C_WrapKey, session, how, aes, aes, bytes, &mut length), CKR_BUFFER_TOO_SMALL);
    assert_eq!(length, 24);
    ok!(caller, C_WrapKey, session, how, aes, aes, bytes, &mut length);
}
