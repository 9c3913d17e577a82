//! `keyward ledger project`: a PostgreSQL database that follows the ledger, for people who ask in SQL.
//!
//! What goes in was verified before; who may read what, `kms/projection` holds. Readers may log in only while this runs.

mod anchor;
mod grants;
mod readers;
mod source;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keyward_ledger_core::trust::Trust;
use keyward_projection::{Archive, Bounds, Database, Guard, Ledger, ProjectionError, Projector};
use keyward_store::PostgresServer;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::anchor::{Anchor, waiting};
use self::grants::GrantFiles;
use self::readers::{Readers, say, watch};
use self::source::{Next, Source};
use crate::commands::Context;
use crate::commands::database::DatabaseArguments;
use crate::failure::{Failure, Result};
use crate::moment::now_ms;

/// How long blocks gather while more come without a pause.
const TICK: Duration = Duration::from_millis(500);
/// How often what readers asked is handed in to the ledger.
const ANCHOR: Duration = Duration::from_secs(60);
/// How long that may hold up blocks; then it goes on after those that came meanwhile.
const TURN: Duration = Duration::from_secs(2);

/// Into which database, from where, for whom.
#[derive(Debug, clap::Args)]
pub(super) struct Project {
    #[command(flatten)]
    database: DatabaseArguments,
    /// A grant file, or its folder, whose rows a reader of its own sees, and what is opened into it later too; repeatable. Needs a
    /// server of the projection's own, as superuser.
    #[arg(long = "grant", value_name = "FILE")]
    grants: Vec<PathBuf>,
    /// Keeps a reader of the ledger's records too, for the supervised's own people.
    #[arg(long)]
    reader: bool,
    /// Where the logins of readers are written when they are made, for your eyes only.
    #[arg(long, value_name = "DIR", default_value = "keyward-readers")]
    logins: PathBuf,
    /// The profile whose submitter's key hands in to the ledger what readers asked; nothing else of it is used [default: the one in use, if
    /// it names such a key].
    #[arg(long, value_name = "PROFILE", conflicts_with = "export")]
    submitter: Option<String>,
    /// Projects this export of a ledger, instead of what the profile's nodes serve.
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
    /// The trust file [default: the profile's].
    #[arg(long, value_name = "FILE", requires = "export")]
    trust: Option<PathBuf>,
    /// Writes what readers of grants asked into files of this folder too, each before its hash is handed in to the ledger.
    #[arg(long, value_name = "DIR")]
    query_log: Option<PathBuf>,
    /// Ends when everything is in, and lets no reader log in.
    #[arg(long)]
    once: bool,
    /// How long a reader's query may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    query_seconds: u64,
    /// How many MiB of the server's log a reader may fill in an hour; then it is shut until that is over.
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=65536))]
    log_mib: u64,
}

/// Who is served, and what they are shown.
struct Served {
    guard: Option<Arc<Mutex<Guard>>>,
    roles: Vec<String>,
    grant_files: GrantFiles,
}

impl Project {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let server = self.database.server()?;
        let source = Source::open(context, self.export.as_deref(), self.trust.as_deref()).await?;
        let (grant_files, grants) = GrantFiles::open(&self.grants, source.trust())?;
        let anchor = Anchor::of(context, &source, self.submitter.as_deref()).await?;
        let ledger = Ledger { chain_id: source.trust().chain_id, name: source.trust().name.clone() };
        let mut database = Database::open(&server, ledger).await.map_err(|error| refused(&error))?;
        let readers = match grants.is_empty() && !self.reader {
            true => Readers::none(),
            false => self.readers(context, &mut database, grants).await?,
        };
        // Those of an earlier run too: their time may be over, and what they asked may wait.
        let had_readers = database.has_readers().await.map_err(|error| refused(&error))?;
        let guard = match had_readers {
            false => None,
            true => Some(self.guard(&server).await?),
        };
        let all = database.leaves();
        let progress = context.output.progress("reading back what is there", 0, all);
        let projector = Projector::begin(database, readers.feeds, |leaves| progress.reach(leaves)).await;
        drop(progress);
        let mut projector = projector.map_err(|error| refused(&error))?;
        let served = Served { guard: guard.clone(), roles: readers.roles, grant_files };
        let done = self.follow(context, source, anchor, &mut projector, served).await;
        if let (Err(_), Some(guard)) = (&done, &guard) {
            // Nobody looks after readers from here on; if this fails too, what nobody renews runs out.
            let _unreached = guard.lock().await.leave().await.is_err();
        }
        done
    }

    fn bounds(&self) -> Bounds {
        let (query, hour_bytes) = (Duration::from_secs(self.query_seconds), self.log_mib << 20);
        Bounds { query, hour_bytes, ..Bounds::default() }
    }

    /// Where query logs are kept beside the database.
    async fn archive(&self) -> Result<Option<Archive>> {
        let Some(folder) = &self.query_log else { return Ok(None) };
        let archive = Archive::open(&self.database.server()?, folder).await;
        archive.map(Some).map_err(|error| refused(&error))
    }

    /// Nobody may log in yet: a revocation may be on the ledger that is not in the database.
    async fn guard(&self, server: &PostgresServer) -> Result<Arc<Mutex<Guard>>> {
        let guard = Guard::new(server, self.bounds(), Vec::new()).await;
        Ok(Arc::new(Mutex::new(guard.map_err(|error| refused(&error))?)))
    }

    async fn follow(
        &self,
        context: &Context,
        source: Source,
        mut anchor: Anchor,
        projector: &mut Projector,
        Served { guard, roles, mut grant_files }: Served,
    ) -> Result<()> {
        let guard = guard.as_ref();
        if let Some(guard) = guard {
            close_revoked(context, projector, guard).await?;
            anchor.keep_in(self.archive().await?);
            let asked = !self.once && !self.grants.is_empty();
            anchor.tell(context, asked || !waiting(guard).await?.is_empty(), self.export.is_some());
        }
        let trust = source.trust().clone();
        let mut blocks = source.blocks(context, projector.from_height()).await?;
        let mut watching = guard.map(|guard| watch(Arc::clone(guard), context.output));
        let (mut tick, mut due, mut told) = (interval(TICK), Instant::now() + ANCHOR, false);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ends = Box::pin(crate::signals::end());
        loop {
            let next = tokio::select! {
                biased;
                () = &mut ends => break,
                failure = ended(&mut watching) => return Err(failure),
                _ = tick.tick() => None,
                next = blocks.next(), if !blocks.is_over() => Some(next?),
            };
            match next {
                Some(Next::Block(block)) => {
                    projector.push(&block).await.map_err(|error| refused(&error))?;
                    continue;
                }
                // A pause, or the end of an export.
                Some(Next::Over) | None => {}
            }
            let up_to_date = blocks.is_up_to_date(projector.height());
            if up_to_date && (!told || self.once) {
                projector.finish().await.map_err(|error| refused(&error))?;
            } else {
                projector.flush().await.map_err(|error| refused(&error))?;
            }
            if up_to_date && !told {
                holds_grants(projector, &trust)?;
            }
            if let Some(guard) = guard {
                close_revoked(context, projector, guard).await?;
                // With `--once` nobody may log in, as nobody will look after them.
                if up_to_date && !told && !self.once {
                    let seen = guard.lock().await.serve(roles.clone(), now_ms()).await;
                    say(context.output, &seen.map_err(|error| refused(&error))?);
                }
                if due <= Instant::now() || up_to_date && !told {
                    let all = anchor.hand_in(context, guard, Some(TURN)).await?;
                    due = Instant::now() + if all { ANCHOR } else { Duration::ZERO };
                }
            }
            if up_to_date && !told {
                told = true;
                tell(context, projector);
            }
            if up_to_date && self.once {
                break;
            }
            if told {
                grant_files.follow(context.output, projector).await?;
            }
        }
        projector.finish().await.map_err(|error| refused(&error))?;
        if let Some(guard) = guard {
            let seen = guard.lock().await.leave().await;
            say(context.output, &seen.map_err(|error| refused(&error))?);
            anchor.hand_in(context, guard, None).await?;
        }
        Ok(())
    }
}

/// Ends the readers of grants that were revoked meanwhile.
async fn close_revoked(context: &Context, projector: &mut Projector, guard: &Mutex<Guard>) -> Result<()> {
    for grant in projector.take_revoked() {
        let mut guard = guard.lock().await;
        let seen = guard.close_grant(&grant, now_ms(), "revoked").await.map_err(|error| refused(&error))?;
        say(context.output, &seen);
    }
    Ok(())
}

/// Whether the log that was projected holds what grant files show. Under a trust file that pins a block it must: their receipts
/// were verified without that pin.
fn holds_grants(projector: &Projector, trust: &Trust) -> Result<()> {
    if trust.checkpoint.is_none() || !projector.lacks_records_of_grants() {
        return Ok(());
    }
    let what =
        "the ledger that is projected does not hold a grant's own records, and the trust file pins a block";
    let next = "project the ledger up to now, or give a trust file that pins none";
    let mut failure = Failure::refused(what, next);
    failure.code = Some("GRANT_OUTSIDE_EXPORT".to_owned());
    Err(failure)
}

/// Why the guard ended, if there is one.
async fn ended(watching: &mut Option<tokio::task::JoinHandle<Failure>>) -> Failure {
    match watching {
        Some(watching) => watching.await.unwrap_or_else(|error| {
            Failure::refused("the guard of the readers ended", "tell us about this").because(&error)
        }),
        None => std::future::pending().await,
    }
}

fn tell(context: &Context, projector: &Projector) {
    let (height, leaves) = (projector.height(), projector.leaves());
    let words = format!("projected up to height {height}: {leaves} records");
    context.output.answer(words, &json!({ "height": height, "records": leaves }));
}

fn refused(error: &ProjectionError) -> Failure {
    told("the ledger is not projected", error)
}

/// What the projection says, in the words of the command line.
pub(crate) fn told(what: &str, error: &ProjectionError) -> Failure {
    let mut failure = match error {
        ProjectionError::Unreachable(_) => Failure::unreachable(what, error.remedy()),
        _ => Failure::refused(what, error.remedy()),
    };
    failure = failure.because(error);
    failure.code = Some(error.code().to_owned());
    failure
}
