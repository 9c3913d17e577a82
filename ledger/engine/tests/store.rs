//! One contract for every block store: segments here, segments of which the finished ones lie on a shelf.
//! And one for every shelf.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod buckets;
mod cold;
mod mishaps;
#[path = "../../../tests/support/s3.rs"]
mod s3;
mod shelves;

use crate::cluster_support::free_address;
use bytes::Bytes;
use keyward_ledger_engine::{
    Block, BucketConfig, BucketKey, Certificate, Cooled, Folder, Id, Kind, Segments, SegmentsConfig, Shelf,
    Store, StoreError,
};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// Small, so that there are many.
const CONFIG: SegmentsConfig = SegmentsConfig { segment_bytes_max: 900, record_bytes_max: 4096 };

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

fn fill(store: &Segments, heights: impl IntoIterator<Item = u64>) {
    for height in heights {
        store.put_block(&block(height)).unwrap();
        store.put_certificate(height, &certificate(height)).unwrap();
    }
    store.sync().unwrap();
}

fn holds(store: &Segments, height: u64) {
    for id in [Id::Height(height), Id::Digest(digest(height))] {
        let found = answered(store, || store.block(id));
        assert_eq!(found, Some(block(height).bytes), "block {height}");
        let found = answered(store, || store.certificate(id));
        assert_eq!(found, Some(certificate(height)), "certificate {height}");
    }
}

/// Consensus waits a second for a shelf at most: on a busy machine one that is there may take longer.
fn answered<T>(store: &Segments, ask: impl Fn() -> Result<T, StoreError>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match ask() {
            Err(StoreError::Away { .. }) if Instant::now() < deadline => {
                let _still_away = store.probe();
                std::thread::yield_now();
            }
            told => return told.unwrap(),
        }
    }
}

fn open(folder: &Path, shelf: Option<&Path>) -> Segments {
    open_with(folder, shelf.map(|path| Arc::new(Folder::new(path)) as Arc<dyn Shelf>))
}

fn open_with(folder: &Path, shelf: Option<Arc<dyn Shelf>>) -> Segments {
    Segments::open_with(&folder.join("blocks"), CONFIG, shelf).unwrap().0
}

/// Moves all that may move.
fn cool_all(store: &Segments) {
    while let Some(segment) = store.finished_below(u64::MAX, &[]) {
        assert_eq!(answered(store, || store.cool(segment, &mut |_| true)), Cooled::Moved);
    }
}

/// What every store promises. `settle` is done after each of its writes, `reopen` closes and opens it.
fn contract(mut store: Segments, settle: impl Fn(&Segments), reopen: impl Fn(Segments) -> Segments) {
    let none = |store: &Segments, height| {
        for id in [Id::Height(height), Id::Digest(digest(height))] {
            assert_eq!(answered(store, || store.block(id)), None);
            assert_eq!(answered(store, || store.certificate(id)), None);
        }
    };
    none(&store, 1);
    assert_eq!((store.last(Kind::Block), store.range_at_or_after(Kind::Block, 0)), (None, None));
    for heights in [vec![5, 6, 9], (20..40).collect(), vec![1, 2, 3]] {
        fill(&store, heights);
        settle(&store);
    }
    for _ in 0..2 {
        for height in [5, 6, 9, 1, 2, 3].into_iter().chain(20..40) {
            holds(&store, height);
        }
        [4, 7, 19, 40].iter().for_each(|height| none(&store, *height));
        let at = |height| store.range_at_or_after(Kind::Block, height);
        let runs = [at(0), at(2), at(4), at(6), at(7), at(10), at(25), at(40)];
        let (low, high) = (Some((1, 3)), Some((20, 39)));
        assert_eq!(runs, [low, low, Some((5, 6)), Some((5, 6)), Some((9, 9)), high, high, None]);
        assert_eq!(store.last(Kind::Certificate), Some(39));
        // The first good record at a height stays.
        let other = Block { bytes: Bytes::from_static(b"another"), ..block(5) };
        store.put_block(&other).unwrap();
        assert!(!store.put_certificate(5, &Certificate { view: 77, ..certificate(5) }).unwrap());
        holds(&store, 5);
        store = reopen(store);
    }
    let long = Block { bytes: vec![0; 4097].into(), ..block(50) };
    assert!(matches!(store.put_block(&long), Err(StoreError::TooLong { bytes: 4097, max: 4096 })));
    none(&store, 50);
    assert_eq!(store.journal_mark().unwrap(), None);
    store.set_journal_mark([3; 32]).unwrap();
    let store = reopen(store);
    assert_eq!(store.journal_mark().unwrap(), Some([3; 32]));
}

#[test]
fn segments_here_keep_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let reopen = |store: Segments| {
        drop(store);
        open(folder.path(), None)
    };
    contract(open(folder.path(), None), |_| (), reopen);
}

#[test]
fn segments_of_which_the_finished_ones_lie_on_a_shelf_keep_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = folder.path().join("shelf");
    let reopen = |store: Segments| {
        drop(store);
        open(folder.path(), Some(&shelf))
    };
    let moved = |store: &Segments| {
        cool_all(store);
        assert!(store.cold_share().segments > 0);
    };
    contract(open(folder.path(), Some(&shelf)), moved, reopen);
}
