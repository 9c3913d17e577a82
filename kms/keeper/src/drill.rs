//! A drill: the share is read, held against what the ledger says of it, and used on an element of no meaning.

use keyward_ledger_core::entry::RuleName;

use crate::{error::KeeperError, keeper::Keeper, place::Place};

impl Keeper {
    /// Shows with a nonce of the caller's that the vault's present share is held; nothing is opened and nothing is spent.
    pub async fn drill(&self, name: &RuleName, nonce: &[u8; 32]) -> Result<Vec<u8>, KeeperError> {
        let _turn = self.0.turns.costly()?;
        let (vault, _) = self.live(name).await?;
        let vault = vault.filter(|vault| vault.keepers.contains(&self.0.id)).ok_or(KeeperError::NoShare)?;
        let (checked, nonce) = (self.vault_now(&vault).await?, *nonce);
        self.with_share(Place::now(&vault), move |held, signing| {
            let answer = held.share.drill(&checked, &nonce, |message| signing.sign(message));
            Ok(answer.map_err(|error| KeeperError::Internal(error.into()))?.encode())
        })
        .await
    }
}
