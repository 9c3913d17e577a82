//! What an audit comes to.

use std::collections::HashSet;

use crate::finding::{
    AccountFinding, Approval, Completeness, EpochFinding, GrantAct, PaymentReceived, RunFinding, RunSource,
    Transaction, Unopened,
};
use crate::granted::Granted;
use crate::relink::Relinker;

/// Which records were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The first record's index in the log.
    pub first_leaf: u64,
    /// How many.
    pub records: u64,
    /// The time of the first one's block.
    pub from_ms: u64,
    /// The time of the last one's block.
    pub until_ms: u64,
    /// The height of the last one's block.
    pub height: u64,
}

/// Everything that was found.
#[derive(Clone, Debug)]
pub struct Relinked {
    /// By what right.
    pub granted: Granted,
    /// The accounts that were opened, as far as the records tell of them.
    pub accounts: Vec<AccountFinding>,
    /// What was opened.
    pub runs: Vec<RunFinding>,
    /// What was not, by account: of those that the grant names, and of those that chose addresses under its tenant if it is for all.
    pub unopened: Vec<Unopened>,
    /// What was done about the grant, in the log's order.
    pub acts: Vec<GrantAct>,
    /// Transactions, in the log's order.
    pub transactions: Vec<Transaction>,
    /// Announced payments, in the log's order.
    pub payments: Vec<PaymentReceived>,
    /// Epochs with something in them, by account and number.
    pub epochs: Vec<EpochFinding>,
    /// Uses that commit to an opened epoch's key and do not open with it. The commitment stands in the clear in the record that it was
    /// made for, so others can write such: they are nobody's, and count for nothing.
    pub claims: u32,
    /// Which records were looked at; nothing if there were none.
    pub looked: Option<Looked>,
}

impl Relinker {
    /// What was found in the records so far; more may be fed afterwards.
    pub fn relinked(&self) -> Relinked {
        let runs = self.all_runs();
        let opened: HashSet<_> = runs.iter().map(|run| run.account).collect();
        Relinked {
            granted: self.granted.clone(),
            accounts: self.accounts.values().filter(|one| opened.contains(&one.account)).copied().collect(),
            unopened: self.unopened(&runs),
            runs,
            acts: self.acts.clone(),
            transactions: self.transactions.clone(),
            payments: self.payments(),
            epochs: self.epochs(),
            claims: self.claims,
            looked: self.looked,
        }
    }
}

impl Relinked {
    /// The places of all records that it speaks of, ascending: what receipts are wanted of.
    pub fn places(&self) -> Vec<u64> {
        let transactions = self
            .transactions
            .iter()
            .flat_map(|one| std::iter::once(one.place).chain(one.release.map(|release| release.place)));
        let approvals = self.transactions.iter().filter_map(|one| one.approval.as_ref());
        let approvals = approvals.flat_map(Approval::places);
        let accounts = self.accounts.iter().flat_map(|one| std::iter::once(one.chosen).chain(one.closed));
        let epochs = self.epochs.iter().filter_map(|one| one.closing);
        let dealings = self.runs.iter().filter_map(|run| match run.source {
            RunSource::Keepers(place) => Some(place),
            RunSource::Hosted | RunSource::KeepersUnrecorded => None,
        });
        let acts = self.acts.iter().map(|act| act.place);
        let payments = self.payments.iter().map(|payment| payment.place);
        let all = transactions
            .chain(approvals)
            .chain(payments)
            .chain(accounts)
            .chain(epochs)
            .chain(dealings)
            .chain(acts);
        let mut places: Vec<_> = all.map(|place| place.leaf_index).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// How many transactions have something about them that is not true.
    pub fn lying(&self) -> usize {
        self.transactions.iter().filter(|one| !one.lies.is_empty()).count()
    }

    /// Whether something was found, every epoch with something in it is closed over exactly what was found, and nothing lies. It says
    /// nothing about what was not opened: [`Self::is_whole`] does.
    pub fn is_complete(&self) -> bool {
        !self.epochs.is_empty()
            && self.lying() == 0
            && self.epochs.iter().all(|one| one.completeness == Completeness::Complete)
    }

    /// Whether nothing of the grant's period that had elapsed at the last record was left unopened.
    pub fn is_whole(&self) -> bool {
        self.knows_accounts() && self.unopened.is_empty()
    }

    /// Whether the records show which accounts the grant is for: those of a whole tenant are known from the log's beginning on only.
    pub(crate) fn knows_accounts(&self) -> bool {
        self.looked.is_some_and(|looked| looked.first_leaf == 0 || !self.granted.grant.is_whole_tenant())
    }
}
