//! The report as JSON: hashes and keys in hex, times in milliseconds since 1970.

use keyward_domain::detail::{Detail, Source};
use keyward_domain::moment::moment;
use keyward_ledger_verify::{Anchor, Depth};
use serde_json::{Value, json};

use super::words::{self, party, step_name};
use super::{REPORT_FORMAT, Report};
use crate::finding::{
    Approval, Approver, EpochFinding, GrantAct, GrantStep, PaymentReceived, Place, RunFinding, RunSource,
    Transaction, Unopened,
};

impl Report<'_> {
    /// The whole report.
    pub fn json(&self) -> Value {
        let found = self.found;
        json!({
            "format": REPORT_FORMAT,
            "ledger": self.ledger_json(),
            "grant": self.grant_json(),
            "verdict": {
                "complete": found.is_complete(), "whole": found.is_whole(), "transactions": found.transactions.len(), "lying": found.lying(),
                "payments": found.payments.len(), "epochs": found.epochs.len(), "claims": found.claims,
            },
            "accounts": self.accounts_json(),
            "opened": found.runs.iter().map(run).collect::<Vec<_>>(),
            "not_opened": found.unopened.iter().map(unopened).collect::<Vec<_>>(),
            "epochs": found.epochs.iter().map(epoch).collect::<Vec<_>>(),
            "transactions": found.transactions.iter().map(|one| self.transaction_json(one)).collect::<Vec<_>>(),
            "payments": found.payments.iter().map(payment).collect::<Vec<_>>(),
            "does_not_show": self.limits().iter()
                .map(|limit| json!({ "title": limit.title, "words": limit.words })).collect::<Vec<_>>(),
        })
    }

    fn ledger_json(&self) -> Value {
        let history = self.history;
        json!({
            "name": history.name, "chain_id": hex::encode(history.chain_id), "from_height": history.from,
            "to_height": history.to, "records": history.records, "executed": history.depth == Depth::Execution,
            "checked": words::depth_name(history.depth),
            "tip_time_ms": history.tip.time_ms, "tip": hex::encode(history.tip_digest),
            "anchor": match history.anchor {
                Anchor::Genesis => json!({ "kind": "genesis" }),
                Anchor::Checkpoint { height } => json!({ "kind": "checkpoint", "height": height }),
            },
            "first_record": self.found.looked.map(|looked| looked.first_leaf),
        })
    }

    fn grant_json(&self) -> Value {
        let (granted, grant) = (&self.found.granted, &self.found.granted.grant);
        json!({
            "id": hex::encode(grant.id), "tenant": hex::encode(grant.tenant), "purpose": granted.purpose,
            "grantee": party(&granted.grantee), "grantee_key": hex::encode(grant.grantee_key),
            "from_ms": grant.from_ms, "until_ms": grant.until_ms, "expires_ms": grant.expires_ms,
            "whole_tenant": grant.is_whole_tenant(), "accounts": hexes(&grant.accounts),
            "case": hex::encode(granted.case), "acts": self.found.acts.iter().map(act).collect::<Vec<_>>(),
        })
    }

    fn accounts_json(&self) -> Vec<Value> {
        let known = |account: &[u8; 32]| self.found.accounts.iter().find(|known| known.account == *account);
        let one = |(account, number): (&[u8; 32], &usize)| {
            let known = known(account);
            json!({
                "account": hex::encode(account), "number": number, "custody": known.map(|known| known.custody.name()),
                "epoch_ms": known.map(|known| known.epoch_ms), "chosen": known.map(|known| place(&known.chosen)),
                "closed": known.and_then(|known| known.closed.as_ref()).map(place),
            })
        };
        self.numbers.iter().map(one).collect()
    }

    fn transaction_json(&self, one: &Transaction) -> Value {
        json!({
            "record": place(&one.place), "time": moment(one.place.time_ms), "account": hex::encode(one.of.account),
            "epoch": one.of.epoch, "epoch_ms": one.epoch_ms, "epoch_is": self.completeness(&one.of),
            "intent_id": hex::encode(one.intent_id), "scheme": one.scheme.name(),
            "address": hex::encode(one.public_key), "address_is": words::address_name(&one.address),
            "detail": one.detail.as_ref().map(detail),
            "approval": one.approval.as_ref().map(approval),
            "limit": one.limit.map(|limit| json!({
                "rule": hex::encode(limit.rule), "handle": hex::encode(limit.handle),
            })),
            "release": one.release.map(|release| json!({
                "record": place(&release.place), "signature_hash": hex::encode(release.signature_hash),
            })),
            "lies": one.lies.iter().map(|lie| json!({ "code": lie.code(), "words": lie.words() })).collect::<Vec<_>>(),
        })
    }
}

fn approval(approval: &Approval) -> Value {
    let found = approval.found.as_ref();
    let approver = |one: &Approver| json!({ "party": party(&one.party), "account": one.account.map(hex::encode), "record": place(&one.place) });
    json!({
        "case": hex::encode(approval.case), "rule": found.map(|case| hex::encode(case.rule)),
        "opened": found.map(|case| place(&case.opened)), "used": found.and_then(|case| case.used).map(|at| place(&at)),
        "approved_by": found.map(|case| case.approvers.iter().map(approver).collect::<Vec<_>>()),
    })
}

fn hexes(all: &[[u8; 32]]) -> Vec<String> {
    all.iter().map(hex::encode).collect()
}

fn place(place: &Place) -> Value {
    json!({
        "leaf_index": place.leaf_index, "leaf_hash": hex::encode(place.leaf_hash), "height": place.height,
        "time_ms": place.time_ms, "receipt": Report::receipt_name(place.leaf_index),
    })
}

fn detail(detail: &Detail) -> Value {
    json!({
        "account": hex::encode(detail.account), "payload_hash": hex::encode(detail.payload_hash),
        "opening": hex::encode(detail.opening), "policy": hex::encode(detail.policy), "app": detail.app,
        "format": detail.format, "said": detail.said,
        "source": match detail.source {
            Source::Index(index) => json!({ "index": index }),
            Source::Payment { epoch, payment } => json!({ "epoch": epoch, "payment": hex::encode(payment) }),
        },
    })
}

fn payment(payment: &PaymentReceived) -> Value {
    json!({
        "record": place(&payment.place), "time": moment(payment.place.time_ms),
        "account": hex::encode(payment.of.account), "epoch": payment.of.epoch,
        "payment": hex::encode(payment.payment), "address": hex::encode(payment.public_key),
        "used_by": payment.used_by,
    })
}

fn epoch(epoch: &EpochFinding) -> Value {
    json!({
        "account": hex::encode(epoch.of.account), "epoch": epoch.of.epoch, "epoch_ms": epoch.epoch_ms,
        "found": epoch.found, "lying": epoch.lying, "addresses": epoch.addresses, "is": epoch.completeness.name(),
        "words": words::completeness(epoch), "closing": epoch.closing.as_ref().map(place), "closings_unreadable": epoch.unreadable,
    })
}

fn run(run: &RunFinding) -> Value {
    json!({
        "account": hex::encode(run.account), "first_epoch": run.first, "last_epoch": run.last, "active": run.active,
        "by": match run.source {
            RunSource::Hosted => json!({ "kind": "service" }),
            RunSource::Keepers(at) => json!({ "kind": "keepers", "dealing": place(&at) }),
            RunSource::KeepersUnrecorded => json!({ "kind": "keepers", "dealing": null }),
        },
    })
}

fn unopened(one: &Unopened) -> Value {
    json!({
        "account": hex::encode(one.account), "whole_epochs": one.whole, "not_opened": one.missing,
        "words": words::unopened(one),
    })
}

fn act(act: &GrantAct) -> Value {
    let mut value = json!({
        "what": step_name(&act.what), "record": place(&act.place), "time": moment(act.place.time_ms),
        "author": act.author.as_ref().map(party), "submitter": hex::encode(act.submitter),
    });
    let more = match &act.what {
        GrantStep::Requested => json!({}),
        GrantStep::CaseOpened { case } | GrantStep::Approved { case } | GrantStep::Issued { case } => {
            json!({ "case": hex::encode(case) })
        }
        GrantStep::Opened(opened) => json!({
            "account": hex::encode(opened.account), "first_epoch": opened.first, "last_epoch": opened.last,
        }),
        GrantStep::Delivered { opened, package_hash } => json!({
            "account": hex::encode(opened.account), "first_epoch": opened.first, "last_epoch": opened.last,
            "package_hash": hex::encode(package_hash),
        }),
        GrantStep::Used { count, what } => json!({ "count": count, "hash": hex::encode(what) }),
        GrantStep::Revoked { reason } => json!({ "reason": hex::encode(reason) }),
    };
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value
}
