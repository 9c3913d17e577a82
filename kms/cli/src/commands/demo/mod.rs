//! `keyward demo`: the whole story on one machine, each step shown.

mod artefacts;
mod ending;
mod faults;
mod keys;
mod life;
mod softhsm;
mod story;

use std::path::{Path, PathBuf};

use super::Context;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::local::cluster::Cluster;
use crate::local::layout::DEMO_FOLDER;
use crate::local::state::Wanted;

/// Lies in folders that a demo made, so that the next one may make them anew.
const MARKER: &str = "made-by-keyward-demo";
const SAMPLE: &[u8] = include_bytes!("../../../../../demo/pain.001.xml");
const SAMPLE_NAME: &str = "pain.001.xml";

#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// A fresh folder for everything that is made; the folder of an earlier demo is made anew.
    #[arg(long, value_name = "DIR", default_value = DEMO_FOLDER)]
    dir: PathBuf,
    /// The file to sign [default: a sample ISO 20022 payment].
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Demo {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let (name, message) = self.message()?;
        make_folder(&self.dir)?;
        context
            .output
            .note("Keyward's demo: everything on this machine, NON-PRODUCTION, nothing to be set up.");
        let mut cluster = Cluster::open(&self.dir, Wanted::default(), context.output)?;
        files::write(&cluster.layout.root().join(MARKER), b"", Access::Public)?;
        let path = cluster.layout.root().join("signed").join(name);
        files::write(&path, &message, Access::Public)?;
        let told = tokio::select! {
            told = story::tell(&mut cluster, context.output, &path, &message) => told,
            () = crate::signals::end() => {
                Err(Failure::refused("the demo was interrupted", "start it again: it makes its folder anew"))
            }
        };
        cluster.stop().await;
        let (words, json) = told?;
        context.output.answer(words, &json);
        Ok(())
    }

    /// The file's name and bytes.
    fn message(&self) -> Result<(String, Vec<u8>)> {
        let Some(path) = &self.file else { return Ok((SAMPLE_NAME.to_owned(), SAMPLE.to_vec())) };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let message = files::read(path)?;
        if message.len() > keyward_domain::payload::MESSAGE_LEN_MAX {
            let what = format!("`{}` is longer than 1 MiB", path.display());
            return Err(Failure::usage(what, "choose a shorter file: ed25519 signs whole messages only"));
        }
        Ok((name, message))
    }
}

/// Leaves nothing of an earlier demo; a folder of anything else is refused, never removed.
fn make_folder(folder: &Path) -> Result<()> {
    let holds_something = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if !holds_something {
        return Ok(());
    }
    if !folder.join(MARKER).is_file() {
        let what = format!("`{}` is a folder of something else", folder.display());
        return Err(Failure::usage(what, "give a fresh folder with `--dir`"));
    }
    // Locked while a demo runs in it; the lock is let go before everything is removed.
    drop(crate::local::state::lock(&crate::local::layout::Layout::new(folder).map_err(|error| {
        Failure::usage(format!("`{}` is no path", folder.display()), "give another `--dir`").because(&error)
    })?)?);
    std::fs::remove_dir_all(folder).map_err(|error| {
        let what = format!("cannot remove the earlier demo in `{}`", folder.display());
        Failure::refused(what, "remove it yourself, or give another `--dir`").because(&error)
    })
}
