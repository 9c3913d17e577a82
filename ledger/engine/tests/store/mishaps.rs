//! What people and disks do to a store with a second location: a wrong folder, a cut inside a header, a write
//! that fails.
use super::{
    cold::{HEIGHTS, files, scrub, stored, whole},
    cool_all, fill, open,
};
use keyward_ledger_engine::{Folder, Shelf as _, StoreError};
use std::{fs, io::Write as _, path::Path};

fn bytes_of(folder: &Path) -> Vec<Vec<u8>> {
    files(folder, ".segment").iter().map(|name| fs::read(folder.join(name)).unwrap()).collect()
}

#[test]
fn a_folder_of_blocks_is_never_taken_for_a_second_location() {
    let (folder, _) = stored();
    let own = folder.path().join("blocks");
    let other = stored().0;
    let strange = folder.path().join("strange");
    fs::create_dir(&strange).unwrap();
    fs::copy(own.join("0000000000.segment"), strange.join("0000000003.segment")).unwrap();
    for wrong in [own.clone(), other.path().join("blocks"), strange.clone()] {
        let before = (bytes_of(&own), bytes_of(&wrong));
        let store = open(folder.path(), Some(&wrong));
        let said = store.probe().unwrap_err();
        assert!(matches!(said, StoreError::Away { .. }), "{said:?}");
        let segment = store.finished_below(u64::MAX, &[]).unwrap();
        assert!(matches!(store.cool(segment, &mut |_| true), Err(StoreError::Away { .. })));
        whole(&store);
        drop(store);
        assert_eq!((bytes_of(&own), bytes_of(&wrong)), before);
        assert!(!wrong.join("keyward-cold").exists());
    }
    // Not even with a mark in it, as an older Keyward left one.
    let mark = fs::read(own.join("cold-mark")).unwrap();
    fs::write(own.join("keyward-cold"), &mark[..32]).unwrap();
    assert!(Folder::new(&own).mark().is_err());
}

#[test]
fn a_finished_segment_cut_off_inside_a_header_is_filled_and_comes_back() {
    let (folder, _) = stored();
    let path = folder.path().join("blocks/0000000001.segment");
    let good = fs::read(&path).unwrap();
    let starts: Vec<_> =
        good.windows(4).enumerate().filter(|(_, window)| window == b"KWR1").map(|(at, _)| at).collect();
    let last = *starts.last().unwrap();
    for (start, moved) in [(0, false), (last, false), (last, true)] {
        for cut in [1, 4, 68, 69, 72, 73] {
            let what = format!("{cut} bytes after {start}, moved: {moved}");
            fs::write(&path, &good).unwrap();
            let copy = tempfile::tempdir().unwrap();
            super::cold::copy_folder(folder.path(), copy.path());
            let copied = copy.path().join("shelf");
            if moved {
                cool_all(&open(copy.path(), Some(&copied)));
                // With its note gone too, the cut is all that is known of the end.
                fs::remove_file(copy.path().join("blocks/0000000001.cold")).unwrap();
            }
            let place = if moved { copied.clone() } else { copy.path().join("blocks") };
            let file = fs::OpenOptions::new().write(true).open(place.join("0000000001.segment")).unwrap();
            file.set_len((start + cut) as u64).unwrap();
            let store = open(copy.path(), Some(&copied));
            assert!(scrub(&store).iter().any(|step| !step.damaged.is_empty()), "{what}: found");
            assert!(scrub(&store).iter().all(|step| step.damaged.is_empty()), "{what}: filled");
            fill(&store, 1..=HEIGHTS);
            whole(&store);
            drop(store);
            let store = open(copy.path(), Some(&copied));
            whole(&store);
            assert!(scrub(&store).iter().all(|step| step.damaged.is_empty()), "{what}: for good");
            cool_all(&store);
        }
    }
}

#[test]
fn what_a_failed_write_left_behind_the_last_record_keeps_no_segment_from_moving() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = folder.path().join("shelf");
    let store = open(folder.path(), Some(&shelf));
    for height in 1..=HEIGHTS {
        let grows = files(&folder.path().join("blocks"), ".segment").pop().unwrap();
        let grows = folder.path().join("blocks").join(grows);
        let mut file = fs::OpenOptions::new().append(true).open(grows).unwrap();
        file.write_all(&[7; 200]).unwrap();
        fill(&store, [height]);
    }
    cool_all(&store);
    whole(&store);
    assert!(scrub(&store).iter().all(|step| step.damaged.is_empty()));
    drop(store);
    whole(&open(folder.path(), Some(&shelf)));
}

#[test]
fn a_second_location_lost_for_good_is_given_up_by_a_word_and_its_blocks_come_back() {
    let (folder, shelf) = stored();
    cool_all(&open(folder.path(), Some(&shelf)));
    fs::remove_dir_all(&shelf).unwrap();
    let (away, other) = (folder.path().join("away/other"), folder.path().join("other"));
    // Without the word an empty folder is none of ours.
    assert!(open(folder.path(), Some(&other)).probe().is_err());
    fs::write(folder.path().join("blocks/cold-mark"), "new\n").unwrap();
    assert!(open(folder.path(), Some(&away)).probe().is_err(), "not there yet, and not forgotten");
    let store = open(folder.path(), Some(&other));
    store.probe().unwrap();
    assert!(!super::cold::lost(&scrub(&store)).is_empty());
    fill(&store, 1..=HEIGHTS);
    whole(&store);
    cool_all(&store);
    drop(store);
    let store = open(folder.path(), Some(&other));
    whole(&store);
    assert!(scrub(&store).iter().all(|step| step.damaged.is_empty()));
    // It stood for once.
    fs::remove_dir_all(&other).unwrap();
    assert!(store.probe().is_err());
}
