//! One signature of each scheme, hosted and linked, made once by the shared Keyward.

use std::{fs, sync::OnceLock};

use keyward_ledger_core::scheme::{PublicKey, Scheme};

use super::keyward::{Keyward, shared};

/// What was signed, and what came of it.
pub struct Sample {
    pub name: String,
    pub scheme: Scheme,
    pub message: Vec<u8>,
    pub public_key: PublicKey,
    pub signature: Vec<u8>,
    pub receipt: Vec<u8>,
    /// Paths of the same bytes; the signature's file is in the form that openssl takes.
    pub message_file: String,
    pub signature_file: String,
    pub receipt_file: String,
}

const HOSTED: [Scheme; 4] = [Scheme::EcdsaSecp256k1, Scheme::Bip340, Scheme::EcdsaP256, Scheme::Ed25519];
const LINKED: [(&str, Scheme); 6] = [
    ("sample-secp256k1", Scheme::EcdsaSecp256k1),
    ("sample-secp256k1", Scheme::Bip340),
    ("sample-p256", Scheme::EcdsaP256),
    ("sample-ed25519", Scheme::Ed25519),
    ("sample-rsa-2048", Scheme::RsaPss),
    ("sample-rsa-2048", Scheme::RsaPkcs1),
];

/// Every scheme's sample.
pub fn samples() -> &'static [Sample] {
    static SAMPLES: OnceLock<Vec<Sample>> = OnceLock::new();
    SAMPLES.get_or_init(|| make(shared()))
}

fn make(keyward: &Keyward) -> Vec<Sample> {
    let hosted = HOSTED.map(|scheme| {
        let alias = format!("hosted-{}", scheme.name());
        keyward.json(&["key", "create", "--alias", &alias, "--scheme", scheme.name()]);
        sign(keyward, "app", &alias, scheme)
    });
    let pin = keyward.dir().join("token.pin");
    let linked = LINKED.map(|(label, scheme)| {
        let alias = format!("linked-{}", scheme.name());
        let link = ["token", "link", "--token", "keyward-local", "--label", label, "--scheme", scheme.name()];
        let rest = ["--alias", &alias, "--pin-file", pin.to_str().unwrap()];
        let linked = keyward.json_as("operator", &[&link[..], &rest[..]].concat());
        assert_eq!(linked["mode"], "linked");
        sign(keyward, "operator", &alias, scheme)
    });
    hosted.into_iter().chain(linked).collect()
}

fn sign(keyward: &Keyward, role: &str, alias: &str, scheme: Scheme) -> Sample {
    let message = format!("payment of 100 with {alias}").into_bytes();
    let message_file = keyward.write(&format!("{alias}.message"), &message);
    let path = |kind: &str| keyward.work(&format!("{alias}.{kind}")).to_str().unwrap().to_owned();
    let (receipt_file, signature_file) = (path("receipt"), path("signature"));
    let files = ["--receipt", &receipt_file, "--signature", &signature_file, &message_file];
    let signed = keyward.json_as(role, &[&["sign", "--key", alias], &files[..]].concat());
    let bytes = |name: &str| hex::decode(signed[name].as_str().unwrap()).unwrap();
    let receipt = fs::read(&receipt_file).unwrap();
    assert_eq!(receipt, bytes("receipt"));
    Sample {
        name: alias.to_owned(),
        scheme,
        message,
        public_key: PublicKey::parse(scheme, &bytes("public_key")).unwrap(),
        signature: bytes("signature"),
        receipt,
        message_file,
        signature_file,
        receipt_file,
    }
}
