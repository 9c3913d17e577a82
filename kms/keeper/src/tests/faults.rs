//! What goes wrong between a person, a service, a ledger and keepers: each refused by name, nothing lost.

use keyward_crypto::vault::Recovery;
use keyward_ledger_core::entry::VaultAct;

use super::{
    DAY_MS,
    chain::Sight,
    code, evaluated, recover,
    world::{
        KEEPERS, LIFE_MS, LIMIT, OTHER_VAULT, SECRET, VAULT, Wish, World, files, named, password,
        signed_deposit, vault_name,
    },
};
use crate::{EXPIRES_MAX_MS, PENDING_MS, STATE_AGE_MAX_MS, place::Place};

const ALL: [u8; 5] = [1, 2, 3, 4, 5];

fn wish(vault: [u8; 32], keepers: &[u8]) -> Wish<'_> {
    Wish { vault, version: 1, password: "correct horse", keepers, threshold: 3 }
}

#[tokio::test]
async fn two_vaults_with_one_password_answer_each_for_itself() {
    let world = World::new();
    let one = world.seal_drafted(&world.draft_as(&wish(VAULT, &ALL))).await;
    let other = world.seal_drafted(&world.draft_as(&wish(OTHER_VAULT, &ALL))).await;
    assert_eq!(recover(&world, &one, "correct horse", &[1, 2, 3]).await, SECRET);
    assert_eq!(recover(&world, &other, "correct horse", &[3, 4, 5]).await, SECRET);
    // An answer for one counts in no recovery of the other, and a success of one opens nothing of the other.
    let (first, second) = (world.attempt(&one, "correct horse"), world.attempt(&other, "correct horse"));
    let answer = world.keeper(1).evaluate(first.leaf, &first.request.element).await.unwrap();
    let (leaf, grant) = (second.leaf, second.grant());
    assert!(second.recovery.granted(&grant).unwrap().answer(1, &answer).is_err());
    let (evaluating, first_leaf, attempt) = evaluated(&world, first, &[1, 2, 3]).await;
    let signature = evaluating.derive().unwrap().proof().unwrap();
    let (opened, outcome) = world.record(VaultAct::Open { attempt, signature }, false);
    assert!(outcome.is_accepted());
    assert_eq!(code(world.keeper(1).release(leaf, opened).await), "VAULT_NOT_OPENED");
    assert!(world.keeper(1).release(first_leaf, opened).await.is_ok());
}

#[tokio::test]
async fn a_keeper_that_the_vault_does_not_name_has_nothing_to_answer() {
    let world = World::new();
    let sealed = world.draft_as(&wish(VAULT, &[1, 2, 3]));
    let vault = world.seal_drafted(&sealed).await;
    let asked = world.attempt(&vault, "correct horse");
    for number in [4, 5] {
        let keeper = world.keeper(number);
        let refused = keeper.evaluate(asked.leaf, &asked.request.element).await;
        assert_eq!(code(refused), "VAULT_SHARE_MISSING");
        assert_eq!(code(keeper.drill(&vault_name(), &[1; 32]).await), "VAULT_SHARE_MISSING");
        let (sealing, signed) = (sealed.sealing.encode(), signed_deposit(&sealed.sealing));
        let refused = keeper.deposit(&sealing, &sealed.shares[0], &signed).await;
        assert_eq!(code(refused), "VAULT_VERSION_STALE", "it is sealed already");
        assert_eq!(world.files(number), 0);
    }
}

#[tokio::test]
async fn shares_of_different_versions_are_never_mixed() {
    let mut world = World::new();
    let first = world.seal(1, "correct horse").await;
    let old = world.attempt(&first, "correct horse");
    let early = world.keeper(1).evaluate(old.leaf, &old.request.element).await.unwrap();
    let before = world.folder_of(0);
    world.copy(&world.folder_of(2), &before);
    let second = world.seal(2, "correct horse").await;
    let new = world.attempt(&second, "correct horse");
    // Keeper 2 comes back with the disk of version 1: it has no share to answer with, and uses none instead.
    world.copy(&before, &world.folder_of(2));
    world.restart(2);
    let refused = world.keeper(2).evaluate(new.leaf, &new.request.element).await;
    assert_eq!(code(refused), "VAULT_SHARE_MISSING");
    let refused = world.keeper(2).evaluate(old.leaf, &old.request.element).await;
    assert_eq!(code(refused), "VAULT_VERSION_STALE");
    let grant = new.grant();
    let mut evaluating = new.recovery.granted(&grant).unwrap();
    assert!(evaluating.answer(1, &early).is_err(), "an answer of version 1");
    for number in [1, 3, 4] {
        let answer = world.keeper(number).evaluate(new.leaf, &new.request.element).await.unwrap();
        evaluating.answer(number, &answer).unwrap();
    }
    assert!(evaluating.derive().is_ok());
}

#[tokio::test]
async fn keepers_that_stop_between_evaluation_and_release_go_on_afterwards() {
    let mut world = World::new();
    let vault = world.seal(1, "correct horse").await;
    let asked = world.attempt(&vault, "correct horse");
    let (evaluating, leaf, attempt) = evaluated(&world, asked, &[1, 2, 3]).await;
    for number in 1..=KEEPERS {
        world.restart(number);
    }
    let mut proven = evaluating.derive().unwrap();
    let signature = proven.proof().unwrap();
    let (opened, _) = world.record(VaultAct::Open { attempt, signature }, false);
    for number in 1..=KEEPERS {
        world.restart(number);
    }
    // Who did not evaluate may release: the success is the ledger's word.
    for number in [3, 4, 5] {
        proven.release(number, &world.keeper(number).release(leaf, opened).await.unwrap()).unwrap();
    }
    assert_eq!(proven.open(None).unwrap().len(), 1);
}

#[tokio::test]
async fn a_vault_destroyed_between_evaluation_and_release_releases_nothing() {
    let world = World::new();
    let vault = world.seal(1, "correct horse").await;
    let asked = world.attempt(&vault, "correct horse");
    let element = asked.request.element;
    let (evaluating, leaf, attempt) = evaluated(&world, asked, &[1, 2, 3]).await;
    let signature = evaluating.derive().unwrap().proof().unwrap();
    let (opened, _) = world.record(VaultAct::Open { attempt, signature }, false);
    assert!(world.destroy(VAULT, 1).is_accepted());
    for keeper in &world.keepers {
        assert_eq!(code(keeper.evaluate(leaf, &element).await), "VAULT_DESTROYED", "not from memory either");
        assert_eq!(code(keeper.release(leaf, opened).await), "VAULT_DESTROYED");
        assert_eq!(code(keeper.drill(&vault_name(), &[1; 32]).await), "VAULT_DESTROYED");
    }
}

#[tokio::test]
async fn a_destroyed_vault_is_erased_in_the_next_round_though_nobody_asks() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    world.keeper(1).round().await.unwrap();
    assert!(world.destroy(VAULT, 1).is_accepted());
    assert_eq!((world.files(1), world.holder(VAULT, 1).erased), (1, 0));
    world.keeper(1).round().await.unwrap();
    assert_eq!((world.files(1), world.holder(VAULT, 1).erased), (0, 1));
    assert_eq!(code(world.keeper(1).drill(&vault_name(), &[1; 32]).await), "VAULT_DESTROYED");
}

#[tokio::test]
async fn a_replayed_grant_is_one_guess_and_one_answer() {
    let world = World::new();
    let vault = world.seal(1, "correct horse").await;
    let asked = world.attempt(&vault, "correct horse");
    let before = world.counter(VAULT).unwrap();
    let (_, again, outcome) = world.ask(&vault, &asked.request);
    assert_eq!(outcome, asked.outcome, "the same attempt");
    assert_eq!(world.counter(VAULT).unwrap(), before, "it costs nothing");
    let keeper = world.keeper(1);
    let answer = keeper.evaluate(asked.leaf, &asked.request.element).await.unwrap();
    assert_eq!(keeper.evaluate(again, &asked.request.element).await.unwrap(), answer, "from memory");
    let reopened = world.open_keeper(1, &world.folder_of(1));
    let anew = reopened.evaluate(asked.leaf, &asked.request.element).await.unwrap();
    let grant = asked.grant();
    let mut evaluating = asked.recovery.granted(&grant).unwrap();
    evaluating.answer(1, &anew).unwrap();
    assert!(evaluating.answer(1, &answer).is_err(), "a keeper counts once");
}

#[tokio::test]
async fn racing_recoveries_are_paid_for_one_by_one() {
    let world = World::new();
    let vault = world.seal(1, "correct horse").await;
    let first = world.attempt(&vault, "correct horse");
    let second = world.attempt(&vault, "correct horse");
    assert_eq!(world.counter(VAULT).unwrap().spent, 2);
    let (one, leaf, attempt) = evaluated(&world, first, &[1, 2, 3]).await;
    let (two, second_leaf, second_attempt) = evaluated(&world, second, &[3, 4, 5]).await;
    let signature = one.derive().unwrap().proof().unwrap();
    let (opened, outcome) = world.record(VaultAct::Open { attempt, signature }, false);
    assert!(outcome.is_accepted());
    // Twice is refused, and the other one needs its own proof.
    assert_eq!(world.record(VaultAct::Open { attempt, signature }, false).1.name(), "ATTEMPT_PROVEN");
    let stolen = VaultAct::Open { attempt: second_attempt, signature };
    assert_eq!(world.record(stolen, false).1.name(), "SUCCESS_INVALID");
    assert_eq!(code(world.keeper(3).release(second_leaf, opened).await), "VAULT_NOT_OPENED");
    assert!(world.keeper(3).release(leaf, opened).await.is_ok());
    let signature = two.derive().unwrap().proof().unwrap();
    let (opened, _) = world.record(VaultAct::Open { attempt: second_attempt, signature }, false);
    assert!(world.keeper(3).release(second_leaf, opened).await.is_ok());
}

#[tokio::test]
async fn an_old_disk_gives_no_guess_back() {
    let mut world = World::new();
    let empty = world.folder_of(100);
    world.copy(&world.folder_of(1), &empty);
    let vault = world.seal(1, "correct horse").await;
    let full = world.folder_of(101);
    world.copy(&world.folder_of(1), &full);
    for _ in 0..LIMIT {
        let asked = world.attempt(&vault, "wrong horse");
        world.keeper(1).evaluate(asked.leaf, &asked.request.element).await.unwrap();
        world.copy(&full, &world.folder_of(1));
        world.restart(1);
    }
    let locked = world.attempt(&vault, "correct horse");
    assert_eq!(locked.outcome.name(), "ATTEMPTS_SPENT", "the count is the ledger's");
    let refused = world.keeper(1).evaluate(locked.leaf, &locked.request.element).await;
    assert_eq!(code(refused), "VAULT_NOT_GRANTED");
    // From before the share was taken: it is missing, by name.
    world.copy(&empty, &world.folder_of(1));
    world.restart(1);
    assert_eq!(code(world.keeper(1).drill(&vault_name(), &[1; 32]).await), "VAULT_SHARE_MISSING");
}

#[tokio::test]
async fn a_keeper_that_lost_its_disk_says_so_of_a_destroyed_vault_when_it_is_asked() {
    let mut world = World::new();
    world.seal(1, "correct horse").await;
    std::fs::remove_dir_all(world.folder_of(1)).unwrap();
    world.restart(1);
    assert!(world.destroy(VAULT, 1).is_accepted());
    assert_eq!(code(world.keeper(1).drill(&vault_name(), &[1; 32]).await), "VAULT_DESTROYED");
    world.keeper(1).round().await.unwrap();
    assert_eq!((world.files(1), world.holder(VAULT, 1).erased), (0, 1));
}

#[tokio::test]
async fn an_old_disk_is_erased_again_and_nothing_is_said_twice() {
    let mut world = World::new();
    world.seal(1, "correct horse").await;
    let old = world.folder_of(100);
    world.copy(&world.folder_of(1), &old);
    let second = world.seal(2, "battery staple").await;
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.holder(VAULT, 1).erased, 1);
    world.copy(&old, &world.folder_of(1));
    world.restart(1);
    assert_eq!(world.files(1), 1);
    let asked = world.attempt(&second, "battery staple");
    let refused = world.keeper(1).evaluate(asked.leaf, &asked.request.element).await;
    assert_eq!(code(refused), "VAULT_SHARE_MISSING");
    for _ in 0..=0x41 {
        world.keeper(1).round().await.unwrap();
    }
    assert_eq!((world.files(1), world.holder(VAULT, 1).erased), (0, 1));
    assert_eq!(recover(&world, &second, "battery staple", &[2, 3, 4]).await, SECRET);
}

#[tokio::test]
async fn a_keeper_that_is_cut_off_answers_for_a_minute_and_no_longer() {
    let world = World::new();
    let vault = world.seal(1, "correct horse").await;
    let asked = world.attempt(&vault, "correct horse");
    let past = world.chain().clone();
    world.see(1, Sight::Past(Box::new(past)));
    let later = world.attempt(&vault, "correct horse");
    let keeper = world.keeper(1);
    assert_eq!(code(keeper.evaluate(later.leaf, &later.request.element).await), "VAULT_NOT_GRANTED");
    world.pass(STATE_AGE_MAX_MS);
    keeper.evaluate(asked.leaf, &asked.request.element).await.unwrap();
    world.pass(1);
    for refused in [
        code(keeper.evaluate(asked.leaf, &asked.request.element).await),
        code(keeper.drill(&vault_name(), &[1; 32]).await),
        code(keeper.round().await),
    ] {
        assert_eq!(refused, "LEDGER_UNAVAILABLE");
    }
}

#[tokio::test]
async fn a_stop_at_any_step_of_an_erasure_loses_no_word_and_repeats_none() {
    for step in 0..4 {
        let mut world = World::new();
        world.seal(1, "correct horse").await;
        assert!(world.destroy(VAULT, 1).is_accepted());
        let place = Place::now(&world.vault(VAULT).unwrap());
        let shares = &world.keeper(1).0.shares;
        if step > 0 {
            world.keeper(1).0.owed.owe(&vault_name(), 1).unwrap();
        }
        if step > 1 {
            shares.erase(&place).unwrap();
        }
        if step > 2 {
            let act = VaultAct::Erase { vault: named(VAULT), version: 1, keeper: *world.keeper(1).id() };
            assert!(world.record_as_keeper(1, act).is_accepted());
        }
        world.restart(1);
        for _ in 0..=0x41 {
            world.keeper(1).round().await.unwrap();
        }
        assert_eq!((world.files(1), world.holder(VAULT, 1).erased), (0, 1), "step {step}");
    }
}

#[tokio::test]
async fn nothing_is_said_to_be_erased_while_a_file_of_it_is_there() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    assert!(world.destroy(VAULT, 1).is_accepted());
    world.keeper(1).0.owed.owe(&vault_name(), 1).unwrap();
    // The share waits to be found.
    let place = Place::now(&world.vault(VAULT).unwrap());
    world.keeper(1).0.shares.settle(&place).unwrap();
    world.keeper(1).tell(&vault_name()).await.unwrap();
    assert_eq!((world.files(1), world.holder(VAULT, 1).erased), (2, 0));
    world.keeper(1).round().await.unwrap();
    assert_eq!((world.files(1), world.holder(VAULT, 1).erased), (0, 1));
}

#[tokio::test]
async fn of_two_sealings_of_one_version_the_one_that_is_final_stays() {
    let world = World::new();
    let (one, other) = (world.draft(1, "correct horse"), world.draft(1, "battery staple"));
    world.deposit(&one).await;
    let vault = world.seal_drafted(&other).await;
    for (number, keeper) in (1..).zip(&world.keepers) {
        assert_eq!(world.files(number), 2);
        keeper.round().await.unwrap();
        assert_eq!(
            (world.files(number), world.holder(VAULT, number).erased),
            (1, 0),
            "it holds that version"
        );
    }
    assert_eq!(recover(&world, &vault, "battery staple", &[1, 2, 3]).await, SECRET);
}

#[tokio::test]
async fn no_sealing_is_acknowledged_that_could_be_recorded_without_its_shares() {
    let world = World::new();
    let now_ms = world.chain().now_ms;
    for expires_ms in [None, Some(now_ms - 1), Some(now_ms + EXPIRES_MAX_MS + 1), Some(u64::MAX)] {
        let mut sealed = world.draft(1, "correct horse");
        sealed.sealing.expires_ms = expires_ms;
        let signed = signed_deposit(&sealed.sealing);
        let refused = world.keeper(1).deposit(&sealed.sealing.encode(), &sealed.shares[0], &signed).await;
        assert_eq!(code(refused), "AUTHOR_SIGNATURE_EXPIRED", "{expires_ms:?}");
    }
    assert_eq!(world.files(1), 0);
}

#[tokio::test]
async fn an_acknowledgement_is_repeated_but_nothing_waits_longer_for_that() {
    let world = World::new();
    let sealed = world.draft(1, "correct horse");
    let acknowledgements = world.deposit(&sealed).await;
    let (bytes, signed) = (sealed.sealing.encode(), signed_deposit(&sealed.sealing));
    world.pass(LIFE_MS);
    assert_eq!(world.deposit(&sealed).await, acknowledgements);
    world.pass(1);
    let refused = world.keeper(1).deposit(&bytes, &sealed.shares[0], &signed).await;
    assert_eq!(code(refused), "AUTHOR_SIGNATURE_EXPIRED", "too late to have it final");
    world.pass(PENDING_MS - LIFE_MS - 1);
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 1);
    world.pass(1);
    for (number, keeper) in (1..).zip(&world.keepers) {
        keeper.round().await.unwrap();
        assert_eq!(world.files(number), 0, "a day after it was first acknowledged");
    }
    // Who held it back until nobody has a share of it any more seals nothing with it.
    assert_eq!(world.seal_final(&sealed, acknowledgements).name(), "EXPIRED");
    world.seal(1, "correct horse").await;
    world.keeper(1).round().await.unwrap();
    world.pass(2 * DAY_MS);
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 1);
}

#[tokio::test]
async fn a_word_that_the_ledger_does_not_take_is_not_said_again_and_again() {
    let mut world = World::new();
    world.seal(1, "correct horse").await;
    assert!(world.destroy(VAULT, 1).is_accepted());
    world.keeper(1).0.noticed.refused(&vault_name(), 1);
    world.keeper(1).round().await.unwrap();
    world.keeper(1).round().await.unwrap();
    assert_eq!((world.files(1), world.holder(VAULT, 1).erased), (1, 0));
    world.restart(1);
    world.keeper(1).round().await.unwrap();
    assert_eq!((world.files(1), world.holder(VAULT, 1).erased), (0, 1));
}

#[tokio::test]
async fn a_damaged_share_is_refused_and_keeps_no_other_from_its_round() {
    let world = World::new();
    let sealed = world.draft(1, "correct horse");
    let acknowledgements = world.deposit(&sealed).await;
    let file = files(&world.folder_of(1)).remove(0);
    let whole = std::fs::read(&file).unwrap();
    for len in [0, 1, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&file, &whole[..len]).unwrap();
        assert_eq!(world.deposit(&sealed).await, acknowledgements, "a sound share takes its place");
        assert_eq!(std::fs::read(&file).unwrap().len(), whole.len());
    }
    assert!(world.seal_final(&sealed, acknowledgements).is_accepted());
    world.keeper(1).round().await.unwrap();
    let file = files(&world.folder_of(1)).remove(0);
    let mut other = std::fs::read(&file).unwrap();
    *other.last_mut().unwrap() ^= 1;
    std::fs::write(&file, other).unwrap();
    let asked = world.attempt(&sealed.vault(), "correct horse");
    assert_eq!(code(world.keeper(1).evaluate(asked.leaf, &asked.request.element).await), "INTERNAL");
    world.keeper(1).round().await.unwrap();
    assert!(world.destroy(VAULT, 1).is_accepted());
    drop(world.keeper(1).drill(&vault_name(), &[1; 32]).await);
    world.keeper(1).round().await.unwrap();
    assert_eq!((world.files(1), world.holder(VAULT, 1).erased), (0, 1), "what cannot be read can be erased");
}

#[tokio::test]
async fn bytes_that_are_changed_on_their_way_are_refused_and_change_nothing() {
    let world = World::new();
    let sealed = world.draft(1, "correct horse");
    let (sealing, share, signed) =
        (sealed.sealing.encode(), &sealed.shares[0], signed_deposit(&sealed.sealing));
    let keeper = world.keeper(1);
    for place in (0..sealing.len()).step_by(7) {
        let mut other = sealing.clone();
        other[place] ^= 1;
        assert!(keeper.deposit(&other, share, &signed).await.is_err(), "byte {place} of the sealing");
    }
    for place in (0..share.len()).step_by(7) {
        let mut other = share.clone();
        other[place] ^= 1;
        assert!(keeper.deposit(&sealing, &other, &signed).await.is_err(), "byte {place} of the share");
    }
    for len in (0..share.len()).step_by(13) {
        assert_eq!(code(keeper.deposit(&sealing, &share[..len], &signed).await), "VAULT_SHARE_REFUSED");
    }
    assert_eq!(world.files(1), 0);
    keeper.deposit(&sealing, share, &signed).await.unwrap();
}

#[tokio::test]
async fn an_attempt_that_nobody_granted_is_not_answered_whatever_it_says() {
    let world = World::new();
    let vault = world.seal(1, "correct horse").await;
    let (_, request) = Recovery::begin(vault.clone(), &password("correct horse")).unwrap();
    let (attempt, ..) = world.ask(&vault, &request);
    let mut others = [attempt; 3];
    others[0].version = 2;
    others[1].share_version = 2;
    others[2].vault = named([9; 32]);
    for other in others {
        let (leaf, outcome) = world.record(VaultAct::Attempt(other), false);
        assert!(!outcome.is_accepted());
        let refused = world.keeper(1).evaluate(leaf, &request.element).await;
        assert_eq!(code(refused), "VAULT_NOT_GRANTED", "{}", outcome.name());
    }
}
