//! The projector: keeps a database's records those of the ledger, a transaction for each run of blocks.
//!
//! Who calls verifies blocks; here their records are also held against the root of the log in each certified header,
//! from the first leaf on, those that an earlier run wrote included. A database that somebody wrote into is refused.

use keyward_audit::Relinker;
use keyward_ledger_core::entry::{Act, AuditAct, Entry, UseGrant, kind, kind_of};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::log::Frontier;
use keyward_ledger_core::record::Record;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::time::{Duration, Instant};

use crate::feed::Feed;
use crate::readers::hold_open;
use crate::renewal::Renewal;
use crate::table::{Row, Table};
use crate::tables::{RECORDS, SCHEMA, record_row};
use crate::{Database, ProjectionError, copy};

/// Records, and bytes of entries, that are gathered for one transaction; a block is never cut.
const ROWS: usize = 8192;
const BYTES: usize = 8 << 20;
/// How long the rows of grants rest between two times that they are written.
const GRANTS_PAUSE: Duration = Duration::from_secs(1);

/// A block that was verified.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its height.
    pub height: u64,
    /// Its time, in milliseconds since 1970.
    pub time_ms: u64,
    /// The size of the log after it.
    pub log_size: u64,
    /// The root of the log after it.
    pub log_root: Hash,
    /// Its records, in the order of the log.
    pub records: Vec<Record>,
}

/// Keeps a database up to date.
#[derive(Debug)]
pub struct Projector {
    database: Database,
    /// The log up to the last block that was pushed.
    log: Frontier,
    height: u64,
    time_ms: u64,
    feeds: Vec<Feed>,
    /// What takes the place of some of them once it has caught up.
    renewals: Vec<Renewal>,
    rows: Vec<Row>,
    bytes: usize,
    used: Vec<(UseGrant, u64)>,
    revoked: Vec<Hash>,
    /// When what the grants open may be written again.
    grants_due: Option<Instant>,
}

impl Projector {
    /// Reads back what the database holds, into the feeds of grants too, and says how far it got.
    pub async fn begin(
        mut database: Database,
        mut feeds: Vec<Feed>,
        mut progress: impl FnMut(u64),
    ) -> Result<Self, ProjectionError> {
        let (mut log, mut revoked) = (Frontier::default(), Vec::new());
        while log.size() < database.leaves {
            for leaf in database.read_back(&mut log).await? {
                feeds.iter_mut().try_for_each(|feed| feed.feed(leaf.index, &leaf.record))?;
                revoked.extend(revoked_in(&leaf.record));
            }
            progress(log.size());
        }
        let (height, time_ms) = (database.height, database.time_ms);
        let (rows, used, renewals) = (Vec::new(), Vec::new(), Vec::new());
        let (bytes, grants_due) = (0, None);
        Ok(Self { database, log, height, time_ms, feeds, renewals, rows, bytes, used, revoked, grants_due })
    }

    /// The height to begin with: that of the last block that is in, so that it is held against the ledger's own.
    pub fn from_height(&self) -> u64 {
        self.height.max(1)
    }

    /// The height of the last block that was pushed.
    pub const fn height(&self) -> u64 {
        self.height
    }

    /// How many records there are up to it.
    pub const fn leaves(&self) -> u64 {
        self.log.size()
    }

    /// Takes the next block; ones that are in already are only looked at. What is gathered is written when it is much.
    pub async fn push(&mut self, block: &Block) -> Result<(), ProjectionError> {
        if block.height < self.height {
            return Ok(());
        }
        if block.height == self.height {
            return self.check_root(block);
        }
        if block.height != self.height.saturating_add(1) {
            return Err(ProjectionError::Gap {
                expected: self.height.saturating_add(1),
                found: block.height,
            });
        }
        for record in &block.records {
            let leaf_index = self.log.size();
            self.feeds.iter_mut().try_for_each(|feed| feed.feed(leaf_index, record))?;
            let row = record_row(leaf_index, record);
            self.used.extend(used_in(record).map(|used| (used, leaf_index)));
            self.revoked.extend(revoked_in(record));
            self.bytes = self.bytes.saturating_add(record.entry.len());
            self.rows.push(row);
            self.log.append(record.id());
        }
        self.check_root(block)?;
        (self.height, self.time_ms) = (block.height, block.time_ms);
        if self.rows.len() >= ROWS || self.bytes >= BYTES {
            self.write(false).await?;
        }
        Ok(())
    }

    /// The database's records and this block's give the root that its certified header names.
    fn check_root(&self, block: &Block) -> Result<(), ProjectionError> {
        if block.log_size == self.log.size() && block.log_root == self.log.root() {
            return Ok(());
        }
        Err(ProjectionError::Changed { leaf: self.log.size() })
    }

    /// Writes what was gathered: all or nothing. What the grants open follows when it is due.
    pub async fn flush(&mut self) -> Result<(), ProjectionError> {
        let due = self.grants_due.is_none_or(|due| due <= Instant::now());
        self.write(due).await
    }

    /// Writes everything that is not written, what the grants open too.
    pub async fn finish(&mut self) -> Result<(), ProjectionError> {
        self.write(true).await
    }

    async fn write(&mut self, grants_too: bool) -> Result<(), ProjectionError> {
        let behind = self.height != self.database.height;
        let stale = grants_too && self.feeds.iter().any(Feed::is_stale);
        if !behind && !stale {
            return Ok(());
        }
        let (began, place) = (Instant::now(), [self.log.size(), self.height, self.time_ms]);
        let mut made = self.database.connection.begin().await?;
        if behind {
            copy_into(&mut made, SCHEMA, &RECORDS, &self.rows).await?;
            anchor(&mut made, &self.used).await?;
            advance(&mut made, self.database.height, place).await?;
        }
        if !self.feeds.is_empty() {
            // The guard may have closed some meanwhile.
            let open = hold_open(&mut made).await?;
            self.feeds.retain(|feed| open.iter().any(|role| role == feed.role()));
        }
        for feed in &mut self.feeds {
            if stale && feed.is_stale() {
                feed.write(&mut made).await?;
            }
            feed.place(&mut made, place).await?;
        }
        made.commit().await?;
        [self.database.leaves, self.database.height, self.database.time_ms] = place;
        self.bytes = 0;
        self.rows.clear();
        self.used.clear();
        if stale {
            self.feeds.iter_mut().filter(|feed| feed.is_stale()).for_each(Feed::written);
            // Most of the time is left to records, however much the grants open.
            self.grants_due = Some(Instant::now() + GRANTS_PAUSE.max(began.elapsed() * 4));
        }
        Ok(())
    }

    /// Has a grant's rows become what its file opens by now; whether rows of that grant are kept. Those that are there stand until
    /// [`Self::renew`] has put the new ones in their place.
    pub fn replace(&mut self, relinker: Relinker) -> bool {
        let grant = relinker.granted().grant.id;
        let Some(feed) = self.feeds.iter().find(|feed| *feed.grant_id() == grant) else { return false };
        let renewal = Renewal::new(Feed::new(feed.role().to_owned(), relinker));
        self.renewals.retain(|other| *other.grant_id() != grant);
        self.renewals.push(renewal);
        true
    }

    /// Feeds what is to replace rows with the log, for so long, and gives the grants whose rows were replaced: in one transaction, so
    /// that nobody sees half of them. `held`: only once the log holds all records that the grant's file shows.
    pub async fn renew(&mut self, within: Duration, held: bool) -> Result<Vec<Hash>, ProjectionError> {
        let (until, mut renewed, mut at) = (Instant::now() + within, Vec::new(), 0);
        if !self.renewals.is_empty() {
            self.flush().await?;
        }
        while let Some(renewal) = self.renewals.get_mut(at) {
            if !renewal.read_on(&mut self.database).await? {
                if until <= Instant::now() {
                    break;
                }
                continue;
            }
            if !renewal.is_of(&self.log) {
                return Err(ProjectionError::Changed { leaf: self.log.size() });
            }
            if held && renewal.lacks_records() {
                at += 1;
                continue;
            }
            let feed = self.renewals.remove(at).into_feed();
            if let Some(old) = self.feeds.iter_mut().find(|old| old.role() == feed.role()) {
                renewed.push(*feed.grant_id());
                *old = feed;
            }
        }
        if !renewed.is_empty() {
            self.finish().await?;
        }
        Ok(renewed)
    }

    /// Whether the log so far lacks records that a grant file shows.
    pub fn lacks_records_of_grants(&self) -> bool {
        self.feeds.iter().any(Feed::lacks_records)
    }

    /// Grants whose revocation was seen since the last call; their feeds end.
    pub fn take_revoked(&mut self) -> Vec<Hash> {
        let revoked = std::mem::take(&mut self.revoked);
        self.end(&revoked);
        revoked
    }

    /// Keeps these grants' rows no longer up to date.
    pub fn end(&mut self, grants: &[Hash]) {
        self.feeds.retain(|feed| !grants.contains(feed.grant_id()));
        self.renewals.retain(|renewal| !grants.contains(renewal.grant_id()));
    }
}

/// Segments of query logs that records anchor, with their leaf indices.
async fn anchor(on: &mut PgConnection, used: &[(UseGrant, u64)]) -> Result<(), ProjectionError> {
    for (used, leaf_index) in used {
        let text = format!(
            "UPDATE {SCHEMA}.segments SET leaf_index = $2 WHERE what = $1 AND grant_id = $3 AND count = $4 AND leaf_index IS NULL"
        );
        let update = sqlx::query(AssertSqlSafe(text)).bind(used.what.to_vec()).bind(leaf_index.cast_signed());
        let update = update.bind(used.grant.to_vec()).bind(i64::from(used.count));
        update.execute(&mut *on).await?;
    }
    Ok(())
}

/// The projection goes on from a height, if it still is there.
async fn advance(
    on: &mut PgConnection,
    from: u64,
    [leaves, height, time_ms]: [u64; 3],
) -> Result<(), ProjectionError> {
    let text = format!("UPDATE {SCHEMA}.ledger SET height = $1, time_ms = $2, leaves = $3 WHERE height = $4");
    let numbers = [height, time_ms, leaves, from].map(u64::cast_signed).into_iter();
    let update = numbers.fold(sqlx::query(AssertSqlSafe(text)), sqlx::query::Query::bind);
    match update.execute(on).await?.rows_affected() {
        1 => Ok(()),
        _ => Err(ProjectionError::InUse),
    }
}

/// The segment of a query log that a record anchors.
fn used_in(record: &Record) -> Option<UseGrant> {
    match accepted(record, kind::USE_GRANT)? {
        Entry::UseGrant(used) => Some(used),
        _ => None,
    }
}

/// The grant that a record revokes.
fn revoked_in(record: &Record) -> Option<Hash> {
    let Entry::Authored(authored) = accepted(record, kind::REVOKE_GRANT)? else { return None };
    match authored.act {
        Act::Audit(AuditAct::Revoke(revoke)) => Some(revoke.grant),
        _ => None,
    }
}

fn accepted(record: &Record, kind: u16) -> Option<Entry> {
    let is_it = kind_of(&record.entry) == Some(kind) && record.outcome.is_accepted();
    is_it.then(|| Entry::decode(&record.entry).ok()).flatten()
}

/// Writes rows that are not there yet.
pub(crate) async fn copy_into(
    connection: &mut PgConnection,
    schema: &str,
    table: &Table,
    rows: &[Row],
) -> Result<(), ProjectionError> {
    let place = if schema.is_empty() { table.name.to_owned() } else { format!("{schema}.{}", table.name) };
    let text = format!("COPY {place} ({}) FROM STDIN (FORMAT binary)", table.names());
    let mut into = connection.copy_in_raw(&text).await?;
    into.send(copy::head()).await?;
    for some in rows.chunks(ROWS) {
        into.send(copy::encode(some)).await?;
    }
    into.send(copy::end()).await?;
    into.finish().await?;
    Ok(())
}
