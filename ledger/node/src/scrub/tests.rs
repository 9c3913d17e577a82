//! A byte flipped in every region of a node's blocks, index and snapshots: found by one scrub, put right.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod cold;

use super::*;

mod differing;

use crate::{
    application::BlockFormat, executor::Executor, index::Index, lookup::Lookup, machine::Machine,
    peers::Peers, repair::Others, shared::View, snapshot::Snapshot,
};
use bytes::Bytes;
use keyward_ledger_core::{
    batch::{Batch, SignedBatch},
    block::Regime,
    certificate::finalize_message,
    ed25519::SigningKey,
    entry::Entry,
    execute::{BlockLimits, BlockOutcomes, Ledger},
    genesis::{Genesis, GenesisDocument, Role, Submitter},
    log::Frontier,
};
use keyward_ledger_engine::{self as engine, Block, BoxFuture, Id, Segments, SegmentsConfig, Store as _};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::OnceLock,
};
use tempfile::TempDir;

const HEIGHT: u64 = 14;
const EPOCH: u64 = 4;
/// The others answer at once.
const PATIENT: Duration = Duration::from_millis(20);
/// Blocks without a certificate of their own.
const UNCERTIFIED: [u64; 3] = [4, 5, 9];
/// Small, so that there are many.
const SEGMENTS: SegmentsConfig = SegmentsConfig { segment_bytes_max: 6000, record_bytes_max: 64 << 20 };

const LOOK_UP: lookup::Layout = lookup::Layout { fresh_max: 60, blocks_max: 3, merged: 2, free_min: 0 };

/// A chain with its certificates: what the other nodes hold.
struct Chain {
    genesis: Genesis,
    blocks: BTreeMap<u64, Block>,
    certificates: BTreeMap<u64, engine::Certificate>,
}

fn validators() -> Vec<SigningKey> {
    let mut keys: Vec<_> = (1..=4).map(|n| SigningKey::from_seed(&[n; 32])).collect();
    keys.sort_by_key(SigningKey::public_key);
    keys
}

fn batch(genesis: &Genesis, submitter: u8, sequence: u64, entries: &[Entry]) -> SignedBatch {
    let entries = entries.iter().map(Entry::encode).collect();
    let batch = Batch { chain_id: *genesis.chain_id(), sequence, not_after: 1000, entries };
    batch.sign(&SigningKey::from_seed(&[100 + submitter; 32])).unwrap()
}

impl Chain {
    fn new() -> Self {
        let keys = validators();
        let mut submitters: Vec<_> = (0..2)
            .map(|n| Submitter::new(SigningKey::from_seed(&[100 + n; 32]).public_key(), Role::Service))
            .collect();
        submitters.sort_by_key(|submitter| submitter.key);
        let genesis = Genesis::new(GenesisDocument {
            name: "flips".into(),
            time_ms: 1,
            validators: keys.iter().map(SigningKey::public_key).collect(),
            submitters,
            keepers: Vec::new(),
            epoch_length: EPOCH,
            regime: Regime::Fast,
            clock_bound_ms: 1000,
        })
        .unwrap();
        let mut ledger = Ledger::genesis(&genesis);
        let (mut blocks, mut certificates) = (BTreeMap::new(), BTreeMap::new());
        for height in 1..=HEIGHT {
            let open = Entry::OpenAccount { account: [height as u8 / 2; 32] };
            let note = Entry::Note(vec![height as u8; 40 * height as usize]);
            // An account that is opened twice makes an outcome that is not plain; one sequence is left out.
            let mut batches = vec![batch(&genesis, 0, 3 * height, &[note.clone(), open, note.clone()])];
            if height % 3 == 0 {
                batches.push(batch(&genesis, 1, height / 3, &[note.clone(), note]));
            }
            if height % 5 == 0 {
                batches.clear();
            }
            let key = &keys[height as usize % 4];
            let proposal = ledger.propose(height * 10, &batches, &BlockLimits::default(), key).unwrap();
            assert!(proposal.refused.is_empty());
            let block = Block::parse(&BlockFormat, Bytes::from(proposal.block.encode())).unwrap();
            let epoch = height / EPOCH;
            let message = finalize_message(genesis.chain_id(), epoch, height, height - 1, &block.digest);
            // Three of the four, not always the same.
            let signers = (0..4).filter(|n| *n != height as usize % 4);
            let certificate = engine::Certificate {
                epoch,
                view: height,
                parent_view: height - 1,
                digest: block.digest,
                set_size: 4,
                signers: signers.map(|n| (n as u32, keys[n].sign(&message))).collect(),
            };
            if !UNCERTIFIED.contains(&height) {
                certificates.insert(height, certificate);
            }
            blocks.insert(height, block);
            ledger = proposal.executed.ledger;
        }
        Self { genesis, blocks, certificates }
    }
}

/// The other nodes: they hold the whole chain.
struct Double {
    chain: Arc<Chain>,
    shared: OnceLock<std::sync::Weak<Shared>>,
    /// Whether they answer.
    there: bool,
}

impl Others for Double {
    fn fetch(&self, digest: [u8; 32]) -> BoxFuture<'_, Option<Block>> {
        let found = self.chain.blocks.values().find(|block| block.digest == digest).cloned();
        Box::pin(async move { found.filter(|_| self.there) })
    }

    fn tell(&self, message: Bytes) {
        if message[0] != 0xc2 || !self.there {
            return;
        }
        let shared = self.shared.get().unwrap().upgrade().unwrap();
        for height in message[1..].as_chunks::<8>().0.iter().map(|height| u64::from_be_bytes(*height)) {
            let Some(certificate) = self.chain.certificates.get(&height) else { continue };
            let bytes = crate::executor::convert(certificate.clone()).encode();
            let answer = [[0xc3].as_slice(), &height.to_be_bytes(), &bytes].concat();
            assert!(Peers::default().take(&shared, &[9; 32], &answer.into()));
        }
    }

    fn tell_one(&self, _: &[u8; 32], message: Bytes) {
        self.tell(message);
    }
}

/// A node's folder in use, without engine and network.
struct Node {
    shared: Arc<Shared>,
    scrubber: Scrubber,
    _others: Arc<dyn Others>,
    _stop: watch::Sender<bool>,
    found_on_open: usize,
    /// Up to which height the look-up's files were whole.
    noted_on_open: u64,
}

impl Node {
    fn open(dir: &Path, chain: &Arc<Chain>, runtime: &Handle, there: bool) -> Self {
        Self::open_with(dir, chain, runtime, there, (SEGMENTS, None))
    }

    fn open_with(
        dir: &Path,
        chain: &Arc<Chain>,
        runtime: &Handle,
        there: bool,
        (segments, shelf): (SegmentsConfig, Option<Arc<dyn engine::Shelf>>),
    ) -> Self {
        let (store, recovery) = Segments::open_with(&dir.join("blocks"), segments, shelf).unwrap();
        let index = Index::open(&dir.join("index")).unwrap();
        let snapshots = dir.join("snapshots");
        let whole = |found: &Snapshot| index.resume(found.ledger.height(), found.ledger.log().size());
        let start = snapshot::newest(&snapshots, whole).unwrap().unwrap_or_else(|| {
            index.write(0, &Frontier::default(), &[], &BlockOutcomes::default().encode()).unwrap();
            let signed_header = chain.genesis.block().signed_header;
            Snapshot { signed_header, ledger: Ledger::genesis(&chain.genesis) }
        });
        let view = View { ledger: start.ledger.clone(), anchor: None };
        let key = SigningKey::from_seed(&[1; 32]);
        let machine = Machine::real();
        let store = Arc::new(store);
        let genesis = Genesis::decode(&chain.genesis.encode()).unwrap();
        let lookup = Lookup::open(&dir.join("look-up"), genesis.chain_id(), LOOK_UP).unwrap();
        let noted_on_open = lookup.covered();
        let derived = (index, lookup);
        let shared =
            Arc::new(Shared::new(genesis, key.public_key(), Vec::new(), store, derived, &machine, view));
        let executor = Executor::recover(shared.clone(), key, machine, snapshots.clone(), start).unwrap();
        drop(executor);
        assert!(lookup::catch_up(&shared, || false) || !there);
        let double = Double { chain: chain.clone(), shared: OnceLock::new(), there };
        double.shared.set(Arc::downgrade(&shared)).unwrap();
        let others: Arc<dyn Others> = Arc::new(double);
        shared.others.send_replace(Arc::downgrade(&others));
        let (stop, stopping) = watch::channel(false);
        let pace = ScrubPace { pause: Duration::ZERO, bytes_per_s: u64::MAX };
        let folders = Folders { engine: dir.join("engine"), snapshots, keys: None };
        let scrubber = Scrubber {
            shared: shared.clone(),
            folders,
            pace,
            patience: PATIENT,
            runtime: runtime.clone(),
            stopping,
        };
        Self {
            shared,
            scrubber,
            _others: others,
            _stop: stop,
            found_on_open: recovery.damaged.len(),
            noted_on_open,
        }
    }

    fn scrub(&self) -> ScrubStatus {
        self.scrubber.once();
        self.shared.scrub.status()
    }
}

/// A folder with everything in it, written by the code that writes it in a node.
fn pristine(chain: &Arc<Chain>, runtime: &Handle) -> TempDir {
    pristine_with(chain, runtime, SEGMENTS)
}

fn pristine_with(chain: &Arc<Chain>, runtime: &Handle, segments: SegmentsConfig) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Segments::open(&dir.path().join("blocks"), segments).unwrap();
    for (height, block) in &chain.blocks {
        store.put_block(block).unwrap();
        if let Some(certificate) = chain.certificates.get(height) {
            store.put_certificate(*height, certificate).unwrap();
        }
    }
    store.sync().unwrap();
    drop(store);
    let node = Node::open(dir.path(), chain, runtime, true);
    assert_eq!(node.shared.view().ledger.height(), HEIGHT);
    let mut ledger = Ledger::genesis(&chain.genesis);
    for block in chain.blocks.values().take(6) {
        let block = keyward_ledger_core::block::Block::decode(&block.bytes).unwrap();
        ledger = ledger.replay(&block).unwrap().ledger;
        if [4, 6].contains(&ledger.height()) {
            let snapshot = Snapshot { signed_header: block.signed_header, ledger: ledger.clone() };
            snapshot::write(&dir.path().join("snapshots"), &snapshot, EPOCH).unwrap();
        }
    }
    let status = node.scrub();
    assert_eq!((status.runs, status.found, status.unrepaired, status.height), (1, 0, 0, HEIGHT), "whole");
    assert_eq!(node.shared.alarms.counts(), (0, 0));
    dir
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { fs::copy(&path, &to).map(|_bytes| ()).unwrap() }
    }
}

/// Every file with bytes in it, relative to the folder.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(base: &Path, dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(base, &path, found);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.insert(path.strip_prefix(base).unwrap().to_owned(), bytes);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, dir, &mut found);
    found.retain(|_, bytes| !bytes.is_empty());
    found
}

/// Every field of the records of a segment, by its first byte; then more places by the seed.
fn regions(path: &Path, bytes: &[u8], random: &mut Random) -> Vec<usize> {
    let mut places = Vec::new();
    if path.starts_with("blocks") {
        places = regions_of_segment(bytes);
    } else if path.starts_with("look-up") {
        // Fields and check of the head; of each reference class, name and height; the check of the page.
        places.extend((0..56).step_by(8));
        places.extend((56..bytes.len()).step_by(24).flat_map(|at| [at, at + 1, at + 15]));
        places.retain(|at| *at < bytes.len());
    } else {
        // Fields of the index and of snapshots are 8 or 32 bytes long.
        places.extend((0..bytes.len()).step_by(8));
    }
    places.extend((0..20).map(|_| random.below(bytes.len())));
    if std::env::var_os("KEYWARD_SOAK").is_some() {
        places = (0..bytes.len()).collect();
    }
    places
}

fn regions_of_segment(bytes: &[u8]) -> Vec<usize> {
    let (mut places, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let length = u32::from_be_bytes(bytes[at + 45..at + 49].try_into().unwrap()) as usize;
        // Magic, kind, height, digest, length, body check, header check, body's ends.
        places.extend([0, 4, 5, 13, 45, 49, 65].map(|field| at + field));
        places.extend([at + 73, at + 73 + length / 2, at + 73 + length - 1]);
        at += 73 + length;
    }
    assert_eq!(at, bytes.len(), "records fill the file");
    places
}

struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = std::env::var("KEYWARD_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
        println!("KEYWARD_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Everything that is replicated stands here as it was.
fn holds_everything(node: &Node, chain: &Chain, what: &str) {
    for (height, block) in &chain.blocks {
        let stored = node.shared.store.block(Id::Height(*height)).unwrap();
        assert_eq!(stored.as_ref(), Some(&block.bytes), "{what}: block {height}");
    }
    for (height, certificate) in &chain.certificates {
        let stored = node.shared.store.certificate(Id::Height(*height)).unwrap();
        assert_eq!(stored.as_ref(), Some(certificate), "{what}: certificate {height}");
    }
}

fn is_derived(path: &Path) -> bool {
    path.starts_with("index") || path.starts_with("look-up")
}

fn flip(path: &Path, at: usize, mask: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= mask;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_byte_flipped_anywhere_under_a_running_node_is_found_by_one_scrub_and_put_right() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (chain, mut random) = (Arc::new(Chain::new()), Random::new());
    let whole = pristine(&chain, runtime.handle());
    let before = files(whole.path());
    let mut flips = HashMap::<&str, usize>::new();
    for (path, bytes) in before.iter().filter(|(path, _)| !path.ends_with("lock")) {
        for at in regions(path, bytes, &mut random) {
            let dir = tempfile::tempdir().unwrap();
            copy(whole.path(), dir.path());
            let node = Node::open(dir.path(), &chain, runtime.handle(), true);
            let mask = 1 << random.below(8);
            flip(&dir.path().join(path), at, mask);
            let what = format!("{} byte {at} mask {mask:#x}", path.display());
            let status = node.scrub();
            assert!(status.found > 0, "{what}: found");
            assert_eq!(
                (status.runs, status.unrepaired),
                (1, 0),
                "{what}: {:?}",
                node.shared.alarms.newest(9)
            );
            let (raised, open) = node.shared.alarms.counts();
            assert!(raised > 0 && open == 0, "{what}: alarmed and repaired");
            holds_everything(&node, &chain, &what);
            let again = node.scrub();
            assert_eq!((again.runs, again.found), (2, 0), "{what}: {:?}", node.shared.alarms.newest(9));
            let after = files(dir.path());
            for (path, bytes) in before.iter().filter(|(path, _)| is_derived(path)) {
                assert_eq!(after.get(path), Some(bytes), "{what}: `{}` is rebuilt", path.display());
            }
            if path.starts_with("snapshots") {
                assert!(!after.contains_key(path), "{what}: set aside");
                assert!(node.shared.snapshot_wanted.load(std::sync::atomic::Ordering::Relaxed));
            }
            *flips.entry(path.iter().next().unwrap().to_str().unwrap()).or_default() += 1;
        }
    }
    println!("flipped, found and put right: {flips:?}");
    assert_eq!(flips.len(), 4, "blocks, index, look-up, snapshots: {flips:?}");
}

#[test]
fn a_byte_flipped_while_a_node_was_stopped_is_found_at_its_start_or_by_one_scrub_and_put_right() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (chain, mut random) = (Arc::new(Chain::new()), Random::new());
    let whole = pristine(&chain, runtime.handle());
    let before = files(whole.path());
    let noted = Node::open(whole.path(), &chain, runtime.handle(), true).noted_on_open;
    assert!(noted > HEIGHT / 2);
    let mut flips = 0;
    for (path, bytes) in before.iter().filter(|(path, _)| !path.ends_with("lock")) {
        for _ in 0..12 {
            let at = random.below(bytes.len());
            let dir = tempfile::tempdir().unwrap();
            copy(whole.path(), dir.path());
            flip(&dir.path().join(path), at, 0x10);
            let what = format!("{} byte {at}", path.display());
            let node = Node::open(dir.path(), &chain, runtime.handle(), true);
            // Derived files above the snapshot are written again at the start; a start may end early at a
            // missing block, and the engine brings the rest.
            let top = node.shared.view().ledger.height();
            let status = node.scrub();
            let aside = files(dir.path()).keys().any(|path| path.extension().is_some_and(|e| e == "damaged"));
            let rewritten = path.starts_with("index");
            let cut_off = node.shared.store.last(Kind::Block) < Some(HEIGHT)
                || node.shared.store.last(Kind::Certificate) < Some(HEIGHT);
            let noted_again = node.noted_on_open < noted;
            let noticed = status.found > 0
                || noted_again
                || node.found_on_open > 0
                || aside
                || rewritten
                || cut_off
                || top < HEIGHT;
            assert!(noticed, "{what}: noticed");
            assert_eq!(status.unrepaired, 0, "{what}");
            let again = node.scrub();
            assert_eq!((again.found, again.unrepaired), (0, 0), "{what}: {:?}", node.shared.alarms.newest(9));
            for height in 1..=top {
                let stored = node.shared.store.block(Id::Height(height)).unwrap();
                assert_eq!(stored.as_ref(), Some(&chain.blocks[&height].bytes), "{what}: block {height}");
            }
            flips += 1;
        }
    }
    println!("{flips} flips at rest");
}

#[test]
fn what_nobody_can_bring_back_stays_an_open_alarm_until_somebody_can() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let chain = Arc::new(Chain::new());
    let whole = pristine(&chain, runtime.handle());
    let node = Node::open(whole.path(), &chain, runtime.handle(), false);
    flip(&whole.path().join("blocks/0000000000.segment"), 100, 1);
    let status = node.scrub();
    assert!(status.found > 0 && status.unrepaired > 0 && status.runs == 0, "{status:?}");
    assert!(node.shared.alarms.counts().1 > 0, "open");
    let double = Double { chain: chain.clone(), shared: OnceLock::new(), there: true };
    double.shared.set(Arc::downgrade(&node.shared)).unwrap();
    let others: Arc<dyn Others> = Arc::new(double);
    node.shared.others.send_replace(Arc::downgrade(&others));
    assert_eq!(node.scrub().unrepaired, 0);
    assert_eq!(node.shared.alarms.counts().1, 0, "{:?}", node.shared.alarms.newest(9));
    holds_everything(&node, &chain, "later");
}

#[test]
fn blocks_that_are_missing_below_a_final_one_come_back_one_by_one_in_their_order() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let chain = Arc::new(Chain::new());
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Segments::open(&dir.path().join("blocks"), SEGMENTS).unwrap();
    let top = &chain.blocks[&HEIGHT];
    store.put_block(top).unwrap();
    drop(store);
    let node = Node::open(dir.path(), &chain, runtime.handle(), true);
    assert_eq!(node.shared.view().ledger.height(), 0);
    let mut digests = runtime.block_on(crate::repair::digests_below(&node.shared, 1, top));
    for height in 1..HEIGHT {
        let digest = digests.pop().unwrap();
        assert_eq!(digest, chain.blocks[&height].digest);
        // What was brought back lies in the store meanwhile, and is fetched again where it does not.
        assert_eq!(
            node.shared.store.block(Id::Height(height)).unwrap().as_ref(),
            Some(&chain.blocks[&height].bytes)
        );
        if height % 3 == 0 {
            node.shared.store.void(Kind::Block, height).unwrap();
        }
        let block = runtime.block_on(crate::repair::block_with(&node.shared, height, digest));
        assert_eq!(block.bytes, chain.blocks[&height].bytes);
    }
    assert!(digests.is_empty());
    let none = runtime.block_on(crate::repair::digests_below(&node.shared, HEIGHT, top));
    assert!(none.is_empty());
}

#[test]
fn a_block_put_in_anothers_place_with_checks_that_fit_is_found_by_the_chain() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let chain = Arc::new(Chain::new());
    let dir = tempfile::tempdir().unwrap();
    // Somebody who writes the file writes good checks too: block 7 is another one, its certificate forged.
    let (store, _) = Segments::open(&dir.path().join("blocks"), SEGMENTS).unwrap();
    let whole = pristine(&chain, runtime.handle());
    let forged = {
        let mut ledger = Ledger::genesis(&chain.genesis);
        for block in chain.blocks.values().take(6) {
            let block = keyward_ledger_core::block::Block::decode(&block.bytes).unwrap();
            ledger = ledger.replay(&block).unwrap().ledger;
        }
        let proposal = ledger.propose(9000, &[], &BlockLimits::default(), &validators()[0]).unwrap();
        Block::parse(&BlockFormat, Bytes::from(proposal.block.encode())).unwrap()
    };
    for (height, block) in &chain.blocks {
        store.put_block(if *height == 7 { &forged } else { block }).unwrap();
        if let Some(certificate) = chain.certificates.get(height) {
            let mut certificate = certificate.clone();
            if *height == 7 {
                certificate.digest = forged.digest;
            }
            store.put_certificate(*height, &certificate).unwrap();
        }
    }
    drop(store);
    copy(&whole.path().join("index"), &dir.path().join("index"));
    // The node executed the chain before its files were exchanged.
    let node = Node::open(whole.path(), &chain, runtime.handle(), true);
    let view = node.shared.view();
    let (exchanged, _) = Segments::open(&dir.path().join("blocks"), SEGMENTS).unwrap();
    let index = Index::open(&dir.path().join("index")).unwrap();
    let lookup = Lookup::open(&dir.path().join("look-up"), chain.genesis.chain_id(), LOOK_UP).unwrap();
    let view = View { ledger: view.ledger.clone(), anchor: None };
    let genesis = Genesis::decode(&chain.genesis.encode()).unwrap();
    let shared = Arc::new(Shared::new(
        genesis,
        [0; 32],
        Vec::new(),
        Arc::new(exchanged),
        (index, lookup),
        &Machine::real(),
        view,
    ));
    let double = Double { chain: chain.clone(), shared: OnceLock::new(), there: true };
    double.shared.set(Arc::downgrade(&shared)).unwrap();
    let others: Arc<dyn Others> = Arc::new(double);
    shared.others.send_replace(Arc::downgrade(&others));
    let (_stop, stopping) = watch::channel(false);
    let snapshots = dir.path().join("snapshots");
    let folders = Folders { engine: dir.path().join("engine"), snapshots, keys: None };
    let pace = ScrubPace { pause: Duration::ZERO, bytes_per_s: u64::MAX };
    let scrubber = Scrubber {
        shared: shared.clone(),
        folders,
        pace,
        patience: PATIENT,
        runtime: runtime.handle().clone(),
        stopping,
    };
    scrubber.once();
    let codes: Vec<_> = shared.alarms.newest(9).iter().map(|alarm| (alarm.code, alarm.height)).collect();
    assert!(codes.contains(&(Code::BlockLost, Some(7))), "{codes:?}");
    assert!(codes.contains(&(Code::CertificateLost, Some(7))), "{codes:?}");
    assert_eq!(shared.scrub.status().unrepaired, 0);
    assert_eq!(shared.store.block(Id::Height(7)).unwrap().unwrap(), chain.blocks[&7].bytes);
    assert_eq!(shared.store.certificate(Id::Height(7)).unwrap().unwrap(), chain.certificates[&7]);
}

#[test]
fn a_look_up_whose_checks_fit_but_that_says_something_else_than_the_blocks_is_found_and_made_again() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let chain = Arc::new(Chain::new());
    let whole = pristine(&chain, runtime.handle());
    let before = files(whole.path());
    // Somebody who writes the files writes good checks too, but leaves everything out.
    let dir = whole.path().join("look-up");
    fs::remove_dir_all(&dir).unwrap();
    let liar = Lookup::open(&dir, chain.genesis.chain_id(), LOOK_UP).unwrap();
    (1..=HEIGHT).for_each(|height| liar.note_for_test(height));
    let node = Node::open(whole.path(), &chain, runtime.handle(), true);
    assert!(node.noted_on_open > HEIGHT / 2, "believed so far");
    let status = node.scrub();
    assert!(status.found > 0 && status.unrepaired == 0, "{status:?}");
    let alarms = node.shared.alarms.newest(9);
    assert!(alarms.iter().any(|alarm| alarm.code == Code::LookUpDamaged && alarm.repaired), "{alarms:?}");
    assert_eq!(node.scrub().found, 0);
    let after = files(whole.path());
    for (path, bytes) in before.iter().filter(|(path, _)| path.starts_with("look-up")) {
        assert_eq!(after.get(path), Some(bytes), "`{}` is made again", path.display());
    }
}
