//! Real engines over real TCP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::cluster_support::Cluster;
use crate::support::{self, verify_certificate};
use keyward_ledger_engine::{EngineConfig, EngineError, Event, LeaderTerm, Role, Store, damaged_files};
use std::{
    fs,
    time::{Duration, Instant},
};

/// What the engine gives tasks that do not end.
const STOP_TIME_OUT: Duration = Duration::from_secs(5);

fn four_nodes_finalize_one_chain(term: LeaderTerm) {
    let started = Instant::now();
    let cluster = Cluster::start(4, 20, term);
    cluster.wait(110);
    println!("{term:?}: height {} after {:?}", cluster.top(), started.elapsed());
    cluster.assert_one_chain();
    let validators = cluster.validators();
    for member in cluster.running() {
        let certificates = member.toy.certificates();
        assert!(certificates.len() > 50, "{} certificates", certificates.len());
        let chain = member.toy.finalized();
        for (height, certificate) in &certificates {
            assert!(verify_certificate(certificate, &validators), "certificate at {height}");
            assert_eq!(certificate.epoch, height / 20);
            assert!(chain.get(height).is_none_or(|digest| *digest == certificate.digest));
        }
        let epochs = member
            .toy
            .events()
            .into_iter()
            .filter(|event| matches!(event, Event::EpochStarted { voting: true, .. }));
        assert!(epochs.count() >= 5);
    }
}

#[test]
fn four_nodes_finalize_one_chain_with_rotating_leaders() {
    four_nodes_finalize_one_chain(LeaderTerm::Rotating);
}

#[test]
fn four_nodes_finalize_one_chain_with_a_stable_leader() {
    four_nodes_finalize_one_chain(LeaderTerm::Stable { views: 64 });
}

#[test]
fn three_of_four_go_on_and_the_fourth_catches_up_over_epochs() {
    let mut cluster = Cluster::start(4, 20, LeaderTerm::Rotating);
    cluster.wait(25);
    cluster.stop(2);
    let stopped = cluster.top();
    let started = Instant::now();
    cluster.wait(stopped + 50);
    println!("50 blocks without one of four in {:?}", started.elapsed());
    cluster.run(2);
    let target = cluster.top() + 10;
    cluster.wait(target);
    cluster.assert_one_chain();
    let validators = cluster.validators();
    let late = cluster.members[2].as_ref().unwrap();
    let chain = late.toy.finalized();
    assert!((1..=target).all(|height| chain.contains_key(&height)), "no height is missing");
    assert!(late.toy.certificates().values().all(|certificate| verify_certificate(certificate, &validators)));
}

#[test]
fn all_four_restart_on_their_folders_and_go_on() {
    let mut cluster = Cluster::start(4, 20, LeaderTerm::Stable { views: 64 });
    for _ in 0..2 {
        cluster.wait(cluster.top() + 15);
        (0..4).for_each(|index| cluster.stop(index));
        (0..4).for_each(|index| cluster.run(index));
    }
    let target = cluster.top() + 30;
    cluster.wait(target);
    cluster.assert_one_chain();
}

#[test]
fn old_votes_are_removed() {
    let cluster = Cluster::start(4, 5, LeaderTerm::Rotating);
    cluster.wait(40);
    // An engine makes and removes them by and by: few at some moment, not at each.
    let votes = |index| {
        let names = fs::read_dir(cluster.engine_folder(index)).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("votes-")).count()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    for index in 0..4 {
        while !(1..=3).contains(&votes(index)) {
            assert!(Instant::now() < deadline, "{} vote partitions", votes(index));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_lost_vote_journal_stops_the_validator_but_not_the_observer() {
    let mut cluster = Cluster::start(4, 1000, LeaderTerm::Rotating);
    cluster.wait(30);
    cluster.stop(1);
    let folder = cluster.engine_folder(1);
    // The votes alone are gone.
    let votes = folder.join("votes-0");
    fs::rename(&votes, folder.join("moved")).unwrap();
    let config = cluster.config(1);
    match cluster.try_run(1, config) {
        Err(EngineError::VoteJournalLost { epoch: 0, journal: None, signed }) => assert!(signed > 0),
        other => panic!("{other:?}"),
    }
    fs::rename(folder.join("moved"), &votes).unwrap();
    // The whole folder is gone.
    fs::rename(&folder, folder.with_extension("away")).unwrap();
    let config = cluster.config(1);
    assert!(matches!(cluster.try_run(1, config), Err(EngineError::VoteJournalReplaced { .. })));
    let config = cluster.config(1);
    let target = cluster.top() + 20;
    cluster.try_run(1, keyward_ledger_engine::EngineConfig { role: Role::Observer, ..config }).unwrap();
    cluster.wait(target);
    cluster.assert_one_chain();
    let observer = cluster.members[1].as_ref().unwrap();
    assert!(observer.toy.events().contains(&Event::EpochStarted { epoch: 0, voting: false }));
}

#[test]
fn a_lost_vote_journal_stops_a_key_whose_store_may_be_older_than_its_votes() {
    let mut cluster = Cluster::start(4, 1000, LeaderTerm::Rotating);
    cluster.wait(10);
    cluster.stop(1);
    fs::remove_dir_all(cluster.engine_folder(1)).unwrap();
    let blocks = cluster.blocks_folder(1);
    let (store, _) =
        keyward_ledger_engine::Segments::open(&blocks, keyward_ledger_engine::SegmentsConfig::default())
            .unwrap();
    // Where this store ends the key is in no set: it may have joined, and voted, later.
    let own = cluster.config(1).key.public();
    let others = cluster.validators().into_iter().filter(|key| *key != own).collect();
    let toy = support::Toy::new(others, LeaderTerm::Rotating, 1, support::stored(&store.reader()));
    let started = keyward_ledger_engine::Engine::start(
        cluster.config(1),
        std::sync::Arc::new(toy),
        std::sync::Arc::new(store),
    );
    assert!(matches!(started, Err(EngineError::VoteJournalReplaced { .. })), "{started:?}");
}

/// Every file below the engine's folder, in partitions.
fn engine_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = |folder: &std::path::Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let partitions = entries(folder).filter(|path| path.is_dir());
    partitions.flat_map(|partition| entries(&partition).collect::<Vec<_>>()).collect()
}

/// Flips bytes of a file, one after the other, in a folder of its own: each time this file is named, and it alone.
fn flips_are_named(folder: &std::path::Path, file: &std::path::Path, store: &dyn Store) -> usize {
    let alone = tempfile::tempdir().unwrap();
    let below = |path: &std::path::Path| alone.path().join(path.strip_prefix(folder).unwrap());
    let (path, mark) = (below(file), folder.join("journal-mark"));
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::copy(&mark, below(&mark)).unwrap();
    let bytes = fs::read(file).unwrap();
    let partition = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    // Values are held against the file of keys of the same name.
    if let Some(cache) = partition.strip_suffix("-value") {
        let keys = folder.join(format!("{cache}-key")).join(path.file_name().unwrap());
        fs::create_dir(below(&keys).parent().unwrap()).unwrap();
        fs::copy(&keys, below(&keys)).unwrap();
    }
    // Header with its padding, every byte that is not zero in steps, the ends of pages.
    let written = (4096..bytes.len()).filter(|at| bytes[*at] != 0).step_by(97);
    let ends = (4096..bytes.len()).filter(|at| at % 4096 >= 4084).filter(|_| !partition.ends_with("-value"));
    let places = (0..12).step_by(2).chain([13, 4095]).chain(written).chain(ends);
    let places: Vec<_> = places.filter(|at| *at < bytes.len()).collect();
    for &at in &places {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, &flipped).unwrap();
        assert_eq!(damaged_files(alone.path(), store).unwrap(), std::slice::from_ref(&path), "byte {at}");
    }
    fs::write(&path, &bytes).unwrap();
    assert_eq!(damaged_files(alone.path(), store).unwrap(), Vec::<std::path::PathBuf>::new());
    places.len()
}

#[test]
fn a_byte_flipped_in_any_of_the_engines_files_is_named_and_one_in_a_vote_stops_the_validator_for_good() {
    let mut cluster = Cluster::start(4, 1000, LeaderTerm::Rotating);
    cluster.wait(80);
    let (folder, store) = (cluster.engine_folder(1), cluster.members[1].as_ref().unwrap().store.clone());
    assert_eq!(damaged_files(&folder, &*store).unwrap(), Vec::<std::path::PathBuf>::new(), "while it runs");
    cluster.stop(1);
    assert_eq!(damaged_files(&folder, &*store).unwrap(), Vec::<std::path::PathBuf>::new(), "at rest");
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    let mut chosen = Vec::new();
    for path in engine_files(&folder) {
        let partition = path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        // Votes of many views look the same; a few of them are enough.
        let seen = kinds.entry(partition).or_default();
        if *seen < 3 && fs::metadata(&path).unwrap().len() > 0 {
            *seen += 1;
            chosen.push(path);
        }
    }
    // A damaged file is looked at again and again before it is named: all of them wait together.
    let flips: usize = std::thread::scope(|scope| {
        let flipping: Vec<_> =
            chosen.iter().map(|path| scope.spawn(|| flips_are_named(&folder, path, &*store))).collect();
        flipping.into_iter().map(|flipping| flipping.join().unwrap()).sum()
    });
    println!("{flips} flips in {kinds:?}");
    assert!(kinds.keys().any(|name| name.starts_with("votes-")) && flips > 200, "{kinds:?}");
    drop(store);

    // The newest vote, where a fallback to an older one would go unnoticed.
    let votes = engine_files(&folder).into_iter().filter(|path| path.to_str().unwrap().contains("votes-"));
    let newest = votes.filter(|path| fs::metadata(path).unwrap().len() > 8000).max().unwrap();
    let whole = fs::read(&newest).unwrap();
    let mut flipped = whole.clone();
    let last = (4096..whole.len() - 12).rev().find(|at| whole[*at] != 0).unwrap();
    flipped[last] ^= 4;
    fs::write(&newest, &flipped).unwrap();
    let config = cluster.config(1);
    match cluster.try_run(1, config) {
        Err(EngineError::VoteJournalReplaced { path }) => assert_eq!(path, folder),
        other => panic!("{other:?}"),
    }
    let config = cluster.config(1);
    let target = cluster.top() + 20;
    cluster.try_run(1, EngineConfig { role: Role::Observer, ..config }).unwrap();
    cluster.wait(target);
    cluster.assert_one_chain();
    cluster.stop(1);
    // Votes that check again, whoever put them back: still no votes.
    fs::create_dir_all(newest.parent().unwrap()).unwrap();
    fs::write(&newest, &whole).unwrap();
    let config = cluster.config(1);
    assert!(matches!(cluster.try_run(1, config), Err(EngineError::VoteJournalReplaced { .. })));
}

#[test]
fn another_key_leaves_the_journal_alone_until_its_first_epoch() {
    let mut cluster = Cluster::start(4, 1000, LeaderTerm::Rotating);
    cluster.wait(10);
    cluster.stop(1);
    let mark = cluster.engine_folder(1).join("journal-mark");
    let before = fs::read(&mark).unwrap();
    let key = keyward_ledger_engine::ConsensusKey::new(zeroize::Zeroizing::new([99; 32]));
    let config = cluster.config(1);
    cluster.try_run(1, keyward_ledger_engine::EngineConfig { key, ..config }).unwrap();
    cluster.stop(1);
    // Started with a wrong key and put right again: the votes are still those of the first one.
    assert_eq!(fs::read(&mark).unwrap(), before);
    cluster.run(1);
    cluster.wait(cluster.top() + 5);
    let events = cluster.members[1].as_ref().unwrap().toy.events();
    assert!(events.contains(&Event::EpochStarted { epoch: 0, voting: true }), "{events:?}");
}

#[test]
fn a_damaged_old_block_is_fetched_from_the_others() {
    let mut cluster = Cluster::start(4, 20, LeaderTerm::Rotating);
    // Far enough that no cache holds the block any more.
    cluster.wait(160);
    cluster.stop(3);
    let path = cluster.blocks_folder(3).join("0000000000.segment");
    let mut bytes = fs::read(&path).unwrap();
    cluster.run(3);
    let member = cluster.members[3].as_ref().unwrap();
    let digest = member.toy.finalized()[&7];
    let good = member.store.reader().block(7).unwrap().unwrap();
    let at = bytes.windows(good.len()).position(|window| window == &good[..]).unwrap();
    bytes[at + 50] ^= 1;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes[at..at + good.len()], at as u64).unwrap();
    assert!(member.store.reader().block(7).is_err(), "damage is noticed");
    assert_eq!(member.store.reader().block(7).unwrap(), None);
    let fetched = futures::executor::block_on(member.engine.fetch(digest)).unwrap();
    assert_eq!(fetched.bytes, good);
    member.store.put_block(&fetched).unwrap();
    assert_eq!(member.store.reader().block(7).unwrap().unwrap(), good);
    let target = cluster.top() + 5;
    cluster.wait(target);
}

#[test]
fn a_busy_port_and_a_strange_genesis_are_typed_errors() {
    let mut cluster = Cluster::new(4, 20, LeaderTerm::Rotating);
    let busy = std::net::TcpListener::bind(cluster.addresses[0]).unwrap();
    let config = cluster.config(0);
    assert!(matches!(cluster.try_run(0, config), Err(EngineError::Listen { .. })));
    drop(busy);
    let config = cluster.config(0);
    let config =
        keyward_ledger_engine::EngineConfig { genesis: bytes::Bytes::from_static(b"no block"), ..config };
    assert!(matches!(cluster.try_run(0, config), Err(EngineError::Genesis)));
    cluster.run(0);
    cluster.stop(0);
    let config = cluster.config(0);
    let genesis = support::make(0, [0; 32], [0; 32], b"another");
    let config = keyward_ledger_engine::EngineConfig { genesis, ..config };
    assert!(matches!(cluster.try_run(0, config), Err(EngineError::OtherChain)));
}

#[test]
fn an_engine_stops_without_waiting_for_its_time_out() {
    let mut cluster = Cluster::start(4, 20, LeaderTerm::Rotating);
    cluster.wait(5);
    let mut stop = |index| {
        let started = Instant::now();
        cluster.stop(index);
        started.elapsed()
    };
    let took: Vec<_> = (0..4).map(&mut stop).collect();
    // A busy machine holds up some of them; one that waits for its time-out does so each time.
    assert!(took.iter().any(|took| *took < STOP_TIME_OUT), "{took:?}");
}
