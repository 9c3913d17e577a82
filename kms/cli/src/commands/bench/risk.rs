//! `keyward bench risk`: what a verdict costs over an account's long history.
//!
//! Nothing of it waits for anybody: one thread, the embedded rules, an account that has had so many requests recorded.

use std::time::Instant;

use keyward_domain::risk::simulate::id;
use keyward_domain::risk::{History, Mark, Outcome, Request, RuleSet, Spend, Verb, verdict};
use keyward_policies::risk::default_rules;
use serde_json::{Value, json};

use super::cpu;
use crate::commands::Context;
use crate::failure::{Failure, Result};

const START_MS: u64 = 1_767_571_200_000;
const VERDICTS: u64 = 200_000;
const VERDICT_US_GOAL: f64 = 50.0;
/// Requests that are made before they are timed, so that making them does not count.
const CHUNK: u64 = 1_000;

#[derive(Debug, clap::Args)]
pub(super) struct Risk {
    /// How many requests the account has had.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    requests: u64,
}

impl Risk {
    pub(super) fn run(&self, context: &Context) -> Result<()> {
        let failed = |error| Failure::of_coded("the embedded rules do not read", &error);
        let rules = default_rules().map_err(failed)?;
        let progress = context.output.progress("requests are recorded", 0, self.requests);
        let (mut history, mut recorded_us) = (History::default(), 0.0);
        for first in (0..self.requests).step_by(CHUNK as usize) {
            let requests: Vec<_> = (first..self.requests.min(first + CHUNK)).map(request).collect();
            let began = cpu::of_thread();
            requests.iter().for_each(|request| history.record(request, Outcome::Allowed));
            recorded_us += us(cpu::of_thread().saturating_sub(began));
            progress.reach(first);
        }
        drop(progress);
        let report = measured(&rules, &history, self.requests, recorded_us);
        context.output.answer(words(&report), &report);
        Ok(())
    }
}

fn measured(rules: &RuleSet, history: &History, requests: u64, recorded_us: f64) -> Value {
    let (mut took, mut points, began) = (Vec::new(), 0_u64, cpu::of_thread());
    let started = Instant::now();
    for n in 0..VERDICTS {
        let asked = request(requests + n % CHUNK);
        let began = Instant::now();
        points += u64::from(verdict(rules, history, &asked).score);
        took.push(us(began.elapsed()));
    }
    let (seconds, spent) = (started.elapsed().as_secs_f64(), cpu::of_thread().saturating_sub(began));
    // The day after, what the account did today becomes habit: each verdict until the next record does that anew.
    let next_day = |n| Request { time_ms: request(requests).time_ms + 86_400_000, ..request(requests + n) };
    let mut after: Vec<_> = (0..CHUNK)
        .map(next_day)
        .map(|asked| {
            let began = Instant::now();
            points += u64::from(verdict(rules, history, &asked).score);
            us(began.elapsed())
        })
        .collect();
    let (bytes, began) = (history.encode(), Instant::now());
    let read = (0..100).filter(|_| History::decode(&bytes).is_ok()).count();
    let decode_us = us(began.elapsed()) / 100.0;
    json!({
        "what": format!("risk verdicts, embedded rules, one account with {requests} requests"),
        "operations_per_s": (VERDICTS as f64 / seconds).round(),
        "p50_us": at(&mut took, 50), "p99_us": at(&mut took, 99), "goal_us": VERDICT_US_GOAL,
        "cpu_us_per_operation": hundredths(us(spent) / VERDICTS as f64),
        "first_of_day_p50_us": at(&mut after, 50),
        "record_cpu_us": hundredths(recorded_us / requests as f64),
        "history_bytes": bytes.len(), "decode_us": hundredths(decode_us), "decoded": read == 100,
        "points": points, "concurrency": 1, "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "seconds": hundredths(seconds),
    })
}

/// One of a busy account: 3,000 payments a day, some to somebody new, in four currencies.
fn request(n: u64) -> Request {
    let account = id(0);
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_right(17);
    let payee = if mixed.is_multiple_of(5) { n } else { mixed % 100 };
    let currency = ["EUR", "USD", "sat", "gwei"].into_iter().nth((mixed >> 8) as usize % 4).unwrap_or("EUR");
    Request {
        time_ms: START_MS + n * 28_800,
        verb: Verb::Sign,
        opaque: mixed.is_multiple_of(17),
        spend: Some(Spend::new(currency, 100 + (mixed >> 20) % 1_000_000)),
        counterparties: vec![Mark::of_counterparty(&account, &payee.to_string())],
        app: Some(Mark::of_app(&account, &(mixed % 3).to_string())),
        origin: Some(Mark::of_certificate(&account, &[(mixed % 40) as u8; 32])),
    }
}

fn us(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

fn at(times: &mut [f64], percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    hundredths(times.get(times.len() * percent / 100).copied().unwrap_or_default())
}

fn words(report: &Value) -> String {
    format!(
        "{}\n  verdict  p50 {} us, p99 {} us (goal {VERDICT_US_GOAL:.0}); the first of a day p50 {} us\n  record   {} us of CPU\n  \
         history  {} bytes, read in {} us",
        report["what"].as_str().unwrap_or_default(),
        report["p50_us"],
        report["p99_us"],
        report["first_of_day_p50_us"],
        report["record_cpu_us"],
        report["history_bytes"],
        report["decode_us"],
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn the_report_has_its_figures() {
        let mut history = History::default();
        (0..2_000).for_each(|n| history.record(&request(n), Outcome::Allowed));
        let report = measured(&default_rules().unwrap(), &history, 2_000, 2_000.0);
        assert_eq!((&report["decoded"], &report["record_cpu_us"]), (&json!(true), &json!(1.0)));
        assert!(report["p50_us"].is_number() && report["points"].as_u64().unwrap() > 0);
        assert!(words(&report).contains("2000 requests"));
    }
}
