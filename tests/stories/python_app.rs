//! An app that is made from the published .proto files alone, in another language than ours.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use keyward_domain::scheme::{PublicKey, Scheme, verify};
use keyward_ledger_verify::verify_receipt;
use keyward_tests::{build_folder, left_out, repository};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::support::keyward::{clean, shared};

/// How many orders of its stream the app lets wait.
const WINDOW: u64 = 32;

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// Python with the pinned packages and fresh stubs. The environment stays in the build folder until its
/// requirements change.
fn python(app: &Path, stubs: &Path) -> PathBuf {
    let requirements = app.join("requirements.txt");
    let pinned = Sha256::digest(std::fs::read(&requirements).unwrap());
    let venv = build_folder().unwrap().join(format!("python-app-{}", hex::encode(&pinned[..8])));
    let python = venv.join("bin/python");
    if !venv.join("complete").is_file() {
        done(clean("python3").args(["-m", "venv", "--clear"]).arg(&venv));
        let install = ["-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r"];
        done(clean(&python).args(install).arg(&requirements));
        std::fs::write(venv.join("complete"), []).unwrap();
    }
    done(clean(&python).arg(app.join("make_stubs.py")).arg(stubs));
    python
}

#[test]
fn an_app_in_python_signs_from_the_proto_files_alone() {
    if let Some(tool) = ["python3", "python3-venv"].into_iter().find(|tool| left_out(tool)) {
        return println!("left out: {tool}");
    }
    let (keyward, app) = (shared(), repository().join("tests/python-app"));
    let stubs = tempfile::tempdir().unwrap();
    let python = python(&app, stubs.path());
    let mut command = clean(&python);
    command.arg(app.join("app.py")).arg(keyward.profile("app")).arg("python");
    let printed = done(command.env("PYTHONPATH", stubs.path()).env("PYTHONDONTWRITEBYTECODE", "1"));
    let story: serde_json::Value = serde_json::from_str(&printed).unwrap();

    let one = story["one"].as_array().unwrap();
    assert_eq!(one.len(), 3);
    for signed in one {
        let bytes = |name: &str| hex::decode(signed[name].as_str().unwrap()).unwrap();
        assert_eq!(
            (&signed["done_once"], &signed["verifies_for_another_message"]),
            (&json!(true), &json!(false))
        );
        // Ours says what theirs says, and the receipt stands without the service.
        let scheme = Scheme::from_name(signed["scheme"].as_str().unwrap()).unwrap();
        let key = PublicKey::parse(scheme, &bytes("public_key")).unwrap();
        verify(&key, &bytes("message"), &bytes("signature")).unwrap();
        let trust = std::fs::read(keyward.trust()).unwrap();
        let verdict = verify_receipt(&trust, &bytes("receipt"), Some(&bytes("message"))).unwrap();
        assert!(verdict.accepted && verdict.signature.as_deref() == Some(&bytes("signature")[..]));
    }
    assert_eq!(story["many"], json!({"asked": 300, "signed": 299, "refused": [[7, "KEY_UNKNOWN"]]}));
    let stream = &story["stream"];
    assert_eq!([&stream["asked"], &stream["signed"], &stream["distinct"]], [&json!(500); 3]);
    // One more is in the hand of the library, one in that of the app.
    assert!(stream["ahead_max"].as_u64().unwrap() <= WINDOW + 2, "{stream}");
    assert_eq!(
        story["refused"],
        json!({
            "unknown key": ["KEY_UNKNOWN", false, 16],
            "another request": ["IDEMPOTENCY_CONFLICT", false, 16],
            "too long": ["MESSAGE_TOO_LARGE", false, 16],
            "far too long": ["MESSAGE_TOO_LARGE", false, 16],
            "long mark": ["INVALID_ARGUMENT", false, 16],
        })
    );
}
