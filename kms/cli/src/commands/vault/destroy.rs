//! `keyward vault destroy`: the end of a vault, asked for by its name.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use serde_json::json;

use super::enter::Enter;
use super::{Context, Named, Steps, failed};
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::output::aside;

#[derive(Debug, clap::Args)]
pub(super) struct Destroy {
    #[command(flatten)]
    named: Named,
    /// The vault's name once more, to say that this is meant; without it, it is asked for.
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    #[command(flatten)]
    enter: Enter,
    /// Writes the receipt here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

impl Destroy {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        files::distinct(self.receipt.iter().chain(self.enter.files()).map(PathBuf::as_path))?;
        let name = self.named.parse()?;
        if self.confirmed()? != name.as_str() {
            let what = format!("that is not the name of the vault `{name}`");
            return Err(Failure::usage(what, "give its name: a destroyed vault does not come back"));
        }
        let entered = self.enter.run(context, false).await?;
        let steps = Steps::new(context.output);
        let ended = entered.client.destroy_vault(&entered.login, &name, &|step| steps.show(step)).await;
        drop(steps);
        let ended = ended.map_err(failed("cannot destroy the vault"))?;
        if let Some(path) = &self.receipt {
            files::write(path, &ended.receipt, Access::Public)?;
        }
        let words = format!(
            "vault `{name}` is destroyed, version {}\n{} erase their shares, and record it: see `keyward vault status`",
            ended.version,
            ended.keepers.join(", "),
        );
        let json = json!({
            "vault": name.as_str(), "version": ended.version, "keepers": ended.keepers,
            "receipt": hex::encode(&ended.receipt),
        });
        context.output.answer(words, &json);
        Ok(())
    }

    fn confirmed(&self) -> Result<String> {
        if let Some(name) = &self.confirm {
            return Ok(name.clone());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage(
                "a destroyed vault does not come back",
                "give its name once more with `--confirm` if this is meant",
            ));
        }
        aside("a destroyed vault does not come back; type its name if this is meant:");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map_err(|error| {
            Failure::usage("the name cannot be read", "give it with `--confirm`").because(&error)
        })?;
        Ok(line.trim().to_owned())
    }
}
