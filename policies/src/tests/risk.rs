//! The embedded risk rules and the cases beside them.

use super::*;
use crate::risk;
use keyward_domain::meaning::{Amount, Call, Form, Meaning, Transfer};
use keyward_domain::risk::{Decision, History, RuleSet, Verb, verdict};

const CASES: &str = include_str!("../../risk/default.cases.json");

#[test]
fn the_embedded_rules_watch_and_judge_as_their_cases_say() {
    let rules = risk::default_rules().unwrap();
    assert!(!rules.enforces() && rules.silent().is_empty());
    let all = risk::read_cases(CASES).unwrap();
    for case in &all {
        assert_eq!(case.run(&rules).unwrap(), None);
    }
    // Each decision is shown, and each signal.
    let decisions: BTreeSet<_> = all.iter().map(|case| case.decision.as_str()).collect();
    assert_eq!(decisions, ["allow", "ask", "refuse"].into());
    let signals: BTreeSet<_> = all.iter().flat_map(|case| case.signals.iter().flatten()).collect();
    assert_eq!(signals.len(), keyward_domain::risk::Signal::ALL.len(), "{signals:?}");
}

#[test]
fn a_case_that_comes_out_otherwise_says_how() {
    let rules = risk::default_rules().unwrap();
    let wrong = CASES.replacen("\"decision\": \"allow\"", "\"decision\": \"refuse\"", 1);
    let mismatch = risk::read_cases(&wrong).unwrap()[0].run(&rules).unwrap().unwrap();
    assert!(
        mismatch.expected.starts_with("refuse") && mismatch.decided.starts_with("allow at 0"),
        "{mismatch:?}"
    );
    let wrong = [
        ("\"decision\": \"allow\"", "\"decision\": \"maybe\""),
        ("\"signals\": []", "\"signals\": [\"weather\"]"),
    ];
    for (from, to) in wrong {
        let case = &risk::read_cases(&CASES.replacen(from, to, 1)).unwrap()[0];
        assert!(case.run(&rules).is_err(), "{to}");
    }
    assert!(risk::read_cases("{}").is_err());
    assert!(risk::read_cases(&CASES.replacen("\"decision\"", "\"weather\": 1, \"decision\"", 1)).is_err());
}

#[test]
fn a_payload_becomes_a_request_and_what_is_opaque_has_no_amount() {
    let facts = Facts {
        format: "pain.001".into(),
        currency: "EUR".into(),
        amount: 5,
        destinations: ["iban:DE1".to_owned(), "iban:DE2".to_owned()].into(),
        ..Facts::default()
    };
    let asked = |facts: &Facts| risk::request(facts, &account('a'), Verb::Sign, 1, None, None);
    let request = asked(&facts);
    assert_eq!(request.spend.as_ref().map(|spend| (spend.currency(), spend.amount())), Some(("EUR", 5)));
    assert_eq!((request.counterparties.len(), request.opaque), (2, false));
    let opaque = asked(&Facts::opaque());
    assert_eq!((opaque.spend, opaque.counterparties.len(), opaque.opaque), (None, 0, true));
    assert_eq!(asked(&Facts::default()).spend, None, "it pays nobody");
}

#[test]
fn who_shows_no_payload_is_asked_about_by_the_embedded_rules_once_they_count() {
    let text = risk::DEFAULT
        .replace("mode = \"watch\"", &format!("mode = \"enforce\"\nrule = \"{}\"", "ab".repeat(32)));
    let rules = RuleSet::parse(&text).unwrap();
    let hidden = risk::request(&Facts::opaque(), &account('a'), Verb::Sign, 1, None, None);
    let judged = verdict(&rules, &History::default(), &hidden);
    assert_eq!(judged.acts, Decision::Ask, "{judged:?}");
}

#[test]
fn of_what_is_read_in_part_the_part_counts() {
    let ether = |value| Meaning {
        form: Form::Ethereum,
        network: Some("eip155:1".to_owned()),
        transfers: vec![Transfer {
            amount: Amount { value, decimals: 0, unit: "wei".to_owned() },
            to: "0xcontract".to_owned(),
        }],
        calls: vec![Call { to: Some("0xcontract".to_owned()), selector: Some([1; 4]) }],
        fee: None,
        digests: vec![[1; 32]],
    };
    let asked = |value| {
        let facts = Facts::of(&ether(value));
        assert_eq!((facts.opaque, facts.amount), (true, i64::MAX), "policies fear the worst");
        risk::request(&facts, &account('a'), Verb::Sign, 1, None, None)
    };
    let request = asked(7_000_000_000);
    assert_eq!(request.spend.as_ref().map(|spend| (spend.currency(), spend.amount())), Some(("gwei", 7)));
    assert_eq!((request.counterparties.len(), request.opaque), (1, true));
    assert_eq!(asked(u128::MAX).spend.map(|spend| spend.amount()), Some(i64::MAX as u64));
    assert_eq!(asked(0).spend, None);
}
