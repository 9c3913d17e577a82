//! Receipts of what shared keys have signed: the intent that their account's word claimed, and the tweak it names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::common::acts::Person;
use crate::common::golden::Golden;
use crate::common::mutate::hammer;
use crate::common::shared::{binding, replace};
use crate::common::{Keys, World, signer};
use keyward_ledger_core::entry::{
    Act, Authored, Entry, RuleName, SharedAct, SharedBinding, SharedIntent, SharedOpening, Tweak,
};
use keyward_ledger_core::hash::{commitment, sha256};
use keyward_ledger_core::receipt::Released;
use keyward_ledger_core::trust::{Checkpoint, Trust};
use keyward_ledger_verify::{Failure, SignatureCheck, verify_receipt};

const MESSAGE: &[u8] = b"pay 12.50 EUR to Alice";
const OWNER: Person = Person(0x41);
const KEEPERS: [u8; 3] = [1, 2, 3];
const ROOT: [u8; 32] = [7; 32];

fn shared(act: SharedAct) -> Act {
    Act::Shared(act)
}

fn bind(world: &mut World, name: u8, keys: &dyn Keys) {
    let name = RuleName { name: [name; 32], ..OWNER.rule() };
    let scheme = keys.public_key().scheme();
    let opening = SharedOpening { name, scheme, ..world.open_shared(1, &KEEPERS) };
    assert_eq!(world.answer(shared(SharedAct::Open(Box::new(opening))), &[OWNER]), "ACCEPTED");
    let act = world.bind_shared(SharedBinding { name, ..binding(OWNER, 1, keys) }, &KEEPERS);
    assert_eq!(world.answer(act, &[OWNER]), "ACCEPTED");
}

fn intent(world: &World, id: u8, keys: &dyn Keys, tweak: Tweak) -> SharedIntent {
    SharedIntent {
        key_id: keys.public_key().id(),
        commitment: commitment(&[0x55; 32], &sha256(&[MESSAGE])),
        tweak,
        ..world.claim_shared(id)
    }
}

/// A shared key of each scheme; intents with each tweak, one that is refused, and a device replaced. Gives their first leaf.
fn world() -> (World, u64) {
    let mut world = World::new();
    world.enroll(OWNER);
    world.admit_keepers(&KEEPERS);
    bind(&mut world, 1, &signer::Ed25519);
    bind(&mut world, 2, &signer::Bip340);
    let first = world.records.len() as u64;
    let wanted = [
        (intent(&world, 1, &signer::Ed25519, Tweak::Plain), "ACCEPTED"),
        (intent(&world, 2, &signer::Bip340, Tweak::Plain), "ACCEPTED"),
        (intent(&world, 3, &signer::Bip340, Tweak::KeyPath), "ACCEPTED"),
        (intent(&world, 4, &signer::Bip340, Tweak::Root(ROOT)), "ACCEPTED"),
        (intent(&world, 5, &signer::Ed25519, Tweak::KeyPath), "SHARED_TWEAK"),
    ];
    for (intent, answer) in wanted {
        assert_eq!(world.answer(shared(SharedAct::Intent(Box::new(intent))), &[OWNER]), answer);
    }
    assert_eq!(world.answer(replace(2), &[OWNER]), "ACCEPTED");
    (world, first)
}

/// What verifies under the intent at each place.
fn signers() -> [(Box<dyn Keys>, Box<dyn Keys>); 4] {
    [
        (Box::new(signer::Ed25519), Box::new(signer::Ed25519)),
        (Box::new(signer::Bip340), Box::new(signer::Bip340)),
        (Box::new(signer::Bip340), Box::new(signer::Taproot(None))),
        (Box::new(signer::Bip340), Box::new(signer::Taproot(Some(ROOT)))),
    ]
}

fn released(bound: &dyn Keys, signs: &dyn Keys) -> Released {
    Released { public_key: bound.public_key(), ..World::released(signs, MESSAGE) }
}

fn line(trust: &Trust) -> Vec<u8> {
    trust.encode().into_bytes()
}

#[test]
fn a_shared_keys_receipt_verifies_under_the_tweak_that_its_intent_names() {
    let (world, first) = world();
    let (trust, height) = (line(&world.trust()), world.ledger.height());
    for (leaf, (bound, signs)) in (first..).zip(signers()) {
        let receipt = world.receipt(leaf, height, Some(released(&*bound, &*signs))).encode();
        let verdict = verify_receipt(&trust, &receipt, Some(MESSAGE)).unwrap();
        assert_eq!((verdict.entry_kind, verdict.accepted), ("intent-shared", true));
        assert_eq!(verdict.signature_check, SignatureCheck::Message);
        assert_eq!(verdict.public_key, Some(bound.public_key()));
        let output = (signs.public_key() != bound.public_key()).then(|| signs.public_key());
        assert_eq!(verdict.output_key, output);
        let Some(Entry::Authored(Authored { act: Act::Shared(SharedAct::Intent(_)), .. })) = verdict.entry
        else {
            panic!("{:?}", verdict.entry)
        };
        let without = verify_receipt(&trust, &receipt, None);
        if leaf == first {
            assert_eq!(without.unwrap_err(), Failure::MessageNeeded);
        } else {
            assert_eq!(without.unwrap().signature_check, SignatureCheck::PayloadHash);
        }
    }
}

#[test]
fn a_signature_under_another_tweak_or_beside_an_accepted_intent_is_refused() {
    let (world, first) = world();
    let (trust, height) = (line(&world.trust()), world.ledger.height());
    let verify = |leaf: u64, released: Released| {
        let receipt = world.receipt(leaf, height, Some(released)).encode();
        verify_receipt(&trust, &receipt, Some(MESSAGE)).unwrap_err()
    };
    for (place, (bound, _)) in (0..).zip(signers()).skip(1) {
        for (other, (_, signs)) in (0..).zip(signers()).skip(1).filter(|(other, _)| *other != place) {
            let failure = verify(first + place, released(&*bound, &*signs));
            assert!(matches!(failure, Failure::Signature(_)), "{place} {other}: {failure:?}");
        }
    }
    // The receipt shows the key that was bound, never what it signs as.
    let output = World::released(&signer::Taproot(None), MESSAGE);
    assert_eq!(verify(first + 2, output), Failure::OtherKey);
    let good = released(&signer::Ed25519, &signer::Ed25519);
    assert_eq!(verify(first, Released { r: [0x56; 32], ..good.clone() }), Failure::Commitment);
    let not = |found: &str| Failure::NotAnAcceptedIntent { found: found.into() };
    assert_eq!(verify(first + 4, good.clone()), not("SHARED_TWEAK"));
    assert_eq!(verify(first + 5, good.clone()), not("replace-device"));
    assert_eq!(verify(first - 1, good), not("bind-shared-key"));
}

#[test]
fn an_ecdsa_keys_receipt_verifies_over_the_digest_and_with_low_s_alone() {
    let mut world = World::new();
    world.enroll(OWNER);
    world.admit_keepers(&KEEPERS);
    bind(&mut world, 1, &signer::Secp256k1);
    let leaf = world.records.len() as u64;
    let wanted = intent(&world, 1, &signer::Secp256k1, Tweak::Plain);
    assert_eq!(world.answer(shared(SharedAct::Intent(Box::new(wanted))), &[OWNER]), "ACCEPTED");
    let (trust, height) = (line(&world.trust()), world.ledger.height());
    let good = released(&signer::Secp256k1, &signer::Secp256k1);
    let receipt = world.receipt(leaf, height, Some(good.clone())).encode();
    let verdict = verify_receipt(&trust, &receipt, Some(MESSAGE)).unwrap();
    assert_eq!((verdict.entry_kind, verdict.accepted), ("intent-shared", true));
    assert_eq!((verdict.signature_check, verdict.output_key), (SignatureCheck::Message, None));
    let digest_alone = verify_receipt(&trust, &receipt, None).unwrap();
    assert_eq!(digest_alone.signature_check, SignatureCheck::PayloadHash);
    // The same signature with the other S, and one by BIP340 under the same secret.
    let (r, s) = good.signature.split_at(32);
    let high = -*k256::NonZeroScalar::try_from(s).unwrap().as_ref();
    let high = [r, &high.to_bytes()].concat();
    let schnorr = World::released(&signer::Bip340, MESSAGE).signature;
    for signature in [high, schnorr, vec![0; 64]] {
        let receipt = world.receipt(leaf, height, Some(Released { signature, ..good.clone() })).encode();
        let failure = verify_receipt(&trust, &receipt, Some(MESSAGE)).unwrap_err();
        assert!(matches!(failure, Failure::Signature(_)), "{failure:?}");
    }
}

#[test]
fn no_byte_of_a_shared_keys_receipt_can_change() {
    let (world, first) = world();
    let trust = line(&world.trust());
    let [_, _, (bound, signs), _] = signers();
    let released = Some(released(&*bound, &*signs));
    let receipt = world.receipt(first + 2, world.ledger.height(), released).encode();
    hammer("receipt of a shared key", std::slice::from_ref(&receipt), 2_000, |changed| {
        if changed != receipt {
            assert!(verify_receipt(&trust, changed, Some(MESSAGE)).is_err());
        }
    });
}

#[test]
fn receipts_of_shared_keys_are_frozen() {
    let ((world, first), mut golden) = (world(), Golden::default());
    let height = world.ledger.height();
    let header = world.blocks[0].0.header();
    let checkpoint = Checkpoint { height: 1, digest: *world.blocks[0].0.digest(), set_hash: header.set_hash };
    let pinned = Trust { checkpoint: Some(checkpoint), ..world.trust() };
    golden.text("trust", &world.trust().encode()).text("trust pinned", &pinned.encode());
    golden.hex("message", MESSAGE);
    let names = ["ed25519", "bip340", "bip340 under a tweak", "bip340 under a tweak with scripts"];
    for ((leaf, (bound, signs)), name) in (first..).zip(signers()).zip(names) {
        let receipt = world.receipt(leaf, height, Some(released(&*bound, &*signs)));
        golden.hex(&format!("receipt {name}"), receipt.encode());
    }
    golden.hex("receipt of a refused intent", world.receipt(first + 4, height, None).encode());
    golden.check("shared-receipts.json");
}
