#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
use super::*;

const CHAIN: [u8; 32] = [7; 32];
const RULE: [u8; 8] = [3; 8];

fn begin(intent: u8, time_ms: u64) -> Begin {
    Begin { intent: [intent; 32], time_ms, payload_bytes: 10, rule: RULE }
}

fn at(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("journal")
}

#[test]
fn what_was_begun_signed_and_failed_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(&at(&folder), &CHAIN).unwrap();
    for intent in 1..=3 {
        journal.begin(begin(intent, 1000)).unwrap();
    }
    journal.signed(&[2; 32], b"signature").unwrap();
    journal.failed(&[3; 32], "TOKEN_MISSING").unwrap();
    drop(journal);
    let mut journal = Journal::open(&at(&folder), &CHAIN).unwrap();
    assert_eq!(journal.find(&[1; 32]), Some(&Kept::Begun));
    assert_eq!(journal.find(&[2; 32]), Some(&Kept::Signed(b"signature".to_vec())));
    assert_eq!(journal.find(&[3; 32]), Some(&Kept::Failed("TOKEN_MISSING".into())));
    assert_eq!(journal.find(&[4; 32]), None);
    for intent in 1..=3 {
        assert!(matches!(journal.begin(begin(intent, 1000)), Err(JournalError::BegunBefore)));
    }
}

#[test]
fn a_crash_at_every_byte_of_a_write_leaves_the_state_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(&at(&folder), &CHAIN).unwrap();
    journal.begin(begin(1, 1000)).unwrap();
    let whole = journal.bytes;
    journal.begin(begin(2, 1000)).unwrap();
    drop(journal);
    let bytes = std::fs::read(at(&folder)).unwrap();
    for torn in usize::try_from(whole).unwrap()..bytes.len() {
        std::fs::write(at(&folder), &bytes[..torn]).unwrap();
        let mut journal = Journal::open(&at(&folder), &CHAIN).unwrap();
        assert_eq!((journal.find(&[1; 32]), journal.find(&[2; 32])), (Some(&Kept::Begun), None), "{torn}");
        journal.begin(begin(3, 1000)).unwrap();
        drop(journal);
        let journal = Journal::open(&at(&folder), &CHAIN).unwrap();
        assert!(journal.find(&[3; 32]).is_some());
    }
    for torn in 0..HEADER_BYTES {
        std::fs::write(at(&folder), &bytes[..torn]).unwrap();
        assert!(Journal::open(&at(&folder), &CHAIN).is_ok(), "{torn}");
    }
}

#[test]
fn a_flipped_bit_before_the_last_record_is_never_taken_for_a_torn_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(&at(&folder), &CHAIN).unwrap();
    journal.begin(begin(1, 1000)).unwrap();
    let first = usize::try_from(journal.bytes).unwrap();
    journal.begin(begin(2, 1000)).unwrap();
    drop(journal);
    let bytes = std::fs::read(at(&folder)).unwrap();
    for place in 0..first {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        std::fs::write(at(&folder), &changed).unwrap();
        assert!(Journal::open(&at(&folder), &CHAIN).is_err(), "{place}");
    }
}

#[test]
fn a_journal_has_one_agent_and_one_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&at(&folder), &CHAIN).unwrap();
    assert!(matches!(Journal::open(&at(&folder), &CHAIN), Err(JournalError::InUse(_))));
    drop(journal);
    assert!(matches!(Journal::open(&at(&folder), &[8; 32]), Err(JournalError::OtherLedger(_))));
    std::fs::write(
        at(&folder),
        b"something else that is long enough to be read as one, by its length alone, at least",
    )
    .unwrap();
    assert!(matches!(Journal::open(&at(&folder), &CHAIN), Err(JournalError::Format(_))));
}

#[test]
fn what_is_forgotten_lies_below_the_floor_and_what_is_not_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(&at(&folder), &CHAIN).unwrap();
    journal.begin(begin(1, 1000)).unwrap();
    journal.signed(&[1; 32], b"old").unwrap();
    journal.begin(begin(2, 2000 + KEEP_MS)).unwrap();
    journal.signed(&[2; 32], b"new").unwrap();
    journal.begin(begin(3, 2000 + KEEP_MS)).unwrap();
    journal.compact_bytes = 1;
    journal.begin(begin(4, 2000 + KEEP_MS)).unwrap();
    assert_eq!((journal.find(&[1; 32]), journal.floor_ms()), (None, 2000));
    assert!(
        matches!(Journal::open(&at(&folder), &CHAIN), Err(JournalError::InUse(_))),
        "locked in its new place"
    );
    drop(journal);
    let journal = Journal::open(&at(&folder), &CHAIN).unwrap();
    assert_eq!(journal.floor_ms(), 2000);
    assert_eq!(journal.find(&[2; 32]), Some(&Kept::Signed(b"new".to_vec())));
    assert_eq!((journal.find(&[3; 32]), journal.find(&[4; 32])), (Some(&Kept::Begun), Some(&Kept::Begun)));
}

#[test]
fn a_window_counts_what_its_rule_allowed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(&at(&folder), &CHAIN).unwrap();
    for (intent, time_ms) in [(1, 1000), (2, 2000), (3, 3000)] {
        journal.begin(begin(intent, time_ms)).unwrap();
    }
    journal.begin(Begin { rule: [9; 8], ..begin(4, 3000) }).unwrap();
    drop(journal);
    let journal = Journal::open(&at(&folder), &CHAIN).unwrap();
    assert_eq!(journal.spent(&RULE, 3000, 1500), (2, 20));
    assert_eq!(journal.spent(&RULE, 3000, 5000), (3, 30));
    assert_eq!(journal.spent(&[9; 8], 3000, 5000), (1, 10));
}
