//! `keyward address show`.

use keyward_client::Client;
use keyward_client::addresses::{AddressEpoch, undealt_days};
use serde_json::{Value, json};

use super::Context;
use super::leave::undealt_words;
use crate::commands::key::moment;
use crate::failure::Result;
use crate::output::table;
use crate::service::failed;

pub(super) async fn run(context: &Context, client: &Client) -> Result<()> {
    let shown = client.show_addresses().await.map_err(failed("cannot show your addresses"))?;
    let account = hex::encode(shown.account);
    let Some(chosen) = shown.chosen else {
        let json = json!({ "account": account, "chosen": null, "epochs": [] });
        context.output.answer(format!("account {account} has chosen no unlinkable addresses"), &json);
        return Ok(());
    };
    let now = AddressEpoch::at(chosen.epoch_ms, shown.now_ms);
    let rows = shown.epochs.iter().map(|one| {
        let state =
            if one.closed { format!("closed at {}", one.closed_leaf_index) } else { "open".to_owned() };
        vec![one.epoch.to_string(), one.addresses.to_string(), one.records.to_string(), state]
    });
    let rows: Vec<_> = rows.collect();
    let under_way =
        now.map_or_else(String::new, |epoch| format!("{}, until {}", epoch.number, moment(epoch.ends_ms())));
    let days = undealt_days(&chosen, shown.ledger_ms);
    let waiting = undealt_words(days).map(|words| format!("; {words}")).unwrap_or_default();
    let words = format!(
        "account     {account}\nroot        {}\ntenant      {}\nepochs of   {} s\nunder way   {under_way}\ndealt       {}{waiting}\n\n{}",
        chosen.custody.name(),
        hex::encode(chosen.tenant),
        chosen.epoch_ms / 1000,
        chosen.dealt.map_or_else(|| "none".to_owned(), |last| format!("up to {last}")),
        table(&["epoch", "given out", "records", "state"], &rows),
    );
    let epochs: Vec<_> = shown
        .epochs
        .iter()
        .map(|one| {
            json!({
                "epoch": one.epoch, "addresses": one.addresses, "records": one.records, "closed": one.closed,
                "closed_leaf_index": one.closed.then_some(one.closed_leaf_index),
            })
        })
        .collect();
    let json = json!({
        "account": account,
        "chosen": {
            "custody": chosen.custody.name(), "tenant": hex::encode(chosen.tenant), "epoch_ms": chosen.epoch_ms,
            "first_epoch": chosen.first, "dealt_through": chosen.dealt, "undealt_days": days, "leaf_index": chosen.leaf,
        },
        "epoch": now.map_or(Value::Null, |epoch| json!({
            "number": epoch.number, "begins_unix_ms": epoch.begins_ms(), "ends_unix_ms": epoch.ends_ms(),
        })),
        "epochs": epochs,
    });
    context.output.answer(words.trim_end(), &json);
    Ok(())
}
