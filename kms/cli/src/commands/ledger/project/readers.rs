//! Readers: their roles and logins, the guard at work, and what they asked, anchored on the ledger.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyward_audit::Relinker;
use keyward_ledger_client::Committer;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::{Entry, UseGrant};
use keyward_projection::{Bounds, Credentials, Database, Feed, Guard, ReaderError, Seen, Segment};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::source::Source;
use super::{Project, refused};
use crate::commands::Context;
use crate::commands::audit::{load_grant_file, refused as not_looked_at};
use crate::commands::ledger::{failed, submitter_seed};
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::moment::now_ms;
use crate::output::Output;

/// How often the guard looks.
const LOOK: Duration = Duration::from_millis(250);
/// Segments that are cut before some are handed in; looks come between.
const CUTS: usize = 1024;

/// Who reads, and what is kept up to date for them.
pub(super) struct Readers {
    pub(super) roles: Vec<String>,
    pub(super) feeds: Vec<Feed>,
}

impl Readers {
    pub(super) const fn none() -> Self {
        Self { roles: Vec::new(), feeds: Vec::new() }
    }
}

impl Project {
    /// Makes the server fit for readers, and the roles that are not there yet.
    pub(super) async fn readers(
        &self,
        context: &Context,
        database: &mut Database,
        trust: &[u8],
    ) -> Result<Readers> {
        database.harden().await.map_err(|error| refused(&error))?;
        let mut readers = Readers::none();
        for path in &self.grants {
            let relinker = relinker(path, trust)?;
            let grant = &relinker.granted().grant;
            let (id, expires_ms) = (grant.id, grant.expires_ms);
            if expires_ms <= now_ms() {
                let what = format!("the grant of `{}` has expired", path.display());
                let mut failure = Failure::refused(what, "ask for another one (`keyward audit request`)");
                failure.code = Some("GRANT_EXPIRED".to_owned());
                return Err(failure);
            }
            if readers.feeds.iter().any(|feed: &Feed| *feed.grant_id() == id) {
                return Err(Failure::usage(
                    "one grant is named twice",
                    "name each grant once, by its newest file",
                ));
            }
            let role = self.role(context, database, Some((id, expires_ms))).await?;
            readers.feeds.push(Feed::new(role.clone(), relinker));
            readers.roles.push(role);
        }
        if self.reader {
            readers.roles.push(self.role(context, database, None).await?);
        }
        Ok(readers)
    }

    async fn role(
        &self,
        context: &Context,
        database: &mut Database,
        grant: Option<([u8; 32], u64)>,
    ) -> Result<String> {
        let mut made = None;
        let keep = |credentials: &Credentials| {
            let path = self.logins.join(&credentials.role);
            let text = login(&self.database, credentials);
            files::write(&path, text.as_bytes(), Access::Secret).map(|()| made = Some(path)).map_err(Kept)
        };
        let bounds: Bounds = self.bounds();
        let role = database.reader(grant, &bounds, now_ms(), keep).await.map_err(|error| match error {
            ReaderError::Projection(error) => refused(&error),
            ReaderError::Keep(Kept(failure)) => failure,
        })?;
        let whose = match grant {
            Some((id, _)) => format!("the grant {}", hex::encode(id)),
            None => "the ledger's records".to_owned(),
        };
        let words = match &made {
            Some(path) => {
                format!("reader {role} of {whose}: made; its login is in `{}`, once", path.display())
            }
            None => format!("reader {role} of {whose}: there already"),
        };
        let json = json!({ "role": role, "grant": grant.map(|(id, _)| hex::encode(id)), "login": made });
        context.output.answer(words, &json);
        Ok(role)
    }
}

/// A login that could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Kept(Failure);

fn relinker(path: &Path, trust: &[u8]) -> Result<Relinker> {
    Relinker::new(load_grant_file(path)?, trust).map_err(|error| not_looked_at(&error))
}

/// What psql, JDBC and Python take; user and password apart, as hosts and names differ from where one stands.
fn login(database: &str, credentials: &Credentials) -> Zeroizing<String> {
    let name = database.split('?').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    Zeroizing::new(format!(
        "# a reader of a Keyward projection; psql \"host=HOST dbname={name} user={} sslmode=verify-full\"\n\
         user={}\npassword={}\ndbname={name}\n",
        credentials.role, credentials.role, *credentials.password
    ))
}

/// Has the guard look until it cannot; the answer is why.
pub(super) fn watch(guard: Arc<Mutex<Guard>>, output: Output) -> JoinHandle<Failure> {
    tokio::spawn(async move {
        loop {
            let seen = guard.lock().await.look(now_ms()).await;
            match seen {
                Ok(seen) => say(output, &seen),
                Err(error) => return refused(&error),
            }
            tokio::time::sleep(LOOK).await;
        }
    })
}

/// Tells people what the guard did.
pub(super) fn say(output: Output, seen: &[Seen]) {
    for one in seen {
        output.note(match one {
            Seen::Cancelled { role } => format!("reader {role}: a query took too long and was cancelled"),
            Seen::Ended { role } => {
                format!("reader {role}: a session took too long or held its role, and was ended")
            }
            Seen::Long { role } => {
                format!("reader {role}: a statement was too long for the log; its sessions were ended")
            }
            Seen::Flooded { role } => {
                format!("reader {role}: had more logged than it may in an hour; shut until that is over")
            }
            Seen::Restored { role } => {
                format!("reader {role}: had changed its own settings; they are as before")
            }
            Seen::Staying { role } => {
                format!("reader {role}: a session does not end yet; it is shown no rows, and told again")
            }
            Seen::Failed { role, logins } => {
                format!("reader {role}: {logins} logins with its name failed within an hour")
            }
            Seen::Unread { lines } => {
                format!("{lines} lines of the server's log do not parse; up to a MiB an hour is kept")
            }
            Seen::Closed { role, because } => format!("reader {role}: closed, as its grant is {because}"),
        });
    }
}

/// Hands in what readers asked, where the profile has a submitter's key.
pub(super) struct Anchor(Option<Committer>);

impl Anchor {
    pub(super) const fn none() -> Self {
        Self(None)
    }

    pub(super) async fn of(context: &Context, source: &Source) -> Result<Self> {
        let Some(client) = source.client() else { return Ok(Self(None)) };
        let profile = context.profile()?;
        if profile.file.submitter_key.is_none() {
            return Ok(Self(None));
        }
        let seed = submitter_seed(&profile)?;
        let committer = Committer::start(client.clone(), SigningKey::from_seed(&seed)).await;
        Ok(Self(Some(committer.map_err(|error| failed("cannot write to the ledger", &error))?)))
    }

    /// Each segment once; that its record is final, the projection itself sees.
    pub(super) async fn hand_in(&mut self, context: &Context, guard: &Mutex<Guard>) -> Result<()> {
        for _ in 0..CUTS {
            if !guard.lock().await.cut().await.map_err(|error| refused(&error))? {
                break;
            }
        }
        let segments = guard.lock().await.segments().await.map_err(|error| refused(&error))?;
        let Some(committer) = &self.0 else { return Ok(()) };
        for segment in segments {
            let Segment { grant_id, what, count, .. } = segment;
            let used = Entry::UseGrant(UseGrant { grant: grant_id, what, count });
            match committer.commit(&used).await {
                Ok(recorded) if recorded.outcome.is_accepted() => {}
                Ok(recorded) => {
                    let why = recorded.outcome.name();
                    context.output.note(format!("the ledger refuses a query log of {}: {why}", segment.role));
                    let mut guard = guard.lock().await;
                    guard.refused(&segment, why).await.map_err(|error| refused(&error))?;
                }
                // It waits in the database for the next time.
                Err(error) => context.output.note(format!("a query log is not handed in yet: {error}")),
            }
        }
        Ok(())
    }
}
