//! The tables of the page.

use keyward_domain::moment::moment;

use super::super::Report;
use super::super::words::{self, plain};
use super::{ROWS_MAX, escaped, more, receipt};
use crate::finding::{AddressCheck, Completeness, EpochFinding, Lie, PaymentReceived, Transaction};

impl Report<'_> {
    pub(super) fn epochs(&self, out: &mut String, account: &[u8; 32]) {
        let epochs: Vec<_> = self.found.epochs.iter().filter(|epoch| epoch.of.account == *account).collect();
        if epochs.is_empty() {
            return;
        }
        out.push_str("<table><thead><tr><th class=\"n\">Epoch</th><th>From, to</th><th class=\"n\">Records</th><th>Is</th><th>Closing</th></tr></thead><tbody>\n");
        // First what is not as it should be.
        let (good, other): (Vec<&EpochFinding>, Vec<&EpochFinding>) =
            epochs.iter().partition(|epoch| epoch.completeness == Completeness::Complete && epoch.lying == 0);
        for epoch in other.iter().chain(&good).take(ROWS_MAX) {
            out.push_str(&format!(
                "<tr><td class=\"n\">{}</td><td class=\"t\">{}</td><td class=\"n\">{}</td><td class=\"{}\">{}{}</td><td>{}</td></tr>\n",
                epoch.of.epoch,
                words::epoch_span(epoch.epoch_ms, epoch.of.epoch),
                epoch.found,
                colour(epoch),
                escaped(&words::completeness(epoch)),
                match epoch.lying {
                    0 => String::new(),
                    1 => "; 1 of them contradicts".to_owned(),
                    count => format!("; {count} of them contradict"),
                },
                epoch.closing.as_ref().map_or_else(String::new, receipt)
            ));
        }
        out.push_str("</tbody></table>\n");
        more(out, epochs.len(), "epochs", "report.json");
    }

    pub(super) fn contradictions(&self, out: &mut String) {
        let lying: Vec<_> = self.found.transactions.iter().filter(|one| !one.lies.is_empty()).collect();
        if lying.is_empty() {
            return;
        }
        out.push_str("<h2 id=\"contradictions\">What does not agree</h2>\n<p>Each of these was sealed for an account and epoch of this grant, and says something that its record or the account's keys contradict.</p>\n");
        self.table(out, &lying);
    }

    pub(super) fn transactions(&self, out: &mut String) {
        out.push_str("<h2 id=\"transactions\">Transactions</h2>\n");
        let all: Vec<_> = self.found.transactions.iter().collect();
        if all.is_empty() {
            out.push_str("<p>None was found in the opened epochs.</p>\n");
            return;
        }
        self.table(out, &all);
    }

    fn table(&self, out: &mut String, all: &[&Transaction]) {
        out.push_str("<table><thead><tr><th>When</th><th>Who</th><th>What</th><th>Through</th><th>Signature</th><th>Receipts</th></tr></thead><tbody>\n");
        all.iter().take(ROWS_MAX).for_each(|one| self.transaction(out, one));
        out.push_str("</tbody></table>\n");
        more(out, all.len(), "transactions", "report.csv");
    }

    fn transaction(&self, out: &mut String, one: &Transaction) {
        let app = match &one.detail {
            Some(detail) if detail.app.is_empty() => "a person".to_owned(),
            Some(detail) => escaped(&plain(&detail.app)),
            None => String::new(),
        };
        let (signature, released) = match &one.release {
            Some(release) => ("released", format!("<br>{}", receipt(&release.place))),
            None => ("none recorded", String::new()),
        };
        out.push_str(&format!(
            "<tr><td class=\"t\">{}<br><span class=\"hash\">epoch {}</span></td><td class=\"t\">{}</td><td>{}</td><td>{app}</td><td class=\"t\">{signature}</td><td>{}{released}</td></tr>\n",
            moment(one.place.time_ms),
            one.of.epoch,
            escaped(&self.account_name(&one.of.account)),
            what(one) + &self.approved(one),
            receipt(&one.place)
        ));
    }

    /// By which approval.
    fn approved(&self, one: &Transaction) -> String {
        let Some(approval) = &one.approval else { return String::new() };
        let name = |account| self.account_name(&account);
        let by = match &approval.found {
            None => "of which these records have nothing".to_owned(),
            Some(case) if case.approvers.is_empty() => "by nobody".to_owned(),
            Some(_) => format!("by {}", words::approvers(approval, name)),
        };
        let receipts = approval.places().map(|place| receipt(&place)).collect::<Vec<_>>().join(" ");
        let case = hex::encode(approval.case);
        let rule = approval.found.as_ref().map(|case| format!(" under rule {}", hex::encode(case.rule)));
        let rule = rule.unwrap_or_default();
        format!("<br>approved {} {receipts}<br><span class=\"hash\">case {case}{rule}</span>", escaped(&by))
    }

    pub(super) fn payments(&self, out: &mut String) {
        out.push_str("<h2 id=\"payments\">Announced payments</h2>\n");
        let payments = &self.found.payments;
        if payments.is_empty() {
            out.push_str("<p>None was found for these accounts in the opened and closed epochs.</p>\n");
            return;
        }
        out.push_str("<table><thead><tr><th>When</th><th>To</th><th>Address</th><th>Used by</th><th>Receipt</th></tr></thead><tbody>\n");
        payments.iter().take(ROWS_MAX).for_each(|payment| self.payment(out, payment));
        out.push_str("</tbody></table>\n");
        more(out, payments.len(), "payments", "report.csv");
    }

    fn payment(&self, out: &mut String, payment: &PaymentReceived) {
        out.push_str(&format!(
            "<tr><td class=\"t\">{}</td><td>{}</td><td class=\"hash\">{}</td><td>{}</td><td>{}</td></tr>\n",
            moment(payment.place.time_ms),
            escaped(&self.account_name(&payment.of.account)),
            hex::encode(payment.public_key),
            payment
                .used_by
                .map_or_else(|| "no transaction found".to_owned(), |leaf| format!("record {leaf}")),
            receipt(&payment.place)
        ));
    }
}

/// What was signed, by which address, and what about it is not true.
fn what(one: &Transaction) -> String {
    let said = match &one.detail {
        Some(detail) if detail.said.is_empty() => "a payload that was not read".to_owned(),
        Some(detail) => {
            let lines = detail.said.iter().map(|line| escaped(&plain(line)));
            lines.collect::<Vec<_>>().join("<br>")
        }
        None => "unknown".to_owned(),
    };
    let payload = one.detail.as_ref().map(|detail| hash("payload", &detail.payload_hash)).unwrap_or_default();
    let signature = one.release.map(|release| hash("signature", &release.signature_hash)).unwrap_or_default();
    let lie = |lie: &Lie| format!("<div class=\"lie\">{}</div>", escaped(&plain(&lie.words())));
    let lies: String = one.lies.iter().map(lie).collect();
    let address = hash("address", &one.public_key);
    format!(
        "<span class=\"said\">{said}</span>{payload}{address}{signature}{}{lies}",
        unchecked(&one.address)
    )
}

fn hash(name: &str, bytes: &[u8]) -> String {
    format!("<br><span class=\"hash\">{name} {}</span>", hex::encode(bytes))
}

fn unchecked(check: &AddressCheck) -> String {
    match check {
        AddressCheck::Derived | AddressCheck::Foreign => String::new(),
        other => format!("<br><span class=\"is-warn\">address {}</span>", escaped(&words::address(other))),
    }
}

const fn colour(epoch: &EpochFinding) -> &'static str {
    match epoch.completeness {
        Completeness::Complete if epoch.lying == 0 => "is-good",
        Completeness::NotClosed | Completeness::BeganBefore if epoch.lying == 0 => "is-warn",
        _ => "is-bad",
    }
}
