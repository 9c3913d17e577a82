//! What each thread of a module is doing, so that a call that never returns can be named.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Stuck;

/// A call that lasts shorter is not named.
const NAMED_AFTER: Duration = Duration::from_millis(500);

/// One place for each thread.
#[derive(Debug, Default)]
pub(crate) struct Doing(Mutex<Vec<Option<Since>>>);

#[derive(Clone, Copy, Debug)]
struct Since {
    what: &'static str,
    begun: Instant,
    deadline: Duration,
}

impl Doing {
    pub(crate) fn begin(&self, lane: usize, what: &'static str, deadline: Duration) {
        self.set(lane, Some(Since { what, begun: Instant::now(), deadline }));
    }

    pub(crate) fn end(&self, lane: usize) {
        self.set(lane, None);
    }

    /// The call that has lasted longest, if one lasts long.
    pub(crate) fn stuck(&self) -> Option<Stuck> {
        self.oldest(|_| NAMED_AFTER)
    }

    /// A call that has outlasted both this patience and the deadline of its job.
    pub(crate) fn hanging(&self, patience: Duration) -> Option<Stuck> {
        self.oldest(|since| patience.max(since.deadline))
    }

    fn oldest(&self, after: impl Fn(&Since) -> Duration) -> Option<Stuck> {
        let lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let long = lanes.iter().flatten().filter(|since| since.begun.elapsed() >= after(since));
        let Since { what, begun, .. } = long.min_by_key(|since| since.begun)?;
        Some(Stuck { what: (*what).to_owned(), ms: millis(begun.elapsed()) })
    }

    fn set(&self, lane: usize, what: Option<Since>) {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() <= lane {
            lanes.resize(lane + 1, None);
        }
        if let Some(place) = lanes.get_mut(lane) {
            *place = what;
        }
    }
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
