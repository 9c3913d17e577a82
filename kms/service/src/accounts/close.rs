//! Closing the caller's account, for good: its keys sign no more, because the ledger refuses their intents.

use keyward_ledger_core::entry::Entry;
use keyward_policies::Verb;
use keyward_store::{AccountState, ActKind, Change, Id};

use crate::{
    acts::Plan,
    caller::Caller,
    custody::Custody,
    failure::Failure,
    once::{Once, request_hash},
};

impl Custody {
    /// Closes the person's account; returns the receipt.
    pub(crate) async fn close_account(&self, caller: &Caller, mark: &[u8]) -> Result<Vec<u8>, Failure> {
        let account = caller.person()?.account;
        self.authorise_account(caller, Verb::AccountClose, account)?;
        let name = match self.once(caller, mark, request_hash("account.close", &[&account.0])).await? {
            Once::Done(receipt) => return Ok(receipt),
            Once::Fresh(name) => name,
        };
        let receipt = self
            .perform(Plan {
                kind: ActKind::Close,
                subject: account.0,
                entries: vec![Entry::CloseAccount { account: account.0 }],
                before: Vec::new(),
                accepted: self.closing(account.0),
                refused: Vec::new(),
                name,
                app: String::new(),
            })
            .await?;
        self.sessions.forget(account);
        for key in self.store.keys(account.0).await? {
            self.opened.forget(&key.key_id);
            self.keys.forget(&key.key_id);
        }
        Ok(receipt)
    }

    /// What closing does here; its profile goes with it.
    pub(crate) fn closing(&self, account: Id) -> Vec<Change> {
        vec![
            Change::SetAccountState(account, AccountState::Open, AccountState::Closed),
            Change::EndSessions(account),
            self.erasure(account),
        ]
    }
}
