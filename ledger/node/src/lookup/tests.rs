//! Questions held against a plain look at every block; the files lost, cut off, damaged and of others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod merging;

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use bytes::Bytes;
use keyward_ledger_core::{
    batch::{Batch, SignedBatch},
    block::Regime,
    certificate::Certificate,
    ed25519::SigningKey,
    entry::{Entry, Intent, Release},
    execute::{BlockLimits, BlockOutcomes, Ledger},
    genesis::{Genesis, GenesisDocument, Role, Submitter},
    log::Frontier,
    question::Question,
    record::Record,
    scheme::KeyId,
};
use keyward_ledger_engine::{Block, Segments, SegmentsConfig, Store as _};
use tempfile::TempDir;

use super::{FindError, Layout, Lookup, catch_up, find, follow};
use crate::{
    Config, Parts, ScrubPace, ServerTls, StoreConfig,
    alarms::Code,
    application::BlockFormat,
    executor::Executor,
    index::{Index, Place},
    machine::Machine,
    shared::{Anchor, Shared, View},
    snapshot::Snapshot,
};

const HEIGHT: u64 = 40;
const SUBMITTERS: u8 = 3;
/// Small, so that there are runs of several levels, and something in memory.
const SMALL: Layout = Layout { fresh_max: 150, blocks_max: 3, merged: 3, free_min: 0 };

struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = std::env::var("KEYWARD_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
        println!("KEYWARD_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(3) == 0).then(|| make(self))
    }
}

fn submitter(number: u8) -> SigningKey {
    SigningKey::from_seed(&[100 + number; 32])
}

/// A few names, so that they meet again.
fn name(random: &mut Random) -> [u8; 32] {
    [random.below(6) as u8; 32]
}

fn entry(random: &mut Random) -> Entry {
    match random.below(7) {
        0 => Entry::OpenAccount { account: name(random) },
        1 => Entry::CloseAccount { account: name(random) },
        2 => Entry::FreezeKey { key_id: KeyId(name(random)) },
        3 => Entry::Intent(Intent {
            id: name(random),
            key_id: KeyId(name(random)),
            executor: [0; 32],
            commitment: [1; 32],
            policy: [2; 32],
            not_after: 9,
        }),
        4 => Entry::Release(Release { intent_id: name(random), signature_hash: [3; 32] }),
        _ => Entry::Note(vec![random.below(256) as u8; random.below(50) as usize]),
    }
}

/// A chain in a folder, and every record of it by its log index.
struct World {
    dir: TempDir,
    genesis: Genesis,
    records: BTreeMap<u64, Record>,
}

impl World {
    fn new(random: &mut Random) -> Self {
        let mut keys: Vec<_> = (1..=4).map(|n| SigningKey::from_seed(&[n; 32])).collect();
        keys.sort_by_key(SigningKey::public_key);
        let mut submitters: Vec<_> =
            (0..SUBMITTERS).map(|n| Submitter::new(submitter(n).public_key(), Role::Service)).collect();
        submitters.sort_by_key(|submitter| submitter.key);
        let genesis = Genesis::new(GenesisDocument {
            name: "questions".into(),
            time_ms: 1,
            validators: keys.iter().map(SigningKey::public_key).collect(),
            submitters,
            keepers: Vec::new(),
            epoch_length: 64,
            regime: Regime::Fast,
            clock_bound_ms: 1000,
        })
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Segments::open(&dir.path().join("blocks"), SegmentsConfig::default()).unwrap();
        let (mut ledger, mut records) = (Ledger::genesis(&genesis), BTreeMap::new());
        for height in 1..=HEIGHT {
            let batches: Vec<SignedBatch> = (0..random.below(4).min(u64::from(SUBMITTERS)))
                .map(|n| {
                    let entries = (0..=random.below(5)).map(|_| entry(random).encode()).collect();
                    let chain_id = *genesis.chain_id();
                    let batch = Batch { chain_id, sequence: height, not_after: 1000, entries };
                    batch.sign(&submitter(n as u8)).unwrap()
                })
                .collect();
            // Two blocks have the same time.
            let time_ms = height / 2 * 10 + 2;
            let key = &keys[height as usize % 4];
            let proposal = ledger.propose(time_ms, &batches, &BlockLimits::default(), key).unwrap();
            assert!(proposal.refused.is_empty());
            let first = proposal.executed.first_leaf();
            records.extend((first..).zip(proposal.executed.records()));
            let block = Block::parse(&BlockFormat, Bytes::from(proposal.block.encode())).unwrap();
            store.put_block(&block).unwrap();
            ledger = proposal.executed.ledger;
        }
        store.sync().unwrap();
        Self { dir, genesis, records }
    }

    /// The node's parts over this folder; nothing is noted yet but what the look-up's folder holds.
    fn open(&self, look_up: &Path) -> (Arc<Shared>, Anchor) {
        let lookup = Lookup::open(look_up, self.genesis.chain_id(), SMALL).unwrap();
        let derived = tempfile::tempdir().unwrap();
        let index = Index::open(derived.path()).unwrap();
        index.write(0, &Frontier::default(), &[], &BlockOutcomes::default().encode()).unwrap();
        let (store, _) = Segments::open(&self.dir.path().join("blocks"), SegmentsConfig::default()).unwrap();
        let genesis = Genesis::decode(&self.genesis.encode()).unwrap();
        let start =
            Snapshot { signed_header: genesis.block().signed_header, ledger: Ledger::genesis(&genesis) };
        let view = View { ledger: start.ledger.clone(), anchor: None };
        let (store, machine) = (Arc::new(store), Machine::real());
        let key = SigningKey::from_seed(&[1; 32]);
        let shared = Arc::new(Shared::new(
            genesis,
            key.public_key(),
            Vec::new(),
            store,
            (index, lookup),
            &machine,
            view,
        ));
        drop(Executor::recover(shared.clone(), key, machine, derived.path().join("none"), start).unwrap());
        let ledger = shared.view().ledger.clone();
        assert_eq!(ledger.height(), HEIGHT);
        let top = shared.blocks.block(HEIGHT).unwrap().unwrap();
        let header = keyward_ledger_core::block::Block::decode(&top).unwrap().signed_header;
        let certificate = Certificate {
            epoch: 0,
            view: 1,
            parent_view: 0,
            block_digest: header.digest(),
            signers: Vec::new(),
        };
        (shared, Anchor { header, certificate, ledger, links: Vec::new() })
    }

    fn question(&self, random: &mut Random) -> Question {
        let some = |random: &mut Random| {
            let leaf = random.below(self.records.len() as u64);
            &self.records[&leaf]
        };
        Question {
            id: (random.below(8) == 0).then(|| some(random).id()),
            submitter: random.maybe(|random| submitter(random.below(4) as u8).public_key()),
            kind: random.maybe(|random| entry(random).kind()),
            subject: random.maybe(|random| [random.below(7) as u8; 32]),
            from_ms: random.maybe(|random| random.below(230)),
            to_ms: random.maybe(|random| random.below(230)),
        }
    }

    fn naive(&self, question: &Question) -> Vec<(u64, Record)> {
        let fitting = self.records.iter().filter(|(_, record)| question.fits(record));
        fitting.map(|(leaf, record)| (*leaf, record.clone())).collect()
    }

    /// Everything that the look-up answers, page by page.
    fn all(&self, shared: &Shared, anchor: &Anchor, question: &Question, limit: usize) -> Vec<(u64, Record)> {
        let (mut all, mut next) = (Vec::new(), 0);
        loop {
            let page = find(shared, question, next, limit, anchor).unwrap();
            assert_eq!(page.complete_to, HEIGHT);
            assert!(page.found.len() <= limit);
            assert!(page.found.iter().all(|(leaf, _)| (next..page.next_leaf).contains(leaf)), "{page:?}");
            all.extend(page.found);
            if !page.more {
                assert_eq!(page.next_leaf, self.records.len() as u64);
                return all;
            }
            assert!(page.next_leaf > next, "it leads on");
            next = page.next_leaf;
        }
    }

    fn answers_all(&self, shared: &Shared, anchor: &Anchor, random: &mut Random, questions: usize) {
        for _ in 0..questions {
            let question = self.question(random);
            let limit = 1 + random.below(7) as usize;
            let all = self.all(shared, anchor, &question, limit);
            assert_eq!(all, self.naive(&question), "{question:?} in pages of {limit}");
        }
    }
}

/// Of a block with so many records, all accepted.
fn outcomes_of(count: u32) -> Vec<u8> {
    let bytes = [count.to_be_bytes(), [0; 4]].concat();
    assert_eq!(BlockOutcomes::decode(&bytes).unwrap().count(), count);
    bytes
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn put(dir: &Path, files: &BTreeMap<String, Vec<u8>>) {
    fs::create_dir_all(dir).unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(dir.join(name), bytes).unwrap());
}

/// A folder in which everything is noted.
fn noted(world: &World) -> (TempDir, BTreeMap<String, Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    let (shared, _) = world.open(dir.path());
    assert!(catch_up(&shared, || false));
    let files = files(dir.path());
    assert!(files.len() > 2, "several runs: {:?}", files.keys());
    (dir, files)
}

#[test]
fn every_question_pages_to_exactly_what_a_look_at_every_block_finds() {
    let mut random = Random::new();
    for _ in 0..3 {
        let world = World::new(&mut random);
        let dir = tempfile::tempdir().unwrap();
        let (shared, anchor) = world.open(dir.path());
        assert_eq!(find(&shared, &Question::default(), 0, 9, &anchor).unwrap().complete_to, 0);
        assert!(catch_up(&shared, || false));
        world.answers_all(&shared, &anchor, &mut random, 150);
        for record in world.records.values() {
            let question = Question { id: Some(record.id()), ..Question::default() };
            assert_eq!(world.all(&shared, &anchor, &question, 9), world.naive(&question));
        }
    }
}

#[test]
fn an_answer_says_how_far_it_looked_and_the_next_goes_on_there() {
    let mut random = Random::new();
    let world = World::new(&mut random);
    let dir = tempfile::tempdir().unwrap();
    let (shared, anchor) = world.open(dir.path());
    let (mut left, mut all, mut next) = (7_u64, Vec::new(), 0);
    let question = Question::default();
    for step in 0.. {
        // A few blocks more are noted before every page.
        let stop_at = shared.lookup.covered() + left;
        catch_up(&shared, || shared.lookup.covered() >= stop_at);
        left = 1 + random.below(7);
        let page = find(&shared, &question, next, 256, &anchor).unwrap();
        assert!(page.complete_to >= shared.lookup.covered().min(HEIGHT), "step {step}");
        assert!(page.found.iter().all(|(_, record)| record.height <= page.complete_to));
        next = page.next_leaf;
        all.extend(page.found);
        if page.complete_to == HEIGHT && !page.more {
            break;
        }
    }
    assert_eq!(all, world.naive(&question));
}

#[test]
fn a_file_lost_cut_off_or_damaged_while_the_node_was_stopped_is_made_again() {
    let mut random = Random::new();
    let world = World::new(&mut random);
    let (_dir, before) = noted(&world);
    for (name, bytes) in &before {
        for harm in 0..3 {
            let dir = tempfile::tempdir().unwrap();
            put(dir.path(), &before);
            let path = dir.path().join(name);
            match harm {
                0 => fs::remove_file(&path).unwrap(),
                1 => fs::write(&path, &bytes[..random.below(bytes.len() as u64) as usize]).unwrap(),
                _ => {
                    let mut bytes = bytes.clone();
                    bytes[random.below(56) as usize] ^= 1;
                    fs::write(&path, bytes).unwrap();
                }
            }
            // What a kill leaves behind.
            fs::write(dir.path().join("new"), b"half a run").unwrap();
            let (shared, anchor) = world.open(dir.path());
            assert!(shared.lookup.covered() < HEIGHT);
            assert!(catch_up(&shared, || false));
            assert_eq!(files(dir.path()), before, "{name}, harm {harm}");
            world.answers_all(&shared, &anchor, &mut random, 10);
        }
    }
}

#[test]
fn parts_that_a_kill_left_beside_what_they_were_merged_into_are_removed() {
    let mut random = Random::new();
    let world = World::new(&mut random);
    let dir = tempfile::tempdir().unwrap();
    let (shared, _) = world.open(dir.path());
    let mut seen = BTreeMap::new();
    while shared.lookup.covered() < HEIGHT {
        let next = shared.lookup.covered() + 1;
        catch_up(&shared, || shared.lookup.covered() >= next);
        seen.extend(files(dir.path()));
    }
    let whole = files(dir.path());
    assert!(seen.len() > whole.len(), "something was merged");
    drop(shared);
    put(dir.path(), &seen);
    let (shared, anchor) = world.open(dir.path());
    assert!(catch_up(&shared, || false));
    assert_eq!(files(dir.path()), whole);
    world.answers_all(&shared, &anchor, &mut random, 20);
}

#[test]
fn a_page_damaged_under_a_running_node_answers_nothing_and_is_made_again() {
    let mut random = Random::new();
    let world = World::new(&mut random);
    let (_dir, before) = noted(&world);
    for (name, bytes) in &before {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), &before);
        let (shared, anchor) = world.open(dir.path());
        assert!(catch_up(&shared, || false));
        // Every page, so that whatever is asked meets one.
        let mut bytes = bytes.clone();
        bytes.iter_mut().skip(56).for_each(|byte| *byte ^= 4);
        let file = fs::OpenOptions::new().write(true).open(dir.path().join(name)).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
        let record = world.records.values().next_back().unwrap();
        let question = Question { id: Some(record.id()), ..Question::default() };
        let refused = find(&shared, &question, 0, 9, &anchor);
        assert!(matches!(refused, Err(FindError::Run(_))), "{name}: {refused:?}");
        let alarms = shared.alarms.newest(9);
        assert_eq!((alarms[0].code, alarms[0].repaired), (Code::LookUpDamaged, false));
        assert!(shared.lookup.covered() < HEIGHT);
        assert!(catch_up(&shared, || false));
        assert_eq!(shared.alarms.counts().1, 0, "repaired");
        assert_eq!(files(dir.path()), before);
        world.answers_all(&shared, &anchor, &mut random, 10);
    }
}

#[test]
fn the_files_of_another_ledger_are_not_believed() {
    let mut random = Random::new();
    let (world, dir) = (World::new(&mut random), tempfile::tempdir().unwrap());
    let lookup = Lookup::open(dir.path(), &[7; 32], SMALL).unwrap();
    for height in 1..=2 * SMALL.blocks_max {
        lookup.note(height, &[], &|| false).unwrap();
    }
    assert!(!files(dir.path()).is_empty());
    assert_eq!(Lookup::open(dir.path(), &[7; 32], SMALL).unwrap().covered(), 2 * SMALL.blocks_max);
    let (shared, anchor) = world.open(dir.path());
    assert_eq!(shared.lookup.covered(), 0);
    assert!(catch_up(&shared, || false));
    world.answers_all(&shared, &anchor, &mut random, 20);
}

#[test]
fn a_disk_that_takes_no_files_is_alarmed_and_noting_goes_on_when_it_does() {
    let mut random = Random::new();
    let world = World::new(&mut random);
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("look-up");
    let (shared, anchor) = world.open(&dir);
    fs::remove_dir(&dir).unwrap();
    assert!(!catch_up(&shared, || false));
    let reached = shared.lookup.covered();
    assert!(reached < HEIGHT, "memory is bounded: nothing more is noted");
    assert!(!catch_up(&shared, || false));
    assert_eq!(shared.lookup.covered(), reached);
    let alarms = shared.alarms.newest(9);
    assert_eq!((alarms[0].code, alarms[0].count, alarms.len()), (Code::LookUpBehind, 2, 1), "{alarms:?}");
    let page = find(&shared, &Question::default(), 0, 256, &anchor).unwrap();
    assert_eq!(page.complete_to, reached, "what was noted is answered meanwhile");
    fs::create_dir(&dir).unwrap();
    assert!(catch_up(&shared, || false));
    assert_eq!(shared.alarms.counts().1, 0, "repaired");
    world.answers_all(&shared, &anchor, &mut random, 20);
}

#[test]
fn a_count_in_the_index_that_is_not_the_blocks_leaves_nothing_out_without_a_word() {
    let mut random = Random::new();
    let world = World::new(&mut random);
    let dir = tempfile::tempdir().unwrap();
    let (shared, anchor) = world.open(dir.path());
    assert!(catch_up(&shared, || false));
    let records = |height| world.records.values().filter(|record| record.height == height).count() as u64;
    let height = (1..=HEIGHT).find(|height| records(*height) > 1).unwrap();
    let (place, outcomes) = shared.index.entry(height).unwrap().unwrap();
    // The last leaf is where the block says, and one record is missing before it.
    let short = Place { first_leaf: place.first_leaf + 1, count: place.count - 1, ..place };
    let fewer = outcomes_of(u32::try_from(short.count).unwrap());
    for (place, outcomes) in [(short, outcomes.encode()), (short, fewer.clone()), (place, fewer)] {
        let place = Place { outcomes_len: outcomes.len() as u64, ..place };
        shared.index.write_place(height, place, &outcomes).unwrap();
        let from = world.records.iter().find(|(_, record)| record.height == height).unwrap().0;
        let found = find(&shared, &Question::default(), *from, 256, &anchor);
        let found = found.map(|page| page.found.len());
        assert!(matches!(found, Err(FindError::Missing(missing)) if missing == height), "{found:?}");
    }
}

#[test]
fn what_is_taken_out_is_noted_again_though_nothing_new_becomes_final() {
    let mut random = Random::new();
    let world = World::new(&mut random);
    let dir = tempfile::tempdir().unwrap();
    let (shared, _) = world.open(dir.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let handle = runtime.handle().clone();
    let following = {
        let shared = shared.clone();
        std::thread::spawn(move || follow(&shared, &handle, stopping))
    };
    let mut progress = shared.lookup.progress();
    let mut reach = |wanted: u64| {
        let reached = async { progress.wait_for(|covered| *covered == wanted).await.map(|_| ()) };
        let patience = std::time::Duration::from_secs(60);
        runtime.block_on(async { tokio::time::timeout(patience, reached).await }).unwrap().unwrap();
    };
    reach(HEIGHT);
    // By now it has most likely come to wait; the cut must wake it either way.
    shared.lookup.take_out_at(1);
    reach(HEIGHT);
    stop.send_replace(true);
    following.join().unwrap();
}

#[test]
fn a_look_up_whose_folder_cannot_be_opened_is_an_alarm_and_stops_no_start() {
    let mut random = Random::new();
    let world = World::new(&mut random);
    // Something else stands in its place.
    fs::write(world.dir.path().join("look-up"), b"no folder").unwrap();
    let nowhere = "127.0.0.1:0".parse().unwrap();
    let config = Config {
        data_dir: world.dir.path().into(),
        genesis: world.genesis.encode(),
        validator_key: [1; 32].into(),
        checkpoint_key: None,
        peer_listen: nowhere,
        peers: Vec::new(),
        rpc_listen: nowhere,
        tls: ServerTls {
            ca_pem: String::new(),
            certificate_pem: String::new(),
            key_pem: String::new().into(),
        },
        idle_block_interval: crate::IDLE_BLOCK_INTERVAL,
        block_interval_min: crate::BLOCK_INTERVAL_MIN,
        scrub: ScrubPace::default(),
        store: StoreConfig::default(),
        snapshot_blocks: crate::SNAPSHOT_BLOCKS,
        catch_up: crate::CatchUp::default(),
        keys: None,
    };
    let parts = Parts::assemble(&config, Machine::real()).unwrap();
    let alarms = parts.shared.alarms.newest(9);
    assert_eq!((alarms[0].code, alarms.len()), (Code::DiskFailed, 1), "{alarms:?}");
    assert!(alarms[0].text.contains("look-up"), "{alarms:?}");
    assert!(catch_up(&parts.shared, || false));
    assert_eq!(parts.shared.lookup.covered(), HEIGHT, "noted in memory");
    assert_eq!(parts.shared.alarms.counts().1, 1, "the folder is to be mended still");
}
