//! `keyward ledger find`: records by what they are, each proven and held against the question before it is shown.

use keyward_crypto::{Network, ethereum_address, p2tr_address, p2wpkh_address};
use keyward_ledger_client::{Client, FOUND_MAX, Found, Recorded};
use keyward_ledger_core::codec::parse_hex32;
use keyward_ledger_core::entry::{Entry, RotateKey, kind, kind_from_name};
use keyward_ledger_core::question::Question;
use keyward_ledger_core::scheme::{KeyId, PublicKey};
use serde_json::json;

use super::failed;
use super::records::{record_json, record_words};
use crate::commands::Context;
use crate::failure::{Failure, Result};
use crate::moment;

/// Which records: those that fit everything that is named.
#[derive(Debug, clap::Args)]
pub(super) struct Find {
    /// The record with this id (its leaf hash, 64 hex digits).
    #[arg(long, value_name = "HEX")]
    id: Option<String>,
    /// Records that this key submitted (64 hex digits).
    #[arg(long, value_name = "HEX")]
    submitter: Option<String>,
    /// Records of this kind: `intent`, `bind-key`, .. or its number.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Records that name this account, key, credential, intent, rule, case or member (64 hex digits).
    #[arg(long, value_name = "HEX")]
    subject: Option<String>,
    /// Records that name the key with this Ethereum or Bitcoin address.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "subject")]
    address: Option<String>,
    /// From this time on: `2026-01-31`, `2026-01-31T08:30:00Z`, or milliseconds since 1970.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// From this place in the log on: where an earlier answer ended.
    #[arg(long, value_name = "LEAF", default_value_t = 0)]
    from_leaf: u64,
}

impl Find {
    pub(super) async fn run(self, context: &Context, client: &Client) -> Result<()> {
        let mut question = self.question()?;
        if let Some(address) = &self.address {
            question.subject = Some(key_of(client, address).await?.0);
        }
        let (mut records, mut next_leaf) = (Vec::new(), self.from_leaf);
        let (complete_to, more) = loop {
            let left = self.limit - records.len() as u64;
            let page = page(client, &question, next_leaf, left).await?;
            next_leaf = page.next_leaf;
            records.extend(page.records);
            if !page.more || records.len() as u64 >= self.limit {
                break (page.complete_to, page.more);
            }
        };
        let lines: String = records.iter().map(|recorded| record_words(recorded) + "\n").collect();
        let count = records.len();
        let rest = if more { format!("; more: --from-leaf {next_leaf}") } else { String::new() };
        let words =
            format!("{lines}{count} records, each proven; looked at up to height {complete_to}{rest}");
        let records: Vec<_> = records.iter().map(record_json).collect();
        let json = json!({
            "records": records, "next_leaf": next_leaf, "more": more, "complete_to": complete_to,
        });
        context.output.answer(words, &json);
        Ok(())
    }

    fn question(&self) -> Result<Question> {
        let hash = |option: &str, text: &Option<String>| {
            let wrong = |text: &String| usage(format!("`--{option} {text}` is not 64 lower-case hex digits"));
            text.as_ref().map(|text| parse_hex32(text).ok_or_else(|| wrong(text))).transpose()
        };
        let time = |option: &str, text: &Option<String>| {
            text.as_ref().map(|text| moment::parse(option, text)).transpose()
        };
        let kind = |text: &String| {
            let kind = kind_from_name(text).or_else(|| text.parse().ok());
            kind.ok_or_else(|| usage(format!("`{text}` is no kind of entry")))
        };
        let question = Question {
            id: hash("id", &self.id)?,
            submitter: hash("submitter", &self.submitter)?,
            kind: self.kind.as_ref().map(kind).transpose()?,
            subject: hash("subject", &self.subject)?,
            from_ms: time("from", &self.from)?,
            to_ms: time("to", &self.to)?,
        };
        match (question.from_ms, question.to_ms) {
            (Some(from), Some(to)) if from >= to => Err(usage("nothing lies between `--from` and `--to`")),
            _ => Ok(question),
        }
    }
}

fn usage(what: impl Into<String>) -> Failure {
    Failure::usage(what, "see `keyward ledger find --help`")
}

async fn page(client: &Client, question: &Question, from_leaf: u64, left: u64) -> Result<Found> {
    let limit = u32::try_from(left).unwrap_or(FOUND_MAX).min(FOUND_MAX);
    client.find(question, from_leaf, limit).await.map_err(|error| failed("cannot look records up", &error))
}

/// The key with an address: an address is a hash, so the keys on the ledger are looked through, one-time ones too.
async fn key_of(client: &Client, address: &str) -> Result<KeyId> {
    let mut complete_to = u64::MAX;
    for kind in [kind::BIND_KEY, kind::ROTATE_KEY, kind::ROTATE_OWN_KEY, kind::USE_ADDRESS] {
        let (question, mut next_leaf) = (Question { kind: Some(kind), ..Question::default() }, 0);
        loop {
            let found = page(client, &question, next_leaf, u64::from(FOUND_MAX)).await?;
            let keys = found.records.iter().filter_map(key_in);
            if let Some(key) = keys.into_iter().find(|key| has_address(key, address)) {
                return Ok(key.id());
            }
            if !found.more {
                complete_to = complete_to.min(found.complete_to);
                break;
            }
            next_leaf = found.next_leaf;
        }
    }
    let next = "see `keyward key list`; addresses are Ethereum's, and Bitcoin's P2WPKH and P2TR";
    let what =
        format!("no key on the ledger has the address `{address}`; looked at up to height {complete_to}");
    Err(Failure::refused(what, next))
}

fn key_in(recorded: &Recorded) -> Option<PublicKey> {
    match Entry::decode(&recorded.record().entry).ok()? {
        Entry::BindKey(bind) | Entry::RotateKey(RotateKey { bind, .. }) => {
            PublicKey::parse(bind.scheme, &bind.public_key).ok()
        }
        Entry::UseAddress(used) => used.key(),
        _ => None,
    }
}

fn has_address(key: &PublicKey, address: &str) -> bool {
    let bitcoin = [Network::Mainnet, Network::Testnet]
        .into_iter()
        .flat_map(|network| [p2wpkh_address(key, network), p2tr_address(key, network)]);
    let mut addresses = bitcoin.chain([ethereum_address(key)]).flatten();
    // Upper and lower case are a checksum in one of them, and a matter of taste in the others.
    addresses.any(|of_key| of_key.eq_ignore_ascii_case(address))
}
