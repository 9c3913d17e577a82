//! The grant file: read, gone on with under the trust file, or begun with what the ledger has of the grant.

use std::path::{Path, PathBuf};
use std::time::Duration;

use keyward_audit::{GRANT_FILE_BYTES_MAX, GrantFile};
use keyward_client::audit::{Grant, ShownGrant};
use keyward_ledger_client::{Client, FOUND_MAX, Recorded};
use keyward_ledger_core::entry::{Act, AuditAct, Authored, Entry, kind};
use keyward_ledger_core::question::Question;

use super::refused;
use crate::commands::ledger::failed;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};

/// What it is called in its folder.
pub(super) const FILE: &str = "grant";
/// Beside it, locked while it is gone on with.
pub(super) const LOCK: &str = "grant.lock";
/// The most approvals that it holds.
const APPROVALS_MAX: usize = 64;
/// How long a look-up that is behind is waited for, and how often.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSES_MAX: u32 = 25;

/// Reads one, or the one in a folder. It opens what was granted to whoever reads it: one that others may read is refused.
pub(crate) fn load(path: &Path) -> Result<GrantFile> {
    let bytes = files::read_secret_within(&place(path), GRANT_FILE_BYTES_MAX)?;
    GrantFile::decode(&bytes).map_err(|error| refused(&error.into()))
}

/// Where the file itself lies.
pub(crate) fn place(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(FILE) } else { path.to_owned() }
}

/// Reads one back; it must be of this grant.
pub(super) fn read(path: &Path, trust: &Path, grant: &Grant) -> Result<GrantFile> {
    let next = "name another folder, or remove the file: what it holds is opened anew (`--first`)";
    let what = format!("`{}` cannot be gone on with", path.display());
    let file = load(path)?;
    let granted = file.check(&files::read(trust)?);
    let granted = granted.map_err(|error| Failure::refused(&what, next).because(&error))?;
    if granted.grant != *grant {
        return Err(Failure::refused(format!("`{}` is of another grant", path.display()), next));
    }
    Ok(file)
}

/// Writes it whole, for our eyes only.
pub(super) fn write(path: &Path, file: &GrantFile) -> Result<()> {
    file.encode().expose(|bytes| files::write(path, bytes, Access::Secret))
}

/// A new one: the receipts of the request, of the case in which it was approved and of the issue, by the nodes.
pub(super) async fn gathered(ledger: &Client, shown: &ShownGrant, purpose: String) -> Result<GrantFile> {
    let state = &shown.state;
    if state.issued_leaf == 0 {
        let next = "have it issued first (`keyward audit issue`)";
        let refused = Failure::refused("the grant was not issued", next);
        return Err(Failure { code: Some("GRANT_STATE".to_owned()), ..refused });
    }
    let request = record(ledger, state.requested_leaf).await?;
    let issue = record(ledger, state.issued_leaf).await?;
    let approvals = match case_of(&issue) {
        Some(case) => approvals(ledger, (&state.grant.payload(), &case), issue.height).await?,
        None => Vec::new(),
    };
    Ok(GrantFile {
        chain_id: ledger.chain_id(),
        purpose,
        request: request.receipt(None),
        approvals,
        issue: issue.receipt(None),
        openings: Vec::new(),
    })
}

async fn record(ledger: &Client, leaf_index: u64) -> Result<Recorded> {
    let found = ledger.record(leaf_index).await;
    found.map_err(|error| failed("cannot get the grant's records", &error))
}

fn case_of(issue: &Recorded) -> Option<[u8; 32]> {
    match Entry::decode(&issue.record().entry).ok()? {
        Entry::Authored(Authored { act: Act::Audit(AuditAct::Issue { case, .. }), .. }) => Some(case),
        _ => None,
    }
}

/// The receipts of the case's opening and of its approvals, by ascending place; all stand below a height. A node's look-up may be a
/// moment behind.
async fn approvals(
    ledger: &Client,
    (payload, case): (&[u8; 32], &[u8; 32]),
    height: u64,
) -> Result<Vec<Vec<u8>>> {
    let (mut found, mut pauses) = (Vec::new(), 0..PAUSES_MAX);
    for wanted in [kind::OPEN_APPROVAL, kind::APPROVE] {
        let question = Question { kind: Some(wanted), subject: Some(*payload), ..Question::default() };
        let mut from_leaf = 0;
        loop {
            let page = ledger.find(&question, from_leaf, FOUND_MAX).await;
            let page = page.map_err(|error| failed("cannot look up the grant's approvals", &error))?;
            found.extend(page.records.into_iter().filter(|recorded| is_of(recorded, case)));
            from_leaf = page.next_leaf;
            if page.more {
                continue;
            }
            if page.complete_to >= height || pauses.next().is_none() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    found.sort_by_key(|recorded| recorded.leaf_index);
    Ok(found.iter().take(APPROVALS_MAX).map(|recorded| recorded.receipt(None)).collect())
}

/// Whether a record has opened the case, or approves in it.
fn is_of(recorded: &Recorded, case: &[u8; 32]) -> bool {
    let Ok(Entry::Authored(Authored { act, .. })) = Entry::decode(&recorded.record().entry) else {
        return false;
    };
    recorded.outcome.is_accepted()
        && match act {
            Act::OpenApproval { .. } => recorded.outcome.data == case,
            Act::Approve { case: of, .. } => of.id == *case,
            _ => false,
        }
}
