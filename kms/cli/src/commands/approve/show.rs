//! `keyward approve list` and `show`: cases in words and as JSON.

use std::path::PathBuf;

use keyward_client::approvals::{About, ApprovalCaseStatus as Status, ListedCase, ShownCase};
use serde_json::{Value, json};

use super::speak::Speaker;
use super::{Context, failed, parse_id, rule};
use crate::commands::key::moment;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::service::{As, connect};

pub(super) async fn list(context: &Context) -> Result<()> {
    let (client, own) = Speaker::reader(context).await?;
    let cases = client.approval_cases().await.map_err(failed("cannot list cases"))?;
    let words: Vec<_> = cases.iter().map(|case| line(case, own)).collect();
    let none = || "no case is open in which you have a part".to_owned();
    let said = if words.is_empty() { none() } else { words.join("\n") };
    let json: Vec<_> = cases
        .iter()
        .map(|case| {
            json!({
                "case": hex::encode(case.case), "initiator": hex::encode(case.initiator),
                "asked_unix_ms": case.asked_ms, "ends_unix_ms": case.ends_ms,
            })
        })
        .collect();
    context.output.answer(said, &json!({ "cases": json }));
    Ok(())
}

fn line(case: &ListedCase, own: Option<[u8; 32]>) -> String {
    let by = if own == Some(case.initiator) { "you".to_owned() } else { hex::encode(case.initiator) };
    format!("{}  until {}  asked by {by}", hex::encode(case.case), moment(case.ends_ms))
}

pub(super) async fn show(context: &Context, case: &str, payload: Option<PathBuf>) -> Result<()> {
    let case = parse_id(case, "copy it from `keyward approve list`")?;
    let client = connect(&context.profile()?, As::Whoever).await?.client;
    let shown = client.approval_case(&case).await.map_err(failed("cannot show the case"))?;
    if let Some(path) = &payload {
        let nothing = || {
            Failure::refused(
                "no payload is kept of this case",
                "ask the person who opened it what it is about",
            )
        };
        files::write(path, payload_of(&shown).ok_or_else(nothing)?, Access::Secret)?;
    }
    context.output.answer(words(&shown), &to_json(&shown));
    Ok(())
}

/// What is to be signed or published, or a grant's purpose, in full.
fn payload_of(shown: &ShownCase) -> Option<&[u8]> {
    match shown.about.as_ref()? {
        About::Signing(signing) => Some(&signing.payload),
        About::Publication(publication) => Some(publication.text.as_bytes()),
        About::Grant { purpose, .. } => Some(purpose.as_bytes()),
        About::Address(asked) => Some(&asked.payload),
        About::Dispute(_) | About::AuditTerms(_) => None,
    }
}

/// A case in lines.
pub(super) fn words(shown: &ShownCase) -> String {
    let mut lines = vec![format!("case {}, proven at height {}", hex::encode(shown.case.id), shown.height)];
    let mut add = |what: &str, said: String| lines.push(format!("  {what:<9}  {said}"));
    add("stands", status(shown).to_owned());
    add("asked by", asked_by(shown));
    add("ends", moment(shown.ends_ms));
    match &shown.about {
        Some(_) => shown.words.iter().for_each(|line| add("about", line.clone())),
        None if shown.status == Status::Open => {
            add("about", "what it is about is not kept here: nobody approves unseen".to_owned());
        }
        None => add("about", "what it was about is not kept any more".to_owned()),
    }
    add("hash", hex::encode(shown.case.payload));
    for ((number, group), missing) in (0_u8..).zip(&shown.rule.state.terms.groups).zip(shown.missing()) {
        let still = if missing == 0 { "complete".to_owned() } else { format!("{missing} still missing") };
        add("group", format!("{number}, {:?}: {} needed, {still}", group.role, group.needed));
        for (_, account) in shown.approvals.iter().filter(|(of, _)| *of == number) {
            add("", format!("approved by account {}", hex::encode(account)));
        }
    }
    lines.join("\n")
}

fn asked_by(shown: &ShownCase) -> String {
    match shown.asker() {
        Some(account) if account == shown.initiator => format!("account {}", hex::encode(account)),
        Some(account) => format!("account {}, which the ledger does not name", hex::encode(account)),
        None => "an account that the ledger does not name".to_owned(),
    }
}

fn status(shown: &ShownCase) -> &'static str {
    match shown.status {
        Status::Closed => "closed: it was refused or withdrawn",
        Status::Used => "used up",
        Status::Open if shown.ends_ms < shown.read_ms => "over: its time has passed",
        Status::Open if shown.outdated => "worth nothing: its rule was defined anew",
        Status::Open if shown.missing().iter().all(|missing| *missing == 0) => "approved",
        Status::Open => "open",
    }
}

pub(super) fn to_json(shown: &ShownCase) -> Value {
    let approvals = shown
        .approvals
        .iter()
        .map(|(group, account)| json!({ "group": group, "account": hex::encode(account) }));
    let signing = shown.signing().map(|signing| {
        json!({
            "key_id": signing.key_id.to_string(), "format": signing.format,
            "payload": hex::encode(&signing.payload), "payload_hash": hex::encode(signing.payload_hash),
        })
    });
    json!({
        "case": hex::encode(shown.case.id), "hash": hex::encode(shown.case.payload), "stands": status(shown),
        "initiator": shown.asker().map(hex::encode), "ends_unix_ms": shown.ends_ms, "words": shown.words,
        "signing": signing, "approvals": approvals.collect::<Vec<_>>(), "missing": shown.missing(),
        "rule": rule::to_json(&shown.rule), "height": shown.height,
    })
}
