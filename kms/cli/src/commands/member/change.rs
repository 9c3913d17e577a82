//! The changes that can be asked for, and words for them.

use std::path::PathBuf;

use keyward_ledger_client::Client;
use keyward_ledger_core::change::{Change, Configuration, RegimeMode};
use keyward_ledger_core::execute::BLOCK_ENTRIES_MAX;
use keyward_ledger_core::genesis::{Role, Submitter};
use keyward_ledger_core::state::layout::{Parameters, parameters_key};
use keyward_ledger_core::state::member::config_key;

use super::file::{MemberFile, RotationFile};
use super::keeper::{self, KeeperFile};
use super::{broken, parse_key, read};
use crate::failure::{Failure, Result};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Asked {
    /// Takes a node in as an observer, or replaces its addresses: the file that its organisation wrote.
    Admit {
        /// Written by `keyward ledger member join`.
        file: PathBuf,
    },
    /// Makes an observer a validator.
    Promote {
        /// The node's key.
        key: String,
    },
    /// Takes a node out.
    Remove {
        /// The node's key.
        key: String,
    },
    /// Puts another key in the place of a node's: the file that its organisation wrote.
    Rotate {
        /// Written by `keyward ledger member rotation`.
        file: PathBuf,
    },
    /// Lets somebody submit, or changes role and limit.
    SetSubmitter {
        /// The submitter's key.
        key: String,
        /// `service`, `keeper` or `operator`.
        #[arg(long, default_value = "service")]
        role: String,
        /// How many of its entries one block may carry.
        #[arg(long, value_name = "N", default_value_t = BLOCK_ENTRIES_MAX)]
        block_entries_max: u32,
    },
    /// Lets a submitter submit no longer.
    RemoveSubmitter {
        /// The submitter's key.
        key: String,
    },
    /// Takes a keeper in, or replaces its keys and address: the file that the keeper wrote.
    SetKeeper {
        /// A `keyward-keeper-1` file, signed by the keeper's key.
        file: PathBuf,
    },
    /// Takes a keeper out.
    RemoveKeeper {
        /// The keeper's name.
        name: String,
    },
    /// Changes rules; what is not named stays.
    Configure {
        /// How the regime is chosen: `auto`, `fast` or `strict`.
        #[arg(long)]
        mode: Option<String>,
        /// How many skipped views of an epoch a member may complain of.
        #[arg(long, value_name = "N")]
        skipped_views_min: Option<u32>,
        /// How many submitters must complain that they are not heard.
        #[arg(long, value_name = "N")]
        submitters_min: Option<u32>,
        /// How many epochs without a fault it takes until the fast regime may come back.
        #[arg(long, value_name = "N")]
        clean_epochs: Option<u32>,
        /// How far a proposal's time may lie from a voter's clock.
        #[arg(long, value_name = "MS")]
        clock_bound_ms: Option<u64>,
        /// The shortest delay that an account may give to those who recover it.
        #[arg(long, value_name = "MS")]
        recovery_delay_min_ms: Option<u64>,
    },
    /// Says from which epoch on nodes must execute as this version does.
    Announce {
        /// The version.
        version: u32,
        /// The first epoch of it.
        #[arg(long, value_name = "EPOCH")]
        from_epoch: u64,
    },
}

impl Asked {
    /// The change as it is proposed.
    pub(super) async fn change(self, client: &Client) -> Result<Change> {
        Ok(match self {
            Self::Admit { file } => MemberFile::load(&file)?.admission(&client.chain_id())?,
            Self::Promote { key } => Change::Promote { key: parse_key(&key)? },
            Self::Remove { key } => Change::Remove { key: parse_key(&key)? },
            Self::Rotate { file } => RotationFile::load(&file)?.change()?,
            Self::SetSubmitter { key, role, block_entries_max } => {
                let key = parse_key(&key)?;
                Change::SetSubmitter(Submitter { key, role: parse_role(&role)?, block_entries_max })
            }
            Self::RemoveSubmitter { key } => Change::RemoveSubmitter { key: parse_key(&key)? },
            Self::SetKeeper { file } => KeeperFile::load(&file)?.change(&client.chain_id())?,
            Self::RemoveKeeper { name } => keeper::removal(&name),
            Self::Announce { version, from_epoch } => Change::Announce { version, from_epoch },
            Self::Configure {
                mode,
                skipped_views_min,
                submitters_min,
                clean_epochs,
                clock_bound_ms,
                recovery_delay_min_ms,
            } => {
                let present = present(client).await?;
                let mode = mode.map(|mode| parse_mode(&mode)).transpose()?;
                Change::Configure(Configuration {
                    version: present.version.saturating_add(1),
                    mode: mode.unwrap_or(present.mode),
                    skipped_views_min: skipped_views_min.unwrap_or(present.skipped_views_min),
                    submitters_min: submitters_min.unwrap_or(present.submitters_min),
                    clean_epochs: clean_epochs.unwrap_or(present.clean_epochs),
                    clock_bound_ms: clock_bound_ms.unwrap_or(present.clock_bound_ms),
                    recovery_delay_min_ms: recovery_delay_min_ms.unwrap_or(present.recovery_delay_min_ms),
                })
            }
        })
    }
}

/// The configuration in force, proven.
pub(super) async fn present(client: &Client) -> Result<Configuration> {
    if let Some(value) = read(client, &config_key()).await? {
        return Configuration::decode(&value).map_err(|error| broken(&error));
    }
    let parameters = read(client, &parameters_key()).await?.unwrap_or_default();
    let parameters = Parameters::decode(&parameters).map_err(|error| broken(&error))?;
    Ok(Configuration::initial(parameters.clock_bound_ms))
}

fn parse_mode(name: &str) -> Result<RegimeMode> {
    RegimeMode::from_name(name)
        .ok_or_else(|| Failure::usage(format!("`{name}` is no mode"), "choose auto, fast or strict"))
}

pub(crate) fn parse_role(name: &str) -> Result<Role> {
    [Role::Service, Role::Keeper, Role::Operator]
        .into_iter()
        .find(|role| role.name() == name)
        .ok_or_else(|| Failure::usage(format!("`{name}` is no role"), "choose service, keeper or operator"))
}

/// What a change does, for those who are to approve it.
pub(super) fn describe(change: &Change) -> String {
    match change {
        Change::Admit { member, .. } => {
            format!("admit `{}` {} at {}, {}", member.name, hex::encode(member.key), member.peer, member.rpc)
        }
        Change::Promote { key } => format!("make {} a validator", hex::encode(key)),
        Change::Remove { key } => format!("remove {}", hex::encode(key)),
        Change::Rotate { old, new, .. } => {
            format!("put {} in the place of {}", hex::encode(new), hex::encode(old))
        }
        Change::SetSubmitter(submitter) => format!(
            "let {} submit as {}, {} entries a block",
            hex::encode(submitter.key),
            submitter.role.name(),
            submitter.block_entries_max
        ),
        Change::RemoveSubmitter { key } => format!("let {} submit no longer", hex::encode(key)),
        Change::Configure(configuration) => format!(
            "configuration {}: regime {}, skipped views {}, submitters {}, clean epochs {}, clock bound {} ms, recovery delay {} ms or more",
            configuration.version,
            configuration.mode.name(),
            configuration.skipped_views_min,
            configuration.submitters_min,
            configuration.clean_epochs,
            configuration.clock_bound_ms,
            configuration.recovery_delay_min_ms
        ),
        Change::Announce { version, from_epoch } => {
            format!("execute as version {version} from epoch {from_epoch} on")
        }
        Change::SetKeeper { keeper, .. } => format!(
            "let `{}` keep shares with the key {}, shares sealed to {}, at {}",
            keeper.name,
            hex::encode(keeper.key),
            hex::encode(keeper.hpke_key),
            keeper.rpc
        ),
        Change::RemoveKeeper { id } => format!("let the keeper {} keep shares no longer", hex::encode(id)),
    }
}
