//! What every token must do.

use std::fs;
use std::future::IntoFuture as _;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use keyward_domain::scheme::{Scheme, verify, verify_digest};
use keyward_token::{KeyKind, Module, Payload, PinTries, TokenError, TokenKey, TokenName};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Fixture, LABEL, PIN, SO_PIN, open, pin};

const KINDS: [KeyKind; 5] =
    [KeyKind::Secp256k1, KeyKind::P256, KeyKind::Ed25519, KeyKind::Rsa { bits: 2048 }, KeyKind::Sm2];
/// Half of raw ECDSA signatures have a high S: so many tries leave no doubt.
const ECDSA_ROUNDS: u8 = 16;

pub fn token_is_named_by_label_and_serial_and_made_once(f: &Fixture) {
    let tokens = f.module.tokens().wait().unwrap();
    let ours: Vec<_> = tokens.iter().filter(|token| token.label == LABEL).collect();
    assert_eq!(ours.len(), 1);
    assert!(ours[0].initialised && ours[0].pin_set && ours[0].logged_in && !ours[0].pin_locked);
    assert!(!ours[0].serial.is_empty());
    let key = f.module.generate_key(&f.token, KeyKind::P256, "one").wait().unwrap();
    let by_serial = TokenName::new(ours[0].serial.clone());
    assert_eq!(f.module.find_key(&by_serial, "one", &[]).wait().unwrap(), key);
    let again = f.module.init_token(pin(SO_PIN), pin(PIN), LABEL).wait();
    assert!(matches!(again, Err(TokenError::TokenExists { .. })), "{again:?}");
    for bad in ["", " x", "a label that is far too long for any token"] {
        let refused = f.module.init_token(pin(SO_PIN), pin(PIN), bad).wait();
        assert!(matches!(refused, Err(TokenError::LabelMalformed { .. })));
    }
}

pub fn missing_token_error_names_what_is_there(f: &Fixture) {
    let error = f.module.keys(&TokenName::new("elsewhere")).wait().unwrap_err();
    let TokenError::TokenMissing { wanted, present } = &error else { panic!("{error}") };
    assert_eq!(wanted.as_str(), "elsewhere");
    assert!(present.iter().any(|token| token.starts_with(LABEL)), "{present:?}");
    assert_eq!(error.code(), "TOKEN_MISSING");
}

pub fn every_kind_signs_so_that_the_ledgers_rule_accepts(f: &Fixture) {
    for kind in kinds(f) {
        let key = make(f, kind, &kind.to_string());
        let expected = if f.adapter.bip340 || kind != KeyKind::Secp256k1 {
            kind.schemes()
        } else {
            &[Scheme::EcdsaSecp256k1]
        };
        let schemes: Vec<_> = key.public_keys.iter().map(|key| key.scheme()).collect();
        assert_eq!(schemes, expected, "{kind}");
        for public in &key.public_keys {
            for round in 0..ECDSA_ROUNDS {
                let message = [b"pay ".as_slice(), &[round]].concat();
                let signature = sign(f, &key, public.scheme(), Payload::Message(message.clone())).unwrap();
                verify(public, &message, &signature).unwrap();
                assert!(verify(public, b"pay more", &signature).is_err());
            }
        }
    }
}

pub fn digest_is_refused_where_the_message_is_signed(f: &Fixture) {
    for kind in kinds(f) {
        let key = make(f, kind, &kind.to_string());
        for public in &key.public_keys {
            let digest: [u8; 32] = Sha256::digest(b"message").into();
            match sign(f, &key, public.scheme(), Payload::Digest(digest)) {
                Ok(signature) => {
                    verify_digest(public, &digest, &signature).unwrap();
                    verify(public, b"message", &signature).unwrap();
                }
                Err(error) => {
                    assert!(matches!(error, TokenError::DigestNotSigned { .. }), "{error}");
                    assert!(!public.scheme().signs_digest());
                }
            }
        }
    }
}

pub fn scheme_of_another_kind_is_refused(f: &Fixture) {
    let key = make(f, KeyKind::P256, "p");
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340, Scheme::Ed25519, Scheme::RsaPss] {
        let refused = sign(f, &key, scheme, Payload::Message(b"m".to_vec()));
        assert!(matches!(refused, Err(TokenError::SchemeNotOfKey { .. })), "{refused:?}");
    }
    let unknown = f.module.sign(&f.token, b"no such id", Scheme::EcdsaP256, Payload::Digest([1; 32])).wait();
    assert!(matches!(unknown, Err(TokenError::KeyMissing { .. })), "{unknown:?}");
    let odd = f.module.generate_key(&f.token, KeyKind::Rsa { bits: 1024 }, "short").wait();
    assert!(matches!(odd, Err(TokenError::KindNotOffered { .. })), "{odd:?}");
}

pub fn made_keys_claim_that_they_cannot_leave(f: &Fixture) {
    for kind in kinds(f) {
        let claims = make(f, kind, &kind.to_string()).claims;
        assert_eq!(
            (claims.sensitive, claims.extractable, claims.local),
            (Some(true), Some(false), Some(true))
        );
        assert!(claims.names().contains(&String::from("not-extractable")));
    }
}

pub fn key_of_one_label_is_made_once(f: &Fixture) {
    let key = make(f, KeyKind::P256, "payroll");
    let again = f.module.generate_key(&f.token, KeyKind::Secp256k1, "payroll").wait();
    assert!(matches!(again, Err(TokenError::KeyExists { .. })), "{again:?}");
    assert_eq!(f.module.keys(&f.token).wait().unwrap(), std::slice::from_ref(&key));
    assert_eq!(f.module.find_key(&f.token, "payroll", &key.id).wait().unwrap(), key);
    let missing = f.module.find_key(&f.token, "other", &[]).wait();
    assert!(matches!(missing, Err(TokenError::KeyMissing { .. })), "{missing:?}");
}

pub fn two_keys_that_match_are_refused_by_naming_both(f: &Fixture) {
    let (_library, session) = beside(f);
    generate_beside(&session, "twin", &[1]);
    generate_beside(&session, "twin", &[2]);
    generate_beside(&session, "third", &[2]);
    let error = f.module.find_key(&f.token, "twin", &[]).wait().unwrap_err();
    assert!(matches!(error, TokenError::KeyAmbiguous { .. }), "{error}");
    assert!(error.to_string().contains("`01`") && error.to_string().contains("`02`"), "{error}");
    assert_eq!(f.module.find_key(&f.token, "twin", &[1]).wait().unwrap().id, [1]);
    let error =
        f.module.sign(&f.token, &[2], Scheme::EcdsaP256, Payload::Digest([1; 32])).wait().unwrap_err();
    assert!(error.to_string().contains("`twin`") && error.to_string().contains("`third`"), "{error}");
    f.module.sign(&f.token, &[1], Scheme::EcdsaP256, Payload::Digest([1; 32])).wait().unwrap();
}

pub fn destroyed_key_is_missing_and_not_signed_with(f: &Fixture) {
    let key = make(f, KeyKind::P256, "gone");
    sign(f, &key, Scheme::EcdsaP256, Payload::Digest([1; 32])).unwrap();
    let (_library, session) = beside(f);
    for object in session.find_objects(&[Attribute::Id(key.id.clone())]).unwrap() {
        session.destroy_object(object).unwrap();
    }
    let refused = sign(f, &key, Scheme::EcdsaP256, Payload::Digest([1; 32]));
    assert!(matches!(refused, Err(TokenError::KeyMissing { .. })), "{refused:?}");
}

pub fn sealed_secret_opens_with_its_name_only(f: &Fixture) {
    f.module.generate_kek(&f.token, "kek").wait().unwrap();
    f.module.generate_kek(&f.token, "other").wait().unwrap();
    let again = f.module.generate_kek(&f.token, "kek").wait();
    assert!(matches!(again, Err(TokenError::KeyExists { .. })), "{again:?}");
    assert!(f.module.find_kek(&f.token, "kek").wait().unwrap());
    assert!(!f.module.find_kek(&f.token, "none").wait().unwrap());

    let (nonce, aad) = ([7; 12], b"key, account, version".as_slice());
    for secret in [vec![], vec![9; 1], vec![9; 32], vec![9; 4096]] {
        let plain = Zeroizing::new(secret.clone());
        let sealed = f.module.encrypt(&f.token, "kek", nonce, aad, plain).wait().unwrap();
        assert_eq!(sealed.len(), secret.len() + 16);
        let open = |kek: &str, nonce, aad: &[u8], sealed: &[u8]| {
            f.module.decrypt(&f.token, kek, nonce, aad, sealed).wait()
        };
        assert_eq!(*open("kek", nonce, aad, &sealed).unwrap(), secret);
        let mut changed = sealed.clone();
        *changed.last_mut().unwrap() ^= 1;
        let wrong = [
            open("kek", [8; 12], aad, &sealed),
            open("kek", nonce, b"another name", &sealed),
            open("kek", nonce, aad, &changed),
            open("kek", nonce, aad, &sealed[..sealed.len() - 1]),
            open("other", nonce, aad, &sealed),
        ];
        for refused in wrong {
            assert!(matches!(refused, Err(TokenError::DecryptRefused { .. })), "{refused:?}");
        }
        let missing = open("none", nonce, aad, &sealed);
        assert!(matches!(missing, Err(TokenError::KeyMissing { .. })), "{missing:?}");
        assert_eq!(*open("kek", nonce, aad, &sealed).unwrap(), secret, "refusals leave the session usable");
    }
}

pub fn removed_key_encryption_key_opens_nothing_and_takes_no_other_with_it(f: &Fixture) {
    f.module.generate_kek(&f.token, "kek").wait().unwrap();
    f.module.generate_kek(&f.token, "kek/2").wait().unwrap();
    let seal = |kek: &str| {
        f.module.encrypt(&f.token, kek, [7; 12], b"name", Zeroizing::new(vec![9; 32])).wait().unwrap()
    };
    let (old, new) = (seal("kek"), seal("kek/2"));
    assert!(f.module.destroy_kek(&f.token, "kek").wait().unwrap());
    assert!(!f.module.destroy_kek(&f.token, "kek").wait().unwrap(), "there is none any more");
    assert!(!f.module.find_kek(&f.token, "kek").wait().unwrap());
    let gone = f.module.decrypt(&f.token, "kek", [7; 12], b"name", &old).wait();
    assert!(matches!(gone, Err(TokenError::KeyMissing { .. })), "{gone:?}");
    assert_eq!(*f.module.decrypt(&f.token, "kek/2", [7; 12], b"name", &new).wait().unwrap(), [9; 32]);
}

pub fn key_encryption_key_cannot_be_read_or_wrapped(f: &Fixture) {
    f.module.generate_kek(&f.token, "kek").wait().unwrap();
    let (_library, session) = beside(f);
    let wanted = [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::Label(b"kek".to_vec())];
    let object = session.find_objects(&wanted).unwrap()[0];
    let facts =
        session.get_attributes(object, &[AttributeType::Extractable, AttributeType::Sensitive]).unwrap();
    assert!(facts.contains(&Attribute::Extractable(false)) && facts.contains(&Attribute::Sensitive(true)));
    let value = session.get_attributes(object, &[AttributeType::Value]).unwrap();
    assert!(value.is_empty(), "the token lends its key-encryption key");
}

pub fn wrong_pin_is_tried_once_and_harms_no_login(f: &Fixture) {
    let key = make(f, KeyKind::P256, "p");
    let wrong = || f.module.login(&f.token, pin("00000000")).wait();
    let first = wrong();
    assert!(matches!(first, Err(TokenError::PinWrong { .. })), "{first:?}");
    if let Err(TokenError::PinWrong { tries, .. }) = first {
        assert_ne!(tries, PinTries::Final, "one wrong PIN of many");
    }
    let other = f.module.login(&f.token, pin("11111111")).wait();
    assert!(matches!(other, Err(TokenError::PinWrong { .. })), "{other:?}");
    for _ in 0..20 {
        let again = wrong();
        assert!(matches!(again, Err(TokenError::PinRefusedBefore { .. })), "{again:?}");
    }
    sign(f, &key, Scheme::EcdsaP256, Payload::Digest([1; 32])).unwrap();
    f.module.login(&f.token, pin(PIN)).wait().unwrap();
    let info = f.module.tokens().wait().unwrap().into_iter().find(|token| token.label == LABEL).unwrap();
    assert!(!info.pin_locked && info.logged_in);
}

pub fn pins_are_not_guessed_beside_a_login_that_stands(f: &Fixture) {
    let key = make(f, KeyKind::P256, "p");
    let tried = (0..20).map(|n| f.module.login(&f.token, pin(&format!("guess{n:03}"))).wait());
    let asked = tried.filter(|tried| !matches!(tried, Err(TokenError::PinGuessed { .. }))).count();
    assert_eq!(asked, 3, "PINs that the token was asked about");
    sign(f, &key, Scheme::EcdsaP256, Payload::Digest([1; 32])).unwrap();
    f.module.login(&f.token, pin(PIN)).wait().unwrap();
}

pub fn wrong_pins_lock_where_the_token_locks(f: &Fixture) {
    const WRONG_MAX: u32 = 20;
    let locked = (0..WRONG_MAX).any(|n| {
        let refused = f.module.login(&f.token, pin(&format!("wrong{n:03}"))).wait();
        matches!(refused, Err(TokenError::PinLocked { .. }))
    });
    // A login that stands resets the count at each new login, so this asks from a fresh start.
    let fresh = fresh_module(f);
    let locked = locked
        || (0..WRONG_MAX).any(|n| {
            let refused = fresh.login(&f.token, pin(&format!("wrong{n:03}"))).wait();
            matches!(refused, Err(TokenError::PinLocked { .. }))
        });
    assert_eq!(locked, f.adapter.locks);
    // A locked token looks at no PIN: the right one is not taken for a wrong one, however often it is given.
    for _ in 0..2 {
        match fresh.login(&f.token, pin(PIN)).wait() {
            Err(TokenError::PinLocked { .. }) => assert!(f.adapter.locks),
            other => assert!(other.is_ok() && !f.adapter.locks, "{other:?}"),
        }
    }
}

pub fn nothing_is_signed_without_a_login(f: &Fixture) {
    let key = make(f, KeyKind::P256, "p");
    f.module.generate_kek(&f.token, "kek").wait().unwrap();
    let fresh = fresh_module(f);
    let refused = fresh.sign(&f.token, &key.id, Scheme::EcdsaP256, Payload::Digest([1; 32])).wait();
    assert!(matches!(refused, Err(TokenError::NotLoggedIn { .. })), "{refused:?}");
    let refused = fresh.generate_key(&f.token, KeyKind::P256, "q").wait();
    assert!(matches!(refused, Err(TokenError::NotLoggedIn { .. })), "{refused:?}");
    let refused = fresh.find_kek(&f.token, "kek").wait();
    assert!(matches!(refused, Err(TokenError::NotLoggedIn { .. })), "{refused:?}");
    let shown = fresh.keys(&f.token).wait().unwrap();
    assert!(shown.iter().any(|shown| shown.id == key.id && shown.public_keys == key.public_keys));
    fresh.login(&f.token, pin(PIN)).wait().unwrap();
    fresh.sign(&f.token, &key.id, Scheme::EcdsaP256, Payload::Digest([1; 32])).wait().unwrap();
}

pub fn library_ended_by_another_is_begun_again(f: &Fixture) {
    let key = make(f, KeyKind::Secp256k1, "s");
    f.module.generate_kek(&f.token, "kek").wait().unwrap();
    for _ in 0..3 {
        sign(f, &key, Scheme::EcdsaSecp256k1, Payload::Digest([1; 32])).unwrap();
        end_library(f);
        let signature = sign(f, &key, Scheme::EcdsaSecp256k1, Payload::Message(b"m".to_vec())).unwrap();
        verify(key.public_key(Scheme::EcdsaSecp256k1).unwrap(), b"m", &signature).unwrap();
        end_library(f);
        assert!(f.module.find_kek(&f.token, "kek").wait().unwrap());
    }
}

pub fn removed_token_is_missing_and_works_when_it_is_back(f: &Fixture) {
    let key = make(f, KeyKind::P256, "p");
    let (store, away) = (f.folder.join("store"), f.folder.join("away"));
    fs::rename(&store, &away).unwrap();
    fs::create_dir(&store).unwrap();
    end_library(f);
    let refused = sign(f, &key, Scheme::EcdsaP256, Payload::Digest([1; 32]));
    assert!(matches!(refused, Err(TokenError::TokenMissing { .. })), "{refused:?}");
    fs::remove_dir_all(&store).unwrap();
    fs::rename(&away, &store).unwrap();
    end_library(f);
    sign(f, &key, Scheme::EcdsaP256, Payload::Digest([1; 32])).unwrap();
}

pub fn job_past_its_deadline_is_answered_timeout(f: &Fixture) {
    let key = make(f, KeyKind::P256, "p");
    let hurried = f.module.with_deadline(Duration::ZERO);
    let refused = hurried.sign(&f.token, &key.id, Scheme::EcdsaP256, Payload::Digest([1; 32])).wait();
    assert!(matches!(refused, Err(TokenError::Timeout { .. })), "{refused:?}");
    assert_eq!(refused.unwrap_err().code(), "TIMEOUT");
    let late = runtime().block_on(async { hurried.random(&f.token, 8).await });
    assert!(matches!(late, Err(TokenError::Timeout { .. } | TokenError::Busy { .. })), "{late:?}");
    sign(f, &key, Scheme::EcdsaP256, Payload::Digest([1; 32])).unwrap();
}

pub fn concurrent_signatures_all_verify(f: &Fixture) {
    let key = make(f, KeyKind::Secp256k1, "s");
    let public = key.public_key(Scheme::EcdsaSecp256k1).unwrap().clone();
    runtime().block_on(async {
        let mut tasks = Vec::new();
        for n in 0..256_u32 {
            let message = n.to_be_bytes().to_vec();
            let payload = Payload::Message(message.clone());
            let call = f.module.sign(&f.token, &key.id, Scheme::EcdsaSecp256k1, payload);
            tasks.push((message, tokio::spawn(call.into_future())));
        }
        for (message, task) in tasks {
            verify(&public, &message, &task.await.unwrap().unwrap()).unwrap();
        }
    });
}

pub fn random_bytes_differ(f: &Fixture) {
    let draw = || f.module.random(&f.token, 32).wait().unwrap();
    let (one, two) = (draw(), draw());
    assert!(one.len() == 32 && one != two);
}

pub fn log_out_forgets_the_pin(f: &Fixture) {
    let key = make(f, KeyKind::P256, "p");
    f.module.logout(&f.token).wait().unwrap();
    f.module.logout(&f.token).wait().unwrap();
    for _ in 0..2 {
        let refused = sign(f, &key, Scheme::EcdsaP256, Payload::Digest([1; 32]));
        assert!(matches!(refused, Err(TokenError::NotLoggedIn { .. })), "{refused:?}");
        end_library(f);
        f.module.tokens().wait().unwrap();
    }
    f.module.login(&f.token, pin(PIN)).wait().unwrap();
    sign(f, &key, Scheme::EcdsaP256, Payload::Digest([1; 32])).unwrap();
}

pub fn logins_harm_no_signature_under_way(f: &Fixture) {
    let key = make(f, KeyKind::P256, "p");
    runtime().block_on(async {
        let mut tasks = Vec::new();
        for round in 0..48_u8 {
            let call = f.module.sign(&f.token, &key.id, Scheme::EcdsaP256, Payload::Digest([round; 32]));
            tasks.push(tokio::spawn(call.into_future()));
            if round % 16 == 8 {
                let wrong = f.module.login(&f.token, pin(&format!("wrong-{round}"))).await;
                assert!(matches!(wrong, Err(TokenError::PinWrong { .. })), "{wrong:?}");
            }
        }
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    });
}

fn make(f: &Fixture, kind: KeyKind, label: &str) -> TokenKey {
    f.module.generate_key(&f.token, kind, label).wait().unwrap()
}

fn sign(f: &Fixture, key: &TokenKey, scheme: Scheme, payload: Payload) -> Result<Vec<u8>, TokenError> {
    f.module.sign(&f.token, &key.id, scheme, payload).wait()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Another user of the token: in this process it shares the login, as PKCS#11 has it; beside a child it is a process
/// of its own, and logs in by itself.
fn beside(f: &Fixture) -> (Pkcs11, Session) {
    let library = Pkcs11::new(&f.path).unwrap();
    if f.adapter.hosted {
        library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    }
    let slots = library.get_slots_with_initialized_token().unwrap();
    let slot = slots.into_iter().find(|slot| library.get_token_info(*slot).unwrap().label() == LABEL);
    let session = library.open_rw_session(slot.unwrap()).unwrap();
    if f.adapter.hosted {
        session.login(UserType::User, Some(&AuthPin::from(PIN.to_owned()))).unwrap();
    }
    (library, session)
}

/// Somebody ends the library: another user of it in this process, or whoever kills the child.
fn end_library(f: &Fixture) {
    let Some(child) = f.module.host_process() else {
        return Pkcs11::new(&f.path).unwrap().finalize().unwrap();
    };
    kill(child);
    until("another child to start", || f.module.host_process().is_some_and(|other| other != child));
}

pub fn kill(process: u32) {
    let killed = Command::new("sh").args(["-c", &format!("kill -KILL {process}")]).status().unwrap();
    assert!(killed.success());
}

/// Waits, within bounds, for something that another process does.
pub fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < Duration::from_secs(180), "no sign of {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A module that was not logged in: the library is ended, so every session and login is gone; or another child.
fn fresh_module(f: &Fixture) -> Module {
    if !f.adapter.hosted {
        end_library(f);
    }
    open(f.adapter, &f.path)
}

fn kinds(f: &Fixture) -> impl Iterator<Item = KeyKind> {
    KINDS.into_iter().filter(|kind| f.adapter.sm2 || *kind != KeyKind::Sm2)
}

fn generate_beside(session: &Session, label: &str, id: &[u8]) {
    let p256 = vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let common =
        [Attribute::Token(true), Attribute::Label(label.as_bytes().to_vec()), Attribute::Id(id.to_vec())];
    let public =
        [&common[..], &[Attribute::KeyType(KeyType::EC), Attribute::EcParams(p256), Attribute::Verify(true)]]
            .concat();
    let private = [&common[..], &[Attribute::Sign(true), Attribute::Private(true)]].concat();
    session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
}
