//! How long one decision about a signature takes, with a thousand policies stored: `cargo run --release -p keyward-policies
//! --example decision`. Prints a line of JSON for each arrangement.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::time::{Duration, Instant};

use keyward_domain::{AccountId, Mode};
use keyward_policies::{
    Actor, ActorKind, Facts, PolicySet, Resource, SigningRequest, Tenants, Verdict, tenant_id,
};

const ROUNDS: usize = 20_000;

/// As officers write them: limits, hours and destinations of one app each, and some about other verbs.
fn text(policies: usize) -> String {
    let one = |i: usize| match i % 5 {
        0 => format!(
            r#"@id("limit-{i}") forbid (principal == App::"app-{i}", action == Action::"key.sign", resource)
            when {{ context.opaque || context.amount > {i}000000 }};"#
        ),
        1 => format!(
            r#"@id("hours-{i}") forbid (principal == App::"app-{i}", action == Action::"key.sign", resource)
            unless {{ context.hour >= 8 && context.hour < 18 }};"#
        ),
        2 => format!(
            r#"@id("to-{i}") forbid (principal, action == Action::"key.sign", resource == Key::"{i:064x}")
            unless {{ ["iban:{i}", "iban:{i}0"].containsAll(context.destinations) }};"#
        ),
        3 => format!(
            r#"@id("create-{i}") forbid (principal is App, action == Action::"key.create", resource)
            when {{ principal.name == "app-{i}" }};"#
        ),
        _ => format!(
            r#"@id("rotate-{i}") forbid (principal is User, action == Action::"key.rotate", resource)
            when {{ principal.name == "user-{i}" }};"#
        ),
    };
    (0..policies).map(one).collect()
}

fn main() {
    let tenants = Tenants::new(PolicySet::embedded().unwrap());
    // A thousand policies of several tenants; and one tenant with as many as it may have.
    for (count, each) in [(20, 50), (4, 250)] {
        for tenant in 0..count {
            tenants.publish(tenant_id(&tenant.to_string()), &text(each)).unwrap();
        }
        measure(&format!("{count} tenants of {each}"), &tenants.of(&tenant_id("3")).unwrap());
    }
    measure("the floor alone", &tenants.floor());
}

fn measure(what: &str, set: &PolicySet) {
    let facts = Facts {
        format: "pain.001".to_owned(),
        currency: "EUR".to_owned(),
        amount: 5,
        destinations: ["iban:10".to_owned()].into(),
        ..Facts::default()
    };
    let account = AccountId([1; 32]);
    let actor = Actor { tenant: "t", kind: ActorKind::App, name: "app-10", account: Some(account) };
    let key = Resource::Key {
        tenant: "t",
        id: [7; 32],
        account,
        mode: Mode::Hosted,
        person: false,
        authorised: false,
    };
    let request = SigningRequest { actor, key, facts: &facts, time_ms: 40_000_000, approvals: &[] };
    let mut times: Vec<Duration> = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let verdict = set.decide_signing(&request);
        times.push(start.elapsed());
        assert!(matches!(verdict, Verdict::Allow { .. }), "{verdict:?}");
    }
    times.sort_unstable();
    let at = |part: usize| times.get(ROUNDS * part / 1000).map_or(0.0, |time| time.as_secs_f64() * 1e6);
    println!(
        r#"{{"set":"{what}","p50_us":{:.1},"p99_us":{:.1},"p999_us":{:.1}}}"#,
        at(500),
        at(990),
        at(999)
    );
}
