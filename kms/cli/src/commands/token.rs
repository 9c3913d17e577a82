//! `keyward token`: tokens attached to the service, and their keys.

use std::path::PathBuf;

use keyward_client::Link as LinkCall;
use keyward_domain::Alias;
use keyward_proto::custody::{Token as TokenMessage, TokenKey};
use keyward_token::{KeyKind, Module, Pin, TokenName};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::Context;
use super::key::{answer_change, parse_scheme};
use crate::config::serve::bundled_module;
use crate::failure::{Failure, Result};
use crate::local::prepare::read_pin;
use crate::output::table;
use crate::service::{As, connect};

#[derive(Debug, clap::Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Lists the tokens attached to the service, and their keys.
    List,
    /// Binds a token's key to the operator's account; its private part stays in the token.
    Link(Link),
    /// Makes a software token with keys for trying things out.
    #[command(hide = true)]
    Prepare(Prepare),
}

#[derive(Debug, clap::Args)]
struct Link {
    /// The token's label or serial.
    #[arg(long)]
    token: String,
    /// The key's label in the token.
    #[arg(long, default_value = "")]
    label: String,
    /// The key's id (CKA_ID) in hex, where labels are not unique.
    #[arg(long, value_name = "HEX", default_value = "")]
    id: String,
    /// What it signs with.
    #[arg(long)]
    scheme: String,
    /// What to call it.
    #[arg(long)]
    alias: String,
    /// A file of mode 0600 that holds the token's PIN; without it, the PIN is asked for.
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// Writes the receipt of its binding here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Prepare {
    /// The PKCS#11 module; without it, the bundled one.
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// The token's label.
    #[arg(long)]
    label: String,
    /// The file with the token's PIN.
    #[arg(long, value_name = "FILE")]
    pin_file: PathBuf,
    /// A key to make.
    #[arg(long = "key", value_name = "KIND:LABEL")]
    keys: Vec<String>,
}

impl Token {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self.verb {
            Verb::List => list(context).await,
            Verb::Link(link) => link.run(context).await,
            Verb::Prepare(prepare) => prepare.run().await,
        }
    }
}

async fn list(context: &Context) -> Result<()> {
    let service = connect(&context.profile()?, As::Certificate).await?;
    let tokens = service.client.list_tokens().await.map_err(crate::service::failed("cannot list tokens"))?;
    let words = if tokens.is_empty() { "no tokens".to_owned() } else { words(&tokens) };
    context.output.answer(words, &to_json(&tokens));
    Ok(())
}

fn words(tokens: &[TokenMessage]) -> String {
    let tokens = tokens.iter().map(|token| {
        let head = format!(
            "token `{}`, serial {}, {} {}, {}\n  module {}",
            token.label,
            token.serial,
            token.manufacturer,
            token.model,
            if token.logged_in { "logged in" } else { "not logged in" },
            token.module
        );
        let rows: Vec<_> = token.keys.iter().map(row).collect();
        let keys = table(&["  key", "id", "kind", "linked as"], &rows);
        if rows.is_empty() { format!("{head}\n  no keys") } else { format!("{head}\n{keys}") }
    });
    tokens.collect::<Vec<_>>().join("\n")
}

fn row(key: &TokenKey) -> Vec<String> {
    vec![format!("  {}", key.label), hex::encode(&key.id), key.kind.clone(), hex::encode(&key.key_id)]
}

fn to_json(tokens: &[TokenMessage]) -> Value {
    let key = |key: &TokenKey| {
        json!({
            "label": key.label, "id": hex::encode(&key.id), "kind": key.kind,
            "key_id": (!key.key_id.is_empty()).then(|| hex::encode(&key.key_id)),
        })
    };
    let tokens = tokens.iter().map(|token| {
        json!({
            "label": token.label, "serial": token.serial, "manufacturer": token.manufacturer, "model": token.model,
            "module": token.module, "logged_in": token.logged_in,
            "keys": token.keys.iter().map(key).collect::<Vec<_>>(),
        })
    });
    json!({ "tokens": tokens.collect::<Vec<_>>() })
}

impl Link {
    async fn run(self, context: &Context) -> Result<()> {
        let pin = match &self.pin_file {
            Some(path) => read_pin(path)?,
            None => ask(&format!("PIN of token `{}`: ", self.token))?,
        };
        let link = self.link(pin)?;
        let service = connect(&context.profile()?, As::Certificate).await?;
        let linked = service.client.link(link).await;
        let linked = linked.map_err(crate::service::failed("cannot link the token's key"))?;
        answer_change(context, "linked", &linked, self.receipt)
    }

    fn link(&self, pin: Zeroizing<String>) -> Result<LinkCall> {
        let alias =
            Alias::parse(&self.alias).map_err(|error| Failure::of_coded("cannot name the key", &error))?;
        let id = hex::decode(&self.id).map_err(|error| {
            Failure::usage(format!("`{}` is not hex", self.id), "see `keyward token list` for ids")
                .because(&error)
        })?;
        if self.label.is_empty() && id.is_empty() {
            return Err(Failure::usage("no key of the token is named", "give `--label` or `--id`"));
        }
        Ok(LinkCall {
            token: self.token.clone(),
            key_label: self.label.clone(),
            id,
            scheme: parse_scheme(&self.scheme)?,
            alias: alias.to_string(),
            pin: Zeroizing::new(pin.as_bytes().to_vec()),
        })
    }
}

/// Asks a person at the terminal, without showing what is typed.
pub(crate) fn ask(prompt: &str) -> Result<Zeroizing<String>> {
    let answer = rpassword::prompt_password(prompt);
    answer.map(Zeroizing::new).map_err(|error| {
        Failure::usage("there is no terminal to ask at", "give the secret in a file of mode 0600")
            .because(&error)
    })
}

impl Prepare {
    /// Makes the token and the keys that are not there yet.
    async fn run(self) -> Result<()> {
        let module =
            Module::open(&bundled_module(self.module.as_deref())?).map_err(|error| failed(&error))?;
        let pin = || Pin::from_bytes(read_pin(&self.pin_file)?.as_bytes()).map_err(|error| failed(&error));
        let tokens = module.tokens().await.map_err(|error| failed(&error))?;
        if !tokens.iter().any(|token| token.label == self.label) {
            // The security officer's PIN is thrown away: this token is made again rather than unlocked.
            let random = Zeroizing::new(hex::encode(
                crate::sealed::random32()?.iter().copied().take(8).collect::<Vec<_>>(),
            ));
            let officer = Pin::from_bytes(random.as_bytes()).map_err(|error| failed(&error))?;
            module.init_token(officer, pin()?, &self.label).await.map_err(|error| failed(&error))?;
        }
        let token = TokenName::new(&self.label);
        module.login(&token, pin()?).await.map_err(|error| failed(&error))?;
        let present = module.keys(&token).await.map_err(|error| failed(&error))?;
        for key in &self.keys {
            let (kind, label) = parse_key(key)?;
            if !present.iter().any(|key| key.label == label) {
                module.generate_key(&token, kind, label).await.map_err(|error| failed(&error))?;
            }
        }
        Ok(())
    }
}

fn parse_key(text: &str) -> Result<(KeyKind, &str)> {
    let wrong = || Failure::usage(format!("`{text}` is not `KIND:LABEL`"), "try `p256:sample`");
    let (kind, label) = text.split_once(':').ok_or_else(wrong)?;
    Ok((KeyKind::from_name(kind).ok_or_else(wrong)?, label))
}

fn failed(error: &keyward_token::TokenError) -> Failure {
    let failure = Failure::refused("the token cannot be prepared", "see `keyward token list`").because(error);
    match keyward_domain::Code::from_name(error.code()) {
        Some(code) => failure.coded(code),
        None => failure,
    }
}
