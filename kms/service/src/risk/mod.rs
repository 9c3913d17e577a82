//! The tenant's rules of risk: which set is in force, what it says of a request, and each account's history.
//!
//! INVARIANT: the ledger says which set is in force. Where its word is not known, or its text not at hand or not read by this
//! build, nothing is signed. Without a published set the service's own rules watch: they keep scores, and hold nothing back.

mod book;
mod judge;
mod remember;
mod show;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use keyward_crypto::MemoryKek;
use keyward_domain::{
    Code,
    publication::Published,
    risk::{RuleSet, rules_text_hash},
};
use keyward_ledger_core::state::policy::PolicyState;
use keyward_policies::risk::default_rules;
use keyward_store::{Change, PolicyVersion};

use self::{book::Book, remember::Remembered};
pub(crate) use self::{
    judge::{Asking, ToKeep, Weighed},
    show::Habits,
};
use crate::{
    custody::Custody,
    failure::Failure,
    policies::{decode, own_tenant},
};

/// The rules in force, the histories that they are held against, and what was judged lately.
pub(crate) struct Risk {
    default: Arc<RuleSet>,
    now: RwLock<Standing>,
    /// Histories and requests are sealed under it.
    key: MemoryKek,
    book: Book,
    remembered: Mutex<Remembered>,
}

/// The rules in force, as the ledger said last.
#[derive(Clone)]
pub(crate) struct Standing {
    /// What the ledger has; none: no set was ever published.
    pub(crate) state: Option<PolicyState>,
    /// None where it is not known what is in force, or how it reads.
    rules: Option<Arc<RuleSet>>,
}

impl Risk {
    /// Until the ledger has said what is in force, nothing is signed.
    pub(crate) fn new(key: MemoryKek) -> Result<Self, Failure> {
        Ok(Self {
            default: Arc::new(default_rules().map_err(Failure::internal)?),
            now: RwLock::new(Standing { state: None, rules: None }),
            key,
            book: Book::default(),
            remembered: Mutex::default(),
        })
    }

    pub(crate) fn standing(&self) -> Standing {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A version never goes back: a validator that lags says less than was known.
    fn replace(&self, standing: Standing) {
        let version = |standing: &Standing| standing.state.as_ref().map_or(0, |state| state.version);
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if version(&standing) >= version(&now) {
            *now = standing;
        }
    }

    /// The rules of a state and a text; none where they do not fit.
    fn standing_of(&self, state: Option<PolicyState>, text: Option<String>) -> Standing {
        let Some(state) = state else {
            return Standing { state: None, rules: Some(self.default.clone()) };
        };
        let rules = text.filter(|text| rules_text_hash(text) == state.set).and_then(|text| {
            let rules = RuleSet::parse(&text).inspect_err(|error| {
                tracing::error!(%error, "the rules of risk in force are not read by this version");
            });
            rules.ok().map(Arc::new)
        });
        Standing { state: Some(state), rules }
    }
}

impl Custody {
    /// Puts in force what the ledger says. When it does not answer, what was known goes on.
    pub(crate) async fn look_at_risk(&self) -> Result<(), Failure> {
        let key = Published::Risk.state_key(&own_tenant(&self.tenant));
        let state = decode(self.ledger.state(key).await?)?;
        let before = self.risk.standing();
        // A text that was not at hand may have come since.
        if before.state == state && before.rules.is_some() {
            return Ok(());
        }
        let text = match &state {
            Some(state) => self.store.policy_text(state.set).await?,
            None => None,
        };
        let standing = self.risk.standing_of(state, text);
        if let Some(state) = &standing.state
            && before.state.as_ref() != Some(state)
        {
            let (version, hash, kept_ms) = (state.version, state.set, self.clock.now_ms());
            let row = PolicyVersion { version, hash, account: None, kept_ms };
            self.store.apply(vec![Change::PutRiskVersion(row)]).await?;
            tracing::info!(version, known = standing.rules.is_some(), "rules of risk are in force");
        }
        self.risk.replace(standing);
        Ok(())
    }

    /// The rules that judge now. No refusal is from memory.
    async fn risk_rules(&self) -> Result<Arc<RuleSet>, Failure> {
        if let Some(rules) = self.risk.standing().rules {
            return Ok(rules);
        }
        self.look_at_risk().await?;
        self.risk.standing().rules.ok_or_else(|| {
            let what = "the rules of risk in force are not at hand, or not read by this version";
            Failure::new(Code::RiskRulesUnknown, what)
        })
    }
}
