//! `keyward token prepare`: a software token with keys, for trying things out.

use std::path::PathBuf;

use keyward_token::{KeyKind, Module, Pin, TokenName};
use zeroize::Zeroizing;

use crate::config::serve::{bundled_module, module_source};
use crate::failure::{Failure, Result};
use crate::local::prepare::read_pin;

#[derive(Debug, clap::Args)]
pub(super) struct Prepare {
    /// The PKCS#11 module; without it, the bundled one.
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Whether the module is loaded in a process of its own [default: every module but the bundled one].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    isolated: Option<bool>,
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

impl Prepare {
    /// Makes the token and the keys that are not there yet.
    pub(super) async fn run(self) -> Result<()> {
        let source = module_source(bundled_module(self.module.as_deref())?, self.isolated)?;
        let module = Module::open_source(&source).map_err(|error| failed(&error))?;
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
