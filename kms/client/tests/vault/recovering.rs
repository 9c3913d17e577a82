//! Coming back: what a guess costs, who answers it, and what happens when it is cut short.

use keyward_client::vault::{
    FaultCause, RecoverError, RecoverFailure, Recovered, SealOrder, Spent, VaultError, VaultTerms,
};
use keyward_client::{Client, EvidenceError};
use keyward_crypto::vault::{AnswerError, VaultMode};
use tonic::Status;

use super::reading::refresh;
use super::world::{ANNA, Answer, BORIS, Lies, TERMS, World, key, login, main_vault, order, password};

async fn recover(client: &Client, text: &str) -> Result<Recovered, RecoverFailure> {
    client.recover_vault(&login(ANNA), &main_vault(), &password(text), "", &|_| ()).await
}

fn secrets(recovered: &Recovered) -> Vec<Vec<u8>> {
    recovered.keys.iter().map(|key| key.secret.expose(<[u8]>::to_vec)).collect()
}

fn evaluating(lie: impl Fn(usize, Answer) -> Answer + Send + 'static) -> Lies {
    Lies { evaluate: Some(Box::new(lie)), ..Lies::default() }
}

#[tokio::test]
async fn keys_come_back_with_any_three_of_five_keepers_in_either_mode() {
    for mode in [VaultMode::Own, VaultMode::Vault] {
        let world = World::start().await;
        world.seal(ANNA, SealOrder { mode, ..order() }).await;
        let client = world.client(ANNA).await;
        for gone in [[0, 1], [2, 4], [3, 4]] {
            world.lie(evaluating(move |number, answer| {
                if gone.contains(&number) { Err(Status::unavailable("gone")) } else { answer }
            }));
            let recovered = recover(&client, "right").await.unwrap();
            assert_eq!(secrets(&recovered), [vec![7; 32], vec![8; 32]]);
            assert_eq!(recovered.keys[0].public_key, key(7).public_key);
            let named: Vec<_> = recovered.faults.iter().map(|fault| fault.index).collect();
            assert!(named.iter().all(|index| gone.contains(&(usize::from(*index) - 1))), "{named:?}");
        }
        // Right guesses cost nothing in the end.
        let status = client.vault_status(&main_vault()).await.unwrap().unwrap();
        assert_eq!((status.attempts.left, status.attempts.lifetime_left), (3, 4));
    }
}

#[tokio::test]
async fn mode_self_does_not_open_without_the_export_key_of_the_sealing() {
    let world = World::start().await;
    world.seal(ANNA, order()).await;
    let client = world.client(ANNA).await;
    let mut other = login(ANNA);
    other.export_key = keyward_crypto::SecretBytes::new(vec![0; 64]);
    let failure =
        client.recover_vault(&other, &main_vault(), &password("right"), "", &|_| ()).await.unwrap_err();
    assert!(matches!(failure.error, RecoverError::Recovery(_)), "{failure}");
    assert_eq!(failure.spent, Spent::Reset);
}

#[tokio::test]
async fn a_wrong_password_is_named_with_what_is_left_and_past_the_limit_the_vault_is_locked() {
    let world = World::start().await;
    let terms = VaultTerms { limit: 2, lifetime: 3, refill_ms: 60_000, ..TERMS };
    world.seal(ANNA, SealOrder { terms, ..order() }).await;
    let client = world.client(ANNA).await;
    let failure = recover(&client, "wrong").await.unwrap_err();
    assert!(matches!(failure.error, RecoverError::WrongPassword(_)), "{failure}");
    assert_eq!((failure.spent, failure.error.code()), (Spent::Attempt, Some("VAULT_PASSWORD_WRONG")));
    assert!(failure.faults.is_empty());
    let left = failure.attempts.unwrap();
    assert_eq!((left.left, left.lifetime_left), (1, 2));

    let now = world.snapshot().time_ms;
    let left = recover(&client, "wrong again").await.unwrap_err().attempts.unwrap();
    assert_eq!((left.left, left.lifetime_left, left.next_ms), (0, 1, Some(now + 60_000)));
    let failure = recover(&client, "right").await.unwrap_err();
    assert!(matches!(failure.error, RecoverError::Exhausted), "{failure}");
    assert_eq!(failure.spent, Spent::Nothing);

    world.chain.lock().unwrap().time_ms += 60_000;
    let left = recover(&client, "still wrong").await.unwrap_err().attempts.unwrap();
    assert_eq!((left.left, left.lifetime_left, left.next_ms), (0, 0, None));
    let before = world.snapshot().receipt(0);
    let failure = recover(&client, "right").await.unwrap_err();
    assert!(matches!(failure.error, RecoverError::Locked), "{failure}");
    assert_eq!(failure.spent, Spent::Nothing);
    drop(before);
}

#[tokio::test]
async fn a_cool_down_refuses_by_name_and_says_when() {
    let world = World::start().await;
    let terms = VaultTerms { cool_down_ms: 30_000, ..TERMS };
    world.seal(ANNA, SealOrder { terms, ..order() }).await;
    let client = world.client(ANNA).await;
    recover(&client, "wrong").await.unwrap_err();
    let at = world.snapshot().time_ms;
    let failure = recover(&client, "right").await.unwrap_err();
    assert_eq!(failure.error.code(), Some("ATTEMPTS_COOLING"), "{failure}");
    assert_eq!(failure.spent, Spent::Nothing);
    assert_eq!(failure.attempts.unwrap().next_ms, Some(at + 30_000));
}

#[tokio::test]
async fn nobody_else_and_not_even_the_service_spends_a_guess_of_a_vault_that_asks_for_the_account() {
    let world = World::start().await;
    world.seal(ANNA, order()).await;
    let client = world.client(ANNA).await;
    // The session of Anna with the credential of somebody else.
    let mut stranger = login(BORIS);
    stranger.session.account = ANNA;
    let failure =
        client.recover_vault(&stranger, &main_vault(), &password("right"), "", &|_| ()).await.unwrap_err();
    assert_eq!(failure.spent, Spent::Nothing, "{failure}");
    assert_eq!(failure.attempts.unwrap().left, 3);
    let failure = client
        .recover_vault(&login(BORIS), &main_vault(), &password("right"), "", &|_| ())
        .await
        .unwrap_err();
    assert!(matches!(failure.error, RecoverError::Vault(VaultError::OtherAccount)));
}

#[tokio::test]
async fn silent_and_garbling_keepers_are_replaced_and_blamed_for_nothing() {
    let world = World::start().await;
    world.seal(ANNA, order()).await;
    let client = world.client(ANNA).await;
    let garbling = |number, answer: Answer| match number {
        1 => answer.map(|mut bytes| {
            bytes[40] ^= 1;
            bytes
        }),
        _ => answer,
    };
    world.lie(Lies { evaluate: Some(Box::new(garbling)), silent: vec![0], ..Lies::default() });
    let recovered = recover(&client, "right").await.unwrap();
    let evaluated = recovered.faults.iter().filter(|fault| fault.index <= 2);
    assert!(evaluated.clone().any(|fault| matches!(fault.cause, FaultCause::Silent) && fault.index == 1));
    let garbled = evaluated.clone().find(|fault| fault.index == 2).unwrap();
    assert!(matches!(garbled.cause, FaultCause::Answer(AnswerError::Unreadable { index: 2, .. })));
    assert!(recovered.faults.iter().all(|fault| fault.evidence().is_none()));
}

#[tokio::test]
async fn keepers_that_see_the_attempt_a_little_later_are_asked_again() {
    let world = World::start().await;
    world.seal(ANNA, order()).await;
    let client = world.client(ANNA).await;
    let asked = std::sync::Mutex::new([0; 5]);
    let late = move |number: usize, answer: Answer| {
        let mut asked = asked.lock().unwrap();
        asked[number] += 1;
        if asked[number] < 3 { Err(super::world::refused("VAULT_NOT_GRANTED")) } else { answer }
    };
    world.lie(evaluating(late));
    let recovered = recover(&client, "right").await.unwrap();
    assert!(recovered.faults.is_empty(), "{:?}", recovered.faults);
}

#[tokio::test]
async fn a_keeper_that_signs_a_wrong_answer_is_convicted_and_the_recovery_goes_on() {
    let world = World::start().await;
    world.seal(ANNA, order()).await;
    world.keepers[1].turn_bad();
    let recovered = recover(&world.client(ANNA).await, "right").await.unwrap();
    let evidence = recovered.faults.iter().find_map(|fault| fault.evidence()).unwrap();
    let granted = &recovered.granted;
    assert_eq!(evidence.index, 2);
    assert!(evidence.convicts(granted.status.vault(), &granted.grant));
}

#[tokio::test]
async fn one_keepers_answer_in_anothers_name_and_an_old_answer_do_not_count() {
    let world = World::start().await;
    world.seal(ANNA, order()).await;
    let client = world.client(ANNA).await;
    let kept = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let keeping = {
        let kept = kept.clone();
        move |number, answer: Answer| {
            kept.lock().unwrap().push((number, answer.clone().unwrap()));
            answer
        }
    };
    world.lie(evaluating(keeping));
    recover(&client, "right").await.unwrap();
    // What was answered before, to everybody, in whatever name.
    let old = kept.lock().unwrap()[0].1.clone();
    world.lie(evaluating(move |_, _| Ok(old.clone())));
    let failure = recover(&client, "right").await.unwrap_err();
    assert!(matches!(failure.error, RecoverError::TooFewEvaluations { needed: 3 }), "{failure}");
    assert_eq!((failure.spent, failure.faults.len()), (Spent::Attempt, 5));
    assert!(failure.faults.iter().all(|fault| fault.evidence().is_none()));
    assert_eq!(failure.attempts.unwrap().left, 2);
}

#[tokio::test]
async fn shares_of_another_version_are_no_answer() {
    let world = World::start().await;
    let sealed = world.seal(ANNA, order()).await;
    refresh(&world, ANNA, &sealed.sealing);
    // The keepers answer with what they held before.
    let failure = recover(&world.client(ANNA).await, "right").await.unwrap_err();
    assert!(matches!(failure.error, RecoverError::TooFewEvaluations { .. }), "{failure}");
    assert!(failure.faults.iter().all(|fault| matches!(
        fault.cause,
        FaultCause::Answer(AnswerError::Unreadable { .. }) | FaultCause::Call(_)
    )));

    // A vault that was sealed anew, and keepers of which three run on old disks.
    let world = World::start().await;
    let first = world.seal(ANNA, order()).await.sealing.hash();
    world.seal(ANNA, SealOrder { anew: true, ..order() }).await;
    for number in [0, 1, 2] {
        world.keepers[number].fall_back(&first);
    }
    let failure = recover(&world.client(ANNA).await, "right").await.unwrap_err();
    assert!(matches!(failure.error, RecoverError::TooFewEvaluations { .. }), "{failure}");
    assert_eq!(failure.faults.len(), 3);
}

#[tokio::test]
async fn a_recovery_cut_at_any_step_says_what_it_cost_and_is_begun_anew() {
    let world = World::start().await;
    world.seal(ANNA, SealOrder { terms: VaultTerms { limit: 5, lifetime: 9, ..TERMS }, ..order() }).await;
    let client = world.client(ANNA).await;
    let cut = |answer: Answer| answer.and(Err(Status::unavailable("cut")));

    // While the attempt is recorded: the answer never comes.
    world.lie(Lies { recorded: Some(Box::new(|_, _| Err(Status::unavailable("cut")))), ..Lies::default() });
    let failure = recover(&client, "right").await.unwrap_err();
    assert_eq!(failure.spent, Spent::Unknown, "{failure}");
    assert!(failure.error.unreachable());
    assert_eq!(failure.attempts.unwrap().left, 4, "asking again for the same attempt costs nothing");

    // While keepers evaluate.
    world.lie(evaluating(move |_, answer| cut(answer)));
    let failure = recover(&client, "right").await.unwrap_err();
    assert_eq!((failure.spent, failure.attempts.unwrap().left), (Spent::Attempt, 3), "{failure}");

    // While keepers release: the guess was right, and the count is full again.
    world.lie(Lies { release: Some(Box::new(move |_, answer| cut(answer))), ..Lies::default() });
    let failure = recover(&client, "right").await.unwrap_err();
    assert!(matches!(failure.error, RecoverError::TooFewReleases { needed: 3 }), "{failure}");
    assert_eq!((failure.spent, failure.attempts.unwrap().left), (Spent::Reset, 5));

    world.lie(Lies::default());
    recover(&client, "right").await.unwrap();
}

#[tokio::test]
async fn a_refusal_that_nothing_proves_leaves_open_what_it_cost() {
    let world = World::start().await;
    world.seal(ANNA, order()).await;
    let client = world.client(ANNA).await;
    // Refused, says the service, and has it recorded.
    let claimed = || {
        let lie = |_: &World, _| Err(super::world::refused("LEDGER_REFUSED"));
        Lies { recorded: Some(Box::new(lie)), ..Lies::default() }
    };
    world.lie(claimed());
    let failure = recover(&client, "right").await.unwrap_err();
    assert_eq!((failure.spent, failure.attempts.unwrap().left), (Spent::Unknown, 2), "{failure}");
    // The same, with nothing that proves the count afterwards.
    let shows = std::sync::atomic::AtomicUsize::new(0);
    let once = move |_: &World, shown| {
        let before = shows.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if before == 0 { shown } else { Default::default() }
    };
    world.lie(Lies { show: Some(Box::new(once)), swallows: true, ..Lies::default() });
    let failure = recover(&client, "right").await.unwrap_err();
    assert_eq!((failure.spent, failure.attempts), (Spent::Unknown, None), "{failure}");
    // Not recorded, and the count that is proven bears that out.
    world.lie(Lies { swallows: true, ..Lies::default() });
    let failure = recover(&client, "right").await.unwrap_err();
    assert_eq!((failure.spent, failure.attempts.unwrap().left), (Spent::Nothing, 2), "{failure}");
}

#[tokio::test]
async fn an_attempt_that_is_held_back_counts_for_some_minutes_only() {
    let world = World::start().await;
    world.seal(ANNA, order()).await;
    let client = world.client(ANNA).await;
    world.lie(Lies { swallows: true, ..Lies::default() });
    recover(&client, "right").await.unwrap_err();
    let held_back = world.handed_in.lock().unwrap().last().unwrap().clone();
    let later = |blocks: u64| {
        let mut chain = world.snapshot();
        chain.height += blocks - 1; // the record comes in the block after
        chain.record(&held_back).1
    };
    assert!(later(512).is_accepted());
    assert!(!later(513).is_accepted());
}

#[tokio::test]
async fn a_grant_counts_only_with_the_receipt_of_this_very_attempt() {
    let world = World::start().await;
    world.seal(ANNA, order()).await;
    let client = world.client(ANNA).await;
    recover(&client, "right").await.unwrap();
    let replayed = |world: &World, _| {
        // The attempt of the recovery before: leaf 1, after the sealing.
        let receipt = world.chain.lock().unwrap().receipt(1).into();
        Ok(keyward_proto::custody::VaultEntryResponse { receipt, leaf_index: 1 })
    };
    world.lie(Lies { recorded: Some(Box::new(replayed)), ..Lies::default() });
    let failure = recover(&client, "right").await.unwrap_err();
    assert!(
        matches!(failure.error, RecoverError::Vault(VaultError::Evidence(EvidenceError::Substituted(_)))),
        "{failure}"
    );
}

#[tokio::test]
async fn contents_that_do_not_agree_with_themselves_are_not_handed_out() {
    let world = World::start().await;
    let mut wrong = key(7);
    wrong.id = key(8).id;
    world.seal(ANNA, SealOrder { keys: vec![wrong], ..order() }).await;
    let failure = recover(&world.client(ANNA).await, "right").await.unwrap_err();
    assert!(matches!(failure.error, RecoverError::Contents(_)), "{failure}");
}
