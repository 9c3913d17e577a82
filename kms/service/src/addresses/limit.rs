//! How often an account's addresses sign in a window of time: counted by the ledger under a handle that stands for the account in that
//! window alone.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use keyward_crypto::unlinkable::AddressRoot;
use keyward_domain::Code;
use keyward_ledger_core::{
    entry::{HandleLimit, RateTerms, Terms as _, Window},
    state::{
        addresses::{HandleState, handle_key},
        layout::{RateState, rate_key},
    },
};

use crate::{custody::Custody, failure::Failure, hex::hex};

/// How long the window of the rule is known without another look, in milliseconds.
const KNOWN_MS: u64 = 60_000;
/// The pause between two looks for a rule that does not show yet.
const AGAIN_PAUSE: Duration = Duration::from_millis(100);

/// The length of the rule's window, and until when it is taken for known.
pub(crate) type Limit = Mutex<Option<(u64, u64)>>;

impl Custody {
    /// What a use counts against now; nothing where no limit is configured. Refused where nothing is left: a refused record would stand
    /// there for good, with one more address under the handle, and approvals that were used up for it would be gone.
    pub(super) async fn handle_limit(&self, root: &AddressRoot) -> Result<Option<HandleLimit>, Failure> {
        let Some(rule) = self.addresses.limit else { return Ok(None) };
        let window_ms = self.window_of(&rule).await?;
        let number = self.clock.now_ms() / window_ms.max(1);
        let limit = HandleLimit { rule, handle: root.handle(window_ms, number) };
        self.refuse_used_up(&limit).await?;
        Ok(Some(limit))
    }

    async fn refuse_used_up(&self, limit: &HandleLimit) -> Result<(), Failure> {
        let Some(value) = self.ledger.state(handle_key(&limit.rule, &limit.handle)).await? else {
            return Ok(());
        };
        let counted = HandleState::decode(&value).map_err(Failure::internal)?;
        if counted.ends_ms < self.clock.now_ms()
            || counted.count < self.rule_window(&limit.rule).await?.count_max
        {
            return Ok(());
        }
        let what = format!(
            "`{}` addresses were used in the window of the limit, as many as it lets through",
            counted.count
        );
        Err(Failure::new(Code::RateExceeded, what))
    }

    async fn window_of(&self, rule: &[u8; 32]) -> Result<u64, Failure> {
        let now_ms = self.clock.now_ms();
        let known = *self.address_limit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((window_ms, until_ms)) = known
            && now_ms < until_ms
        {
            return Ok(window_ms);
        }
        let window = self.rule_window(rule).await?;
        let known = (window.length_ms, now_ms.saturating_add(KNOWN_MS));
        *self.address_limit.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(window.length_ms)
    }

    /// The one window of the rule, as the ledger has it.
    async fn rule_window(&self, rule: &[u8; 32]) -> Result<Window, Failure> {
        let unknown = || {
            let what = format!("the ledger has no rate rule `{}`, by which uses are counted", hex(rule));
            Failure::new(Code::RuleUnknown, what)
        };
        let value = self.ledger.state(rate_key(rule)).await?.ok_or_else(unknown)?;
        one_window(&RateState::decode(&value).map_err(Failure::internal)?.terms)
    }

    /// Refuses a configured rule that counts nothing, so that the operator hears of it and not the first who signs. A rule that was
    /// defined just now has so long to show; where the ledger does not answer, each use asks again.
    pub(crate) async fn check_limit(&self, wait: Duration) -> Result<(), Failure> {
        let Some(rule) = self.addresses.limit else { return Ok(()) };
        let until = tokio::time::Instant::now() + wait;
        loop {
            match self.rule_window(&rule).await {
                Err(failure) if failure.code == Code::RuleUnknown && tokio::time::Instant::now() < until => {
                    tokio::time::sleep(AGAIN_PAUSE).await;
                }
                Err(failure) if matches!(failure.code, Code::RuleUnknown | Code::RuleInvalid) => {
                    let message = format!(
                        "`limit` of `[addresses]`: {}; define one (`keyward address limit define`) and name its id, or take the line out",
                        failure.message
                    );
                    return Err(Failure { message, ..failure });
                }
                Err(failure) => {
                    tracing::warn!(%failure, "the ledger does not say yet by which rule uses of addresses are counted");
                    return Ok(());
                }
                Ok(_) => return Ok(()),
            }
        }
    }
}

/// Refuses the terms of a rate rule by which uses of addresses cannot be counted, or none would be let through.
pub(crate) fn check_limit_terms(terms: &RateTerms) -> Result<(), Failure> {
    let window = one_window(terms)?;
    if terms.is_sound() && window.count_max > 0 {
        return Ok(());
    }
    let what = "a limit of addresses lets at least one use through, in a window of 1 second to 366 days";
    Err(Failure::new(Code::RuleInvalid, what))
}

/// The window in which the ledger counts uses under a handle.
fn one_window(terms: &RateTerms) -> Result<Window, Failure> {
    match (terms.windows.as_slice(), terms.chargers.as_slice()) {
        ([window], []) => Ok(*window),
        (windows, chargers) => {
            let what = format!(
                "what counts uses of addresses is a rate rule with one window that nobody charges, not with {} windows and {} who charge it",
                windows.len(),
                chargers.len()
            );
            Err(Failure::new(Code::RuleInvalid, what))
        }
    }
}
