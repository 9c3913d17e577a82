//! `keyward policy show`, `versions` and `dry-run`: what is in force, what was, and what would change.

use std::path::Path;

use keyward_client::ShownPolicy;
use keyward_proto::custody::{ChangedDecision, PolicyVerdict};
use serde_json::{Value, json};

use super::{Context, read};
use crate::failure::Result;
use crate::service::{As, connect, failed};

pub(super) async fn show(context: &Context, version: u32, floor: bool) -> Result<()> {
    let client = connect(&context.profile()?, As::Certificate).await?.client;
    let shown = client.show_policy(version).await.map_err(failed("cannot show the policies"))?;
    let mut words = head(&shown, version == 0);
    if let Some(text) = &shown.text {
        words.push_str(&format!("\n\n{}", text.trim_end()));
    }
    let mut json = json!({
        "tenant": hex::encode(shown.tenant), "version": shown.version, "hash": shown.hash.map(hex::encode),
        "text": shown.text, "rule": shown.rule.map(hex::encode), "proven": shown.proven,
        "policy": hex::encode(shown.policy),
    });
    if floor {
        words.push_str(&format!("\n\n// schema\n{}", shown.schema.trim_end()));
        for (name, text) in &shown.floor {
            words.push_str(&format!("\n\n// {name}.cedar of the service\n{}", text.trim_end()));
        }
        let files: Vec<_> =
            shown.floor.iter().map(|(name, text)| json!({ "name": name, "text": text })).collect();
        if let Value::Object(json) = &mut json {
            json.insert("schema".to_owned(), shown.schema.clone().into());
            json.insert("floor".to_owned(), files.into());
        }
    }
    context.output.answer(words, &json);
    Ok(())
}

fn head(shown: &ShownPolicy, in_force: bool) -> String {
    if shown.version == 0 {
        return "no set was ever published: the service's own policies decide alone (`--floor` shows them)"
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
    lines.push(format!("  intents     {}", hex::encode(shown.policy)));
    if shown.text.is_none() {
        let closed =
            "the service does not keep its text: nothing that a set may narrow passes until one is published";
        lines.push(format!("  text        {closed}"));
    }
    lines.join("\n")
}

pub(super) async fn versions(context: &Context) -> Result<()> {
    let client = connect(&context.profile()?, As::Certificate).await?.client;
    let listed = client.list_policies().await.map_err(failed("cannot list the policies"))?;
    let line = |one: &keyward_proto::custody::PolicyVersion| {
        let whose = if one.account.is_empty() { "elsewhere".to_owned() } else { hex::encode(&one.account) };
        format!("{:>6}  {}  {} policies, by {whose}", one.version, hex::encode(&one.hash), one.policies)
    };
    let words = match listed.as_slice() {
        [] => "no set was ever published".to_owned(),
        listed => listed.iter().map(line).collect::<Vec<_>>().join("\n"),
    };
    let versions: Vec<_> = listed
        .iter()
        .map(|one| {
            json!({
                "version": one.version, "hash": hex::encode(&one.hash), "account": hex::encode(&one.account),
                "published_unix_ms": one.published_unix_ms, "policies": one.policies,
            })
        })
        .collect();
    context.output.answer(words, &json!({ "versions": versions }));
    Ok(())
}

pub(super) async fn dry_run(context: &Context, file: &Path) -> Result<()> {
    let text = read(file)?;
    let client = connect(&context.profile()?, As::Certificate).await?.client;
    let tried = client.try_policy(&text).await.map_err(failed("cannot try the set"))?;
    let mut words = match tried.requests {
        0 => "no request was decided lately: nothing was tried".to_owned(),
        requests => format!("{} of {requests} requests would be decided otherwise", tried.changed),
    };
    for change in &tried.changes {
        let (before, after) = (verdict(change.before.as_ref()), verdict(change.after.as_ref()));
        words.push_str(&format!("\n  {before}  ->  {after}\n    {}", change.request));
    }
    let changes: Vec<_> = tried.changes.iter().map(changed).collect();
    let json = json!({
        "requests": tried.requests, "since_unix_ms": tried.since_unix_ms, "changed": tried.changed,
        "changes": changes,
    });
    context.output.answer(words, &json);
    Ok(())
}

fn changed(change: &ChangedDecision) -> Value {
    let request: Value = serde_json::from_str(&change.request).unwrap_or_default();
    json!({
        "request": request, "decided_unix_ms": change.decided_unix_ms,
        "before": change.before.as_ref().map(to_json), "after": change.after.as_ref().map(to_json),
    })
}

/// A verdict in one line.
pub(super) fn verdict(verdict: Option<&PolicyVerdict>) -> String {
    let Some(verdict) = verdict else { return "nothing".to_owned() };
    let rules: Vec<_> = verdict.rules.iter().map(hex::encode).collect();
    let under = if rules.is_empty() { String::new() } else { format!(" under {}", rules.join(" and ")) };
    match verdict.policies.as_slice() {
        [] => format!("{}{under} (no policy permits it)", verdict.decision),
        policies => format!("{}{under} ({})", verdict.decision, policies.join(", ")),
    }
}

pub(super) fn to_json(verdict: &PolicyVerdict) -> Value {
    json!({
        "decision": verdict.decision, "policies": verdict.policies,
        "rules": verdict.rules.iter().map(hex::encode).collect::<Vec<_>>(),
    })
}
