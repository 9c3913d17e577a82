//! `keyward vault check`: drills.

use keyward_client::vault::{Checked, Drilled};
use serde_json::json;

use super::{Context, Named, Steps, answer, failed, named};
use crate::failure::{Failure, Result};
use crate::output::table;
use crate::service::{As, connect};

#[derive(Debug, clap::Args)]
pub(super) struct Check {
    #[command(flatten)]
    named: Named,
}

impl Check {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let name = self.named.parse()?;
        let service = connect(&context.profile()?, As::Whoever).await?;
        let steps = Steps::new(context.output);
        let checked = service.client.check_vault(&name, &|step| steps.show(step)).await;
        drop(steps);
        let checked = checked.map_err(failed("cannot check the vault"))?;
        let (proved, all) = (checked.proved(), checked.keepers.len());
        let threshold = checked.status.vault().facts().threshold;
        let keepers: Vec<_> = checked.keepers.iter().map(drilled_json).collect();
        let json = json!({
            "vault": name.as_str(), "version": checked.status.version(), "threshold": threshold, "proved": proved,
            "enough": checked.is_enough(), "keepers": keepers,
        });
        let words = words(name.as_str(), &checked);
        if checked.is_enough() {
            context.output.answer(words, &json);
            return Ok(());
        }
        context.output.note(words);
        let what = format!("{proved} of {all} keepers proved their share, and {threshold} are needed");
        let next = "ask the ledger's operators after the keepers named above; while the keys are still on a device, \
                    seal anew to keepers that answer (`keyward vault seal --anew`)";
        Err(named(Failure::refused(what, next), "VAULT_KEEPERS_TOO_FEW"))
    }
}

fn words(name: &str, checked: &Checked) -> String {
    let rows: Vec<_> = checked.keepers.iter().map(row).collect();
    let threshold = checked.status.vault().facts().threshold;
    format!(
        "vault `{name}`, version {}: {} of {} keepers proved their share, {threshold} are needed; no guess was spent\n{}",
        checked.status.version(),
        checked.proved(),
        rows.len(),
        table(&["index", "keeper", "share"], &rows),
    )
}

fn row(drilled: &Drilled) -> Vec<String> {
    let share = drilled
        .fault
        .as_ref()
        .map_or_else(|| "proved".to_owned(), |fault| format!("not proved: {}", fault.cause));
    vec![drilled.index.to_string(), drilled.keeper.clone(), share]
}

fn drilled_json(drilled: &Drilled) -> serde_json::Value {
    let fault = drilled.fault.as_ref().map(answer::fault_words);
    json!({ "index": drilled.index, "keeper": drilled.keeper, "proved": drilled.fault.is_none(), "fault": fault })
}
