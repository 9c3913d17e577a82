//! Requests that come back from their line, and those that somebody changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{Author, Case};
use keyward_ledger_core::scheme::KeyId;

use super::*;

const CHAIN: [u8; 32] = [0xcc; 32];

fn request(key: u8, upload: &[u8]) -> Request {
    let key = SigningKey::from_seed(&[key; 32]);
    let (rule, public_key) = (RuleName { owner: [1; 32], name: [2; 32] }, key.public_key());
    let recovery = Recovery { rule, public_key, login: recovery_login(&[0x11; 32], upload) };
    let proof = key.sign(&recovery.payload(&CHAIN));
    let act = Act::Delegation(DelegationAct::OpenRecovery { recovery, proof });
    let authored = Authored { act, authors: Vec::new() };
    Request {
        chain_id: CHAIN,
        with: With::Login(NewLogin { name: [0x11; 32], upload: upload.to_vec() }),
        authored,
    }
}

fn why(text: &str) -> &'static str {
    match Request::parse(text).unwrap_err() {
        DelegationError::Request { why } => why,
        other => panic!("{other}"),
    }
}

#[test]
fn a_request_comes_back_from_its_line_with_those_who_signed() {
    let mut made = request(7, b"upload");
    assert_eq!(Request::parse(&made.to_text()).unwrap(), made);
    let before = made.fingerprint();
    made.authored.authors.push(Author {
        party: Party::Credential([5; 32]),
        nonce: [6; 32],
        not_after: 9,
        public_key: Vec::new(),
        signature: vec![8; 64],
    });
    let again = Request::parse(&made.to_text()).unwrap();
    assert_eq!((again.signed_by(), again.fingerprint()), (vec![[5; 32]], before.clone()));
    assert_eq!(before.len(), 24, "twenty digits in five groups");
    assert_ne!(request(8, b"upload").fingerprint(), before, "another key");
    assert_ne!(request(7, b"another").fingerprint(), before, "another login");
}

#[test]
fn a_request_that_somebody_changed_is_none() {
    let made = request(7, b"upload");
    let with = |name, upload: &[u8]| With::Login(NewLogin { name, upload: upload.to_vec() });
    let other = Request { with: with([0x11; 32], b"stolen"), ..made.clone() };
    assert_eq!(why(&other.to_text()), "it brings another login than it names");
    let other = Request { with: with([0x12; 32], b"upload"), ..made.clone() };
    assert_eq!(why(&other.to_text()), "it brings another login than it names");
    let other = Request { chain_id: [0xdd; 32], ..made.clone() };
    assert_eq!(why(&other.to_text()), "the new key has not signed it");
    let mut other = made.clone();
    if let Act::Delegation(DelegationAct::OpenRecovery { recovery, .. }) = &mut other.authored.act {
        recovery.public_key = SigningKey::from_seed(&[9; 32]).public_key();
    }
    assert_eq!(why(&other.to_text()), "the new key has not signed it");
    let mut other = made.clone();
    other.authored.act = Act::Delegation(DelegationAct::VetoRecovery(Case { id: [1; 32], payload: [2; 32] }));
    assert_eq!(why(&other.to_text()), "it asks for nothing that delegates sign together");
}

fn act(message: &[u8]) -> Request {
    let rule = RuleName { owner: [1; 32], name: [2; 32] };
    let payload = Payload { r: [3; 32], mark: [4; 16], what: What::Message(message.to_vec()) };
    let commitment = commitment(&payload.r, &payload.hash());
    let act = DelegationAct::Operate { rule, key_id: KeyId([5; 32]), commitment, amount: 7 };
    let authored = Authored { act: Act::Delegation(act), authors: Vec::new() };
    Request { chain_id: CHAIN, with: With::Payload(payload), authored }
}

#[test]
fn an_act_is_for_its_payload_alone() {
    let made = act(b"pay 5");
    assert_eq!(Request::parse(&made.to_text()).unwrap(), made);
    assert!(
        made.is_act() && made.message() == Some(b"pay 5") && made.describe().contains("5 bytes"),
        "{}",
        made.describe()
    );
    let why_not = "it brings something else to sign than it names";
    let swapped = Request { with: act(b"pay 6").with, ..made.clone() };
    assert_eq!(why(&swapped.to_text()), why_not);
    let With::Payload(payload) = made.with.clone() else { panic!() };
    let digest = What::Digest(payload.hash());
    let digest = Request { with: With::Payload(Payload { what: digest, ..payload.clone() }), ..made.clone() };
    assert_eq!(Request::parse(&digest.to_text()).unwrap(), digest, "the same payload by its digest");
    let other_r = Request { with: With::Payload(Payload { r: [9; 32], ..payload }), ..made.clone() };
    assert_eq!(why(&other_r.to_text()), why_not);
    let bare = Request { with: With::Nothing, ..made };
    assert_eq!(why(&bare.to_text()), "it asks for nothing that delegates sign together");
}

#[test]
fn a_fingerprint_is_heard_however_its_digits_are_grouped() {
    let made = request(7, b"upload");
    let said = made.fingerprint();
    assert!(made.has_fingerprint(&said) && made.has_fingerprint(&said.replace('-', " ").to_uppercase()));
    assert!(!made.has_fingerprint("") && !made.has_fingerprint(&said[..23]));
    assert!(!made.has_fingerprint(&request(8, b"upload").fingerprint()));
}

#[test]
fn what_is_no_line_of_this_version_is_refused() {
    let text = request(7, b"upload").to_text();
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    let (entry, more) = (words[3], format!("{text} more"));
    let later = text.replacen(FORMAT, "keyward-delegates-2", 1);
    let cut = &text[..text.len() - 3];
    let long = text.replace(entry, &"00".repeat(ENTRY_BYTES_MAX + 1));
    for bad in ["", "keyward-delegates-1", &later, &more, cut, &long, &text.replace(entry, "zz")] {
        assert_eq!(why(bad), "it is not a line that this version writes", "{bad}");
    }
}
