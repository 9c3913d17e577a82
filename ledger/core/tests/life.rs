//! The life of a key on the ledger: every step, every refusal, and random walks held against a model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::common::{ACCOUNT, Keys, World, signer};
use keyward_ledger_core::contracts::keys::{DESTRUCTION_WAIT_MAX_MS, DESTRUCTION_WAIT_MIN_MS};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{BindKey, Entry, KeyConsent, Mode, RotateKey};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::scheme::{KeyId, PublicKey, Scheme};
use keyward_ledger_core::state::layout::{KeyState, KeyStatus, key_key};
use proptest::collection::vec;
use proptest::prelude::*;

const OPEN: Entry = Entry::OpenAccount { account: ACCOUNT };
const CLOSE: Entry = Entry::CloseAccount { account: ACCOUNT };

/// As many keys as a test wants.
struct Numbered(u8);

impl Keys for Numbered {
    fn public_key(&self) -> PublicKey {
        PublicKey::parse(Scheme::Ed25519, &SigningKey::from_seed(&[100 + self.0; 32]).public_key()).unwrap()
    }
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        SigningKey::from_seed(&[100 + self.0; 32]).sign(message).to_vec()
    }
}

fn id(number: u8) -> KeyId {
    Numbered(number).public_key().id()
}

fn schedule(key_id: KeyId) -> Entry {
    Entry::ScheduleDestroyKey { key_id, wait_ms: DESTRUCTION_WAIT_MIN_MS }
}

/// A world with an open account and key 0.
fn with_key() -> World {
    let mut world = World::new();
    let bind = world.bind(&Numbered(0), [1; 32]);
    assert_eq!(world.names(&[OPEN, Entry::BindKey(bind)]), ["ACCEPTED", "ACCEPTED"]);
    world
}

fn rotate(world: &World, number: u8, previous: KeyId) -> Entry {
    Entry::RotateKey(world.rotate(&Numbered(number), [number; 32], previous))
}

fn intent(world: &World, nonce: u8, key_id: KeyId) -> Entry {
    Entry::Intent(world.intent([nonce; 32], key_id, b"m"))
}

fn accepted(world: &mut World, entry: Entry) {
    assert_eq!(world.names(std::slice::from_ref(&entry)), ["ACCEPTED"], "{entry:?}");
}

/// Submits entries that must be refused, and holds that no key changed.
fn refused(world: &mut World, entries: &[Entry], expected: &[&str]) {
    let keys = |world: &World| -> Vec<(Vec<u8>, Vec<u8>)> {
        let all = world.ledger.state().iter().filter(|(key, _)| key.starts_with(b"key/"));
        all.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    };
    let before = keys(world);
    assert_eq!(world.names(entries), expected);
    assert_eq!(keys(world), before);
}

fn state(world: &World, key_id: KeyId) -> KeyState {
    world.ledger.key(&key_id).unwrap().unwrap()
}

/// Lets ledger time pass without touching a key.
fn pass(world: &mut World, blocks: u64) {
    for _ in 0..blocks {
        accepted(world, Entry::Note(Vec::new()));
    }
}

#[test]
fn rotated_key_never_signs_again_and_its_successor_does() {
    let mut world = with_key();
    let first = rotate(&world, 1, id(0));
    accepted(&mut world, first);
    assert_eq!(state(&world, id(0)).status, KeyStatus::Superseded { successor: id(1) });
    assert_eq!((state(&world, id(1)).version, state(&world, id(1)).status), (2, KeyStatus::Active));
    let old = [
        intent(&world, 1, id(0)),
        Entry::FreezeKey { key_id: id(0) },
        Entry::UnfreezeKey { key_id: id(0) },
        rotate(&world, 2, id(0)),
    ];
    refused(&mut world, &old, &["KEY_SUPERSEDED"; 4]);
    let new = intent(&world, 2, id(1));
    accepted(&mut world, new);
    accepted(&mut world, Entry::FreezeKey { key_id: id(1) });
    let third = rotate(&world, 2, id(1));
    accepted(&mut world, third);
    assert_eq!((state(&world, id(2)).version, state(&world, id(2)).status), (3, KeyStatus::Active));
}

#[test]
fn rotation_needs_its_own_proof_a_new_key_and_the_same_account() {
    let mut world = with_key();
    let good = world.rotate(&Numbered(1), [1; 32], id(0));
    let with = |bind: BindKey| Entry::RotateKey(RotateKey { bind, ..good.clone() });
    let other_account = {
        let account: Hash = [0xad; 32];
        accepted(&mut world, Entry::OpenAccount { account });
        with(BindKey { account, ..good.bind.clone() })
    };
    let bound = with(world.bind(&Numbered(0), [1; 32]));
    let cases = [
        (with(world.bind(&Numbered(1), [1; 32])), "PROOF_INVALID"),
        (Entry::RotateKey(RotateKey { previous: KeyId([9; 32]), ..good.clone() }), "KEY_UNKNOWN"),
        (Entry::BindKey(good.bind.clone()), "PROOF_INVALID"),
        (with(BindKey { not_after: 1, ..good.bind.clone() }), "EXPIRED"),
        (with(BindKey { nonce: [2; 32], ..good.bind.clone() }), "PROOF_INVALID"),
        (with(BindKey { scheme: Scheme::EcdsaP256, ..good.bind.clone() }), "PUBLIC_KEY_INVALID"),
        (with(BindKey { account: [0xae; 32], ..good.bind.clone() }), "ACCOUNT_UNKNOWN"),
        (other_account, "KEY_VERSION"),
        (bound, "KEY_ALREADY_BOUND"),
    ];
    let (entries, names): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    refused(&mut world, &entries, &names);
    // The proof names the key that is taken over: it counts for no other one.
    let bind = world.bind(&Numbered(2), [2; 32]);
    accepted(&mut world, Entry::BindKey(bind));
    let moved = Entry::RotateKey(RotateKey { previous: id(2), ..good.clone() });
    refused(&mut world, &[moved], &["PROOF_INVALID"]);
    accepted(&mut world, CLOSE);
    refused(&mut world, &[Entry::RotateKey(good)], &["ACCOUNT_CLOSED"]);
}

#[test]
fn destruction_waits_and_leaves_a_tombstone() {
    let mut world = with_key();
    let destroy = Entry::DestroyKey { key_id: id(0) };
    refused(&mut world, std::slice::from_ref(&destroy), &["KEY_NOT_SCHEDULED"]);
    accepted(&mut world, schedule(id(0)));
    let KeyStatus::Scheduled { destroy_after_ms, successor: None } = state(&world, id(0)).status else {
        panic!("{:?}", state(&world, id(0)))
    };
    assert_eq!(destroy_after_ms, world.ledger.time_ms() + DESTRUCTION_WAIT_MIN_MS);
    let early = [
        intent(&world, 1, id(0)),
        Entry::FreezeKey { key_id: id(0) },
        Entry::UnfreezeKey { key_id: id(0) },
        schedule(id(0)),
        rotate(&world, 1, id(0)),
        destroy.clone(),
    ];
    let scheduled = "KEY_SCHEDULED";
    refused(
        &mut world,
        &early,
        &[scheduled, scheduled, scheduled, scheduled, scheduled, "DESTRUCTION_EARLY"],
    );
    while world.ledger.time_ms() + 200 <= destroy_after_ms {
        refused(&mut world, std::slice::from_ref(&destroy), &["DESTRUCTION_EARLY"]);
    }
    accepted(&mut world, destroy.clone());
    assert_eq!(world.ledger.time_ms(), destroy_after_ms, "the first block that may");
    let gone = KeyStatus::Destroyed { at_ms: destroy_after_ms, successor: None };
    assert_eq!(state(&world, id(0)).status, gone);
    let after = [
        intent(&world, 2, id(0)),
        Entry::FreezeKey { key_id: id(0) },
        Entry::UnfreezeKey { key_id: id(0) },
        schedule(id(0)),
        Entry::CancelDestroyKey { key_id: id(0) },
        rotate(&world, 1, id(0)),
        Entry::BindKey(world.bind(&Numbered(0), [3; 32])),
        destroy,
    ];
    refused(&mut world, &after, &["KEY_DESTROYED"; 8]);
}

#[test]
fn cancelled_key_comes_back_frozen_or_superseded() {
    let mut world = with_key();
    let cancel = Entry::CancelDestroyKey { key_id: id(0) };
    refused(&mut world, std::slice::from_ref(&cancel), &["KEY_NOT_SCHEDULED"]);
    accepted(&mut world, schedule(id(0)));
    accepted(&mut world, cancel.clone());
    assert_eq!(state(&world, id(0)).status, KeyStatus::Frozen);
    let intent = intent(&world, 1, id(0));
    refused(&mut world, &[intent, cancel.clone()], &["KEY_FROZEN", "KEY_NOT_SCHEDULED"]);
    let next = rotate(&world, 1, id(0));
    accepted(&mut world, next);
    accepted(&mut world, schedule(id(0)));
    // Past its time a destruction can be cancelled as long as it was not recorded.
    pass(&mut world, 20);
    accepted(&mut world, cancel);
    assert_eq!(state(&world, id(0)).status, KeyStatus::Superseded { successor: id(1) });
    accepted(&mut world, schedule(id(0)));
    pass(&mut world, 10);
    accepted(&mut world, Entry::DestroyKey { key_id: id(0) });
    assert!(matches!(state(&world, id(0)).status, KeyStatus::Destroyed { successor: Some(_), .. }));
}

#[test]
fn waiting_periods_have_bounds() {
    let mut world = with_key();
    let wait = |wait_ms| Entry::ScheduleDestroyKey { key_id: id(0), wait_ms };
    let out = [0, DESTRUCTION_WAIT_MIN_MS - 1, DESTRUCTION_WAIT_MAX_MS + 1, u64::MAX].map(wait);
    refused(&mut world, &out, &["DESTRUCTION_WAIT"; 4]);
    accepted(&mut world, wait(DESTRUCTION_WAIT_MAX_MS));
}

#[test]
fn only_services_end_a_key_and_a_closed_account_does_not_keep_it() {
    let mut world = with_key();
    let rotation = rotate(&world, 1, id(0));
    let stranger = KeyId([9; 32]);
    let life = |key_id| [schedule(key_id), Entry::CancelDestroyKey { key_id }, Entry::DestroyKey { key_id }];
    refused(&mut world, &life(stranger), &["KEY_UNKNOWN"; 3]);
    for seed in [23, 24] {
        let entries = [life(id(0)).as_slice(), std::slice::from_ref(&rotation)].concat();
        let outcomes = world.submit_as(&SigningKey::from_seed(&[seed; 32]), &entries);
        assert!(outcomes.iter().all(|outcome| outcome.name() == "ROLE_NOT_ALLOWED"), "{outcomes:?}");
    }
    accepted(&mut world, CLOSE);
    accepted(&mut world, schedule(id(0)));
    pass(&mut world, 10);
    accepted(&mut world, Entry::DestroyKey { key_id: id(0) });
}

#[test]
fn an_intent_claimed_in_time_is_released_after_the_key_was_scheduled() {
    let mut world = with_key();
    let claim = intent(&world, 1, id(0));
    accepted(&mut world, claim);
    accepted(&mut world, schedule(id(0)));
    let release = keyward_ledger_core::entry::Release { intent_id: [1; 32], signature_hash: [2; 32] };
    accepted(&mut world, Entry::Release(release));
}

#[test]
fn the_first_form_of_a_key_is_what_it_was() {
    let world = with_key();
    let value = world.ledger.state().get(&key_key(&id(0))).unwrap();
    assert_eq!((value.len(), value[34], &value[35..]), (43, 0, &1_u64.to_be_bytes()[..]));
}

/// What a walk may ask for; numbers name one of four keys.
#[derive(Clone, Copy, Debug)]
enum Step {
    Freeze(u8),
    Unfreeze(u8),
    Schedule(u8),
    Cancel(u8),
    Destroy(u8),
    Rotate(u8, u8),
    Bind(u8),
    Intent(u8),
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..4_u8;
    prop_oneof![
        key.clone().prop_map(Step::Freeze),
        key.clone().prop_map(Step::Unfreeze),
        key.clone().prop_map(Step::Schedule),
        key.clone().prop_map(Step::Cancel),
        key.clone().prop_map(Step::Destroy),
        (key.clone(), key.clone()).prop_map(|(from, to)| Step::Rotate(from, to)),
        key.clone().prop_map(Step::Bind),
        key.prop_map(Step::Intent),
        Just(Step::Wait),
    ]
}

/// The model: a word, a successor and a due time for each key.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Model {
    word: &'static str,
    successor: Option<u8>,
    due_ms: u64,
    version: u32,
}

/// What the rules say, read off the table of SPEC.md; the keys as they are after it.
fn expected(keys: &mut [Model; 4], step: Step, now_ms: u64) -> &'static str {
    let blocked = |model: Model| match model.word {
        "" => Some("KEY_UNKNOWN"),
        "superseded" => Some("KEY_SUPERSEDED"),
        "scheduled" => Some("KEY_SCHEDULED"),
        "destroyed" => Some("KEY_DESTROYED"),
        _ => None,
    };
    let not_scheduled = |model: Model| match model.word {
        "scheduled" => None,
        "" | "destroyed" => blocked(model),
        _ => Some("KEY_NOT_SCHEDULED"),
    };
    let taken = |model: Model| match model.word {
        "" => None,
        "destroyed" => Some("KEY_DESTROYED"),
        _ => Some("KEY_ALREADY_BOUND"),
    };
    let (key, refusal, next) = match step {
        Step::Wait => return "ACCEPTED",
        Step::Freeze(key) | Step::Intent(key) => {
            let model = keys[key as usize];
            let frozen = (model.word == "frozen").then_some("KEY_FROZEN");
            let next = if matches!(step, Step::Freeze(_)) { "frozen" } else { model.word };
            (key, blocked(model).or(frozen), Model { word: next, ..model })
        }
        Step::Unfreeze(key) => {
            let model = keys[key as usize];
            let active = (model.word == "active").then_some("KEY_NOT_FROZEN");
            (key, blocked(model).or(active), Model { word: "active", ..model })
        }
        Step::Schedule(key) => {
            let model = keys[key as usize];
            let refusal = blocked(model).filter(|refusal| *refusal != "KEY_SUPERSEDED");
            (key, refusal, Model { word: "scheduled", due_ms: now_ms + DESTRUCTION_WAIT_MIN_MS, ..model })
        }
        Step::Cancel(key) => {
            let model = keys[key as usize];
            let word = if model.successor.is_some() { "superseded" } else { "frozen" };
            (key, not_scheduled(model), Model { word, due_ms: 0, ..model })
        }
        Step::Destroy(key) => {
            let model = keys[key as usize];
            let early = (now_ms < model.due_ms).then_some("DESTRUCTION_EARLY");
            (key, not_scheduled(model).or(early), Model { word: "destroyed", due_ms: now_ms, ..model })
        }
        Step::Bind(key) => {
            (key, taken(keys[key as usize]), Model { word: "active", version: 1, ..Model::default() })
        }
        Step::Rotate(from, to) => {
            let (before, after) = (keys[from as usize], keys[to as usize]);
            let refusal = taken(after).or(blocked(before));
            if refusal.is_none() {
                keys[from as usize] = Model { word: "superseded", successor: Some(to), ..before };
            }
            (to, refusal, Model { word: "active", version: before.version + 1, ..Model::default() })
        }
    };
    if let Some(refusal) = refusal {
        return refusal;
    }
    keys[key as usize] = next;
    "ACCEPTED"
}

fn modelled(world: &World, number: u8) -> Model {
    let Some(key) = world.ledger.key(&id(number)).unwrap() else { return Model::default() };
    let number_of = |key_id| (0..4).find(|number| id(*number) == key_id).unwrap();
    let (word, due_ms) = match key.status {
        KeyStatus::Active => ("active", 0),
        KeyStatus::Frozen => ("frozen", 0),
        KeyStatus::Superseded { .. } => ("superseded", 0),
        KeyStatus::Scheduled { destroy_after_ms, .. } => ("scheduled", destroy_after_ms),
        KeyStatus::Destroyed { at_ms, .. } => ("destroyed", at_ms),
    };
    Model { word, due_ms, successor: key.status.successor().map(number_of), version: key.version }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_walk_agrees_with_the_model(steps in vec(step(), 1..60)) {
        let (mut world, mut keys) = (World::new(), [Model::default(); 4]);
        accepted(&mut world, OPEN);
        for (round, step) in (1_u8..).zip(steps) {
            let entry = match step {
                Step::Freeze(key) => Entry::FreezeKey { key_id: id(key) },
                Step::Unfreeze(key) => Entry::UnfreezeKey { key_id: id(key) },
                Step::Schedule(key) => schedule(id(key)),
                Step::Cancel(key) => Entry::CancelDestroyKey { key_id: id(key) },
                Step::Destroy(key) => Entry::DestroyKey { key_id: id(key) },
                Step::Rotate(from, to) => rotate(&world, to, id(from)),
                Step::Bind(key) => Entry::BindKey(world.bind(&Numbered(key), [round; 32])),
                Step::Intent(key) => intent(&world, round, id(key)),
                Step::Wait => {
                    pass(&mut world, 9);
                    Entry::Note(Vec::new())
                }
            };
            let outcome = world.names(&[entry])[0];
            let now_ms = world.ledger.time_ms();
            prop_assert_eq!(outcome, expected(&mut keys, step, now_ms), "{:?} in round {}", step, round);
            for number in 0..4 {
                prop_assert_eq!(modelled(&world, number), keys[number as usize], "key {} after {:?}", number, step);
            }
        }
    }
}

/// A world with an open account and key 0, of mode `self`.
fn with_own_key() -> World {
    let mut world = World::new();
    let bind = world.bind_as(Mode::Own, &Numbered(0), [1; 32]);
    assert_eq!(world.names(&[OPEN, Entry::BindKey(bind)]), ["ACCEPTED", "ACCEPTED"]);
    assert_eq!(state(&world, id(0)).mode, Mode::Own);
    world
}

#[test]
fn a_key_of_mode_self_lives_as_others_do() {
    let mut world = with_own_key();
    let claim = intent(&world, 1, id(0));
    accepted(&mut world, claim);
    accepted(&mut world, Entry::FreezeKey { key_id: id(0) });
    let frozen = intent(&world, 2, id(0));
    refused(&mut world, &[frozen], &["KEY_FROZEN"]);
    accepted(&mut world, Entry::UnfreezeKey { key_id: id(0) });
    accepted(&mut world, schedule(id(0)));
    pass(&mut world, 10);
    accepted(&mut world, Entry::DestroyKey { key_id: id(0) });
    assert!(matches!(state(&world, id(0)).status, KeyStatus::Destroyed { .. }));
}

#[test]
fn the_proof_of_a_key_counts_for_its_mode_alone() {
    let mut world = World::new();
    accepted(&mut world, OPEN);
    let hosted = world.bind(&Numbered(0), [1; 32]);
    let own = world.bind_as(Mode::Own, &Numbered(0), [1; 32]);
    let swapped =
        [BindKey { mode: Mode::Own, ..hosted }, BindKey { mode: Mode::Hosted, ..own }].map(Entry::BindKey);
    refused(&mut world, &swapped, &["PROOF_INVALID"; 2]);
}

#[test]
fn a_key_of_mode_self_is_superseded_with_its_own_consent_alone() {
    let mut world = with_own_key();
    let good = world.rotate_own(&Numbered(1), [1; 32], &Numbered(0));
    let consent = good.consent.clone().unwrap();
    let with = |consent| Entry::RotateKey(RotateKey { consent, ..good.clone() });
    let by = |keys: &dyn Keys, message: &[u8]| {
        let public_key = keys.public_key().as_bytes().to_vec();
        Some(KeyConsent { public_key, signature: keys.sign(message) })
    };
    let message = world.rotation(&good.bind, id(0));
    let later = BindKey { not_after: good.bind.not_after + 1, ..good.bind.clone() };
    let of_another = world.rotation(&later, id(0));
    let cases = [
        rotate(&world, 1, id(0)),
        with(None),
        with(by(&Numbered(1), &message)),
        with(by(&Numbered(0), &of_another)),
        with(by(&Numbered(0), b"")),
        with(Some(KeyConsent { public_key: Vec::new(), ..consent.clone() })),
        with(Some(KeyConsent {
            public_key: Numbered(1).public_key().as_bytes().to_vec(),
            ..consent.clone()
        })),
        with(Some(KeyConsent { signature: good.bind.proof.clone(), ..consent })),
    ];
    refused(&mut world, &cases, &["HOLDER_SIGNATURE_INVALID"; 8]);
    let unproven = RotateKey { bind: BindKey { proof: vec![7; 64], ..good.bind.clone() }, ..good.clone() };
    refused(&mut world, &[Entry::RotateKey(unproven)], &["PROOF_INVALID"]);
    accepted(&mut world, Entry::RotateKey(good));
    let (old, new) = (state(&world, id(0)), state(&world, id(1)));
    assert_eq!(old.status, KeyStatus::Superseded { successor: id(1) });
    assert_eq!((new.mode, new.version, new.status), (Mode::Own, 2, KeyStatus::Active));
}

#[test]
fn consent_has_no_meaning_for_a_hosted_key() {
    let mut world = with_key();
    let entry = Entry::RotateKey(world.rotate_own(&Numbered(1), [1; 32], &Numbered(0)));
    refused(&mut world, &[entry], &["HOLDER_SIGNATURE_INVALID"]);
}

#[test]
fn keys_of_every_scheme_are_rotated_with_their_own_proof() {
    let mut world = with_key();
    let mut previous = id(0);
    for keys in signer::all() {
        let entry = Entry::RotateKey(world.rotate(&*keys, [5; 32], previous));
        accepted(&mut world, entry);
        previous = keys.public_key().id();
    }
    assert_eq!(state(&world, previous).version as usize, signer::all().len() + 1);
}
