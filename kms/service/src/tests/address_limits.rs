//! Limits of addresses: which rate rules are handed in, and with which ones a service starts.

use std::time::Duration;

use keyward_domain::Code;
use keyward_ledger_core::{
    entry::{Act, Define, Party, RateTerms, Window, kind},
    state::layout::{RateState, rate_key},
};

use super::{
    addresses_faults::{RULE, rate},
    approvals::{Desk, hand_in, party, rule},
    delegation::Somebody,
    world::{Mood, World, code},
};
use crate::{
    approvals::entries::Kind, failure::Failure, hex::hex, ports::Ledger as _, vaults::entries::HandedIn,
};

const MINUTE_MS: u64 = 60_000;

fn terms(windows: &[(u64, u64)], chargers: &[Party]) -> RateTerms {
    let window = |(length_ms, count_max): &(u64, u64)| Window {
        length_ms: *length_ms,
        count_max: *count_max,
        amount_max: 0,
    };
    RateTerms { windows: windows.iter().map(window).collect(), chargers: chargers.to_vec() }
}

fn defining(desk: &Desk, who: &Somebody, version: u32, terms: RateTerms) -> Vec<u8> {
    who.say(&desk.world, Act::DefineRate(Define { rule: rule(desk.dora.account()), version, terms }))
}

async fn define(desk: &Desk, version: u32, terms: RateTerms) -> Result<HandedIn, Failure> {
    let entry = defining(desk, &desk.dora, version, terms);
    hand_in(&desk.world.custody, &desk.dora.caller, Kind::Define, &entry, None).await
}

#[tokio::test]
async fn an_account_defines_a_rate_that_addresses_are_counted_by_and_no_other() {
    let desk = Desk::without_rule().await;
    let log = desk.world.ledger.log().len();
    for bad in [
        terms(&[], &[]),
        terms(&[(MINUTE_MS, 2), (2 * MINUTE_MS, 2)], &[]),
        terms(&[(MINUTE_MS, 2)], &[party(&desk.bob)]),
        terms(&[(MINUTE_MS, 0)], &[]),
        terms(&[(0, 2)], &[]),
        terms(&[(999, 2)], &[]),
        terms(&[(366 * 24 * 60 * MINUTE_MS + 1, 2)], &[]),
    ] {
        assert_eq!(code(define(&desk, 1, bad).await), Code::RuleInvalid);
    }
    // What another has signed, and what is none of the call.
    let good = terms(&[(MINUTE_MS, 2)], &[]);
    let entry = defining(&desk, &desk.dora, 1, good.clone());
    let by_bob = hand_in(&desk.world.custody, &desk.bob.caller, Kind::Define, &entry, None).await;
    assert_eq!(code(by_bob), Code::NotAllowed);
    for kind in [Kind::Ask, Kind::Give, Kind::Refuse, Kind::Withdraw] {
        let handed_in = hand_in(&desk.world.custody, &desk.dora.caller, kind, &entry, None).await;
        assert_eq!(code(handed_in), Code::ApprovalRequestMalformed, "{kind:?}");
    }
    assert_eq!(desk.world.ledger.log().len(), log, "nothing took a place on the ledger");
    let entry = defining(&desk, &desk.bob, 1, good.clone());
    let not_his = hand_in(&desk.world.custody, &desk.bob.caller, Kind::Define, &entry, None).await;
    assert_eq!(code(not_his), Code::AuthorNotNamed);
    assert_eq!(code(define(&desk, 2, good.clone()).await), Code::RuleVersion);

    define(&desk, 1, good.clone()).await.unwrap();
    define(&desk, 2, terms(&[(1_000, u64::MAX)], &[])).await.unwrap();
    let id = rule(desk.dora.account()).id(kind::DEFINE_RATE);
    let stands = desk.world.ledger.state(rate_key(&id)).await.unwrap().unwrap();
    assert_eq!(RateState::decode(&stands).unwrap().version, 2);
    let shown = desk.world.custody.show_rate_rule(&desk.bob.caller, &id).await.unwrap();
    assert!(shown.names.is_none());
    let listed = desk.world.custody.show_approval_rules(&desk.dora.caller, None).await.unwrap();
    assert!(listed.is_empty(), "it is no approval rule");
}

#[tokio::test]
async fn a_configured_rule_that_counts_nothing_is_said_at_the_start() {
    let world = World::limited(RULE).await;
    let start = async || world.custody.check_limit(Duration::ZERO).await;
    let unknown = start().await.unwrap_err();
    assert_eq!(unknown.code, Code::RuleUnknown);
    for part in ["`limit` of `[addresses]`", &hex(&RULE), "keyward address limit define"] {
        assert!(unknown.message.contains(part), "{unknown}");
    }
    rate(&world, &[MINUTE_MS, 2 * MINUTE_MS], 2);
    let other = start().await.unwrap_err();
    assert_eq!(other.code, Code::RuleInvalid);
    assert!(other.message.contains("2 windows"), "{other}");
    // Where the ledger does not answer, the service starts, and each use asks again.
    world.ledger.set(Mood::Gone);
    start().await.unwrap();
    world.ledger.set(Mood::Good);
    rate(&world, &[MINUTE_MS], 2);
    start().await.unwrap();
    World::new().await.custody.check_limit(Duration::ZERO).await.unwrap();
}
