//! Requests that were judged lately, for replays: what signals look at, never a payload or a name. Sealed in the database, bounded
//! in number, size and time.

use std::sync::PoisonError;

use keyward_crypto::{open, seal};
use keyward_domain::{
    AccountId,
    risk::{Event, Outcome, Request},
};
use keyward_ledger_core::codec::{DecodeError, Reader, Writer};
use keyward_store::{Change, PolicyRequests};

use super::Risk;
use crate::{custody::Custody, failure::Failure};

const AAD: &[u8] = b"keyward/risk-requests/v1";
/// Requests that wait to be kept: what comes faster is not remembered.
const WAITING_MAX: usize = 1024;
/// Rows that are kept, of some requests each that came between two looks.
const ROWS_MAX: u32 = 256;
/// The longest row before it is sealed; an envelope holds 64 KiB.
const ROW_LEN_MAX: usize = 32 << 10;
/// How long they are kept.
const KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// Those that are not kept yet, encoded: `account[32] || u8 outcome (0: it did not go on) || u32 length || request`.
pub(super) type Remembered = Vec<Vec<u8>>;

impl Risk {
    /// Remembers a request; no outcome: it did not go on.
    pub(super) fn remember(&self, account: AccountId, request: &Request, outcome: Option<Outcome>) {
        let mut waiting = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING_MAX {
            let mut out = Writer::with_capacity(160);
            out.raw(&account.0).u8(outcome.map_or(0, |outcome| outcome as u8)).bytes(&request.encode());
            waiting.push(out.finish());
        }
    }
}

impl Custody {
    /// Keeps what was judged since the last look.
    pub(super) async fn keep_judged(&self) -> Result<(), Failure> {
        let judged =
            std::mem::take(&mut *self.risk.remembered.lock().unwrap_or_else(PoisonError::into_inner));
        if judged.is_empty() {
            return Ok(());
        }
        let kept_ms = self.clock.now_ms();
        let mut changes = Vec::new();
        for row in rows(judged) {
            let sealed = seal(&self.risk.key, AAD, &row).map_err(Failure::internal)?;
            changes.push(Change::KeepRiskRequests(PolicyRequests { sealed, kept_ms }));
        }
        let (rows, before_ms) = (u64::from(ROWS_MAX), kept_ms.saturating_sub(KEPT_MS));
        changes.push(Change::PruneRiskRequests { rows, before_ms });
        Ok(self.store.apply(changes).await?)
    }

    /// What was judged lately.
    pub(super) async fn judged_lately(&self) -> Result<Vec<Event>, Failure> {
        self.keep_judged().await?;
        let mut events = Vec::new();
        for row in self.store.risk_requests(ROWS_MAX).await? {
            let plain = open(&self.risk.key, AAD, &row.sealed).map_err(Failure::internal)?;
            events.extend(plain.expose(read).map_err(Failure::internal)?);
        }
        Ok(events)
    }
}

/// As many rows as it takes: `list of requests`. One that fills more than a row alone is not remembered.
fn rows(judged: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut rows: Vec<(usize, Vec<u8>)> = Vec::new();
    for one in judged.into_iter().filter(|one| one.len() <= ROW_LEN_MAX) {
        match rows.last_mut() {
            Some((count, row)) if row.len() + one.len() <= ROW_LEN_MAX => {
                *count += 1;
                row.extend(one);
            }
            _ => rows.push((1, one)),
        }
    }
    let row = |(count, requests): (usize, Vec<u8>)| {
        let mut out = Writer::with_capacity(4 + requests.len());
        out.count(count).raw(&requests);
        out.finish()
    };
    rows.into_iter().map(row).collect()
}

fn read(bytes: &[u8]) -> Result<Vec<Event>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let events = reader.list("requests", ROW_LEN_MAX, |reader| {
        let account = AccountId(reader.array("account")?);
        let outcome = match reader.u8("outcome")? {
            0 => None,
            1 => Some(Outcome::Allowed),
            2 => Some(Outcome::Approved),
            code => return Err(DecodeError::UnknownCode { what: "outcome", code: code.into() }),
        };
        let request = Request::decode(reader.bytes("request", ROW_LEN_MAX)?)?;
        Ok(Event { account, request, outcome })
    })?;
    reader.finish("requests")?;
    Ok(events)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use keyward_domain::risk::{Mark, Verb};

    use super::*;

    fn encoded(number: u64, counterparties: usize) -> Vec<u8> {
        let request = Request {
            time_ms: number,
            verb: Verb::Sign,
            opaque: false,
            spend: None,
            counterparties: vec![Mark([7; 16]); counterparties],
            app: None,
            origin: None,
        };
        let mut out = Writer::with_capacity(64);
        out.raw(&[9; 32]).u8((number % 3) as u8).bytes(&request.encode());
        out.finish()
    }

    #[test]
    fn requests_come_back_from_as_few_rows_as_they_fill() {
        let judged: Vec<_> = (0..900).map(|number| encoded(number, 3)).collect();
        let rows = rows(judged);
        assert!(rows.len() > 1 && rows.iter().all(|row| row.len() <= ROW_LEN_MAX + 4), "{}", rows.len());
        let events: Vec<_> = rows.iter().flat_map(|row| read(row).unwrap()).collect();
        let times: Vec<_> = events.iter().map(|event| event.request.time_ms).collect();
        assert_eq!(times, (0..900).collect::<Vec<_>>());
        let outcomes: Vec<_> = events[..3].iter().map(|event| event.outcome).collect();
        assert_eq!(outcomes, [None, Some(Outcome::Allowed), Some(Outcome::Approved)]);
        assert!(read(&rows[0][..rows[0].len() - 1]).is_err());
    }
}
