//! The account of a certificate's holder: opened on the ledger when it is first used.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use keyward_domain::{AccountId, AccountName, Code};
use keyward_ledger_core::entry::Entry;
use keyward_policies::Verb;
use keyward_store::{Account, AccountState, ActKind, Change};
use tokio::sync::Mutex;

use super::parts;
use crate::{acts::Plan, caller::Caller, custody::Custody, failure::Failure};

/// Accounts in memory at most.
const ACCOUNTS_MAX: usize = 65_536;

/// Open accounts by name, and the lock that opens one at a time.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    open: RwLock<HashMap<String, AccountId>>,
    one_at_a_time: Mutex<()>,
}

impl Opening {
    fn find(&self, name: &AccountName) -> Option<AccountId> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).get(name.as_str()).copied()
    }

    fn keep(&self, name: &AccountName, account: AccountId) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= ACCOUNTS_MAX {
            open.clear();
        }
        open.insert(name.as_str().to_owned(), account);
    }

    /// Something about the account changed.
    pub(crate) fn forget(&self, account: &[u8; 32]) {
        self.open.write().unwrap_or_else(PoisonError::into_inner).retain(|_, open| open.0 != *account);
    }
}

impl Custody {
    /// The open account of a certificate's holder, if there is one yet. Reading opens nothing, but waits for an
    /// opening that is under way here.
    pub(crate) async fn known_account(&self, name: &AccountName) -> Result<Option<AccountId>, Failure> {
        if let Some(account) = self.opening.find(name) {
            return Ok(Some(account));
        }
        match self.account_now(name).await {
            Err(failure) if failure.code == Code::AccountPending => {
                let _one = self.opening.one_at_a_time.lock().await;
                self.account_now(name).await
            }
            known => known,
        }
    }

    async fn account_now(&self, name: &AccountName) -> Result<Option<AccountId>, Failure> {
        let (kind, short) = parts(name);
        let Some(row) = self.store.account_by_name(kind, short).await? else { return Ok(None) };
        match row.state {
            AccountState::Open => {
                self.opening.keep(name, AccountId(row.account));
                Ok(Some(AccountId(row.account)))
            }
            AccountState::Pending => {
                Err(Failure::new(Code::AccountPending, "the account is being opened on the ledger"))
            }
            AccountState::Closed => Err(Failure::new(Code::AccountClosed, "the account is closed")),
        }
    }

    /// The caller with an account of its own, opened on the ledger now if it is the first use. Who may not do
    /// `verb` in an account of its own opens none.
    pub(crate) async fn with_account(
        &self,
        caller: &Caller,
        verb: Verb,
    ) -> Result<(Caller, AccountId), Failure> {
        if caller.account.is_none() {
            let own = AccountId([0; 32]);
            self.authorise_account(&Caller { account: Some(own), ..caller.clone() }, verb, own)?;
        }
        let account = match (caller.account, AccountName::of_principal(&caller.principal)) {
            (Some(account), _) => account,
            (None, Some(name)) => {
                let _one = self.opening.one_at_a_time.lock().await;
                match self.account_now(&name).await? {
                    Some(account) => account,
                    None => match self.open_principal(&name).await {
                        // Another server opens it at this moment.
                        Err(failure) if failure.code == Code::AccountExists => {
                            self.account_now(&name).await?.ok_or(failure)?
                        }
                        opened => opened?,
                    },
                }
            }
            (None, None) => caller.own_account()?,
        };
        Ok((Caller { account: Some(account), ..caller.clone() }, account))
    }

    async fn open_principal(&self, name: &AccountName) -> Result<AccountId, Failure> {
        let (salt, account) = self.new_commitment(name)?;
        let (kind, short) = parts(name);
        let row = Account {
            account,
            kind: kind.to_owned(),
            name: short.to_owned(),
            salt,
            opaque_record: None,
            credential: None,
            state: AccountState::Pending,
            login_failures: 0,
            login_last_ms: 0,
            created_ms: self.clock.now_ms(),
        };
        self.perform(Plan {
            kind: ActKind::Open,
            subject: account,
            entries: vec![Entry::OpenAccount { account }],
            before: vec![Change::InsertAccount(row)],
            accepted: vec![Change::SetAccountState(account, AccountState::Pending, AccountState::Open)],
            refused: vec![Change::RemovePendingAccount(account)],
            name: None,
            app: String::new(),
        })
        .await?;
        Ok(AccountId(account))
    }
}
