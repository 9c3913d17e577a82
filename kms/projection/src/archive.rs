//! The query log as files, each the bytes that a segment's hash is of: who checks one needs neither the database nor this program.
//!
//! A file is whole and on disk before its segment is handed in to the ledger, and never replaced by other bytes.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use keyward_ledger_core::hash::Hash;
use keyward_store::PostgresServer;
use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, Row as _};

use crate::ProjectionError;
use crate::connect::connect;
use crate::log::bytes_of;

/// Segments that are written in one turn.
const TURN: usize = 16;

/// A folder of query logs, on a connection of its own: the guard looks meanwhile.
#[derive(Debug)]
pub struct Archive {
    connection: PgConnection,
    folder: PathBuf,
    /// Role and number of the last segment of the last turn, if there were more.
    after: Option<(String, i64)>,
}

/// What became of a turn.
#[derive(Debug)]
pub struct Filed {
    /// What was to be written and is not.
    pub unfiled: Vec<Unfiled>,
    /// Whether there is more.
    pub more: bool,
}

/// A segment that is not written; it is tried again when all others were.
#[derive(Debug)]
pub struct Unfiled {
    /// The name of its file.
    pub file: String,
    /// Why not.
    pub error: ProjectionError,
}

/// A segment that is to be written.
struct Due {
    role: String,
    number: i64,
    grant_id: Vec<u8>,
    what: Vec<u8>,
}

impl Archive {
    /// The folder is made for its owner alone if it is not there; one that others may write to is refused.
    pub async fn open(server: &PostgresServer, folder: &Path) -> Result<Self, ProjectionError> {
        let mode = make(folder).map_err(ProjectionError::File)?;
        if mode & 0o022 != 0 {
            return Err(ProjectionError::FolderOpen { path: folder.to_owned() });
        }
        Ok(Self { connection: connect(server).await?, folder: folder.to_owned(), after: None })
    }

    /// Writes some of the segments that are cut and not in a file, and whose lines the database still has.
    pub async fn file(&mut self, now_ms: u64) -> Result<Filed, ProjectionError> {
        let (due, mut unfiled) = (self.due().await?, Vec::new());
        for segment in &due {
            let file = format!("{}-{:020}.queries", segment.role, segment.number);
            match self.write(segment, &file).await {
                Ok(()) => self.mark(segment, now_ms).await?,
                Err(error @ ProjectionError::Unreachable(_)) => return Err(error),
                Err(error) => unfiled.push(Unfiled { file, error }),
            }
        }
        let more = due.len() == TURN;
        self.after = due.last().filter(|_| more).map(|last| (last.role.clone(), last.number));
        Ok(Filed { unfiled, more })
    }

    async fn due(&mut self) -> Result<Vec<Due>, ProjectionError> {
        let due = sqlx::query(
            "SELECT s.role, s.number, s.grant_id, s.what FROM keyward.segments s WHERE s.filed_ms IS NULL AND EXISTS \
             (SELECT FROM keyward.queries q WHERE q.role = s.role AND q.segment = s.number) \
             AND (s.role, s.number) > ($1, $2) ORDER BY 1, 2 LIMIT $3",
        );
        let (role, number) = self.after.clone().unwrap_or_default();
        let due = due.bind(role).bind(number).bind(i64::try_from(TURN).unwrap_or(i64::MAX));
        let rows = due.fetch_all(&mut self.connection).await?;
        let due = |row: &sqlx::postgres::PgRow| {
            let (role, number) = (row.try_get(0)?, row.try_get(1)?);
            Ok(Due { role, number, grant_id: row.try_get(2)?, what: row.try_get(3)? })
        };
        rows.iter().map(due).collect()
    }

    async fn mark(&mut self, segment: &Due, now_ms: u64) -> Result<(), ProjectionError> {
        let mark = sqlx::query("UPDATE keyward.segments SET filed_ms = $3 WHERE role = $1 AND number = $2");
        let mark = mark.bind(&segment.role).bind(segment.number).bind(now_ms.cast_signed());
        mark.execute(&mut self.connection).await?;
        Ok(())
    }

    /// Beside its place first, where one that was begun by who was killed may lie.
    async fn write(&mut self, segment: &Due, name: &str) -> Result<(), ProjectionError> {
        let changed = || ProjectionError::QueriesChanged { file: name.to_owned() };
        // It becomes part of a path, and the database's word is what is checked here.
        if !segment.role.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(changed());
        }
        let place = self.folder.join(name);
        let beside = place.with_extension("new");
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(ProjectionError::File(error)),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&beside);
        let (mut file, mut hash) = (BufWriter::new(file.map_err(ProjectionError::File)?), Sha256::new());
        let Due { role, number, grant_id, what } = segment;
        bytes_of(&mut self.connection, role, *number, grant_id, |bytes| {
            hash.update(bytes);
            file.write_all(bytes).map_err(ProjectionError::File)
        })
        .await?;
        let found: Hash = hash.finalize().into();
        if *what != found {
            std::fs::remove_file(&beside).map_err(ProjectionError::File)?;
            return Err(changed());
        }
        let settled = tokio::task::spawn_blocking(move || settle(file, &beside, &place, found));
        match settled.await.map_err(std::io::Error::other).and_then(|settled| settled) {
            Ok(true) => Ok(()),
            Ok(false) => Err(ProjectionError::FileOther { file: name.to_owned() }),
            Err(error) => Err(ProjectionError::File(error)),
        }
    }
}

/// Makes a folder if it is not there; its mode.
fn make(folder: &Path) -> std::io::Result<u32> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let folder = folder.canonicalize()?;
    if let Some(parent) = folder.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(folder.metadata()?.permissions().mode())
}

/// Takes a file that is written to its place, and sees that both are on disk. Not if the place is taken by something else.
fn settle(file: BufWriter<File>, beside: &Path, place: &Path, hash: Hash) -> std::io::Result<bool> {
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    // A link, unlike a new name, replaces nothing.
    let is_it = match std::fs::hard_link(beside, place) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => hash_of(File::open(place)?)? == hash,
        linked => linked.map(|()| true)?,
    };
    std::fs::remove_file(beside)?;
    if let Some(folder) = place.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(is_it)
}

fn hash_of(file: File) -> std::io::Result<Hash> {
    let (mut file, mut hash) = (BufReader::new(file), Sha256::new());
    loop {
        let bytes = file.fill_buf()?;
        let length = bytes.len();
        if length == 0 {
            return Ok(hash.finalize().into());
        }
        hash.update(bytes);
        file.consume(length);
    }
}
