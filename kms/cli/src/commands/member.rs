//! `keyward ledger member` and `keyward ledger regime`: who runs the ledger, by which rules, and how that changes.
//!
//! A decision is signed with a validator's own key, where that lies; any node carries it.

mod ask;
mod change;
mod file;
mod keeper;
mod regime;
mod submitter;

use std::path::{Path, PathBuf};

use keyward_ledger_client::{Client, CommitError, Committer};
use keyward_ledger_core::certificate::ValidatorSet;
use keyward_ledger_core::change::{Change, Member, Subject, approval_message, change_id};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{ApproveChange, Entry, ProposeChange};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::state::layout::validators_key;
use keyward_ledger_core::state::member::{
    CHANGES_MAX, ChangeState, MemberState, OBSERVERS_MAX, change_key, decode_list, member_key, observers_key,
    pending_changes_key,
};
use serde_json::{Value, json};

use super::Context;
use super::ledger::{connect, failed};
use crate::certificate::principal_of;
use crate::config::from_folder;
use crate::config::node::{NodeConfig, VALIDATOR_KEY};
use crate::failure::{Failure, Result};
use crate::output::table;
use crate::sealed::OperatorSecret;

pub(crate) use change::parse_role;
pub(crate) use file::{Founder, MemberFile};
pub(crate) use regime::Regime;

/// Blocks in which a proposal may be approved, where nothing else is asked for.
const LIFE_BLOCKS: u64 = 200_000;

/// Who runs the ledger.
#[derive(Debug, clap::Args)]
pub(crate) struct MemberCommand {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Validators, observers, keepers and open changes, each proven by the ledger.
    List,
    /// Writes the file by which a node of ours asks to be admitted.
    Join(file::Join),
    /// Writes the file by which another key takes the place of a node's.
    Rotation(file::Rotation),
    /// Writes the file by which a keeper of ours asks to be taken in, or changes its keys or address; makes the keys that are missing.
    Keeper(ask::Ask),
    /// Makes a key to submit with, sealed for whom a certificate names; `propose set-submitter` lets it in.
    Submitter(submitter::Submitter),
    /// Proposes a change, signed by our validator.
    Propose(Propose),
    /// Approves an open change, signed by our validator.
    Approve(Approve),
}

#[derive(Debug, clap::Args)]
struct Propose {
    /// The configuration of our validator, whose key signs.
    #[arg(long, value_name = "FILE")]
    node: PathBuf,
    /// Blocks in which it may be approved.
    #[arg(long, value_name = "N", default_value_t = LIFE_BLOCKS)]
    life_blocks: u64,
    #[command(subcommand)]
    change: change::Asked,
}

#[derive(Debug, clap::Args)]
struct Approve {
    /// The configuration of our validator, whose key signs.
    #[arg(long, value_name = "FILE")]
    node: PathBuf,
    /// The change, 64 hex digits as `keyward ledger member list` shows it.
    id: String,
}

impl MemberCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self.verb {
            Verb::Join(join) => join.run(context),
            Verb::Rotation(rotation) => rotation.run(context),
            Verb::Keeper(ask) => ask.run(context),
            Verb::Submitter(submitter) => submitter.run(context),
            Verb::List => list(context, &connect(&context.profile()?).await?).await,
            Verb::Propose(asked) => propose(context, asked).await,
            Verb::Approve(asked) => approve(context, asked).await,
        }
    }
}

/// The key of the validator that a configuration names.
pub(crate) fn validator_key(file: &Path) -> Result<SigningKey> {
    let config = NodeConfig::load(file, &[])?;
    let at = |path: &Path| from_folder(file, path);
    let secret = OperatorSecret::load(&at(&config.operator_secret))?;
    let owner = principal_of(&at(&config.tls.certificate))?;
    Ok(SigningKey::from_seed(&*secret.open32(&at(&config.validator_key), VALIDATOR_KEY, &owner)?))
}

/// 32 bytes from 64 hex digits.
pub(crate) fn parse_key(text: &str) -> Result<[u8; 32]> {
    keyward_ledger_core::codec::parse_hex32(text).ok_or_else(|| {
        Failure::usage(
            format!("`{text}` is not 64 lower-case hex digits"),
            "copy it from `keyward ledger member list`",
        )
    })
}

async fn read(client: &Client, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let found = client.state(key).await.map_err(|error| failed("cannot read the ledger's state", &error))?;
    Ok(found.value)
}

fn broken(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::refused("the ledger's state does not read", "use a newer program").because(error)
}

async fn change_of(client: &Client, id: &Hash) -> Result<Option<(ChangeState, Change)>> {
    let Some(value) = read(client, &change_key(id)).await? else { return Ok(None) };
    let state = ChangeState::decode(&value).map_err(|error| broken(&error))?;
    let change = Change::decode(&state.change).map_err(|error| broken(&error))?;
    Ok(Some((state, change)))
}

async fn list(context: &Context, client: &Client) -> Result<()> {
    let set = read(client, &validators_key()).await?.unwrap_or_default();
    let set = ValidatorSet::decode(&set).map_err(|error| broken(&error))?;
    let observers = decode_list(read(client, &observers_key()).await?.as_deref(), OBSERVERS_MAX);
    let observers = observers.map_err(|error| broken(&error))?;
    let mut rows = Vec::new();
    let mut nodes = Vec::new();
    let roles =
        set.keys().map(|key| (key, "validator")).chain(observers.into_iter().map(|key| (key, "observer")));
    for (key, role) in roles {
        let known = read(client, &member_key(&key)).await?;
        let known = known.map(|value| MemberState::decode(&key, &value)).transpose();
        let member = known.map_err(|error| broken(&error))?.map(|known| known.member);
        rows.push(row(&key, role, member.as_ref()));
        nodes.push(node_json(&key, role, member.as_ref()));
    }
    let ids = decode_list(read(client, &pending_changes_key()).await?.as_deref(), CHANGES_MAX);
    let (mut words, mut changes) = (Vec::new(), Vec::new());
    for id in ids.map_err(|error| broken(&error))? {
        let Some((state, change)) = change_of(client, &id).await? else { continue };
        words.push(change_words(&id, &state, &change, &set));
        changes.push(change_json(&id, &state, &change, &set));
    }
    let keepers = keeper::all(client).await?;
    rows.extend(keepers.iter().map(keeper::row));
    let human = format!(
        "{} validators, {} must approve a change\n{}\n{}",
        set.len(),
        set.quorum(),
        table(&["key", "role", "name", "peers", "callers"], &rows),
        if words.is_empty() { "no open changes".to_owned() } else { words.join("\n") }
    );
    let keepers: Vec<_> = keepers.iter().map(keeper::to_json).collect();
    let json = json!({ "quorum": set.quorum(), "nodes": nodes, "keepers": keepers, "changes": changes });
    context.output.answer(human, &json);
    Ok(())
}

fn row(key: &[u8; 32], role: &str, member: Option<&Member>) -> Vec<String> {
    let said = member.map(|member| vec![member.name.clone(), member.peer.to_string(), member.rpc.clone()]);
    [vec![hex::encode(key), role.to_owned()], said.unwrap_or_default()].concat()
}

fn node_json(key: &[u8; 32], role: &str, member: Option<&Member>) -> Value {
    json!({
        "key": hex::encode(key), "role": role, "name": member.map(|member| member.name.clone()),
        "peer": member.map(|member| member.peer.to_string()), "rpc": member.map(|member| member.rpc.clone()),
    })
}

fn change_words(id: &Hash, state: &ChangeState, change: &Change, set: &ValidatorSet) -> String {
    format!(
        "change {}: {}, {} of {} approvals, until height {}",
        hex::encode(id),
        change::describe(change),
        state.approvals_of(set),
        set.quorum(),
        state.not_after
    )
}

fn change_json(id: &Hash, state: &ChangeState, change: &Change, set: &ValidatorSet) -> Value {
    let subject = match change.subject() {
        Subject::Node(key) | Subject::Submitter(key) | Subject::Keeper(key) => Some(hex::encode(key)),
        Subject::Configuration | Subject::Version => None,
    };
    json!({
        "id": hex::encode(id), "change": change.name(), "subject": subject,
        "describes": change::describe(change), "approvals": state.approvals_of(set), "needed": set.quorum(),
        "proposer": hex::encode(state.proposer), "not_after": state.not_after,
    })
}

async fn propose(context: &Context, asked: Propose) -> Result<()> {
    let client = connect(&context.profile()?).await?;
    let key = validator_key(&asked.node)?;
    let change = asked.change.change(&client).await?;
    // Proven: a node that lies about the height would choose how long the proposal lives.
    let (height, _) = client.proven_tip().await.map_err(|error| failed("cannot reach the ledger", &error))?;
    let not_after = height.saturating_add(asked.life_blocks);
    let (bytes, proposer) = (change.encode(), key.public_key());
    let id = change_id(&client.chain_id(), &proposer, not_after, &bytes);
    let signature = key.sign(&id);
    let entry = Entry::ProposeChange(ProposeChange { change: bytes, not_after, proposer, signature });
    let leaf_index = commit(client, key, &entry).await?;
    let id = hex::encode(id);
    let words = format!(
        "proposed: {}\nchange {id}, record {leaf_index}; the others approve it with\n  keyward ledger member approve --node node.toml {id}",
        change::describe(&change)
    );
    context.output.answer(words, &json!({ "id": id, "change": change.name(), "leaf_index": leaf_index }));
    Ok(())
}

async fn approve(context: &Context, asked: Approve) -> Result<()> {
    let client = connect(&context.profile()?).await?;
    let key = validator_key(&asked.node)?;
    let id = parse_key(&asked.id)?;
    let found = change_of(&client, &id).await?;
    let Some((_, change)) = found else {
        return Err(Failure::refused("there is no such change", "see `keyward ledger member list`"));
    };
    let validator = key.public_key();
    let signature = key.sign(&approval_message(&client.chain_id(), &id));
    let entry = Entry::ApproveChange(ApproveChange { change_id: id, validator, signature });
    let leaf_index = commit(client, key, &entry).await?;
    let words = format!("approved: {} (record {leaf_index})", change::describe(&change));
    context
        .output
        .answer(words, &json!({ "id": asked.id, "change": change.name(), "leaf_index": leaf_index }));
    Ok(())
}

/// Hands an entry in with the validator's own key; the answer is its place in the log.
async fn commit(client: Client, key: SigningKey, entry: &Entry) -> Result<u64> {
    let what = "the ledger did not take it";
    let committer = Committer::start(client, key).await.map_err(|error| failed(what, &error))?;
    let recorded = committer.commit(entry).await.map_err(|error| match error.root() {
        CommitError::Refused { code, .. } => {
            let mut failure = Failure::refused(what, "only validators in force decide").because(&error);
            failure.code = Some(code.clone());
            failure
        }
        _ => Failure::unreachable(what, "see `keyward ledger status`, then try again").because(&error),
    })?;
    match recorded.outcome.refusal() {
        None => Ok(recorded.leaf_index),
        Some(refusal) => {
            let mut failure = Failure::refused(refusal.describe(), "see `keyward ledger member list`");
            failure.code = Some(refusal.name().to_owned());
            Err(failure)
        }
    }
}
