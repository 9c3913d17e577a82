//! `keyward address new`, `list` and `recover`.

use std::path::{Path, PathBuf};

use keyward_client::Client;
use keyward_client::addresses::{AddressEpoch, KnownAddress};
use keyward_ledger_verify::Depth;
use serde_json::{Value, json};

use super::{Context, Reached, hosted, listed, reach, rows, tell, to_json};
use crate::commands::key::moment;
use crate::commands::ledger::check::{check_export, trust};
use crate::commands::own::{PasswordFrom, Unlocked};
use crate::failure::Result;
use crate::profile::Profile;
use crate::service::failed;

const NONE: &str = "no addresses in these epochs";

#[derive(Debug, clap::Args)]
pub(super) struct New {
    /// How many.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    count: u32,
    #[command(flatten)]
    password: PasswordFrom,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// The most that are listed.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    limit: u32,
    #[command(flatten)]
    password: PasswordFrom,
}

#[derive(Debug, clap::Args)]
pub(super) struct Recover {
    #[command(flatten)]
    epochs: Epochs,
    /// Of an own root: looks through this export of the ledger, as an auditor gives it (`keyward ledger export`), for every address that
    /// has signed. That is done here: nobody learns which are yours, and what the service lists is not asked. Look for payments first
    /// (`keyward address scan`).
    #[arg(long, value_name = "FOLDER")]
    export: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordFrom,
}

/// Which epochs.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Epochs {
    /// The first epoch [default: the first of the account].
    #[arg(long, value_name = "EPOCH", default_value_t = 0, hide_default_value = true)]
    first: u32,
    /// The last epoch [default: the one under way].
    #[arg(long, value_name = "EPOCH", default_value_t = u32::MAX, hide_default_value = true)]
    last: u32,
}

impl Epochs {
    /// From the account's own first to the one under way, as far as nothing else was said.
    pub(super) async fn of(self, client: &Client) -> Result<std::ops::RangeInclusive<u32>> {
        let cannot = failed("cannot look at your addresses");
        let chosen = client.chosen_addresses().await.map_err(&cannot)?;
        Ok(self.first.max(chosen.state.first)..=self.last.min(chosen.present().map_err(cannot)?))
    }
}

impl New {
    pub(super) async fn run(self, context: &Context, profile: &Profile, client: &Client) -> Result<()> {
        let cannot = failed("cannot give out an address");
        let chosen = client.chosen_addresses().await.map_err(&cannot)?;
        let given = match reach(context, profile, client, &self.password).await? {
            Reached::Hosted(client) => client.next_addresses(self.count).await,
            Reached::Own(own) => own.client.next_own_addresses(&own.root(), self.count).await,
        };
        let (words, json) = told(chosen.state.epoch_ms, &given.map_err(cannot)?);
        context.output.answer(words, &json);
        Ok(())
    }
}

/// Addresses that were given out, and until when each can be used.
fn told(epoch_ms: u64, given: &[KnownAddress]) -> (String, Value) {
    let ends_ms = |one: &KnownAddress| AddressEpoch::new(epoch_ms, one.source.epoch()).ends_ms();
    let until = given.iter().map(ends_ms).min().map(|ends_ms| {
        format!(
            "until {}: nobody signs with them afterwards, and what is paid to them then is lost. For being paid give `keyward address \
             meta`",
            moment(ends_ms)
        )
    });
    let words: Vec<_> = [rows(given)].into_iter().chain(until).collect();
    let to_json = |one| {
        let mut json = to_json(one);
        if let Some(fields) = json.as_object_mut() {
            fields.insert("ends_unix_ms".to_owned(), json!(ends_ms(one)));
        }
        json
    };
    (words.join("\n\n"), json!({ "addresses": given.iter().map(to_json).collect::<Vec<_>>() }))
}

impl List {
    pub(super) async fn run(self, context: &Context, profile: &Profile, client: &Client) -> Result<()> {
        let listed = match reach(context, profile, client, &self.password).await? {
            Reached::Hosted(client) => client.list_addresses(self.limit, 0).await,
            Reached::Own(own) => {
                let all = own.client.recover_own_addresses(&own.root(), 0..=u32::MAX).await;
                all.map(|all| all.into_iter().rev().take(usize::try_from(self.limit).unwrap_or(0)).collect())
            }
        };
        tell(context, &listed.map_err(failed("cannot list your addresses"))?, "no addresses");
        Ok(())
    }
}

impl Recover {
    pub(super) async fn run(self, context: &Context, profile: &Profile, client: &Client) -> Result<()> {
        let reached = reach(context, profile, client, &self.password).await?;
        let found = match (reached, &self.export) {
            (Reached::Own(own), Some(export)) => return self.recorded(context, &own, export).await,
            (Reached::Hosted(_), Some(_)) => {
                return Err(hosted(
                    "leave `--export` out: the service derives what is yours, and lists it; records do not say it to this device",
                ));
            }
            (Reached::Hosted(client), None) => {
                let _waiting = context.output.wait_for("the service lists your addresses");
                client.recover_addresses(self.epochs.of(&client).await?).await
            }
            (Reached::Own(own), None) => {
                let _waiting = context.output.wait_for("the service lists your addresses");
                let epochs = self.epochs.of(&own.client).await?;
                own.client.recover_own_addresses(&own.root(), epochs).await
            }
        };
        tell(context, &found.map_err(failed("cannot bring your addresses back"))?, NONE);
        Ok(())
    }

    /// Whatever has signed, by the ledger's records.
    async fn recorded(&self, context: &Context, own: &Unlocked, export: &Path) -> Result<()> {
        let cannot = failed("cannot bring your addresses back");
        let (root, epochs) = (own.root(), self.epochs.of(&own.client).await?);
        let mut uses = own.client.recorded_uses(&root, epochs).await.map_err(&cannot)?;
        // Nothing of it counts before the whole export held.
        let mut fed = Ok(());
        let trust = trust(context, None)?;
        let history = check_export(context.output, &trust, export, Depth::Chain, |_, held| {
            if fed.is_ok() {
                fed = held.records.iter().try_for_each(|(leaf, record)| uses.feed(*leaf, record));
            }
            Ok(())
        })?;
        fed.map_err(&cannot)?;
        let found = uses.keep(&root).map_err(&cannot)?;
        let (words, mut json) = listed(&found, NONE);
        let (from, to) = (history.from, history.to);
        json.insert("looked_at".into(), json!({ "from_height": from, "to_height": to }));
        let words = format!(
            "{}\nlooked at heights {from} to {to}: what has signed before or after is not among it",
            words.trim_end()
        );
        context.output.answer(words, &Value::Object(json));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use keyward_client::addresses::{AddressSource, AddressState};

    use super::*;

    #[test]
    fn what_is_given_out_says_until_when() {
        let source = AddressSource::Index { epoch: 23, index: 1 };
        let state = AddressState::Fresh;
        let one = KnownAddress { address: [2; 33], source, state, leaf_index: None, created_ms: None };
        let (words, json) = told(3_600_000, &[one]);
        assert!(words.contains("until 1970-01-02 00:00:00 UTC"), "{words}");
        assert!(words.contains("`keyward address meta`"), "{words}");
        assert_eq!(json["addresses"][0]["ends_unix_ms"], 86_400_000);
    }
}
