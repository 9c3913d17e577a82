//! How much each role has had logged in an hour: what readers ask must not fill the server's disk.

use std::collections::BTreeMap;

/// An hour, in milliseconds.
const HOUR_MS: u64 = 3_600_000;

/// What was read of a role's lines.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Logged {
    /// All of them, in bytes.
    pub(crate) bytes: u64,
    /// The longest, as far as it was read.
    pub(crate) longest: u64,
}

impl Logged {
    pub(crate) fn add(&mut self, bytes: u64, of: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.longest = self.longest.max(of);
    }
}

/// The hours under way.
#[derive(Debug, Default)]
pub(crate) struct Floods(BTreeMap<String, (u64, u64)>);

impl Floods {
    /// Counts what a role had logged; whether that makes it too much.
    pub(crate) fn add(&mut self, role: &str, bytes: u64, most: u64, now_ms: u64) -> bool {
        if bytes == 0 {
            return false;
        }
        let (_, logged) = self.0.entry(role.to_owned()).or_insert((now_ms, 0));
        let before = *logged;
        *logged = before.saturating_add(bytes);
        before <= most && *logged > most
    }

    /// Whether it is too much.
    pub(crate) fn is_over(&self, role: &str, most: u64) -> bool {
        self.0.get(role).is_some_and(|(_, logged)| *logged > most)
    }

    /// Forgets hours that are over; whether one of them was too much.
    pub(crate) fn forget(&mut self, most: u64, now_ms: u64) -> bool {
        let before = self.0.values().filter(|(_, logged)| *logged > most).count();
        self.0.retain(|_, (began_ms, _)| now_ms.saturating_sub(*began_ms) < HOUR_MS);
        self.0.values().filter(|(_, logged)| *logged > most).count() < before
    }
}

#[cfg(test)]
mod tests {
    use super::{Floods, HOUR_MS};

    #[test]
    fn an_hour_begins_with_its_first_line_and_is_too_much_once() {
        let mut floods = Floods::default();
        assert!(!floods.add("a", 100, 100, 7) && !floods.is_over("a", 100));
        assert!(floods.add("a", 1, 100, 8) && floods.is_over("a", 100));
        assert!(!floods.add("a", u64::MAX, 100, 9) && !floods.is_over("b", 100));
        assert!(!floods.forget(100, HOUR_MS + 6) && floods.is_over("a", 100));
        assert!(floods.forget(100, HOUR_MS + 7) && !floods.is_over("a", 100));
        assert!(!floods.add("b", 5, 100, 0) && !floods.forget(100, HOUR_MS));
    }
}
