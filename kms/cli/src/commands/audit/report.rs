//! `keyward audit relink`, `report` and `export`: what a grant opens in a ledger's export, without the service and, if one is named, without any network.

use std::path::{Path, PathBuf};

use keyward_audit::Report;
use keyward_ledger_core::block::Block;
use keyward_ledger_verify::records;
use keyward_projection::{ProjectionError, SqliteFile};
use serde_json::json;

use super::offline::{Found, Looked, Offline};
use crate::commands::Context;
use crate::commands::ledger::folder::verdict;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::output::aside;

/// Shows it.
#[derive(Debug, clap::Args)]
pub(super) struct Relink {
    #[command(flatten)]
    looked: Looked,
}

/// Writes a folder: a page, JSON and CSV, and a receipt of every record in them.
#[derive(Debug, clap::Args)]
pub(super) struct Write {
    #[command(flatten)]
    looked: Looked,
    /// The folder: empty, or to be made.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// Writes one format, with the receipts beside it.
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    #[command(flatten)]
    looked: Looked,
    /// What is written.
    #[arg(long, value_enum)]
    format: Format,
    /// The folder: empty, or to be made.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Everything, for programs.
    Json,
    /// A line for each transaction and payment, for spreadsheets.
    Csv,
    /// A page for people, which needs nothing else.
    Html,
    /// A database of exactly these rows, for questions in SQL.
    Sqlite,
}

impl Relink {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let found = self.looked.offline(context).await?.find(context)?;
        let report = Report::new(&found.relinked, &found.history);
        context.output.answer(report.text(), &report.json());
        Ok(())
    }
}

impl Write {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        write(
            context,
            &self.looked.offline(context).await?,
            &self.out,
            &[Format::Json, Format::Csv, Format::Html],
        )
    }
}

impl Export {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        write(context, &self.looked.offline(context).await?, &self.out, &[self.format])
    }
}

fn write(context: &Context, offline: &Offline, out: &Path, formats: &[Format]) -> Result<()> {
    let place = place(out)?;
    let found = offline.find(context)?;
    // What is written links an account and its addresses: the folder is its owner's alone.
    let making = Making::begin(&place)?;
    let folder = &making.beside;
    files::make_folder(&folder.join("receipts"))?;
    let receipts = offline.write_receipts(context, &found, folder)?;
    if usize::try_from(receipts) != Ok(found.relinked.places().len()) {
        return Err(changed());
    }
    let mut names = Vec::new();
    for format in formats {
        names.push(format.write(offline, &found, folder)?);
    }
    making.finish(&place)?;
    let report = Report::new(&found.relinked, &found.history);
    let words = format!(
        "{}\nwritten to {}: {} and {receipts} receipts; check each with `keyward verify --trust FILE RECEIPT`",
        report.text().lines().next().unwrap_or_default(),
        out.display(),
        names.join(", "),
    );
    let json = json!({
        "folder": out.display().to_string(), "files": names, "receipts": receipts,
        "complete": found.relinked.is_complete(), "whole": found.relinked.is_whole(),
        "lying": found.relinked.lying(),
        "transactions": found.relinked.transactions.len(), "payments": found.relinked.payments.len(),
    });
    context.output.answer(words, &json);
    Ok(())
}

/// Where a report will lie; a folder in which something lies is refused.
fn place(out: &Path) -> Result<PathBuf> {
    if !out.exists() {
        return Ok(out.to_owned());
    }
    let cannot = |error: std::io::Error| {
        let what = format!("cannot look into `{}`", out.display());
        Failure::usage(what, "choose an empty folder, or one to be made").because(&error)
    };
    if std::fs::read_dir(out).map_err(cannot)?.next().is_some() {
        let what = format!("`{}` is not empty", out.display());
        return Err(Failure::usage(what, "choose an empty folder: reports are never mixed"));
    }
    out.canonicalize().map_err(cannot)
}

fn changed() -> Failure {
    verdict("EXPORT_CHANGED", "the export was changed while it was read")
}

/// A report in the making, beside its place: one that fails half-way leaves nothing there.
struct Making {
    beside: PathBuf,
}

impl Making {
    fn begin(place: &Path) -> Result<Self> {
        let beside = files::beside(place);
        files::fresh(&beside, "reports")?;
        files::make_folder(&beside)?;
        Ok(Self { beside })
    }

    fn finish(self, place: &Path) -> Result<()> {
        std::fs::rename(&self.beside, place).map_err(|error| {
            let what = format!("cannot make the folder `{}`", place.display());
            Failure::refused(what, "choose another folder").because(&error)
        })
    }
}

impl Drop for Making {
    /// Where it has taken its place, nothing is here any more.
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.beside)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            aside(&format!("keyward: `{}` is left, remove it: {error}", self.beside.display()));
        }
    }
}

impl Format {
    /// Writes it, and gives the file's name.
    fn write(self, offline: &Offline, found: &Found, folder: &Path) -> Result<&'static str> {
        let report = Report::new(&found.relinked, &found.history);
        let (name, text) = match self {
            Self::Json => ("report.json", report.json().to_string()),
            Self::Csv => ("report.csv", report.csv()),
            Self::Html => ("report.html", report.html()),
            Self::Sqlite => return write_sqlite(offline, found, folder),
        };
        files::write(&folder.join(name), text.as_bytes(), Access::Secret)?;
        Ok(name)
    }
}

/// Writes the rows, and the records that they speak of in a second pass over the export.
fn write_sqlite(offline: &Offline, found: &Found, folder: &Path) -> Result<&'static str> {
    let name = "grant.sqlite";
    let path = folder.join(name);
    files::write(&path, b"", Access::Secret)?;
    let runtime = tokio::runtime::Handle::current();
    let cannot = |error: ProjectionError| {
        // There is no database yet that anybody could have changed.
        if matches!(error, ProjectionError::Changed { .. }) {
            return changed();
        }
        let mut failure = Failure::refused("the rows cannot be written", error.remedy()).because(&error);
        failure.code = Some(error.code().to_owned());
        failure
    };
    tokio::task::block_in_place(|| {
        let mut file = runtime.block_on(SqliteFile::begin(&path, &found.relinked)).map_err(cannot)?;
        offline.again(|proven| {
            let block = Block::decode(&proven.block).map_err(|error| changed().because(&error))?;
            for (leaf_index, record) in records(&block, proven) {
                runtime.block_on(file.offer(leaf_index, &record)).map_err(cannot)?;
            }
            Ok(())
        })?;
        runtime.block_on(file.finish()).map_err(cannot)?;
        Ok(name)
    })
}
