//! The bytes of histories and requests, and the hash of rules.

use super::*;
use crate::risk::habit::{Habit, Today, UNIT};
use crate::risk::known::{Seen, Share};

const HISTORY: &str = include_str!("history.hex");

/// Payments and log-ins of two days.
fn known() -> History {
    let mut history = History::default();
    history.record(&pay(NOON, 5_000, "rent"), Outcome::Allowed);
    history.login_failed(NOON + 1);
    history.record(&Request { opaque: true, ..pay(NOON + DAY, 7_000, "food") }, Outcome::Approved);
    let dollars = Some(Spend::new("USD", 1_000_000));
    let act = Request { verb: Verb::Act, spend: dollars, ..pay(NOON + DAY + 1000, 0, "rent") };
    history.record(&act, Outcome::Allowed);
    history
}

#[test]
fn the_bytes_of_a_history_are_the_golden_ones() {
    // A change of these bytes is a change of format: a new version beside the old one, never in its place.
    let golden: String = HISTORY.split_whitespace().collect();
    assert_eq!(hex::encode(known().encode()), golden);
    let read = History::decode(&hex::decode(golden).unwrap()).unwrap();
    assert_eq!(read, known());
    let judged = verdict(&rules(), &read, &pay(NOON + 2 * DAY, 900_000, "thief"));
    assert_eq!(judged.score, 25 + 30 + 25 + 11 + 35, "{judged:?}");
}

#[test]
fn a_history_prints_nothing_of_what_it_knows() {
    assert_eq!(format!("{:?}", known()), "History(redacted)");
}

#[test]
fn the_bytes_of_a_request_are_the_golden_ones() {
    let request = pay(NOON, 5_000, "rent");
    let golden =
        "010000019b8e0746000100010000000345555200000000000013880000000107ce20f808ebb2e7623acfde2713de6501
        dca28e0368428f1fec3378df4ea25d74012e29a6b22536db09156a29122845b02d";
    let golden: String = golden.split_whitespace().collect();
    assert_eq!(hex::encode(request.encode()), golden);
    assert_eq!(Request::decode(&request.encode()).unwrap(), request);
    for cut in 0..request.encode().len() {
        assert!(Request::decode(&request.encode()[..cut]).is_err());
    }
    assert!(Request::decode(&[&request.encode()[..], &[0]].concat()).is_err());
}

#[test]
fn labels_have_their_lengths_and_marks_differ() {
    let other = AccountId([8; 32]);
    let marks = [
        Mark::of_counterparty(&ACCOUNT, "a"),
        Mark::of_counterparty(&other, "a"),
        Mark::of_app(&ACCOUNT, "a"),
        Mark::of_address(&ACCOUNT, [97, 0, 0, 0].into()),
        Mark::of_certificate(&ACCOUNT, &[97; 32]),
    ];
    let different: std::collections::BTreeSet<_> = marks.into_iter().collect();
    assert_eq!(different.len(), 5);
    let of = |address: &str| Mark::of_address(&ACCOUNT, address.parse().unwrap());
    assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.200"));
    assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
    assert_eq!(of("2001:db8:1::1"), of("2001:db8:1:ffff::2"));
    assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
    assert!(!format!("{:?}", marks[0]).contains(char::is_numeric));
    // A name that is too long stands as its hash, so that it is the same one again.
    let long = Spend::new(&"x".repeat(65), 1);
    assert_eq!(long, Spend::new(&"x".repeat(65), 1));
    assert_eq!(long.currency().len(), 64);
}

#[test]
fn the_longest_history_has_its_bound() {
    let full = |steps: u8| Habit { weights: full_steps(steps) };
    let mut history = History { hours: full(24), hours_today: full_steps(24), ..History::default() };
    history.paces = [full(252), full(252), full(252)];
    history.currencies = (0..CURRENCIES_MAX)
        .map(|n| {
            let mut currency = crate::risk::currency::Currency::new(&format!("{n:064}"));
            currency.amounts = full(252);
            currency.amounts_today = full_steps(252);
            currency.totals = full(252);
            currency
        })
        .collect();
    history.counterparties.seen = seen(128);
    history.apps.seen = seen(16);
    history.origins.seen = seen(32);
    let bytes = history.encode();
    assert!(bytes.len() <= HISTORY_LEN_MAX && bytes.len() > HISTORY_LEN_MAX * 9 / 10, "{}", bytes.len());
    assert_eq!(History::decode(&bytes).unwrap(), history);
    assert!(History::decode(&[&bytes[..], &[0; 8192]].concat()).is_err());
}

fn full_steps(steps: u8) -> Today {
    (0..steps).map(|step| (step, u32::MAX)).collect()
}

fn seen(count: u8) -> Vec<Seen> {
    let seen = |n| Seen { mark: Mark([n; 16]), first_minute: 1, last_minute: 2, approved: true };
    (0..count).map(seen).collect()
}

#[test]
fn a_million_requests_take_no_more_room_than_a_hundred_thousand() {
    let mut history = History::default();
    let mut lengths = Vec::new();
    for n in 0..200_000_u64 {
        let request = pay(NOON + n * 120_000, 1 + n * n % 1_000_003, &(n % 500).to_string());
        history.record(&request, Outcome::Allowed);
        if n % 50_000 == 49_999 {
            lengths.push(history.encode().len());
        }
    }
    assert!(lengths.iter().all(|length| *length < 8_000), "{lengths:?}");
    let weights = history.currencies[0].amounts.weights.values();
    assert!(weights.clone().all(|weight| *weight < u32::MAX / 2), "the habit does not overflow");
    assert!(weights.map(|weight| u64::from(*weight)).sum::<u64>() < 50 * 32 * u64::from(UNIT));
}

#[test]
fn what_no_history_has_is_refused() {
    let bytes = known().encode();
    for cut in 0..bytes.len() {
        assert!(History::decode(&bytes[..cut]).is_err(), "{cut}");
    }
    let mut other = bytes.clone();
    other[0] = 2;
    assert!(History::decode(&other).is_err(), "another version");
    let refused = |change: &dyn Fn(&mut History)| {
        let mut history = known();
        change(&mut history);
        assert!(History::decode(&history.encode()).is_err(), "{history:?}");
    };
    refused(&|history| history.currencies.reverse());
    refused(&|history| history.counterparties.seen.reverse());
    refused(&|history| history.apps.seen = seen(17));
    refused(&|history| history.hours.weights = Today::from([(24, 1)]));
    refused(&|history| history.hours.weights = Today::from([(3, 0)]));
    refused(&|history| history.paces[0].weights = Today::from([(252, 1)]));
    refused(&|history| history.shares[0] = Share { so: 2, all: 1, so_today: 0, all_today: 0 });
    refused(&|history| history.shares[0] = Share { so: 0, all: 1, so_today: 2, all_today: 1 });
}
