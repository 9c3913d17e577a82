//! What becomes of PINs, right, wrong and changed, when sessions, tokens and children go.
use std::time::{Duration, Instant};

use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use keyward_token::TokenError;

use crate::contract::clauses::{kill, until};
use crate::contract::{Fixture, LABEL, PIN, pin};
use crate::faults::{JOBS, World, beside, clauses, clear, eventually, faults};

const CHANGED: &str = "changed-pin";

mod here {
    use super::clauses;

    clauses!(HERE:
        login_is_answered_for_its_own_pin_not_for_the_one_held,
        wrong_pin_beside_a_changed_one_harms_no_later_login,
        login_that_stood_comes_back_when_it_fails_after_a_wrong_guess,
        log_out_is_kept_while_the_token_is_away,
    );
}

mod hosted {
    use super::clauses;

    clauses!(HOSTED:
        login_is_answered_for_its_own_pin_not_for_the_one_held,
        wrong_pin_beside_a_changed_one_harms_no_later_login,
        login_that_stood_comes_back_when_it_fails_after_a_wrong_guess,
        log_out_is_kept_while_the_token_is_away,
        pin_held_back_is_given_when_it_is_brought,
        guesses_and_refusals_outlive_each_child,
    );
}

fn change_pin(f: &Fixture) {
    beside(f, |session| {
        session.set_pin(&AuthPin::from(PIN.to_owned()), &AuthPin::from(CHANGED.to_owned())).unwrap();
    });
}

fn login_is_answered_for_its_own_pin_not_for_the_one_held(f: &Fixture) {
    let world = World::new(f);
    change_pin(f);
    faults(f, &["lose 0 on C_GetSessionInfo"]);
    world.module.login(&f.token, pin(CHANGED)).wait().unwrap();
    JOBS[0].1(&world).unwrap();
    if let Some(child) = world.module.host_process() {
        kill(child);
        eventually("sign", || JOBS[0].1(&world));
    }
}

fn wrong_pin_beside_a_changed_one_harms_no_later_login(f: &Fixture) {
    let world = World::new(f);
    change_pin(f);
    // The login that stands is given up for the guess, and does not come back: its PIN is not right any more.
    let wrong = world.module.login(&f.token, pin("00000000")).wait().unwrap_err();
    assert!(matches!(wrong, TokenError::PinWrong { .. }), "{wrong:?}");
    for _ in 0..20 {
        let error = JOBS[0].1(&world).unwrap_err();
        assert!(matches!(error, TokenError::NotLoggedIn { .. }), "{error:?}");
    }
    let info = world.module.tokens().wait().unwrap().into_iter().find(|token| token.label == LABEL).unwrap();
    assert!(!info.pin_locked && !info.logged_in);
    world.module.login(&f.token, pin(CHANGED)).wait().unwrap();
    JOBS[0].1(&world).unwrap();
}

fn login_that_stood_comes_back_when_it_fails_after_a_wrong_guess(f: &Fixture) {
    let world = World::new(f);
    faults(f, &["error 0 CKR_DEVICE_ERROR on C_Login at 2"]);
    let wrong = world.module.login(&f.token, pin("00000000")).wait().unwrap_err();
    assert!(matches!(wrong, TokenError::PinWrong { .. }), "{wrong:?}");
    world.is_whole("a login that failed");
}

fn log_out_is_kept_while_the_token_is_away(f: &Fixture) {
    let world = World::new(f);
    faults(f, &["pull 0"]);
    for _ in 0..2 {
        let error = JOBS[0].1(&world).unwrap_err();
        assert!(matches!(error, TokenError::TokenMissing { .. }), "{error:?}");
    }
    let error = world.module.logout(&f.token).wait().unwrap_err();
    assert!(matches!(error, TokenError::TokenMissing { .. }), "{error:?}");
    clear(f);
    let refused = || {
        let error = JOBS[0].1(&world).unwrap_err();
        assert!(matches!(error, TokenError::NotLoggedIn { .. }), "{error:?}");
    };
    refused();
    if let Some(child) = world.module.host_process() {
        kill(child);
        eventually("list", || world.module.tokens().wait().map(|_| ()));
        refused();
    }
}

/// Another process guesses until one try is left, and the session here is lost.
fn pin_held_back_is_given_when_it_is_brought(f: &Fixture) {
    let world = World::new(f);
    beside(f, |session| {
        let began = Instant::now();
        session.logout().unwrap();
        for guess in 0.. {
            let info = world.module.tokens().wait().unwrap();
            if info.iter().any(|token| token.label == LABEL && token.pin_final_try) {
                break;
            }
            assert!(guess < 20 && began.elapsed() < Duration::from_secs(60), "no final try");
            let guess = AuthPin::from(format!("guess{guess:03}"));
            assert!(session.login(UserType::User, Some(&guess)).is_err());
        }
    });
    faults(f, &["lose 0 on use"]);
    for _ in 0..3 {
        let error = JOBS[0].1(&world).unwrap_err();
        assert!(matches!(error, TokenError::PinHeldBack { .. }), "{error:?}");
    }
    world.module.login(&f.token, pin(PIN)).wait().unwrap();
    JOBS[0].1(&world).unwrap();
}

fn guesses_and_refusals_outlive_each_child(f: &Fixture) {
    let guess = |n: u32| f.module.login(&f.token, pin(&format!("guess{n:03}"))).wait().unwrap_err();
    for n in 0..3 {
        let error = guess(n);
        assert!(matches!(error, TokenError::PinWrong { .. }), "{error:?}");
        let child = f.module.host_process().unwrap();
        kill(child);
        until("another child", || f.module.host_process().is_some_and(|other| other != child));
        for refused in 0..=n {
            let error = guess(refused);
            assert!(matches!(error, TokenError::PinRefusedBefore { .. }), "{error:?}");
        }
    }
    let error = guess(3);
    assert!(matches!(error, TokenError::PinGuessed { .. }), "{error:?}");
    // Whoever knows the PIN is let in, and the count stands.
    f.module.login(&f.token, pin(PIN)).wait().unwrap();
    let error = guess(3);
    assert!(matches!(error, TokenError::PinGuessed { .. }), "{error:?}");
}
