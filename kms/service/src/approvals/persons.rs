//! One person, several accounts: nobody approves what they asked for, and nobody approves twice, under another name.
//!
//! The ledger knows accounts alone. The service knows more: a user name, and the certificate of an operator, officer or
//! auditor, are each one person's, whatever the account; and who has the same name as a user and as an operator is taken for
//! the same. Apps are programs, through which many come.

use std::collections::BTreeSet;

use keyward_domain::{Code, Role};
use keyward_ledger_core::state::layout::ApprovalCase;
use keyward_store::Id;

use crate::{accounts::PERSON, caller::Caller, custody::Custody, failure::Failure};

/// Names of persons.
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
    /// The person whose account it is, if it is one's and known here.
    async fn person_behind(&self, account: &Id) -> Result<Option<String>, Failure> {
        let Some(row) = self.store.account(*account).await? else { return Ok(None) };
        let role = Role::from_name(&row.kind);
        Ok(if row.kind == PERSON {
            Some(row.name)
        } else {
            role.and_then(|role| of_principal(role, &row.name))
        })
    }

    async fn persons_behind(&self, accounts: impl Iterator<Item = &Id>) -> Result<Names, Failure> {
        let mut names = Names::new();
        for account in accounts {
            names.extend(self.person_behind(account).await?);
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

    /// Who opened a case: its account, and the certificate that brought it where it was opened here.
    async fn initiators(&self, case: &Id, found: &ApprovalCase) -> Result<Names, Failure> {
        let mut names = self.persons_behind([found.initiator].iter()).await?;
        let row = self.store.approval_of_case(*case).await?;
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
        let Some(found) = self.approval_case(case).await? else { return Ok(()) };
        let mut one_side = self.initiators(case, &found).await?;
        one_side.extend(self.persons_of(caller).await?);
        let (own, mut approvers) = (caller.account.map(|account| account.0), Names::new());
        for (_, account) in &found.approvals {
            let name = self.person_behind(account).await?;
            if own == Some(*account) || name.as_ref().is_some_and(|name| one_side.contains(name)) {
                let what = "one of the approvals is by the person who asked for them, or who has it done";
                return Err(Failure::new(Code::ApproverIsInitiator, what));
            }
            if name.is_some_and(|name| !approvers.insert(name)) {
                let what = "two of the approvals are by one person, under two accounts";
                return Err(Failure::new(Code::ApprovalGiven, what));
            }
        }
        Ok(())
    }
}
