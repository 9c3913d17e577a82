//! What readers asked, handed in to the ledger: each segment of the query log becomes an entry.

use std::collections::BTreeSet;
use std::time::Duration;

use keyward_ledger_client::{Client, Committer};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{Entry, UseGrant};
use keyward_ledger_core::genesis::Role;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::state::layout::{SubmitterState, submitter_key};
use keyward_projection::{Archive, Guard, Segment, Unfiled};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::refused;
use super::source::Source;
use crate::commands::Context;
use crate::commands::ledger::{failed, submitter_seed};
use crate::failure::{Failure, Result};
use crate::moment::now_ms;
use crate::output::Output;
use crate::profile::Profile;

/// Whoever hands in, if there is a submitter's key for it, and the files that are written before, if a folder is named.
pub(super) struct Anchor {
    committer: Option<Committer>,
    archive: Option<Archive>,
    /// Segments that are final on the ledger, and that the projection has not seen there yet.
    handed: BTreeSet<Hash>,
}

impl Anchor {
    /// By the key of the named profile, or of the one in use; over the connection that blocks come from. An export takes nothing.
    pub(super) async fn of(context: &Context, source: &Source, named: Option<&str>) -> Result<Self> {
        let nobody = Self { committer: None, archive: None, handed: BTreeSet::new() };
        let Some(client) = source.client() else { return Ok(nobody) };
        let profile = match named {
            Some(_) => Profile::find(named)?,
            None => context.profile()?,
        };
        if named.is_none() && profile.file.submitter_key.is_none() {
            return Ok(nobody);
        }
        let key = SigningKey::from_seed(&*submitter_seed(&profile)?);
        may_hand_in(client, &key.public_key()).await?;
        let committer = Committer::start(client.clone(), key).await;
        let committer = committer.map_err(|error| failed("cannot write to the ledger", &error))?;
        Ok(Self { committer: Some(committer), ..nobody })
    }

    /// From now on only what lies in a file is handed in.
    pub(super) fn keep_in(&mut self, archive: Option<Archive>) {
        self.archive = archive;
    }

    /// Says so where queries are logged and nobody hands them in.
    pub(super) fn tell(&self, context: &Context, some: bool, of_export: bool) {
        if self.committer.is_some() || !some {
            return;
        }
        let next = match of_export {
            true => "an export takes no entries: project the ledger's nodes (`--submitter PROFILE`)",
            false => {
                "give the profile that names a submitter's key (`--submitter local-operator` for `keyward up`)"
            }
        };
        context.output.note(format!(
            "what readers of grants ask is logged and hashed, and not anchored on the ledger: {next}; the ledger takes it until an \
             hour after a grant's end"
        ));
    }

    /// Each segment once, after its file; that its record is final, the projection itself sees. Whether all was tried that there is:
    /// after a turn of this length others have theirs, as blocks may revoke what is being asked.
    pub(super) async fn hand_in(
        &mut self,
        context: &Context,
        guard: &Mutex<Guard>,
        turn: Option<Duration>,
    ) -> Result<bool> {
        let until = turn.map(|turn| Instant::now() + turn);
        let is_over = || until.is_some_and(|until| until <= Instant::now());
        while guard.lock().await.cut().await.map_err(|error| refused(&error))? {
            if is_over() {
                return Ok(false);
            }
        }
        while let Some(archive) = &mut self.archive {
            let filed = archive.file(now_ms()).await.map_err(|error| refused(&error))?;
            filed.unfiled.iter().for_each(|unfiled| not_filed(context.output, unfiled));
            if !filed.more {
                break;
            }
            if is_over() {
                return Ok(false);
            }
        }
        let Some(committer) = &self.committer else { return Ok(true) };
        let segments = waiting(guard).await?;
        self.handed.retain(|what| segments.iter().any(|segment| segment.what == *what));
        for segment in segments {
            let is_ready = segment.filed || self.archive.is_none();
            if !is_ready || self.handed.contains(&segment.what) {
                continue;
            }
            if is_over() {
                return Ok(false);
            }
            let Segment { grant_id, what, count, .. } = segment;
            let used = Entry::UseGrant(UseGrant { grant: grant_id, what, count });
            match committer.commit(&used).await {
                Ok(recorded) if recorded.outcome.is_accepted() => {
                    self.handed.insert(what);
                }
                Ok(recorded) => {
                    let why = recorded.outcome.name();
                    context.output.note(format!("the ledger refuses a query log of {}: {why}", segment.role));
                    let mut guard = guard.lock().await;
                    guard.refused(&segment, why).await.map_err(|error| refused(&error))?;
                }
                // It waits in the database for the next time, and so do those after it.
                Err(error) => {
                    context.output.note(format!("query logs are not handed in yet: {error}"));
                    break;
                }
            }
        }
        Ok(true)
    }
}

/// Query logs that were cut and that no record anchors.
pub(super) async fn waiting(guard: &Mutex<Guard>) -> Result<Vec<Segment>> {
    guard.lock().await.segments().await.map_err(|error| refused(&error))
}

/// Whether the ledger takes query logs from a key. Looked at before: what the ledger refuses is never handed in again.
async fn may_hand_in(client: &Client, key: &[u8; 32]) -> Result<()> {
    let state = client.state(&submitter_key(key)).await;
    let state = state.map_err(|error| failed("cannot read the submitter's state", &error))?;
    let known = state.value.and_then(|value| SubmitterState::decode(&value).ok());
    let may = |known: SubmitterState| {
        known.block_entries_max > 0 && matches!(known.role, Role::Service | Role::Operator)
    };
    if known.is_some_and(may) {
        return Ok(());
    }
    let key = hex::encode(key);
    let what = format!("the ledger takes no query logs from the submitter {key}");
    let next = "have its members let the key in: `keyward ledger member propose .. set-submitter KEY --role operator`";
    let mut failure = Failure::refused(what, next);
    failure.code = Some("SUBMITTER_UNKNOWN".to_owned());
    Err(failure)
}

fn not_filed(output: Output, Unfiled { file, error }: &Unfiled) {
    let what = format!("the query log `{file}` is not written, and not handed in");
    let why = Failure::refused(what, "").because(error);
    output.note(format!("{why} [{}]; {}", error.code(), error.remedy()));
}
