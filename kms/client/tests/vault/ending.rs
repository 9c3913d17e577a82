//! Drills, and the end of a vault.

use keyward_client::vault::{FaultCause, RecoverError, SealError, VaultError};
use keyward_crypto::vault::DrillError;

use super::world::{ANNA, Answer, BORIS, Lies, World, login, main_vault, order, password};

#[tokio::test]
async fn a_drill_says_who_proved_a_share_and_spends_nothing() {
    let world = World::start().await;
    world.seal(ANNA, order()).await;
    let client = world.client(ANNA).await;
    let checked = client.check_vault(&main_vault(), &|_| ()).await.unwrap();
    assert_eq!((checked.proved(), checked.is_enough()), (5, true));

    // One lost its disk, one holds something damaged, one answers for another.
    world.keepers[0].forget();
    world.keepers[1].turn_bad();
    let others = std::sync::Mutex::new(None);
    let for_another = move |number, answer: Answer| {
        let mut others = others.lock().unwrap();
        match number {
            2 => Ok(others.clone().unwrap_or_else(|| vec![1; 161])),
            _ => {
                if let Ok(answer) = &answer {
                    *others = Some(answer.clone());
                }
                answer
            }
        }
    };
    world.lie(Lies { drill: Some(Box::new(for_another)), ..Lies::default() });
    let checked = client.check_vault(&main_vault(), &|_| ()).await.unwrap();
    let proved: Vec<_> = checked.keepers.iter().map(|drilled| drilled.fault.is_none()).collect();
    assert_eq!(proved, [false, false, false, true, true]);
    assert!(!checked.is_enough());
    let third = checked.keepers[2].fault.as_ref().unwrap();
    assert!(matches!(third.cause, FaultCause::Drill(DrillError::Unsigned { index: 3 })), "{third:?}");
    assert_eq!(client.vault_status(&main_vault()).await.unwrap().unwrap().attempts.left, 3);
}

#[tokio::test]
async fn an_old_answer_to_a_drill_proves_nothing() {
    let world = World::start().await;
    world.seal(ANNA, order()).await;
    let client = world.client(ANNA).await;
    let first = std::sync::Mutex::new(std::collections::HashMap::new());
    let replaying = move |number: usize, answer: Answer| {
        Ok(first.lock().unwrap().entry(number).or_insert_with(|| answer.unwrap()).clone())
    };
    world.lie(Lies { drill: Some(Box::new(replaying)), ..Lies::default() });
    assert_eq!(client.check_vault(&main_vault(), &|_| ()).await.unwrap().proved(), 5);
    assert_eq!(client.check_vault(&main_vault(), &|_| ()).await.unwrap().proved(), 0);
}

#[tokio::test]
async fn a_vault_ends_by_its_accounts_word_alone_and_then_for_good() {
    let world = World::start().await;
    world.seal(ANNA, order()).await;
    let client = world.client(ANNA).await;
    let error = client.destroy_vault(&login(BORIS), &main_vault(), &|_| ()).await.unwrap_err();
    assert!(matches!(error, VaultError::OtherAccount));
    let mut stranger = login(BORIS);
    stranger.session.account = ANNA;
    client.destroy_vault(&stranger, &main_vault(), &|_| ()).await.unwrap_err();
    assert!(!client.vault_status(&main_vault()).await.unwrap().unwrap().destroyed);

    let destroyed = client.destroy_vault(&login(ANNA), &main_vault(), &|_| ()).await.unwrap();
    assert_eq!((destroyed.version, destroyed.keepers.len()), (1, 5));
    let status = client.vault_status(&main_vault()).await.unwrap().unwrap();
    assert!(status.destroyed);
    assert!(matches!(
        client.destroy_vault(&login(ANNA), &main_vault(), &|_| ()).await,
        Err(VaultError::Destroyed)
    ));
    assert!(matches!(client.check_vault(&main_vault(), &|_| ()).await, Err(VaultError::Destroyed)));
    let (vault, right) = (main_vault(), password("right"));
    let failure = client.recover_vault(&login(ANNA), &vault, &right, "", &|_| ()).await.unwrap_err();
    assert!(matches!(failure.error, RecoverError::Vault(VaultError::Destroyed)));
    let error = client.seal_vault(&login(ANNA), &vault, &right, order(), &|_| ()).await.unwrap_err();
    assert!(matches!(error, SealError::Vault(VaultError::Destroyed)));
}

#[tokio::test]
async fn what_was_never_sealed_is_neither_checked_nor_opened_nor_ended() {
    let world = World::start().await;
    let client = world.client(ANNA).await;
    assert!(client.vault_status(&main_vault()).await.unwrap().is_none());
    assert!(matches!(client.check_vault(&main_vault(), &|_| ()).await, Err(VaultError::Unknown)));
    let ended = client.destroy_vault(&login(ANNA), &main_vault(), &|_| ()).await;
    assert!(matches!(ended, Err(VaultError::Unknown)));
    let failure =
        client.recover_vault(&login(ANNA), &main_vault(), &password("right"), "", &|_| ()).await.unwrap_err();
    assert_eq!(failure.error.code(), Some("VAULT_UNKNOWN"));
}
