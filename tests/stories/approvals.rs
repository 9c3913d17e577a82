//! Several have to agree: a case about one exact payload, shown to each, used up by one signature.

use crate::delegation::{Circle, Somebody};
use crate::support::keyward::Answer;

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

/// Bob and carol both have to approve what an address of alice's signs, alice and carol what one of bob's own root does, and no entry
/// says whose it is.
pub fn agreed_for_an_address(circle: &Circle, message: &str) {
    let Circle { alice, bob, carol, .. } = circle;
    alice.word(&["address", "choose", "--tenant", "default"]).done();
    let run = |args: &[&str]| alice.run(args);
    agreed_for(circle, (alice, &run), ("treasury", [bob, carol]), message, "CASE_UNKNOWN");
    bob.word(&["address", "choose", "--own", "--tenant", "default"]).done();
    let both = format!("{},{}", alice.account, carol.account);
    let define = ["approve", "rule", "define", "--rule", "desk", "--group", "treasurers", "2", &both];
    carol.word(&[&define[..], &["--live", "1h"]].concat()).done();
    let word = |args: &[&str]| bob.word(args);
    agreed_for(circle, (bob, &word), ("desk", [alice, carol]), message, "APPROVAL_UNKNOWN");
}

/// Runs a command as the one who signs.
type Signs<'a> = &'a dyn Fn(&[&str]) -> Answer;

fn agreed_for(
    circle: &Circle,
    (asker, sign): (&Somebody, Signs<'_>),
    (rule, approvers): (&str, [&Somebody; 2]),
    message: &str,
    over: &str,
) {
    let ask = ["approve", "ask", "--rule", rule, "--of", &circle.carol.account, "--address", message];
    let asked = asker.run(&ask).done().json();
    let (case, hash) = (asked["case"].as_str().unwrap(), asked["hash"].as_str().unwrap());
    let receipt = asker.path("approved-address.receipt");
    let with_case = ["sign", "--address", "new", "--approval", case, "--receipt", &receipt, message];
    let early = sign(&with_case);
    assert_eq!((early.code, early.refusal()), (Some(1), "APPROVALS_MISSING".to_owned()), "{early:?}");
    let shown = approvers[0].run(&["approve", "show", case]).done().json();
    let (seen, by) = (shown["hash"].as_str(), shown["initiator"].as_str());
    assert_eq!((seen, by), (Some(hash), Some(&asker.account[..])), "{shown}");
    assert!(shown["words"][0].as_str().unwrap().contains(&asker.account), "{shown}");
    for who in approvers {
        who.word(&["approve", "give", case, "--hash", hash]).done();
    }
    let signed = sign(&with_case).done().json();
    let verdict = circle.verified(message, &receipt);
    assert_eq!((&verdict["entry"], &verdict["signature"]), (&"use-address".into(), &signed["signature"]));
    let again = sign(&with_case);
    assert_eq!((again.code, again.refusal()), (Some(1), over.to_owned()), "{again:?}");
}

fn payload_of(who: &Somebody, text: &str) -> String {
    let path = who.path("other-payload");
    std::fs::write(&path, text).unwrap();
    path
}
