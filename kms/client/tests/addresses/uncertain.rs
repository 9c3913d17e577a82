//! A use whose answer was lost, at a service that denies it: the ledger's own proof says what became of it.

use std::sync::Arc;

use keyward_client::Client;
use keyward_client::addresses::{AddressesError, UncertainUse, UseStanding, Which};
use keyward_ledger_core::entry::Entry;
use keyward_ledger_core::state::addresses::used_address_key;
use keyward_ledger_verify::verify_receipt;
use keyward_proto::custody::{BeginAddressResponse, RecordAddressResponse};

use crate::addresses::world::{Device, Lies, MESSAGE, World, code, order};

/// Anna has begun to sign; of the record of that she heard nothing, and the service has forgotten the intent.
async fn unanswered() -> (Arc<World>, Client, Device) {
    let (world, anna, device) = World::own().await;
    world.lie(Lies { recorded: Some(Box::new(|_, _| RecordAddressResponse::default())), ..Lies::default() });
    anna.sign_own_address(&device.root(), &order(), Which::Fresh).await.unwrap_err();
    world.begun.lock().unwrap().clear();
    world.lie(Lies::default());
    (world, anna, device)
}

async fn only(anna: &Client, device: &Device) -> UncertainUse {
    let [uncertain] = &anna.uncertain_uses(&device.root()).await.unwrap()[..] else { panic!("not one") };
    uncertain.clone()
}

/// The place of the only record of a use.
fn leaf(world: &World) -> u64 {
    let chain = world.chain.lock().unwrap();
    let is_use = |at: &u64| {
        let entry = chain.entry(*at).unwrap().0.to_vec();
        matches!(Entry::decode(&entry), Ok(Entry::UseAddress(_)))
    };
    (0..).find(is_use).unwrap()
}

fn receipt(world: &World, leaf: u64) -> Vec<u8> {
    world.chain.lock().unwrap().receipt(leaf)
}

#[tokio::test]
async fn a_use_that_the_ledger_has_is_proven_at_its_leaf_whatever_the_service_says() {
    let (world, anna, device) = unanswered().await;
    let (root, which) = (device.root(), Which::Given(only(&anna, &device).await.address));
    let denied = anna.sign_own_address(&root, &order(), which).await;
    assert_eq!(code(denied), "ADDRESS_USED", "all that the service lets it say");
    let uncertain = only(&anna, &device).await;
    let proof = world.chain.lock().unwrap().proof(&uncertain.state_key());
    let standing = anna.use_standing(&uncertain, &proof).unwrap();
    assert!(
        matches!(standing, UseStanding::Used { leaf_index, .. } if leaf_index == leaf(&world)),
        "{standing:?}"
    );
    assert_eq!(format!("{uncertain:?}"), "UncertainUse(redacted)");
}

#[tokio::test]
async fn with_the_receipt_of_its_record_the_address_signs_after_all_and_its_epoch_is_held_against_it() {
    let (world, anna, device) = unanswered().await;
    let (root, uncertain, epoch) = (device.root(), only(&anna, &device).await, world.epoch());
    let receipt = receipt(&world, leaf(&world));
    assert_eq!(anna.settle_use(&root, &receipt).unwrap(), uncertain.address);
    assert!(anna.uncertain_uses(&root).await.unwrap().is_empty());
    let signed = anna.sign_own_address(&root, &order(), Which::Given(uncertain.address)).await.unwrap();
    let trust = world.chain.lock().unwrap().trust_file();
    let verdict = verify_receipt(&trust, &signed.signature.receipt, Some(MESSAGE)).unwrap();
    assert_eq!((verdict.leaf_index, signed.released), (leaf(&world), false));
    // A closing that leaves it out is short from then on.
    world.pass(world.epoch_ms + 10_000);
    let closed = anna.close_address_epoch(&root, epoch).await;
    assert_eq!(code(closed), "EPOCH_CLOSING_SHORT");
}

#[tokio::test]
async fn a_use_that_was_never_recorded_is_proven_unused_and_lapses_with_its_intent() {
    let (world, anna, device) = World::own().await;
    let forgets = |world: &World, said: BeginAddressResponse| {
        world.begun.lock().unwrap().clear();
        said
    };
    world.lie(Lies { begun: Some(Box::new(forgets)), ..Lies::default() });
    anna.sign_own_address(&device.root(), &order(), Which::Fresh).await.unwrap_err();
    world.lie(Lies::default());
    let uncertain = only(&anna, &device).await;
    let not_after = uncertain.not_after.unwrap();
    let standing = || {
        let proof = world.chain.lock().unwrap().proof(&uncertain.state_key());
        anna.use_standing(&uncertain, &proof).unwrap()
    };
    let UseStanding::Unused { height, lapsed: false } = standing() else { panic!("{:?}", standing()) };
    assert!(height < not_after);
    while world.chain.lock().unwrap().height < not_after {
        assert!(matches!(standing(), UseStanding::Unused { lapsed: false, .. }));
        world.pass(1);
    }
    assert_eq!(standing(), UseStanding::Unused { height: not_after, lapsed: true });
}

#[tokio::test]
async fn proofs_and_receipts_of_something_else_prove_nothing() {
    let (world, anna, device) = unanswered().await;
    let (root, uncertain) = (device.root(), only(&anna, &device).await);
    let of_another = world.chain.lock().unwrap().proof(&used_address_key(&[7; 32]));
    let proof = world.chain.lock().unwrap().proof(&uncertain.state_key());
    let mut changed = proof.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    for wrong in [of_another, changed, proof[..proof.len() - 1].to_vec(), Vec::new()] {
        let refused = anna.use_standing(&uncertain, &wrong).unwrap_err();
        assert_eq!(refused.code(), Some("ADDRESSES_UNPROVEN"), "{refused}");
    }
    let own = receipt(&world, leaf(&world));
    let other = receipt(&world, leaf(&world) - 1);
    assert_eq!(code(anna.settle_use(&root, &other)), "ADDRESSES_SUBSTITUTED");
    assert_eq!(code(anna.settle_use(&root, &own[..own.len() - 1])), "ADDRESSES_UNPROVEN");
    // Of somebody else's address.
    let elsewhere = world.device();
    elsewhere.root().make().unwrap();
    let refused = anna.settle_use(&elsewhere.root(), &own).unwrap_err();
    assert!(matches!(refused, AddressesError::NotOurs), "{refused}");
    assert_eq!(only(&anna, &device).await, uncertain, "nothing has changed");
}
