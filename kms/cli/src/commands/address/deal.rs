//! `keyward address deal`.

use keyward_client::Client;
use keyward_client::addresses::{AddressesError, DealError, DealOrder, DealtEpochs};
use keyward_client::vault::KeeperChoice;
use keyward_domain::Code;
use serde_json::{Value, json};

use super::{Context, Reached, reach};
use crate::commands::audit::whose::Whose;
use crate::commands::own::{PasswordFrom, Unlocked};
use crate::failure::{Failure, Result};
use crate::profile::Profile;
use crate::service::{failed, told};

#[derive(Debug, clap::Args)]
pub(super) struct Deal {
    /// Up to this epoch, which must be over [default: whole days (UTC) that are over].
    #[arg(long, value_name = "EPOCH")]
    through: Option<u32>,
    /// How many keepers, drawn at random, or which ones, as `a,b,c` [default: all of the ledger's up to five].
    #[arg(long, value_name = "N|NAMES")]
    keepers: Option<String>,
    /// How many of them open what is dealt, at least 2 [default: more than half].
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u8).range(2..=16))]
    threshold: Option<u8>,
    /// Gives up payments of these epochs that are known to be some (`keyward address scan --receipt`, `--keep`) and were not used:
    /// nobody can use them afterwards. Those that were only announced are given up anyway.
    #[arg(long)]
    abandon: bool,
    #[command(flatten)]
    password: PasswordFrom,
}

told!(DealError, Self::Addresses(AddressesError::Client(error)) => error);

impl Deal {
    pub(super) async fn run(self, context: &Context, profile: &Profile, client: &Client) -> Result<()> {
        let Reached::Own(own) = reach(context, profile, client, &self.password).await? else {
            let next =
                "nothing is to be done: what is hosted opens to grants by the service (`keyward audit`)";
            let hosted = Failure::refused("the account's root is hosted", "").coded(Code::AddressesHosted);
            return Err(Failure { next: next.to_owned(), ..hosted });
        };
        let order = DealOrder {
            through: self.through,
            keepers: self.keepers.as_deref().map(choice),
            threshold: self.threshold,
            abandon: self.abandon,
        };
        let chosen = own.client.chosen_addresses().await.map_err(failed("cannot look at your addresses"))?;
        let whose = Whose::of_chosen(&own.client, chosen.state.tenant).await?;
        whose.show(context.output);
        let dealt = dealt(context, &own, &order).await?;
        let words = match dealt.is_empty() {
            true => "nothing is to be dealt: no day is over whose epochs are open on this device".to_owned(),
            false => dealt.iter().map(words).collect::<Vec<_>>().join("\n"),
        };
        let json =
            json!({ "terms": whose.to_json(), "dealt": dealt.iter().map(to_json).collect::<Vec<_>>() });
        context.output.answer(words, &json);
        Ok(())
    }
}

/// Deals run after run, until there is none.
pub(super) async fn dealt(context: &Context, own: &Unlocked, order: &DealOrder) -> Result<Vec<DealtEpochs>> {
    let (root, cannot) = (own.root(), failed("cannot deal closed epochs"));
    let _waiting = context.output.wait_for("dealing closed epochs");
    let mut dealt = Vec::new();
    while let Some(run) = own.client.deal_address_epochs(&own.login, &root, order).await.map_err(&cannot)? {
        dealt.push(run);
    }
    Ok(dealt)
}

fn choice(wanted: &str) -> KeeperChoice {
    match wanted.parse() {
        Ok(count) => KeeperChoice::Any(count),
        Err(_names) => KeeperChoice::Named(wanted.split(',').map(|name| name.trim().to_owned()).collect()),
    }
}

pub(super) fn words(dealt: &DealtEpochs) -> String {
    let DealtEpochs { first, last, threshold, keepers, unconfirmed, done } = dealt;
    let (count, leaf) = (keepers.len(), done.leaf_index);
    let lost = match unconfirmed {
        0 => String::new(),
        lost => format!("; {lost} payments to you were announced, and nobody said that anything was paid"),
    };
    format!(
        "epochs {first} to {last} are dealt at leaf {leaf}: {threshold} of {count} keepers open them to a grant, and this device no more{lost}"
    )
}

pub(super) fn to_json(dealt: &DealtEpochs) -> Value {
    json!({
        "first": dealt.first, "last": dealt.last, "threshold": dealt.threshold,
        "keepers": dealt.keepers.iter().map(hex::encode).collect::<Vec<_>>(),
        "unconfirmed": dealt.unconfirmed, "leaf_index": dealt.done.leaf_index, "time_unix_ms": dealt.done.time_ms,
        "receipt": hex::encode(&dealt.done.receipt),
    })
}
