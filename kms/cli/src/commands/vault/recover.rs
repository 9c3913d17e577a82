//! `keyward vault recover`: the keys come back, onto the device or into files.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use keyward_client::vault::{Asked, Fault, Granted, RecoverFailure, Recovered, Spent};
use keyward_domain::VaultName;
use serde_json::json;

use super::consents::Others;
use super::enter::{Enter, Entered};
use super::keys::{self, Back, Folder};
use super::{Context, Named, Steps, answer, evidence};
use crate::commands::token::ask;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::service::failed;

#[derive(Debug, clap::Args)]
pub(super) struct Recover {
    #[command(flatten)]
    named: Named,
    /// Writes each key into this folder, which must be new or empty, as `KEY_ID.pem` (PKCS#8) of mode 0600, instead of onto
    /// the device: all of them or none. Whoever reads such a file has the key.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The one-time code, where the account has set one up.
    #[arg(long, value_name = "CODE", default_value = "")]
    code: String,
    #[command(flatten)]
    others: Others,
    #[command(flatten)]
    enter: Enter,
    /// Writes what convicts a keeper here, if one has signed a wrong answer.
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// Writes the receipt of the attempt here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

const CANNOT: &str = "cannot recover the vault";

impl Recover {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let paths =
            self.receipt.iter().chain(&self.evidence).chain(self.enter.files()).chain(self.others.files());
        files::distinct(paths.map(PathBuf::as_path))?;
        let name = self.named.parse()?;
        // A place that cannot be written to is found out before a guess is spent.
        let folder = self.out.as_deref().map(Folder::prepare).transpose()?;
        let entered = self.enter.run(context, false).await?;
        let recovered = match self.recover(context, &entered, &name).await? {
            Ok(recovered) => recovered,
            Err(failure) => return Err(self.failed(failure)?),
        };
        // The keys first: what comes after can be had again.
        let back = keys::put(&entered, &recovered, folder).await?;
        self.keep(&recovered.granted, &recovered.faults)?;
        self.answer(context, &recovered, &back);
        Ok(())
    }

    /// The outer failure is one before anything was handed in.
    async fn recover(
        &self,
        context: &Context,
        entered: &Entered,
        name: &VaultName,
    ) -> Result<std::result::Result<Recovered, RecoverFailure>> {
        let mut asked = match self.begin(context, entered, name).await {
            Ok(asked) => asked,
            Err(failure) => return Ok(Err(failure)),
        };
        self.others.wait(context, entered, &mut asked).await?;
        let mut recovered = go_on(context, entered, &mut asked, &self.code).await;
        if self.asks_code(&recovered) {
            let code = ask("one-time code: ")?;
            recovered = go_on(context, entered, &mut asked, &code).await;
        }
        Ok(recovered)
    }

    async fn begin(
        &self,
        context: &Context,
        entered: &Entered,
        name: &VaultName,
    ) -> std::result::Result<Asked, RecoverFailure> {
        let steps = Steps::new(context.output);
        let (login, password) = (&entered.login, &entered.password);
        let others = self.others.are_asked();
        entered.client.ask_vault(login, name, password, others, &|step| steps.show(step)).await
    }

    /// Whether a code is wanted, none was given, and somebody is there to be asked; no guess was spent then.
    fn asks_code(&self, recovered: &std::result::Result<Recovered, RecoverFailure>) -> bool {
        let wanted =
            recovered.as_ref().is_err_and(|failure| failure.error.code() == Some("ONE_TIME_CODE_REQUIRED"));
        wanted && self.code.is_empty() && std::io::stdin().is_terminal()
    }

    /// Keeps the receipt and the evidence, where they are wanted.
    fn keep(&self, granted: &Granted, faults: &[Fault]) -> Result<()> {
        if let Some(path) = &self.receipt {
            files::write(path, &granted.receipt, Access::Public)?;
        }
        let found = evidence::to_json(granted, faults);
        match &self.evidence {
            Some(path) if !found.is_empty() => {
                let text = serde_json::Value::from(found).to_string();
                files::write(path, text.as_bytes(), Access::Secret)
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, failure: RecoverFailure) -> Result<Failure> {
        if let Some(granted) = &failure.granted {
            self.keep(granted, &failure.faults)?;
        }
        let spent = match failure.spent {
            Spent::Nothing => "no guess was spent",
            Spent::Unknown => "whether a guess was spent is not known",
            Spent::Attempt => "a guess was spent",
            Spent::Reset => "the password was right, and all guesses are back",
        };
        let left = failure.attempts.as_ref().map(answer::guesses);
        let faults: Vec<_> = failure.faults.iter().map(answer::fault_words).collect();
        let mut refused = failed(CANNOT)(failure.error);
        refused.causes.extend(faults);
        refused.causes.push(spent.to_owned());
        refused.causes.extend(left.map(|left| format!("guesses: {left}")));
        Ok(refused)
    }

    fn answer(&self, context: &Context, recovered: &Recovered, back: &[Back]) {
        let lines: Vec<_> = back.iter().map(line).collect();
        let faults: Vec<_> = recovered.faults.iter().map(answer::fault_words).collect();
        let place = if self.out.is_some() { "in files" } else { "on this device" };
        let keys = if back.len() == 1 { "key is" } else { "keys are" };
        let mut words = format!("{} {keys} back {place}\n{}", back.len(), lines.join("\n"));
        if !faults.is_empty() {
            words = format!("{words}\nnot everybody did their part: {}", faults.join("; "));
        }
        let keys: Vec<_> = back.iter().map(key_json).collect();
        let json = json!({
            "vault": self.named.vault, "version": recovered.granted.status.version(),
            "attempt": hex::encode(recovered.granted.grant.attempt), "keys": keys,
            "faults": answer::faults_json(&recovered.faults), "receipt": hex::encode(&recovered.granted.receipt),
            "opened_receipt": hex::encode(&recovered.opened),
        });
        context.output.answer(words, &json);
    }
}

async fn go_on(
    context: &Context,
    entered: &Entered,
    asked: &mut Asked,
    code: &str,
) -> std::result::Result<Recovered, RecoverFailure> {
    let steps = Steps::new(context.output);
    entered.client.recover_asked(&entered.login, asked, code, &|step| steps.show(step)).await
}

fn line(back: &Back) -> String {
    let file = back.file.as_ref().map(|path| format!("  in `{}`", path.display())).unwrap_or_default();
    let standing = back.standing_words().map(|words| format!("\n    {words}")).unwrap_or_default();
    format!("  {} key {}{file}{standing}", back.public_key.scheme(), back.public_key.id())
}

fn key_json(back: &Back) -> serde_json::Value {
    json!({
        "key_id": back.public_key.id().to_string(), "scheme": back.public_key.scheme().name(),
        "public_key": hex::encode(back.public_key.as_bytes()), "on_ledger": back.standing_name(),
        "file": back.file.as_ref().map(|path| path.display().to_string()), "speaks": back.speaks,
    })
}
