//! The verifier written from SPEC.md alone, in another language, agrees with this one.
//!
//! Needs `python3`; left out only when `KEYWARD_WITHOUT` names it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::common::golden::{folder, load};
use crate::common::mutate::{Random, mutate};
use keyward_ledger_core::receipt::Receipt;
use keyward_ledger_verify::verify_receipt;

const CHANGES: usize = 8;

struct Python {
    files: PathBuf,
}

impl Python {
    fn new() -> Self {
        let files = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("second-verifier-{}", std::process::id()));
        fs::create_dir_all(&files).unwrap();
        Self { files }
    }

    /// Whether the second verifier accepts; panics when it fails instead of answering.
    fn accepts(&self, trust: &[u8], receipt: &[u8], message: Option<&[u8]>) -> bool {
        let mut command = Command::new("python3");
        command.arg("-B").arg(folder().join("verify_receipt.py"));
        for (name, bytes) in [("trust", Some(trust)), ("receipt", Some(receipt)), ("message", message)] {
            if let Some(bytes) = bytes {
                fs::write(self.files.join(name), bytes).unwrap();
                command.arg(self.files.join(name));
            }
        }
        let output = command.output().expect("`python3` is needed for this test, or KEYWARD_WITHOUT=python3");
        let (said, wrong) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(wrong.is_empty(), "{wrong}");
        assert_eq!(output.status.success(), said.starts_with("{\"valid\": true"), "{said}");
        output.status.success()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.files);
    }
}

#[test]
fn verifier_written_from_the_specification_agrees() {
    if std::env::var("KEYWARD_WITHOUT").is_ok_and(|names| names.split(',').any(|name| name == "python3")) {
        println!("left out: python3");
        return;
    }
    let (python, mut random) = (Python::new(), Random::seeded("second verifier"));
    for file in ["receipts.json", "sets.json", "shared-receipts.json", "address-receipts.json"] {
        let vectors = load(file);
        let message = load("receipts.json")["message"].clone();
        let message = hex::decode(message).unwrap();
        for (name, text) in vectors.iter().filter(|(name, _)| name.starts_with("receipt")) {
            let receipt = hex::decode(text).unwrap();
            let message = Receipt::decode(&receipt).unwrap().released.map(|_| message.as_slice());
            for trust in ["trust", "trust pinned"] {
                assert!(python.accepts(vectors[trust].as_bytes(), &receipt, message), "{name} with {trust}");
            }
            let trust = vectors["trust"].as_bytes();
            for _ in 0..CHANGES {
                let changed = mutate(&mut random, &receipt, &receipt);
                // It leaves signatures of other schemes than Ed25519 alone, so those may differ.
                let ours = verify_receipt(trust, &changed, message);
                let signature_only = matches!(&ours, Err(failure) if failure.code() == "SIGNATURE_INVALID");
                let agreed = python.accepts(trust, &changed, message) == ours.is_ok();
                assert!(agreed || signature_only, "{name}: {ours:?}\n{}", hex::encode(&changed));
            }
        }
    }
}
