//! Limits of addresses: rate rules that an account defines, and that the ledger proves.

use keyward_client::addresses::{AddressLimit, AddressesError};
use keyward_domain::ApprovalRuleName;
use keyward_ledger_core::entry::{RateTerms, RuleName, Window, kind};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::state::layout::{RateState, Spent, approval_key, rate_key};
use keyward_proto::custody::ListApprovalRulesResponse;

use crate::approvals::world::{ANNA, BORIS, DORA, Lies, World, login, rule, terms};

const MINUTE_MS: u64 = 60_000;
const LONGEST_MS: u64 = 366 * 24 * 60 * MINUTE_MS;

fn name() -> Hash {
    ApprovalRuleName::parse("addresses").unwrap().id()
}

fn limit(count: u64) -> AddressLimit {
    AddressLimit::new(count, MINUTE_MS).unwrap()
}

fn code<T>(result: Result<T, AddressesError>) -> String {
    result.err().and_then(|error| error.code().map(str::to_owned)).unwrap_or_default()
}

fn answering(
    lie: impl Fn(&World, ListApprovalRulesResponse) -> ListApprovalRulesResponse + Send + 'static,
) -> Lies {
    Lies { rules: Some(Box::new(lie)), ..Lies::default() }
}

#[test]
fn a_limit_lets_something_through_in_a_window_that_the_ledger_takes() {
    for (count, window_ms) in [(1, 1_000), (u64::MAX, LONGEST_MS)] {
        let made = AddressLimit::new(count, window_ms).unwrap();
        assert_eq!((made.count(), made.window_ms()), (count, window_ms));
    }
    for (count, window_ms) in [(0, MINUTE_MS), (1, 0), (1, 999), (1, LONGEST_MS + 1), (1, u64::MAX)] {
        assert_eq!(code(AddressLimit::new(count, window_ms)), "RULE_INVALID", "{count} in {window_ms}");
    }
}

#[tokio::test]
async fn a_limit_is_proven_to_anybody_and_defined_anew_under_the_same_id() {
    let world = World::start().await;
    let (dora, anna) = (world.client(DORA).await, world.client(ANNA).await);
    let (_, id) = dora.define_address_limit(&login(DORA), &name(), limit(2)).await.unwrap();
    assert_eq!(id, RuleName { owner: DORA, name: name() }.id(kind::DEFINE_RATE));
    let shown = anna.address_limit(&id).await.unwrap();
    assert_eq!((shown.id, shown.version, shown.limit), (id, 1, limit(2)));
    let (_, again) = dora.define_address_limit(&login(DORA), &name(), limit(3)).await.unwrap();
    let shown = anna.address_limit(&again).await.unwrap();
    assert_eq!((shown.id, shown.version, shown.limit), (id, 2, limit(3)));
    // Of the same name and another account it is another rule, and an approval rule is none.
    let (_, other) = anna.define_address_limit(&login(ANNA), &name(), limit(9)).await.unwrap();
    assert_ne!(other, id);
    dora.define_approval_rule(&login(DORA), &rule().name, terms(1)).await.unwrap();
    for unknown in [[9; 32], rule().id(kind::DEFINE_APPROVAL), rule().id(kind::DEFINE_RATE)] {
        assert_eq!(code(anna.address_limit(&unknown).await), "RULE_UNKNOWN");
    }
}

#[tokio::test]
async fn a_rule_that_counts_no_addresses_is_not_shown_as_a_limit() {
    let world = World::start().await;
    let window = |length_ms| Window { length_ms, count_max: 2, amount_max: 0 };
    let windows = vec![window(MINUTE_MS), window(2 * MINUTE_MS)];
    let spent = windows.iter().map(|_| Spent { index: 0, count: 0, amount: 0 }).collect();
    let state = RateState { version: 1, terms: RateTerms { windows, chargers: Vec::new() }, spent };
    world.chain.lock().unwrap().state.insert(&rate_key(&[7; 32]), &state.encode());
    assert_eq!(code(world.client(ANNA).await.address_limit(&[7; 32]).await), "RULE_INVALID");
}

#[tokio::test]
async fn nothing_is_signed_for_another_account_without_trust_or_over_a_lie() {
    let world = World::start().await;
    let boris = world.client(BORIS).await;
    let define = async || boris.define_address_limit(&login(BORIS), &name(), limit(2)).await;
    let of_another = boris.define_address_limit(&login(DORA), &name(), limit(2)).await;
    assert_eq!(code(of_another), "APPROVAL_OTHER_ACCOUNT");
    let untrusting = world.untrusting(BORIS).await;
    let untrusted = untrusting.define_address_limit(&login(BORIS), &name(), limit(2)).await;
    assert_eq!(code(untrusted), "ADDRESSES_TRUST_MISSING");

    world.lie(answering(|_, _| ListApprovalRulesResponse { rules: Vec::new() }));
    assert_eq!(code(define().await), "ADDRESSES_SUBSTITUTED");
    world.lie(answering(|_, mut answer| {
        answer.rules[0].rule = Vec::new().into();
        answer
    }));
    assert_eq!(code(define().await), "APPROVAL_UNPROVEN");
    // A proof of absence, of something else.
    world.lie(answering(|world, mut answer| {
        answer.rules[0].rule = world.chain.lock().unwrap().proof(&approval_key(&[1; 32])).into();
        answer
    }));
    assert_eq!(code(define().await), "APPROVAL_UNPROVEN");
    assert_eq!(code(boris.address_limit(&[7; 32]).await), "APPROVAL_UNPROVEN");
    assert_eq!(world.handed_in(), 0);

    // An old proof makes an entry of an old version, which the ledger refuses.
    world.lie(Lies::default());
    let id = define().await.unwrap().1;
    let before = world.snapshot().proof(&rate_key(&id));
    define().await.unwrap();
    world.lie(answering(move |_, mut answer| {
        answer.rules[0].rule = before.clone().into();
        answer
    }));
    assert_eq!(code(define().await), "RULE_VERSION");
}
