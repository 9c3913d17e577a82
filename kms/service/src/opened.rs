//! Opened keys: hosted keys and address roots that were used a moment ago, in wiped memory, few and for a short time.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use keyward_crypto::SigningKey;

/// By key or account: until when, and what was opened.
type Keys<T> = HashMap<[u8; 32], (u64, Arc<T>)>;

/// The cache: at most `max` keys, each for `lifetime_ms` from its opening.
pub(crate) struct Opened<T = SigningKey> {
    max: usize,
    lifetime_ms: u64,
    keys: Mutex<Keys<T>>,
}

impl<T> fmt::Debug for Opened<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened(redacted)")
    }
}

impl<T> Opened<T> {
    pub(crate) fn new(max: usize, lifetime_ms: u64) -> Self {
        Self { max, lifetime_ms, keys: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Keys<T>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, key_id: &[u8; 32], now_ms: u64) -> Option<Arc<T>> {
        let keys = self.lock();
        keys.get(key_id).filter(|(until_ms, _)| *until_ms > now_ms).map(|(_, key)| key.clone())
    }

    /// Keeps a key; when the cache is full, the one that would go next goes now.
    pub(crate) fn keep(&self, key_id: [u8; 32], key: Arc<T>, now_ms: u64) {
        let mut keys = self.lock();
        if keys.len() >= self.max && !keys.contains_key(&key_id) {
            let oldest = keys.iter().min_by_key(|(_, (until_ms, _))| *until_ms).map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                keys.remove(&oldest);
            }
        }
        keys.insert(key_id, (now_ms.saturating_add(self.lifetime_ms), key));
    }

    pub(crate) fn forget(&self, key_id: &[u8; 32]) {
        self.lock().remove(key_id);
    }

    /// Drops, and so wipes, what is past its time.
    pub(crate) fn sweep(&self, now_ms: u64) {
        self.lock().retain(|_, (until_ms, _)| *until_ms > now_ms);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use keyward_domain::scheme::Scheme;

    use super::*;

    #[test]
    fn opened_keys_are_few_and_go_in_time() {
        let opened = Opened::new(2, 10);
        let key = || Arc::new(SigningKey::generate(Scheme::Ed25519).unwrap());
        opened.keep([1; 32], key(), 0);
        opened.keep([2; 32], key(), 1);
        opened.keep([3; 32], key(), 2);
        assert!(opened.find(&[1; 32], 3).is_none(), "the oldest went");
        assert!(opened.find(&[2; 32], 10).is_some());
        assert!(opened.find(&[2; 32], 11).is_none(), "past its time");
        opened.sweep(11);
        opened.forget(&[3; 32]);
        assert!(opened.lock().is_empty());
    }
}
