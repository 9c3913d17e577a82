//! A keeper's room and time: who may fill them, and how far.

use keyward_ledger_core::state::layout::{AccountState, CredentialState, account_key, credential_key};
use keyward_proto::custody::{
    ConferRequest, DepositShareRequest, DrillShareRequest, EvaluateAttemptRequest, ReleaseShareRequest,
    keepers_server::Keepers as _,
};
use tonic::Request;

use super::{
    code,
    world::{ACCOUNT, World, owner, signed_deposit, signing, vault_name},
};
use crate::{Face, KeeperError, PENDING_MAX, PENDING_MS, PENDING_OF_ACCOUNT_MAX, place::Place};

#[tokio::test]
async fn nobody_fills_a_keeper_but_the_account_itself() {
    let world = World::new();
    let sealed = world.draft(1, "correct horse");
    let (keeper, sealing, share) = (world.keeper(1), sealed.sealing.encode(), &sealed.shares[0]);
    let hash = sealed.sealing.hash();
    let message = keyward_domain::vault_deposit_message(&super::chain::CHAIN, &hash);
    let elsewhere = keyward_domain::vault_deposit_message(&[1; 32], &hash);
    for (signature, why) in [
        ([0; 64], "nothing"),
        (signing(1).sign(&message), "a keeper's"),
        (owner().sign(&hash), "over the bare hash"),
        (owner().sign(&elsewhere), "for another ledger"),
        (signed_deposit(&world.draft(1, "correct horse").sealing), "for another sealing"),
    ] {
        assert_eq!(
            code(keeper.deposit(&sealing, share, &signature).await),
            "VAULT_DEPOSIT_UNSIGNED",
            "{why}"
        );
    }
    let signed = signed_deposit(&sealed.sealing);
    let (account, credential) = (account_key(&ACCOUNT), credential_key(&ACCOUNT));
    let (before, key) = (world.state(&account).unwrap(), world.state(&credential).unwrap());
    world.set_state(account.clone(), AccountState { open: false, height: 2 }.encode());
    assert_eq!(code(keeper.deposit(&sealing, share, &signed).await), "VAULT_DEPOSIT_UNSIGNED", "closed");
    world.set_state(account, before);
    let rotated = CredentialState { version: 2, public_key: signing(1).public_key() };
    world.set_state(credential.clone(), rotated.encode());
    assert_eq!(
        code(keeper.deposit(&sealing, share, &signed).await),
        "VAULT_DEPOSIT_UNSIGNED",
        "an old login"
    );
    world.set_state(credential, key);
    assert_eq!(world.files(1), 0);
    keeper.deposit(&sealing, share, &signed).await.unwrap();
}

#[tokio::test]
async fn an_account_fills_its_own_part_of_a_keeper_and_no_more() {
    let world = World::new();
    let drafts: Vec<_> = (0..=PENDING_OF_ACCOUNT_MAX).map(|_| world.draft(1, "correct horse")).collect();
    let deposit = async |number: usize| {
        let (sealing, signed) = (&drafts[number].sealing, signed_deposit(&drafts[number].sealing));
        world.keeper(1).deposit(&sealing.encode(), &drafts[number].shares[0], &signed).await
    };
    for number in 0..PENDING_OF_ACCOUNT_MAX {
        deposit(number).await.unwrap();
    }
    assert_eq!(code(deposit(PENDING_OF_ACCOUNT_MAX).await), "SERVICE_BUSY");
    deposit(0).await.unwrap();
    assert_eq!(world.files(1), PENDING_OF_ACCOUNT_MAX, "what is there is acknowledged again");
    world.pass(PENDING_MS + 1);
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 0);
    let later = world.draft(1, "correct horse");
    let signed = signed_deposit(&later.sealing);
    world.keeper(1).deposit(&later.sealing.encode(), &later.shares[0], &signed).await.unwrap();
}

#[tokio::test]
async fn an_account_that_seals_again_and_again_waits_for_no_round() {
    let world = World::new();
    for version in 1..=PENDING_OF_ACCOUNT_MAX as u32 + 2 {
        world.seal(version, "correct horse").await;
    }
    assert!(world.files(1) <= PENDING_OF_ACCOUNT_MAX + 1);
}

#[tokio::test]
async fn a_full_keeper_takes_no_more_and_drops_none() {
    let mut world = World::new();
    let sealed = world.draft(1, "correct horse");
    let (sealing, signed) = (sealed.sealing.encode(), signed_deposit(&sealed.sealing));
    world.keeper(1).deposit(&sealing, &sealed.shares[0], &signed).await.unwrap();
    for number in 1..PENDING_MAX {
        let mut account = [0; 32];
        account[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let place = Place { account, vault: [1; 32], version: 1, share_version: 1, hash: [2; 32] };
        std::fs::write(world.folder_of(1).join("waiting").join(place.to_string()), b"x").unwrap();
    }
    // It still knows after a restart.
    world.restart(1);
    let other = world.draft(1, "correct horse");
    let other_signed = signed_deposit(&other.sealing);
    let refused = world.keeper(1).deposit(&other.sealing.encode(), &other.shares[0], &other_signed).await;
    assert_eq!(code(refused), "SERVICE_BUSY");
    world.keeper(1).deposit(&sealing, &sealed.shares[0], &signed).await.unwrap();
    assert_eq!(world.files(1), PENDING_MAX);
}

#[tokio::test]
async fn a_keeper_takes_no_more_work_than_it_has_turns_for() {
    let world = World::new();
    let sealed = world.draft(1, "correct horse");
    let (sealing, signed) = (sealed.sealing.encode(), signed_deposit(&sealed.sealing));
    let keeper = world.keeper(1);
    let mut taken = Vec::new();
    while let Ok(turn) = keeper.0.turns.costly() {
        taken.push(turn);
    }
    assert_eq!(taken.len(), 32);
    assert_eq!(code(keeper.deposit(&sealing, &sealed.shares[0], &signed).await), "SERVICE_BUSY");
    assert_eq!(code(keeper.drill(&vault_name(), &[1; 32]).await), "SERVICE_BUSY");
    taken.pop();
    keeper.deposit(&sealing, &sealed.shares[0], &signed).await.unwrap();
}

#[tokio::test]
async fn who_hangs_up_gives_no_turn_back_before_the_work_is_done() {
    let world = World::new();
    let keeper = world.keeper(1);
    let turns = keeper.0.turns.work.clone();
    let all = turns.available_permits();
    let (begun, begins) = tokio::sync::oneshot::channel();
    let (go_on, waits) = std::sync::mpsc::channel();
    {
        let mut work = Box::pin(keeper.work(move || {
            begun.send(()).unwrap();
            waits.recv().unwrap();
            Ok::<_, KeeperError>(())
        }));
        tokio::select! {
            biased;
            _done = &mut work => panic!("it waits"),
            begun = begins => begun.unwrap(),
        }
    }
    assert_eq!(turns.available_permits(), all - 1);
    go_on.send(()).unwrap();
    drop(turns.acquire_many(u32::try_from(all).unwrap()).await.unwrap());
    // The same of what writes.
    let (begun, begins) = tokio::sync::oneshot::channel();
    let (go_on, waits) = std::sync::mpsc::channel();
    {
        let mut work = Box::pin(keeper.alone(move |_| {
            begun.send(()).unwrap();
            waits.recv().unwrap();
            Ok(())
        }));
        tokio::select! {
            biased;
            _done = &mut work => panic!("it waits"),
            begun = begins => begun.unwrap(),
        }
    }
    assert!(keeper.0.writing.try_lock().is_err());
    go_on.send(()).unwrap();
    drop(keeper.0.writing.lock().await);
}

#[tokio::test]
async fn an_account_keeps_so_many_shares_and_no_more() {
    let world = World::new();
    let sealed = world.draft(1, "correct horse");
    let (sealing, signed) = (sealed.sealing.encode(), signed_deposit(&sealed.sealing));
    let place =
        |vault| Place { account: ACCOUNT, vault: [vault; 32], version: 1, share_version: 1, hash: [2; 32] };
    let account = hex::encode(ACCOUNT);
    let folder = world.folder_of(1).join("kept").join(&account[..2]).join(&account);
    std::fs::create_dir_all(&folder).unwrap();
    for vault in 1..=64 {
        std::fs::write(folder.join(place(vault).to_string()), b"x").unwrap();
    }
    let refused = world.keeper(1).deposit(&sealing, &sealed.shares[0], &signed).await;
    assert_eq!(code(refused), "SERVICE_BUSY");
    std::fs::remove_file(folder.join(place(1).to_string())).unwrap();
    world.keeper(1).deposit(&sealing, &sealed.shares[0], &signed).await.unwrap();
}

#[tokio::test]
async fn half_written_files_and_strangers_files_are_passed_over() {
    let mut world = World::new();
    let sealed = world.draft(1, "correct horse");
    let acknowledgements = world.deposit(&sealed).await;
    let waiting = world.folder_of(1).join("waiting");
    std::fs::write(waiting.join(format!("{}.new", Place::of(&sealed.vault().shares()))), b"half").unwrap();
    std::fs::write(waiting.join("README"), b"of somebody").unwrap();
    world.restart(1);
    assert_eq!(world.files(1), 2, "the half is gone, what is not ours stays");
    world.keeper(1).round().await.unwrap();
    assert!(world.seal_final(&sealed, acknowledgements).is_accepted());
    world.keeper(1).round().await.unwrap();
    assert_eq!(world.files(1), 2);
}

#[test]
fn a_place_has_one_spelling() {
    let place = Place { account: [1; 32], vault: [2; 32], version: 3, share_version: 4, hash: [5; 32] };
    let text = place.to_string();
    assert_eq!(text.parse(), Ok(place));
    let others = [
        text.to_uppercase(),
        text.replace(".3.", ".03."),
        text.replace(".3.", ".+3."),
        text.replace(".4.", ".4294967296."),
        format!("{text}.new"),
        text[..text.len() - 2].to_owned(),
        String::new(),
    ];
    for other in others.into_iter().filter(|other| *other != text) {
        assert!(other.parse::<Place>().is_err(), "{other}");
    }
}

#[tokio::test]
async fn the_face_refuses_by_code_and_says_whether_to_come_again() {
    let world = World::new();
    let face = Face::of(world.keeper(1).clone());
    let said = |status: tonic::Status| {
        let word = |name| status.metadata().get(name).unwrap().to_str().unwrap().to_owned();
        (word("keyward-code"), word("keyward-retry"))
    };
    let short = face.deposit(Request::new(DepositShareRequest::default())).await.unwrap_err();
    assert_eq!(said(short), ("VAULT_REQUEST_MALFORMED".into(), "false".into()));
    let short = face.drill(Request::new(DrillShareRequest::default())).await.unwrap_err();
    assert_eq!(said(short), ("VAULT_REQUEST_MALFORMED".into(), "false".into()));
    let short = face.confer(Request::new(ConferRequest::default())).await.unwrap_err();
    assert_eq!(said(short), ("VAULT_REQUEST_MALFORMED".into(), "false".into()));
    let word =
        ConferRequest { from: vec![1; 32].into(), signature: vec![1; 64].into(), ..ConferRequest::default() };
    let torn = face.confer(Request::new(word)).await.unwrap_err();
    assert_eq!(said(torn), ("VAULT_REQUEST_MALFORMED".into(), "false".into()));
    let evaluate = EvaluateAttemptRequest { leaf_index: u64::MAX, element: vec![1; 32].into() };
    let unknown = face.evaluate(Request::new(evaluate)).await.unwrap_err();
    assert_eq!(said(unknown), ("VAULT_NOT_GRANTED".into(), "false".into()));
    let unknown = face.release(Request::new(ReleaseShareRequest::default())).await.unwrap_err();
    assert_eq!(said(unknown), ("VAULT_NOT_GRANTED".into(), "false".into()));
    world.see(1, super::chain::Sight::Away);
    let away = face.release(Request::new(ReleaseShareRequest::default())).await.unwrap_err();
    assert_eq!(said(away), ("LEDGER_UNAVAILABLE".into(), "true".into()));
}
