//! What holds of a delegation at a moment: as the ledger would settle it, whether or not an entry has made it do so yet.

use keyward_domain::AccountId;
use keyward_ledger_core::{
    entry::{DelegationTerms, Party, RuleName, kind},
    state::{
        delegation::{DelegationState, Delegations, delegation_key, delegations_key},
        layout::{TimelockState, timelock_key},
    },
};
use keyward_store::Id;

use crate::{custody::Custody, failure::Failure};

impl Custody {
    /// The terms under which delegates act at that block time; none if they do not.
    pub(crate) async fn terms_at(
        &self,
        rule: &RuleName,
        time_ms: u64,
    ) -> Result<Option<DelegationTerms>, Failure> {
        let Some(state) = self.delegation(&rule.id(kind::APPOINT_DELEGATES)).await? else { return Ok(None) };
        if let Some(next) = state.next.filter(|next| next.from_ms <= time_ms) {
            let all = self.delegations(&rule.owner).await?;
            if all.hold_ms <= time_ms && self.open_case(&all, time_ms).await?.is_none() {
                return Ok(next.terms);
            }
        }
        Ok(state.terms.filter(|_| !state.stopped))
    }

    /// A delegation by its rule's id.
    pub(crate) async fn delegation(&self, rule: &Id) -> Result<Option<DelegationState>, Failure> {
        let value = self.ledger.state(delegation_key(rule)).await?;
        value.map(|value| DelegationState::decode(&value).map_err(Failure::internal)).transpose()
    }

    /// What an account's delegations have to do with each other.
    pub(crate) async fn delegations(&self, account: &Id) -> Result<Delegations, Failure> {
        let value = self.ledger.state(delegations_key(account)).await?;
        let all = value.map(|value| Delegations::decode(&value).map_err(Failure::internal)).transpose()?;
        Ok(all.unwrap_or_default())
    }

    /// The rule and case of an account's recovery that waits, is disputed or may be executed.
    pub(crate) async fn open_case(
        &self,
        all: &Delegations,
        time_ms: u64,
    ) -> Result<Option<(Id, Id)>, Failure> {
        let Some(rule) = all.recovery else { return Ok(None) };
        let Some(value) = self.ledger.state(timelock_key(&rule)).await? else { return Ok(None) };
        let live = TimelockState::decode(&value).map_err(Failure::internal)?.live;
        Ok(live.filter(|(_, ends_ms)| *ends_ms >= time_ms).map(|(case, _)| (rule, case)))
    }

    /// The account that somebody speaks for; none for keys that are not known here.
    pub(crate) async fn account_of(&self, party: &Party) -> Result<Option<AccountId>, Failure> {
        Ok(match party {
            Party::Credential(account) => Some(AccountId(*account)),
            Party::Key(key_id) => self.store.key(key_id.0).await?.map(|row| AccountId(row.account)),
        })
    }
}
