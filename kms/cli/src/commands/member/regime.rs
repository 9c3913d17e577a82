//! `keyward ledger regime`: how the ledger agrees, since when and why.

use keyward_ledger_core::state::layout::{Parameters, parameters_key};
use keyward_ledger_core::state::regime::{Book, Reason, RegimeState, book_key, regime_key};
use serde_json::json;

use super::change::present;
use super::{broken, connect, read};
use crate::commands::Context;
use crate::failure::Result;

#[derive(Debug, clap::Args)]
pub(crate) struct Regime;

impl Regime {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let client = connect(&context.profile()?).await?;
        let parameters = read(&client, &parameters_key()).await?.unwrap_or_default();
        let parameters = Parameters::decode(&parameters).map_err(|error| broken(&error))?;
        let configuration = present(&client).await?;
        let switch = read(&client, &regime_key()).await?.map(|value| RegimeState::decode(&value));
        let switch = switch.transpose().map_err(|error| broken(&error))?;
        let book = read(&client, &book_key()).await?.map(|value| Book::decode(&value));
        let book = book.transpose().map_err(|error| broken(&error))?.unwrap_or_default();
        let regime = parameters.regime.name();
        let (reason, first_epoch) =
            switch.map_or((Reason::Genesis, 0), |switch| (switch.trigger.reason, switch.first_epoch));
        let leaf_index = switch.map(|switch| switch.trigger.leaf_index);
        let suspects: Vec<_> = book.suspects.iter().map(hex::encode).collect();
        let by = leaf_index.map(|leaf| format!(", record {leaf}")).unwrap_or_default();
        let waiting = book.waiting.map(|trigger| trigger.reason.name());
        let mut words = vec![
            format!("regime {regime} since epoch {first_epoch}, because of {}{by}", reason.name()),
            format!("mode {} (configuration {})", configuration.mode.name(), configuration.version),
            format!(
                "strict after {} skipped views of an epoch, {} unheard submitters, or a fault; fast again after {} clean epochs",
                configuration.skipped_views_min, configuration.submitters_min, configuration.clean_epochs
            ),
        ];
        words.extend(suspects.iter().map(|key| format!("suspect {key} does not lead")));
        words.extend(waiting.map(|reason| format!("strict from the next epoch on, because of {reason}")));
        let json = json!({
            "regime": regime, "mode": configuration.mode.name(), "reason": reason.name(),
            "first_epoch": first_epoch, "leaf_index": leaf_index, "suspects": suspects, "waiting": waiting,
            "configuration_version": configuration.version,
            "skipped_views_min": configuration.skipped_views_min,
            "submitters_min": configuration.submitters_min, "clean_epochs": configuration.clean_epochs,
        });
        context.output.answer(words.join("\n"), &json);
        Ok(())
    }
}
