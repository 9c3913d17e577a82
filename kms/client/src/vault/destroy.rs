//! The end of a vault: the account signs it, the ledger records it, and each keeper erases its share.

use keyward_domain::VaultName;
use keyward_ledger_core::entry::VaultAct;
use keyward_proto::custody::VaultEntryRequest;

use super::entry::signed;
use super::error::VaultError;
use super::{Progress, VaultStep};
use crate::client::Client;
use crate::person::Login;

/// A vault that has ended.
#[derive(Clone, Debug)]
pub struct Destroyed {
    /// Its last version.
    pub version: u32,
    /// The names of those who are to erase their shares; each records that it did.
    pub keepers: Vec<String>,
    /// The receipt of the record.
    pub receipt: Vec<u8>,
}

impl Client {
    /// Destroys a vault of the account for good. The client is in the login's session.
    pub async fn destroy_vault(
        &self,
        login: &Login,
        name: &VaultName,
        progress: Progress<'_>,
    ) -> Result<Destroyed, VaultError> {
        let view = self.view()?;
        progress(VaultStep::Proving);
        let status = self.status_since(&view, name, 0).await?.ok_or(VaultError::Unknown)?;
        if status.destroyed {
            return Err(VaultError::Destroyed);
        }
        let version = status.version();
        let act = VaultAct::Destroy { vault: status.sealing.vault, version };
        let entry = signed(&view, act, login, status.height)?;
        progress(VaultStep::Recording);
        let call = |entry, idempotency_key, left| async move {
            let message = VaultEntryRequest { entry, idempotency_key };
            self.answer(self.vaults().destroy(self.request_within(message, left)).await)
        };
        let handed_in = self.hand_in(&view, &entry, call).await?;
        let keepers = status.holders.into_iter().map(|holder| holder.keeper.name).collect();
        Ok(Destroyed { version, keepers, receipt: handed_in.receipt })
    }
}
