//! What a service shows of delegates is believed only as far as it is proven, fresh, and what was asked for.

use keyward_client::EvidenceError;
use keyward_client::delegation::{DelegationError, Scope};
use keyward_ledger_core::state::delegation::{Delegations, delegation_key, delegations_key};
use keyward_ledger_core::state::layout::timelock_key;
use keyward_ledger_verify::Failure;
use keyward_proto::custody::{DelegationEntryResponse, ShowDelegationsResponse};

use crate::delegation::face;
use crate::delegation::world::{ANNA, BORIS, CLARA, DELAY_MS, Lies, World, login, main_name, rule_id, terms};
use crate::toy::Chain;

fn showing(
    lie: impl Fn(&World, ShowDelegationsResponse) -> ShowDelegationsResponse + Send + 'static,
) -> Lies {
    Lies { show: Some(Box::new(lie)), ..Lies::default() }
}

fn recording(
    lie: impl Fn(
        &World,
        Result<DelegationEntryResponse, tonic::Status>,
    ) -> Result<DelegationEntryResponse, tonic::Status>
    + Send
    + 'static,
) -> Lies {
    Lies { recorded: Some(Box::new(lie)), ..Lies::default() }
}

#[tokio::test]
async fn an_appointment_holds_after_its_delay_and_its_end_is_seen() {
    let world = World::start().await;
    let anna = world.client(ANNA).await;
    let none = anna.delegations(None).await.unwrap();
    assert_eq!((none.delegations.len(), none.changes), (0, 0));
    anna.appoint_delegates(&login(ANNA), &main_name(), terms(&[BORIS, CLARA], 2)).await.unwrap();
    let waiting = anna.delegations(None).await.unwrap();
    let one = waiting.named(&main_name()).unwrap();
    assert!(waiting.in_force(one).is_none() && one.next.is_some() && !waiting.is_due(one));
    world.pass(DELAY_MS);
    // Nobody has looked at it on the ledger; it holds all the same.
    for account in [ANNA, BORIS] {
        let trust = world.client(account).await.delegations(Some(ANNA)).await.unwrap();
        let one = trust.named(&main_name()).unwrap();
        assert_eq!(trust.in_force(one), Some(&terms(&[BORIS, CLARA], 2)));
        assert!(one.names(&BORIS) && !one.names(&ANNA));
    }
    anna.revoke_delegates(&login(ANNA), &main_name()).await.unwrap();
    let ending = anna.delegations(None).await.unwrap();
    let one = ending.named(&main_name()).unwrap();
    assert!(one.stopped && ending.in_force(one).is_some(), "they may recover until its delay is over");
    world.pass(DELAY_MS);
    let ended = anna.delegations(None).await.unwrap();
    assert!(ended.in_force(ended.named(&main_name()).unwrap()).is_none());
    let unknown = anna.revoke_delegates(&login(ANNA), &[9; 32]).await.unwrap_err();
    assert!(matches!(unknown, DelegationError::Unknown), "{unknown}");
}

#[tokio::test]
async fn without_a_trust_file_or_a_session_nobody_is_even_asked() {
    let world = World::trusting(&[BORIS], 1).await;
    let before = world.handed_in();
    let blind = world.untrusting(ANNA).await;
    assert_eq!(blind.delegations(None).await.unwrap_err().code(), Some("DELEGATION_TRUST_MISSING"));
    let appointed = blind.appoint_delegates(&login(ANNA), &main_name(), terms(&[BORIS], 1)).await;
    assert!(matches!(appointed, Err(DelegationError::TrustMissing)));
    let trust = world.snapshot().trust_file();
    let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let nobody = keyward_client::Client::over(channel, "nobody").with_trust(&trust).unwrap();
    assert!(matches!(nobody.delegations(None).await, Err(DelegationError::AccountMissing)));
    let other = world.client(ANNA).await;
    let error = other.revoke_delegates(&login(BORIS), &main_name()).await.unwrap_err();
    assert!(matches!(error, DelegationError::OtherAccount), "{error}");
    assert_eq!(world.handed_in(), before);
}

#[tokio::test]
async fn old_state_is_refused_however_well_it_is_proven() {
    let world = World::start().await;
    let mut old = world.snapshot();
    old.time_ms -= 11 * 60 * 1000;
    let anna = world.client(ANNA).await;
    anna.appoint_delegates(&login(ANNA), &main_name(), terms(&[BORIS], 1)).await.unwrap();
    let (hidden, mut later) = (face::shown(&old, &ANNA), world.snapshot());
    later.time_ms -= 11 * 60 * 1000;
    world.lie(showing(move |_, _| hidden.clone()));
    let error = anna.delegations(None).await.unwrap_err();
    assert!(
        matches!(
            error,
            DelegationError::Evidence(EvidenceError::Proof {
                what: "the account's delegations",
                source: Failure::TooOld { .. }
            })
        ),
        "{error}"
    );
    // A delegation as it was, below a list that is new.
    let stale = later.proof(&delegation_key(&rule_id(ANNA)));
    world.lie(showing(move |_, mut shown| {
        shown.delegations[0].delegation = stale.clone().into();
        shown
    }));
    let error = anna.delegations(None).await.unwrap_err();
    assert!(
        matches!(error, DelegationError::Evidence(EvidenceError::Proof { what: "a delegation", .. })),
        "{error}"
    );
    assert_eq!(error.code(), Some("DELEGATION_UNPROVEN"));
}

#[tokio::test]
async fn another_ledgers_word_or_another_accounts_counts_for_nothing() {
    let world = World::trusting(&[BORIS], 1).await;
    let anna = world.client(ANNA).await;
    let boris = world.client(BORIS).await;
    boris.appoint_delegates(&login(BORIS), &main_name(), terms(&[ANNA], 1)).await.unwrap();
    // The service's own ledger, with the same state on it.
    world.lie(showing(|world, _| {
        let mut own = Chain::new(100);
        own.state = world.snapshot().state;
        face::shown(&own, &ANNA)
    }));
    let error = anna.delegations(None).await.unwrap_err();
    assert!(
        matches!(
            error,
            DelegationError::Evidence(EvidenceError::Proof { source: Failure::OtherGenesis, .. })
        ),
        "{error}"
    );
    world.lie(showing(|world, _| face::shown(&world.snapshot(), &BORIS)));
    let error = anna.delegations(None).await.unwrap_err();
    assert!(
        matches!(
            error,
            DelegationError::Evidence(EvidenceError::Proof { source: Failure::OtherStateKey, .. })
        ),
        "{error}"
    );
    // Boris's delegation under Anna's list, and none where she has one.
    world.lie(showing(|world, mut shown| {
        shown.delegations = face::shown(&world.snapshot(), &BORIS).delegations;
        shown
    }));
    let error = anna.delegations(None).await.unwrap_err();
    assert!(matches!(error, DelegationError::Evidence(EvidenceError::Substituted(_))), "{error}");
    world.lie(showing(|_, mut shown| {
        shown.delegations.clear();
        shown
    }));
    let error = anna.delegations(None).await.unwrap_err();
    assert!(
        matches!(
            error,
            DelegationError::Evidence(EvidenceError::Substituted("fewer delegations than the account has"))
        ),
        "{error}"
    );
    // To a delegate nothing is shown as his that does not name him.
    world.lie(Lies::default());
    let error = world.client(CLARA).await.delegations(Some(ANNA)).await.unwrap_err();
    assert!(matches!(error, DelegationError::Evidence(EvidenceError::Substituted(_))), "{error}");
    assert_eq!(error.code(), Some("DELEGATION_SUBSTITUTED"));
}

#[tokio::test]
async fn the_timelock_of_another_delegation_is_not_taken_for_this_ones() {
    let world = World::trusting(&[BORIS, CLARA], 2).await;
    let boris = world.client(BORIS).await;
    boris.appoint_delegates(&login(BORIS), &main_name(), terms(&[CLARA], 1)).await.unwrap();
    world.opened().await;
    let anna = world.client(ANNA).await;
    assert!(anna.delegations(None).await.unwrap().delegations[0].recovery.is_some());
    // The recovery is hidden behind the empty timelock of somebody else's.
    world.lie(showing(|world, mut shown| {
        shown.delegations[0].timelock = world.snapshot().proof(&timelock_key(&rule_id(BORIS))).into();
        shown
    }));
    let error = anna.veto_recovery(&login(ANNA), &main_name()).await.unwrap_err();
    assert!(
        matches!(
            error,
            DelegationError::Evidence(EvidenceError::Proof { what: "a delegation's recoveries", .. })
        ),
        "{error}"
    );
    world.lie(showing(|world, mut shown| {
        shown.delegations[0].recovery = world.snapshot().proof(&delegations_key(&ANNA)).into();
        shown
    }));
    let error = anna.veto_recovery(&login(ANNA), &main_name()).await.unwrap_err();
    assert!(
        matches!(error, DelegationError::Evidence(EvidenceError::Proof { what: "a recovery", .. })),
        "{error}"
    );
}

#[tokio::test]
async fn an_appointment_counts_only_with_the_receipt_of_this_very_entry() {
    let world = World::start().await;
    let anna = world.client(ANNA).await;
    anna.appoint_delegates(&login(ANNA), &main_name(), terms(&[BORIS], 1)).await.unwrap();
    let appoint = async |delegates: &[[u8; 32]]| {
        anna.appoint_delegates(&login(ANNA), &main_name(), terms(delegates, 1)).await.unwrap_err()
    };
    // The receipt of the first one for the second, which was swallowed.
    let first = world.snapshot().receipt(0);
    world.lie(Lies {
        entry: Some(Box::new(|_, _| None)),
        ..recording(move |_, _| Ok(DelegationEntryResponse { receipt: first.clone().into(), leaf_index: 0 }))
    });
    let error = appoint(&[CLARA]).await;
    assert!(
        matches!(
            error,
            DelegationError::Evidence(EvidenceError::Substituted("the receipt of another entry"))
        ),
        "{error}"
    );
    // The right receipt at another place of the log.
    world
        .lie(recording(|_, answer| answer.map(|answer| DelegationEntryResponse { leaf_index: 9, ..answer })));
    let error = appoint(&[CLARA]).await;
    assert!(matches!(error, DelegationError::Evidence(EvidenceError::Substituted(_))), "{error}");
    // One of a record that the ledger refused: the service says it was done.
    world.lie(recording(|world, answer| {
        let leaf_index = world.handed_in() as u64;
        Ok(answer.unwrap_or_else(|_refused| {
            let receipt = world.snapshot().receipt(leaf_index - 2).into();
            DelegationEntryResponse { receipt, leaf_index: leaf_index - 2 }
        }))
    }));
    let all = Delegations::decode(world.snapshot().state.get(&delegations_key(&ANNA)).unwrap()).unwrap();
    assert_eq!(all.changes, 2);
    let error = appoint(&[ANNA]).await;
    assert_eq!(error.code(), Some("RULE_INVALID"), "{error}");
    assert!(matches!(error, DelegationError::Evidence(EvidenceError::Refused { .. })), "{error}");
}

#[tokio::test]
async fn an_appointment_whose_answer_got_lost_is_asked_for_again() {
    let world = World::start().await;
    let anna = world.client(ANNA).await;
    let lost = std::sync::Mutex::new(Some(()));
    let kept = std::sync::Mutex::new(None);
    // As a service that knows marks: the first answer is kept, and given again.
    world.lie(recording(move |_, answer| {
        let answer = kept.lock().unwrap().get_or_insert_with(|| answer.unwrap()).clone();
        lost.lock().unwrap().take().map_or(Ok(answer), |()| Err(tonic::Status::unavailable("the line broke")))
    }));
    anna.appoint_delegates(&login(ANNA), &main_name(), terms(&[BORIS], 1)).await.unwrap();
    let handed_in = world.handed_in.lock().unwrap();
    assert_eq!((handed_in.len(), &handed_in[0]), (2, &handed_in[1]), "the same entry");
}

#[tokio::test]
async fn policies_are_named_by_the_texts_that_are_shown() {
    let world = World::start().await;
    let anna = world.client(ANNA).await;
    assert_eq!(anna.delegate_policies().await.unwrap(), [face::policy()]);
    world.lie(Lies {
        policies: Some(Box::new(|_, mut shown| {
            shown.policies[0].files[0].text = "forbid (principal, action, resource);".into();
            shown
        })),
        ..Lies::default()
    });
    let error = anna.delegate_policies().await.unwrap_err();
    assert!(
        matches!(
            error,
            DelegationError::Evidence(EvidenceError::Substituted("a policy set under another hash"))
        ),
        "{error}"
    );
    assert_eq!(terms(&[BORIS], 1).scope, Scope::BOTH);
}
