//! `rate`: fits every window, or changes nothing.

use super::*;

pub(super) fn charge(amount: u128) -> Act {
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

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
}
