//! The service's face: what it answers, after its lies.

use std::sync::Arc;

use keyward_domain::scheme::verify;
use keyward_ledger_core::entry::RuleName;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::scheme::KeyId;
use keyward_ledger_core::state::keeper::{keeper_key, keepers_key};
use keyward_ledger_core::state::layout::{KeyState, account_key, attempts_key, credential_key, key_key};
use keyward_ledger_core::state::vault::{VaultState, holder_key, vault_key};
use keyward_ledger_core::vault::{Sealing, vault_rule};
use keyward_proto::custody::vaults_server::{Vaults, VaultsServer};
use keyward_proto::custody::*;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status};

use super::{Answer, Chain, World};
use crate::toy::{Answered, account, refused};

#[derive(Clone)]
struct Face(Arc<World>);

pub(crate) fn router(world: Arc<World>) -> Router {
    Server::builder().add_service(VaultsServer::new(Face(world)))
}

fn missing() -> Answer {
    Err(refused("VAULT_SHARE_MISSING"))
}

fn hash(bytes: &[u8]) -> Hash {
    bytes.try_into().unwrap()
}

/// What an honest service shows of a vault.
pub(crate) fn shown(chain: &Chain, vault: &RuleName) -> ShowVaultResponse {
    let rule = vault_rule(vault);
    let mut shown = ShowVaultResponse { vault: chain.proof(&vault_key(&rule)).into(), ..Default::default() };
    let Some(state) = chain.state.get(&vault_key(&rule)) else { return shown };
    let state = VaultState::decode(state).unwrap();
    shown.sealing = chain.receipt(state.sealing_leaf).into();
    if state.shares != state.sealing {
        shown.shares = chain.receipt(state.shares_leaf).into();
    }
    shown.counter = chain.proof(&attempts_key(&rule)).into();
    shown.holders = state.keepers.iter().map(|id| chain.proof(&holder_key(&rule, id)).into()).collect();
    shown.keepers = state.keepers.iter().map(|id| chain.proof(&keeper_key(id)).into()).collect();
    shown
}

/// What an honest service shows of a party.
pub(crate) fn signer(chain: &Chain, party: &[u8]) -> ShownSigner {
    let (kind, id) = party.split_first().unwrap();
    let (standing, account) = match kind {
        1 => (credential_key(&hash(id)), Some(hash(id))),
        _ => {
            let key = key_key(&KeyId(hash(id)));
            let account = chain.state.get(&key).map(|state| KeyState::decode(state).unwrap().account);
            (key, account)
        }
    };
    let account = account.map(|account| chain.proof(&account_key(&account)).into()).unwrap_or_default();
    ShownSigner { standing: chain.proof(&standing).into(), account }
}

impl Face {
    fn called(&self) {
        *self.0.calls.lock().unwrap() += 1;
    }

    fn number(&self, id: &[u8]) -> usize {
        self.0.keepers.iter().position(|keeper| keeper.id() == id).unwrap()
    }

    /// Keepers that a test has silenced never answer.
    async fn heard(&self, number: usize) {
        self.called();
        if self.0.lies.lock().unwrap().silent.contains(&number) {
            std::future::pending::<()>().await;
        }
    }

    fn record(&self, entry: &[u8]) -> Result<Response<VaultEntryResponse>, Status> {
        self.called();
        self.0.handed_in.lock().unwrap().push(entry.to_vec());
        let mut answer = if self.0.lies.lock().unwrap().swallows {
            Err(refused("LEDGER_REFUSED"))
        } else {
            let mut chain = self.0.chain.lock().unwrap();
            let (leaf_index, outcome) = chain.record(entry);
            if outcome.is_accepted() {
                Ok(VaultEntryResponse { receipt: chain.receipt(leaf_index).into(), leaf_index })
            } else {
                Err(refused(outcome.name()))
            }
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().recorded {
            answer = lie(&self.0, answer);
        }
        answer.map(Response::new)
    }

    /// The hash of the shares in force of the vault that a leaf is about, or of the account's.
    fn shares(&self, chain: &Chain, vault: &RuleName) -> Option<Hash> {
        let state = VaultState::decode(chain.state.get(&vault_key(&vault_rule(vault)))?).unwrap();
        Some(state.sealing)
    }
}

fn answered(answer: Answer) -> Answered<VaultAnswer> {
    Ok(Response::new(VaultAnswer { answer: answer?.into() }))
}

fn main_of(account: Hash) -> RuleName {
    RuleName { owner: account, name: super::main_vault().id() }
}

#[tonic::async_trait]
impl Vaults for Face {
    async fn keepers(&self, _: Request<ListKeepersRequest>) -> Answered<ListKeepersResponse> {
        self.called();
        let mut response = {
            let chain = self.0.chain.lock().unwrap();
            let list = chain.state.get(&keepers_key()).unwrap();
            let ids = list[4..].chunks(32).map(|id| chain.proof(&keeper_key(&hash(id))).into()).collect();
            ListKeepersResponse { list: chain.proof(&keepers_key()).into(), keepers: ids }
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().keepers {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn show(&self, request: Request<ShowVaultRequest>) -> Answered<ShowVaultResponse> {
        self.called();
        let vault = RuleName { owner: account(&request), name: hash(&request.get_ref().vault) };
        let mut response = shown(&self.0.chain.lock().unwrap(), &vault);
        if let Some(lie) = &self.0.lies.lock().unwrap().show {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn deposit(&self, request: Request<VaultDepositRequest>) -> Answered<VaultDepositResponse> {
        let account = account(&request);
        let VaultDepositRequest { keeper, sealing, share, signature } = request.into_inner();
        let number = self.number(&keeper);
        self.heard(number).await;
        let chain_id = self.0.chain.lock().unwrap().chain_id();
        let sealing = Sealing::decode(&sealing).unwrap();
        // As keepers do: nobody fills their rooms but accounts, each with its own vaults.
        let message = keyward_domain::vault_deposit_message(&chain_id, &sealing.hash());
        let word = crate::toy::credential(&account);
        verify(word.public_key(), &message, &signature).map_err(|_| refused("VAULT_DEPOSIT_UNSIGNED"))?;
        let keepers = &self.0.keepers;
        let mut answer = Ok(keepers[number].deposit(keepers, &chain_id, &sealing, &share).to_vec());
        if let Some(lie) = &self.0.lies.lock().unwrap().deposit {
            answer = lie(number, answer);
        }
        Ok(Response::new(VaultDepositResponse { acknowledgement: answer?.into() }))
    }

    async fn seal(&self, request: Request<VaultEntryRequest>) -> Answered<VaultEntryResponse> {
        self.record(&request.get_ref().entry)
    }

    async fn attempt(&self, request: Request<VaultAttemptRequest>) -> Answered<VaultEntryResponse> {
        self.record(&request.get_ref().entry)
    }

    async fn evaluate(&self, request: Request<VaultEvaluateRequest>) -> Answered<VaultAnswer> {
        let account = account(&request);
        let VaultEvaluateRequest { keeper, leaf_index, element } = request.into_inner();
        let number = self.number(&keeper);
        self.0.evaluated.lock().unwrap().push(number);
        self.heard(number).await;
        let mut answer = {
            let chain = self.0.chain.lock().unwrap();
            let shares = self.shares(&chain, &main_of(account)).unwrap();
            let keeper = &self.0.keepers[number];
            keeper.evaluate(&chain, leaf_index, &hash(&element), &shares).map_or_else(missing, Ok)
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().evaluate {
            answer = lie(number, answer);
        }
        answered(answer)
    }

    async fn open(&self, request: Request<VaultEntryRequest>) -> Answered<VaultEntryResponse> {
        self.record(&request.get_ref().entry)
    }

    async fn release(&self, request: Request<VaultReleaseRequest>) -> Answered<VaultAnswer> {
        let account = account(&request);
        let VaultReleaseRequest { keeper, leaf_index, opened_leaf_index } = request.into_inner();
        let number = self.number(&keeper);
        self.heard(number).await;
        let mut answer = {
            let chain = self.0.chain.lock().unwrap();
            let shares = self.shares(&chain, &main_of(account)).unwrap();
            let leaves = [leaf_index, opened_leaf_index];
            self.0.keepers[number].release(&chain, leaves, &shares).map_or_else(missing, Ok)
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().release {
            answer = lie(number, answer);
        }
        answered(answer)
    }

    async fn drill(&self, request: Request<VaultDrillRequest>) -> Answered<VaultAnswer> {
        let account = account(&request);
        let VaultDrillRequest { keeper, nonce, .. } = request.into_inner();
        let number = self.number(&keeper);
        self.heard(number).await;
        let mut answer = {
            let chain = self.0.chain.lock().unwrap();
            let shares = self.shares(&chain, &main_of(account)).unwrap();
            self.0.keepers[number].drill(&hash(&nonce), &shares).map_or_else(missing, Ok)
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().drill {
            answer = lie(number, answer);
        }
        answered(answer)
    }

    async fn destroy(&self, request: Request<VaultEntryRequest>) -> Answered<VaultEntryResponse> {
        self.record(&request.get_ref().entry)
    }

    async fn signers(&self, request: Request<ListSignersRequest>) -> Answered<ListSignersResponse> {
        self.called();
        let mut response = {
            let chain = self.0.chain.lock().unwrap();
            let signers = request.get_ref().parties.iter().map(|party| signer(&chain, party)).collect();
            ListSignersResponse { signers }
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().signers {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn set_up_code(&self, _: Request<SetUpCodeRequest>) -> Answered<SetUpCodeResponse> {
        Err(Status::unimplemented("not needed"))
    }
    async fn confirm_code(&self, _: Request<ConfirmCodeRequest>) -> Answered<ConfirmCodeResponse> {
        Err(Status::unimplemented("not needed"))
    }
    async fn remove_code(&self, _: Request<RemoveCodeRequest>) -> Answered<RemoveCodeResponse> {
        Err(Status::unimplemented("not needed"))
    }
}
