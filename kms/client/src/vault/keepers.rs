//! Who keeps shares: from proven state alone.

use keyward_crypto::vault::VaultKeeper;
use keyward_ledger_core::state::keeper::{KEEPERS_MAX, KeeperState, keeper_key, keepers_key};
use keyward_ledger_core::state::member::decode_list;
use keyward_proto::custody::ListKeepersRequest;
use tonic::codegen::Bytes;

use super::error::VaultError;
use super::proof::View;
use crate::client::Client;
use crate::evidence::EvidenceError;

const LIST: &str = "the list of keepers";
const KEEPER: &str = "a keeper's keys";

/// A keeper, as the ledger proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerKeeper {
    /// Its id: outlives its keys.
    pub id: [u8; 32],
    /// Its name.
    pub name: String,
    /// The Ed25519 key with which it acknowledges and answers.
    pub key: [u8; 32],
    /// The X25519 key that shares are sealed to.
    pub hpke_key: [u8; 32],
    /// The validator it stands beside, if any.
    pub validator: Option<[u8; 32]>,
    /// Where it answers.
    pub address: String,
    /// Whether it is a keeper still.
    pub present: bool,
}

impl LedgerKeeper {
    pub(crate) const fn of_vault(&self) -> VaultKeeper {
        VaultKeeper { id: self.id, sealing_key: self.hpke_key, signing_key: self.key }
    }
}

/// Keepers, and the height and time at which they are these.
pub(crate) struct Keepers {
    pub(crate) list: Vec<LedgerKeeper>,
    pub(crate) height: u64,
    pub(crate) time_ms: u64,
}

impl Client {
    /// The keepers of the ledger, in the order of their ids.
    pub async fn keepers(&self) -> Result<Vec<LedgerKeeper>, VaultError> {
        Ok(self.keepers_of(&self.view()?).await?.list)
    }

    pub(crate) async fn keepers_of(&self, view: &View) -> Result<Keepers, VaultError> {
        let answer = self.answer(self.vaults().keepers(self.request(ListKeepersRequest {})).await)?;
        let list = view.state(LIST, &keepers_key(), &answer.list, 0)?;
        let (height, time_ms) = (list.height, list.time_ms);
        let ids = decode_list(list.value.as_deref(), KEEPERS_MAX).map_err(EvidenceError::malformed(LIST))?;
        let keepers = these(view, &ids, &answer.keepers, 0)?;
        // Whoever left between the two proofs is none.
        let list: Vec<_> = keepers.into_iter().filter(|keeper| keeper.present).collect();
        Ok(Keepers { list, height, time_ms })
    }
}

/// The keepers of these ids, in their order, each from its own receipt.
pub(crate) fn these(
    view: &View,
    ids: &[[u8; 32]],
    receipts: &[Bytes],
    min_height: u64,
) -> Result<Vec<LedgerKeeper>, VaultError> {
    if ids.len() != receipts.len() {
        return Err(EvidenceError::Substituted("more or fewer keepers than the ledger names").into());
    }
    ids.iter().zip(receipts).map(|(id, receipt)| one(view, id, receipt, min_height)).collect()
}

fn one(view: &View, id: &[u8; 32], receipt: &[u8], min_height: u64) -> Result<LedgerKeeper, VaultError> {
    let found = view.state(KEEPER, &keeper_key(id), receipt, min_height)?.value;
    let found = found.ok_or(EvidenceError::Substituted("a keeper that the ledger does not know"))?;
    let KeeperState { present, keeper, .. } =
        KeeperState::decode(&found).map_err(EvidenceError::malformed(KEEPER))?;
    if keeper.id() != *id {
        return Err(EvidenceError::Substituted("the keys of another keeper").into());
    }
    Ok(LedgerKeeper {
        id: *id,
        name: keeper.name,
        key: keeper.key,
        hpke_key: keeper.hpke_key,
        validator: keeper.validator,
        address: keeper.rpc,
        present,
    })
}
