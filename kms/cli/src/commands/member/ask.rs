//! `keyward ledger member keeper`: the file by which a keeper of ours joins a ledger that is there, or changes its keys.

use keyward_ledger_core::change::RPC_ADDRESS_BYTES_MAX;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::keeper::Keeper;
use serde_json::json;

use super::file::{Asking, write_toml};
use super::keeper::KeeperFile;
use super::validator_key;
use crate::certificate::principal_of;
use crate::commands::Context;
use crate::config::from_folder;
use crate::config::keeper::{KeeperKey, KeeperSection, make, public_keys};
use crate::config::node::NodeConfig;
use crate::failure::{Failure, Result};
use crate::sealed::OperatorSecret;

#[derive(Debug, clap::Args)]
pub(super) struct Ask {
    #[command(flatten)]
    asking: Asking,
    /// Its name on the ledger, where the configuration has no `[keeper]` yet.
    #[arg(long)]
    name: Option<String>,
    /// Where the node answers callers.
    #[arg(long, value_name = "URL")]
    rpc: String,
}

impl Ask {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let trust = self.asking.ledger()?;
        let (node, out) = (&self.asking.node, &self.asking.out);
        let given = NodeConfig::load(node, &[])?;
        let (section, is_new) = self.section(&given)?;
        let config = NodeConfig { keeper: Some(section.clone()), ..given };
        self.make_missing(&config, &section)?;
        let seed = |key| config.keeper_seed(node, key);
        let keys = public_keys(&seed)?;
        let keeper = Keeper {
            name: section.name,
            key: keys.signing,
            hpke_key: keys.sealing,
            validator: Some(validator_key(node)?.public_key()),
            rpc: self.rpc,
        };
        let signing = SigningKey::from_seed(&*seed(KeeperKey::Signing)?);
        write_toml(out, &KeeperFile::sign(&trust.chain_id, &signing, &keeper))?;
        let (name, file) = (&keeper.name, out.display());
        let then = if is_new {
            format!(
                "\nadd to the end of `{}`, and start the node again:\n\n[keeper]\nname = \"{name}\"",
                node.display()
            )
        } else {
            String::new()
        };
        let words =
            format!("keeper `{name}` asks to join `{}`: give `{file}` to its members{then}", trust.name);
        let json = json!({ "name": name, "key": hex::encode(keeper.key), "id": hex::encode(keeper.id()), "file": out });
        context.output.answer(words, &json);
        Ok(())
    }

    /// The configuration's section, or a new one with the name that was given.
    fn section(&self, given: &NodeConfig) -> Result<(KeeperSection, bool)> {
        let visible = self.rpc.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible || !(1..=RPC_ADDRESS_BYTES_MAX).contains(&self.rpc.len()) {
            let what = format!("the ledger would not take the address `{}`", self.rpc);
            return Err(Failure::usage(what, "give `--rpc https://host:port`, visible ASCII"));
        }
        let (section, is_new) = match (&given.keeper, &self.name) {
            (Some(section), None) => (section.clone(), false),
            (Some(section), Some(name)) if section.name == *name => (section.clone(), false),
            (Some(section), Some(_)) => {
                let what = format!("the node's keeper is `{}`", section.name);
                return Err(Failure::usage(what, "leave `--name` away: a keeper never changes its name"));
            }
            (None, Some(name)) => (KeeperSection::named(name), true),
            (None, None) => {
                let what = format!("`{}` names no keeper", self.asking.node.display());
                return Err(Failure::usage(what, "give `--name`, the keeper's name on the ledger"));
            }
        };
        section.check()?;
        Ok((section, is_new))
    }

    /// Makes what is missing. A key to sign or to open shares may be replaced; the one that shares lie under may not.
    fn make_missing(&self, config: &NodeConfig, section: &KeeperSection) -> Result<()> {
        let node = &self.asking.node;
        let path = |key| from_folder(node, section.path(key));
        let is_missing = |key: &KeeperKey| path(*key).symlink_metadata().is_err();
        let missing: Vec<_> = KeeperKey::ALL.into_iter().filter(is_missing).collect();
        if missing.contains(&KeeperKey::Storage) && missing.len() < KeeperKey::ALL.len() {
            let what =
                format!("`{}` is missing, and shares may lie under it", path(KeeperKey::Storage).display());
            return Err(Failure::refused(what, KeeperKey::Storage.lost()));
        }
        let secret = OperatorSecret::load(&from_folder(node, &config.operator_secret))?;
        let owner = principal_of(&from_folder(node, &config.tls.certificate))?;
        make(&secret, path, &owner, &missing).map(drop)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use std::path::PathBuf;

    use super::*;

    fn ask(name: Option<&str>, rpc: &str) -> Ask {
        let [node, trust, out] = ["node.toml", "trust", "out"].map(PathBuf::from);
        Ask { asking: Asking { node, trust, out }, name: name.map(str::to_owned), rpc: rpc.to_owned() }
    }

    fn config(keeper: &str) -> NodeConfig {
        let text = format!(
            "data_dir = \"data\"\ngenesis = \"g\"\noperator_secret = \"s\"\nvalidator_key = \"v\"\npeer_listen = \"127.0.0.1:1\"\n\
             rpc_listen = \"127.0.0.1:2\"\npeers = []\n{keeper}[tls]\nca = \"ca\"\ncertificate = \"c\"\nkey = \"k\"\n"
        );
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn a_keeper_has_one_name_and_an_address_that_the_ledger_takes() {
        let url = "https://a.example:7443";
        let (bare, kept) = (config(""), config("[keeper]\nname = \"bank-a\"\n"));
        let (section, is_new) = ask(Some("bank-b"), url).section(&bare).unwrap();
        assert_eq!((section, is_new), (KeeperSection::named("bank-b"), true));
        for name in [None, Some("bank-a")] {
            let (section, is_new) = ask(name, url).section(&kept).unwrap();
            assert_eq!((section, is_new), (KeeperSection::named("bank-a"), false));
        }
        for (asked, given) in [
            (ask(None, url), &bare),
            (ask(Some("bank-b"), url), &kept),
            (ask(Some("Bank"), url), &bare),
            (ask(Some("bank-b"), ""), &bare),
            (ask(Some("bank-b"), "https://a b"), &bare),
            (ask(Some("bank-b"), &"x".repeat(257)), &bare),
        ] {
            assert!(asked.section(given).is_err(), "{asked:?}");
        }
    }
}
