//! What a service shows of an association is believed only as far as it is proven, recent, whole, and of one version.

use keyward_client::associations::{AssociationError, Concern, Export, ExportError};
use keyward_ledger_core::state::association::{AssociationState, address_key, association_key};
use keyward_ledger_core::state::layout::{KeyStatus, account_key, key_key};
use keyward_ledger_verify::Failure;

use crate::associations::world::{ANNA, BORIS, CLARA, GROUP, KEY, World, address, shown};
use crate::toy::Chain;

const OTHER: [u8; 32] = [8; 32];

async fn seen(world: &World) -> AssociationError {
    world.client(ANNA).await.check_association(&GROUP).await.unwrap_err()
}

/// A second association, of Clara's address.
async fn beside() -> std::sync::Arc<World> {
    let world = World::grouped().await;
    let clara = vec![world.member(&OTHER, CLARA, 8, 1)];
    world.hand_in(world.open(OTHER, clara), &[ANNA, CLARA]).await.unwrap();
    world
}

#[tokio::test]
async fn every_party_sees_one_version_and_what_became_of_its_members() {
    let world = World::grouped().await;
    for account in [ANNA, BORIS, CLARA] {
        let (checked, _) = world.client(account).await.check_association(&GROUP).await.unwrap();
        assert_eq!((checked.state.version, checked.state.members.len()), (1, 2));
        assert_eq!(checked.concerns, [None, None]);
    }
    world.freeze();
    world.leaves().await.unwrap();
    for account in [ANNA, BORIS] {
        let (checked, _) = world.client(account).await.check_association(&GROUP).await.unwrap();
        assert_eq!((checked.state.version, checked.state.members.len()), (2, 1));
        assert_eq!(checked.concerns, [Some(Concern::Key(KeyStatus::Frozen))]);
    }
    let anna = world.client(ANNA).await;
    assert!(anna.show_association(&OTHER).await.unwrap().state.is_none(), "its absence is proven");
    let none = anna.check_association(&OTHER).await.unwrap_err();
    assert_eq!(none.code(), Some("ASSOCIATION_UNKNOWN"), "{none}");
}

#[tokio::test]
async fn without_a_trust_file_nobody_is_even_asked() {
    let world = World::grouped().await;
    let before = *world.shown.lock().unwrap();
    let blind = world.untrusting(ANNA).await;
    for error in [
        blind.show_association(&GROUP).await.unwrap_err(),
        blind.check_association(&GROUP).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), Some("ASSOCIATION_TRUST_MISSING"), "{error}");
    }
    assert_eq!(*world.shown.lock().unwrap(), before);
}

#[tokio::test]
async fn a_version_that_the_services_own_ledger_forged_counts_for_nothing() {
    let world = World::grouped().await;
    world.show(|world, _| {
        let mut own = Chain::new(100);
        own.state = world.snapshot().state;
        let key = association_key(&GROUP);
        let mut forged = AssociationState::decode(own.state.get(&key).unwrap()).unwrap();
        forged.version = 2;
        own.state.insert(&key, &forged.encode());
        shown(&own, &GROUP, true)
    });
    let error = seen(&world).await;
    assert!(
        matches!(error, AssociationError::Proof { what: "the association", source: Failure::OtherGenesis }),
        "{error}"
    );
    assert_eq!(error.code(), Some("ASSOCIATION_UNPROVEN"));
    // One bit of a true one.
    world.show(|_, mut answer| {
        let mut bytes = answer.association.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        answer.association = bytes.into();
        answer
    });
    assert!(matches!(seen(&world).await, AssociationError::Proof { what: "the association", .. }));
}

#[tokio::test]
async fn a_version_that_was_is_told_by_its_age_or_by_another_partys_export() {
    let world = World::grouped().await;
    let was = world.snapshot();
    world.leaves().await.unwrap();
    let (now, evidence) = world.client(BORIS).await.check_association(&GROUP).await.unwrap();
    let trust = world.snapshot().trust_file();
    let export = Export::new(&trust, &GROUP, &now, &evidence).unwrap();

    // Anna is shown what was, and it is old.
    let mut old = was.clone();
    old.time_ms -= 11 * 60 * 1000;
    world.show(move |_, _| shown(&old, &GROUP, true));
    let error = seen(&world).await;
    assert!(matches!(error, AssociationError::Proof { source: Failure::TooOld { .. }, .. }), "{error}");
    let error = world.client(ANNA).await.show_association(&GROUP).await.unwrap_err();
    assert!(matches!(error, AssociationError::Proof { source: Failure::TooOld { .. }, .. }), "{error}");
    // It is young enough to be believed; Boris's file shows that the two were not shown the same.
    world.show(move |_, _| shown(&was, &GROUP, true));
    let (anna, _) = world.client(ANNA).await.check_association(&GROUP).await.unwrap();
    let boris = export.verify(&trust).unwrap();
    assert_eq!((anna.state.version, boris.state.version), (1, 2));
}

#[tokio::test]
async fn members_of_one_version_below_another_are_asked_for_again_and_then_refused() {
    let world = World::grouped().await;
    let was = shown(&world.snapshot(), &GROUP, true);
    world.leaves().await.unwrap();
    let before = *world.shown.lock().unwrap();
    world.show(move |_, mut answer| {
        answer.association = was.association.clone();
        answer
    });
    let error = seen(&world).await;
    assert_eq!(error.code(), Some("ASSOCIATION_TORN"), "{error}");
    assert_eq!(*world.shown.lock().unwrap() - before, 4);
    // It changed once while it was shown: the next look is whole.
    let was = shown(&world.snapshot(), &GROUP, true);
    world.freeze();
    let torn = std::sync::Mutex::new(Some(was));
    world.show(move |_, mut answer| {
        if let Some(was) = torn.lock().unwrap().take() {
            answer.members = was.members;
        }
        answer
    });
    let (checked, _) = world.client(ANNA).await.check_association(&GROUP).await.unwrap();
    assert_eq!(checked.state.version, 2);
}

#[tokio::test]
async fn members_withheld_or_shown_in_anothers_place_are_named() {
    let world = beside().await;
    for keep in [0, 1] {
        world.show(move |_, mut answer| {
            answer.members.truncate(keep);
            answer
        });
        let error = seen(&world).await;
        assert!(
            matches!(error, AssociationError::OtherMembers { shown, standing: 2 } if shown == keep),
            "{error}"
        );
        assert_eq!(error.code(), Some("ASSOCIATION_SUBSTITUTED"));
    }
    world.show(|_, mut answer| {
        answer.members.swap(0, 1);
        answer
    });
    assert!(matches!(seen(&world).await, AssociationError::Proof { what: "a member's address", .. }));
    world.show(|world, mut answer| {
        answer.members[1].address = world.snapshot().proof(&address_key(&address(8))).into();
        answer
    });
    assert!(matches!(
        seen(&world).await,
        AssociationError::Proof { what: "a member's address", source: Failure::OtherStateKey }
    ));
    world.show(|world, mut answer| {
        answer.members[1].account = world.snapshot().proof(&account_key(&CLARA)).into();
        answer
    });
    assert!(matches!(seen(&world).await, AssociationError::Proof { what: "a member's account", .. }));
    world.show(|_, mut answer| {
        answer.members[0].key = Default::default();
        answer
    });
    assert!(matches!(seen(&world).await, AssociationError::Proof { what: "a member's key", .. }));
}

#[tokio::test]
async fn another_association_is_not_taken_for_the_one_that_was_named() {
    let world = beside().await;
    world.show(|world, answer| {
        let members = !answer.members.is_empty();
        shown(&world.snapshot(), &OTHER, members)
    });
    let error = seen(&world).await;
    assert!(
        matches!(error, AssociationError::Proof { what: "the association", source: Failure::OtherStateKey }),
        "{error}"
    );
    let error = world.client(ANNA).await.show_association(&GROUP).await.unwrap_err();
    assert!(matches!(error, AssociationError::Proof { source: Failure::OtherStateKey, .. }), "{error}");
    // Its second look is of another one.
    world.show(|world, mut answer| {
        answer.again = world.snapshot().proof(&association_key(&OTHER)).into();
        answer
    });
    assert!(matches!(seen(&world).await, AssociationError::Proof { source: Failure::OtherStateKey, .. }));
    // Nor is its export.
    world.lie(crate::associations::world::Lies::default());
    let (other, evidence) = world.client(ANNA).await.check_association(&OTHER).await.unwrap();
    let trust = world.snapshot().trust_file();
    let renamed = Export::new(&trust, &GROUP, &other, &evidence).unwrap().verify(&trust);
    assert!(matches!(renamed, Err(ExportError::Association(AssociationError::Proof { .. }))));
}

#[tokio::test]
async fn a_frozen_key_is_not_hidden_behind_a_proof_of_before() {
    let world = World::grouped().await;
    let before = world.snapshot();
    world.freeze();
    world.show(move |_, mut answer| {
        answer.members[0].key = before.proof(&key_key(&KEY)).into();
        answer
    });
    let error = seen(&world).await;
    assert_eq!(error.code(), Some("ASSOCIATION_TORN"), "{error}");
}
