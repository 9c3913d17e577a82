//! The grant file has one encoding, and every other one is refused by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::town::common::golden::Golden;
use crate::town::common::mutate;
use keyward_audit::{Dealt, Delivery, GrantFile, GrantFileError, Opening};
use keyward_crypto::unlinkable::{AddressRoot, ViewingCover};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

fn cover(first: u32, last: u32) -> ViewingCover {
    ViewingCover::of(&AddressRoot::from_bytes(Zeroizing::new([7; 32])), first..=last)
}

fn hosted(account: u8, first: u32, last: u32) -> Opening {
    let delivery = Delivery::Hosted { delivered: b"delivered".to_vec(), cover: cover(first, last) };
    Opening { account: [account; 32], first, last, opened: b"opened".to_vec(), delivery }
}

fn own(account: u8, runs: &[(u32, u32)]) -> Opening {
    let dealt =
        |(first, last): &(u32, u32)| Dealt { dealing: b"dealing".to_vec(), cover: cover(*first, *last) };
    let delivery = Delivery::Own(runs.iter().map(dealt).collect());
    Opening { account: [account; 32], first: 480_000, last: 480_047, opened: b"opened".to_vec(), delivery }
}

fn sample() -> GrantFile {
    GrantFile {
        chain_id: [1; 32],
        purpose: "case 4711: unusual outflow".to_owned(),
        request: b"request".to_vec(),
        approvals: vec![b"asked".to_vec(), b"first approval".to_vec()],
        issue: b"issue".to_vec(),
        openings: vec![hosted(2, 480_000, 480_023), own(3, &[(480_000, 480_023), (480_024, 480_047)])],
    }
}

fn bytes(file: &GrantFile) -> Vec<u8> {
    file.encode().expose(<[u8]>::to_vec)
}

/// With a check that fits.
fn sealed(body: &[u8]) -> Vec<u8> {
    let label = b"keyward/grant-file/v1";
    let hash =
        Sha256::new().chain_update([label.len() as u8]).chain_update(label).chain_update(body).finalize();
    [body, &hash[..]].concat()
}

#[test]
fn a_file_is_full_before_it_would_not_read_back() {
    let opened = |account: u16, len: usize| {
        let mut opening = own(0, &[]);
        opening.account[..2].copy_from_slice(&account.to_be_bytes());
        Opening { opened: vec![0; len], ..opening }
    };
    let full = |count: u16, len: usize| {
        let openings = (0..count).map(|account| opened(account, len)).collect();
        GrantFile { openings, ..sample() }.is_full()
    };
    assert!(!full(4095, 1) && full(4096, 1));
    assert!(!full(12, 4 << 20) && full(13, 4 << 20));
}

#[test]
fn the_format_is_the_one_that_was_published() {
    Golden::default().hex("file", bytes(&sample())).check("grant-file.json");
}

#[test]
fn it_reads_back_and_every_changed_or_cut_byte_is_noticed() {
    let good = bytes(&sample());
    assert_eq!(bytes(&GrantFile::decode(&good).unwrap()), good);
    for place in 0..good.len() {
        let mut changed = good.clone();
        changed[place] ^= 1;
        let refused = GrantFile::decode(&changed).unwrap_err();
        let expected = if place < 8 { "GRANT_FILE_VERSION" } else { "GRANT_FILE_CHANGED" };
        assert_eq!(refused.code(), expected, "byte {place}");
        assert!(GrantFile::decode(&good[..place]).is_err(), "cut at {place}");
    }
    assert!(matches!(GrantFile::decode(&[&good[..], &[0]].concat()), Err(GrantFileError::Changed)));
}

#[test]
fn with_a_check_that_fits_it_is_still_held_to_its_rules() {
    let good = bytes(&sample());
    let body = &good[..good.len() - 32];
    assert_eq!(sealed(body), good);
    for end in 8..body.len() {
        assert_eq!(GrantFile::decode(&sealed(&body[..end])).unwrap_err().code(), "GRANT_FILE_MALFORMED");
    }
    assert!(GrantFile::decode(&sealed(&[body, &[0]].concat())).is_err());
    let refused = |openings| {
        let file = GrantFile { openings, ..sample() };
        GrantFile::decode(&bytes(&file)).unwrap_err()
    };
    let malformed = |openings| matches!(refused(openings), GrantFileError::Malformed(_));
    assert!(malformed(vec![hosted(3, 1, 2), hosted(2, 1, 2)]), "not ascending");
    assert!(malformed(vec![hosted(2, 1, 2), hosted(2, 1, 2)]), "twice");
    assert!(malformed(vec![own(2, &[])]), "keepers opened nothing");
    let mut other = hosted(2, 1, 2);
    (other.first, other.last) = (1, 3);
    assert!(matches!(refused(vec![other]), GrantFileError::CoverEpochs { first: 1, last: 2 }));
    for runs in [
        &[(479_999, 480_001)][..],
        &[(480_047, 480_048)],
        &[(480_000, 480_001), (480_001, 480_002)],
        &[(480_003, 480_004), (480_000, 480_001)],
    ] {
        assert!(matches!(refused(vec![own(2, runs)]), GrantFileError::CoverEpochs { .. }), "{runs:?}");
    }
}

#[test]
fn an_opening_comes_in_its_place_and_replaces_itself() {
    let mut file = sample();
    file.add(hosted(1, 5, 9));
    file.add(hosted(2, 480_000, 480_000));
    file.add(Opening { opened: b"again".to_vec(), ..hosted(2, 480_000, 480_023) });
    let read = GrantFile::decode(&bytes(&file)).unwrap();
    let places: Vec<_> = read.openings.iter().map(|opening| (opening.account[0], opening.last)).collect();
    assert_eq!(places, [(1, 9), (2, 480_023), (3, 480_047)]);
    assert_eq!(read.openings[1].opened, b"again");
}

#[test]
fn an_opening_takes_the_place_of_those_within_it_and_of_no_others() {
    let mut file = sample();
    file.openings = vec![hosted(1, 12, 18), hosted(2, 5, 10), hosted(2, 10, 19), hosted(2, 20, 21)];
    file.openings.push(hosted(2, 20, 31));
    file.add(hosted(2, 10, 30));
    let read = GrantFile::decode(&bytes(&file)).unwrap();
    let places: Vec<_> =
        read.openings.iter().map(|opening| (opening.account[0], opening.first, opening.last)).collect();
    assert_eq!(places, [(1, 12, 18), (2, 5, 10), (2, 10, 30), (2, 20, 31)]);
}

#[test]
fn changed_files_never_panic() {
    mutate::hammer("grant file", &[bytes(&sample())], 4000, |bytes| {
        let body = bytes.len().checked_sub(32).map_or(bytes, |end| &bytes[..end]);
        for bytes in [bytes.to_vec(), sealed(body)] {
            if let Ok(file) = GrantFile::decode(&bytes) {
                assert_eq!(self::bytes(&file), bytes);
            }
        }
    });
}

#[test]
fn covers_do_not_print() {
    let shown = format!("{:?}", sample());
    assert!(shown.contains("ViewingCover(480000..=480023, redacted)"), "{shown}");
}
