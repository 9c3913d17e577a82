//! Texts that are no rule set.

use super::*;
use crate::code::{Code, Coded as _};

fn refused(text: &str) -> RuleSetError {
    RuleSet::parse(text).map(|rules| rules.name().to_owned()).unwrap_err()
}

#[test]
fn the_default_set_reads_and_is_known_by_its_text() {
    let rules = RuleSet::parse(DEFAULT).unwrap();
    assert_eq!(
        (rules.name(), rules.enforces(), rules.rule(), rules.scores()),
        ("default", false, None, (60, 110))
    );
    assert_eq!((rules.hash(), rules.silent()), (rules_text_hash(DEFAULT), Vec::new()));
    let hash: String = rules.hash().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "8b36c352e1fccdee745eb6c191c5dc1813f9cb9b7dc1022ddac40306e6e7a6f7");
    assert_ne!(rules_text_hash(DEFAULT), rules_text_hash(&format!("{DEFAULT}\n")));
    assert_eq!(super::rules().rule(), Some([0xab; 32]));
}

#[test]
fn what_is_not_known_or_does_not_hold_is_refused_by_name() {
    let invalid = [
        ("version = 1\n", "version = 2\n", "version"),
        ("name = \"default\"", "name = \"De fault\"", "name"),
        ("ask = 60", "ask = 0", "ask"),
        ("ask = 60", "ask = 111", "refuse"),
        ("refuse = 110", "refuse = 59", "refuse"),
        ("refuse = 110", "refuse = 20000", "refuse"),
        ("days = 7", "days = 0", "adapt.days"),
        ("days = 7", "days = 21", "adapt.days"),
        ("requests = 10", "requests = 501", "adapt.requests"),
        (
            "points = 25\npoints_per_doubling = 15\npoints_max = 80",
            "points = 81\npoints_per_doubling = 15\npoints_max = 80",
            "amount.points",
        ),
        ("points_max = 80", "points_max = 1001", "amount"),
        ("points_per_doubling = 15", "points_per_doubling = 1001", "amount.points_per_doubling"),
        ("quantile_permille = 950", "quantile_permille = 1000", "amount.quantile_permille"),
        ("quantile_permille = 950", "quantile_permille = 499", "amount.quantile_permille"),
        ("multiple_percent = 200", "multiple_percent = 99", "amount.multiple_percent"),
        ("EUR = { start = 200_000", "EUR = { start = 19_999", "amount.bounds.EUR"),
        ("EUR = { start = 200_000", "EUR = { start = 20_000_001", "amount.bounds.EUR"),
        ("\"*\" = { start = 200_000, least = 20_000, most = 20_000_000 }", "", "amount.bounds"),
        ("minute = { start", "second = { start", "pace.bounds"),
        ("rare_permille = 15", "rare_permille = 0", "hour.rare_permille"),
        ("settle_hours = 48", "settle_hours = 721", "counterparty.settle_hours"),
        ("points = 35\npoints_least = 5", "points = 35\npoints_least = 36", "counterparty.points_least"),
        ("points = 100\npoints_least = 0", "points = 100\npoints_least = 101", "opaque.points_least"),
        ("points_each = 8", "points_each = 41", "logins.points_each"),
        ("free = 3", "free = 1001", "logins.free"),
        ("# rule = \"..\"", "rule = \"ab\"", "rule"),
        ("# rule = \"..\"", &format!("rule = \"{}\"", "AB".repeat(32)), "rule"),
    ];
    for (from, to, named) in invalid {
        assert!(DEFAULT.contains(from), "{from}");
        match refused(&DEFAULT.replacen(from, to, 1)) {
            RuleSetError::Invalid { field, .. } => assert_eq!(field, named, "{to}"),
            other => panic!("{to}: {other}"),
        }
    }
    let few = "version = 1\nname = \"few\"\nmode = \"watch\"\nask = 60\nrefuse = 90\n[adapt]\ndays = 7\nrequests = 10\n";
    let hour = format!("{few}[hour]\npoints = 59\nrare_permille = 10\n");
    assert_eq!(refused(&hour).code(), Code::RiskInvalid, "no score can reach `ask`");
    let enough = RuleSet::parse(&hour.replace("59", "60")).unwrap();
    assert_eq!(enough.silent().len(), 10);
}

#[test]
fn who_hides_a_payload_does_not_pass_a_set_that_enforces() {
    let enforced = DEFAULT.replace("\"watch\"", "\"enforce\"");
    let opaque = |points: &str| {
        enforced.replace("points = 100\npoints_least = 0", &format!("points = {points}\npoints_least = 0"))
    };
    let lax = refused(&opaque("59"));
    assert!(matches!(&lax, RuleSetError::Invalid { field, .. } if field == "opaque"), "{lax}");
    assert!(lax.to_string().contains("`ask`"), "{lax}");
    RuleSet::parse(&opaque("60")).unwrap();
    RuleSet::parse(&opaque("59").replace("\"enforce\"", "\"watch\"")).unwrap();
    let start = "version = 1\nname = \"few\"\nmode = \"enforce\"\nask = 60\nrefuse = 90\n[adapt]\ndays = 7\nrequests = 10\n";
    let level = |name: &str| {
        format!(
            "{start}[{name}]\npoints = 60\npoints_per_doubling = 0\npoints_max = 60\nquantile_permille = 950\n\
             multiple_percent = 200\n[{name}.bounds]\n\"*\" = {{ start = 1, least = 1, most = 1 }}\n"
        )
    };
    let novelty = format!("{start}[counterparty]\npoints = 60\npoints_least = 0\nsettle_hours = 1\n");
    let rarity = format!("{start}[currency]\npoints = 60\npoints_least = 0\n");
    for text in [level("amount"), level("total"), novelty, rarity] {
        assert_eq!(refused(&text).code(), Code::RiskInvalid, "{text}");
        RuleSet::parse(&format!("{text}[opaque]\npoints = 60\npoints_least = 0\n")).unwrap();
    }
    // What looks at nothing that can be hidden needs none.
    RuleSet::parse(&format!("{start}[hour]\npoints = 60\nrare_permille = 10\n")).unwrap();
}

#[test]
fn what_is_no_rule_set_is_refused() {
    let unreadable = [
        ("ask = 60", "ask = 60\nask = 61"),
        ("ask = 60", "ask = -1"),
        ("ask = 60", "ask = 6.5"),
        ("ask = 60", "ask = \"60\""),
        ("mode = \"watch\"", "mode = \"sleep\""),
        ("mode = \"watch\"\n", ""),
        ("[currency]", "[weather]"),
        ("rare_permille = 15", "rare_permille = 15\nweekday = 3"),
        ("free = 3", "free = 99999999999999999999"),
        ("start = 200_000", "start = \"200\""),
    ];
    for (from, to) in unreadable {
        assert!(DEFAULT.contains(from), "{from}");
        let error = refused(&DEFAULT.replacen(from, to, 1));
        assert_eq!(error.code(), Code::RiskUnreadable, "{to}: {error}");
    }
    // It says what, and where.
    let error = refused(&DEFAULT.replacen("[currency]", "[weather]", 1)).to_string();
    assert!(error.contains("weather"), "{error}");
    let long = format!("{DEFAULT}{}", "#".repeat(RULES_TEXT_LEN_MAX));
    assert_eq!(refused(&long).code(), Code::RiskTooLarge);
    assert_eq!(refused("").code(), Code::RiskUnreadable);
}
