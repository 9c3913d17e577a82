//! The standard contracts: each answer, each refusal, and models that they must agree with whatever is asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::acts::{
    PAYLOAD, Person, approval_terms, attempt, attempts_terms, case, define, parties, rate_terms, success_key,
    timelock_terms,
};
use common::{Keys as _, World, signer};
use keyward_ledger_core::contracts::attempts::{GRANT_LIVE_MS, success_message};
use keyward_ledger_core::contracts::authored::{AUTHORED_BLOCKS_MAX, authored_message};
use keyward_ledger_core::contracts::timelock::dispute_payload;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{
    Act, Attempt, AttemptsTerms, Authored, Case, Entry, Mode, Party, RateTerms, TimelockTerms, Window,
};
use keyward_ledger_core::execute::{Ledger, LedgerHead};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::outcome::Outcome;
use proptest::collection::vec;
use proptest::prelude::*;

const OWNER: Person = Person(0x41);
const ALICE: Person = Person(0x42);
const BOB: Person = Person(0x43);
const CAROL: Person = Person(0x44);
const STRANGER: Person = Person(0x4f);

fn world() -> World {
    let mut world = World::new();
    world.enroll_all(&[OWNER, ALICE, BOB, CAROL]);
    world
}

/// An act that must be refused, and must change nothing.
fn refused(world: &mut World, act: Act, people: &[Person], name: &str) {
    world.wait(0);
    let before = world.business();
    assert_eq!(world.answer(act.clone(), people), name, "{act:?}");
    assert_eq!(world.business(), before, "{act:?} was refused and changed something");
}

// ---- authority ----

#[test]
fn an_act_takes_its_owners_own_fresh_signature() {
    let mut world = world();
    let act = Act::DefineAttempts(define(OWNER, 1, attempts_terms()));
    refused(&mut world, act.clone(), &[], "AUTHORS_MISSING");
    refused(&mut world, act.clone(), &[ALICE], "AUTHOR_NOT_NAMED");
    refused(&mut world, act.clone(), &[OWNER, ALICE], "AUTHOR_NOT_NAMED");
    let nobody = Act::DefineAttempts(define(STRANGER, 1, attempts_terms()));
    refused(&mut world, nobody, &[STRANGER], "AUTHOR_UNKNOWN");

    let Entry::Authored(good) = world.signed_by(act.clone(), &[OWNER]) else { panic!() };
    let with = |change: fn(&mut Authored)| {
        let mut changed = good.clone();
        change(&mut changed);
        Entry::Authored(changed)
    };
    let cases: [(Entry, &str); 7] = [
        (with(|it| it.authors[0].not_after = 1), "EXPIRED"),
        (with(|it| it.authors[0].not_after += AUTHORED_BLOCKS_MAX), "EXPIRY_TOO_FAR"),
        (with(|it| it.authors[0].not_after += 1), "AUTHOR_SIGNATURE_INVALID"),
        (with(|it| it.authors[0].nonce[0] ^= 1), "AUTHOR_SIGNATURE_INVALID"),
        (with(|it| it.authors[0].signature[5] ^= 1), "AUTHOR_SIGNATURE_INVALID"),
        (with(|it| it.authors[0].signature.truncate(63)), "AUTHOR_SIGNATURE_INVALID"),
        (
            with(|it| {
                let Act::DefineAttempts(define) = &mut it.act else { panic!() };
                define.terms.limit = 2;
            }),
            "AUTHOR_SIGNATURE_INVALID",
        ),
    ];
    for (entry, name) in cases {
        assert_eq!(world.names(&[entry]), [name]);
    }
    // For another ledger, and for another kind of act.
    for (chain_id, kind) in [([9; 32], act.kind()), (world.chain_id(), act.kind() + 4)] {
        let sign = |author: &keyward_ledger_core::entry::Author| {
            let payload = act.payload();
            let message =
                authored_message(&chain_id, kind, &payload, author.party, &author.nonce, author.not_after);
            OWNER.key().sign(&message).to_vec()
        };
        let mut other = good.clone();
        other.authors[0].signature = sign(&other.authors[0]);
        assert_eq!(world.names(&[Entry::Authored(other)]), ["AUTHOR_SIGNATURE_INVALID"]);
    }
    assert_eq!(world.names(&[Entry::Authored(good.clone())]), ["ACCEPTED"]);
    assert_eq!(world.names(&[Entry::Authored(good)]), ["AUTHOR_REPLAYED"]);
}

#[test]
fn a_signature_is_remembered_until_it_could_not_be_shown_any_more() {
    let mut world = world();
    let charge = Act::ChargeRate { rule: OWNER.rule(), amount: 1, what: PAYLOAD };
    let terms = RateTerms { chargers: vec![ALICE.party()], ..rate_terms() };
    world.act(Act::DefineRate(define(OWNER, 1, terms)), &[OWNER]);
    let entry = world.signed_by(charge, &[ALICE]);
    let last = world.ledger.height() + 50;
    assert_eq!(world.names(std::slice::from_ref(&entry)), ["ACCEPTED"]);
    while world.ledger.height() < last {
        assert_eq!(world.names(std::slice::from_ref(&entry)), ["AUTHOR_REPLAYED"]);
    }
    assert_eq!(world.names(&[entry]), ["EXPIRED"]);
    assert_eq!(world.count(b"authored/"), 0, "what nobody can replay is forgotten");
}

#[test]
fn a_linked_key_speaks_and_a_hosted_or_frozen_one_does_not() {
    let mut world = world();
    let (linked, hosted) = (&signer::Secp256k1, &signer::P256);
    let token = world.link(ALICE, linked, Mode::Linked);
    let server = world.link(BOB, hosted, Mode::Hosted);
    let mut chargers = vec![token, server];
    chargers.sort();
    world.act(Act::DefineRate(define(OWNER, 1, RateTerms { chargers, ..rate_terms() })), &[OWNER]);
    let charge = Act::ChargeRate { rule: OWNER.rule(), amount: 1, what: PAYLOAD };
    let by = |world: &mut World, keys: &dyn common::Keys, party, shown: &dyn common::Keys| {
        let mut author = world.author(&charge, party, &|message| keys.sign(message));
        author.public_key = shown.public_key().as_bytes().to_vec();
        Entry::Authored(Authored { act: charge.clone(), authors: vec![author] })
    };
    let entries = [
        by(&mut world, linked, token, linked),
        by(&mut world, hosted, server, hosted),
        by(&mut world, hosted, token, hosted),
        by(&mut world, hosted, token, linked),
    ];
    let names = ["ACCEPTED", "AUTHOR_UNKNOWN", "AUTHOR_UNKNOWN", "AUTHOR_SIGNATURE_INVALID"];
    assert_eq!(world.names(&entries), names);
    world.submit(&[Entry::FreezeKey { key_id: linked.public_key().id() }]);
    let entry = by(&mut world, linked, token, linked);
    assert_eq!(world.names(&[entry]), ["KEY_FROZEN"]);
}

#[test]
fn nobody_speaks_for_a_closed_account() {
    let mut world = world();
    world.submit(&[Entry::CloseAccount { account: OWNER.account() }]);
    refused(&mut world, Act::DefineRate(define(OWNER, 1, rate_terms())), &[OWNER], "ACCOUNT_CLOSED");
}

#[test]
fn rules_have_bounds_and_versions_that_grow_by_one() {
    let mut world = world();
    let attempts = |change: fn(&mut AttemptsTerms)| {
        let mut terms = attempts_terms();
        change(&mut terms);
        Act::DefineAttempts(define(OWNER, 1, terms))
    };
    let window = |length_ms| Window { length_ms, count_max: 1, amount_max: 1 };
    let rate = |lengths: &[u64]| {
        let terms =
            RateTerms { windows: lengths.iter().map(|ms| window(*ms)).collect(), chargers: Vec::new() };
        Act::DefineRate(define(OWNER, 1, terms))
    };
    let approval = |groups: &[(u8, &[Person])]| Act::DefineApproval(define(OWNER, 1, approval_terms(groups)));
    let timelock = |change: fn(&mut TimelockTerms)| {
        let mut terms = timelock_terms(1, &[ALICE], &[OWNER]);
        change(&mut terms);
        Act::DefineTimelock(define(OWNER, 1, terms))
    };
    let broken = [
        attempts(|it| it.limit = 0),
        attempts(|it| it.limit = 6),
        attempts(|it| it.lifetime = u32::MAX),
        attempts(|it| it.refill_ms = 999),
        attempts(|it| it.cool_down_ms = u64::MAX),
        attempts(|it| it.success_key = [0; 32]),
        attempts(|it| it.needed = 1),
        attempts(|it| it.askers = parties(&[ALICE])),
        rate(&[]),
        rate(&[0]),
        rate(&[60_000, 60_000]),
        rate(&[60_000, 1_000]),
        approval(&[]),
        approval(&[(0, &[ALICE])]),
        approval(&[(1, &[])]),
        approval(&[(2, &[ALICE])]),
        approval(&[(1, &[ALICE]), (0, &[BOB])]),
        timelock(|it| it.delay_ms = 0),
        timelock(|it| it.open_ms = u64::MAX),
        timelock(|it| it.needed = 0),
        timelock(|it| it.needed = 2),
    ];
    for act in broken {
        refused(&mut world, act, &[OWNER], "RULE_INVALID");
    }
    for version in [0, 2, u32::MAX] {
        let act = Act::DefineRate(define(OWNER, version, rate_terms()));
        refused(&mut world, act, &[OWNER], "RULE_VERSION");
    }
    for version in [1, 2, 3] {
        assert_eq!(world.answer(Act::DefineRate(define(OWNER, version, rate_terms())), &[OWNER]), "ACCEPTED");
    }
    refused(&mut world, Act::DefineRate(define(OWNER, 3, rate_terms())), &[OWNER], "RULE_VERSION");
}

// ---- attempts ----

fn grant(number: u8) -> Act {
    Act::GrantAttempt { rule: OWNER.rule(), attempt: attempt(1, number) }
}

fn prove(chain_id: Hash, attempt: Attempt, id: Hash) -> Act {
    let signature = success_key().sign(&success_message(&chain_id, &id));
    Act::ProveAttempt { rule: OWNER.rule(), attempt, signature }
}

fn counted(change: fn(&mut AttemptsTerms)) -> World {
    let mut world = world();
    let mut terms = attempts_terms();
    change(&mut terms);
    assert_eq!(world.answer(Act::DefineAttempts(define(OWNER, 1, terms)), &[OWNER]), "ACCEPTED");
    world.step_ms = 1_000;
    world
}

#[test]
fn attempts_are_spent_refilled_slowly_and_locked_for_good() {
    let mut world = counted(|_| {});
    for number in 1..=3 {
        world.made(grant(number), &[]);
    }
    refused(&mut world, grant(4), &[], "ATTEMPTS_SPENT");
    world.wait(60_000);
    world.made(grant(4), &[]);
    refused(&mut world, grant(5), &[], "ATTEMPTS_SPENT");
    world.wait(180_000);
    world.made(grant(5), &[]);
    world.wait(10 * 60_000);
    refused(&mut world, grant(6), &[], "ATTEMPTS_LOCKED");
}

#[test]
fn attempts_cool_down_and_do_not_refill_where_the_terms_say_no() {
    let mut world = counted(|terms| (terms.cool_down_ms, terms.refill_ms) = (30_000, 0));
    world.made(grant(1), &[]);
    refused(&mut world, grant(2), &[], "ATTEMPTS_COOLING");
    for number in 2..=3 {
        world.wait(30_000);
        world.made(grant(number), &[]);
    }
    world.wait(u64::from(u32::MAX));
    refused(&mut world, grant(4), &[], "ATTEMPTS_SPENT");
}

#[test]
fn the_same_request_is_the_same_attempt_and_another_one_is_not() {
    let mut world = counted(|_| {});
    let first = world.made(grant(1), &[]);
    let keeper = SigningKey::from_seed(&[24; 32]);
    let again = world.signed_by(grant(1), &[]);
    assert_eq!(world.submit_as(&keeper, &[again.clone(), again])[1].data, first);
    let other_reply = Attempt { reply_key: [0x45; 32], ..attempt(1, 1) };
    let second = world.made(Act::GrantAttempt { rule: OWNER.rule(), attempt: other_reply }, &[]);
    assert_ne!(second, first);
    let both = [world.signed_by(grant(3), &[]), world.signed_by(grant(4), &[])];
    world.wait(1_000);
    assert_eq!(world.names(&both), ["ACCEPTED", "ATTEMPTS_SPENT"], "four requests, three attempts");
    // After its day the same request is a new attempt with a new id.
    world.wait(GRANT_LIVE_MS);
    let later = world.made(grant(1), &[]);
    assert_ne!(later, first);
}

#[test]
fn only_a_proof_of_success_fills_the_counter_and_only_once() {
    let mut world = counted(|_| {});
    let first = world.made(grant(1), &[]);
    let second = world.made(grant(2), &[]);
    world.made(grant(3), &[]);
    let chain_id = world.chain_id();
    let good = prove(chain_id, attempt(1, 2), second);
    refused(&mut world, prove(chain_id, attempt(1, 9), second), &[], "ATTEMPT_UNKNOWN");
    refused(&mut world, prove(chain_id, attempt(1, 2), first), &[], "SUCCESS_INVALID");
    let Act::ProveAttempt { rule, attempt: asked, .. } = good.clone() else { panic!() };
    let by_another = SigningKey::from_seed(&[0xef; 32]).sign(&success_message(&world.chain_id(), &second));
    let act = Act::ProveAttempt { rule, attempt: asked, signature: by_another };
    refused(&mut world, act, &[], "SUCCESS_INVALID");
    refused(&mut world, good.clone(), &[ALICE], "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(good.clone(), &[]), "ACCEPTED");
    refused(&mut world, good.clone(), &[], "ATTEMPT_PROVEN");
    for number in 4..=6 {
        world.made(grant(number), &[]);
    }
    refused(&mut world, good.clone(), &[], "ATTEMPT_PROVEN");
    // The proof of an attempt that ended proves nothing, though the same request is granted again.
    world.wait(GRANT_LIVE_MS + 60_000);
    refused(&mut world, good.clone(), &[], "ATTEMPT_UNKNOWN");
    world.made(grant(2), &[]);
    refused(&mut world, good, &[], "SUCCESS_INVALID");
}

#[test]
fn new_terms_forgive_nothing_and_pin_the_new_version() {
    let mut world = counted(|terms| terms.refill_ms = 0);
    let first = world.made(grant(1), &[]);
    for number in 2..=3 {
        world.made(grant(number), &[]);
    }
    let terms = AttemptsTerms { limit: 4, refill_ms: 1_000, ..attempts_terms() };
    let mut redefine = world.signed_by(Act::DefineAttempts(define(OWNER, 2, terms.clone())), &[OWNER]);
    world.wait(100 * 60_000);
    assert_eq!(world.names(std::slice::from_ref(&redefine)), ["ACCEPTED"]);
    world.step_ms = 0;
    refused(&mut world, grant(4), &[], "RULE_VERSION");
    let late = prove(world.chain_id(), attempt(1, 1), first);
    refused(&mut world, late, &[], "RULE_VERSION");
    let next = |number| Act::GrantAttempt { rule: OWNER.rule(), attempt: attempt(2, number) };
    world.made(next(4), &[]);
    refused(&mut world, next(5), &[], "ATTEMPTS_SPENT");
    // A lower limit than what is spent leaves nothing.
    redefine =
        world.signed_by(Act::DefineAttempts(define(OWNER, 3, AttemptsTerms { limit: 1, ..terms })), &[OWNER]);
    assert_eq!(world.names(&[redefine]), ["ACCEPTED"]);
    let third = Act::GrantAttempt { rule: OWNER.rule(), attempt: attempt(3, 6) };
    refused(&mut world, third, &[], "ATTEMPTS_SPENT");
}

#[test]
fn who_only_knows_the_name_cannot_burn_an_attempt() {
    let mut world = counted(|terms| (terms.needed, terms.askers) = (2, parties(&[ALICE, BOB, CAROL])));
    refused(&mut world, grant(1), &[], "AUTHORS_MISSING");
    refused(&mut world, grant(1), &[ALICE], "AUTHORS_MISSING");
    refused(&mut world, grant(1), &[ALICE, OWNER], "AUTHOR_NOT_NAMED");
    let entry = world.signed_by(grant(1), &[ALICE, CAROL]);
    let operator = SigningKey::from_seed(&[23; 32]);
    assert_eq!(world.submit_as(&operator, std::slice::from_ref(&entry))[0].name(), "ROLE_NOT_ALLOWED");
    // What they signed counts for this request only.
    let Entry::Authored(mut other) = entry.clone() else { panic!() };
    other.act = grant(2);
    assert_eq!(world.names(&[Entry::Authored(other)]), ["AUTHOR_SIGNATURE_INVALID"]);
    assert_eq!(world.names(std::slice::from_ref(&entry)), ["ACCEPTED"]);
    // Shown again after its day it is old.
    world.wait(GRANT_LIVE_MS + 1);
    assert_eq!(world.names(&[entry]), ["AUTHOR_REPLAYED"]);
    let unknown = Act::GrantAttempt { rule: ALICE.rule(), attempt: attempt(1, 1) };
    refused(&mut world, unknown, &[], "RULE_UNKNOWN");
}

// ---- rate ----

fn charge(amount: u128) -> Act {
    Act::ChargeRate { rule: OWNER.rule(), amount, what: PAYLOAD }
}

/// A world whose time stands at the start of a ten-minute window.
fn rated(terms: RateTerms) -> World {
    let mut world = world();
    assert_eq!(world.answer(Act::DefineRate(define(OWNER, 1, terms)), &[OWNER]), "ACCEPTED");
    world.wait(600_000 - world.ledger.time_ms() % 600_000);
    world.step_ms = 0;
    world
}

#[test]
fn a_charge_fits_every_window_or_changes_nothing() {
    let mut world = rated(rate_terms());
    refused(&mut world, charge(101), &[], "RATE_EXCEEDED");
    assert_eq!(world.answer(charge(60), &[]), "ACCEPTED");
    refused(&mut world, charge(41), &[], "RATE_EXCEEDED");
    for amount in [40, 0] {
        assert_eq!(world.answer(charge(amount), &[]), "ACCEPTED");
    }
    refused(&mut world, charge(0), &[], "RATE_EXCEEDED");
    world.wait(59_999);
    refused(&mut world, charge(0), &[], "RATE_EXCEEDED");
    world.wait(1);
    assert_eq!(world.answer(charge(100), &[]), "ACCEPTED");
    world.wait(60_000);
    refused(&mut world, charge(51), &[], "RATE_EXCEEDED");
    assert_eq!(world.answer(charge(50), &[]), "ACCEPTED");
    world.wait(480_000);
    assert_eq!(world.answer(charge(100), &[]), "ACCEPTED", "a new window of both lengths");
}

#[test]
fn two_charges_that_race_do_not_both_pass() {
    let mut world = rated(rate_terms());
    let entries = [charge(60), charge(60)].map(|act| world.signed_by(act, &[]));
    let other = SigningKey::from_seed(&[22; 32]);
    let batches =
        [world.batch(&SigningKey::from_seed(&[21; 32]), &entries[..1]), world.batch(&other, &entries[1..])];
    let mut names: Vec<_> =
        world.block(&batches).batches.iter().map(|batch| batch.outcomes[0].name()).collect();
    names.sort_unstable();
    assert_eq!(names, ["ACCEPTED", "RATE_EXCEEDED"]);
}

#[test]
fn amounts_do_not_overflow() {
    let windows = vec![Window { length_ms: 600_000, count_max: u64::MAX, amount_max: u128::MAX }];
    let mut world = rated(RateTerms { windows, chargers: Vec::new() });
    assert_eq!(world.answer(charge(u128::MAX), &[]), "ACCEPTED");
    refused(&mut world, charge(1), &[], "RATE_EXCEEDED");
    refused(&mut world, charge(u128::MAX), &[], "RATE_EXCEEDED");
    assert_eq!(world.answer(charge(0), &[]), "ACCEPTED");
}

#[test]
fn a_rate_is_charged_by_whom_it_names() {
    let mut world = rated(RateTerms { chargers: parties(&[ALICE, BOB]), ..rate_terms() });
    refused(&mut world, charge(1), &[], "AUTHORS_MISSING");
    refused(&mut world, charge(1), &[OWNER], "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(charge(1), &[ALICE]), "ACCEPTED");
    assert_eq!(world.answer(Act::DefineRate(define(OWNER, 2, rate_terms())), &[OWNER]), "ACCEPTED");
    refused(&mut world, charge(1), &[ALICE], "AUTHOR_NOT_NAMED");
    let keeper = SigningKey::from_seed(&[24; 32]);
    let entry = world.signed_by(charge(1), &[]);
    assert_eq!(world.submit_as(&keeper, &[entry])[0].name(), "ROLE_NOT_ALLOWED");
    let unknown = Act::ChargeRate { rule: ALICE.rule(), amount: 0, what: PAYLOAD };
    refused(&mut world, unknown, &[], "RULE_UNKNOWN");
}

#[test]
fn a_window_that_stays_keeps_what_was_spent() {
    let mut world = rated(rate_terms());
    assert_eq!(world.answer(charge(90), &[]), "ACCEPTED");
    assert_eq!(world.answer(Act::DefineRate(define(OWNER, 2, rate_terms())), &[OWNER]), "ACCEPTED");
    refused(&mut world, charge(11), &[], "RATE_EXCEEDED");
    assert_eq!(world.answer(charge(10), &[]), "ACCEPTED");
}

// ---- approval ----

fn ruled(groups: &[(u8, &[Person])]) -> World {
    let mut world = world();
    let act = Act::DefineApproval(define(OWNER, 1, approval_terms(groups)));
    assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
    world
}

fn open_approval(world: &mut World, initiator: Person) -> Hash {
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
    world.submit(&[Entry::CloseAccount { account: BOB.account() }]);
    refused(&mut world, Act::UseApproval(case(id)), &[OWNER], "APPROVALS_MISSING");

    for live_ms in [0, 600_001] {
        let act = Act::OpenApproval { rule: OWNER.rule(), payload: PAYLOAD, live_ms };
        refused(&mut world, act, &[OWNER], "EXPIRY_TOO_FAR");
    }
    let unknown = Act::OpenApproval { rule: ALICE.rule(), payload: PAYLOAD, live_ms: 1 };
    refused(&mut world, unknown, &[OWNER], "RULE_UNKNOWN");
}

// ---- timelock ----

const DELAY_MS: u64 = 60_000;

/// Alice and Bob open together, the owner vetoes, Carol judges if `judged`.
fn locked(judged: bool) -> World {
    let mut world = world();
    let judges = Act::DefineApproval(define(CAROL, 1, approval_terms(&[(1, &[ALICE, CAROL])])));
    assert_eq!(world.answer(judges, &[CAROL]), "ACCEPTED");
    let mut terms = timelock_terms(2, &[ALICE, BOB], &[OWNER]);
    terms.judges = judged.then(|| CAROL.rule().id(keyward_ledger_core::entry::kind::DEFINE_APPROVAL));
    assert_eq!(world.answer(Act::DefineTimelock(define(OWNER, 1, terms)), &[OWNER]), "ACCEPTED");
    world
}

fn open_act() -> Act {
    Act::OpenTimelock { rule: OWNER.rule(), payload: PAYLOAD }
}

fn execute(id: Hash) -> Act {
    Act::ExecuteTimelock { case: case(id), judged: None }
}

#[test]
fn an_act_waits_out_its_delay_and_is_executed_once() {
    let mut world = locked(false);
    refused(&mut world, open_act(), &[ALICE], "AUTHORS_MISSING");
    refused(&mut world, open_act(), &[ALICE, CAROL], "AUTHOR_NOT_NAMED");
    let id = world.made(open_act(), &[ALICE, BOB]);
    let opened = world.ledger.time_ms();
    refused(&mut world, open_act(), &[ALICE, BOB], "TIMELOCK_BUSY");
    let change = Act::DefineTimelock(define(OWNER, 2, timelock_terms(1, &[CAROL], &[OWNER])));
    refused(&mut world, change.clone(), &[OWNER], "TIMELOCK_BUSY");
    world.step_ms = 0;
    refused(&mut world, execute(id), &[ALICE], "TIMELOCK_EARLY");
    world.wait(opened + DELAY_MS - 1 - world.ledger.time_ms());
    refused(&mut world, execute(id), &[ALICE], "TIMELOCK_EARLY");
    world.wait(1);
    refused(&mut world, execute(id), &[OWNER], "AUTHOR_NOT_NAMED");
    let other = Act::ExecuteTimelock { case: Case { id, payload: [1; 32] }, judged: None };
    refused(&mut world, other, &[ALICE], "CASE_PAYLOAD");
    let judged = Act::ExecuteTimelock { case: case(id), judged: Some([1; 32]) };
    refused(&mut world, judged, &[ALICE], "CASE_UNKNOWN");
    assert_eq!(world.answer(execute(id), &[ALICE]), "ACCEPTED");
    refused(&mut world, execute(id), &[ALICE], "CASE_USED");
    refused(&mut world, Act::VetoTimelock(case(id)), &[OWNER], "CASE_USED");
    assert_eq!(world.answer(change, &[OWNER]), "ACCEPTED");
}

#[test]
fn a_vetoed_cancelled_or_expired_act_is_never_executed() {
    let mut world = locked(false);
    let veto = |id| Act::VetoTimelock(case(id));
    let id = world.made(open_act(), &[ALICE, BOB]);
    refused(&mut world, veto(id), &[ALICE], "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(veto(id), &[OWNER]), "ACCEPTED");
    world.wait(DELAY_MS);
    refused(&mut world, execute(id), &[ALICE], "CASE_CLOSED");

    let id = world.made(open_act(), &[ALICE, BOB]);
    refused(&mut world, Act::CancelTimelock(case(id)), &[OWNER], "AUTHOR_NOT_NAMED");
    assert_eq!(world.answer(Act::CancelTimelock(case(id)), &[BOB]), "ACCEPTED");
    world.wait(DELAY_MS);
    refused(&mut world, execute(id), &[ALICE], "CASE_CLOSED");

    let id = world.made(open_act(), &[ALICE, BOB]);
    world.wait(DELAY_MS);
    assert_eq!(world.answer(veto(id), &[OWNER]), "ACCEPTED", "a veto counts until the act is done");
    refused(&mut world, execute(id), &[ALICE], "CASE_CLOSED");

    let id = world.made(open_act(), &[ALICE, BOB]);
    world.wait(DELAY_MS + 120_001);
    refused(&mut world, execute(id), &[ALICE], "CASE_UNKNOWN");
    assert_eq!(world.count(b"timelock/case/"), 0);
    world.made(open_act(), &[ALICE, BOB]);
}

#[test]
fn two_openers_of_one_account_are_one() {
    let mut world = world();
    let token = world.link(ALICE, &signer::Secp256k1, Mode::Linked);
    let mut terms = timelock_terms(2, &[ALICE], &[OWNER]);
    terms.openers.push(token);
    assert_eq!(world.answer(Act::DefineTimelock(define(OWNER, 1, terms)), &[OWNER]), "ACCEPTED");
    let act = open_act();
    let sign = |message: &[u8]| ALICE.key().sign(message).to_vec();
    let mut by_token = world.author(&act, token, &|message| signer::Secp256k1.sign(message));
    by_token.public_key = signer::Secp256k1.public_key().as_bytes().to_vec();
    let authors = vec![world.author(&act, ALICE.party(), &sign), by_token];
    assert_eq!(world.names(&[Entry::Authored(Authored { act, authors })]), ["AUTHORS_MISSING"]);
}

#[test]
fn from_the_second_veto_on_approvers_decide_and_no_partisan_is_one() {
    let mut world = locked(true);
    let veto = |id| Act::VetoTimelock(case(id));
    let first = world.made(open_act(), &[ALICE, BOB]);
    assert_eq!(world.answer(veto(first), &[OWNER]), "ACCEPTED");
    let id = world.made(open_act(), &[ALICE, BOB]);
    world.wait(DELAY_MS + 100_000);
    assert_eq!(world.answer(veto(id), &[OWNER]), "ACCEPTED");
    refused(&mut world, veto(id), &[OWNER], "TIMELOCK_DISPUTED");
    refused(&mut world, execute(id), &[ALICE], "TIMELOCK_DISPUTED");
    refused(&mut world, open_act(), &[ALICE, BOB], "TIMELOCK_BUSY");
    // The case lives on past the end that it had at first.
    world.wait(100_000);
    let ask = |world: &mut World, payload| {
        world.made(Act::OpenApproval { rule: CAROL.rule(), payload, live_ms: 60_000 }, &[BOB])
    };
    let approve = |id, payload| Act::Approve { case: Case { id, payload }, group: 0 };
    let execute = |judged| Act::ExecuteTimelock { case: case(id), judged: Some(judged) };
    let payload = dispute_payload(&case(id));
    let judged = ask(&mut world, payload);
    refused(&mut world, execute(judged), &[ALICE], "APPROVALS_MISSING");
    assert_eq!(world.answer(approve(judged, payload), &[ALICE]), "ACCEPTED");
    refused(&mut world, execute(judged), &[ALICE], "APPROVALS_MISSING");
    let of_another = ask(&mut world, PAYLOAD);
    assert_eq!(world.answer(approve(of_another, PAYLOAD), &[CAROL]), "ACCEPTED");
    refused(&mut world, execute(of_another), &[ALICE], "CASE_PAYLOAD");
    assert_eq!(world.answer(approve(judged, payload), &[CAROL]), "ACCEPTED");
    assert_eq!(world.answer(execute(judged), &[ALICE]), "ACCEPTED");
    refused(&mut world, execute(judged), &[ALICE], "CASE_USED");
    // The count starts again: the next veto is a first one.
    let id = world.made(open_act(), &[ALICE, BOB]);
    assert_eq!(world.answer(veto(id), &[OWNER]), "ACCEPTED");
    refused(&mut world, veto(id), &[OWNER], "CASE_CLOSED");
}

// ---- together ----

#[test]
fn a_restored_ledger_ends_cases_at_the_same_moment() {
    let mut world = ruled(&[(1, &[ALICE])]);
    world.act(Act::DefineAttempts(define(OWNER, 1, attempts_terms())), &[OWNER]);
    open_approval(&mut world, OWNER);
    world.made(grant(1), &[]);
    let (block, _) = world.blocks.last().unwrap();
    let head = LedgerHead { signed_header: block.signed_header.clone(), log: world.ledger.log().clone() };
    let entries: Vec<_> =
        world.ledger.state().iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
    let mut restored = Ledger::restore(&head, entries).unwrap();
    let before = world.blocks.len();
    for ms in [59_000, 2_000, GRANT_LIVE_MS] {
        world.wait(ms);
    }
    for (block, executed) in &world.blocks[before..] {
        restored = restored.replay(block).unwrap().ledger;
        assert_eq!(restored.state(), executed.ledger.state());
    }
    assert_eq!((world.count(b"approval/case/"), world.count(b"attempts/grant/")), (0, 0));
}

// ---- whatever is asked ----

/// How many attempts a counter of `terms` has, from the times of its grants since the last success.
fn available(terms: &AttemptsTerms, grants_ms: &[u64], now_ms: u64) -> bool {
    let (mut spent, mut since_ms) = (0_u64, 0);
    let refill = |spent: &mut u64, since_ms: &mut u64, now_ms: u64| {
        while *spent > 0 && *since_ms + terms.refill_ms <= now_ms {
            (*spent, *since_ms) = (*spent - 1, *since_ms + terms.refill_ms);
        }
    };
    for at_ms in grants_ms {
        refill(&mut spent, &mut since_ms, *at_ms);
        if spent == 0 {
            since_ms = *at_ms;
        }
        spent += 1;
    }
    refill(&mut spent, &mut since_ms, now_ms);
    spent < u64::from(terms.limit)
}

fn id_of(outcome: &Outcome) -> Option<Hash> {
    outcome.is_accepted().then(|| outcome.data.clone().try_into().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// The counter agrees with one that is worked out from nothing but the times of its grants.
    #[test]
    fn attempts_agree_with_a_naive_counter(steps in vec((0..6_u8, 0..90_u64, prop::bool::weighted(0.1)), 1..40)) {
        let mut world = counted(|_| {});
        let terms = attempts_terms();
        let mut grants_ms: Vec<u64> = Vec::new();
        let mut live: Vec<(u8, Hash)> = Vec::new();
        world.step_ms = 0;
        for (number, seconds, succeeds) in steps {
            world.wait(seconds * 1_000);
            let now_ms = world.ledger.time_ms();
            if let Some((number, id)) = live.last().copied().filter(|_| succeeds) {
                let act = prove(world.chain_id(), attempt(1, number), id);
                let name = world.answer(act, &[]);
                prop_assert!(name == "ACCEPTED" || name == "ATTEMPT_PROVEN");
                if name == "ACCEPTED" {
                    grants_ms.clear();
                }
                continue;
            }
            let outcome = world.act(grant(number), &[]);
            if let Some((_, id)) = live.iter().find(|(asked, _)| *asked == number) {
                prop_assert_eq!(id_of(&outcome), Some(*id), "asked again, it is the same attempt");
                continue;
            }
            let cool = grants_ms.last().is_none_or(|last| now_ms >= last + terms.cool_down_ms);
            let expected = if grants_ms.len() as u32 >= terms.lifetime {
                "ATTEMPTS_LOCKED"
            } else if !available(&terms, &grants_ms, now_ms) {
                "ATTEMPTS_SPENT"
            } else if !cool {
                "ATTEMPTS_COOLING"
            } else {
                "ACCEPTED"
            };
            prop_assert_eq!(outcome.name(), expected);
            if let Some(id) = id_of(&outcome) {
                prop_assert!(live.iter().all(|(_, other)| *other != id));
                grants_ms.push(now_ms);
                live.push((number, id));
            }
        }
    }

    /// No window ever holds more than its limits, and a refusal means that one would.
    #[test]
    fn no_window_holds_more_than_its_limits(steps in vec((0..120_u128, 0..40_u64), 1..60)) {
        let mut world = rated(rate_terms());
        let mut charges: Vec<(u64, u128)> = Vec::new();
        for (amount, seconds) in steps {
            world.wait(seconds * 1_000);
            let now_ms = world.ledger.time_ms();
            let fits = rate_terms().windows.iter().all(|window| {
                let same = |at_ms: u64| at_ms / window.length_ms == now_ms / window.length_ms;
                let inside: Vec<_> = charges.iter().filter(|(at_ms, _)| same(*at_ms)).collect();
                let sum: u128 = inside.iter().map(|(_, amount)| amount).sum();
                (inside.len() as u64) < window.count_max && sum + amount <= window.amount_max
            });
            let name = world.answer(charge(amount), &[]);
            prop_assert_eq!(name, if fits { "ACCEPTED" } else { "RATE_EXCEEDED" });
            if fits {
                charges.push((now_ms, amount));
            }
        }
    }

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

    /// Executed means: opened by all it needs, the delay is over, not too late, not vetoed, not cancelled, once.
    #[test]
    fn timelocks_agree_with_a_model(steps in vec((0..6_u8, 0..60_u64), 1..40)) {
        let mut world = locked(false);
        world.step_ms = 0;
        let mut live: Option<(Hash, u64)> = None;
        let mut last: Option<(Hash, u64, &str)> = None;
        for (verb, seconds) in steps {
            world.wait(seconds * 1_000);
            let now_ms = world.ledger.time_ms();
            live = live.filter(|(_, opened_ms)| now_ms <= opened_ms + DELAY_MS + 120_000);
            if verb < 2 {
                let outcome = world.act(open_act(), &[ALICE, BOB]);
                prop_assert_eq!(outcome.name(), if live.is_some() { "TIMELOCK_BUSY" } else { "ACCEPTED" });
                if let Some(id) = id_of(&outcome) {
                    prop_assert!(last.is_none_or(|(other, ..)| other != id));
                    (live, last) = (Some((id, now_ms)), Some((id, now_ms, "waiting")));
                }
                continue;
            }
            let Some((id, opened_ms, state)) = last else { continue };
            let (act, who) = match verb {
                2 => (Act::VetoTimelock(case(id)), OWNER),
                3 => (Act::CancelTimelock(case(id)), BOB),
                _ => (execute(id), ALICE),
            };
            let wanted = match (state, verb) {
                _ if now_ms > opened_ms + DELAY_MS + 120_000 => "CASE_UNKNOWN",
                ("closed", _) => "CASE_CLOSED",
                ("executed", _) => "CASE_USED",
                (_, 4..) if now_ms < opened_ms + DELAY_MS => "TIMELOCK_EARLY",
                _ => "ACCEPTED",
            };
            prop_assert_eq!(world.answer(act, &[who]), wanted);
            if wanted == "ACCEPTED" {
                live = None;
                last = Some((id, opened_ms, if verb < 4 { "closed" } else { "executed" }));
            }
        }
    }
}

#[test]
fn a_party_is_named_once() {
    let mut world = world();
    let Entry::Authored(mut twice) = world.signed_by(charge(1), &[ALICE]) else { panic!() };
    twice.authors.push(twice.authors[0].clone());
    assert_eq!(world.names(&[Entry::Authored(twice)]), ["ENTRY_MALFORMED"]);
    let terms = RateTerms { chargers: vec![Party::Credential([1; 32]); 2], ..rate_terms() };
    assert_eq!(world.answer(Act::DefineRate(define(OWNER, 1, terms)), &[OWNER]), "ENTRY_MALFORMED");
}
