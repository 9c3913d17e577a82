//! `keyward key`: keys and their life cycle.

use keyward_client::KeyWithReceipt;
use keyward_domain::{Alias, AppName, KeyName};
use keyward_proto::custody::Key as KeyMessage;
use serde_json::{Value, json};
use std::path::PathBuf;

use super::Context;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::output::table;
use crate::service::{As, Service, connect, failed};

#[derive(Debug, clap::Args)]
pub(crate) struct Key {
    /// Acts as the certificate's holder, even if somebody is logged in.
    #[arg(long, global = true)]
    as_certificate: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Makes a hosted key: within a login on this side, and sealed to the service; else in the service, for the app.
    Create {
        /// What to call it.
        #[arg(long)]
        alias: String,
        /// What it signs with: ecdsa-secp256k1, bip340, ecdsa-p256 or ed25519.
        #[arg(long)]
        scheme: String,
        /// Writes the receipt of its binding here.
        #[arg(long, value_name = "FILE")]
        receipt: Option<PathBuf>,
    },
    /// Lists the keys one may see.
    List,
    /// Shows a key.
    Show {
        /// Alias, or key id in hex.
        key: String,
    },
    /// Stops a key.
    Freeze(Change),
    /// Lets a frozen key sign again: for security officers.
    Unfreeze(Change),
    /// Lets an app sign with a key of ours without a login, until revoked.
    Authorize(Authorize),
    /// Ends that.
    Revoke(Authorize),
}

#[derive(Debug, clap::Args)]
struct Change {
    /// Alias, or key id in hex.
    key: String,
    /// Writes the receipt here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Authorize {
    /// Alias, or key id in hex.
    key: String,
    /// The name in the app's certificate.
    #[arg(long)]
    app: String,
}

impl Key {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let service = connect(&context.profile()?, As::of(self.as_certificate)).await?;
        let client = &service.client;
        match self.verb {
            Verb::Create { alias, scheme, receipt } => {
                let made = create(&service, &alias, &scheme).await?;
                answer_change(context, "made", &made, receipt)
            }
            Verb::List => list(context, &service).await,
            Verb::Show { key } => show(context, &service, &key).await,
            Verb::Freeze(Change { key, receipt }) => {
                let changed =
                    client.freeze_key(&parse_key(&key)?).await.map_err(failed("cannot freeze the key"))?;
                answer_change(context, "frozen", &changed, receipt)
            }
            Verb::Unfreeze(Change { key, receipt }) => {
                let changed = client.unfreeze_key(&parse_key(&key)?).await;
                answer_change(
                    context,
                    "active again",
                    &changed.map_err(failed("cannot unfreeze the key"))?,
                    receipt,
                )
            }
            Verb::Authorize(lending) => {
                let (key, app) = lending.parse()?;
                let receipt =
                    client.authorize(&key, &app).await.map_err(failed("cannot authorise the app"))?;
                lending.answer(context, "may sign with", &receipt);
                Ok(())
            }
            Verb::Revoke(lending) => {
                let (key, app) = lending.parse()?;
                let receipt =
                    client.revoke(&key, &app).await.map_err(failed("cannot revoke the authorisation"))?;
                lending.answer(context, "may no longer sign with", &receipt);
                Ok(())
            }
        }
    }
}

/// Makes a hosted key: a person's on this side, an app's in the service.
pub(crate) async fn create(service: &Service, alias: &str, scheme: &str) -> Result<KeyWithReceipt> {
    let cannot = "cannot make the key";
    let alias = Alias::parse(alias).map_err(|error| Failure::of_coded(cannot, &error))?.to_string();
    let scheme = parse_scheme(scheme)?;
    let made = if service.person {
        service.client.create_person_key(&alias, scheme).await
    } else {
        service.client.create_app_key(&alias, scheme).await
    };
    made.map_err(failed(cannot))
}

/// A scheme by its name.
pub(crate) fn parse_scheme(name: &str) -> Result<keyward_domain::scheme::Scheme> {
    keyward_domain::scheme::Scheme::from_name(name).ok_or_else(|| Failure {
        exit: crate::failure::Exit::Usage,
        ..Failure::refused(format!("`{name}` is not a scheme"), "").coded(keyward_domain::Code::SchemeUnknown)
    })
}

/// A key's name, checked before anybody is asked.
pub(crate) fn parse_key(text: &str) -> Result<String> {
    let name = KeyName::parse(text).map_err(|error| Failure::of_coded("cannot name the key", &error))?;
    Ok(name.to_string())
}

impl Authorize {
    fn parse(&self) -> Result<(String, String)> {
        let app =
            AppName::parse(&self.app).map_err(|error| Failure::of_coded("cannot name the app", &error))?;
        Ok((parse_key(&self.key)?, app.to_string()))
    }

    fn answer(&self, context: &Context, what: &str, receipt: &[u8]) {
        let words = format!("app `{}` {what} key `{}`", self.app, self.key);
        let json = json!({ "key": self.key, "app": self.app, "receipt": hex::encode(receipt) });
        context.output.answer(words, &json);
    }
}

async fn list(context: &Context, service: &Service) -> Result<()> {
    let keys = service.client.list_keys().await.map_err(failed("cannot list keys"))?;
    let rows: Vec<_> = keys.iter().map(row).collect();
    let head = ["alias", "scheme", "mode", "state", "key id"];
    let words = if rows.is_empty() { "no keys".to_owned() } else { table(&head, &rows) };
    context.output.answer(words, &json!({ "keys": keys.iter().map(to_json).collect::<Vec<_>>() }));
    Ok(())
}

fn row(key: &KeyMessage) -> Vec<String> {
    vec![key.alias.clone(), key.scheme.clone(), key.mode.clone(), key.state.clone(), hex::encode(&key.key_id)]
}

async fn show(context: &Context, service: &Service, key: &str) -> Result<()> {
    let key = service.client.show_key(&parse_key(key)?).await.map_err(failed("cannot show the key"))?;
    context.output.answer(words(&key), &to_json(&key));
    Ok(())
}

/// Prints a changed key, and keeps its receipt if wanted.
pub(super) fn answer_change(
    context: &Context,
    what: &str,
    changed: &KeyWithReceipt,
    receipt: Option<PathBuf>,
) -> Result<()> {
    if let Some(path) = &receipt {
        files::write(path, &changed.receipt, Access::Public)?;
    }
    let key = &changed.key;
    let kept = receipt.map(|path| format!("\n  receipt     {}", path.display())).unwrap_or_default();
    let words = format!("key `{}` is {what}\n{}{kept}", key.alias, words(key));
    let mut json = to_json(key);
    if let Value::Object(map) = &mut json {
        map.insert("receipt".into(), json!(hex::encode(&changed.receipt)));
    }
    context.output.answer(words, &json);
    Ok(())
}

fn words(key: &KeyMessage) -> String {
    let lines = [
        ("alias", key.alias.clone()),
        ("key id", hex::encode(&key.key_id)),
        ("scheme", key.scheme.clone()),
        ("public key", hex::encode(&key.public_key)),
        ("address", key.address.clone()),
        ("mode", key.mode.clone()),
        ("state", key.state.clone()),
        ("token", key.token.clone()),
        ("claims", key.claims.join(", ")),
        ("account", hex::encode(&key.account)),
    ];
    let shown = lines.iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| format!("  {name:<11} {value}")).collect::<Vec<_>>().join("\n")
}

fn to_json(key: &KeyMessage) -> Value {
    json!({
        "alias": key.alias, "key_id": hex::encode(&key.key_id), "scheme": key.scheme,
        "public_key": hex::encode(&key.public_key), "address": key.address, "mode": key.mode, "state": key.state,
        "version": key.version, "created_unix_ms": key.created_unix_ms, "token": key.token,
        "account": hex::encode(&key.account), "claims": key.claims,
    })
}
