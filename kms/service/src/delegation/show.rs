//! Showing whom an account trusts: what the ledger proves, to the account itself and to those whom it names.

use keyward_domain::{AccountId, Code};
use keyward_ledger_core::state::{
    delegation::{DelegationState, Delegations, delegation_key, delegations_key},
    layout::{TimelockState, timelock_case_key, timelock_key},
};
use keyward_policies::{Edition, Verb};
use keyward_store::Id;

use crate::{caller::Caller, custody::Custody, failure::Failure, vaults::floods::Flood};

/// State receipts of an account's delegations.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) account: Vec<u8>,
    pub(crate) delegations: Vec<ShownOne>,
}

/// State receipts of one of them.
#[derive(Debug)]
pub(crate) struct ShownOne {
    pub(crate) delegation: Vec<u8>,
    pub(crate) timelock: Vec<u8>,
    /// Empty where no recovery was opened.
    pub(crate) recovery: Vec<u8>,
}

impl Custody {
    /// The policy sets under which delegates may act here, for anybody within a session.
    pub(crate) fn delegate_editions(&self, caller: &Caller) -> Result<&[Edition], Failure> {
        self.authorise_account(caller, Verb::DelegationShow, caller.person()?.account)?;
        Ok(self.delegate_policies.editions())
    }

    /// The delegations of the caller's account, or of another those that name the caller's.
    pub(crate) async fn show_delegations(&self, caller: &Caller, of: Option<Id>) -> Result<Shown, Failure> {
        let _permit = self.permit()?;
        let own = caller.person()?.account;
        self.authorise_account(caller, Verb::DelegationShow, own)?;
        self.floods.charge(own.0, Flood::Question, self.clock.now_ms())?;
        let account = of.unwrap_or(own.0);
        let all = self.ledger.proven(delegations_key(&account)).await?;
        let rules = match &all.value {
            Some(value) => Delegations::decode(value).map_err(Failure::internal)?.rules,
            None => Vec::new(),
        };
        let mut delegations = Vec::new();
        for rule in rules {
            delegations.extend(self.show_delegation(&rule, (account != own.0).then_some(own.0)).await?);
        }
        if account != own.0 && delegations.is_empty() {
            return Err(Failure::new(Code::DelegationNotInForce, "no delegation of the account names yours"));
        }
        Ok(Shown { account: all.receipt, delegations })
    }

    /// One of them; nothing if it has to name an account that it does not name.
    async fn show_delegation(&self, rule: &Id, naming: Option<Id>) -> Result<Option<ShownOne>, Failure> {
        let delegation = self.ledger.proven(delegation_key(rule)).await?;
        let Some(value) = &delegation.value else { return Ok(None) };
        let state = DelegationState::decode(value).map_err(Failure::internal)?;
        if let Some(account) = naming
            && !self.names(&state, account).await?
        {
            return Ok(None);
        }
        let timelock = self.ledger.proven(timelock_key(rule)).await?;
        let live = match &timelock.value {
            Some(value) => TimelockState::decode(value).map_err(Failure::internal)?.live,
            None => None,
        };
        let recovery = match live {
            Some((case, _)) => self.ledger.proven(timelock_case_key(&case)).await?.receipt,
            None => Vec::new(),
        };
        Ok(Some(ShownOne { delegation: delegation.receipt, timelock: timelock.receipt, recovery }))
    }

    /// Whether terms, in force or to come, name the account as a delegate, by its credential or by a key of it.
    async fn names(&self, state: &DelegationState, account: Id) -> Result<bool, Failure> {
        let next = state.next.as_ref().and_then(|next| next.terms.as_ref());
        for terms in state.terms.iter().chain(next) {
            if self.spoke(&terms.delegates, AccountId(account)).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
