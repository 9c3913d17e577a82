//! Who guesses: with the whole ledger, a validator's state, and all traffic of one app, whose accounts it knows, and when its requests
//! arrived at the service.
//!
//! What it can compare, it compares: equal fields, and addresses that would differ by what everybody can compute. Of all else it
//! learns from its app's traffic how often each account's acts have which feature, and which features tell one account's from another's
//! there, and weighs the two (naive Bayes).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use k256::ProjectivePoint;
use keyward_crypto::unlinkable::{ViewingLeaf, detail_is_for};
use keyward_ledger_core::entry::{Custody, UseAddress};
use keyward_ledger_core::record::Record;
use keyward_ledger_core::state::Tree;
use keyward_ledger_core::state::addresses::used_address_key;

use super::act::public_tweak;
use super::game::{Challenge, Label, offset_ms, use_of};
use super::traces::Traces;

/// How many indices of a derivation that everybody can compute are tried.
const INDICES: u32 = 32;
/// What an equality weighs: more than all features together.
const CERTAIN: f64 = 1_000.0;
/// What an account's kind says weighs as much as so many acts of its own.
const PRIOR: f64 = 4.0;
/// A feature counts that says so many standard errors more than nothing.
const ERRORS: f64 = 2.0;

/// The viewing leaves that a grant gave away, by account.
pub type Leaves = HashMap<usize, Vec<ViewingLeaf>>;

/// One act as everybody sees it.
struct Seen {
    used: UseAddress,
    features: Vec<u64>,
    /// What must never be equal for two acts of different accounts, and would link two of the same.
    marks: Vec<Vec<u8>>,
}

/// Of one account, of all accounts of a kind, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whose {
    One(usize),
    Kind(Custody),
    All,
}

pub struct Adversary {
    acts: BTreeMap<u64, Seen>,
    labels: BTreeMap<u64, usize>,
    /// How often acts of an account have a feature's value, and how many acts it has.
    counts: HashMap<(usize, u64, Whose), f64>,
    totals: HashMap<Whose, f64>,
    values: Vec<f64>,
    /// The features that say something.
    telling: Vec<usize>,
    /// What the ledger says of each account's root.
    kinds: Vec<Custody>,
    marked: HashMap<Vec<u8>, usize>,
}

impl Adversary {
    pub fn new(
        records: &[Record],
        state: &Tree,
        labelled: &[Label],
        leaves: &Leaves,
        kinds: Vec<Custody>,
    ) -> Self {
        let traces = Traces::of(records, labelled);
        let mut acts = BTreeMap::new();
        let mut tweaks = HashMap::new();
        for (at, record) in (0..).zip(records) {
            let Some(used) = use_of(record) else { continue };
            let mut features = features(record, state, &used);
            features.extend(traces.features(at, &used));
            let points: &Vec<ProjectivePoint> =
                tweaks.entry(used.epoch).or_insert_with(|| tweak_points(used.epoch));
            let marks = marks(&used, points);
            acts.insert(at, Seen { used, features, marks });
        }
        let mut adversary = Self {
            acts,
            labels: labelled.iter().map(|label| (label.leaf_index, label.owner)).collect(),
            counts: HashMap::new(),
            totals: HashMap::new(),
            values: Vec::new(),
            telling: Vec::new(),
            kinds,
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
            for whose in [Whose::One(*owner), Whose::Kind(self.kinds[*owner]), Whose::All] {
                *self.totals.entry(whose).or_default() += 1.0;
                for (feature, value) in seen.features.iter().enumerate() {
                    *self.counts.entry((feature, *value, whose)).or_default() += 1.0;
                    values[feature].insert(*value);
                }
            }
            for mark in &seen.marks {
                self.marked.insert(mark.clone(), *owner);
            }
        }
        self.values = values.iter().map(|values| values.len() as f64 + 1.0).collect();
        self.telling = (0..count).filter(|feature| self.tells(*feature)).collect();
    }

    /// Whether a feature of acts with known authors says more of each than chance would, as those of all others teach it.
    fn tells(&self, feature: usize) -> bool {
        let known = self.labels.iter().filter_map(|(at, owner)| Some((self.acts.get(at)?, *owner)));
        let gain = |(seen, owner): (&Seen, usize)| {
            let value = seen.features[feature];
            (self.share(feature, value, owner, 1.0) / self.of_all(feature, value)).ln()
        };
        let gains: Vec<f64> = known.map(gain).collect();
        let count = gains.len() as f64;
        let mean = gains.iter().sum::<f64>() / count;
        let squares: f64 = gains.iter().map(|gain| (gain - mean).powi(2)).sum();
        mean > ERRORS * (squares / (count * count)).sqrt()
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
        let share = |feature: &usize| self.share(*feature, seen.features[*feature], owner, 0.0).ln();
        let learned: f64 = self.telling.iter().map(share).sum();
        learned + if known || marked { CERTAIN } else { 0.0 }
    }

    /// How many of an account's acts have a feature's value: as many as of its kind, until its own say otherwise. Without so many of the
    /// account's own that have it.
    fn share(&self, feature: usize, value: u64, owner: usize, without: f64) -> f64 {
        let (one, kind) = (Whose::One(owner), Whose::Kind(self.kinds[owner]));
        let of_kind = (self.count(feature, value, kind) - without + 1.0)
            / (self.total(kind) - without + self.values[feature]);
        (self.count(feature, value, one) - without + PRIOR * of_kind) / (self.total(one) - without + PRIOR)
    }

    fn of_all(&self, feature: usize, value: u64) -> f64 {
        self.count(feature, value, Whose::All) / (self.total(Whose::All) - 1.0 + self.values[feature])
    }

    fn count(&self, feature: usize, value: u64, whose: Whose) -> f64 {
        self.counts.get(&(feature, value, whose)).copied().unwrap_or_default()
    }

    fn total(&self, whose: Whose) -> f64 {
        self.totals.get(&whose).copied().unwrap_or_default()
    }
}

/// Everything about an act's own record that could say something of its author. The same features for all.
fn features(record: &Record, state: &Tree, used: &UseAddress) -> Vec<u64> {
    let nibble = |byte: u8| u64::from(byte >> 4);
    let detail = &used.detail;
    let kept = state.get(&used_address_key(&used.x())).map_or(0, <[u8]>::len);
    vec![
        u64::from(record.submitter[0]),
        u64::from(used.executor == record.submitter),
        // When.
        offset_ms(record.time_ms) / 6_000,
        record.time_ms % 10,
        // What its fields look like.
        u64::from(used.public_key[0]),
        nibble(used.public_key[1]),
        nibble(used.id[0]),
        nibble(used.commitment[0]),
        nibble(used.proof[0]),
        nibble(used.proof[32]),
        u64::from(used.proof[63] & 1),
        used.scheme as u64,
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
