//! The guard: ends what takes too long, keeps roles as they were made, closes those whose time is over, reads the log.
//!
//! A role may lift its own time-out and change its own settings and password; nothing stops that but somebody who looks.
//! Logging in works only while the guard looks, and rows are shown: it lends each role a few minutes of the one, seconds of the other.

use std::collections::{BTreeMap, BTreeSet};

use keyward_ledger_core::hash::Hash;
use keyward_store::PostgresServer;
use sqlx::PgConnection;

use crate::ProjectionError;
use crate::connect::connect;
use crate::flood::Floods;
use crate::lease::{self, Watchdog};
use crate::log::{self, Segment};
use crate::readers::{Bounds, Reader, open_readers, remove, shut, terminate};
use crate::reading::{self, Reading};
use crate::seen::Seen;
use crate::upkeep::{end_overdue, end_sessions, is_as_made, lend, restore};

/// How often logins are lent anew.
const RENEW_MS: u64 = 30_000;
/// When that is tried again for a role that its own sessions were changing.
const RETRY_MS: u64 = 5_000;
/// How the guard talks to the server: it waits for nobody's lock longer than this, as a reader can hold that of its own role.
const BRIEF: &str = "SET lock_timeout = 1000; SET lc_messages = 'C'";
/// Steps of reading the log that a look takes at most, so that what else it does need not wait.
const STEPS: u32 = 4;

/// Looks after the readers, on a connection of its own.
#[derive(Debug)]
pub struct Guard {
    server: PostgresServer,
    connection: PgConnection,
    bounds: Bounds,
    /// Who may log in.
    served: Vec<String>,
    lend_at_ms: u64,
    /// Roles that are to be closed, and why; it may take more than one look.
    closing: BTreeMap<String, &'static str>,
    /// Roles that are to be shut and whose sessions do not end: later looks try again.
    staying: BTreeSet<String>,
    /// What was seen and is not told yet.
    seen: Vec<Seen>,
    watchdog: Watchdog,
    floods: Floods,
    reading: Reading,
}

impl Guard {
    /// Of a database that was made fit for readers. These roles may log in from the first look on; others that there are
    /// stay shut.
    pub async fn new(
        server: &PostgresServer,
        bounds: Bounds,
        served: Vec<String>,
    ) -> Result<Self, ProjectionError> {
        let mut guard = Self {
            server: server.clone(),
            connection: connect_briefly(server).await?,
            bounds,
            served: Vec::new(),
            lend_at_ms: 0,
            closing: BTreeMap::new(),
            staying: BTreeSet::new(),
            seen: Vec::new(),
            watchdog: Watchdog::default(),
            floods: Floods::default(),
            reading: Reading::default(),
        };
        for reader in open_readers(&mut guard.connection).await? {
            if !served.contains(&reader.role) {
                guard.shut(&reader.role).await?;
            }
        }
        // Last: until here the earlier one's looks after what it left.
        Watchdog::end_others(&mut guard.connection).await?;
        guard.served = served;
        Ok(guard)
    }

    /// From now on these roles may log in: what the ledger says of their grants is known. One look.
    pub async fn serve(&mut self, served: Vec<String>, now_ms: u64) -> Result<Vec<Seen>, ProjectionError> {
        (self.served, self.lend_at_ms) = (served, 0);
        self.look(now_ms).await
    }

    /// One look; several a second are meant. What goes wrong with one role keeps it from no other.
    pub async fn look(&mut self, now_ms: u64) -> Result<Vec<Seen>, ProjectionError> {
        let lends = self.floods.forget(self.bounds.hour_bytes, now_ms) || now_ms >= self.lend_at_ms;
        self.renew().await?;
        let mut seen = end_overdue(&mut self.connection, &self.bounds).await?;
        let readers = open_readers(&mut self.connection).await?;
        if lends {
            self.lend_at_ms = now_ms.saturating_add(RENEW_MS);
        }
        let mut failed = None;
        for reader in &readers {
            match self.look_at(reader, lends, now_ms).await {
                Ok(found) => seen.extend(found),
                // Its own sessions are changing it: they end, and a later look tries again.
                Err(error) if error.is_collision() => {
                    if terminate(&mut self.connection, &reader.role).await? > 0 {
                        seen.push(Seen::Ended { role: reader.role.clone() });
                    }
                    if lends {
                        self.lend_at_ms = now_ms.saturating_add(RETRY_MS);
                    }
                    // Waiting for it took a while.
                    self.renew().await?;
                    seen.extend(end_overdue(&mut self.connection, &self.bounds).await?);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        self.reading.read(&mut self.connection, STEPS).await?;
        let lines = std::mem::take(&mut self.reading.unread);
        seen.extend((lines > 0).then_some(Seen::Unread { lines }));
        seen.extend(self.weigh(&readers, now_ms).await?);
        seen.extend(reading::hour(&mut self.connection, Some(now_ms)).await?);
        seen.append(&mut self.seen);
        failed.map_or(Ok(seen), Err)
    }

    /// Renews the leases of those whose rows are shown.
    async fn renew(&mut self) -> Result<(), ProjectionError> {
        let most = self.bounds.hour_bytes;
        let shown = |role: &&String| {
            let shuts = self.closing.contains_key(*role) || self.staying.contains(*role);
            !shuts && !self.floods.is_over(role, most)
        };
        let roles: Vec<String> = self.served.iter().filter(shown).cloned().collect();
        if roles.is_empty() {
            return Ok(());
        }
        self.watchdog.keep(&self.server).await?;
        lease::renew(&mut self.connection, &roles, &self.bounds).await
    }

    /// What was logged since the last look: a statement that is too long costs its role the sessions, too much in an hour all until it
    /// is over.
    async fn weigh(&mut self, readers: &[Reader], now_ms: u64) -> Result<Vec<Seen>, ProjectionError> {
        let (mut seen, most) = (Vec::new(), self.bounds.hour_bytes);
        for (role, logged) in std::mem::take(&mut self.reading.logged) {
            if !readers.iter().any(|reader| reader.role == role) {
                continue;
            }
            if self.floods.add(&role, logged.bytes, most, now_ms) {
                self.shut(&role).await?;
                seen.push(Seen::Flooded { role });
            } else if logged.longest > self.bounds.statement_bytes
                && terminate(&mut self.connection, &role).await? > 0
            {
                seen.push(Seen::Long { role });
            }
        }
        Ok(seen)
    }

    async fn look_at(
        &mut self,
        reader: &Reader,
        lends: bool,
        now_ms: u64,
    ) -> Result<Option<Seen>, ProjectionError> {
        let expired = reader.expires_ms.is_some_and(|expires| expires <= now_ms);
        let because = if expired { Some("expired") } else { self.closing.get(&reader.role).copied() };
        if let Some(because) = because {
            return self.close_role(&reader.role, now_ms, because).await;
        }
        if self.staying.contains(&reader.role) {
            if !self.shut(&reader.role).await? {
                return Ok(None);
            }
            self.lend_at_ms = 0;
        }
        let restored = match is_as_made(&mut self.connection, reader, &self.bounds).await? {
            true => None,
            false => Some(restore(&mut self.connection, reader, &self.bounds).await?),
        };
        let flooded = self.floods.is_over(&reader.role, self.bounds.hour_bytes);
        if lends && !flooded && self.served.contains(&reader.role) {
            lend(&mut self.connection, reader).await?;
        }
        Ok(restored)
    }

    /// Shuts a role; whether it is. Else later looks try again: it may take the sessions a while, which holds up nobody else.
    async fn shut(&mut self, role: &str) -> Result<bool, ProjectionError> {
        self.renew().await?;
        let again = self.staying.contains(role);
        let is_shut = shut(&mut self.connection, role, again).await?;
        if is_shut {
            self.staying.remove(role);
        } else if self.staying.insert(role.to_owned()) {
            self.seen.push(Seen::Staying { role: role.to_owned() });
        }
        // It may have taken a while.
        self.renew().await?;
        Ok(is_shut)
    }

    /// Closes the role of a grant, if it has one; later looks go on with it where that takes longer.
    pub async fn close_grant(
        &mut self,
        grant_id: &Hash,
        now_ms: u64,
        because: &'static str,
    ) -> Result<Vec<Seen>, ProjectionError> {
        let mut seen = Vec::new();
        for reader in open_readers(&mut self.connection).await? {
            if reader.grant_id.as_ref() == Some(grant_id) {
                self.closing.insert(reader.role.clone(), because);
                match self.close_role(&reader.role, now_ms, because).await {
                    Ok(closed) => seen.extend(closed),
                    Err(error) if error.is_collision() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        seen.append(&mut self.seen);
        Ok(seen)
    }

    /// Cuts one segment of a role that has lines in none; whether there was one. Called until there is none, it lets looks come
    /// between.
    pub async fn cut(&mut self) -> Result<bool, ProjectionError> {
        log::cut(&mut self.connection).await
    }

    /// Query logs that were cut and are not anchored yet.
    pub async fn segments(&mut self) -> Result<Vec<Segment>, ProjectionError> {
        log::waiting(&mut self.connection).await
    }

    /// Keeps why the ledger did not take a segment, so that it is not handed in for ever.
    pub async fn refused(&mut self, segment: &Segment, why: &str) -> Result<(), ProjectionError> {
        log::refused(&mut self.connection, segment, why).await
    }

    /// Lets nobody log in any more, and ends all sessions: nobody looks from now on. Those that do not end at once do so when
    /// PostgreSQL comes to it.
    pub async fn leave(&mut self) -> Result<Vec<Seen>, ProjectionError> {
        self.served.clear();
        // First of all, and anew where this connection is no good any more.
        if end_sessions(&mut self.connection).await.is_err() {
            self.connection = connect_briefly(&self.server).await?;
            end_sessions(&mut self.connection).await?;
        }
        let mut failed = None;
        for reader in open_readers(&mut self.connection).await? {
            if let Err(error) = self.shut(&reader.role).await {
                failed = failed.or(Some(error));
            }
        }
        self.reading.read(&mut self.connection, u32::MAX).await?;
        self.seen.extend(reading::hour(&mut self.connection, None).await?);
        while self.cut().await? {}
        failed.map_or(Ok(std::mem::take(&mut self.seen)), Err)
    }

    /// What it did last is read before it is gone. Nothing yet where its sessions go on.
    async fn close_role(
        &mut self,
        role: &str,
        now_ms: u64,
        because: &'static str,
    ) -> Result<Option<Seen>, ProjectionError> {
        if !self.shut(role).await? {
            return Ok(None);
        }
        self.reading.read(&mut self.connection, STEPS).await?;
        remove(&mut self.connection, role, now_ms, because).await?;
        Ok(Some(Seen::Closed { role: role.to_owned(), because }))
    }
}

async fn connect_briefly(server: &PostgresServer) -> Result<PgConnection, ProjectionError> {
    let mut connection = connect(server).await?;
    sqlx::raw_sql(BRIEF).execute(&mut connection).await?;
    Ok(connection)
}
