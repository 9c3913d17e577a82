//! `keyward address meta`, `pay` and `scan`.

use std::path::PathBuf;

use keyward_client::Client;
use keyward_client::addresses::{Address, AddressSource, AddressState, Found, KnownAddress};
use serde_json::json;

use super::give::Epochs;
use super::{Context, Reached, ethereum, parse_address, reach, to_json};
use crate::commands::key::moment;
use crate::commands::own::PasswordFrom;
use crate::commands::recorded::{Keep, tell};
use crate::failure::{Failure, Result};
use crate::files;
use crate::profile::Profile;
use crate::service::failed;

#[derive(Debug, clap::Args)]
pub(super) struct Meta {
    #[command(flatten)]
    password: PasswordFrom,
}

#[derive(Debug, clap::Args)]
pub(super) struct Pay {
    /// The receiver's meta-address, 142 hex digits; it counts for the epoch in which it was given.
    #[arg(value_name = "META")]
    meta_address: String,
    #[command(flatten)]
    keep: Keep,
}

#[derive(Debug, clap::Args)]
pub(super) struct Scan {
    #[command(flatten)]
    epochs: Epochs,
    /// Receipts of announcements that payers have given you: refused if the service withholds one of them.
    #[arg(long, value_name = "FILE")]
    receipt: Vec<PathBuf>,
    /// Of an own root: you have seen that something lies on this address. It is kept as paid, and `keyward address deal` waits until
    /// it is used; a payer's receipt does the same.
    #[arg(long, value_name = "ADDRESS")]
    keep: Vec<String>,
    /// Of an own root: takes that back for this address, so that its epoch can be left to keepers.
    #[arg(long, value_name = "ADDRESS")]
    give_up: Vec<String>,
    #[command(flatten)]
    password: PasswordFrom,
}

impl Meta {
    pub(super) async fn run(self, context: &Context, profile: &Profile, client: &Client) -> Result<()> {
        let meta = match reach(context, profile, client, &self.password).await? {
            Reached::Hosted(client) => client.meta_address().await,
            Reached::Own(own) => own.client.own_meta_address(&own.root()).await,
        };
        let meta = meta.map_err(failed("cannot give a meta-address"))?;
        let (digits, until) = (hex::encode(&meta.meta_address), moment(meta.ends_ms));
        let words = format!("{digits}\n  of epoch {}: to be paid to until {until}", meta.epoch);
        let json = json!({ "meta_address": digits, "epoch": meta.epoch, "ends_unix_ms": meta.ends_ms });
        context.output.answer(words, &json);
        Ok(())
    }
}

impl Pay {
    pub(super) async fn run(self, context: &Context, client: &Client) -> Result<()> {
        let bytes = hex::decode(self.meta_address.trim()).map_err(|error| {
            Failure::usage("the meta-address is not hex digits", "copy it from `keyward address meta`")
                .because(&error)
        })?;
        let paid =
            client.pay_to_meta_address(&bytes).await.map_err(failed("cannot pay to the meta-address"))?;
        let (address, payment) = (hex::encode(paid.address), hex::encode(paid.payment));
        let ethereum = ethereum(&paid.address);
        let words = format!(
            "pay to    {address}\nethereum  {}\nannounced at leaf {}: the receiver finds it with `keyward address scan`",
            ethereum.clone().unwrap_or_default(),
            paid.done.leaf_index,
        );
        let json = json!({
            "address": address, "ethereum": ethereum, "epoch": paid.epoch, "payment": payment,
        });
        tell(context, &words, &paid.done, &self.keep, &json)
    }
}

impl Scan {
    pub(super) async fn run(self, context: &Context, profile: &Profile, client: &Client) -> Result<()> {
        let receipts: Vec<_> = self.receipt.iter().map(|path| files::read(path)).collect::<Result<_>>()?;
        let addresses =
            |texts: &[String]| texts.iter().map(|text| parse_address(text)).collect::<Result<Vec<_>>>();
        let (kept, given_up) = (addresses(&self.keep)?, addresses(&self.give_up)?);
        let cannot = failed("cannot look for payments");
        let reached = reach(context, profile, client, &self.password).await?;
        let waiting = context.output.wait_for("announcements are looked through");
        let (found, looked_at, unkept) = match reached {
            Reached::Hosted(client) => {
                let epochs = self.epochs.of(&client).await?;
                let (found, looked_at) = client.scan_payments(epochs, &receipts).await.map_err(cannot)?;
                (found, looked_at, 0)
            }
            Reached::Own(own) => {
                let (epochs, root) = (self.epochs.of(&own.client).await?, own.root());
                for address in &given_up {
                    root.doubt_payment(address).map_err(&cannot)?;
                }
                let scan =
                    own.client.scan_own_payments(&root, epochs, &receipts, &kept).await.map_err(cannot)?;
                (scan.found.into_iter().map(known).collect(), scan.looked_at, scan.unkept)
            }
        };
        drop(waiting);
        let mut words: Vec<_> = found
            .iter()
            .map(|one| {
                format!("{}  {}  epoch {}", hex::encode(one.address), one.state.name(), one.source.epoch())
            })
            .collect();
        words.push(format!(
            "{} of {looked_at} announcements look like payments to you; of those to others about one of 256 does, and nothing lies \
             on its address",
            found.len()
        ));
        if unkept > 0 {
            words.push(format!(
                "{unkept} of them have no room on this device: name those that are yours with `--keep`"
            ));
        }
        let json = json!({
            "found": found.iter().map(to_json).collect::<Vec<_>>(), "looked_at": looked_at, "unkept": unkept,
        });
        context.output.answer(words.join("\n"), &json);
        Ok(())
    }
}

/// What was found by an own root's scan.
fn known((address, found): (Address, Found)) -> KnownAddress {
    KnownAddress {
        address,
        source: AddressSource::Payment { epoch: found.epoch, payment: found.payment },
        state: if found.spent { AddressState::Used } else { AddressState::Fresh },
        leaf_index: None,
        created_ms: None,
    }
}
