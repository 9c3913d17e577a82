//! Closing the caller's account, for good: its keys sign no more and its vaults open no more, because the ledger refuses it.

use keyward_ledger_core::entry::Entry;
use keyward_policies::Verb;
use keyward_store::{AccountState, ActKind, Change, Id};

use crate::{
    acts::Plan,
    caller::Caller,
    custody::Custody,
    failure::Failure,
    once::{Once, request_hash},
    vaults::ended::Ended,
};

/// What came of closing.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) receipt: Vec<u8>,
    /// The vaults that went with it, as far as this service knew them.
    pub(crate) vaults: Vec<Ended>,
}

impl Custody {
    /// Closes the person's account, then ends its vaults: as long as it is open only its own credential can end them, and
    /// once it is closed the ledger takes no attempt at them.
    pub(crate) async fn close_account(&self, caller: &Caller, mark: &[u8]) -> Result<Closed, Failure> {
        let account = caller.person()?.account;
        self.authorise_account(caller, Verb::AccountClose, account)?;
        let name = match self.once(caller, mark, request_hash("account.close", &[&account.0])).await? {
            Once::Done(receipt) => return Ok(Closed { receipt, vaults: Vec::new() }),
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
        Ok(Closed { receipt, vaults: self.end_vaults_of(account.0).await.unwrap_or_default() })
    }

    /// What closing does here; profile and one-time codes go with it.
    pub(crate) fn closing(&self, account: Id) -> Vec<Change> {
        let mut changes = vec![
            Change::SetAccountState(account, AccountState::Open, AccountState::Closed),
            Change::EndSessions(account),
            self.erasure(account),
        ];
        changes.extend(Self::without_codes(account));
        changes
    }
}
