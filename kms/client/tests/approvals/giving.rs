//! Asking, approving and signing with an honest service: everything by name that does not count.

use keyward_client::Order;
use keyward_client::approvals::{About, ApprovalCaseStatus as Status, ApprovalError, Signing, Voice};
use keyward_domain::scheme::verify;
use keyward_ledger_core::entry::Entry;
use keyward_ledger_core::hash::sha256;
use keyward_ledger_core::receipt::Receipt;

use crate::approvals::world::{
    ANNA, BORIS, CLARA, DORA, LIVE_MS, MESSAGE, World, hosted, login, rule, signing, terms,
};

fn code(error: &ApprovalError) -> &str {
    error.code().unwrap_or("none")
}

#[tokio::test]
async fn two_approve_what_they_were_shown_and_its_one_signature_follows() {
    let (world, case) = World::asked(2).await;
    let shown = world.see(BORIS, &case).await.unwrap();
    assert_eq!((shown.initiator, shown.status, shown.missing()), (ANNA, Status::Open, vec![2]));
    assert_eq!(shown.signing(), Some(&signing()));
    assert!(shown.words.iter().any(|line| line.contains("12.50")), "{:?}", shown.words);
    world.give(BORIS, &case).await.unwrap();
    assert_eq!(code(&world.sign(&case).await.unwrap_err()), "APPROVALS_MISSING");
    world.give(CLARA, &case).await.unwrap();
    let approved = world.sign(&case).await.unwrap();
    verify(hosted().public_key(), MESSAGE, &approved.signature.signature).unwrap();
    let intent = Receipt::decode(&approved.signature.receipt).unwrap().leaf_index;
    assert!(approved.done.leaf_index < intent, "used up before the intent");
    assert!(matches!(
        world.snapshot().entry(intent).map(|(entry, _)| Entry::decode(entry)),
        Some(Ok(Entry::Intent(_)))
    ));
    assert_eq!(code(&world.sign(&case).await.unwrap_err()), "CASE_USED");
    assert_eq!(code(&world.give(BORIS, &case).await.unwrap_err()), "CASE_USED");
}

#[tokio::test]
async fn initiators_strangers_and_those_who_have_approved_are_told_so() {
    let (world, case) = World::asked(1).await;
    assert_eq!(code(&world.give(DORA, &case).await.unwrap_err()), "AUTHOR_NOT_NAMED");
    let handed_in = world.handed_in();
    assert_eq!(code(&world.give(ANNA, &case).await.unwrap_err()), "AUTHOR_NOT_NAMED");
    assert_eq!(world.handed_in(), handed_in, "this side knows");
    world.give(BORIS, &case).await.unwrap();
    assert_eq!(code(&world.give(BORIS, &case).await.unwrap_err()), "APPROVAL_GIVEN");
    let boris = world.client(BORIS).await;
    let shown = boris.approval_case(&case).await.unwrap();
    assert_eq!((shown.missing(), shown.approvals.clone()), (vec![0], vec![(0, BORIS)]));
    boris.withdraw_approval(Voice::Account(&login(BORIS)), &shown).await.unwrap();
    let shown = boris.approval_case(&case).await.unwrap();
    assert_eq!(shown.missing(), [1]);
    boris.refuse_approval(Voice::Account(&login(BORIS)), &shown).await.unwrap();
    assert_eq!(code(&world.give(CLARA, &case).await.unwrap_err()), "CASE_CLOSED");
    // Another's login is not this session's.
    let error = boris.give_approval(Voice::Account(&login(CLARA)), &shown, None).await.unwrap_err();
    assert_eq!(code(&error), "APPROVAL_OTHER_ACCOUNT");
}

#[tokio::test]
async fn a_missing_rule_a_changed_one_and_a_case_whose_time_is_over_approve_nothing() {
    let world = World::start().await;
    let anna = world.client(ANNA).await;
    let about = About::Signing(signing());
    let ask = async || anna.ask_approval(Voice::Account(&login(ANNA)), &rule(), &about, LIVE_MS).await;
    assert_eq!(code(&ask().await.unwrap_err()), "RULE_UNKNOWN");
    assert_eq!(code(&anna.approval_rule(&rule()).await.unwrap_err()), "RULE_UNKNOWN");
    let dora = world.client(DORA).await;
    let define = async |needed| dora.define_approval_rule(&login(DORA), &rule().name, terms(needed)).await;
    assert_eq!(code(&define(0).await.unwrap_err()), "RULE_INVALID");
    assert_eq!(code(&define(3).await.unwrap_err()), "RULE_INVALID");
    define(1).await.unwrap();
    let (_, case) = ask().await.unwrap();
    define(1).await.unwrap();
    let rules = dora.approval_rules().await.unwrap();
    let [own] = &rules[..] else { panic!("one rule") };
    assert_eq!((own.state.version, own.name.map(|name| name.name)), (2, Some(rule().name)));
    let shown = world.see(BORIS, &case).await.unwrap();
    assert!(shown.outdated);
    assert_eq!(code(&world.give(BORIS, &case).await.unwrap_err()), "RULE_VERSION");
    let (_, case) = ask().await.unwrap();
    world.pass(LIVE_MS + 1);
    assert_eq!(code(&world.give(BORIS, &case).await.unwrap_err()), "CASE_UNKNOWN");
    assert_eq!(code(&world.see(BORIS, &[9; 32]).await.unwrap_err()), "CASE_UNKNOWN");
}

#[tokio::test]
async fn what_is_asked_must_read_as_it_is_said_and_what_is_signed_must_be_what_was_asked() {
    let (world, case) = World::asked(1).await;
    world.give(BORIS, &case).await.unwrap();
    let anna = world.client(ANNA).await;
    let handed_in = world.handed_in();
    for (bad, expected) in [
        (Signing { payload: b"pay me".to_vec(), ..signing() }, "PAYLOAD_OTHER"),
        (Signing { payload_hash: [1; 32], ..signing() }, "PAYLOAD_OTHER"),
        (Signing { format: "ethereum".into(), ..signing() }, "PAYLOAD_UNREAD"),
        (Signing { format: "verse".into(), ..signing() }, "PAYLOAD_FORMAT_UNKNOWN"),
    ] {
        let about = About::Signing(bad);
        let asked = anna.ask_approval(Voice::Account(&login(ANNA)), &rule(), &about, LIVE_MS).await;
        assert_eq!(code(&asked.unwrap_err()), expected);
    }
    let shown = anna.approval_case(&case).await.unwrap();
    let use_entry = anna.use_approval(Voice::Account(&login(ANNA)), &shown).await.unwrap();
    let other = b"pay me".to_vec();
    let other = Signing { payload_hash: sha256(&[&other]), payload: other, ..signing() };
    let error = anna.sign_approved(&Order::approved(&other).unwrap(), &shown, &use_entry).await.unwrap_err();
    assert_eq!(code(&error), "APPROVAL_PAYLOAD_OTHER");
    assert_eq!(world.handed_in(), handed_in);
    assert_eq!(anna.approval_cases().await.unwrap()[0].case, case);
}
