//! `keyward token agent`: the bank's desk.

use std::path::PathBuf;
use std::sync::Arc;

use keyward_client::agent::{AgentError, Desk, Event, Journal, Parts, Rules, Tokens, Way, attend};
use keyward_client::{Connection, Identity};
use keyward_domain::Code;
use keyward_token::{Module, Pin, TokenError};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Context, ask, person::Terminal};
use crate::config::serve::{bundled_module, module_source};
use crate::failure::{Failure, Result};
use crate::files;
use crate::local::prepare::read_pin;
use crate::output::Output;
use crate::profile::Profile;

/// The rule file and the journal, in the profile's folder where none is named.
const RULES: &str = "agent.rules";
const JOURNAL: &str = "agent.journal";

#[derive(Debug, clap::Args)]
pub(super) struct Agent {
    /// The PKCS#11 module of the bank's tokens; without it, `KEYWARD_TOKEN_MODULE` or the bundled one.
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Whether the module is loaded in a process of its own [default: every module but the bundled one].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    isolated: Option<bool>,
    /// A token to sign with: its label or serial. May be given several times.
    #[arg(long = "token", value_name = "NAME", required = true)]
    tokens: Vec<String>,
    /// A file of mode 0600 with the token's PIN, for each token in their order; without any, PINs are asked for.
    #[arg(long = "pin-file", value_name = "FILE")]
    pin_files: Vec<PathBuf>,
    /// An open file descriptor that the PINs are read from, one on each line in the tokens' order.
    #[arg(long, value_name = "N", conflicts_with = "pin_files")]
    pin_fd: Option<u32>,
    /// What is signed without asking, and what is not; without it, `agent.rules` beside the profile, else all is asked.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// The durable memory of what was signed; without it, `agent.journal` beside the profile.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

impl Agent {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        keyward_crypto::disable_core_dumps().map_err(|error| {
            Failure::refused("core dumps cannot be turned off", "ask the machine's administrator")
                .because(&error)
        })?;
        let profile = context.profile()?;
        if profile.file.role != "agent" {
            let what = format!("the profile is of the role `{}`", profile.file.role);
            return Err(Failure::usage(what, "choose an agent's profile, such as `--profile local-agent`"));
        }
        let trust = files::read(&profile.path(&profile.file.trust))?;
        let rules = self.rules(&profile)?;
        let journal = self.journal(&profile, &trust)?;
        let tokens = self.open_tokens().await?;
        let output = context.output;
        let parts = Parts {
            trust,
            rules,
            journal,
            device: Arc::new(tokens),
            person: Arc::new(Terminal::new(output)),
            clock: Arc::new(crate::moment::now_ms),
            tell: Arc::new(move |event: &Event| tell(output, event)),
        };
        let desk = Desk::new(parts).map_err(|failure| untrusted(&failure))?;
        let (ca_pem, certificate_pem, key_pem) = profile.identity()?;
        let to = |address: &String| {
            let (certificate_pem, key_pem) = (certificate_pem.clone(), key_pem.clone());
            let identity = Some(Identity { certificate_pem, key_pem });
            Connection { address: address.clone(), ca_pem: ca_pem.clone(), identity }
        };
        let more = profile.file.more_services.iter().map(to).collect();
        let way = Way { connection: to(&profile.file.service), more, proxy: profile.proxy()? };
        attend(desk, way, crate::signals::end()).await.map_err(ended)
    }

    fn rules(&self, profile: &Profile) -> Result<Rules> {
        let path = match &self.rules {
            Some(path) => path.clone(),
            None => {
                let path = profile.path(RULES.as_ref());
                if !path.exists() {
                    return Ok(Rules::default());
                }
                path
            }
        };
        Rules::parse(&files::read_text(&path)?).map_err(|error| {
            let what = format!("the rules in `{}` are refused", path.display());
            Failure::usage(what, "correct the file: unknown keys are errors").because(&error)
        })
    }

    fn journal(&self, profile: &Profile, trust: &[u8]) -> Result<Journal> {
        let path = self.journal.clone().unwrap_or_else(|| profile.path(JOURNAL.as_ref()));
        let chain_id = keyward_ledger_verify::chain_id(trust).map_err(|failure| untrusted(&failure))?;
        Journal::open(&path, &chain_id).map_err(|error| {
            let next =
                "end the other agent, or move a damaged journal aside once nothing waits at the service";
            Failure::refused("the desk's memory cannot be used: nothing is signed without it", next)
                .because(&error)
        })
    }

    async fn open_tokens(&self) -> Result<Tokens> {
        let pins = self.pins()?;
        let tokens: Vec<_> = self.tokens.iter().cloned().zip(pins).collect();
        let module = module_source(bundled_module(self.module.as_deref())?, self.isolated)?;
        let opened = tokio::task::spawn_blocking(move || {
            Module::open_source(&module).map(|module| Tokens::new(module, tokens))
        });
        let opened = opened.await.map_err(|error| {
            Failure::refused("the token's module broke down", "see whether it works with other programs")
                .because(&error)
        })?;
        opened.map_err(|error| unusable(&error))
    }

    fn pins(&self) -> Result<Vec<Pin>> {
        let count = self.tokens.len();
        let texts: Vec<Zeroizing<String>> = if let Some(number) = self.pin_fd {
            lines_of(number, count)?
        } else if self.pin_files.is_empty() {
            self.tokens
                .iter()
                .map(|token| ask(&format!("PIN of token `{token}`: ")))
                .collect::<Result<_>>()?
        } else if self.pin_files.len() == count {
            self.pin_files.iter().map(|path| read_pin(path)).collect::<Result<_>>()?
        } else {
            let what = format!("{count} tokens and {} files with a PIN", self.pin_files.len());
            return Err(Failure::usage(what, "give `--pin-file` once for each `--token`, in the same order"));
        };
        texts.iter().map(|text| Pin::from_bytes(text.as_bytes()).map_err(|error| unusable(&error))).collect()
    }
}

/// The first lines of an inherited file descriptor.
fn lines_of(number: u32, count: usize) -> Result<Vec<Zeroizing<String>>> {
    let path = PathBuf::from(format!("/dev/fd/{number}"));
    let text = Zeroizing::new(files::read_text(&path)?);
    let lines: Vec<_> = text.lines().take(count).map(|line| Zeroizing::new(line.trim().to_owned())).collect();
    if lines.len() < count {
        let what = format!("file descriptor {number} holds {} PINs for {count} tokens", lines.len());
        return Err(Failure::usage(what, "write one PIN on each line, in the order of `--token`"));
    }
    Ok(lines)
}

fn unusable(error: &TokenError) -> Failure {
    let failure = Failure::refused("the token cannot be used", "see whether it is attached").because(error);
    match Code::from_name(error.code()) {
        Some(code) => failure.coded(code),
        None => failure,
    }
}

fn untrusted(failure: &keyward_ledger_verify::Failure) -> Failure {
    Failure::refused("the trust file cannot be used", "get it again from somebody you trust").because(failure)
}

fn ended(error: AgentError) -> Failure {
    match error {
        AgentError::Refused(cause) => crate::service::failed("the service does not take this agent")(cause),
        other => {
            let next = "compare trust file and version with the service's operator";
            Failure::refused("the agent ended", next).because(&other)
        }
    }
}

fn tell(output: Output, event: &Event) {
    output.answer(event.words(), &to_json(event));
}

fn to_json(event: &Event) -> Value {
    let mut json = match event {
        Event::Connected { service, agent } => json!({ "service": service, "agent": agent }),
        Event::Lost { why, again_ms } => json!({ "why": why, "again_ms": again_ms }),
        Event::Attached { tokens } => {
            let tokens = tokens.iter().map(|(label, keys)| json!({ "label": label, "keys": keys }));
            json!({ "tokens": tokens.collect::<Vec<_>>() })
        }
        Event::Missing { token, why } => json!({ "token": token, "why": why }),
        Event::Asking { job, asked } => json!({
            "job": hex::encode(job), "asker": asked.asker, "key": asked.key, "what": asked.what,
            "sha256": hex::encode(asked.sha256), "bytes": asked.bytes, "expires_unix_ms": asked.expires_ms,
        }),
        Event::Signed { job, key, asker, summary, rule } => json!({
            "job": hex::encode(job), "key": key, "asker": asker, "rule": rule, "kind": summary.kind.name(),
            "text": summary.text, "bytes": summary.bytes, "sha256": hex::encode(summary.sha256),
        }),
        Event::Proved { job, key, asker } => json!({ "job": hex::encode(job), "key": key, "asker": asker }),
        Event::Refused { job, code, message } => {
            json!({ "job": hex::encode(job), "code": code, "message": message })
        }
        Event::Repeated { job } => json!({ "job": hex::encode(job) }),
        Event::Withdrawn { job, why } => json!({ "job": hex::encode(job), "why": why }),
        _ => json!({ "words": event.words() }),
    };
    if let Value::Object(map) = &mut json {
        map.insert("event".into(), json!(event.name()));
    }
    json
}
