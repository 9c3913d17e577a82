//! Addresses of three parties on four chains and this ledger that stand together, through a year of changes and a dispute.

use std::fs;

use keyward_client::associations::{address_words, proof_words};
use serde_json::{Value, json};

use crate::agent::common::association::Holder;
use crate::consortium::{Party, proof};
use crate::support::keyward::{Answer, Keyward};

/// Two persons, and a bank whose one key is in its token.
struct Parties<'a> {
    alice: Party<'a>,
    bob: Party<'a>,
    bank: Party<'a>,
    /// The association's id.
    id: String,
}

fn address(holder: Holder) -> String {
    address_words(&holder.address())
}

impl Parties<'_> {
    /// Alice, who has made a request, reads its digits out to bob.
    fn consents(&self, made: &Value, request: &str) -> Value {
        let digits = made["fingerprint"].as_str().unwrap();
        let wrong = ["association", "consent", request, "--fingerprint", "0000-0000-0000-0000-0000"];
        self.bob.refused("ASSOCIATION_FINGERPRINT_OTHER", &wrong);
        self.bob.done(&["association", "consent", request, "--fingerprint", digits])
    }

    /// The bank, too, which has nothing but its token.
    fn token_consents(&self, made: &Value, request: &str) -> Answer {
        let digits = made["fingerprint"].as_str().unwrap();
        self.bank.run(&["association", "consent", request, "--fingerprint", digits, "--key", "bank"])
    }

    /// What an address of alice's or bob's signs to come in a version.
    fn comes(&self, of: &Party<'_>, holder: Holder, version: &str) -> [String; 2] {
        proof(&self.alice, of, holder, Some(&self.id), version).1
    }

    /// Everybody sees the same, and nobody's address is where the others do not see it.
    fn one_version(&self, version: u32, members: usize) -> Value {
        let seen = [&self.alice, &self.bob].map(|party| {
            let mut checked = party.json(&["association", "check", &self.id]);
            checked.as_object_mut().unwrap().remove("proven").unwrap();
            checked
        });
        assert_eq!(seen[0], seen[1]);
        assert_eq!(
            (&seen[0]["version"], seen[0]["members"].as_array().unwrap().len()),
            (&json!(version), members)
        );
        seen[0].clone()
    }

    /// Alice changes it, and bob agrees.
    fn update(&self, more: &[&str]) -> Value {
        let request = self.alice.path("update.request");
        let update = [&["association", "update", &self.id], more, &["--request", &request]].concat();
        let made = self.alice.done(&update);
        self.consents(&made, &request)
    }

    /// The same where the ledger refuses it.
    fn update_refused(&self, code: &str, more: &[&str]) {
        let request = self.alice.path("refused.request");
        let update = [&["association", "update", &self.id], more, &["--request", &request]].concat();
        let made = self.alice.done(&update);
        let digits = made["fingerprint"].as_str().unwrap();
        self.bob.refused(code, &["association", "consent", &request, "--fingerprint", digits]);
    }
}

#[test]
fn addresses_of_three_parties_on_five_chains_stand_together_through_changes_and_a_dispute() {
    let keyward = Keyward::start();
    let [alice, bob] = ["alice", "bob"].map(|name| Party::at(&keyward, "app", name).logged_in(name));
    let bank = Party::bank(&keyward, None, "sample-p256", "ecdsa-p256");
    let text = proof(&alice, &alice, Holder::Ethereum(7), None, "1").0;
    let id = text["association"].as_str().unwrap().to_owned();
    let parties = Parties { alice, bob, bank, id };
    let first = opened(&parties);
    changed(&parties);
    disputed(&parties);
    shown_elsewhere(&parties, &first);
}

/// Each address has signed on its own chain, each account has agreed, the bank with its token. Gives an export.
fn opened(parties: &Parties<'_>) -> String {
    let Parties { alice, bob, bank, id } = parties;
    let of_alice = [Holder::Ethereum(7), Holder::Ed25519].map(|holder| parties.comes(alice, holder, "1"));
    let of_bob = [Holder::Bitcoin(9, 1), Holder::Sm2].map(|holder| parties.comes(bob, holder, "1"));
    let token = format!("key:{}", bank.key("bank"));
    let request = alice.path("open.request");
    let mut create = vec!["association", "create", "--id", id, "--needed", "2"];
    for party in [alice, bob] {
        create.extend(["--party", &party.account]);
    }
    create.extend(["--member", &bank.account, &token, "--request", &request]);
    for (party, [address, _]) in
        of_alice.iter().map(|of| (alice, of)).chain(of_bob.iter().map(|of| (bob, of)))
    {
        create.extend(["--member", &party.account, address]);
    }
    let proven = |proofs: &[[String; 2]]| -> Vec<String> {
        proofs
            .iter()
            .flat_map(|[address, proof]| ["--proof".to_owned(), address.clone(), proof.clone()])
            .collect()
    };
    // A wallet that is not the address's, and one that signed for another ledger.
    let [ether, _] = &of_alice[0];
    let text = proof(alice, alice, Holder::Ethereum(7), Some(id), "1").0;
    let text = text["text"].as_str().unwrap();
    let elsewhere = text.replacen(text.split(' ').nth(4).unwrap(), &"00".repeat(32), 1);
    assert_ne!(text, elsewhere);
    for stolen in [Holder::Ethereum(8).sign(text), Holder::Ethereum(7).sign(&elsewhere)] {
        let stolen = [[ether.clone(), proof_words(&Holder::Ethereum(7).address(), &stolen)]];
        let proofs = [proven(&stolen), proven(&of_alice[1..]), proven(&of_bob)].concat();
        let words: Vec<_> = create.iter().copied().chain(proofs.iter().map(String::as_str)).collect();
        let made = alice.done(&words);
        parties.consents(&made, &request);
        let refused = parties.token_consents(&made, &request);
        assert_eq!((refused.code, refused.refusal().as_str()), (Some(1), "ADDRESS_UNPROVEN"), "{refused:?}");
    }
    let proofs = [proven(&of_alice), proven(&of_bob)].concat();
    let words: Vec<_> = create.iter().copied().chain(proofs.iter().map(String::as_str)).collect();
    let made = alice.done(&words);
    // Without the bank's word bob's is not the last one.
    let missing = parties.consents(&made, &request);
    assert_eq!(missing["missing"]["accounts"], json!([bank.account]), "{missing}");
    let none = alice.run(&["association", "check", id]);
    assert_eq!((none.code, none.refusal().as_str()), (Some(1), "ASSOCIATION_UNKNOWN"), "{none:?}");
    let done = parties.token_consents(&made, &request).done().json();
    assert_eq!(done["association"], id.as_str());
    let checked = parties.one_version(1, 5);
    for holder in [Holder::Ethereum(7), Holder::Ed25519, Holder::Bitcoin(9, 1), Holder::Sm2] {
        assert!(checked["members"].to_string().contains(&address(holder)), "{checked}");
    }
    let export = alice.path("first.json");
    alice.json(&["association", "export", id, "--out", &export]);
    export
}

/// A wallet is replaced, another one leaves; proofs and addresses count once.
fn changed(parties: &Parties<'_>) {
    let Parties { alice, bob, id, .. } = parties;
    // Where bob's address stands already, and in an association of his own.
    let (text, [coins, coins_proof]) = proof(bob, bob, Holder::Bitcoin(9, 1), None, "1");
    let own =
        ["association", "create", "--id", text["association"].as_str().unwrap(), "--party", &bob.account];
    let own = [&own[..], &["--member", &bob.account, &coins, "--proof", &coins, &coins_proof]].concat();
    bob.refused("ADDRESS_TAKEN", &own);

    let old = address(Holder::Ethereum(7));
    let [next, early] = parties.comes(alice, Holder::Ethereum(8), "3");
    let replaced = ["--remove", &old, "--member", &alice.account, &next, "--proof", &next];
    let skipped = [&["association", "update", id, "--as-version", "3"], &replaced[..], &[&early]].concat();
    alice.refused("ASSOCIATION_VERSION", &skipped);
    parties.update_refused("ADDRESS_UNPROVEN", &[&replaced[..], &[&early]].concat());
    let [_, proven] = parties.comes(alice, Holder::Ethereum(8), "2");
    parties.update(&[&replaced[..], &[&proven]].concat());
    let checked = parties.one_version(2, 5);
    assert!(!checked["members"].to_string().contains(&old), "{checked}");

    let sm2 = address(Holder::Sm2);
    alice.refused("MEMBER_UNKNOWN", &["association", "leave", id, &sm2]);
    bob.done(&["association", "leave", id, &sm2]);
    bob.refused("MEMBER_UNKNOWN", &["association", "leave", id, &sm2]);
    parties.one_version(3, 4);
}

/// While bob disputes nothing changes, until both settle it.
fn disputed(parties: &Parties<'_>) {
    let Parties { alice, bob, id, .. } = parties;
    alice.refused("ASSOCIATION_UNDISPUTED", &["association", "settle", id]);
    let dispute = ["association", "dispute", id, "--reason", "the wallet is not alice's"];
    bob.done(&dispute);
    let shown = alice.json(&["association", "show", id]);
    assert_eq!(shown["dispute"]["account"], bob.account.as_str());
    let wallet = address(Holder::Ethereum(8));
    alice.refused("ASSOCIATION_DISPUTED", &["association", "leave", id, &wallet]);
    parties.update_refused("ASSOCIATION_DISPUTED", &["--remove", &wallet]);
    let request = alice.path("settle.request");
    let made = alice.done(&["association", "settle", id, "--verdict", "it is hers", "--request", &request]);
    parties.consents(&made, &request);
    bob.refused("DISPUTE_HEARD", &dispute);
    // Whoever disputes takes it back alone.
    alice.done(&["association", "dispute", id, "--reason", "by mistake"]);
    alice.done(&["association", "settle", id]);
    parties.one_version(3, 4);
}

/// Who has the file and the trust file needs nobody; an old file says what was, and a changed one nothing.
fn shown_elsewhere(parties: &Parties<'_>, first: &str) {
    let Parties { alice, bank, id, .. } = parties;
    let export = alice.path("group.json");
    alice.json(&["association", "export", id, "--out", &export]);
    let trust = alice.keyward.trust();
    let alone =
        |file: &str| bank.run(&["association", "check", "--file", file, "--trust", trust.to_str().unwrap()]);
    for (file, version, members) in [(first, 1, 5), (&export[..], 3, 4)] {
        let checked = alone(file).done().json();
        assert_eq!(
            (&checked["version"], checked["members"].as_array().unwrap().len()),
            (&json!(version), members)
        );
    }
    let current = alice.json(&["association", "check", id, "--file", &export]);
    assert_eq!(current["version"], 3);
    let other = alice.run(&["association", "check", id, "--file", first]);
    assert_eq!((other.code, other.refusal().as_str()), (Some(1), "ASSOCIATION_EXPORT_OTHER"), "{other:?}");
    let changed = fs::read_to_string(&export).unwrap().replace("\"version\": 3", "\"version\": 4");
    let changed = alice.keyward.write("changed.json", changed);
    let verdict = alone(&changed);
    assert_eq!(
        (verdict.code, verdict.refusal().as_str()),
        (Some(1), "ASSOCIATION_EXPORT_INVALID"),
        "{verdict:?}"
    );

    // The bank's key is frozen: the versions agree, and who looks is told all the same.
    bank.json(&["key", "freeze", "bank"]);
    let ended = alice.run(&["association", "check", id]);
    assert_eq!((ended.code, ended.refusal().as_str()), (Some(1), "ASSOCIATION_MEMBER_ENDED"), "{ended:?}");
}
