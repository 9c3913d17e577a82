//! What was signed of an association counts only with the receipt of this very entry; nobody signs for another ledger.

use keyward_client::associations::{AssociationAct, AssociationError};
use keyward_client::{EvidenceError, Petition};
use keyward_ledger_core::entry::{Act, Party};
use keyward_proto::custody::AssociationEntryResponse;
use tonic::Status;

use crate::associations::world::{ANNA, BORIS, CLARA, GROUP, KEY, Lies, World, address, login};

type Recorded = Result<AssociationEntryResponse, Status>;

fn recording(lie: impl Fn(&World, Recorded) -> Recorded + Send + 'static) -> Lies {
    Lies { recorded: Some(Box::new(lie)), ..Lies::default() }
}

fn dispute(version: u32) -> AssociationAct {
    AssociationAct::Dispute { association: GROUP, version, reason: [1; 32] }
}

#[tokio::test]
async fn what_the_ledger_refuses_is_told_by_its_own_code() {
    let world = World::grouped().await;
    let skipped = AssociationAct::Leave { association: GROUP, version: 3, address: address(7) };
    let replaced = |member| AssociationAct::Update {
        association: GROUP,
        version: 2,
        terms: None,
        removed: Vec::new(),
        added: vec![member],
    };
    // Taken in already; proven for another version, for another association, for another account.
    let mut others = world.member(&GROUP, BORIS, 9, 2);
    others.account = CLARA;
    let cases = [
        (skipped, vec![BORIS], "ASSOCIATION_VERSION"),
        (replaced(world.member(&GROUP, CLARA, 7, 2)), vec![ANNA, CLARA], "ADDRESS_TAKEN"),
        (replaced(world.member(&GROUP, BORIS, 9, 1)), vec![ANNA, BORIS], "ADDRESS_UNPROVEN"),
        (replaced(world.member(&[1; 32], BORIS, 9, 2)), vec![ANNA, BORIS], "ADDRESS_UNPROVEN"),
        (replaced(others), vec![ANNA, CLARA], "ADDRESS_UNPROVEN"),
        (replaced(world.member(&GROUP, BORIS, 9, 2)), vec![ANNA], "MEMBER_CONSENT_MISSING"),
    ];
    for (act, accounts, code) in cases {
        let error = world.hand_in(act, &accounts).await.unwrap_err();
        assert_eq!(error.code(), Some(code), "{error}");
    }
    let (checked, _) = world.client(ANNA).await.check_association(&GROUP).await.unwrap();
    assert_eq!(checked.state.version, 1);
}

#[tokio::test]
async fn a_change_counts_only_with_the_receipt_of_this_very_entry() {
    let world = World::grouped().await;
    let opened = world.snapshot().receipt(0);
    // The receipt of what was before for this one, which was swallowed.
    world.lie(Lies {
        swallows: true,
        ..recording(move |_, _| {
            Ok(AssociationEntryResponse { receipt: opened.clone().into(), leaf_index: 0 })
        })
    });
    let error = world.hand_in(dispute(1), &[BORIS]).await.unwrap_err();
    assert!(
        matches!(
            error,
            AssociationError::Evidence(EvidenceError::Substituted("the receipt of another entry"))
        ),
        "{error}"
    );
    assert_eq!(error.code(), Some("ASSOCIATION_SUBSTITUTED"));
    // The right receipt at another place of the log.
    world.lie(recording(|_, answer| {
        answer.map(|answer| AssociationEntryResponse { leaf_index: 9, ..answer })
    }));
    let error = world.hand_in(dispute(1), &[BORIS]).await.unwrap_err();
    assert!(matches!(error, AssociationError::Evidence(EvidenceError::Substituted(_))), "{error}");
    // One of a record that the ledger refused: the service says it was done.
    world.lie(recording(|world, answer| {
        Ok(answer.unwrap_or_else(|_refused| {
            let (chain, leaf_index) = (world.snapshot(), world.handed_in.lock().unwrap().len() as u64 - 2);
            AssociationEntryResponse { receipt: chain.receipt(leaf_index).into(), leaf_index }
        }))
    }));
    let error = world.hand_in(dispute(1), &[BORIS]).await.unwrap_err();
    assert!(
        matches!(
            error,
            AssociationError::Evidence(EvidenceError::Refused { code: "ASSOCIATION_DISPUTED", .. })
        ),
        "the second one was recorded: {error}"
    );
}

#[tokio::test]
async fn a_change_whose_answer_got_lost_is_handed_in_again_as_it_was() {
    let world = World::grouped().await;
    let (lost, kept) = (std::sync::Mutex::new(Some(())), std::sync::Mutex::new(None));
    world.lie(recording(move |_, answer| {
        let answer = kept.lock().unwrap().get_or_insert_with(|| answer.unwrap()).clone();
        lost.lock().unwrap().take().map_or(Ok(answer), |()| Err(Status::unavailable("the line broke")))
    }));
    world.leaves().await.unwrap();
    let handed_in = world.handed_in.lock().unwrap();
    assert_eq!((handed_in.len(), &handed_in[1]), (3, &handed_in[2]), "the same entry");
}

#[tokio::test]
async fn for_whom_keys_have_signed_is_the_ledgers_word() {
    let world = World::grouped().await;
    let anna = world.client(ANNA).await;
    let mut petition = anna.association_petition(dispute(1)).unwrap();
    let blank = petition.blank(Party::Key(KEY), world.snapshot().height + 100).unwrap();
    petition.add(blank.signed(vec![1], vec![2])).unwrap();
    let speakers = anna.association_speakers(&petition).await.unwrap();
    assert_eq!(speakers, [(Party::Key(KEY), ANNA)]);
    world.show(|_, mut shown| {
        shown.keys.clear();
        shown
    });
    let error = anna.association_speakers(&petition).await.unwrap_err();
    assert_eq!(error.code(), Some("ASSOCIATION_SUBSTITUTED"), "{error}");
    world.show(|_, mut shown| {
        shown.keys = vec![shown.association.clone()];
        shown
    });
    let error = anna.association_speakers(&petition).await.unwrap_err();
    assert_eq!(error.code(), Some("ASSOCIATION_UNPROVEN"), "{error}");
}

#[tokio::test]
async fn nobody_signs_for_another_ledger_account_or_purpose_or_twice() {
    let world = World::grouped().await;
    let boris = world.client(BORIS).await;
    let mut petition = boris.association_petition(dispute(1)).unwrap();
    let error = boris.sign_association(&login(ANNA), &mut petition).await.unwrap_err();
    assert_eq!(error.code(), Some("ASSOCIATION_OTHER_ACCOUNT"), "{error}");
    let mut elsewhere = Petition::new([1; 32], Act::Association(dispute(1)));
    let mut otherwise = Petition::new(*petition.chain_id(), Act::CloseAccount { account: BORIS });
    for stranger in [&mut elsewhere, &mut otherwise] {
        let error = boris.sign_association(&login(BORIS), stranger).await.unwrap_err();
        assert_eq!(error.code(), Some("ASSOCIATION_REQUEST_MALFORMED"), "{error}");
        assert!(stranger.authors().is_empty());
    }
    boris.sign_association(&login(BORIS), &mut petition).await.unwrap();
    let again = boris.sign_association(&login(BORIS), &mut petition).await.unwrap_err();
    assert_eq!(again.code(), Some("ASSOCIATION_SIGNED_BEFORE"), "{again}");
}
