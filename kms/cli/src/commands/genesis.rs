//! `keyward genesis`: founding a ledger by several organisations, none of which shows a private key to another.
//!
//! Each makes its key where it stays and writes a member file; one puts the files together; everybody checks that
//! its own file stands in the result, and compares the chain id with the others.

mod founders;
mod node;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use keyward_domain::{Principal, Role};
use keyward_ledger_core::block::Regime;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::genesis::{EPOCH_LENGTH_DEFAULT, Genesis, GenesisDocument};
use keyward_ledger_core::trust::Trust;
use serde_json::json;

use super::Context;
use super::member::{MemberFile, parse_key};
use crate::config::keeper::{self, KeeperKey, PublicKeys};
use crate::config::node::{CHECKPOINT_KEY, VALIDATOR_KEY};
use crate::config::serve::SUBMITTER_KEY;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::sealed::{OperatorSecret, random32};
use founders::{Named, founded, named};

/// Founding a ledger.
#[derive(Debug, clap::Args)]
pub(crate) struct Ceremony {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Makes an organisation's keys, where they stay: its node's, its keeper's, its service's.
    Key(Key),
    /// Writes the organisation's member file for the others.
    Join(Join),
    /// Puts the member files together: genesis and trust file.
    Assemble(Assemble),
    /// Checks a genesis against member files, and shows its chain id.
    Check(Check),
    /// Writes the configuration of the organisation's node.
    Node(node::Node),
}

#[derive(Debug, clap::Args)]
struct Key {
    /// The folder for the keys.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The node's name in its certificate: `keyward://node/NAME`.
    #[arg(long, value_name = "NAME")]
    node: String,
    /// The service's name in its certificate: a key to submit with is made too.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Join {
    /// The folder that `keyward genesis key` made.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The organisation's name on the ledger.
    #[arg(long)]
    name: String,
    /// Where the others reach the node.
    #[arg(long, value_name = "IP:PORT")]
    peer: std::net::SocketAddr,
    /// Where the node answers callers.
    #[arg(long, value_name = "URL")]
    rpc: String,
    /// Where to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Assemble {
    /// The ledger's name.
    #[arg(long)]
    name: String,
    /// Blocks of an epoch.
    #[arg(long, value_name = "N", default_value_t = EPOCH_LENGTH_DEFAULT)]
    epoch_length: u64,
    /// How far a proposal's time may lie from a voter's clock.
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    clock_bound_ms: u64,
    /// Where to write the genesis; the trust file goes beside it.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The member files.
    #[arg(required = true, value_name = "FILE")]
    members: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The genesis.
    genesis: PathBuf,
    /// The member files of all founders, each as its organisation sent it.
    #[arg(required = true, value_name = "FILE")]
    members: Vec<PathBuf>,
}

impl Ceremony {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self.verb {
            Verb::Key(key) => key.run(context),
            Verb::Join(join) => join.run(context),
            Verb::Assemble(assemble) => assemble.run(context),
            Verb::Check(check) => check.run(context),
            Verb::Node(node) => node.run(context),
        }
    }
}

const SECRET: &str = "operator.secret";
const VALIDATOR: &str = "validator.key";
/// For checkpoints of the log: `checkpoint_key` in `node.toml`.
const CHECKPOINT: &str = "checkpoint.key";
const SUBMITTER: &str = "submitter.key";
/// Folders that are older than keepers have none of them.
const KEEPER: [&str; 3] = [KeeperKey::Signing.file(), KeeperKey::Sealing.file(), KeeperKey::Storage.file()];
/// Public: whose the sealed keys are.
const OWNER: &str = "owner";

impl Key {
    fn run(self, context: &Context) -> Result<()> {
        let at = |name: &str| self.dir.join(name);
        let names = [SECRET, VALIDATOR, CHECKPOINT, SUBMITTER].into_iter().chain(KEEPER);
        if names.into_iter().any(|name| at(name).symlink_metadata().is_ok()) {
            let what = format!("`{}` holds keys already", self.dir.display());
            return Err(Failure::refused(what, "choose another folder: keys are never overwritten"));
        }
        let node = principal(Role::Node, &self.node)?;
        let secret = OperatorSecret::create(&at(SECRET))?;
        make(&secret, &at(CHECKPOINT), CHECKPOINT_KEY, &node)?;
        let validator = make(&secret, &at(VALIDATOR), VALIDATOR_KEY, &node)?;
        let PublicKeys { signing: kept, .. } =
            keeper::make(&secret, |key| at(key.file()), &node, &KeeperKey::ALL)?;
        let service = self.service.as_deref().map(|name| principal(Role::Service, name)).transpose()?;
        let submitter =
            service.map(|owner| make(&secret, &at(SUBMITTER), SUBMITTER_KEY, &owner)).transpose()?;
        let submitter = submitter.map(hex::encode);
        let owner =
            [Some(node.uri()), submitter.clone()].into_iter().flatten().collect::<Vec<_>>().join("\n");
        files::write(&at(OWNER), format!("{owner}\n").as_bytes(), Access::Public)?;
        let words = format!(
            "keys in `{}`, sealed; keep `{}` apart from backups of the rest\nvalidator {}\nkeeper {}{}",
            self.dir.display(),
            at(SECRET).display(),
            hex::encode(validator),
            hex::encode(kept),
            submitter.as_ref().map(|key| format!("\nsubmitter {key}")).unwrap_or_default()
        );
        let json = json!({
            "validator": hex::encode(validator), "keeper": hex::encode(kept), "submitter": submitter,
        });
        context.output.answer(words, &json);
        Ok(())
    }
}

fn principal(role: Role, name: &str) -> Result<Principal> {
    Principal::new(role, name).map_err(|error| Failure::of_coded("the name is refused", &error))
}

fn make(secret: &OperatorSecret, path: &Path, purpose: &str, owner: &Principal) -> Result<[u8; 32]> {
    let seed = random32()?;
    secret.seal(path, purpose, owner, seed.as_ref())?;
    Ok(SigningKey::from_seed(&seed).public_key())
}

impl Join {
    fn run(self, context: &Context) -> Result<()> {
        let at = |name: &str| self.dir.join(name);
        let kept = [SECRET, VALIDATOR, CHECKPOINT, SUBMITTER, OWNER].into_iter().chain(KEEPER).map(at);
        let kept: Vec<_> = kept.chain([self.out.clone()]).collect();
        files::distinct(kept.iter().map(PathBuf::as_path))?;
        let owner = files::read_text(&at(OWNER))?;
        let mut lines = owner.lines();
        let node = lines.next().and_then(|uri| Principal::parse(uri).ok()).ok_or_else(|| {
            let what = format!("`{}` names no node", at(OWNER).display());
            Failure::refused(what, "make the keys with `keyward genesis key`")
        })?;
        let services = lines.map(parse_key).collect::<Result<Vec<_>>>()?;
        let secret = OperatorSecret::load(&at(SECRET))?;
        let seed = secret.open32(&at(VALIDATOR), VALIDATOR_KEY, &node)?;
        let key = SigningKey::from_seed(&seed);
        let keeper = keeper_keys(&secret, at, &node)?;
        let keeper = keeper.as_ref().map(|(key, hpke_key)| (key, *hpke_key));
        let file = MemberFile::sign_founding(&key, (self.name, self.peer, self.rpc), &services, keeper)?;
        file.write(&self.out)?;
        let words = format!(
            "`{}` is for whoever puts the genesis together; keep a copy to check it by",
            self.out.display()
        );
        context.output.answer(words, &json!({ "key": file.key, "file": self.out }));
        Ok(())
    }
}

/// A keeper's own key, and the key that shares are sealed to, if the folder has them.
fn keeper_keys(
    secret: &OperatorSecret,
    at: impl Fn(&str) -> PathBuf,
    owner: &Principal,
) -> Result<Option<(SigningKey, [u8; 32])>> {
    if KEEPER.iter().all(|name| at(name).symlink_metadata().is_err()) {
        return Ok(None);
    }
    let seed = |key: KeeperKey| secret.open32(&at(key.file()), key.purpose(), owner);
    let signing = SigningKey::from_seed(&*seed(KeeperKey::Signing)?);
    Ok(Some((signing, keeper::public_keys(&seed)?.sealing)))
}

impl Assemble {
    fn run(self, context: &Context) -> Result<()> {
        let trust_file = self.out.with_extension("trust");
        if trust_file == self.out {
            let what = format!(
                "`{}` is the place of the trust file, which goes beside the genesis",
                self.out.display()
            );
            return Err(Failure::usage(what, "give the genesis another ending than `.trust`"));
        }
        for path in [&self.out, &trust_file] {
            files::fresh(path, "a genesis and its trust file")?;
        }
        let Named { validators, submitters, keepers, .. } = named(&self.members)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let document = GenesisDocument {
            name: self.name,
            time_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            validators,
            submitters,
            keepers,
            epoch_length: self.epoch_length,
            regime: Regime::Fast,
            clock_bound_ms: self.clock_bound_ms,
        };
        let genesis = Genesis::new(document).map_err(|error| {
            let next = "each node, each submitter and each keeper stands once";
            Failure::refused("the member files make no genesis", next).because(&error)
        })?;
        files::write(&self.out, &genesis.encode(), Access::Public)?;
        let trust = Trust::genesis(genesis.name().to_owned(), *genesis.chain_id());
        files::write(&trust_file, trust.encode().as_bytes(), Access::Public)?;
        let words = format!(
            "{}\ntrust file `{}`\nnow everybody checks it (`keyward genesis check`) and configures a node (`keyward genesis node`)",
            show(&genesis),
            trust_file.display(),
        );
        context.output.answer(words, &json(&genesis));
        Ok(())
    }
}

impl Check {
    fn run(self, context: &Context) -> Result<()> {
        let genesis = read(&self.genesis)?;
        founded(&genesis, &self.members)?;
        let words = format!(
            "{}\nit holds what these files name and nothing else; compare the chain id with the others",
            show(&genesis)
        );
        context.output.answer(words, &json(&genesis));
        Ok(())
    }
}

fn read(path: &Path) -> Result<Genesis> {
    Genesis::decode(&files::read(path)?).map_err(|error| {
        let what = format!("`{}` is no genesis", path.display());
        Failure::refused(what, "ask for the file again").because(&error)
    })
}

fn show(genesis: &Genesis) -> String {
    let document = genesis.document();
    format!(
        "ledger `{}`\nchain id {}\n{} validators, {} submitters, {} keepers, epochs of {} blocks",
        genesis.name(),
        hex::encode(genesis.chain_id()),
        document.validators.len(),
        document.submitters.len(),
        document.keepers.len(),
        document.epoch_length
    )
}

fn json(genesis: &Genesis) -> serde_json::Value {
    let document = genesis.document();
    json!({
        "name": genesis.name(), "chain_id": hex::encode(genesis.chain_id()),
        "validators": document.validators.iter().map(hex::encode).collect::<Vec<_>>(),
        "submitters": document.submitters.iter().map(|submitter| hex::encode(submitter.key)).collect::<Vec<_>>(),
        "keepers": document.keepers.iter().map(|keeper| &keeper.name).collect::<Vec<_>>(),
        "epoch_length": document.epoch_length, "time_ms": document.time_ms,
    })
}
