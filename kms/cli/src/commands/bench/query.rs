//! `keyward bench query`: what a grant's reader waits for in SQL, policies and leases included, over made-up rows in a PostgreSQL
//! database of their own.

use std::time::Duration;

use keyward_projection::{Answered, ProjectionError, QUESTIONS, Sample};
use serde_json::{Value, json};

use super::report::{cores, tenths};
use crate::commands::Context;
use crate::commands::database::DatabaseArguments;
use crate::commands::ledger::project::told;
use crate::failure::{Failure, Result};
use crate::moment::now_ms;
use crate::output::table;

/// Over an empty database of a PostgreSQL server that is fit for readers, as superuser there: it takes their rights from everybody else, as
/// `keyward ledger project --grant` does. Rows and readers are removed afterwards; broken off, drop the database.
#[derive(Debug, clap::Args)]
pub(super) struct Query {
    #[command(flatten)]
    database: DatabaseArguments,
    /// Transactions of the grant, and as many records of the ledger.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    rows: u32,
}

impl Query {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let server = self.database.server()?;
        let waiting = context.output.wait_for(format!("{} transactions and records are made up", self.rows));
        let sample = Sample::fill(&server, self.rows, now_ms()).await;
        drop(waiting);
        let mut sample = sample.map_err(|error| refused(&error))?;
        let progress = context.output.progress("questions are asked", 0, QUESTIONS.len() as u64);
        let mut answers = Vec::new();
        for (number, question) in (1..).zip(&QUESTIONS) {
            answers.push(sample.ask(question).await);
            progress.reach(number);
        }
        drop(progress);
        sample.remove(now_ms()).await.map_err(|error| refused(&error))?;
        let answers: Result<Vec<_>, _> = answers.into_iter().collect();
        let answers = answers.map_err(|error| refused(&error))?;
        context.output.answer(words(&answers), &self.json(&answers));
        Ok(())
    }

    fn json(&self, answers: &[Answered]) -> Value {
        let one = |(question, answered): (&keyward_projection::Question, &Answered)| {
            json!({
                "what": question.what, "rows": answered.rows, "ms": tenths(ms(answered.best)),
                "first_ms": tenths(ms(answered.first)), "bare_ms": tenths(ms(answered.bare)),
            })
        };
        let slowest = answers.iter().map(|answered| answered.best).max().unwrap_or_default();
        json!({
            "what": "questions of a grant's reader in PostgreSQL, the best of three",
            "rows": self.rows, "slowest_ms": tenths(ms(slowest)),
            "bare_what": "the same as a superuser, whom no policy asks",
            "questions": QUESTIONS.iter().zip(answers).map(one).collect::<Vec<_>>(),
            "cores": cores(),
        })
    }
}

fn words(answers: &[Answered]) -> String {
    let seconds = |time: Duration| format!("{:.3}", time.as_secs_f64());
    let row = |(question, answered): (&keyward_projection::Question, &Answered)| {
        let times = [answered.best, answered.first, answered.bare].map(seconds);
        let texts = [question.what.to_owned(), answered.rows.to_string()];
        texts.into_iter().chain(times).collect()
    };
    let rows: Vec<Vec<_>> = QUESTIONS.iter().zip(answers).map(row).collect();
    table(&["asked", "rows", "best s", "first s", "without policies s"], &rows)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn refused(error: &ProjectionError) -> Failure {
    told("the questions are not measured", error)
}
