//! The name of a share: whose vault it is of, which versions, and the hash of the sealing or refresh that dealt it.

use std::{fmt, str::FromStr};

use keyward_crypto::vault::ShareSet;
use keyward_ledger_core::{entry::RuleName, hash::Hash, state::vault::VaultState};

use crate::{
    chest::{Group, Named, spelled},
    shares::hash,
};

/// Where a share stands; nothing of it is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) account: Hash,
    pub(crate) vault: Hash,
    pub(crate) version: u32,
    pub(crate) share_version: u32,
    /// The hash of the sealing or refresh.
    pub(crate) hash: Hash,
}

impl Place {
    /// The place of the shares that a vault has now.
    pub(crate) fn now(vault: &VaultState) -> Self {
        Self {
            account: vault.vault.owner,
            vault: vault.vault.name,
            version: vault.version,
            share_version: vault.share_version,
            hash: vault.shares,
        }
    }

    /// The place of a share of a set.
    pub(crate) const fn of(shares: &ShareSet) -> Self {
        let ShareSet { account, vault, version, share_version, shares_hash: hash, .. } = *shares;
        Self { account, vault, version, share_version, hash }
    }

    /// The vault's name on the ledger.
    pub(crate) const fn vault(&self) -> RuleName {
        RuleName { owner: self.account, name: self.vault }
    }
}

/// `account.vault.version.share version.hash`, in hex and decimal.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [account, vault, hash] = [self.account, self.vault, self.hash].map(hex::encode);
        write!(f, "{account}.{vault}.{}.{}.{hash}", self.version, self.share_version)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        spelled(text, |parts| {
            let [account, vault, version, share_version, of] = *parts else { return None };
            Some(Self {
                account: hash(account)?,
                vault: hash(vault)?,
                version: version.parse().ok()?,
                share_version: share_version.parse().ok()?,
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
