//! Several processes on one token, and processes that are killed. Each test starts itself again as its child.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cryptoki_sys::*;

use crate::caller::{Bench, Caller, OFFICER_PIN, SECP256K1, Template, USER_PIN, c, ok, plain};

const FOLDER: &str = "HSM_SIM_TEST_CHILD_FOLDER";
const NAME: &str = "HSM_SIM_TEST_CHILD_NAME";

/// The folder, if this process is a child.
pub(crate) fn child_folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

fn spawn(test: &str, folder: &Path, name: &str) -> Child {
    spawn_test(&format!("processes::{test}"), folder, name)
}

/// Starts one test of this executable again, as a child.
pub(crate) fn spawn_test(test: &str, folder: &Path, name: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(NAME, name)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_kill_does_not_give_back_a_guess() {
    if let Some(folder) = child_folder() {
        let caller = Caller::start(&folder);
        let session = caller.open(0, CKF_RW_SESSION);
        let code = caller.login(session, CKU_USER, b"a guess");
        assert_eq!(code, CKR_PIN_INCORRECT);
        // A guess that was answered counts as much as one that was cut off.
        std::process::exit(0);
    }
    let bench = Bench::new();
    for _ in 0..5 {
        let before = bench.file();
        let mut child = spawn("a_kill_does_not_give_back_a_guess", bench.path(), "");
        // The count is on disk before Argon2 starts, which takes far longer than this loop's turn.
        while bench.file() == before && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let caller = &bench.caller;
    assert_eq!(caller.token_info(0).flags & CKF_USER_PIN_LOCKED, CKF_USER_PIN_LOCKED);
    let session = caller.open(0, CKF_RW_SESSION);
    assert_eq!(caller.login(session, CKU_USER, USER_PIN), CKR_PIN_LOCKED);
    assert_eq!(caller.login(session, CKU_SO, OFFICER_PIN), CKR_OK);
}

#[test]
fn two_processes_write_at_once_and_nothing_is_lost() {
    const KEYS: usize = 12;
    if let Some(folder) = child_folder() {
        let name = std::env::var(NAME).unwrap();
        let caller = Caller::start(&folder);
        let session = caller.user_session();
        for index in 0..KEYS {
            let label = format!("{name}-{index}");
            let (public, private) = caller.curve_pair(session, SECP256K1, &label);
            let signature = caller.sign(session, &mut plain(CKM_ECDSA), private, &[7; 32]).unwrap();
            assert_eq!(caller.verify(session, &mut plain(CKM_ECDSA), public, &[7; 32], &signature), CKR_OK);
        }
        std::process::exit(0);
    }
    let bench = Bench::new();
    let session = bench.caller.user_session();
    let names = ["a", "b", "c"];
    let children =
        names.map(|name| spawn("two_processes_write_at_once_and_nothing_is_lost", bench.path(), name));
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    // The session that was open all the time sees them without logging in again, and can use them.
    for name in names {
        for index in 0..KEYS {
            let label = Template::default().with(CKA_LABEL, format!("{name}-{index}").as_bytes());
            let private = label.clone().number(CKA_CLASS, CKO_PRIVATE_KEY);
            assert_eq!(bench.caller.find(session, label).len(), 2);
            let key = bench.caller.find(session, private)[0];
            bench.caller.sign(session, &mut plain(CKM_ECDSA), key, &[7; 32]).unwrap();
        }
    }
    assert_eq!(hsm_sim::check_token_file(&bench.file()), Ok(()));
}

#[test]
fn writers_killed_at_any_moment_leave_a_whole_token() {
    if let Some(folder) = child_folder() {
        let caller = Caller::start(&folder);
        let session = caller.user_session();
        println!("ready");
        loop {
            caller.curve_pair(session, SECP256K1, "k");
        }
    }
    let bench = Bench::new();
    let mut known = 0;
    for round in 0..6 {
        let mut child = spawn("writers_killed_at_any_moment_leave_a_whole_token", bench.path(), "");
        let mut stdout = child.stdout.take().unwrap();
        let (mut seen, mut byte) = (Vec::new(), [0]);
        while !seen.ends_with(b"ready") && stdout.read(&mut byte).unwrap() == 1 {
            seen.push(byte[0]);
        }
        let mut writes = 0;
        let mut last = bench.file();
        while writes < 3 + round {
            let now = bench.file();
            writes += usize::from(now != last);
            last = now;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let session = bench.caller.user_session();
        let keys = bench.caller.find(session, Template::default().number(CKA_CLASS, CKO_PRIVATE_KEY));
        let public = bench.caller.find(session, Template::default().number(CKA_CLASS, CKO_PUBLIC_KEY));
        assert_eq!(keys.len(), public.len());
        assert!(keys.len() > known);
        known = keys.len();
        bench.caller.sign(session, &mut plain(CKM_ECDSA), keys[known - 1], &[7; 32]).unwrap();
        ok!(bench.caller, C_CloseSession, session);
    }
}

#[test]
fn a_token_made_anew_by_another_process_loses_its_sessions() {
    let bench = Bench::new();
    let session = bench.caller.user_session();
    let (_, key) = bench.caller.curve_pair(session, SECP256K1, "k");
    let other = Caller::start(bench.path());
    assert_eq!(other.init_token(0, OFFICER_PIN, "anew"), CKR_OK);
    assert_eq!(c!(bench.caller, C_SignInit, session, &mut plain(CKM_ECDSA), key), CKR_DEVICE_REMOVED);
    assert_eq!(c!(bench.caller, C_SignInit, session, &mut plain(CKM_ECDSA), key), CKR_SESSION_HANDLE_INVALID);
    assert!(bench.caller.token_info(0).label.starts_with(b"anew"));
}

#[test]
fn what_one_process_destroys_the_other_no_longer_has() {
    let bench = Bench::new();
    let session = bench.caller.user_session();
    let (public, private) = bench.caller.curve_pair(session, SECP256K1, "k");
    let other = Caller::start(bench.path());
    let their = other.user_session();
    let theirs = other.find(their, Template::default().number(CKA_CLASS, CKO_PRIVATE_KEY))[0];
    // A signature that was begun before is ended.
    ok!(bench.caller, C_SignInit, session, &mut plain(CKM_ECDSA), private);
    ok!(other, C_DestroyObject, their, theirs);
    let (mut digest, mut out, mut length) = ([7_u8; 32], [0_u8; 64], 64);
    ok!(bench.caller, C_Sign, session, digest.as_mut_ptr(), 32, out.as_mut_ptr(), &mut length);
    assert_eq!(bench.caller.verify(session, &mut plain(CKM_ECDSA), public, &digest, &out), CKR_OK);
    let mut mechanism = plain(CKM_ECDSA);
    assert_eq!(c!(bench.caller, C_SignInit, session, &mut mechanism, private), CKR_KEY_HANDLE_INVALID);
    assert_eq!(bench.caller.find(session, Template::default()), [public]);
}

#[test]
fn a_reader_sees_whole_objects_while_another_process_writes() {
    const LABELS: [&[u8]; 2] = [b"a", b"a much longer label than the other one"];
    const LONG: Duration = Duration::from_secs(120);
    if let Some(folder) = child_folder() {
        let caller = Caller::start(&folder);
        let session = caller.user_session();
        let key = caller.find(session, Template::default().number(CKA_CLASS, CKO_PRIVATE_KEY))[0];
        let (enough, began) = (std::env::var(NAME).unwrap(), Instant::now());
        for label in LABELS.into_iter().cycle() {
            let mut template = Template::default().with(CKA_LABEL, label);
            let (entries, count) = template.raw();
            ok!(caller, C_SetAttributeValue, session, key, entries, count);
            if Path::new(&enough).exists() {
                std::process::exit(0);
            }
            assert!(began.elapsed() < LONG, "nobody looks");
        }
    }
    let bench = Bench::new();
    let session = bench.caller.user_session();
    let (_, key) = bench.caller.curve_pair(session, SECP256K1, "a");
    let beside = tempfile::tempdir().unwrap();
    let enough = beside.path().join("enough");
    let test = "a_reader_sees_whole_objects_while_another_process_writes";
    let mut child = spawn(test, bench.path(), enough.to_str().unwrap());
    let (mut changes, mut last, began) = (0, 1, Instant::now());
    while changes < 16 {
        assert!(child.try_wait().unwrap().is_none() && began.elapsed() < LONG, "{changes} changes seen");
        // Asked for in one call: a length from one moment and a value from another would not be ours to mend.
        let mut label = [0_u8; 64];
        let mut entry = CK_ATTRIBUTE { type_: CKA_LABEL, pValue: label.as_mut_ptr().cast(), ulValueLen: 64 };
        ok!(bench.caller, C_GetAttributeValue, session, key, &mut entry, 1);
        assert!(LABELS.contains(&&label[..entry.ulValueLen as usize]));
        changes += usize::from(entry.ulValueLen != last);
        last = entry.ulValueLen;
        bench.caller.sign(session, &mut plain(CKM_ECDSA), key, &[7; 32]).unwrap();
    }
    std::fs::write(&enough, "").unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn guesses_of_several_processes_at_once_are_counted_together() {
    let bench = Bench::new();
    let callers: Vec<Caller> = (0..8).map(|_| Caller::start(bench.path())).collect();
    let mut codes: Vec<CK_RV> = std::thread::scope(|scope| {
        let guess = |caller: &Caller| caller.login(caller.open(0, 0), CKU_USER, b"a wrong PIN");
        let threads: Vec<_> = callers.iter().map(|caller| scope.spawn(move || guess(caller))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    codes.sort_unstable();
    assert_eq!(codes, [[CKR_PIN_INCORRECT; 5].as_slice(), &[CKR_PIN_LOCKED; 3]].concat());
}

#[test]
fn two_processes_that_make_the_same_token_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let pins: [&[u8]; 2] = [b"officer-one", b"officer-two"];
    let callers = pins.map(|pin| (Caller::start(folder.path()), pin));
    let codes = std::thread::scope(|scope| {
        let threads = callers.each_ref().map(|(caller, pin)| scope.spawn(|| caller.init_token(0, pin, "t")));
        threads.map(|thread| thread.join().unwrap())
    });
    let first = codes.iter().position(|code| *code == CKR_OK).expect("one of them makes it");
    assert_eq!(codes[1 - first], CKR_PIN_INCORRECT, "to the other it is a token that exists");
    let (caller, pin) = &callers[1 - first];
    let session = caller.open(0, CKF_RW_SESSION);
    assert_eq!(caller.login(session, CKU_SO, pin), CKR_PIN_INCORRECT);
    assert_eq!(caller.login(session, CKU_SO, pins[first]), CKR_OK);
}

#[test]
fn a_pin_changed_by_another_process_counts_here() {
    let bench = Bench::new();
    let other = Caller::start(bench.path());
    let session = other.open(0, CKF_RW_SESSION);
    let (old, new) = (USER_PIN, b"elsewhere-1");
    let (old, old_length) = (old.as_ptr().cast_mut(), old.len() as CK_ULONG);
    ok!(other, C_SetPIN, session, old, old_length, new.as_ptr().cast_mut(), new.len() as CK_ULONG);
    let session = bench.caller.open(0, 0);
    assert_eq!(bench.caller.login(session, CKU_USER, USER_PIN), CKR_PIN_INCORRECT);
    assert_eq!(bench.caller.login(session, CKU_USER, new), CKR_OK);
}

#[test]
fn a_token_made_anew_by_another_takes_sessions_and_handles_with_it() {
    let bench = Bench::new();
    let caller = &bench.caller;
    let session = caller.user_session();
    let public =
        Template::default().number(CKA_CLASS, CKO_DATA).flag(CKA_TOKEN, true).flag(CKA_PRIVATE, false);
    let old = caller.create(session, public.clone()).unwrap();
    let other = Caller::start(bench.path());
    assert_eq!(other.init_token(0, OFFICER_PIN, "anew"), CKR_OK);
    let pin = USER_PIN;
    let (bytes, length) = (pin.as_ptr().cast_mut(), pin.len() as CK_ULONG);
    let code = c!(caller, C_SetPIN, session, bytes, length, bytes, length);
    assert_eq!(code, CKR_DEVICE_REMOVED, "the session is told");
    let code = c!(caller, C_GetSessionInfo, session, &mut CK_SESSION_INFO::default());
    assert_eq!(code, CKR_SESSION_HANDLE_INVALID, "once, and is gone");
    let theirs = other.open(0, CKF_RW_SESSION);
    assert_eq!(other.login(theirs, CKU_SO, OFFICER_PIN), CKR_OK);
    let data = other.create(theirs, public).unwrap();
    assert!(data > 0);
    let again = caller.open(0, 0);
    let mut size = 0;
    assert_eq!(c!(caller, C_GetObjectSize, again, old, &mut size), CKR_OBJECT_HANDLE_INVALID);
}
