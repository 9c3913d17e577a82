//! What a ledger holds beside uses, as everybody finds it: when a use was released, and what was recorded around it.

use std::collections::{BTreeMap, HashMap, HashSet};

use keyward_ledger_core::entry::{Entry, UseAddress};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::record::Record;

use super::game::Label;
use crate::town::{END_STEP_BLOCKS, not_after};

/// How fine an arrival is told from another one.
const ARRIVAL_MS: u64 = 40;
/// How fine it is told how much later a release comes.
const RELEASED_MS: u64 = 1_000;
/// Blocks beyond which nothing is told apart.
const FAR: u64 = 15;

/// The adversary's own acts, or their releases, by their place in the log.
type Own = BTreeMap<u64, Label>;

pub struct Traces<'a> {
    records: &'a [Record],
    /// How many entries a batch has.
    sizes: HashMap<([u8; 32], u64), u64>,
    uses: Own,
    releases: Own,
    /// The first release of an intent by its executor.
    released: HashMap<(Hash, Hash), u64>,
    /// Places of closings, with their tags' first bytes; of announcements, of openings of cases, and of their ends.
    closings: BTreeMap<u64, u8>,
    announced: BTreeMap<u64, u8>,
    opened: BTreeMap<u64, u8>,
    used_up: BTreeMap<u64, u8>,
    /// The x of whatever was announced.
    ephemeral: HashSet<Vec<u8>>,
    tags: HashSet<Hash>,
}

impl<'a> Traces<'a> {
    pub fn of(records: &'a [Record], labelled: &[Label]) -> Self {
        let uses: Own = labelled.iter().map(|label| (label.leaf_index, *label)).collect();
        let mut traces = Self {
            records,
            sizes: HashMap::new(),
            uses,
            releases: BTreeMap::new(),
            released: HashMap::new(),
            closings: BTreeMap::new(),
            announced: BTreeMap::new(),
            opened: BTreeMap::new(),
            used_up: BTreeMap::new(),
            ephemeral: HashSet::new(),
            tags: HashSet::new(),
        };
        for (at, record) in (0..).zip(records) {
            traces.read(at, record);
        }
        for label in labelled {
            let executor = records[label.leaf_index as usize].submitter;
            if let Some(at) = traces.released.get(&(executor, label.intent)) {
                traces.releases.insert(*at, *label);
            }
        }
        traces
    }

    fn read(&mut self, at: u64, record: &Record) {
        *self.sizes.entry((record.submitter, record.sequence)).or_default() += 1;
        match Entry::decode(&record.entry) {
            Ok(Entry::Release(release)) => {
                self.released.entry((record.submitter, release.intent_id)).or_insert(at);
            }
            Ok(Entry::CloseEpoch(close)) => {
                self.closings.insert(at, close.tag[0]);
                self.tags.insert(close.tag);
            }
            Ok(Entry::AnnouncePayment(announce)) => {
                self.announced.insert(at, announce.payment[0]);
                self.ephemeral.extend(announce.payment.windows(32).map(<[u8]>::to_vec));
            }
            Ok(Entry::OpenBlindCase(open)) => drop(self.opened.insert(at, open.lock[0])),
            Ok(Entry::UseBlindCase(case)) => drop(self.used_up.insert(at, case.case[0])),
            _ => {}
        }
    }

    /// Everything beside its own fields that could say something of a use's author.
    pub fn features(&self, at: u64, used: &UseAddress) -> Vec<u64> {
        let record = &self.records[at as usize];
        let mut features = self.place(&self.uses, at);
        features.extend(self.release(at, used));
        let (behind, ahead) = (|of| self.behind(of, at), |of| self.ahead(of, at));
        let [last, next] = [self.closings.range(..at).next_back(), self.closings.range(at..).next()];
        let nibble = |found: Option<(&u64, &u8)>| found.map_or(16, |(_, tag)| u64::from(tag >> 4));
        features.extend([
            behind(&self.closings),
            ahead(&self.closings),
            nibble(last),
            nibble(next),
            self.in_block(&self.closings, at),
            behind(&self.announced),
            ahead(&self.announced),
            behind(&self.opened),
            behind(&self.used_up),
            self.in_block(&self.used_up, at),
            // Its end: whether it was begun before the ends went on, and how far it is.
            not_after(record.height).abs_diff(used.not_after) / END_STEP_BLOCKS,
            (record.height + 4096 - used.not_after.min(record.height + 4096)).min(64),
            u64::from(self.ephemeral.contains(&used.x()[..])),
            u64::from(self.tags.contains(&used.id) || self.tags.contains(&used.commitment)),
        ]);
        features
    }

    /// When it was released, and where that stands.
    fn release(&self, at: u64, used: &UseAddress) -> Vec<u64> {
        let released = self.released.get(&(used.executor, used.id));
        let Some(released) = released else { return vec![0; 3 + self.place(&self.releases, at).len()] };
        let height = |at: u64| self.records[at as usize].height;
        let time_ms = |at: u64| self.records[at as usize].time_ms;
        let mut features = vec![
            1 + height(*released) - height(at),
            1 + (time_ms(*released) - time_ms(at)) / RELEASED_MS,
            (released - at) / 16,
        ];
        features.extend(self.place(&self.releases, *released));
        features
    }

    /// Its place in the batch, the batch, and whose acts of the own app stand nearest to it, in its batch and in the whole log; when
    /// those arrived, how many stand before it, and how many of the early ones do.
    fn place(&self, own: &Own, at: u64) -> Vec<u64> {
        let record = &self.records[at as usize];
        let size = self.sizes[&(record.submitter, record.sequence)];
        let label = |found: Option<(&u64, &Label)>| found.map_or(0, |(_, own)| own.owner as u64 + 1);
        let arrival =
            |found: Option<(&u64, &Label)>| found.map_or(0, |(_, own)| own.arrived_ms / ARRIVAL_MS + 1);
        let first = at - u64::from(record.index);
        let (before, after) = (|| own.range(first..at), || own.range(at + 1..first + size));
        let arrived_before = before().filter(|(_, own)| own.arrived_ms < 4 * ARRIVAL_MS).count() as u64;
        vec![
            u64::from(record.index) * 8 / size,
            size / 8,
            label(before().next_back()),
            label(after().next()),
            label(own.range(..at).next_back()),
            label(own.range(at + 1..).next()),
            arrival(before().next_back()),
            arrival(after().next()),
            before().count() as u64,
            arrived_before,
        ]
    }

    fn behind(&self, of: &BTreeMap<u64, u8>, at: u64) -> u64 {
        let found = of.range(..at).next_back();
        found.map_or(FAR, |(place, _)| self.blocks(*place, at))
    }

    fn ahead(&self, of: &BTreeMap<u64, u8>, at: u64) -> u64 {
        let found = of.range(at..).next();
        found.map_or(FAR, |(place, _)| self.blocks(at, *place))
    }

    fn blocks(&self, one: u64, other: u64) -> u64 {
        (self.records[other as usize].height - self.records[one as usize].height).min(FAR)
    }

    fn in_block(&self, of: &BTreeMap<u64, u8>, at: u64) -> u64 {
        let height = self.records[at as usize].height;
        let within = |(place, _): &(&u64, &u8)| self.records[**place as usize].height == height;
        let (before, after) = (of.range(..at).rev().take_while(within), of.range(at..).take_while(within));
        (before.count() + after.count()).min(FAR as usize) as u64
    }
}
