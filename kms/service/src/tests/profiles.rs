//! Profiles: who reads, writes and erases them, and what stays.

use keyward_domain::{Code, profile::Fields};
use keyward_ledger_core::entry::Entry;

use super::{
    accounts::person,
    world::{Mood, World, code},
};

fn fields(pairs: &[(&str, &str)]) -> Fields {
    Fields::parse(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).unwrap()
}

fn notes(world: &World, verb: u8) -> usize {
    let label = b"keyward/profile-note/v1";
    world.ledger.count(|entry| match entry {
        Entry::Note(note) => note[1..].starts_with(label) && note[1 + label.len()] == verb,
        _ => false,
    })
}

#[tokio::test]
async fn a_person_keeps_fields_and_every_read_is_recorded_before_it_is_answered() {
    let world = World::new().await;
    let alice = person(&world, "alice").await;
    assert_eq!(code(world.custody.show_profile(&alice, "", "").await), Code::ProfileUnknown);
    let (first, second) = (fields(&[("name", "Alice")]), fields(&[("email", "alice@example.org")]));
    let receipt = world.custody.set_profile(&alice, &first, b"mark").await.unwrap();
    assert_eq!(world.custody.set_profile(&alice, &first, b"mark").await.unwrap(), receipt);
    assert_eq!(code(world.custody.set_profile(&alice, &second, b"mark").await), Code::IdempotencyConflict);
    assert_eq!(world.custody.show_profile(&alice, "", "").await.unwrap().fields, first);
    world.custody.set_profile(&alice, &second, &[]).await.unwrap();
    assert_eq!(world.custody.show_profile(&alice, "alice", "").await.unwrap().fields, second);
    assert_eq!((notes(&world, 1), notes(&world, 2)), (2, 2));
    for mood in [Mood::Gone, Mood::Deaf] {
        world.ledger.set(mood);
        assert_eq!(code(world.custody.show_profile(&alice, "", "").await), Code::LedgerUnavailable);
        assert_eq!(code(world.custody.set_profile(&alice, &first, &[]).await), Code::LedgerUnavailable);
    }
    world.ledger.set(Mood::Good);
    world.custody.settle_acts().await.unwrap();
    assert_eq!(world.custody.show_profile(&alice, "", "").await.unwrap().fields, second, "or before");
}

#[tokio::test]
async fn officers_and_auditors_read_with_a_reason_and_nobody_else_learns_anything() {
    let world = World::new().await;
    let (alice, bob) = (person(&world, "alice").await, person(&world, "bob").await);
    let fields = fields(&[("name", "Alice")]);
    world.custody.set_profile(&alice, &fields, &[]).await.unwrap();
    for (reads, uri) in [(0, "keyward://officer/olga"), (1, "keyward://auditor/ada")] {
        let reader = world.caller(uri).await;
        for reason in ["", "  ", "two\nlines"] {
            assert_eq!(
                code(world.custody.show_profile(&reader, "alice", reason).await),
                Code::ProfileInvalid
            );
        }
        assert_eq!(notes(&world, 2), reads, "a refused read is none");
        assert_eq!(world.custody.show_profile(&reader, "alice", "case 4711").await.unwrap().fields, fields);
        assert_eq!(notes(&world, 2), reads + 1);
        assert_eq!(code(world.custody.set_profile(&reader, &fields, &[]).await), Code::SessionRequired);
        assert_eq!(code(world.custody.show_profile(&reader, "bob", "case").await), Code::ProfileUnknown);
        assert_eq!(code(world.custody.show_profile(&reader, "nobody", "case").await), Code::AccountUnknown);
    }
    let (app, operator) = (world.app().await, world.caller("keyward://operator/oscar").await);
    for stranger in [&bob, &app, &operator] {
        for user in ["alice", "nobody"] {
            assert_eq!(code(world.custody.show_profile(stranger, user, "case").await), Code::AccountUnknown);
            assert_eq!(code(world.custody.erase_profile(stranger, user, &[]).await), Code::AccountUnknown);
        }
    }
    let auditor = world.caller("keyward://auditor/ada").await;
    assert_eq!(code(world.custody.erase_profile(&auditor, "alice", &[]).await), Code::AccountUnknown);
    assert_eq!(notes(&world, 2), 2);
}

#[tokio::test]
async fn an_erased_profile_is_gone_at_once_and_for_good() {
    let world = World::new().await;
    let alice = person(&world, "alice").await;
    let fields = fields(&[("name", "Alice")]);
    assert_eq!(code(world.custody.erase_profile(&alice, "", &[]).await), Code::ProfileUnknown);
    world.custody.set_profile(&alice, &fields, &[]).await.unwrap();
    world.ledger.set(Mood::Gone);
    assert_eq!(code(world.custody.erase_profile(&alice, "", &[]).await), Code::LedgerUnavailable);
    world.ledger.set(Mood::Good);
    let account = alice.account.unwrap().0;
    let row = world.custody.store.profile(account).await.unwrap().unwrap();
    assert!(row.sealed_key.is_empty() && row.body.is_empty() && row.erased_ms.is_some());
    world.custody.settle_acts().await.unwrap();
    assert_eq!(notes(&world, 3), 1, "its record is tried until it stands");
    assert_eq!(code(world.custody.show_profile(&alice, "", "").await), Code::ProfileErased);
    assert_eq!(code(world.custody.set_profile(&alice, &fields, &[]).await), Code::ProfileErased);
    assert_eq!(code(world.custody.erase_profile(&alice, "", &[]).await), Code::ProfileErased);
}

#[tokio::test]
async fn the_end_of_an_account_and_an_officer_erase_too() {
    let world = World::new().await;
    let (alice, bob) = (person(&world, "alice").await, person(&world, "bob").await);
    for person in [&alice, &bob] {
        world.custody.set_profile(person, &fields(&[("name", "X")]), &[]).await.unwrap();
    }
    let closing = super::accounts::closing(&world, "alice").await;
    world.custody.close_account(&alice, &closing, &[]).await.unwrap();
    let row = world.custody.store.profile(alice.account.unwrap().0).await.unwrap().unwrap();
    assert!(row.sealed_key.is_empty() && row.body.is_empty());
    let officer = world.caller("keyward://officer/olga").await;
    assert_eq!(code(world.custody.show_profile(&officer, "alice", "case").await), Code::AccountUnknown);
    world.custody.erase_profile(&officer, "bob", &[]).await.unwrap();
    assert_eq!(code(world.custody.show_profile(&bob, "", "").await), Code::ProfileErased);
}

#[tokio::test]
async fn a_profile_that_was_on_its_way_when_its_account_closed_is_not_kept() {
    let world = World::new().await;
    let alice = person(&world, "alice").await;
    let (closing, end) = (world.beside().await, super::accounts::closing(&world, "alice").await);
    let mine = fields(&[("name", "Alice")]);
    // It hangs between its record and its row.
    world.ledger.hold.store(true, std::sync::atomic::Ordering::Relaxed);
    let (custody, caller) = (world.custody.clone(), alice.clone());
    let writing = tokio::spawn(async move { custody.set_profile(&caller, &mine, b"mark").await });
    while notes(&world, 1) == 0 {
        tokio::task::yield_now().await;
    }
    closing.close_account(&alice, &end, &[]).await.unwrap();
    world.ledger.let_go();
    assert_eq!(code(writing.await.unwrap()), Code::AccountClosed);
    assert_eq!(world.custody.settle_acts().await.unwrap(), 0);
    assert_eq!(world.custody.store.profile(alice.account.unwrap().0).await.unwrap(), None);
}

#[tokio::test]
async fn a_profile_moved_to_another_account_does_not_open() {
    let world = World::new().await;
    let (alice, bob) = (person(&world, "alice").await, person(&world, "bob").await);
    world.custody.set_profile(&alice, &fields(&[("name", "Alice")]), &[]).await.unwrap();
    let row = world.custody.store.profile(alice.account.unwrap().0).await.unwrap().unwrap();
    let stolen = keyward_store::Profile { account: bob.account.unwrap().0, ..row };
    world.custody.store.apply(vec![keyward_store::Change::PutProfile(stolen)]).await.unwrap();
    assert_eq!(code(world.custody.show_profile(&bob, "", "").await), Code::Internal);
}
