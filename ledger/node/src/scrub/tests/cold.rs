//! Blocks at a second location: moved, served and scrubbed there; the location damaged, missing, full.
use super::*;
use crate::cold::Mover;
use engine::{Folder, Shelf};

/// Smaller than elsewhere, so that some segments hold old blocks alone.
const SMALL: SegmentsConfig = SegmentsConfig { segment_bytes_max: 1500, record_bytes_max: 64 << 20 };

fn shelf(dir: &Path) -> PathBuf {
    dir.join("shelf")
}

fn open(dir: &Path, chain: &Arc<Chain>, runtime: &Handle) -> Node {
    let folder: Arc<dyn Shelf> = Arc::new(Folder::new(&shelf(dir)));
    Node::open_with(dir, chain, runtime, true, (SMALL, Some(folder)))
}

/// One look of the mover.
fn move_old(node: &Node, after_blocks: u64) {
    let (_stop, stopping) = watch::channel(false);
    let mover = Mover {
        shared: node.shared.clone(),
        after_blocks,
        bytes_per_s: u64::MAX,
        snapshots: node.scrubber.folders.snapshots.clone(),
        turn: Duration::ZERO,
        runtime: node.scrubber.runtime.clone(),
        stopping,
    };
    mover.once();
}

fn open_alarms(node: &Node) -> Vec<Code> {
    node.shared.alarms.newest(99).iter().filter(|alarm| !alarm.repaired).map(|alarm| alarm.code).collect()
}

/// A folder of which the oldest blocks were moved.
fn moved(chain: &Arc<Chain>, runtime: &Handle) -> TempDir {
    let dir = pristine_with(chain, runtime, SMALL);
    let node = open(dir.path(), chain, runtime);
    move_old(&node, HEIGHT + 1);
    assert_eq!(node.shared.store.cold_share().segments, 0, "nothing is so old");
    move_old(&node, 1);
    let share = node.shared.store.cold_share();
    assert!(share.segments >= 2, "{share:?}");
    // The oldest snapshot is that of height 4: what a restart executes again stays.
    let held = |height| {
        let bytes = &chain.blocks[&height].bytes;
        files(&shelf(dir.path())).values().any(|file| file.windows(bytes.len()).any(|at| at == *bytes))
    };
    assert!(held(1) && !(4..=HEIGHT).any(held));
    holds_everything(&node, chain, "moved");
    let status = node.scrub();
    assert_eq!((status.runs, status.found, status.unrepaired), (1, 0, 0));
    assert_eq!(node.shared.alarms.counts(), (0, 0));
    dir
}

#[test]
fn a_byte_flipped_at_the_second_location_or_in_its_notes_is_found_by_one_scrub_and_put_right() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (chain, mut random) = (Arc::new(Chain::new()), Random::new());
    let whole = moved(&chain, runtime.handle());
    let mut flips = HashMap::<String, usize>::new();
    let cold = |path: &Path| {
        let name = path.to_str().unwrap();
        name.starts_with("shelf/") || name.ends_with(".cold") || name.ends_with("cold-mark")
    };
    for (path, bytes) in files(whole.path()).iter().filter(|(path, _)| cold(path)) {
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or("mark").to_owned();
        let places =
            if kind == "segment" { regions_of_segment(bytes) } else { (0..bytes.len()).step_by(9).collect() };
        for at in places {
            let dir = tempfile::tempdir().unwrap();
            copy(whole.path(), dir.path());
            let node = open(dir.path(), &chain, runtime.handle());
            let mask = 1 << random.below(8);
            flip(&dir.path().join(path), at, mask);
            let what = format!("{} byte {at} mask {mask:#x}", path.display());
            if path.ends_with("keyward-cold") {
                // The location is not known for ours any more: somebody must look, and nothing is touched.
                move_old(&node, 1);
                assert_eq!(open_alarms(&node), [Code::ColdAway], "{what}");
                continue;
            }
            let status = node.scrub();
            assert!(status.found > 0, "{what}: found");
            assert_eq!(
                (status.runs, status.unrepaired),
                (1, 0),
                "{what}: {:?}",
                node.shared.alarms.newest(9)
            );
            assert!(open_alarms(&node).is_empty() && node.shared.alarms.counts().0 > 0, "{what}");
            holds_everything(&node, &chain, &what);
            let again = node.scrub();
            assert_eq!((again.runs, again.found), (2, 0), "{what}: {:?}", node.shared.alarms.newest(9));
            drop(node);
            let node = open(dir.path(), &chain, runtime.handle());
            holds_everything(&node, &chain, &what);
            *flips.entry(kind.clone()).or_default() += 1;
        }
    }
    println!("flipped, found and put right: {flips:?}");
    assert_eq!(flips.len(), 3, "segments, notes, the mark: {flips:?}");
}

#[test]
fn a_second_location_that_is_missing_is_an_alarm_and_comes_back_with_all_its_blocks() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let chain = Arc::new(Chain::new());
    let dir = moved(&chain, runtime.handle());
    let away = dir.path().join("away");
    for at_the_start in [false, true] {
        let mut node = open(dir.path(), &chain, runtime.handle());
        if at_the_start {
            drop(node);
            fs::rename(shelf(dir.path()), &away).unwrap();
            node = open(dir.path(), &chain, runtime.handle());
        } else {
            fs::rename(shelf(dir.path()), &away).unwrap();
        }
        assert_eq!(node.shared.view().ledger.height(), HEIGHT, "recovered without it");
        let before = files(&dir.path().join("blocks"));
        move_old(&node, 1);
        assert_eq!(open_alarms(&node), [Code::ColdAway]);
        assert_eq!(crate::repair::stored(&node.shared, 1), None, "neither served nor taken for lost");
        let status = node.scrub();
        assert_eq!((status.runs, status.unrepaired), (0, 1), "what can be read was read: {status:?}");
        assert_eq!(open_alarms(&node), [Code::ColdAway], "{:?}", node.shared.alarms.newest(9));
        assert_eq!(files(&dir.path().join("blocks")), before, "nothing was brought back, removed or doubled");
        assert!(!shelf(dir.path()).exists(), "nor made where it was");
        fs::rename(&away, shelf(dir.path())).unwrap();
        move_old(&node, 1);
        assert!(open_alarms(&node).is_empty());
        holds_everything(&node, &chain, "back");
        assert_eq!((node.scrub().runs, node.scrub().found), (1, 0));
    }
}

#[test]
fn a_segment_removed_from_the_second_location_comes_back_from_the_others() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let chain = Arc::new(Chain::new());
    let dir = moved(&chain, runtime.handle());
    let node = open(dir.path(), &chain, runtime.handle());
    fs::remove_file(shelf(dir.path()).join("0000000000.segment")).unwrap();
    let status = node.scrub();
    assert!(status.found > 0 && (status.runs, status.unrepaired) == (1, 0), "{status:?}");
    holds_everything(&node, &chain, "brought back");
    assert_eq!(node.scrub().found, 0);
}

#[test]
fn a_full_second_location_is_an_alarm_and_every_block_stays() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let chain = Arc::new(Chain::new());
    let dir = pristine_with(&chain, runtime.handle(), SMALL);
    let node = open(dir.path(), &chain, runtime.handle());
    // What is written beside first cannot be: root may write everywhere, but nobody into a folder.
    fs::create_dir(shelf(dir.path()).join("segment.new")).unwrap();
    let before = files(&dir.path().join("blocks"));
    move_old(&node, 1);
    assert_eq!(open_alarms(&node), [Code::ColdAway]);
    assert_eq!(files(&dir.path().join("blocks")), before);
    holds_everything(&node, &chain, "full");
    fs::remove_dir(shelf(dir.path()).join("segment.new")).unwrap();
    move_old(&node, 1);
    assert!(open_alarms(&node).is_empty() && node.shared.store.cold_share().segments > 0);
}
