//! What the ledger says, as far as it can be verified here: the one place where a vault's receipts are read.

use std::sync::Arc;

use keyward_ledger_core::entry::Entry;
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_verify::{Failure, StateQuery};

use super::error::VaultError;
use crate::client::Client;
use crate::evidence::EvidenceError;
use crate::receipts::{Trusted, recent};

/// An account's view of a ledger, through a trust file.
pub(crate) struct View {
    trusted: Arc<Trusted>,
    pub(crate) account: [u8; 32],
}

/// What stands under a key, and since when.
pub(crate) struct Proven {
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) height: u64,
    pub(crate) time_ms: u64,
}

/// A record of the log.
pub(crate) struct Recorded {
    pub(crate) entry: Option<Entry>,
    pub(crate) outcome: Outcome,
    pub(crate) leaf_index: u64,
    pub(crate) height: u64,
}

impl Client {
    /// The view of the session's account; without a trust file or a session there is none.
    pub(crate) fn view(&self) -> Result<View, VaultError> {
        let trusted = self.trusted.clone().ok_or(VaultError::TrustMissing)?;
        Ok(View { trusted, account: self.account.ok_or(VaultError::AccountMissing)? })
    }
}

impl Client {
    /// The view of whoever has no vault to look at, with or without a session.
    pub(crate) fn outside(&self) -> Result<View, VaultError> {
        let trusted = self.trusted.clone().ok_or(VaultError::TrustMissing)?;
        Ok(View { trusted, account: self.account.unwrap_or_default() })
    }
}

impl View {
    pub(crate) fn chain_id(&self) -> [u8; 32] {
        self.trusted.chain_id
    }

    /// What stands under `key`: of this ledger, recent, and not from before `min_height`.
    pub(crate) fn state(
        &self,
        what: &'static str,
        key: &[u8],
        receipt: &[u8],
        min_height: u64,
    ) -> Result<Proven, VaultError> {
        let query = StateQuery { key, min_height, max_age: Some(recent()) };
        match self.trusted.verifier.state(receipt, &query) {
            Ok(found) => Ok(Proven { value: found.value, height: found.height, time_ms: found.time_ms }),
            Err(source @ (Failure::TooOld { .. } | Failure::TooLow { .. })) => {
                Err(VaultError::Stale { what, source })
            }
            Err(source) => Err(EvidenceError::proof(what)(source).into()),
        }
    }

    /// A record of this ledger, accepted or not.
    pub(crate) fn record(&self, what: &'static str, receipt: &[u8]) -> Result<Recorded, EvidenceError> {
        let found = self.trusted.verifier.receipt(receipt, None).map_err(EvidenceError::proof(what))?;
        Ok(Recorded {
            entry: found.entry,
            outcome: found.outcome,
            leaf_index: found.leaf_index,
            height: found.height,
        })
    }

    /// The record of exactly this entry, which the ledger has accepted.
    pub(crate) fn accepted(&self, entry: &Entry, receipt: &[u8]) -> Result<Recorded, EvidenceError> {
        let record = self.record("the entry", receipt)?;
        if record.entry.as_ref() != Some(entry) {
            return Err(EvidenceError::Substituted("the receipt of another entry"));
        }
        EvidenceError::accepted(&record.outcome)?;
        Ok(record)
    }
}
