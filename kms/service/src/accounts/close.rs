//! Closing the caller's account, for good: its keys sign no more and its vaults open no more, because the ledger refuses it.

use keyward_domain::{AccountId, Code};
use keyward_ledger_core::{
    entry::{Act, Authored, ENTRY_BYTES_MAX, Entry},
    state::layout::credential_key,
};
use keyward_policies::Verb;
use keyward_store::{AccountState, ActKind, Change, Id};

use crate::{
    acts::Plan,
    caller::Caller,
    custody::Custody,
    failure::Failure,
    once::{Once, request_hash},
    vaults::{ended::Ended, floods::Flood},
};

/// What came of closing.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) receipt: Vec<u8>,
    /// The vaults that went with it, as far as this service knew them.
    pub(crate) vaults: Vec<Ended>,
    /// What is kept of its addresses is not sealed yet: upkeep goes on until it is.
    pub(crate) keeping_waits: bool,
}

impl Custody {
    /// The state receipt of the credential that has to sign a closing.
    pub(crate) async fn prepare_close(&self, caller: &Caller) -> Result<Vec<u8>, Failure> {
        let account = caller.person()?.account;
        self.authorise_account(caller, Verb::AccountClose, account)?;
        Ok(self.ledger.proven(credential_key(&account.0)).await?.receipt)
    }

    /// Hands in the entry with which a person closes the account, then ends its vaults: as long as it is open only its own
    /// credential can end them, and once it is closed the ledger takes no attempt at them.
    pub(crate) async fn close_account(
        &self,
        caller: &Caller,
        entry: &[u8],
        mark: &[u8],
    ) -> Result<Closed, Failure> {
        let account = caller.person()?.account;
        self.authorise_account(caller, Verb::AccountClose, account)?;
        let closing = own_entry(entry, &account.0)?;
        let hash = request_hash("account.close", &[&account.0, entry]);
        let name = match self.once(caller, mark, hash).await? {
            Once::Done(receipt) => {
                let keeping_waits = self.keeping_waits(account.0).await;
                return Ok(Closed { receipt, vaults: Vec::new(), keeping_waits });
            }
            Once::Fresh(name) => name,
        };
        let ready = async {
            // One that the ledger refuses stands there too.
            self.floods.charge(account.0, Flood::Entry, self.clock.now_ms())?;
            // What can be known to fail must fail before; but nobody is to wait for the token to close what is closed.
            if let Err(failure) = self.closing_addresses(account.0).await {
                self.require_open_on_ledger(account).await?;
                return Err(failure);
            }
            Ok(())
        };
        if let Err(failure) = ready.await {
            self.give_back(name).await;
            return Err(failure);
        }
        let plan = Plan {
            kind: ActKind::Close,
            subject: account.0,
            entries: vec![closing],
            before: Vec::new(),
            accepted: self.closing_beside_addresses(account.0),
            refused: Vec::new(),
            name,
            app: String::new(),
        };
        // The account may have chosen addresses up to then; now that it is closed it can no more.
        let addresses = async {
            self.keep_closed(account.0).await;
            Ok(())
        };
        let done = self.perform_with(plan, addresses).await;
        if done.as_ref().is_err_and(|failure| failure.code == Code::AccountClosed) {
            self.follow_closing(account.0).await?;
        }
        let receipt = done?;
        self.sessions.forget(account);
        self.roots.forget(&account.0);
        for key in self.store.keys(account.0).await? {
            self.opened.forget(&key.key_id);
            self.keys.forget(&key.key_id);
        }
        let vaults = self.end_vaults_of(account.0).await.unwrap_or_default();
        Ok(Closed { receipt, vaults, keeping_waits: self.keeping_waits(account.0).await })
    }

    /// The account was closed by way of another service: what goes with it goes here too.
    pub(crate) async fn follow_closing(&self, account: Id) -> Result<(), Failure> {
        // What must end at once waits for nothing: what is kept of its addresses needs the token.
        self.sessions.forget(AccountId(account));
        self.roots.forget(&account);
        self.store.apply(vec![Change::EndSessions(account)]).await?;
        let row = self.store.account(account).await?;
        if row.is_some_and(|row| row.state == AccountState::Open) {
            self.store.apply(self.closing_beside_addresses(account)).await?;
        }
        self.keep_closed(account).await;
        Ok(())
    }

    /// What closing does here, beside its addresses; profile, one-time codes and what its cases were about go with it. What opens its
    /// epochs stays as long as audit terms say (`keep_closed`).
    pub(crate) fn closing_beside_addresses(&self, account: Id) -> Vec<Change> {
        let mut changes = vec![
            Change::SetAccountState(account, AccountState::Open, AccountState::Closed),
            Change::EndSessions(account),
            self.erasure(account),
            Change::RemoveApprovalsOf(account),
            Change::EraseRiskHistory(account),
        ];
        changes.extend(Self::without_codes(account));
        changes
    }
}

/// The entry, if it closes this account in its own name. Whose signature it bears the ledger knows.
fn own_entry(bytes: &[u8], account: &Id) -> Result<Entry, Failure> {
    let entry = if bytes.len() > ENTRY_BYTES_MAX { None } else { Entry::decode(bytes).ok() };
    let entry = entry.filter(|entry| match entry {
        Entry::Authored(Authored { act: Act::CloseAccount { account: of }, .. }) => of == account,
        _ => false,
    });
    let why = "it takes an entry `close-own-account` of the session's account, signed by its credential";
    entry.ok_or_else(|| Failure::new(Code::EntryMalformed, why))
}
