//! Accounts: of persons by OPAQUE, of apps and operators by their certificates.

pub(crate) mod close;
pub(crate) mod login;
pub(crate) mod password;
pub(crate) mod principal;
pub(crate) mod profile;
pub(crate) mod record;
pub(crate) mod register;
pub(crate) mod show;

use keyward_domain::AccountName;
use keyward_ledger_core::hash::account_commitment;

use crate::{
    custody::{Custody, random},
    failure::Failure,
};

/// The kind of persons' accounts.
pub(crate) const PERSON: &str = "user";

/// The kind of an account and its name within the kind.
pub(crate) fn parts(name: &AccountName) -> (&str, &str) {
    name.as_str().split_once('/').unwrap_or(("", name.as_str()))
}

impl Custody {
    /// A fresh salt, and what the ledger calls the account with it.
    pub(crate) fn new_commitment(&self, name: &AccountName) -> Result<([u8; 32], [u8; 32]), Failure> {
        let salt = random()?;
        Ok((salt, account_commitment(&salt, &format!("{}/{name}", self.tenant))))
    }
}
