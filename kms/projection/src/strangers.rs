//! What anybody can make the server log: failed logins, which are counted, and lines that do not parse, of which an hour keeps so many.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::seen::Seen;

/// An hour, in milliseconds.
const HOUR_MS: u64 = 3_600_000;
/// How many bytes of lines that do not parse are kept in an hour.
const KEPT: usize = 1 << 20;

/// The hour under way.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    began_ms: Option<u64>,
    kept: usize,
    /// Lines beyond, and their hash.
    beyond: u64,
    hash: Sha256,
    failed: BTreeMap<String, u64>,
}

impl Strangers {
    /// Whether a line that does not parse is kept.
    pub(crate) fn keeps(&mut self, line: &[u8]) -> bool {
        self.kept = self.kept.saturating_add(line.len());
        if self.kept <= KEPT {
            return true;
        }
        self.beyond = self.beyond.saturating_add(1);
        self.hash.update(u32::try_from(line.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.hash.update(line);
        false
    }

    /// Counts failed logins with a role's name.
    pub(crate) fn failed(&mut self, role: &str, logins: u64) {
        if logins > 0 {
            let count = self.failed.entry(role.to_owned()).or_default();
            *count = count.saturating_add(logins);
        }
    }

    /// When the hour is over, or with `now`: what is kept of the lines beyond (SPEC.md "The query log"), and the failed logins.
    pub(crate) fn over(&mut self, now_ms: u64, now: bool) -> Option<(Option<String>, Vec<Seen>)> {
        let began_ms = *self.began_ms.get_or_insert(now_ms);
        if !now && now_ms.saturating_sub(began_ms) < HOUR_MS {
            return None;
        }
        let Self { beyond, hash, failed, .. } = std::mem::take(self);
        let rest = (beyond > 0).then(|| format!("{beyond} lines, SHA-256 {}", hex::encode(hash.finalize())));
        Some((rest, failed.into_iter().map(|(role, logins)| Seen::Failed { role, logins }).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::{HOUR_MS, KEPT, Seen, Strangers};

    #[test]
    fn an_hour_keeps_so_much_and_counts_the_rest() {
        let mut strangers = Strangers::default();
        assert_eq!(strangers.over(7, false), None);
        assert!(strangers.keeps(&vec![b'x'; KEPT]));
        assert!(!strangers.keeps(b"one") && !strangers.keeps(b"two"));
        strangers.failed("g_1", 2);
        strangers.failed("g_1", 3);
        strangers.failed("g_2", 0);
        assert_eq!(strangers.over(HOUR_MS + 6, false), None);
        let (rest, seen) = strangers.over(HOUR_MS + 7, false).unwrap_or_default();
        let bytes = keyward_ledger_core::hash::sha256(&[b"\0\0\0\x03one\0\0\0\x03two"]);
        assert_eq!(rest, Some(format!("2 lines, SHA-256 {}", hex::encode(bytes))));
        assert_eq!(seen, [Seen::Failed { role: "g_1".to_owned(), logins: 5 }]);
        assert!(strangers.keeps(b"the next hour"));
        assert_eq!(strangers.over(0, true), Some((None, Vec::new())));
    }
}
