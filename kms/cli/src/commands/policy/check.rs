//! `keyward policy check`: a set and its cases, on this machine alone.

use std::path::{Path, PathBuf};

use keyward_policies::cases::{self, Mismatch};
use keyward_policies::{PolicySet, tenant_set_hash};
use serde_json::json;

use super::{Context, read};
use crate::failure::{Failure, Result};
use crate::files;

pub(super) fn run(context: &Context, file: &Path, cases: Option<&Path>) -> Result<()> {
    let text = read(file)?;
    let embedded = PolicySet::embedded().map_err(|error| {
        Failure::refused("cannot read the policies of this build", "use another build").because(&error)
    })?;
    let set = embedded.with_tenant(&text).map_err(|error| {
        let next = "mend the text; policies/README.md has the rules and examples";
        let code = Some(error.code().to_owned());
        Failure { code, ..Failure::refused("the set cannot be published", next).because(&error) }
    })?;
    let (tried, wrong) = match cases_of(file, cases) {
        None => (0, Vec::new()),
        Some(path) => decide(&set, &path)?,
    };
    let names = keyward_policies::names(&text);
    if !wrong.is_empty() {
        let mut failure = Failure::refused(
            format!("{} of {tried} cases are decided otherwise", wrong.len()),
            "correct the set or the cases",
        );
        failure.causes.extend(
            wrong
                .iter()
                .map(|one| format!("`{}`: expected {}, decided {}", one.name, one.expected, one.decided)),
        );
        failure.code = Some("POLICY_CASES".to_owned());
        return Err(failure);
    }
    let hash = hex::encode(tenant_set_hash(&text));
    let words = format!(
        "the set holds: {} policies, {tried} cases decided as written\n  hash     {hash}\n  intents  {}",
        names.len(),
        hex::encode(set.hash())
    );
    let json = json!({
        "valid": true, "policies": names, "cases": tried, "hash": hash, "policy": hex::encode(set.hash()),
    });
    context.output.answer(words, &json);
    Ok(())
}

/// `NAME.cases.json` beside a set's file, if there is one; what is named must be there.
pub(in crate::commands) fn cases_of(file: &Path, named: Option<&Path>) -> Option<PathBuf> {
    named.map(Path::to_owned).or_else(|| Some(file.with_extension("cases.json")).filter(|path| path.exists()))
}

fn decide(set: &PolicySet, path: &Path) -> Result<(usize, Vec<Mismatch>)> {
    let wrong = |error: &cases::CaseError| {
        let what = format!("the cases of `{}` cannot be decided", path.display());
        Failure::usage(what, "correct them; policies/README.md says how they are written").because(error)
    };
    let text = String::from_utf8_lossy(&files::read(path)?).into_owned();
    let all = cases::read(&text).map_err(|error| wrong(&error))?;
    let mut mismatches = Vec::new();
    for case in &all {
        mismatches.extend(case.run(set).map_err(|error| wrong(&error))?);
    }
    Ok((all.len(), mismatches))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::output::{Format, Output};

    const SET: &str = r#"@id("nothing-opaque")
        forbid (principal, action == Action::"key.sign", resource) when { context.opaque };"#;
    const CASES: &str = r#"[{"name": "a digest says nothing", "actor": {"kind": "app", "account": "a"},
        "verb": "key.sign", "resource": {"key": {"account": "a"}}, "allowed": false}]"#;

    fn context() -> Context {
        Context { output: Output { format: Format::Json }, profile: None }
    }

    #[test]
    fn a_set_holds_with_its_cases_and_not_with_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("set.cedar");
        std::fs::write(&file, SET).unwrap();
        run(&context(), &file, None).unwrap();
        let beside = folder.path().join("set.cases.json");
        std::fs::write(&beside, CASES).unwrap();
        run(&context(), &file, None).unwrap();
        std::fs::write(&beside, CASES.replace("false}", "true}")).unwrap();
        let failure = run(&context(), &file, None).unwrap_err();
        assert_eq!(failure.code.as_deref(), Some("POLICY_CASES"));
        assert!(failure.causes[1].contains("tenant/nothing-opaque"), "{failure}");
        std::fs::write(&beside, "{}").unwrap();
        assert_eq!(run(&context(), &file, None).unwrap_err().exit, crate::failure::Exit::Usage);
    }

    #[test]
    fn what_could_not_be_published_is_refused_with_the_code_of_the_service() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("set.cedar");
        let cases = [
            ("permit (", "POLICY_UNREADABLE"),
            ("@id(\"a\") forbid (principal, action, resource);", "POLICY_LOCK_OUT"),
            ("forbid (principal, action == Action::\"key.sign\", resource);", "POLICY_INVALID"),
        ];
        for (text, code) in cases {
            std::fs::write(&file, text).unwrap();
            assert_eq!(run(&context(), &file, None).unwrap_err().code.as_deref(), Some(code), "{text}");
        }
    }
}
