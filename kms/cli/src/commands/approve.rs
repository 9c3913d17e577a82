//! `keyward approve`: who must approve what, asking for approvals, and giving them.
//!
//! What a case is about is computed here from the full payload, and held against the case that the ledger proves, before any
//! of it is shown.

mod ask;
mod rule;
mod show;
pub(crate) mod sign;
pub(crate) mod speak;

use std::path::PathBuf;

use keyward_client::approvals::{ApprovalError, RuleName};
use keyward_domain::ApprovalRuleName;
use keyward_ledger_core::codec::parse_hex32;

use super::Context;
use super::recorded::{Keep, parse_id, tell};
use crate::failure::{Failure, Result};
use crate::service::{failed, told};

#[derive(Debug, clap::Args)]
pub(crate) struct Approve {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Rules: who must approve, how many of them, and how long a case lives.
    #[command(subcommand)]
    Rule(rule::Rule),
    /// Asks for approvals of one exact signature, or, of judges, of a disputed recovery.
    Ask(Box<ask::Ask>),
    /// Lists the cases that you asked for, or may approve.
    List,
    /// Shows a case: what it is about in words and as a hash, who has approved, and what is missing.
    Show {
        /// The case, 64 hex digits.
        case: String,
        /// Writes the payload here, to be looked at in full.
        #[arg(long, value_name = "FILE")]
        payload: Option<PathBuf>,
    },
    /// Approves: shows what the case is about, and signs exactly that.
    Give(speak::Give),
    /// Refuses: the case is closed.
    Refuse(speak::Say),
    /// Takes your approval back, or the case that you asked for.
    Withdraw(speak::Say),
}

impl Approve {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self.verb {
            Verb::Rule(rule) => rule.run(context).await,
            Verb::Ask(ask) => ask.run(context).await,
            Verb::List => show::list(context).await,
            Verb::Show { case, payload } => show::show(context, &case, payload).await,
            Verb::Give(give) => give.run(context).await,
            Verb::Refuse(say) => say.refuse(context).await,
            Verb::Withdraw(say) => say.withdraw(context).await,
        }
    }
}

/// Which rule.
#[derive(Debug, clap::Args)]
struct NamedRule {
    /// What its owner calls the rule: 1 to 64 of a-z, 0-9, dot, dash or underscore; or the name's id, 64 hex digits.
    #[arg(long, value_name = "NAME")]
    rule: String,
    /// The account that has defined it, 64 hex digits; without it, yours.
    #[arg(long, value_name = "ACCOUNT")]
    of: Option<String>,
}

impl NamedRule {
    fn name(&self, own: Option<[u8; 32]>) -> Result<RuleName> {
        let owner = match &self.of {
            Some(of) => parse_id(of, "give the account's id: user names are not taken here")?,
            None => own.ok_or_else(|| {
                Failure::usage("nobody is logged in", "say whose rule it is with `--of ACCOUNT`")
            })?,
        };
        Ok(RuleName { owner, name: name_id(&self.rule)? })
    }
}

/// A name's id, which is all that the ledger knows.
pub(super) fn name_id(text: &str) -> Result<[u8; 32]> {
    if let Some(id) = parse_hex32(text) {
        return Ok(id);
    }
    let name = ApprovalRuleName::parse(text);
    Ok(name.map_err(|error| Failure::of_coded("cannot use the rule's name", &error))?.id())
}

told!(ApprovalError, Self::Client(error) => error, next_for);

/// What to do next where a code, which other rooms know as well, means something of its own here.
pub(super) fn next_for(code: &str) -> Option<&'static str> {
    Some(match code {
        "AUTHOR_NOT_NAMED" => "have one of those do it whom `keyward approve show` names",
        "AUTHOR_SIGNATURE_EXPIRED" => "do it again: the signature came too late",
        "AUTHOR_REPLAYED" => "nothing is to be done: it was handed in before (`keyward approve show`)",
        "RULE_VERSION" => {
            "look at the rule (`keyward approve rule show`): it was defined anew; have approvals asked for again"
        }
        "RULE_INVALID" => {
            "give each group members, and at least one needed approval but no more than it has members"
        }
        "RULE_UNKNOWN" => "have the rule defined first (`keyward approve rule define`)",
        "CASE_UNKNOWN" => {
            "have approvals asked for anew (`keyward approve ask`): no such case is open, or its time is over"
        }
        "CASE_CLOSED" => {
            "have approvals asked for anew (`keyward approve ask`): this case was refused or withdrawn"
        }
        "CASE_PAYLOAD" => "look at the case again (`keyward approve show`): it is about something else",
        "CASE_USED" => {
            "nothing is to be done for this case: it has paid for what it is about; ask anew for anything else (`keyward approve ask`)"
        }
        "APPROVALS_MISSING" => "wait for the approvals that `keyward approve show` says are missing",
        "PAYLOAD_OTHER" | "PAYLOAD_UNREAD" => {
            "approve nothing and sign nothing: payload, format and hash do not belong together"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_client::EvidenceError;

    use super::*;
    use crate::failure::Exit;

    #[test]
    fn what_a_case_needs_is_said_as_its_use_has_it() {
        let missing = failed("x")(ApprovalError::Evidence(EvidenceError::Refused {
            code: "APPROVALS_MISSING",
            meaning: "no",
        }));
        assert!(missing.next.contains("`keyward approve show`"), "{missing}");
        let used = failed("x")(ApprovalError::NotOpen("used up"));
        assert_eq!(used.code.as_deref(), Some("CASE_USED"));
        for failure in [missing, used] {
            assert!(!failure.next.contains("recover"), "no recovery is meant here: {failure}");
        }
    }

    #[test]
    fn a_rule_is_the_same_by_name_and_by_its_id_and_whose_it_is_must_be_said() {
        let by = |rule: &str, of: Option<&str>| NamedRule { rule: rule.into(), of: of.map(Into::into) };
        let named = by("treasury", None).name(Some([7; 32])).unwrap();
        let id = by(&hex::encode(named.name), Some(&"07".repeat(32))).name(None).unwrap();
        assert_eq!((named.owner, named.name), (id.owner, id.name));
        assert_eq!(by("treasury", None).name(None).unwrap_err().exit, Exit::Usage);
        assert_eq!(by("treasury", Some("bob")).name(None).unwrap_err().exit, Exit::Usage);
        assert!(by("Treasury", None).name(Some([7; 32])).is_err());
    }
}
