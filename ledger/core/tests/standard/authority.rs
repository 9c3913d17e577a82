//! Whose word an act is: signatures, their replay, who is named, and the bounds of rules.

use super::rate::charge;
use super::*;

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
fn a_key_of_its_holder_speaks_and_a_hosted_or_frozen_one_does_not() {
    let mut world = world();
    let (linked, hosted, own) = (&signer::Secp256k1, &signer::P256, &signer::Ed25519);
    let token = world.link(ALICE, linked, Mode::Linked);
    let server = world.link(BOB, hosted, Mode::Hosted);
    let side = world.link(ALICE, own, Mode::Own);
    let mut chargers = vec![token, server, side];
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
        by(&mut world, own, side, own),
        by(&mut world, hosted, server, hosted),
        by(&mut world, hosted, token, hosted),
        by(&mut world, hosted, token, linked),
    ];
    let names = ["ACCEPTED", "ACCEPTED", "AUTHOR_UNKNOWN", "AUTHOR_UNKNOWN", "AUTHOR_SIGNATURE_INVALID"];
    assert_eq!(world.names(&entries), names);
    world.submit(&[Entry::FreezeKey { key_id: linked.public_key().id() }]);
    let entry = by(&mut world, linked, token, linked);
    assert_eq!(world.names(&[entry]), ["KEY_FROZEN"]);
}

#[test]
fn nobody_speaks_for_a_closed_account() {
    let mut world = world();
    assert_eq!(world.answer(close(OWNER), &[OWNER]), "ACCEPTED");
    refused(&mut world, Act::DefineRate(define(OWNER, 1, rate_terms())), &[OWNER], "ACCOUNT_CLOSED");
}

#[test]
fn an_account_with_a_credential_is_closed_by_its_holder_and_nobody_else() {
    let mut world = world();
    let token = world.link(OWNER, &signer::P256, Mode::Linked);
    let before = world.business();
    let by_a_service = Entry::CloseAccount { account: OWNER.account() };
    assert_eq!(world.names(&[by_a_service]), ["AUTHORS_MISSING"]);
    assert_eq!(world.business(), before, "a refusal changed something");
    refused(&mut world, close(OWNER), &[], "AUTHORS_MISSING");
    refused(&mut world, close(OWNER), &[ALICE], "AUTHOR_NOT_NAMED");
    refused(&mut world, close(OWNER), &[OWNER, ALICE], "AUTHOR_NOT_NAMED");
    refused(&mut world, close(STRANGER), &[STRANGER], "AUTHOR_UNKNOWN");
    let act = close(OWNER);
    let mut author = world.author(&act, token, &|message| signer::P256.sign(message));
    author.public_key = signer::P256.public_key().as_bytes().to_vec();
    let by_a_token = Entry::Authored(Authored { act, authors: vec![author] });
    assert_eq!(world.names(&[by_a_token]), ["AUTHOR_NOT_NAMED"]);
    // Who transports it is of no interest.
    let entry = world.signed_by(close(OWNER), &[OWNER]);
    let keeper = SigningKey::from_seed(&[24; 32]);
    assert_eq!(world.submit_as(&keeper, std::slice::from_ref(&entry))[0].name(), "ACCEPTED");
    assert_eq!(world.names(&[entry]), ["ACCOUNT_CLOSED"]);
    refused(&mut world, close(OWNER), &[OWNER], "ACCOUNT_CLOSED");
}

#[test]
fn a_signature_that_closes_an_account_counts_under_the_present_credential_alone() {
    let mut world = world();
    let held_back = world.signed_by(close(OWNER), &[OWNER]);
    let next = SigningKey::from_seed(&[0x71; 32]);
    world.replace_credential(OWNER, &OWNER.key(), &next);
    assert_eq!(world.names(&[held_back]), ["AUTHOR_SIGNATURE_INVALID"]);
    let act = close(OWNER);
    let author = world.author(&act, OWNER.party(), &|message| next.sign(message).to_vec());
    let entry = Entry::Authored(Authored { act, authors: vec![author] });
    assert_eq!(world.names(&[entry]), ["ACCEPTED"]);
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

#[test]
fn a_party_is_named_once() {
    let mut world = world();
    let Entry::Authored(mut twice) = world.signed_by(charge(1), &[ALICE]) else { panic!() };
    twice.authors.push(twice.authors[0].clone());
    assert_eq!(world.names(&[Entry::Authored(twice)]), ["ENTRY_MALFORMED"]);
    let terms = RateTerms { chargers: vec![Party::Credential([1; 32]); 2], ..rate_terms() };
    assert_eq!(world.answer(Act::DefineRate(define(OWNER, 1, terms)), &[OWNER]), "ENTRY_MALFORMED");
}
