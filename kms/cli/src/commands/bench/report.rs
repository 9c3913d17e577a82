//! The figures, in words and as one JSON line.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::load::Measured;
use crate::output::table;

/// One way of asking, measured.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) interface: &'static str,
    pub(super) concurrency: usize,
    pub(super) measured: Measured,
}

/// A whole measurement.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) what: String,
    /// What it is about; the others were measured beside it.
    pub(super) main: Part,
    pub(super) others: Vec<Part>,
    pub(super) bare_us: f64,
    pub(super) bare_what: &'static str,
    /// What the engine alone orders, in operations per second, with as many of them in a block.
    pub(super) engine_per_s: Option<f64>,
    /// Of one client that asks again when it is answered.
    pub(super) alone_p50_ms: f64,
    /// Whether the CPU time of the other processes is known.
    pub(super) local: bool,
}

impl Report {
    pub(super) fn json(&self) -> Value {
        let mut json = self.part(&self.main);
        json.insert("what".into(), json!(self.what));
        json.insert("bare_us_per_operation".into(), tenths(self.bare_us));
        json.insert("bare_what".into(), json!(self.bare_what));
        json.insert("client_alone_p50_ms".into(), tenths(self.alone_p50_ms));
        json.insert("cores".into(), json!(cores()));
        if let Some(bare) = self.engine_per_s {
            json.insert("bare_operations_per_s".into(), tenths(bare));
            json.insert("share_of_bare".into(), hundredths(self.share(bare)));
        }
        let others =
            self.others.iter().map(|part| (part.interface.to_owned(), Value::Object(self.part(part))));
        json.insert("others".into(), Value::Object(others.collect()));
        Value::Object(json)
    }

    fn share(&self, bare: f64) -> f64 {
        rate(self.main.measured.operations, &self.main.measured) / bare.max(f64::EPSILON)
    }

    fn part(&self, part: &Part) -> Map<String, Value> {
        let measured = &part.measured;
        let each = |time| tenths(per_operation(time, measured));
        let usage = &measured.usage;
        let fields = [
            ("interface", json!(part.interface)),
            ("operations", json!(measured.operations)),
            ("operations_per_s", tenths(rate(measured.operations, measured))),
            ("p50_ms", tenths(measured.p50_ms)),
            ("p99_ms", tenths(measured.p99_ms)),
            ("cpu_us_per_operation", if self.local { each(usage.total()) } else { Value::Null }),
            (
                "cpu_us_by_process",
                json!({
                    "validators": self.local.then(|| each(usage.validators)),
                    "service": self.local.then(|| each(usage.service)),
                    "load": each(usage.load),
                }),
            ),
            ("strangers_cpu_percent", if self.local { tenths(strangers(measured)) } else { Value::Null }),
            ("concurrency", json!(part.concurrency)),
            ("seconds", tenths(measured.seconds)),
            ("errors", json!(measured.errors)),
            ("first_error", json!(measured.first_error)),
            ("receipts_verified", json!(measured.receipts_verified)),
            ("ledger_records_per_s", tenths(rate(measured.records, measured))),
            ("ledger_blocks_per_s", tenths(rate(measured.blocks, measured))),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    pub(super) fn words(&self) -> String {
        let head = [
            "interface",
            "at once",
            "per s",
            "p50 ms",
            "p99 ms",
            "CPU us",
            "validators",
            "service",
            "load",
            "errors",
        ];
        let rows: Vec<_> =
            std::iter::once(&self.main).chain(&self.others).map(|part| self.row(part)).collect();
        let (errors, strangers) = (&self.main.measured.first_error, strangers(&self.main.measured));
        format!(
            "{}\n{}\nbare cost {:.1} us ({}); one client alone {:.1} ms; {} cores{}{}{}\n{} receipts were verified offline",
            self.what,
            table(&head, &rows),
            self.bare_us,
            self.bare_what,
            self.alone_p50_ms,
            cores(),
            if self.local {
                format!(", {strangers:.0}% of them taken by other programs")
            } else {
                String::new()
            },
            self.engine_per_s
                .map(|bare| {
                    let share = self.share(bare);
                    format!("\nthe engine alone orders {bare:.0} per s as opaque bytes: {share:.2} of that are reached")
                })
                .unwrap_or_default(),
            errors.as_ref().map(|error| format!("\nfirst error: {error}")).unwrap_or_default(),
            std::iter::once(&self.main)
                .chain(&self.others)
                .map(|part| part.measured.receipts_verified)
                .sum::<u64>(),
        )
    }

    fn row(&self, part: &Part) -> Vec<String> {
        let measured = &part.measured;
        let each = |time| format!("{:.1}", per_operation(time, measured));
        let known = |time| if self.local { each(time) } else { "-".to_owned() };
        vec![
            part.interface.to_owned(),
            part.concurrency.to_string(),
            format!("{:.0}", rate(measured.operations, measured)),
            format!("{:.1}", measured.p50_ms),
            format!("{:.1}", measured.p99_ms),
            known(measured.usage.total()),
            known(measured.usage.validators),
            known(measured.usage.service),
            each(measured.usage.load),
            measured.errors.to_string(),
        ]
    }
}

fn per_operation(time: Duration, measured: &Measured) -> f64 {
    time.as_secs_f64() * 1e6 / (measured.operations.max(1) as f64)
}

fn rate(count: u64, measured: &Measured) -> f64 {
    count as f64 / measured.seconds.max(f64::EPSILON)
}

/// The share of the machine's time that was neither idle nor ours.
fn strangers(measured: &Measured) -> f64 {
    let theirs = measured.usage.machine.saturating_sub(measured.usage.total()).as_secs_f64();
    100.0 * theirs / (measured.seconds.max(f64::EPSILON) * cores() as f64)
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A number with one decimal place.
pub(super) fn tenths(number: f64) -> Value {
    json!((number * 10.0).round() / 10.0)
}

/// A number with two decimal places.
pub(super) fn hundredths(number: f64) -> Value {
    json!((number * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::commands::bench::cpu::Usage;

    fn report(local: bool) -> Report {
        let second = Duration::from_secs(1);
        let usage = Usage { validators: second, service: second, load: second, machine: 4 * second };
        let measured = Measured {
            operations: 1000,
            seconds: 2.0,
            p50_ms: 1.26,
            p99_ms: 9.0,
            errors: 0,
            first_error: None,
            receipts_verified: 10,
            usage,
            records: 2000,
            blocks: 100,
        };
        let main = Part { interface: "unary", concurrency: 64, measured };
        Report {
            what: "sign".into(),
            main,
            others: Vec::new(),
            bare_us: 99.96,
            bare_what: "x",
            engine_per_s: Some(1000.0),
            alone_p50_ms: 20.0,
            local,
        }
    }

    #[test]
    fn figures_are_per_operation_and_second() {
        let json = report(true).json();
        assert_eq!((&json["operations_per_s"], &json["p50_ms"]), (&json!(500.0), &json!(1.3)));
        assert_eq!(json["cpu_us_per_operation"], json!(3000.0));
        assert_eq!(json["cpu_us_by_process"]["service"], json!(1000.0));
        assert_eq!(json["bare_us_per_operation"], json!(100.0));
        assert_eq!((&json["bare_operations_per_s"], &json["share_of_bare"]), (&json!(1000.0), &json!(0.5)));
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let json = report(false).json();
        assert!(json["cpu_us_per_operation"].is_null() && json["cpu_us_by_process"]["validators"].is_null());
    }
}
