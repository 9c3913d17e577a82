//! The token file: nothing secret in plain, nothing opened without the PIN, no change unnoticed.

use std::panic::catch_unwind;

use cryptoki_sys::*;
use hsm_sim::{Damage, check_token_file};
use sha2::{Digest, Sha256};

use crate::caller::{Bench, Caller, OFFICER_PIN, P256, Template, USER_PIN, c, ok};

fn contains(file: &[u8], secret: &[u8]) -> bool {
    let hexed = hex::encode(secret).into_bytes();
    [secret, &hexed].iter().any(|needle| file.windows(needle.len()).any(|window| window == *needle))
}

#[test]
fn no_private_value_and_no_pin_stands_in_the_folder_in_plain() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let open = || {
        let template = Template::default().flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE, true);
        template.flag(CKA_TOKEN, true).with(CKA_LABEL, b"a private label")
    };
    let public = Template::default().flag(CKA_TOKEN, true).with(CKA_LABEL, b"a public label");
    let curve = public.clone().with(CKA_EC_PARAMS, P256);
    let (_, curve) = caller.generate_pair(session, CKM_EC_KEY_PAIR_GEN, curve, open());
    let bits = public.number(CKA_MODULUS_BITS, 2048);
    let (_, rsa) = caller.generate_pair(session, CKM_RSA_PKCS_KEY_PAIR_GEN, bits, open());
    let aes = open().number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_AES).flag(CKA_PRIVATE, false);
    let aes = caller.create(session, aes.with(CKA_VALUE, &[0xa7; 32])).unwrap();
    let mut secrets = vec![USER_PIN.to_vec(), OFFICER_PIN.to_vec(), b"a private label".to_vec()];
    for (object, attribute) in [
        (curve, CKA_VALUE),
        (aes, CKA_VALUE),
        (rsa, CKA_PRIVATE_EXPONENT),
        (rsa, CKA_PRIME_1),
        (rsa, CKA_PRIME_2),
        (rsa, CKA_EXPONENT_1),
        (rsa, CKA_EXPONENT_2),
        (rsa, CKA_COEFFICIENT),
    ] {
        secrets.push(caller.attribute(session, object, attribute).unwrap());
    }
    // The listed secret key keeps its label in public, so its own name is another.
    let mut name = Template::default().with(CKA_LABEL, b"listed");
    let (entries, count) = name.raw();
    ok!(caller, C_SetAttributeValue, session, aes, entries, count);

    for entry in std::fs::read_dir(bench.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for secret in &secrets {
            assert!(!contains(&bytes, secret));
        }
    }
    // The search itself finds what is there.
    assert!(contains(&bench.file(), b"a public label"));
    assert!(contains(&bench.file(), b"listed"));
}

#[test]
fn a_listed_secret_key_is_seen_but_not_used_before_login() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let template =
        Template::default().number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_GENERIC_SECRET);
    let template = template.flag(CKA_PRIVATE, false).flag(CKA_TOKEN, true).with(CKA_VALUE, &[5; 20]);
    let key = caller.create(session, template).unwrap();
    ok!(caller, C_Logout, session);
    assert_eq!(caller.find(session, Template::default()), [key]);
    let mut mechanism = crate::caller::plain(CKM_SHA256_HMAC);
    assert_eq!(c!(caller, C_SignInit, session, &mut mechanism, key), CKR_USER_NOT_LOGGED_IN);
    assert_eq!(caller.attribute(session, key, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    assert_eq!(caller.login(session, CKU_USER, USER_PIN), CKR_OK);
    assert_eq!(caller.sign(session, &mut mechanism, key, b"x").unwrap().len(), 32);
    caller.restart(bench.path());
    let session = caller.user_session();
    let key = caller.find(session, Template::default())[0];
    assert_eq!(caller.sign(session, &mut mechanism, key, b"x").unwrap().len(), 32);
}

#[test]
fn a_changed_public_object_is_found_at_login() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    caller.curve_pair(session, P256, "the right label");
    ok!(caller, C_CloseSession, session);
    let mut file = bench.file();
    let place = file.windows(15).position(|window| window == b"the right label").unwrap();
    file[place..place + 15].copy_from_slice(b"the wrong label");
    checksum(&mut file);
    std::fs::write(bench.path().join("token-0.hsm"), &file).unwrap();
    let session = caller.open(0, CKF_RW_SESSION);
    assert_eq!(caller.login(session, CKU_USER, USER_PIN), CKR_DEVICE_ERROR);
}

/// A token of version 1, as the first release wrote it: a secp256k1 pair, an AES key, a listed AES key, data.
const VERSION_1: &[u8] = include_bytes!("../vectors/token-version-1.hsm");

#[test]
fn a_token_of_version_1_is_used_as_it_is_and_becomes_version_2_when_an_object_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token-0.hsm");
    std::fs::write(&path, VERSION_1).unwrap();
    let version = || std::fs::read(&path).unwrap()[17];
    let caller = Caller::start(folder.path());
    let session = caller.user_session();
    assert_eq!(version(), 1, "a login counts, and writes no objects");
    let labels = |caller: &Caller, session| {
        let mut labels: Vec<_> = caller
            .find(session, Template::default())
            .into_iter()
            .map(|object| {
                let label = caller.attribute(session, object, CKA_LABEL).unwrap();
                (String::from_utf8(label).unwrap(), caller.attribute(session, object, CKA_UNIQUE_ID).unwrap())
            })
            .collect();
        labels.sort();
        labels
    };
    let before = labels(&caller, session);
    let names: Vec<_> = before.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["kek", "listed", "note", "pay", "pay"]);
    let key = |caller: &Caller, session| {
        caller.find(session, Template::default().number(CKA_CLASS, CKO_PRIVATE_KEY))[0]
    };
    let ecdsa = || crate::caller::plain(CKM_ECDSA);
    caller.sign(session, &mut ecdsa(), key(&caller, session), &[7; 32]).unwrap();

    // The security officer of version 1 writes an object: everything is sealed anew.
    let elsewhere = Caller::start(folder.path());
    assert_eq!(labels(&elsewhere, elsewhere.user_session()), before, "ids are the same in every process");
    ok!(caller, C_Logout, session);
    assert_eq!(caller.login(session, CKU_SO, OFFICER_PIN), CKR_OK);
    let note = caller.find(session, Template::default().with(CKA_LABEL, b"note"))[0];
    ok!(caller, C_DestroyObject, session, note);
    assert_eq!(version(), 2);
    ok!(caller, C_Logout, session);
    for caller in [&elsewhere, &Caller::start(folder.path())] {
        let session = caller.open(0, CKF_RW_SESSION);
        caller.login(session, CKU_USER, USER_PIN);
        let after = labels(caller, session);
        let kept: Vec<_> = before.iter().filter(|(name, _)| name != "note").cloned().collect();
        assert_eq!(after, kept);
        caller.sign(session, &mut ecdsa(), key(caller, session), &[7; 32]).unwrap();
        let listed = caller.find(session, Template::default().with(CKA_LABEL, b"listed"))[0];
        assert_eq!(caller.attribute(session, listed, CKA_ALLOWED_MECHANISMS), Ok(vec![]));
    }
}

#[test]
fn a_version_2_token_is_not_taken_for_version_1() {
    let bench = Bench::new();
    let session = bench.caller.user_session();
    bench.caller.curve_pair(session, P256, "k");
    ok!(bench.caller, C_CloseSession, session);
    let mut file = bench.file();
    assert_eq!(file[17], 2);
    file[17] = 1;
    checksum(&mut file);
    std::fs::write(bench.path().join("token-0.hsm"), &file).unwrap();
    let session = bench.caller.open(0, CKF_RW_SESSION);
    assert_eq!(bench.caller.login(session, CKU_USER, USER_PIN), CKR_DEVICE_ERROR);
}

#[test]
fn a_damaged_file_is_an_error_and_not_an_empty_token() {
    let bench = Bench::new();
    std::fs::write(bench.path().join("token-0.hsm"), b"not a token").unwrap();
    let caller = Caller::start(bench.path());
    let mut info = CK_TOKEN_INFO::default();
    assert_eq!(c!(caller, C_GetTokenInfo, 0, &mut info), CKR_DEVICE_ERROR);
    assert_eq!(caller.init_token(0, OFFICER_PIN, "x"), CKR_DEVICE_ERROR);
    assert_eq!(std::fs::read(bench.path().join("token-0.hsm")).unwrap(), b"not a token");
    assert_eq!(caller.init_token(1, OFFICER_PIN, "x"), CKR_OK);
}

#[test]
fn every_flipped_or_missing_byte_of_a_token_file_is_refused() {
    let bench = Bench::new();
    let session = bench.caller.user_session();
    bench.caller.curve_pair(session, P256, "k");
    let file = bench.file();
    assert_eq!(check_token_file(&file), Ok(()));
    for place in 0..file.len() {
        let mut changed = file.clone();
        changed[place] ^= 0x10;
        assert!(check_token_file(&changed).is_err(), "byte {place}");
        assert!(check_token_file(&file[..place]).is_err(), "cut at {place}");
    }
    let mut longer = file.clone();
    longer.insert(file.len() - 32, 0);
    checksum(&mut longer);
    assert_eq!(check_token_file(&longer), Err(Damage::Trailing));
    let mut later = file;
    later[17] = 3;
    assert_eq!(check_token_file(&later), Err(Damage::Version(3)));
}

#[test]
fn mutated_token_files_with_good_checksums_never_panic() {
    let bench = Bench::new();
    let session = bench.caller.user_session();
    bench.caller.curve_pair(session, P256, "k");
    let file = bench.file();
    let mut random = crate::hostile::Random::new();
    for _ in 0..20_000 {
        let mut changed = file.clone();
        for _ in 0..=random.below(3) {
            let place = random.below(changed.len() - 32);
            match random.below(3) {
                0 => changed[place] = random.byte(),
                1 => drop(changed.remove(place)),
                _ => changed.insert(place, random.byte()),
            }
        }
        checksum(&mut changed);
        assert!(catch_unwind(|| check_token_file(&changed)).is_ok());
    }
}

fn checksum(file: &mut [u8]) {
    let (body, sum) = file.split_at_mut(file.len() - 32);
    sum.copy_from_slice(&Sha256::digest(body));
}
