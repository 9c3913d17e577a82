//! The report in some lines, for a terminal.

use keyward_domain::moment::moment;

use super::Report;
use super::words::{counted, plain};
use crate::finding::{Completeness, Transaction};

/// The most transactions that are shown.
const SHOWN_MAX: usize = 50;

impl Report<'_> {
    /// The verdict, the accounts, the first transactions, and where there is more.
    pub fn text(&self) -> String {
        let found = self.found;
        let mut lines = vec![self.verdict_line()];
        for (account, number) in &self.numbers {
            lines.push(format!("  Account {number}: {}", hex::encode(account)));
        }
        let history = self.history;
        let (records, from, to) = (history.records, history.from, history.to);
        let checked = super::words::checked(history.depth);
        lines.push(format!("  {records} records at heights {from} to {to}, {checked}"));
        for one in found.unopened.iter().take(SHOWN_MAX) {
            lines.push(format!("  {}: {}", self.account_name(&one.account), super::words::unopened(one)));
        }
        if found.unopened.len() > SHOWN_MAX {
            let more = found.unopened.len() - SHOWN_MAX;
            lines.push(format!("  and {more} more accounts: `keyward audit report` has them"));
        }
        let odd = found.epochs.iter().filter(|epoch| epoch.completeness != Completeness::Complete);
        for epoch in odd {
            let (account, words) = (self.account_name(&epoch.of.account), super::words::completeness(epoch));
            lines.push(format!("  {account}, epoch {}: {words}", epoch.of.epoch));
        }
        lines.extend(found.transactions.iter().take(SHOWN_MAX).flat_map(|one| self.transaction_lines(one)));
        if found.transactions.len() > SHOWN_MAX {
            lines.push(format!(
                "  and {} more transactions: `keyward audit report` has them",
                found.transactions.len() - SHOWN_MAX
            ));
        }
        for payment in found.payments.iter().take(SHOWN_MAX) {
            lines.push(format!(
                "  {}  {}  payment announced to {}  record {}",
                moment(payment.place.time_ms),
                self.account_name(&payment.of.account),
                hex::encode(payment.public_key),
                payment.place.leaf_index
            ));
        }
        if found.payments.len() > SHOWN_MAX {
            let more = found.payments.len() - SHOWN_MAX;
            lines.push(format!("  and {more} more payments: `keyward audit report` has them"));
        }
        lines.push("what this does not show:".to_owned());
        lines.extend(self.limits().iter().map(|limit| format!("  {}: {}", limit.title, limit.words)));
        lines.join("\n")
    }

    fn verdict_line(&self) -> String {
        let found = self.found;
        let what = format!(
            "{}, {} in {}",
            counted(found.transactions.len(), "transaction", "transactions"),
            counted(found.payments.len(), "announced payment", "announced payments"),
            counted(found.epochs.len(), "epoch with activity", "epochs with activity"),
        );
        let odd = found.epochs.iter().filter(|epoch| epoch.completeness != Completeness::Complete).count();
        let not_opened: String =
            super::words::not_opened(found).iter().map(|point| format!("; {point}")).collect();
        match (found.lying(), odd) {
            _ if found.epochs.is_empty() => {
                format!("nothing was found with the keys of this grant{not_opened}")
            }
            (0, 0) if found.is_whole() => format!("complete: {what}"),
            (0, 0) => format!("complete within what was opened: {what}{not_opened}"),
            (0, odd) => {
                format!(
                    "not complete: {what}; {}{not_opened}",
                    counted(odd, "epoch is not", "epochs are not")
                )
            }
            (lying, _) => {
                format!(
                    "something does not agree: {what}; {}{not_opened}",
                    counted(lying, "transaction contradicts", "transactions contradict")
                )
            }
        }
    }

    fn transaction_lines(&self, one: &Transaction) -> Vec<String> {
        let said = one.detail.as_ref().map_or_else(
            || "unknown".to_owned(),
            |detail| {
                if detail.said.is_empty() {
                    "a payload that was not read".to_owned()
                } else {
                    detail.said.join("; ")
                }
            },
        );
        let mut lines = vec![format!(
            "  {}  {}  {}  record {}",
            moment(one.place.time_ms),
            self.account_name(&one.of.account),
            plain(&said),
            one.place.leaf_index
        )];
        lines.push(format!("    address {}", hex::encode(one.public_key)));
        lines.extend(one.lies.iter().map(|lie| format!("    ! {} ({})", plain(&lie.words()), lie.code())));
        lines
    }
}
