//! Initialising, slots, tokens, sessions.

use std::ptr::null_mut;

use cryptoki_sys::*;

use crate::caller::{Bench, Caller, OFFICER_PIN, USER_PIN, c, ok};

#[test]
fn nothing_works_before_initialize_or_after_finalize() {
    let folder = tempfile::tempdir().unwrap();
    let caller = Caller::load();
    let calls = |caller: &Caller| {
        let (mut info, mut count) = (CK_INFO::default(), 0);
        assert_eq!(c!(caller, C_GetInfo, &mut info), CKR_CRYPTOKI_NOT_INITIALIZED);
        assert_eq!(c!(caller, C_GetSlotList, 1, null_mut(), &mut count), CKR_CRYPTOKI_NOT_INITIALIZED);
        assert_eq!(c!(caller, C_CloseSession, 1), CKR_CRYPTOKI_NOT_INITIALIZED);
        assert_eq!(
            c!(caller, C_Sign, 1, null_mut(), 0, null_mut(), &mut count),
            CKR_CRYPTOKI_NOT_INITIALIZED
        );
        assert_eq!(c!(caller, C_Finalize, null_mut()), CKR_CRYPTOKI_NOT_INITIALIZED);
    };
    calls(&caller);
    assert_eq!(caller.initialize(folder.path()), CKR_OK);
    assert_eq!(caller.initialize(folder.path()), CKR_CRYPTOKI_ALREADY_INITIALIZED);
    ok!(caller, C_Finalize, null_mut());
    calls(&caller);
    assert_eq!(caller.initialize(folder.path()), CKR_OK);
}

#[test]
fn initialize_checks_its_arguments() {
    unsafe extern "C" fn mutex(_: *mut std::ffi::c_void) -> CK_RV {
        CKR_OK
    }
    unsafe extern "C" fn create(_: *mut *mut std::ffi::c_void) -> CK_RV {
        CKR_OK
    }
    let (caller, folder) = (Caller::load(), tempfile::tempdir().unwrap());
    let call = |mut args: CK_C_INITIALIZE_ARGS| caller.initialize_with(folder.path(), &mut args);
    let mut reserved = 0_u8;
    let reserved = CK_C_INITIALIZE_ARGS { pReserved: (&raw mut reserved).cast(), ..Default::default() };
    assert_eq!(call(reserved), CKR_ARGUMENTS_BAD);
    assert_eq!(
        call(CK_C_INITIALIZE_ARGS { LockMutex: Some(mutex), ..Default::default() }),
        CKR_ARGUMENTS_BAD
    );
    let all = CK_C_INITIALIZE_ARGS {
        CreateMutex: Some(create),
        DestroyMutex: Some(mutex),
        LockMutex: Some(mutex),
        UnlockMutex: Some(mutex),
        ..Default::default()
    };
    assert_eq!(call(all), CKR_CANT_LOCK);
    assert_eq!(call(CK_C_INITIALIZE_ARGS { flags: CKF_OS_LOCKING_OK, ..all }), CKR_OK);
    let mut reserved = 0_u8;
    assert_eq!(c!(caller, C_Finalize, (&raw mut reserved).cast()), CKR_ARGUMENTS_BAD);
    ok!(caller, C_Finalize, null_mut());
}

#[test]
fn every_slot_of_the_list_is_filled() {
    let caller = Caller::load();
    let list: *const CK_FUNCTION_LIST = caller.list();
    let words = size_of::<CK_FUNCTION_LIST>() / size_of::<usize>();
    let pointers = unsafe { std::slice::from_raw_parts(list.cast::<usize>(), words) };
    assert_eq!((caller.list().version.major, caller.list().version.minor), (2, 40));
    assert!(pointers[1..].iter().all(|pointer| *pointer != 0));
    let mut length = 0;
    assert_eq!(c!(caller, C_GetOperationState, 1, null_mut(), &mut length), CKR_FUNCTION_NOT_SUPPORTED);
    assert_eq!(c!(caller, C_GetFunctionStatus, 1), CKR_FUNCTION_NOT_PARALLEL);
}

#[test]
fn texts_say_non_production() {
    let bench = Bench::new();
    let mut info = CK_INFO::default();
    ok!(bench.caller, C_GetInfo, &mut info);
    assert_eq!(&info.manufacturerID, b"Keyward non-production          ");
    assert!(String::from_utf8_lossy(&info.libraryDescription).contains("NON-PRODUCTION"));
    assert_eq!(&bench.caller.token_info(0).manufacturerID, b"Keyward non-production          ");
}

#[test]
fn slots_and_mechanisms_are_listed_under_the_length_convention() {
    let folder = tempfile::tempdir().unwrap();
    let caller = Caller::start(folder.path());
    let mut count = 0;
    ok!(caller, C_GetSlotList, 1, null_mut(), &mut count);
    assert!(count >= 4);
    let mut slots = vec![0; count as usize];
    let mut small = count - 1;
    assert_eq!(c!(caller, C_GetSlotList, 0, slots.as_mut_ptr(), &mut small), CKR_BUFFER_TOO_SMALL);
    assert_eq!(small, count);
    ok!(caller, C_GetSlotList, 0, slots.as_mut_ptr(), &mut count);
    for slot in slots {
        let mut info = CK_SLOT_INFO::default();
        ok!(caller, C_GetSlotInfo, slot, &mut info);
        assert_eq!(info.flags & CKF_TOKEN_PRESENT, CKF_TOKEN_PRESENT);
        assert_eq!(caller.token_info(slot).flags & CKF_TOKEN_INITIALIZED, 0);
    }
    let mut info = CK_SLOT_INFO::default();
    assert_eq!(c!(caller, C_GetSlotInfo, 99, &mut info), CKR_SLOT_ID_INVALID);
    assert_eq!(c!(caller, C_GetSlotInfo, CK_ULONG::MAX, &mut info), CKR_SLOT_ID_INVALID);

    ok!(caller, C_GetMechanismList, 0, null_mut(), &mut count);
    let mut kinds = vec![0; count as usize];
    ok!(caller, C_GetMechanismList, 0, kinds.as_mut_ptr(), &mut count);
    for kind in kinds {
        let mut info = CK_MECHANISM_INFO::default();
        ok!(caller, C_GetMechanismInfo, 0, kind, &mut info);
        assert_ne!(info.flags, 0);
    }
    let mut info = CK_MECHANISM_INFO::default();
    assert_eq!(c!(caller, C_GetMechanismInfo, 0, CKM_MD5, &mut info), CKR_MECHANISM_INVALID);
}

#[test]
fn tokens_have_their_own_labels_and_serials() {
    let folder = tempfile::tempdir().unwrap();
    let caller = Caller::start(folder.path());
    assert_eq!(caller.init_token(1, OFFICER_PIN, "one"), CKR_OK);
    assert_eq!(caller.init_token(3, OFFICER_PIN, "three"), CKR_OK);
    let (one, three) = (caller.token_info(1), caller.token_info(3));
    assert!(one.label.starts_with(b"one ") && three.label.starts_with(b"three "));
    assert_ne!(one.serialNumber, three.serialNumber);
    assert!(one.serialNumber.iter().all(u8::is_ascii_hexdigit));
    caller.restart(folder.path());
    assert_eq!(caller.token_info(1).serialNumber, one.serialNumber);
}

#[test]
fn a_token_is_made_anew_only_by_its_security_officer_and_without_sessions() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    caller.curve_pair(session, crate::caller::SECP256K1, "old");
    assert_eq!(caller.init_token(0, OFFICER_PIN, "new"), CKR_SESSION_EXISTS);
    ok!(caller, C_CloseAllSessions, 0);
    assert_eq!(caller.init_token(0, b"not-the-pin", "new"), CKR_PIN_INCORRECT);
    assert!(caller.token_info(0).label.starts_with(b"bench"));
    assert_eq!(caller.init_token(0, OFFICER_PIN, "new"), CKR_OK);
    let info = caller.token_info(0);
    assert!(info.label.starts_with(b"new "));
    assert_eq!(info.flags & CKF_USER_PIN_INITIALIZED, 0);
    let session = caller.open(0, CKF_RW_SESSION);
    assert_eq!(caller.login(session, CKU_USER, USER_PIN), CKR_USER_PIN_NOT_INITIALIZED);
    assert!(caller.find(session, Default::default()).is_empty());
}

#[test]
fn sessions_know_their_state() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let state = |session| {
        let mut info = CK_SESSION_INFO::default();
        ok!(caller, C_GetSessionInfo, session, &mut info);
        info.state
    };
    let mut session = 0;
    assert_eq!(
        c!(caller, C_OpenSession, 0, CKF_RW_SESSION, null_mut(), None, &mut session),
        CKR_SESSION_PARALLEL_NOT_SUPPORTED
    );
    assert_eq!(
        c!(caller, C_OpenSession, 2, CKF_SERIAL_SESSION, null_mut(), None, &mut session),
        CKR_TOKEN_NOT_RECOGNIZED
    );
    let (read, write) = (caller.open(0, 0), caller.open(0, CKF_RW_SESSION));
    assert_eq!((state(read), state(write)), (CKS_RO_PUBLIC_SESSION, CKS_RW_PUBLIC_SESSION));
    assert_eq!(caller.login(write, CKU_SO, OFFICER_PIN), CKR_SESSION_READ_ONLY_EXISTS);
    assert_eq!(caller.login(read, CKU_USER, USER_PIN), CKR_OK);
    assert_eq!((state(read), state(write)), (CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS));
    assert_eq!(caller.login(write, CKU_USER, USER_PIN), CKR_USER_ALREADY_LOGGED_IN);
    assert_eq!(caller.login(write, CKU_SO, OFFICER_PIN), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
    ok!(caller, C_Logout, write);
    assert_eq!(c!(caller, C_Logout, write), CKR_USER_NOT_LOGGED_IN);
    ok!(caller, C_CloseSession, read);
    assert_eq!(c!(caller, C_CloseSession, read), CKR_SESSION_HANDLE_INVALID);
    assert_eq!(caller.login(write, CKU_SO, OFFICER_PIN), CKR_OK);
    assert_eq!(state(write), CKS_RW_SO_FUNCTIONS);
    assert_eq!(
        c!(caller, C_OpenSession, 0, CKF_SERIAL_SESSION, null_mut(), None, &mut session),
        CKR_SESSION_READ_WRITE_SO_EXISTS
    );
    // The last session takes the login with it.
    ok!(caller, C_CloseSession, write);
    let write = caller.open(0, CKF_RW_SESSION);
    assert_eq!(state(write), CKS_RW_PUBLIC_SESSION);
    assert_ne!(write, read);
}
