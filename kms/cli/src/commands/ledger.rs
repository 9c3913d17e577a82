//! `keyward ledger`: the ledger's records, each verified against the trust file.

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt as _;
use keyward_ledger_client::{Client, ClientError, Config, DEADLINE, Identity, Recorded, Status};
use keyward_ledger_core::entry::{Entry, Intent, RotateKey, kind_name, kind_of};
use serde_json::{Value, json};

use super::Context;
use crate::config::serve::read_trust;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::output::table;
use crate::profile::Profile;

/// A node that hangs up is followed again, or another one, so often without getting a block.
const FOLLOWS_WITHOUT_BLOCK_MAX: u32 = 5;
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(crate) struct Ledger {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// What each node says of itself.
    Status,
    /// One record, with the receipt that proves it.
    Get {
        /// Its place in the log.
        leaf_index: u64,
        /// Writes the receipt here.
        #[arg(long, value_name = "FILE")]
        receipt: Option<PathBuf>,
    },
    /// Records as they become final, until Ctrl-C.
    Tail {
        /// Begins at this height [default: the newest].
        #[arg(long, value_name = "HEIGHT")]
        from: Option<u64>,
        /// Ends after so many records.
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
}

impl Ledger {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let client = connect(&context.profile()?).await?;
        match self.verb {
            Verb::Status => status(context, &client).await,
            Verb::Get { leaf_index, receipt } => get(context, &client, leaf_index, receipt).await,
            Verb::Tail { from, count } => {
                tokio::select! {
                    done = tail(context, &client, from, count) => done,
                    () = crate::signals::end() => Ok(()),
                }
            }
        }
    }
}

/// A client of the ledger that a profile names.
pub(crate) async fn connect(profile: &Profile) -> Result<Client> {
    let (ca_pem, certificate_pem, key_pem) = profile.identity()?;
    let config = Config {
        nodes: profile.file.nodes.clone(),
        identity: Identity { ca_pem, certificate_pem, key_pem },
        trust: read_trust(&profile.path(&profile.file.trust))?,
        deadline: DEADLINE,
    };
    Client::connect(config).await.map_err(|error| failed("cannot reach the ledger", &error))
}

/// Words for what the ledger's client says.
pub(crate) fn failed(what: &str, error: &ClientError) -> Failure {
    let refused = Failure::refused(what, "compare the trust file with the ledger's operators");
    match error {
        ClientError::Unreachable { .. } => {
            Failure::unreachable(what, "see whether the validators run (`keyward up`)").because(error)
        }
        ClientError::Refused { code, .. } => {
            let mut failure = Failure::refused(what, "correct the request").because(error);
            if let Some(code) = keyward_domain::Code::from_name(code) {
                failure = failure.coded(code);
            }
            failure.code = Some(code.clone());
            failure
        }
        _ => refused.because(error),
    }
}

async fn status(context: &Context, client: &Client) -> Result<()> {
    let statuses = client.statuses().await;
    let rows: Vec<_> = statuses.iter().map(|(node, status)| row(node, status.as_ref())).collect();
    let head = ["node", "height", "epoch", "records", "pooled", "time", "block"];
    let nodes: Vec<_> = statuses.iter().map(|(node, status)| to_json(node, status.as_ref())).collect();
    let answered = statuses.iter().filter(|(_, status)| status.is_ok()).count();
    let trust = client.trust();
    let words = format!(
        "ledger `{}` {}\n{answered} of {} nodes answer; what they say of themselves:\n{}",
        trust.name,
        hex::encode(trust.chain_id),
        statuses.len(),
        table(&head, &rows)
    );
    let json = json!({ "name": trust.name, "chain_id": hex::encode(trust.chain_id), "nodes": nodes });
    context.output.answer(words, &json);
    if answered == 0 {
        return Err(Failure::unreachable("no node answers", "see whether the validators run (`keyward up`)"));
    }
    Ok(())
}

fn row(node: &str, status: std::result::Result<&Status, &String>) -> Vec<String> {
    match status {
        Ok(status) => vec![
            node.to_owned(),
            status.height.to_string(),
            status.epoch.to_string(),
            status.log_size.to_string(),
            status.pool_batches.to_string(),
            status.time_ms.to_string(),
            short(&status.block_digest),
        ],
        Err(_silent) => vec![node.to_owned(), "does not answer".to_owned()],
    }
}

fn short(bytes: &[u8]) -> String {
    hex::encode(bytes.iter().copied().take(6).collect::<Vec<_>>())
}

fn to_json(node: &str, status: std::result::Result<&Status, &String>) -> Value {
    match status {
        Ok(status) => json!({
            "node": node, "height": status.height, "epoch": status.epoch, "regime": status.regime,
            "block_digest": hex::encode(&status.block_digest), "log_size": status.log_size,
            "log_root": hex::encode(&status.log_root), "state_root": hex::encode(&status.state_root),
            "pool_batches": status.pool_batches, "pool_bytes": status.pool_bytes, "time_ms": status.time_ms,
            "validator": hex::encode(&status.validator), "validators": status.validators.len(),
            "version": status.version,
        }),
        Err(why) => json!({ "node": node, "error": why }),
    }
}

async fn get(context: &Context, client: &Client, leaf_index: u64, receipt: Option<PathBuf>) -> Result<()> {
    let recorded =
        client.record(leaf_index).await.map_err(|error| failed("cannot read the record", &error))?;
    let bytes = recorded.receipt(None);
    if let Some(path) = &receipt {
        files::write(path, &bytes, Access::Public)?;
    }
    let mut json = record_json(&recorded);
    if let Value::Object(map) = &mut json {
        map.insert("receipt".into(), json!(hex::encode(&bytes)));
    }
    context.output.answer(record_words(&recorded), &json);
    Ok(())
}

async fn tail(context: &Context, client: &Client, from: Option<u64>, count: Option<u64>) -> Result<()> {
    let cannot = |error: ClientError| failed("cannot follow the ledger", &error);
    let newest = client.status().await.map_err(cannot)?.height;
    let from = from.unwrap_or(newest).max(1);
    let mut left = count.unwrap_or(u64::MAX);
    let mut next = from;
    let mut silent = 0;
    while left > 0 {
        let mut blocks = Box::pin(client.follow(next).await.map_err(cannot)?);
        silent += 1;
        while let Some(Ok(block)) = blocks.next().await {
            (next, silent) = (block.block.header().height + 1, 0);
            for recorded in block.records.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
                context.output.answer(record_words(recorded), &record_json(recorded));
                left -= 1;
            }
            if left == 0 {
                return Ok(());
            }
        }
        if silent > FOLLOWS_WITHOUT_BLOCK_MAX {
            return Err(Failure::unreachable("the nodes send no blocks", "see `keyward ledger status`"));
        }
        tokio::time::sleep(FOLLOW_PAUSE).await;
    }
    Ok(())
}

fn record_words(recorded: &Recorded) -> String {
    let record = recorded.record();
    format!(
        "{:>8}  height {:<6} {:<14} {:<18} submitter {} #{}.{}{}",
        recorded.leaf_index,
        recorded.height,
        kind_name(kind_of(&record.entry).unwrap_or_default()),
        recorded.outcome.name(),
        short(&record.submitter),
        record.sequence,
        record.index,
        key_of(&record.entry).map(|key| format!("  key {key}")).unwrap_or_default(),
    )
}

/// The key that an entry is about.
fn key_of(entry: &[u8]) -> Option<String> {
    match Entry::decode(entry).ok()? {
        Entry::Intent(Intent { key_id, .. })
        | Entry::FreezeKey { key_id }
        | Entry::UnfreezeKey { key_id }
        | Entry::ScheduleDestroyKey { key_id, .. }
        | Entry::CancelDestroyKey { key_id }
        | Entry::DestroyKey { key_id } => Some(key_id.to_string()),
        Entry::BindKey(bind) | Entry::RotateKey(RotateKey { bind, .. }) => {
            let key = keyward_domain::scheme::PublicKey::parse(bind.scheme, &bind.public_key).ok()?;
            Some(key.id().to_string())
        }
        _ => None,
    }
}

fn record_json(recorded: &Recorded) -> Value {
    let record = recorded.record();
    json!({
        "leaf_index": recorded.leaf_index, "height": recorded.height, "time_ms": recorded.time_ms,
        "kind": kind_name(kind_of(&record.entry).unwrap_or_default()), "entry": hex::encode(&record.entry),
        "outcome": recorded.outcome.name(), "submitter": hex::encode(record.submitter),
        "sequence": record.sequence, "index": record.index, "key_id": key_of(&record.entry),
    })
}
