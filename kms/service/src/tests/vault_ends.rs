//! Vaults that go with their account.

use keyward_domain::Code;
use keyward_ledger_core::{
    entry::{Act, Authored, Entry, RuleName, VaultAct},
    state::vault::{VaultState as Stands, vault_key},
    vault::vault_rule,
};
use keyward_store::{Change, VaultState};

use super::{
    vaults::{Owner, VAULT, world},
    world::{Mood, World, code},
};
use crate::{ports::Ledger as _, vaults::entries::Kind};

async fn destroyed(world: &World, owner: &Owner, vault: [u8; 32]) -> bool {
    let rule = vault_rule(&RuleName { owner: owner.account(), name: vault });
    let value = world.ledger.state(vault_key(&rule)).await.unwrap().unwrap();
    Stands::decode(&value).unwrap().destroyed
}

fn ends(world: &World) -> usize {
    world.ledger.count(|entry| {
        matches!(entry, Entry::Authored(Authored { act: Act::Vault(VaultAct::Destroy { .. }), .. }))
    })
}

async fn left(world: &World, owner: &Owner) -> usize {
    let rows = world.custody.store.vaults(owner.account()).await.unwrap();
    rows.iter().filter(|row| row.state != VaultState::Ended).count()
}

#[tokio::test]
async fn closing_an_account_ends_its_vaults_and_says_where_that_stands() {
    let (world, owner) = world().await;
    owner.seal(&world, VAULT, 1).await.unwrap();
    owner.seal(&world, VAULT, 2).await.unwrap();
    owner.seal(&world, [1; 32], 1).await.unwrap();
    owner.seal(&world, [2; 32], 1).await.unwrap();
    let one = RuleName { owner: owner.account(), name: [2; 32] };
    let destroy = owner.signed(&world, VaultAct::Destroy { vault: one, version: 1 });
    owner.hand_in(&world, Kind::Destroy, &destroy, b"").await.unwrap();
    let bob = Owner::new(&world, "bob").await;
    bob.seal(&world, VAULT, 1).await.unwrap();

    let closed = owner.close(&world, b"bye").await.unwrap();
    let vaults: Vec<_> = closed.vaults.iter().map(|ended| ended.vault).collect();
    assert_eq!(vaults, [[1; 32], VAULT], "one was ended before");
    for ended in &closed.vaults {
        assert_eq!(ended.receipt, ended.leaf_index.to_be_bytes());
        let entry = &world.ledger.log()[ended.leaf_index as usize].0;
        assert!(matches!(entry, Entry::Authored(Authored { act: Act::Vault(VaultAct::Destroy { .. }), .. })));
        assert!(destroyed(&world, &owner, ended.vault).await);
    }
    assert_eq!((left(&world, &owner).await, ends(&world)), (0, 3));
    assert!(!destroyed(&world, &bob, VAULT).await);
    world.custody.end_orphaned_vaults().await.unwrap();
    assert_eq!(ends(&world), 3, "each ends once");
    let late = owner.hand_in(&world, Kind::Attempt, &owner.attempt_entry(1), b"").await;
    assert_eq!(code(late), Code::AccountClosed);
}

#[tokio::test]
async fn vaults_that_a_crash_left_behind_a_closed_account_end_later() {
    for mood in [Mood::Deaf, Mood::Gone] {
        let (world, owner) = world().await;
        owner.seal(&world, VAULT, 1).await.unwrap();
        world.ledger.set(mood);
        let cut = owner.close(&world, b"").await;
        assert_eq!(code(cut), Code::LedgerUnavailable);
        world.ledger.set(Mood::Good);
        let world = world.restart().await;
        world.custody.store.take_over().await.unwrap();
        world.custody.end_orphaned_vaults().await.unwrap();
        assert_eq!((left(&world, &owner).await, ends(&world)), (1, 0), "not before the account is closed");
        assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
        // Its record may come unheard: the next round finds it ended.
        world.ledger.set(mood);
        world.custody.end_orphaned_vaults().await.unwrap();
        world.ledger.set(Mood::Good);
        world.custody.end_orphaned_vaults().await.unwrap();
        world.custody.end_orphaned_vaults().await.unwrap();
        assert_eq!((left(&world, &owner).await, ends(&world)), (0, 1), "{mood:?}");
        assert!(destroyed(&world, &owner, VAULT).await);
    }
}

#[tokio::test]
async fn vaults_that_cannot_be_ended_keep_no_others_from_their_end() {
    let (world, owner) = world().await;
    owner.seal(&world, VAULT, 1).await.unwrap();
    let account = owner.account();
    // As many as a round takes, all before it, and nobody can read what stands of them.
    for number in 0..64 {
        let vault = [number; 32];
        world.custody.store.apply(vec![Change::SealVault { account, vault, created_ms: 0 }]).await.unwrap();
        let rule = vault_rule(&RuleName { owner: account, name: vault });
        world.ledger.set_state(vault_key(&rule), vec![0xff]);
    }
    world.ledger.record(Entry::decode(&owner.closing(&world)).unwrap());
    let closing = world.custody.closing_beside_addresses(account);
    world.custody.store.apply(closing).await.unwrap();
    for _ in 0..2 {
        world.custody.end_orphaned_vaults().await.unwrap();
    }
    assert!(destroyed(&world, &owner, VAULT).await);
    // The next round begins at the front again.
    let ended = world.ledger.value(&vault_key(&vault_rule(&owner.vault()))).unwrap();
    world.ledger.set_state(vault_key(&vault_rule(&RuleName { owner: account, name: [0; 32] })), ended);
    world.custody.end_orphaned_vaults().await.unwrap();
    assert_eq!(left(&world, &owner).await, 63);
}

#[tokio::test]
async fn of_two_servers_that_end_a_vault_one_does() {
    let (world, owner) = world().await;
    owner.seal(&world, VAULT, 1).await.unwrap();
    world.ledger.record(Entry::decode(&owner.closing(&world)).unwrap());
    let closing = world.custody.closing_beside_addresses(owner.account());
    world.custody.store.apply(closing).await.unwrap();
    let other = world.beside().await;
    let (one, two) = tokio::join!(world.custody.end_orphaned_vaults(), other.end_orphaned_vaults());
    one.and(two).unwrap();
    assert_eq!((left(&world, &owner).await, ends(&world)), (0, 1));
}

#[tokio::test]
async fn a_vault_that_was_never_sealed_is_forgotten_with_its_account() {
    let (world, owner) = world().await;
    world.ledger.set(Mood::Gone);
    assert_eq!(code(owner.seal(&world, VAULT, 1).await), Code::LedgerUnavailable);
    assert_eq!(left(&world, &owner).await, 1);
    world.ledger.set(Mood::Good);
    let closed = owner.close(&world, b"").await.unwrap();
    assert_eq!(closed.vaults.len(), 1);
    assert!(closed.vaults[0].receipt.is_empty());
    assert_eq!((left(&world, &owner).await, ends(&world)), (0, 0));
    // Settling the sealing that was left does not bring it back.
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    assert_eq!((left(&world, &owner).await, ends(&world)), (0, 0));
}
