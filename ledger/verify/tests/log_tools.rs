//! Checkpoints and COSE Receipts: there and back, each refusal, and before the tools of others.
//!
//! Needs `go` (1.25 or newer) and `python3-venv`; left out only when `KEYWARD_WITHOUT` names them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::World;
use crate::common::mutate::{Random, mutate};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::Entry;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::log::{prove_consistency, prove_inclusion, root_at, verify_consistency};
use keyward_ledger_verify::checkpoint::{
    CheckpointError, Form, LogCheckpoint, Note, Verifier, add_checkpoint_body, origin,
};
use keyward_ledger_verify::cose;
use serde_json::json;

const TIME_S: u64 = 1_700_000_000;

/// A ledger with 13 records, and the checkpoint keys of its validators.
struct Log {
    world: World,
    keys: Vec<SigningKey>,
    origin: String,
}

impl Log {
    fn new() -> Self {
        let mut world = World::new();
        for count in [1_u8, 4, 7, 1] {
            let notes: Vec<_> = (0..count).map(|number| Entry::Note(vec![count, number])).collect();
            world.submit(&notes);
        }
        let keys = (0x61..0x65).map(|seed| SigningKey::from_seed(&[seed; 32])).collect();
        let origin = origin(world.genesis.name(), &world.chain_id());
        Self { world, keys, origin }
    }

    fn checkpoint(&self, size: u64) -> LogCheckpoint {
        let root = root_at(&self.world.nodes, size).unwrap();
        LogCheckpoint { origin: self.origin.clone(), size, root }
    }

    /// The checkpoint with the signatures of every validator, merged as a client does.
    fn note(&self, size: u64) -> Note {
        let checkpoint = self.checkpoint(size);
        let mut notes = self.keys.iter().map(|key| checkpoint.sign(key, TIME_S));
        let mut merged = notes.next().unwrap();
        notes.for_each(|note| merged.merge(&note).unwrap());
        merged
    }

    fn proof(&self, old: u64, new: u64) -> Vec<Hash> {
        prove_consistency(&self.world.nodes, old, new).unwrap()
    }
}

fn left_out(tool: &str) -> bool {
    let left_out =
        std::env::var("KEYWARD_WITHOUT").is_ok_and(|names| names.split(',').any(|name| name == tool));
    if left_out {
        println!("left out: {tool}");
    }
    left_out
}

/// A folder of this test's own, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a suite of `tests/conformance` on a manifest; gives how many lines say `passed`.
fn suite(script: &str, manifest: &Path) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/conformance").join(script);
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{script}-cache"));
    let output = Command::new(path).arg(manifest).arg(cache).output().unwrap();
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    println!("{text}");
    assert!(output.status.success(), "`{script}` ended with {}:\n{text}", output.status);
    text.lines().filter(|line| line.starts_with("passed ")).count()
}

#[test]
fn every_log_begins_with_every_earlier_one_and_with_no_other() {
    let log = Log::new();
    let size = log.world.ledger.log().size();
    assert_eq!((size, root_at(&log.world.nodes, size).unwrap()), (13, log.world.ledger.log().root()));
    let root = |size| root_at(&log.world.nodes, size).unwrap();
    for new in 0..=size {
        for old in 0..=new {
            let proof = log.proof(old, new);
            verify_consistency(old, new, &proof, &root(old), &root(new)).unwrap();
            let longer = [proof.as_slice(), &[[1; 32]]].concat();
            assert!(verify_consistency(old, new, &longer, &root(old), &root(new)).is_err());
            if let Some((_, shorter)) = proof.split_last() {
                assert!(verify_consistency(old, new, shorter, &root(old), &root(new)).is_err());
            }
            for at in 0..proof.len() {
                let mut other = proof.clone();
                other[at][0] ^= 1;
                assert!(verify_consistency(old, new, &other, &root(old), &root(new)).is_err());
            }
            if old > 0 {
                assert!(verify_consistency(old, new, &proof, &[7; 32], &root(new)).is_err());
                assert!(verify_consistency(old, new, &proof, &root(old), &[7; 32]).is_err());
            }
        }
        assert!(prove_consistency(&log.world.nodes, new + 1, new).is_err());
        assert!(verify_consistency(new + 1, new, &[], &root(new), &root(new)).is_err());
    }
}

#[test]
fn a_checkpoint_reads_back_and_names_its_signers() {
    let log = Log::new();
    let note = log.note(12);
    let text = note.encode();
    assert_eq!(Note::parse(&text, &log.origin).unwrap(), note);
    for key in &log.keys {
        let [plain, timed] = Verifier::of(&log.origin, key.public_key());
        assert_eq!((note.signed_by(&plain), note.signed_by(&timed)), (Some(0), Some(TIME_S)));
        for verifier in [plain, timed] {
            assert_eq!(Verifier::parse(&verifier.line()).unwrap(), verifier);
            // The key of another form or name signed nothing.
            let other = Verifier { name: format!("{}x", verifier.name), ..verifier.clone() };
            assert_eq!(note.signed_by(&other), None);
        }
    }
    let stranger = SigningKey::from_seed(&[0x77; 32]).public_key();
    for verifier in Verifier::of(&log.origin, stranger) {
        assert_eq!(note.signed_by(&verifier), None);
    }
    let Err(CheckpointError::Origin { .. }) = Note::parse(&text, "keyward/other/00") else { panic!() };
    let mut first = log.note(5);
    assert_eq!(first.merge(&note), Err(CheckpointError::Different));
    let before = first.signatures.len();
    first.merge(&log.note(5)).unwrap();
    assert_eq!(first.signatures.len(), before, "a signature is kept once");
}

#[test]
fn changed_checkpoints_are_refused_or_signed_by_nobody() {
    let log = Log::new();
    let note = log.note(12);
    let text = note.encode();
    let mut random = Random::seeded("changed_checkpoints");
    for _ in 0..4_000 {
        let Ok(changed) = String::from_utf8(mutate(&mut random, text.as_bytes(), log.origin.as_bytes()))
        else {
            continue;
        };
        let Ok(parsed) = Note::parse(&changed, &log.origin) else { continue };
        assert_eq!(parsed.encode(), changed, "a note has one form");
        if parsed.checkpoint != note.checkpoint {
            for verifier in log.keys.iter().flat_map(|key| Verifier::of(&log.origin, key.public_key())) {
                assert_eq!(parsed.signed_by(&verifier), None);
            }
        }
    }
    let [line, _] = Verifier::of(&log.origin, log.keys[0].public_key()).map(|verifier| verifier.line());
    for _ in 0..2_000 {
        let Ok(changed) = String::from_utf8(mutate(&mut random, line.as_bytes(), text.as_bytes())) else {
            continue;
        };
        if let Ok(parsed) = Verifier::parse(&changed) {
            assert_eq!(parsed.line(), changed, "a verifier has one line");
        }
    }
}

#[test]
fn a_witness_that_is_not_ours_takes_our_checkpoints() {
    if left_out("go") {
        return;
    }
    let found = Command::new("go").arg("version").output().is_ok();
    assert!(
        found,
        "`go` is missing: install Go 1.25 or newer (https://go.dev/dl), or run with `--without go`"
    );
    let (log, folder) = (Log::new(), Folder::new("witness"));
    let (first, second) = (log.note(5), log.note(12));
    folder.write("first", first.encode());
    folder.write("second", second.encode());
    let proof = log.proof(5, 12);
    let stranger = log.checkpoint(5).sign(&SigningKey::from_seed(&[0x77; 32]), TIME_S);
    let elsewhere = LogCheckpoint { origin: "keyward/other/00".into(), ..log.checkpoint(5) };
    let fork = LogCheckpoint { root: [7; 32], ..log.checkpoint(12) };
    let mut broken = proof.clone();
    broken[0][0] ^= 1;
    let requests = [
        ("another log", 404, add_checkpoint_body(0, &[], &elsewhere.sign(&log.keys[0], TIME_S))),
        ("a stranger's key", 403, add_checkpoint_body(0, &[], &stranger)),
        ("the first checkpoint", 200, add_checkpoint_body(0, &[], &first)),
        ("an old size that is past", 409, add_checkpoint_body(0, &[], &second)),
        ("a broken proof", 422, add_checkpoint_body(5, &broken, &second)),
        ("a fork", 422, add_checkpoint_body(5, &proof, &fork.sign(&log.keys[0], TIME_S))),
        ("the second checkpoint", 200, add_checkpoint_body(5, &proof, &second)),
    ];
    let mut listed = Vec::new();
    for (number, (name, status, body)) in requests.iter().enumerate() {
        folder.write(&format!("request-{number}"), body);
        let (file, answer) = (format!("request-{number}"), format!("answer-{number}"));
        listed.push(json!({"Name": name, "Body": file, "Status": status, "Answer": answer}));
    }
    let line = |key: &SigningKey, form| {
        let mut both = Verifier::of(&log.origin, key.public_key()).into_iter();
        both.find(|verifier| verifier.form == form).unwrap().line()
    };
    let cosigners: Vec<_> = log.keys.iter().map(|key| line(key, Form::Cosignature)).collect();
    let manifest = json!({
        "Origin": log.origin, "Log": line(&log.keys[0], Form::Log), "Cosigners": cosigners,
        "Notes": ["first", "second"], "Requests": listed, "Witness": "witness",
    });
    folder.write("manifest.json", manifest.to_string());
    assert_eq!(suite("tlog-witness", &folder.0.join("manifest.json")), 9);

    let witness = Verifier::parse(&folder.read("witness")).unwrap();
    for (note, answer) in [(&first, "answer-2"), (&second, "answer-6")] {
        let cosigned = Note::parse(&(note.encode() + &folder.read(answer)), &log.origin).unwrap();
        assert_eq!(cosigned.signatures.len(), note.signatures.len() + 1);
        assert!(cosigned.signed_by(&witness).is_some_and(|time_s| time_s > TIME_S));
    }
    let other = Note::parse(&(first.encode() + &folder.read("answer-6")), &log.origin).unwrap();
    assert_eq!(
        other.signed_by(&witness),
        None,
        "what the witness said of the second is not said of the first"
    );
}

#[test]
fn cose_receipts_verify_by_the_standards_alone() {
    if left_out("python3-venv") {
        return;
    }
    let (log, folder) = (Log::new(), Folder::new("cose"));
    let mut cases = Vec::new();
    let mut case = |name: String, receipt: &[u8], leaf: &[u8], key: [u8; 32], valid: bool| {
        let (number, origin) = (cases.len(), log.origin.clone());
        folder.write(&format!("receipt-{number}"), receipt);
        folder.write(&format!("leaf-{number}"), leaf);
        cases.push(json!({
            "name": name, "receipt": format!("receipt-{number}"), "leaf": format!("leaf-{number}"),
            "public_key": hex::encode(key), "origin": origin, "valid": valid,
        }));
    };
    let key = &log.keys[0];
    for size in [2, 5, 8, 12, 13] {
        let checkpoint = log.checkpoint(size);
        let signature = cose::sign(&checkpoint, key);
        for index in [0, size / 2, size - 1] {
            let path = prove_inclusion(&log.world.nodes, index, size).unwrap();
            let receipt = cose::receipt(&checkpoint, key.public_key(), index, &path, &signature);
            let leaf = |index: u64| log.world.records[index as usize].encode();
            case(format!("{index} of {size}"), &receipt, &leaf(index), key.public_key(), true);
            let other = leaf((index + 1) % size);
            case(format!("another record than {index} of {size}"), &receipt, &other, key.public_key(), false);
            let stranger = log.keys[1].public_key();
            case(format!("{index} of {size} by another key"), &receipt, &leaf(index), stranger, false);
            let mut changed = receipt.clone();
            *changed.last_mut().unwrap() ^= 1;
            case(format!("{index} of {size}, changed"), &changed, &leaf(index), key.public_key(), false);
        }
    }
    let made = cases.len();
    folder.write("manifest.json", serde_json::to_string(&cases).unwrap());
    assert_eq!(suite("cose-receipt", &folder.0.join("manifest.json")), made);
}
