//! A drill: every keeper shows that it still holds its share, and nothing is opened or spent.

use keyward_crypto::vault::{DrillAnswer, verify_drill};
use keyward_domain::VaultName;
use keyward_proto::custody::VaultDrillRequest;
use tokio::task::JoinSet;

use super::error::VaultError;
use super::fault::{Fault, FaultCause};
use super::gather::patiently;
use super::status::{Holder, VaultStatus};
use super::{Progress, VaultStep};
use crate::client::Client;

/// What a drill showed.
#[derive(Debug)]
pub struct Checked {
    /// The vault, as the ledger has it.
    pub status: VaultStatus,
    /// Each keeper, in the order of their indices.
    pub keepers: Vec<Drilled>,
}

/// What a keeper showed.
#[derive(Debug)]
pub struct Drilled {
    /// Its index, from 1.
    pub index: u8,
    /// Its name.
    pub keeper: String,
    /// What was wrong; nothing if it proved its share.
    pub fault: Option<Fault>,
}

impl Checked {
    /// How many keepers proved their share.
    pub fn proved(&self) -> usize {
        self.keepers.iter().filter(|drilled| drilled.fault.is_none()).count()
    }

    /// Whether enough of them did for a recovery.
    pub fn is_enough(&self) -> bool {
        self.proved() >= usize::from(self.status.vault().facts().threshold)
    }
}

impl Client {
    /// Has every keeper of a vault show its share.
    pub async fn check_vault(&self, name: &VaultName, progress: Progress<'_>) -> Result<Checked, VaultError> {
        progress(VaultStep::Proving);
        let status = self.vault_status(name).await?.ok_or(VaultError::Unknown)?;
        if status.destroyed {
            return Err(VaultError::Destroyed);
        }
        progress(VaultStep::Drilling);
        let mut asked = JoinSet::new();
        for holder in status.holders.clone() {
            let (client, status) = (self.clone(), status.clone());
            asked.spawn(async move { client.drilled(&status, &holder).await });
        }
        let mut keepers = Vec::new();
        while let Some(joined) = asked.join_next().await {
            keepers.push(joined.map_err(VaultError::Thread)?);
        }
        keepers.sort_by_key(|drilled| drilled.index);
        Ok(Checked { status, keepers })
    }

    async fn drilled(&self, status: &VaultStatus, holder: &Holder) -> Drilled {
        let (index, keeper) = (holder.index, holder.keeper.name.clone());
        let cause = self.drill(status, holder).await.err();
        let fault = cause.map(|cause| Fault { index, keeper: keeper.clone(), cause });
        Drilled { index, keeper, fault }
    }

    async fn drill(&self, status: &VaultStatus, holder: &Holder) -> Result<(), FaultCause> {
        // A nonce of this keeper's own: an answer made for one is none of another.
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(crate::ClientError::Randomness)?;
        let message = VaultDrillRequest {
            keeper: holder.keeper.id.to_vec().into(),
            vault: status.sealing.vault.name.to_vec().into(),
            nonce: nonce.to_vec().into(),
        };
        let message = &message;
        let call = || async move {
            let request = self.request(message.clone());
            Ok(self.answer(self.vaults().drill(request).await)?.answer.to_vec())
        };
        let answer = patiently(call).await?;
        let answer = DrillAnswer::decode(&answer).ok_or(FaultCause::DrillMalformed)?;
        Ok(verify_drill(status.vault(), &nonce, holder.index, &answer)?)
    }
}
