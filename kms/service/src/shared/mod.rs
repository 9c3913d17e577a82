//! Shared keys: what holders sign is handed in and passed on, and what the ledger has of a key is shown. No share comes here.
//!
//! INVARIANT: every call is one of the key's own account, but for a veto, which carries its own proof. Signing with a shared key
//! is the guard's (`guard/shared`).

pub(crate) mod bind;
pub(crate) mod entries;
pub(crate) mod facts;
pub(crate) mod policy;
pub(crate) mod relay;
pub(crate) mod show;

use std::sync::Arc;

use keyward_domain::{AccountId, Code};
use keyward_ledger_core::{
    entry::{Act, Entry, SharedAct},
    outcome::Refusal,
};
use keyward_policies::Verb;
use keyward_store::{Custody as Place, Id};

use crate::{
    caller::Caller, custody::Custody, failure::Failure, handed_in, hex::hex, keybook::KnownKey, ports::Final,
};

impl Custody {
    /// The caller's own account, if it may do this with its shared keys.
    pub(crate) fn shared_account(&self, caller: &Caller, verb: Verb) -> Result<AccountId, Failure> {
        let account = caller.own_account()?;
        self.authorise_account(caller, verb, account)?;
        caller.in_time(self.clock.now_ms())?;
        Ok(account)
    }

    /// A shared key of this account, as its row says now. Another account's is unknown: ids tell nothing.
    pub(crate) async fn own_shared_key(
        &self,
        caller: &Caller,
        account: AccountId,
        key_id: &Id,
    ) -> Result<Arc<KnownKey>, Failure> {
        let key = self.named_key_now(caller, &hex(key_id)).await?;
        if key.account() != account {
            return Err(Failure::new(Code::KeyUnknown, "no such key that you may use"));
        }
        encoded(&key)?;
        Ok(key)
    }
}

/// What is public of a shared key, as its row has it; refused for keys of other modes.
pub(crate) fn encoded(key: &KnownKey) -> Result<&[u8], Failure> {
    match &key.row.custody {
        Place::Shared { shared_key } => Ok(shared_key),
        _ => Err(Failure::new(Code::KeyNotShared, "the key is not shared with keepers")),
    }
}

/// What an entry wants of a shared key; refused unless it is exactly an entry of one.
pub(crate) fn read_entry(bytes: &[u8]) -> Result<(Entry, SharedAct), Failure> {
    let entry = handed_in::read(bytes, Code::SharedRequestMalformed)?;
    match &entry {
        Entry::Authored(authored) => match &authored.act {
            Act::Shared(act) => {
                let act = act.clone();
                Ok((entry, act))
            }
            _ => Err(malformed("the entry is not about a shared key")),
        },
        _ => Err(malformed("the entry is not about a shared key")),
    }
}

/// What the ledger refused of a shared key, as its holder sees it.
pub(crate) fn refusal(record: &dyn Final) -> Failure {
    let outcome = record.outcome();
    let code = match outcome.refusal() {
        Some(Refusal::Expired | Refusal::ExpiryTooFar) => Code::AuthorSignatureExpired,
        _ => Code::of_ledger(outcome.name()),
    };
    Failure::new(code, format!("the ledger refused it (`{}`)", outcome.name()))
}

pub(crate) fn malformed(why: impl Into<String>) -> Failure {
    Failure::new(Code::SharedRequestMalformed, why)
}
