//! What was found, for people and programs: JSON, CSV, and one page of HTML that needs nothing else.

mod csv;
mod html;
mod json;
mod limits;
mod text;
mod words;

use std::collections::BTreeMap;

use keyward_ledger_core::hash::Hash;
use keyward_ledger_verify::HistoryVerdict;

use crate::finding::{AccountEpoch, EpochFinding};
use crate::relinked::Relinked;

pub use limits::Limit;

/// The format of reports.
pub const REPORT_FORMAT: &str = "keyward-audit-report-1";

/// A report on what was found in records that hold.
#[derive(Debug)]
pub struct Report<'a> {
    found: &'a Relinked,
    history: &'a HistoryVerdict,
    /// Accounts by the number that the page calls them.
    numbers: BTreeMap<Hash, usize>,
    epochs: BTreeMap<AccountEpoch, &'a EpochFinding>,
}

impl<'a> Report<'a> {
    /// Of what was found, and of the history that it was found in.
    pub fn new(found: &'a Relinked, history: &'a HistoryVerdict) -> Self {
        let named = found.granted.grant.accounts.iter().copied();
        let opened = found.runs.iter().map(|run| run.account);
        let mut accounts: Vec<Hash> = named.chain(opened).collect();
        accounts.sort_unstable();
        accounts.dedup();
        Self {
            found,
            history,
            numbers: accounts.into_iter().zip(1..).collect(),
            epochs: found.epochs.iter().map(|epoch| (epoch.of, epoch)).collect(),
        }
    }

    /// Where the receipt of a record lies, beside the report.
    pub fn receipt_name(leaf_index: u64) -> String {
        format!("receipts/{leaf_index}.receipt")
    }

    fn account_name(&self, account: &Hash) -> String {
        self.numbers.get(account).map_or_else(|| hex::encode(account), |number| format!("Account {number}"))
    }

    /// What the report does not show, in plain words.
    pub fn limits(&self) -> Vec<Limit> {
        limits::of(self.found, self.history)
    }

    fn completeness(&self, of: &AccountEpoch) -> &'static str {
        self.epochs.get(of).map_or("", |epoch| epoch.completeness.name())
    }
}
