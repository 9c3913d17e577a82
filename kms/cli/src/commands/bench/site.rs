//! Where is measured: a Keyward of our own in a temporary folder, or one that runs.

use std::path::{Path, PathBuf};

use super::cpu::{self, Process, Usage};
use crate::commands::{Context, ledger};
use crate::failure::{Failure, Result};
use crate::local::cluster::Cluster;
use crate::local::layout::Layout;
use crate::local::state::Wanted;
use crate::output::Output;
use crate::profile::{self, Profile};
use keyward_ledger_client::Client;

/// A running Keyward.
pub(super) struct Site {
    output: Output,
    place: Place,
    processes: Vec<Process>,
    /// For what the ledger says of itself.
    ledger: Option<Client>,
}

enum Place {
    /// Ours: ended and removed afterwards.
    Own { root: PathBuf, wanted: Wanted, cluster: Option<Box<Cluster>> },
    /// The folder of a running `keyward up`.
    Folder(PathBuf),
    /// Wherever a profile leads to.
    Profile(Box<Profile>),
}

impl Site {
    /// Chooses: a folder, else a profile, else one of our own.
    pub(super) fn choose(context: &Context, dir: Option<&Path>, wanted: Wanted) -> Result<Self> {
        let own = dir.is_none() && context.profile.is_none();
        if !own && (wanted.servers.is_some() || wanted.database.is_some()) {
            let next = "leave `--servers` and `--database` to the `keyward up` that runs";
            return Err(Failure::usage("what is measured runs already", next));
        }
        let place = match dir {
            Some(dir) => Place::Folder(dir.to_path_buf()),
            None if context.profile.is_some() => Place::Profile(Box::new(context.profile()?)),
            None => Place::Own { root: temporary_folder()?, wanted, cluster: None },
        };
        Ok(Self { output: context.output, place, processes: Vec::new(), ledger: None })
    }

    /// Starts our own Keyward, if it is to be one, and finds the processes.
    pub(super) async fn start(&mut self) -> Result<()> {
        let output = self.output;
        if let Place::Own { root, wanted, cluster } = &mut self.place {
            let cluster = cluster.insert(Box::new(Cluster::open(root, wanted.clone(), output)?));
            cluster.start().await?;
        }
        self.processes = self.root().map(|root| cpu::processes(&root)).unwrap_or_default();
        self.ledger = Some(ledger::connect(&self.profile("app")?).await?);
        Ok(())
    }

    /// Ends what is ours; its folder stays only when something went wrong.
    pub(super) async fn close(self, well: bool) {
        let Place::Own { root, cluster, .. } = self.place else { return };
        if let Some(mut cluster) = cluster {
            cluster.stop().await;
        }
        if !well {
            self.output.note(format!("  what ran lies in `{}`", root.display()));
        } else if let Err(error) = std::fs::remove_dir_all(&root) {
            self.output.note(format!("  `{}` cannot be removed: {error}", root.display()));
        }
    }

    /// The profile of a role: the chosen one, or the one beside it.
    pub(super) fn profile(&self, role: &str) -> Result<Profile> {
        let folder = match &self.place {
            Place::Profile(profile) if profile.file.role == role => return Ok(Profile::clone(profile)),
            Place::Profile(profile) => profile.folder.join("..").join(format!("local-{role}")),
            Place::Folder(root) | Place::Own { root, .. } => layout(root)?.profile(role),
        };
        Profile::read(&folder.join(profile::FILE))
    }

    /// The Keyward that we started ourselves.
    pub(super) fn own(&mut self) -> Result<&mut Cluster> {
        match &mut self.place {
            Place::Own { cluster: Some(cluster), .. } => Ok(cluster),
            _ => Err(Failure::usage("what is measured is not ours to stop", "measure a Keyward of its own")),
        }
    }

    /// CPU time used so far.
    pub(super) fn usage(&self) -> Usage {
        cpu::usage(&self.processes)
    }

    /// Whether the processes run here, so that their CPU time is known.
    pub(super) fn is_local(&self) -> bool {
        !self.processes.is_empty()
    }

    /// Records and height, as a node says; zeroes when none answers.
    pub(super) async fn ledger_size(&self) -> (u64, u64) {
        let Some(ledger) = &self.ledger else { return (0, 0) };
        ledger.status().await.map(|status| (status.log_size, status.height)).unwrap_or_default()
    }

    /// How many validators the ledger began with.
    pub(super) fn validators(&self) -> usize {
        self.ledger.as_ref().map_or(0, |ledger| ledger.genesis().set().len())
    }

    fn root(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Own { root, .. } | Place::Folder(root) => Some(root.clone()),
            Place::Profile(profile) => {
                let root = profile.folder.join("../..");
                layout(&root).ok().filter(|layout| layout.state().is_file()).map(|_| root)
            }
        }
    }
}

fn layout(root: &Path) -> Result<Layout> {
    Layout::new(root).map_err(|error| {
        Failure::usage(format!("`{}` is no path", root.display()), "give another `--dir`").because(&error)
    })
}

/// A folder of one measurement alone, which goes with it.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn make() -> Result<Self> {
        let path = temporary_folder()?;
        crate::files::make_folder(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "a temporary folder stays");
        }
    }
}

/// A name in the system's temporary folder that nobody has.
fn temporary_folder() -> Result<PathBuf> {
    let random = crate::sealed::random32()?;
    let name = hex::encode(random.iter().copied().take(8).collect::<Vec<_>>());
    Ok(std::env::temp_dir().join(format!("keyward-bench-{name}")))
}
