//! Receipts against trust files: what verifies, and that no byte can change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::common::golden::{Golden, load};
use crate::common::{ACCOUNT, Keys, World, mutate::hammer, signer};
use keyward_ledger_core::entry::{Entry, Release};
use keyward_ledger_core::receipt::{Receipt, Released};
use keyward_ledger_core::scheme::Scheme;
use keyward_ledger_core::trust::{Checkpoint, Trust};
use keyward_ledger_verify::{Anchor, Failure, SignatureCheck, Verifier, verify_receipt};

const MESSAGE: &[u8] = b"pay 12.50 EUR to Alice";

/// An open account with a key of every scheme that signs alike each time (RSA-PSS draws a salt), one accepted
/// intent each, a refused one, a note, and two more blocks. Gives the leaf index of the first intent.
fn world() -> (World, u64) {
    let mut world = World::new();
    let mut entries = vec![Entry::OpenAccount { account: ACCOUNT }];
    entries.extend(repeatable().iter().map(|keys| Entry::BindKey(world.bind(&**keys, [9; 32]))));
    world.submit(&entries);
    let first = world.records.len() as u64;
    let mut intents: Vec<_> = (1..)
        .zip(repeatable())
        .map(|(id, keys)| Entry::Intent(world.intent([id; 32], keys.public_key().id(), MESSAGE)))
        .collect();
    intents.push(intents[0].clone());
    intents.push(Entry::Note(b"a note".to_vec()));
    world.submit(&intents);
    world.submit(&[Entry::Release(Release { intent_id: [1; 32], signature_hash: [1; 32] })]);
    world.submit(&[Entry::Note(b"later".to_vec())]);
    (world, first)
}

fn repeatable() -> Vec<Box<dyn Keys>> {
    signer::all().into_iter().filter(|keys| keys.public_key().scheme() != Scheme::RsaPss).collect()
}

fn line(trust: &Trust) -> Vec<u8> {
    trust.encode().into_bytes()
}

#[test]
fn receipt_of_every_scheme_verifies() {
    let (world, first) = world();
    let trust = line(&world.trust());
    for (leaf, keys) in (first..).zip(repeatable()) {
        let released = World::released(&*keys, MESSAGE);
        // Under the block that carries the record, and under later ones.
        for height in [2, 3, 4] {
            let receipt = world.receipt(leaf, height, Some(released.clone())).encode();
            let verdict = verify_receipt(&trust, &receipt, Some(MESSAGE)).unwrap();
            assert_eq!((verdict.height, verdict.leaf_index, verdict.certified_height), (2, leaf, height));
            assert_eq!((verdict.anchor, verdict.accepted), (Anchor::Genesis, true));
            assert_eq!((verdict.signers, verdict.quorum), (3, 3));
            assert_eq!((verdict.name.as_str(), verdict.entry_kind), ("test-ledger", "intent"));
            assert_eq!(verdict.signature_check, SignatureCheck::Message);
            assert_eq!(verdict.submitter, world.service.public_key());
            assert_eq!(verdict.public_key, Some(keys.public_key()));
            let without = verify_receipt(&trust, &receipt, None);
            if keys.public_key().scheme() == Scheme::Ed25519 {
                assert_eq!(without.unwrap_err(), Failure::MessageNeeded);
            } else {
                assert_eq!(without.unwrap().signature_check, SignatureCheck::PayloadHash);
            }
        }
    }
}

/// One more key in one more block after `world()`, and the receipt of an intent on it.
fn added(keys: &dyn Keys) -> (Vec<u8>, Vec<u8>) {
    let (mut world, _) = world();
    let bind = Entry::BindKey(world.bind(keys, [9; 32]));
    let intent = Entry::Intent(world.intent([77; 32], keys.public_key().id(), MESSAGE));
    assert_eq!(world.names(&[bind, intent]), ["ACCEPTED", "ACCEPTED"]);
    let (leaf, height) = (world.records.len() as u64 - 1, world.ledger.height());
    (line(&world.trust()), world.receipt(leaf, height, Some(World::released(keys, MESSAGE))).encode())
}

#[test]
fn rsa_pss_receipt_verifies() {
    let (trust, receipt) = added(&signer::Rsa(Scheme::RsaPss));
    verify_receipt(&trust, &receipt, Some(MESSAGE)).unwrap();
}

#[test]
fn sm2_receipt_verifies_with_its_message_only() {
    let (trust, receipt) = added(&signer::Sm2);
    let verdict = verify_receipt(&trust, &receipt, Some(MESSAGE)).unwrap();
    assert_eq!(verdict.signature_check, SignatureCheck::Message);
    assert_eq!(verdict.public_key, Some(signer::Sm2.public_key()));
    assert_eq!(verify_receipt(&trust, &receipt, None).unwrap_err(), Failure::MessageNeeded);
    nothing_can_change(&trust, &receipt, Some(MESSAGE));
}

#[test]
fn records_without_a_signature_verify_as_records() {
    let (world, first) = world();
    let trust = line(&world.trust());
    let refused = world.receipt(first + 5, 2, None).encode();
    let verdict = verify_receipt(&trust, &refused, None).unwrap();
    assert_eq!((verdict.accepted, verdict.outcome.name()), (false, "INTENT_REPLAYED"));
    assert_eq!((verdict.signature_check, verdict.public_key), (SignatureCheck::None, None));
    let note = world.receipt(first + 6, 2, None).encode();
    assert_eq!(verify_receipt(&trust, &note, None).unwrap().entry, Some(Entry::Note(b"a note".to_vec())));
    assert_eq!(verify_receipt(&trust, &note, Some(MESSAGE)).unwrap_err(), Failure::MessageWithoutSignature);
}

#[test]
fn signature_needs_an_accepted_intent_on_its_key_and_payload() {
    let (world, first) = world();
    let trust = line(&world.trust());
    let good = World::released(&signer::Secp256k1, MESSAGE);
    let verify = |leaf: u64, released: Released, message: &[u8]| {
        verify_receipt(&trust, &world.receipt(leaf, 4, Some(released)).encode(), Some(message)).unwrap_err()
    };
    let not = |found: &str| Failure::NotAnAcceptedIntent { found: found.into() };
    assert_eq!(verify(first + 5, good.clone(), MESSAGE), not("INTENT_REPLAYED"));
    assert_eq!(verify(first + 6, good.clone(), MESSAGE), not("note"));
    assert_eq!(verify(first + 7, good.clone(), MESSAGE), not("release"));
    assert_eq!(verify(first + 1, good.clone(), MESSAGE), Failure::OtherKey);
    assert_eq!(verify(first, good.clone(), b"pay 99.50 EUR to Alice"), Failure::OtherMessage);
    let other_r = Released { r: [0x56; 32], ..good.clone() };
    assert_eq!(verify(first, other_r, MESSAGE), Failure::Commitment);
    let other_payload = World::released(&signer::Secp256k1, b"other");
    assert_eq!(verify(first, other_payload, b"other"), Failure::Commitment);
    let other_signature = Released { signature: signer::Secp256k1.sign(b"other"), ..good };
    assert!(matches!(verify(first, other_signature, MESSAGE), Failure::Signature(_)));
}

/// Every byte of receipt, trust file and message counts, as does every cut.
#[test]
fn no_single_byte_can_change() {
    let (world, first) = world();
    for (leaf, keys) in (first..).zip(repeatable()) {
        let receipt = world.receipt(leaf, 3, Some(World::released(&*keys, MESSAGE))).encode();
        nothing_can_change(&line(&world.trust()), &receipt, Some(MESSAGE));
    }
    nothing_can_change(&line(&world.trust()), &world.receipt(first + 5, 4, None).encode(), None);
    nothing_can_change(&line(&pinned(&world, 2)), &world.receipt(first + 5, 4, None).encode(), None);
}

fn nothing_can_change(trust: &[u8], receipt: &[u8], message: Option<&[u8]>) {
    verify_receipt(trust, receipt, message).unwrap();
    // One that has seen the honest one believes no other any sooner.
    let verifier = Verifier::new(trust).unwrap();
    verifier.receipt(receipt, message).unwrap();
    let flips = |bytes: &[u8], at: usize| {
        [1, 2, 4, 8, 16, 32, 64, 128, 0xff].map(|mask| {
            let mut changed = bytes.to_vec();
            changed[at] ^= mask;
            changed
        })
    };
    for at in 0..receipt.len() {
        // One bit and all bits of each byte; each single bit of every ninth.
        let masks = flips(receipt, at);
        let chosen = if at % 9 == 0 { &masks[..] } else { &masks[7..] };
        for changed in chosen {
            let refused = verify_receipt(trust, changed, message).unwrap_err();
            let by_other = verifier.receipt(changed, message).unwrap_err();
            assert_eq!(by_other, refused, "receipt byte {at}");
        }
        assert!(verify_receipt(trust, &receipt[..at], message).is_err(), "receipt cut at {at}");
    }
    assert!(verify_receipt(trust, &[receipt, &[0]].concat(), message).is_err());
    verifier.receipt(receipt, message).unwrap();
    for at in 0..trust.len() {
        for changed in flips(trust, at) {
            assert!(verify_receipt(&changed, receipt, message).is_err(), "trust byte {at}");
        }
        assert!(verify_receipt(&trust[..at], receipt, message).is_err(), "trust cut at {at}");
    }
    assert!(verify_receipt(&[trust, b"\n"].concat(), receipt, message).is_err());
    if let Some(message) = message {
        for at in 0..message.len() {
            for changed in flips(message, at) {
                assert!(verify_receipt(trust, receipt, Some(&changed)).is_err(), "message byte {at}");
            }
            assert!(verify_receipt(trust, receipt, Some(&message[..at])).is_err(), "message cut at {at}");
        }
        assert!(verify_receipt(trust, receipt, Some(&[message, b" "].concat())).is_err());
    }
}

fn pinned(world: &World, height: u64) -> Trust {
    let block = &world.blocks[height as usize - 1].0;
    let checkpoint = Checkpoint { height, digest: *block.digest(), set_hash: block.header().set_hash };
    Trust { checkpoint: Some(checkpoint), ..world.trust() }
}

#[test]
fn checkpoint_is_held() {
    let (world, first) = world();
    let receipt = |height| world.receipt(first, height, None).encode();
    let trust = pinned(&world, 3);
    for height in [3, 4] {
        let verdict = verify_receipt(&line(&trust), &receipt(height), None).unwrap();
        assert_eq!(verdict.anchor, Anchor::Checkpoint { height: 3 });
    }
    let older = verify_receipt(&line(&trust), &receipt(2), None).unwrap_err();
    assert_eq!(older, Failure::OlderThanCheckpoint { height: 2, checkpoint: 3 });
    let with = |change: fn(&mut Checkpoint)| {
        let mut trust = trust.clone();
        change(trust.checkpoint.as_mut().unwrap());
        verify_receipt(&line(&trust), &receipt(3), None).unwrap_err()
    };
    assert_eq!(with(|pin| pin.digest[0] ^= 1), Failure::OtherCheckpointBlock { height: 3 });
    assert_eq!(with(|pin| pin.set_hash[0] ^= 1), Failure::OtherCheckpointSet { height: 3 });
    assert!(matches!(with(|pin| pin.height = 0), Failure::Trust(_)));
}

#[test]
fn receipts_of_other_ledgers_are_refused_by_name() {
    let (world, first) = world();
    let receipt = world.receipt(first, 3, None).encode();
    let mut trust = world.trust();
    trust.name = "other".into();
    let other_name = verify_receipt(&line(&trust), &receipt, None).unwrap_err();
    assert_eq!(other_name.code(), "OTHER_LEDGER");
    let mut trust = world.trust();
    trust.chain_id[0] ^= 1;
    assert_eq!(verify_receipt(&line(&trust), &receipt, None).unwrap_err(), Failure::OtherGenesis);
}

#[test]
fn trust_files_have_one_form() {
    let (world, first) = world();
    let receipt = world.receipt(first, 3, None).encode();
    let good = world.trust().encode();
    let pin = pinned(&world, 2).encode();
    let changes = [
        good.to_uppercase(),
        good.replace(' ', "  "),
        good.replace('\n', "\r\n"),
        good.replace('\n', " \n"),
        format!(" {good}"),
        good.trim_end().to_owned(),
        good.replace("trust-1", "trust-2"),
        good.replace('\n', " 2\n"),
        pin.replace(" 2 ", " 02 "),
        pin.replace(" 2 ", " +2 "),
        pin.replace(" 2 ", " 3 "),
        String::new(),
        "\n".into(),
    ];
    for text in changes {
        let failure = verify_receipt(text.as_bytes(), &receipt, None).unwrap_err();
        assert_eq!(failure.code(), "TRUST_MALFORMED", "{text:?}");
    }
}

#[test]
fn mutated_receipts_never_verify_and_never_panic() {
    let (world, first) = world();
    let trust = line(&world.trust());
    let samples = [
        world.receipt(first, 3, Some(World::released(&signer::Secp256k1, MESSAGE))).encode(),
        world.receipt(first + 6, 4, None).encode(),
    ];
    hammer("receipts", &samples, 8_000, |bytes| {
        let unchanged = samples.iter().any(|sample| sample == bytes);
        assert!(unchanged || verify_receipt(&trust, bytes, None).is_err());
    });
    hammer("trust files", &[trust.clone(), line(&pinned(&world, 2))], 8_000, |bytes| {
        if let Ok(verdict) = verify_receipt(bytes, &samples[0], None) {
            assert!(bytes == trust || verdict.anchor != Anchor::Genesis);
        }
    });
}

#[test]
fn receipts_are_frozen_and_verify() {
    let (world, first) = world();
    let mut golden = Golden::default();
    golden.text("trust", &world.trust().encode()).text("trust pinned", &pinned(&world, 2).encode());
    golden.hex("message", MESSAGE);
    for (leaf, keys) in (first..).zip(repeatable()) {
        let receipt = world.receipt(leaf, 3, Some(World::released(&*keys, MESSAGE)));
        golden.hex(&format!("receipt {}", keys.public_key().scheme()), receipt.encode());
    }
    golden.hex("receipt of a refused intent", world.receipt(first + 5, 4, None).encode());
    golden.hex("receipt of a note", world.receipt(first + 6, 2, None).encode());
    golden.hex("receipt sm2", added(&signer::Sm2).1);
    golden.check("receipts.json");
    let stored = load("receipts.json");
    for (name, text) in stored.iter().filter(|(name, _)| name.starts_with("receipt")) {
        let bytes = hex::decode(text).unwrap();
        let message = Receipt::decode(&bytes).unwrap().released.map(|_| MESSAGE);
        for trust in ["trust", "trust pinned"] {
            verify_receipt(stored[trust].as_bytes(), &bytes, message)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}
