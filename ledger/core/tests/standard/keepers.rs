//! Keepers: they come, change their keys and go by decision, prove their keys, and are provable.

use crate::common::vault::{id_of, keeper, keeper_key};
use keyward_ledger_core::change::{Change, Member, rotation_message};
use keyward_ledger_core::genesis::{Role, Submitter};
use keyward_ledger_core::keeper::Keeper;
use keyward_ledger_core::state::keeper::{KEEPERS_MAX, KeeperState, keeper_key as state_key, keepers_key};
use keyward_ledger_core::state::layout::{SubmitterState, submitter_key};
use keyward_ledger_core::state::member::decode_list;

use super::*;

fn state_of(world: &World, number: u8) -> Option<KeeperState> {
    world.ledger.state().get(&state_key(&id_of(number))).map(|value| KeeperState::decode(value).unwrap())
}

fn submitter(world: &World, key: &SigningKey) -> Option<SubmitterState> {
    let value = world.ledger.state().get(&submitter_key(&key.public_key()));
    value.map(|value| SubmitterState::decode(value).unwrap())
}

/// What a state proof shows under a header's root, as a client sees it.
fn proven(world: &World, number: u8) -> Option<KeeperState> {
    let key = state_key(&id_of(number));
    let proof = world.ledger.state().prove(&key);
    let value = proof.verify(&key, &world.ledger.state().root()).unwrap();
    value.map(|value| KeeperState::decode(value).unwrap())
}

fn ids(world: &World) -> Vec<Hash> {
    decode_list(world.ledger.state().get(&keepers_key()), KEEPERS_MAX).unwrap()
}

#[test]
fn a_keeper_joins_submits_is_proven_and_leaves() {
    let mut world = World::new();
    assert_eq!(proven(&world, 1), None, "nobody is a keeper before the members said so");
    world.admit_keepers(&[1, 2, 3]);
    let mut all = [1, 2, 3].map(id_of).to_vec();
    all.sort_unstable();
    assert_eq!(ids(&world), all);
    let shown = proven(&world, 1).unwrap();
    assert_eq!((shown.present, shown.keeper), (true, keeper(1)));
    assert_eq!(submitter(&world, &keeper_key(1)).unwrap().role, Role::Keeper);
    assert_eq!(world.submit_as(&keeper_key(1), &[Entry::Note(vec![1])])[0].name(), "ACCEPTED");

    let (_, answers) = world.decide(&[Change::RemoveKeeper { id: id_of(1) }]);
    assert_eq!(answers, ["ACCEPTED"]);
    assert!(!state_of(&world, 1).unwrap().present);
    assert_eq!(ids(&world).len(), 2);
    assert_eq!(submitter(&world, &keeper_key(1)).unwrap().block_entries_max, 0);
    let batch = world.batch(&keeper_key(1), &[Entry::Note(vec![2])]);
    assert!(world.ledger.check_batch(&batch).is_err(), "who left submits nothing");
    assert_eq!(world.decide(&[Change::RemoveKeeper { id: id_of(1) }]).1, ["CHANGE_IMPOSSIBLE"]);
    // Nobody else comes under its name: vaults would take it for the one that held their shares.
    let other = SigningKey::from_seed(&[0xf3; 32]);
    let change = world.set_keeper(Keeper { key: other.public_key(), ..keeper(1) }, &other);
    assert_eq!(world.decide(&[change]).1, ["CHANGE_IMPOSSIBLE"]);
    // It may come back, and what it submitted before stays old.
    world.admit_keepers(&[1]);
    assert_eq!(submitter(&world, &keeper_key(1)).unwrap().highest, 1);
}

#[test]
fn a_keeper_changes_its_keys_under_its_name_and_the_old_key_is_worth_nothing() {
    let mut world = World::new();
    world.admit_keepers(&[1]);
    let new = SigningKey::from_seed(&[0xf1; 32]);
    let changed = Keeper { key: new.public_key(), hpke_key: [0xf2; 32], ..keeper(1) };
    let by_old = world.set_keeper(changed.clone(), &keeper_key(1));
    assert_eq!(world.decide(&[by_old]).1, ["PROOF_INVALID"]);
    let by_new = world.set_keeper(changed.clone(), &new);
    assert_eq!(world.decide(&[by_new]).1, ["ACCEPTED"]);
    assert_eq!((state_of(&world, 1).unwrap().keeper, ids(&world)), (changed, vec![id_of(1)]));
    assert_eq!(submitter(&world, &keeper_key(1)).unwrap().block_entries_max, 0);
    assert_eq!(world.submit_as(&new, &[Entry::Note(vec![1])])[0].name(), "ACCEPTED");
}

#[test]
fn a_key_has_one_use_and_one_keeper() {
    let mut world = World::new();
    world.admit_keepers(&[1]);
    let service = SigningKey::from_seed(&[21; 32]);
    let validator = SigningKey::from_seed(&[1; 32]);
    let validator_key = validator.public_key();
    let named =
        |name: &str, key: &SigningKey| Keeper { name: name.into(), key: key.public_key(), ..keeper(2) };
    for (keeper, key) in [
        (named("second", &keeper_key(1)), keeper_key(1)),
        (named("service", &service), service),
        (named("node", &validator), validator),
    ] {
        let change = world.set_keeper(keeper, &key);
        assert_eq!(world.decide(&[change]).1, ["CHANGE_IMPOSSIBLE"]);
    }
    // Nor does a node take a keeper's key.
    let (key, chain_id) = (keeper_key(1), world.chain_id());
    let member = Member {
        key: key.public_key(),
        name: "node".into(),
        peer: "10.0.0.9:7000".parse().unwrap(),
        rpc: "node:7001".into(),
    };
    let proof = key.sign(&member.message(&chain_id));
    let old = validator_key;
    let rotation = key.sign(&rotation_message(&chain_id, &old, &key.public_key()));
    let changes =
        [Change::Admit { member, proof }, Change::Rotate { old, new: key.public_key(), proof: rotation }];
    assert_eq!(world.decide(&changes).1, ["CHANGE_IMPOSSIBLE"; 2]);
    // As a submitter alone it neither changes nor goes.
    let key = keeper_key(1).public_key();
    let changes = [Change::SetSubmitter(Submitter::new(key, Role::Service)), Change::RemoveSubmitter { key }];
    assert_eq!(world.decide(&changes).1, ["CHANGE_IMPOSSIBLE"; 2]);
    let Change::SetKeeper { keeper, proof, .. } = world.set_keeper(keeper(2), &keeper_key(2)) else {
        panic!()
    };
    let silent = Change::SetKeeper { keeper: keeper.clone(), block_entries_max: 0, proof };
    assert_eq!(world.decide(&[silent]).1, ["CHANGE_IMPOSSIBLE"]);
    let weak = Change::SetKeeper { keeper: Keeper { key: [0; 32], ..keeper }, block_entries_max: 1, proof };
    assert_eq!(world.decide(&[weak]).1, ["PUBLIC_KEY_INVALID"]);
    // Two who take the same key at the same time: the first one has it.
    let pair = ["left", "right"].map(|name| world.set_keeper(named(name, &keeper_key(2)), &keeper_key(2)));
    assert_eq!(world.decide(&pair).1, ["ACCEPTED"; 2]);
    assert_eq!(ids(&world).len(), 2);
}

#[test]
fn keepers_of_genesis_are_keepers_from_the_first_block_on() {
    let mut world = World::new();
    world.genesis = common::vault::genesis_with_keepers(&world);
    world.ledger = Ledger::genesis(&world.genesis);
    let founders = common::vault::keepers(&[1, 2, 3]);
    assert_eq!(ids(&world), founders.iter().map(Keeper::id).collect::<Vec<_>>());
    for (number, founder) in world.genesis.document().keepers.clone().iter().enumerate() {
        let key = state_key(&founder.id());
        let proof = world.ledger.state().prove(&key);
        let value = proof.verify(&key, &world.genesis.block().header().state_root).unwrap().unwrap();
        let shown = KeeperState { present: true, height: 0, keeper: founder.clone() };
        assert_eq!(KeeperState::decode(value).unwrap(), shown, "{number}");
    }
    let first = submitter(&world, &keeper_key(1)).unwrap();
    assert_eq!((first.role, first.highest), (Role::Keeper, 0));
    assert_eq!(world.submit_as(&keeper_key(1), &[Entry::Note(vec![1])])[0].name(), "ACCEPTED");
    // They change and go as those do that came by entry.
    let new = SigningKey::from_seed(&[0xf1; 32]);
    let changed = Keeper { key: new.public_key(), ..keeper(1) };
    let change = world.set_keeper(changed, &new);
    assert_eq!(world.decide(&[change, Change::RemoveKeeper { id: id_of(2) }]).1, ["ACCEPTED"; 2]);
    assert_eq!(submitter(&world, &keeper_key(1)).unwrap().block_entries_max, 0);
    assert_eq!(ids(&world).len(), 2);
}

#[test]
fn a_genesis_submitter_of_the_role_keeper_becomes_one() {
    let mut world = World::new();
    let key = SigningKey::from_seed(&[24; 32]);
    world.submit_as(&key, &[Entry::Note(vec![1])]);
    let change = world.set_keeper(Keeper { key: key.public_key(), ..keeper(7) }, &key);
    assert_eq!(world.decide(&[change]).1, ["ACCEPTED"]);
    assert_eq!(submitter(&world, &key).unwrap().highest, 1);
}
