//! What anybody can make the server log: failed logins, which are counted, and lines that do not parse, of which an hour keeps so many.
//!
//! Both counts stand in the database, a row for each role at most, and change together with the place up to which the log was read: a guard
//! that is killed forgets nothing of its hour, and counts nothing twice.

use std::collections::BTreeMap;

use keyward_ledger_core::hash::{Hash, sha256};
use sqlx::{PgConnection, Row as _};

use crate::ProjectionError;
use crate::seen::Seen;

/// An hour, in milliseconds.
const HOUR_MS: u64 = 3_600_000;
/// How many bytes of lines that do not parse are kept in an hour.
const KEPT: i64 = 1 << 20;
/// Whose lines are that do not parse: no role has an empty name.
pub(crate) const UNREAD: &str = "";

/// The hour of lines that do not parse.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hour {
    /// Bytes of those that are kept.
    kept: i64,
    /// Lines beyond, and what they are hashed to.
    beyond: i64,
    hash: Hash,
}

impl Hour {
    fn keeps(&mut self, line: &[u8]) -> bool {
        let kept = self.kept.saturating_add(i64::try_from(line.len()).unwrap_or(i64::MAX));
        if self.beyond == 0 && kept <= KEPT {
            self.kept = kept;
            return true;
        }
        self.beyond = self.beyond.saturating_add(1);
        let length = u32::try_from(line.len()).unwrap_or(u32::MAX).to_be_bytes();
        self.hash = sha256(&[&self.hash, &length, line]);
        false
    }
}

/// What is kept of lines beyond: SPEC.md "The query log".
fn rest(beyond: i64, hash: &[u8]) -> String {
    format!("{beyond} lines, SHA-256 {}", hex::encode(hash))
}

/// Counts logins that failed, by the names they were tried with; those of no open role are nobody's.
pub(crate) async fn failed(
    on: &mut PgConnection,
    logins: &BTreeMap<String, i64>,
) -> Result<(), ProjectionError> {
    if logins.is_empty() {
        return Ok(());
    }
    let (roles, counts): (Vec<&str>, Vec<i64>) =
        logins.iter().map(|(role, count)| (role.as_str(), *count)).unzip();
    let count = sqlx::query(
        "INSERT INTO keyward.strangers AS s SELECT f.role, (extract(epoch FROM clock_timestamp()) * 1000)::int8, f.count, 0, '' \
         FROM unnest($1::text[], $2::int8[]) AS f (role, count) JOIN keyward.readers r ON r.role = f.role AND r.ended_ms IS NULL \
         ON CONFLICT (role) DO UPDATE SET count = s.count + excluded.count",
    );
    count.bind(roles).bind(counts).execute(on).await?;
    Ok(())
}

/// Of lines that do not parse those that their hour keeps; the others it counts.
pub(crate) async fn keeps(
    on: &mut PgConnection,
    mut lines: Vec<Vec<u8>>,
) -> Result<Vec<Vec<u8>>, ProjectionError> {
    if lines.is_empty() {
        return Ok(lines);
    }
    let row = sqlx::query("SELECT kept, count, hash FROM keyward.strangers WHERE role = $1").bind(UNREAD);
    let mut hour = match row.fetch_optional(&mut *on).await? {
        None => Hour::default(),
        Some(row) => {
            let hash: Vec<u8> = row.try_get(2)?;
            Hour { kept: row.try_get(0)?, beyond: row.try_get(1)?, hash: hash.try_into().unwrap_or_default() }
        }
    };
    lines.retain(|line| hour.keeps(line));
    let keep = sqlx::query(
        "INSERT INTO keyward.strangers VALUES ($1, (extract(epoch FROM clock_timestamp()) * 1000)::int8, $2, $3, $4) \
         ON CONFLICT (role) DO UPDATE SET count = excluded.count, kept = excluded.kept, hash = excluded.hash",
    );
    let keep = keep.bind(UNREAD).bind(hour.beyond).bind(hour.kept).bind(hour.hash.to_vec());
    keep.execute(on).await?;
    Ok(lines)
}

/// Ends the hours that are over, or, without a time, all: what is kept of the lines beyond, and the failed logins.
pub(crate) async fn over(
    on: &mut PgConnection,
    now_ms: Option<u64>,
) -> Result<(Option<String>, Vec<Seen>), ProjectionError> {
    let began = now_ms.map(|now_ms| now_ms.saturating_sub(HOUR_MS).cast_signed());
    let ended = sqlx::query(
        "DELETE FROM keyward.strangers WHERE $1::int8 IS NULL OR began_ms <= $1 RETURNING role, count, hash",
    );
    let (mut beyond, mut seen) = (None, Vec::new());
    for row in ended.bind(began).fetch_all(on).await? {
        let (role, count, hash): (String, i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if role == UNREAD {
            beyond = (count > 0).then(|| rest(count, &hash));
        } else {
            seen.push(Seen::Failed { role, logins: count.cast_unsigned() });
        }
    }
    Ok((beyond, seen))
}

#[cfg(test)]
mod tests {
    use super::{Hour, KEPT, rest, sha256};

    #[test]
    fn an_hour_keeps_so_much_and_counts_the_rest() {
        let mut hour = Hour::default();
        assert!(hour.keeps(&vec![b'x'; KEPT as usize]));
        assert!(!hour.keeps(b"one") && !hour.keeps(b""), "what is beyond stays so: order is kept");
        let one = sha256(&[&[0; 32], b"\0\0\0\x03one"]);
        let two = sha256(&[&one, b"\0\0\0\0"]);
        assert_eq!((hour.kept, hour.beyond, hour.hash), (KEPT, 2, two));
        assert_eq!(rest(hour.beyond, &hour.hash), format!("2 lines, SHA-256 {}", hex::encode(two)));
    }
}
