//! Readers: their grants, roles and logins, and the guard at work.

use std::sync::Arc;
use std::time::Duration;

use keyward_audit::Relinker;
use keyward_projection::{Bounds, Credentials, Database, Feed, Guard, ReaderError, Seen};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::{Project, refused};
use crate::commands::Context;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::moment::now_ms;
use crate::output::Output;

/// How often the guard looks.
const LOOK: Duration = Duration::from_millis(250);

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
        grants: Vec<Relinker>,
    ) -> Result<Readers> {
        database.harden().await.map_err(|error| refused(&error))?;
        let mut readers = Readers::none();
        for relinker in grants {
            let grant = &relinker.granted().grant;
            let role = self.role(context, database, Some((grant.id, grant.expires_ms))).await?;
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
            let text = login(&self.database.url, credentials);
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

/// What psql, JDBC and Python take; user and password apart, as hosts and names differ from where one stands.
fn login(database: &str, credentials: &Credentials) -> Zeroizing<String> {
    let name = database.split('?').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    Zeroizing::new(format!(
        "# a reader of a Keyward projection; psql \"host=HOST dbname={name} user={} sslmode=verify-full\"\n\
         # tables: \\dt; columns (in psql too, instead of \\d NAME): SELECT column_name, data_type FROM information_schema.columns \
         WHERE table_name = 'records'\n\
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
