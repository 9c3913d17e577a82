//! Every answer of every contract, and that refusals change nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::common::{ACCOUNT, Keys, World, signer};
use keyward_ledger_core::batch::Batch;
use keyward_ledger_core::contracts::intent::INTENT_BLOCKS_MAX;
use keyward_ledger_core::contracts::registry::credential_challenge;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{BindCredential, BindKey, Entry, Intent, Mode, Release};
use keyward_ledger_core::scheme::{KeyId, Scheme};
use keyward_ledger_core::state::layout::{AccountState, KeyStatus, account_key};

const OPEN: Entry = Entry::OpenAccount { account: ACCOUNT };
const CLOSE: Entry = Entry::CloseAccount { account: ACCOUNT };

fn key_id() -> KeyId {
    signer::Secp256k1.public_key().id()
}

/// A world with an open account and a bound key.
fn with_key() -> World {
    let mut world = World::new();
    let bind = world.bind(&signer::Secp256k1, [1; 32]);
    assert_eq!(world.names(&[OPEN, Entry::BindKey(bind)]), ["ACCEPTED", "ACCEPTED"]);
    world
}

/// Submits entries that must be refused, and holds that nothing but the submitter's window changed.
fn refused(world: &mut World, entries: &[Entry], expected: &[&str]) {
    let business = |world: &World| -> Vec<_> {
        let window = |key: &[u8]| key.starts_with(b"batch/") || key.starts_with(b"submitter/");
        world
            .ledger
            .state()
            .iter()
            .filter(|(key, _)| !window(key))
            .map(|(k, v)| (k.to_vec(), v.to_vec()))
            .collect()
    };
    let before = business(world);
    assert_eq!(world.names(entries), expected);
    assert_eq!(business(world), before);
}

#[test]
fn accounts_open_once_and_close_for_good() {
    let mut world = World::new();
    refused(&mut world, &[CLOSE], &["ACCOUNT_UNKNOWN"]);
    assert_eq!(world.names(&[OPEN]), ["ACCEPTED"]);
    refused(&mut world, &[OPEN], &["ACCOUNT_EXISTS"]);
    assert_eq!(world.names(&[CLOSE]), ["ACCEPTED"]);
    refused(&mut world, &[OPEN, CLOSE], &["ACCOUNT_EXISTS", "ACCOUNT_CLOSED"]);
    let value = world.ledger.state().get(&account_key(&ACCOUNT)).unwrap();
    assert_eq!(AccountState::decode(value).unwrap(), AccountState { open: false, height: 4 });
}

#[test]
fn every_scheme_is_bound_with_its_own_proof() {
    let mut world = World::new();
    world.submit(&[OPEN]);
    for keys in signer::all().into_iter().chain([Box::new(signer::Sm2) as Box<dyn Keys>]) {
        let bind = world.bind(&*keys, [1; 32]);
        assert_eq!(world.names(&[Entry::BindKey(bind.clone())]), ["ACCEPTED"], "{:?}", bind.scheme);
        refused(&mut world, &[Entry::BindKey(bind)], &["KEY_ALREADY_BOUND"]);
        let state = world.ledger.key(&keys.public_key().id()).unwrap().unwrap();
        let fresh = (ACCOUNT, keys.public_key().scheme(), KeyStatus::Active, 1);
        assert_eq!((state.account, state.scheme, state.status, state.version), fresh);
    }
}

#[test]
fn key_without_valid_proof_is_refused() {
    let mut world = World::new();
    let good = world.bind(&signer::Secp256k1, [1; 32]);
    refused(&mut world, &[Entry::BindKey(good.clone())], &["ACCOUNT_UNKNOWN"]);
    world.submit(&[OPEN]);
    let expired = BindKey { not_after: 2, ..good.clone() };
    let proof_of_other_mode = BindKey { mode: Mode::Linked, ..good.clone() };
    let proof_of_other_nonce = BindKey { nonce: [2; 32], ..good.clone() };
    let proof_of_later_expiry = BindKey { not_after: good.not_after + 1, ..good.clone() };
    let no_proof = BindKey { proof: Vec::new(), ..good.clone() };
    let other_scheme = BindKey { scheme: Scheme::Bip340, ..good.clone() };
    let cut_key = BindKey { public_key: good.public_key[1..].to_vec(), ..good.clone() };
    let entries = [
        expired,
        proof_of_other_mode,
        proof_of_other_nonce,
        proof_of_later_expiry,
        no_proof,
        other_scheme,
        cut_key,
    ];
    let names = [
        "EXPIRED",
        "PROOF_INVALID",
        "PROOF_INVALID",
        "PROOF_INVALID",
        "PROOF_INVALID",
        "PUBLIC_KEY_INVALID",
        "PUBLIC_KEY_INVALID",
    ];
    refused(&mut world, &entries.map(Entry::BindKey), &names);
    world.submit(&[CLOSE]);
    refused(&mut world, &[Entry::BindKey(good)], &["ACCOUNT_CLOSED"]);
}

#[test]
fn keys_freeze_and_thaw() {
    let mut world = with_key();
    let (freeze, thaw) = (Entry::FreezeKey { key_id: key_id() }, Entry::UnfreezeKey { key_id: key_id() });
    let stranger = KeyId([9; 32]);
    refused(
        &mut world,
        &[thaw.clone(), Entry::FreezeKey { key_id: stranger }, Entry::UnfreezeKey { key_id: stranger }],
        &["KEY_NOT_FROZEN", "KEY_UNKNOWN", "KEY_UNKNOWN"],
    );
    assert_eq!(world.names(std::slice::from_ref(&freeze)), ["ACCEPTED"]);
    let intent = Entry::Intent(world.intent([1; 32], key_id(), b"m"));
    refused(&mut world, &[freeze, intent.clone()], &["KEY_FROZEN", "KEY_FROZEN"]);
    let operator = SigningKey::from_seed(&[23; 32]);
    assert!(world.submit_as(&operator, &[thaw])[0].is_accepted());
    assert_eq!(world.names(&[intent]), ["ACCEPTED"]);
}

#[test]
fn intent_is_claimed_once_by_its_executor_and_released_once() {
    let mut world = with_key();
    let good = world.intent([1; 32], key_id(), b"m");
    let height = world.ledger.height() + 1;
    let refusals = [
        (Intent { executor: world.operator.public_key(), ..good.clone() }, "NOT_EXECUTOR"),
        (Intent { not_after: height - 1, ..good.clone() }, "EXPIRED"),
        (Intent { not_after: height + INTENT_BLOCKS_MAX + 1, ..good.clone() }, "EXPIRY_TOO_FAR"),
        (Intent { key_id: KeyId([9; 32]), ..good.clone() }, "KEY_UNKNOWN"),
    ];
    let (entries, names): (Vec<_>, Vec<_>) =
        refusals.into_iter().map(|(i, name)| (Entry::Intent(i), name)).unzip();
    refused(&mut world, &entries, &names);
    let release = Entry::Release(Release { intent_id: [1; 32], signature_hash: [3; 32] });
    refused(&mut world, std::slice::from_ref(&release), &["INTENT_UNKNOWN"]);
    let farthest =
        Intent { id: [2; 32], not_after: world.ledger.height() + 1 + INTENT_BLOCKS_MAX, ..good.clone() };
    assert_eq!(
        world.names(&[Entry::Intent(good.clone()), Entry::Intent(farthest)]),
        ["ACCEPTED", "ACCEPTED"]
    );
    refused(&mut world, &[Entry::Intent(good)], &["INTENT_REPLAYED"]);
    let other = SigningKey::from_seed(&[22; 32]);
    assert_eq!(world.submit_as(&other, std::slice::from_ref(&release))[0].name(), "NOT_EXECUTOR");
    assert_eq!(world.names(std::slice::from_ref(&release)), ["ACCEPTED"]);
    refused(&mut world, &[release], &["ALREADY_RELEASED"]);
}

#[test]
fn intent_on_a_closed_account_is_refused_and_one_past_its_height_is_gone() {
    let mut world = with_key();
    let last = world.ledger.height() + 2;
    let intent = Intent { not_after: last, ..world.intent([1; 32], key_id(), b"m") };
    assert_eq!(world.names(&[Entry::Intent(intent)]), ["ACCEPTED"]);
    assert_eq!(world.names(&[CLOSE]), ["ACCEPTED"]);
    assert_eq!(world.ledger.height(), last);
    let later = Entry::Intent(world.intent([2; 32], key_id(), b"m"));
    let release = Entry::Release(Release { intent_id: [1; 32], signature_hash: [3; 32] });
    assert_eq!(world.names(&[later, release]), ["ACCOUNT_CLOSED", "INTENT_UNKNOWN"]);
}

#[test]
fn roles_are_held() {
    let mut world = with_key();
    let (operator, keeper) = (SigningKey::from_seed(&[23; 32]), SigningKey::from_seed(&[24; 32]));
    let bind = Entry::BindKey(world.bind(&signer::P256, [1; 32]));
    let credential = Entry::BindCredential(credential(&world, 1, &SigningKey::from_seed(&[41; 32]), None));
    let intent = Entry::Intent(world.intent([1; 32], key_id(), b"m"));
    let entries = [OPEN, CLOSE, bind, credential, intent];
    for key in [&operator, &keeper] {
        let outcomes = world.submit_as(key, &entries);
        assert!(outcomes.iter().all(|outcome| outcome.name() == "ROLE_NOT_ALLOWED"), "{outcomes:?}");
        assert!(world.submit_as(key, &[Entry::Note(vec![1])])[0].is_accepted());
    }
    let freeze = Entry::FreezeKey { key_id: key_id() };
    assert_eq!(world.submit_as(&keeper, &[freeze])[0].name(), "ROLE_NOT_ALLOWED");
}

fn credential(world: &World, version: u32, new: &SigningKey, holder: Option<&SigningKey>) -> BindCredential {
    let (nonce, not_after) = ([4; 32], world.ledger.height() + 10);
    let message =
        credential_challenge(&world.chain_id(), &ACCOUNT, version, &new.public_key(), &nonce, not_after);
    BindCredential {
        account: ACCOUNT,
        version,
        public_key: new.public_key(),
        nonce,
        not_after,
        proof: new.sign(&message),
        holder_signature: holder.map(|holder| holder.sign(&message)),
    }
}

#[test]
fn credentials_change_only_with_the_holder() {
    let mut world = World::new();
    let [first, second, thief] = [41, 42, 43].map(|seed| SigningKey::from_seed(&[seed; 32]));
    let good = credential(&world, 1, &first, None);
    refused(&mut world, &[Entry::BindCredential(good.clone())], &["ACCOUNT_UNKNOWN"]);
    world.submit(&[OPEN]);
    let cases = [
        (BindCredential { not_after: 2, ..good.clone() }, "EXPIRED"),
        (credential(&world, 2, &first, None), "CREDENTIAL_VERSION"),
        (credential(&world, 0, &first, None), "CREDENTIAL_VERSION"),
        (credential(&world, 1, &first, Some(&first)), "HOLDER_SIGNATURE_INVALID"),
        (BindCredential { proof: thief.sign(b"x"), ..good.clone() }, "PROOF_INVALID"),
        (BindCredential { public_key: thief.public_key(), ..good.clone() }, "PROOF_INVALID"),
    ];
    let (entries, names): (Vec<_>, Vec<_>) =
        cases.into_iter().map(|(c, name)| (Entry::BindCredential(c), name)).unzip();
    refused(&mut world, &entries, &names);
    assert_eq!(world.names(&[Entry::BindCredential(good.clone())]), ["ACCEPTED"]);
    let stolen = [
        Entry::BindCredential(good),
        Entry::BindCredential(credential(&world, 2, &thief, None)),
        Entry::BindCredential(credential(&world, 2, &thief, Some(&thief))),
        Entry::BindCredential(credential(&world, 3, &second, Some(&first))),
    ];
    let names =
        ["CREDENTIAL_VERSION", "HOLDER_SIGNATURE_INVALID", "HOLDER_SIGNATURE_INVALID", "CREDENTIAL_VERSION"];
    refused(&mut world, &stolen, &names);
    let change = credential(&world, 2, &second, Some(&first));
    assert_eq!(world.names(&[Entry::BindCredential(change)]), ["ACCEPTED"]);
}

#[test]
fn malformed_entries_are_records_too() {
    let mut world = World::new();
    let chain_id = world.chain_id();
    let entries = vec![vec![], vec![0], vec![0, 16, 1], vec![0xff, 0xff], [OPEN.encode(), vec![0]].concat()];
    let batch = Batch { chain_id, sequence: 1, not_after: 5, entries }.sign(&world.service).unwrap();
    let names: Vec<_> =
        world.block(&[batch]).batches[0].outcomes.iter().map(|outcome| outcome.name()).collect();
    let malformed = "ENTRY_MALFORMED";
    assert_eq!(names, [malformed, malformed, malformed, "ENTRY_KIND_UNKNOWN", malformed]);
    assert_eq!(world.ledger.log().size(), 5);
}
