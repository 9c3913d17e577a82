//! Under what a record is noted: 24 bytes, `class u8 || name[15] || height u64`, that sort by class, name and height.

use keyward_ledger_core::{
    entry::kind_of,
    hash::Hash,
    question::{Question, subjects_of},
};
use sha2::{Digest, Sha256};

/// `class u8 || name[15]`.
pub(super) type Key = [u8; 16];
/// `key[16] || height u64`, big-endian: the order of the bytes is the order of what they say.
pub(super) type Reference = [u8; 24];

/// A block that has records.
const ANY: u8 = 0;
/// A block by its time.
const TIME: u8 = 1;
const ID: u8 = 2;
const SUBMITTER: u8 = 3;
const KIND: u8 = 4;
const SUBJECT: u8 = 5;

/// `ANY` has one name.
const ANY_KEY: Key = [ANY; 16];

/// The name stands at the end.
fn key(class: u8, name: &[u8]) -> Key {
    let mut key = [0; 16];
    key.iter_mut().rev().zip(name.iter().rev()).for_each(|(to, byte)| *to = *byte);
    key.iter_mut().take(1).for_each(|to| *to = class);
    key
}

/// Whoever chooses a name cannot choose one that shares its references with another.
fn hashed(class: u8, name: &[u8; 32]) -> Key {
    let hash = Sha256::new().chain_update(b"keyward/look-up/v1").chain_update([class]).chain_update(name);
    let hash: [u8; 32] = hash.finalize().into();
    key(class, hash.first_chunk::<15>().map_or(&[], <[u8; 15]>::as_slice))
}

/// An id is a hash already.
fn id_key(id: &Hash) -> Key {
    key(ID, id.first_chunk::<15>().map_or(&[], <[u8; 15]>::as_slice))
}

pub(super) fn reference(key: &Key, height: u64) -> Reference {
    let mut reference = [0; 24];
    let (to, at) = reference.split_at_mut(16);
    to.copy_from_slice(key);
    at.copy_from_slice(&height.to_be_bytes());
    reference
}

/// The first reference to a block of this time or later.
pub(super) fn time(time_ms: u64) -> Reference {
    reference(&key(TIME, &time_ms.to_be_bytes()), 0)
}

pub(super) fn is_time(reference: &Reference) -> bool {
    reference.first() == Some(&TIME)
}

pub(super) fn height_in(reference: &Reference) -> u64 {
    reference.last_chunk::<8>().map_or(0, |height| u64::from_be_bytes(*height))
}

/// Under which keys all records lie that a question is for: at least one.
pub(super) fn keys_of(question: &Question) -> Vec<Key> {
    let named = [
        question.id.as_ref().map(id_key),
        question.submitter.as_ref().map(|submitter| hashed(SUBMITTER, submitter)),
        question.subject.as_ref().map(|subject| hashed(SUBJECT, subject)),
        question.kind.map(|kind| key(KIND, &kind.to_be_bytes())),
    ];
    let keys: Vec<_> = named.into_iter().flatten().collect();
    if keys.is_empty() { vec![ANY_KEY] } else { keys }
}

/// The references to one block, sorted. `entries` are its submitters and entries in the order of the log, `ids` their
/// leaf hashes.
pub(super) fn references<'a>(
    (height, time_ms): (u64, u64),
    entries: impl Iterator<Item = (&'a [u8; 32], &'a [u8])>,
    ids: &[Hash],
) -> Vec<Reference> {
    let (mut submitters, mut kinds, mut subjects) = (Vec::new(), Vec::new(), Vec::new());
    for (submitter, entry) in entries {
        if submitters.last() != Some(submitter) {
            submitters.push(*submitter);
        }
        let kind = kind_of(entry).unwrap_or_default();
        if kinds.last() != Some(&kind) {
            kinds.push(kind);
        }
        subjects.extend(subjects_of(entry));
    }
    submitters.sort_unstable();
    submitters.dedup();
    subjects.sort_unstable();
    subjects.dedup();
    let mut references = Vec::with_capacity(ids.len() + subjects.len() + 8);
    references.push(reference(&key(TIME, &time_ms.to_be_bytes()), height));
    references.extend((!ids.is_empty()).then(|| reference(&ANY_KEY, height)));
    references.extend(ids.iter().map(|id| reference(&id_key(id), height)));
    references.extend(submitters.iter().map(|name| reference(&hashed(SUBMITTER, name), height)));
    references.extend(kinds.iter().map(|kind| reference(&key(KIND, &kind.to_be_bytes()), height)));
    references.extend(subjects.iter().map(|name| reference(&hashed(SUBJECT, name), height)));
    references.sort_unstable();
    references.dedup();
    references
}

/// What a run of references says, whatever their order: 256-bit sum of their SHA-256, in four lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum([u64; 4]);

impl Sum {
    pub(super) fn add(&mut self, reference: &Reference) {
        let hash: [u8; 32] = Sha256::digest(reference).into();
        for (lane, bytes) in self.0.iter_mut().zip(hash.as_chunks::<8>().0) {
            *lane = lane.wrapping_add(u64::from_be_bytes(*bytes));
        }
    }
}
