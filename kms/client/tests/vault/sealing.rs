//! Sealing: who is sealed to, and what ends it.

use keyward_client::vault::{FaultCause, KeeperChoice, SealError, SealOrder, VaultError, VaultTerms};
use keyward_client::{Client, EvidenceError};
use keyward_crypto::vault::VaultMode;
use keyward_ledger_core::vault::acknowledge;
use tonic::Status;

use super::world::{ANNA, BORIS, Lies, World, login, main_vault, order, password};

async fn seal(client: &Client, order: SealOrder) -> Result<u32, SealError> {
    let sealed = client.seal_vault(&login(ANNA), &main_vault(), &password("right"), order, &|_| ()).await;
    sealed.map(|sealed| sealed.version)
}

#[tokio::test]
async fn a_sealed_vault_is_what_the_ledger_then_proves() {
    let world = World::start().await;
    let sealed = world.seal(ANNA, order()).await;
    let client = world.client(ANNA).await;
    let status = client.vault_status(&main_vault()).await.unwrap().unwrap();
    assert_eq!((status.version(), status.destroyed, status.holding()), (1, false, 5));
    assert_eq!(status.sealing, sealed.sealing);
    assert_eq!(status.vault().facts().mode, VaultMode::Own);
    let names: Vec<_> = status.holders.iter().map(|holder| holder.keeper.name.as_str()).collect();
    assert_eq!(names, ["keeper-1", "keeper-2", "keeper-3", "keeper-4", "keeper-5"]);
    assert_eq!((status.attempts.left, status.attempts.lifetime_left), (3, 4));
    // Another account's vault of the same name is another vault.
    assert!(world.client(BORIS).await.vault_status(&main_vault()).await.unwrap().is_none());
}

#[tokio::test]
async fn keepers_are_drawn_or_named_and_never_fewer_than_were_wanted() {
    let world = World::start().await;
    let client = world.client(ANNA).await;
    let chosen = |keepers, threshold| {
        let order = order();
        seal(&client, SealOrder { keepers, threshold, ..order })
    };
    for (keepers, threshold) in [
        (KeeperChoice::Any(6), 3),
        (KeeperChoice::Any(5), 1),
        (KeeperChoice::Any(2), 3),
        (KeeperChoice::Any(0), 2),
        (KeeperChoice::Named(Vec::new()), 2),
    ] {
        let error = chosen(keepers.clone(), threshold).await.unwrap_err();
        assert!(matches!(error, SealError::Keepers { .. }), "{keepers:?}: {error}");
    }
    let error = chosen(KeeperChoice::Named(vec!["keeper-1".into(), "nobody".into()]), 2).await.unwrap_err();
    assert!(matches!(&error, SealError::KeeperUnknown { name } if name == "nobody"), "{error}");
    let twice = chosen(KeeperChoice::Named(vec!["keeper-1".into(), "keeper-1".into()]), 2).await;
    assert!(matches!(twice.unwrap_err(), SealError::Draft(_) | SealError::Terms));
    assert_eq!(chosen(KeeperChoice::Any(2), 2).await.unwrap(), 1);
}

#[tokio::test]
async fn a_vault_that_is_there_is_sealed_anew_only_on_purpose_and_in_the_next_version() {
    let world = World::start().await;
    world.seal(ANNA, order()).await;
    let client = world.client(ANNA).await;
    let error = seal(&client, order()).await.unwrap_err();
    assert!(matches!(error, SealError::Exists { version: 1 }), "{error}");
    let anew = SealOrder { anew: true, ..order() };
    assert_eq!(seal(&client, anew).await.unwrap(), 2);
    assert_eq!(client.vault_status(&main_vault()).await.unwrap().unwrap().version(), 2);
}

#[tokio::test]
async fn a_keeper_that_refuses_is_named_and_nothing_is_recorded() {
    let world = World::start().await;
    let deposit = |number, answer| if number == 3 { Err(Status::resource_exhausted("full")) } else { answer };
    world.lie(Lies { deposit: Some(Box::new(deposit)), ..Lies::default() });
    let client = world.client(ANNA).await;
    let SealError::NotAcknowledged { faults, willing, threshold } = seal(&client, order()).await.unwrap_err()
    else {
        panic!("it was sealed otherwise");
    };
    assert_eq!((faults.len(), faults[0].keeper.as_str(), threshold), (1, "keeper-4", 3));
    assert!(faults[0].evidence().is_none());
    assert_eq!(willing, ["keeper-1", "keeper-2", "keeper-3", "keeper-5"]);
    assert!(client.vault_status(&main_vault()).await.unwrap().is_none());
    // What is offered then works.
    let fewer = SealOrder { keepers: KeeperChoice::Named(willing), ..order() };
    assert_eq!(seal(&client, fewer).await.unwrap(), 1);
}

#[tokio::test]
async fn an_acknowledgement_of_another_sealing_or_by_another_keeper_does_not_count() {
    let world = World::start().await;
    let other = acknowledge(&world.keepers[1].signing, &world.snapshot().chain_id(), &[9; 32], 2).to_vec();
    let other_sealing = move |number, answer| if number == 1 { Ok(other.clone()) } else { answer };
    let first = std::sync::Mutex::new(None);
    let by_another = move |number: usize, answer: Result<Vec<u8>, Status>| {
        let mut first = first.lock().unwrap();
        let own = answer.unwrap();
        // Each keeper's answer is the one that another keeper gave before it.
        let said = first.replace(own.clone());
        Ok(said.filter(|_| number != 9).unwrap_or(own))
    };
    let short = |_, answer: Result<Vec<u8>, Status>| {
        answer.map(|mut bytes| {
            bytes.pop();
            bytes
        })
    };
    let client = world.client(ANNA).await;
    type Lie = Box<dyn Fn(usize, Result<Vec<u8>, Status>) -> Result<Vec<u8>, Status> + Send>;
    let lies: [Lie; 3] = [Box::new(other_sealing), Box::new(by_another), Box::new(short)];
    for lie in lies {
        world.lie(Lies { deposit: Some(lie), ..Lies::default() });
        let SealError::NotAcknowledged { faults, .. } = seal(&client, order()).await.unwrap_err() else {
            panic!("it was sealed otherwise");
        };
        assert!(faults.iter().all(|fault| matches!(fault.cause, FaultCause::Acknowledgement)), "{faults:?}");
    }
    world.lie(Lies::default());
    assert!(client.vault_status(&main_vault()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_sealing_counts_only_with_the_receipt_of_this_very_entry() {
    let world = World::start().await;
    world.seal(BORIS, order()).await;
    let client = world.client(ANNA).await;
    let other = |world: &World, _| {
        let receipt = world.chain.lock().unwrap().receipt(0).into();
        Ok(keyward_proto::custody::VaultEntryResponse { receipt, leaf_index: 0 })
    };
    world.lie(Lies { recorded: Some(Box::new(other)), swallows: true, ..Lies::default() });
    let error = seal(&client, order()).await.unwrap_err();
    let SealError::Vault(VaultError::Evidence(EvidenceError::Substituted(what))) = error else {
        panic!("{error}")
    };
    assert_eq!(what, "the receipt of another entry");
}

#[tokio::test]
async fn a_sealing_whose_answer_got_lost_is_found_on_the_ledger() {
    let world = World::start().await;
    let lost = std::sync::Mutex::new(2);
    let losing = move |_: &World, answer| {
        let mut lost = lost.lock().unwrap();
        if *lost == 0 {
            return answer;
        }
        *lost -= 1;
        Err(Status::unavailable("the line broke"))
    };
    world.lie(Lies { recorded: Some(Box::new(losing)), ..Lies::default() });
    let client = world.client(ANNA).await;
    // The toy service does not know marks, so that the ledger refuses the repetition: the state tells all the same.
    assert_eq!(seal(&client, order()).await.unwrap(), 1);
}

#[tokio::test]
async fn another_accounts_login_seals_nothing() {
    let world = World::start().await;
    let client = world.client(ANNA).await;
    let before = *world.calls.lock().unwrap();
    let error = client.seal_vault(&login(BORIS), &main_vault(), &password("right"), order(), &|_| ()).await;
    assert!(matches!(error.unwrap_err(), SealError::Vault(VaultError::OtherAccount)));
    assert_eq!(*world.calls.lock().unwrap(), before);
}

#[tokio::test]
async fn terms_out_of_bounds_are_refused_before_anybody_is_given_a_share() {
    let world = World::start().await;
    let client = world.client(ANNA).await;
    let given = std::sync::Arc::new(std::sync::Mutex::new(0));
    let counting = {
        let given = given.clone();
        move |_, answer| {
            *given.lock().unwrap() += 1;
            answer
        }
    };
    world.lie(Lies { deposit: Some(Box::new(counting)), ..Lies::default() });
    for terms in [
        VaultTerms { limit: 0, ..super::world::TERMS },
        VaultTerms { lifetime: 2, ..super::world::TERMS },
        VaultTerms { refill_ms: 1, ..super::world::TERMS },
    ] {
        let error = seal(&client, SealOrder { terms, ..order() }).await.unwrap_err();
        assert!(matches!(error, SealError::Terms), "{error}");
    }
    assert_eq!(*given.lock().unwrap(), 0);
}
