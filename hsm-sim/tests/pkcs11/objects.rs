//! Objects: who sees them, what they reveal, what may change, how long they live.

use std::ptr::null_mut;

use cryptoki_sys::*;

use crate::caller::{Bench, ED25519, P256, SECP256K1, Template, USER_PIN, c, ok};

fn number(bytes: &[u8]) -> CK_ULONG {
    CK_ULONG::from_ne_bytes(bytes.try_into().unwrap())
}

#[test]
fn generated_keys_have_the_attributes_of_the_standard() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    for (params, key_type, point) in
        [(SECP256K1, CKK_EC, 65), (P256, CKK_EC, 65), (ED25519, CKK_EC_EDWARDS, 32)]
    {
        let (public, private) = caller.curve_pair(session, params, "k");
        let of_private = |attribute| caller.attribute(session, private, attribute);
        for attribute in
            [CKA_SENSITIVE, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_LOCAL, CKA_PRIVATE, CKA_SIGN]
        {
            assert_eq!(of_private(attribute), Ok(vec![1]));
        }
        assert_eq!(of_private(CKA_EXTRACTABLE), Ok(vec![0]));
        assert_eq!(number(&of_private(CKA_KEY_TYPE).unwrap()), key_type);
        assert_eq!(of_private(CKA_EC_PARAMS), Ok(params.to_vec()));
        assert_eq!(of_private(CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
        assert_eq!(of_private(CKA_MODULUS), Err(CKR_ATTRIBUTE_TYPE_INVALID));
        let encoded = caller.attribute(session, public, CKA_EC_POINT).unwrap();
        assert_eq!((encoded[0], usize::from(encoded[1]), encoded.len()), (4, point, point + 2));
        assert_eq!(caller.attribute(session, public, CKA_LOCAL), Ok(vec![1]));
        assert_eq!(caller.attribute(session, public, CKA_PRIVATE), Ok(vec![0]));
        let mechanism = number(&caller.attribute(session, public, CKA_KEY_GEN_MECHANISM).unwrap());
        assert_eq!(mechanism == CKM_EC_EDWARDS_KEY_PAIR_GEN, params == ED25519);
        let mut size = 0;
        ok!(caller, C_GetObjectSize, session, private, &mut size);
        assert!(size > 32);
    }
}

#[test]
fn an_extractable_key_shows_itself_and_says_so() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let private = Template::default().flag(CKA_SENSITIVE, false).flag(CKA_EXTRACTABLE, true);
    let (_, key) = caller.generate_pair(
        session,
        CKM_EC_KEY_PAIR_GEN,
        Template::default().with(CKA_EC_PARAMS, P256),
        private,
    );
    assert_eq!(caller.attribute(session, key, CKA_VALUE).unwrap().len(), 32);
    let set = |attribute, flag| {
        let mut template = Template::default().flag(attribute, flag);
        let (entries, count) = template.raw();
        c!(caller, C_SetAttributeValue, session, key, entries, count)
    };
    assert_eq!(set(CKA_EXTRACTABLE, false), CKR_OK);
    assert_eq!(caller.attribute(session, key, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
    assert_eq!(set(CKA_EXTRACTABLE, true), CKR_ATTRIBUTE_READ_ONLY);
    assert_eq!(set(CKA_SENSITIVE, true), CKR_OK);
    assert_eq!(set(CKA_SENSITIVE, false), CKR_ATTRIBUTE_READ_ONLY);
    assert_eq!(caller.attribute(session, key, CKA_ALWAYS_SENSITIVE), Ok(vec![0]));
    assert_eq!(caller.attribute(session, key, CKA_NEVER_EXTRACTABLE), Ok(vec![0]));
}

#[test]
fn get_attribute_value_answers_each_entry_by_itself() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let (_, key) = caller.curve_pair(session, P256, "label");
    let (mut label, mut class) = ([0_u8; 3], [0_u8; 8]);
    let entry = |type_, value: &mut [u8]| CK_ATTRIBUTE {
        type_,
        pValue: value.as_mut_ptr().cast(),
        ulValueLen: value.len() as CK_ULONG,
    };
    let mut entries = [
        entry(CKA_VALUE, &mut [0; 32]),
        entry(CKA_LABEL, &mut label),
        entry(CKA_CLASS, &mut class),
        CK_ATTRIBUTE { type_: CKA_ID, pValue: null_mut(), ulValueLen: 9 },
    ];
    let code = c!(caller, C_GetAttributeValue, session, key, entries.as_mut_ptr(), 4);
    assert_eq!(code, CKR_ATTRIBUTE_SENSITIVE);
    let lengths = entries.map(|entry| entry.ulValueLen);
    assert_eq!(lengths, [CK_UNAVAILABLE_INFORMATION, CK_UNAVAILABLE_INFORMATION, 8, 0]);
    assert_eq!(number(&class), CKO_PRIVATE_KEY);
    let code = c!(caller, C_GetAttributeValue, session, key, &mut entry(CKA_LABEL, &mut label), 1);
    assert_eq!(code, CKR_BUFFER_TOO_SMALL);
}

#[test]
fn private_objects_are_invisible_before_login() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let (public, private) = caller.curve_pair(session, SECP256K1, "k");
    assert_eq!(caller.find(session, Template::default()).len(), 2);
    ok!(caller, C_Logout, session);
    assert_eq!(caller.find(session, Template::default()), [public]);
    assert_eq!(caller.attribute(session, private, CKA_LABEL), Err(CKR_OBJECT_HANDLE_INVALID));
    assert_eq!(c!(caller, C_DestroyObject, session, private), CKR_OBJECT_HANDLE_INVALID);
    assert_eq!(c!(caller, C_DestroyObject, session, public), CKR_USER_NOT_LOGGED_IN);
    let template = Template::default().number(CKA_CLASS, CKO_DATA).flag(CKA_PRIVATE, true);
    assert_eq!(caller.create(session, template), Err(CKR_USER_NOT_LOGGED_IN));
}

#[test]
fn objects_are_found_by_their_attributes_and_never_by_their_secrets() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let (public, private) = caller.curve_pair(session, SECP256K1, "one");
    let (_, other) = caller.curve_pair(session, P256, "two");
    let by = |template: Template| caller.find(session, template);
    assert_eq!(by(Template::default().with(CKA_LABEL, b"one")), [public, private]);
    let keys = Template::default().number(CKA_CLASS, CKO_PRIVATE_KEY);
    assert_eq!(by(keys.clone()), [private, other]);
    assert_eq!(by(keys.clone().with(CKA_EC_PARAMS, P256)), [other]);
    assert!(by(keys.clone().with(CKA_LABEL, b"none")).is_empty());
    assert!(by(keys.with(CKA_VENDOR_DEFINED, b"?")).is_empty());
    let value = [9_u8; 32];
    let secret = Template::default().number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_AES);
    caller.create(session, secret.with(CKA_VALUE, &value)).unwrap();
    assert!(by(Template::default().with(CKA_VALUE, &value)).is_empty());

    let (mut handle, mut count) = (0, 0);
    assert_eq!(c!(caller, C_FindObjects, session, &mut handle, 1, &mut count), CKR_OPERATION_NOT_INITIALIZED);
    ok!(caller, C_FindObjectsInit, session, null_mut(), 0);
    assert_eq!(c!(caller, C_FindObjectsInit, session, null_mut(), 0), CKR_OPERATION_ACTIVE);
    ok!(caller, C_FindObjectsFinal, session);
    assert_eq!(c!(caller, C_FindObjectsFinal, session), CKR_OPERATION_NOT_INITIALIZED);
}

#[test]
fn token_objects_persist_and_session_objects_die() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let (session, other) = (caller.user_session(), caller.open(0, CKF_RW_SESSION));
    caller.curve_pair(session, ED25519, "kept");
    let data = Template::default().number(CKA_CLASS, CKO_DATA).with(CKA_VALUE, b"passing");
    let passing = caller.create(session, data.clone()).unwrap();
    let private = caller.create(other, data.flag(CKA_PRIVATE, true)).unwrap();
    assert_eq!(caller.attribute(other, passing, CKA_VALUE), Ok(b"passing".to_vec()));
    ok!(caller, C_CloseSession, session);
    assert_eq!(caller.attribute(other, passing, CKA_VALUE), Err(CKR_OBJECT_HANDLE_INVALID));
    ok!(caller, C_Logout, other);
    assert_eq!(caller.login(other, CKU_USER, USER_PIN), CKR_OK);
    assert_eq!(c!(caller, C_DestroyObject, other, private), CKR_OBJECT_HANDLE_INVALID);
    caller.restart(bench.path());
    let session = caller.user_session();
    let found = caller.find(session, Template::default());
    assert_eq!(found.len(), 2);
    for object in found {
        assert_eq!(caller.attribute(session, object, CKA_LABEL), Ok(b"kept".to_vec()));
    }
}

#[test]
fn labels_and_ids_change_and_destroyed_objects_stay_away() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let (public, private) = caller.curve_pair(session, P256, "old");
    let set = |session, object, template: Template| {
        let mut template = template;
        let (entries, count) = template.raw();
        c!(caller, C_SetAttributeValue, session, object, entries, count)
    };
    let change = Template::default().with(CKA_LABEL, b"new").with(CKA_ID, &[1, 2]);
    assert_eq!(set(session, private, change.clone()), CKR_OK);
    assert_eq!(set(session, private, change.clone().flag(CKA_LOCAL, false)), CKR_ATTRIBUTE_READ_ONLY);
    assert_eq!(
        set(session, private, Template::default().with(CKA_MODULUS, b"x")),
        CKR_ATTRIBUTE_TYPE_INVALID
    );
    let read_only = caller.open(0, 0);
    assert_eq!(set(read_only, private, change), CKR_SESSION_READ_ONLY);
    assert_eq!(c!(caller, C_DestroyObject, read_only, public), CKR_SESSION_READ_ONLY);
    ok!(caller, C_DestroyObject, session, public);
    assert_eq!(c!(caller, C_DestroyObject, session, public), CKR_OBJECT_HANDLE_INVALID);
    caller.restart(bench.path());
    let session = caller.user_session();
    let found = caller.find(session, Template::default());
    assert_eq!(found.len(), 1);
    assert_eq!(caller.attribute(session, found[0], CKA_LABEL), Ok(b"new".to_vec()));
    assert_eq!(caller.attribute(session, found[0], CKA_ID), Ok(vec![1, 2]));
}

#[test]
fn objects_say_what_may_not_be_done_to_them() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let data = Template::default().number(CKA_CLASS, CKO_DATA);
    let fixed = data.clone().flag(CKA_MODIFIABLE, false).flag(CKA_DESTROYABLE, false).flag(CKA_TOKEN, true);
    let object = caller.create(session, fixed).unwrap();
    assert_eq!(c!(caller, C_DestroyObject, session, object), CKR_ACTION_PROHIBITED);
    let mut label = Template::default().with(CKA_LABEL, b"x");
    let (entries, count) = label.raw();
    assert_eq!(c!(caller, C_SetAttributeValue, session, object, entries, count), CKR_ACTION_PROHIBITED);
}

#[test]
fn templates_are_checked() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let create = |template: Template| caller.create(session, template).map(|_| ());
    let aes = || Template::default().number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_AES);
    let cases = [
        (Template::default(), CKR_TEMPLATE_INCOMPLETE),
        (Template::default().number(CKA_CLASS, 77), CKR_ATTRIBUTE_VALUE_INVALID),
        (Template::default().with(CKA_CLASS, &[1]), CKR_ATTRIBUTE_VALUE_INVALID),
        (Template::default().number(CKA_CLASS, CKO_SECRET_KEY), CKR_TEMPLATE_INCOMPLETE),
        (aes(), CKR_TEMPLATE_INCOMPLETE),
        (aes().with(CKA_VALUE, &[0; 31]), CKR_ATTRIBUTE_VALUE_INVALID),
        (aes().with(CKA_VALUE, &[0; 32]).flag(CKA_LOCAL, true), CKR_ATTRIBUTE_READ_ONLY),
        (aes().with(CKA_VALUE, &[0; 32]).flag(CKA_TRUSTED, true), CKR_ATTRIBUTE_READ_ONLY),
        (aes().with(CKA_VALUE, &[0; 32]).with(CKA_MODULUS, &[1]), CKR_TEMPLATE_INCONSISTENT),
        (aes().with(CKA_VALUE, &[0; 32]).number(CKA_VALUE_LEN, 16), CKR_TEMPLATE_INCONSISTENT),
        (
            aes().with(CKA_VALUE, &[0; 32]).with(CKA_LABEL, b"a").with(CKA_LABEL, b"b"),
            CKR_TEMPLATE_INCONSISTENT,
        ),
        (aes().with(CKA_VENDOR_DEFINED, b"?"), CKR_ATTRIBUTE_TYPE_INVALID),
        (aes().with(CKA_VALUE, &[0; 32]).with(CKA_LABEL, &vec![0; 70_000]), CKR_ATTRIBUTE_VALUE_INVALID),
    ];
    for (index, (template, code)) in cases.into_iter().enumerate() {
        assert_eq!(create(template), Err(code), "case {index}");
    }
    let ec = |class| Template::default().number(CKA_CLASS, class).number(CKA_KEY_TYPE, CKK_EC);
    let zero = ec(CKO_PRIVATE_KEY).with(CKA_EC_PARAMS, SECP256K1).with(CKA_VALUE, &[0; 32]);
    assert_eq!(create(zero), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    let off_curve = [&[4, 65, 4][..], &[1; 64]].concat();
    let point = ec(CKO_PUBLIC_KEY).with(CKA_EC_PARAMS, P256).with(CKA_EC_POINT, &off_curve);
    assert_eq!(create(point), Err(CKR_ATTRIBUTE_VALUE_INVALID));
    let curve = ec(CKO_PRIVATE_KEY).with(CKA_EC_PARAMS, &[6, 1, 1]).with(CKA_VALUE, &[1; 32]);
    assert_eq!(create(curve), Err(CKR_CURVE_NOT_SUPPORTED));
}

#[test]
fn key_generation_checks_what_it_is_asked_for() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let pair = |session, mechanism, public: Template, private: Template| {
        let (mut public, mut private, mut first, mut second) = (public, private, 0, 0);
        let ((a, a_count), (b, b_count)) = (public.raw(), private.raw());
        let mut mechanism = crate::caller::plain(mechanism);
        c!(
            caller,
            C_GenerateKeyPair,
            session,
            &mut mechanism,
            a,
            a_count,
            b,
            b_count,
            &mut first,
            &mut second
        )
    };
    let (none, params) = (Template::default, || Template::default().with(CKA_EC_PARAMS, P256));
    assert_eq!(pair(session, CKM_EC_KEY_PAIR_GEN, none(), none()), CKR_TEMPLATE_INCOMPLETE);
    let ed = Template::default().with(CKA_EC_PARAMS, ED25519);
    assert_eq!(pair(session, CKM_EC_KEY_PAIR_GEN, ed, none()), CKR_CURVE_NOT_SUPPORTED);
    assert_eq!(pair(session, CKM_EC_EDWARDS_KEY_PAIR_GEN, params(), none()), CKR_CURVE_NOT_SUPPORTED);
    assert_eq!(pair(session, CKM_AES_KEY_GEN, params(), none()), CKR_MECHANISM_INVALID);
    let given = none().with(CKA_VALUE, &[1; 32]);
    assert_eq!(pair(session, CKM_EC_KEY_PAIR_GEN, params(), given), CKR_TEMPLATE_INCONSISTENT);
    let trusted = params().flag(CKA_TRUSTED, true);
    assert_eq!(pair(session, CKM_EC_KEY_PAIR_GEN, trusted, none()), CKR_ATTRIBUTE_READ_ONLY);
    for bits in [0, 768, 1023, 2049, 8192, CK_ULONG::MAX] {
        let public = none().number(CKA_MODULUS_BITS, bits);
        assert_eq!(pair(session, CKM_RSA_PKCS_KEY_PAIR_GEN, public, none()), CKR_KEY_SIZE_RANGE);
    }
    for exponent in [&[][..], &[3], &[1, 0, 0], &[1, 2, 3, 4, 5]] {
        let public = none().number(CKA_MODULUS_BITS, 2048).with(CKA_PUBLIC_EXPONENT, exponent);
        assert_eq!(pair(session, CKM_RSA_PKCS_KEY_PAIR_GEN, public, none()), CKR_ATTRIBUTE_VALUE_INVALID);
    }
    let read_only = caller.open(0, 0);
    let token = params().flag(CKA_TOKEN, true);
    assert_eq!(pair(read_only, CKM_EC_KEY_PAIR_GEN, token, none()), CKR_SESSION_READ_ONLY);
    assert_eq!(pair(read_only, CKM_EC_KEY_PAIR_GEN, params(), none()), CKR_OK);
    for bytes in [0, 15, 31, 33, CK_ULONG::MAX] {
        let mut template = none().number(CKA_VALUE_LEN, bytes);
        let ((entries, count), mut key) = (template.raw(), 0);
        let mut mechanism = crate::caller::plain(CKM_AES_KEY_GEN);
        let code = c!(caller, C_GenerateKey, session, &mut mechanism, entries, count, &mut key);
        assert_eq!(code, CKR_KEY_SIZE_RANGE);
    }
}

#[test]
fn certificates_and_data_are_kept() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let certificate = Template::default()
        .number(CKA_CLASS, CKO_CERTIFICATE)
        .number(CKA_CERTIFICATE_TYPE, CKC_X_509)
        .with(CKA_VALUE, b"0\x03\x02\x01\x00")
        .with(CKA_SUBJECT, b"0\x00")
        .flag(CKA_TOKEN, true);
    let object = caller.create(session, certificate).unwrap();
    ok!(caller, C_Logout, session);
    assert_eq!(caller.attribute(session, object, CKA_VALUE), Ok(b"0\x03\x02\x01\x00".to_vec()));
}
