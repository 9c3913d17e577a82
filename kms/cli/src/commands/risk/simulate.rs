//! `keyward risk simulate`: what rules catch, and whom they hold up, on a workload made from a seed.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use keyward_domain::risk::Tally;
use keyward_domain::risk::simulate::{Alarms, Attack, Caught, DAYS, Figures, Happening, Kind, Workload};
use keyward_policies::risk::default_rules;
use serde_json::{Value, json};

use super::{Context, check, policy};
use crate::failure::{Failure, Result};
use crate::output::table;

#[derive(Debug, clap::Args)]
pub(super) struct Simulate {
    /// TOML; without it, the embedded rules.
    file: Option<PathBuf>,
    /// What the workload is made from: the same seed, the same requests.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How many accounts: of five kinds alike, three in four attacked once.
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    accounts: u32,
    /// How many days of each; the attacks come in the second half.
    #[arg(long, value_name = "D", default_value_t = 120, value_parser = clap::value_parser!(u32).range(i64::from(*DAYS.start())..=i64::from(*DAYS.end())))]
    days: u32,
    /// Writes the workload with its labels too, one request a line in JSON.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

impl Simulate {
    pub(super) fn run(&self, context: &Context) -> Result<()> {
        let rules = match &self.file {
            Some(file) => check::parse(&policy::read(file)?)?,
            None => default_rules()
                .map_err(|error| Failure::of_coded("the embedded rules do not read", &error))?,
        };
        let workload = Workload { seed: self.seed, accounts: self.accounts, days: self.days };
        if let Some(path) = &self.write {
            write(&workload, path)?;
        }
        let figures = {
            let progress = context.output.progress("accounts are judged", 0, self.accounts.into());
            workload.judge(&rules, |done| progress.reach(done.into()))
        };
        let what = format!(
            "rules `{}` ({}), seed {}, {} accounts, {} days",
            rules.name(),
            hex::encode(rules.hash()),
            self.seed,
            self.accounts,
            self.days
        );
        let json = json!({
            "what": what, "rules": hex::encode(rules.hash()), "seed": self.seed, "accounts": self.accounts, "days": self.days,
            "attacks": figures.caught.iter().map(caught).collect::<Vec<_>>(),
            "owners": figures.alarms.iter().map(alarms).collect::<Vec<_>>(),
        });
        context.output.answer(format!("{what}\n\n{}", words(&figures)), &json);
        Ok(())
    }
}

fn caught((attack, caught): &(Attack, Caught)) -> Value {
    json!({
        "attack": attack.name(), "attacks": caught.attacks, "held": caught.held, "held_at_once": caught.held_at_once,
        "requests": tally(&caught.requests),
    })
}

fn alarms((kind, alarms): &(Kind, Alarms)) -> Value {
    json!({
        "kind": kind.name(), "accounts": alarms.accounts, "learning": tally(&alarms.learning), "usual": tally(&alarms.usual),
    })
}

fn tally(tally: &Tally) -> Value {
    json!({ "all": tally.all(), "allowed": tally.allowed, "asked": tally.asked, "refused": tally.refused })
}

fn words(figures: &Figures) -> String {
    let attacks = figures.caught.iter().map(|(attack, caught)| {
        let Caught { attacks, held, held_at_once, requests } = caught;
        vec![
            attack.name().to_owned(),
            attacks.to_string(),
            percent(*held, *attacks),
            percent(*held_at_once, *attacks),
            percent(requests.asked + requests.refused, requests.all()),
            percent(requests.refused, requests.all()),
        ]
    });
    let attacks = table(
        &["attack", "attacks", "held", "held at once", "requests held", "refused"],
        &attacks.collect::<Vec<_>>(),
    );
    let owners = figures.alarms.iter().map(|(kind, alarms)| {
        let Alarms { accounts, learning, usual } = alarms;
        vec![
            kind.name().to_owned(),
            accounts.to_string(),
            usual.all().to_string(),
            percent(usual.asked, usual.all()),
            percent(usual.refused, usual.all()),
            percent(learning.asked + learning.refused, learning.all()),
        ]
    });
    let owners = table(
        &["owner", "accounts", "requests", "asked", "refused", "held in the first 14 days"],
        &owners.collect::<Vec<_>>(),
    );
    format!("{attacks}\n\n{owners}")
}

/// With two decimals.
fn percent(part: u64, all: u64) -> String {
    let parts = (part * 10_000 + all / 2).checked_div(all).unwrap_or(0);
    format!("{}.{:02} %", parts / 100, parts % 100)
}

fn write(workload: &Workload, path: &Path) -> Result<()> {
    let failed = |error: std::io::Error| {
        let what = format!("cannot write `{}`", path.display());
        Failure::refused(what, "name a file that does not exist yet, in a folder that does").because(&error)
    };
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    let mut out = std::io::BufWriter::new(file);
    for number in 0..workload.accounts {
        let (kind, _) = workload.cast(number);
        for happening in workload.happenings(number) {
            let line = line(number, kind, &happening);
            writeln!(out, "{line}").map_err(failed)?;
        }
    }
    out.flush().map_err(failed)
}

fn line(number: u32, kind: Kind, happening: &Happening) -> Value {
    match happening {
        Happening::LoginFailed(time_ms) => {
            json!({ "account": number, "kind": kind.name(), "time_ms": time_ms, "login_failed": true })
        }
        Happening::Asked(request, attack) => json!({
            "account": number, "kind": kind.name(), "time_ms": request.time_ms, "attack": attack.map(Attack::name),
            "currency": request.spend.as_ref().map(|spend| spend.currency()),
            "amount": request.spend.as_ref().map(|spend| spend.amount()),
            "opaque": request.opaque,
            "to": request.counterparties.iter().map(|mark| hex::encode(mark.0)).collect::<Vec<_>>(),
            "app": request.app.map(|mark| hex::encode(mark.0)),
            "origin": request.origin.map(|mark| hex::encode(mark.0)),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::output::{Format, Output};

    #[test]
    fn a_workload_is_judged_and_written_with_its_labels_once() {
        let context = Context { output: Output { format: Format::Json }, profile: None };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("workload.jsonl");
        let simulate = Simulate { file: None, seed: 1, accounts: 5, days: 90, write: Some(file.clone()) };
        simulate.run(&context).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.iter().any(|line| line["attack"] == "takeover"));
        assert!(lines.iter().any(|line| line["attack"].is_null() && line["kind"] == "digests"));
        let failure = simulate.run(&context).unwrap_err();
        assert!(failure.message().contains("workload.jsonl"), "nothing is written over: {failure}");
    }

    #[test]
    fn shares_have_two_decimals() {
        assert_eq!([percent(1, 3), percent(0, 0), percent(7, 7)], ["33.33 %", "0.00 %", "100.00 %"]);
    }
}
