//! `keyward address close`.

use keyward_client::Client;
use keyward_client::addresses::ClosedEpoch;
use serde_json::{Value, json};

use super::{Context, Reached, hosted, reach};
use crate::commands::own::{PasswordFrom, Unlocked};
use crate::failure::Result;
use crate::profile::Profile;
use crate::service::failed;

#[derive(Debug, clap::Args)]
pub(super) struct Close {
    /// This epoch alone [default: all that are over and have records].
    #[arg(long, value_name = "EPOCH")]
    epoch: Option<u32>,
    #[command(flatten)]
    password: PasswordFrom,
}

impl Close {
    pub(super) async fn run(self, context: &Context, profile: &Profile, client: &Client) -> Result<()> {
        let Reached::Own(own) = reach(context, profile, client, &self.password).await? else {
            let next = "nothing is to be done: the service closes epochs of hosted roots by itself (`keyward address show`)";
            return Err(hosted(next));
        };
        let closed = closed(context, &own, self.epoch).await?;
        let words = match closed.is_empty() {
            true => "no epoch with records is over and open".to_owned(),
            false => closed.iter().map(words).collect::<Vec<_>>().join("\n"),
        };
        context.output.answer(words, &json!({ "closed": closed.iter().map(to_json).collect::<Vec<_>>() }));
        Ok(())
    }
}

/// Ends one epoch, or all that are over and have records.
pub(super) async fn closed(
    context: &Context,
    own: &Unlocked,
    epoch: Option<u32>,
) -> Result<Vec<ClosedEpoch>> {
    let (root, cannot) = (own.root(), failed("cannot close the epoch"));
    let epochs = match epoch {
        Some(epoch) => vec![epoch],
        None => own.client.address_epochs_to_close(&root).await.map_err(&cannot)?,
    };
    let progress = context.output.progress("closing epochs", 0, u64::try_from(epochs.len()).unwrap_or(0));
    let mut closed = Vec::with_capacity(epochs.len());
    for epoch in epochs {
        closed.push(own.client.close_address_epoch(&root, epoch).await.map_err(&cannot)?);
        progress.reach(u64::try_from(closed.len()).unwrap_or(0));
    }
    Ok(closed)
}

pub(super) fn words(closed: &ClosedEpoch) -> String {
    let unseen = match closed.unseen {
        0 => String::new(),
        count => format!(", {count} of which this device has no receipt of"),
    };
    let denied = match closed.denied {
        0 => String::new(),
        count => format!(
            "; the service says that {count} more were never recorded, which were begun here: `keyward address uncertain` asks the \
             validators for the proof"
        ),
    };
    let (epoch, records, leaf) = (closed.epoch, closed.records, closed.done.leaf_index);
    format!("epoch {epoch} is closed at leaf {leaf} with {records} records{unseen}{denied}")
}

pub(super) fn to_json(closed: &ClosedEpoch) -> Value {
    json!({
        "epoch": closed.epoch, "records": closed.records, "unseen": closed.unseen, "denied": closed.denied,
        "leaf_index": closed.done.leaf_index, "time_unix_ms": closed.done.time_ms,
        "receipt": hex::encode(&closed.done.receipt),
    })
}
