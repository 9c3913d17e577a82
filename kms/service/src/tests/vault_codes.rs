//! One-time codes before an attempt.

use std::num::NonZeroU32;

use keyward_crypto::code_of_step;
use keyward_domain::Code;
use keyward_ledger_core::entry::Entry;
use keyward_store::CodeState;

use super::{
    accounts::person,
    vaults::{Owner, VAULT, world},
    world::{Mood, World, code},
};
use crate::{
    failure::Failure,
    ports::Kek as _,
    vaults::entries::{HandIn, HandedIn, Kind},
};

const STEP_MS: u64 = 30_000;

/// What an authenticator shows.
fn code_at(secret: &[u8], now_ms: u64) -> String {
    code_of_step(secret, now_ms / STEP_MS).unwrap().to_string()
}

fn now(world: &World) -> u64 {
    crate::ports::Clock::now_ms(world.clock.as_ref())
}

async fn set_up(world: &World, owner: &Owner, code: &str) -> Vec<u8> {
    let fresh = world.custody.set_up_code(&owner.caller, code).await.unwrap();
    assert!(fresh.uri.starts_with("otpauth://totp/Keyward:alice?secret="));
    fresh.secret.expose(<[u8]>::to_vec)
}

async fn attempt(world: &World, owner: &Owner, number: u8, code: &str) -> Result<HandedIn, Failure> {
    let entry = owner.attempt_entry(number);
    let what = HandIn { kind: Kind::Attempt, entry: &entry, mark: &[number], code };
    world.custody.hand_in(&owner.caller, what).await
}

/// A person with a vault whose attempts cost nothing but codes, and the secret of them.
async fn enrolled() -> (World, Owner, Vec<u8>) {
    let (world, owner) = world().await;
    let mut sealing = owner.sealing(VAULT, 1, &[1, 2, 3]);
    (sealing.terms.limit, sealing.terms.lifetime, sealing.terms.cool_down_ms) = (90, 90, 0);
    let entry = owner.seal_entry(&world, sealing, &[1, 2, 3]);
    owner.hand_in(&world, Kind::Seal, &entry, b"").await.unwrap();
    let secret = set_up(&world, &owner, "").await;
    attempt(&world, &owner, 1, "").await.unwrap();
    let first = code_at(&secret, now(&world));
    world.custody.confirm_code(&owner.caller, &first).await.unwrap();
    (world, owner, secret)
}

#[tokio::test]
async fn once_confirmed_an_attempt_needs_a_code_and_each_counts_once() {
    let (world, owner, secret) = enrolled().await;
    assert!(world.custody.show_vault(&owner.caller, VAULT).await.unwrap().code_required);
    assert_eq!(code(attempt(&world, &owner, 2, "").await), Code::OneTimeCodeRequired);
    let used = code_at(&secret, now(&world));
    assert_eq!(code(attempt(&world, &owner, 2, &used).await), Code::OneTimeCodeWrong, "it confirmed");
    world.pass_ms(STEP_MS);
    let next = code_at(&secret, now(&world));
    let granted = attempt(&world, &owner, 2, &next).await.unwrap();
    assert_eq!(attempt(&world, &owner, 2, "").await.unwrap(), granted, "a retry needs no second code");
    assert_eq!(code(attempt(&world, &owner, 3, &next).await), Code::OneTimeCodeWrong);
    let other = world.beside().await;
    let entry = owner.attempt_entry(4);
    let what = HandIn { kind: Kind::Attempt, entry: &entry, mark: b"", code: &next };
    assert_eq!(code(other.hand_in(&owner.caller, what).await), Code::OneTimeCodeWrong, "at no server");
    // Sealing and opening need none.
    let open = owner.open_entry(&world, 2, &granted);
    owner.hand_in(&world, Kind::Open, &open, b"").await.unwrap();
}

#[tokio::test]
async fn a_code_that_is_shown_twice_at_once_counts_once() {
    let (world, owner, secret) = enrolled().await;
    world.pass_ms(STEP_MS);
    let shown = code_at(&secret, now(&world));
    let (one, two) = tokio::join!(attempt(&world, &owner, 2, &shown), attempt(&world, &owner, 3, &shown));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    assert_eq!(code(one.and(two)), Code::OneTimeCodeWrong);
}

#[tokio::test]
async fn wrong_codes_are_limited_over_restarts_and_servers() {
    let (world, owner, secret) = enrolled().await;
    world.pass_ms(STEP_MS);
    let right = code_at(&secret, now(&world));
    let wrong = if right == "000000" { "000001" } else { "000000" };
    for number in 0..10 {
        assert_eq!(code(attempt(&world, &owner, 20 + number, wrong).await), Code::OneTimeCodeWrong);
    }
    let limited = attempt(&world, &owner, 2, &right).await.unwrap_err();
    assert_eq!((limited.code, limited.wait_ms), (Code::OneTimeCodeLimited, Some(15 * 60_000)));
    let world = world.restart().await;
    let other = world.beside().await;
    assert_eq!(code(attempt(&world, &owner, 2, &right).await), Code::OneTimeCodeLimited);
    assert_eq!(code(other.remove_code(&owner.caller, &right, "").await), Code::OneTimeCodeLimited);
    world.pass_ms(15 * 60_000);
    let owner = Owner::new(&world, "alice").await;
    attempt(&world, &owner, 2, &code_at(&secret, now(&world))).await.unwrap();
}

#[tokio::test]
async fn codes_that_count_are_replaced_and_ended_only_with_a_code() {
    let (world, owner, secret) = enrolled().await;
    assert_eq!(code(world.custody.set_up_code(&owner.caller, "").await), Code::OneTimeCodeRequired);
    assert_eq!(code(world.custody.remove_code(&owner.caller, "", "").await), Code::OneTimeCodeRequired);
    assert_eq!(code(world.custody.confirm_code(&owner.caller, "123456").await), Code::OneTimeCodeUnknown);
    world.pass_ms(STEP_MS);
    let second = set_up(&world, &owner, &code_at(&secret, now(&world))).await;
    assert_ne!(second, secret);
    world.pass_ms(STEP_MS);
    // Until the new one is confirmed the old one counts.
    attempt(&world, &owner, 2, &code_at(&secret, now(&world))).await.unwrap();
    world.custody.confirm_code(&owner.caller, &code_at(&second, now(&world))).await.unwrap();
    world.pass_ms(STEP_MS);
    let old = code_at(&secret, now(&world));
    assert_eq!(code(attempt(&world, &owner, 3, &old).await), Code::OneTimeCodeWrong);
    world.custody.remove_code(&owner.caller, &code_at(&second, now(&world)), "").await.unwrap();
    attempt(&world, &owner, 3, "").await.unwrap();
    assert_eq!(code(world.custody.remove_code(&owner.caller, "", "").await), Code::OneTimeCodeUnknown);
}

#[tokio::test]
async fn an_officer_ends_codes_of_who_lost_them_and_nobody_else_does() {
    let (world, owner, _) = enrolled().await;
    let bob = person(&world, "bob").await;
    for caller in [&bob, &owner.caller, &world.caller("keyward://operator/ops").await, &world.app().await] {
        assert_eq!(code(world.custody.remove_code(caller, "", "alice").await), Code::AccountUnknown);
    }
    let officer = world.caller("keyward://officer/olga").await;
    assert_eq!(code(world.custody.remove_code(&officer, "", "nobody").await), Code::AccountUnknown);
    assert_eq!(code(world.custody.set_up_code(&officer, "").await), Code::SessionRequired);
    let notes = || world.ledger.count(|entry| matches!(entry, Entry::Note(note) if is_reset(note)));
    assert_eq!(notes(), 0, "a refusal is no record");
    let receipt = world.custody.remove_code(&officer, "", "alice").await.unwrap();
    assert_eq!((receipt.is_empty(), notes()), (false, 1));
    attempt(&world, &owner, 2, "").await.unwrap();
}

fn is_reset(note: &[u8]) -> bool {
    note.get(1..).is_some_and(|rest| rest.starts_with(b"keyward/code-note/v1"))
}

#[tokio::test]
async fn an_officers_end_of_codes_is_recorded_first_and_never_done_without() {
    for mood in [Mood::Gone, Mood::Deaf] {
        let (world, owner, _) = enrolled().await;
        let officer = world.caller("keyward://officer/olga").await;
        world.ledger.set(mood);
        let cut = world.custody.remove_code(&officer, "", "alice").await;
        assert_eq!(code(cut), Code::LedgerUnavailable);
        world.ledger.set(Mood::Good);
        let live = async |world: &World| {
            let account = owner.account();
            world.custody.store.one_time_code(account, CodeState::Live).await.unwrap().is_some()
        };
        assert!(live(&world).await, "nothing is done before its record");
        let world = world.restart().await;
        world.custody.store.take_over().await.unwrap();
        let waits = world.custody.settle_acts().await.unwrap();
        // What was recorded is done, what was not is given up once it cannot come any more.
        assert_eq!((waits, live(&world).await), if mood == Mood::Deaf { (0, false) } else { (1, true) });
        world.ledger.height.fetch_add(5_000, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
        assert_eq!(live(&world).await, mood == Mood::Gone);
    }
}

#[tokio::test]
async fn the_secret_lies_sealed_follows_the_key_encryption_key_and_goes_with_the_account() {
    let (world, owner, secret) = enrolled().await;
    let find = async |state| world.custody.store.one_time_code(owner.account(), state).await.unwrap();
    let row = find(CodeState::Live).await.unwrap();
    assert!(!row.sealed.windows(secret.len()).any(|window| window == secret));
    let officer = world.caller("keyward://officer/olga").await;
    world.custody.rotate_kek(&officer, &[]).await.unwrap();
    world.custody.tend_kek().await.unwrap();
    let resealed = find(CodeState::Live).await.unwrap();
    assert_eq!(resealed.kek, world.kek.label(NonZeroU32::new(2).unwrap()));
    assert_ne!(resealed.sealed, row.sealed);
    world.pass_ms(STEP_MS);
    attempt(&world, &owner, 2, &code_at(&secret, now(&world))).await.unwrap();
    set_up(&world, &owner, &code_at(&secret, now(&world) + STEP_MS)).await;
    owner.close(&world, b"").await.unwrap();
    assert_eq!((find(CodeState::Live).await, find(CodeState::Fresh).await), (None, None));
}
