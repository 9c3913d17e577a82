//! Vaults that are remembered, and secrets of one-time codes.

use keyward_store::{AccountState, Change, CodeState, Id, OneTimeCode, Store, StoreError, Vault, VaultState};

use super::{id, open_account};

pub(super) async fn vaults_are_remembered_until_they_have_ended(store: &dyn Store) {
    open_account(store, "vaults").await;
    open_account(store, "vaults, too").await;
    let account = id("vaults");
    let (vault, created_ms) = (id("main"), 7);
    let row = |state, ended_leaf| Vault { account, vault, state, ended_leaf, created_ms };
    let apply = async |change| store.apply(vec![change]).await.unwrap();
    let known = async || store.vaults(account).await.unwrap();
    apply(Change::RememberVault { account, vault, created_ms }).await;
    apply(Change::RememberVault { account, vault, created_ms: 8 }).await;
    assert_eq!(known().await, [row(VaultState::Pending, None)]);
    apply(Change::ForgetPendingVault { account, vault }).await;
    assert_eq!(known().await, []);
    // One that was forgotten by another server is there again once it is sealed.
    apply(Change::SealVault { account, vault, created_ms }).await;
    apply(Change::RememberVault { account, vault, created_ms: 9 }).await;
    apply(Change::ForgetPendingVault { account, vault }).await;
    assert_eq!(known().await, [row(VaultState::Sealed, None)]);
    assert_eq!(store.vaults(id("vaults, too")).await.unwrap(), []);

    let start = ([0; 32], [0; 32]);
    let closed = async || store.vaults_of_closed_accounts(start, 9).await.unwrap();
    assert!(!closed().await.contains(&row(VaultState::Sealed, None)));
    apply(Change::SetAccountState(account, AccountState::Open, AccountState::Closed)).await;
    assert!(closed().await.contains(&row(VaultState::Sealed, None)));
    assert_eq!(store.vaults_of_closed_accounts(start, 0).await.unwrap(), []);
    // The round goes on behind a vault, in the order of accounts and then of vaults.
    let [smaller_vault, smaller_account] = [vault, account].map(|mut id| {
        assert!(id[0] > 0);
        id[0] -= 1;
        id
    });
    let found = async |after| {
        let rows = store.vaults_of_closed_accounts(after, 9).await.unwrap();
        rows.contains(&row(VaultState::Sealed, None))
    };
    assert!(found((account, smaller_vault)).await && found((smaller_account, [0xff; 32])).await);
    assert!(!found((account, vault)).await && !found(([0xff; 32], [0; 32])).await);
    apply(Change::EndVault { account, vault, leaf_index: Some(12) }).await;
    apply(Change::EndVault { account, vault, leaf_index: None }).await;
    apply(Change::SealVault { account, vault, created_ms }).await;
    assert_eq!(known().await, [row(VaultState::Ended, Some(12))]);
    assert!(!closed().await.iter().any(|row| row.account == account));
}

fn code(account: Id, state: CodeState, sealed: u8) -> OneTimeCode {
    OneTimeCode {
        account,
        state,
        sealed: vec![sealed; 40],
        kek: "one".into(),
        last_step: 0,
        failures: 0,
        last_ms: 0,
    }
}

pub(super) async fn a_code_is_charged_once_and_one_secret_counts(store: &dyn Store) {
    open_account(store, "codes").await;
    let account = id("codes");
    let find = async |state| store.one_time_code(account, state).await.unwrap();
    let fresh = code(account, CodeState::Fresh, 1);
    store.apply(vec![Change::PutCode(code(account, CodeState::Fresh, 9))]).await.unwrap();
    store.apply(vec![Change::PutCode(fresh.clone())]).await.unwrap();
    assert_eq!((find(CodeState::Fresh).await, find(CodeState::Live).await), (Some(fresh.clone()), None));

    let charge = |from: &OneTimeCode| {
        vec![Change::ChargeCode { from: from.clone(), last_step: 5, failures: 0, last_ms: 900 }]
    };
    let (one, two) = tokio::join!(store.apply(charge(&fresh)), store.apply(charge(&fresh)));
    assert!(one.is_ok() != two.is_ok(), "a code is accepted once: {one:?} {two:?}");
    let charged = find(CodeState::Fresh).await.unwrap();
    assert_eq!((charged.last_step, charged.failures, charged.last_ms), (5, 0, 900));

    let confirm = || vec![Change::RemoveCode(account, CodeState::Live), Change::ConfirmCode(account)];
    let none_live = || vec![Change::NeedOpenAccount(account), Change::NeedNoLiveCode(account)];
    store.apply(none_live()).await.unwrap();
    store.apply(confirm()).await.unwrap();
    assert!(matches!(store.apply(none_live()).await, Err(StoreError::Missing { .. })));
    assert_eq!(find(CodeState::Live).await.map(|row| row.sealed), Some(fresh.sealed.clone()));
    assert!(matches!(store.apply(confirm()).await, Err(StoreError::Missing { .. })));
    assert!(find(CodeState::Live).await.is_some(), "a refused change leaves the one that counts");

    let row = find(CodeState::Live).await.unwrap();
    assert!(store.one_time_codes_not_under("two", 9).await.unwrap().contains(&row));
    assert!(!store.one_time_codes_not_under("one", 9).await.unwrap().contains(&row));
    let reseal = |from: u8| Change::ResealCode {
        account,
        state: CodeState::Live,
        from_sealed: vec![from; 40],
        to_sealed: vec![7; 41],
        kek: "two".into(),
    };
    assert!(matches!(store.apply(vec![reseal(2)]).await, Err(StoreError::Missing { .. })));
    store.apply(vec![reseal(1)]).await.unwrap();
    assert!(
        !store.one_time_codes_not_under("two", 9).await.unwrap().iter().any(|row| row.account == account)
    );
    store.apply(vec![Change::RemoveCode(account, CodeState::Live)]).await.unwrap();
    assert_eq!(find(CodeState::Live).await, None);
}
