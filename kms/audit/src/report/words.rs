//! Words for what was found.

use keyward_domain::moment::moment;
use keyward_ledger_core::entry::Party;
use keyward_ledger_core::unlinkable::AddressEpoch;
use keyward_ledger_verify::Depth;

use crate::finding::{
    AddressCheck, Approval, Approver, Completeness, EpochFinding, GrantAct, GrantStep, Unopened,
};
use crate::relinked::Relinked;

/// Text of others, in which nothing writes over what is shown or turns it around.
pub(super) fn plain(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{200b}'..='\u{200f}')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}')
            || matches!(c, '\u{e0000}'..='\u{e007f}')
    };
    text.chars().map(|c| if hidden(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// How far the records were checked.
pub(super) const fn checked(depth: Depth) -> &'static str {
    match depth {
        Depth::Chain => {
            "certified by a quorum of its validators; not executed again: outcomes and states are as they certified them"
        }
        Depth::Proofs => {
            "certified by a quorum of its validators; not executed again, which needs the ledger from its first block on"
        }
        Depth::Execution => {
            "certified by a quorum of its validators and executed again: every outcome is what follows from the entries"
        }
    }
}

/// The same, stable.
pub(super) const fn depth_name(depth: Depth) -> &'static str {
    match depth {
        Depth::Chain => "chain",
        Depth::Proofs => "proofs",
        Depth::Execution => "execution",
    }
}

/// Who, in words.
pub(super) fn party(party: &Party) -> String {
    match party {
        Party::Credential(account) => format!("account {}", hex::encode(account)),
        Party::Key(key) => format!("key {}", hex::encode(key.0)),
    }
}

/// When an epoch was.
pub(super) fn epoch_span(epoch_ms: u64, number: u32) -> String {
    let epoch = AddressEpoch::new(epoch_ms, number);
    format!("{} to {}", moment(epoch.begins_ms()), moment(epoch.ends_ms()))
}

/// What was done about the grant.
pub(super) fn step(act: &GrantAct) -> String {
    match &act.what {
        GrantStep::Requested => "asked for the grant".to_owned(),
        GrantStep::CaseOpened { .. } => "asked for approvals".to_owned(),
        GrantStep::Approved { .. } => "approved".to_owned(),
        GrantStep::Issued { .. } => "the grant was issued on these approvals".to_owned(),
        GrantStep::Opened(opened) => format!("opened epochs {} to {}", opened.first, opened.last),
        GrantStep::Delivered { opened, .. } => {
            format!("the service handed over epochs {} to {}", opened.first, opened.last)
        }
        GrantStep::Used { count: 1, .. } => "1 question was asked in SQL, as a submitter recorded".to_owned(),
        GrantStep::Used { count, .. } => {
            format!("{count} questions were asked in SQL, as a submitter recorded")
        }
        GrantStep::Revoked { .. } => "the grant was revoked".to_owned(),
    }
}

/// A step's stable name.
pub(super) const fn step_name(step: &GrantStep) -> &'static str {
    match step {
        GrantStep::Requested => "requested",
        GrantStep::CaseOpened { .. } => "approvals-asked",
        GrantStep::Approved { .. } => "approved",
        GrantStep::Issued { .. } => "issued",
        GrantStep::Opened(_) => "opened",
        GrantStep::Delivered { .. } => "delivered",
        GrantStep::Used { .. } => "used",
        GrantStep::Revoked { .. } => "revoked",
    }
}

/// Whether an address is the account's.
pub(super) fn address(check: &AddressCheck) -> String {
    match check {
        AddressCheck::Derived => "follows from the account's keys".to_owned(),
        AddressCheck::Foreign => "does not follow from the account's keys".to_owned(),
        AddressCheck::NotClosed => "not checked: its epoch is not closed".to_owned(),
        AddressCheck::OutsideScope { epoch } => {
            format!("not checked: paid to in epoch {epoch}, which was not opened")
        }
        AddressCheck::Unknown => "not checked: the detail does not say where it comes from".to_owned(),
    }
}

/// The stable name of that.
pub(super) const fn address_name(check: &AddressCheck) -> &'static str {
    match check {
        AddressCheck::Derived => "derived",
        AddressCheck::Foreign => "foreign",
        AddressCheck::NotClosed => "not-closed",
        AddressCheck::OutsideScope { .. } => "outside-scope",
        AddressCheck::Unknown => "unknown",
    }
}

/// How complete an epoch is.
pub(super) fn completeness(epoch: &EpochFinding) -> String {
    let words = match &epoch.completeness {
        Completeness::Complete => "complete: closed over exactly these".to_owned(),
        Completeness::CountDiffers { closed } => {
            format!("incomplete: the closing counts {closed}, {} were found", epoch.found)
        }
        Completeness::RecordsDiffer => {
            "incomplete: the closing counts as many, and they are not the same records".to_owned()
        }
        Completeness::NotClosed => "open: no closing in these records".to_owned(),
        Completeness::ClosingUnreadable { why } => {
            return format!("unknown: the closing does not open ({why})");
        }
        Completeness::BeganBefore => "unknown: the records begin after this epoch did".to_owned(),
    };
    match epoch.unreadable {
        0 => words,
        1 => format!("{words}; 1 record that claims to close it does not open"),
        count => format!("{words}; {count} records that claim to close it do not open"),
    }
}

/// What of an account's part of the period was not opened.
pub(super) fn unopened(one: &Unopened) -> String {
    match one.whole {
        None => "these records do not show how long its epochs are, nor whether all of them were opened"
            .to_owned(),
        Some(whole) if whole == one.missing => {
            format!("not opened: none of its {whole} whole epochs of the period that had elapsed")
        }
        Some(whole) => {
            format!(
                "{} of its {whole} whole epochs of the period that had elapsed were not opened",
                one.missing
            )
        }
    }
}

/// How much was not opened in all: nothing to say where everything was.
pub(super) fn not_opened(found: &Relinked) -> Vec<String> {
    let mut points = Vec::new();
    let (known, unknown): (Vec<&Unopened>, Vec<&Unopened>) =
        found.unopened.iter().partition(|one| one.whole.is_some());
    if !known.is_empty() {
        let missing: u64 = known.iter().map(|one| one.missing).sum();
        points.push(format!(
            "{} of {} in the grant's period not opened",
            counted(usize::try_from(missing).unwrap_or(usize::MAX), "whole epoch", "whole epochs"),
            counted(known.len(), "account", "accounts"),
        ));
    }
    if !unknown.is_empty() {
        let accounts = counted(unknown.len(), "account", "accounts");
        points.push(format!("of {accounts} it is not known whether all was opened"));
    }
    if !found.knows_accounts() {
        points.push("the records do not show which accounts the tenant has".to_owned());
    }
    points
}

/// A count and what is counted.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}
/// Who has approved, as far as these records tell.
pub(super) fn approvers(approval: &Approval, name: impl Fn([u8; 32]) -> String) -> String {
    let Some(case) = &approval.found else { return String::new() };
    let one = |one: &Approver| one.account.map_or_else(|| party(&one.party), &name);
    case.approvers.iter().map(one).collect::<Vec<_>>().join(", ")
}
