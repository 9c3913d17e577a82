//! A ledger in memory: the real contracts, one record in each block, and receipts that really verify.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use keyward_ledger_core::block::{Header, Regime, SignedHeader};
use keyward_ledger_core::certificate::{Certificate, Signer, finalize_message};
use keyward_ledger_core::contracts::{Context, StateView, dispatch};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::genesis::{Genesis, GenesisDocument, Role};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::log::{Frontier, HashStore, leaf_hash, prove_inclusion};
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_core::receipt::{Certified, Receipt, StateReceipt};
use keyward_ledger_core::record::Record;
use keyward_ledger_core::state::Tree;
use keyward_ledger_core::state::layout::End;
use keyward_ledger_core::trust::Trust;

const SERVICE: Hash = [0x55; 32];

#[derive(Clone, Default)]
struct Nodes(HashMap<(u32, u64), Hash>);

impl HashStore for Nodes {
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        self.0.get(&(level, index)).copied()
    }
}

/// The ledger as it stands; a clone is the ledger as it stood.
#[derive(Clone)]
pub(crate) struct Chain {
    genesis: Genesis,
    validators: Arc<Vec<SigningKey>>,
    pub(crate) state: Tree,
    records: Vec<Record>,
    frontier: Frontier,
    nodes: Nodes,
    /// That of the newest block.
    pub(crate) height: u64,
    /// The time of the newest block.
    pub(crate) time_ms: u64,
}

struct View<'a> {
    base: &'a Tree,
    writes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl StateView for View<'_> {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let written = self.writes.iter().rev().find(|(name, _)| name == key);
        written.map(|(_, value)| value.as_slice()).or_else(|| self.base.get(key))
    }
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.push((key, value));
    }
    fn put_until(&mut self, key: Vec<u8>, value: Vec<u8>, _: End) {
        self.writes.push((key, value));
    }
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

impl Chain {
    /// A ledger whose validators come from `seed`.
    pub(crate) fn new(seed: u8) -> Self {
        let mut validators: Vec<_> = (1..=4).map(|n| SigningKey::from_seed(&[seed + n; 32])).collect();
        validators.sort_by_key(SigningKey::public_key);
        let genesis = Genesis::new(GenesisDocument {
            name: "vaults".into(),
            time_ms: 1,
            validators: validators.iter().map(SigningKey::public_key).collect(),
            submitters: Vec::new(),
            keepers: Vec::new(),
            epoch_length: 1 << 20,
            regime: Regime::Fast,
            clock_bound_ms: 1000,
        })
        .unwrap();
        Self {
            genesis,
            validators: Arc::new(validators),
            state: Tree::default(),
            records: Vec::new(),
            frontier: Frontier::default(),
            nodes: Nodes::default(),
            height: 1,
            time_ms: now_ms(),
        }
    }

    pub(crate) fn chain_id(&self) -> Hash {
        *self.genesis.chain_id()
    }

    pub(crate) fn trust_file(&self) -> Vec<u8> {
        Trust::genesis(self.genesis.name().to_owned(), self.chain_id()).encode().into_bytes()
    }

    /// Executes an entry as the next block's only one. What is refused is a record as well.
    pub(crate) fn record(&mut self, entry: &[u8]) -> (u64, Outcome) {
        self.record_as(&SERVICE, Role::Service, entry)
    }

    pub(crate) fn record_as(&mut self, submitter: &Hash, role: Role, entry: &[u8]) -> (u64, Outcome) {
        self.height += 1;
        let (leaf_index, chain_id) = (self.records.len() as u64, self.chain_id());
        let context = Context { chain_id: &chain_id, height: self.height, time_ms: self.time_ms, leaf_index };
        let mut view = View { base: &self.state, writes: Vec::new() };
        let outcome = dispatch(&mut view, submitter, role, entry, &context).unwrap();
        if outcome.is_accepted() {
            let writes = view.writes;
            for (key, value) in writes {
                self.state.insert(&key, &value);
            }
        }
        self.append(submitter, entry, outcome.clone());
        (leaf_index, outcome)
    }

    /// Records an entry with an answer of a newer ledger's.
    #[allow(dead_code, reason = "not every test binary needs it")]
    pub(crate) fn record_answered(&mut self, entry: &[u8], outcome: Outcome) -> u64 {
        self.height += 1;
        self.append(&SERVICE, entry, outcome);
        self.records.len() as u64 - 1
    }

    fn append(&mut self, submitter: &Hash, entry: &[u8], outcome: Outcome) {
        let leaf_index = self.records.len() as u64;
        let record = Record {
            height: self.height,
            time_ms: self.time_ms,
            submitter: *submitter,
            sequence: leaf_index,
            index: 0,
            entry: entry.to_vec(),
            outcome,
        };
        let nodes = &mut self.nodes.0;
        self.frontier.append_with(leaf_hash(&record.encode()), |level, index, hash| {
            nodes.insert((level, index), hash);
        });
        self.records.push(record);
    }

    pub(crate) fn entry(&self, leaf_index: u64) -> Option<(&[u8], &Outcome)> {
        let record = self.records.get(leaf_index as usize)?;
        Some((&record.entry, &record.outcome))
    }

    pub(crate) fn receipt(&self, leaf_index: u64) -> Vec<u8> {
        let proof = prove_inclusion(&self.nodes, leaf_index, self.records.len() as u64).unwrap();
        let record = self.records[leaf_index as usize].encode();
        Receipt { record, leaf_index, proof, certified: self.certified(), released: None }.encode()
    }

    /// What stands under a key, or that nothing does.
    pub(crate) fn proof(&self, key: &[u8]) -> Vec<u8> {
        StateReceipt { key: key.to_vec(), proof: self.state.prove(key), certified: self.certified() }.encode()
    }

    fn certified(&self) -> Certified {
        let set_hash = *self.genesis.set().hash();
        let proposer = &self.validators[0];
        let header = Header {
            chain_id: self.chain_id(),
            height: self.height,
            epoch: 0,
            parent: [1; 32],
            time_ms: self.time_ms,
            proposer: proposer.public_key(),
            regime: Regime::Fast,
            body_hash: [2; 32],
            log_size: self.records.len() as u64,
            log_root: self.frontier.root(),
            state_root: self.state.root(),
            set_hash,
            next_set_hash: set_hash,
        };
        let signed_header = SignedHeader::sign(header, proposer);
        let digest = signed_header.digest();
        let (height, parent) = (self.height, self.height - 1);
        let message = finalize_message(&self.chain_id(), 0, height, parent, &digest);
        let signers = (0..3)
            .map(|n| Signer { index: n as u32, signature: self.validators[n].sign(&message) })
            .collect();
        let certificate =
            Certificate { epoch: 0, view: height, parent_view: parent, block_digest: digest, signers };
        Certified { signed_header, certificate, genesis: self.genesis.proof(), links: Vec::new() }
    }
}
