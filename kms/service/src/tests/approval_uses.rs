//! Cases that are used up: whatever crashes between, and whoever comes at once, one signature.

use keyward_domain::{Code, approval::About, scheme::KeyId};
use keyward_ledger_core::entry::{Entry, Intent};

use super::{
    approvals::{Desk, LIVE_MS, MESSAGE, OPENING},
    ledger::CHAIN,
    world::{Mood, check, code, unsaid},
};
use crate::{
    approvals::{
        entries::{HandIn, Kind},
        sign::AskApproved,
    },
    guard::{Input, Paid, intent_id},
    hex::hex,
    ports::Ledger as _,
};

#[tokio::test]
async fn a_use_whose_answer_was_lost_is_found_and_signed_once_by_whatever_word_comes_next() {
    let desk = Desk::new().await;
    let case = desk.approved().await;
    desk.world.ledger.set(Mood::Deaf);
    assert_eq!(code(desk.sign(case, b"one").await), Code::LedgerUnavailable);
    desk.check_counts(1, 0);
    desk.world.ledger.set(Mood::Good);
    let desk = desk.restart().await;
    let done = desk.sign(case, b"two").await.unwrap();
    check(&done.signed, MESSAGE);
    assert_eq!(desk.sign(case, b"two").await.unwrap().signed.signature, done.signed.signature);
    desk.check_counts(1, 1);
}

#[tokio::test]
async fn an_intent_that_was_left_without_a_signature_gets_none_and_says_where_it_stands() {
    let desk = Desk::new().await;
    let case = desk.approved().await;
    let using = desk.using(case);
    let record = desk.world.ledger.record(Entry::decode(&using).unwrap());
    let About::Signing(signing) = desk.about(OPENING) else { unreachable!() };
    desk.world.ledger.record(Entry::Intent(Intent {
        id: intent_id(Paid::Approvals, &CHAIN, &record),
        key_id: KeyId(desk.key_id),
        executor: desk.world.custody.ledger.submitter(),
        commitment: signing.commitment(),
        policy: [0; 32],
        not_after: desk.world.ledger.height() + 4000,
    }));
    let refused = desk.sign_as(&desk.alice.caller, case, &using, b"one", MESSAGE).await.unwrap_err();
    assert_eq!(refused.code, Code::ApprovalUnsigned);
    assert!(refused.message.contains("used up by record"), "{refused}");
    desk.check_counts(1, 1);
    // One that was used up through another service, with a word that is not known here, is not signed for either.
    let desk = Desk::new().await;
    let case = desk.approved().await;
    desk.world.ledger.record(Entry::decode(&desk.using(case)).unwrap());
    assert_eq!(code(desk.sign(case, &[]).await), Code::CaseUsed);
    desk.check_counts(1, 0);
}

#[tokio::test]
async fn of_two_servers_and_of_two_requests_at_once_one_signs() {
    let desk = Desk::new().await;
    let case = desk.approved().await;
    let second = desk.world.beside().await;
    let (one, two) = (desk.using(case), desk.using(case));
    let (key, input) = (hex(&desk.key_id), Input::Message(MESSAGE));
    let ask = |mark, use_entry| AskApproved {
        key: &key,
        input: &input,
        said: unsaid(),
        mark,
        case: case.id,
        opening: OPENING,
        use_entry,
    };
    let caller = &desk.alice.caller;
    let (a, b, c) = tokio::join!(
        desk.world.custody.sign_approved(caller, ask(b"a", &one)),
        desk.world.custody.sign_approved(caller, ask(b"b", &two)),
        second.sign_approved(caller, ask(b"c", &two)),
    );
    let done = [a, b, c].into_iter().filter(|done| match done {
        Ok(_) => true,
        Err(failure) => {
            let named = [
                Code::IdempotencyPending,
                Code::ApprovalDone,
                Code::ApprovalUnsigned,
                Code::CaseUsed,
                Code::AuthorReplayed,
            ];
            assert!(named.contains(&failure.code), "{failure:?}");
            false
        }
    });
    assert_eq!(done.count(), 1);
    desk.check_counts(1, 1);
}

#[tokio::test]
async fn a_question_whose_answer_was_lost_is_settled_and_its_mark_names_the_same_case() {
    let desk = Desk::new().await;
    let about = desk.about(OPENING);
    let entry = desk.asking(&about, LIVE_MS);
    let what = HandIn { kind: Kind::Ask, entry: &entry, about: Some(&about), mark: b"ask" };
    desk.world.ledger.set(Mood::Deaf);
    let lost = desk.world.custody.hand_in_approval(&desk.alice.caller, what).await;
    assert_eq!(code(lost), Code::LedgerUnavailable);
    desk.world.ledger.set(Mood::Good);
    assert!(desk.world.custody.list_approvals(&desk.alice.caller).await.unwrap().is_empty());
    let desk = desk.restart().await;
    assert_eq!(desk.world.custody.settle_acts().await.unwrap(), 0);
    let lines = desk.world.custody.list_approvals(&desk.bob.caller).await.unwrap();
    assert_eq!(lines.len(), 1);
    let done = desk.world.custody.hand_in_approval(&desk.alice.caller, what).await.unwrap();
    let (_, outcome) = desk.world.ledger.log()[done.leaf_index as usize].clone();
    assert_eq!(outcome.data, lines[0].case);
    // One that never reached the ledger leaves nothing behind.
    let about = desk.about([6; 32]);
    let entry = desk.asking(&about, LIVE_MS);
    desk.world.ledger.set(Mood::Gone);
    assert_eq!(code(desk.ask_about(&entry, &about).await), Code::LedgerUnavailable);
    desk.world.ledger.set(Mood::Good);
    desk.world.ledger.height.fetch_add(10_000, std::sync::atomic::Ordering::Relaxed);
    let desk = desk.restart().await;
    assert_eq!(desk.world.custody.settle_acts().await.unwrap(), 0);
    let id = crate::approvals::mail::row_id(&entry);
    assert_eq!(desk.world.custody.store.approval(id).await.unwrap(), None);
}
