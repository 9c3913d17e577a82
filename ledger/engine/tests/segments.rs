//! The segment store against half-written, damaged and concurrent use.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use keyward_ledger_engine::{Block, Certificate, Id, Kind, Segments, SegmentsConfig, Store, StoreError};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

fn digest(height: u64) -> [u8; 32] {
    let mut digest = [7; 32];
    digest[..8].copy_from_slice(&height.to_be_bytes());
    digest
}

fn block(height: u64) -> Block {
    let body = vec![height as u8; 20 + (height as usize * 37) % 100];
    Block { height, parent: [0; 32], digest: digest(height), bytes: Bytes::from(body) }
}

fn certificate(height: u64) -> Certificate {
    Certificate {
        epoch: 0,
        view: height,
        parent_view: height - 1,
        digest: digest(height),
        set_size: 4,
        signers: vec![(0, [1; 64]), (1, [2; 64]), (3, [3; 64])],
    }
}

fn open(folder: &Path) -> (Segments, keyward_ledger_engine::Recovery) {
    Segments::open(folder, SegmentsConfig::default()).unwrap()
}

fn segment(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number:010}.segment"))
}

fn fill(store: &Segments, heights: impl IntoIterator<Item = u64>) {
    for height in heights {
        store.put_block(&block(height)).unwrap();
        store.put_certificate(height, &certificate(height)).unwrap();
    }
    store.sync().unwrap();
}

/// A copy of a store with a segment's bytes replaced.
fn with_bytes(bytes: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(segment(folder.path(), 0), bytes).unwrap();
    folder
}

#[test]
fn records_read_back_by_height_and_digest_and_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    fill(&store, 1..=50);
    assert!(!store.put_certificate(7, &certificate(8)).unwrap(), "the first record at a height stays");
    for reopened in [false, true] {
        let store = if reopened { None } else { Some(&store) };
        let fresh;
        let store = match store {
            Some(store) => store,
            None => {
                let copy = tempfile::tempdir().unwrap();
                fs::copy(segment(folder.path(), 0), segment(copy.path(), 0)).unwrap();
                fresh = open(copy.path());
                assert_eq!((fresh.1.records, fresh.1.truncated_bytes), (100, 0));
                &fresh.0
            }
        };
        for height in 1..=50 {
            assert_eq!(store.block(Id::Height(height)).unwrap().unwrap(), block(height).bytes);
            assert_eq!(store.block(Id::Digest(digest(height))).unwrap().unwrap(), block(height).bytes);
            assert_eq!(store.certificate(Id::Height(height)).unwrap().unwrap(), certificate(height));
        }
        assert_eq!(store.block(Id::Height(51)).unwrap(), None);
        assert_eq!(store.block(Id::Digest([9; 32])).unwrap(), None);
        assert_eq!(store.last(Kind::Block), Some(50));
        assert_eq!(store.range_at_or_after(Kind::Block, 0), Some((1, 50)));
    }
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_off_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    fill(&store, 1..=3);
    let whole = fs::read(segment(folder.path(), 0)).unwrap();
    let ends: Vec<usize> = {
        // Record ends, found by growing: the count of records rises by one at each.
        let mut ends = vec![0];
        for end in 1..=whole.len() {
            let copy = with_bytes(&whole[..end]);
            let (_, recovery) = open(copy.path());
            assert_eq!(recovery.damaged, vec![]);
            if recovery.truncated_bytes == 0 {
                ends.push(end);
                assert_eq!(recovery.records, ends.len() - 1);
            } else {
                assert_eq!(recovery.truncated_bytes as usize, end - ends.last().unwrap());
            }
        }
        ends
    };
    assert_eq!(ends.len(), 7, "six records");
    // What was cut off can be written again.
    let copy = with_bytes(&whole[..whole.len() - 1]);
    let (store, recovery) = open(copy.path());
    assert_eq!(recovery.records, 5);
    fill(&store, 3..=4);
    drop(store);
    assert_eq!(open(copy.path()).1.records, 8);
}

#[test]
fn a_flipped_byte_is_never_served_as_good() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    fill(&store, 1..=2);
    let whole = fs::read(segment(folder.path(), 0)).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        let copy = with_bytes(&bytes);
        let (store, recovery) = open(copy.path());
        let noticed = !recovery.damaged.is_empty() || recovery.truncated_bytes > 0;
        assert!(noticed, "byte {at}");
        let mut missing = 0;
        for height in 1..=2 {
            match store.block(Id::Height(height)).unwrap() {
                Some(bytes) => assert_eq!(bytes, block(height).bytes),
                None => missing += 1,
            }
            match store.certificate(Id::Height(height)).unwrap() {
                Some(found) => assert_eq!(found, certificate(height)),
                None => missing += 1,
            }
        }
        assert_eq!(missing, 1, "byte {at} costs one record");
    }
}

#[test]
fn damage_found_while_running_is_reported_once_voided_and_repaired() {
    let folder = tempfile::tempdir().unwrap();
    // Small segments: block 2 lies in a full one, whose bodies are not read on open.
    let config = SegmentsConfig { segment_bytes_max: 400, ..SegmentsConfig::default() };
    let (store, _) = Segments::open(folder.path(), config).unwrap();
    fill(&store, 1..=10);
    let path = segment(folder.path(), 0);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let reader = store.reader();
    let mut damaged = Vec::new();
    for height in 1..=10 {
        damaged.extend(reader.block(height).err());
        damaged.extend(reader.certificate(height).err());
    }
    let [StoreError::Damaged { kind, height, path: found, .. }] = damaged.as_slice() else {
        panic!("one damage, once: {damaged:?}")
    };
    assert_eq!(*found, path);
    let (kind, height) = (*kind, *height);
    assert!(
        store.range_at_or_after(kind, height).is_none_or(|(first, _)| first > height),
        "counts as missing"
    );
    drop((store, reader));
    let (store, _) = Segments::open(folder.path(), config).unwrap();
    assert!(
        store.range_at_or_after(kind, height).is_none_or(|(first, _)| first > height),
        "still after reopening"
    );
    store.put_block(&block(height)).unwrap();
    store.put_certificate(height, &certificate(height)).unwrap();
    drop(store);
    let (store, _) = Segments::open(folder.path(), config).unwrap();
    assert_eq!(store.block(Id::Height(height)).unwrap().unwrap(), block(height).bytes);
    assert_eq!(store.certificate(Id::Height(height)).unwrap().unwrap(), certificate(height));
}

#[test]
fn gaps_and_ranges_survive_reopening_across_segments() {
    let folder = tempfile::tempdir().unwrap();
    let config = SegmentsConfig { segment_bytes_max: 1000, ..SegmentsConfig::default() };
    let (store, _) = Segments::open(folder.path(), config).unwrap();
    fill(&store, (0..0).chain([5, 6, 9, 1, 2, 3, 20]));
    let check = |store: &Segments| {
        let at = |height| store.range_at_or_after(Kind::Block, height);
        assert_eq!(
            [at(0), at(2), at(4), at(6), at(7), at(10), at(21)],
            [Some((1, 3)), Some((1, 3)), Some((5, 6)), Some((5, 6)), Some((9, 9)), Some((20, 20)), None]
        );
        let (height, found) = store.reader().certificate_at_or_after(10).unwrap().unwrap();
        assert_eq!((height, found), (20, certificate(20)));
        assert_eq!(store.reader().certificate_at_or_after(21).unwrap(), None);
    };
    check(&store);
    drop(store);
    assert!(segment(folder.path(), 1).exists(), "the test crosses segments");
    check(&Segments::open(folder.path(), config).unwrap().0);
}

#[test]
fn readers_follow_the_writer_from_other_threads() {
    let folder = tempfile::tempdir().unwrap();
    let config = SegmentsConfig { segment_bytes_max: 5000, ..SegmentsConfig::default() };
    let (store, _) = Segments::open(folder.path(), config).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (reader, done) = (store.reader(), done.clone());
            std::thread::spawn(move || {
                let mut read = 0u64;
                loop {
                    // One that only gets to run afterwards still reads once.
                    let is_last = done.load(Ordering::Acquire);
                    let last = reader.last(Kind::Block).unwrap_or(0);
                    for height in last.saturating_sub(20).max(1)..=last {
                        assert_eq!(reader.block(height).unwrap().unwrap(), block(height).bytes);
                        read += 1;
                    }
                    if is_last {
                        return read;
                    }
                }
            })
        })
        .collect();
    for height in 1..=500 {
        fill(&store, [height]);
    }
    done.store(true, Ordering::Release);
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() > 0));
}

#[test]
fn a_store_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    assert!(matches!(
        Segments::open(folder.path(), SegmentsConfig::default()),
        Err(StoreError::InUse { .. })
    ));
    drop(store);
    open(folder.path());
}

#[test]
fn a_record_over_the_bound_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = SegmentsConfig { record_bytes_max: 64, ..SegmentsConfig::default() };
    let (store, _) = Segments::open(folder.path(), config).unwrap();
    let long = Block { bytes: Bytes::from(vec![0; 65]), ..block(1) };
    assert!(matches!(store.put_block(&long), Err(StoreError::TooLong { bytes: 65, max: 64 })));
    assert_eq!(store.last(Kind::Block), None);
}
