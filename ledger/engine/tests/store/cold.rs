//! Segments that move to a shelf: killed at each step, damaged there, and a shelf that is away.
use super::{CONFIG, answered, block, certificate, cool_all, fill, holds, open};
use keyward_ledger_engine::{
    Cooled, Folder, Id, Kind, Place, Scrubbed, Segments, Shelf, ShelfMark, Step, Store as _, StoreError,
};
use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

pub(super) const HEIGHTS: u64 = 40;

/// A store with moved segments; the folders of the store and of the shelf.
pub(super) fn stored() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let shelf = folder.path().join("shelf");
    let store = open(folder.path(), Some(&shelf));
    fill(&store, 1..=HEIGHTS);
    (folder, shelf)
}

pub(super) fn files(folder: &Path, suffix: &str) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(suffix));
    names.sort();
    names
}

pub(super) fn whole(store: &Segments) {
    (1..=HEIGHTS).for_each(|height| holds(store, height));
    assert_eq!(store.range_at_or_after(Kind::Block, 0), Some((1, HEIGHTS)));
}

pub(super) fn scrub(store: &Segments) -> Vec<Scrubbed> {
    let (mut steps, mut place) = (Vec::new(), Some(Place::default()));
    while let Some(from) = place {
        let scrubbed = answered(store, || store.scrub(from, 500));
        place = scrubbed.next;
        steps.push(scrubbed);
    }
    steps
}

pub(super) fn lost(steps: &[Scrubbed]) -> Vec<(Kind, u64)> {
    steps.iter().flat_map(|step| &step.damaged).flat_map(|damaged| damaged.lost.clone()).collect()
}

#[test]
fn a_move_ended_at_any_step_loses_nothing_and_doubles_nothing() {
    // A look at how many steps there are, and then an end at each of them.
    let mut steps = 0;
    for end_at in 0.. {
        let (folder, shelf) = stored();
        let blocks = folder.path().join("blocks");
        let store = open(folder.path(), Some(&shelf));
        let mut told = Vec::new();
        let cooled = store.cool(0, &mut |step| {
            told.push(step);
            told.len() <= end_at
        });
        let done = told.len() <= end_at;
        assert_eq!(cooled.unwrap() == Cooled::Moved, done || told.last() == Some(&Step::Removed), "{told:?}");
        whole(&store);
        drop(store);
        let store = open(folder.path(), Some(&shelf));
        whole(&store);
        assert!(scrub(&store).iter().all(|step| step.damaged.is_empty()));
        let (here, notes) = (files(&blocks, ".segment"), files(&blocks, ".cold"));
        assert!(here.iter().all(|name| !notes.contains(&name.replace("segment", "cold"))), "one place");
        assert_eq!(notes.len() as u64, store.cold_share().segments);
        // It is moved the next time, over whatever the first time left.
        cool_all(&store);
        whole(&store);
        assert_eq!(files(&blocks, ".segment").len(), 1, "the growing one alone");
        assert_eq!(files(&shelf, ".segment").len(), files(&blocks, ".cold").len());
        drop(store);
        whole(&open(folder.path(), Some(&shelf)));
        if done {
            steps = told.len();
            break;
        }
    }
    assert!((10..60).contains(&steps), "{steps}");
}

#[test]
fn only_segments_of_old_blocks_move_and_those_that_must_stay_do_not() {
    let (folder, shelf) = stored();
    let store = open(folder.path(), Some(&shelf));
    assert_eq!(store.finished_below(1, &[]), None);
    let mut moved = 0;
    while let Some(segment) = store.finished_below(20, &[1]) {
        assert_ne!(segment, 0, "the segment of block 1 stays");
        answered(&store, || store.cool(segment, &mut |_| true));
        moved += 1;
    }
    assert!(moved > 2, "{moved}");
    for segment in files(&shelf, ".segment") {
        let bytes = fs::read(shelf.join(segment)).unwrap();
        let heights = bytes.windows(5).enumerate().filter(|(_, window)| window.starts_with(b"KWR1"));
        for (at, _) in heights {
            let height = u64::from_be_bytes(bytes[at + 5..at + 13].try_into().unwrap());
            assert!((2..20).contains(&height), "block {height} moved");
        }
    }
    whole(&store);
}

#[test]
fn a_byte_flipped_on_the_shelf_is_never_served_found_by_a_scrub_and_mended_for_good() {
    let (folder, shelf) = stored();
    let store = open(folder.path(), Some(&shelf));
    cool_all(&store);
    drop(store);
    let path = shelf.join("0000000001.segment");
    let good = fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(13) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x20;
        fs::write(&path, &bytes).unwrap();
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        let shelf = copy.path().join("shelf");
        let store = open(copy.path(), Some(&shelf));
        let lost = lost(&scrub(&store));
        let [(kind, height)] = lost.as_slice() else { panic!("byte {at} costs one record: {lost:?}") };
        assert!(scrub(&store).iter().all(|step| step.damaged.is_empty()), "filled");
        drop(store);
        let store = open(copy.path(), Some(&shelf));
        let missing = store.range_at_or_after(*kind, *height);
        assert!(missing.is_none_or(|(first, _)| first > *height), "after opening again too");
        store.put_block(&block(*height)).unwrap();
        store.put_certificate(*height, &certificate(*height)).unwrap();
        store.sync().unwrap();
        drop(store);
        whole(&open(copy.path(), Some(&shelf)));
    }
    fs::write(&path, &good).unwrap();

    // Read before any scrub: reported once, then missing.
    let mut bytes = good.clone();
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let store = open(folder.path(), Some(&shelf));
    let reader = store.reader();
    let damaged: Vec<_> = (1..=HEIGHTS)
        .flat_map(|height| [reader.block(height).err(), reader.certificate(height).err()])
        .flatten()
        .collect();
    let [StoreError::Damaged { path: found, .. }] = damaged.as_slice() else { panic!("{damaged:?}") };
    assert_eq!(*found, path);
}

pub(super) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

#[test]
fn a_segment_cut_off_or_gone_from_the_shelf_is_lost_and_can_be_brought_back() {
    for cut in [None, Some(0), Some(300)] {
        let (folder, shelf) = stored();
        let store = open(folder.path(), Some(&shelf));
        cool_all(&store);
        let path = shelf.join("0000000002.segment");
        match cut {
            None => fs::remove_file(&path).unwrap(),
            Some(length) => fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap(),
        }
        let lost = lost(&scrub(&store));
        assert!(lost.len() > 1, "{cut:?}: {lost:?}");
        assert!(scrub(&store).iter().all(|step| step.damaged.is_empty()), "{cut:?}: found once");
        for (_, height) in &lost {
            store.put_block(&block(*height)).unwrap();
            store.put_certificate(*height, &certificate(*height)).unwrap();
        }
        store.sync().unwrap();
        whole(&store);
        drop(store);
        let store = open(folder.path(), Some(&shelf));
        whole(&store);
        assert!(scrub(&store).iter().all(|step| step.damaged.is_empty()), "{cut:?}");
    }
}

#[test]
fn a_damaged_or_lost_note_is_written_again_from_the_shelf() {
    let (folder, shelf) = stored();
    let store = open(folder.path(), Some(&shelf));
    cool_all(&store);
    drop(store);
    let note = folder.path().join("blocks/0000000001.cold");
    let good = fs::read(&note).unwrap();
    for at in (0..=good.len()).step_by(11) {
        let mut bytes = good.clone();
        match bytes.get_mut(at) {
            Some(byte) => *byte ^= 4,
            None => bytes.clear(),
        }
        fs::write(&note, &bytes).unwrap();
        let (store, recovery) = reopened(folder.path(), &shelf);
        assert_eq!(recovery.damaged, [(note.clone(), 0)], "byte {at}");
        whole(&store);
        drop(store);
        assert_eq!(fs::read(&note).unwrap(), good);
    }
    fs::remove_file(&note).unwrap();
    whole(&open(folder.path(), Some(&shelf)));
    assert_eq!(fs::read(&note).unwrap(), good);

    // Under a running store a scrub finds it.
    let store = open(folder.path(), Some(&shelf));
    fs::write(&note, &good[1..]).unwrap();
    let found: Vec<_> = scrub(&store).into_iter().flat_map(|step| step.damaged).collect();
    assert_eq!((found.len(), found[0].path.clone(), found[0].lost.len()), (1, note.clone(), 0));
    assert_eq!(fs::read(&note).unwrap(), good);
    whole(&store);
    drop(store);

    // While the shelf is away, what can be read of the note counts; the rest when the shelf is back.
    let mut bytes = good.clone();
    bytes[40] ^= 1;
    fs::write(&note, &bytes).unwrap();
    fs::rename(&shelf, folder.path().join("away")).unwrap();
    let store = open(folder.path(), Some(&shelf));
    assert_eq!(store.last(Kind::Block), Some(HEIGHTS));
    fs::rename(folder.path().join("away"), &shelf).unwrap();
    answered(&store, || store.probe());
    scrub(&store);
    whole(&store);
}

fn reopened(folder: &Path, shelf: &Path) -> (Segments, keyward_ledger_engine::Recovery) {
    Segments::open_with(&folder.join("blocks"), CONFIG, Some(Arc::new(Folder::new(shelf)))).unwrap()
}

#[test]
fn a_shelf_that_is_away_costs_nothing_but_its_blocks_until_it_is_back() {
    let (folder, shelf) = stored();
    let store = open(folder.path(), Some(&shelf));
    let grows = store.finished_below(u64::MAX, &[]).map(|first| first + 1).unwrap();
    answered(&store, || store.cool(0, &mut |_| true));
    let away = folder.path().join("away");
    fs::rename(&shelf, &away).unwrap();
    let is_away = |store: &Segments| {
        assert!(matches!(store.probe(), Err(StoreError::Away { .. })));
        let read = store.block(Id::Height(1));
        assert!(matches!(read, Err(StoreError::Away { .. })), "neither lost nor there: {read:?}");
        assert_eq!(store.range_at_or_after(Kind::Block, 0), Some((1, HEIGHTS)));
        assert!(matches!(store.scrub(Place::default(), 500), Err(StoreError::Away { .. })));
        // Nothing moves there, nothing here goes, and the folder is not made anew.
        assert!(matches!(store.cool(grows, &mut |_| true), Err(StoreError::Away { .. })));
        assert!(!shelf.exists());
        holds(store, HEIGHTS);
    };
    is_away(&store);
    drop(store);
    // At the start too, and writing goes on.
    let store = open(folder.path(), Some(&shelf));
    is_away(&store);
    fill(&store, [HEIGHTS + 1]);
    // An empty folder where the disk was is not the shelf, nor is another store's.
    fs::create_dir(&shelf).unwrap();
    assert!(matches!(store.probe(), Err(StoreError::Away { .. })));
    fs::write(shelf.join("keyward-cold"), [9; 32]).unwrap();
    assert!(matches!(store.probe(), Err(StoreError::Away { .. })));
    assert!(matches!(store.cool(grows, &mut |_| true), Err(StoreError::Away { .. })));
    fs::remove_dir_all(&shelf).unwrap();
    fs::rename(&away, &shelf).unwrap();
    answered(&store, || store.probe());
    whole_with(&store, HEIGHTS + 1);
    cool_all(&store);
    whole_with(&store, HEIGHTS + 1);
    drop(store);
    // Without the setting: as if it were away.
    let store = open(folder.path(), None);
    assert!(matches!(store.block(Id::Height(1)), Err(StoreError::Away { .. })));
    fill(&store, [HEIGHTS + 2]);
    holds(&store, HEIGHTS + 2);
}

fn whole_with(store: &Segments, top: u64) {
    (1..=top).for_each(|height| holds(store, height));
}

#[test]
fn a_lost_or_damaged_mark_is_taken_from_the_shelf_that_holds_what_was_moved_and_from_no_other() {
    let (folder, shelf) = stored();
    cool_all(&open(folder.path(), Some(&shelf)));
    let mark = folder.path().join("blocks/cold-mark");
    let good = fs::read(&mark).unwrap();
    // Another validator's: the same blocks, but not at the same places.
    let elsewhere = tempfile::tempdir().unwrap();
    let others = elsewhere.path().join("shelf");
    let other = open(elsewhere.path(), Some(&others));
    fill(&other, 2..=HEIGHTS + 9);
    cool_all(&other);
    for damaged in [None, Some(&good[1..]), Some(&[&good[..39], b"x"].concat())] {
        match damaged {
            None => fs::remove_file(&mark).unwrap(),
            Some(bytes) => fs::write(&mark, bytes).unwrap(),
        }
        let (store, recovery) = reopened(folder.path(), &others);
        assert_eq!(recovery.damaged, [(mark.clone(), 0)]);
        assert!(matches!(store.probe(), Err(StoreError::Away { .. })));
        assert!(matches!(store.block(Id::Height(1)), Err(StoreError::Away { .. })));
        holds(&store, HEIGHTS);
        drop(store);

        let (store, recovery) = reopened(folder.path(), &shelf);
        assert_eq!(recovery.damaged, [(mark.clone(), 0)]);
        answered(&store, || store.probe());
        whole(&store);
        drop(store);
        assert_eq!(fs::read(&mark).unwrap(), good, "remembered again");
        assert_eq!(reopened(folder.path(), &shelf).1.damaged, []);
    }
    // As it was written once, without a check.
    fs::write(&mark, &good[..32]).unwrap();
    let (store, recovery) = reopened(folder.path(), &shelf);
    assert_eq!(recovery.damaged, []);
    whole(&store);
}

#[test]
fn a_damaged_segment_stays_until_it_is_mended() {
    let (folder, shelf) = stored();
    let path = folder.path().join("blocks/0000000000.segment");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let store = open(folder.path(), Some(&shelf));
    assert_eq!(answered(&store, || store.cool(0, &mut |_| true)), Cooled::Damaged);
    assert!(path.exists() && files(&shelf, ".segment").is_empty());
    assert_eq!(lost(&scrub(&store)).len(), 1);
    assert_eq!(answered(&store, || store.cool(0, &mut |_| true)), Cooled::Moved);
}

/// A shelf that can be told to fail, to lie about what it keeps, and to hang.
struct Faulty {
    folder: Folder,
    fault: Mutex<Fault>,
    changed: Condvar,
    patience: Duration,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Full,
    Forgets,
    Hangs,
}

impl Faulty {
    fn new(path: &Path, patience: Duration) -> Arc<Self> {
        let folder = Folder::new(path);
        Arc::new(Self { folder, fault: Mutex::new(Fault::None), changed: Condvar::new(), patience })
    }

    fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
        self.changed.notify_all();
    }

    fn waits(&self) -> Fault {
        let fault = self.fault.lock().unwrap();
        *self.changed.wait_while(fault, |fault| *fault == Fault::Hangs).unwrap()
    }
}

impl Shelf for Faulty {
    fn name(&self) -> String {
        "faulty".into()
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn mark(&self) -> io::Result<Option<ShelfMark>> {
        self.waits();
        self.folder.mark()
    }

    fn set_mark(&self, mark: &ShelfMark) -> io::Result<()> {
        self.folder.set_mark(mark)
    }

    fn put(&self, segment: u32, body: &mut dyn Read) -> io::Result<u64> {
        match self.waits() {
            Fault::Full => {
                body.read_exact(&mut [0; 50])?;
                Err(io::ErrorKind::StorageFull.into())
            }
            Fault::Forgets => {
                let mut bytes = Vec::new();
                body.read_to_end(&mut bytes)?;
                bytes[20] ^= 1;
                self.folder.put(segment, &mut bytes.as_slice())
            }
            _ => self.folder.put(segment, body),
        }
    }

    fn length(&self, segment: u32) -> io::Result<u64> {
        self.waits();
        self.folder.length(segment)
    }

    fn read(&self, segment: u32, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.waits();
        self.folder.read(segment, offset, buffer)
    }

    fn amend(&self, segment: u32, patches: &[(u64, Vec<u8>)]) -> io::Result<()> {
        self.folder.amend(segment, patches)
    }
}

#[test]
fn a_full_or_lying_shelf_removes_nothing_and_a_hanging_one_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let faulty = Faulty::new(&folder.path().join("shelf"), Duration::from_secs(1));
    let blocks = folder.path().join("blocks");
    let (store, _) = Segments::open_with(&blocks, CONFIG, Some(faulty.clone())).unwrap();
    fill(&store, 1..=HEIGHTS);
    for fault in [Fault::Full, Fault::Forgets] {
        faulty.set(fault);
        assert!(matches!(store.cool(0, &mut |_| true), Err(StoreError::Away { .. })));
        assert!(blocks.join("0000000000.segment").exists() && files(&blocks, ".cold").is_empty());
        whole(&store);
    }
    faulty.set(Fault::None);
    cool_all(&store);
    faulty.set(Fault::Hangs);
    // The first read gives up after its time, those after it at once: far more of them than a wait each allows.
    for _ in 0..1000 {
        assert!(matches!(store.block(Id::Height(1)), Err(StoreError::Away { .. })));
    }
    fill(&store, [HEIGHTS + 1]);
    holds(&store, HEIGHTS + 1);
    faulty.set(Fault::None);
    // What was asked while it hung is answered to nobody; then it is there.
    while store.probe().is_err() {
        std::thread::yield_now();
    }
    whole_with(&store, HEIGHTS + 1);
}

#[test]
fn a_slow_shelf_is_waited_for_by_those_who_serve_and_briefly_by_consensus() {
    let folder = tempfile::tempdir().unwrap();
    let faulty = Faulty::new(&folder.path().join("shelf"), Duration::from_secs(120));
    let (store, _) =
        Segments::open_with(&folder.path().join("blocks"), CONFIG, Some(faulty.clone())).unwrap();
    fill(&store, 1..=HEIGHTS);
    cool_all(&store);
    faulty.set(Fault::Hangs);
    let (reader, serving) = (store.reader(), store.reader());
    let served = std::thread::spawn(move || serving.block(1).unwrap());
    for _ in 0..3 {
        assert!(matches!(store.block(Id::Height(1)), Err(StoreError::Away { .. })));
    }
    faulty.set(Fault::None);
    assert_eq!(served.join().unwrap(), Some(block(1).bytes));
    // Nobody took it for away.
    assert_eq!(reader.block(1).unwrap(), Some(block(1).bytes));
}
