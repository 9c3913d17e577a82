//! The tenant's policies: an officer's first set holds a key back, the second one needs the approval of others.

use crate::delegation::{Circle, Somebody};

/// Alice, at an officer's certificate, narrows what her key `theirs` signs, and takes it back with the approval of bob and carol. Gives
/// her place there.
pub fn narrowed(circle: &Circle, message: &str) -> Somebody {
    let Circle { alice, bob, carol, .. } = circle;
    let office = circle.at_office("alice");
    let key = alice.run(&["key", "show", "theirs"]).done().json();
    let key = key["key_id"].as_str().unwrap();
    let rule = carol.run(&["approve", "rule", "show", "--rule", "treasury"]).done().json();
    let rule = rule["rule"].as_str().unwrap();
    let text = format!(
        r#"@id("nothing-opaque") @approval("{rule}")
        forbid (principal, action == Action::"key.sign", resource == Key::"{key}")
        when {{ context.opaque }} unless {{ context.approvals.contains("{rule}") }};"#
    );
    let set = written(&office, "set.cedar", &text);
    let next = ["--next-rule", rule];

    // On this machine alone: what could not be published is refused before anybody is asked.
    let checked = office.run(&["policy", "check", &set]).done().json();
    assert_eq!(
        (checked["valid"].as_bool(), checked["policies"][0].as_str()),
        (Some(true), Some("nothing-opaque"))
    );
    let locked = written(&office, "locked.cedar", r#"@id("all") forbid (principal, action, resource);"#);
    for verb in [&["policy", "check"][..], &["policy", "dry-run"]] {
        let refused = office.run(&[verb, &[&locked]].concat());
        assert_eq!((refused.code, refused.refusal()), (Some(1), "POLICY_LOCK_OUT".to_owned()), "{refused:?}");
    }
    let app = alice.run(&["policy", "show"]);
    assert_eq!((app.code, app.refusal()), (Some(1), "NOT_ALLOWED".to_owned()), "{app:?}");
    let shown = office.run(&["policy", "show"]).done().json();
    assert_eq!((shown["version"].as_u64(), shown["proven"].as_bool()), (Some(0), Some(true)), "{shown}");

    // What alice signed before would have waited for approval.
    let sign = || alice.run(&["sign", "--key", key, message]);
    sign().done();
    let tried = office.run(&["policy", "dry-run", &set]).done().json();
    assert!(tried["changed"].as_u64() > Some(0), "{tried}");
    assert_eq!(tried["changes"][0]["after"]["decision"], "needs-approval", "{tried}");
    let published = office.word(&[&["policy", "publish", &set][..], &next].concat()).done().json();
    assert_eq!(published["version"], 1);
    let held = sign();
    assert_eq!((held.code, held.refusal()), (Some(1), "APPROVAL_REQUIRED".to_owned()), "{held:?}");
    let explain = ["policy", "explain", "--kind", "user", "--account", &alice.account, "--key", key];
    let explained = office.run(&explain).done().json();
    assert_eq!((&explained["decision"], &explained["rules"][0]), (&"needs-approval".into(), &rule.into()));
    assert_eq!(explained["policies"][0], "tenant/nothing-opaque");

    // One officer alone lifts no limit.
    let free = written(&office, "free.cedar", "// nothing is narrowed");
    let alone = office.word(&["policy", "publish", &free]);
    assert_eq!((alone.code, alone.refusal()), (Some(1), "APPROVALS_MISSING".to_owned()), "{alone:?}");
    let ask = ["policy", "ask", "--rule", "treasury", "--of", &carol.account, &free];
    let asked = office.word(&ask).done().json();
    let (case, hash) = (asked["case"].as_str().unwrap(), asked["hash"].as_str().unwrap());
    let publish = ["policy", "publish", "--case", case];
    let early = office.word(&[&publish[..], &[&free]].concat());
    assert_eq!((early.code, early.refusal()), (Some(1), "APPROVALS_MISSING".to_owned()), "{early:?}");
    for who in [bob, carol] {
        who.word(&["approve", "give", case, "--hash", hash]).done();
    }
    let other = office.word(&[&publish[..], &[&set]].concat());
    assert_eq!((other.code, other.refusal()), (Some(1), "CASE_PAYLOAD".to_owned()), "{other:?}");
    let second = office.word(&[&publish[..], &[&free]].concat()).done().json();
    assert_eq!(second["version"], 2);
    let shown = office.run(&["policy", "show"]).done().json();
    assert_eq!(
        (shown["version"].as_u64(), shown["text"].as_str()),
        (Some(2), Some("// nothing is narrowed"))
    );
    let listed = office.run(&["policy", "versions"]).done().json();
    assert_eq!(listed["versions"].as_array().unwrap().len(), 2);
    sign().done();
    office
}

fn written(who: &Somebody, name: &str, text: &str) -> String {
    let path = who.path(name);
    std::fs::write(&path, text).unwrap();
    path
}
