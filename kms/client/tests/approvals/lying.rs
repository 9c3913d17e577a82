//! A service that lies about what is approved: it is found out before anything is signed.

use keyward_client::approvals::{ApprovalError, Voice, Withdrawn};
use keyward_client::{EvidenceError, Petition};
use keyward_ledger_core::entry::{Act, Case, Entry, OpenBlindCase, kind};
use keyward_ledger_core::hash::sha256;
use keyward_ledger_core::state::layout::approval_case_key;
use keyward_proto::custody::{
    ApprovalAbout, ApprovalEntryResponse, ApprovalOfDispute, ApprovalOfSigning, ShowApprovalResponse,
    SignResponse, approval_about::About,
};

use crate::approvals::face;
use crate::approvals::world::{ANNA, BORIS, CLARA, DORA, LIVE_MS, Lies, World, login, rule, signing};
use crate::toy::Chain;

fn showing(lie: impl Fn(&World, ShowApprovalResponse) -> ShowApprovalResponse + Send + 'static) -> Lies {
    Lies { show: Some(Box::new(lie)), ..Lies::default() }
}

/// What it is about, with something else in one place.
fn twisted(
    response: ShowApprovalResponse,
    twist: impl Fn(ApprovalOfSigning) -> ApprovalOfSigning,
) -> ShowApprovalResponse {
    let Some(About::Signing(signing)) = response.about.and_then(|about| about.about) else { panic!() };
    let about = Some(ApprovalAbout { about: Some(About::Signing(twist(signing))) });
    ShowApprovalResponse { about, ..response }
}

async fn found_out(world: &World, case: &[u8; 32], lie: Lies, expected: &str) {
    let handed_in = world.handed_in();
    world.lie(lie);
    let error = world.give(BORIS, case).await.unwrap_err();
    assert_eq!(error.code(), Some(expected), "{error}");
    assert_eq!(world.handed_in(), handed_in, "nothing was signed");
    world.lie(Lies::default());
}

#[tokio::test]
async fn a_payload_that_is_not_the_cases_is_never_shown() {
    let (world, case) = World::asked(1).await;
    let other = b"pay 1 to boris";
    // Another payload with its own hash: it reads well, and the case is not about it.
    found_out(
        &world,
        &case,
        showing(move |_, answer| {
            twisted(answer, |signing| ApprovalOfSigning {
                payload: other.to_vec().into(),
                payload_hash: sha256(&[other]).to_vec().into(),
                ..signing
            })
        }),
        "APPROVAL_SUBSTITUTED",
    )
    .await;
    // The case's own hash under a friendlier payload: words and hash disagree.
    found_out(
        &world,
        &case,
        showing(move |_, answer| {
            twisted(answer, |signing| ApprovalOfSigning { payload: other.to_vec().into(), ..signing })
        }),
        "PAYLOAD_OTHER",
    )
    .await;
    // The same under a format that nobody reads it by.
    found_out(
        &world,
        &case,
        showing(|_, answer| {
            twisted(answer, |signing| ApprovalOfSigning { format: "pain.001".into(), ..signing })
        }),
        "PAYLOAD_UNREAD",
    )
    .await;
    for twist in [
        |signing| ApprovalOfSigning { key_id: vec![1; 32].into(), ..signing },
        |signing| ApprovalOfSigning { opening: vec![1; 32].into(), ..signing },
    ] {
        found_out(&world, &case, showing(move |_, answer| twisted(answer, twist)), "APPROVAL_SUBSTITUTED")
            .await;
    }
    let dispute = ApprovalOfDispute { case_id: vec![1; 32].into(), payload: vec![2; 32].into() };
    let about = ApprovalAbout { about: Some(About::Dispute(dispute)) };
    found_out(
        &world,
        &case,
        showing(move |_, answer| ShowApprovalResponse { about: Some(about.clone()), ..answer }),
        "APPROVAL_SUBSTITUTED",
    )
    .await;
    let unknown = ApprovalAbout { about: None };
    found_out(
        &world,
        &case,
        showing(move |_, answer| ShowApprovalResponse { about: Some(unknown.clone()), ..answer }),
        "APPROVAL_SUBSTITUTED",
    )
    .await;
    world.give(BORIS, &case).await.unwrap();
}

#[tokio::test]
async fn nobody_approves_what_is_not_shown_but_everybody_may_refuse_it() {
    let (world, case) = World::asked(1).await;
    let hide = || showing(|_, answer| ShowApprovalResponse { about: None, ..answer });
    found_out(&world, &case, hide(), "APPROVAL_UNSEEN").await;
    world.lie(hide());
    let boris = world.client(BORIS).await;
    let shown = boris.approval_case(&case).await.unwrap();
    boris.refuse_approval(Voice::Account(&login(BORIS)), &shown).await.unwrap();
}

#[tokio::test]
async fn proofs_of_another_ledger_of_another_case_and_none_are_refused() {
    let (world, case) = World::asked(1).await;
    // Of another ledger, of another case's absence, and no proof at all.
    let foreign = Chain::new(9).proof(&approval_case_key(&case));
    let other = world.snapshot().proof(&approval_case_key(&[9; 32]));
    for proof in [foreign, other, vec![1, 2, 3], Vec::new()] {
        found_out(
            &world,
            &case,
            showing(move |_, answer| ShowApprovalResponse { case: proof.clone().into(), ..answer }),
            "APPROVAL_UNPROVEN",
        )
        .await;
    }
    found_out(
        &world,
        &case,
        showing(|_, answer| ShowApprovalResponse { rule: answer.case.clone(), ..answer }),
        "APPROVAL_UNPROVEN",
    )
    .await;
    let error = world.untrusting(BORIS).await.approval_case(&case).await.unwrap_err();
    assert_eq!(error.code(), Some("APPROVAL_TRUST_MISSING"));
}

#[tokio::test]
async fn an_old_state_in_which_nobody_has_approved_yet_proves_only_what_was() {
    let (world, case) = World::asked(2).await;
    let before = world.snapshot();
    world.give(BORIS, &case).await.unwrap();
    let key = approval_case_key(&case);
    world.lie(showing(move |_, answer| ShowApprovalResponse { case: before.proof(&key).into(), ..answer }));
    let shown = world.see(CLARA, &case).await.unwrap();
    assert_eq!(shown.missing(), [2], "a state of some minutes ago, at its height");
    // Whatever the service shows, the ledger counts: Clara's word is one, for exactly this payload.
    world.give(CLARA, &case).await.unwrap();
    world.lie(Lies::default());
    assert_eq!(world.see(ANNA, &case).await.unwrap().missing(), [0]);
}

#[tokio::test]
async fn an_entry_that_is_changed_on_the_way_counts_for_nothing_and_is_not_believed_done() {
    let (world, case) = World::asked(1).await;
    // The service hands in its own entry in the place of Boris's, and shows that it was recorded.
    world.lie(Lies {
        entry: Some(Box::new(|_, _| Entry::Note(b"nothing".to_vec()).encode())),
        ..Lies::default()
    });
    assert_eq!(world.give(BORIS, &case).await.unwrap_err().code(), Some("APPROVAL_SUBSTITUTED"));
    // Or another act with his signature: the ledger does not take it.
    world.lie(Lies {
        entry: Some(Box::new(|_, entry| {
            let Ok(Entry::Authored(mut authored)) = Entry::decode(&entry) else { panic!("an act") };
            let Act::Approve { case, group } = authored.act else { panic!("an approval") };
            authored.act = Act::Approve { case: Case { payload: [9; 32], ..case }, group };
            Entry::Authored(authored).encode()
        })),
        ..Lies::default()
    });
    assert_eq!(world.give(BORIS, &case).await.unwrap_err().code(), Some("AUTHOR_SIGNATURE_INVALID"));
    world.lie(Lies {
        recorded: Some(Box::new(|world, _| {
            let receipt = world.snapshot().receipt(0).into();
            Ok(ApprovalEntryResponse { receipt, leaf_index: 0 })
        })),
        ..Lies::default()
    });
    assert_eq!(world.give(BORIS, &case).await.unwrap_err().code(), Some("APPROVAL_SUBSTITUTED"));
}

#[tokio::test]
async fn rules_of_others_and_other_rules_are_not_taken_for_the_one_that_was_named() {
    let (world, _) = World::asked(1).await;
    let anna = world.client(ANNA).await;
    assert!(
        matches!(anna.approval_rules().await, Err(ApprovalError::Evidence(EvidenceError::Substituted(_)))),
        "they are Dora's"
    );
    let dora = world.client(DORA).await;
    world.lie(Lies {
        rules: Some(Box::new(|_, mut answer| {
            answer.rules[0].name = vec![1; 32].into();
            answer
        })),
        ..Lies::default()
    });
    assert!(matches!(dora.approval_rules().await, Err(ApprovalError::Evidence(EvidenceError::Proof { .. }))));
    world.lie(Lies {
        rules: Some(Box::new(|_, mut answer| {
            answer.rules.clear();
            answer
        })),
        ..Lies::default()
    });
    assert!(matches!(
        dora.approval_rule(&rule()).await,
        Err(ApprovalError::Evidence(EvidenceError::Substituted(_)))
    ));
    let about = keyward_client::approvals::About::Signing(signing());
    let asked = anna.ask_approval(Voice::Account(&login(ANNA)), &rule(), &about, LIVE_MS).await;
    assert!(matches!(asked, Err(ApprovalError::Evidence(EvidenceError::Substituted(_)))));
}

#[tokio::test]
async fn a_signature_that_was_not_paid_for_by_this_case_is_refused() {
    type Lie = fn(&World, SignResponse) -> SignResponse;
    let lies: [(Lie, &str); 4] = [
        (|_, answer| SignResponse { approval_receipt: Default::default(), ..answer }, "APPROVAL_UNPROVEN"),
        (
            |world, answer| {
                let receipt = world.snapshot().receipt(0).into();
                SignResponse { approval_receipt: receipt, approval_leaf_index: 0, ..answer }
            },
            "APPROVAL_SUBSTITUTED",
        ),
        // An intent of the service's own, over the same payload: not the case's commitment, nor its name.
        (
            |world, answer| {
                let mut chain = world.chain.lock().unwrap();
                let own = face::signed(&mut chain, [0x34; 32], &[0x33; 32], crate::approvals::world::MESSAGE);
                let (approval_receipt, approval_leaf_index) =
                    (answer.approval_receipt, answer.approval_leaf_index);
                SignResponse { approval_receipt, approval_leaf_index, ..own }
            },
            "APPROVAL_SUBSTITUTED",
        ),
        // With the case's own commitment, under a name that does not follow from the use.
        (
            |world, answer| {
                let mut chain = world.chain.lock().unwrap();
                let own = face::signed(
                    &mut chain,
                    [0x35; 32],
                    &signing().opening,
                    crate::approvals::world::MESSAGE,
                );
                let (approval_receipt, approval_leaf_index) =
                    (answer.approval_receipt, answer.approval_leaf_index);
                SignResponse { approval_receipt, approval_leaf_index, ..own }
            },
            "APPROVAL_SUBSTITUTED",
        ),
    ];
    for (lie, expected) in lies {
        let (world, case) = World::asked(1).await;
        world.give(BORIS, &case).await.unwrap();
        world.lie(Lies { signed: Some(Box::new(lie)), ..Lies::default() });
        let error = world.sign(&case).await.unwrap_err();
        assert_eq!(error.code(), Some(expected), "{error}");
    }
}

#[tokio::test]
async fn what_the_ledger_has_is_not_withdrawn_by_the_services_word() {
    let (world, named) = World::asked(1).await;
    let (rule, live_ms) = (rule().id(kind::DEFINE_APPROVAL), LIVE_MS);
    let open = Entry::OpenBlindCase(OpenBlindCase { rule, lock: [1; 32], content: [2; 32], live_ms });
    let blind = world.chain.lock().unwrap().record(&open.encode()).1.data.try_into().unwrap();
    for case in [&named, &blind] {
        let shown = world.see(BORIS, case).await.unwrap();
        let act = Act::Approve { case: shown.case, group: 0 };
        // As another service would have handed it in: this one does not show what the blind case is about.
        let mut petition = Petition::new(world.snapshot().chain_id(), act);
        petition.sign_as_account(BORIS, &login(BORIS).credential, shown.height + 100).unwrap();
        world.chain.lock().unwrap().record(&petition.entry().encode());
    }
    world.lie(Lies { here: true, ..Lies::default() });
    for (who, case, is_theirs) in
        [(ANNA, &named, false), (BORIS, &named, false), (BORIS, &blind, false), (ANNA, &blind, true)]
    {
        let shown = world.see(who, case).await.unwrap();
        let withdrawn = world.client(who).await.withdraw_approval(Voice::Account(&login(who)), &shown).await;
        match withdrawn {
            Ok(Withdrawn::Here) => assert!(is_theirs),
            Ok(Withdrawn::Recorded(done)) => panic!("{done:?}"),
            Err(error) => {
                assert!(!is_theirs);
                assert_eq!(error.code(), Some("APPROVAL_SUBSTITUTED"));
            }
        }
    }
}
