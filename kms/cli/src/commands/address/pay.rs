//! `keyward address meta`, `pay` and `scan`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use keyward_client::Client;
use keyward_client::addresses::{Address, AddressSource, AddressState, Found, KnownAddress, LOOKS_MAX, Scan};
use serde_json::json;

use super::give::Epochs;
use super::{Context, Reached, ethereum, parse_address, reach, to_json};
use crate::commands::key::life::parse_wait;
use crate::commands::key::moment;
use crate::commands::own::PasswordFrom;
use crate::commands::recorded::{Keep, tell};
use crate::failure::{Failure, Result};
use crate::files;
use crate::profile::Profile;
use crate::service::failed;

/// Payments that are shown at once.
const FOUND_MAX: usize = 1 << 16;

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
    /// The length of the receiver's epochs, as `keyward address meta` says it there; without it, the one that accounts choose at this
    /// service now.
    #[arg(long, value_name = "LENGTH", value_parser = parse_wait)]
    epoch: Option<u64>,
    #[command(flatten)]
    keep: Keep,
}

#[derive(Debug, clap::Args)]
pub(super) struct Look {
    #[command(flatten)]
    epochs: Epochs,
    /// Go on from this leaf, where an earlier look has ended.
    #[arg(long, value_name = "LEAF", default_value_t = 0, hide_default_value = true)]
    from: u64,
    /// Receipts of announcements that payers have given you, none from before `--from`: refused if the service withholds one of them.
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
        let (epoch, length) = (meta.epoch, meta.epoch_ms / 1000);
        let words = format!(
            "{digits}\n  of epoch {epoch}: to be paid to until {until}, with `--epoch {length}s` where a service has another length"
        );
        let json = json!({
            "meta_address": digits, "epoch": epoch, "epoch_ms": meta.epoch_ms, "ends_unix_ms": meta.ends_ms,
        });
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
        let paid = client.pay_in_epochs_of(&bytes, self.epoch.unwrap_or_default()).await;
        let paid = paid.map_err(failed("cannot pay to the meta-address"))?;
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

impl Look {
    pub(super) async fn run(self, context: &Context, profile: &Profile, client: &Client) -> Result<()> {
        let receipts: Vec<_> = self.receipt.iter().map(|path| files::read(path)).collect::<Result<_>>()?;
        let addresses =
            |texts: &[String]| texts.iter().map(|text| parse_address(text)).collect::<Result<Vec<_>>>();
        let (kept, given_up) = (addresses(&self.keep)?, addresses(&self.give_up)?);
        let cannot = failed("cannot look for payments");
        let reached = reach(context, profile, client, &self.password).await?;
        let waiting = context.output.wait_for("announcements are looked through");
        let mut looked = Looked::default();
        match reached {
            Reached::Hosted(client) => {
                let (epochs, mut from, mut receipts) =
                    (self.epochs.of(&client).await?, Some(self.from), &receipts[..]);
                while let Some(leaf) = from {
                    let scan = client.scan_payments(epochs.clone(), leaf, receipts).await.map_err(&cannot)?;
                    // They were held against what the service shows.
                    receipts = &[];
                    from = looked.take(scan);
                }
            }
            Reached::Own(own) => {
                let (epochs, root, mut from) =
                    (self.epochs.of(&own.client).await?, own.root(), Some(self.from));
                let at = own.client.announced_at(&receipts).map_err(&cannot)?;
                if let Some(before) = at.into_iter().find(|at| *at < self.from) {
                    return Err(Failure::usage(
                        format!(
                            "a receipt is of leaf {before}, and is looked for from leaf {} on",
                            self.from
                        ),
                        "leave the receipt out, or look from its leaf on",
                    ));
                }
                for address in &given_up {
                    root.doubt_payment(address).map_err(&cannot)?;
                }
                while let Some(leaf) = from {
                    let scan =
                        own.client.scan_own_payments(&root, epochs.clone(), leaf, &receipts, &kept).await;
                    let Scan { found, looked_at, unkept, next_leaf_index } = scan.map_err(&cannot)?;
                    let found = found.into_iter().map(known).collect();
                    from = looked.take(Scan { found, looked_at, unkept, next_leaf_index });
                }
            }
        }
        drop(waiting);
        context.output.answer(looked.words().join("\n"), &looked.json());
        Ok(())
    }
}

/// What several looks have shown, by address.
#[derive(Default)]
struct Looked {
    found: BTreeMap<Address, KnownAddress>,
    looked_at: u64,
    unkept: usize,
    looks: usize,
    /// Where the next look goes on.
    next: Option<u64>,
}

impl Looked {
    /// Takes in another look; gives where the next one goes on, if there is room for what it finds and there were not too many.
    fn take(&mut self, scan: Scan<KnownAddress>) -> Option<u64> {
        self.found.extend(scan.found.into_iter().map(|one| (one.address, one)));
        self.looked_at = self.looked_at.saturating_add(scan.looked_at);
        self.unkept = self.unkept.saturating_add(scan.unkept);
        self.next = scan.next_leaf_index;
        self.looks = self.looks.saturating_add(1);
        self.next.filter(|_| self.found.len() < FOUND_MAX && self.looks < LOOKS_MAX)
    }

    fn words(&self) -> Vec<String> {
        let line = |one: &KnownAddress| {
            format!("{}  {}  epoch {}", hex::encode(one.address), one.state.name(), one.source.epoch())
        };
        let mut words: Vec<_> = self.found.values().map(line).collect();
        words.push(format!(
            "{} of {} announcements are of payments to you; whether anything lies on an address they do not say",
            self.found.len(),
            self.looked_at,
        ));
        if self.unkept > 0 {
            words.push(format!(
                "{} of them have no room on this device: name those that are yours with `--keep`",
                self.unkept
            ));
        }
        words.extend(self.next.map(|leaf| format!("there are more: go on with `--from {leaf}`")));
        words
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "found": self.found.values().map(to_json).collect::<Vec<_>>(), "looked_at": self.looked_at,
            "unkept": self.unkept, "next_leaf_index": self.next,
        })
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
