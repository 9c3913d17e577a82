//! An honest answer is believed; one that is about something else, repeats, or leads nowhere is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use std::collections::HashMap;

use keyward_ledger_core::{
    batch::Batch,
    block::Regime,
    certificate::{Certificate, Signer, finalize_message},
    ed25519::SigningKey,
    entry::{Entry, kind},
    execute::{BlockLimits, Ledger},
    genesis::{Genesis, GenesisDocument, Role, Submitter},
    hash::Hash,
    log::{Frontier, HashStore, prove_inclusion},
    record::Record,
    trust::Trust,
};
use keyward_ledger_verify::SetTracker;
use keyward_proto::ledger::{Anchor, RecordProof};

use super::*;
use crate::{Config, DEADLINE, Identity};

const BLOCKS: u64 = 4;

#[derive(Default)]
struct Nodes(HashMap<(u32, u64), Hash>);

impl HashStore for Nodes {
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        self.0.get(&(level, index)).copied()
    }
}

/// A short ledger with its certified top, and a client that trusts it.
struct World {
    client: Client,
    records: Vec<Record>,
    nodes: Nodes,
    anchor: Anchor,
}

impl World {
    fn new() -> Self {
        let mut keys: Vec<_> = (1..=4).map(|n| SigningKey::from_seed(&[n; 32])).collect();
        keys.sort_by_key(SigningKey::public_key);
        let submitter = SigningKey::from_seed(&[9; 32]);
        let genesis = Genesis::new(GenesisDocument {
            name: "answers".into(),
            time_ms: 1,
            validators: keys.iter().map(SigningKey::public_key).collect(),
            submitters: vec![Submitter::new(submitter.public_key(), Role::Service)],
            epoch_length: 64,
            regime: Regime::Fast,
            clock_bound_ms: 1000,
        })
        .unwrap();
        let mut ledger = Ledger::genesis(&genesis);
        let (mut records, mut nodes, mut log) = (Vec::new(), Nodes::default(), Frontier::default());
        let mut anchor = Anchor::default();
        for height in 1..=BLOCKS {
            let entries = vec![
                Entry::Note(vec![height as u8; 3]).encode(),
                Entry::OpenAccount { account: [height as u8; 32] }.encode(),
            ];
            let batch = Batch { chain_id: *genesis.chain_id(), sequence: height, not_after: 99, entries };
            let batches = [batch.sign(&submitter).unwrap()];
            let key = &keys[height as usize % 4];
            let proposal = ledger.propose(10 * height, &batches, &BlockLimits::default(), key).unwrap();
            for leaf in &proposal.executed.leaf_hashes {
                log.append_with(*leaf, |level, index, hash| {
                    nodes.0.insert((level, index), hash);
                });
            }
            records.extend(proposal.executed.records());
            let digest = *proposal.block.digest();
            let message = finalize_message(genesis.chain_id(), 0, height, height - 1, &digest);
            let signers = (0..3).map(|n| Signer { index: n as u32, signature: keys[n].sign(&message) });
            let certificate = Certificate {
                epoch: 0,
                view: height,
                parent_view: height - 1,
                block_digest: digest,
                signers: signers.collect(),
            };
            anchor = Anchor {
                header: Bytes::copy_from_slice(&proposal.block.signed_header.encode()),
                certificate: certificate.encode().into(),
                links: Vec::new(),
            };
            ledger = proposal.executed.ledger;
        }
        let trust = Trust::genesis(genesis.name().to_owned(), *genesis.chain_id());
        let tracker = SetTracker::new(trust.clone(), &genesis.proof()).unwrap();
        let identity =
            Identity { ca_pem: String::new(), certificate_pem: String::new(), key_pem: String::new().into() };
        let config = Config { nodes: Vec::new(), identity, trust, deadline: DEADLINE, dial: None };
        Self { client: Client::of(config, Vec::new(), genesis, tracker), records, nodes, anchor }
    }

    fn proof(&self, leaf_index: u64) -> RecordProof {
        let path = prove_inclusion(&self.nodes, leaf_index, self.records.len() as u64).unwrap();
        RecordProof {
            leaf_index,
            leaf: self.records[leaf_index as usize].encode().into(),
            path: path.iter().map(|hash| Bytes::copy_from_slice(hash)).collect(),
        }
    }

    /// What an honest validator answers to who looks for accounts from leaf 2 on.
    fn honest(&self) -> FindResponse {
        FindResponse {
            anchor: Some(self.anchor.clone()),
            records: [3, 5, 7].map(|leaf| self.proof(leaf)).into(),
            next_leaf: 8,
            more: false,
            complete_to: BLOCKS,
        }
    }

    fn believed(&self, answer: FindResponse) -> Result<Found, ProofError> {
        let question = Question { kind: Some(kind::OPEN_ACCOUNT), to_ms: Some(99), ..Question::default() };
        self.client.proven_found(&question, 2, 3, answer)
    }
}

#[test]
fn an_honest_answer_is_believed() {
    let world = World::new();
    let found = world.believed(world.honest()).unwrap();
    let records: Vec<_> = found.records.iter().map(|recorded| recorded.record().clone()).collect();
    assert_eq!(records, [3, 5, 7].map(|leaf| world.records[leaf].clone()));
    assert_eq!((found.next_leaf, found.more, found.complete_to), (8, false, BLOCKS));
    let nothing = FindResponse { records: Vec::new(), next_leaf: 2, complete_to: 0, ..world.honest() };
    assert!(world.believed(nothing).unwrap().records.is_empty(), "who leaves out cannot be convicted");
}

#[test]
fn an_answer_that_invents_repeats_reorders_or_leads_nowhere_is_not_believed() {
    type Lie = (&'static str, fn(&World, &mut FindResponse));
    let lies: [Lie; 13] = [
        ("a record of another kind", |world, answer| answer.records[0] = world.proof(2)),
        ("one below where the question begins", |world, answer| answer.records[0] = world.proof(1)),
        ("the same twice", |world, answer| answer.records[1] = world.proof(3)),
        ("another order", |_, answer| answer.records.swap(0, 1)),
        ("a record without its place", |_, answer| answer.records[0].leaf_index = 5),
        ("a record that is none", |world, answer| {
            let mut record = world.records[3].clone();
            record.entry = Entry::OpenAccount { account: [77; 32] }.encode();
            answer.records[0].leaf = record.encode().into();
        }),
        ("more records than were asked for", |world, answer| answer.records.insert(0, world.proof(2))),
        ("a record above what was looked at", |_, answer| answer.complete_to = 2),
        ("more than is certified", |_, answer| answer.complete_to = BLOCKS + 1),
        ("a place behind the log's end", |_, answer| answer.next_leaf = 9),
        ("a place before what was found", |_, answer| answer.next_leaf = 7),
        ("more, at the same place again", |_, answer| {
            (answer.records, answer.next_leaf, answer.more) = (Vec::new(), 2, true);
        }),
        ("no certificate", |_, answer| answer.anchor = None),
    ];
    let world = World::new();
    for (what, lie) in lies {
        let mut answer = world.honest();
        lie(&world, &mut answer);
        assert!(world.believed(answer).is_err(), "{what}");
    }
    let late = Question { from_ms: Some(11), ..Question::default() };
    let answer = FindResponse { records: vec![world.proof(0)], ..world.honest() };
    assert!(world.client.proven_found(&late, 0, 3, answer).is_err(), "a record of another time");
}
