//! The workload that detection is measured on, and what the default set is worth on it.

use super::*;
use crate::risk::simulate::{Attack, DAYS, Figures, Happening, Kind, Workload};

fn judged(rules: &RuleSet) -> Figures {
    Workload { seed: 1, accounts: 80, days: *DAYS.start() }.judge(rules, |_| ())
}

#[test]
fn one_seed_makes_one_workload_with_every_attack() {
    let workload = Workload { seed: 1, accounts: 40, days: 90 };
    let attacks: Vec<_> = (0..40).filter_map(|number| workload.cast(number).1).collect();
    assert_eq!(attacks.len(), 30);
    assert!(Attack::ALL.iter().all(|attack| attacks.contains(attack)));
    for number in 0..8 {
        let all = workload.happenings(number);
        assert_eq!(all, workload.happenings(number));
        assert_ne!(all, Workload { seed: 2, ..workload }.happenings(number));
        let thief = |one: &Happening| matches!(one, Happening::Asked(_, Some(_)));
        assert_eq!(all.iter().any(thief), workload.cast(number).1.is_some());
    }
}

#[test]
fn the_default_set_holds_takeovers_and_few_owners() {
    let figures = judged(&RuleSet::parse(EMBEDDED).unwrap());
    assert_eq!(figures.caught.iter().map(|(_, caught)| caught.attacks).sum::<u64>(), 60);
    let (attack, caught) = figures.caught[0];
    assert!(attack == Attack::Takeover && caught.held >= 8, "{figures:?}");
    // The limits of the embedded rules are no treasury's: what is refused from the start never becomes a habit.
    for (kind, alarms) in figures.alarms.iter().filter(|(kind, _)| *kind != Kind::Treasury) {
        let stopped = alarms.usual.asked + alarms.usual.refused;
        assert!(stopped * 100 <= alarms.usual.all(), "{}: {alarms:?}", kind.name());
    }
    assert_eq!(figures, judged(&RuleSet::parse(EMBEDDED).unwrap()));
    assert_eq!(figures.alarms.len(), Kind::ALL.len());
    // Against those before: more attacks, and no more of the owners' requests.
    let before = judged(&RuleSet::parse(DEFAULT).unwrap());
    assert!(held(&figures) * 10 >= held(&before) * 13, "{figures:?} {before:?}");
    assert!(stopped(&figures) <= stopped(&before), "{figures:?} {before:?}");
}

fn held(figures: &Figures) -> u64 {
    figures.caught.iter().map(|(_, caught)| caught.held).sum()
}

/// Of owners' requests, but for the treasuries'.
fn stopped(figures: &Figures) -> u64 {
    let others = figures.alarms.iter().filter(|(kind, _)| *kind != Kind::Treasury);
    others.map(|(_, alarms)| alarms.usual.asked + alarms.usual.refused).sum()
}

#[test]
fn a_set_without_its_signals_holds_fewer() {
    let all = judged(&RuleSet::parse(DEFAULT).unwrap());
    let deaf = DEFAULT.replace("points_max = 80", "points_max = 25").replace("points = 35", "points = 5");
    let few = judged(&RuleSet::parse(&deaf).unwrap());
    assert!(held(&few) < held(&all), "{few:?}");
}
