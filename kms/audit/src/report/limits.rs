//! What a report does not show. Said in every report, with the numbers of this one.

use std::collections::BTreeSet;

use keyward_domain::moment::moment;
use keyward_ledger_verify::{Depth, HistoryVerdict};

use super::words::{self, counted};
use crate::finding::{AddressCheck, Completeness};
use crate::relinked::Relinked;

/// One thing that is not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What it is about.
    pub title: &'static str,
    /// In plain words.
    pub words: String,
}

/// All of them; those that do not concern this report are left out.
pub(super) fn of(found: &Relinked, history: &HistoryVerdict) -> Vec<Limit> {
    let limit = |title, words: String| Limit { title, words };
    let mut limits = vec![
        limit("What was not opened", scope(found)),
        limit("What was recorded elsewhere", ELSEWHERE.to_owned()),
    ];
    limits.extend(unexecuted(history).map(|words| limit("Outcomes and states", words)));
    limits.extend(quiet(found).map(|words| limit("Epochs without a trace", words)));
    limits.extend(open(found).map(|words| limit("Epochs that are not closed", words)));
    limits.extend(closed(found).map(|words| limit("Accounts that were closed", words)));
    limits.extend(unchecked(found).map(|words| limit("Addresses that could not be checked", words)));
    limits.extend(claims(found).map(|words| limit("Records that claim to be of these accounts", words)));
    limits.push(limit("What left the service", released(found)));
    limits.push(limit("What a transaction means", MEANING.to_owned()));
    limits.push(limit("Payments", PAYMENTS.to_owned()));
    limits.push(limit("Linkable keys, and what was refused", LINKABLE.to_owned()));
    limits.push(limit(
        "What came later",
        format!(
            "The records end at height {} ({}). Later ones, among them closings, revocations and uses of this grant, are not here.",
            history.to,
            moment(history.tip.time_ms),
        ),
    ));
    limits.push(limit("Who else can see this", OTHERS.to_owned()));
    limits
}

const ELSEWHERE: &str = "\"Complete\" means that everything was found which the closing of the epoch counts, and the closing is the account's \
    side's own word (for a hosted account, the service's). What was recorded under keys that were not handed over, in epochs of \
    another length, or never through Keyward, is not found. The ledger shows that keys were handed over, not that they are this \
    account's: whoever hands over others hides an account, which then looks as if nothing had happened.";
const MEANING: &str = "Words, app and policy were sealed by who signed, at that time; the ledger holds a commitment to the hash of the \
    payload alone. Whoever has the payload can hold it against the hash given here. Approvals are shown where the detail names a case; \
    whether a transaction without one needed none, its policy says. That two accounts are two people the ledger does not know.";
const PAYMENTS: &str = "An announcement lets the account find an address that somebody can pay to. It does not show that anything was \
    paid, how much, or by whom.";
const LINKABLE: &str = "What accounts sign with ordinary keys stands in the ledger in the clear, under the keys' ids, and is not in this \
    report. Entries that the ledger refused had no effect and are left out.";
const OTHERS: &str = "Whoever holds the grant file sees what this report shows, also after the grant has ended. The service that hosts \
    an address root can link that account without any grant; an own root's closed epochs can be opened by as many keepers together \
    as its dealing names.";

fn unexecuted(history: &HistoryVerdict) -> Option<String> {
    let how = match history.depth {
        Depth::Execution => return None,
        Depth::Chain => "`keyward ledger check EXPORT`, or `--execute` here, recomputes them.",
        Depth::Proofs => "Recomputing them needs an export from the ledger's first block on.",
    };
    Some(format!(
        "Each record stands in the log that a quorum of the ledger's validators certified. What the ledger answered to it, and the \
         state that this came from, are as they certified them: nothing was executed again here. {how}"
    ))
}

fn scope(found: &Relinked) -> String {
    let grant = &found.granted.grant;
    let opened: BTreeSet<_> = found.runs.iter().map(|run| run.account).collect();
    let named = if grant.is_whole_tenant() {
        "every account of the tenant".to_owned()
    } else {
        counted(grant.accounts.len(), "account", "accounts")
    };
    let runs = counted(found.runs.len(), "run", "runs");
    let said = format!(
        "The grant is for {named} from {} until {}. Opened were {runs} of epochs of {}; this report says nothing about any other account or epoch.",
        moment(grant.from_ms),
        moment(grant.until_ms),
        counted(opened.len(), "account", "accounts"),
    );
    words::not_opened(found).into_iter().fold(said, |said, point| format!("{said} Of it: {point}."))
}

fn quiet(found: &Relinked) -> Option<String> {
    let opened = opened(found);
    let silent = opened.saturating_sub(found.epochs.len() as u64);
    (silent > 0).then(|| {
        format!(
            "In {silent} of {opened} opened epochs there is neither a record nor a closing. An epoch without activity is not closed, so \
             nothing on the ledger tells it from one whose closing was kept back together with its records."
        )
    })
}

/// How many epochs were opened. Runs of one account may overlap.
fn opened(found: &Relinked) -> u64 {
    let runs = found.runs.iter();
    let mut runs: Vec<_> =
        runs.map(|run| (run.account, u64::from(run.first), u64::from(run.last) + 1)).collect();
    runs.sort_unstable();
    let (mut count, mut before) = (0, ([0; 32], 0));
    for (account, first, end) in runs {
        let from = if before.0 == account { first.max(before.1) } else { first };
        count += end.saturating_sub(from);
        before = (account, if before.0 == account { end.max(before.1) } else { end });
    }
    count
}

fn open(found: &Relinked) -> Option<String> {
    let open = found.epochs.iter().filter(|epoch| epoch.completeness == Completeness::NotClosed).count();
    (open > 0).then(|| {
        format!(
            "{} of an account {} not closed in these records. All that was found of them is shown; how much there should be, \
             and whether their addresses are the account's, is known once they are.",
            counted(open, "epoch", "epochs"),
            if open == 1 { "is" } else { "are" },
        )
    })
}

fn closed(found: &Relinked) -> Option<String> {
    let closed = found.accounts.iter().filter(|account| account.closed.is_some()).count();
    (closed > 0).then(|| {
        format!(
            "{} closed. A use of an address names no account, so the ledger takes one with their keys afterwards too, from whoever still \
             has these. In opened epochs it is told as a contradiction; epochs after the closing are not looked for, and not missed here.",
            counted(closed, "account was", "accounts were"),
        )
    })
}

fn unchecked(found: &Relinked) -> Option<String> {
    let outside = |check: AddressCheck| matches!(check, AddressCheck::OutsideScope { .. });
    let count = found.transactions.iter().filter(|one| outside(one.address)).count();
    (count > 0).then(|| {
        format!(
            "{} used addresses that were paid to in epochs which were not opened: that they are the account's is the detail's word.",
            counted(count, "transaction", "transactions"),
        )
    })
}

fn claims(found: &Relinked) -> Option<String> {
    (found.claims > 0).then(|| {
        format!(
            "{} committed to an opened epoch and not opened by its key. Whoever saw the record that the commitment was made for can \
             write another with it: such records are not taken for the accounts', and a closing that counts them differs.",
            counted(found.claims as usize, "record is", "records are"),
        )
    })
}

fn released(found: &Relinked) -> String {
    let without = found.transactions.iter().filter(|one| one.release.is_none()).count();
    format!(
        "A release says that a signature was handed out, by its hash; not whether it was used, or took effect on another chain. {} of {} \
         without one: nothing shows that a signature left, and nothing that none did.",
        without,
        counted(found.transactions.len(), "transaction is", "transactions are"),
    )
}
