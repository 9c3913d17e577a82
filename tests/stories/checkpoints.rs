//! The log of a running Keyward before other people's tools: cosigned checkpoints and COSE Receipts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::log::verify_consistency;
use keyward_ledger_verify::checkpoint::{Note, Verifier, add_checkpoint_body};
use keyward_tests::{build_folder, left_out, repository};
use serde_json::{Value, json};

use crate::support::keyward::{Keyward, wait_until};

/// A checkpoint that the command line gave.
struct Checkpoint {
    note: Note,
    answer: Value,
}

impl Checkpoint {
    /// The newest one with at least so many records, once all have cosigned: a quorum is enough before that.
    fn of(keyward: &Keyward, size: u64, from: u64) -> Self {
        let (from, mut newest) = (from.to_string(), None);
        wait_until("a checkpoint of all records by all", || {
            let given =
                keyward.run_as("auditor", &["--output", "json", "ledger", "checkpoint", "--from", &from]);
            newest = (given.code == Some(0)).then(|| Self::read(given.json()));
            newest.as_ref().is_some_and(|found| found.note.checkpoint.size >= size && found.is_by_all())
        });
        newest.unwrap()
    }

    fn read(answer: Value) -> Self {
        let note = Note::parse(answer["note"].as_str().unwrap(), answer["origin"].as_str().unwrap()).unwrap();
        Self { note, answer }
    }

    fn is_by_all(&self) -> bool {
        let mut lines = ["log", "cosigner"].into_iter().flat_map(|kind| self.lines(kind));
        lines.all(|line| self.note.signed_by(&Verifier::parse(&line).unwrap()).is_some())
    }

    fn lines(&self, kind: &str) -> Vec<String> {
        let all = self.answer["verifiers"].as_array().unwrap().iter();
        all.map(|keys| keys[kind].as_str().unwrap().to_owned()).collect()
    }

    fn consistency(&self) -> Vec<Hash> {
        let all = self.answer["consistency"].as_array().unwrap().iter();
        all.map(|hash| hex::decode(hash.as_str().unwrap()).unwrap().try_into().unwrap()).collect()
    }
}

/// Runs a suite of `tests/conformance`; gives how many lines say `passed`.
fn suite(script: &str, manifest: &Path) -> usize {
    let cache = build_folder().unwrap().parent().unwrap().join("conformance").join(script);
    let path = repository().join("tests/conformance").join(script);
    let output = Command::new(path).arg(manifest).arg(cache).output().unwrap();
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "`{script}` ended with {}:\n{text}", output.status);
    text.lines().filter(|line| line.starts_with("passed ")).count()
}

#[test]
fn checkpoints_of_a_running_ledger_are_cosigned_by_all_and_taken_by_a_witness() {
    let keyward = Keyward::start();
    keyward.json(&["key", "create", "--alias", "payroll", "--scheme", "ed25519"]);
    let first = Checkpoint::of(&keyward, 2, 0);
    let message = keyward.write("message", "one more record");
    keyward.json(&["sign", "--key", "payroll", &message]);
    let (old, size) = (first.note.checkpoint.size, first.note.checkpoint.size + 1);
    let second = Checkpoint::of(&keyward, size, old);
    let proof = second.consistency();
    let (from, to) = (&first.note.checkpoint, &second.note.checkpoint);
    verify_consistency(from.size, to.size, &proof, &from.root, &to.root).unwrap();
    for checkpoint in [&first, &second] {
        let verifiers: Vec<_> = ["log", "cosigner"].iter().flat_map(|kind| checkpoint.lines(kind)).collect();
        assert_eq!(verifiers.len(), 8, "two names of each of four validators");
        for line in verifiers {
            assert!(checkpoint.note.signed_by(&Verifier::parse(&line).unwrap()).is_some(), "{line}");
        }
    }
    let out = keyward.work("checkpoint");
    keyward.json_as("auditor", &["ledger", "checkpoint", "--out", out.to_str().unwrap()]);
    assert!(fs::read_to_string(&out).unwrap().starts_with(&to.origin));
    if left_out("go") {
        println!("left out: go");
        return;
    }
    let body = |name: &str, old, proof: &[Hash], note| {
        keyward.write(name, add_checkpoint_body(old, proof, note));
        json!({ "Name": name, "Body": name, "Status": 200, "Answer": format!("{name}-answer") })
    };
    let requests = [body("request-1", 0, &[], &first.note), body("request-2", old, &proof, &second.note)];
    keyward.write("first", first.note.encode());
    keyward.write("second", second.note.encode());
    let manifest = json!({
        "Origin": to.origin, "Log": first.lines("log")[0], "Cosigners": first.lines("cosigner"),
        "Notes": ["first", "second"], "Requests": requests, "Witness": "witness",
    });
    let manifest = keyward.write("manifest.json", manifest.to_string());
    assert_eq!(suite("tlog-witness", Path::new(&manifest)), 4);
}

#[test]
fn a_record_of_a_running_ledger_has_a_cose_receipt() {
    let keyward = Keyward::start();
    keyward.json(&["key", "create", "--alias", "payroll", "--scheme", "ed25519"]);
    let receipt: PathBuf = keyward.work("receipt-0");
    let mut answer = Value::Null;
    wait_until("a checkpoint of the record", || {
        let arguments = ["--output", "json", "ledger", "get", "0", "--cose", receipt.to_str().unwrap()];
        let given = keyward.run_as("auditor", &arguments);
        if given.code == Some(0) {
            answer = given.json();
        }
        receipt.exists()
    });
    let cose = &answer["cose"];
    assert_eq!(hex::encode(fs::read(&receipt).unwrap()), cose["receipt"].as_str().unwrap());
    if left_out("python3-venv") {
        println!("left out: python3-venv");
        return;
    }
    keyward.write("leaf-0", hex::decode(cose["record"].as_str().unwrap()).unwrap());
    let case = json!([{
        "name": "record 0", "receipt": "receipt-0", "leaf": "leaf-0", "public_key": cose["public_key"],
        "origin": cose["origin"], "valid": true,
    }]);
    let manifest = keyward.write("manifest.json", case.to_string());
    assert_eq!(suite("cose-receipt", Path::new(&manifest)), 1);
}
