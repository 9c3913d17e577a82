//! Where each record lies, in memory, rebuilt on open.
use crate::{Id, Kind};
use std::collections::{BTreeMap, HashMap};

/// The place of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) segment: u32,
    pub(super) offset: u64,
    pub(super) length: u32,
}

/// Records of one kind by height, and the runs of heights without gaps.
#[derive(Debug, Default)]
struct Table {
    records: BTreeMap<u64, Location>,
    /// First height of a run to its last.
    runs: BTreeMap<u64, u64>,
}

impl Table {
    fn insert(&mut self, height: u64, location: Location) {
        self.records.insert(height, location);
        let (mut first, mut last) = (height, height);
        if let Some((&start, &end)) = self.runs.range(..=height).next_back() {
            if end >= height {
                return;
            }
            if end.checked_add(1) == Some(height) {
                first = start;
            }
        }
        if let Some(end) = height.checked_add(1).and_then(|next| self.runs.remove(&next)) {
            last = end;
        }
        self.runs.insert(first, last);
    }

    fn remove(&mut self, height: u64) {
        if self.records.remove(&height).is_none() {
            return;
        }
        let Some((&first, &last)) = self.runs.range(..=height).next_back() else { return };
        self.runs.remove(&first);
        if first < height {
            self.runs.insert(first, height - 1);
        }
        if height < last {
            self.runs.insert(height + 1, last);
        }
    }

    fn run_at_or_after(&self, height: u64) -> Option<(u64, u64)> {
        let below = self.runs.range(..=height).next_back().filter(|(_, last)| **last >= height);
        let found = below.or_else(|| self.runs.range(height..).next());
        found.map(|(first, last)| (*first, *last))
    }
}

/// The index of a store.
#[derive(Debug, Default)]
pub(super) struct Index {
    blocks: Table,
    certificates: Table,
    heights: HashMap<[u8; 32], u64>,
}

impl Index {
    fn table(&self, kind: Kind) -> &Table {
        match kind {
            Kind::Block => &self.blocks,
            Kind::Certificate => &self.certificates,
        }
    }

    fn table_mut(&mut self, kind: Kind) -> &mut Table {
        match kind {
            Kind::Block => &mut self.blocks,
            Kind::Certificate => &mut self.certificates,
        }
    }

    /// The first record at a height stays.
    pub(super) fn insert(&mut self, kind: Kind, height: u64, digest: [u8; 32], location: Location) -> bool {
        if self.table(kind).records.contains_key(&height) {
            return false;
        }
        self.table_mut(kind).insert(height, location);
        self.heights.insert(digest, height);
        true
    }

    pub(super) fn remove(&mut self, kind: Kind, height: u64) {
        self.table_mut(kind).remove(height);
    }

    pub(super) fn find(&self, kind: Kind, id: Id) -> Option<(u64, Location)> {
        let height = match id {
            Id::Height(height) => height,
            Id::Digest(digest) => *self.heights.get(&digest)?,
        };
        self.table(kind).records.get(&height).map(|location| (height, *location))
    }

    pub(super) fn at_or_after(&self, kind: Kind, height: u64) -> Option<(u64, Location)> {
        let found = self.table(kind).records.range(height..).next();
        found.map(|(height, location)| (*height, *location))
    }

    pub(super) fn run_at_or_after(&self, kind: Kind, height: u64) -> Option<(u64, u64)> {
        self.table(kind).run_at_or_after(height)
    }

    pub(super) fn last(&self, kind: Kind) -> Option<u64> {
        self.table(kind).records.last_key_value().map(|(height, _)| *height)
    }

    /// What lies in a segment from `offset` on, in the order of the file. Looks at every record.
    pub(super) fn in_segment(&self, segment: u32, offset: u64) -> Vec<(Kind, u64, Location)> {
        let all = [Kind::Block, Kind::Certificate].into_iter().flat_map(|kind| {
            self.table(kind).records.iter().map(move |(height, location)| (kind, *height, *location))
        });
        let mut found: Vec<_> =
            all.filter(|(_, _, at)| at.segment == segment && at.offset >= offset).collect();
        found.sort_unstable_by_key(|(_, _, at)| at.offset);
        found
    }

    pub(super) fn count(&self) -> usize {
        self.blocks.records.len() + self.certificates.records.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_merge_and_split_like_a_plain_set() {
        let location = Location { segment: 0, offset: 0, length: 0 };
        let (mut table, mut set) = (Table::default(), std::collections::BTreeSet::new());
        let mut random = 1u64;
        for _ in 0..4000 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (height, put) = ((random >> 33) % 40, (random >> 60) > 5);
            if put {
                table.insert(height, location);
                set.insert(height);
            } else {
                table.remove(height);
                set.remove(&height);
            }
            let mut runs: Vec<(u64, u64)> = Vec::new();
            for height in &set {
                match runs.last_mut() {
                    Some(run) if run.1 + 1 == *height => run.1 = *height,
                    _ => runs.push((*height, *height)),
                }
            }
            assert_eq!(table.runs.iter().map(|(a, b)| (*a, *b)).collect::<Vec<_>>(), runs);
            for at in 0..41 {
                let expected = runs.iter().find(|(_, last)| *last >= at).copied();
                assert_eq!(table.run_at_or_after(at), expected);
            }
        }
    }
}
