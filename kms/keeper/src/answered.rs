//! The last answers, so that who repeats a question has no work done twice. They are sealed to who asked: no secret.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use keyward_crypto::vault::ELEMENT_BYTES;
use keyward_ledger_core::hash::Hash;

/// An attempt's id, and the element that was evaluated for it; of a release the place of its success.
type Question = (Hash, [u8; ELEMENT_BYTES]);

#[derive(Debug)]
pub(crate) struct Answered {
    most: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    answers: HashMap<Question, Vec<u8>>,
    oldest: VecDeque<Question>,
}

impl Answered {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, inner: Mutex::default() }
    }

    pub(crate) fn find(&self, question: &Question) -> Option<Vec<u8>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).answers.get(question).cloned()
    }

    pub(crate) fn remember(&self, question: Question, answer: &[u8]) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.answers.insert(question, answer.to_vec()).is_none() {
            inner.oldest.push_back(question);
        }
        if inner.oldest.len() > self.most
            && let Some(oldest) = inner.oldest.pop_front()
        {
            inner.answers.remove(&oldest);
        }
    }
}
