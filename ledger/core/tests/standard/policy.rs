//! `policy`: sets are published in order, and after the first one only as others have approved.

use keyward_ledger_core::entry::{PublishPolicy, tenant_id};
use keyward_ledger_core::state::policy::{PolicyState, policy_key, risk_key};

use super::*;
use crate::common::acts::{publish, publish_risk};

fn published(world: &World) -> Option<PolicyState> {
    let value = world.ledger.state().get(&policy_key(&tenant_id("bank")));
    value.map(|value| PolicyState::decode(value).unwrap())
}

/// An open case about exactly this publication.
fn ask(world: &mut World, act: &Act, initiator: Person) -> Hash {
    let Act::PublishPolicy(publish) = act else { panic!() };
    let payload = publish.publication();
    world.made(Act::OpenApproval { rule: OWNER.rule(), payload, live_ms: 60_000 }, &[initiator])
}

fn approve(world: &mut World, act: &Act, id: Hash, person: Person) {
    let Act::PublishPolicy(publish) = act else { panic!() };
    let case = Case { id, payload: publish.publication() };
    assert_eq!(world.answer(Act::Approve { case, group: 0 }, &[person]), "ACCEPTED");
}

fn with_case(act: &Act, case: Hash) -> Act {
    let Act::PublishPolicy(publish) = act else { panic!() };
    Act::PublishPolicy(PublishPolicy { case: Some(case), ..*publish })
}

#[test]
fn the_first_set_comes_from_a_service_or_operator_and_names_a_rule() {
    let mut world = world();
    refused(&mut world, publish(1, None), &[OWNER], "RULE_UNKNOWN");
    let mut world = ruled(&[(1, &[ALICE, BOB])]);
    refused(&mut world, publish(1, None), &[], "AUTHORS_MISSING");
    refused(&mut world, publish(1, None), &[OWNER, ALICE], "AUTHORS_MISSING");
    refused(&mut world, publish(1, None), &[STRANGER], "AUTHOR_UNKNOWN");
    for version in [0, 2, u32::MAX] {
        refused(&mut world, publish(version, None), &[OWNER], "RULE_VERSION");
    }
    refused(&mut world, publish(1, Some([1; 32])), &[OWNER], "CASE_UNKNOWN");
    let keeper = SigningKey::from_seed(&[24; 32]);
    let entry = world.signed_by(publish(1, None), &[OWNER]);
    assert_eq!(world.submit_as(&keeper, std::slice::from_ref(&entry))[0].name(), "ROLE_NOT_ALLOWED");
    assert_eq!(published(&world), None);
    let operator = SigningKey::from_seed(&[23; 32]);
    assert_eq!(world.submit_as(&operator, &[entry])[0].name(), "ACCEPTED");
    let leaf = world.records.len() as u64 - 1;
    let rule = OWNER.rule().id(keyward_ledger_core::entry::kind::DEFINE_APPROVAL);
    assert_eq!(published(&world), Some(PolicyState { version: 1, set: [1; 32], rule, leaf }));
    refused(&mut world, publish(1, None), &[OWNER], "RULE_VERSION");
}

#[test]
fn a_later_set_uses_approvals_of_others_up_for_exactly_itself() {
    let mut world = ruled(&[(2, &[ALICE, BOB, CAROL])]);
    assert_eq!(world.answer(publish(1, None), &[OWNER]), "ACCEPTED");
    let next = publish(2, None);
    refused(&mut world, next.clone(), &[OWNER], "APPROVALS_MISSING");
    refused(&mut world, with_case(&next, [7; 32]), &[OWNER], "CASE_UNKNOWN");
    let case = ask(&mut world, &next, OWNER);
    let decided = with_case(&next, case);
    refused(&mut world, decided.clone(), &[OWNER], "APPROVALS_MISSING");
    approve(&mut world, &next, case, ALICE);
    refused(&mut world, decided.clone(), &[OWNER], "APPROVALS_MISSING");
    approve(&mut world, &next, case, BOB);
    // Others than who asked, another set, another rule to come, a skipped version.
    refused(&mut world, decided.clone(), &[ALICE], "AUTHOR_NOT_NAMED");
    let Act::PublishPolicy(good) = &decided else { panic!() };
    let (set, version) = ([9; 32], 3);
    let other = Act::PublishPolicy(PublishPolicy { set, ..*good });
    refused(&mut world, other, &[OWNER], "CASE_PAYLOAD");
    refused(&mut world, Act::PublishPolicy(PublishPolicy { version, ..*good }), &[OWNER], "RULE_VERSION");
    let rule = [9; 32];
    refused(&mut world, Act::PublishPolicy(PublishPolicy { rule, ..*good }), &[OWNER], "RULE_UNKNOWN");
    let tenant = tenant_id("shop");
    refused(&mut world, Act::PublishPolicy(PublishPolicy { tenant, ..*good }), &[OWNER], "RULE_VERSION");
    let entry = world.signed_by(decided.clone(), &[OWNER]);
    assert_eq!(world.names(&[entry.clone(), entry]), ["ACCEPTED", "AUTHOR_REPLAYED"]);
    assert_eq!(published(&world).map(|found| (found.version, found.set)), Some((2, [2; 32])));
    refused(&mut world, decided, &[OWNER], "RULE_VERSION");
    // What decided once decides nothing more.
    refused(&mut world, with_case(&publish(3, None), case), &[OWNER], "CASE_PAYLOAD");
}

#[test]
fn a_set_is_decided_by_the_rule_that_stands_and_by_nobody_twice() {
    let mut world = ruled(&[(1, &[OWNER, ALICE])]);
    let own = Act::DefineApproval(define(BOB, 1, approval_terms(&[(1, &[CAROL])])));
    assert_eq!(world.answer(own, &[BOB]), "ACCEPTED");
    assert_eq!(world.answer(publish(1, None), &[OWNER]), "ACCEPTED");
    let next = publish(2, None);
    // A rule of one's own decides nothing.
    let Act::PublishPolicy(wanted) = &next else { panic!() };
    let case = Case {
        id: world.made(
            Act::OpenApproval { rule: BOB.rule(), payload: wanted.publication(), live_ms: 60_000 },
            &[BOB],
        ),
        payload: wanted.publication(),
    };
    assert_eq!(world.answer(Act::Approve { case, group: 0 }, &[CAROL]), "ACCEPTED");
    refused(&mut world, with_case(&next, case.id), &[BOB], "CASE_UNKNOWN");
    // Nobody approves what they publish, and nothing is decided after its case's end.
    let case = ask(&mut world, &next, OWNER);
    let by_owner = Act::Approve { case: Case { id: case, payload: wanted.publication() }, group: 0 };
    refused(&mut world, by_owner, &[OWNER], "APPROVER_IS_INITIATOR");
    approve(&mut world, &next, case, ALICE);
    world.wait(60_000);
    refused(&mut world, with_case(&next, case), &[OWNER], "CASE_UNKNOWN");
}

#[test]
fn rules_of_risk_have_versions_of_their_own_and_approvals_of_policies_are_none_of_theirs() {
    let mut world = ruled(&[(1, &[ALICE])]);
    let risk = |world: &World| {
        let value = world.ledger.state().get(&risk_key(&tenant_id("bank")));
        value.map(|value| PolicyState::decode(value).unwrap().version)
    };
    refused(&mut world, publish_risk(2, None), &[OWNER], "RULE_VERSION");
    assert_eq!(world.answer(publish(1, None), &[OWNER]), "ACCEPTED");
    assert_eq!(risk(&world), None);
    refused(&mut world, publish_risk(2, None), &[OWNER], "RULE_VERSION");
    assert_eq!(world.answer(publish_risk(1, None), &[OWNER]), "ACCEPTED");
    assert_eq!(risk(&world), Some(1));
    let Act::PublishRisk(next) = publish_risk(2, None) else { panic!() };
    refused(&mut world, Act::PublishRisk(next), &[OWNER], "APPROVALS_MISSING");
    for (approved, made) in [(next.publication(), "CASE_PAYLOAD"), (next.risk_publication(), "ACCEPTED")] {
        let ask = Act::OpenApproval { rule: OWNER.rule(), payload: approved, live_ms: 60_000 };
        let id = world.made(ask, &[OWNER]);
        let give = Act::Approve { case: Case { id, payload: approved }, group: 0 };
        assert_eq!(world.answer(give, &[ALICE]), "ACCEPTED");
        let act = Act::PublishRisk(PublishPolicy { case: Some(id), ..next });
        assert_eq!(world.answer(act, &[OWNER]), made);
    }
    assert_eq!(risk(&world), Some(2));
    assert_eq!(published(&world).map(|found| found.version), Some(1));
}
