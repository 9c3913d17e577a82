//! Reads the server's log: whole lines, however long, without holding more of one than its beginning.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::ProjectionError;
use crate::flood::Logged;
use crate::seen::Seen;
use crate::strangers::{self, UNREAD};

/// What is read of a file at once.
const READ: i64 = 4 << 20;
/// What is kept of a line that is longer.
const KEPT: usize = 64 << 10;
/// What stands between whose line it is and what it says. Inside of a value a quotation mark has a backslash before it.
const MESSAGE: &[u8] = b",\"message\":\"";

/// How far reading is.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// By file.
    long: BTreeMap<String, Long>,
    /// Lines that did not parse since somebody looked.
    pub(crate) unread: u64,
    /// What was read of each role's lines since somebody looked.
    pub(crate) logged: BTreeMap<String, Logged>,
}

/// A long line whose end was not read yet.
#[derive(Debug)]
struct Long {
    from: i64,
    length: i64,
    beginning: Vec<u8>,
    hash: Sha256,
}

impl Long {
    fn take(&mut self, bytes: &[u8]) {
        let room = KEPT.saturating_sub(self.beginning.len()).min(bytes.len());
        self.beginning.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.length = self.length.saturating_add(length(bytes));
        self.hash.update(bytes);
    }

    /// SPEC.md "The query log": a line has no line feed, so the two cannot be taken for each other.
    fn done(self) -> Vec<u8> {
        let hash: [u8; 32] = self.hash.finalize().into();
        let rest = format!("\n{} bytes, SHA-256 {}", self.length, hex::encode(hash));
        [self.beginning, rest.into_bytes()].concat()
    }
}

fn begin(from: i64, bytes: &[u8]) -> Long {
    let mut long = Long { from, length: 0, beginning: Vec::new(), hash: Sha256::new() };
    long.take(bytes);
    long
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

impl Reading {
    /// Keeps what the log has that was not read yet, in so many steps of 4 MiB at most.
    pub(crate) async fn read(
        &mut self,
        on: &mut PgConnection,
        mut steps: u32,
    ) -> Result<(), ProjectionError> {
        let files = sqlx::query(
            "SELECT name, size, COALESCE(read_to, 0) FROM pg_ls_logdir() LEFT JOIN keyward.log_places ON file = name \
             WHERE name LIKE '%.json' AND size IS DISTINCT FROM read_to ORDER BY modification, name",
        );
        for row in files.fetch_all(&mut *on).await? {
            let (file, size, mut from): (String, i64, i64) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            if size < from {
                // Begun anew under the same name.
                from = 0;
                self.long.remove(&file);
            }
            while from < size && steps > 0 {
                steps = steps.saturating_sub(1);
                let Some(read) = self.step(on, &file, from).await? else { break };
                from = from.saturating_add(read);
            }
        }
        Ok(())
    }

    /// How many bytes the lines have whose end was read: none while a long one goes on. Nothing where there is nothing more yet.
    async fn step(
        &mut self,
        on: &mut PgConnection,
        file: &str,
        from: i64,
    ) -> Result<Option<i64>, ProjectionError> {
        let long = self.long.remove(file).filter(|long| long.from == from);
        let at = from.saturating_add(long.as_ref().map_or(0, |long| long.length));
        let bytes = read_bytes(on, file, at).await?;
        // A long line counts as it comes, before its end is there.
        if let Some(long) = &long {
            let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
            self.count(&long.beginning, end, long.length.saturating_add(length(&bytes)));
        }
        let (lines, read) = match (long, bytes.iter().position(|byte| *byte == b'\n')) {
            (Some(mut long), Some(end)) => {
                long.take(bytes.get(..end).unwrap_or_default());
                let read = long.length.saturating_add(1);
                (vec![long.done()], read)
            }
            (Some(mut long), None) => {
                long.take(&bytes);
                self.long.insert(file.to_owned(), long);
                return Ok((!bytes.is_empty()).then_some(0));
            }
            (None, None) if length(&bytes) == READ => {
                self.count(&bytes, bytes.len(), READ);
                self.long.insert(file.to_owned(), begin(from, &bytes));
                return Ok(Some(0));
            }
            (None, None) => return Ok(None),
            (None, Some(_)) => {
                let end =
                    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last.saturating_add(1));
                let whole = bytes.get(..end).unwrap_or_default();
                whole
                    .split(|byte| *byte == b'\n')
                    .for_each(|line| self.count(line, line.len(), length(line)));
                (whole.split(|byte| *byte == b'\n').map(shortened).collect(), length(whole))
            }
        };
        let mut batch = Batch::default();
        lines.into_iter().for_each(|line| batch.take(line));
        self.unread = self.unread.saturating_add(u64::try_from(batch.unread.len()).unwrap_or(u64::MAX));
        batch.keep(on, file, from.saturating_add(read)).await?;
        Ok(Some(read))
    }

    /// Counts so many bytes of a line, whose length so far is this.
    fn count(&mut self, line: &[u8], bytes: usize, so_far: i64) {
        if let Some(Line { role: Some(role), whose: Whose::Role, .. }) = asked(line) {
            let logged = self.logged.entry(role).or_default();
            logged.add(u64::try_from(bytes).unwrap_or(u64::MAX), so_far.cast_unsigned());
        }
    }
}

/// What strangers had logged in hours that are over; in all, without a time.
pub(crate) async fn hour(on: &mut PgConnection, now_ms: Option<u64>) -> Result<Vec<Seen>, ProjectionError> {
    let mut made = on.begin().await?;
    let (rest, seen) = strangers::over(&mut made, now_ms).await?;
    if let Some(rest) = rest {
        insert(&mut made, vec![Kept { role: UNREAD.to_owned(), line: rest.into_bytes(), said: false }])
            .await?;
    }
    made.commit().await?;
    Ok(seen)
}

fn shortened(line: &[u8]) -> Vec<u8> {
    if line.len() > KEPT { begin(0, line).done() } else { line.to_vec() }
}

async fn read_bytes(on: &mut PgConnection, file: &str, at: i64) -> Result<Vec<u8>, ProjectionError> {
    let bytes = sqlx::query(
        "SELECT pg_read_binary_file(current_setting('log_directory') || '/' || $1, $2, $3, true)",
    );
    let bytes = bytes.bind(file).bind(at).bind(READ).fetch_one(on).await?;
    let bytes: Option<Vec<u8>> = bytes.try_get(0)?;
    Ok(bytes.unwrap_or_default())
}

/// A line that is kept if its role is one of ours, or of nobody.
struct Kept {
    role: String,
    line: Vec<u8>,
    /// Whether it says what was asked.
    said: bool,
}

/// What became of lines that were read at once.
#[derive(Default)]
struct Batch {
    kept: Vec<Kept>,
    /// Those that do not parse.
    unread: Vec<Vec<u8>>,
    /// Logins that failed, by the name they were tried with.
    failed: BTreeMap<String, i64>,
}

impl Batch {
    fn take(&mut self, line: Vec<u8>) {
        if line.is_empty() {
            return;
        }
        match asked(&line) {
            Some(Line { role: Some(role), said, whose: Whose::Role }) => {
                self.kept.push(Kept { role, line, said });
            }
            Some(Line { role: Some(role), whose: Whose::Failed, .. }) => {
                let logins = self.failed.entry(role).or_default();
                *logins = logins.saturating_add(1);
            }
            Some(_) => {}
            None => self.unread.push(line),
        }
    }

    /// Keeps and counts it, and up to where its file was read: all or nothing.
    async fn keep(mut self, on: &mut PgConnection, file: &str, read_to: i64) -> Result<(), ProjectionError> {
        let mut made = on.begin().await?;
        strangers::failed(&mut made, &self.failed).await?;
        for line in strangers::keeps(&mut made, self.unread).await? {
            self.kept.push(Kept { role: UNREAD.to_owned(), line, said: false });
        }
        insert(&mut made, self.kept).await?;
        let place = sqlx::query(
            "INSERT INTO keyward.log_places VALUES ($1, $2) ON CONFLICT (file) DO UPDATE SET read_to = excluded.read_to",
        );
        place.bind(file).bind(read_to).execute(&mut *made).await?;
        Ok(made.commit().await?)
    }
}

async fn insert(on: &mut PgConnection, lines: Vec<Kept>) -> Result<(), ProjectionError> {
    let (mut roles, mut kept, mut statements) = (Vec::new(), Vec::new(), Vec::new());
    for Kept { role, line, said } in lines {
        roles.push(role);
        kept.push(line);
        statements.push(i64::from(said));
    }
    let insert = sqlx::query(
        "INSERT INTO keyward.queries SELECT l.role, COALESCE((SELECT max(q.number) + 1 FROM keyward.queries q WHERE q.role = l.role), 0) \
         + row_number() OVER (PARTITION BY l.role ORDER BY l.place) - 1, l.line, l.statements, NULL \
         FROM unnest($1::text[], $2::bytea[], $3::int8[]) WITH ORDINALITY AS l (role, line, statements, place) \
         WHERE l.role = '' OR l.role IN (SELECT r.role FROM keyward.readers r)",
    );
    insert.bind(roles).bind(kept).bind(statements).execute(on).await?;
    Ok(())
}

/// What a line says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    /// The name that it bears, if any.
    role: Option<String>,
    /// Whether it says what was asked.
    said: bool,
    whose: Whose,
}

/// Whose doing a line is. Until somebody is logged in the name that it bears is a stranger's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// Who was logged in with that name.
    Role,
    /// Whose login failed.
    Failed,
    /// Who was about to log in.
    Nobody,
}

/// What a session says that it does before anybody is logged in: reading who calls, looking for a place, asking for the password.
const BEFORE: [&str; 3] = ["", "initializing", "authentication"];

/// Nothing if it does not parse. A statement that does not parse is told with its error. What the line says need not be whole.
fn asked(line: &[u8]) -> Option<Line> {
    let at = line.windows(MESSAGE.len()).position(|part| part == MESSAGE);
    let (head, message) = line.split_at(at.unwrap_or(line.len()));
    let message = message.get(MESSAGE.len()..).unwrap_or_default();
    let end: &[u8] = if at.is_some() { b"}" } else { b"" };
    let json: Json = serde_json::from_slice(&[head, end].concat()).ok()?;
    let text = |name: &str| json.get(name).and_then(Json::as_str);
    let said = ["statement: ", "execute ", "fastpath function call: "]
        .iter()
        .any(|start| message.starts_with(start.as_bytes()));
    let state = text("state_code").unwrap_or_default();
    let before = state.starts_with("28") || text("ps").is_some_and(|does| BEFORE.contains(&does));
    let whose = match text("error_severity") {
        _ if said || !before => Whose::Role,
        Some("FATAL") => Whose::Failed,
        _ => Whose::Nobody,
    };
    let role = text("user").map(str::to_owned);
    Some(Line { role, said: whose == Whose::Role && (said || state == "42601"), whose })
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{Batch, KEPT, Line, Reading, Whose, asked, begin, shortened};

    #[test]
    fn whose_a_line_is_its_beginning_says() {
        let line = |message: &str| {
            format!("{{\"timestamp\":\"t\",\"user\":\"g_1\",\"message\":\"{message}\",\"x\":1}}")
        };
        let of = |said| Some(Line { role: Some("g_1".to_owned()), said, whose: Whose::Role });
        let nobody = Some(Line { role: None, said: false, whose: Whose::Role });
        assert_eq!(asked(line("statement: SELECT 1").as_bytes()), of(true));
        assert_eq!(asked(line("duration: 1").as_bytes()), of(false));
        let long = shortened(line(&format!("statement: {}", "x".repeat(KEPT))).as_bytes());
        assert_eq!(asked(&long), of(true));
        assert_eq!(asked(b"{\"user\":\"g_1\",\"message\":\"statement: \xff\"}"), of(true));
        assert_eq!(
            asked(br#"{"user":"a\",\"message\":\"b","message":"c"}"#),
            Some(Line { role: Some("a\",\"message\":\"b".into()), said: false, whose: Whose::Role })
        );
        assert_eq!(asked(b"{\"timestamp\":\"t\",\"message\":\"checkpoint\"}"), nobody);
        assert_eq!(asked(b"{\"timestamp\":\"t\"}"), nobody);
        assert_eq!(asked(b"no json"), None);
    }

    /// As PostgreSQL 15 says them of somebody who knows a role's name and not its password.
    #[test]
    fn what_a_stranger_has_logged_is_no_roles_doing() {
        let (mut batch, mut reading) = (Batch::default(), Reading::default());
        for (ps, severity, state) in [
            ("authentication", "FATAL", "28P01"),
            ("authentication", "FATAL", "08P01"),
            ("initializing", "FATAL", "53300"),
            ("initializing", "FATAL", "57P03"),
            ("", "FATAL", "22023"),
            ("", "FATAL", "42601"),
            ("authentication", "LOG", "00000"),
        ] {
            let line = format!(
                "{{\"user\":\"g_1\",\"ps\":\"{ps}\",\"error_severity\":\"{severity}\",\"state_code\":\"{state}\",\"message\":\"m\"}}"
            );
            reading.count(line.as_bytes(), line.len(), 50);
            batch.take(line.into_bytes());
        }
        assert!(batch.kept.is_empty() && batch.unread.is_empty() && reading.logged.is_empty());
        assert_eq!(batch.failed["g_1"], 6, "one was let in");
        for state in ["53300", "42601"] {
            let own = format!(
                "{{\"user\":\"g_1\",\"ps\":\"startup\",\"error_severity\":\"FATAL\",\"state_code\":\"{state}\",\"message\":\"m\"}}"
            );
            reading.count(own.as_bytes(), own.len(), 50);
            batch.take(own.into_bytes());
        }
        assert_eq!((batch.kept[0].said, batch.kept[1].said), (false, true));
        assert!(reading.logged["g_1"].bytes > 0);
        batch.take(b"no json".to_vec());
        batch.take(Vec::new());
        assert_eq!((batch.unread.len(), batch.kept.len()), (1, 2));
    }

    #[test]
    fn a_long_line_is_one_however_it_comes() {
        let line = vec![b'x'; 3 * KEPT];
        let mut long = begin(7, &line[..10]);
        line[10..].chunks(1000).for_each(|bytes| long.take(bytes));
        let kept = long.done();
        assert_eq!(kept, shortened(&line));
        assert!(kept.starts_with(&line[..KEPT]) && kept[KEPT..].starts_with(b"\n196608 bytes, SHA-256 "));
        assert_eq!(shortened(&line[..KEPT]), &line[..KEPT]);
    }
}
