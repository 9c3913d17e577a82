//! What an account has chosen, as the ledger proves it, and choosing.

use std::time::Instant;

use keyward_ledger_core::entry::{Act, AddressAct, ChooseAddresses, Custody};
use keyward_ledger_core::receipt::StateReceipt;
use keyward_ledger_core::state::addresses::{AddressesState, addresses_key};
use keyward_ledger_core::unlinkable::{AddressEpoch, EDGE_MS};
use keyward_proto::custody::{
    AddressEpoch as ProtoEpoch, ChooseAddressesRequest, PrepareAddressesRequest, ShowAddressesRequest,
};
use tonic::codegen::Bytes;

use super::error::AddressesError;
use super::now_ms;
use crate::client::{Client, bytes32, idempotency_key};
use crate::delegation::Done;
use crate::person::Login;
use crate::petition::Petition;
use crate::vault::entry::SIGNED_BLOCKS;

/// What an account has chosen, proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The account.
    pub account: [u8; 32],
    /// What the ledger has.
    pub state: AddressesState,
    /// The height of that proof.
    pub height: u64,
    /// The ledger's time, or this side's where that is later: a proof may be some minutes old.
    pub now_ms: u64,
    /// The ledger's time by that proof: what has elapsed by it has elapsed for everybody.
    pub ledger_ms: u64,
}

/// How an account's addresses stand.
#[derive(Clone, Debug)]
pub struct AddressEpochs {
    /// The account.
    pub account: [u8; 32],
    /// What was chosen, proven; nothing if nothing was.
    pub chosen: Option<AddressesState>,
    /// The height of that proof.
    pub height: u64,
    /// The ledger's time, or this side's where that is later.
    pub now_ms: u64,
    /// The ledger's time by that proof.
    pub ledger_ms: u64,
    /// Epochs with activity, newest first: the service's word.
    pub epochs: Vec<ProtoEpoch>,
}

/// What the service must offer, or nothing is chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChooseTerms {
    /// The tenant's id ([`tenant_id`](keyward_ledger_core::entry::tenant_id)): its audit terms are the account's.
    pub tenant: Option<[u8; 32]>,
    /// The length of an epoch.
    pub epoch_ms: Option<u64>,
}

impl Chosen {
    /// The epoch under way.
    pub(super) fn epoch(&self) -> Result<AddressEpoch, AddressesError> {
        let epoch = AddressEpoch::at(self.state.epoch_ms, self.now_ms);
        epoch.ok_or(AddressesError::Substituted { what: "epochs of no length that the ledger takes" })
    }

    /// The number of the epoch under way.
    pub fn present(&self) -> Result<u32, AddressesError> {
        Ok(self.epoch()?.number)
    }

    /// The last epoch that is over for everybody.
    pub fn last_over(&self) -> Option<u32> {
        let time_ms = self.ledger_ms.checked_sub(EDGE_MS)?;
        AddressEpoch::at(self.state.epoch_ms, time_ms)?.number.checked_sub(1)
    }

    /// Whether an epoch is under way by the ledger's rule, which leaves clocks some room.
    pub(super) const fn is_under_way(&self, number: u32) -> bool {
        self.epoch_of(number).is_under_way(self.now_ms)
    }

    pub(super) const fn epoch_of(&self, number: u32) -> AddressEpoch {
        AddressEpoch::new(self.state.epoch_ms, number)
    }

    pub(super) fn need(&self, custody: Custody) -> Result<(), AddressesError> {
        if self.state.custody == custody {
            Ok(())
        } else {
            Err(AddressesError::OtherCustody { custody: self.state.custody.name() })
        }
    }
}

impl Client {
    /// How the caller's addresses stand. Whose they are is the session's account, or, with a certificate alone, the service's
    /// word; what was chosen is proven.
    pub async fn show_addresses(&self) -> Result<AddressEpochs, AddressesError> {
        let trusted = self.address_trust()?;
        let shown = self.answer(self.addresses().show(self.request(ShowAddressesRequest {})).await)?;
        let account = match self.account {
            Some(account) => account,
            None => account_of(&shown.chosen)?,
        };
        let what = "what was chosen";
        let proven = trusted
            .recent(&addresses_key(&account), &shown.chosen)
            .map_err(|source| AddressesError::Proof { what, source })?;
        let chosen = proven.value.map(|value| AddressesState::decode(&value)).transpose()?;
        if !shown.epochs.is_sorted_by(|one, other| one.epoch > other.epoch) {
            return Err(AddressesError::Substituted { what: "epochs that are not in their order" });
        }
        let (height, ledger_ms) = (proven.height, proven.time_ms);
        let now_ms = now_ms().max(ledger_ms);
        Ok(AddressEpochs { account, chosen, height, now_ms, ledger_ms, epochs: shown.epochs })
    }

    /// What the caller's account has chosen.
    pub async fn chosen_addresses(&self) -> Result<Chosen, AddressesError> {
        let AddressEpochs { account, chosen, height, now_ms, ledger_ms, .. } = self.show_addresses().await?;
        let state = chosen.ok_or(AddressesError::NotChosen)?;
        Ok(Chosen { account, state, height, now_ms, ledger_ms })
    }

    /// Chooses unlinkable addresses for the login's account, for good. An own root is made before
    /// ([`OwnRoot::make`](super::OwnRoot::make)).
    pub async fn choose_addresses(
        &self,
        login: &Login,
        custody: Custody,
        terms: ChooseTerms,
    ) -> Result<(Done, ChooseAddresses), AddressesError> {
        let client = self.clone().with_account(login.session.account);
        let before = client.show_addresses().await?;
        if let Some(chosen) = before.chosen {
            return Err(AddressesError::ChosenBefore { custody: chosen.custody.name() });
        }
        let choose = client.offered(before.account, custody, terms).await?;
        let act = Act::Addresses(AddressAct::Choose(choose));
        let mut petition = Petition::new(self.address_trust()?.chain_id, act);
        petition.sign(login.party(), &login.credential, before.height.saturating_add(SIGNED_BLOCKS))?;
        let entry = petition.entry();
        let message = ChooseAddressesRequest {
            entry: Bytes::from(entry.encode()),
            idempotency_key: idempotency_key()?,
        };
        let (patient, message) = (self.patient(), &message);
        let answer = patient.try_again(Instant::now() + self.deadline, |left| async move {
            self.answer(self.addresses().choose(self.request_within(message.clone(), left)).await)
        });
        let receipt = answer.await?.receipt;
        let verdict = self.recorded_address(&receipt, "the choice", |found| *found == entry)?;
        let (leaf_index, time_ms) = (verdict.leaf_index, verdict.time_ms);
        Ok((Done { receipt: receipt.to_vec(), leaf_index, time_ms }, choose))
    }

    /// Tenant and length of an epoch are the service's to say, unless the caller knows better.
    async fn offered(
        &self,
        account: [u8; 32],
        custody: Custody,
        terms: ChooseTerms,
    ) -> Result<ChooseAddresses, AddressesError> {
        let prepared =
            self.answer(self.addresses().prepare(self.request(PrepareAddressesRequest {})).await)?;
        self.check_chain(&bytes32("chain id", &prepared.chain_id)?)?;
        let (tenant, epoch_ms) = (bytes32("tenant", &prepared.tenant)?, prepared.epoch_ms);
        if terms.tenant.is_some_and(|wanted| wanted != tenant) {
            return Err(AddressesError::Substituted { what: "another tenant than the one that was named" });
        }
        if terms.epoch_ms.is_some_and(|wanted| wanted != epoch_ms) {
            return Err(AddressesError::Substituted { what: "epochs of another length than was named" });
        }
        if !AddressEpoch::new(epoch_ms, 0).is_sound() {
            return Err(AddressesError::Substituted { what: "epochs of no length that the ledger takes" });
        }
        Ok(ChooseAddresses { account, tenant, custody, epoch_ms })
    }
}

/// Whose state a receipt is of.
fn account_of(receipt: &[u8]) -> Result<[u8; 32], AddressesError> {
    let key = StateReceipt::decode(receipt)?.key;
    let account = key.split_last_chunk().map(|(_, account)| *account);
    account.ok_or(AddressesError::Substituted { what: "a proof of something else" })
}
