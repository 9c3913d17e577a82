//! Making a shared key, with keepers and services that lie in each step.

use keyward_client::shared::{SharedError, SharedFaultCause};
use keyward_client::vault::KeeperChoice;
use keyward_domain::scheme::Scheme;
use keyward_ledger_core::entry::{Act, Authored, Entry, SharedAct};
use keyward_proto::custody::Round;

use super::world::{ALIAS, ANNA, BORIS, Lies, World, login, named, order};

fn is_binding(entry: &[u8]) -> bool {
    matches!(Entry::decode(entry), Ok(Entry::Authored(Authored { act: Act::Shared(SharedAct::Bind(_)), .. })))
}

async fn refusal(world: &World, folder: &tempfile::TempDir) -> SharedError {
    let device = world.device(folder.path());
    let client = world.client(ANNA).await;
    let refused = client.create_shared_key(&order(Scheme::Ed25519), &login(ANNA), &device, &|_| ()).await;
    refused.unwrap_err()
}

#[tokio::test]
async fn a_key_is_bound_with_its_share_sealed_on_the_device_before() {
    for scheme in [Scheme::Ed25519, Scheme::Bip340] {
        let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
        let path = folder.path().to_owned();
        world.lie(Lies {
            seen: Some(Box::new(move |world, entry| {
                if is_binding(entry) {
                    let parts = world.device(&path).parts().unwrap();
                    let (_, part) =
                        world.device(&path).load_part(&parts[0].name, &login(ANNA).export_key).unwrap();
                    assert_eq!(part.shares.len(), 1, "the share is kept before the key is bound");
                }
            })),
            ..Lies::default()
        });
        let device = world.device(folder.path());
        let made = world.made(&device, scheme).await;
        assert_eq!(made.key.key_id.as_ref(), world.keys.lock().unwrap()[0].0.as_bytes());
        let status = world.client(ANNA).await.shared_status(ALIAS).await.unwrap();
        assert_eq!((status.threshold(), status.keepers.len()), (2, 3));
        let (_, part) = device.load_part(&status.state.name.name, &login(ANNA).export_key).unwrap();
        assert_eq!((part.shares.len(), part.waiting), (1, None), "nothing waits any more");
    }
}

#[tokio::test]
async fn a_keeper_that_lies_in_a_step_is_named_and_nothing_is_bound() {
    type Change = fn(&mut Round, &Round);
    // What another keeper said, or nonsense, in the place of its own.
    let message: Change = |round, other| round.message = other.message.clone();
    let torn: Change = |round, _| round.message = round.message.slice(..round.message.len() - 1);
    let word: Change = |round, other| round.acknowledgement = other.acknowledgement.clone();
    for (step, change) in
        [("open", torn), ("open", message), ("deal", torn), ("keep", torn), ("keep", word), ("deal", message)]
    {
        let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
        let other = std::sync::Mutex::new(None::<Round>);
        world.lie(Lies {
            round: Some(Box::new(move |_, number, now, mut round| {
                if now == step && number != 1 {
                    other.lock().unwrap().get_or_insert(round.clone());
                } else if now == step {
                    let stand_in = other.lock().unwrap().clone().unwrap_or_else(|| round.clone());
                    let before = round.clone();
                    change(&mut round, &stand_in);
                    if round == before {
                        round.message = before.message.slice(1..);
                    }
                }
                round
            })),
            ..Lies::default()
        });
        let error = refusal(&world, &folder).await;
        assert!(matches!(&error, SharedError::Faults { .. } | SharedError::Run(_)), "{step}: {error}");
        if let SharedError::Faults { faults } = &error {
            assert!(
                matches!(faults[0].cause, SharedFaultCause::Run(_) | SharedFaultCause::Acknowledgement),
                "{step}"
            );
        }
        assert_eq!((world.called("bind"), world.keys.lock().unwrap().len()), (0, 0), "{step}");
        // What is left of it, the next making takes away.
        world.lie(Lies::default());
        let device = world.device(folder.path());
        world.made(&device, Scheme::Ed25519).await;
        assert_eq!(device.parts().unwrap().len(), 1, "{step}");
    }
}

#[tokio::test]
async fn a_keeper_that_is_away_is_named() {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    world.lie(Lies { away: vec![2], ..Lies::default() });
    let error = refusal(&world, &folder).await;
    let SharedError::Faults { faults } = &error else { panic!("{error}") };
    assert_eq!((faults.len(), faults[0].place, faults[0].keeper.as_str()), (1, 3, "keeper-3"));
    assert_eq!((world.called("open entry"), error.code()), (0, Some("SHARED_KEEPERS_FAILED")));
}

#[tokio::test]
async fn keepers_that_the_ledger_does_not_prove_are_no_holders() {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    world.lie(Lies {
        keepers: Some(Box::new(|_, mut shown| {
            shown.keepers.swap(0, 1);
            shown
        })),
        ..Lies::default()
    });
    let error = refusal(&world, &folder).await;
    assert_eq!(error.code(), Some("SHARED_UNPROVEN"), "{error}");
    assert_eq!(world.called("open"), 0);
}

#[tokio::test]
async fn an_entry_counts_with_its_own_receipt_alone() {
    for stage in ["open entry", "bind"] {
        let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
        world.lie(Lies {
            recorded: Some(Box::new(move |world, answer| {
                let lies_now = world.called(stage) > 0;
                let mut answer = answer?;
                if lies_now {
                    let note = Entry::Note(vec![1]).encode();
                    let mut chain = world.chain.lock().unwrap();
                    let (leaf, _) = chain.record(&note);
                    answer.receipt = chain.receipt(leaf).into();
                }
                Ok(answer)
            })),
            ..Lies::default()
        });
        let error = refusal(&world, &folder).await;
        assert_eq!(error.code(), Some("SHARED_SUBSTITUTED"), "{stage}: {error}");
    }
}

#[tokio::test]
async fn a_making_whose_last_answer_was_lost_is_taken_up_and_nothing_is_made_twice() {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    world.lie(Lies { loses_binding: true, ..Lies::default() });
    refusal(&world, &folder).await;
    assert_eq!(world.keys.lock().unwrap().len(), 1, "it was bound");
    let device = world.device(folder.path());
    world.made(&device, Scheme::Ed25519).await;
    assert_eq!((world.keys.lock().unwrap().len(), world.called("open entry")), (1, 1));
    assert_eq!(device.parts().unwrap().len(), 1);
    world.signer(&device).await;
}

#[tokio::test]
async fn a_binding_that_never_arrived_is_handed_in_again() {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    world.lie(Lies { drops_binding: true, ..Lies::default() });
    refusal(&world, &folder).await;
    assert!(world.keys.lock().unwrap().is_empty(), "it was not bound");
    let device = world.device(folder.path());
    world.made(&device, Scheme::Ed25519).await;
    assert_eq!(world.called("open entry"), 1, "the same making went on");
    world.signer(&device).await;
}

#[tokio::test]
async fn a_binding_whose_time_is_over_is_forgotten_and_another_key_is_made() {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    world.lie(Lies { drops_binding: true, ..Lies::default() });
    refusal(&world, &folder).await;
    let device = world.device(folder.path());
    let before = device.parts().unwrap();
    world.chain.lock().unwrap().time_ms += 2 * 60 * 60 * 1_000;
    world.made(&device, Scheme::Ed25519).await;
    let after = device.parts().unwrap();
    assert_eq!((before.len(), after.len(), world.called("open entry")), (1, 1, 2));
    assert_ne!(before, after, "under another name");
    world.signer(&device).await;
}

#[tokio::test]
async fn a_service_that_denies_a_binding_takes_away_no_share() {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    world.lie(Lies { loses_binding: true, ..Lies::default() });
    refusal(&world, &folder).await;
    // It is bound, its time is over, and the service says that it knows nothing of it.
    world.chain.lock().unwrap().time_ms += 2 * 60 * 60 * 1_000;
    let hidden = std::mem::take(&mut *world.keys.lock().unwrap());
    world.lie(Lies { drops_binding: true, ..Lies::default() });
    refusal(&world, &folder).await;
    *world.keys.lock().unwrap() = hidden;
    world.lie(Lies::default());
    world.signer(&world.device(folder.path())).await;
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_before_anybody_is_asked() {
    let (world, folder) = (World::start().await, tempfile::tempdir().unwrap());
    let (client, device) = (world.client(ANNA).await, world.device(folder.path()));
    let (scheme, ed) = (order(Scheme::EcdsaP256), order(Scheme::Ed25519));
    let mut unknown = ed.clone();
    unknown.keepers = KeeperChoice::Named(vec!["keeper-1".into(), "nobody".into()]);
    let mut one = ed.clone();
    one.threshold = 1;
    let mut many = ed.clone();
    (many.threshold, many.keepers) = (3, named(&[1, 2]));
    for (order, code) in [
        (scheme, "SHARED_SCHEME"),
        (unknown, "SHARED_KEEPER_UNKNOWN"),
        (one, "SHARED_THRESHOLD"),
        (many, "SHARED_THRESHOLD"),
    ] {
        let error = client.create_shared_key(&order, &login(ANNA), &device, &|_| ()).await.unwrap_err();
        assert_eq!(error.code(), Some(code), "{error}");
    }
    let other = client.create_shared_key(&ed, &login(BORIS), &device, &|_| ()).await.unwrap_err();
    assert_eq!(other.code(), Some("SHARED_OTHER_ACCOUNT"));
    let untrusting = world.untrusting(ANNA).await;
    let blind = untrusting.create_shared_key(&ed, &login(ANNA), &device, &|_| ()).await.unwrap_err();
    assert_eq!(blind.code(), Some("SHARED_TRUST_MISSING"));
    assert_eq!(world.called("open"), 0);
    assert!(device.parts().unwrap().is_empty(), "nothing is left on the device");
}
