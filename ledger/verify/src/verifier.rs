//! A verifier that remembers the headers it has checked last: receipts of one block share their header, and a signature's
//! receipt has that of its intent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keyward_ledger_core::receipt::Certified;
use keyward_ledger_core::trust::Trust;

use crate::failure::Failure;
use crate::tracker::{CertifiedBlock, SetTracker};

/// Headers that are remembered.
const SEEN_MAX: usize = 16;

/// What a certified header comes to.
pub(crate) type Checked = Arc<(SetTracker, CertifiedBlock)>;

/// Verifies receipts against one trust file. What it says of a receipt does not depend on those before.
#[derive(Debug)]
pub struct Verifier {
    trust: Trust,
    /// Checked headers with all that certifies them, the oldest first.
    seen: Mutex<VecDeque<(Certified, Checked)>>,
}

impl Verifier {
    /// Against a trust file.
    pub fn new(trust: &[u8]) -> Result<Self, Failure> {
        Ok(Self { trust: Trust::decode(trust)?, seen: Mutex::default() })
    }

    /// What is trusted.
    pub const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Certifies a header with what comes with it; the very same again costs no signature.
    pub(crate) fn certified(&self, certified: &Certified) -> Result<Checked, Failure> {
        if let Some((_, checked)) = self.seen().iter().find(|(known, _)| known == certified) {
            return Ok(checked.clone());
        }
        let checked = Arc::new(SetTracker::certified(self.trust.clone(), certified)?);
        let mut seen = self.seen();
        if seen.len() >= SEEN_MAX {
            seen.pop_front();
        }
        seen.push_back((certified.clone(), checked.clone()));
        Ok(checked)
    }

    fn seen(&self) -> MutexGuard<'_, VecDeque<(Certified, Checked)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
