//! A grant file and a ledger export under a trust file: what every look without the service begins with.

use std::path::{Path, PathBuf};

use keyward_audit::{AuditError, Receipts, Relinked, Relinker, Report};
use keyward_ledger_core::export::{Chunk, ChunkName, ProvenBlock};
use keyward_ledger_core::trust::Trust;
use keyward_ledger_verify::{Depth, HistoryVerdict, Verifier};

use super::file;
use crate::commands::Context;
use crate::commands::ledger::check::{check_export, trust};
use crate::commands::ledger::export::bring_up_to_date;
use crate::commands::ledger::folder::{Folder, verdict};
use crate::failure::{Failure, Result};
use crate::lock::Lock;

/// The profile's own export of the ledger, in its folder.
const OWN_EXPORT: &str = "ledger";

/// What is to be looked at.
#[derive(Debug, clap::Args)]
pub(super) struct Looked {
    /// The folder of a ledger's export (`keyward ledger export`) [default: `ledger` in the profile's folder, which is brought up to
    /// date by its nodes first].
    #[arg(value_name = "EXPORT")]
    export: Option<PathBuf>,
    /// The grant file, or the folder that `keyward audit open` keeps it in.
    #[arg(long, value_name = "FILE")]
    grant: PathBuf,
    /// The trust file [default: the profile's].
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Executes the export's blocks again, with every signature, as `keyward ledger check` does: slow. Without, outcomes are
    /// taken as a quorum of validators certified them.
    #[arg(long)]
    execute: bool,
}

impl Looked {
    /// With the export that it is looked for in. Only where none was named, the ledger's nodes are asked, and told nothing of the grant.
    pub(super) async fn offline(self, context: &Context) -> Result<Offline> {
        let Self { export, grant, trust, execute } = self;
        let (export, alone) = match export {
            Some(export) => (export, None),
            None => {
                let own = context.profile()?.path(Path::new(OWN_EXPORT));
                let alone = alone(&own)?;
                bring_up_to_date(context, &own).await?;
                (own, Some(alone))
            }
        };
        Ok(Offline { export, grant, trust, execute, _alone: alone })
    }
}

/// Keeps others from bringing the export on while it is looked at: two at once would write the same chunk of different lengths.
fn alone(export: &Path) -> Result<Lock> {
    Lock::take(&export.with_extension("lock"))?.ok_or_else(|| {
        let what = format!("another command looks at the profile's export `{}`", export.display());
        let failure = Failure::refused(what, "wait until it has ended, or name an export of your own");
        Failure { code: Some("EXPORT_BUSY".to_owned()), ..failure }
    })
}

/// What is looked at: files alone.
#[derive(Debug)]
pub(crate) struct Offline {
    export: PathBuf,
    grant: PathBuf,
    trust: Option<PathBuf>,
    execute: bool,
    /// Of the profile's own export, as long as it is looked at.
    _alone: Option<Lock>,
}

/// What was found, in which verified records.
pub(crate) struct Found {
    pub(crate) relinked: Relinked,
    pub(crate) history: HistoryVerdict,
    trust: Trust,
}

impl Offline {
    /// Of these files, without executing.
    pub(crate) const fn of(export: PathBuf, grant: PathBuf, trust: PathBuf) -> Self {
        Self { export, grant, trust: Some(trust), execute: false, _alone: None }
    }

    /// Checks grant file and export, and finds what the one opens in the other.
    pub(crate) fn find(&self, context: &Context) -> Result<Found> {
        let trust = trust(context, self.trust.as_deref())?;
        // Receipts are of any height; what a trust file pins is held against the export, and the export against them.
        let unpinned = Trust { checkpoint: None, ..trust.clone() };
        let relinker = Relinker::new(file::load(&self.grant)?, unpinned.encode().as_bytes());
        let mut relinker = relinker.map_err(|error| refused(&error))?;
        let depth = if self.execute { Depth::Execution } else { Depth::Chain };
        // What stops the audit is said once the export holds: before, it may be no fault of the grant's.
        let mut fed = Ok(());
        let history = check_export(context.output, &trust, &self.export, depth, |_, held| {
            if fed.is_ok() {
                fed = held.records.iter().try_for_each(|(leaf, record)| relinker.feed(*leaf, record));
            }
            Ok(())
        })?;
        fed.map_err(|error| refused(&error))?;
        if trust.checkpoint.is_some() && !relinker.unseen().is_empty() {
            let what = "the export does not hold the grant's own records, and the trust file pins a block";
            let mut failure =
                Failure::refused(what, "export the ledger up to now, or give a trust file that pins none");
            failure.code = Some("GRANT_OUTSIDE_EXPORT".to_owned());
            return Err(failure);
        }
        Ok(Found { relinked: relinker.relinked(), history, trust: unpinned })
    }

    /// Writes the receipt of everything that was found into the folder beside a report; each verifies with the trust file alone.
    pub(super) fn write_receipts(&self, context: &Context, found: &Found, folder: &Path) -> Result<u64> {
        let wanted = found.relinked.places();
        let manifest = Folder::at(&self.export).manifest()?;
        let genesis = Folder::at(&self.export).named_genesis(&manifest)?;
        let receipts = Receipts::new(&genesis, Folder::at(&self.export).named_links(&manifest)?);
        let verifier = Verifier::new(found.trust.encode().as_bytes());
        let verifier = verifier.map_err(|failure| crate::commands::verify::invalid(&failure))?;
        let progress = context.output.progress("writing receipts", 0, wanted.len() as u64);
        let mut written = 0;
        self.again(|proven| {
            let of_block = receipts.of(proven, |leaf_index| wanted.binary_search(&leaf_index).is_ok());
            for (leaf_index, receipt) in of_block.map_err(|error| {
                verdict("EXPORT_CHANGED", "the export was changed while it was read").because(&error)
            })? {
                verifier
                    .receipt(&receipt, None)
                    .map_err(|failure| crate::commands::verify::invalid(&failure))?;
                write_plain(&folder.join(Report::receipt_name(leaf_index)), &receipt)?;
                written += 1;
                progress.reach(written);
            }
            Ok(())
        })?;
        Ok(written)
    }

    /// Reads the export's blocks once more, by the hashes of its manifest.
    pub(super) fn again(&self, mut each: impl FnMut(&ProvenBlock) -> Result<()>) -> Result<()> {
        let folder = Folder::at(&self.export);
        for chunk in &folder.manifest()?.chunks {
            let bytes = folder.named(&ChunkName::file(chunk.first), &chunk.sha256)?;
            let malformed = |error| verdict("CHUNK_MALFORMED", "the export does not hold").because(&error);
            let mut blocks = Chunk::open(&bytes).map_err(malformed)?;
            while let Some(block) = blocks.block().map_err(malformed)? {
                each(&block)?;
            }
        }
        Ok(())
    }
}

/// What stops an audit, in the words of the command line.
pub(crate) fn refused(error: &AuditError) -> Failure {
    let mut failure = Failure::refused("the grant cannot be looked at", error.next()).because(error);
    failure.code = Some(error.code().to_owned());
    failure.verdict = true;
    failure
}

/// One of very many files: not waited for until it is on the disk.
fn write_plain(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|error| {
        Failure::refused(format!("cannot write `{}`", path.display()), "make room, or choose another folder")
            .because(&error)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn one_command_at_a_time_looks_at_the_profiles_own_export() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join(OWN_EXPORT);
        let first = alone(&own).unwrap();
        let second = alone(&own).unwrap_err();
        assert_eq!(second.code.as_deref(), Some("EXPORT_BUSY"));
        assert!(!own.exists(), "nothing is begun");
        drop(first);
        alone(&own).unwrap();
    }
}
