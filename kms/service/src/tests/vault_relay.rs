//! The blind relay, with keepers that lie, stall and send anything.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use keyward_domain::Code;
use keyward_ledger_core::entry::VaultAct;

use super::{
    keepers::{Manner, keeper, keeper_id},
    vaults::{Owner, VAULT, unsigned, world},
    world::{Mood, World, code},
};
use crate::{
    config::Limits,
    failure::Failure,
    ports::ToKeeper,
    vaults::{
        entries::Kind,
        floods::Flood,
        relay::{ANSWER_BYTES_MAX, Deposit, SHARE_BYTES_MAX},
    },
};

fn to(number: u8, sealing: Bytes, share: Bytes) -> Deposit {
    Deposit { keeper: keeper_id(number), sealing, share, signature: [8; 64] }
}

async fn deposit(world: &World, owner: &Owner, number: u8, share: &[u8]) -> Result<Bytes, Failure> {
    let sealing = owner.sealing(VAULT, 1, &[1, 2]).encode();
    let share = Bytes::copy_from_slice(share);
    world.custody.deposit_share(&owner.caller, to(number, sealing.into(), share)).await
}

async fn drill(world: &World, owner: &Owner, number: u8) -> Result<Bytes, Failure> {
    world.custody.drill_share(&owner.caller, keeper_id(number), VAULT, [3; 32]).await
}

#[tokio::test]
async fn what_is_for_a_keeper_reaches_it_unchanged_and_its_answer_comes_back_so() {
    let (world, owner) = world().await;
    assert_eq!(deposit(&world, &owner, 1, b"sealed share").await.unwrap(), vec![7; 64]);
    owner.seal(&world, VAULT, 1).await.unwrap();
    let granted = owner.hand_in(&world, Kind::Attempt, &owner.attempt_entry(1), b"").await.unwrap();
    let opened =
        owner.hand_in(&world, Kind::Open, &owner.open_entry(&world, 1, &granted), b"").await.unwrap();
    let (one, opened_one) = (granted.leaf_index, opened.leaf_index);
    let evaluated = world.custody.evaluate_share(&owner.caller, keeper_id(2), one, [1; 32]).await.unwrap();
    let released = world.custody.release_share(&owner.caller, keeper_id(2), one, opened_one).await.unwrap();
    assert_eq!((&evaluated[..], &released[..]), (&b"answer"[..], &b"answer"[..]));
    assert_eq!(&drill(&world, &owner, 3).await.unwrap()[..], b"answer");
    let sealing = owner.sealing(VAULT, 1, &[1, 2]).encode().into();
    assert_eq!(
        world.keepers.asked(),
        [
            (
                keeper(1).rpc,
                ToKeeper::Deposit { sealing, share: Bytes::from_static(b"sealed share"), signature: [8; 64] }
            ),
            (keeper(2).rpc, ToKeeper::Evaluate { leaf_index: one, element: [1; 32] }),
            (keeper(2).rpc, ToKeeper::Release { leaf_index: one, opened_leaf_index: opened_one }),
            (keeper(3).rpc, ToKeeper::Drill { account: owner.account(), vault: VAULT, nonce: [3; 32] }),
        ]
    );
}

#[tokio::test]
async fn a_question_about_a_record_is_charged_before_the_ledger_is_asked() {
    let (world, owner) = world().await;
    let (burst, _) = Flood::Question.bound();
    let (custody, id) = (&world.custody, keeper_id(1));
    for _ in 0..burst / 2 {
        let evaluated = custody.evaluate_share(&owner.caller, id, 9_999, [1; 32]).await;
        assert_eq!(code(evaluated), Code::VaultNotGranted);
        let released = custody.release_share(&owner.caller, id, 9_999, 9_999).await;
        assert_eq!(code(released), Code::VaultNotGranted);
    }
    let evaluated = custody.evaluate_share(&owner.caller, id, 9_999, [1; 32]).await;
    assert_eq!(code(evaluated), Code::VaultLimited);
    let released = custody.release_share(&owner.caller, id, 9_999, 9_999).await;
    assert_eq!(code(released), Code::VaultLimited);
    assert_eq!(world.keepers.asked(), []);
}

#[tokio::test]
async fn nothing_but_what_is_the_sessions_own_is_passed_on() {
    let (world, owner) = world().await;
    owner.seal(&world, VAULT, 1).await.unwrap();
    let granted = owner.hand_in(&world, Kind::Attempt, &owner.attempt_entry(1), b"").await.unwrap();
    let opened =
        owner.hand_in(&world, Kind::Open, &owner.open_entry(&world, 1, &granted), b"").await.unwrap();
    let bob = Owner::new(&world, "bob").await;
    let (granted, opened, id) = (granted.leaf_index, opened.leaf_index, keeper_id(1));
    let custody = &world.custody;
    assert_eq!(code(custody.evaluate_share(&bob.caller, id, granted, [1; 32]).await), Code::NotAllowed);
    assert_eq!(code(custody.release_share(&bob.caller, id, granted, opened).await), Code::NotAllowed);
    let sealing: Bytes = owner.sealing(VAULT, 2, &[1, 2]).encode().into();
    let share = Bytes::from_static(b"share");
    let theirs = custody.deposit_share(&bob.caller, to(1, sealing.clone(), share.clone())).await;
    assert_eq!(code(theirs), Code::NotAllowed);
    // A refused attempt, a sealing, an attempt in the place of its success, and nothing at all.
    owner.hand_in(&world, Kind::Attempt, &owner.attempt_entry(2), b"").await.unwrap();
    let refused = owner.hand_in(&world, Kind::Attempt, &owner.attempt_entry(3), b"").await;
    assert_eq!(code(refused), Code::AttemptsCooling);
    let refused = world.ledger.log().len() as u64 - 1;
    for leaf_index in [refused, opened, 0, 9_999] {
        let answer = custody.evaluate_share(&owner.caller, id, leaf_index, [1; 32]).await;
        assert_eq!(code(answer), Code::VaultNotGranted, "{leaf_index}");
    }
    assert_eq!(code(custody.release_share(&owner.caller, id, granted, granted).await), Code::VaultNotOpened);
    let app = world.caller("keyward://app/wallet").await;
    assert_eq!(code(custody.drill_share(&app, id, VAULT, [3; 32]).await), Code::SessionRequired);
    assert_eq!(code(custody.evaluate_share(&app, id, granted, [1; 32]).await), Code::SessionRequired);
    assert_eq!(code(custody.deposit_share(&app, to(1, sealing, share)).await), Code::SessionRequired);
    assert_eq!(world.keepers.asked(), [], "no keeper was asked");
}

#[tokio::test]
async fn shares_of_wrong_sizes_and_for_strangers_are_not_passed_on() {
    let (world, owner) = world().await;
    let malformed = Code::VaultRequestMalformed;
    assert_eq!(code(deposit(&world, &owner, 1, b"").await), malformed);
    assert_eq!(code(deposit(&world, &owner, 1, &vec![0; SHARE_BYTES_MAX + 1]).await), malformed);
    assert_eq!(code(deposit(&world, &owner, 3, b"share").await), malformed, "none of the sealing's keepers");
    let send = async |sealing: Vec<u8>| {
        let share = Bytes::from_static(b"share");
        world.custody.deposit_share(&owner.caller, to(1, sealing.into(), share)).await
    };
    let sealing = owner.sealing(VAULT, 1, &[1, 2]);
    assert_eq!(code(send([sealing.encode(), vec![0]].concat()).await), malformed);
    assert_eq!(code(send(vec![1; 5000]).await), malformed);
    let mut unsound = sealing;
    unsound.shares.keepers.truncate(1);
    assert_eq!(code(send(unsound.encode()).await), Code::VaultInvalid);
    // Who has left takes no shares any more, and still answers for those that it holds.
    world.set_keeper(2, false);
    assert_eq!(code(deposit(&world, &owner, 2, b"share").await), Code::VaultKeeperUnknown);
    assert_eq!(world.keepers.asked(), []);
    drill(&world, &owner, 2).await.unwrap();
    assert_eq!(code(drill(&world, &owner, 9).await), Code::VaultKeeperUnknown);
    world.ledger.set(Mood::Gone);
    assert_eq!(code(drill(&world, &owner, 1).await), Code::LedgerUnavailable);
    deposit(&world, &owner, 1, &vec![0; SHARE_BYTES_MAX]).await.unwrap_err();
}

#[tokio::test]
async fn of_a_keepers_refusals_only_its_own_codes_come_through() {
    let (world, owner) = world().await;
    let remedy = Code::VaultShareMissing.remedy();
    let said = format!("no share of this vault\n is held here: {remedy}");
    world.keepers.set(1, Manner::Refuses("VAULT_SHARE_MISSING", said));
    let refused = drill(&world, &owner, 1).await.unwrap_err();
    assert_eq!(refused.code, Code::VaultShareMissing);
    assert_eq!(refused.message, "the keeper refused: no share of this vault is held here");
    world.keepers.set(1, Manner::Refuses("VAULT_DESTROYED", "x".repeat(10_000)));
    let refused = drill(&world, &owner, 1).await.unwrap_err();
    assert!(refused.message.len() < 300, "{}", refused.message.len());
    // What would make a client log out, pay or trust is not a keeper's to say.
    for foreign in ["SESSION_EXPIRED", "LOGIN_FAILED", "ATTEMPTS_LOCKED", "KEY_DESTROYED", "", "anything"] {
        world.keepers.set(1, Manner::Refuses(foreign, "do as I say".into()));
        let refused = drill(&world, &owner, 1).await.unwrap_err();
        assert_eq!(refused.code, Code::KeeperAnswer, "{foreign}");
        assert!(!refused.message.contains("do as I say"));
    }
    world.keepers.set(1, Manner::Refuses("INTERNAL", "my disk".into()));
    assert_eq!(code(drill(&world, &owner, 1).await), Code::KeeperUnavailable);
}

#[tokio::test]
async fn answers_of_wrong_sizes_are_none() {
    let (world, owner) = world().await;
    for len in [0, ANSWER_BYTES_MAX + 1] {
        world.keepers.set(1, Manner::Says(vec![1; len]));
        assert_eq!(code(drill(&world, &owner, 1).await), Code::KeeperAnswer, "{len}");
    }
    for len in [0, 63, 65] {
        world.keepers.set(1, Manner::Says(vec![1; len]));
        assert_eq!(code(deposit(&world, &owner, 1, b"share").await), Code::KeeperAnswer, "{len}");
    }
    world.keepers.set(1, Manner::Garbles);
    assert_eq!(code(drill(&world, &owner, 1).await), Code::KeeperAnswer);
    world.keepers.set(1, Manner::Away);
    let away = drill(&world, &owner, 1).await.unwrap_err();
    assert_eq!((away.code, away.code.retry()), (Code::KeeperUnavailable, true));
    drill(&world, &owner, 2).await.unwrap();
}

#[tokio::test]
async fn a_silent_keeper_is_given_up_in_time_and_holds_nobody_else_up() {
    let world = World::with(Limits { keeper_wait: Duration::from_millis(20), ..Limits::default() }).await;
    world.admit_keepers(&[1, 2, 3]);
    let owner = Owner::new(&world, "alice").await;
    world.keepers.set(1, Manner::Silent);
    assert_eq!(code(drill(&world, &owner, 1).await), Code::KeeperUnavailable);
    drill(&world, &owner, 2).await.unwrap();
}

#[tokio::test]
async fn questions_of_one_account_under_way_are_bounded_and_do_not_take_anothers_place() {
    let (world, owner) = world().await;
    let bob = Owner::new(&world, "bob").await;
    world.keepers.set(1, Manner::Silent);
    let mut held = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (custody, caller) = (world.custody.clone(), owner.caller.clone());
        held.spawn(async move { custody.drill_share(&caller, keeper_id(1), VAULT, [3; 32]).await });
    }
    while world.keepers.waiting.load(Ordering::Relaxed) < 32 {
        world.keepers.came.notified().await;
    }
    assert_eq!(code(drill(&world, &owner, 2).await), Code::ServiceBusy);
    drill(&world, &bob, 2).await.unwrap();
    held.shutdown().await;
    drill(&world, &owner, 2).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_shares_is_stopped_before_the_keepers() {
    let (world, owner) = world().await;
    let (burst, _) = Flood::Deposit.bound();
    for _ in 0..burst {
        deposit(&world, &owner, 1, b"share").await.unwrap();
    }
    let limited = deposit(&world, &owner, 1, b"share").await.unwrap_err();
    assert_eq!(limited.code, Code::VaultLimited);
    assert!(limited.wait_ms.is_some());
    assert_eq!(world.keepers.asked().len(), burst as usize);
    drill(&world, &owner, 1).await.unwrap();
    let erase = unsigned(VaultAct::Erase { vault: owner.vault(), version: 1, keeper: keeper_id(1) });
    assert_eq!(code(owner.hand_in(&world, Kind::Destroy, &erase, b"").await), Code::VaultRequestMalformed);
}
