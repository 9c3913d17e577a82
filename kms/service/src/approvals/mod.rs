//! Approvals: what each side signs is handed in, and what a case is about is carried from who asks to those who approve.
//!
//! INVARIANT: nothing here decides that something is approved: the ledger does, by the approvers' own signatures. What the
//! service adds it can only refuse by: that nobody approves twice, or what they asked for, under another account.

pub(crate) mod blind;
pub(crate) mod entries;
pub(crate) mod mail;
mod persons;
pub(crate) mod show;
pub(crate) mod sign;

use std::time::Duration;

use keyward_domain::Code;
use keyward_ledger_core::{
    entry::{Act, Author, Authored, Entry, Party, RuleName, kind},
    outcome::Refusal,
    state::layout::{ApprovalCase, ApprovalState, approval_case_key, approval_key},
};
use keyward_store::Id;

use crate::{custody::Custody, failure::Failure, ports::Final};

/// How often a state of a height is asked for until a validator has it, and the pause between.
const AGAIN_MAX: u32 = 10;
const AGAIN_PAUSE: Duration = Duration::from_millis(100);

/// The act of an entry about approvals, or about a rate that counts uses of addresses, and its one author.
fn act_of(entry: &Entry) -> Option<(&Act, &Author)> {
    let Entry::Authored(Authored { act, authors }) = entry else { return None };
    match (act.kind(), authors.as_slice()) {
        (kind::DEFINE_RATE | kind::DEFINE_APPROVAL..=kind::USE_APPROVAL, [author]) => Some((act, author)),
        _ => None,
    }
}

/// The id of an approval rule.
fn rule_id(rule: &RuleName) -> Id {
    rule.id(kind::DEFINE_APPROVAL)
}

/// Everybody whom a rule names.
fn members(rule: &ApprovalState) -> impl Iterator<Item = &Party> {
    rule.terms.groups.iter().flat_map(|group| &group.members)
}

/// A refused record, as the author sees it.
pub(crate) fn refusal(record: &dyn Final) -> Failure {
    let outcome = record.outcome();
    let code = match outcome.refusal() {
        Some(Refusal::Expired | Refusal::ExpiryTooFar) => Code::AuthorSignatureExpired,
        _ => Code::of_ledger(outcome.name()),
    };
    Failure::new(code, format!("the ledger refused it (`{}`)", outcome.name()))
}

fn malformed(why: impl Into<String>) -> Failure {
    Failure::new(Code::ApprovalRequestMalformed, why)
}

impl Custody {
    /// A case as the ledger has it.
    async fn approval_case(&self, case: &Id) -> Result<Option<ApprovalCase>, Failure> {
        let value = self.ledger.state(approval_case_key(case)).await?;
        value.map(|value| ApprovalCase::decode(&value).map_err(Failure::internal)).transpose()
    }

    /// A case as the ledger has it at a height or later, and the time of that state: what a validator says that lags behind is not
    /// gone by.
    async fn approval_case_since(
        &self,
        case: &Id,
        height: u64,
    ) -> Result<(Option<ApprovalCase>, u64), Failure> {
        for again in 0..AGAIN_MAX {
            if again > 0 {
                tokio::time::sleep(AGAIN_PAUSE).await;
            }
            let proven = self.ledger.proven(approval_case_key(case)).await?;
            if proven.height >= height {
                let found = proven.value.map(|value| ApprovalCase::decode(&value)).transpose();
                return Ok((found.map_err(Failure::internal)?, proven.time_ms));
            }
        }
        Err(Failure::new(
            Code::LedgerUnavailable,
            "the ledger lags: it does not show the case as it is by now",
        ))
    }

    /// A rule as the ledger has it.
    async fn approval_rule(&self, rule: &Id) -> Result<Option<ApprovalState>, Failure> {
        let value = self.ledger.state(approval_key(rule)).await?;
        value.map(|value| ApprovalState::decode(&value).map_err(Failure::internal)).transpose()
    }

    /// The accounts that these speak for, as far as they are known here.
    async fn accounts_of(&self, parties: impl Iterator<Item = &Party>) -> Result<Vec<Id>, Failure> {
        let mut accounts = Vec::new();
        for party in parties {
            accounts.extend(self.account_of(party).await?.map(|account| account.0));
        }
        accounts.sort_unstable();
        accounts.dedup();
        Ok(accounts)
    }
}
