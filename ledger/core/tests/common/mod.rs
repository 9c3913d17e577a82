//! A small ledger with four validators, made from fixed seeds, for the tests of this crate and the verifier.
#![allow(dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod acts;
pub mod addresses;
pub mod association;
pub mod delegation;
pub mod golden;
pub mod mutate;
pub mod shared;
pub mod signer;
pub mod vault;

use std::collections::HashMap;

use keyward_ledger_core::batch::{Batch, SignedBatch};
use keyward_ledger_core::block::{Block, Header, Regime, SignedHeader};
use keyward_ledger_core::certificate::{Certificate, Signer, ValidatorSet, finalize_message};
use keyward_ledger_core::contracts::registry::{possession_challenge, rotation_challenge};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{BindKey, Entry, Intent, KeyConsent, Mode, RotateKey};
use keyward_ledger_core::execute::{BlockLimits, Executed, Ledger};
use keyward_ledger_core::genesis::{Genesis, GenesisDocument, Role, Submitter};
use keyward_ledger_core::hash::{Hash, commitment, sha256};
use keyward_ledger_core::log::{HashStore, prove_inclusion};
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_core::receipt::{Certified, Receipt, Released, StateReceipt};
use keyward_ledger_core::record::Record;
use keyward_ledger_core::scheme::{KeyId, PublicKey};
use keyward_ledger_core::trust::Trust;

pub use signer::Keys;

pub const ACCOUNT: Hash = [0xac; 32];
pub const EPOCH_LENGTH: u64 = 8;

/// Keys from consecutive seeds, ascending by public key.
pub fn validators(first_seed: u8, count: u8) -> Vec<SigningKey> {
    let mut keys: Vec<_> =
        (first_seed..first_seed + count).map(|seed| SigningKey::from_seed(&[seed; 32])).collect();
    keys.sort_by_key(SigningKey::public_key);
    keys
}

/// The key that the service submits with.
pub fn service() -> SigningKey {
    SigningKey::from_seed(&[21; 32])
}

pub fn set_of(keys: &[SigningKey]) -> ValidatorSet {
    ValidatorSet::new(&keys.iter().map(SigningKey::public_key).collect::<Vec<_>>()).unwrap()
}

#[derive(Default)]
pub struct Nodes(HashMap<(u32, u64), Hash>);

impl HashStore for Nodes {
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        self.0.get(&(level, index)).copied()
    }
}

pub struct World {
    pub validators: Vec<SigningKey>,
    pub service: SigningKey,
    pub other_service: SigningKey,
    pub operator: SigningKey,
    pub keeper: SigningKey,
    pub genesis: Genesis,
    pub ledger: Ledger,
    pub nodes: Nodes,
    pub blocks: Vec<(Block, Executed)>,
    pub records: Vec<Record>,
    pub sequences: HashMap<[u8; 32], u64>,
    /// How far the next block's time lies ahead of its parent's.
    pub step_ms: u64,
    pub nonces: u64,
}

impl World {
    pub fn new() -> Self {
        let validators = validators(1, 4);
        let [service, other_service, operator, keeper] =
            [21, 22, 23, 24].map(|seed| SigningKey::from_seed(&[seed; 32]));
        let mut submitters = vec![
            Submitter::new(service.public_key(), Role::Service),
            Submitter::new(other_service.public_key(), Role::Service),
            Submitter { block_entries_max: 8, ..Submitter::new(operator.public_key(), Role::Operator) },
            Submitter::new(keeper.public_key(), Role::Keeper),
        ];
        submitters.sort_by_key(|submitter| submitter.key);
        let genesis = Genesis::new(GenesisDocument {
            name: "test-ledger".into(),
            time_ms: 1_700_000_000_000,
            validators: validators.iter().map(SigningKey::public_key).collect(),
            submitters,
            keepers: Vec::new(),
            epoch_length: EPOCH_LENGTH,
            regime: Regime::Strict,
            clock_bound_ms: 5_000,
        })
        .unwrap();
        let ledger = Ledger::genesis(&genesis);
        let (nodes, blocks, records) = (Nodes::default(), Vec::new(), Vec::new());
        Self {
            validators,
            service,
            other_service,
            operator,
            keeper,
            genesis,
            ledger,
            nodes,
            blocks,
            records,
            sequences: HashMap::new(),
            step_ms: 100,
            nonces: 0,
        }
    }

    pub fn chain_id(&self) -> Hash {
        *self.genesis.chain_id()
    }

    pub fn trust(&self) -> Trust {
        Trust::genesis(self.genesis.name().to_owned(), self.chain_id())
    }

    pub fn batch(&mut self, key: &SigningKey, entries: &[Entry]) -> SignedBatch {
        let chain_id = self.chain_id();
        let sequence = self.sequences.entry(key.public_key()).or_default();
        *sequence += 1;
        signed(chain_id, key, *sequence, 1_000_000, entries)
    }

    /// Makes, checks and keeps the next block; gives what it made.
    pub fn block(&mut self, batches: &[SignedBatch]) -> &Executed {
        let members: Vec<_> = self
            .validators
            .iter()
            .filter(|key| self.ledger.set().member(&key.public_key()).is_some())
            .collect();
        let proposer = members[self.blocks.len() % members.len()];
        let now_ms = self.ledger.time_ms() + self.step_ms;
        let proposal = self.ledger.propose(now_ms, batches, &BlockLimits::default(), proposer).unwrap();
        assert_eq!(proposal.refused, []);
        let block = Block::decode(&proposal.block.encode()).unwrap();
        let executed = self.ledger.validate(&block, &block.verify_batches(|_| false).unwrap()).unwrap();
        let mut log = self.ledger.log().clone();
        for leaf in &executed.leaf_hashes {
            log.append_with(*leaf, |level, index, hash| {
                self.nodes.0.insert((level, index), hash);
            });
        }
        self.records.extend(executed.records());
        self.ledger = executed.ledger.clone();
        self.blocks.push((block, executed));
        &self.blocks.last().unwrap().1
    }

    /// Makes a block with one batch of the service; gives the outcomes.
    pub fn submit(&mut self, entries: &[Entry]) -> Vec<Outcome> {
        self.submit_as(&service(), entries)
    }

    pub fn submit_as(&mut self, key: &SigningKey, entries: &[Entry]) -> Vec<Outcome> {
        let batch = self.batch(key, entries);
        self.block(&[batch]).batches[0].outcomes.clone()
    }

    /// Has an entry submitted by itself, and writes down its bytes, its answer and the state behind it.
    pub fn frozen(
        &mut self,
        golden: &mut golden::Golden,
        name: &str,
        entry: Entry,
        by: &SigningKey,
    ) -> Outcome {
        golden.hex(&format!("{name}: entry"), entry.encode());
        let outcome = self.submit_as(by, &[entry]).remove(0);
        golden.text(&format!("{name}: answer"), outcome.name());
        golden.hex(&format!("{name}: state root"), self.ledger.state().root());
        outcome
    }

    pub fn names(&mut self, entries: &[Entry]) -> Vec<&'static str> {
        self.submit(entries).iter().map(Outcome::name).collect()
    }

    /// The certified form of the block at a height.
    pub fn certified(&self, height: u64) -> Certified {
        let signed_header = self.blocks[height as usize - 1].0.signed_header.clone();
        let certificate = certify(&self.validators, &signed_header, 3);
        Certified { signed_header, certificate, genesis: self.genesis.proof(), links: Vec::new() }
    }

    pub fn receipt(&self, leaf_index: u64, height: u64, released: Option<Released>) -> Receipt {
        let certified = self.certified(height);
        let size = certified.signed_header.header.log_size;
        Receipt {
            record: self.records[leaf_index as usize].encode(),
            leaf_index,
            proof: prove_inclusion(&self.nodes, leaf_index, size).unwrap(),
            certified,
            released,
        }
    }

    pub fn state_receipt(&self, key: &[u8]) -> StateReceipt {
        let proof = self.ledger.state().prove(key);
        StateReceipt { key: key.to_vec(), proof, certified: self.certified(self.ledger.height()) }
    }

    pub fn bind(&self, keys: &dyn Keys, nonce: Hash) -> BindKey {
        self.bind_as(Mode::Hosted, keys, nonce)
    }

    pub fn bind_as(&self, mode: Mode, keys: &dyn Keys, nonce: Hash) -> BindKey {
        let not_after = self.ledger.height() + 100;
        let key = keys.public_key();
        let challenge = possession_challenge(&self.chain_id(), &ACCOUNT, mode, &key, &nonce, not_after);
        BindKey {
            account: ACCOUNT,
            mode,
            scheme: key.scheme(),
            public_key: key.as_bytes().to_vec(),
            nonce,
            not_after,
            proof: keys.sign(&challenge),
        }
    }

    /// The next version of `previous`.
    pub fn rotate(&self, keys: &dyn Keys, nonce: Hash, previous: KeyId) -> RotateKey {
        let bind = self.bind(keys, nonce);
        let proof = keys.sign(&self.rotation(&bind, previous));
        RotateKey { previous, bind: BindKey { proof, ..bind }, consent: None }
    }

    /// The next version of a key of mode `self`, and of that mode.
    pub fn rotate_own(&self, keys: &dyn Keys, nonce: Hash, previous: &dyn Keys) -> RotateKey {
        let (bind, public_key) = (self.bind_as(Mode::Own, keys, nonce), previous.public_key());
        let message = self.rotation(&bind, public_key.id());
        let consent =
            KeyConsent { public_key: public_key.as_bytes().to_vec(), signature: previous.sign(&message) };
        let bind = BindKey { proof: keys.sign(&message), ..bind };
        RotateKey { previous: public_key.id(), bind, consent: Some(consent) }
    }

    /// What both keys of a rotation sign.
    pub fn rotation(&self, bind: &BindKey, previous: KeyId) -> Vec<u8> {
        let key = PublicKey::parse(bind.scheme, &bind.public_key).unwrap();
        let BindKey { account, mode, nonce, not_after, .. } = bind;
        rotation_challenge(&self.chain_id(), account, *mode, &key, nonce, *not_after, &previous)
    }

    pub fn intent(&self, id: Hash, key_id: KeyId, message: &[u8]) -> Intent {
        Intent {
            id,
            key_id,
            executor: self.service.public_key(),
            commitment: commitment(&[0x55; 32], &sha256(&[message])),
            policy: [0x66; 32],
            not_after: self.ledger.height() + 50,
        }
    }

    pub fn released(keys: &dyn Keys, message: &[u8]) -> Released {
        Released {
            public_key: keys.public_key(),
            r: [0x55; 32],
            payload_hash: sha256(&[message]),
            signature: keys.sign(message),
        }
    }
}

pub fn signed(
    chain_id: Hash,
    key: &SigningKey,
    sequence: u64,
    not_after: u64,
    entries: &[Entry],
) -> SignedBatch {
    let entries = entries.iter().map(Entry::encode).collect();
    Batch { chain_id, sequence, not_after, entries }.sign(key).unwrap()
}

/// A certificate by the first `signers` validators.
pub fn certify(validators: &[SigningKey], signed_header: &SignedHeader, signers: usize) -> Certificate {
    let header = &signed_header.header;
    let (view, parent_view) = (header.height + 300, header.height + 299);
    let block_digest = signed_header.digest();
    let message = finalize_message(&header.chain_id, header.epoch, view, parent_view, &block_digest);
    let sign = |(index, key): (u32, &SigningKey)| Signer { index, signature: key.sign(&message) };
    let signers = (0..).zip(validators).take(signers).map(sign).collect();
    Certificate { epoch: header.epoch, view, parent_view, block_digest, signers }
}

/// Signs a handmade header by the first validator and certifies it by a quorum.
pub fn certified_by(validators: &[SigningKey], header: Header) -> (SignedHeader, Certificate) {
    let proposer = validators[0].public_key();
    let signed_header = SignedHeader::sign(Header { proposer, ..header }, &validators[0]);
    let quorum = set_of(validators).quorum();
    let certificate = certify(validators, &signed_header, quorum);
    (signed_header, certificate)
}
