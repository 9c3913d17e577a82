//! What a person's side keeps: the same leaves as the root, and none that was erased.

use super::{own, root};
use crate::seeded::Seeded;
use crate::unlinkable::*;

fn leaf(view: &ViewingLeaf) -> [u8; 32] {
    view.expose(|bytes| *bytes)
}

/// Ends of ranges near boundaries of subtrees and of the numbers, and some of everywhere.
fn places(random: &mut Seeded) -> Vec<u32> {
    let fixed = [0, 1, 2, 3, 7, 8, 1023, 1024, (1 << 31) - 1, 1 << 31, u32::MAX - 2, u32::MAX - 1];
    let others = (0..20).map(|_| u32::try_from(random.below(1 << 32)).unwrap());
    fixed.into_iter().chain(others).collect()
}

#[test]
fn what_is_left_agrees_with_the_root_and_shows_nothing_that_was_erased() {
    let (root, mut random) = (root(1), Seeded::printed());
    for last in places(&mut random).into_iter().filter(|last| *last < u32::MAX) {
        let left = PuncturedViewing::from_root(&root).after(last).unwrap();
        assert_eq!(left.first(), last + 1);
        let mut epochs = places(&mut random);
        epochs.extend([last.saturating_sub(1), last, last + 1, last.saturating_add(2), u32::MAX]);
        for epoch in epochs {
            let found = left.viewing_leaf(epoch);
            assert_eq!(found.is_some(), epoch > last, "{epoch} after {last}");
            if let Some(found) = found {
                assert_eq!(leaf(&found), leaf(&root.viewing_leaf(epoch)), "{epoch} after {last}");
            }
            let point = left.spending_leaf(epoch).unwrap().point();
            assert_eq!(point, root.spending_leaf(epoch).unwrap().point());
        }
    }
}

#[test]
fn its_bytes_hold_no_node_above_an_erased_epoch() {
    let (root, mut random) = (root(2), Seeded::printed());
    for last in places(&mut random).into_iter().filter(|last| *last < u32::MAX) {
        let bytes = PuncturedViewing::from_root(&root).after(last).unwrap().encode().expose(<[u8]>::to_vec);
        // The way from the root to the last erased leaf, every node of it.
        let mut above: Vec<[u8; 32]> = Vec::new();
        for depth in 0..=32 {
            above.push(*root.viewing().below(depth, last).secret);
        }
        root.expose(|root| above.push(*root));
        for node in above {
            assert!(!bytes.windows(32).any(|window| window == node), "after {last}");
        }
    }
}

#[test]
fn steps_come_to_the_same_as_one_and_an_epoch_is_erased_once() {
    let (root, mut random) = (root(3), Seeded::printed());
    let mut steps = places(&mut random);
    steps.retain(|last| *last < u32::MAX);
    steps.sort_unstable();
    let mut left = PuncturedViewing::from_root(&root);
    for last in steps {
        left = left.after(last).unwrap();
        let at_once = PuncturedViewing::from_root(&root).after(last).unwrap();
        assert!(at_once.encode().expose(|bytes| left.encode().matches(bytes)));
        // Again, and an earlier one: nothing changes, nothing comes back.
        left = left.after(last).unwrap().after(last / 2).unwrap();
        assert_eq!(left.first(), last + 1);
    }
    let refused = left.after(u32::MAX).unwrap_err();
    assert!(matches!(refused, AddressError::Erased { epoch: u32::MAX }));
}

#[test]
fn covers_are_those_of_the_root_and_none_reaches_back() {
    let (root, mut random) = (root(4), Seeded::printed());
    let ends = places(&mut random);
    for (&last, (&one, &other)) in ends.iter().zip(ends.iter().rev().zip(ends.iter().skip(3))) {
        let Ok(left) = PuncturedViewing::from_root(&root).after(last) else { continue };
        let (first, to) = (one.min(other), one.max(other));
        let found = left.cover(first..=to);
        assert_eq!(found.is_some(), first > last, "{first}..={to} after {last}");
        if let Some(found) = found {
            let expected = ViewingCover::of(&root, first..=to).encode();
            assert!(expected.expose(|bytes| found.encode().matches(bytes)));
        }
        let (first, to) = (last.saturating_add(2), last.saturating_add(1));
        assert!(left.cover(first..=to).is_none_or(|_| first <= to), "an empty range has no cover");
    }
}

#[test]
fn it_signs_and_sees_in_later_epochs_as_the_root_does() {
    let root = root(5);
    let left = PuncturedViewing::from_root(&root).after(99).unwrap();
    let point = left.spending_leaf(100).unwrap().point();
    let seen = EpochAddresses::new(left.viewing_leaf(100).unwrap(), point);
    assert_eq!(seen.address(7).unwrap(), own(&root, 100).address(7).unwrap());
}

#[test]
fn bytes_of_another_shape_are_refused() {
    let left = PuncturedViewing::from_root(&root(6)).after(99).unwrap();
    let good = left.encode().expose(<[u8]>::to_vec);
    let read = PuncturedViewing::decode(&good).unwrap();
    assert!(read.encode().matches(&good) && read.first() == 100);
    for end in 0..good.len() {
        assert!(PuncturedViewing::decode(&good[..end]).is_err());
    }
    for more in [1, 32] {
        assert!(PuncturedViewing::decode(&[&good[..], &vec![0; more]].concat()).is_err());
    }
    let mut other = good.clone();
    other[0] = 2;
    assert!(matches!(PuncturedViewing::decode(&other), Err(AddressError::Version { version: 2, .. })));
    // From another epoch on there are other nodes: 96 = 100 with fewer bits has fewer.
    let mut other = good;
    other[4] = 96;
    assert!(matches!(PuncturedViewing::decode(&other), Err(AddressError::Malformed { .. })));
    assert_eq!(format!("{left:?}"), "PuncturedViewing(from 100, redacted)");
}
