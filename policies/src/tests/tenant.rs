//! A tenant's set: what it may say, what it cannot, and what comes of it.

use keyward_domain::Mode;
use proptest::prelude::*;

use super::account;
use crate::{
    Actor, ActorKind, BoundsError, Facts, PolicyError, PolicySet, Request, Resource, SharedSigning,
    SigningRequest, Tenants, Verb, Verdict, tenant_id, tenant_set_hash,
};

const RULE: [u8; 32] = [0xab; 32];

fn floor() -> PolicySet {
    PolicySet::embedded().unwrap()
}

/// Above 10,000 euros: with approval; what is not understood: never.
fn limits() -> String {
    let rule = hex::encode(RULE);
    format!(
        r#"@id("large-payments") @approval("{rule}")
        forbid (principal, action == Action::"key.sign", resource)
        when {{ context.amount > 1000000 }}
        unless {{ context.approvals.contains("{rule}") }};
        @id("nothing-opaque")
        forbid (principal, action == Action::"key.sign", resource) when {{ context.opaque }};"#
    )
}

fn euros(amount: i64) -> Facts {
    let destinations = ["iban:DE1".to_owned()].into();
    Facts { format: "pain.001".into(), currency: "EUR".into(), amount, destinations, ..Facts::default() }
}

fn sign(set: &PolicySet, facts: &Facts, approvals: &[[u8; 32]], time_ms: u64) -> Verdict {
    let actor = Actor { tenant: "t", kind: ActorKind::App, name: "shop", account: Some(account('a')) };
    let key = Resource::Key {
        tenant: "t",
        id: [1; 32],
        account: account('a'),
        mode: Mode::Hosted,
        person: false,
        authorised: false,
    };
    set.decide_signing(&SigningRequest { actor, key, facts, time_ms, approvals })
}

fn refused(text: &str) -> PolicyError {
    floor().with_tenant(text).unwrap_err()
}

#[test]
fn an_amount_above_the_limit_needs_the_approval_that_the_policy_names() {
    let set = floor().with_tenant(&limits()).unwrap();
    let allow = |more: &[&str]| {
        let policies = ["app-own-key"].iter().chain(more).map(|name| (*name).to_owned()).collect();
        Verdict::Allow { policies }
    };
    assert_eq!(sign(&set, &euros(1_000_000), &[], 0), allow(&[]));
    let needs =
        Verdict::NeedsApproval { rules: vec![RULE], policies: vec!["tenant/large-payments".to_owned()] };
    assert_eq!(sign(&set, &euros(1_000_001), &[], 0), needs);
    assert_eq!(sign(&set, &euros(1_000_001), &[[1; 32]], 0), needs, "approved under another rule");
    assert_eq!(sign(&set, &euros(1_000_001), &[RULE], 0), allow(&[]));
    let deny =
        |reasons: &[&str]| Verdict::Deny { reasons: reasons.iter().map(|id| (*id).to_owned()).collect() };
    let opaque = ["tenant/large-payments", "tenant/nothing-opaque"];
    assert_eq!(sign(&set, &Facts::opaque(), &[], 0), deny(&opaque), "no approval lifts the other reason");
    assert_eq!(sign(&set, &Facts::opaque(), &[RULE], 0), deny(&opaque[1..]));
}

#[test]
fn a_list_of_destinations_holds_against_more_of_them_and_against_what_is_opaque() {
    let text = r#"@id("known-destinations")
        permit (principal, action == Action::"key.sign", resource)
        when { !context.opaque && ["iban:DE1", "iban:DE2"].containsAll(context.destinations) };"#;
    let set = floor().with_tenant(text).unwrap();
    let to = |names: &[&str]| {
        let facts = Facts { destinations: names.iter().map(|name| (*name).to_owned()).collect(), ..euros(5) };
        sign(&set, &facts, &[], 0)
    };
    let allowed =
        Verdict::Allow { policies: vec!["app-own-key".to_owned(), "tenant/known-destinations".to_owned()] };
    assert_eq!(to(&["iban:DE1"]), allowed);
    assert_eq!(to(&["iban:DE1", "iban:DE2"]), allowed);
    let denied = Verdict::Deny { reasons: vec!["tenant/*: no permit of the set fits".to_owned()] };
    assert_eq!(to(&["iban:DE1", "iban:XX"]), denied);
    assert_eq!(sign(&set, &Facts::opaque(), &[], 0), denied);
    // Even without a word about `opaque`, no list has what nobody knows.
    assert!(
        Facts::opaque().destinations.iter().all(|name| !["iban:DE1", "iban:DE2"].contains(&name.as_str()))
    );
}

/// A question meets the policies about its asker, about its key and about everybody: together they are one set.
#[test]
fn policies_about_one_app_and_one_key_count_with_those_about_all() {
    let key = "01".repeat(32);
    let text = format!(
        r#"@id("small") permit (principal is App, action == Action::"key.sign", resource)
        when {{ context.amount < 10 && !context.opaque }};
        @id("shops") forbid (principal == App::"shop", action == Action::"key.sign", resource)
        when {{ context.amount == 3 }};
        @id("others") forbid (principal == App::"bank", action == Action::"key.sign", resource);
        @id("persons") forbid (principal is User, action == Action::"key.sign", resource);
        @id("keys") permit (principal, action == Action::"key.sign", resource == Key::"{key}")
        when {{ context.amount == 50 }};
        @id("other-key") forbid (principal, action == Action::"key.sign", resource == Key::"{}");"#,
        "02".repeat(32)
    );
    let set = floor().with_tenant(&text).unwrap();
    let signed = |amount| sign(&set, &euros(amount), &[], 0);
    let by =
        |name: &str| Verdict::Allow { policies: vec!["app-own-key".to_owned(), format!("tenant/{name}")] };
    let denied = |reason: &str| Verdict::Deny { reasons: vec![reason.to_owned()] };
    assert_eq!(signed(5), by("small"));
    assert_eq!(signed(3), denied("tenant/shops"));
    assert_eq!(signed(50), by("keys"));
    assert_eq!(signed(20), denied("tenant/*: no permit of the set fits"));
}

#[test]
fn hours_and_weekdays_are_those_of_utc() {
    let text = r#"@id("office-hours") forbid (principal, action == Action::"key.sign", resource)
        unless { context.hour >= 8 && context.hour < 18 && context.weekday <= 5 };"#;
    let set = floor().with_tenant(text).unwrap();
    let at = |time_ms| sign(&set, &euros(1), &[], time_ms).is_allowed();
    const HOUR: u64 = 3_600_000;
    const DAY: u64 = 24 * HOUR;
    // Friday, 2 January 1970.
    assert!(!at(DAY + 8 * HOUR - 1) && at(DAY + 8 * HOUR));
    assert!(at(DAY + 18 * HOUR - 1) && !at(DAY + 18 * HOUR));
    // Saturday, Sunday, Monday; and 2026-11-23, a Monday.
    assert!(!at(2 * DAY + 9 * HOUR) && !at(3 * DAY + 9 * HOUR) && at(4 * DAY + 9 * HOUR));
    assert!(at(1_795_424_400_000) && !at(1_795_424_400_000 - DAY));
}

#[test]
fn a_set_widens_nothing() {
    let text = r#"@id("all") permit (principal, action, resource);"#;
    let floor = floor();
    let set = floor.with_tenant(text).unwrap();
    let facts = euros(1);
    for kind in ActorKind::ALL {
        for holder in ['a', 'b'] {
            let actor = Actor { tenant: "t", kind, name: "n", account: Some(account('a')) };
            let key = Resource::Key {
                tenant: "t",
                id: [1; 32],
                account: account(holder),
                mode: Mode::Hosted,
                person: false,
                authorised: false,
            };
            let request = SigningRequest { actor, key, facts: &facts, time_ms: 0, approvals: &[] };
            let (alone, with) = (floor.decide_signing(&request), set.decide_signing(&request));
            assert_eq!(alone.is_allowed(), with.is_allowed(), "{kind:?} {holder}");
        }
        for verb in Verb::ALL.iter().filter(|verb| **verb != Verb::KeySign) {
            let actor = Actor { tenant: "t", kind, name: "n", account: Some(account('a')) };
            for resource in
                [Resource::Tenant { tenant: "t" }, Resource::Account { tenant: "t", id: account('b') }]
            {
                let request = Request { actor, verb: *verb, resource };
                let allowed = |set: &PolicySet| set.decide(&request).is_ok_and(|decision| decision.allowed);
                assert_eq!(allowed(&floor), allowed(&set), "{kind:?} {verb}");
            }
        }
    }
}

#[test]
fn a_closed_set_denies_what_may_be_narrowed_and_leaves_the_floor_its_own() {
    let set = floor().closed([7; 32]);
    assert!(set.is_closed() && set.tenant_hash() == Some([7; 32]));
    assert!(matches!(sign(&set, &euros(1), &[RULE], 0), Verdict::Deny { reasons } if reasons.len() == 1));
    let actor = Actor { tenant: "t", kind: ActorKind::Officer, name: "o", account: None };
    let ask = |verb, resource| set.decide(&Request { actor, verb, resource }).unwrap().allowed;
    assert!(ask(Verb::PolicyPublish, Resource::Tenant { tenant: "t" }));
    let key = |authorised| Resource::Key {
        tenant: "t",
        id: [1; 32],
        account: account('a'),
        mode: Mode::Hosted,
        person: false,
        authorised,
    };
    assert!(ask(Verb::KeyFreeze, key(false)));
    assert!(!ask(Verb::KeyUnfreeze, key(false)));
}

#[test]
fn who_signs_with_a_shared_key_is_its_account_for_service_and_keepers_alike() {
    let set = floor().with_tenant(&limits()).unwrap();
    let facts = euros(1_000_001);
    let shared = |account, approvals: &[[u8; 32]]| {
        let key_id = [1; 32];
        set.decide_shared(&SharedSigning { account, key_id, facts: &facts, time_ms: 0, approvals })
    };
    assert!(matches!(shared(account('a'), &[]), Verdict::NeedsApproval { .. }));
    assert!(shared(account('a'), &[RULE]).is_allowed());
    // A name would be somebody's word, which no keeper can check.
    let named = r#"@id("x") forbid (principal, action == Action::"key.sign", resource)
        when { principal.name == "mallory" };"#;
    assert!(matches!(refused(named), PolicyError::Invalid(_)));
    let named = r#"@id("x") forbid (principal is App, action == Action::"key.sign", resource)
        when { principal.name == "shop" };"#;
    let set = floor().with_tenant(named).unwrap();
    assert!(!sign(&set, &euros(1), &[], 0).is_allowed());
}

#[test]
fn a_delegate_is_held_to_the_tenants_set_too() {
    let set = floor().with_tenant(&limits()).unwrap();
    let actor = Actor { tenant: "t", kind: ActorKind::User, name: "bob", account: Some(account('b')) };
    let key = Resource::Key {
        tenant: "t",
        id: [1; 32],
        account: account('a'),
        mode: Mode::Hosted,
        person: true,
        authorised: false,
    };
    let judge = |facts: &Facts| {
        set.decide_delegated(&SigningRequest { actor, key, facts, time_ms: 0, approvals: &[] })
    };
    assert!(judge(&euros(1)).is_allowed());
    assert!(matches!(judge(&euros(1_000_001)), Verdict::NeedsApproval { .. }));
    assert!(matches!(judge(&Facts::opaque()), Verdict::Deny { .. }));
}

#[test]
fn a_set_that_does_not_parse_or_validate_is_refused() {
    let cases = [
        ("permit (principal", "POLICY_UNREADABLE"),
        ("permit (principal, action, resource);", "POLICY_INVALID"),
        (r#"@id("Large") forbid (principal, action == Action::"key.sign", resource);"#, "POLICY_INVALID"),
        (r#"@id("*") forbid (principal, action == Action::"key.sign", resource);"#, "POLICY_INVALID"),
        (r#"@id("a") forbid (principal, action == Action::"key.steal", resource);"#, "POLICY_INVALID"),
        (
            r#"@id("a") forbid (principal, action == Action::"key.sign", resource) when { context.sum > 1 };"#,
            "POLICY_INVALID",
        ),
        (
            r#"@id("a") forbid (principal, action == Action::"key.sign", resource) when { context.amount > "1" };"#,
            "POLICY_INVALID",
        ),
        (r#"@id("a") forbid (principal == ?principal, action, resource);"#, "POLICY_INVALID"),
        (
            r#"@id("a") forbid (principal, action == Action::"key.sign", resource) when { context.opaque };
               @id("a") forbid (principal, action == Action::"key.create", resource);"#,
            "POLICY_INVALID",
        ),
    ];
    for (text, code) in cases {
        assert_eq!(refused(text).code(), code, "{text}");
    }
}

#[test]
fn a_set_that_names_what_the_floor_alone_decides_is_refused() {
    for verb in Verb::ALL.iter().filter(|verb| !verb.is_narrowable()) {
        let text = format!(r#"@id("a") forbid (principal, action == Action::"{verb}", resource);"#);
        assert!(matches!(refused(&text), PolicyError::FloorAlone { .. }), "{verb}");
    }
}

#[test]
fn a_set_that_locks_everybody_out_is_refused() {
    let everybody = [
        r#"@id("a") forbid (principal, action, resource);"#,
        r#"@id("a") forbid (principal, action, resource) when { principal.tenant == resource.tenant };"#,
        r#"@id("a") forbid (principal is Officer, action, resource);"#,
        r#"@id("a") permit (principal is App, action, resource);"#,
        r#"@id("a") forbid (principal, action, resource is Tenant);"#,
    ];
    for text in everybody {
        assert!(matches!(refused(text), PolicyError::LockOut), "{text}");
        assert_eq!(PolicyError::LockOut.code(), "POLICY_LOCK_OUT");
    }
    // To stop all signing is a decision that another publication takes back.
    let stop = r#"@id("stop") forbid (principal, action == Action::"key.sign", resource);"#;
    assert!(!sign(&floor().with_tenant(stop).unwrap(), &euros(1), &[RULE], 0).is_allowed());
}

#[test]
fn an_approval_that_lifts_nothing_is_refused() {
    let rule = hex::encode(RULE);
    let forbid = r#"forbid (principal, action == Action::"key.sign", resource) when { context.opaque }"#;
    let cases = [
        format!(r#"@id("a") @approval("{rule}") {forbid};"#),
        format!(r#"@id("a") @approval("abcd") {forbid} unless {{ context.approvals.contains("abcd") }};"#),
        format!(
            r#"@id("a") @approval("{0}") {forbid} unless {{ context.approvals.contains("{0}") }};"#,
            rule.to_uppercase()
        ),
        format!(
            r#"@id("a") @approval("{rule}") permit (principal, action == Action::"key.sign", resource)
            when {{ !context.opaque || context.approvals.contains("{rule}") }};"#
        ),
    ];
    for text in cases {
        assert!(matches!(refused(&text), PolicyError::Approval { .. }), "{text}");
    }
    // Named, and not enough: the verdict does not promise what an approval cannot do.
    let never = format!(
        r#"@id("a") @approval("{rule}") {forbid}
        unless {{ context.approvals.contains("{rule}") && context.amount < 5 }};"#
    );
    let set = floor().with_tenant(&never).unwrap();
    assert!(matches!(sign(&set, &Facts::opaque(), &[], 0), Verdict::Deny { .. }));
}

#[test]
fn a_set_that_looks_at_amounts_and_forgets_what_is_opaque_is_refused() {
    for looks in
        [r#"context.amount > 5"#, r#"context.destinations.contains("x")"#, r#"context.currency == "EUR""#]
    {
        let rest = format!(r#"(principal, action == Action::"key.sign", resource) when {{ {looks} }};"#);
        assert!(
            matches!(refused(&format!(r#"@id("a") forbid {rest}"#)), PolicyError::OpaqueUnsaid),
            "{looks}"
        );
    }
}

#[test]
fn a_policy_that_fails_denies() {
    let text = r#"@id("doubled") forbid (principal, action == Action::"key.sign", resource)
        when { context.amount * 2 > 100 || context.opaque };"#;
    let set = floor().with_tenant(text).unwrap();
    assert!(sign(&set, &euros(50), &[], 0).is_allowed());
    let Verdict::Deny { reasons } = sign(&set, &euros(i64::MAX), &[], 0) else { panic!("it overflows") };
    assert!(reasons[0].contains("overflow"), "{reasons:?}");
}

#[test]
fn a_set_out_of_bounds_is_refused_before_it_is_parsed() {
    let bounds = |text: &str| match refused(text) {
        PolicyError::Bounds(bounds) => bounds,
        other => panic!("{other}"),
    };
    assert_eq!(bounds(&" ".repeat((64 << 10) + 1)), BoundsError::Text((64 << 10) + 1));
    let one = |condition: &str| {
        format!(
            r#"@id("a") forbid (principal, action == Action::"key.sign", resource) when {{ {condition} }};"#
        )
    };
    let deep = |n: usize| one(&format!("{}context.opaque{}", "(".repeat(n), ")".repeat(n)));
    assert_eq!(bounds(&deep(24)), BoundsError::Nesting(1));
    assert!(floor().with_tenant(&deep(23)).is_ok());
    let chain = |n: usize| one(&vec!["context.opaque"; n].join(" && "));
    assert_eq!(bounds(&chain(200)), BoundsError::Words(1));
    let listed = |n: usize| {
        one(&format!("context.opaque || [{}].contains(context.currency)", vec!["\"x\""; n].join(",")))
    };
    assert_eq!(bounds(&listed(1100)), BoundsError::Strings(1));
    assert!(floor().with_tenant(&listed(1000)).is_ok());
    let many = |n: usize| {
        let one = |i| {
            format!(
                r#"@id("p{i}") forbid (principal, action == Action::"key.sign", resource) when {{ context.opaque }};"#
            )
        };
        (0..n).map(one).collect::<String>()
    };
    assert_eq!(bounds(&many(257)), BoundsError::Policies);
    assert!(floor().with_tenant(&many(256)).is_ok());
}

/// What is within bounds costs no thread its stack, to parse, to check, to decide and to drop; the smallest of ours has 2 MiB.
#[test]
fn the_deepest_text_within_bounds_fits_a_threads_stack() {
    let one = |condition: &str| {
        format!(
            r#"@id("a") forbid (principal, action == Action::"key.sign", resource) when {{ {condition} }};"#
        )
    };
    let texts = [
        one(&format!("{}context.opaque{}", "(".repeat(23), ")".repeat(23))),
        one(&vec!["context.opaque"; 90].join(" && ")),
        one(&format!("{} context.opaque", "if context.opaque then false else ".repeat(60))),
        one(&format!("context{}", ".amount".repeat(180))),
        one(&format!("{}context.opaque", "!".repeat(300))),
        one(&format!("0 < {}1", "-".repeat(300))),
        one(&format!("0 < {}context.amount", "1 + ".repeat(180))),
        format!("{}{}", "(".repeat(24), "[".repeat(24)),
    ];
    let run = move || {
        let floor = floor();
        for text in texts {
            if let Ok(set) = floor.with_tenant(&text) {
                sign(&set, &Facts::opaque(), &[], 0);
            }
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn intents_name_both_sets() {
    let floor = floor();
    let set = floor.with_tenant(&limits()).unwrap();
    assert_eq!(floor.tenant_hash(), None);
    assert_eq!(set.tenant_hash(), Some(tenant_set_hash(&limits())));
    assert_ne!(set.hash(), floor.hash());
    assert_eq!(set.floor().hash(), floor.hash());
    assert_eq!(
        floor.closed(tenant_set_hash(&limits())).hash(),
        set.hash(),
        "the name is of what is in force"
    );
    let other = format!("{} ", limits());
    assert_ne!(floor.with_tenant(&other).unwrap().hash(), set.hash());
    // What the ledger and other programs compute.
    assert_eq!(
        hex::encode(tenant_id("default")),
        "efd064fa3059ecf908464c35c82d526c6f4585c487a9af7d362cf4cd60c7b8fc"
    );
    assert_eq!(
        hex::encode(tenant_set_hash("")),
        "12455724e6e2b9760fbe156312eddcb371b1bc5caa62c515072d0c0fee9eaf43"
    );
}

#[test]
fn tenants_have_their_own_sets_and_a_refused_one_changes_nothing() {
    let tenants = Tenants::new(floor());
    let (a, b) = (tenant_id("a"), tenant_id("b"));
    assert!(tenants.of(&a).is_none());
    tenants.publish(a, &limits()).unwrap();
    tenants.publish(b, r#"@id("stop") forbid (principal, action == Action::"key.sign", resource);"#).unwrap();
    let allowed = |tenant| sign(&tenants.of(&tenant).unwrap(), &euros(1), &[], 0).is_allowed();
    assert!(allowed(a) && !allowed(b));
    tenants.publish(b, "permit (").unwrap_err();
    assert!(allowed(a) && !allowed(b));
    assert!(sign(&tenants.floor(), &Facts::opaque(), &[], 0).is_allowed());
}

/// The blocks of the guide in a language.
fn examples(language: &str) -> Vec<String> {
    const GUIDE: &str = include_str!("../../README.md");
    let blocks = GUIDE.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(language)).map(str::to_owned).collect()
}

#[test]
fn the_examples_of_the_guide_hold_and_decide_as_it_says() {
    let [limit, destinations] = examples("cedar").try_into().unwrap();
    let [limit, destinations] = [limit, destinations].map(|text: String| floor().with_tenant(&text).unwrap());
    let [cases, of_risk] = examples("json").try_into().unwrap();
    for case in crate::cases::read(&cases).unwrap() {
        assert_eq!(case.run(&limit).unwrap(), None);
    }
    for case in crate::risk::read_cases(&of_risk).unwrap() {
        assert_eq!(case.run(&crate::risk::default_rules().unwrap()).unwrap(), None);
    }
    const FORENOON: u64 = 4 * 86_400_000 + 10 * 3_600_000;
    let to = |iban: &str| Facts { destinations: [iban.to_owned()].into(), ..euros(5) };
    // Another key than the one with a list.
    assert!(sign(&destinations, &to("iban:XX"), &[], 0).is_allowed());
    let key_id = hex::decode("3a9e0f1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7").unwrap();
    let key_id = key_id.try_into().unwrap();
    let listed = |facts: &Facts, time_ms| {
        let asked = SharedSigning { account: account('a'), key_id, facts, time_ms, approvals: &[] };
        destinations.decide_shared(&asked).is_allowed()
    };
    assert!(listed(&to("iban:DE89370400440532013000"), FORENOON));
    assert!(!listed(&to("iban:XX"), FORENOON) && !listed(&Facts::opaque(), FORENOON));
    assert!(!listed(&to("iban:DE89370400440532013000"), FORENOON + 8 * 3_600_000));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in "[\\PC\\n]{0,200}") {
        let _refused_or_not = floor_once().with_tenant(&text);
    }

    #[test]
    fn more_is_never_allowed_under_a_set_than_without(amount in 0..i64::MAX, limit in 0..i64::MAX, opaque: bool) {
        let text = format!(r#"@id("a") forbid (principal, action == Action::"key.sign", resource)
            when {{ context.amount > {limit} || context.opaque }};"#);
        let set = floor_once().with_tenant(&text).unwrap();
        let facts = if opaque { Facts::opaque() } else { euros(amount) };
        prop_assert_eq!(sign(&set, &facts, &[], 0).is_allowed(), !opaque && amount <= limit);
    }
}

fn floor_once() -> &'static PolicySet {
    static FLOOR: std::sync::OnceLock<PolicySet> = std::sync::OnceLock::new();
    FLOOR.get_or_init(floor)
}
