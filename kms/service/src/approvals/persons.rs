//! One person, several accounts: nobody approves what they asked for, and nobody approves twice, under another name.
//!
//! The ledger knows accounts alone. The service knows more: a user name, and the certificate of an operator, officer or
//! auditor, are each one person's, whatever the account; and who has the same name as a user and as an operator is taken for
//! the same. Apps are programs, through which many come. Who sits at a desk speaks with every key that its token agent holds: accounts
//! with keys at one desk are one person's.

use std::collections::BTreeSet;

use keyward_domain::{Code, Role};
use keyward_ledger_core::state::layout::{ApprovalCase, ApprovalCaseStatus as Status};
use keyward_store::{Custody as Place, Id, Key};

use crate::{accounts::PERSON, caller::Caller, custody::Custody, failure::Failure, ports::Final};

/// Names of persons, and of desks (`agent/..`, which is no person's name).
type Names = BTreeSet<String>;

fn of_principal(role: Role, name: &str) -> Option<String> {
    matches!(role, Role::Operator | Role::Officer | Role::Auditor).then(|| name.to_owned())
}

/// The person behind a certificate that is written down as `role/name`.
fn of_text(principal: &str) -> Option<String> {
    let (role, name) = principal.split_once('/')?;
    of_principal(Role::from_name(role)?, name)
}

impl Custody {
    /// The person whose account it is, if it is one's and known here, and the desks that hold keys of it.
    async fn names_behind(&self, account: &Id) -> Result<Names, Failure> {
        let Some(row) = self.store.account(*account).await? else { return Ok(Names::new()) };
        let role = Role::from_name(&row.kind);
        let person = if row.kind == PERSON {
            Some(row.name)
        } else {
            role.and_then(|role| of_principal(role, &row.name))
        };
        let desk = |key: Key| match key.custody {
            Place::Linked { agent: Some(agent), .. } => Some(format!("agent/{agent}")),
            _ => None,
        };
        let desks = self.store.keys(*account).await?.into_iter().filter_map(desk);
        Ok(person.into_iter().chain(desks).collect())
    }

    async fn persons_behind(&self, accounts: impl Iterator<Item = &Id>) -> Result<Names, Failure> {
        let mut names = Names::new();
        for account in accounts {
            names.extend(self.names_behind(account).await?);
        }
        Ok(names)
    }

    /// Who asks here.
    async fn persons_of(&self, caller: &Caller) -> Result<Names, Failure> {
        let own = caller.account.map(|account| account.0);
        let mut names = self.persons_behind(own.iter()).await?;
        names.extend(of_principal(caller.principal.role(), caller.principal.name()));
        Ok(names)
    }

    /// Who opened a case: its account, or the one that a blind case was opened for, and the certificate that brought it where it was opened here.
    async fn initiators(&self, case: &Id, found: &ApprovalCase) -> Result<Names, Failure> {
        let row = self.store.approval_of_case(*case).await?;
        let asked = row.as_ref().map(|row| &row.account);
        let mut names = self.persons_behind([&found.initiator].into_iter().chain(asked)).await?;
        names.extend(row.and_then(|row| of_text(&row.principal)));
        Ok(names)
    }

    /// Refuses an approver who opened the case under another account, or has approved it under one.
    pub(super) async fn refuse_second_self(
        &self,
        caller: &Caller,
        case: &Id,
        found: &ApprovalCase,
    ) -> Result<(), Failure> {
        let own = self.persons_of(caller).await?;
        if !own.is_disjoint(&self.initiators(case, found).await?) {
            let what = "the approver's person has opened the case under another account";
            return Err(Failure::new(Code::ApproverIsInitiator, what));
        }
        let others = found.approvals.iter().map(|(_, account)| account);
        let others = others.filter(|account| Some(**account) != caller.account.map(|account| account.0));
        if own.is_disjoint(&self.persons_behind(others).await?) {
            return Ok(());
        }
        let what = "the approver's person has approved under another account";
        Err(Failure::new(Code::ApprovalGiven, what))
    }

    /// Refuses to go by a case whose approvals are of the initiator's person, of the one who has it done, or two of one
    /// person's; wherever they were given. A case that the ledger does not know is the ledger's to refuse.
    pub(crate) async fn check_approvers(&self, caller: &Caller, case: &Id) -> Result<(), Failure> {
        match self.approval_case(case).await? {
            Some(found) => self.check_given(caller, case, &found).await,
            None => Ok(()),
        }
    }

    /// The same of a case that a record has used up, by a state in which it is: none can come any more.
    pub(crate) async fn check_approvers_used(
        &self,
        caller: &Caller,
        case: &Id,
        record: &dyn Final,
    ) -> Result<(), Failure> {
        match self.approval_case_since(case, record.height()).await?.0 {
            Some(found) if found.status == Status::Used => self.check_given(caller, case, &found).await,
            Some(_) => Err(Failure::new(
                Code::LedgerUnavailable,
                "the ledger does not show yet that the case is used up",
            )),
            None => {
                let what = "the case's time is over: nobody can look any more at who has approved it";
                Err(Failure::new(Code::ApprovalUnsigned, what))
            }
        }
    }

    async fn check_given(&self, caller: &Caller, case: &Id, found: &ApprovalCase) -> Result<(), Failure> {
        let mut one_side = self.initiators(case, found).await?;
        one_side.extend(self.persons_of(caller).await?);
        let (own, mut approvers) = (caller.account.map(|account| account.0), Names::new());
        for (_, account) in &found.approvals {
            let names = self.names_behind(account).await?;
            if own == Some(*account) || !names.is_disjoint(&one_side) {
                let what = "one of the approvals is by the person who asked for them, or who has it done";
                return Err(Failure::new(Code::ApproverIsInitiator, what));
            }
            if !names.is_disjoint(&approvers) {
                let what = "two of the approvals are by one person, under two accounts";
                return Err(Failure::new(Code::ApprovalGiven, what));
            }
            approvers.extend(names);
        }
        Ok(())
    }
}
