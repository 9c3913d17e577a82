//! What the ledger refused about a vault, as the person sees it.

use keyward_domain::Code;
use keyward_ledger_core::outcome::Refusal;

use crate::{failure::Failure, ports::Final};

/// A refused record. One that came too early says when there may be an attempt again.
pub(crate) fn refusal(record: &dyn Final) -> Failure {
    let outcome = record.outcome();
    let code = match outcome.refusal() {
        Some(Refusal::Expired | Refusal::ExpiryTooFar) => Code::AuthorSignatureExpired,
        Some(Refusal::RuleVersion) => Code::VaultVersionStale,
        Some(Refusal::RuleInvalid) => Code::VaultInvalid,
        _ => Code::of_ledger(outcome.name()),
    };
    let message = format!("the ledger refused it (`{}`)", outcome.name());
    let next_ms = match code {
        Code::AttemptsCooling | Code::AttemptsSpent => <[u8; 8]>::try_from(outcome.data.as_slice()).ok(),
        _ => None,
    };
    match next_ms.map(u64::from_be_bytes) {
        None => Failure::new(code, message),
        Some(next_ms) => {
            let wait_ms = next_ms.saturating_sub(record.time_ms());
            let message = format!("{message}; there may be one from Unix millisecond `{next_ms}` on");
            Failure { wait_ms: Some(wait_ms), ..Failure::new(code, message) }
        }
    }
}
