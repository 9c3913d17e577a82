//! PINs: wrong, changed, locked, and locked for good.

use cryptoki_sys::*;

use crate::caller::{Bench, OFFICER_PIN, USER_PIN, c, ok};

const NEW_PIN: &[u8] = b"another-pin-77";

fn set_pin(bench: &Bench, session: CK_SESSION_HANDLE, old: &[u8], new: &[u8]) -> CK_RV {
    let (old, old_length) = (old.as_ptr().cast_mut(), old.len() as CK_ULONG);
    c!(bench.caller, C_SetPIN, session, old, old_length, new.as_ptr().cast_mut(), new.len() as CK_ULONG)
}

fn flags(bench: &Bench) -> CK_FLAGS {
    bench.caller.token_info(0).flags & (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED)
}

#[test]
fn a_user_pin_locks_after_five_failures_and_stays_locked_over_a_restart() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let mut session = caller.open(0, CKF_RW_SESSION);
    for failures in 1..=5 {
        assert_eq!(caller.login(session, CKU_USER, b"wrong"), CKR_PIN_INCORRECT);
        let expected = match failures {
            5 => CKF_USER_PIN_LOCKED,
            4 => CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY,
            _ => CKF_USER_PIN_COUNT_LOW,
        };
        assert_eq!(flags(&bench), expected, "after {failures}");
        caller.restart(bench.path());
        assert_eq!(flags(&bench), expected, "after {failures} and a restart");
        session = caller.open(0, CKF_RW_SESSION);
    }
    assert_eq!(caller.login(session, CKU_USER, USER_PIN), CKR_PIN_LOCKED);
    assert_eq!(set_pin(&bench, session, USER_PIN, NEW_PIN), CKR_PIN_LOCKED);

    // The security officer sets a new one; the keys are still there.
    assert_eq!(caller.login(session, CKU_SO, OFFICER_PIN), CKR_OK);
    ok!(caller, C_InitPIN, session, NEW_PIN.as_ptr().cast_mut(), NEW_PIN.len() as CK_ULONG);
    ok!(caller, C_Logout, session);
    assert_eq!(flags(&bench), 0);
    assert_eq!(caller.login(session, CKU_USER, USER_PIN), CKR_PIN_INCORRECT);
    assert_eq!(caller.login(session, CKU_USER, NEW_PIN), CKR_OK);
    assert_eq!(flags(&bench), 0);
}

#[test]
fn keys_survive_a_pin_reset() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    caller.curve_pair(session, crate::caller::P256, "kept");
    ok!(caller, C_Logout, session);
    assert_eq!(caller.login(session, CKU_SO, OFFICER_PIN), CKR_OK);
    ok!(caller, C_InitPIN, session, NEW_PIN.as_ptr().cast_mut(), NEW_PIN.len() as CK_ULONG);
    ok!(caller, C_Logout, session);
    assert_eq!(caller.login(session, CKU_USER, NEW_PIN), CKR_OK);
    assert_eq!(caller.find(session, Default::default()).len(), 2);
}

#[test]
fn a_security_officers_pin_locks_too() {
    let bench = Bench::new();
    let caller = &bench.caller;
    for _ in 0..5 {
        assert_eq!(caller.init_token(0, b"wrong-officer", "x"), CKR_PIN_INCORRECT);
    }
    assert_eq!(caller.init_token(0, OFFICER_PIN, "x"), CKR_PIN_LOCKED);
    assert_eq!(caller.token_info(0).flags & CKF_SO_PIN_LOCKED, CKF_SO_PIN_LOCKED);
    let session = caller.open(0, CKF_RW_SESSION);
    assert_eq!(caller.login(session, CKU_SO, OFFICER_PIN), CKR_PIN_LOCKED);
    assert_eq!(caller.login(session, CKU_USER, USER_PIN), CKR_OK);
}

#[test]
fn a_right_pin_forgives_the_failures_before_it() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.open(0, CKF_RW_SESSION);
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(caller.login(session, CKU_USER, b"wrong"), CKR_PIN_INCORRECT);
        }
        assert_eq!(caller.login(session, CKU_USER, USER_PIN), CKR_OK);
        ok!(caller, C_Logout, session);
    }
}

#[test]
fn pins_are_changed_by_who_knows_them() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let read = caller.open(0, 0);
    assert_eq!(set_pin(&bench, read, USER_PIN, NEW_PIN), CKR_SESSION_READ_ONLY);
    ok!(caller, C_CloseSession, read);
    let session = caller.open(0, CKF_RW_SESSION);
    assert_eq!(set_pin(&bench, session, b"wrong", NEW_PIN), CKR_PIN_INCORRECT);
    assert_eq!(set_pin(&bench, session, USER_PIN, b"abc"), CKR_PIN_LEN_RANGE);
    assert_eq!(set_pin(&bench, session, USER_PIN, &[b'x'; 256]), CKR_PIN_LEN_RANGE);
    assert_eq!(set_pin(&bench, session, USER_PIN, &[0xff; 8]), CKR_PIN_INVALID);
    assert_eq!(set_pin(&bench, session, USER_PIN, NEW_PIN), CKR_OK);
    assert_eq!(caller.login(session, CKU_USER, USER_PIN), CKR_PIN_INCORRECT);
    assert_eq!(caller.login(session, CKU_USER, NEW_PIN), CKR_OK);
    ok!(caller, C_Logout, session);
    assert_eq!(caller.login(session, CKU_SO, OFFICER_PIN), CKR_OK);
    assert_eq!(set_pin(&bench, session, OFFICER_PIN, b"second-officer"), CKR_OK);
    ok!(caller, C_Logout, session);
    assert_eq!(caller.login(session, CKU_SO, OFFICER_PIN), CKR_PIN_INCORRECT);
    assert_eq!(caller.login(session, CKU_SO, b"second-officer"), CKR_OK);
}

#[test]
fn only_the_security_officer_sets_the_users_pin() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.open(0, CKF_RW_SESSION);
    let call = || c!(caller, C_InitPIN, session, NEW_PIN.as_ptr().cast_mut(), NEW_PIN.len() as CK_ULONG);
    assert_eq!(call(), CKR_USER_NOT_LOGGED_IN);
    assert_eq!(caller.login(session, CKU_USER, USER_PIN), CKR_OK);
    assert_eq!(call(), CKR_USER_NOT_LOGGED_IN);
    ok!(caller, C_Logout, session);
    assert_eq!(caller.login(session, CKU_CONTEXT_SPECIFIC, USER_PIN), CKR_OPERATION_NOT_INITIALIZED);
    assert_eq!(caller.login(session, 9, USER_PIN), CKR_USER_TYPE_INVALID);
    assert_eq!(caller.login(session, CKU_USER, b""), CKR_PIN_INCORRECT);
}
