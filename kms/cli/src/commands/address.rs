//! `keyward address`: one account, many one-time addresses that do not point to each other.
//!
//! Whatever the service says of addresses is verified against the profile's trust file before it is believed, and what an own root
//! gives is derived here.

mod choose;
mod close;
mod deal;
mod give;
pub(crate) mod leave;
mod limit;
mod pay;
mod show;
pub(super) mod sign;
mod uncertain;

use keyward_client::Client;
use keyward_client::addresses::{
    Address as PublicKey, AddressSource, AddressesError, Chosen, Custody, KnownAddress, OwnRoot,
};
use keyward_crypto::ethereum_address;
use keyward_domain::Code;
use keyward_domain::scheme::{self, Scheme};
use serde_json::{Map, Value, json};

use super::Context;
use super::own::{PasswordFrom, Unlocked, unlock};
use crate::failure::{Failure, Result};
use crate::output::table;
use crate::service::{As, connect, failed, told};

const EXAMPLES: &str = "Examples:
  keyward address choose                       the service keeps the root
  keyward address choose --own                 the root stays on this device
  keyward sign --address new --receipt receipt payment.txt
  keyward address meta                         what somebody needs to pay to you
  keyward address pay META --receipt announced (the payer) an address, announced so that it is found
  keyward address scan --receipt announced     what was paid to you
  keyward address close                        own roots: ends the epochs that are over
  keyward address uncertain                    own roots: what became of uses of which no answer came, proven
  keyward address deal                         own roots: leaves what opens them to keepers
  keyward address recover --export copy        own roots: every address that has signed, from an auditor's export
  keyward address limit define --count 20 --window 1h   (an officer) what a service may count hosted uses by";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Address {
    /// Acts as the certificate's holder, even if somebody is logged in.
    #[arg(long, global = true)]
    as_certificate: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Chooses unlinkable addresses for the account, for good: hosted, or with a root of your own.
    Choose(choose::Choose),
    /// What was chosen, proven by the ledger, and how its epochs stand.
    Show,
    /// Gives out fresh addresses of the epoch under way; each signs once, in that epoch.
    New(give::New),
    /// Lists addresses that were given out or found, newest first.
    List(give::List),
    /// The meta-address of the epoch under way, for those who want to pay to a fresh address of yours.
    Meta(pay::Meta),
    /// Makes a fresh address of somebody's meta-address, and announces it so that only its receiver finds it.
    Pay(pay::Pay),
    /// Looks through everybody's announcements for payments to your addresses.
    Scan(pay::Look),
    /// Ends epochs of an own root that are over: the ledger gets their count and root, sealed.
    Close(close::Close),
    /// Own roots: what became of uses of which no answer came, asked of the validators past the service.
    Uncertain(uncertain::Uncertain),
    /// Own roots: deals what opens closed epochs to keepers, and erases it here. Only a grant opens them from then on.
    Deal(deal::Deal),
    /// How often the hosted addresses of one account sign in a window of time, where the service's configuration names such a limit.
    #[command(subcommand)]
    Limit(limit::Limit),
    /// Brings back the addresses of some epochs that the service knows of, with their records; of an own root, derived from it, also those
    /// that this device knows, and, with an export of the ledger, whatever has signed.
    Recover(give::Recover),
}

impl Address {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let profile = context.profile()?;
        let service = connect(&profile, As::of(self.as_certificate)).await?;
        let client = service.client;
        match self.verb {
            Verb::Choose(choose) => choose.run(context, &profile, &client).await,
            Verb::Show => show::run(context, &client).await,
            Verb::New(new) => new.run(context, &profile, &client).await,
            Verb::List(list) => list.run(context, &profile, &client).await,
            Verb::Meta(meta) => meta.run(context, &profile, &client).await,
            Verb::Pay(pay) => pay.run(context, &client).await,
            Verb::Scan(scan) => scan.run(context, &profile, &client).await,
            Verb::Close(close) => close.run(context, &profile, &client).await,
            Verb::Uncertain(uncertain) => uncertain.run(context, &profile, &client).await,
            Verb::Deal(deal) => deal.run(context, &profile, &client).await,
            Verb::Limit(limit) => limit.run(context, &client).await,
            Verb::Recover(recover) => recover.run(context, &profile, &client).await,
        }
    }
}

told!(AddressesError, Self::Client(error) => error);

/// Where the account's root lies, and what reaches it.
enum Reached {
    /// With the service.
    Hosted(Client),
    /// On this device, opened by a login or by an app's own key.
    Own(Box<Unlocked>),
}

/// Looks where the root of the caller's account lies, and opens it if it is here.
async fn reach(
    context: &Context,
    profile: &crate::profile::Profile,
    client: &Client,
    from: &PasswordFrom,
) -> Result<Reached> {
    let chosen = client.chosen_addresses().await.map_err(failed("cannot look at your addresses"))?;
    reach_chosen(context, profile, (client, &chosen), from).await
}

/// The same, of what was looked at before.
async fn reach_chosen(
    context: &Context,
    profile: &crate::profile::Profile,
    (client, chosen): (&Client, &Chosen),
    from: &PasswordFrom,
) -> Result<Reached> {
    match chosen.state.custody {
        Custody::Hosted => Ok(Reached::Hosted(client.clone())),
        Custody::Own => Ok(Reached::Own(Box::new(unlock(context.output, profile, client, from).await?))),
    }
}

/// Refused because the service has the root.
fn hosted(next: &str) -> Failure {
    let refused = Failure::refused("the account's root is hosted", "").coded(Code::AddressesHosted);
    Failure { next: next.to_owned(), ..refused }
}

impl Unlocked {
    /// The account's own address root.
    fn root(&self) -> OwnRoot<'_> {
        OwnRoot::at(&self.device, &self.login.export_key)
    }
}

/// An address as it is typed.
pub(super) fn parse_address(text: &str) -> Result<PublicKey> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| {
        Failure::usage(
            format!("`{text}` is no address"),
            "give the 66 hex digits of its public key, as `keyward address list` shows it, or `new`",
        )
    })
}

/// The same as an address of Ethereum, which is what wallets there pay to.
fn ethereum(address: &PublicKey) -> Option<String> {
    let key = scheme::PublicKey::parse(Scheme::EcdsaSecp256k1, address).ok()?;
    ethereum_address(&key)
}

/// Epoch, and index or payment.
fn source_json(source: &AddressSource) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("epoch".into(), json!(source.epoch()));
    match source {
        AddressSource::Index { index, .. } => map.insert("index".into(), json!(index)),
        AddressSource::Payment { payment, .. } => map.insert("payment".into(), json!(hex::encode(payment))),
    };
    map
}

fn to_json(known: &KnownAddress) -> Value {
    let mut map = source_json(&known.source);
    map.insert("address".into(), json!(hex::encode(known.address)));
    map.insert("ethereum".into(), json!(ethereum(&known.address)));
    map.insert("state".into(), json!(known.state.name()));
    map.insert("leaf_index".into(), json!(known.leaf_index));
    map.insert("created_unix_ms".into(), json!(known.created_ms));
    Value::Object(map)
}

/// Tells which addresses there are; `none` says that there are not.
fn tell(context: &Context, known: &[KnownAddress], none: &str) {
    let (words, json) = listed(known, none);
    context.output.answer(words, &Value::Object(json));
}

fn listed(known: &[KnownAddress], none: &str) -> (String, Map<String, Value>) {
    let words = if known.is_empty() { none.to_owned() } else { rows(known) };
    let mut json = Map::new();
    json.insert("addresses".into(), known.iter().map(to_json).collect());
    (words, json)
}

/// A table of them.
fn rows(known: &[KnownAddress]) -> String {
    let row = |one: &KnownAddress| {
        let place = match one.source {
            AddressSource::Index { index, .. } => index.to_string(),
            AddressSource::Payment { .. } => "paid".to_owned(),
        };
        let leaf = one.leaf_index.map(|leaf| leaf.to_string()).unwrap_or_default();
        let epoch = one.source.epoch().to_string();
        vec![hex::encode(one.address), one.state.name().to_owned(), epoch, place, leaf]
    };
    let rows: Vec<_> = known.iter().map(row).collect();
    table(&["address", "state", "epoch", "index", "leaf"], &rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn an_address_is_the_whole_public_key() {
        let text = format!("02{}", "ab".repeat(32));
        assert_eq!(hex::encode(parse_address(&text).unwrap()), text);
        for wrong in ["", "new", "0x02", &text[2..], &format!("{text}00")] {
            assert_eq!(parse_address(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn what_a_payer_or_a_wallet_needs_stands_in_the_answer() {
        // The generator of secp256k1, whose key is 1.
        let address =
            parse_address("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798").unwrap();
        assert_eq!(ethereum(&address).unwrap(), "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
        let source = AddressSource::Payment { epoch: 7, payment: [1; 50] };
        let map = source_json(&source);
        assert_eq!((&map["epoch"], &map["payment"]), (&json!(7), &json!("01".repeat(50))));
    }
}
