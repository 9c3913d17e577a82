//! Work in the token that lasts longer than anybody waits for it.
use std::future::IntoFuture as _;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use keyward_domain::scheme::Scheme;
use keyward_token::{KeyKind, TokenError, sign_bare};

use crate::contract::clauses::until;
use crate::contract::{Fixture, PIN, pin};
use crate::faults::{BOUND, World, clauses, clear, faults, objects};

mod here {
    use super::clauses;

    clauses!(HERE:
        key_encryption_key_that_is_still_being_made_is_not_made_twice,
        pair_whose_maker_nobody_waits_for_is_removed_when_it_is_there,
        pair_that_is_made_after_its_deadline_is_removed_at_once,
    );
}

mod hosted {
    use super::clauses;

    clauses!(HOSTED:
        key_encryption_key_that_is_still_being_made_is_not_made_twice,
        pair_whose_maker_nobody_waits_for_is_removed_when_it_is_there,
        pair_that_is_made_after_its_deadline_is_removed_at_once,
        bench_that_cannot_open_every_session_ends_with_an_error,
    );
}

fn key_encryption_key_that_is_still_being_made_is_not_made_twice(f: &Fixture) {
    let world = World::new(f);
    faults(f, &["latency 0 600000 on C_GenerateKey"]);
    let hurried = world.module.with_deadline(Duration::from_secs(1));
    let late = hurried.generate_kek(&f.token, "slow").wait().unwrap_err();
    assert!(matches!(late, TokenError::Timeout { .. }), "{late:?}");
    // A job that began too late on a busy machine was dropped: then the next one is inside.
    until("the first one at work", || match hurried.generate_kek(&f.token, "slow").wait() {
        Err(TokenError::Busy { .. }) => true,
        Err(TokenError::Timeout { .. }) => false,
        other => panic!("{other:?}"),
    });
    clear(f);
    until("the key", || match world.module.generate_kek(&f.token, "slow").wait() {
        Err(TokenError::KeyExists { .. }) => true,
        Err(TokenError::Busy { .. }) => false,
        other => panic!("{other:?}"),
    });
    assert!(world.module.find_kek(&f.token, "slow").wait().unwrap());
    assert_eq!(objects(f, "slow"), 1);
}

fn pair_whose_maker_nobody_waits_for_is_removed_when_it_is_there(f: &Fixture) {
    let world = World::new(f);
    faults(f, &["latency 0 600000 on C_GenerateKeyPair"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let making = world.module.generate_key(&f.token, KeyKind::P256, "half").into_future();
        assert!(tokio::time::timeout(Duration::from_secs(1), making).await.is_err());
    });
    // It is not there yet: nothing is found, and it is looked for again.
    let keys = || world.module.keys(&f.token).wait().unwrap();
    assert_eq!(keys(), std::slice::from_ref(&world.key));
    clear(f);
    until("the pair", || objects(f, "half") == 2);
    // A removal that fails is tried again with whatever the token does next.
    until("its removal", || keys() == std::slice::from_ref(&world.key) && objects(f, "half") == 0);
}

fn pair_that_is_made_after_its_deadline_is_removed_at_once(f: &Fixture) {
    let world = World::new(f);
    faults(f, &["latency 0 600000 on C_GenerateKeyPair"]);
    // The making of a key may take six times as long.
    let hurried = world.module.with_deadline(Duration::from_millis(200));
    let late = hurried.generate_key(&f.token, KeyKind::P256, "half").wait().unwrap_err();
    assert!(matches!(late, TokenError::Timeout { .. }), "{late:?}");
    clear(f);
    // A login waits until every session is back.
    world.module.login(&f.token, pin(PIN)).wait().unwrap();
    assert_eq!(objects(f, "half"), 0);
}

fn bench_that_cannot_open_every_session_ends_with_an_error(f: &Fixture) {
    let world = World::new(f);
    faults(f, &["error 0 CKR_DEVICE_MEMORY on C_OpenSession at 3"]);
    let (path, token, id) = (f.path.clone(), f.token.clone(), world.key.id.clone());
    let (done, measured) = sync_channel(1);
    let bench = move |length| sign_bare(&path, &token, &pin(PIN), &id, Scheme::EcdsaP256, 3, length);
    thread::spawn(move || {
        for length in [Duration::from_millis(50); 2] {
            done.send(bench(length)).unwrap();
        }
    });
    let failed = measured.recv_timeout(BOUND).expect("the bench does not hang").unwrap_err();
    assert!(matches!(failed, TokenError::Device { .. }), "{failed:?}");
    assert!(!measured.recv_timeout(BOUND).unwrap().unwrap().is_empty());
}
