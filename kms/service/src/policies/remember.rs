//! Requests that were decided lately, for dry runs: whatever a decision needs, never a payload. Sealed in the database, bounded
//! in number, size and time.

use std::{collections::VecDeque, sync::PoisonError};

use keyward_crypto::{open, seal};
use keyward_policies::{
    Request, SharedSigning, SigningRequest,
    cases::{Asked, Decided},
};
use keyward_store::{Change, PolicyRequests};

use super::InForce;
use crate::{custody::Custody, failure::Failure};

const AAD: &[u8] = b"keyward/policy-requests/v1";
/// Requests that wait to be kept: what comes faster is not remembered.
const WAITING_MAX: usize = 256;
/// The longest request that is remembered, in bytes of JSON.
const REQUEST_LEN_MAX: usize = 8 << 10;
/// Rows that are kept, of some requests each that came between two looks.
pub(super) const ROWS_MAX: u32 = 128;
/// The longest row before it is sealed, in bytes of JSON; an envelope holds 64 KiB.
const ROW_LEN_MAX: usize = 32 << 10;
/// How long they are kept.
const KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// Those that are not kept yet.
#[derive(Debug, Default)]
pub(super) struct Remembered(VecDeque<(Asked, Option<u64>)>);

impl InForce {
    /// Remembers a request about a signature.
    pub(crate) fn remember_signing(&self, request: &SigningRequest<'_>, delegate: bool) {
        self.push(|| Asked::of_signing(request, delegate), Some(request.time_ms));
    }

    /// Remembers a request about a signature with a shared key.
    pub(crate) fn remember_shared(&self, request: &SharedSigning<'_>) {
        self.push(|| Asked::of_shared(request), Some(request.time_ms));
    }

    /// Remembers another request that a set may narrow.
    pub(crate) fn remember(&self, request: &Request<'_>) {
        self.push(|| Asked::of(request), None);
    }

    fn push(&self, asked: impl FnOnce() -> Option<Asked>, at_ms: Option<u64>) {
        let mut waiting = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.0.len() < WAITING_MAX
            && let Some(asked) = asked()
        {
            waiting.0.push_back((asked, at_ms));
        }
    }

    pub(super) fn take(&self, now_ms: u64) -> Vec<Decided> {
        let waiting = std::mem::take(&mut self.remembered.lock().unwrap_or_else(PoisonError::into_inner).0);
        let decided =
            waiting.into_iter().map(|(asked, at_ms)| Decided { asked, at_ms: at_ms.unwrap_or(now_ms) });
        let short = |one: &Decided| one.asked.to_json().is_ok_and(|json| json.len() <= REQUEST_LEN_MAX);
        decided.filter(short).collect()
    }
}

impl Custody {
    /// Keeps what was decided since the last look.
    pub(crate) async fn keep_decided(&self) -> Result<(), Failure> {
        let now_ms = self.clock.now_ms();
        let decided = self.policies.take(now_ms);
        if decided.is_empty() {
            return Ok(());
        }
        let mut changes = Vec::new();
        for row in rows(decided)? {
            let sealed = seal(&self.mail_key, AAD, &row).map_err(Failure::internal)?;
            changes.push(Change::KeepPolicyRequests(PolicyRequests { sealed, kept_ms: now_ms }));
        }
        let (rows, before_ms) = (u64::from(ROWS_MAX), now_ms.saturating_sub(KEPT_MS));
        changes.push(Change::PrunePolicyRequests { rows, before_ms });
        self.store.apply(changes).await?;
        Ok(())
    }

    /// What was decided lately, newest first.
    pub(super) async fn decided_lately(&self) -> Result<Vec<Decided>, Failure> {
        self.keep_decided().await?;
        let mut all = Vec::new();
        for row in self.store.policy_requests(ROWS_MAX).await? {
            let plain = open(&self.mail_key, AAD, &row.sealed).map_err(Failure::internal)?;
            let decided = plain.expose(Decided::decode).map_err(Failure::internal)?;
            all.extend(decided.into_iter().rev());
        }
        Ok(all)
    }
}

/// As many rows as it takes.
fn rows(decided: Vec<Decided>) -> Result<Vec<Vec<u8>>, Failure> {
    let (mut rows, mut row, mut len) = (Vec::new(), Vec::new(), 0);
    for one in decided {
        let own = Decided::encode(std::slice::from_ref(&one)).map_err(Failure::internal)?.len();
        if len + own > ROW_LEN_MAX && !row.is_empty() {
            rows.push(Decided::encode(&std::mem::take(&mut row)).map_err(Failure::internal)?);
            len = 0;
        }
        len += own;
        row.push(one);
    }
    rows.push(Decided::encode(&row).map_err(Failure::internal)?);
    Ok(rows)
}
