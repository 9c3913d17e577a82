//! Load in a closed loop: so many requests under way, the next one when one is answered.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::cpu::Usage;
use super::site::Site;
use crate::failure::{Failure, Result};

/// One receipt in so many is verified offline.
const VERIFY_EVERY: u64 = 100;
/// What a worker waits after a failure.
const PAUSE: Duration = Duration::from_millis(20);
/// How long requests under way may take at the end.
const PATIENCE: Duration = Duration::from_secs(30);

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// What workers report to.
#[derive(Default)]
pub(super) struct Recorder {
    phase: AtomicU8,
    /// Receipts seen, in order to choose those that are verified.
    receipts: AtomicU64,
    verified: AtomicU64,
    tally: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    operations: u64,
    /// Microseconds of each request, and how many operations it carried.
    latencies: Vec<(u64, u64)>,
    errors: u64,
    first_error: Option<String>,
    /// The first answer that breaks a promise: no figure makes up for it.
    broken: Option<String>,
}

/// What was counted in the measured time.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) operations: u64,
    pub(super) seconds: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
    pub(super) receipts_verified: u64,
    pub(super) usage: Usage,
    pub(super) records: u64,
    pub(super) blocks: u64,
}

impl Recorder {
    pub(super) fn over(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == OVER
    }

    /// A request was answered: it carried so many operations.
    pub(super) fn done(&self, started: Instant, operations: u64) {
        if self.phase.load(Ordering::Relaxed) != MEASURING {
            return;
        }
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut tally = self.tally();
        tally.operations += operations;
        tally.latencies.push((micros, operations));
    }

    /// A request failed, in whichever phase; its worker goes on after a pause.
    pub(super) async fn failed(&self, why: impl ToString) {
        {
            let mut tally = self.tally();
            tally.errors += 1;
            tally.first_error.get_or_insert_with(|| why.to_string());
        }
        tokio::time::sleep(PAUSE).await;
    }

    /// An answer breaks a promise.
    pub(super) fn broken(&self, why: impl ToString) {
        self.tally().broken.get_or_insert_with(|| why.to_string());
        self.phase.store(OVER, Ordering::Relaxed);
    }

    /// Whether the next receipt is one of those that are verified.
    pub(super) fn verify_next(&self) -> bool {
        self.receipts.fetch_add(1, Ordering::Relaxed).is_multiple_of(VERIFY_EVERY)
    }

    pub(super) fn verified(&self) {
        self.verified.fetch_add(1, Ordering::Relaxed);
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) warm_up: Duration,
    pub(super) seconds: Duration,
}

/// Lets workers run, counts in the measured time, and lets them end.
pub(super) async fn run(
    site: &Site,
    plan: Plan,
    recorder: Arc<Recorder>,
    mut workers: JoinSet<()>,
) -> Result<Measured> {
    tokio::time::sleep(plan.warm_up).await;
    let (ledger, usage, started) = (site.ledger_size().await, site.usage(), Instant::now());
    let _warming = recorder.phase.compare_exchange(WARMING, MEASURING, Ordering::Relaxed, Ordering::Relaxed);
    until_over(&recorder, plan.seconds).await;
    recorder.phase.store(OVER, Ordering::Relaxed);
    let (seconds, usage, ledger_after) =
        (started.elapsed().as_secs_f64(), site.usage().since(&usage), site.ledger_size().await);
    let ended = async { while workers.join_next().await.is_some() {} };
    if tokio::time::timeout(PATIENCE, ended).await.is_err() {
        return Err(Failure::refused(
            "requests are still not answered",
            "read the logs of service and nodes",
        ));
    }
    let mut tally = std::mem::take(&mut *recorder.tally());
    if let Some(why) = tally.broken {
        return Err(Failure::refused(format!("an answer is not as promised: {why}"), "tell us about this"));
    }
    if tally.operations == 0 {
        let why = tally.first_error.unwrap_or_else(|| "no answer in time".into());
        return Err(Failure::refused(format!("nothing was done: {why}"), "see `keyward ledger status`"));
    }
    tally.latencies.sort_unstable();
    Ok(Measured {
        operations: tally.operations,
        seconds,
        p50_ms: percentile(&tally.latencies, 50),
        p99_ms: percentile(&tally.latencies, 99),
        errors: tally.errors,
        first_error: tally.first_error,
        receipts_verified: recorder.verified.load(Ordering::Relaxed),
        usage,
        records: ledger_after.0.saturating_sub(ledger.0),
        blocks: ledger_after.1.saturating_sub(ledger.1),
    })
}

/// Waits, but not when a promise is broken.
async fn until_over(recorder: &Recorder, time: Duration) {
    let end = Instant::now() + time;
    while !recorder.over() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(Duration::from_millis(100))).await;
    }
}

/// The latency, in milliseconds, that so many percent of the operations do not exceed.
fn percentile(sorted: &[(u64, u64)], percent: u64) -> f64 {
    let total: u64 = sorted.iter().map(|(_, operations)| operations).sum();
    let mut left = (total * percent).div_ceil(100);
    for (micros, operations) in sorted {
        left = left.saturating_sub(*operations);
        if left == 0 {
            return Duration::from_micros(*micros).as_secs_f64() * 1000.0;
        }
    }
    0.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn percentiles_count_operations_not_requests() {
        let one_each: Vec<_> = (1..=100).map(|ms| (ms * 1000, 1)).collect();
        assert_eq!((percentile(&one_each, 50), percentile(&one_each, 99)), (50.0, 99.0));
        assert_eq!(percentile(&[(1000, 1), (2000, 98), (3000, 1)], 50), 2.0);
        assert_eq!(percentile(&[], 50), 0.0);
    }

    #[tokio::test]
    async fn only_the_measured_time_counts() {
        let recorder = Recorder::default();
        recorder.done(Instant::now(), 5);
        recorder.phase.store(MEASURING, Ordering::Relaxed);
        recorder.done(Instant::now(), 7);
        recorder.phase.store(OVER, Ordering::Relaxed);
        recorder.done(Instant::now(), 9);
        assert_eq!(recorder.tally().operations, 7);
    }

    #[test]
    fn one_receipt_in_a_hundred_is_verified() {
        let recorder = Recorder::default();
        assert_eq!((0..1000).filter(|_| recorder.verify_next()).count(), 10);
    }
}
