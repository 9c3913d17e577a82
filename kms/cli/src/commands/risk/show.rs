//! `keyward risk show`, `versions` and `replay`: what is in force, what was, what an account usually does, and what would change.

use keyward_client::{ClientError, ShownRisk};
use keyward_ledger_core::codec::parse_hex32;
use keyward_proto::custody::{
    ChangedRisk, ReplayRiskResponse, RiskOfAccountResponse, RiskTally, RiskVerdict, RiskVersion,
};
use serde_json::{Value, json};

use super::Context;
use crate::failure::{Failure, Result};
use crate::service::failed;
use crate::service::{As, connect, failed as refused};

pub(super) async fn show(context: &Context, version: u32) -> Result<()> {
    let client = connect(&context.profile()?, As::Certificate).await?.client;
    let shown = client.show_risk(version).await.map_err(failed("cannot show the rules of risk"))?;
    let mut words = head(&shown, version == 0);
    if let Some(text) = &shown.text {
        words.push_str(&format!("\n\n{}", text.trim_end()));
    }
    let json = json!({
        "tenant": hex::encode(shown.tenant), "version": shown.version, "hash": shown.hash.map(hex::encode),
        "text": shown.text, "rule": shown.rule.map(hex::encode), "proven": shown.proven,
    });
    context.output.answer(words, &json);
    Ok(())
}

fn head(shown: &ShownRisk, in_force: bool) -> String {
    if shown.version == 0 {
        return "no rules of risk were ever published: the service's own watch, and hold nothing back"
            .to_owned();
    }
    let proof = match (in_force, shown.proven) {
        (true, true) => "in force, proven by the ledger",
        (true, false) => "in force, says the service: the profile has no trust file",
        (false, _) => "as the service keeps it",
    };
    let mut lines = vec![format!("version {}: {proof}", shown.version)];
    lines.push(format!("  tenant      {}", hex::encode(shown.tenant)));
    lines.extend(shown.hash.map(|hash| format!("  hash        {}", hex::encode(hash))));
    lines.extend(shown.rule.map(|rule| format!("  next one    approved under rule {}", hex::encode(rule))));
    if shown.text.is_none() {
        let closed = "the service does not keep its text: while it is in force, nothing is signed";
        lines.push(format!("  text        {closed}"));
    }
    lines.join("\n")
}

pub(super) async fn account(context: &Context, account: &str) -> Result<()> {
    let id = parse_hex32(account).ok_or_else(|| {
        let next = "copy the account's id (`keyward account show`)";
        Failure::usage(format!("`{account}` is not 64 lower-case hex digits"), next)
    })?;
    let client = connect(&context.profile()?, As::Certificate).await?.client;
    let known = client.risk_of_account(&id).await.map_err(untold)?;
    let limits: Vec<_> = known
        .limits
        .iter()
        .map(|limit| {
            json!({
                "signal": limit.signal, "of": limit.of, "limit": limit.limit, "adapted": limit.adapted,
            })
        })
        .collect();
    let currencies: Vec<_> = known
        .currencies
        .iter()
        .map(|one| {
            json!({
                "currency": one.currency, "median": one.median, "usual_most": one.usual_most,
                "paid_of_day": one.paid_of_day,
            })
        })
        .collect();
    let json = json!({
        "account": account, "known": known.known, "days": known.days,
        "requests_of_day": known.requests_of_day, "logins_failed_of_day": known.logins_failed_of_day,
        "counterparties": known.counterparties, "apps": known.apps, "origins": known.origins,
        "currencies": currencies, "limits": limits,
    });
    context.output.answer(habits(&known), &json);
    Ok(())
}

/// Not only roles are refused: of some accounts nobody is told.
fn untold(error: ClientError) -> Failure {
    let mut failure = refused("cannot show the account's habits")(error);
    if failure.code.as_deref() == Some("NOT_ALLOWED") {
        "ask as an officer, auditor or operator; of an account with unlinkable addresses nobody is told, and what it did is opened by a \
         grant (`keyward audit request`)"
            .clone_into(&mut failure.next);
    }
    failure
}

fn habits(known: &RiskOfAccountResponse) -> String {
    if !known.known {
        return "nothing is known of the account's habits yet".to_owned();
    }
    let mut lines = vec![format!("{} days of habit", known.days)];
    lines.push(format!("  within 24 hours  {} requests", known.requests_of_day));
    lines.push(format!("                   {} failed log-ins", known.logins_failed_of_day));
    lines.push(format!(
        "  known            {} counterparties, {} apps, {} origins",
        known.counterparties, known.apps, known.origins
    ));
    for one in &known.currencies {
        let usual = match (one.median, one.usual_most) {
            (Some(median), Some(most)) => format!("half up to {median}, 95 of 100 up to {most}; "),
            _ => String::new(),
        };
        lines.push(format!("  `{}`  {usual}{} within 24 hours", one.currency, one.paid_of_day));
    }
    for limit in &known.limits {
        let by = if limit.adapted { "by its history" } else { "the rules' start" };
        lines.push(format!("  limit of {} `{}`  {}, {by}", limit.signal, limit.of, limit.limit));
    }
    lines.join("\n")
}

pub(super) async fn versions(context: &Context) -> Result<()> {
    let client = connect(&context.profile()?, As::Certificate).await?.client;
    let listed = client.list_risk().await.map_err(refused("cannot list the rules of risk"))?;
    let line = |one: &RiskVersion| {
        let whose = if one.account.is_empty() { "elsewhere".to_owned() } else { hex::encode(&one.account) };
        format!("{:>6}  {}  by {whose}", one.version, hex::encode(&one.hash))
    };
    let words = match listed.as_slice() {
        [] => "no rules of risk were ever published".to_owned(),
        listed => listed.iter().map(line).collect::<Vec<_>>().join("\n"),
    };
    let versions: Vec<_> = listed
        .iter()
        .map(|one| {
            json!({
                "version": one.version, "hash": hex::encode(&one.hash), "account": hex::encode(&one.account),
                "published_unix_ms": one.published_unix_ms,
            })
        })
        .collect();
    context.output.answer(words, &json!({ "versions": versions }));
    Ok(())
}

pub(super) async fn replay(context: &Context, text: &str, since_ms: u64) -> Result<()> {
    let client = connect(&context.profile()?, As::Certificate).await?.client;
    let replayed = client.replay_risk(text, since_ms).await.map_err(refused("cannot try the rules"))?;
    let changes: Vec<_> = replayed.changes.iter().map(changed).collect();
    let json = json!({
        "requests": replayed.requests, "since_unix_ms": replayed.since_unix_ms,
        "before": tally(replayed.before.as_ref()), "after": tally(replayed.after.as_ref()),
        "changed": replayed.changed, "changes": changes,
    });
    context.output.answer(replay_words(&replayed), &json);
    Ok(())
}

fn replay_words(replayed: &ReplayRiskResponse) -> String {
    if replayed.requests == 0 {
        return "nothing was tried: no request is remembered to try it on. Of what one-time addresses sign none is, unless it was refused"
            .to_owned();
    }
    let counts = |tally: Option<&RiskTally>| {
        let RiskTally { allowed, asked, refused } = tally.copied().unwrap_or_default();
        format!("{allowed} allowed, {asked} asked about, {refused} refused")
    };
    let mut lines =
        vec![format!("{} of {} requests come out otherwise", replayed.changed, replayed.requests)];
    lines.push(format!("  in force  {}", counts(replayed.before.as_ref())));
    lines.push(format!("  tried     {}", counts(replayed.after.as_ref())));
    for change in &replayed.changes {
        let (before, after) = (verdict(change.before.as_ref()), verdict(change.after.as_ref()));
        lines.push(format!("  {before}  ->  {after}\n    account {}", hex::encode(&change.account)));
    }
    lines.join("\n")
}

fn verdict(verdict: Option<&RiskVerdict>) -> String {
    let Some(verdict) = verdict else { return "nothing".to_owned() };
    let reasons: Vec<_> = verdict.reasons.iter().map(|reason| reason.words.as_str()).collect();
    match reasons.as_slice() {
        [] => format!("{} at {}", verdict.decision, verdict.score),
        reasons => format!("{} at {} ({})", verdict.decision, verdict.score, reasons.join("; ")),
    }
}

fn changed(change: &ChangedRisk) -> Value {
    let of = |verdict: Option<&RiskVerdict>| {
        verdict.map(|verdict| {
            let reasons = verdict.reasons.iter().map(
                |reason| json!({ "signal": reason.signal, "points": reason.points, "words": reason.words }),
            );
            json!({
                "decision": verdict.decision, "score": verdict.score, "reasons": reasons.collect::<Vec<_>>(),
            })
        })
    };
    json!({
        "account": hex::encode(&change.account), "asked_unix_ms": change.asked_unix_ms,
        "before": of(change.before.as_ref()), "after": of(change.after.as_ref()),
    })
}

fn tally(tally: Option<&RiskTally>) -> Value {
    let RiskTally { allowed, asked, refused } = tally.copied().unwrap_or_default();
    json!({ "allowed": allowed, "asked": asked, "refused": refused })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use keyward_client::Refusal;
    use keyward_domain::Code;

    use super::*;

    #[test]
    fn a_replay_of_nothing_does_not_say_that_nothing_was_judged() {
        let words = replay_words(&ReplayRiskResponse::default());
        assert!(words.contains("one-time addresses") && !words.contains("judged"), "{words}");
    }

    #[test]
    fn whoever_may_not_see_habits_is_told_of_grants() {
        let refusal = |code: Code| Refusal {
            status: code.canonical().number(),
            code: Some(code),
            code_name: code.name().to_owned(),
            message: "told to nobody".into(),
            request_id: "abc".into(),
            retry: code.retry(),
            retry_after_ms: code.retry_after_ms(),
        };
        let next = |code| untold(ClientError::Refused(refusal(code))).next;
        assert!(next(Code::NotAllowed).contains("keyward audit request"));
        assert_eq!(next(Code::AccountUnknown), Code::AccountUnknown.remedy());
    }
}
