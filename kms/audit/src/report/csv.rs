//! The report as CSV (RFC 4180): one line for each transaction, each payment, and each account of which something was not opened.

use keyward_domain::moment::moment;

use super::Report;
use super::words::{address_name, approvers, plain, unopened};
use crate::finding::{PaymentReceived, Transaction, Unopened};

const HEAD: [&str; 29] = [
    "what",
    "time_utc",
    "time_ms",
    "leaf_index",
    "leaf_hash",
    "height",
    "receipt",
    "account",
    "epoch",
    "epoch_is",
    "address",
    "address_is",
    "scheme",
    "intent_id",
    "payload_hash",
    "format",
    "said",
    "app",
    "policy",
    "limit_handle",
    "release_leaf_index",
    "release_receipt",
    "signature_hash",
    "payment_used_by",
    "approval_case",
    "approval_rule",
    "approved_by",
    "lies",
    "grant_id",
];

impl Report<'_> {
    /// The lines, each ended by CR LF.
    pub fn csv(&self) -> String {
        let mut out = line(HEAD.map(str::to_owned));
        for one in &self.found.transactions {
            out.push_str(&line(self.transaction_fields(one)));
        }
        for payment in &self.found.payments {
            out.push_str(&line(self.payment_fields(payment)));
        }
        for one in &self.found.unopened {
            out.push_str(&line(self.unopened_fields(one)));
        }
        out
    }

    fn transaction_fields(&self, one: &Transaction) -> [String; HEAD.len()] {
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        let detail = one.detail.as_ref();
        let release = one.release.map(|release| release.place.leaf_index);
        let approved = one.approval.as_ref().and_then(|approval| approval.found.as_ref());
        let lies: Vec<_> = one.lies.iter().map(|lie| lie.code()).collect();
        [
            "transaction".to_owned(),
            moment(one.place.time_ms),
            one.place.time_ms.to_string(),
            one.place.leaf_index.to_string(),
            hex::encode(one.place.leaf_hash),
            one.place.height.to_string(),
            Self::receipt_name(one.place.leaf_index),
            hex::encode(one.of.account),
            one.of.epoch.to_string(),
            self.completeness(&one.of).to_owned(),
            hex::encode(one.public_key),
            address_name(&one.address).to_owned(),
            one.scheme.name().to_owned(),
            hex::encode(one.intent_id),
            detail.map(|detail| hex::encode(detail.payload_hash)).unwrap_or_default(),
            text(detail.map(|detail| &detail.format)),
            detail.map(|detail| detail.said.join("; ")).unwrap_or_default(),
            text(detail.map(|detail| &detail.app)),
            detail.map(|detail| hex::encode(detail.policy)).unwrap_or_default(),
            one.limit.map(|limit| hex::encode(limit.handle)).unwrap_or_default(),
            release.map(|leaf| leaf.to_string()).unwrap_or_default(),
            release.map(Self::receipt_name).unwrap_or_default(),
            one.release.map(|release| hex::encode(release.signature_hash)).unwrap_or_default(),
            String::new(),
            one.approval.as_ref().map(|approval| hex::encode(approval.case)).unwrap_or_default(),
            approved.map(|case| hex::encode(case.rule)).unwrap_or_default(),
            one.approval.as_ref().map(|approval| approvers(approval, hex::encode)).unwrap_or_default(),
            lies.join(" "),
            hex::encode(self.found.granted.grant.id),
        ]
    }

    fn payment_fields(&self, payment: &PaymentReceived) -> [String; HEAD.len()] {
        fields(&[
            ("what", "payment".to_owned()),
            ("time_utc", moment(payment.place.time_ms)),
            ("time_ms", payment.place.time_ms.to_string()),
            ("leaf_index", payment.place.leaf_index.to_string()),
            ("leaf_hash", hex::encode(payment.place.leaf_hash)),
            ("height", payment.place.height.to_string()),
            ("receipt", Self::receipt_name(payment.place.leaf_index)),
            ("account", hex::encode(payment.of.account)),
            ("epoch", payment.of.epoch.to_string()),
            ("epoch_is", self.completeness(&payment.of).to_owned()),
            ("address", hex::encode(payment.public_key)),
            ("payment_used_by", payment.used_by.map(|leaf| leaf.to_string()).unwrap_or_default()),
            ("grant_id", hex::encode(self.found.granted.grant.id)),
        ])
    }

    fn unopened_fields(&self, one: &Unopened) -> [String; HEAD.len()] {
        fields(&[
            ("what", "not-opened".to_owned()),
            ("account", hex::encode(one.account)),
            ("said", unopened(one)),
            ("grant_id", hex::encode(self.found.granted.grant.id)),
        ])
    }
}

/// A line with these fields, the others empty.
fn fields(given: &[(&str, String)]) -> [String; HEAD.len()] {
    HEAD.map(|name| {
        let value = given.iter().find(|(known, _)| *known == name);
        value.map(|(_, value)| value.clone()).unwrap_or_default()
    })
}

/// What formulas begin with, also full-width, as spreadsheets in Japanese and Chinese take it.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

fn line(fields: impl IntoIterator<Item = String>) -> String {
    let fields: Vec<_> = fields.into_iter().map(|field| quoted(&field)).collect();
    fields.join(",") + "\r\n"
}

/// Quoted where it must be. What a spreadsheet would take for a formula gets an apostrophe in front: words come from payloads.
fn quoted(field: &str) -> String {
    let field = plain(field);
    let formula = field.starts_with(FORMULA);
    let field = if formula { format!("'{field}") } else { field };
    if field.contains(['"', ',', ';', '\'']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_takes_for_a_formula_is_text() {
        for begins in ["=", "+", "-", "@", "\u{ff1d}", "\u{ff0b}", "\u{ff0d}", "\u{ff20}"] {
            assert_eq!(quoted(&format!("{begins}1")), format!("\"'{begins}1\""));
            assert_eq!(quoted(&format!("1{begins}1")), format!("1{begins}1"));
        }
    }
}
