//! Keepers of closed epochs with the real cryptography, and the service's way to them.

use std::sync::Arc;

use keyward_crypto::viewing::{Dealing, Opening, ViewingShare};
use keyward_domain::viewing_deposit_message;
use keyward_ledger_core::entry::Entry;
use keyward_ledger_core::state::keeper::{keeper_key, keepers_key};
use keyward_ledger_core::unlinkable::DealtRun;
use keyward_proto::custody::vaults_server::Vaults;
use keyward_proto::custody::viewings_server::Viewings;
use keyward_proto::custody::*;
use tonic::{Request, Response, Status};

use crate::addresses::world::World;
use crate::toy::{self, Answered, account, credential};

pub(crate) type Keeper = toy::keeper::Keeper<ViewingShare>;

impl Keeper {
    fn deposit(&self, dealing: &Dealing, share: &[u8]) -> [u8; 64] {
        let (hash, id) = (dealing.hash(), self.id());
        let share = ViewingShare::open(dealing, &id, &self.sealing, share).unwrap();
        self.shares.lock().unwrap().insert(hash, share);
        let Dealing { account, first, last, expires_ms, .. } = *dealing;
        let run = DealtRun { account, first, last, dealing_hash: hash, expires_ms };
        run.acknowledge(&self.signing, &dealing.chain_id, &id)
    }

    /// What it gives to an opening.
    pub(crate) fn part(&self, opening: &Opening) -> Vec<u8> {
        let shares = self.shares.lock().unwrap();
        shares[&opening.dealing].answer(opening, |said| self.signing.sign(said)).unwrap()
    }

    /// The same by one that lies: with another's numbers.
    pub(crate) fn lie(&self, other: &Self, opening: &Opening) -> Vec<u8> {
        let bytes = |keeper: &Self| {
            keeper.shares.lock().unwrap()[&opening.dealing].to_secret().expose(<[u8]>::to_vec)
        };
        let (own, other) = (bytes(self), bytes(other));
        let pair = own.len() - 64;
        let forged = ViewingShare::from_secret(&[&own[..pair], &other[pair..]].concat()).unwrap();
        forged.answer(opening, |said| self.signing.sign(said)).unwrap()
    }
}

#[derive(Clone)]
pub(crate) struct Face(pub(crate) Arc<World>);

#[tonic::async_trait]
impl Viewings for Face {
    async fn deal(&self, request: Request<DealViewingRequest>) -> Answered<DealViewingResponse> {
        let account = account(&request);
        let DealViewingRequest { dealing, shares, signature } = request.into_inner();
        let dealing = Dealing::decode(&dealing).unwrap();
        assert_eq!(dealing.account, account);
        let message = viewing_deposit_message(&dealing.chain_id, &dealing.hash());
        assert_eq!(credential(&account).sign_message(&message).unwrap(), signature[..], "its own word");
        self.0.dealings.lock().unwrap().push(dealing.hash());
        self.0.kept.lock().unwrap().insert(dealing.hash(), dealing.encode());
        let away = self.0.lies.lock().unwrap().away.clone();
        let acknowledged = |share: &DealtShare| {
            let number = self.0.keepers.iter().position(|keeper| keeper.id()[..] == share.keeper_id).unwrap();
            if away.contains(&number) {
                return tonic::codegen::Bytes::new();
            }
            self.0.keepers[number].deposit(&dealing, &share.share).to_vec().into()
        };
        let honest = DealViewingResponse { acknowledgements: shares.iter().map(acknowledged).collect() };
        let lies = self.0.lies.lock().unwrap();
        Ok(Response::new(lies.acknowledged.as_ref().map_or(honest.clone(), |lie| lie(&self.0, honest))))
    }

    async fn record(&self, request: Request<AuditEntryRequest>) -> Answered<AuditEntryResponse> {
        let entry = request.into_inner().entry;
        if self.0.lies.lock().unwrap().swallows {
            return Err(Status::unavailable("lost"));
        }
        let honest = {
            let mut chain = self.0.chain.lock().unwrap();
            let is_it = |leaf: &u64| {
                chain.entry(*leaf).is_some_and(|(found, outcome)| found == entry && outcome.is_accepted())
            };
            let before = (0..).take_while(|leaf| chain.entry(*leaf).is_some()).find(is_it);
            match before {
                Some(leaf) => Ok((chain.receipt(leaf), leaf)),
                None => toy::record(&mut chain, &entry),
            }
        };
        let honest =
            honest.map(|(receipt, leaf_index)| AuditEntryResponse { receipt: receipt.into(), leaf_index });
        let lies = self.0.lies.lock().unwrap();
        let said = match &lies.dealt {
            Some(lie) => lie(&self.0, honest),
            None => honest,
        };
        said.map(Response::new)
    }
}

/// Whether an entry deals epochs.
pub(crate) fn deals(entry: &[u8]) -> bool {
    use keyward_ledger_core::entry::{Act, AddressAct, Authored};
    matches!(
        Entry::decode(entry).unwrap(),
        Entry::Authored(Authored { act: Act::Addresses(AddressAct::Deal(_)), .. })
    )
}

fn none<T>() -> Answered<T> {
    Err(Status::unimplemented("no vaults here"))
}

#[tonic::async_trait]
impl Vaults for Face {
    async fn keepers(&self, _: Request<ListKeepersRequest>) -> Answered<ListKeepersResponse> {
        let chain = self.0.chain.lock().unwrap();
        let keepers = self.0.keepers.iter().map(|keeper| chain.proof(&keeper_key(&keeper.id())).into());
        let keepers = keepers.collect();
        Ok(Response::new(ListKeepersResponse { list: chain.proof(&keepers_key()).into(), keepers }))
    }
    async fn show(&self, _: Request<ShowVaultRequest>) -> Answered<ShowVaultResponse> {
        none()
    }
    async fn deposit(&self, _: Request<VaultDepositRequest>) -> Answered<VaultDepositResponse> {
        none()
    }
    async fn seal(&self, _: Request<VaultEntryRequest>) -> Answered<VaultEntryResponse> {
        none()
    }
    async fn attempt(&self, _: Request<VaultAttemptRequest>) -> Answered<VaultEntryResponse> {
        none()
    }
    async fn evaluate(&self, _: Request<VaultEvaluateRequest>) -> Answered<VaultAnswer> {
        none()
    }
    async fn open(&self, _: Request<VaultEntryRequest>) -> Answered<VaultEntryResponse> {
        none()
    }
    async fn release(&self, _: Request<VaultReleaseRequest>) -> Answered<VaultAnswer> {
        none()
    }
    async fn drill(&self, _: Request<VaultDrillRequest>) -> Answered<VaultAnswer> {
        none()
    }
    async fn destroy(&self, _: Request<VaultEntryRequest>) -> Answered<VaultEntryResponse> {
        none()
    }
    async fn signers(&self, _: Request<ListSignersRequest>) -> Answered<ListSignersResponse> {
        none()
    }
    async fn set_up_code(&self, _: Request<SetUpCodeRequest>) -> Answered<SetUpCodeResponse> {
        none()
    }
    async fn confirm_code(&self, _: Request<ConfirmCodeRequest>) -> Answered<ConfirmCodeResponse> {
        none()
    }
    async fn remove_code(&self, _: Request<RemoveCodeRequest>) -> Answered<RemoveCodeResponse> {
        none()
    }
}
