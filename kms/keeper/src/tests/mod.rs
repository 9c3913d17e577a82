//! A keeper against the real contracts: what it gives, what it refuses, and what a stop in between leaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod callers;
mod chain;
mod faults;
mod renewal;
mod reshare;
mod ring;
mod room;
mod shared;
mod viewing;
mod world;

use chain::Sight;
use keyward_crypto::vault::{DrillAnswer, Evaluating, verify_drill};
use keyward_domain::Coded as _;
use keyward_ledger_core::{
    entry::VaultAct,
    keeper::keeper_id,
    outcome::Outcome,
    state::keeper::{KeeperState, keeper_key},
};
use world::{Asked, KEEPERS, SECRET, THRESHOLD, VAULT, World, name_of, signed_deposit, vault_name};

use crate::{KeeperError, PENDING_MS};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

fn code<T: std::fmt::Debug>(result: Result<T, KeeperError>) -> &'static str {
    result.unwrap_err().code().name()
}

/// Lets keepers evaluate a granted attempt.
async fn evaluated(
    world: &World,
    asked: Asked,
    keepers: &[u8],
) -> (Evaluating, u64, keyward_ledger_core::entry::VaultAttempt) {
    assert_eq!(asked.outcome.name(), "ACCEPTED");
    let grant = asked.grant();
    let mut evaluating = asked.recovery.granted(&grant).unwrap();
    for number in keepers {
        let keeper = &world.keepers[usize::from(*number) - 1];
        let answer = keeper.evaluate(asked.leaf, &asked.request.element).await.unwrap();
        evaluating.answer(*number, &answer).unwrap();
    }
    (evaluating, asked.leaf, asked.attempt)
}

/// The whole way back with a password.
async fn recover(
    world: &World,
    vault: &keyward_crypto::vault::Vault,
    text: &str,
    keepers: &[u8],
) -> [u8; 32] {
    finish(world, world.attempt(vault, text), keepers).await
}

/// The way back from a granted attempt on.
async fn finish(world: &World, asked: Asked, keepers: &[u8]) -> [u8; 32] {
    let (evaluating, leaf, attempt) = evaluated(world, asked, keepers).await;
    let mut proven = evaluating.derive().unwrap();
    let signature = proven.proof().unwrap();
    let (opened, outcome) = world.record(VaultAct::Open { attempt, signature }, false);
    assert_eq!(outcome.name(), "ACCEPTED");
    for number in keepers {
        let answer = world.keeper(*number).release(leaf, opened).await.unwrap();
        proven.release(*number, &answer).unwrap();
    }
    let keys = proven.open(None).unwrap();
    keys[0].secret.expose(|secret| secret.try_into().unwrap())
}

#[tokio::test]
async fn any_three_of_five_keepers_open_a_vault_and_two_do_not() {
    let world = World::new();
    let vault = world.seal(1, "correct horse").await;
    for keepers in [[1, 2, 3], [5, 3, 1], [2, 4, 5]] {
        assert_eq!(recover(&world, &vault, "correct horse", &keepers).await, SECRET);
    }
    let (evaluating, ..) = evaluated(&world, world.attempt(&vault, "correct horse"), &[1, 2]).await;
    assert!(!evaluating.is_enough());
    assert!(evaluating.derive().is_err());
}

#[tokio::test]
async fn a_wrong_password_spends_an_attempt_and_opens_nothing() {
    let world = World::new();
    let vault = world.seal(1, "correct horse").await;
    for _ in 0..3 {
        let (evaluating, leaf, _) = evaluated(&world, world.attempt(&vault, "wrong horse"), &[1, 2, 3]).await;
        assert!(evaluating.derive().is_err(), "the proof key is another");
        let released = world.keepers[0].release(leaf, leaf + 1).await;
        assert_eq!(code(released), "VAULT_NOT_GRANTED", "there is no such record");
        assert_eq!(code(world.keepers[0].release(leaf, leaf).await), "VAULT_NOT_OPENED");
    }
    let locked = world.attempt(&vault, "correct horse");
    assert_eq!(locked.outcome.name(), "ATTEMPTS_SPENT");
    let refused = world.keepers[0].evaluate(locked.leaf, &locked.request.element).await;
    assert_eq!(code(refused), "VAULT_NOT_GRANTED");
}

#[tokio::test]
async fn one_grant_is_one_element_however_often_it_is_asked() {
    let world = World::new();
    let vault = world.seal(1, "correct horse").await;
    let asked = world.attempt(&vault, "correct horse");
    let other = world.attempt(&vault, "another guess");
    let keeper = &world.keepers[0];
    assert_eq!(code(keeper.evaluate(asked.leaf, &other.request.element).await), "VAULT_ELEMENT_OTHER");
    assert_eq!(code(keeper.evaluate(asked.leaf, &[0; 32]).await), "VAULT_ELEMENT_OTHER");
    for _ in 0..3 {
        keeper.evaluate(asked.leaf, &asked.request.element).await.unwrap();
    }
    assert_eq!(code(keeper.evaluate(999, &asked.request.element).await), "VAULT_NOT_GRANTED");
    assert_eq!(
        code(keeper.evaluate(0, &asked.request.element).await),
        "VAULT_NOT_GRANTED",
        "that is the sealing"
    );
    world.pass(DAY_MS + 1);
    assert_eq!(
        code(keeper.evaluate(asked.leaf, &asked.request.element).await),
        "VAULT_NOT_GRANTED",
        "a day is over"
    );
}

#[tokio::test]
async fn a_success_of_one_attempt_releases_nothing_to_another() {
    let world = World::new();
    let vault = world.seal(1, "correct horse").await;
    let thief = world.attempt(&vault, "wrong horse");
    let (evaluating, leaf, attempt) =
        evaluated(&world, world.attempt(&vault, "correct horse"), &[1, 2, 3]).await;
    let signature = evaluating.derive().unwrap().proof().unwrap();
    let (refused, outcome) = world.record(VaultAct::Open { attempt, signature: [1; 64] }, false);
    assert_eq!(outcome.name(), "SUCCESS_INVALID");
    assert_eq!(code(world.keepers[0].release(leaf, refused).await), "VAULT_NOT_OPENED");
    let (opened, outcome) = world.record(VaultAct::Open { attempt, signature }, false);
    assert!(outcome.is_accepted());
    assert_eq!(code(world.keepers[0].release(thief.leaf, opened).await), "VAULT_NOT_OPENED");
    assert!(world.keepers[0].release(leaf, opened).await.is_ok());
}

#[tokio::test]
async fn a_share_that_does_not_fit_is_not_acknowledged_and_not_kept() {
    let world = World::new();
    let sealed = world.draft(1, "correct horse");
    let (keeper, sealing) = (&world.keepers[0], sealed.sealing.encode());
    let signed = signed_deposit(&sealed.sealing);
    assert_eq!(
        code(keeper.deposit(&sealing, &sealed.shares[1], &signed).await),
        "VAULT_SHARE_REFUSED",
        "another keeper's"
    );
    assert_eq!(code(keeper.deposit(&sealing, b"", &signed).await), "VAULT_SHARE_REFUSED");
    assert_eq!(
        code(keeper.deposit(&sealing[1..], &sealed.shares[0], &signed).await),
        "VAULT_REQUEST_MALFORMED"
    );
    let changes: [fn(&mut keyward_ledger_core::vault::Sealing); 3] =
        [|it| it.shares.evaluation.swap(1, 2), |it| it.ciphertext_hash[0] ^= 1, |it| it.terms.limit = 9];
    for change in changes {
        let mut other = sealed.sealing.clone();
        change(&mut other);
        let refused = keeper.deposit(&other.encode(), &sealed.shares[0], &signed_deposit(&other)).await;
        assert_eq!(code(refused), "VAULT_SHARE_REFUSED", "the share is bound to the whole sealing");
    }
    let later = world.draft(2, "correct horse");
    assert_eq!(
        code(
            keeper.deposit(&later.sealing.encode(), &later.shares[0], &signed_deposit(&later.sealing)).await
        ),
        "VAULT_VERSION_STALE"
    );
    let gone = keeper_key(&keeper_id(&name_of(5)));
    let mut other = KeeperState::decode(&world.state(&gone).unwrap()).unwrap();
    other.present = false;
    world.set_state(gone, other.encode());
    assert_eq!(code(keeper.deposit(&sealing, &sealed.shares[0], &signed).await), "VAULT_KEEPER_UNKNOWN");
    assert_eq!(world.files(1), 0, "nothing was kept");
}

#[tokio::test]
async fn a_vault_sealed_anew_erases_the_version_before_and_says_so() {
    let world = World::new();
    let first = world.seal(1, "correct horse").await;
    let live = world.attempt(&first, "correct horse");
    let second = world.seal(2, "battery staple").await;
    let refused = world.keepers[0].evaluate(live.leaf, &live.request.element).await;
    assert_eq!(code(refused), "VAULT_VERSION_STALE");
    for (number, keeper) in (1..).zip(&world.keepers) {
        assert_eq!(world.files(number), 2);
        keeper.round().await.unwrap();
        assert_eq!(world.files(number), 1, "the share before is gone, and the ledger knows");
        assert_eq!((world.holder(VAULT, number).held, world.holder(VAULT, number).erased), (2, 1));
    }
    assert_eq!(recover(&world, &second, "battery staple", &[1, 2, 3]).await, SECRET);
}

#[tokio::test]
async fn a_destroyed_vault_is_erased_by_every_keeper_whatever_stops_in_between() {
    let world = World::new();
    let vault = world.seal(1, "correct horse").await;
    assert_eq!(world.destroy(VAULT, 1).name(), "ACCEPTED");
    assert!(world.vault(VAULT).unwrap().destroyed);
    let asked = world.attempt(&vault, "correct horse");
    assert_eq!(asked.outcome.name(), "VAULT_DESTROYED");
    for number in 1..=KEEPERS {
        // Stopped after the share is gone and before the ledger was told.
        world.see(number, Sight::Mute);
        assert_eq!(code(world.keepers[usize::from(number) - 1].round().await), "LEDGER_UNAVAILABLE");
        world.see(number, Sight::Clear);
        assert_eq!((world.files(number), world.holder(VAULT, number).erased), (1, 0), "a word is owed");
        let again = world.open_keeper(number, &world.folder_of(number));
        again.round().await.unwrap();
        assert_eq!((world.files(number), world.holder(VAULT, number).erased), (0, 1));
    }
}

#[tokio::test]
async fn a_share_that_nobody_seals_goes_after_a_day_and_not_before() {
    let world = World::new();
    let sealed = world.draft(1, "correct horse");
    let acknowledgements = world.deposit(&sealed).await;
    assert_eq!(world.deposit(&sealed).await, acknowledgements, "asked again");
    let keeper = world.open_keeper(1, &world.folder_of(1));
    world.pass(PENDING_MS);
    keeper.round().await.unwrap();
    assert_eq!(world.files(1), 1);
    world.pass(1);
    keeper.round().await.unwrap();
    assert_eq!(world.files(1), 0, "and there is nothing to say");
}

#[tokio::test]
async fn shares_survive_a_restart_and_belong_to_one_keeper_and_one_sealing() {
    let mut world = World::new();
    let vault = world.seal(1, "correct horse").await;
    world.keepers = (1..=KEEPERS).map(|number| world.open_keeper(number, &world.folder_of(number))).collect();
    assert_eq!(recover(&world, &vault, "correct horse", &[2, 3, 4]).await, SECRET);
    let stolen = world.open_keeper(2, &world.folder_of(1));
    let asked = world.attempt(&vault, "correct horse");
    let refused = stolen.evaluate(asked.leaf, &asked.request.element).await;
    assert!(
        matches!(refused, Err(KeeperError::Shares(_))),
        "another keeper's file does not open: {refused:?}"
    );
}

#[tokio::test]
async fn a_drill_shows_a_share_and_costs_no_attempt() {
    let world = World::new();
    let vault = world.seal(1, "correct horse").await;
    for (index, keeper) in (1..).zip(&world.keepers) {
        let answer = keeper.drill(&vault_name(), &[index; 32]).await.unwrap();
        let answer = DrillAnswer::decode(&answer).unwrap();
        verify_drill(&vault, &[index; 32], index, &answer).unwrap();
        assert!(verify_drill(&vault, &[0; 32], index, &answer).is_err(), "an old answer");
    }
    std::fs::remove_dir_all(world.folder_of(1)).unwrap();
    assert_eq!(code(world.keepers[0].drill(&vault_name(), &[1; 32]).await), "VAULT_SHARE_MISSING");
    assert_eq!(usize::from(THRESHOLD), 3);
}

#[tokio::test]
async fn without_the_ledger_nothing_is_answered() {
    let world = World::new();
    let vault = world.seal(1, "correct horse").await;
    let asked = world.attempt(&vault, "correct horse");
    assert!(asked.outcome.is_accepted() && asked.outcome != Outcome::ACCEPTED, "it names the attempt");
    world.see(1, Sight::Away);
    assert_eq!(
        code(world.keepers[0].evaluate(asked.leaf, &asked.request.element).await),
        "LEDGER_UNAVAILABLE"
    );
    world.see(1, Sight::Clear);
    world.keepers[0].evaluate(asked.leaf, &asked.request.element).await.unwrap();
}
