//! What `keyward audit open` says: what was opened, what elapsed and stays shut, what was refused, and what to do next.

use std::path::PathBuf;

use keyward_client::audit::OpenGrant;
use keyward_domain::Code;
use keyward_ledger_core::unlinkable::AddressEpoch;
use serde_json::{Value, json};

use super::Context;
use super::run::{Shut, Why};
use crate::commands::key::moment;
use crate::failure::{Failure, Result};
use crate::output::aside;

/// What became of a look at every account.
pub(super) struct Told {
    grant: [u8; 32],
    file: PathBuf,
    pub(super) opened: Vec<OpenGrant>,
    pub(super) shut: Vec<([u8; 32], Shut)>,
    pub(super) refused: Vec<([u8; 32], Failure)>,
}

impl Told {
    /// Nothing yet of a grant, which is kept in a file.
    pub(super) const fn of(grant: [u8; 32], file: PathBuf) -> Self {
        Self { grant, file, opened: Vec::new(), shut: Vec::new(), refused: Vec::new() }
    }

    /// Tells it. Where nothing was opened although something has elapsed, the command has not done its work.
    pub(super) fn tell(self, context: &Context) -> Result<()> {
        let (words, json) = self.answer()?;
        context.output.answer(words, &json);
        Ok(())
    }

    fn answer(mut self) -> Result<(String, Value)> {
        let json = self.json();
        let opened = |open: &OpenGrant| {
            format!("  {}  epochs {} to {}", hex::encode(open.account), open.first, open.last)
        };
        let shut = |(account, shut): &([u8; 32], Shut)| {
            format!("  {}  not opened: {}; {}", hex::encode(account), shut.words(), shut.next())
        };
        let refused = |(account, failure): &([u8; 32], Failure)| {
            format!("  {}  not opened: {}", hex::encode(account), failure.message())
        };
        let lines: Vec<_> = self.opened.iter().map(opened).collect();
        let shut: Vec<_> = self.shut.iter().map(shut).collect();
        if lines.is_empty() && (!self.refused.is_empty() || !shut.is_empty()) {
            shut.iter().for_each(|line| aside(line));
            let failure = match self.shut.first() {
                Some((_, first)) if self.refused.is_empty() => first.failure(),
                _ => self.refused.swap_remove(0).1,
            };
            return Err(Failure { answer: Some(Box::new(json)), ..failure });
        }
        let head = match lines.is_empty() {
            true => "nothing more has elapsed of the grant's period".to_owned(),
            false => format!("opened, and kept in {}", self.file.display()),
        };
        let refused = self.refused.iter().map(refused);
        let words: Vec<_> = [head].into_iter().chain(lines).chain(shut).chain(refused).collect();
        Ok((words.join("\n"), json))
    }

    fn json(&self) -> Value {
        let opened = self.opened.iter().map(
            |open| json!({ "account": hex::encode(open.account), "first": open.first, "last": open.last }),
        );
        let refused = self.refused.iter().map(|(account, failure)| {
            json!({ "account": hex::encode(account), "code": failure.code, "message": failure.message() })
        });
        let (mut not_dealt, mut reaches_over) = (Vec::new(), Vec::new());
        for (account, shut) in &self.shut {
            let (account, Shut { first, last, .. }) = (hex::encode(account), shut);
            match shut.why {
                Why::NotDealt { through, account_closed } => not_dealt.push(json!({
                    "account": account, "first": first, "last": last, "dealt_through": through,
                    "account_closed": account_closed,
                })),
                Why::ReachesOver { within_grant } => reaches_over.push(json!({
                    "account": account, "first": first, "last": last, "begins_unix_ms": shut.begins_ms(),
                    "ends_unix_ms": shut.ends_ms(), "within_grant": within_grant,
                })),
            }
        }
        json!({
            "grant": hex::encode(self.grant), "file": self.file.display().to_string(),
            "opened": opened.collect::<Vec<_>>(), "not_dealt": not_dealt, "reaches_over": reaches_over,
            "refused": refused.collect::<Vec<_>>(),
        })
    }
}

impl Shut {
    const fn begins_ms(&self) -> u64 {
        AddressEpoch::new(self.epoch_ms, self.first).begins_ms()
    }

    const fn ends_ms(&self) -> u64 {
        AddressEpoch::new(self.epoch_ms, self.last).ends_ms()
    }

    fn words(&self) -> String {
        let Self { first, last, .. } = self;
        match self.why {
            Why::NotDealt { through, .. } => {
                let so_far = through
                    .map_or_else(|| "nothing yet".to_owned(), |through| format!("up to epoch {through}"));
                format!(
                    "epochs {first} to {last} have elapsed, and the account has not dealt them to keepers ({so_far})"
                )
            }
            Why::ReachesOver { within_grant } => {
                let over = if within_grant { "`--first` and `--last`" } else { "the grant's period" };
                format!("epochs {first} to {last} are dealt as one, which reaches over {over}")
            }
        }
    }

    fn next(&self) -> String {
        match self.why {
            Why::NotDealt { account_closed: true, .. } => {
                "the account is closed: nobody opens them any more".to_owned()
            }
            Why::NotDealt { .. } => {
                "have its holder deal them (`keyward address deal`), then open again".to_owned()
            }
            Why::ReachesOver { within_grant: true } => {
                format!("open them whole: `--first {} --last {}`", self.first, self.last)
            }
            Why::ReachesOver { .. } => format!(
                "ask for a grant over all of it (`keyward audit request`), from {} to {}",
                moment(self.begins_ms()),
                moment(self.ends_ms()),
            ),
        }
    }

    fn failure(&self) -> Failure {
        let what = "nothing was opened of what has elapsed";
        let failure = Failure::refused(what, "").coded(Code::ViewingNotDealt);
        let causes = vec![what.to_owned(), self.words()];
        Failure { causes, next: self.next(), ..failure }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use crate::failure::Exit;

    const ACCOUNT: [u8; 32] = [7; 32];

    fn told(why: &[Why]) -> Told {
        let shut = |why: &Why| (ACCOUNT, Shut { first: 24, last: 47, epoch_ms: 3_600_000, why: *why });
        Told { shut: why.iter().map(shut).collect(), ..Told::of([1; 32], "case/grant".into()) }
    }

    fn opened(mut told: Told) -> Told {
        told.opened.push(OpenGrant { grant: [1; 32], account: ACCOUNT, first: 0, last: 23 });
        told
    }

    #[test]
    fn nothing_is_a_success_only_where_nothing_has_elapsed() {
        let (words, json) = told(&[]).answer().unwrap();
        assert_eq!(words, "nothing more has elapsed of the grant's period");
        assert_eq!(
            (&json["opened"], &json["not_dealt"], &json["reaches_over"]),
            (&json!([]), &json!([]), &json!([]))
        );
    }

    #[test]
    fn what_was_not_dealt_is_told_by_account_and_is_no_success_alone() {
        let why = Why::NotDealt { through: Some(23), account_closed: false };
        let failure = told(&[why]).answer().unwrap_err();
        assert_eq!((failure.exit, failure.code.as_deref()), (Exit::Refused, Some("VIEWING_NOT_DEALT")));
        assert!(failure.message().contains("epochs 24 to 47 have elapsed"), "{failure}");
        assert!(failure.next.contains("keyward address deal"), "{failure}");
        let json = failure.json();
        assert_eq!(json["error"]["code"], "VIEWING_NOT_DEALT");
        let account = hex::encode(ACCOUNT);
        let row = json!([{
            "account": account, "first": 24, "last": 47, "dealt_through": 23, "account_closed": false,
        }]);
        assert_eq!((&json["opened"], &json["not_dealt"]), (&json!([]), &row));
        // Beside what was opened it is told, and stops nothing.
        let (words, json) = opened(told(&[why])).answer().unwrap();
        assert!(words.starts_with("opened, and kept in case/grant"), "{words}");
        assert!(words.contains(&format!("{account}  not opened: epochs 24 to 47")), "{words}");
        assert_eq!(json["not_dealt"], row);
        // Nobody deals for a closed account: there is nothing to ask its holder for.
        let closed = Why::NotDealt { through: None, account_closed: true };
        let failure = told(&[closed]).answer().unwrap_err();
        assert!(failure.next.contains("nobody opens them"), "{failure}");
    }

    #[test]
    fn a_dealing_that_reaches_over_is_told_with_the_period_that_opens_it() {
        let failure = told(&[Why::ReachesOver { within_grant: false }]).answer().unwrap_err();
        let period = "from 1970-01-02 00:00:00 UTC to 1970-01-03 00:00:00 UTC";
        assert!(failure.next.contains(period), "{failure}");
        let json = failure.json();
        assert_eq!(json["reaches_over"][0]["begins_unix_ms"], 86_400_000);
        assert_eq!(json["reaches_over"][0]["ends_unix_ms"], 172_800_000);
        assert_eq!(json["reaches_over"][0]["within_grant"], false);
        let failure = told(&[Why::ReachesOver { within_grant: true }]).answer().unwrap_err();
        assert!(failure.next.contains("--first 24 --last 47"), "{failure}");
    }

    #[test]
    fn a_refusal_is_told_before_what_stays_shut_and_loses_nothing_of_it() {
        let mut told = told(&[Why::NotDealt { through: None, account_closed: false }]);
        told.refused.push(([8; 32], Failure::refused("no", "look").coded(Code::GrantState)));
        let json = told.answer().unwrap_err().json();
        assert_eq!(json["error"]["code"], "GRANT_STATE");
        assert_eq!(
            (&json["refused"][0]["code"], &json["not_dealt"][0]["first"]),
            (&json!("GRANT_STATE"), &json!(24))
        );
    }
}
