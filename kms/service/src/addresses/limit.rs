//! How often an account's addresses sign in a window of time: counted by the ledger under a handle that stands for the account in that
//! window alone.

use std::sync::{Mutex, PoisonError};

use keyward_crypto::unlinkable::AddressRoot;
use keyward_domain::Code;
use keyward_ledger_core::{
    entry::{HandleLimit, Window},
    state::{
        addresses::{HandleState, handle_key},
        layout::{RateState, rate_key},
    },
};

use crate::{custody::Custody, failure::Failure};

/// How long the window of the rule is known without another look, in milliseconds.
const KNOWN_MS: u64 = 60_000;

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
        let unknown = || Failure::new(Code::RuleUnknown, "the ledger has no rate rule of the configured id");
        let value = self.ledger.state(rate_key(rule)).await?.ok_or_else(unknown)?;
        let terms = RateState::decode(&value).map_err(Failure::internal)?.terms;
        let ([window], []) = (terms.windows.as_slice(), terms.chargers.as_slice()) else {
            let what = "the configured rate rule must have one window, and nobody who charges it";
            return Err(Failure::new(Code::RuleInvalid, what));
        };
        Ok(*window)
    }
}
