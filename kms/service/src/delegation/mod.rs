//! Delegates and recoveries: what persons sign is handed in, a recovered account logs in again, delegates act within limits.
//!
//! INVARIANT: nothing here decides who may recover what. The ledger does, by the signatures in the entry; the service asks
//! for a session so that strangers fill no log, and binds a login only once the ledger has bound its credential.

pub(crate) mod act;
pub(crate) mod entries;
pub(crate) mod recovery;
pub(crate) mod show;
pub(crate) mod terms;

use keyward_domain::{AccountId, Code};
use keyward_ledger_core::{
    entry::{Act, Authored, DelegationAct, Entry, Party},
    outcome::Refusal,
};

use crate::{custody::Custody, failure::Failure, ports::Final};

/// Blocks in which the record of an entry that was handed in before is looked for first.
const RECENT_BLOCKS: u64 = 256;

/// What an entry wants of a delegation, if it is about one, and who signed it.
fn act_of(entry: &Entry) -> Option<(&DelegationAct, &Authored)> {
    match entry {
        Entry::Authored(authored) => match &authored.act {
            Act::Delegation(act) => Some((act, authored)),
            _ => None,
        },
        _ => None,
    }
}

impl Custody {
    /// Whether one of these speaks for the account.
    pub(crate) async fn spoke(&self, parties: &[Party], own: AccountId) -> Result<bool, Failure> {
        for party in parties {
            if self.account_of(party).await? == Some(own) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The accepted record of an entry that was handed in before, by whomever, at most so many blocks ago. It stands no higher
    /// than its authors' signatures count.
    pub(crate) async fn recorded_before(
        &self,
        entry: &Entry,
        blocks_max: u64,
    ) -> Result<Option<Box<dyn Final>>, Failure> {
        let Entry::Authored(authored) = entry else { return Ok(None) };
        let height = self.ledger.height();
        let signed_until = authored.authors.iter().map(|author| author.not_after).min();
        let (first, last) = (height.saturating_sub(blocks_max), signed_until.unwrap_or(height).min(height));
        let recent = last.saturating_sub(RECENT_BLOCKS).max(first);
        for heights in [recent..=last, first..=recent.saturating_sub(1)] {
            if heights.is_empty() {
                continue;
            }
            if let Some(found) = self.ledger.accepted_within(heights, entry.clone()).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// A refused record, as the person sees it.
pub(crate) fn refusal(record: &dyn Final) -> Failure {
    let outcome = record.outcome();
    let code = match outcome.refusal() {
        Some(Refusal::Expired | Refusal::ExpiryTooFar) => Code::AuthorSignatureExpired,
        _ => Code::of_ledger(outcome.name()),
    };
    Failure::new(code, format!("the ledger refused it (`{}`)", outcome.name()))
}

fn malformed(why: impl Into<String>) -> Failure {
    Failure::new(Code::DelegationRequestMalformed, why)
}
