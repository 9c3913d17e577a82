//! Blind cases: nobody is named, what they are about decides nothing on the ledger, and the token alone uses them up.

use keyward_ledger_core::entry::{AuditAct, OpenBlindCase, UseBlindCase, kind};
use keyward_ledger_core::hash::sha256;
use keyward_ledger_core::state::layout::{ApprovalCase, approval_case_key};

use super::addresses::{refused_entry, seeded};
use super::*;
use crate::common::addresses::{CONTENT, EPOCH_MS, TOKEN, audit, blind, grant, publish_audit};

fn opened(world: &mut World, open: OpenBlindCase) -> Hash {
    let outcome = world.submit(&[Entry::OpenBlindCase(open)]).remove(0);
    assert_eq!(outcome.name(), "ACCEPTED");
    outcome.data.try_into().unwrap()
}

fn used(case: Hash) -> Entry {
    Entry::UseBlindCase(UseBlindCase { case, token: TOKEN, content: CONTENT })
}

fn approve(world: &mut World, id: Hash, who: Person) -> &'static str {
    let case = Case { id, payload: blind(1).payload() };
    world.answer(Act::Approve { case, group: 0 }, &[who])
}

#[test]
fn a_blind_case_names_nobody_and_is_used_up_once_when_it_is_complete() {
    let mut world = ruled(&[(2, &[ALICE, BOB, CAROL])]);
    let id = opened(&mut world, blind(60_000));
    let state = world.ledger.state().get(&approval_case_key(&id)).unwrap();
    let state = ApprovalCase::decode(state).unwrap();
    assert_eq!((state.payload, state.initiator), (blind(1).payload(), blind(1).payload()));
    refused_entry(&mut world, used(id), "APPROVALS_MISSING");
    assert_eq!(approve(&mut world, id, STRANGER), "AUTHOR_UNKNOWN");
    assert_eq!(approve(&mut world, id, OWNER), "AUTHOR_NOT_NAMED");
    assert_eq!(approve(&mut world, id, ALICE), "ACCEPTED");
    assert_eq!(approve(&mut world, id, ALICE), "APPROVAL_GIVEN");
    refused_entry(&mut world, used(id), "APPROVALS_MISSING");
    assert_eq!(approve(&mut world, id, BOB), "ACCEPTED");
    for wrong in [
        UseBlindCase { case: id, token: [1; 32], content: CONTENT },
        UseBlindCase { case: id, token: TOKEN, content: [1; 32] },
    ] {
        refused_entry(&mut world, Entry::UseBlindCase(wrong), "CASE_PAYLOAD");
    }
    refused_entry(&mut world, used([3; 32]), "CASE_UNKNOWN");
    // An account's own word does not use it up or end it: no account has asked.
    let case = Case { id, payload: blind(1).payload() };
    refused(&mut world, Act::UseApproval(case), &[ALICE], "AUTHOR_NOT_NAMED");
    refused(&mut world, Act::WithdrawApproval(case), &[CAROL], "APPROVAL_NOT_GIVEN");
    assert_eq!(world.names(&[used(id)]), ["ACCEPTED"]);
    refused_entry(&mut world, used(id), "CASE_USED");
    assert_eq!(approve(&mut world, id, CAROL), "CASE_USED");
}

#[test]
fn it_is_opened_under_a_rule_for_as_long_as_that_lets_it_by_a_service_alone() {
    let mut world = ruled(&[(1, &[ALICE])]);
    let open = |open| Entry::OpenBlindCase(open);
    for submitter in [seeded(23), seeded(24)] {
        let outcomes = world.submit_as(&submitter, &[open(blind(1)), used([1; 32])]);
        assert!(outcomes.iter().all(|outcome| outcome.name() == "ROLE_NOT_ALLOWED"));
    }
    refused_entry(&mut world, open(OpenBlindCase { rule: [9; 32], ..blind(1) }), "RULE_UNKNOWN");
    for live_ms in [0, u64::MAX] {
        refused_entry(&mut world, open(blind(live_ms)), "EXPIRY_TOO_FAR");
    }
    let id = opened(&mut world, blind(5_000));
    assert_eq!(approve(&mut world, id, ALICE), "ACCEPTED");
    world.wait(6_000);
    refused_entry(&mut world, used(id), "CASE_UNKNOWN");
    // Refused by an approver, or its rule defined anew: worth nothing.
    let id = opened(&mut world, blind(60_000));
    let case = Case { id, payload: blind(1).payload() };
    assert_eq!(world.answer(Act::RefuseApproval(case), &[ALICE]), "ACCEPTED");
    refused_entry(&mut world, used(id), "CASE_CLOSED");
    let id = opened(&mut world, blind(60_000));
    assert_eq!(approve(&mut world, id, ALICE), "ACCEPTED");
    let again = Act::DefineApproval(define(OWNER, 2, approval_terms(&[(1, &[ALICE])])));
    assert_eq!(world.answer(again, &[OWNER]), "ACCEPTED");
    refused_entry(&mut world, used(id), "RULE_VERSION");
}

#[test]
fn a_blind_case_decides_nothing_on_the_ledger() {
    // Who asks for a grant is excluded from approving it; by a case that names nobody it could not be.
    let mut world = ruled(&[(1, &[OWNER, ALICE])]);
    world.step_ms = 1_000;
    assert_eq!(world.answer(audit(AuditAct::Publish(publish_audit(1, None))), &[OWNER]), "ACCEPTED");
    let choose = crate::common::addresses::choose(OWNER, keyward_ledger_core::entry::Custody::Own);
    assert_eq!(world.answer(choose, &[OWNER]), "ACCEPTED");
    let now_ms = world.next_ms();
    let asked = grant(7, &[OWNER], now_ms, now_ms + EPOCH_MS, now_ms + EPOCH_MS);
    assert_eq!(world.answer(audit(AuditAct::Request(asked.clone())), &[OWNER]), "ACCEPTED");
    let open = OpenBlindCase { content: asked.payload(), ..blind(60_000) };
    let id = opened(&mut world, open);
    let approve = Act::Approve { case: Case { id, payload: open.payload() }, group: 0 };
    assert_eq!(world.answer(approve, &[OWNER]), "ACCEPTED");
    let direct = Act::Approve { case: Case { id, payload: asked.payload() }, group: 0 };
    refused(&mut world, direct, &[ALICE], "CASE_PAYLOAD");
    let issue = audit(AuditAct::Issue { grant: asked.id, case: id });
    refused(&mut world, issue, &[OWNER], "AUTHOR_NOT_NAMED");
}

#[test]
fn its_payload_and_its_names_are_what_the_specification_says() {
    let label = |label: &[u8], parts: &[&[u8]]| {
        let len = [u8::try_from(label.len()).unwrap()];
        sha256(&[&[&len[..], label].concat(), &parts.concat()])
    };
    let lock = label(b"keyward/blind-lock/v1", &[&TOKEN]);
    let payload = label(b"keyward/blind-case/v1", &[&lock, &CONTENT]);
    let open = blind(1);
    assert_eq!((open.lock, open.payload()), (lock, payload));
    assert_eq!(Entry::OpenBlindCase(open).subjects(), [OWNER.rule().id(kind::DEFINE_APPROVAL), payload]);
    assert_eq!(used([5; 32]).subjects(), [[5; 32], payload]);
}
