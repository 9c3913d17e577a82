//! Callers that are wrong: null pointers, absurd lengths, invented handles, random templates and parameters.

use std::ptr::null_mut;

use cryptoki_sys::*;

use crate::caller::{Bench, ED25519, P256, SECP256K1, Template, c, plain};

/// A seeded generator (xorshift64*). The seed is printed; `HSM_SIM_SEED` sets it.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        let fresh = || getrandom::u64().unwrap();
        let seed =
            std::env::var("HSM_SIM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(fresh);
        println!("HSM_SIM_SEED={seed}");
        Self(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound.max(1)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        (self.next() >> 40) as u8
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn bytes(&mut self, bound: usize) -> Vec<u8> {
        (0..self.below(bound)).map(|_| self.byte()).collect()
    }
}

#[test]
fn null_pointers_and_absurd_lengths_are_refused() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let (public, private) = caller.curve_pair(session, P256, "k");
    let bad = CKR_ARGUMENTS_BAD;
    let (mut byte, mut number, mut handle) = (0_u8, 0, 0);
    let huge = CK_ULONG::MAX;
    assert_eq!(c!(caller, C_GetInfo, null_mut()), bad);
    assert_eq!(c!(caller, C_GetSlotList, 1, null_mut(), null_mut()), bad);
    assert_eq!(c!(caller, C_GetSlotInfo, 0, null_mut()), bad);
    assert_eq!(c!(caller, C_GetTokenInfo, 0, null_mut()), bad);
    assert_eq!(c!(caller, C_GetMechanismList, 0, null_mut(), null_mut()), bad);
    assert_eq!(c!(caller, C_GetMechanismInfo, 0, CKM_ECDSA, null_mut()), bad);
    assert_eq!(c!(caller, C_InitToken, 1, null_mut(), 4, &mut byte), bad);
    assert_eq!(c!(caller, C_InitToken, 1, &mut byte, 1, null_mut()), bad);
    assert_eq!(c!(caller, C_InitToken, 1, &mut byte, huge, [b' '; 32].as_mut_ptr()), bad);
    assert_eq!(c!(caller, C_InitPIN, session, null_mut(), 4), bad);
    assert_eq!(c!(caller, C_SetPIN, session, null_mut(), 4, &mut byte, 1), bad);
    assert_eq!(c!(caller, C_OpenSession, 0, CKF_SERIAL_SESSION, null_mut(), None, null_mut()), bad);
    assert_eq!(c!(caller, C_GetSessionInfo, session, null_mut()), bad);
    assert_eq!(c!(caller, C_Login, session, CKU_USER, null_mut(), 4), bad);
    assert_eq!(c!(caller, C_Login, session, CKU_USER, &mut byte, huge), bad);
    assert_eq!(c!(caller, C_CreateObject, session, null_mut(), 1, &mut handle), bad);
    assert_eq!(c!(caller, C_CreateObject, session, null_mut(), huge, &mut handle), bad);
    assert_eq!(c!(caller, C_CreateObject, session, null_mut(), 0, null_mut()), bad);
    assert_eq!(c!(caller, C_GetObjectSize, session, public, null_mut()), bad);
    assert_eq!(c!(caller, C_GetAttributeValue, session, public, null_mut(), 1), bad);
    assert_eq!(c!(caller, C_SetAttributeValue, session, public, null_mut(), 1), bad);
    assert_eq!(c!(caller, C_FindObjectsInit, session, null_mut(), 1), bad);
    assert_eq!(c!(caller, C_FindObjectsInit, session, null_mut(), 0), CKR_OK);
    assert_eq!(c!(caller, C_FindObjects, session, null_mut(), 1, &mut number), bad);
    assert_eq!(c!(caller, C_FindObjects, session, &mut handle, 1, null_mut()), bad);
    assert_eq!(c!(caller, C_GenerateKey, session, null_mut(), null_mut(), 0, &mut handle), bad);
    let pair = |first: *mut CK_ULONG, second: *mut CK_ULONG| {
        let mut mechanism = plain(CKM_EC_KEY_PAIR_GEN);
        c!(caller, C_GenerateKeyPair, session, &mut mechanism, null_mut(), 0, null_mut(), 0, first, second)
    };
    assert_eq!(pair(null_mut(), &mut handle), bad);
    assert_eq!(pair(&mut handle, null_mut()), bad);
    assert_eq!(c!(caller, C_SignInit, session, &mut plain(CKM_ECDSA_SHA256), private), CKR_OK);
    assert_eq!(c!(caller, C_SignUpdate, session, null_mut(), 1), bad);
    assert_eq!(c!(caller, C_SignInit, session, &mut plain(CKM_ECDSA_SHA256), private), CKR_OK);
    assert_eq!(c!(caller, C_SignUpdate, session, &mut byte, huge), bad);
    assert_eq!(c!(caller, C_VerifyInit, session, &mut plain(CKM_ECDSA_SHA256), public), CKR_OK);
    assert_eq!(c!(caller, C_Verify, session, &mut byte, 1, null_mut(), 64), bad);
    assert_eq!(c!(caller, C_DigestInit, session, null_mut()), bad);
    let mut lying = CK_ATTRIBUTE { type_: CKA_LABEL, pValue: null_mut(), ulValueLen: 5 };
    assert_eq!(c!(caller, C_FindObjectsFinal, session), CKR_OK);
    assert_eq!(c!(caller, C_FindObjectsInit, session, &mut lying, 1), CKR_ATTRIBUTE_VALUE_INVALID);
    lying.ulValueLen = huge;
    assert_eq!(c!(caller, C_CreateObject, session, &mut lying, 1, &mut handle), CKR_ATTRIBUTE_VALUE_INVALID);
}

/// Linux copies for the library and says what cannot be read or written.
#[cfg(target_os = "linux")]
#[test]
fn pointers_that_lead_nowhere_are_refused() {
    static READ_ONLY: [CK_ULONG; 32] = [3; 32];
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let (public, private) = caller.curve_pair(session, P256, "k");
    let bad = CKR_ARGUMENTS_BAD;
    let (mut digest, mut out, mut length) = ([7_u8; 32], [0_u8; 64], 64);
    for nowhere in [8_usize, 0xdead_beef_0000, usize::MAX - 4096, usize::MAX - 100, 1 << 63, usize::MAX] {
        let bytes = std::ptr::without_provenance_mut::<u8>(nowhere);
        let (numbers, entries) = (bytes.cast::<CK_ULONG>(), bytes.cast::<CK_ATTRIBUTE>());
        let codes = [
            c!(caller, C_GetInfo, bytes.cast()),
            c!(caller, C_GetSlotList, 0, null_mut(), numbers),
            c!(caller, C_GetSlotList, 0, numbers, &mut 9),
            c!(caller, C_GetTokenInfo, 0, bytes.cast()),
            c!(caller, C_InitToken, 1, bytes, 8, bytes),
            c!(caller, C_OpenSession, 0, CKF_SERIAL_SESSION, null_mut(), None, numbers),
            c!(caller, C_Login, session, CKU_SO, bytes, 8),
            c!(caller, C_CreateObject, session, entries, 3, &mut 0),
            c!(caller, C_CreateObject, session, null_mut(), 0, numbers),
            c!(caller, C_GetAttributeValue, session, public, entries, 2),
            c!(caller, C_FindObjectsInit, session, entries, 2),
            c!(caller, C_GenerateKey, session, bytes.cast(), null_mut(), 0, &mut 0),
            c!(caller, C_SignInit, session, bytes.cast(), private),
            c!(caller, C_GenerateRandom, session, bytes, 32),
            c!(caller, C_WaitForSlotEvent, CKF_DONT_BLOCK, null_mut(), null_mut()),
        ];
        assert_eq!(codes, [bad; 15], "{nowhere:#x}");
        let mut lying = CK_ATTRIBUTE { type_: CKA_LABEL, pValue: bytes.cast(), ulValueLen: 8 };
        assert_eq!(c!(caller, C_FindObjectsInit, session, &mut lying, 1), CKR_ATTRIBUTE_VALUE_INVALID);
        assert_eq!(c!(caller, C_GetAttributeValue, session, public, &mut lying, 1), bad);
        assert_eq!(lying.ulValueLen, CK_UNAVAILABLE_INFORMATION);
        let mut mechanism =
            CK_MECHANISM { mechanism: CKM_RSA_PKCS_PSS, pParameter: bytes.cast(), ulParameterLen: 24 };
        assert_eq!(c!(caller, C_SignInit, session, &mut mechanism, private), CKR_MECHANISM_PARAM_INVALID);
        let signs = |data: *mut u8, to: *mut u8, length: *mut CK_ULONG| {
            assert_eq!(c!(caller, C_SignInit, session, &mut plain(CKM_ECDSA), private), CKR_OK);
            c!(caller, C_Sign, session, data, 32, to, length)
        };
        assert_eq!(signs(bytes, out.as_mut_ptr(), &mut length), bad);
        assert_eq!(signs(digest.as_mut_ptr(), bytes, &mut length), bad);
        assert_eq!(signs(digest.as_mut_ptr(), out.as_mut_ptr(), numbers), bad);
    }
    // Memory that can only be read is no place for an answer.
    let fixed = READ_ONLY.as_ptr().cast_mut();
    assert_eq!(c!(caller, C_GetTokenInfo, 0, fixed.cast()), bad);
    assert_eq!(c!(caller, C_GenerateRandom, session, fixed.cast(), 32), bad);
    assert_eq!(c!(caller, C_CreateObject, session, null_mut(), 0, fixed), bad);
    // A length that runs over the end of what there is.
    assert_eq!(c!(caller, C_DigestInit, session, &mut plain(CKM_SHA256)), CKR_OK);
    let beyond = c!(caller, C_DigestUpdate, session, digest.as_mut_ptr(), 1 << 27);
    assert_eq!(beyond, bad);
    let count = caller.find(session, Template::default()).len();
    assert_eq!(count, 2, "nothing was made whose handle could not be handed over");
}

#[test]
fn invented_sessions_are_refused_everywhere() {
    let bench = Bench::new();
    let caller = &bench.caller;
    for session in [0, 1, 12_345, CK_ULONG::MAX] {
        let (mut byte, mut number) = (0_u8, 1);
        let mut mechanism = plain(CKM_ECDSA);
        let mechanism: *mut CK_MECHANISM = &mut mechanism;
        let codes = [
            c!(caller, C_CloseSession, session),
            c!(caller, C_Login, session, CKU_USER, &mut byte, 1),
            c!(caller, C_Logout, session),
            c!(caller, C_InitPIN, session, &mut byte, 1),
            c!(caller, C_SetPIN, session, &mut byte, 1, &mut byte, 1),
            c!(caller, C_CreateObject, session, null_mut(), 0, &mut number),
            c!(caller, C_DestroyObject, session, 1),
            c!(caller, C_CopyObject, session, 1, null_mut(), 0, &mut number),
            c!(caller, C_GetObjectSize, session, 1, &mut number),
            c!(caller, C_GetAttributeValue, session, 1, null_mut(), 0),
            c!(caller, C_SetAttributeValue, session, 1, null_mut(), 0),
            c!(caller, C_FindObjectsInit, session, null_mut(), 0),
            c!(caller, C_FindObjectsFinal, session),
            c!(caller, C_SignInit, session, mechanism, 1),
            c!(caller, C_VerifyInit, session, mechanism, 1),
            c!(caller, C_EncryptInit, session, mechanism, 1),
            c!(caller, C_DecryptInit, session, mechanism, 1),
            c!(caller, C_DigestInit, session, mechanism),
            c!(caller, C_SignUpdate, session, &mut byte, 1),
            c!(caller, C_VerifyFinal, session, &mut byte, 1),
            c!(caller, C_Digest, session, &mut byte, 1, &mut byte, &mut number),
            c!(caller, C_GenerateRandom, session, &mut byte, 1),
            c!(caller, C_SeedRandom, session, &mut byte, 1),
        ];
        assert_eq!(codes, [CKR_SESSION_HANDLE_INVALID; 23], "session {session}");
    }
}

const ATTRIBUTES: [CK_ATTRIBUTE_TYPE; 30] = [
    CKA_CLASS,
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_LABEL,
    CKA_APPLICATION,
    CKA_VALUE,
    CKA_CERTIFICATE_TYPE,
    CKA_KEY_TYPE,
    CKA_ID,
    CKA_SENSITIVE,
    CKA_ENCRYPT,
    CKA_DECRYPT,
    CKA_WRAP,
    CKA_SIGN,
    CKA_VERIFY,
    CKA_DERIVE,
    CKA_MODULUS,
    CKA_MODULUS_BITS,
    CKA_PUBLIC_EXPONENT,
    CKA_PRIVATE_EXPONENT,
    CKA_PRIME_1,
    CKA_PRIME_2,
    CKA_VALUE_LEN,
    CKA_EXTRACTABLE,
    CKA_LOCAL,
    CKA_MODIFIABLE,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_ALLOWED_MECHANISMS,
    CKA_VENDOR_DEFINED,
];
const NUMBERS: [CK_ULONG; 14] = [
    CKO_DATA,
    CKO_PUBLIC_KEY,
    CKO_PRIVATE_KEY,
    CKO_SECRET_KEY,
    CKO_CERTIFICATE,
    CKK_RSA,
    CKK_EC,
    CKK_AES,
    CKK_GENERIC_SECRET,
    CKK_EC_EDWARDS,
    32,
    33,
    1 << 40,
    CK_ULONG::MAX,
];
const MECHANISMS: [CK_MECHANISM_TYPE; 17] = [
    CKM_EC_KEY_PAIR_GEN,
    CKM_EC_EDWARDS_KEY_PAIR_GEN,
    CKM_AES_KEY_GEN,
    CKM_GENERIC_SECRET_KEY_GEN,
    CKM_ECDSA,
    CKM_ECDSA_SHA256,
    CKM_EDDSA,
    CKM_RSA_PKCS,
    CKM_SHA256_RSA_PKCS,
    CKM_RSA_PKCS_PSS,
    CKM_SHA256_RSA_PKCS_PSS,
    CKM_AES_GCM,
    CKM_SHA256_HMAC,
    CKM_SHA256,
    hsm_sim::CKM_KEYWARD_BIP340,
    CKM_MD5,
    CK_ULONG::MAX,
];

fn random_template(random: &mut Random) -> Template {
    let mut template = Template::default();
    for _ in 0..random.below(9) {
        let attribute = random.one(&ATTRIBUTES);
        template = match random.below(6) {
            0 => template.flag(attribute, random.below(2) == 1),
            1 | 2 => template.number(attribute, random.one(&NUMBERS)),
            3 => template.with(CKA_EC_PARAMS, random.one(&[SECP256K1, P256, ED25519])),
            4 => template.with(attribute, &random.bytes(80)),
            _ => template.with(attribute, &[1; 32]),
        };
    }
    // Half of them are nearly right.
    match random.below(4) {
        0 => {
            template.number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_AES).with(CKA_VALUE, &[9; 32])
        }
        1 => {
            template.number(CKA_CLASS, CKO_PRIVATE_KEY).number(CKA_KEY_TYPE, CKK_EC).with(CKA_VALUE, &[9; 32])
        }
        _ => template,
    }
}

/// A mechanism with a parameter that is missing, random, or a structure of random but readable fields.
fn with_random_mechanism(random: &mut Random, call: impl FnOnce(*mut CK_MECHANISM) -> CK_RV) -> CK_RV {
    let kind = random.one(&MECHANISMS);
    let (mut iv, mut aad) = (random.bytes(20), random.bytes(40));
    let mut gcm = CK_GCM_PARAMS {
        pIv: iv.as_mut_ptr(),
        ulIvLen: iv.len() as CK_ULONG,
        ulIvBits: random.next(),
        pAAD: aad.as_mut_ptr(),
        ulAADLen: aad.len() as CK_ULONG,
        ulTagBits: random.one(&[0, 96, 128, 136, CK_ULONG::MAX]),
    };
    let mut pss =
        CK_RSA_PKCS_PSS_PARAMS { hashAlg: random.one(&MECHANISMS), mgf: 2, sLen: random.one(&NUMBERS) };
    // Random bytes where pointers are expected would be the caller's own crash; lengths that no structure has.
    let mut junk = random.bytes(23);
    let mut mechanism = match random.below(4) {
        0 => crate::caller::with_parameter(kind, &mut gcm),
        // The structure of EdDSA is of the same size and holds a pointer.
        1 if kind != CKM_EDDSA => crate::caller::with_parameter(kind, &mut pss),
        2 => CK_MECHANISM {
            mechanism: kind,
            pParameter: junk.as_mut_ptr().cast(),
            ulParameterLen: junk.len() as CK_ULONG,
        },
        _ => plain(kind),
    };
    call(&mut mechanism)
}

#[test]
fn random_calls_never_break_the_token() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let (public, private) = caller.curve_pair(session, SECP256K1, "stays");
    let mut random = Random::new();
    let mut handles = vec![0, public, private, CK_ULONG::MAX];
    let (mut made, mut refused) = (0, 0);
    for _ in 0..30_000 {
        let mut template = random_template(&mut random);
        let (mut data, mut out) = (random.bytes(100), [0_u8; 600]);
        let data_length = data.len() as CK_ULONG;
        let object = random.one(&handles);
        let (mut handle, mut second, mut length) = (0, 0, random.one(&[0, 31, 64, 600]));
        let code = match random.below(15) {
            0 | 1 => {
                // On the token each write is synced, which is not what this test is about.
                let mut template = template.flag(CKA_TOKEN, false);
                let (entries, count) = template.raw();
                c!(caller, C_CreateObject, session, entries, count, &mut handle)
            }
            2 => {
                let (entries, count) = template.raw();
                let code = c!(caller, C_FindObjectsInit, session, entries, count);
                c!(caller, C_FindObjects, session, &mut handle, 1, &mut second);
                c!(caller, C_FindObjectsFinal, session);
                code
            }
            14 => {
                let mut template = template.flag(CKA_TOKEN, false);
                let (entries, count) = template.raw();
                c!(caller, C_CopyObject, session, object, entries, count, &mut handle)
            }
            3 => {
                let (entries, count) = template.raw();
                c!(caller, C_GetAttributeValue, session, object, entries, count)
            }
            4 if object != public && object != private => {
                let (entries, count) = template.raw();
                c!(caller, C_SetAttributeValue, session, object, entries, count)
            }
            5 => with_random_mechanism(&mut random, |mechanism| {
                let (entries, count) = template.raw();
                c!(caller, C_GenerateKey, session, mechanism, entries, count, &mut handle)
            }),
            6 => {
                let mut other = random_template(&mut random);
                with_random_mechanism(&mut random, |mechanism| {
                    let ((a, n), (b, m)) = (template.raw(), other.raw());
                    c!(caller, C_GenerateKeyPair, session, mechanism, a, n, b, m, &mut handle, &mut second)
                })
            }
            7 => with_random_mechanism(&mut random, |how| c!(caller, C_SignInit, session, how, object)),
            8 => with_random_mechanism(&mut random, |how| c!(caller, C_VerifyInit, session, how, object)),
            9 => with_random_mechanism(&mut random, |how| c!(caller, C_EncryptInit, session, how, object)),
            10 => with_random_mechanism(&mut random, |how| c!(caller, C_DecryptInit, session, how, object)),
            11 => c!(caller, C_Sign, session, data.as_mut_ptr(), data_length, out.as_mut_ptr(), &mut length),
            12 => {
                let code = c!(
                    caller,
                    C_Encrypt,
                    session,
                    data.as_mut_ptr(),
                    data_length,
                    out.as_mut_ptr(),
                    &mut length
                );
                length = 600;
                c!(caller, C_Decrypt, session, data.as_mut_ptr(), data_length, out.as_mut_ptr(), &mut length);
                code
            }
            _ => {
                let (signature, length) = (out.as_mut_ptr(), random.one(&[0, 32, 64, 256]));
                c!(caller, C_Verify, session, data.as_mut_ptr(), data_length, signature, length)
            }
        };
        assert!(
            code != CKR_GENERAL_ERROR && code != CKR_FUNCTION_FAILED && code != CKR_DEVICE_ERROR,
            "{code:#x}"
        );
        if code == CKR_OK {
            made += 1
        } else {
            refused += 1
        }
        if handle != 0 && handles.len() < 200 {
            handles.push(handle);
        }
    }
    println!("{made} calls done, {refused} refused");
    assert!(made > 500 && refused > 500);
    let fresh = caller.open(0, 0);
    let signature = caller.sign(fresh, &mut plain(CKM_ECDSA), private, &[7; 32]).unwrap();
    assert_eq!(caller.verify(fresh, &mut plain(CKM_ECDSA), public, &[7; 32], &signature), CKR_OK);
}
