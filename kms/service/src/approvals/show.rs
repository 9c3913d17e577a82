//! Showing rules and cases: what the ledger proves, to those who have a part in it.

use keyward_domain::{AccountId, Code, approval::About};
use keyward_ledger_core::state::layout::{
    ApprovalCase, ApprovalCaseStatus as Status, ApprovalState, approval_case_key, approval_key, rate_key,
};
use keyward_policies::Verb;
use keyward_store::{ApprovalLine, ApprovalRule, Id};

use super::members;
use crate::{caller::Caller, custody::Custody, failure::Failure, vaults::floods::Flood};

/// Cases and rules that are listed at most.
const LISTED_MAX: u32 = 256;

/// A case, proven, and what it is about.
#[derive(Debug)]
pub(crate) struct ShownCase {
    pub(crate) case: Vec<u8>,
    pub(crate) rule: Vec<u8>,
    pub(crate) about: Option<About>,
}

/// A rule, proven; with its names where they are known here.
#[derive(Debug)]
pub(crate) struct ShownRule {
    pub(crate) names: Option<ApprovalRule>,
    pub(crate) receipt: Vec<u8>,
}

impl Custody {
    fn approval_account(&self, caller: &Caller, flood: Flood) -> Result<AccountId, Failure> {
        let own = caller.own_account()?;
        self.authorise_account(caller, Verb::ApprovalShow, own)?;
        self.floods.charge(own.0, flood, self.clock.now_ms())?;
        Ok(own)
    }

    /// One rule, or those that the caller's account has defined here.
    pub(crate) async fn show_approval_rules(
        &self,
        caller: &Caller,
        one: Option<Id>,
    ) -> Result<Vec<ShownRule>, Failure> {
        let _permit = self.permit()?;
        let own = self.approval_account(caller, Flood::Question)?;
        let wanted = match one {
            Some(rule) => vec![(rule, self.store.approval_rule(rule).await?)],
            None => {
                let rows = self.store.approval_rules(own.0, LISTED_MAX).await?;
                rows.into_iter().map(|row| (row.rule, Some(row))).collect()
            }
        };
        let mut shown = Vec::with_capacity(wanted.len());
        for (rule, names) in wanted {
            let receipt = self.ledger.proven(approval_key(&rule)).await?.receipt;
            shown.push(ShownRule { names, receipt });
        }
        Ok(shown)
    }

    /// A rate rule, which is kept nowhere but on the ledger.
    pub(crate) async fn show_rate_rule(&self, caller: &Caller, rule: &Id) -> Result<ShownRule, Failure> {
        let _permit = self.permit()?;
        self.approval_account(caller, Flood::Question)?;
        let receipt = self.ledger.proven(rate_key(rule)).await?.receipt;
        Ok(ShownRule { names: None, receipt })
    }

    /// The cases kept here that the caller asked for or is named by.
    pub(crate) async fn list_approvals(&self, caller: &Caller) -> Result<Vec<ApprovalLine>, Failure> {
        let own = self.approval_account(caller, Flood::Question)?;
        Ok(self.store.approvals(own.0, LISTED_MAX).await?)
    }

    /// A case that the caller has a part in.
    pub(crate) async fn show_approval(&self, caller: &Caller, case: &Id) -> Result<ShownCase, Failure> {
        let _permit = self.permit()?;
        let own = self.approval_account(caller, Flood::Question)?;
        let unknown =
            || Failure::new(Code::ApprovalUnknown, "no case of this id is open in which you have a part");
        let proven = self.ledger.proven(approval_case_key(case)).await?;
        let found = match &proven.value {
            Some(value) => ApprovalCase::decode(value).map_err(Failure::internal)?,
            None => return Err(unknown()),
        };
        let rule = self.ledger.proven(approval_key(&found.rule)).await?;
        if found.initiator != own.0
            && !self.asked_blindly(case, own).await?
            && !self.names_approver(rule.value.as_deref(), own).await?
        {
            return Err(unknown());
        }
        let about = self.about(case, &found).await?;
        Ok(ShownCase { case: proven.receipt, rule: rule.receipt, about })
    }

    async fn asked_blindly(&self, case: &Id, own: AccountId) -> Result<bool, Failure> {
        let row = self.store.approval_of_case(*case).await?;
        Ok(row.is_some_and(|row| row.account == own.0))
    }

    async fn names_approver(&self, rule: Option<&[u8]>, own: AccountId) -> Result<bool, Failure> {
        let Some(rule) = rule else { return Ok(false) };
        let rule = ApprovalState::decode(rule).map_err(Failure::internal)?;
        Ok(self.accounts_of(members(&rule)).await?.contains(&own.0))
    }

    /// What a case is about, as long as it is not closed.
    async fn about(&self, case: &Id, found: &ApprovalCase) -> Result<Option<About>, Failure> {
        if found.status == Status::Closed {
            // By another service: here it is erased now.
            self.erase_mail(case).await;
            return Ok(None);
        }
        match self.store.approval_of_case(*case).await? {
            Some(row) if !row.is_withdrawn() => self.opened_mail(&row).map(Some),
            _ => Ok(None),
        }
    }
}
