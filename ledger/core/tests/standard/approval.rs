//! `approval`: others than the initiator, over one payload, used up once.

use super::*;

pub(super) fn ruled(groups: &[(u8, &[Person])]) -> World {
    let mut world = world();
    let act = Act::DefineApproval(define(OWNER, 1, approval_terms(groups)));
    assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
    world
}

pub(super) fn open_approval(world: &mut World, initiator: Person) -> Hash {
    world.made(Act::OpenApproval { rule: OWNER.rule(), payload: PAYLOAD, live_ms: 60_000 }, &[initiator])
}

fn approve(id: Hash) -> Act {
    Act::Approve { case: case(id), group: 0 }
}

#[test]
fn approvals_of_others_than_the_initiator_are_counted_and_used_up_once() {
    let mut world = ruled(&[(2, &[ALICE, BOB, CAROL])]);
    let id = open_approval(&mut world, ALICE);
    let used = Act::UseApproval(case(id));
    refused(&mut world, used.clone(), &[ALICE], "APPROVALS_MISSING");
    refused(&mut world, approve(id), &[ALICE], "APPROVER_IS_INITIATOR");
    refused(&mut world, approve(id), &[OWNER], "AUTHOR_NOT_NAMED");
    refused(&mut world, approve(id), &[STRANGER], "AUTHOR_UNKNOWN");
    refused(&mut world, approve(id), &[BOB, CAROL], "AUTHORS_MISSING");
    refused(&mut world, Act::Approve { case: case(id), group: 1 }, &[BOB], "AUTHOR_NOT_NAMED");
    refused(&mut world, approve([3; 32]), &[BOB], "CASE_UNKNOWN");
    let other = Case { id, payload: [1; 32] };
    refused(&mut world, Act::Approve { case: other, group: 0 }, &[BOB], "CASE_PAYLOAD");
    assert_eq!(world.answer(approve(id), &[BOB]), "ACCEPTED");
    refused(&mut world, approve(id), &[BOB], "APPROVAL_GIVEN");
    refused(&mut world, used.clone(), &[ALICE], "APPROVALS_MISSING");
    assert_eq!(world.answer(approve(id), &[CAROL]), "ACCEPTED");
    refused(&mut world, used.clone(), &[BOB], "AUTHOR_NOT_NAMED");
    refused(&mut world, Act::UseApproval(other), &[ALICE], "CASE_PAYLOAD");
    assert_eq!(world.answer(used.clone(), &[ALICE]), "ACCEPTED");
    refused(&mut world, used, &[ALICE], "CASE_USED");
    refused(&mut world, approve(id), &[CAROL], "CASE_USED");
    assert_ne!(open_approval(&mut world, ALICE), id, "a case id is never used again");
}

#[test]
fn each_group_gives_its_own_approvals_and_nobody_counts_twice() {
    let mut world = ruled(&[(1, &[ALICE, BOB]), (1, &[ALICE, CAROL])]);
    let id = open_approval(&mut world, OWNER);
    let second = |id| Act::Approve { case: case(id), group: 1 };
    assert_eq!(world.answer(approve(id), &[ALICE]), "ACCEPTED");
    refused(&mut world, second(id), &[ALICE], "APPROVAL_GIVEN");
    assert_eq!(world.answer(approve(id), &[BOB]), "ACCEPTED");
    refused(&mut world, Act::UseApproval(case(id)), &[OWNER], "APPROVALS_MISSING");
    assert_eq!(world.answer(second(id), &[CAROL]), "ACCEPTED");
    assert_eq!(world.answer(Act::UseApproval(case(id)), &[OWNER]), "ACCEPTED");
}

#[test]
fn a_second_key_of_the_same_account_does_not_count_again() {
    let mut world = world();
    let token = world.link(ALICE, &signer::Secp256k1, Mode::Linked);
    let mut terms = approval_terms(&[(2, &[ALICE, BOB])]);
    terms.groups[0].members.push(token);
    assert_eq!(world.answer(Act::DefineApproval(define(OWNER, 1, terms)), &[OWNER]), "ACCEPTED");
    let by_token = |world: &mut World, id| {
        let mut author = world.author(&approve(id), token, &|message| signer::Secp256k1.sign(message));
        author.public_key = signer::Secp256k1.public_key().as_bytes().to_vec();
        Entry::Authored(Authored { act: approve(id), authors: vec![author] })
    };
    let id = open_approval(&mut world, OWNER);
    assert_eq!(world.answer(approve(id), &[ALICE]), "ACCEPTED");
    let entry = by_token(&mut world, id);
    assert_eq!(world.names(&[entry]), ["APPROVAL_GIVEN"]);
    let own = open_approval(&mut world, ALICE);
    let entry = by_token(&mut world, own);
    assert_eq!(world.names(&[entry]), ["APPROVER_IS_INITIATOR"]);
}

#[test]
fn approvals_are_withdrawn_refused_expire_and_fall_with_their_rule() {
    let mut world = ruled(&[(1, &[ALICE, BOB])]);
    let withdraw = |id| Act::WithdrawApproval(case(id));
    let id = open_approval(&mut world, OWNER);
    refused(&mut world, withdraw(id), &[ALICE], "APPROVAL_NOT_GIVEN");
    let given = world.signed_by(approve(id), &[ALICE]);
    assert_eq!(world.names(std::slice::from_ref(&given)), ["ACCEPTED"]);
    assert_eq!(world.answer(withdraw(id), &[ALICE]), "ACCEPTED");
    assert_eq!(world.names(&[given]), ["AUTHOR_REPLAYED"], "what was withdrawn is not given again by replay");
    refused(&mut world, Act::UseApproval(case(id)), &[OWNER], "APPROVALS_MISSING");
    refused(&mut world, Act::RefuseApproval(case(id)), &[CAROL], "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(approve(id), &[ALICE]), "ACCEPTED");
    assert_eq!(world.answer(Act::RefuseApproval(case(id)), &[BOB]), "ACCEPTED");
    refused(&mut world, Act::UseApproval(case(id)), &[OWNER], "CASE_CLOSED");

    let id = open_approval(&mut world, OWNER);
    assert_eq!(world.answer(withdraw(id), &[OWNER]), "ACCEPTED");
    refused(&mut world, approve(id), &[ALICE], "CASE_CLOSED");

    let id = open_approval(&mut world, OWNER);
    assert_eq!(world.answer(approve(id), &[ALICE]), "ACCEPTED");
    world.wait(60_000);
    refused(&mut world, Act::UseApproval(case(id)), &[OWNER], "CASE_UNKNOWN");
    assert_eq!(world.count(b"approval/case/"), 0, "what has ended is gone");

    let id = open_approval(&mut world, OWNER);
    assert_eq!(world.answer(approve(id), &[ALICE]), "ACCEPTED");
    let next = Act::DefineApproval(define(OWNER, 2, approval_terms(&[(1, &[BOB])])));
    assert_eq!(world.answer(next, &[OWNER]), "ACCEPTED");
    refused(&mut world, Act::UseApproval(case(id)), &[OWNER], "RULE_VERSION");

    let id = open_approval(&mut world, OWNER);
    assert_eq!(world.answer(approve(id), &[BOB]), "ACCEPTED");
    assert_eq!(world.answer(close(BOB), &[BOB]), "ACCEPTED");
    refused(&mut world, Act::UseApproval(case(id)), &[OWNER], "APPROVALS_MISSING");

    for live_ms in [0, 600_001] {
        let act = Act::OpenApproval { rule: OWNER.rule(), payload: PAYLOAD, live_ms };
        refused(&mut world, act, &[OWNER], "EXPIRY_TOO_FAR");
    }
    let unknown = Act::OpenApproval { rule: ALICE.rule(), payload: PAYLOAD, live_ms: 1 };
    refused(&mut world, unknown, &[OWNER], "RULE_UNKNOWN");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Used means: m others than the initiator approved and did not take it back, nobody refused, in time, once.
    #[test]
    fn approvals_agree_with_a_model(steps in vec((0..5_u8, 0..4_usize, 0..25_u64), 1..40)) {
        let people = [OWNER, ALICE, BOB, CAROL];
        let mut world = ruled(&[(2, &people)]);
        let opened_ms = world.ledger.time_ms() + 100;
        let id = open_approval(&mut world, OWNER);
        world.step_ms = 0;
        let (mut given, mut state): (Vec<Person>, _) = (Vec::new(), "open");
        for (verb, who, seconds) in steps {
            world.wait(seconds * 500);
            let (who, now_ms) = (people[who], world.ledger.time_ms());
            if now_ms > opened_ms + 60_000 {
                state = "gone";
            }
            let (act, wanted) = match verb {
                0 | 1 => (approve(id), match who {
                    OWNER => "APPROVER_IS_INITIATOR",
                    _ if given.contains(&who) => "APPROVAL_GIVEN",
                    _ => "ACCEPTED",
                }),
                2 => (Act::WithdrawApproval(case(id)), match who {
                    _ if who == OWNER || given.contains(&who) => "ACCEPTED",
                    _ => "APPROVAL_NOT_GIVEN",
                }),
                3 if seconds == 0 => (Act::RefuseApproval(case(id)), match who {
                    OWNER => "APPROVER_IS_INITIATOR",
                    _ => "ACCEPTED",
                }),
                _ => (Act::UseApproval(case(id)), match who {
                    OWNER if given.len() >= 2 => "ACCEPTED",
                    OWNER => "APPROVALS_MISSING",
                    _ => "AUTHOR_NOT_NAMED",
                }),
            };
            let wanted = match state {
                "gone" => "CASE_UNKNOWN",
                "closed" => "CASE_CLOSED",
                "used" => "CASE_USED",
                _ => wanted,
            };
            prop_assert_eq!(world.answer(act.clone(), &[who]), wanted, "{:?} by {:?}", act, who);
            match act {
                _ if wanted != "ACCEPTED" => {}
                Act::Approve { .. } => given.push(who),
                Act::WithdrawApproval(_) if who == OWNER => state = "closed",
                Act::WithdrawApproval(_) => given.retain(|other| *other != who),
                Act::RefuseApproval(_) => state = "closed",
                _ => state = "used",
            }
        }
    }
}
