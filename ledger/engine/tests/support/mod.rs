//! A toy chain: a block carries the state its body leads to, so that verifying one needs its ancestors.
#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use bytes::Bytes;
use keyward_ledger_engine::{
    Ancestors, Application, Block, BlockHeader, BoxFuture, Certificate, EpochPlan, Event, Format, Kind,
    LeaderTerm, ProposeContext, Reader,
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

pub const NAMESPACE: &[u8] = b"toy/consensus/v1";
/// `height u64 || parent[32] || state[32] || body`.
const HEADER: usize = 8 + 32 + 32;

pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

pub fn make(height: u64, parent: [u8; 32], state: [u8; 32], body: &[u8]) -> Bytes {
    Bytes::from([height.to_be_bytes().as_slice(), &parent, &state, body].concat())
}

pub fn genesis() -> Bytes {
    make(0, [0; 32], [0; 32], b"genesis")
}

fn state_of(bytes: &[u8]) -> [u8; 32] {
    bytes[40..72].try_into().unwrap()
}

fn execute(state: [u8; 32], bytes: &[u8]) -> [u8; 32] {
    sha256(&[&state, &bytes[HEADER..]])
}

pub struct ToyFormat;

impl Format for ToyFormat {
    fn parse(&self, bytes: &[u8]) -> Option<BlockHeader> {
        if bytes.len() < HEADER {
            return None;
        }
        Some(BlockHeader {
            height: u64::from_be_bytes(bytes[..8].try_into().ok()?),
            parent: bytes[8..40].try_into().ok()?,
            digest: sha256(&[bytes]),
        })
    }

    fn block_bytes_max(&self) -> usize {
        64 * 1024
    }
}

pub fn parse(bytes: Bytes) -> Block {
    Block::parse(&ToyFormat, bytes).unwrap()
}

#[derive(Default)]
struct State {
    /// Executed states by block digest.
    states: HashMap<[u8; 32], [u8; 32]>,
    finalized: BTreeMap<u64, [u8; 32]>,
    certificates: BTreeMap<u64, Certificate>,
    events: Vec<Event>,
    /// Blocks executed because the parent of one to verify was not known.
    caught_up: u64,
}

pub struct Toy {
    validators: Vec<[u8; 32]>,
    term: LeaderTerm,
    label: u8,
    state: Mutex<State>,
    counter: AtomicU64,
}

impl Toy {
    /// A toy whose memory is the blocks above genesis, in order.
    pub fn new(
        validators: Vec<[u8; 32]>,
        term: LeaderTerm,
        label: u8,
        blocks: impl IntoIterator<Item = Bytes>,
    ) -> Self {
        let genesis = parse(genesis());
        let mut state = State::default();
        state.states.insert(genesis.digest, [0; 32]);
        for bytes in blocks {
            let block = parse(bytes);
            state.states.insert(block.digest, state_of(&block.bytes));
            state.finalized.insert(block.height, block.digest);
        }
        Self { validators, term, label, state: Mutex::new(state), counter: AtomicU64::new(0) }
    }

    pub fn height(&self) -> u64 {
        self.state.lock().unwrap().finalized.last_key_value().map_or(0, |(height, _)| *height)
    }

    pub fn finalized(&self) -> BTreeMap<u64, [u8; 32]> {
        self.state.lock().unwrap().finalized.clone()
    }

    pub fn certificates(&self) -> BTreeMap<u64, Certificate> {
        self.state.lock().unwrap().certificates.clone()
    }

    pub fn events(&self) -> Vec<Event> {
        self.state.lock().unwrap().events.clone()
    }

    /// The state after `block`, executing what lies between it and the newest known state.
    async fn state_after(&self, block: Block, ancestors: &mut Ancestors) -> Option<[u8; 32]> {
        let mut unknown = vec![block];
        let mut state = loop {
            let known = self.state.lock().unwrap().states.get(&unknown.last()?.digest).copied();
            if let Some(state) = known {
                unknown.pop();
                break state;
            }
            unknown.push(ancestors.next().await?);
        };
        for block in unknown.into_iter().rev() {
            state = execute(state, &block.bytes);
            let mut memory = self.state.lock().unwrap();
            memory.caught_up += 1;
            memory.states.insert(block.digest, state);
        }
        Some(state)
    }
}

impl Application for Toy {
    fn propose(
        &self,
        context: ProposeContext,
        parent: Block,
        mut ancestors: Ancestors,
    ) -> BoxFuture<'_, Option<Bytes>> {
        Box::pin(async move {
            let (height, digest) = (parent.height + 1, parent.digest);
            let state = self.state_after(parent, &mut ancestors).await?;
            let count = self.counter.fetch_add(1, Ordering::Relaxed);
            let body = [[self.label].as_slice(), &context.view.to_be_bytes(), &count.to_be_bytes()].concat();
            let next = sha256(&[&state, &body]);
            Some(make(height, digest, next, &body))
        })
    }

    fn verify(
        &self,
        _: ProposeContext,
        parent: Block,
        block: Block,
        mut ancestors: Ancestors,
    ) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            assert_eq!((parent.height + 1, parent.digest), (block.height, block.parent));
            let Some(state) = self.state_after(parent, &mut ancestors).await else { return false };
            let next = execute(state, &block.bytes);
            self.state.lock().unwrap().states.insert(block.digest, next);
            next == state_of(&block.bytes)
        })
    }

    fn finalized(&self, block: Block) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut memory = self.state.lock().unwrap();
            let last = memory.finalized.last_key_value().map_or(0, |(height, _)| *height);
            assert!(block.height <= last + 1, "blocks come in order: {} after {last}", block.height);
            if let Some(known) = memory.finalized.insert(block.height, block.digest) {
                assert_eq!(known, block.digest, "no fork at height {}", block.height);
            }
            memory.states.insert(block.digest, state_of(&block.bytes));
        })
    }

    fn certificate(&self, height: u64, certificate: Certificate) {
        self.state.lock().unwrap().certificates.insert(height, certificate);
    }

    fn plan(&self, _: u64) -> EpochPlan {
        EpochPlan::new(self.validators.clone(), self.term)
    }

    fn event(&self, event: Event) {
        self.state.lock().unwrap().events.push(event);
    }
}

/// Verifies a certificate with nothing of the engine: rebuilds the signed bytes from the format's words.
pub fn verify_certificate(certificate: &Certificate, validators: &[[u8; 32]]) -> bool {
    let mut sorted = validators.to_vec();
    sorted.sort_unstable();
    let namespace = [NAMESPACE, b"_FINALIZE"].concat();
    let mut message = varint(namespace.len() as u64);
    message.extend_from_slice(&namespace);
    for number in [certificate.epoch, certificate.view, certificate.parent_view] {
        message.extend(varint(number));
    }
    message.extend_from_slice(&certificate.digest);
    let n = sorted.len();
    let quorum = n - (n - 1) / 3;
    certificate.set_size as usize == n
        && certificate.signers.len() >= quorum
        && certificate.signers.windows(2).all(|pair| pair[0].0 < pair[1].0)
        && certificate.signers.iter().all(|(index, signature)| {
            let key = ed25519_dalek::VerifyingKey::from_bytes(&sorted[*index as usize]).unwrap();
            key.verify_strict(&message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
        })
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// The blocks of a store above genesis up to the first gap.
pub fn stored(reader: &Reader) -> Vec<Bytes> {
    let last = reader.range_at_or_after(Kind::Block, 0).map_or(0, |run| run.1);
    (1..=last).map(|height| reader.block(height).unwrap().unwrap()).collect()
}
