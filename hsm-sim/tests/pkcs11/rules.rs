//! Who may do what to which object: roles, sessions, copies, one-way attributes, certificates, keys that ask for
//! the PIN.

use std::ptr::null_mut;

use cryptoki_sys::*;

use crate::caller::{Bench, OFFICER_PIN, P256, SECP256K1, Template, USER_PIN, c, ok, plain};

fn data() -> Template {
    Template::default().number(CKA_CLASS, CKO_DATA).with(CKA_VALUE, b"data")
}

fn secret() -> Template {
    let template =
        Template::default().number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_GENERIC_SECRET);
    template.with(CKA_VALUE, &[5; 32])
}

fn certificate() -> Template {
    Template::default()
        .number(CKA_CLASS, CKO_CERTIFICATE)
        .number(CKA_CERTIFICATE_TYPE, CKC_X_509)
        .with(CKA_SUBJECT, b"0\x00")
}

fn set(bench: &Bench, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, template: Template) -> CK_RV {
    let mut template = template;
    let (entries, count) = template.raw();
    c!(bench.caller, C_SetAttributeValue, session, object, entries, count)
}

fn copy(
    bench: &Bench,
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: Template,
) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let (mut template, mut made) = (template, 0);
    let (entries, count) = template.raw();
    match c!(bench.caller, C_CopyObject, session, object, entries, count, &mut made) {
        CKR_OK => Ok(made),
        code => Err(code),
    }
}

#[test]
fn each_role_and_session_makes_what_it_may() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let kinds = || {
        let token = |template: Template| template.flag(CKA_TOKEN, true);
        let private = |template: Template| template.flag(CKA_PRIVATE, true);
        [data(), private(data()), token(data()), token(private(data()))]
    };
    let all = |session| kinds().map(|template| caller.create(session, template).err());
    let (none, login, read) = (None, Some(CKR_USER_NOT_LOGGED_IN), Some(CKR_SESSION_READ_ONLY));
    let (read_only, read_write) = (caller.open(0, 0), caller.open(0, CKF_RW_SESSION));
    assert_eq!(all(read_only), [none, login, read, read]);
    assert_eq!(all(read_write), [none, login, login, login]);
    assert_eq!(caller.login(read_only, CKU_USER, USER_PIN), CKR_OK);
    assert_eq!(all(read_only), [none, none, read, read]);
    assert_eq!(all(read_write), [none, none, none, none]);
    ok!(caller, C_Logout, read_write);
    ok!(caller, C_CloseSession, read_only);
    assert_eq!(caller.login(read_write, CKU_SO, OFFICER_PIN), CKR_OK);
    assert_eq!(all(read_write), [none, login, none, login]);
}

#[test]
fn the_security_officer_changes_public_objects_and_loses_no_private_ones() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let (public, private) = caller.curve_pair(session, SECP256K1, "pay");
    let listed = secret().flag(CKA_TOKEN, true).flag(CKA_PRIVATE, false).flag(CKA_SIGN, true);
    let listed = caller.create(session, listed).unwrap();
    ok!(caller, C_Logout, session);
    assert_eq!(caller.login(session, CKU_SO, OFFICER_PIN), CKR_OK);
    assert_eq!(caller.attribute(session, private, CKA_LABEL), Err(CKR_OBJECT_HANDLE_INVALID));
    assert_eq!(set(&bench, session, public, Template::default().with(CKA_LABEL, b"paid")), CKR_OK);
    assert_eq!(set(&bench, session, listed, Template::default().flag(CKA_TRUSTED, true)), CKR_OK);
    caller.create(session, certificate().with(CKA_VALUE, b"0\x00").flag(CKA_TOKEN, true)).unwrap();
    assert_eq!(c!(caller, C_SignInit, session, &mut plain(CKM_SHA256_HMAC), listed), CKR_USER_NOT_LOGGED_IN);
    ok!(caller, C_Logout, session);
    caller.restart(bench.path());
    let session = caller.user_session();
    let find = |label: &[u8]| caller.find(session, Template::default().with(CKA_LABEL, label));
    assert_eq!((find(b"pay").len(), find(b"paid").len()), (1, 1));
    caller.sign(session, &mut plain(CKM_ECDSA), find(b"pay")[0], &[7; 32]).unwrap();
    let listed = caller.find(session, Template::default().number(CKA_CLASS, CKO_SECRET_KEY))[0];
    assert_eq!(caller.attribute(session, listed, CKA_TRUSTED), Ok(vec![1]));
    assert_eq!(caller.sign(session, &mut plain(CKM_SHA256_HMAC), listed, b"x").unwrap().len(), 32);
}

#[test]
fn only_the_security_officer_calls_an_object_trusted() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let wanted = || certificate().with(CKA_VALUE, b"0\x00").flag(CKA_TOKEN, true).flag(CKA_TRUSTED, true);
    assert_eq!(caller.create(session, wanted()), Err(CKR_ATTRIBUTE_READ_ONLY));
    let plain = caller.create(session, wanted().flag(CKA_TRUSTED, true).with(CKA_LABEL, b"a"));
    assert_eq!(plain, Err(CKR_ATTRIBUTE_READ_ONLY));
    let object =
        caller.create(session, certificate().with(CKA_VALUE, b"0\x00").flag(CKA_TOKEN, true)).unwrap();
    let trust = |flag| Template::default().flag(CKA_TRUSTED, flag);
    assert_eq!(set(&bench, session, object, trust(true)), CKR_ATTRIBUTE_READ_ONLY);
    assert_eq!(copy(&bench, session, object, trust(true)), Err(CKR_ATTRIBUTE_READ_ONLY));
    ok!(caller, C_Logout, session);
    assert_eq!(caller.login(session, CKU_SO, OFFICER_PIN), CKR_OK);
    assert_eq!(set(&bench, session, object, trust(true)), CKR_OK);
    assert!(caller.create(session, wanted()).is_ok());
    ok!(caller, C_Logout, session);
    assert_eq!(caller.login(session, CKU_USER, USER_PIN), CKR_OK);
    assert_eq!(caller.attribute(session, object, CKA_TRUSTED), Ok(vec![1]));
    assert_eq!(set(&bench, session, object, trust(false)), CKR_ATTRIBUTE_READ_ONLY);
    // A copy that the user makes is trusted no more by that than the user is.
    assert_eq!(copy(&bench, session, object, Template::default()), Err(CKR_ATTRIBUTE_READ_ONLY));
}

#[test]
fn one_way_attributes_turn_once() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let open = secret().flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE, true);
    let key = caller.create(session, open).unwrap();
    for (attribute, to) in [
        (CKA_SENSITIVE, true),
        (CKA_WRAP_WITH_TRUSTED, true),
        (CKA_EXTRACTABLE, false),
        (CKA_COPYABLE, false),
    ] {
        let turn = |flag| set(&bench, session, key, Template::default().flag(attribute, flag));
        assert_eq!((turn(!to), turn(to), turn(to)), (CKR_OK, CKR_OK, CKR_OK), "{attribute:#x}");
        assert_eq!(turn(!to), CKR_ATTRIBUTE_READ_ONLY, "{attribute:#x}");
    }
    for attribute in [CKA_TOKEN, CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE] {
        let turned = Template::default().flag(attribute, true);
        assert_eq!(set(&bench, session, key, turned), CKR_ATTRIBUTE_READ_ONLY, "{attribute:#x}");
    }
    for attribute in [CKA_PRIVATE, CKA_MODIFIABLE, CKA_DESTROYABLE] {
        let turned = Template::default().flag(attribute, false);
        assert_eq!(set(&bench, session, key, turned), CKR_ATTRIBUTE_READ_ONLY, "{attribute:#x}");
    }
    let named = Template::default().with(CKA_UNIQUE_ID, b"mine");
    assert_eq!(set(&bench, session, key, named.clone()), CKR_ATTRIBUTE_READ_ONLY);
    assert_eq!(caller.create(session, secret().with(CKA_UNIQUE_ID, b"mine")), Err(CKR_ATTRIBUTE_READ_ONLY));
    // Uses, names and dates change freely; one refusal changes nothing.
    let uses =
        Template::default().flag(CKA_SIGN, true).flag(CKA_DERIVE, true).with(CKA_START_DATE, b"20260101");
    assert_eq!(set(&bench, session, key, uses), CKR_OK);
    let half = Template::default().with(CKA_LABEL, b"changed").flag(CKA_SENSITIVE, false);
    assert_eq!(set(&bench, session, key, half), CKR_ATTRIBUTE_READ_ONLY);
    assert_eq!(caller.attribute(session, key, CKA_LABEL), Ok(vec![]));
    for dates in [[&b"2026"[..], b""], [b"2026-1-1", b""], [b"20260102", b"20260101"]] {
        let template = Template::default().with(CKA_START_DATE, dates[0]).with(CKA_END_DATE, dates[1]);
        assert_ne!(set(&bench, session, key, template), CKR_OK, "{dates:?}");
    }
}

#[test]
fn copies_are_no_more_open_than_what_they_are_copies_of() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let original = caller.create(session, secret().flag(CKA_SIGN, true).flag(CKA_EXTRACTABLE, true)).unwrap();
    let of = |template| copy(&bench, session, original, template);
    let none = Template::default;
    let kept =
        of(none().flag(CKA_TOKEN, true).with(CKA_LABEL, b"kept").flag(CKA_EXTRACTABLE, false)).unwrap();
    let value = |object, attribute| caller.attribute(session, object, attribute);
    assert_eq!(value(kept, CKA_TOKEN), Ok(vec![1]));
    assert_eq!(value(kept, CKA_LABEL), Ok(b"kept".to_vec()));
    assert_eq!((value(original, CKA_EXTRACTABLE), value(kept, CKA_EXTRACTABLE)), (Ok(vec![1]), Ok(vec![0])));
    assert_ne!(value(original, CKA_UNIQUE_ID), value(kept, CKA_UNIQUE_ID));
    let mac = |key| caller.sign(session, &mut plain(CKM_SHA256_HMAC), key, b"x").unwrap();
    assert_eq!(mac(original), mac(kept));
    ok!(caller, C_DestroyObject, session, original);
    assert_eq!(mac(kept).len(), 32);

    let of = |template| copy(&bench, session, kept, template);
    assert_eq!(of(none().flag(CKA_EXTRACTABLE, true)), Err(CKR_ATTRIBUTE_READ_ONLY));
    assert_eq!(of(none().flag(CKA_SENSITIVE, false)), Err(CKR_ATTRIBUTE_READ_ONLY));
    assert_eq!(of(none().flag(CKA_PRIVATE, false)), Err(CKR_ATTRIBUTE_READ_ONLY));
    // A right guess at the value is answered as a wrong one.
    for guess in [9, 5] {
        let guess = none().with(CKA_VALUE, &[guess; 32]);
        assert_eq!(of(guess.clone()), Err(CKR_ATTRIBUTE_READ_ONLY));
        assert_eq!(set(&bench, session, kept, guess), CKR_ATTRIBUTE_READ_ONLY);
    }
    assert_eq!(of(none().with(CKA_MODULUS, b"x")), Err(CKR_ATTRIBUTE_TYPE_INVALID));
    assert_eq!(of(none().number(CKA_CLASS, CKO_DATA)), Err(CKR_ATTRIBUTE_READ_ONLY));
    let last = of(none().flag(CKA_COPYABLE, false)).unwrap();
    assert_eq!(copy(&bench, session, last, none()), Err(CKR_ACTION_PROHIBITED));
    let fixed = of(none().flag(CKA_MODIFIABLE, false)).unwrap();
    assert_eq!(set(&bench, session, fixed, none().with(CKA_LABEL, b"x")), CKR_ACTION_PROHIBITED);
    assert_eq!(copy(&bench, session, fixed, none().with(CKA_LABEL, b"x")), Err(CKR_ATTRIBUTE_READ_ONLY));
    assert_eq!(copy(&bench, session, fixed, none().flag(CKA_MODIFIABLE, true)), Err(CKR_ATTRIBUTE_READ_ONLY));
    assert!(copy(&bench, session, fixed, none().flag(CKA_TOKEN, true)).is_ok());

    let read_only = caller.open(0, 0);
    assert_eq!(copy(&bench, read_only, kept, none()), Err(CKR_SESSION_READ_ONLY));
    assert!(copy(&bench, read_only, kept, none().flag(CKA_TOKEN, false)).is_ok());
    assert_eq!(copy(&bench, session, 99_999, none()), Err(CKR_OBJECT_HANDLE_INVALID));
    assert_eq!(c!(caller, C_CopyObject, session, kept, null_mut(), 0, null_mut()), CKR_ARGUMENTS_BAD);
    assert_eq!(c!(caller, C_CopyObject, session, kept, null_mut(), 1, &mut 0), CKR_ARGUMENTS_BAD);
}

#[test]
fn a_secret_key_that_is_only_listed_is_not_copied_before_login() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let key = caller.create(session, secret().flag(CKA_TOKEN, true).flag(CKA_PRIVATE, false)).unwrap();
    ok!(caller, C_Logout, session);
    let into_session = || Template::default().flag(CKA_TOKEN, false);
    assert_eq!(copy(&bench, session, key, into_session()), Err(CKR_USER_NOT_LOGGED_IN));
    assert_eq!(caller.login(session, CKU_USER, USER_PIN), CKR_OK);
    assert!(copy(&bench, session, key, into_session()).is_ok());
}

#[test]
fn every_object_has_an_id_of_its_own_that_stays() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let (public, private) = caller.curve_pair(session, P256, "k");
    let passing = caller.create(session, data()).unwrap();
    let id = |session, object| caller.attribute(session, object, CKA_UNIQUE_ID).unwrap();
    let ids: std::collections::BTreeSet<_> =
        [public, private, passing].map(|object| id(session, object)).into_iter().collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit)));
    let wanted = id(session, private);
    assert_eq!(caller.find(session, Template::default().with(CKA_UNIQUE_ID, &wanted)), [private]);
    assert_eq!(set(&bench, session, private, Template::default().with(CKA_LABEL, b"new")), CKR_OK);
    caller.restart(bench.path());
    let session = caller.user_session();
    let found = caller.find(session, Template::default().with(CKA_UNIQUE_ID, &wanted));
    assert_eq!(caller.attribute(session, found[0], CKA_LABEL), Ok(b"new".to_vec()));
}

#[test]
fn a_key_that_asks_for_the_pin_gets_it_for_each_operation() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let public = Template::default().with(CKA_EC_PARAMS, P256);
    let asks = || Template::default().flag(CKA_ALWAYS_AUTHENTICATE, true);
    let (_, key) = caller.generate_pair(session, CKM_EC_KEY_PAIR_GEN, public, asks().flag(CKA_TOKEN, true));
    let (mut digest, mut out, mut length) = ([7_u8; 32], [0_u8; 64], 64);
    let mut sign = || c!(caller, C_Sign, session, digest.as_mut_ptr(), 32, out.as_mut_ptr(), &mut length);
    let context = |pin| caller.login(session, CKU_CONTEXT_SPECIFIC, pin);
    assert_eq!(context(USER_PIN), CKR_OPERATION_NOT_INITIALIZED);
    for _ in 0..2 {
        ok!(caller, C_SignInit, session, &mut plain(CKM_ECDSA), key);
        assert_eq!(sign(), CKR_USER_NOT_LOGGED_IN);
        assert_eq!(context(b"wrong"), CKR_PIN_INCORRECT);
        assert_eq!(sign(), CKR_USER_NOT_LOGGED_IN);
        assert_eq!(context(USER_PIN), CKR_OK);
        assert_eq!(context(USER_PIN), CKR_OPERATION_NOT_INITIALIZED);
        assert_eq!(sign(), CKR_OK);
    }
    // Its wrong PINs count, and lock.
    ok!(caller, C_SignInit, session, &mut plain(CKM_ECDSA), key);
    for _ in 0..5 {
        assert_eq!(context(b"wrong"), CKR_PIN_INCORRECT);
    }
    assert_eq!(context(USER_PIN), CKR_PIN_LOCKED);
    assert_eq!(sign(), CKR_USER_NOT_LOGGED_IN);
    let public = Template::default().number(CKA_CLASS, CKO_PRIVATE_KEY).number(CKA_KEY_TYPE, CKK_EC);
    let public = public.with(CKA_EC_PARAMS, P256).with(CKA_VALUE, &[1; 32]).flag(CKA_PRIVATE, false);
    assert_eq!(
        caller.create(session, public.flag(CKA_ALWAYS_AUTHENTICATE, true)),
        Err(CKR_TEMPLATE_INCONSISTENT)
    );
}

#[test]
fn a_key_does_only_what_its_allowed_mechanisms_name() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let only = CKM_ECDSA_SHA256.to_ne_bytes();
    let public = Template::default().with(CKA_EC_PARAMS, P256);
    let private = Template::default().with(CKA_ALLOWED_MECHANISMS, &only);
    let (public, key) = caller.generate_pair(session, CKM_EC_KEY_PAIR_GEN, public, private);
    assert_eq!(caller.sign(session, &mut plain(CKM_ECDSA), key, &[7; 32]), Err(CKR_MECHANISM_INVALID));
    assert!(caller.sign(session, &mut plain(CKM_ECDSA_SHA256), key, b"x").is_ok());
    assert_eq!(caller.attribute(session, key, CKA_ALLOWED_MECHANISMS), Ok(only.to_vec()));
    assert_eq!(caller.attribute(session, public, CKA_ALLOWED_MECHANISMS), Ok(vec![]), "all are allowed");
    let all = Template::default().with(CKA_ALLOWED_MECHANISMS, &[]);
    assert_eq!(set(&bench, session, key, all), CKR_ATTRIBUTE_READ_ONLY);
    let half = secret().with(CKA_ALLOWED_MECHANISMS, &[1, 2, 3]);
    assert_eq!(caller.create(session, half), Err(CKR_ATTRIBUTE_VALUE_INVALID));
}

#[test]
fn certificates_are_whole_or_say_where_they_are() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let create = |template: Template| caller.create(session, template);
    let value = |template: Template| template.with(CKA_VALUE, b"0\x03\x02\x01\x00");
    let object = create(value(certificate()).number(CKA_CERTIFICATE_CATEGORY, 2)).unwrap();
    // sha1("\x30\x03\x02\x01\x00")
    let check = &sha1_of(b"0\x03\x02\x01\x00")[..3];
    assert_eq!(caller.attribute(session, object, CKA_CHECK_VALUE).unwrap(), check);
    assert!(create(value(certificate()).with(CKA_CHECK_VALUE, check)).is_ok());
    assert_eq!(create(value(certificate()).with(CKA_CHECK_VALUE, b"abc")), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    assert_eq!(create(certificate()), Err(CKR_TEMPLATE_INCOMPLETE));
    for broken in [&b"0\x03\x02\x01"[..], b"0\x03\x02\x01\x00\x00", b"1\x00", b"certificate"] {
        assert_eq!(create(certificate().with(CKA_VALUE, broken)), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    }
    let far = certificate().with(CKA_URL, b"https://ca.example/1");
    assert_eq!(create(far.clone()), Err(CKR_TEMPLATE_INCOMPLETE));
    let hashes =
        far.with(CKA_HASH_OF_SUBJECT_PUBLIC_KEY, &[1; 20]).with(CKA_HASH_OF_ISSUER_PUBLIC_KEY, &[2; 20]);
    assert!(create(hashes).is_ok());
    assert_eq!(
        create(value(certificate()).number(CKA_CERTIFICATE_CATEGORY, 4)),
        Err(CKR_ATTRIBUTE_VALUE_INVALID)
    );
    let nameless = Template::default().number(CKA_CLASS, CKO_CERTIFICATE);
    assert_eq!(create(nameless.clone()), Err(CKR_TEMPLATE_INCOMPLETE));
    assert_eq!(
        create(value(nameless.clone().number(CKA_CERTIFICATE_TYPE, CKC_X_509))),
        Err(CKR_TEMPLATE_INCOMPLETE)
    );
    assert_eq!(
        create(value(nameless.number(CKA_CERTIFICATE_TYPE, CKC_WTLS))),
        Err(CKR_ATTRIBUTE_VALUE_INVALID)
    );
    assert_eq!(create(value(certificate()).flag(CKA_SIGN, true)), Err(CKR_TEMPLATE_INCONSISTENT));
    assert_eq!(set(&bench, session, object, Template::default().with(CKA_ID, b"1")), CKR_OK);
    assert_eq!(
        set(&bench, session, object, Template::default().with(CKA_SUBJECT, b"0\x01\x00")),
        CKR_ATTRIBUTE_READ_ONLY
    );
}

fn sha1_of(bytes: &[u8]) -> Vec<u8> {
    use sha1::Digest as _;
    sha1::Sha1::digest(bytes).to_vec()
}
