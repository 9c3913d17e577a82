//! Receipts of what addresses have signed: an intent that names no account, and proves itself by the address's own key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::common::addresses::{AddressKey, EPOCH_MS, OfScheme, SCHEMES, closing};
use crate::common::golden::Golden;
use crate::common::mutate::hammer;
use crate::common::{Keys, World};
use keyward_ledger_core::entry::{AnnouncePayment, Entry, UseAddress};
use keyward_ledger_core::hash::{commitment, sha256};
use keyward_ledger_core::receipt::Released;
use keyward_ledger_core::scheme::Scheme;
use keyward_ledger_core::trust::{Checkpoint, Trust};
use keyward_ledger_verify::{Failure, Opening, SignatureCheck, verify_intent, verify_receipt};

const MESSAGE: &[u8] = b"pay 12.50 EUR to Alice";
const R: [u8; 32] = [0x55; 32];

fn of(scheme: Scheme) -> OfScheme {
    OfScheme(AddressKey(1 + scheme.code(), false), scheme)
}

fn used(world: &World, id: u8, of: &OfScheme) -> Entry {
    let of_message =
        UseAddress { commitment: commitment(&R, &sha256(&[MESSAGE])), ..world.use_address(id, of.0, of.1) };
    world.proven(of.0, of_message)
}

/// A use under each scheme, the same address again, a payment that was announced and an epoch that was closed.
fn world() -> World {
    let mut world = World::new();
    let [ecdsa, bip340] = SCHEMES.map(of);
    let again = OfScheme(ecdsa.0, Scheme::Bip340);
    let epoch = world.epoch();
    let entries = [
        used(&world, 1, &ecdsa),
        used(&world, 2, &bip340),
        used(&world, 3, &again),
        Entry::AnnouncePayment(AnnouncePayment { epoch_ms: EPOCH_MS, epoch, payment: [3; 50] }),
        Entry::CloseEpoch(closing(4, epoch - 2)),
    ];
    let names = world.names(&entries);
    assert_eq!(names, ["ACCEPTED", "ACCEPTED", "ADDRESS_USED", "ACCEPTED", "ACCEPTED"]);
    world
}

fn line(trust: &Trust) -> Vec<u8> {
    trust.encode().into_bytes()
}

#[test]
fn an_addresss_receipt_verifies_as_an_intents_does_and_names_the_address() {
    let world = world();
    let trust = line(&world.trust());
    for (leaf, keys) in (0..).zip(SCHEMES.map(of)) {
        let receipt = world.receipt(leaf, 1, Some(World::released(&keys, MESSAGE))).encode();
        let verdict = verify_receipt(&trust, &receipt, Some(MESSAGE)).unwrap();
        assert_eq!((verdict.entry_kind, verdict.accepted), ("use-address", true));
        assert_eq!(verdict.signature_check, SignatureCheck::Message);
        assert_eq!((verdict.address, verdict.public_key), (Some(keys.0.point()), Some(keys.public_key())));
        assert_eq!(verdict.output_key, None);
        let by_hash = verify_receipt(&trust, &receipt, None).unwrap();
        assert_eq!(by_hash.signature_check, SignatureCheck::PayloadHash);
        // Before anything is released it is an intent to act on.
        let bare = world.receipt(leaf, 1, None).encode();
        let payload_hash = sha256(&[MESSAGE]);
        let ready = verify_intent(&trust, &bare, Opening { r: &R, payload_hash: &payload_hash }).unwrap();
        assert_eq!((ready.key_id, ready.executor), (keys.public_key().id(), world.service.public_key()));
        let other = Opening { r: &R, payload_hash: &[1; 32] };
        assert_eq!(verify_intent(&trust, &bare, other), Err(Failure::Commitment));
        assert_eq!(verify_receipt(&trust, &bare, None).unwrap().address, Some(keys.0.point()));
    }
}

#[test]
fn a_signature_by_another_address_or_beside_an_accepted_use_is_refused() {
    let world = world();
    let trust = line(&world.trust());
    let verify = |leaf: u64, released: Released| {
        verify_receipt(&trust, &world.receipt(leaf, 1, Some(released)).encode(), Some(MESSAGE)).unwrap_err()
    };
    let [ecdsa, bip340] = SCHEMES.map(of);
    let good = World::released(&ecdsa, MESSAGE);
    // The same point under the other scheme, another address, and each other's receipt.
    for other in [OfScheme(ecdsa.0, Scheme::Bip340), OfScheme(AddressKey(9, false), Scheme::EcdsaSecp256k1)] {
        assert_eq!(verify(0, World::released(&other, MESSAGE)), Failure::OtherKey);
    }
    assert_eq!(verify(1, good.clone()), Failure::OtherKey);
    let signature = bip340.sign(MESSAGE);
    assert!(matches!(verify(0, Released { signature, ..good.clone() }), Failure::Signature(_)));
    assert_eq!(verify(0, Released { r: [1; 32], ..good.clone() }), Failure::Commitment);
    let refused = World::released(&OfScheme(ecdsa.0, Scheme::Bip340), MESSAGE);
    let not = |found: &str| Failure::NotAnAcceptedIntent { found: found.into() };
    assert_eq!(verify(2, refused), not("ADDRESS_USED"));
    assert_eq!(verify(3, good.clone()), not("announce-payment"));
    assert_eq!(verify(4, good), not("close-epoch"));
}

#[test]
fn no_byte_of_an_addresss_receipt_can_change() {
    let world = world();
    let trust = line(&world.trust());
    let released = World::released(&of(Scheme::Bip340), MESSAGE);
    let receipt = world.receipt(1, 1, Some(released)).encode();
    hammer("receipt of an address", std::slice::from_ref(&receipt), 2_000, |changed| {
        if changed != receipt {
            assert!(verify_receipt(&trust, changed, Some(MESSAGE)).is_err());
        }
    });
}

#[test]
fn receipts_of_addresses_are_frozen() {
    let (world, mut golden) = (world(), Golden::default());
    let header = world.blocks[0].0.header();
    let checkpoint = Checkpoint { height: 1, digest: *world.blocks[0].0.digest(), set_hash: header.set_hash };
    let pinned = Trust { checkpoint: Some(checkpoint), ..world.trust() };
    golden.text("trust", &world.trust().encode()).text("trust pinned", &pinned.encode());
    golden.hex("message", MESSAGE);
    for (leaf, scheme) in (0..).zip(SCHEMES) {
        let receipt = world.receipt(leaf, 1, Some(World::released(&of(scheme), MESSAGE)));
        golden.hex(&format!("receipt {scheme}"), receipt.encode());
    }
    golden.hex("receipt of a refused use", world.receipt(2, 1, None).encode());
    golden.check("address-receipts.json");
}
