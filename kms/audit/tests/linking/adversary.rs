//! Who guesses: with the whole ledger, a validator's state, and all traffic of one app, whose accounts it knows, and when its requests
//! arrived at the service.
//!
//! What it can compare, it compares: equal fields, and addresses that would differ by what everybody can compute. Of all else it
//! learns from its app's traffic how often each account's acts have which feature, and weighs the two (naive Bayes).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use k256::ProjectivePoint;
use keyward_crypto::unlinkable::{ViewingLeaf, detail_is_for};
use keyward_ledger_core::entry::UseAddress;
use keyward_ledger_core::record::Record;
use keyward_ledger_core::state::Tree;
use keyward_ledger_core::state::addresses::used_address_key;

use super::game::{Challenge, Label, offset_ms, public_tweak, use_of};

/// How many indices of a derivation that everybody can compute are tried.
const INDICES: u32 = 32;
/// How fine an arrival is told from another one.
const ARRIVAL_MS: u64 = 40;
/// What an equality weighs: more than all features together.
const CERTAIN: f64 = 1_000.0;

/// The viewing leaves that a grant gave away, by account.
pub type Leaves = HashMap<usize, Vec<ViewingLeaf>>;

/// One act as everybody sees it.
struct Seen {
    used: UseAddress,
    features: Vec<u64>,
    /// What must never be equal for two acts of different accounts, and would link two of the same.
    marks: Vec<Vec<u8>>,
}

pub struct Adversary {
    acts: BTreeMap<u64, Seen>,
    labels: BTreeMap<u64, usize>,
    /// How often acts of an account have a feature's value, and how many acts it has.
    counts: HashMap<(usize, u64, usize), f64>,
    totals: HashMap<usize, f64>,
    values: Vec<f64>,
    marked: HashMap<Vec<u8>, usize>,
}

impl Adversary {
    pub fn new(records: &[Record], state: &Tree, labelled: &[Label], leaves: &Leaves) -> Self {
        let own: BTreeMap<u64, Label> = labelled.iter().map(|label| (label.leaf_index, *label)).collect();
        let mut acts = BTreeMap::new();
        let sizes = batch_sizes(records);
        let mut tweaks = HashMap::new();
        for (at, record) in (0..).zip(records) {
            let Some(used) = use_of(record) else { continue };
            let size = sizes[&(record.submitter, record.sequence)];
            let features = features(records, state, &own, at, &used, size);
            let points: &Vec<ProjectivePoint> =
                tweaks.entry(used.epoch).or_insert_with(|| tweak_points(used.epoch));
            let marks = marks(&used, points);
            acts.insert(at, Seen { used, features, marks });
        }
        let mut adversary = Self {
            acts,
            labels: own.into_iter().map(|(at, label)| (at, label.owner)).collect(),
            counts: HashMap::new(),
            totals: HashMap::new(),
            values: Vec::new(),
            marked: HashMap::new(),
        };
        adversary.open(leaves);
        adversary.learn();
        adversary
    }

    /// What its leaves open has a known author.
    fn open(&mut self, leaves: &Leaves) {
        for (at, seen) in &self.acts {
            let opens = |leaf: &ViewingLeaf| detail_is_for(leaf, &seen.used.id, &seen.used.detail);
            if let Some((owner, _)) = leaves.iter().find(|(_, leaves)| leaves.iter().any(opens)) {
                self.labels.insert(*at, *owner);
            }
        }
    }

    fn learn(&mut self) {
        let count = self.acts.values().next().map_or(0, |seen| seen.features.len());
        let mut values = vec![HashSet::new(); count];
        for (at, owner) in &self.labels {
            let Some(seen) = self.acts.get(at) else { continue };
            *self.totals.entry(*owner).or_default() += 1.0;
            for (feature, value) in seen.features.iter().enumerate() {
                *self.counts.entry((feature, *value, *owner)).or_default() += 1.0;
                values[feature].insert(*value);
            }
            for mark in &seen.marks {
                self.marked.insert(mark.clone(), *owner);
            }
        }
        self.values = values.iter().map(|values| values.len() as f64 + 1.0).collect();
    }

    /// Which of the two it was: 0 or 1.
    pub fn guess(&self, challenge: &Challenge) -> usize {
        let weight = |side: usize| self.weight(challenge, challenge.pair[side]);
        usize::from(weight(1) > weight(0))
    }

    /// How likely an account made it, as a logarithm up to a constant.
    fn weight(&self, challenge: &Challenge, owner: usize) -> f64 {
        let seen = &self.acts[&challenge.leaf_index];
        let known = self.labels.get(&challenge.leaf_index) == Some(&owner);
        let marked = seen.marks.iter().any(|mark| self.marked.get(mark) == Some(&owner));
        let total = self.totals.get(&owner).copied().unwrap_or_default();
        let learned: f64 = seen
            .features
            .iter()
            .enumerate()
            .map(|(feature, value)| {
                let count = self.counts.get(&(feature, *value, owner)).copied().unwrap_or_default();
                ((count + 1.0) / (total + self.values[feature])).ln()
            })
            .sum();
        learned + if known || marked { CERTAIN } else { 0.0 }
    }
}

fn batch_sizes(records: &[Record]) -> HashMap<([u8; 32], u64), u64> {
    let mut sizes = HashMap::new();
    for record in records {
        *sizes.entry((record.submitter, record.sequence)).or_default() += 1;
    }
    sizes
}

/// Everything about an act that could say something of its author. The same features for all.
fn features(
    records: &[Record],
    state: &Tree,
    own: &BTreeMap<u64, Label>,
    at: u64,
    used: &UseAddress,
    size: u64,
) -> Vec<u64> {
    let record = &records[at as usize];
    let nibble = |byte: u8| u64::from(byte >> 4);
    let detail = &used.detail;
    let label = |found: Option<(&u64, &Label)>| found.map_or(0, |(_, own)| own.owner as u64 + 1);
    let arrival = |found: Option<(&u64, &Label)>| found.map_or(0, |(_, own)| own.arrived_ms / ARRIVAL_MS + 1);
    let first = at - u64::from(record.index);
    let (before, after) = (|| own.range(first..at), || own.range(at + 1..first + size));
    let arrived_before = before().filter(|(_, own)| own.arrived_ms < 4 * ARRIVAL_MS).count() as u64;
    let kept = state.get(&used_address_key(&used.x())).map_or(0, <[u8]>::len);
    vec![
        u64::from(record.submitter[0]),
        u64::from(used.executor == record.submitter),
        // Its place in the batch, and the batch.
        u64::from(record.index) * 8 / size,
        size / 8,
        // When.
        offset_ms(record.time_ms) / 6_000,
        record.time_ms % 10,
        // Whose acts of the own app stand nearest to it, in its batch and in the whole log.
        label(before().next_back()),
        label(after().next()),
        label(own.range(..at).next_back()),
        label(own.range(at + 1..).next()),
        // When those arrived, how many stand before it, and how many of the early ones do.
        arrival(before().next_back()),
        arrival(after().next()),
        before().count() as u64,
        arrived_before,
        // What its fields look like.
        u64::from(used.public_key[0]),
        nibble(used.public_key[1]),
        nibble(used.id[0]),
        nibble(used.commitment[0]),
        nibble(used.proof[0]),
        nibble(used.proof[32]),
        u64::from(used.proof[63] & 1),
        used.scheme as u64,
        used.not_after - record.height,
        u64::from(used.limit.is_some()),
        used.limit.map_or(0, |limit| nibble(limit.handle[0])),
        // The detail.
        detail.len() as u64,
        u64::from(detail[0]),
        nibble(detail[1]),
        nibble(detail[33]),
        u64::from(*detail.last().unwrap() & 15),
        detail.iter().rev().take_while(|byte| **byte == 0).count().min(8) as u64,
        // A validator's state.
        kept as u64,
        record.outcome.data.len() as u64,
    ]
}

fn tweak_points(epoch: u32) -> Vec<ProjectivePoint> {
    (0..INDICES).map(|index| ProjectivePoint::GENERATOR * public_tweak(epoch, index)).collect()
}

/// Fields that would link two acts by being equal, each with a letter in front.
fn marks(used: &UseAddress, tweaks: &[ProjectivePoint]) -> Vec<Vec<u8>> {
    let mark = |letter: u8, bytes: &[u8]| [&[letter], bytes].concat();
    let mut marks: BTreeSet<Vec<u8>> = [
        mark(b'x', &used.x()),
        mark(b'i', &used.id),
        mark(b'c', &used.commitment),
        mark(b'd', &used.detail[1..33]),
        mark(b's', &used.detail[33..65]),
        mark(b'r', &used.proof[..32]),
    ]
    .into();
    marks.extend(used.limit.map(|limit| mark(b'h', &limit.handle)));
    let address = k256::PublicKey::from_sec1_bytes(&used.public_key).unwrap().to_projective();
    for tweak in tweaks {
        let base = k256::PublicKey::from_affine((address - tweak).to_affine());
        marks.extend(base.ok().map(|base| mark(b't', &base.to_sec1_bytes())));
    }
    marks.into_iter().collect()
}
