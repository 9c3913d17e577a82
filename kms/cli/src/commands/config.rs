//! `keyward config check FILE`.

use std::path::PathBuf;

use serde_json::json;

use super::Context;
use crate::config::node::NodeConfig;
use crate::config::serve::ServeConfig;
use crate::failure::{Failure, Result};
use crate::files;

#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Checks a configuration file of `node` or `serve`, and that what it names can be opened.
    Check {
        /// The file.
        file: PathBuf,
    },
}

impl Config {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let Verb::Check { file } = self.verb;
        let text = files::read_text(&file)?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| {
            Failure::usage(format!("`{}` is malformed", file.display()), "correct it").because(&error)
        })?;
        // Only a node has a validator's key; only a service has a ledger.
        let kind = if table.contains_key("validator_key") || table.contains_key("peers") {
            let config = NodeConfig::load(&file, &[])?;
            config.open(&file)?;
            crate::keeper::check(&config, &file)?;
            "node"
        } else {
            ServeConfig::load(&file, &[])?.open(&file)?;
            "serve"
        };
        let words = format!("`{}` is a good configuration of `keyward {kind}`", file.display());
        context.output.answer(words, &json!({ "valid": true, "kind": kind }));
        Ok(())
    }
}
