//! Faults on purpose: each happens inside a call, cleans up as a real token does, and is over when it is lifted.

use std::process::Command;
use std::ptr::null_mut;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use cryptoki_sys::*;
use hsm_sim::Role;
use hsm_sim::faults::Control;

use crate::caller::{Bench, Caller, OFFICER_PIN, P256, SECP256K1, Template, USER_PIN, c, ok, plain};

/// A token with a key, the user logged in, and its control file.
struct Desk {
    bench: Bench,
    control: Control,
    session: CK_SESSION_HANDLE,
    public: CK_OBJECT_HANDLE,
    private: CK_OBJECT_HANDLE,
}

impl Desk {
    fn new() -> Self {
        let bench = Bench::new();
        let control = Control::at(bench.path());
        let session = bench.caller.user_session();
        let (public, private) = bench.caller.curve_pair(session, SECP256K1, "k");
        Self { bench, control, session, public, private }
    }

    fn caller(&self) -> &Caller {
        &self.bench.caller
    }

    fn sign_with(&self, session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE) -> Result<Vec<u8>, CK_RV> {
        let code = c!(self.caller(), C_SignInit, session, &mut plain(CKM_ECDSA), key);
        if code != CKR_OK {
            return Err(code);
        }
        let (mut digest, mut out, mut length) = ([7_u8; 32], [0_u8; 64], 64);
        let code = c!(self.caller(), C_Sign, session, digest.as_mut_ptr(), 32, out.as_mut_ptr(), &mut length);
        if code == CKR_OK { Ok(out.to_vec()) } else { Err(code) }
    }

    fn sign(&self) -> Result<Vec<u8>, CK_RV> {
        self.sign_with(self.session, self.private)
    }

    /// A fresh session finds the key again and signs.
    fn signs_anew(&self) {
        let session = self.caller().user_session();
        let keys = Template::default().number(CKA_CLASS, CKO_PRIVATE_KEY).with(CKA_LABEL, b"k");
        let found = self.caller().find(session, keys);
        assert_eq!(found.len(), 1);
        self.sign_with(session, found[0]).unwrap();
    }

    fn flags(&self) -> CK_FLAGS {
        let mut info = CK_SLOT_INFO::default();
        ok!(self.caller(), C_GetSlotInfo, 0, &mut info);
        info.flags
    }

    fn event(&self) -> Result<CK_SLOT_ID, CK_RV> {
        let mut slot = 99;
        match c!(self.caller(), C_WaitForSlotEvent, CKF_DONT_BLOCK, &mut slot, null_mut()) {
            CKR_OK => Ok(slot),
            code => Err(code),
        }
    }
}

#[test]
fn a_pulled_token_takes_sessions_login_and_session_objects_with_it() {
    let desk = Desk::new();
    let caller = desk.caller();
    let other = caller.open(0, 0);
    let data = Template::default().number(CKA_CLASS, CKO_DATA).with(CKA_VALUE, b"passing");
    caller.create(desk.session, data.clone()).unwrap();
    desk.control.add("pull 0").unwrap();

    assert_eq!(desk.sign(), Err(CKR_DEVICE_REMOVED));
    assert_eq!(desk.sign(), Err(CKR_SESSION_HANDLE_INVALID));
    let mut info = CK_SESSION_INFO::default();
    assert_eq!(c!(caller, C_GetSessionInfo, other, &mut info), CKR_DEVICE_REMOVED);
    assert_eq!(c!(caller, C_GetSessionInfo, other, &mut info), CKR_SESSION_HANDLE_INVALID);
    let (mut handle, mut count) = (0, 0);
    assert_eq!(
        c!(caller, C_OpenSession, 0, CKF_SERIAL_SESSION, null_mut(), None, &mut handle),
        CKR_TOKEN_NOT_PRESENT
    );
    assert_eq!(c!(caller, C_GetTokenInfo, 0, &mut CK_TOKEN_INFO::default()), CKR_TOKEN_NOT_PRESENT);
    assert_eq!(c!(caller, C_GetMechanismList, 0, null_mut(), &mut count), CKR_TOKEN_NOT_PRESENT);
    assert_eq!(caller.init_token(0, OFFICER_PIN, "x"), CKR_TOKEN_NOT_PRESENT);
    assert_eq!(c!(caller, C_CloseAllSessions, 0), CKR_TOKEN_NOT_PRESENT);
    assert_eq!(desk.flags() & CKF_TOKEN_PRESENT, 0);
    ok!(caller, C_GetSlotList, CK_TRUE, null_mut(), &mut count);
    assert_eq!(count, 3);
    ok!(caller, C_GetSlotList, CK_FALSE, null_mut(), &mut count);
    assert_eq!(count, 4);
    assert_eq!(desk.event(), Ok(0));
    assert_eq!(desk.event(), Err(CKR_NO_EVENT));

    desk.control.plug(0).unwrap();
    assert_eq!(desk.event(), Ok(0));
    assert_eq!(desk.flags() & CKF_TOKEN_PRESENT, CKF_TOKEN_PRESENT);
    let session = caller.open(0, CKF_RW_SESSION);
    let private = Template::default().number(CKA_CLASS, CKO_PRIVATE_KEY);
    assert!(caller.find(session, private).is_empty(), "the login went with the token");
    assert!(caller.find(session, data).is_empty(), "session objects went with the token");
    ok!(caller, C_CloseSession, session);
    desk.signs_anew();
}

#[test]
fn a_token_is_pulled_inside_the_call_that_the_rule_names() {
    let desk = Desk::new();
    let caller = desk.caller();
    desk.control.add("pull 0 on C_SignFinal at 2").unwrap();
    let in_parts = |session| {
        ok!(caller, C_SignInit, session, &mut plain(CKM_ECDSA_SHA256), desk.private);
        ok!(caller, C_SignUpdate, session, [1_u8; 9].as_mut_ptr(), 9);
        let (mut out, mut length) = ([0_u8; 64], 0);
        // Asking for the length is not a call that counts.
        ok!(caller, C_SignFinal, session, null_mut(), &mut length);
        c!(caller, C_SignFinal, session, out.as_mut_ptr(), &mut length)
    };
    assert_eq!(in_parts(desk.session), CKR_OK);
    assert!(desk.sign().is_ok());
    assert_eq!(in_parts(desk.session), CKR_DEVICE_REMOVED);
    assert_eq!(desk.sign(), Err(CKR_SESSION_HANDLE_INVALID));
    let rules: Vec<String> = desk.control.rules().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["pull 0"], "it stays out, in every process");
    let elsewhere = Caller::start(desk.bench.path());
    assert_eq!(c!(elsewhere, C_GetTokenInfo, 0, &mut CK_TOKEN_INFO::default()), CKR_TOKEN_NOT_PRESENT);
    desk.control.plug(0).unwrap();
    desk.signs_anew();
}

#[test]
fn an_error_comes_at_its_call_ends_the_operation_and_comes_as_often_as_said() {
    let desk = Desk::new();
    desk.control.add("error 0 CKR_DEVICE_ERROR on C_Sign at 2 times 2").unwrap();
    let codes: Vec<_> = (0..4).map(|_| desk.sign().err()).collect();
    assert_eq!(codes, [None, Some(CKR_DEVICE_ERROR), Some(CKR_DEVICE_ERROR), None]);
    assert_eq!(desk.control.rules().unwrap(), []);
    desk.control.add("error 0 0x5 times always").unwrap();
    assert_eq!(desk.sign(), Err(CKR_GENERAL_ERROR));
    assert_eq!(desk.sign(), Err(CKR_GENERAL_ERROR));
    desk.control.clear(None).unwrap();
    assert!(desk.sign().is_ok());
}

#[test]
fn an_answer_is_lost_after_the_work_was_done() {
    let desk = Desk::new();
    let caller = desk.caller();
    desk.control.add("error 0 CKR_DEVICE_ERROR on C_GenerateKeyPair after").unwrap();
    let on_token = |label: &[u8]| Template::default().flag(CKA_TOKEN, true).with(CKA_LABEL, label);
    let (mut public, mut private) = (on_token(b"half").with(CKA_EC_PARAMS, P256), on_token(b"half"));
    let ((a, a_count), (b, b_count)) = (public.raw(), private.raw());
    let (mut first, mut second, mut mechanism) = (0, 0, plain(CKM_EC_KEY_PAIR_GEN));
    let mut make = || {
        let out: (*mut CK_ULONG, *mut CK_ULONG) = (&mut first, &mut second);
        c!(caller, C_GenerateKeyPair, desk.session, &mut mechanism, a, a_count, b, b_count, out.0, out.1)
    };
    assert_eq!(make(), CKR_DEVICE_ERROR);
    let label = Template::default().with(CKA_LABEL, b"half");
    assert_eq!(caller.find(desk.session, label.clone()).len(), 2, "both keys are on the token");
    desk.control.add("error 0 CKR_DEVICE_ERROR on C_GenerateKeyPair").unwrap();
    assert_eq!(make(), CKR_DEVICE_ERROR);
    assert_eq!(caller.find(desk.session, label.clone()).len(), 2, "nothing was made");
    assert_eq!(make(), CKR_OK);
    assert_eq!(caller.find(desk.session, label).len(), 4);
}

#[test]
fn lost_sessions_are_closed_and_the_token_stays() {
    let desk = Desk::new();
    let other = desk.caller().open(0, 0);
    desk.control.add("lose 0 on C_Sign").unwrap();
    assert_eq!(desk.sign(), Err(CKR_SESSION_CLOSED));
    assert_eq!(desk.sign(), Err(CKR_SESSION_HANDLE_INVALID));
    assert_eq!(
        c!(desk.caller(), C_GetSessionInfo, other, &mut CK_SESSION_INFO::default()),
        CKR_SESSION_HANDLE_INVALID
    );
    assert_eq!(desk.event(), Err(CKR_NO_EVENT));
    desk.signs_anew();
}

#[test]
fn a_garbled_signature_does_not_verify() {
    let desk = Desk::new();
    let caller = desk.caller();
    let verify = |signature: &[u8]| {
        caller.verify(desk.session, &mut plain(CKM_ECDSA), desk.public, &[7; 32], signature)
    };
    desk.control.add("garble 0 on C_Sign").unwrap();
    assert_eq!(verify(&desk.sign().unwrap()), CKR_SIGNATURE_INVALID);
    assert_eq!(verify(&desk.sign().unwrap()), CKR_OK);
}

#[test]
fn a_buggy_token_keeps_operations_that_failed() {
    let desk = Desk::new();
    let caller = desk.caller();
    let (mut out, mut length) = ([0_u8; 64], 64);
    let mut wrong = |session| c!(caller, C_Sign, session, [1].as_mut_ptr(), 0, out.as_mut_ptr(), &mut length);
    let begin = |session| c!(caller, C_SignInit, session, &mut plain(CKM_ECDSA), desk.private);

    // A sound token lets go.
    assert_eq!((begin(desk.session), wrong(desk.session)), (CKR_OK, CKR_DATA_LEN_RANGE));
    assert_eq!((begin(desk.session), wrong(desk.session)), (CKR_OK, CKR_DATA_LEN_RANGE));

    desk.control.add("buggy 0").unwrap();
    assert_eq!((begin(desk.session), wrong(desk.session)), (CKR_OK, CKR_DATA_LEN_RANGE));
    assert_eq!(begin(desk.session), CKR_OPERATION_ACTIVE);
    assert_eq!(begin(desk.session), CKR_OPERATION_ACTIVE);
    assert_eq!(wrong(desk.session), CKR_FUNCTION_FAILED);
    assert_eq!(begin(desk.session), CKR_OK);
    assert_eq!(wrong(desk.session), CKR_DATA_LEN_RANGE);
    // Errors of other rules stay too, and a new session is free of them.
    let session = caller.open(0, CKF_RW_SESSION);
    assert!(desk.sign_with(session, desk.private).is_ok());
    desk.control.add("error 0 CKR_FUNCTION_FAILED on C_Sign").unwrap();
    assert_eq!(desk.sign_with(session, desk.private), Err(CKR_FUNCTION_FAILED));
    assert_eq!(desk.sign_with(session, desk.private), Err(CKR_OPERATION_ACTIVE));
    ok!(caller, C_CloseSession, session);
    let session = caller.open(0, CKF_RW_SESSION);
    assert!(desk.sign_with(session, desk.private).is_ok());
}

#[test]
fn latency_holds_up_the_calls_it_names_and_no_others() {
    // Long, so that a busy machine does not make eight at a time look like eight in turn.
    const HELD: Duration = Duration::from_millis(1000);
    let desk = Desk::new();
    desk.control.add(&format!("latency 0 {} on C_Sign", HELD.as_millis())).unwrap();
    let start = Instant::now();
    assert!(desk.sign().is_ok());
    assert!(start.elapsed() >= HELD);
    let threads = Instant::now();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let session = desk.caller().open(0, 0);
                assert!(desk.sign_with(session, desk.private).is_ok());
            });
        }
    });
    assert!(threads.elapsed() < 8 * HELD, "calls are held up side by side");
    desk.control.add("latency 0 600000 on C_Verify").unwrap();
    assert_eq!(desk.control.rules().unwrap().len(), 1, "one latency takes the other's place");
    assert!(desk.sign().is_ok());
}

#[test]
fn a_hanging_call_ends_when_the_token_is_pulled_the_fault_lifted_or_the_library_finalised() {
    for end in 0..3 {
        let desk = Desk::new();
        desk.control.add("latency 0 600000 on C_Sign").unwrap();
        let (begun, begins) = mpsc::channel();
        let code = thread::scope(|scope| {
            let signing = scope.spawn(|| {
                ok!(desk.caller(), C_SignInit, desk.session, &mut plain(CKM_ECDSA), desk.private);
                begun.send(()).unwrap();
                let (mut digest, mut out, mut length) = ([7_u8; 32], [0_u8; 64], 64);
                let out = (out.as_mut_ptr(), &mut length);
                c!(desk.caller(), C_Sign, desk.session, digest.as_mut_ptr(), 32, out.0, out.1)
            });
            begins.recv().unwrap();
            match end {
                0 => desk.control.add("pull 0").unwrap(),
                1 => desk.control.clear(Some(0)).unwrap(),
                _ => ok!(desk.caller(), C_Finalize, null_mut()),
            }
            signing.join().unwrap()
        });
        assert_eq!(code, [CKR_DEVICE_REMOVED, CKR_OK, CKR_CRYPTOKI_NOT_INITIALIZED][end]);
    }
}

#[test]
fn a_crash_takes_the_process_and_leaves_the_token_whole() {
    if let Some(folder) = crate::processes::child_folder() {
        let caller = Caller::start(&folder);
        let session = caller.user_session();
        caller.curve_pair(session, P256, "never");
        unreachable!("the library aborts");
    }
    let desk = Desk::new();
    desk.control.add("crash 0 on C_GenerateKeyPair").unwrap();
    let test = "faults::a_crash_takes_the_process_and_leaves_the_token_whole";
    let status = crate::processes::spawn_test(test, desk.bench.path(), "").wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(6), "SIGABRT");
    assert!(desk.sign().is_ok());
    assert!(desk.caller().find(desk.session, Template::default().with(CKA_LABEL, b"never")).is_empty());
    assert_eq!(desk.control.rules().unwrap(), [], "the rule went with its one time");
}

#[test]
fn a_locked_pin_is_locked_until_the_security_officer_sets_it() {
    let desk = Desk::new();
    let caller = desk.caller();
    desk.control.lock(0, Role::User).unwrap();
    assert!(desk.sign().is_ok(), "who is logged in stays so");
    ok!(caller, C_Logout, desk.session);
    assert_eq!(caller.login(desk.session, CKU_USER, USER_PIN), CKR_PIN_LOCKED);
    assert_eq!(caller.token_info(0).flags & CKF_USER_PIN_LOCKED, CKF_USER_PIN_LOCKED);
    assert_eq!(caller.login(desk.session, CKU_SO, OFFICER_PIN), CKR_OK);
    ok!(caller, C_InitPIN, desk.session, USER_PIN.as_ptr().cast_mut(), USER_PIN.len() as CK_ULONG);
    ok!(caller, C_Logout, desk.session);
    assert_eq!(caller.login(desk.session, CKU_USER, USER_PIN), CKR_OK);
    ok!(caller, C_Logout, desk.session);
    desk.control.lock(0, Role::Officer).unwrap();
    assert_eq!(caller.login(desk.session, CKU_SO, OFFICER_PIN), CKR_PIN_LOCKED);
    desk.control.unlock(0, Role::Officer).unwrap();
    assert_eq!(caller.login(desk.session, CKU_SO, OFFICER_PIN), CKR_OK);
    assert!(desk.control.lock(1, Role::User).is_err(), "there is no token in slot 1");
}

#[test]
fn a_damaged_store_is_an_error_until_it_is_repaired() {
    let desk = Desk::new();
    let before = desk.bench.file();
    desk.control.damage(0).unwrap();
    desk.control.damage(0).unwrap();
    assert_ne!(desk.bench.file(), before);
    assert_eq!(desk.sign(), Err(CKR_DEVICE_ERROR));
    let data = Template::default().number(CKA_CLASS, CKO_DATA).flag(CKA_TOKEN, true);
    assert_eq!(desk.caller().create(desk.session, data), Err(CKR_DEVICE_ERROR));
    desk.control.repair(0).unwrap();
    assert_eq!(desk.bench.file(), before);
    assert!(desk.sign().is_ok(), "sessions go on");
    assert!(desk.control.repair(0).is_err(), "there is nothing to repair");
}

#[test]
fn a_copy_that_was_left_behind_replaces_no_whole_token() {
    let desk = Desk::new();
    let copy = desk.bench.file();
    // As a crash between the two files of `damage` or of `repair` leaves it.
    std::fs::write(desk.bench.path().join("token-0.whole"), &copy).unwrap();
    let data = Template::default().number(CKA_CLASS, CKO_DATA).flag(CKA_TOKEN, true);
    desk.caller().create(desk.session, data).unwrap();
    let newer = desk.bench.file();
    assert_ne!(newer, copy);
    desk.control.repair(0).unwrap();
    assert_eq!(desk.bench.file(), newer, "the token was whole");
    std::fs::write(desk.bench.path().join("token-0.whole"), &copy).unwrap();
    desk.control.damage(0).unwrap();
    assert_eq!(desk.sign(), Err(CKR_DEVICE_ERROR), "damaged all the same");
    desk.control.repair(0).unwrap();
    assert_eq!(desk.bench.file(), newer);
}

#[test]
fn a_control_file_that_cannot_be_read_is_an_error_and_not_no_faults() {
    let desk = Desk::new();
    for text in ["", "hsm-sim faults 2\n", "hsm-sim faults 1\npull zero\n", "pull 0\n"] {
        std::fs::write(desk.bench.path().join("faults"), text).unwrap();
        assert_eq!(desk.sign(), Err(CKR_DEVICE_ERROR), "{text:?}");
        assert!(desk.control.add("buggy 0").is_err());
    }
    desk.control.clear(None).unwrap();
    assert!(desk.sign().is_ok());
}

#[test]
fn a_rule_with_one_time_fires_in_one_process_only() {
    let desk = Desk::new();
    let other = Caller::start(desk.bench.path());
    let session = other.user_session();
    desk.control.add("error 0 CKR_DEVICE_ERROR on C_GetSessionInfo").unwrap();
    let codes = [
        c!(desk.caller(), C_GetSessionInfo, desk.session, &mut CK_SESSION_INFO::default()),
        c!(other, C_GetSessionInfo, session, &mut CK_SESSION_INFO::default()),
    ];
    assert_eq!(codes, [CKR_DEVICE_ERROR, CKR_OK]);
}

#[test]
fn slot_events_wake_who_waits() {
    let desk = Desk::new();
    let wait = || {
        let mut slot = 99;
        (c!(desk.caller(), C_WaitForSlotEvent, 0, &mut slot, null_mut()), slot)
    };
    let mut byte = 0_u8;
    let reserved = (&raw mut byte).cast();
    assert_eq!(c!(desk.caller(), C_WaitForSlotEvent, CKF_DONT_BLOCK, &mut 0, reserved), CKR_ARGUMENTS_BAD);
    assert_eq!(
        c!(desk.caller(), C_WaitForSlotEvent, CKF_DONT_BLOCK, null_mut(), null_mut()),
        CKR_ARGUMENTS_BAD
    );
    assert_eq!(desk.event(), Err(CKR_NO_EVENT));
    // By the control file.
    desk.control.add("pull 2").unwrap();
    assert_eq!(wait(), (CKR_OK, 2));
    // By another process that makes a token.
    let other = Caller::start(desk.bench.path());
    assert_eq!(other.init_token(3, OFFICER_PIN, "new"), CKR_OK);
    assert_eq!(wait(), (CKR_OK, 3));
    assert_eq!(other.init_token(0, OFFICER_PIN, "anew"), CKR_OK);
    assert_eq!(wait(), (CKR_OK, 0));
    assert_eq!(desk.sign(), Err(CKR_DEVICE_REMOVED));
    // What this application does itself is no event to it.
    assert_eq!(desk.caller().init_token(1, OFFICER_PIN, "own"), CKR_OK);
    assert_eq!(desk.event(), Err(CKR_NO_EVENT));
    // While it waits.
    thread::scope(|scope| {
        let waiting = scope.spawn(wait);
        desk.control.plug(2).unwrap();
        assert_eq!(waiting.join().unwrap(), (CKR_OK, 2));
        let waiting = scope.spawn(wait);
        // If it comes first, the answer is the same.
        ok!(desk.caller(), C_Finalize, null_mut());
        assert_eq!(waiting.join().unwrap().0, CKR_CRYPTOKI_NOT_INITIALIZED);
    });
}

#[test]
fn the_tool_writes_what_the_library_reads() {
    let desk = Desk::new();
    let tool = |words: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_hsm-fault"))
            .arg("--dir")
            .arg(desk.bench.path())
            .args(words.split_whitespace())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    };
    let done = (0, String::new());
    assert_eq!(tool("error 0 CKR_DEVICE_ERROR on C_Sign"), done);
    assert_eq!(tool("show"), (0, "error 0 CKR_DEVICE_ERROR on C_Sign at 1 times 1\n".into()));
    assert_eq!(desk.sign(), Err(CKR_DEVICE_ERROR));
    assert_eq!(tool("show"), done);
    assert_eq!(
        (tool("latency 1 5"), tool("buggy 0"), tool("clear 1")),
        (done.clone(), done.clone(), done.clone())
    );
    assert_eq!(tool("show").1, "buggy 0\n");
    assert_eq!(tool("clear"), done);
    assert_eq!((tool("damage 0"), desk.sign()), (done.clone(), Err(CKR_DEVICE_ERROR)));
    assert_eq!((tool("repair 0"), desk.sign().is_ok()), (done.clone(), true));
    assert_eq!((tool("pull 0"), desk.sign()), (done.clone(), Err(CKR_DEVICE_REMOVED)));
    assert_eq!(tool("plug 0"), done);
    assert_eq!(tool("lock 0 user"), done);
    let session = desk.caller().open(0, 0);
    assert_eq!(desk.caller().login(session, CKU_USER, USER_PIN), CKR_PIN_LOCKED);
    assert_eq!(tool("unlock 0 user"), done);
    assert_eq!(desk.caller().login(session, CKU_USER, USER_PIN), CKR_OK);
    for usage in ["pull", "pull 9", "plug", "lock 0", "lock 0 me", "push 0", "show 0", "error 0 CKR_NONSENSE"]
    {
        let (code, text) = tool(usage);
        assert_eq!(code, 2, "{usage}: {text}");
        assert!(text.contains("usage: hsm-fault"), "{text}");
    }
    let (code, text) = tool("repair 0");
    assert!(code == 1 && text.contains("has no whole copy"), "{text}");
}

#[test]
fn random_faults_leave_whole_keys_and_a_token_that_recovers() {
    const CALLS: [&str; 8] = [
        "use",
        "any",
        "C_Sign",
        "C_SignInit",
        "C_GenerateKeyPair",
        "C_FindObjectsInit",
        "C_FindObjects",
        "C_Login",
    ];
    let desk = Desk::new();
    let mut random = crate::hostile::Random::new();
    let (mut done, mut failed) = (0, 0);
    for _ in 0..100 {
        let calls = CALLS[random.below(CALLS.len())];
        let after = ["", " after"][random.below(2)];
        let rule = match random.below(8) {
            0 => "pull 0".to_owned(),
            1 => format!("pull 0 on {calls}{after}"),
            2 => format!("lose 0 on {calls}{after}"),
            3 => format!("garble 0 on {calls}"),
            4 => "buggy 0".to_owned(),
            5 => format!("latency 0 1 on {calls}"),
            6 => format!("error 0 CKR_DEVICE_ERROR on {calls} times 2{after}"),
            _ => format!("error 0 CKR_FUNCTION_FAILED on {calls} at 2{after}"),
        };
        desk.control.add(&rule).unwrap();
        for _ in 0..3 {
            match try_all(desk.caller()) {
                Ok(()) => done += 1,
                Err(code) => {
                    failed += 1;
                    assert!(code != CKR_GENERAL_ERROR && code != CKR_ARGUMENTS_BAD, "{rule}: {code:#x}");
                }
            }
        }
        if random.below(3) == 0 {
            desk.control.clear(None).unwrap();
        }
    }
    println!("{done} rounds done, {failed} failed");
    assert!(done > 20 && failed > 20);
    desk.control.clear(None).unwrap();
    c!(desk.caller(), C_CloseAllSessions, 0);
    desk.signs_anew();
    let session = desk.caller().open(0, 0);
    let count = |class| desk.caller().find(session, Template::default().number(CKA_CLASS, class)).len();
    assert_eq!(count(CKO_PRIVATE_KEY), count(CKO_PUBLIC_KEY), "pairs are whole");
    assert_eq!(hsm_sim::check_token_file(&desk.bench.file()), Ok(()));
}

/// What a caller does that expects nothing: a fresh session, log in, make a pair, find a key, sign.
fn try_all(caller: &Caller) -> Result<(), CK_RV> {
    let is_ok = |code| if code == CKR_OK { Ok(()) } else { Err(code) };
    let mut session = 0;
    is_ok(c!(caller, C_OpenSession, 0, CKF_SERIAL_SESSION | CKF_RW_SESSION, null_mut(), None, &mut session))?;
    let tried = (|| {
        match caller.login(session, CKU_USER, USER_PIN) {
            CKR_USER_ALREADY_LOGGED_IN => {}
            code => is_ok(code)?,
        }
        let on_token = Template::default().flag(CKA_TOKEN, true);
        let (mut public, mut private) = (on_token.clone().with(CKA_EC_PARAMS, P256), on_token);
        let ((a, a_count), (b, b_count)) = (public.raw(), private.raw());
        let (mut first, mut second, mut mechanism) = (0, 0, plain(CKM_EC_KEY_PAIR_GEN));
        let out: (*mut CK_ULONG, *mut CK_ULONG) = (&mut first, &mut second);
        is_ok(c!(caller, C_GenerateKeyPair, session, &mut mechanism, a, a_count, b, b_count, out.0, out.1))?;
        let mut wanted = Template::default().number(CKA_CLASS, CKO_PRIVATE_KEY);
        let ((entries, count), mut key, mut found) = (wanted.raw(), 0, 0);
        is_ok(c!(caller, C_FindObjectsInit, session, entries, count))?;
        is_ok(c!(caller, C_FindObjects, session, &mut key, 1, &mut found))?;
        is_ok(c!(caller, C_FindObjectsFinal, session))?;
        is_ok(c!(caller, C_SignInit, session, &mut plain(CKM_ECDSA), key))?;
        let (mut digest, mut out, mut length) = ([7_u8; 32], [0_u8; 64], 64);
        is_ok(c!(caller, C_Sign, session, digest.as_mut_ptr(), 32, out.as_mut_ptr(), &mut length))
    })();
    c!(caller, C_CloseSession, session);
    tried
}
