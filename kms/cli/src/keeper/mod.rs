//! The keeper beside a validator: in its process and on its port, and never in its way.
//!
//! It begins once the validator answers, for it asks the ledger there. A keeper that cannot begin, or breaks, is an alarm
//! of the validator's and is tried again; calls are told to come later as long as it is away.

mod gate;
mod own;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use keyward_keeper::{Keeper, Peers, Validators};
use keyward_ledger_client::{Client, Committer};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::keeper::keeper_id;
use keyward_ledger_core::state::keeper::{KeeperState, keeper_key};
use keyward_ledger_node::Beside;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::commands::ledger::failed;
use crate::config::keeper::{KeeperKey, KeeperSection, PublicKeys, keys, public_keys};
use crate::config::node::NodeConfig;
use crate::failure::{Exit, Failure, Result};
use gate::{Answering, routes};

/// The pause before a keeper is tried again.
const PAUSE: Duration = Duration::from_secs(5);
/// The pause between two looks at its place on the ledger.
const LOOK: Duration = Duration::from_secs(30);
/// How long a ledger that does not answer yet is no alarm: validators that start together need each other.
const PATIENCE: Duration = Duration::from_secs(60);

/// A keeper that runs, or will.
#[derive(Debug)]
pub(crate) struct Keeping {
    task: JoinHandle<()>,
}

/// The keeper that a configuration names: what its validator serves for it, where the validator's address goes once it
/// answers, and the keeper's end.
pub(crate) struct Started {
    pub(crate) beside: Beside,
    pub(crate) serves: Option<oneshot::Sender<SocketAddr>>,
    pub(crate) keeping: Option<Keeping>,
}

/// Prepares the keeper of a configuration that was opened; nothing without one.
pub(crate) fn start(config: &NodeConfig, file: &Path) -> Started {
    start_with(config, file, (PAUSE, LOOK))
}

fn start_with(config: &NodeConfig, file: &Path, (pause, look): (Duration, Duration)) -> Started {
    let Some(section) = config.keeper.clone() else {
        return Started { beside: Beside::default(), serves: None, keeping: None };
    };
    let (gate, answering) = watch::channel(None);
    let (trouble, heard) = watch::channel(None);
    let (serves, address) = oneshot::channel();
    let desk = Desk { config: config.clone(), file: file.to_owned(), section, pause, look, gate, trouble };
    let task = tokio::spawn(async move {
        if let Ok(address) = address.await {
            desk.run(address).await;
        }
    });
    let beside = Beside { routes: routes(&answering), trouble: Some(heard) };
    Started { beside, serves: Some(serves), keeping: Some(Keeping { task }) }
}

impl Keeping {
    /// Ends what the keeper does by itself. What it keeps is on disk; calls that are open end with the validator's.
    pub(crate) async fn end(self) {
        self.task.abort();
        let _cancelled = self.task.await;
    }
}

/// Refuses a section whose keys do not open.
pub(crate) fn check(config: &NodeConfig, file: &Path) -> Result<Option<PublicKeys>> {
    let Some(section) = &config.keeper else { return Ok(None) };
    section.check()?;
    keys(&|key| config.keeper_seed(file, key))?;
    public_keys(&|key| config.keeper_seed(file, key)).map(Some)
}

/// Where a keeper is begun, watched, and begun again.
struct Desk {
    config: NodeConfig,
    file: PathBuf,
    section: KeeperSection,
    pause: Duration,
    look: Duration,
    gate: watch::Sender<Option<Answering>>,
    trouble: watch::Sender<Option<String>>,
}

impl Desk {
    async fn run(self, address: SocketAddr) {
        let began = Instant::now();
        loop {
            match self.begin(address).await {
                Ok((keeper, client, keys)) => {
                    tracing::info!(name = self.section.name, "the keeper answers");
                    self.gate.send_replace(Some(Answering::of(&keeper)));
                    self.say(None);
                    let broken = self.watch(keeper, &client, &keys).await;
                    self.gate.send_replace(None);
                    self.say(Some(broken));
                }
                Err(failure) => {
                    tracing::warn!(name = self.section.name, %failure, "the keeper does not run");
                    if failure.exit != Exit::Unreachable || began.elapsed() > PATIENCE {
                        self.say(Some(failure));
                    }
                }
            }
            tokio::time::sleep(self.pause).await;
        }
    }

    /// What the validator's alarms are to say; the same words again are no news.
    fn say(&self, trouble: Option<Failure>) {
        let name = &self.section.name;
        let words = |failure: Failure| format!("keeper `{name}`: {}; {}", failure.message(), failure.next);
        let trouble = trouble.map(words);
        self.trouble.send_if_modified(|said| {
            let news = *said != trouble;
            *said = trouble;
            news
        });
    }

    /// Opens keys and shares, and asks the validator for the ledger.
    async fn begin(&self, address: SocketAddr) -> Result<(Keeper, Client, PublicKeys)> {
        let seed = |key| self.config.keeper_seed(&self.file, key);
        let (keys, public) = (keys(&seed)?, public_keys(&seed)?);
        let submitter = SigningKey::from_seed(&*seed(KeeperKey::Signing)?);
        let client = own::client(&self.config, &self.file, address).await?;
        let committer = match Committer::start(client.clone(), submitter).await {
            Ok(committer) => committer,
            // Most likely nobody took it in yet: that says more than that its key is unknown.
            Err(error) => {
                return Err(match self.place(&client, &public).await {
                    Ok(Some(wrong)) => wrong,
                    _ => failed("cannot ask the ledger", &error),
                });
            }
        };
        let folder = self.config.keeper_folder(&self.file, &self.section);
        let ledger = Arc::new(Validators::new(client.clone(), committer));
        let name = self.section.name.clone();
        let opened = tokio::task::spawn_blocking(move || Keeper::open(&name, keys, &folder, ledger)).await;
        let broken = |error: &(dyn std::error::Error + 'static)| {
            Failure::refused("its shares cannot be opened", "mend the folder; it is tried again")
                .because(error)
        };
        let keeper = opened.map_err(|error| broken(&error))?.map_err(|error| broken(&error))?;
        keeper.join(Arc::new(Peers::new(own::identity(&self.config, &self.file)?)), self.section.refresh());
        if let Some(seconds) = self.section.trial_refresh_s {
            tracing::warn!(seconds, "shares are dealt anew for trials: recoveries fail more often");
        }
        Ok((keeper, client, public))
    }

    /// Lets the keeper look after its shares, and looks after its place on the ledger; returns why it must begin
    /// again.
    async fn watch(&self, keeper: Keeper, client: &Client, keys: &PublicKeys) -> Failure {
        // A task of its own: what breaks in it does not end this one.
        let mut tending = tokio::task::JoinSet::new();
        let tended = keeper.clone();
        tending.spawn(async move { tended.tend().await });
        tokio::select! {
            _ended = tending.join_next() => Failure::refused("it broke and is begun again", "read the log"),
            changed = self.look(&keeper, client, keys) => changed,
        }
    }

    /// Says again and again whether the ledger has the keeper with the keys that it runs with, and whether vaults wait;
    /// returns once it has it with
    /// others, and those lie here: that is how its keys are changed.
    async fn look(&self, keeper: &Keeper, client: &Client, keys: &PublicKeys) -> Failure {
        let mut answered = Instant::now();
        loop {
            match self.place(client, keys).await {
                Ok(place) => {
                    answered = Instant::now();
                    if place.is_some() && self.other_keys_lie_here(keys) {
                        return Failure::refused(
                            "its keys were changed; it begins with the new ones",
                            "wait a moment",
                        );
                    }
                    self.say(place.or_else(|| keeper.trouble().map(waiting)));
                }
                // Away for a moment is no alarm.
                Err(failure) if failure.exit != Exit::Unreachable || answered.elapsed() > PATIENCE => {
                    self.say(Some(failure));
                }
                Err(_away) => {}
            }
            tokio::time::sleep(self.look).await;
        }
    }

    /// Whether the files hold other keys than the keeper runs with. Those that do not open are `KEY_DAMAGED`.
    fn other_keys_lie_here(&self, keys: &PublicKeys) -> bool {
        public_keys(&|key| self.config.keeper_seed(&self.file, key)).is_ok_and(|here| here != *keys)
    }

    /// What is wrong with the keeper's place on the ledger, if anything.
    async fn place(&self, client: &Client, keys: &PublicKeys) -> Result<Option<Failure>> {
        let key = keeper_key(&keeper_id(&self.section.name));
        let state = client.state(&key).await.map_err(|error| failed("cannot ask the ledger", &error))?;
        let known = state.value.as_deref().map(KeeperState::decode).transpose().map_err(|error| {
            Failure::refused("the ledger's state does not read", "use a newer program").because(&error)
        })?;
        Ok(standing(known.as_ref(), keys))
    }
}

/// Vaults that wait for other keepers.
fn waiting(trouble: String) -> Failure {
    let next = "start the keeper that fails, or have the members take it out (`keyward ledger member propose remove-keeper`): \
                then the others go on without it";
    Failure::refused(trouble, next)
}

/// A keeper that the ledger does not have as it is here.
fn standing(known: Option<&KeeperState>, ours: &PublicKeys) -> Option<Failure> {
    let wrong = match known.filter(|known| known.present) {
        Some(known) if (known.keeper.key, known.keeper.hpke_key) == (ours.signing, ours.sealing) => {
            return None;
        }
        Some(_) => "it has other keys on the ledger than here, so nobody can seal to it",
        None => "it is no keeper on the ledger, so nobody can seal to it",
    };
    let next = "write its file (`keyward ledger member keeper`) and have the members take it in (`keyward ledger member propose \
                set-keeper`)";
    Some(Failure::refused(wrong, next))
}
