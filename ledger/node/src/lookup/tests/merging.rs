//! Runs that are merged, left apart, taken out, or cannot be opened for a while.

use std::{fs, path::Path};

use super::{
    super::{MergeFailed, Reference, RunFailed, is_time, reference},
    Layout, Lookup, Random, SMALL, World, files, noted,
};

/// Each block is written out, and two are merged.
const EACH: Layout = Layout { fresh_max: 1, blocks_max: 1, merged: 2, free_min: 0 };

fn names(dir: &Path) -> Vec<String> {
    files(dir).into_keys().collect()
}

fn run_name(first: u64, last: u64) -> String {
    format!("run-{first:020}-{last:020}")
}

#[test]
fn a_run_that_was_merged_meanwhile_is_not_cut_for_its_file_but_is_for_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let lookup = Lookup::open(dir.path(), &[7; 32], EACH).unwrap();
    lookup.note_for_test(1);
    let run = lookup.noted().runs.iter().next().unwrap().clone();
    let failed = RunFailed::of(&run)(std::io::ErrorKind::InvalidData.into());
    lookup.note_for_test(2);
    lookup.note_for_test(3);
    let held = [run_name(1, 2), run_name(3, 3)];
    assert_eq!(names(dir.path()), held);
    lookup.take_out(&failed);
    assert_eq!((lookup.covered(), names(dir.path())), (3, held.to_vec()), "it was read whole to be merged");
    // The block at its end says something else: so does what it was merged into.
    lookup.take_out_at(1);
    assert_eq!((lookup.covered(), names(dir.path())), (0, Vec::new()));
    // Another that stands at the same path by now is not the one that failed.
    lookup.note_for_test(1);
    lookup.take_out(&failed);
    assert_eq!((lookup.covered(), names(dir.path())), (1, vec![run_name(1, 1)]));
}

#[test]
fn a_merge_is_stopped_with_the_node_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let lookup = Lookup::open(dir.path(), &[7; 32], EACH).unwrap();
    let references = |height: u64| -> Vec<Reference> {
        let names = (0..5000_u64).map(|n| reference::reference(&u128::from(n).to_be_bytes(), height));
        names.filter(|reference| !is_time(reference)).collect()
    };
    lookup.note(1, &references(1), &|| true).unwrap();
    let stopped = lookup.note(2, &references(2), &|| true);
    assert!(matches!(stopped, Err(MergeFailed::Stopped)), "{stopped:?}");
    assert_eq!((lookup.covered(), names(dir.path())), (2, vec![run_name(1, 1), run_name(2, 2)]));
    lookup.note(3, &references(3), &|| false).unwrap();
    assert_eq!(names(dir.path()), [run_name(1, 2), run_name(3, 3)], "merged another time");
}

#[test]
fn runs_are_merged_only_where_the_disk_has_room_and_later_as_they_would_have_been() {
    let [dir, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let lookup = Lookup::open(dir.path(), &[7; 32], Layout { free_min: u64::MAX, ..EACH }).unwrap();
    (1..=5).for_each(|height| lookup.note_for_test(height));
    assert_eq!(lookup.covered(), 5, "nothing is behind");
    assert_eq!(names(dir.path()), [1, 2, 3, 4, 5].map(|height| run_name(height, height)));
    let lookup = Lookup::open(dir.path(), &[7; 32], EACH).unwrap();
    lookup.note_for_test(6);
    let always = Lookup::open(other.path(), &[7; 32], EACH).unwrap();
    (1..=6).for_each(|height| always.note_for_test(height));
    assert_eq!(files(dir.path()), files(other.path()));
    assert_eq!(names(dir.path()), [run_name(1, 4), run_name(5, 6)]);
}

#[test]
fn a_run_that_cannot_be_opened_now_is_left_with_those_behind_it_and_is_no_damage() {
    let mut random = Random::new();
    let world = World::new(&mut random);
    let (dir, before) = noted(&world);
    let (name, bytes) = before.iter().nth(1).unwrap();
    let path = dir.path().join(name);
    let (shared, _) = world.open(dir.path());
    let whole = shared.lookup.covered();
    // A link to itself: nobody can open it, whatever his rights.
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let failed = shared.lookup.read_all(|_| true).unwrap_err();
    assert!(!failed.is_damage(), "{failed:?}");
    let chain_id = world.genesis.chain_id();
    assert!(Lookup::open(dir.path(), chain_id, SMALL).unwrap().covered() < whole);
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    assert_eq!(Lookup::open(dir.path(), chain_id, SMALL).unwrap().covered(), whole);
    assert_eq!(files(dir.path()), before);
}

#[test]
fn what_passes_is_told_from_what_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let lookup = Lookup::open(dir.path(), &[7; 32], EACH).unwrap();
    lookup.note_for_test(1);
    let run = lookup.noted().runs.iter().next().unwrap().clone();
    use rustix::io::Errno;
    for (errno, is_damage) in [
        (Errno::MFILE, false),
        (Errno::NFILE, false),
        (Errno::ACCESS, false),
        (Errno::NOMEM, false),
        (Errno::IO, true),
        (Errno::NOENT, true),
    ] {
        assert_eq!(RunFailed::of(&run)(errno.into()).is_damage(), is_damage, "{errno}");
    }
}
