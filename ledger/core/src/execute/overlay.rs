//! The writes of one call, held back until it is accepted.

use super::expiry::Expiry;
use crate::contracts::StateView;
use crate::state::Tree;
use crate::state::layout::End;

pub(super) struct Overlay<'a> {
    state: &'a Tree,
    writes: Writes,
}

#[derive(Default)]
pub(super) struct Writes {
    values: Vec<(Vec<u8>, Vec<u8>)>,
    ends: Vec<(Vec<u8>, End)>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(state: &'a Tree) -> Self {
        Self { state, writes: Writes::default() }
    }

    pub(super) fn finish(self) -> Writes {
        self.writes
    }
}

impl Writes {
    pub(super) fn commit(self, state: &mut Tree, expiry: &mut Expiry) {
        for (key, value) in self.values {
            state.insert(&key, &value);
        }
        for (key, end) in self.ends {
            expiry.add(&key, end);
        }
    }
}

impl StateView for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let written = self.writes.values.iter().rev().find(|(written, _)| written == key);
        written.map_or_else(|| self.state.get(key), |(_, value)| Some(value))
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.values.push((key, value));
    }

    fn put_until(&mut self, key: Vec<u8>, value: Vec<u8>, end: End) {
        self.writes.ends.push((key.clone(), end));
        self.put(key, value);
    }
}
