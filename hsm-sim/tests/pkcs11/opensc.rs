//! OpenSC's `pkcs11-tool` drives the library, and `openssl` checks what it signed.
//!
//! A missing tool fails these tests, unless `KEYWARD_WITHOUT` (names, comma separated) names it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::caller::library_path;

const OFFICER: &str = "87654321";
const USER: &str = "123456";

/// A folder with tokens and files, and the tools that work in it.
struct Desk {
    folder: TempDir,
}

/// What a tool said.
struct Said {
    done: bool,
    text: String,
}

impl Desk {
    /// `None` if a tool is missing and was declared so.
    fn new() -> Option<Self> {
        let without = std::env::var("KEYWARD_WITHOUT").unwrap_or_default();
        for (name, command, argument) in
            [("opensc", "pkcs11-tool", "--help"), ("openssl", "openssl", "version")]
        {
            if without.split(',').any(|missing| missing.trim() == name) {
                println!("left out: KEYWARD_WITHOUT names `{name}`");
                return None;
            }
            let found = Command::new(command).arg(argument).output().is_ok();
            assert!(found, "`{command}` is missing: install `{name}`, or set KEYWARD_WITHOUT={name}");
        }
        Some(Self { folder: tempfile::tempdir().unwrap() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Said {
        let output = Command::new(command)
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HSM_SIM_DIR", self.path("tokens"))
            .env("HOME", self.folder.path())
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        let text =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Said { done: output.status.success(), text }
    }

    fn tool(&self, arguments: &[&str]) -> Said {
        let library = library_path();
        let module = ["--module", library.to_str().unwrap()];
        self.run("pkcs11-tool", &[&module, arguments].concat())
    }

    /// On the token, logged in.
    fn user(&self, arguments: &[&str]) -> String {
        let login = ["--token-label", "bank", "--login", "--pin", USER];
        must(self.tool(&[&login, arguments].concat()))
    }

    fn openssl(&self, arguments: &[&str]) -> String {
        must(self.run("openssl", arguments))
    }

    fn make_token(&self) {
        must(self.tool(&["--init-token", "--slot", "0", "--label", "bank", "--so-pin", OFFICER]));
        must(self.tool(&[
            "--init-pin",
            "--token-label",
            "bank",
            "--login",
            "--so-pin",
            OFFICER,
            "--pin",
            USER,
        ]));
        std::fs::write(self.path("message"), b"pay 100 to the bearer").unwrap();
    }

    /// The public key as a PEM file.
    fn export(&self, id: &str) {
        self.user(&["--read-object", "--type", "pubkey", "--id", id, "--output-file", "public.der"]);
        self.openssl(&["pkey", "-pubin", "-inform", "DER", "-in", "public.der", "-out", "public.pem"]);
    }

    fn sign(&self, mechanism: &str, id: &str, more: &[&str]) {
        let call = ["--sign", "--mechanism", mechanism, "--id", id];
        let files = ["--input-file", "message", "--output-file", "signature"];
        self.user(&[&call[..], &files, more].concat());
    }

    /// `openssl` accepts the signature, and refuses it over another message.
    fn check(&self, command: &[&str], message: &str) {
        self.openssl(&[command, &[message]].concat());
        std::fs::write(self.path("other"), b"pay 900 to the bearer").unwrap();
        assert!(!self.run("openssl", &[command, &["other"]].concat()).done);
    }
}

fn must(said: Said) -> String {
    assert!(said.done, "{}", said.text);
    said.text
}

#[test]
fn slots_are_listed_and_a_token_is_made() {
    let Some(desk) = Desk::new() else { return };
    let text = must(desk.tool(&["--list-slots"]));
    assert!(text.matches("uninitialized").count() >= 4, "{text}");
    desk.make_token();
    let text = must(desk.tool(&["--list-token-slots"]));
    for expected in
        ["token label        : bank", "token initialized", "PIN initialized", "Keyward non-production"]
    {
        assert!(text.contains(expected), "{text}");
    }
    assert!(must(desk.tool(&["--show-info"])).contains("NON-PRODUCTION"));
    assert!(!Path::new(&desk.path(".local")).exists(), "nothing is written to the home");
}

#[test]
fn openssl_verifies_ecdsa_of_both_curves() {
    let Some(desk) = Desk::new() else { return };
    desk.make_token();
    for (id, curve) in [("01", "EC:secp256k1"), ("02", "EC:prime256v1")] {
        desk.user(&["--keypairgen", "--key-type", curve, "--id", id, "--label", curve]);
        desk.export(id);
        desk.sign("ECDSA-SHA256", id, &["--signature-format", "openssl"]);
        desk.check(&["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature"], "message");
        // The digest made outside, as the custody service does it.
        desk.openssl(&["dgst", "-sha256", "-binary", "-out", "digest", "message"]);
        let files = ["--input-file", "digest", "--output-file", "signature"];
        let call = ["--sign", "--mechanism", "ECDSA", "--id", id, "--signature-format", "openssl"];
        desk.user(&[&call[..], &files].concat());
        desk.check(&["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature"], "message");
    }
}

#[test]
fn openssl_verifies_rsa_pkcs1_and_pss() {
    let Some(desk) = Desk::new() else { return };
    desk.make_token();
    desk.user(&["--keypairgen", "--key-type", "rsa:2048", "--id", "03", "--label", "rsa"]);
    desk.export("03");
    desk.sign("SHA256-RSA-PKCS", "03", &[]);
    desk.check(&["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature"], "message");
    let verified = desk.user(&[
        "--verify",
        "--mechanism",
        "SHA256-RSA-PKCS",
        "--id",
        "03",
        "--input-file",
        "message",
        "--signature-file",
        "signature",
    ]);
    assert!(verified.contains("Signature is valid"), "{verified}");
    desk.sign("SHA256-RSA-PKCS-PSS", "03", &[]);
    let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"];
    let command = ["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature"];
    desk.check(&[&command[..], &pss].concat(), "message");
}

#[test]
fn openssl_verifies_ed25519() {
    let Some(desk) = Desk::new() else { return };
    desk.make_token();
    desk.user(&["--keypairgen", "--key-type", "EC:edwards25519", "--id", "04", "--label", "ed"]);
    let listing = desk.user(&["--list-objects", "--type", "pubkey", "--id", "04"]);
    let line = listing.lines().find(|line| line.contains("EC_POINT:")).expect("the point is listed");
    let point = line.split_whitespace().last().unwrap().strip_prefix("0420").expect("a DER octet string");
    // RFC 8410: the key as openssl reads it.
    let der = [hex::decode("302a300506032b6570032100").unwrap(), hex::decode(point).unwrap()].concat();
    std::fs::write(desk.path("public.der"), der).unwrap();
    desk.openssl(&["pkey", "-pubin", "-inform", "DER", "-in", "public.der", "-out", "public.pem"]);
    desk.sign("EDDSA", "04", &[]);
    let command =
        ["pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-sigfile", "signature", "-in"];
    desk.check(&command, "message");
}

#[test]
fn pkcs11_tools_own_test_finds_no_errors() {
    let Some(desk) = Desk::new() else { return };
    desk.make_token();
    for (id, kind) in
        [("01", "EC:secp256k1"), ("02", "EC:prime256v1"), ("03", "rsa:2048"), ("04", "EC:edwards25519")]
    {
        desk.user(&["--keypairgen", "--key-type", kind, "--id", id, "--label", kind]);
    }
    desk.user(&[
        "--keygen",
        "--key-type",
        "AES:32",
        "--id",
        "05",
        "--label",
        "kek",
        "--sensitive",
        "--private",
    ]);
    for more in [&[][..], &["--allow-sw"]] {
        let text = desk.user(&[&["--test"], more].concat());
        assert!(text.contains("No errors"), "{text}");
        assert!(!text.contains("ERR"), "{text}");
    }
    // `--test-ec` is left out: it signs with CKM_ECDSA_SHA1, which this token does not have.
    must(desk.tool(&["--test-fork"]));
}

#[test]
fn a_wrong_and_a_locked_pin_are_told_apart() {
    let Some(desk) = Desk::new() else { return };
    desk.make_token();
    let login = |pin: &str| desk.tool(&["--token-label", "bank", "--login", "--pin", pin, "--list-objects"]);
    for _ in 0..5 {
        let said = login("000000");
        assert!(!said.done && said.text.contains("CKR_PIN_INCORRECT"), "{}", said.text);
    }
    let said = login(USER);
    assert!(!said.done && said.text.contains("CKR_PIN_LOCKED"), "{}", said.text);
    assert!(must(desk.tool(&["--list-token-slots"])).contains("PIN locked"));
}

#[test]
fn objects_are_written_changed_and_deleted() {
    let Some(desk) = Desk::new() else { return };
    desk.make_token();
    desk.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem"]);
    desk.openssl(&["ec", "-in", "key.pem", "-outform", "DER", "-out", "key.der"]);
    desk.user(&["--write-object", "key.der", "--type", "privkey", "--id", "0a", "--label", "imported"]);
    let listing = desk.user(&["--list-objects"]);
    assert!(listing.contains("imported"), "{listing}");
    desk.user(&["--set-id", "0b", "--id", "0a", "--type", "privkey"]);
    desk.openssl(&["ec", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
    desk.sign("ECDSA-SHA256", "0b", &["--signature-format", "openssl"]);
    desk.check(&["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature"], "message");
    desk.user(&["--delete-object", "--type", "privkey", "--id", "0b"]);
    assert!(!desk.user(&["--list-objects"]).contains("imported"));
}
