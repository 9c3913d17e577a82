//! `keyward risk check`: rules and their cases, on this machine alone.

use std::path::Path;

use keyward_domain::risk::{RuleSet, Signal};
use keyward_policies::cases::Mismatch;
use keyward_policies::risk::read_cases;
use serde_json::json;

use super::{Context, policy};
use crate::failure::{Failure, Result};
use crate::files;

pub(super) fn run(context: &Context, file: &Path, cases: Option<&Path>) -> Result<()> {
    let rules = parse(&policy::read(file)?)?;
    let (tried, wrong) = match policy::check::cases_of(file, cases) {
        None => (0, Vec::new()),
        Some(path) => judge(&rules, &path)?,
    };
    if !wrong.is_empty() {
        let what = format!("{} of {tried} cases are judged otherwise", wrong.len());
        let mut failure = Failure::refused(what, "correct the rules or the cases");
        let words =
            |one: &Mismatch| format!("`{}`: expected {}, judged {}", one.name, one.expected, one.decided);
        failure.causes.extend(wrong.iter().map(words));
        failure.code = Some("RISK_CASES".to_owned());
        return Err(failure);
    }
    let (hash, (ask, refuse)) = (hex::encode(rules.hash()), rules.scores());
    let rule = rules.rule().map(hex::encode);
    let silent: Vec<_> = rules.silent().into_iter().map(Signal::name).collect();
    let json = json!({
        "valid": true, "name": rules.name(), "hash": hash, "mode": mode(&rules), "ask": ask, "refuse": refuse,
        "rule": rule, "silent": silent, "cases": tried,
    });
    context.output.answer(words(&rules, tried, &silent), &json);
    Ok(())
}

/// Rules of a text.
pub(super) fn parse(text: &str) -> Result<RuleSet> {
    RuleSet::parse(text).map_err(|error| Failure {
        exit: crate::failure::Exit::Refused,
        ..Failure::of_coded("the rules cannot be published", &error)
    })
}

fn mode(rules: &RuleSet) -> &'static str {
    if rules.enforces() { "enforce" } else { "watch" }
}

fn words(rules: &RuleSet, tried: usize, silent: &[&str]) -> String {
    let (ask, refuse) = rules.scores();
    let effect = match (rules.enforces(), rules.rule()) {
        (false, _) => "they watch: scores are written down, nothing is held back".to_owned(),
        (true, Some(rule)) => format!("they count; approval is given under rule {}", hex::encode(rule)),
        (true, None) => {
            "they count; they name no approval rule, so what they ask about is refused".to_owned()
        }
    };
    let silent = if silent.is_empty() { "none".to_owned() } else { silent.join(", ") };
    format!(
        "the rules `{}` hold, {tried} cases judged as written\n  hash    {}\n  scores  from {ask} on ask, from {refuse} on refuse\n  \
         effect  {effect}\n  silent  {silent}",
        rules.name(),
        hex::encode(rules.hash()),
    )
}

fn judge(rules: &RuleSet, path: &Path) -> Result<(usize, Vec<Mismatch>)> {
    let wrong = |error: &keyward_policies::cases::CaseError| {
        let what = format!("the cases of `{}` cannot be judged", path.display());
        Failure::usage(what, "correct them; policies/README.md says how they are written").because(error)
    };
    let text = String::from_utf8_lossy(&files::read(path)?).into_owned();
    let all = read_cases(&text).map_err(|error| wrong(&error))?;
    let mut mismatches = Vec::new();
    for case in &all {
        mismatches.extend(case.run(rules).map_err(|error| wrong(&error))?);
    }
    Ok((all.len(), mismatches))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::output::{Format, Output};
    use keyward_policies::risk::DEFAULT;

    const CASES: &str = r#"[{"name": "a first payment", "request": {"currency": "EUR", "amount": 1, "to": ["a"]},
        "decision": "allow", "signals": ["counterparty"]}]"#;

    #[test]
    fn rules_hold_with_their_cases_and_not_with_others() {
        let context = Context { output: Output { format: Format::Json }, profile: None };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rules.toml");
        std::fs::write(&file, DEFAULT).unwrap();
        run(&context, &file, None).unwrap();
        let beside = folder.path().join("rules.cases.json");
        std::fs::write(&beside, CASES).unwrap();
        run(&context, &file, None).unwrap();
        std::fs::write(&beside, CASES.replace("allow", "refuse")).unwrap();
        let failure = run(&context, &file, None).unwrap_err();
        assert_eq!(failure.code.as_deref(), Some("RISK_CASES"));
        assert!(failure.causes[1].contains("judged allow at 35 by counterparty"), "{failure}");
        std::fs::write(&beside, CASES.replace("allow", "maybe")).unwrap();
        assert_eq!(run(&context, &file, None).unwrap_err().exit, crate::failure::Exit::Usage);
        for (text, code) in [
            (DEFAULT.replace("ask = 50", "ask = 600"), "RISK_INVALID"),
            (DEFAULT.replace("[hour]", "[weather]"), "RISK_UNREADABLE"),
            ("#".repeat(17 << 10), "RISK_TOO_LARGE"),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(run(&context, &file, None).unwrap_err().code.as_deref(), Some(code));
        }
    }
}
