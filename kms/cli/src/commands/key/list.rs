//! `keyward key list`.

use keyward_client::KeySearch;
use keyward_domain::Mode;
use keyward_proto::custody::Key as KeyMessage;
use serde_json::json;

use super::{Context, answer, life::parse_label, parse_scheme, shared};
use crate::commands::shared::is_experimental;
use crate::failure::{Failure, Result};
use crate::output::table;
use crate::service::{Service, failed};

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Those with this label.
    #[arg(long, value_name = "KEY=VALUE")]
    label: Option<String>,
    /// Those in this state.
    #[arg(long, value_parser = ["pending", "active", "frozen", "superseded", "scheduled", "destroyed"])]
    state: Option<String>,
    /// Those of this scheme.
    #[arg(long)]
    scheme: Option<String>,
    /// Those whose alias begins so.
    #[arg(long, value_name = "BEGINNING")]
    alias: Option<String>,
    /// Those of this account, by its name on the ledger in hex.
    #[arg(long, value_name = "HEX")]
    account: Option<String>,
    /// Superseded and destroyed keys too.
    #[arg(long)]
    all_versions: bool,
}

impl List {
    pub(super) async fn run(self, context: &Context, service: &Service) -> Result<()> {
        let keys = service.client.search_keys(&self.search()?).await.map_err(failed("cannot list keys"))?;
        let mut rows = Vec::with_capacity(keys.len());
        for key in &keys {
            rows.push(row(key, &mode(service, key).await));
        }
        let head = ["alias", "version", "scheme", "mode", "state", "labels", "key id"];
        let words = if rows.is_empty() { "no keys".to_owned() } else { table(&head, &rows) };
        context
            .output
            .answer(words, &json!({ "keys": keys.iter().map(answer::to_json).collect::<Vec<_>>() }));
        Ok(())
    }

    fn search(self) -> Result<KeySearch> {
        Ok(KeySearch {
            account: self.account.as_deref().map(parse_account).transpose()?,
            state: self.state.unwrap_or_default(),
            label: self.label.as_deref().map(parse_label).transpose()?,
            alias_prefix: self.alias.unwrap_or_default(),
            scheme: self.scheme.as_deref().map(parse_scheme).transpose()?,
            all_versions: self.all_versions,
        })
    }
}

fn parse_account(text: &str) -> Result<[u8; 32]> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| {
        Failure::usage(format!("`{text}` is no account"), "give the 64 hex digits that `key show` prints")
    })
}

/// The mode; of one's own shared keys, as the ledger proves it, with how many of how many keepers sign.
async fn mode(service: &Service, key: &KeyMessage) -> String {
    if key.mode != Mode::Shared.name() || !service.person {
        return key.mode.clone();
    }
    match service.client.shared_status(&hex::encode(&key.key_id)).await {
        Ok(status) if is_experimental(status.state.scheme) => {
            format!("{} {}, experimental", key.mode, shared::shares(&status))
        }
        Ok(status) => format!("{} {}", key.mode, shared::shares(&status)),
        // Another account's, for those who may see it.
        Err(_unproven) => key.mode.clone(),
    }
}

fn row(key: &KeyMessage, mode: &str) -> Vec<String> {
    vec![
        key.alias.clone(),
        key.version.to_string(),
        key.scheme.clone(),
        mode.to_owned(),
        key.state.clone(),
        answer::labels(key),
        hex::encode(&key.key_id),
    ]
}
