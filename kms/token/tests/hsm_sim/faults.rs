//! The bundled token fails on purpose, inside each job: a typed error in bounded time, nothing half-made, and the room
//! goes on by itself once the token is back. In this process and in a child.
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use keyward_domain::scheme::{Scheme, verify_digest};
use keyward_token::{HostProgram, KeyKind, LANES, Module, Payload, TokenError, TokenKey};
use zeroize::Zeroizing;

use crate::contract::clauses::{kill, until};
use crate::contract::{self, Fixture, LABEL, PIN, pin};

/// No answer takes longer than this, with the deadlines that are given here.
pub(crate) const BOUND: Duration = Duration::from_secs(60);
pub(crate) const DIGEST: [u8; 32] = [7; 32];

macro_rules! clauses {
    ($adapter:ident: $($clause:ident),+ $(,)?) => {
        $(
            #[test]
            fn $clause() {
                let module = module_path!().split_once("::").unwrap().1;
                let test = format!("{module}::{}", stringify!($clause));
                crate::contract::in_own_process(&crate::$adapter, &test, super::$clause);
            }
        )+
    };
}
pub(crate) use clauses;

mod here {
    clauses!(HERE:
        errors_inside_each_job_are_typed_and_over_with_the_fault,
        one_lost_session_is_made_good_unseen,
        pulled_inside_each_job_and_back_without_a_new_login,
        operation_left_active_does_not_stop_the_next_one,
        pair_that_was_made_without_an_answer_is_removed,
        locked_pin_is_not_tried_and_serves_again_when_unlocked,
        pin_changed_elsewhere_is_given_once,
        damaged_store_is_told_and_serves_again_when_repaired,
        hanging_call_is_named_and_the_room_goes_on_after_it,
    );
}

mod hosted {
    clauses!(HOSTED:
        errors_inside_each_job_are_typed_and_over_with_the_fault,
        one_lost_session_is_made_good_unseen,
        pulled_inside_each_job_and_back_without_a_new_login,
        operation_left_active_does_not_stop_the_next_one,
        pair_that_was_made_without_an_answer_is_removed,
        locked_pin_is_not_tried_and_serves_again_when_unlocked,
        pin_changed_elsewhere_is_given_once,
        damaged_store_is_told_and_serves_again_when_repaired,
        crash_inside_each_job_ends_the_child_alone,
        child_killed_inside_each_job_is_replaced,
        hanging_child_is_ended_and_replaced,
        each_child_is_blamed_for_its_own_end,
        last_words_of_a_child_reach_whoever_waits,
        refused_pin_is_not_given_to_the_next_child,
        child_ends_with_its_parents_handle,
    );
}

pub(crate) type Job = (&'static str, fn(&World<'_>) -> Result<(), TokenError>);

/// Everything a service does with a token.
pub(crate) const JOBS: [Job; 6] = [
    ("sign", |w| {
        let public = w.key.public_key(Scheme::EcdsaP256).unwrap();
        let signature =
            w.module.sign(&w.f.token, &w.key.id, Scheme::EcdsaP256, Payload::Digest(DIGEST)).wait()?;
        verify_digest(public, &DIGEST, &signature).unwrap();
        Ok(())
    }),
    ("seal", |w| {
        let plain = Zeroizing::new(vec![9; 32]);
        w.module.encrypt(&w.f.token, "kek", [1; 12], b"name", plain).wait().map(|_| ())
    }),
    ("open", |w| {
        let opened = w.module.decrypt(&w.f.token, "kek", [7; 12], b"name", &w.sealed).wait()?;
        assert_eq!(*opened, [3; 32]);
        Ok(())
    }),
    ("make a key", |w| {
        let made = w.module.generate_key(&w.f.token, KeyKind::P256, "made").wait()?;
        let removed = w.module.keys(&w.f.token).wait()?.into_iter().filter(|key| key.label == "made").count();
        assert_eq!(removed, 1);
        destroy(w.f, &made.id);
        Ok(())
    }),
    ("make a key-encryption key", |w| {
        match w.module.generate_kek(&w.f.token, "kek 2").wait() {
            Ok(()) => assert!(w.module.destroy_kek(&w.f.token, "kek 2").wait()?),
            // The answer before this one was lost, not the key: it is one object, and stays.
            Err(TokenError::KeyExists { .. }) => assert!(w.module.destroy_kek(&w.f.token, "kek 2").wait()?),
            Err(error) => return Err(error),
        }
        Ok(())
    }),
    ("find a key", |w| w.module.find_key(&w.f.token, "p", &[]).wait().map(|_| ())),
];

/// A token with a key, a key-encryption key and something sealed.
pub(crate) struct World<'a> {
    f: &'a Fixture,
    pub(crate) module: Module,
    pub(crate) key: TokenKey,
    sealed: Vec<u8>,
}

impl<'a> World<'a> {
    pub(crate) fn new(f: &'a Fixture) -> Self {
        Self::on(f, f.module.clone())
    }

    pub(crate) fn on(f: &'a Fixture, module: Module) -> Self {
        let key = module.generate_key(&f.token, KeyKind::P256, "p").wait().unwrap();
        module.generate_kek(&f.token, "kek").wait().unwrap();
        let plain = Zeroizing::new(vec![3; 32]);
        let sealed = module.encrypt(&f.token, "kek", [7; 12], b"name", plain).wait().unwrap();
        Self { f, module, key, sealed }
    }

    /// Everything works, and nothing half-made is left.
    pub(crate) fn is_whole(&self, after: &str) {
        clear(self.f);
        for (name, job) in JOBS {
            job(self).unwrap_or_else(|error| panic!("{name} after {after}: {error:?}"));
        }
        let keys = self.module.keys(&self.f.token).wait().unwrap();
        assert_eq!(keys, std::slice::from_ref(&self.key), "after {after}");
    }
}

fn errors_inside_each_job_are_typed_and_over_with_the_fault(f: &Fixture) {
    let world = World::new(f);
    for code in
        ["CKR_DEVICE_ERROR", "CKR_GENERAL_ERROR", "CKR_HOST_MEMORY", "CKR_SESSION_CLOSED", "0x80000042"]
    {
        for when in ["", " after"] {
            for (name, job) in &JOBS[..5] {
                let rule = format!("error 0 {code} on use times always{when}");
                faults(f, &[&rule]);
                let error = bounded(name, || job(&world)).unwrap_err();
                // A general error is also how tokens say no: to an envelope, and to a kind of key.
                let typed = matches!(
                    error,
                    TokenError::Device { .. }
                        | TokenError::DecryptRefused { .. }
                        | TokenError::KindNotOffered { .. }
                );
                assert!(typed, "{name}, {rule}: {error:?}");
                clear(f);
                bounded(name, || job(&world))
                    .unwrap_or_else(|error| panic!("{name} after {rule}: {error:?}"));
            }
            world.is_whole(code);
        }
    }
}

fn one_lost_session_is_made_good_unseen(f: &Fixture) {
    let world = World::new(f);
    for rule in
        ["lose 0 on use", "error 0 CKR_DEVICE_ERROR on use", "error 0 CKR_SESSION_HANDLE_INVALID on use"]
    {
        for (name, job) in JOBS {
            faults(f, &[rule]);
            bounded(name, || job(&world)).unwrap_or_else(|error| panic!("{name}, {rule}: {error:?}"));
        }
        world.is_whole(rule);
    }
}

fn pulled_inside_each_job_and_back_without_a_new_login(f: &Fixture) {
    let world = World::new(f);
    for rule in ["pull 0 on use", "pull 0 on use after", "pull 0"] {
        for (name, job) in JOBS {
            if name == "find a key" && rule != "pull 0" {
                continue; // it uses no key
            }
            faults(f, &[rule]);
            let error = bounded(name, || job(&world)).unwrap_err();
            assert!(matches!(error, TokenError::TokenMissing { .. }), "{name}, {rule}: {error:?}");
            let error = bounded(name, || job(&world)).unwrap_err();
            assert!(matches!(error, TokenError::TokenMissing { .. }), "{name}, {rule}, again: {error:?}");
            world.is_whole(rule);
        }
    }
}

fn operation_left_active_does_not_stop_the_next_one(f: &Fixture) {
    let world = World::new(f);
    for _ in 0..2 * LANES {
        faults(f, &["buggy 0", "error 0 0x20 on C_Sign"]);
        let error = bounded("sign", || JOBS[0].1(&world)).unwrap_err();
        assert!(matches!(error, TokenError::Device { .. }), "{error:?}");
        bounded("sign", || JOBS[0].1(&world)).unwrap();
    }
    world.is_whole("operations left active");
}

fn pair_that_was_made_without_an_answer_is_removed(f: &Fixture) {
    let world = World::new(f);
    let rules = [
        "error 0 CKR_DEVICE_ERROR on C_GenerateKeyPair times always after",
        "error 0 0x50 on C_GenerateKeyPair after",
        "pull 0 on C_GenerateKeyPair after",
    ];
    for rule in rules {
        faults(f, &[rule]);
        let made = bounded("make a key", || {
            world.module.generate_key(&f.token, KeyKind::P256, "half").wait().map(|_| ())
        });
        assert!(made.is_err(), "{rule}");
        clear(f);
        let keys = world.module.keys(&f.token).wait().unwrap();
        assert_eq!(keys, std::slice::from_ref(&world.key), "{rule}");
        assert_eq!(objects(f, "half"), 0, "{rule}");
    }
    let made = world.module.generate_key(&f.token, KeyKind::P256, "half").wait().unwrap();
    assert_eq!(objects(f, "half"), 2);
    destroy(f, &made.id);
    world.is_whole("half-made keys");
}

fn locked_pin_is_not_tried_and_serves_again_when_unlocked(f: &Fixture) {
    let world = World::new(f);
    tool(f, &["lock", "0", "user"]);
    faults(f, &["lose 0 on use"]);
    for (name, job) in [JOBS[0], JOBS[0], JOBS[1], JOBS[5]] {
        let error = bounded(name, || job(&world)).unwrap_err();
        assert!(matches!(error, TokenError::PinLocked { .. }), "{name}: {error:?}");
    }
    tool(f, &["unlock", "0", "user"]);
    world.is_whole("an unlocked pin");
}

fn pin_changed_elsewhere_is_given_once(f: &Fixture) {
    let world = World::new(f);
    beside(f, |session| {
        session.set_pin(&AuthPin::from(PIN.to_owned()), &AuthPin::from(String::from("changed-pin"))).unwrap();
    });
    faults(f, &["lose 0 on use"]);
    let error = JOBS[0].1(&world).unwrap_err();
    assert!(matches!(error, TokenError::PinWrong { .. }), "{error:?}");
    for _ in 0..20 {
        let error = JOBS[0].1(&world).unwrap_err();
        assert!(matches!(error, TokenError::NotLoggedIn { .. }), "{error:?}");
        let error = world.module.login(&f.token, pin(PIN)).wait().unwrap_err();
        assert!(matches!(error, TokenError::PinRefusedBefore { .. }), "{error:?}");
    }
    world.module.login(&f.token, pin("changed-pin")).wait().unwrap();
    JOBS[0].1(&world).unwrap();
}

fn damaged_store_is_told_and_serves_again_when_repaired(f: &Fixture) {
    let world = World::new(f);
    let file = fs::read_dir(f.folder.join("store")).unwrap().map(|entry| entry.unwrap().path());
    let file = file.into_iter().find(|path| path.extension().is_some_and(|end| end == "hsm")).unwrap();
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    replace(&file, &damaged);
    for (name, job) in JOBS {
        let error = bounded(name, || job(&world)).unwrap_err();
        assert!(
            matches!(error, TokenError::Device { .. } | TokenError::TokenMissing { .. }),
            "{name}: {error:?}"
        );
    }
    replace(&file, &whole);
    world.is_whole("a repair");
}

fn hanging_call_is_named_and_the_room_goes_on_after_it(f: &Fixture) {
    let world = World::new(f);
    faults(f, &["latency 0 600000 on C_Sign"]);
    let hurried = world.module.with_deadline(Duration::from_secs(1));
    let sign = || hurried.sign(&f.token, &world.key.id, Scheme::EcdsaP256, Payload::Digest(DIGEST)).wait();
    let timed_out = || {
        let error = bounded("sign", || sign().map(|_| ())).unwrap_err();
        assert!(matches!(error, TokenError::Timeout { .. }), "{error:?}");
    };
    for _ in 0..=LANES {
        timed_out();
    }
    // Once every thread is inside the module, later jobs are answered in time, and say what keeps them. A job that began
    // too late on a busy machine has left its thread free.
    let began = Instant::now();
    let error = loop {
        match bounded("list", || hurried.tokens().wait().map(|_| ())) {
            Err(error) => break error,
            Ok(()) => assert!(began.elapsed() < BOUND, "a thread stays free"),
        }
        timed_out();
    };
    assert!(error.to_string().contains("to sign has lasted for"), "{error}");
    world.is_whole("a call that returned after all");
}

fn crash_inside_each_job_ends_the_child_alone(f: &Fixture) {
    let world = World::new(f);
    // Each crash makes the pause before the next child longer, so there are few of them.
    for (rule, jobs) in [("crash 0 on use", &JOBS[..4]), ("crash 0 on use after", &JOBS[3..4])] {
        for (name, job) in jobs {
            faults(f, &[rule]);
            let error = bounded(name, || job(&world)).unwrap_err();
            assert!(matches!(error, TokenError::HostEnded { .. }), "{name}, {rule}: {error:?}");
            assert_eq!(error.code(), "TOKEN_HOST_ENDED");
            eventually(&format!("{name} after {rule}"), || world.module.keys(&f.token).wait().map(|_| ()));
            world.is_whole(rule);
        }
    }
}

fn child_killed_inside_each_job_is_replaced(f: &Fixture) {
    const TRIES: usize = 64;
    let world = World::new(f);
    for (name, job) in &JOBS[..5] {
        // The call never ends by itself, so whoever is told that the child ended was killed inside of it; a signal
        // that came before the request is tried again, a little later.
        let told = (1..TRIES).any(|round_trips| {
            faults(f, &["latency 0 600000 on use"]);
            let child = world.module.host_process().unwrap();
            let ended = thread::scope(|scope| {
                let asked = scope.spawn(|| bounded(name, || job(&world)));
                for _ in 0..round_trips {
                    world.module.tokens().wait().unwrap();
                }
                kill(child);
                clear(f);
                asked.join().unwrap()
            });
            let told = matches!(ended, Err(TokenError::HostEnded { .. }));
            assert!(told || ended.is_ok(), "{name}: {ended:?}");
            eventually(name, || world.module.keys(&f.token).wait().map(|_| ()));
            world.is_whole(name);
            told
        });
        assert!(told, "{name} was never interrupted");
    }
}

fn hanging_child_is_ended_and_replaced(f: &Fixture) {
    let program = HostProgram { patience: Duration::from_millis(500), ..contract::host() };
    let module = Module::open_in_child(&f.path, program).unwrap();
    module.login(&f.token, pin(PIN)).wait().unwrap();
    let mut world = World::on(f, module.clone());
    world.module = module.with_deadline(Duration::from_secs(1));
    let child = world.module.host_process().unwrap();
    faults(f, &["latency 0 600000 on C_Sign"]);
    let error = bounded("sign", || JOBS[0].1(&world)).unwrap_err();
    assert!(matches!(error, TokenError::HostEnded { .. } | TokenError::Timeout { .. }), "{error:?}");
    until("another child", || world.module.host_process().is_some_and(|other| other != child));
    clear(f);
    world.module = module;
    eventually("sign", || JOBS[0].1(&world));
    world.is_whole("a hanging child");
}

fn each_child_is_blamed_for_its_own_end(f: &Fixture) {
    let world = World::new(f);
    let ends: Vec<_> = (0..3)
        .map(|_| {
            faults(f, &["crash 0 on C_Sign"]);
            let error = bounded("sign", || JOBS[0].1(&world)).unwrap_err();
            assert!(matches!(error, TokenError::HostEnded { .. }), "{error:?}");
            eventually("sign", || JOBS[0].1(&world));
            error.to_string()
        })
        .collect();
    assert!(ends[0].contains("signal: 6") && !ends[0].contains("not started"), "{ends:?}");
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
}

fn last_words_of_a_child_reach_whoever_waits(f: &Fixture) {
    let patience = Duration::from_secs(1);
    let program = HostProgram { patience, ..contract::host() };
    let module = Module::open_in_child(&f.path, program).unwrap();
    module.login(&f.token, pin(PIN)).wait().unwrap();
    let world = World::on(f, module);
    faults(f, &["latency 0 600000 on C_Sign"]);
    let sign = |module: &Module| {
        module.sign(&f.token, &world.key.id, Scheme::EcdsaP256, Payload::Digest(DIGEST)).wait()
    };
    thread::scope(|scope| {
        let patient = scope.spawn(|| sign(&world.module.with_deadline(BOUND)));
        let hurried = scope.spawn(|| sign(&world.module.with_deadline(patience)));
        // The child answers others until its end: a parent that kills children which say nothing leaves it alone.
        while !patient.is_finished() {
            let _answer = world.module.tokens().wait();
            thread::sleep(Duration::from_millis(20));
        }
        assert!(hurried.join().unwrap().is_err());
        let error = patient.join().unwrap().unwrap_err();
        assert!(matches!(error, TokenError::HostEnded { .. }), "{error:?}");
        assert!(error.to_string().contains("to sign has lasted for"), "{error}");
    });
}

fn refused_pin_is_not_given_to_the_next_child(f: &Fixture) {
    let wrong = || f.module.login(&f.token, pin("00000000")).wait().unwrap_err();
    assert!(matches!(wrong(), TokenError::PinWrong { .. }));
    for _ in 0..5 {
        let child = f.module.host_process().unwrap();
        kill(child);
        eventually("list", || f.module.tokens().wait().map(|_| ()));
        assert!(matches!(wrong(), TokenError::PinRefusedBefore { .. }));
    }
    let info = f.module.tokens().wait().unwrap().into_iter().find(|token| token.label == LABEL).unwrap();
    assert!(!info.pin_locked && !info.pin_final_try);
}

fn child_ends_with_its_parents_handle(f: &Fixture) {
    let module = contract::open(f.adapter, &f.path);
    let child = module.host_process().unwrap();
    assert!(Path::new(&format!("/proc/{child}")).exists());
    drop(module);
    until("the child's end", || !Path::new(&format!("/proc/{child}")).exists());
}

/// The result, if it came in time.
pub(crate) fn bounded<R>(name: &str, work: impl FnOnce() -> R) -> R {
    let began = Instant::now();
    let result = work();
    assert!(began.elapsed() < BOUND, "{name} took {:?}", began.elapsed());
    result
}

/// The next child takes a moment: until then, jobs are told so.
pub(crate) fn eventually(name: &str, mut work: impl FnMut() -> Result<(), TokenError>) {
    until(name, || match work() {
        Ok(()) => true,
        Err(TokenError::HostEnded { .. }) => false,
        Err(error) => panic!("{name}: {error:?}"),
    });
}

/// Replaces the control file of the simulator.
pub(crate) fn faults(f: &Fixture, rules: &[&str]) {
    let text = format!("hsm-sim faults 1\n{}\n", rules.join("\n"));
    replace(&f.folder.join("store/faults"), text.as_bytes());
}

/// The simulator's own tool, beside its library.
pub(crate) fn tool(f: &Fixture, arguments: &[&str]) {
    let mut folders = f.path.ancestors().skip(1).take(2);
    let tool = folders.find_map(|folder| Some(folder.join("hsm-fault")).filter(|tool| tool.is_file()));
    let tool = tool.expect("`hsm-fault` lies beside the module: build the package hsm-sim");
    let status =
        Command::new(tool).arg("--dir").arg(f.folder.join("store")).args(arguments).status().unwrap();
    assert!(status.success(), "hsm-fault {arguments:?}");
}

pub(crate) fn clear(f: &Fixture) {
    let file = f.folder.join("store/faults");
    if file.exists() {
        fs::remove_file(file).unwrap();
    }
}

fn replace(file: &Path, bytes: &[u8]) {
    let draft = file.with_extension("new");
    fs::write(&draft, bytes).unwrap();
    fs::rename(&draft, file).unwrap();
}

/// Looks at the token as another application does, from this process.
pub(crate) fn beside<R>(f: &Fixture, look: impl FnOnce(&cryptoki::session::Session) -> R) -> R {
    let library = Pkcs11::new(&f.path).unwrap();
    if f.adapter.hosted {
        let _started_before = library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    }
    let slots = library.get_slots_with_initialized_token().unwrap();
    let slot = slots.into_iter().find(|slot| library.get_token_info(*slot).unwrap().label() == LABEL);
    let session = library.open_rw_session(slot.unwrap()).unwrap();
    if f.adapter.hosted {
        session.login(UserType::User, Some(&AuthPin::from(PIN.to_owned()))).unwrap();
    }
    look(&session)
}

pub(crate) fn objects(f: &Fixture, label: &str) -> usize {
    let wanted = [cryptoki::object::Attribute::Label(label.as_bytes().to_vec())];
    beside(f, |session| session.find_objects(&wanted).unwrap().len())
}

fn destroy(f: &Fixture, id: &[u8]) {
    let wanted = [cryptoki::object::Attribute::Id(id.to_vec())];
    beside(f, |session| {
        for object in session.find_objects(&wanted).unwrap() {
            session.destroy_object(object).unwrap();
        }
    });
}
