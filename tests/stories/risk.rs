//! Rules of risk: an account pays whom it pays; what a thief wants waits for others, or does not happen at all.

use crate::delegation::{Circle, Somebody};

const RENT: &str = "DE89370400440532013000";
const THIEF: &str = "GB29NWBK60161331926819";

/// 30 points for somebody new, 40 and more for more than 1000.00 at once: of both others are asked, as of what nobody can read, and a
/// fortune is refused.
fn rules(rule: &str, ask: u32) -> String {
    format!(
        "version = 1\nname = \"story\"\nmode = \"enforce\"\nrule = \"{rule}\"\nask = {ask}\nrefuse = 100
[adapt]\ndays = 7\nrequests = 10
[amount]\npoints = 40\npoints_per_doubling = 10\npoints_max = 80\nquantile_permille = 950\nmultiple_percent = 200
[amount.bounds]\n\"*\" = {{ start = 100_000, least = 20_000, most = 20_000_000 }}
[counterparty]\npoints = 30\npoints_least = 5\nsettle_hours = 48
[opaque]\npoints = 60\npoints_least = 0\n"
    )
}

/// Alice, at an officer's certificate, publishes rules for what her key `theirs` pays; in the end they watch only.
pub fn judged(circle: &Circle, office: &Somebody) {
    let Circle { alice, bob, carol, .. } = circle;
    let key = alice.run(&["key", "show", "theirs"]).done().json();
    let key = key["key_id"].as_str().unwrap();
    let rule = carol.run(&["approve", "rule", "show", "--rule", "treasury"]).done().json();
    let rule = rule["rule"].as_str().unwrap();
    let [rent, theft, fortune] = [(900, RENT), (1500, THIEF), (1_000_000, THIEF)]
        .map(|(euros, to)| written(alice, &format!("{euros}.xml"), &payment(euros, to)));
    let pay = |file: &str, more: &[&str]| {
        alice.run(&[&["sign", "--key", key, "--format", "pain.001"], more, &[file]].concat())
    };

    // Nothing is published: everything passes, and is remembered.
    let shown = office.run(&["risk", "show"]).done().json();
    assert_eq!((shown["version"].as_u64(), shown["proven"].as_bool()), (Some(0), Some(true)), "{shown}");
    pay(&rent, &[]).done();
    let set = written(office, "rules.toml", &rules(rule, 50));
    assert_eq!(office.run(&["risk", "check", &set]).done().json()["valid"], true);
    let askew = written(office, "askew.toml", &rules(rule, 500));
    for verb in ["check", "replay"] {
        let refused = office.run(&["risk", verb, &askew]);
        assert_eq!((refused.code, refused.refusal()), (Some(1), "RISK_INVALID".to_owned()), "{refused:?}");
    }
    for verb in [&["risk", "show"][..], &["risk", "versions"], &["risk", "replay", &set]] {
        let app = alice.run(verb);
        assert_eq!((app.code, app.refusal()), (Some(1), "NOT_ALLOWED".to_owned()), "{app:?}");
    }
    let published = office.word(&["risk", "publish", "--next-rule", rule, &set]).done().json();
    assert_eq!(published["version"], 1);

    // Its own payee goes on; a new one with much at once waits, a fortune does not go at all.
    pay(&rent, &[]).done();
    let asked = pay(&theft, &[]);
    assert_eq!((asked.code, asked.refusal()), (Some(1), "APPROVAL_REQUIRED".to_owned()), "{asked:?}");
    assert!(asked.err.contains("new to this account") && asked.err.contains(rule), "{asked:?}");
    let refused = pay(&fortune, &[]);
    assert_eq!((refused.code, refused.refusal()), (Some(1), "RISK_REFUSED".to_owned()), "{refused:?}");
    assert!(refused.err.contains("more at once"), "{refused:?}");
    // To show nothing of it is no way around.
    let hidden = alice.run(&["sign", "--key", key, &fortune]);
    assert_eq!((hidden.code, hidden.refusal()), (Some(1), "APPROVAL_REQUIRED".to_owned()), "{hidden:?}");

    // It was meant: the others say so, and from then on the payee is nobody new.
    let ask = ["approve", "ask", "--rule", "treasury", "--of", &carol.account, "--key", key];
    let asked = alice.word(&[&ask[..], &["--format", "pain.001", &theft]].concat()).done().json();
    give(&[bob, carol], &asked);
    let case = asked["case"].as_str().unwrap();
    let sign = ["sign", "--key", key, "--format", "pain.001", "--approval", case];
    alice.word(&[&sign[..], &[&theft]].concat()).done();
    pay(&theft, &[]).done();
    // Whoever looked at her habits again and again would see when one of her addresses is used.
    let habits = office.run(&["risk", "show", "--account", &alice.account]);
    assert_eq!((habits.code, habits.refusal()), (Some(1), "NOT_ALLOWED".to_owned()), "{habits:?}");
    assert!(!habits.out.contains(THIEF) && !habits.out.contains(RENT), "{habits:?}");
    let habits = office.run(&["risk", "show", "--account", &carol.account]).done().json();
    assert_eq!(habits["known"], false, "carol has paid nobody: {habits}");

    // Stricter rules would have asked about every new payee.
    let strict = written(office, "strict.toml", &rules(rule, 30));
    let replayed = office.run(&["risk", "replay", &strict]).done().json();
    assert!(replayed["changed"].as_u64() > Some(0), "{replayed}");
    assert_eq!(replayed["changes"][0]["after"]["decision"], "ask", "{replayed}");

    // One officer alone changes nothing any more; the others let the rules watch only.
    let watch = rules(rule, 50).replace("enforce", "watch");
    let watch = written(office, "watch.toml", &watch);
    let alone = office.word(&["risk", "publish", &watch]);
    assert_eq!((alone.code, alone.refusal()), (Some(1), "APPROVALS_MISSING".to_owned()), "{alone:?}");
    let ask = ["risk", "ask", "--rule", "treasury", "--of", &carol.account, &watch];
    let asked = office.word(&ask).done().json();
    give(&[bob, carol], &asked);
    let case = asked["case"].as_str().unwrap();
    let second = office.word(&["risk", "publish", "--case", case, &watch]).done().json();
    assert_eq!(second["version"], 2);
    pay(&fortune, &[]).done();
    let listed = office.run(&["risk", "versions"]).done().json();
    assert_eq!(listed["versions"].as_array().unwrap().len(), 2);
    told(circle, &published, 1);
    told(circle, &second, 2);
}

/// The ledger says which rules were published, in which version.
fn told(circle: &Circle, published: &serde_json::Value, version: u32) {
    let leaf = published["leaf_index"].to_string();
    let record = circle.alice.keyward.json_as("auditor", &["ledger", "get", &leaf]);
    assert_eq!(record["kind"], "publish-risk", "{record}");
    let told = &record["publication"];
    assert_eq!((&told["version"], &told["set"]), (&version.into(), &published["hash"]), "{record}");
}

fn give(who: &[&Somebody], asked: &serde_json::Value) {
    let (case, hash) = (asked["case"].as_str().unwrap(), asked["hash"].as_str().unwrap());
    for one in who {
        one.word(&["approve", "give", case, "--hash", hash]).done();
    }
}

fn payment(euros: u32, to: &str) -> String {
    format!(
        r#"<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"><CstmrCdtTrfInitn><GrpHdr><NbOfTxs>1</NbOfTxs></GrpHdr><PmtInf><PmtMtd>TRF</PmtMtd><CdtTrfTxInf><Amt><InstdAmt Ccy="EUR">{euros}.00</InstdAmt></Amt><CdtrAcct><Id><IBAN>{to}</IBAN></Id></CdtrAcct></CdtTrfTxInf></PmtInf></CstmrCdtTrfInitn></Document>"#
    )
}

fn written(who: &Somebody, name: &str, text: &str) -> String {
    let path = who.path(name);
    std::fs::write(&path, text).unwrap();
    path
}
