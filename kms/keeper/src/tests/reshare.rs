//! Keepers that leave the ledger or come to it: the others deal a vault's shares to those whom the ledger's state names.

use keyward_ledger_core::state::layout::{AccountState, account_key};

use super::{
    code, recover,
    renewal::{await_turn, deal_to, ids, look, now, said, share_version, word},
    ring::{join, ring},
    world::{ACCOUNT, SECRET, VAULT, World, address_of, files, id_of},
};
use crate::REFRESH_INTERVAL;

fn holders(world: &World) -> Vec<[u8; 32]> {
    world.vault(VAULT).unwrap().keepers
}

/// Has the holder with this number, at a place among so many who stay, begin what is to be begun; then all look.
async fn begin(world: &World, number: u8, [place, of]: [u8; 2]) {
    await_turn(world, place, of.into());
    look(world, number).await;
    for number in 1..=world.keepers.len() {
        look(world, u8::try_from(number).unwrap()).await;
    }
}

#[tokio::test]
async fn a_keeper_that_leaves_is_followed_by_one_that_came_without_the_owner() {
    let mut world = World::new();
    let sealed = world.seal(1, "correct horse").await;
    let ring = ring(&world, REFRESH_INTERVAL);
    begin(&world, 1, [1, 5]).await;
    world.admit(6);
    join(&world, &ring, 6);
    begin(&world, 1, [1, 5]).await;
    assert_eq!(share_version(&world), 1, "who comes where nobody left gets nothing");
    world.set_present(2, false);
    let asked = world.attempt(&sealed, "correct horse");
    begin(&world, 3, [2, 4]).await;
    assert_eq!((share_version(&world), holders(&world)), (2, ids(&[1, 3, 4, 5, 6])));
    assert_eq!(
        code(world.keeper(1).evaluate(asked.leaf, &asked.request.element).await),
        "VAULT_VERSION_STALE"
    );
    let kept = files(&world.folder_of(2).join("kept"));
    assert!(kept.is_empty(), "who left holds nothing any more, and its rounds go on");
    assert_eq!((world.files(1), world.files(6)), (1, 1));
    let vault = now(&world).await;
    // Indices are those of the new list: 6 stands fifth.
    let asked = world.attempt(&vault, "correct horse");
    let grant = asked.grant();
    let mut evaluating = asked.recovery.granted(&grant).unwrap();
    for (index, number) in [(2, 3), (3, 4), (5, 6)] {
        let answer = world.keeper(number).evaluate(asked.leaf, &asked.request.element).await.unwrap();
        evaluating.answer(index, &answer).unwrap();
    }
    evaluating.derive().unwrap();
    // And its lost share comes back like any other's.
    std::fs::remove_dir_all(world.folder_of(6)).unwrap();
    world.restart(6);
    join(&world, &ring, 6);
    world.keeper(6).round().await.unwrap();
    assert_eq!(world.files(6), 1);
}

#[tokio::test]
async fn where_nobody_comes_fewer_hold_and_who_comes_later_is_dealt_a_share() {
    let mut world = World::new();
    world.seal(1, "correct horse").await;
    let ring = ring(&world, REFRESH_INTERVAL);
    world.set_present(5, false);
    begin(&world, 1, [1, 4]).await;
    assert_eq!((share_version(&world), holders(&world)), (2, ids(&[1, 2, 3, 4])));
    assert_eq!(recover(&world, &now(&world).await, "correct horse", &[1, 2, 4]).await, SECRET);
    // One that came and does not answer stops nobody.
    world.admit(6);
    world.set_present(4, false);
    begin(&world, 1, [1, 3]).await;
    assert_eq!((share_version(&world), holders(&world)), (3, ids(&[1, 2, 3])));
    join(&world, &ring, 6);
    world.pass(10 * 60 * 1_000);
    begin(&world, 1, [1, 3]).await;
    assert_eq!((share_version(&world), holders(&world)), (4, ids(&[1, 2, 3, 6])));
    // One that left and came back holds again, as a newcomer.
    world.set_present(5, true);
    begin(&world, 1, [1, 4]).await;
    assert_eq!((share_version(&world), holders(&world)), (5, ids(&[1, 2, 3, 6, 5])));
    assert_eq!(recover(&world, &now(&world).await, "correct horse", &[1, 2, 3]).await, SECRET);
}

#[tokio::test]
async fn below_the_threshold_nobody_deals_and_the_operator_is_told() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    let _ring = ring(&world, REFRESH_INTERVAL);
    begin(&world, 1, [1, 5]).await;
    [3, 4, 5].iter().for_each(|number| world.set_present(*number, false));
    look(&world, 1).await;
    world.pass(24 * 60 * 60 * 1_000);
    look(&world, 1).await;
    let trouble = world.keeper(1).trouble().unwrap();
    assert!(
        trouble.contains("2 holders of the vault are keepers of the ledger still, and 3 are needed"),
        "{trouble}"
    );
    assert_eq!(
        (share_version(&world), world.files(5)),
        (1, 1),
        "those who left still hold what nobody replaced"
    );
}

#[tokio::test]
async fn shares_are_dealt_to_nobody_else_whoever_asks() {
    let mut world = World::new();
    world.seal(1, "correct horse").await;
    let ring = ring(&world, REFRESH_INTERVAL);
    for number in [6, 7] {
        world.admit(number);
        join(&world, &ring, number);
    }
    world.set_present(5, false);
    let state = world.vault(VAULT).unwrap();
    let keepers = world.keeper(1).ledger_keepers().await.unwrap();
    let all = world.keeper(1).successors(&state, &keepers).await.unwrap().all;
    let comes = all[4];
    let [comes, other] = if comes == id_of(6) { [6, 7] } else { [7, 6] };
    for wrong in [
        &[1, 2, 3, 4, other][..],
        &[1, 2, 3, 4, comes, other],
        &[1, 2, 3, 4, 5],
        &[2, 1, 3, 4, comes],
        &[1, 2, 3, comes],
        &[1, 2, 3],
        &[comes, other, 1],
    ] {
        let deal = word(&world, &[1, 2, 3], deal_to(wrong));
        let refused = world.keeper(2).confer(&said(&world, [1, 2], &deal)).await;
        assert_eq!(code(refused), "VAULT_WORD_REFUSED", "{wrong:?}");
    }
    for right in [&[1, 2, 3, 4, comes][..], &[1, 2, 3, 4]] {
        let deal = word(&world, &[1, 2, 3], deal_to(right));
        world.keeper(2).confer(&said(&world, [1, 2], &deal)).await.unwrap();
    }
    // Neither does who left deal, nor who is to come ask for it.
    let deal = word(&world, &[1, 2, 5], deal_to(&[1, 2, 3, 4]));
    assert_eq!(code(world.keeper(2).confer(&said(&world, [1, 2], &deal)).await), "VAULT_WORD_REFUSED");
    let deal = word(&world, &[1, 2, 3], deal_to(&[1, 2, 3, 4]));
    for stranger in [5, comes] {
        let refused = world.keeper(2).confer(&said(&world, [stranger, 2], &deal)).await;
        assert_eq!(code(refused), "VAULT_WORD_REFUSED", "{}", address_of(stranger));
    }
}

#[tokio::test]
async fn for_a_closed_account_nothing_is_dealt_and_nobody_is_troubled() {
    let world = World::new();
    world.seal(1, "correct horse").await;
    let _ring = ring(&world, REFRESH_INTERVAL);
    begin(&world, 1, [1, 5]).await;
    world.set_state(account_key(&ACCOUNT), AccountState { open: false, height: 2 }.encode());
    world.set_present(5, false);
    for _ in 0..2 {
        begin(&world, 1, [1, 4]).await;
        world.pass(24 * 60 * 60 * 1_000);
    }
    assert_eq!((share_version(&world), world.keeper(1).trouble()), (1, None));
}
