//! Several have to agree: a case about one exact payload, shown to each, used up by one signature.

use crate::delegation::Circle;

/// Bob and carol both have to approve what alice's hosted key `theirs` signs.
pub fn agreed(circle: &Circle, message: &str) {
    let Circle { alice, bob, carol, .. } = circle;
    let key = alice.run(&["key", "show", "theirs"]).done().json();
    let key = key["key_id"].as_str().unwrap();
    let both = format!("{},{}", bob.account, carol.account);
    let define = ["approve", "rule", "define", "--rule", "treasury", "--group", "treasurers", "2", &both];
    let rule = carol.word(&[&define[..], &["--live", "1h"]].concat()).done().json();
    assert_eq!(rule["owner"], carol.account.as_str());
    let ask = ["approve", "ask", "--rule", "treasury", "--of", &carol.account, "--key", key];
    let unknown = ["approve", "ask", "--rule", "nobodys", "--of", &carol.account, "--key", key];
    let unknown = alice.word(&[&unknown[..], &[message]].concat());
    assert_eq!((unknown.code, unknown.refusal()), (Some(1), "RULE_UNKNOWN".to_owned()), "{unknown:?}");
    let asked = alice.word(&[&ask[..], &[message]].concat()).done().json();
    let (case, hash) = (asked["case"].as_str().unwrap(), asked["hash"].as_str().unwrap());

    let receipt = alice.path("approved.receipt");
    let sign =
        |file: &str| alice.word(&["sign", "--key", key, "--approval", case, "--receipt", &receipt, file]);
    let early = sign(message);
    assert_eq!((early.code, early.refusal()), (Some(1), "APPROVALS_MISSING".to_owned()), "{early:?}");
    let listed = bob.run(&["approve", "list"]).done().json();
    assert_eq!(listed["cases"][0]["case"], case);
    let payload = bob.path("to-approve");
    let shown = bob.run(&["approve", "show", case, "--payload", &payload]).done().json();
    assert_eq!((shown["hash"].as_str(), shown["missing"][0].as_u64()), (Some(hash), Some(2)), "{shown}");
    assert_eq!(std::fs::read(&payload).unwrap(), std::fs::read(message).unwrap());

    // Unseen, of another hash, or by who asked, nothing is approved.
    assert_eq!(bob.word(&["approve", "give", case]).code, Some(2));
    let other = bob.word(&["approve", "give", case, "--hash", &hash[..16]]);
    assert_eq!((other.code, other.refusal()), (Some(1), "CASE_PAYLOAD".to_owned()), "{other:?}");
    let own = alice.word(&["approve", "give", case, "--hash", hash]);
    assert_eq!((own.code, own.refusal()), (Some(1), "AUTHOR_NOT_NAMED".to_owned()), "{own:?}");
    for who in [bob, carol] {
        who.word(&["approve", "give", case, "--hash", hash]).done();
    }
    let twice = bob.word(&["approve", "give", case, "--hash", hash]);
    assert_eq!((twice.code, twice.refusal()), (Some(1), "APPROVAL_GIVEN".to_owned()), "{twice:?}");

    let elsewhere = sign(&payload_of(alice, "pay somebody else"));
    assert_eq!((elsewhere.code, elsewhere.refusal()), (Some(1), "APPROVAL_PAYLOAD_OTHER".to_owned()));
    let signed = sign(message).done().json();
    assert_eq!(circle.verified(message, &receipt)["signature"], signed["signature"]);
    let again = sign(message);
    assert_eq!((again.code, again.refusal()), (Some(1), "CASE_USED".to_owned()), "{again:?}");
}

/// Bob and carol both have to approve what an address of alice's signs, and no entry says that it is hers.
pub fn agreed_for_an_address(circle: &Circle, message: &str) {
    let Circle { alice, bob, carol, .. } = circle;
    alice.word(&["address", "choose", "--tenant", "default"]).done();
    let ask = ["approve", "ask", "--rule", "treasury", "--of", &carol.account, "--address", message];
    let asked = alice.run(&ask).done().json();
    let (case, hash) = (asked["case"].as_str().unwrap(), asked["hash"].as_str().unwrap());
    let receipt = alice.path("approved-address.receipt");
    let sign = ["sign", "--address", "new", "--approval", case, "--receipt", &receipt, message];
    let early = alice.run(&sign);
    assert_eq!((early.code, early.refusal()), (Some(1), "APPROVALS_MISSING".to_owned()), "{early:?}");
    let shown = bob.run(&["approve", "show", case]).done().json();
    let (seen, by) = (shown["hash"].as_str(), shown["initiator"].as_str());
    assert_eq!((seen, by), (Some(hash), Some(&alice.account[..])), "{shown}");
    assert!(shown["words"][0].as_str().unwrap().contains(&alice.account), "{shown}");
    for who in [bob, carol] {
        who.word(&["approve", "give", case, "--hash", hash]).done();
    }
    let signed = alice.run(&sign).done().json();
    let verdict = circle.verified(message, &receipt);
    assert_eq!((&verdict["entry"], &verdict["signature"]), (&"use-address".into(), &signed["signature"]));
    let again = alice.run(&sign);
    assert_eq!((again.code, again.refusal()), (Some(1), "CASE_UNKNOWN".to_owned()), "{again:?}");
}

fn payload_of(who: &crate::delegation::Somebody, text: &str) -> String {
    let path = who.path("other-payload");
    std::fs::write(&path, text).unwrap();
    path
}
