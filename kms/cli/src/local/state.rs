//! The folder of a local Keyward: whose it is, who runs in it, and what the supervisor remembers.

use serde::{Deserialize, Serialize};

use super::cluster::VALIDATORS_DEFAULT;
use super::configure::url;
use super::layout::Layout;
use super::ports::Chooser;
use super::prepare;
use crate::failure::{Failure, Result};
use crate::files;
use crate::lock::Lock;
use crate::output::Output;

/// The most validators on one machine.
pub(crate) const VALIDATORS_MAX: usize = 16;
/// The most servers on one machine.
const SERVERS_MAX: usize = 8;
const FORMAT: u32 = 1;

/// The supervisor's own file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) format: u32,
    pub(super) service_port: Option<u16>,
    /// The ports of the servers after the first; 0 before one is chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) more_service_ports: Vec<u16>,
    /// The database of all servers; none: an SQLite file in the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) database: Option<String>,
    pub(super) nodes: Vec<NodeState>,
}

/// What is chosen at the first start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// How many validators.
    pub(crate) validators: Option<usize>,
    /// How many servers over one database.
    pub(crate) servers: Option<usize>,
    /// `postgres://..`; none: an SQLite file.
    pub(crate) database: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeState {
    /// The validator's public key in hex.
    pub(super) key: String,
    pub(super) peer_port: Option<u16>,
    pub(super) rpc_port: Option<u16>,
}

/// Only an empty folder, or one that we made, is written to.
pub(super) fn check_folder(layout: &Layout) -> Result<()> {
    let empty = std::fs::read_dir(layout.root()).map_or(true, |mut entries| entries.next().is_none());
    if empty || layout.readme().is_file() || layout.lock().is_file() {
        return Ok(());
    }
    let what = format!("`{}` is a folder of something else", layout.root().display());
    Err(Failure::usage(what, "give an empty folder with `--dir`"))
}

/// Takes a folder for one supervisor.
pub(crate) fn lock(layout: &Layout) -> Result<Lock> {
    Lock::take(&layout.lock())?.ok_or_else(|| {
        Failure::refused(
            format!("a Keyward runs in `{}` already", layout.root().display()),
            "use it, end it with Ctrl-C, or give another `--dir`",
        )
    })
}

/// What was remembered; or a new Keyward, made now.
pub(super) fn load_or_prepare(layout: &Layout, wanted: Wanted, output: Output) -> Result<State> {
    if layout.state().is_file() {
        return load(layout, &wanted);
    }
    let validators = wanted.validators.unwrap_or(VALIDATORS_DEFAULT);
    let servers = wanted.servers.unwrap_or(1);
    if !(1..=SERVERS_MAX).contains(&servers) {
        return Err(Failure::usage(format!("`{servers}` servers do not fit"), "choose 1 to 8"));
    }
    if !(1..=VALIDATORS_MAX).contains(&validators) {
        return Err(Failure::usage(format!("`{validators}` validators do not fit"), "choose 1 to 16"));
    }
    // Before anything is written: the address must not carry a password.
    if let Some(url) = &wanted.database {
        keyward_store::Location::postgres(url, None).map_err(|error| {
            let next = "give `postgres://user@host/name`; a password belongs into a file of its own";
            Failure::usage("`--database` names no database", next).because(&error)
        })?;
    }
    output.note(format!("  a new Keyward is made in `{}`", layout.root().display()));
    // The ledger says where its keepers answer: at their validators' ports, so these are chosen before it is founded.
    let mut chooser = Chooser::default();
    let ports = (0..validators).map(|_| chooser.choose(None).map(|chosen| Some(chosen.port)));
    let ports = ports.collect::<Result<Vec<_>>>()?;
    let rpcs: Vec<_> = ports.iter().map(|port| url(*port)).collect();
    let keys = prepare::prepare(layout, &rpcs, servers)?;
    let node =
        |(key, rpc_port): ([u8; 32], _)| NodeState { key: hex::encode(key), peer_port: None, rpc_port };
    let state = State {
        format: FORMAT,
        service_port: None,
        more_service_ports: vec![0; servers.saturating_sub(1)],
        database: wanted.database,
        nodes: keys.into_iter().zip(ports).map(node).collect(),
    };
    prepare::write_toml(&layout.state(), &state)?;
    Ok(state)
}

fn load(layout: &Layout, wanted: &Wanted) -> Result<State> {
    let path = layout.state();
    let state: State = toml::from_str(&files::read_text(&path)?).map_err(|error| {
        Failure::refused(format!("`{}` is malformed", path.display()), "restore the file").because(&error)
    })?;
    if state.format != FORMAT {
        let what = format!("`{}` is of format `{}`, this is `{FORMAT}`", path.display(), state.format);
        return Err(Failure::refused(what, "use the version of keyward that made the folder"));
    }
    let servers = state.more_service_ports.len().saturating_add(1);
    if wanted.servers.is_some_and(|wanted| wanted != servers) {
        let what = format!("the ledger in `{}` knows {servers} servers", layout.root().display());
        return Err(Failure::usage(what, "leave `--servers` away, or give another `--dir`"));
    }
    if wanted.database.is_some() && wanted.database != state.database {
        let what = format!("the Keyward in `{}` has another database", layout.root().display());
        return Err(Failure::usage(what, "leave `--database` away, or give another `--dir`"));
    }
    match wanted.validators {
        Some(wanted) if wanted != state.nodes.len() => Err(Failure::usage(
            format!(
                "the ledger in `{}` has {} validators, not {wanted}",
                layout.root().display(),
                state.nodes.len()
            ),
            "leave `--validators` away, or give another `--dir`",
        )),
        _ => Ok(state),
    }
}
