//! Trees against models, encodings there and back, execution twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::common;
use std::collections::{BTreeMap, HashMap};

use keyward_ledger_core::block::Block;
use keyward_ledger_core::entry::Entry;
use keyward_ledger_core::execute::{BlockOutcomes, Ledger, LedgerHead, SnapshotError};
use keyward_ledger_core::hash::{Hash, ZERO};
use keyward_ledger_core::log::{
    Frontier, HashStore, ProofError, empty_root, node_hash, prove_inclusion, verify_inclusion,
};
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_core::state::{self, StateProof, StateProofError, Tree};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Default)]
struct Nodes(HashMap<(u32, u64), Hash>);

impl HashStore for Nodes {
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        self.0.get(&(level, index)).copied()
    }
}

/// RFC 9162, section 2.1.1, as written.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            node_hash(&naive_root(&leaves[..split]), &naive_root(&leaves[split..]))
        }
    }
}

#[test]
fn frontier_and_proofs_agree_with_the_naive_tree() {
    let (mut nodes, mut log, mut leaves) = (Nodes::default(), Frontier::default(), Vec::new());
    for size in 0..70_u64 {
        let root = naive_root(&leaves);
        assert_eq!((log.size(), log.root()), (size, root));
        assert_eq!(Frontier::decode(&log.encode()).unwrap(), log);
        for index in 0..size {
            let proof = prove_inclusion(&nodes, index, size).unwrap();
            let leaf = &leaves[index as usize];
            verify_inclusion(leaf, index, size, &proof, &root).unwrap();
            for other in (0..size).filter(|other| *other != index) {
                assert!(verify_inclusion(leaf, other, size, &proof, &root).is_err());
            }
            if let Some((_, shorter)) = proof.split_last() {
                assert!(verify_inclusion(leaf, index, size, shorter, &root).is_err());
            }
            let longer = [proof.as_slice(), &[ZERO]].concat();
            assert!(matches!(
                verify_inclusion(leaf, index, size, &longer, &root),
                Err(ProofError::Length { .. })
            ));
        }
        assert_eq!(prove_inclusion(&nodes, size, size), Err(ProofError::OutOfRange { index: size, size }));
        let leaf = [size as u8; 32];
        leaves.push(leaf);
        log.append_with(leaf, |level, index, hash| {
            nodes.0.insert((level, index), hash);
        });
    }
    assert!(matches!(prove_inclusion(&Nodes::default(), 0, 3), Err(ProofError::Missing { .. })));
}

#[derive(Clone, Debug)]
enum Change {
    Put(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let key = vec(0..4_u8, 0..4);
    prop_oneof![
        3 => (key.clone(), vec(any::<u8>(), 0..4)).prop_map(|(key, value)| Change::Put(key, value)),
        1 => key.prop_map(Change::Remove),
    ]
}

fn naive_state_root(mut leaves: Vec<(Hash, Hash)>, depth: usize) -> Hash {
    if leaves.len() < 2 {
        return leaves.pop().map_or(ZERO, |(path, value_hash)| state::leaf_hash(&path, &value_hash));
    }
    let bit = |path: &Hash| path[depth / 8] >> (7 - depth % 8) & 1 == 1;
    let (right, left) = leaves.into_iter().partition(|(path, _)| bit(path));
    state::node_hash(&naive_state_root(left, depth + 1), &naive_state_root(right, depth + 1))
}

proptest! {
    #[test]
    fn state_agrees_with_a_map(changes in vec(change(), 0..120), probes in vec(vec(0..4_u8, 0..4), 0..20)) {
        let (mut tree, mut map) = (Tree::default(), BTreeMap::new());
        let before = tree.clone();
        for change in changes {
            match change {
                Change::Put(key, value) => {
                    tree.insert(&key, &value);
                    map.insert(key, value);
                }
                Change::Remove(key) => prop_assert_eq!(tree.remove(&key), map.remove(&key).is_some()),
            }
        }
        prop_assert!(before.is_empty() && before.root() == ZERO, "a clone sees later changes");
        prop_assert_eq!(tree.len(), map.len());
        let listed: BTreeMap<_, _> = tree.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        prop_assert_eq!(&listed, &map);
        let leaves = map.iter().map(|(key, value)| (state::path_of(key), state::value_hash(value))).collect();
        let root = naive_state_root(leaves, 0);
        prop_assert_eq!(tree.root(), root);
        prop_assert_eq!(Tree::build(&map).unwrap().root(), root);
        for key in map.keys().chain(&probes) {
            prop_assert_eq!(tree.get(key), map.get(key).map(Vec::as_slice));
            let proof = tree.prove(key);
            prop_assert_eq!(&StateProof::decode(&proof.encode()).unwrap(), &proof);
            prop_assert_eq!(proof.verify(key, &root).unwrap(), map.get(key).map(Vec::as_slice));
            prop_assert_eq!(proof.verify(key, &[1; 32]), Err(StateProofError::Root));
            let other = [key.as_slice(), b"other"].concat();
            prop_assert!(proof.verify(&other, &root).is_err() || !map.contains_key(&other));
        }
    }

    #[test]
    fn notes_and_outcomes_decode_to_what_was_encoded(note in vec(any::<u8>(), 0..300), code in any::<u16>()) {
        let entry = Entry::Note(note.clone());
        prop_assert_eq!(Entry::decode(&entry.encode()).unwrap(), entry);
        let outcome = Outcome { code, data: note.into_iter().take(256).collect() };
        prop_assert_eq!(Outcome::decode(&outcome.encode()).unwrap(), outcome);
    }
}

#[test]
fn state_refuses_a_key_that_stands_twice() {
    assert!(Tree::build([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]).unwrap_err().to_string().contains("61"));
}

/// Blocks with notes, keys, intents and releases, some refused, over the pruning of the first intents.
fn busy_world() -> common::World {
    let mut world = common::World::new();
    let keys = common::signer::Secp256k1;
    let bind = world.bind(&keys, [1; 32]);
    world.submit(&[Entry::OpenAccount { account: common::ACCOUNT }, Entry::BindKey(bind)]);
    for round in 0..60_u8 {
        let intent = world.intent([round; 32], common::Keys::public_key(&keys).id(), &[round]);
        let release = keyward_ledger_core::entry::Release { intent_id: [round; 32], signature_hash: [2; 32] };
        let entries = [
            Entry::Note(vec![round; 100]),
            Entry::Intent(intent),
            Entry::Release(release.clone()),
            Entry::Release(release),
        ];
        let outcomes = world.names(&entries);
        assert_eq!(outcomes, ["ACCEPTED", "ACCEPTED", "ACCEPTED", "ALREADY_RELEASED"]);
    }
    world
}

#[test]
fn execution_is_deterministic_and_agrees_with_the_model() {
    let (first, second) = (busy_world(), busy_world());
    assert_eq!(first.ledger.tip(), second.ledger.tip());
    let mut replayed = Ledger::genesis(&first.genesis);
    for (block, executed) in &first.blocks {
        let again = replayed.replay(block).unwrap();
        assert_eq!(again.leaf_hashes, executed.leaf_hashes);
        let outcomes = BlockOutcomes::decode(&again.outcomes().encode()).unwrap();
        assert_eq!(outcomes, executed.outcomes());
        for (index, record) in (0..).zip(executed.records()) {
            assert_eq!(outcomes.record(block, index).as_ref(), Some(&record));
        }
        assert_eq!(outcomes.record(block, outcomes.count()), None);
        replayed = again.ledger;
    }
    assert_eq!((replayed.tip(), replayed.state()), (first.ledger.tip(), first.ledger.state()));
    // Pruned deterministically: of 60 intents, those of the last 50 blocks live.
    let live = first.ledger.state().iter().filter(|(key, _)| key.starts_with(b"intent/")).count();
    assert_eq!(live, 50);
    let fresh = Tree::build(first.ledger.state().iter()).unwrap();
    assert_eq!(fresh.root(), first.ledger.state().root());
}

#[test]
fn restored_ledger_goes_on_as_the_original() {
    let mut world = busy_world();
    let (block, _) = world.blocks.last().unwrap();
    let head = LedgerHead { signed_header: block.signed_header.clone(), log: world.ledger.log().clone() };
    let entries: Vec<_> = world.ledger.state().iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
    let restored = Ledger::restore(&LedgerHead::decode(&head.encode()).unwrap(), entries.clone()).unwrap();
    world.submit(&[Entry::Note(b"more".to_vec())]);
    let next: &Block = &world.blocks.last().unwrap().0;
    assert_eq!(restored.replay(next).unwrap().ledger.state(), world.ledger.state());

    let missing = entries.iter().skip(1).cloned();
    assert_eq!(Ledger::restore(&head, missing).unwrap_err(), SnapshotError::StateRoot);
    let twice = entries.iter().chain(entries.first()).cloned();
    assert!(matches!(Ledger::restore(&head, twice), Err(SnapshotError::Duplicate(_))));
    let changed = entries.iter().cloned().map(|(key, value)| (key, [value.as_slice(), b"!"].concat()));
    assert_eq!(Ledger::restore(&head, changed).unwrap_err(), SnapshotError::StateRoot);
    let mut other = head;
    other.log.append([0; 32]);
    assert_eq!(Ledger::restore(&other, entries).unwrap_err(), SnapshotError::LogRoot);
}
