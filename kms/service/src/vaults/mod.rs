//! Vaults: what a person signs is handed in, what is sealed to keepers is passed on, and nothing of it is readable here.
//!
//! INVARIANT: every call but that for signers is one of a live session, and touches vaults of that session's account alone.

pub(crate) mod codes;
pub(crate) mod ended;
pub(crate) mod entries;
pub(crate) mod floods;
pub(crate) mod refusal;
pub(crate) mod relay;
pub(crate) mod show;
pub(crate) mod signers;

use keyward_domain::{AccountId, Code};
use keyward_ledger_core::entry::{Act, Entry, VaultAct};
use keyward_policies::Verb;

use crate::{caller::Caller, custody::Custody, failure::Failure};

impl Custody {
    /// The account of the session, whose vaults the caller may do this with.
    pub(super) fn vault_account(&self, caller: &Caller, verb: Verb) -> Result<AccountId, Failure> {
        let account = caller.person()?.account;
        self.authorise_account(caller, verb, account)?;
        caller.in_time(self.clock.now_ms())?;
        Ok(account)
    }
}

/// What an entry wants of a vault, if it is about one.
fn act_of(entry: &Entry) -> Option<&VaultAct> {
    match entry {
        Entry::Authored(authored) => match &authored.act {
            Act::Vault(act) => Some(act),
            _ => None,
        },
        _ => None,
    }
}

fn malformed(why: impl Into<String>) -> Failure {
    Failure::new(Code::VaultRequestMalformed, why)
}
