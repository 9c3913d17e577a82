//! A consortium's year: two banks with tokens, an app, one treasury that nobody holds alone, and addresses on three chains.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Command,
};

use keyward_client::associations::{address_words, proof_words};
use serde_json::Value;

use crate::agent::common::association::Holder;
use crate::support::authority::Authority;
use crate::support::keyward::{Answer, Keyward, wait_until};

const PAYMENT: &str = include_str!("../../demo/pain.001.xml");
const KEEPERS: [&str; 4] = ["--keepers", "3", "--threshold", "2"];

/// Somebody with a profile of their own, and a password if they are a person.
pub struct Party<'a> {
    pub keyward: &'a Keyward,
    profile: PathBuf,
    password: Option<String>,
    pub account: String,
}

impl<'a> Party<'a> {
    /// Somebody at the certificate of a role.
    pub fn at(keyward: &'a Keyward, role: &str, name: &str) -> Self {
        let (from, profile) = (keyward.profile(role), keyward.dir().join(format!("profiles/{role}-{name}")));
        fs::create_dir(&profile).unwrap();
        for file in ["profile.toml", "certificate.pem", "key.pem"] {
            fs::copy(from.join(file), profile.join(file)).unwrap();
        }
        Self { keyward, profile, password: None, account: String::new() }
    }

    pub fn logged_in(mut self, name: &str) -> Self {
        let password = self.keyward.write(&format!("{name}-password"), format!("{name} remembers this well"));
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        self.password = Some(password);
        let _registered_before = self.word(&["account", "register", name]);
        let session = self.done(&["account", "login", name]);
        self.account = session["account"].as_str().unwrap().to_owned();
        self
    }

    /// A bank: an operator whose certificate its own authority has made, and a key in its token.
    pub fn bank(
        keyward: &'a Keyward,
        certificate: Option<(String, String)>,
        label: &str,
        scheme: &str,
    ) -> Self {
        let mut bank = Self::at(keyward, "operator", label);
        if let Some((certificate, key)) = certificate {
            fs::write(bank.profile.join("certificate.pem"), certificate).unwrap();
            fs::write(bank.profile.join("key.pem"), key).unwrap();
        }
        let pin = keyward.dir().join("token.pin");
        let token = ["token", "link", "--token", "keyward-local", "--label", label, "--scheme", scheme];
        let linked =
            bank.json(&[&token[..], &["--alias", "bank", "--pin-file", pin.to_str().unwrap()]].concat());
        assert_eq!(linked["mode"], "linked");
        bank.account = linked["account"].as_str().unwrap().to_owned();
        bank
    }

    /// A command, with the password of who has one.
    pub fn word(&self, arguments: &[&str]) -> Answer {
        let password = self.password.as_deref().unwrap();
        self.run(&[arguments, &["--password-file", password]].concat())
    }

    /// A command without a password.
    pub fn run(&self, arguments: &[&str]) -> Answer {
        self.keyward.run_with(&self.profile, &[&["--output", "json"], arguments].concat())
    }

    /// What a command with the password answers, which must do its work.
    pub fn done(&self, arguments: &[&str]) -> Value {
        self.word(arguments).done().json()
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        self.run(arguments).done().json()
    }

    pub fn refused(&self, code: &str, arguments: &[&str]) {
        let answer = self.word(arguments);
        assert_eq!((answer.code, answer.refusal().as_str()), (Some(1), code), "{answer:?}");
    }

    pub fn key(&self, alias: &str) -> String {
        self.json(&["key", "show", alias])["key_id"].as_str().unwrap().to_owned()
    }

    pub fn path(&self, name: &str) -> String {
        self.keyward.work(name).to_str().unwrap().to_owned()
    }
}

/// Bank B's operator has a certificate of bank B's own authority, which the service comes to know.
fn of_another_authority(keyward: &Keyward) -> (String, String) {
    let authority = Authority::new();
    let mut known = File::options().append(true).open(keyward.dir().join("ca/ca.pem")).unwrap();
    known.write_all(authority.pem.as_bytes()).unwrap();
    keyward.is_back("service", keyward.kill("service"));
    let (certificate, key) = authority.client("keyward://operator/bank-b");
    wait_until("the service to work again", || keyward.run_as("operator", &["status"]).code == Some(0));
    (certificate, key.to_string())
}

/// What clara pays out of the treasury.
fn pay(clara: &Party<'_>, file: &str, more: &[&str]) -> Answer {
    clara.word(&[&["sign", "--key", "treasury", "--format", "pain.001"], more, &[file]].concat())
}

/// Signed, and the receipt and the bare signature verify, the latter with openssl.
fn paid(clara: &Party<'_>, file: &str, more: &[&str]) -> Value {
    let [receipt, signature] = ["payment.receipt", "payment.signature"].map(|name| clara.path(name));
    let signed = pay(clara, file, &[more, &["--receipt", &receipt, "--signature", &signature]].concat());
    let signed = signed.done().json();
    let trust = clara.keyward.trust();
    let verify = ["verify", "--trust", trust.to_str().unwrap(), "--message", file, &receipt];
    let verdict = clara.json(&verify);
    assert_eq!((&verdict["entry"], &verdict["signature"]), (&"intent-shared".into(), &signed["signature"]));
    let key = keyward_ledger_core::scheme::PublicKey::parse(
        keyward_ledger_core::scheme::Scheme::Ed25519,
        &hex::decode(signed["public_key"].as_str().unwrap()).unwrap(),
    );
    let der = clara.path("treasury.der");
    fs::write(&der, key.unwrap().to_spki_der().unwrap()).unwrap();
    let openssl = ["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", &der, "-rawin", "-in", file];
    let checked = Command::new("openssl").args(openssl).args(["-sigfile", &signature]).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    verdict
}

#[test]
fn a_consortium_pays_together_above_a_limit_and_keeps_its_addresses_on_three_chains_together() {
    let keyward = Keyward::start();
    let bank_b = of_another_authority(&keyward);
    let bank_a = Party::bank(&keyward, None, "sample-p256", "ecdsa-p256");
    let bank_b = Party::bank(&keyward, Some(bank_b), "sample-ed25519", "ed25519");
    assert_ne!(bank_a.account, bank_b.account);
    let [clara, dora] = ["clara", "dora"].map(|name| Party::at(&keyward, "app", name).logged_in(name));
    let office = Party::at(&keyward, "officer", "dora").logged_in("dora");

    // An app has a hosted key, and signs with it as ever.
    let app = ["key", "create", "--alias", "invoices", "--scheme", "ecdsa-secp256k1", "--mode", "hosted"];
    assert_eq!(keyward.json(&[&app[..], &["--as-certificate"]].concat())["mode"], "hosted");
    let note = keyward.write("note", "an invoice");
    keyward.json(&["sign", "--key", "invoices", "--as-certificate", &note]);

    let treasury = treasury(&clara, &dora, &office, [&bank_a, &bank_b]);
    together(&clara, &dora, &bank_a, &treasury);
}

/// Above 1,000.00 both banks have to agree, each with its token. Gives the key's id.
fn treasury(clara: &Party<'_>, dora: &Party<'_>, office: &Party<'_>, banks: [&Party<'_>; 2]) -> String {
    let members = banks.map(|bank| format!("key:{}", bank.key("bank"))).join(",");
    dora.done(&["approve", "rule", "define", "--rule", "treasurers", "--group", "banks", "2", &members]);
    let rule = dora.json(&["approve", "rule", "show", "--rule", "treasurers"]);
    let rule = rule["rule"].as_str().unwrap();
    let shared = ["key", "create", "--mode", "shared", "--alias", "treasury", "--scheme", "ed25519"];
    let made = clara.done(&[&shared[..], &KEEPERS, &["--tenant", "default"]].concat());
    let key = made["key_id"].as_str().unwrap();
    let set = format!(
        r#"@id("above-the-limit") @approval("{rule}")
        forbid (principal, action == Action::"key.sign", resource == Key::"{key}")
        when {{ context.opaque || context.amount > 100000 }} unless {{ context.approvals.contains("{rule}") }};"#
    );
    let set = clara.keyward.write("limit.cedar", set);
    office.done(&["policy", "publish", &set, "--next-rule", rule]);

    let large = clara.keyward.write("large.xml", PAYMENT);
    let mut small = PAYMENT.replace("21434.56", "21.43");
    for (amount, less) in [(">18250.00<", ">18.00<"), (">2984.56<", ">3.00<"), (">200.00<", ">0.43<")] {
        assert!(small.contains(amount));
        small = small.replace(amount, less);
    }
    let small = clara.keyward.write("small.xml", small);
    let verdict = paid(clara, &small, &[]);
    assert!(verdict["shared"]["case"].is_null(), "{verdict}");
    let above = pay(clara, &large, &[]);
    assert_eq!((above.code, above.refusal()), (Some(1), "APPROVAL_REQUIRED".to_owned()), "{above:?}");
    clara.refused("APPROVAL_REQUIRED", &["sign", "--key", "treasury", &small]);

    let ask = ["approve", "ask", "--rule", "treasurers", "--of", &dora.account, "--key", key];
    let asked = clara.done(&[&ask[..], &["--format", "pain.001", &large]].concat());
    let (case, hash) = (asked["case"].as_str().unwrap(), asked["hash"].as_str().unwrap());
    for bank in banks {
        let early = pay(clara, &large, &["--approval", case]);
        assert_eq!((early.code, early.refusal()), (Some(1), "APPROVALS_MISSING".to_owned()), "{early:?}");
        let shown = bank.json(&["approve", "show", case]);
        assert_eq!(shown["hash"], hash);
        assert!(shown["words"].to_string().contains("18250 EUR"), "{shown}");
        bank.json(&["approve", "give", case, "--hash", hash, "--token", "bank"]);
    }
    // For this payment, and once.
    assert_eq!(pay(clara, &small, &["--approval", case]).code, Some(1));
    let verdict = paid(clara, &large, &["--approval", case]);
    assert_eq!(verdict["shared"]["case"], case);
    let again = pay(clara, &large, &["--approval", case]);
    assert_eq!((again.code, again.refusal()), (Some(1), "CASE_USED".to_owned()), "{again:?}");
    key.to_owned()
}

/// What `holder` signs for its address in a version: the text, and the address with its proof.
pub fn proof(
    asks: &Party<'_>,
    of: &Party<'_>,
    holder: Holder,
    association: Option<&str>,
    version: &str,
) -> (Value, [String; 2]) {
    let address = address_words(&holder.address());
    let which = match association {
        None => vec!["--new"],
        Some(id) => vec!["--association", id, "--as-version", version],
    };
    let text = [&["association", "text", "--account", &of.account][..], &which, &[&address]].concat();
    let text = asks.json(&text);
    let signed = holder.sign(text["text"].as_str().unwrap());
    (text, [address, proof_words(&holder.address(), &signed)])
}

/// The treasury and addresses on Ethereum and Bitcoin belong together; one of them is replaced, and who has the file sees which.
fn together(clara: &Party<'_>, dora: &Party<'_>, bank: &Party<'_>, treasury: &str) {
    let [ether, coins, next] = [Holder::Ethereum(7), Holder::Bitcoin(9, 1), Holder::Ethereum(8)];
    let (text, [ether, ether_proof]) = proof(clara, dora, ether, None, "1");
    let id = text["association"].as_str().unwrap();
    let (_, [coins, coins_proof]) = proof(clara, dora, coins, Some(id), "1");
    let treasury = format!("key:{treasury}");
    let request = clara.path("group.request");
    let parties = ["--id", id, "--party", &clara.account, "--party", &dora.account, "--needed", "2"];
    let members = [
        ["--member", &clara.account, &treasury],
        ["--member", &dora.account, &ether],
        ["--member", &dora.account, &coins],
        ["--proof", &ether, &ether_proof],
        ["--proof", &coins, &coins_proof],
    ];
    let create =
        [&["association", "create"][..], &parties, members.as_flattened(), &["--request", &request]].concat();
    let made = clara.done(&create);
    let fingerprint = made["fingerprint"].as_str().unwrap();
    let consent = ["association", "consent", &request, "--fingerprint", fingerprint];
    dora.done(&consent);
    let checked = clara.json(&["association", "check", id]);
    assert_eq!((&checked["version"], checked["members"].as_array().unwrap().len()), (&1.into(), 3));

    // A wallet is given up: another one comes in its place, in the next version, and nobody else sees two.
    let (_, [next, next_proof]) = proof(clara, dora, next, Some(id), "2");
    let request = clara.path("replaced.request");
    let update = ["association", "update", id, "--remove", &ether, "--member", &dora.account, &next];
    let update = [&update[..], &["--proof", &next, &next_proof, "--request", &request]].concat();
    let made = clara.done(&update);
    dora.done(&["association", "consent", &request, "--fingerprint", made["fingerprint"].as_str().unwrap()]);
    let export = clara.path("group.json");
    clara.json(&["association", "export", id, "--out", &export]);
    for who in [clara, dora, bank] {
        let checked = who.json(&["association", "check", "--file", &export]);
        assert_eq!(checked["version"], 2, "{checked}");
        let members = checked["members"].to_string();
        assert!(
            members.contains(&next) && members.contains(&treasury) && !members.contains(&ether),
            "{members}"
        );
    }
}
