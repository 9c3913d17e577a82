//! An investigation from the alarm to the last page: rules of risk stop a payment, a regulator asks for one account and a few minutes, two
//! others approve, keepers open what the person's own device has erased, and whoever has the export, the grant file and the trust file
//! checks all of it without any network. Then the grant is revoked, and what comes later stays closed.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::consortium::Party;
use crate::support::keyward::{Keyward, wait_until};

const EPOCH_MS: u64 = 4_000;
const RENT: &str = "DE89370400440532013000";
const THIEF: &str = "GB29NWBK60161331926819";

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn payment(who: &Party<'_>, euros: u32, to: &str) -> String {
    let text = format!(
        r#"<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"><CstmrCdtTrfInitn><GrpHdr><NbOfTxs>1</NbOfTxs></GrpHdr><PmtInf><PmtMtd>TRF</PmtMtd><CdtTrfTxInf><Amt><InstdAmt Ccy="EUR">{euros}.00</InstdAmt></Amt><CdtrAcct><Id><IBAN>{to}</IBAN></Id></CdtrAcct></CdtTrfTxInf></PmtInf></CstmrCdtTrfInitn></Document>"#
    );
    who.keyward.write(&format!("{euros}.xml"), text)
}

/// More than 1000.00 at once, to somebody new: a fortune does not go at all.
fn rules(rule: &str, refuse: u32) -> String {
    format!(
        "version = 1\nname = \"story\"\nmode = \"enforce\"\nrule = \"{rule}\"\nask = 60\nrefuse = {refuse}
[adapt]\ndays = 7\nrequests = 10
[amount]\npoints = 40\npoints_per_doubling = 10\npoints_max = 80\nquantile_permille = 950\nmultiple_percent = 200
[amount.bounds]\n\"*\" = {{ start = 100_000, least = 20_000, most = 20_000_000 }}
[counterparty]\npoints = 30\npoints_least = 5\nsettle_hours = 48
[opaque]\npoints = 60\npoints_least = 0\n"
    )
}

/// Those who take part.
struct People<'a> {
    alice: Party<'a>,
    bob: Party<'a>,
    carol: Party<'a>,
    office: Party<'a>,
    examiner: Party<'a>,
}

impl<'a> People<'a> {
    fn of(keyward: &'a Keyward) -> Self {
        let [alice, bob, carol] =
            ["alice", "bob", "carol"].map(|name| Party::at(keyward, "app", name).logged_in(name));
        let office = Party::at(keyward, "officer", "olga").logged_in("olga");
        let examiner = Party::at(keyward, "auditor", "erin").logged_in("erin");
        Self { alice, bob, carol, office, examiner }
    }

    /// Pays with a fresh address.
    fn pay(&self, file: &str) -> Value {
        self.alice.done(&["sign", "--address", "new", "--format", "pain.001", file])
    }

    /// Bob and carol approve a case that they have read in full.
    fn give(&self, asked: &Value) {
        let (case, hash) = (asked["case"].as_str().unwrap(), asked["hash"].as_str().unwrap());
        for one in [&self.bob, &self.carol] {
            one.done(&["approve", "give", case, "--hash", hash]);
        }
    }

    /// Ends alice's epochs up to one, and deals to keepers what opens them.
    fn deal(&self, through: u64) {
        let through = through.to_string();
        wait_until("the epoch to be over on the ledger", || {
            let closed = self.alice.word(&["address", "close"]);
            assert!(closed.code == Some(0) || closed.refusal() == "EPOCH_UNDER_WAY", "{closed:?}");
            let dealt = self.alice.word(&["address", "deal", "--through", &through]);
            dealt.code == Some(0) && !dealt.json()["dealt"].as_array().unwrap().is_empty()
        });
    }
}

/// An export of the ledger as it is now.
fn exported(people: &People<'_>, name: &str) -> String {
    let folder = people.examiner.path(name);
    people.examiner.json(&["ledger", "export", &folder]);
    folder
}

/// What somebody finds who has an export, the grant file and the trust file, in an empty home and without a profile.
fn report(keyward: &Keyward, (export, grant): (&str, &str), out: &str) -> Value {
    let (trust, none) = (keyward.trust(), keyward.work("nobody"));
    let _there_before = fs::create_dir(&none);
    let trust = trust.to_str().unwrap();
    let run = |arguments: &[&str]| keyward.run_with(&none, &[&["--output", "json"], arguments].concat());
    run(&["audit", "report", export, "--grant", grant, "--trust", trust, "--out", out]).done();
    let receipts = fs::read_dir(Path::new(out).join("receipts")).unwrap();
    let mut checked = 0;
    for receipt in receipts {
        let path = receipt.unwrap().path();
        let verdict = run(&["verify", "--trust", trust, path.to_str().unwrap()]).done().json();
        assert_eq!(verdict["valid"], true, "{verdict}");
        checked += 1;
    }
    assert!(checked > 8, "{checked} receipts");
    let page = fs::read_to_string(Path::new(out).join("report.html")).unwrap();
    assert!(page.contains(RENT), "the page does not say whom alice paid");
    serde_json::from_str(&fs::read_to_string(Path::new(out).join("report.json")).unwrap()).unwrap()
}

#[test]
fn an_alarm_becomes_a_grant_keepers_open_it_and_after_its_revocation_the_next_epoch_stays_closed() {
    let length = format!("{}s", EPOCH_MS / 1000);
    let keyward = Keyward::start_under(&[], &[("KEYWARD_SERVE_ADDRESSES__EPOCH", &length)]);
    let people = People::of(&keyward);
    let People { alice, bob, carol, office, examiner } = &people;
    let members = [&bob.account[..], &carol.account].join(",");
    carol.done(&["approve", "rule", "define", "--rule", "supervision", "--group", "board", "2", &members]);
    let rule = carol.json(&["approve", "rule", "show", "--rule", "supervision"]);
    let rule = rule["rule"].as_str().unwrap();
    let terms = ["audit", "terms", "publish", "--accounts", "2", "--period", "1d", "--live", "1d", "--rule"];
    office.done(&[&terms[..], &[rule]].concat());

    // The alarm: what alice's account has never done is refused, and the officers see it.
    let begun_ms = now_ms() - 60_000;
    alice.done(&["address", "choose", "--own"]);
    let [rent, more, fortune] =
        [(900, RENT), (950, RENT), (1_000_000, THIEF)].map(|(euros, to)| payment(alice, euros, to));
    let set = keyward.write("rules.toml", rules(rule, 100));
    office.done(&["risk", "publish", "--next-rule", rule, &set]);
    let first = people.pay(&rent);
    alice.refused("RISK_REFUSED", &["sign", "--address", "new", "--format", "pain.001", &fortune]);
    let loose = keyward.write("loose.toml", rules(rule, 200));
    wait_until("the refusal to be remembered", || {
        let replayed = office.json(&["risk", "replay", &loose]);
        replayed["changes"].as_array().unwrap().iter().any(|change| change["before"]["decision"] == "refuse")
    });
    let last = people.pay(&more);
    assert_ne!(first["public_key"], last["public_key"], "an address was used twice");
    let epoch = |signed: &Value| signed["epoch"].as_u64().unwrap();
    people.deal(epoch(&last));

    // The grant: for alice alone, from before the first of these epochs on.
    let from = begun_ms.to_string();
    let [until, expires] =
        [3_600_000, 7_200_000].map(|ahead| (now_ms() / EPOCH_MS * EPOCH_MS + ahead).to_string());
    let ask = ["audit", "request", "--account", &alice.account, "--from", &from, "--until", &until];
    let ask =
        [&ask[..], &["--expires", &expires, "--purpose", "a fortune to somebody unknown, case 17"]].concat();
    let asked = examiner.done(&ask);
    let (grant, case) = (asked["grant"].as_str().unwrap(), asked["case"].as_str().unwrap());
    let folder = examiner.path("erin-grant");
    examiner.refused("GRANT_STATE", &["audit", "open", grant, &folder]);
    examiner.refused("APPROVALS_MISSING", &["audit", "issue", grant, "--case", case]);
    people.give(&asked);
    examiner.done(&["audit", "issue", grant, "--case", case]);

    // The opening, with one keeper gone; alice's own device opens these epochs no more.
    keyward.kill("node-4");
    examiner.done(&["audit", "open", grant, &folder]);
    // What has elapsed since opens to nobody before alice deals it, which is told and is no success.
    let open = || examiner.word(&["audit", "open", grant, &folder]);
    wait_until("another epoch to elapse", || open().refusal() == "VIEWING_NOT_DEALT");
    let told = open().json();
    assert_eq!(told["not_dealt"][0]["account"], alice.account.as_str(), "{told}");
    assert_eq!(told["not_dealt"][0]["dealt_through"], epoch(&last), "{told}");
    let found = report(&keyward, (&exported(&people, "export-1"), &folder), &examiner.path("report-1"));
    assert_eq!(found["verdict"]["transactions"], 2, "{found}");
    assert_eq!(
        (&found["verdict"]["complete"], &found["verdict"]["lying"]),
        (&true.into(), &0.into()),
        "{found}"
    );
    let paid = found["transactions"].as_array().unwrap();
    for (one, signed) in paid.iter().zip([&first, &last]) {
        assert_eq!(one["account"], alice.account.as_str(), "{one}");
        assert_eq!(one["record"]["leaf_index"], signed["leaf_index"], "{one}");
        assert!(one["detail"]["said"].to_string().contains(RENT), "{one}");
    }
    let acts: Vec<&str> =
        found["grant"]["acts"].as_array().unwrap().iter().map(|act| act["what"].as_str().unwrap()).collect();
    assert_eq!(acts.iter().filter(|&&what| what == "approved").count(), 2, "{acts:?}");

    // Revoked by one of the board: what alice does from now on stays closed, also to who keeps the grant file.
    bob.done(&["audit", "revoke", grant, "--reason", "case 17 is closed"]);
    let later = people.pay(&rent);
    people.deal(epoch(&later));
    examiner.refused("GRANT_STATE", &["audit", "open", grant, &folder]);
    let again = report(&keyward, (&exported(&people, "export-2"), &folder), &examiner.path("report-2"));
    assert_eq!(again["verdict"]["transactions"], 2, "{again}");

    // Closing the account leaves what is over by then to keepers: nobody can do that afterwards.
    let next = (epoch(&later) + 1).to_string();
    wait_until("the next epoch to be over on the ledger", || {
        alice.word(&["address", "close", "--epoch", &next]).code == Some(0)
    });
    let closed = alice.done(&["account", "close", "--yes"]);
    assert!(!closed["address_epochs"]["dealt"].as_array().unwrap().is_empty(), "{closed}");
}
