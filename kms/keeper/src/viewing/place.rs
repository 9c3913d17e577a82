//! The name of a share of closed address epochs: whose they are, which, and the hash of the dealing.

use std::{fmt, str::FromStr};

use keyward_ledger_core::hash::Hash;

use crate::{
    chest::{Group, Named, spelled},
    shares::hash,
};

/// Where a share lies; nothing of it is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) account: Hash,
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// The hash of the dealing.
    pub(crate) hash: Hash,
}

/// `account.first.last.hash`, in hex and decimal.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [account, hash] = [self.account, self.hash].map(hex::encode);
        write!(f, "{account}.{}.{}.{hash}", self.first, self.last)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        spelled(text, |parts| {
            let [account, first, last, of] = *parts else { return None };
            Some(Self {
                account: hash(account)?,
                first: first.parse().ok()?,
                last: last.parse().ok()?,
                hash: hash(of)?,
            })
        })
    }
}

impl Named for Place {
    fn hash(&self) -> &Hash {
        &self.hash
    }

    fn group(&self) -> Group {
        Group::Account(self.account)
    }
}
