//! The account of a certificate's holder: opened on the ledger when it is first used.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use keyward_domain::{AccountId, AccountName, Code};
use keyward_ledger_core::entry::Entry;
use keyward_store::{Account, AccountState, ActKind, Change};
use tokio::sync::Mutex;

use super::parts;
use crate::{acts::Plan, custody::Custody, failure::Failure};

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
    /// The open account of a certificate's holder.
    pub(crate) async fn principal_account(&self, name: &AccountName) -> Result<AccountId, Failure> {
        if let Some(account) = self.opening.find(name) {
            return Ok(account);
        }
        let _one = self.opening.one_at_a_time.lock().await;
        let (kind, short) = parts(name);
        let account = match self.store.account_by_name(kind, short).await? {
            Some(row) => match row.state {
                AccountState::Open => AccountId(row.account),
                AccountState::Pending => {
                    return Err(Failure::new(
                        Code::AccountPending,
                        "the account is being opened on the ledger",
                    ));
                }
                AccountState::Closed => {
                    return Err(Failure::new(Code::AccountClosed, "the account is closed"));
                }
            },
            None => self.open_principal(name).await?,
        };
        self.opening.keep(name, account);
        Ok(account)
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
