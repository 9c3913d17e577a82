//! `attempts`: spent before it is answered, given back by time or by success alone.

use super::*;

pub(super) fn grant(number: u8) -> Act {
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
fn what_was_signed_for_a_granted_attempt_cannot_be_shown_for_a_later_one() {
    let mut world = counted(|terms| (terms.needed, terms.askers) = (1, parties(&[ALICE])));
    let signed = world.signed_by(grant(1), &[ALICE]);
    let again = world.signed_by(grant(1), &[ALICE]);
    let granted = world.submit(&[signed.clone(), again.clone(), signed.clone()]);
    assert!(granted.iter().all(|outcome| *outcome == granted[0] && outcome.is_accepted()));
    // Whoever else signs is neither needed nor remembered.
    let before = world.business();
    let by_stranger = world.signed_by(grant(1), &[STRANGER]);
    assert_eq!(world.names(&[by_stranger]), ["ACCEPTED"]);
    assert_eq!(world.business(), before);
    // A day passes with hardly a block, so that the signatures could be shown again.
    world.wait(GRANT_LIVE_MS + 1);
    assert_eq!(world.names(&[again, signed]), ["AUTHOR_REPLAYED"; 2]);
    world.made(grant(1), &[ALICE]);
}

#[test]
fn a_signature_that_cannot_be_remembered_for_a_granted_attempt_refuses_it() {
    let mut world = counted(|terms| (terms.needed, terms.askers) = (1, parties(&[ALICE])));
    let first = world.signed_by(grant(1), &[ALICE]);
    assert_eq!(world.names(std::slice::from_ref(&first)), ["ACCEPTED"]);
    let Entry::Authored(Authored { authors, .. }) = &first else { panic!() };
    let (nonce, height) = (authors[0].nonce, world.ledger.height() + 1);
    let sign = |world: &World, nonce: Hash, not_after: u64, by: &SigningKey| {
        let (act, party) = (grant(1), ALICE.party());
        let chain_id = world.chain_id();
        let message = authored_message(&chain_id, act.kind(), &act.payload(), party, &nonce, not_after);
        let signature = by.sign(&message).to_vec();
        let author = Author { party, nonce, not_after, public_key: Vec::new(), signature };
        Entry::Authored(Authored { act, authors: vec![author] })
    };
    // The first could be shown once its nonce is forgotten, the second once it is near, the third once the key is bound.
    let longer = sign(&world, nonce, authors[0].not_after + 1, &ALICE.key());
    let far = sign(&world, [1; 32], height + AUTHORED_BLOCKS_MAX + 10, &ALICE.key());
    let by_another = sign(&world, [2; 32], height + 9, &STRANGER.key());
    let before = world.business();
    assert_eq!(
        world.names(&[longer, far, by_another]),
        ["AUTHOR_REPLAYED", "EXPIRY_TOO_FAR", "AUTHOR_SIGNATURE_INVALID"]
    );
    assert_eq!(world.business(), before);
    // What is spent already, or old, changes nothing.
    let old = sign(&world, [3; 32], 1, &ALICE.key());
    assert_eq!(world.names(&[first, old]), ["ACCEPTED"; 2]);
    assert_eq!(world.business(), before);
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
}
