//! How often an account's addresses sign in a window of time: counted by the ledger under a handle that stands for the account in that
//! window alone.

use std::sync::{Mutex, PoisonError};

use keyward_crypto::unlinkable::AddressRoot;
use keyward_domain::Code;
use keyward_ledger_core::{
    entry::HandleLimit,
    state::layout::{RateState, rate_key},
};

use crate::{custody::Custody, failure::Failure};

/// How long the window of the rule is known without another look, in milliseconds.
const KNOWN_MS: u64 = 60_000;

/// The length of the rule's window, and until when it is taken for known.
pub(crate) type Limit = Mutex<Option<(u64, u64)>>;

impl Custody {
    /// What a use counts against now; nothing where no limit is configured.
    pub(super) async fn handle_limit(&self, root: &AddressRoot) -> Result<Option<HandleLimit>, Failure> {
        let Some(rule) = self.addresses.limit else { return Ok(None) };
        let window_ms = self.window_of(&rule).await?;
        let number = self.clock.now_ms() / window_ms.max(1);
        Ok(Some(HandleLimit { rule, handle: root.handle(window_ms, number) }))
    }

    async fn window_of(&self, rule: &[u8; 32]) -> Result<u64, Failure> {
        let now_ms = self.clock.now_ms();
        let known = *self.address_limit.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((window_ms, until_ms)) = known
            && now_ms < until_ms
        {
            return Ok(window_ms);
        }
        let unknown = || Failure::new(Code::RuleUnknown, "the ledger has no rate rule of the configured id");
        let value = self.ledger.state(rate_key(rule)).await?.ok_or_else(unknown)?;
        let terms = RateState::decode(&value).map_err(Failure::internal)?.terms;
        let ([window], []) = (terms.windows.as_slice(), terms.chargers.as_slice()) else {
            let what = "the configured rate rule must have one window, and nobody who charges it";
            return Err(Failure::new(Code::RuleInvalid, what));
        };
        let known = (window.length_ms, now_ms.saturating_add(KNOWN_MS));
        *self.address_limit.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(window.length_ms)
    }
}
