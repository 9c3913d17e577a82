//! The name of a share of closed address epochs: whose they are, which, and the hash of the dealing.

use std::{fmt, path::PathBuf, str::FromStr};

use keyward_ledger_core::hash::Hash;

use crate::{
    chest::{Named, account_folder},
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
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(());
        let place = Self {
            account: hash(next()?).ok_or(())?,
            first: next()?.parse().map_err(drop)?,
            last: next()?.parse().map_err(drop)?,
            hash: hash(next()?).ok_or(())?,
        };
        // One spelling only.
        if place.to_string() == text { Ok(place) } else { Err(()) }
    }
}

impl Named for Place {
    const GROUP_GOES: bool = true;

    fn hash(&self) -> &Hash {
        &self.hash
    }

    fn group(&self) -> PathBuf {
        account_folder(&self.account)
    }
}
