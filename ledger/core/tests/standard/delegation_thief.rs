//! `delegation` against those who stole something: the credential, a delegate's key, the service between.

use crate::common::delegation::{DELAY_MS, OPEN_MS, appoint, delegation_terms, new_key, operate, recovery};
use crate::common::vault::sealing;
use keyward_ledger_core::change::{Change, Configuration, RECOVERY_DELAY_MIN_MS};
use keyward_ledger_core::entry::{DelegationAct, DelegationTerms, Recovery, RuleName, kind};
use keyward_ledger_core::state::delegation::{Delegations, delegations_key};

use super::delegation::*;
use super::*;

/// An act signed by a person's token, besides those of the people.
fn with_token(world: &mut World, act: Act, people: &[Person], token: Party) -> Entry {
    with_key(world, act, people, token, &signer::Secp256k1)
}

/// A rule of the owner's account in a thief's hands.
fn thief_rule() -> RuleName {
    RuleName { name: [9; 32], ..OWNER.rule() }
}

fn thief_appoints(version: u32) -> Act {
    let terms = delegation_terms(1, &[CAROL]);
    Act::Delegation(DelegationAct::Appoint(Define { rule: thief_rule(), version, terms }))
}

fn thief_asks(world: &World) -> Act {
    asked(world, Recovery { rule: thief_rule(), ..recovery(OWNER) })
}

fn all(world: &World) -> Delegations {
    Delegations::decode(world.ledger.state().get(&delegations_key(&OWNER.account())).unwrap()).unwrap()
}

/// The owner trusts Alice and Bob; a thief of the credential has Carol in force too.
fn infiltrated() -> World {
    let mut world = trusted();
    assert_eq!(world.answer(thief_appoints(2), &[OWNER]), "ACCEPTED");
    world.wait(DELAY_MS);
    world
}

#[test]
fn a_thief_has_no_delegates_of_its_own_before_the_others_could_act() {
    let mut world = trusted_with(|it| it.delay_ms = 3 * DELAY_MS);
    world.wait(2 * DELAY_MS);
    assert_eq!(world.answer(thief_appoints(2), &[OWNER]), "ACCEPTED");
    let by_carol = thief_asks(&world);
    world.wait(2 * DELAY_MS);
    refused(&mut world, by_carol.clone(), &[CAROL], "DELEGATION_NOT_IN_FORCE");
    let id = world.made(open(&world), &[ALICE, BOB]);
    world.wait(3 * DELAY_MS);
    refused(&mut world, by_carol.clone(), &[CAROL], "DELEGATION_NOT_IN_FORCE");
    // Its veto does not bring them in either.
    let stop = veto(&world, id);
    assert_eq!(world.answer(stop, &[OWNER]), "ACCEPTED");
    refused(&mut world, by_carol.clone(), &[CAROL], "DELEGATION_NOT_IN_FORCE");
    let id = world.made(open(&world), &[ALICE, BOB]);
    world.wait(3 * DELAY_MS);
    assert_eq!(world.answer(execute(id), &[ALICE]), "ACCEPTED");
    world.wait(3 * DELAY_MS);
    refused(&mut world, by_carol, &[CAROL], "DELEGATION_NOT_IN_FORCE");
}

#[test]
fn a_recovery_ends_the_delegates_that_a_thief_has_in_force() {
    let mut world = infiltrated();
    let Party::Key(key) = world.link(OWNER, &signer::P256, Mode::Hosted) else { panic!() };
    let by_carol = thief_asks(&world);
    let act = Act::Delegation(DelegationAct::Operate {
        rule: thief_rule(),
        key_id: key,
        commitment: PAYLOAD,
        amount: 1,
    });
    assert_eq!(world.answer(act.clone(), &[CAROL]), "ACCEPTED");
    let id = world.made(open(&world), &[ALICE, BOB]);
    refused(&mut world, by_carol.clone(), &[CAROL], "TIMELOCK_BUSY");
    world.wait(DELAY_MS);
    assert_eq!(world.answer(execute(id), &[ALICE]), "ACCEPTED");
    refused(&mut world, by_carol, &[CAROL], "DELEGATION_NOT_IN_FORCE");
    refused(&mut world, act, &[CAROL], "DELEGATION_NOT_IN_FORCE");
    assert_eq!(all(&world).rules, [OWNER.rule().id(kind::APPOINT_DELEGATES)]);
    // Those who recovered are still there.
    world.made(open(&world), &[ALICE, BOB]);
}

#[test]
fn a_thief_that_opens_recovery_after_recovery_keeps_nobody_out() {
    let mut world = infiltrated();
    let theirs = thief_asks(&world);
    let first = world.made(theirs.clone(), &[CAROL]);
    // The older trust takes the place of the younger, and is not displaced by it.
    let id = world.made(open(&world), &[ALICE, BOB]);
    refused(&mut world, theirs, &[CAROL], "TIMELOCK_BUSY");
    world.wait(DELAY_MS);
    let payload = Recovery { rule: thief_rule(), ..recovery(OWNER) };
    let done = DelegationAct::ExecuteRecovery { recovery: payload, case: first, judged: None };
    refused(&mut world, Act::Delegation(done), &[CAROL], "CASE_CLOSED");
    assert_eq!(world.answer(execute(id), &[BOB]), "ACCEPTED");
}

#[test]
fn a_recovery_under_a_younger_trust_does_not_end_the_older_one() {
    let mut world = infiltrated();
    let theirs = thief_asks(&world);
    let id = world.made(theirs, &[CAROL]);
    world.wait(DELAY_MS);
    let payload = Recovery { rule: thief_rule(), ..recovery(OWNER) };
    let done = DelegationAct::ExecuteRecovery { recovery: payload, case: id, judged: None };
    assert_eq!(world.answer(Act::Delegation(done), &[CAROL]), "ACCEPTED");
    // Both stand; the older one takes the account back and the younger one goes.
    assert_eq!(all(&world).rules.len(), 2);
    let id = world.made(open(&world), &[ALICE, BOB]);
    world.wait(DELAY_MS);
    assert_eq!(world.answer(execute(id), &[BOB]), "ACCEPTED");
    assert_eq!(all(&world).rules.len(), 1);
}

#[test]
fn trust_that_was_changed_is_as_young_as_its_last_change() {
    let mut world = infiltrated();
    // The owner's own change of the first one makes it the youngest: which of the two is a thief's nobody can say.
    let terms = delegation_terms(2, &[ALICE, BOB]);
    assert_eq!(world.answer(appoint(OWNER, 3, terms), &[OWNER]), "ACCEPTED");
    world.wait(DELAY_MS);
    world.made(open(&world), &[ALICE, BOB]);
    assert_eq!(state(&world).version, 3);
    let theirs = thief_asks(&world);
    world.made(theirs, &[CAROL]);
}

#[test]
fn the_shortest_delay_of_a_recovery_is_what_members_decide() {
    let mut world = world();
    let quick = DelegationTerms { delay_ms: 60_000, ..delegation_terms(1, &[CAROL]) };
    refused(&mut world, appoint(OWNER, 1, quick.clone()), &[OWNER], "RULE_INVALID");
    let present = Configuration::initial(5_000);
    assert_eq!(present.recovery_delay_min_ms, RECOVERY_DELAY_MIN_MS);
    let none = Configuration { version: 1, recovery_delay_min_ms: 0, ..present };
    assert_eq!(world.decide(&[Change::Configure(none)]).1, ["CHANGE_IMPOSSIBLE"]);
    let lower = Configuration { version: 1, recovery_delay_min_ms: 60_000, ..present };
    assert_eq!(world.decide(&[Change::Configure(lower)]).1, ["ACCEPTED"]);
    assert_eq!(world.answer(appoint(OWNER, 1, quick.clone()), &[OWNER]), "ACCEPTED");
    let back = Configuration { version: 2, ..present };
    assert_eq!(back.encode().len() + 8, lower.encode().len(), "a day is not written");
    assert_eq!(world.decide(&[Change::Configure(back)]).1, ["ACCEPTED"]);
    refused(&mut world, appoint(OWNER, 2, quick), &[OWNER], "RULE_INVALID");
}

#[test]
fn judges_are_named_defined_and_no_party_to_the_case() {
    let mut world = world();
    for who in [OWNER, ALICE, CAROL] {
        let live_ms_max = OPEN_MS;
        let terms = keyward_ledger_core::entry::ApprovalTerms {
            live_ms_max,
            ..approval_terms(&[(1, &[OWNER, ALICE, BOB, CAROL])])
        };
        assert_eq!(world.answer(Act::DefineApproval(define(who, 1, terms)), &[who]), "ACCEPTED");
    }
    let judged = |judges| DelegationTerms { judges: Some(judges), ..delegation_terms(1, &[ALICE, BOB]) };
    for (judges, name) in [
        (OWNER.rule(), "RULE_INVALID"),
        (ALICE.rule(), "RULE_INVALID"),
        (STRANGER.rule(), "RULE_UNKNOWN"),
        (RuleName { name: [1; 32], ..CAROL.rule() }, "RULE_UNKNOWN"),
    ] {
        refused(&mut world, appoint(OWNER, 1, judged(judges)), &[OWNER], name);
    }
    // A delegate's token speaks for the delegate's account.
    let token = world.link(ALICE, &signer::Secp256k1, Mode::Linked);
    let by_token = DelegationTerms { delegates: vec![token], ..judged(ALICE.rule()) };
    refused(&mut world, appoint(OWNER, 1, by_token), &[OWNER], "RULE_INVALID");
    assert_eq!(world.answer(appoint(OWNER, 1, judged(CAROL.rule())), &[OWNER]), "ACCEPTED");
    world.wait(DELAY_MS);
    let first = world.made(open(&world), &[ALICE]);
    let stop = veto(&world, first);
    assert_eq!(world.answer(stop, &[OWNER]), "ACCEPTED");
    let id = world.made(open(&world), &[ALICE]);
    let stop = veto(&world, id);
    assert_eq!(world.answer(stop, &[OWNER]), "ACCEPTED");
    world.wait(DELAY_MS);
    let payload = dispute_payload(&about(&world, id));
    let ask = Act::OpenApproval { rule: CAROL.rule(), payload, live_ms: 600_000 };
    let case = Case { id: world.made(ask, &[ALICE]), payload };
    let done = Act::Delegation(DelegationAct::ExecuteRecovery {
        recovery: recovery(OWNER),
        case: id,
        judged: Some(case.id),
    });
    // Neither the owner, nor who asked, nor a delegate that did not ask decides.
    for who in [OWNER, BOB] {
        assert_eq!(world.answer(Act::Approve { case, group: 0 }, &[who]), "ACCEPTED");
        refused(&mut world, done.clone(), &[ALICE], "APPROVALS_MISSING");
    }
    assert_eq!(world.answer(Act::Approve { case, group: 0 }, &[CAROL]), "ACCEPTED");
    assert_eq!(world.answer(done, &[ALICE]), "ACCEPTED");
}

#[test]
fn one_delegate_takes_no_recovery_of_others_back() {
    let mut world = trusted_with(|it| it.delegates = parties(&[ALICE, BOB, CAROL]));
    let token = world.link(OWNER, &signer::Secp256k1, Mode::Linked);
    let id = world.made(open(&world), &[ALICE, BOB]);
    let back = cancel(&world, id);
    for (people, name) in
        [(&[][..], "AUTHORS_MISSING"), (&[CAROL], "AUTHORS_MISSING"), (&[CAROL, OWNER], "AUTHOR_NOT_NAMED")]
    {
        refused(&mut world, back.clone(), people, name);
    }
    let by_token = with_token(&mut world, back.clone(), &[CAROL], token);
    assert_eq!(world.names(&[by_token]), ["AUTHOR_NOT_NAMED"]);
    assert_eq!(world.answer(back, &[BOB, CAROL]), "ACCEPTED");
}

#[test]
fn judges_are_enough_without_the_parties_and_those_who_cannot_speak() {
    let mut world = world();
    world.enroll(JUDGE);
    let judged = |judges| DelegationTerms { judges: Some(judges), ..delegation_terms(1, &[ALICE, BOB]) };
    let nobody = Person(0x77);
    for (number, members) in [&[ALICE, CAROL][..], &[OWNER, CAROL], &[CAROL, nobody]].into_iter().enumerate()
    {
        let version = u32::try_from(number).unwrap() + 1;
        let terms = approval_terms(&[(1, &[CAROL]), (2, members)]);
        let defined = Act::DefineApproval(define(JUDGE, version, terms));
        assert_eq!(world.answer(defined, &[JUDGE]), "ACCEPTED");
        refused(&mut world, appoint(OWNER, 1, judged(JUDGE.rule())), &[OWNER], "RULE_INVALID");
    }
    let terms = approval_terms(&[(1, &[CAROL]), (2, &[ALICE, CAROL, JUDGE])]);
    assert_eq!(world.answer(Act::DefineApproval(define(JUDGE, 4, terms)), &[JUDGE]), "ACCEPTED");
    assert_eq!(world.answer(appoint(OWNER, 1, judged(JUDGE.rule())), &[OWNER]), "ACCEPTED");
}

#[test]
fn who_was_revoked_acts_no_more_after_somebody_elses_recovery_or_its_own() {
    let mut world = trusted();
    let Party::Key(key) = world.link(OWNER, &signer::P256, Mode::Hosted) else { panic!() };
    assert_eq!(world.answer(thief_appoints(2), &[OWNER]), "ACCEPTED");
    world.wait(DELAY_MS);
    assert_eq!(world.answer(act(key, 1), &[ALICE, BOB]), "ACCEPTED");
    assert_eq!(world.answer(revoke(3), &[OWNER]), "ACCEPTED");
    for by_carol in [true, false] {
        let rule = if by_carol { thief_rule() } else { OWNER.rule() };
        let wanted = Recovery { rule, ..recovery(OWNER) };
        let asks = asked(&world, wanted);
        let people = if by_carol { &[CAROL][..] } else { &[ALICE, BOB][..] };
        let id = world.made(asks, people);
        world.wait(DELAY_MS);
        let done = DelegationAct::ExecuteRecovery { recovery: wanted, case: id, judged: None };
        assert_eq!(world.answer(Act::Delegation(done), &people[..1]), "ACCEPTED");
        assert!(state(&world).terms.is_some() && state(&world).stopped);
        refused(&mut world, act(key, 1), &[ALICE, BOB], "DELEGATION_NOT_IN_FORCE");
    }
    // The new credential appoints again; that waits like every change.
    let again = appoint(OWNER, 4, delegation_terms(2, &[ALICE, BOB]));
    let author = world.author(&again, OWNER.party(), &|message| new_key().sign(message).to_vec());
    let entry = Entry::Authored(Authored { act: again, authors: vec![author] });
    assert_eq!(world.names(&[entry]), ["ACCEPTED"]);
    refused(&mut world, act(key, 1), &[ALICE, BOB], "DELEGATION_NOT_IN_FORCE");
    world.wait(DELAY_MS);
    assert_eq!(world.answer(act(key, 1), &[ALICE, BOB]), "ACCEPTED");
}

#[test]
fn what_approvers_decide_is_not_taken_back() {
    let mut world = world();
    let judges = approval_terms(&[(1, &[CAROL])]);
    world.act(Act::DefineApproval(define(CAROL, 1, judges)), &[CAROL]);
    let terms = DelegationTerms { judges: Some(CAROL.rule()), ..delegation_terms(2, &[ALICE, BOB]) };
    world.act(appoint(OWNER, 1, terms), &[OWNER]);
    world.wait(DELAY_MS);
    let mut id = Hash::default();
    for _ in 0..2 {
        id = world.made(open(&world), &[ALICE, BOB]);
        let stop = veto(&world, id);
        assert_eq!(world.answer(stop, &[OWNER]), "ACCEPTED");
    }
    let back = cancel(&world, id);
    refused(&mut world, back, &[ALICE, BOB], "TIMELOCK_DISPUTED");
}

#[test]
fn what_waits_when_a_recovery_is_executed_binds_nobody_after_it() {
    let mut world = trusted();
    let far = DelegationTerms { delay_ms: 366 * DELAY_MS, ..delegation_terms(1, &[CAROL]) };
    for name in 10..25 {
        let rule = RuleName { name: [name; 32], ..OWNER.rule() };
        let define = Define { rule, version: u32::from(name) - 8, terms: far.clone() };
        assert_eq!(world.answer(Act::Delegation(DelegationAct::Appoint(define)), &[OWNER]), "ACCEPTED");
    }
    assert_eq!(world.answer(revoke(17), &[OWNER]), "ACCEPTED");
    let id = world.made(open(&world), &[ALICE, BOB]);
    world.wait(DELAY_MS);
    assert_eq!(world.answer(execute(id), &[ALICE]), "ACCEPTED");
    let after = state(&world);
    assert_eq!((after.next.is_none(), after.stopped, after.terms.is_some()), (true, true, true));
    assert_eq!(all(&world).rules.len(), 1, "places are free again");
    // The recovered owner's next change waits as long as those in force say, not as the thief's said.
    let define = Define { rule: thief_rule(), version: 18, terms: delegation_terms(1, &[CAROL]) };
    let change = Act::Delegation(DelegationAct::Appoint(define));
    let author = world.author(&change, OWNER.party(), &|message| new_key().sign(message).to_vec());
    let entry = Entry::Authored(Authored { act: change, authors: vec![author] });
    assert_eq!(world.names(&[entry]), ["ACCEPTED"]);
    world.wait(DELAY_MS);
    let theirs = thief_asks(&world);
    world.made(theirs, &[CAROL]);
}

#[test]
fn a_change_that_was_held_back_is_worth_nothing_after_another() {
    let mut world = trusted();
    // The service keeps the first one, the owner thinks better of it, and then the service hands it in.
    let kept = world.signed_by(appoint(OWNER, 2, delegation_terms(1, &[CAROL])), &[OWNER]);
    assert_eq!(world.answer(revoke(2), &[OWNER]), "ACCEPTED");
    assert_eq!(world.names(&[kept]), ["RULE_VERSION"]);
    let other = Define { rule: thief_rule(), version: 2, terms: delegation_terms(1, &[CAROL]) };
    refused(&mut world, Act::Delegation(DelegationAct::Appoint(other)), &[OWNER], "RULE_VERSION");
    world.wait(DELAY_MS);
    let asks = open(&world);
    refused(&mut world, asks, &[ALICE, BOB], "DELEGATION_NOT_IN_FORCE");
}

#[test]
fn of_a_veto_and_an_execution_in_one_block_the_first_holds() {
    for veto_first in [true, false] {
        let mut world = trusted();
        let id = world.made(open(&world), &[ALICE, BOB]);
        world.wait(DELAY_MS);
        let stop = veto(&world, id);
        let mut both = vec![world.signed_by(stop, &[OWNER]), world.signed_by(execute(id), &[ALICE])];
        let wanted = if veto_first {
            ["ACCEPTED", "CASE_CLOSED"]
        } else {
            both.reverse();
            // The credential that signed the veto is the account's no more.
            ["ACCEPTED", "AUTHOR_SIGNATURE_INVALID"]
        };
        assert_eq!(world.names(&both), wanted);
        assert_eq!(credential(&world).version, if veto_first { 1 } else { 2 });
    }
}

#[test]
fn too_few_delegates_do_nothing_together_with_the_owners_token() {
    let mut world = trusted();
    let token = world.link(OWNER, &signer::Secp256k1, Mode::Linked);
    let act = open(&world);
    let entry = with_token(&mut world, act, &[ALICE], token);
    assert_eq!(world.names(&[entry]), ["AUTHOR_NOT_NAMED"]);
}

#[test]
fn two_keys_of_one_delegate_are_one_delegate() {
    let mut world = world();
    let token = world.link(ALICE, &signer::Secp256k1, Mode::Linked);
    let Party::Key(key) = world.link(OWNER, &signer::P256, Mode::Hosted) else { panic!() };
    let mut terms = delegation_terms(2, &[ALICE, BOB]);
    terms.delegates.push(token);
    assert_eq!(world.answer(appoint(OWNER, 1, terms), &[OWNER]), "ACCEPTED");
    world.wait(DELAY_MS);
    for act in [operate(OWNER, key, 1), open(&world)] {
        let entry = with_token(&mut world, act, &[ALICE], token);
        assert_eq!(world.names(&[entry]), ["AUTHORS_MISSING"]);
    }
}

#[test]
fn a_delegate_whose_account_was_closed_speaks_for_nobody() {
    let mut world = trusted();
    assert_eq!(world.answer(close(BOB), &[BOB]), "ACCEPTED");
    let asks = open(&world);
    refused(&mut world, asks, &[ALICE, BOB], "ACCOUNT_CLOSED");
}

#[test]
fn who_is_recovered_has_its_vault_and_who_lost_the_credential_has_it_no_more() {
    let mut world = trusted();
    world.admit_keepers(&[1, 2, 3]);
    let first = world.sealed(sealing(OWNER, 1, &[1, 2, 3], 2), &[1, 2, 3]);
    assert_eq!(world.answer(first, &[OWNER]), "ACCEPTED");
    let id = world.made(open(&world), &[ALICE, BOB]);
    world.wait(DELAY_MS);
    assert_eq!(world.answer(execute(id), &[ALICE]), "ACCEPTED");
    let second = world.sealed(sealing(OWNER, 2, &[1, 2, 3], 2), &[1, 2, 3]);
    refused(&mut world, second.clone(), &[OWNER], "AUTHOR_SIGNATURE_INVALID");
    let author = world.author(&second, OWNER.party(), &|message| new_key().sign(message).to_vec());
    let entry = Entry::Authored(Authored { act: second, authors: vec![author] });
    assert_eq!(world.names(&[entry]), ["ACCEPTED"]);
}
