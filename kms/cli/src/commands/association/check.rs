//! `keyward association show`, `check` and `export`.

use std::path::{Path, PathBuf};

use keyward_client::associations::{AssociationState, Checked, Export, ExportError};
use serde_json::json;

use super::{Context, failed, parse_id, standing, words};
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::service::{As, connect};

#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// The association's id, 64 hex digits; asked of the service.
    #[arg(required_unless_present = "file")]
    association: Option<String>,
    /// An export: held against the trust file without any network, and with an id against what stands now.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The ledger's trust file; without it, the profile's.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
}

impl Check {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let exported = self.file.as_ref().map(|path| self.exported(context, path)).transpose()?;
        let Some(text) = &self.association else {
            // INVARIANT: without an id there is a file.
            let (id, checked) =
                exported.ok_or_else(|| Failure::usage("nothing is named", "name an id or a file"))?;
            return tell(context, &hex::encode(id), &checked);
        };
        let id = parse_id(text)?;
        let client = connect(&context.profile()?, As::Whoever).await?.client;
        let waiting = context.output.wait_for("every member is proven");
        let checked =
            client.check_association(&id).await.map_err(failed("the association is not proven to be one"));
        drop(waiting);
        let (checked, _) = checked?;
        if let Some((of, exported)) = exported {
            same(of == id, &exported.state, &checked.state)?;
        }
        tell(context, text, &checked)
    }

    fn exported(&self, context: &Context, path: &Path) -> Result<([u8; 32], Checked)> {
        let export = Export::parse(&files::read_text(path)?).map_err(unread)?;
        let trust = match &self.trust {
            Some(path) => files::read(path)?,
            None => {
                let profile = context.profile()?;
                files::read(&profile.path(&profile.file.trust))?
            }
        };
        let checked = export.verify(&trust).map_err(unread)?;
        Ok((export.association().map_err(unread)?, checked))
    }
}

/// Refuses an export of another association or version than the one that stands.
fn same(same_id: bool, exported: &AssociationState, stands: &AssociationState) -> Result<()> {
    let code = |failure| Failure { code: Some("ASSOCIATION_EXPORT_OTHER".into()), ..failure };
    if !same_id {
        let next = "name the association that the file is about";
        return Err(code(Failure::refused("the file is about another association", next)));
    }
    if exported.version != stands.version {
        let what =
            format!("the file has version {}, and version {} stands", exported.version, stands.version);
        return Err(code(Failure::refused(
            what,
            "export the association anew, and give that to who has the file",
        )));
    }
    Ok(())
}

fn tell(context: &Context, id: &str, checked: &Checked) -> Result<()> {
    let (from, to) = checked.heights;
    let words = format!(
        "{}\n  proven       one version for every member, between heights {from} and {to}",
        words::state(id, &checked.state, Some(checked))
    );
    let mut json = words::state_json(id, &checked.state, Some(checked));
    if let Some(json) = json.as_object_mut() {
        json.insert(
            "proven".into(),
            json!({ "from_height": from, "to_height": to, "time_unix_ms": checked.time_ms }),
        );
    }
    context.output.answer(words, &json);
    if checked.concerns.iter().all(Option::is_none) {
        return Ok(());
    }
    let next = "replace the member (`keyward association update`), or have it leave";
    let failure = Failure::refused("the versions agree, and a member cannot act any more", next);
    Err(Failure { code: Some("ASSOCIATION_MEMBER_ENDED".into()), ..failure })
}

pub(super) async fn show(context: &Context, text: &str) -> Result<()> {
    let client = connect(&context.profile()?, As::Whoever).await?.client;
    let (state, shown) = standing(&client, &parse_id(text)?).await?;
    let mut json = words::state_json(text, &state, None);
    if let Some(json) = json.as_object_mut() {
        json.insert("height".into(), json!(shown.height));
        json.insert("time_unix_ms".into(), json!(shown.time_ms));
    }
    let words = format!("{}\n  proven at    height {}", words::state(text, &state, None), shown.height);
    context.output.answer(words, &json);
    Ok(())
}

pub(super) async fn export(context: &Context, text: &str, out: &Path) -> Result<()> {
    let (id, profile) = (parse_id(text)?, context.profile()?);
    let trust = files::read(&profile.path(&profile.file.trust))?;
    let client = connect(&profile, As::Whoever).await?.client;
    let cannot = failed("the association is not proven to be one");
    let (checked, evidence) = client.check_association(&id).await.map_err(&cannot)?;
    let export = Export::new(&trust, &id, &checked, &evidence).map_err(&cannot)?;
    files::write(out, export.to_json().as_bytes(), Access::Public)?;
    let version = checked.state.version;
    let words = format!(
        "version {version} of association {text} is in `{}`, with what each address signed and the ledger's proofs; whoever has the \
         ledger's trust file verifies it without a network (`keyward association check --file FILE --trust FILE`). It stays true \
         of this version, and says nothing of later ones",
        out.display()
    );
    let json = json!({ "association": text, "version": version, "file": out.display().to_string() });
    context.output.answer(words, &json);
    Ok(())
}

fn unread(error: ExportError) -> Failure {
    match error {
        ExportError::Association(error) => failed("the export does not verify")(error),
        error => {
            let next = "ask the person who exported it for the file again";
            let failure = Failure::refused("the export does not verify", next).because(&error);
            Failure { code: Some("ASSOCIATION_EXPORT_INVALID".into()), ..failure }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn what_is_no_export_says_so_under_its_code() {
        for text in ["", "{}", "[]", "{\"format\":\"keyward-association-2\"}"] {
            let failure = unread(Export::parse(text).unwrap_err());
            assert_eq!(failure.code.as_deref(), Some("ASSOCIATION_EXPORT_INVALID"), "{text}");
        }
    }
}
