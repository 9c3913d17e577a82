//! Segment files and certificates, changed: opening never panics, and nothing is served that was not stored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::mutate::hammer;
use bytes::Bytes;
use keyward_ledger_engine::{Block, Certificate, Folder, Segments, SegmentsConfig, Shelf, Store as _};
use std::{fs, sync::Arc};

fn digest(height: u64) -> [u8; 32] {
    let mut digest = [7; 32];
    digest[..8].copy_from_slice(&height.to_be_bytes());
    digest
}

fn body(height: u64) -> Bytes {
    vec![height as u8; 20 + (height as usize * 37) % 100].into()
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

const STORED: u64 = 6;

/// The bytes of a segment that holds some blocks and certificates.
fn segment() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Segments::open(folder.path(), SegmentsConfig::default()).unwrap();
    for height in 1..=STORED {
        let block = Block { height, parent: [0; 32], digest: digest(height), bytes: body(height) };
        store.put_block(&block).unwrap();
        store.put_certificate(height, &certificate(height)).unwrap();
    }
    store.sync().unwrap();
    fs::read(folder.path().join("0000000000.segment")).unwrap()
}

#[test]
fn certificates_have_one_encoding_and_never_panic() {
    let samples: Vec<_> = (1..=3).map(|height| certificate(height).encode()).collect();
    hammer("engine certificate", &samples, 20_000, |bytes| {
        if let Ok(certificate) = Certificate::decode(bytes) {
            assert_eq!(certificate.encode(), bytes);
        }
    });
}

#[test]
fn a_changed_segment_serves_what_was_stored_or_nothing() {
    let good = segment();
    let folder = tempfile::tempdir().unwrap();
    hammer("segment", &[good], 600, |bytes| {
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() { fs::remove_file(path).unwrap() } else { fs::remove_dir_all(path).unwrap() }
        }
        fs::write(folder.path().join("0000000000.segment"), bytes).unwrap();
        let Ok((store, _)) = Segments::open(folder.path(), SegmentsConfig::default()) else { return };
        let reader = store.reader();
        for height in 0..=STORED + 2 {
            if let Ok(Some(bytes)) = reader.block(height) {
                assert_eq!(bytes, body(height), "another block at height {height}");
            }
            if let Ok(Some(found)) = reader.certificate(height) {
                assert_eq!(found, certificate(height), "another certificate at height {height}");
            }
        }
        // It goes on being a store.
        let height = STORED + 9;
        let block = Block { height, parent: [0; 32], digest: digest(height), bytes: body(height) };
        store.put_block(&block).unwrap();
        store.sync().unwrap();
        assert_eq!(reader.block(height).unwrap(), Some(body(height)));
    });
}

#[test]
fn a_changed_note_of_a_moved_segment_serves_what_was_stored_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (blocks, shelf) = (folder.path().join("blocks"), folder.path().join("shelf"));
    fs::create_dir(&blocks).unwrap();
    fs::write(blocks.join("0000000000.segment"), segment()).unwrap();
    let config = SegmentsConfig { segment_bytes_max: 100, ..SegmentsConfig::default() };
    let open = || {
        let shelf: Arc<dyn Shelf> = Arc::new(Folder::new(&shelf));
        Segments::open_with(&blocks, config, Some(shelf)).unwrap().0
    };
    let store = open();
    let block = Block { height: 90, parent: [0; 32], digest: digest(90), bytes: body(90) };
    store.put_block(&block).unwrap();
    store.cool(0, &mut |_| true).unwrap();
    drop(store);
    let note = blocks.join("0000000000.cold");
    let good = fs::read(&note).unwrap();
    // With the shelf away a changed note is taken as far as it checks; with the shelf it is written again.
    for away in [true, false] {
        if away {
            fs::rename(&shelf, folder.path().join("away")).unwrap();
        } else {
            fs::rename(folder.path().join("away"), &shelf).unwrap();
        }
        hammer("note", std::slice::from_ref(&good), 300, |bytes| {
            fs::write(&note, bytes).unwrap();
            let reader = open().reader();
            for height in 0..=STORED + 2 {
                match reader.block(height) {
                    Ok(Some(bytes)) => assert_eq!(bytes, body(height), "another block at height {height}"),
                    Ok(None) => assert!(away || !(1..=STORED).contains(&height), "block {height}"),
                    Err(_) => assert!(away),
                }
            }
        });
    }
}
