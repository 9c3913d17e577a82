//! Receipts and signatures, as strangers check them.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
};

use keyward_ledger_core::{
    certificate::finalize_message, ed25519, genesis::Genesis, receipt::Receipt, scheme::Scheme,
};
use keyward_ledger_verify::{SignatureCheck, verify_receipt};

use crate::support::{
    Random,
    keyward::shared,
    samples::{Sample, samples},
};

fn trust() -> Vec<u8> {
    fs::read(shared().trust()).unwrap()
}

#[test]
fn a_receipt_of_each_scheme_verifies_with_the_command_line_without_any_network() {
    // No profile, no service: the receipt, the trust file and the message are all there is.
    let trust = shared().trust();
    for sample in samples() {
        let arguments = ["--output", "json", "verify", "--trust", trust.to_str().unwrap(), "--message"];
        let all = [&arguments[..], &[&sample.message_file, &sample.receipt_file]].concat();
        let verdict = shared().run_with(std::path::Path::new("/nowhere"), &all).done().json();
        assert_eq!(verdict["valid"], true, "{}", sample.name);
        assert_eq!(verdict["scheme"], sample.scheme.name());
        assert_eq!(verdict["signature_check"], "message");
        assert_eq!(verdict["signature"], hex::encode(&sample.signature));
        assert_eq!(verdict["public_key"], hex::encode(sample.public_key.as_bytes()));
        assert_eq!(verdict["intent"]["key_id"], sample.public_key.id().to_string());
        assert!(verdict["signers"].as_u64() >= Some(3) && verdict["quorum"] == 3);
    }
}

#[test]
fn flipping_any_byte_of_a_receipt_makes_it_fail_and_names_what_does_not_hold() {
    let trust = trust();
    let mut random = Random::of("flipped receipts");
    let mut codes = BTreeMap::<_, usize>::new();
    for sample in samples() {
        let verify = |receipt: &[u8]| verify_receipt(&trust, receipt, Some(&sample.message));
        assert_eq!(verify(&sample.receipt).unwrap().signature_check, SignatureCheck::Message);
        let at = position(&sample.receipt, &sample.signature);
        for index in 0..sample.receipt.len() {
            let masks: Vec<u8> = if keyward_tests::soak() {
                (0..8).map(|bit| 1 << bit).collect()
            } else {
                vec![1 << random.below(8), u8::try_from(1 + random.below(255)).unwrap()]
            };
            for mask in masks {
                let mut flipped = sample.receipt.clone();
                flipped[index] ^= mask;
                let failure = verify(&flipped)
                    .expect_err(&format!("{}: byte {index} of the receipt ^ {mask:#04x}", sample.name));
                assert!(!failure.to_string().is_empty());
                if (at..at + sample.signature.len()).contains(&index) {
                    assert_eq!(failure.code(), "SIGNATURE_INVALID", "{}: byte {index}", sample.name);
                }
                *codes.entry(failure.code()).or_default() += 1;
            }
        }
    }
    println!("what did not hold: {codes:?}");
    for code in
        ["RECEIPT_MALFORMED", "CERTIFICATE_INVALID", "INCLUSION_INVALID", "OTHER_KEY", "COMMITMENT_MISMATCH"]
    {
        assert!(codes.contains_key(code), "no flipped byte led to {code}: {codes:?}");
    }
}

#[test]
fn a_receipt_cut_or_lengthened_anywhere_is_malformed() {
    let trust = trust();
    for sample in samples() {
        for length in 0..sample.receipt.len() {
            let cut = verify_receipt(&trust, &sample.receipt[..length], Some(&sample.message)).unwrap_err();
            assert_eq!(cut.code(), "RECEIPT_MALFORMED", "{}: {length} bytes", sample.name);
        }
        let longer = [&sample.receipt[..], &[0]].concat();
        assert_eq!(
            verify_receipt(&trust, &longer, Some(&sample.message)).unwrap_err().code(),
            "RECEIPT_MALFORMED"
        );
    }
}

#[test]
fn flipping_or_cutting_any_byte_of_the_trust_file_makes_every_receipt_fail() {
    let trust = trust();
    let sample = &samples()[0];
    let fails = |trust: &[u8]| {
        let failure = verify_receipt(trust, &sample.receipt, Some(&sample.message)).unwrap_err();
        assert!(
            ["TRUST_MALFORMED", "OTHER_LEDGER", "OTHER_GENESIS"].contains(&failure.code()),
            "{failure}: {:?}",
            String::from_utf8_lossy(trust)
        );
    };
    for index in 0..trust.len() {
        for mask in 1..=255 {
            let mut flipped = trust.clone();
            flipped[index] ^= mask;
            fails(&flipped);
        }
        fails(&trust[..index]);
    }
    fails(&[&trust[..], b"\n"].concat());
}

#[test]
fn flipping_or_cutting_any_byte_of_the_message_makes_its_receipt_fail() {
    let trust = trust();
    for sample in samples() {
        let fails = |message: &[u8]| {
            let failure = verify_receipt(&trust, &sample.receipt, Some(message)).unwrap_err();
            assert_eq!(failure.code(), "OTHER_MESSAGE", "{}", sample.name);
        };
        for index in 0..sample.message.len() {
            for bit in 0..8 {
                let mut flipped = sample.message.clone();
                flipped[index] ^= 1 << bit;
                fails(&flipped);
            }
            fails(&sample.message[..index]);
        }
        fails(&[&sample.message[..], &[0]].concat());
    }
}

#[test]
fn the_command_line_ends_with_code_1_and_names_what_a_changed_byte_broke() {
    let keyward = shared();
    let (sample, trust) = (&samples()[0], trust());
    let changed = |name: &str, bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        keyward.write(name, bytes)
    };
    let (last, name) = (sample.receipt.len() - 1, b"keyward-trust-1 ".len());
    let cut_receipt = keyward.write("cut.receipt", &sample.receipt[..last]);
    let (message, receipt) = (sample.message_file.as_str(), sample.receipt_file.as_str());
    let trust_file = keyward.trust().to_str().unwrap().to_owned();
    let cases = [
        (&*trust_file, message, &*changed("signature.receipt", &sample.receipt, last), "SIGNATURE_INVALID"),
        (&*trust_file, message, &*changed("version.receipt", &sample.receipt, 0), "RECEIPT_MALFORMED"),
        (&*trust_file, message, &*cut_receipt, "RECEIPT_MALFORMED"),
        (&*trust_file, &*changed("changed.message", &sample.message, 0), receipt, "OTHER_MESSAGE"),
        (&*changed("name.trust", &trust, name), message, receipt, "OTHER_LEDGER"),
        (&*changed("format.trust", &trust, 0), message, receipt, "TRUST_MALFORMED"),
    ];
    for (trust, message, receipt, code) in cases {
        let arguments = ["verify", "--trust", trust, "--message", message, receipt];
        let words = keyward.run(&arguments);
        assert_eq!((words.code, words.refusal().as_str()), (Some(1), code), "{words:?}");
        assert!(words.err.contains("next: "), "{words:?}");
        let json = keyward.run(&[&["--output", "json"], &arguments[..]].concat());
        assert_eq!((json.code, json.refusal().as_str()), (Some(1), code), "{json:?}");
        assert_eq!(json.json()["valid"], false);
    }
}

#[test]
fn openssl_agrees_with_our_signatures_and_refuses_another_message() {
    if keyward_tests::left_out("openssl") {
        println!("left out: openssl");
        return;
    }
    for sample in samples().iter().filter(|sample| sample.scheme != Scheme::Bip340) {
        let spki = sample.public_key.to_spki_der().unwrap();
        let der = shared().write(&format!("{}.spki", sample.name), spki);
        let pem = shared().work(&format!("{}.pem", sample.name)).to_str().unwrap().to_owned();
        assert!(openssl(&["pkey", "-pubin", "-inform", "DER", "-in", &der, "-out", &pem]), "{}", sample.name);
        let other = shared().write(&format!("{}.other", sample.name), "another message");
        assert!(agrees(sample, &pem, &sample.message_file), "{}", sample.name);
        assert!(!agrees(sample, &pem, &other), "{}: another message", sample.name);
    }
}

fn agrees(sample: &Sample, pem: &str, message: &str) -> bool {
    let signature = &sample.signature_file;
    let digest = ["dgst", "-sha256", "-verify", pem, "-signature", signature];
    let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32", message];
    match sample.scheme {
        Scheme::Ed25519 => openssl(&[
            "pkeyutl", "-verify", "-pubin", "-inkey", pem, "-rawin", "-in", message, "-sigfile", signature,
        ]),
        Scheme::RsaPss => openssl(&[&digest[..], &pss[..]].concat()),
        _ => openssl(&[&digest[..], &[message]].concat()),
    }
}

fn openssl(arguments: &[&str]) -> bool {
    let mut command = Command::new("openssl");
    let quiet = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().expect("`openssl` is needed, or `tests/run --without openssl`").success()
}

#[test]
fn the_second_verifier_accepts_live_receipts_and_refuses_changed_ones() {
    if keyward_tests::left_out("python3") {
        println!("left out: python3");
        return;
    }
    let script = keyward_tests::repository().join("tests/vectors/verify_receipt.py");
    let trust = shared().trust();
    let python = |receipt: &str, message: &str| {
        let mut command = Command::new("python3");
        command.arg("-B").arg(&script).arg(&trust).args([receipt, message]);
        command.output().expect("`python3` is needed, or `tests/run --without python3`")
    };
    for sample in samples() {
        let accepted = python(&sample.receipt_file, &sample.message_file);
        assert!(accepted.status.success(), "{}: {}", sample.name, String::from_utf8_lossy(&accepted.stdout));
    }
    let sample = &samples()[0];
    let mut flipped = sample.receipt.clone();
    flipped[10] ^= 1;
    let flipped = shared().write("flipped-for-python", flipped);
    assert_eq!(python(&flipped, &sample.message_file).status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_signature_in_a_live_certificate_is_over_the_message_of_the_specification() {
    let receipt = tokio::task::spawn_blocking(|| samples()[0].receipt.clone()).await.unwrap();
    let certified = Receipt::decode(&receipt).unwrap().certified;
    let genesis = Genesis::decode(&fs::read(shared().dir().join("genesis")).unwrap()).unwrap();
    let ledger = shared().ledger(&shared().nodes()).await;
    let newest = Receipt::decode(&ledger.record(0).await.unwrap().receipt(None)).unwrap().certified;
    for certified in [certified, newest] {
        let (header, certificate) = (&certified.signed_header, &certified.certificate);
        let message = finalize_message(
            genesis.chain_id(),
            certificate.epoch,
            certificate.view,
            certificate.parent_view,
            &header.digest(),
        );
        assert_eq!(message, certificate.message(genesis.chain_id()));
        let mut validators: Vec<_> = genesis.set().keys().collect();
        validators.sort_unstable();
        assert!(certificate.signers.len() >= 3);
        for signer in &certificate.signers {
            let key = validators[usize::try_from(signer.index).unwrap()];
            ed25519::verify(&key, &message, &signer.signature).unwrap();
        }
    }
}

/// Where the last occurrence of `part` begins.
fn position(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).rposition(|window| window == part).expect("the part is in the bytes")
}
