//! What holds for every history and request.

use proptest::prelude::*;

use super::*;

fn request() -> impl Strategy<Value = (u64, Request, bool)> {
    let spend = proptest::option::of((0..12_u8, any::<u64>(), 0..64_u32));
    (0..3 * DAY, spend, any::<bool>(), 0..300_u16, 0..40_u8, 0..60_u8, any::<(bool, bool)>()).prop_map(
        |(pause, spend, opaque, to, app, origin, (act, approved))| {
            let request = Request {
                time_ms: 0,
                verb: if act { Verb::Act } else { Verb::Sign },
                opaque,
                spend: spend.map(|(unit, amount, less)| Spend::new(&format!("C{unit}"), amount >> less)),
                counterparties: vec![payee(&to.to_string())],
                app: Some(Mark::of_app(&ACCOUNT, &app.to_string())),
                origin: Some(Mark::of_address(&ACCOUNT, [192, 0, origin, 1].into())),
            };
            (pause, request, approved)
        },
    )
}

fn history() -> impl Strategy<Value = History> {
    proptest::collection::vec(request(), 0..120).prop_map(|requests| {
        let (mut history, mut now) = (History::default(), NOON);
        for (pause, request, approved) in requests {
            now += pause;
            let outcome = if approved { Outcome::Approved } else { Outcome::Allowed };
            history.record(&Request { time_ms: now, ..request }, outcome);
            if approved {
                history.login_failed(now);
            }
        }
        history
    })
}

fn score(history: &History, request: &Request) -> u32 {
    verdict(&rules(), history, request).score
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_larger_amount_never_lowers_the_score(history in history(), one in request(), more in any::<u64>()) {
        let (_, request, _) = one;
        let spend = request.spend.clone().unwrap_or(Spend::new("C1", 1));
        let larger = Spend::new(spend.currency(), spend.amount().saturating_add(more));
        let of = |spend| Request { spend: Some(spend), ..request.clone() };
        prop_assert!(score(&history, &of(larger)) >= score(&history, &of(spend)));
    }

    #[test]
    fn strangers_and_what_nobody_reads_never_lower_the_score(history in history(), one in request()) {
        let (_, request, _) = one;
        let usual = Request { time_ms: history.last_ms, opaque: false, verb: Verb::Sign, ..request };
        let least = score(&history, &usual);
        let mut more = usual.clone();
        more.counterparties.push(payee("nobody has ever paid this one"));
        prop_assert!(score(&history, &more) >= least);
        let opaque = Request { opaque: true, ..usual.clone() };
        prop_assert!(score(&history, &opaque) >= least);
        let delegate = Request { verb: Verb::Act, ..usual.clone() };
        prop_assert!(score(&history, &delegate) >= least);
        let mut failed = history.clone();
        (0..10).for_each(|_| failed.login_failed(usual.time_ms));
        prop_assert!(score(&failed, &usual) >= least);
    }

    #[test]
    fn who_hides_a_payload_passes_only_where_that_is_usual(history in history(), one in request()) {
        let (pause, request, _) = one;
        let hidden = Request {
            time_ms: history.last_ms + pause,
            opaque: true,
            spend: None,
            counterparties: Vec::new(),
            ..request
        };
        let judged = verdict(&rules(), &history, &hidden);
        let mut standing = history.clone();
        standing.enter(hidden.time_ms);
        let usual = standing.share(crate::risk::history::Rare::Opaque).permille();
        prop_assert!(judged.acts > Decision::Allow || usual >= 400, "{}: {:?}", usual, judged);
    }

    #[test]
    fn limits_stay_within_the_published_bounds(history in history(), days in 0..50_u64) {
        let rules = rules();
        for limit in limits(&rules, &history, history.last_ms + days * DAY) {
            let level = match limit.signal {
                Signal::Amount => rules.text.amount.as_ref(),
                Signal::Total => rules.text.total.as_ref(),
                _ => rules.text.pace.as_ref(),
            };
            let bounds = level.unwrap().of(&limit.of);
            prop_assert!((bounds.least..=bounds.most).contains(&limit.limit), "{:?}", limit);
            prop_assert!(limit.adapted || limit.limit == bounds.start);
        }
    }

    #[test]
    fn growing_day_by_day_never_passes_the_bound(growth in 1..40_u64, days in 30..400_u64) {
        let (rules, mut history, mut amount) = (rules(), History::default(), 10_000_u64);
        for day in 0..days {
            history.record(&pay(NOON + day * DAY, amount, "rent"), Outcome::Allowed);
            amount = amount.saturating_add(amount / 100 * growth).min(1 << 60);
        }
        let last = NOON + days * DAY;
        let judged = verdict(&rules, &history, &pay(last, 20_000_001 * 2, "rent"));
        prop_assert!(points(&judged, Signal::Amount) >= 25, "{:?}", judged);
        prop_assert!(limits(&rules, &history, last)[0].limit <= 20_000_000);
    }

    #[test]
    fn a_history_comes_back_from_its_bytes_and_judges_alike(history in history(), one in request()) {
        let bytes = history.encode();
        prop_assert!(bytes.len() <= HISTORY_LEN_MAX);
        let again = History::decode(&bytes).unwrap();
        prop_assert_eq!(&again, &history);
        let (pause, request, _) = one;
        let request = Request { time_ms: history.last_ms + pause, ..request };
        prop_assert_eq!(verdict(&rules(), &again, &request), verdict(&rules(), &history, &request));
        prop_assert_eq!(Request::decode(&request.encode()).unwrap(), request);
    }

    #[test]
    fn no_bytes_are_read_as_another_history(history in history(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let mut bytes = history.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(other) = History::decode(&bytes) {
            prop_assert_eq!(other.encode(), bytes);
        }
    }

    #[test]
    fn a_clock_that_goes_back_is_borne(history in history(), one in request(), back in 0..30 * DAY) {
        let (_, request, _) = one;
        let early = Request { time_ms: history.last_ms.saturating_sub(back), ..request };
        let mut after = history.clone();
        after.record(&early, Outcome::Allowed);
        prop_assert_eq!(after.last_ms, history.last_ms.max(early.time_ms));
        verdict(&rules(), &after, &early);
    }
}
