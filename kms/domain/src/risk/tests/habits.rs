//! What an account usually does, and what stands out.

use super::*;

#[test]
fn usual_payments_pass_and_a_thief_is_asked_about_or_refused() {
    let (rules, history) = (rules(), settled(30));
    let usual = verdict(&rules, &history, &pay(NOON, 5_000, "rent"));
    assert_eq!((usual.score, usual.acts, usual.words()), (0, Decision::Allow, String::new()));

    let night = NOON + 15 * HOUR;
    let thief = verdict(&rules, &history, &pay(night, 45_000, "thief"));
    assert_eq!(thief.acts, Decision::Ask, "{thief:?}");
    let said: Vec<_> = thief.reasons.iter().map(|reason| reason.signal).collect();
    assert_eq!(said, [Signal::Amount, Signal::Counterparty, Signal::Hour], "{thief:?}");
    // Who asks is told why, and no number.
    assert!(thief.words().contains("new to this account") && !thief.words().contains(char::is_numeric));
    assert_eq!(thief.reasons[0].detail(), "amount +43: 45000 of `EUR`, limit 20000 by the account's history");

    let elsewhere = Some(Mark::of_address(&ACCOUNT, [198, 51, 100, 1].into()));
    let worse = verdict(&rules, &history, &Request { origin: elsewhere, ..pay(night, 450_000, "thief") });
    assert_eq!(worse.acts, Decision::Refuse, "{worse:?}");
}

#[test]
fn a_set_that_watches_lets_pass_and_says_what_it_would_have_done() {
    let rules = RuleSet::parse(DEFAULT).unwrap();
    let judged = verdict(&rules, &settled(30), &pay(NOON, 100_000_000, "thief"));
    assert_eq!((judged.decision, judged.acts), (Decision::Refuse, Decision::Allow));
    // One that counts, and names no rule under which others could approve, refuses what it would ask about.
    let alone = RuleSet::parse(&DEFAULT.replace("\"watch\"", "\"enforce\"")).unwrap();
    let judged = verdict(&alone, &settled(30), &pay(NOON, 42_000, "thief"));
    assert_eq!((judged.decision, judged.acts), (Decision::Ask, Decision::Refuse), "{judged:?}");
}

#[test]
fn a_new_account_has_the_limits_of_the_set() {
    let rules = rules();
    let nothing = History::default();
    let below = verdict(&rules, &nothing, &pay(NOON, 200_000, "a"));
    assert_eq!((below.score, points(&below, Signal::Counterparty)), (35, 35), "{below:?}");
    let above = verdict(&rules, &nothing, &pay(NOON, 260_000, "a"));
    assert!(points(&above, Signal::Amount) > 0 && !above.reasons[0].adapted, "{above:?}");
    // Six days are not enough for anything to follow them; seven are.
    for (days, adapted) in [(6, false), (9, true)] {
        let limits = limits(&rules, &settled(days), NOON);
        assert!(limits.iter().all(|limit| limit.adapted == adapted), "{days}: {limits:?}");
        assert_eq!(limits.len(), 5);
    }
}

#[test]
fn what_happens_today_moves_nothing_today() {
    let (rules, mut history) = (rules(), settled(30));
    let before = limits(&rules, &history, NOON);
    for n in 0..500 {
        history.record(&pay(NOON + n * 100, 1_000_000, "rent"), Outcome::Allowed);
    }
    assert_eq!(limits(&rules, &history, NOON), before);
    // And tomorrow a whole day weighs no more than a busy one.
    let after = limits(&rules, &history, NOON + DAY);
    assert!(after[0].limit > before[0].limit && after[0].limit <= 20_000_000, "{after:?}");
}

#[test]
fn many_small_ones_are_seen_in_their_sum_and_pace() {
    let (rules, mut history) = (rules(), settled(30));
    let mut held = None;
    for n in 0..40_u64 {
        let judged = verdict(&rules, &history, &pay(NOON + n * 60_000, 9_900, "rent"));
        if judged.acts != Decision::Allow {
            assert!(points(&judged, Signal::Total) > 0 && points(&judged, Signal::Amount) == 0, "{judged:?}");
            held = Some(n);
            break;
        }
        history.record(&pay(NOON + n * 60_000, 9_900, "rent"), Outcome::Allowed);
    }
    assert!(held.is_some_and(|n| n < 25), "{held:?}");
}

#[test]
fn payments_in_other_currencies_make_nobody_forget_what_went_out_today() {
    let rules = rules();
    // On an account with habits, and on one without any: the first is in no currency that stands out.
    for mut history in [settled(30), History::default()] {
        let (mut now, mut passed) = (NOON, 0);
        let limit = limits(&rules, &settled(30), NOON)[0].limit;
        for round in 0..40_u64 {
            let one = pay(now, limit, "rent");
            let judged = verdict(&rules, &history, &one);
            let seen = judged.reasons.iter().find(|reason| reason.signal == Signal::Total);
            if passed * limit > 500_000 {
                assert!(seen.is_some_and(|reason| reason.seen > passed * limit), "{round}: {judged:?}");
            }
            history.record(&one, Outcome::Allowed);
            passed += 1;
            for token in 0..9 {
                now += 60_000;
                let dust = Spend::new(&format!("0x{round}-{token}"), 1 + token % 2);
                history.record(&Request { spend: Some(dust), ..pay(now, 0, "rent") }, Outcome::Allowed);
            }
            assert!(history.currencies.len() <= CURRENCIES_MAX);
        }
    }
    // What has a habit stays, however many came and went since.
    let mut history = settled(30);
    for day in 0..5 {
        for token in 0..9 {
            let dust = Spend::new(&format!("0x{day}-{token}"), 1);
            let time_ms = NOON + 3 * day * DAY + token;
            history.record(&Request { spend: Some(dust), ..pay(time_ms, 0, "rent") }, Outcome::Allowed);
        }
    }
    let later = limits(&rules, &history, NOON + 15 * DAY);
    assert!(later.iter().any(|limit| limit.of == "EUR" && limit.adapted), "{later:?}");
    assert_eq!(History::decode(&history.encode()).unwrap(), history);
}

#[test]
fn an_old_habit_fades() {
    let (rules, history) = (rules(), settled(30));
    assert!(limits(&rules, &history, NOON).iter().all(|limit| limit.adapted));
    assert!(limits(&rules, &history, NOON + 400 * DAY).iter().all(|limit| !limit.adapted));
}

#[test]
fn what_is_usual_on_an_account_says_less() {
    let (rules, mut history) = (rules(), History::default());
    for day in 0..30 {
        for n in 0..20 {
            let to = format!("customer-{day}-{n}");
            let request = Request { opaque: true, ..pay(NOON - (30 - day) * DAY + n * 60_000, 5_000, &to) };
            history.record(&request, Outcome::Allowed);
        }
    }
    let judged = verdict(&rules, &history, &Request { opaque: true, ..pay(NOON, 5_000, "another") });
    assert_eq!(points(&judged, Signal::Counterparty), 5, "the least: {judged:?}");
    assert_eq!(points(&judged, Signal::Opaque), 0);
    let strange = verdict(&rules, &settled(30), &Request { opaque: true, ..pay(NOON, 5_000, "rent") });
    assert_eq!(points(&strange, Signal::Opaque), 100);
    // One in four that nobody reads is not yet a custom that others hide behind.
    let mut mixed = History::default();
    for day in 0..30 {
        for n in 0..4 {
            let usual = pay(NOON - (30 - day) * DAY + n * 60_000, 5_000, "rent");
            mixed.record(&Request { opaque: n == 0, ..usual }, Outcome::Allowed);
        }
    }
    let hidden = Request { opaque: true, spend: None, counterparties: Vec::new(), ..pay(NOON, 0, "rent") };
    assert_eq!(verdict(&rules, &mixed, &hidden).acts, Decision::Ask);
}

#[test]
fn whom_others_approved_is_known_at_once_and_others_with_time() {
    let rules = rules();
    let new = pay(NOON, 5_000, "new");
    for (outcome, left) in [(Outcome::Allowed, 17), (Outcome::Approved, 0)] {
        let mut history = settled(30);
        let first = verdict(&rules, &history, &new);
        assert!(points(&first, Signal::Counterparty) >= 34, "{first:?}");
        history.record(&new, outcome);
        let again = verdict(&rules, &history, &pay(NOON + HOUR, 5_000, "new"));
        assert_eq!(points(&again, Signal::Counterparty), left, "{again:?}");
        let later = verdict(&rules, &history, &pay(NOON + 48 * HOUR, 5_000, "new"));
        assert_eq!(points(&later, Signal::Counterparty), 0);
    }
}

#[test]
fn failed_log_ins_count_until_a_day_has_passed() {
    let (rules, mut history) = (rules(), settled(30));
    (0..6).for_each(|n| history.login_failed(NOON + n * 1000));
    let at = |time_ms| points(&verdict(&rules, &history, &pay(time_ms, 5_000, "rent")), Signal::Logins);
    assert_eq!((at(NOON + HOUR), at(NOON + 36 * HOUR + DAY)), (24, 0));
    (0..1000).for_each(|n| history.login_failed(NOON + n));
    let judged = verdict(&rules, &history, &pay(NOON + HOUR, 5_000, "rent"));
    assert_eq!(
        (points(&judged, Signal::Logins), judged.acts),
        (40, Decision::Allow),
        "a stranger stops nobody"
    );
}

#[test]
fn a_delegate_another_app_and_another_currency_stand_out() {
    let (rules, history) = (rules(), settled(30));
    let usual = pay(NOON, 5_000, "rent");
    let odd = [
        (Signal::Act, Request { verb: Verb::Act, ..usual.clone() }),
        (Signal::App, Request { app: Some(Mark::of_app(&ACCOUNT, "app/other")), ..usual.clone() }),
        (Signal::Currency, Request { spend: Some(Spend::new("USD", 1)), ..usual.clone() }),
        (Signal::Hour, Request { time_ms: NOON + 14 * HOUR, ..usual }),
    ];
    for (signal, request) in odd {
        let judged = verdict(&rules, &history, &request);
        let said: Vec<_> = judged.reasons.iter().map(|reason| reason.signal).collect();
        assert_eq!(said, [signal], "{judged:?}");
    }
}

#[test]
fn a_replay_shows_what_another_set_would_have_done() {
    let (standing, tried) = (RuleSet::parse(DEFAULT).unwrap(), rules());
    let mut events: Vec<_> = (0..30)
        .map(|day| pay(NOON + day * DAY, 5_000, "rent"))
        .chain([pay(NOON + 30 * DAY, 100_000_000, "thief")])
        .map(|request| Event { account: ACCOUNT, request, outcome: Some(Outcome::Allowed) })
        .collect();
    events.reverse();
    let shown = replay(&standing, &tried, events.clone(), 0);
    assert_eq!((shown.requests, shown.accounts, shown.changes), (31, 1, 1));
    assert_eq!((shown.before.allowed, shown.after.allowed, shown.after.refused), (31, 30, 1));
    assert_eq!(shown.changed[0].time_ms, NOON + 30 * DAY);
    assert!(shown.changed[0].after.reasons[0].adapted, "the habit is of the requests replayed");
    let late = replay(&standing, &tried, events, NOON + 30 * DAY);
    assert_eq!((late.requests, late.changed), (1, shown.changed));
    assert_eq!(replay(&standing, &tried, Vec::new(), 0), Replay::default());
    let many = (0..400).map(|n| Event {
        account: AccountId([n as u8; 32]),
        request: pay(NOON + n, 100_000_000, "thief"),
        outcome: None,
    });
    let many = replay(&standing, &tried, many.collect(), 0);
    assert_eq!((many.changes, many.changed.len(), many.accounts), (400, CHANGES_MAX, 256));
    assert_eq!(many.changed.last().unwrap().time_ms, NOON + 399);
}
