//! Waiting for others to sign: their consents are picked up from a folder as they come in, and each is told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyward_client::vault::{Asked, ConsentError, VaultError};
use keyward_client::{Petition, party_words};

use super::enter::Entered;
use super::{Context, named};
use crate::commands::key::life::parse_wait;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};

/// How often the folder is looked at.
const STEP: Duration = Duration::from_millis(500);
/// Files that are looked at in one folder, and how long one may be: an entry in hex.
const FILES_MAX: usize = 256;
const FILE_BYTES_MAX: u64 = 16 << 10;
/// A session that ends meanwhile would hand nothing in.
const BEFORE_SESSION_ENDS: Duration = Duration::from_secs(60);

/// Where others are asked, and how long.
#[derive(Debug, clap::Args)]
pub(super) struct Others {
    /// For a vault that others have to sign for: writes the request for them here, and waits. Nothing in it is secret; each of
    /// them signs it with `keyward vault consent`. What is secret of it is nowhere but in this process: who ends it begins anew.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// The folder where consents are put; without it, `FILE.consents`.
    #[arg(long, value_name = "FOLDER", requires = "request")]
    consents: Option<PathBuf>,
    /// How long to wait for them, as `30m`; at most as long as the login counts.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_wait)]
    wait: u64,
}

impl Others {
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.request.iter()
    }

    /// Whether others can be waited for.
    pub(super) const fn are_asked(&self) -> bool {
        self.request.is_some()
    }

    /// Writes the request and waits until enough have signed; no guess is spent meanwhile.
    pub(super) async fn wait(&self, context: &Context, entered: &Entered, asked: &mut Asked) -> Result<()> {
        let Some(request) = self.request.as_ref().filter(|_| asked.missing() > 0) else { return Ok(()) };
        let folder = self.consents.clone().unwrap_or_else(|| beside(request));
        files::make_folder(&folder)?;
        files::write(request, asked.petition().to_text().as_bytes(), Access::Public)?;
        let patience = self.patience(entered);
        context.output.note(format!(
            "others have to sign: {} of those whom `keyward vault status` names\n  request      `{}`\n  fingerprint  {} (read it \
             out to them, by voice)\n  consents     into `{}`\n  waiting      {} minutes at most; nothing is spent, and who ends \
             this begins anew",
            asked.missing(),
            request.display(),
            asked.petition().fingerprint(),
            folder.display(),
            patience.as_secs().div_ceil(60),
        ));
        let (until, mut seen) = (Instant::now() + patience, BTreeSet::new());
        while asked.missing() > 0 {
            if Instant::now() >= until {
                return Err(too_few(asked));
            }
            look(context, entered, asked, &folder, &mut seen).await?;
            tokio::time::sleep(STEP).await;
        }
        Ok(())
    }

    fn patience(&self, entered: &Entered) -> Duration {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let session = Duration::from_millis(entered.login.session.expires_unix_ms);
        let left = session.saturating_sub(now).saturating_sub(BEFORE_SESSION_ENDS);
        Duration::from_millis(self.wait).min(left)
    }
}

fn beside(request: &Path) -> PathBuf {
    let mut name = request.file_name().unwrap_or_default().to_owned();
    name.push(".consents");
    request.with_file_name(name)
}

fn too_few(asked: &Asked) -> Failure {
    let what = format!("{} of those who have to sign have not, and the time is over", asked.missing());
    let next = "no guess was spent; begin again with a new request, and a longer `--wait` if it is needed";
    named(Failure::refused(what, next), "AUTHORS_MISSING")
}

/// Takes what is new in the folder. What is refused is told by its file, and costs nothing.
async fn look(
    context: &Context,
    entered: &Entered,
    asked: &mut Asked,
    folder: &Path,
    seen: &mut BTreeSet<(PathBuf, Vec<u8>)>,
) -> Result<()> {
    for path in listed(folder)? {
        // A file that goes while it is looked at is none.
        let Ok(bytes) = files::read(&path) else { continue };
        if !seen.insert((path.clone(), bytes.clone())) {
            continue;
        }
        let text = String::from_utf8_lossy(&bytes);
        let taken = match Petition::parse(&text) {
            Ok(petition) => entered.client.take_consent(asked, &petition).await,
            Err(error) => Err(error.into()),
        };
        match taken {
            Ok(parties) => {
                let who: Vec<_> = parties.into_iter().map(party_words).collect();
                context.output.note(format!("  {} signed; {} to go", who.join(", "), asked.missing()));
            }
            // Nothing was said of the consent: it is looked at again.
            Err(ConsentError::Vault(VaultError::Client(error))) if error.retryable() => {
                seen.remove(&(path, bytes));
            }
            Err(error) => {
                let code = error.code().map(|code| format!(" [{code}]")).unwrap_or_default();
                let file = path.display();
                context.output.note(format!(
                    "  `{file}` is not taken{code}: {error}; no guess is spent; {}",
                    error.remedy().unwrap_or("try again")
                ));
            }
        }
    }
    Ok(())
}

/// The files of the folder, in the order of their names; those that are still being written begin with a dot or end in `.new`.
fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        let what = format!("cannot read the folder `{}`", folder.display());
        Failure::refused(what, "check the path and its permissions").because(&error)
    })?;
    let done = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let small = path.metadata().is_ok_and(|found| found.is_file() && found.len() <= FILE_BYTES_MAX);
        small && !name.starts_with('.') && !name.ends_with(".new")
    };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(done).collect();
    paths.sort();
    paths.truncate(FILES_MAX);
    Ok(paths)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn only_short_files_that_are_written_to_their_end_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b", "a", ".hidden", "c.77.new"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        std::fs::write(folder.path().join("long"), vec![b'x'; 17 << 10]).unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        let listed = listed(folder.path()).unwrap();
        assert_eq!(listed, [folder.path().join("a"), folder.path().join("b")]);
    }

    #[test]
    fn consents_are_looked_for_beside_the_request() {
        assert_eq!(beside(Path::new("a/ask")), Path::new("a/ask.consents"));
    }
}
