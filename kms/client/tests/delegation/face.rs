//! The service's face: what it answers, after its lies.

use std::sync::Arc;

use keyward_client::delegation::PolicySet;
use keyward_ledger_core::entry::Mode;
use keyward_ledger_core::entry::{Act, Authored, DelegationAct, Entry, Intent};
use keyward_ledger_core::hash::{Hash, sha256};
use keyward_ledger_core::scheme::Scheme;
use keyward_ledger_core::state::delegation::{Delegations, delegation_key, delegations_key};
use keyward_ledger_core::state::layout::{
    KeyState, KeyStatus, TimelockState, key_key, timelock_case_key, timelock_key,
};
use keyward_proto::custody::delegation_server::{Delegation, DelegationServer};
use keyward_proto::custody::recovery_server::{Recovery, RecoveryServer};
use keyward_proto::custody::*;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response};

use crate::delegation::world::{ANNA, World, hosted};
use crate::toy::{self, Answered, Chain, SERVICE, account, refused};

#[derive(Clone)]
struct Face(Arc<World>);

pub(crate) fn router(world: Arc<World>) -> Router {
    let (delegation, recovery) =
        (DelegationServer::new(Face(Arc::clone(&world))), RecoveryServer::new(Face(world)));
    Server::builder().add_service(delegation).add_service(recovery)
}

/// Binds an account's hosted key.
pub(crate) fn bind(chain: &mut Chain, account: &Hash) {
    let state = KeyState {
        account: *account,
        mode: Mode::Hosted,
        scheme: Scheme::EcdsaP256,
        status: KeyStatus::Active,
        height: 1,
        version: 1,
    };
    chain.state.insert(&key_key(&hosted(account).public_key().id()), &state.encode());
}

/// The policy set that the service has, with its hash as the format says.
pub(crate) fn policy() -> PolicySet {
    let (schema, name, rules) = ("schema", "act.cedar", "permit (principal, action, resource);");
    let text = |text: &str| [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
    let parts = [text(schema), 1_u32.to_be_bytes().to_vec(), text(name), text(rules)].concat();
    let hash = sha256(&[&[17], b"keyward/policy/v1", &parts]);
    PolicySet { hash, schema: schema.into(), files: vec![(name.into(), rules.into())] }
}

/// What an honest service shows of an account's delegations.
pub(crate) fn shown(chain: &Chain, account: &Hash) -> ShowDelegationsResponse {
    let key = delegations_key(account);
    let all = chain.state.get(&key).map(|value| Delegations::decode(value).unwrap()).unwrap_or_default();
    let one = |rule: &Hash| {
        let live =
            chain.state.get(&timelock_key(rule)).and_then(|value| TimelockState::decode(value).unwrap().live);
        ShownDelegation {
            delegation: chain.proof(&delegation_key(rule)).into(),
            timelock: chain.proof(&timelock_key(rule)).into(),
            recovery: live.map(|(case, _)| chain.proof(&timelock_case_key(&case)).into()).unwrap_or_default(),
        }
    };
    ShowDelegationsResponse {
        account: chain.proof(&key).into(),
        delegations: all.rules.iter().map(one).collect(),
    }
}

impl Face {
    fn record(&self, entry: &[u8]) -> Answered<DelegationEntryResponse> {
        self.0.handed_in.lock().unwrap().push(entry.to_vec());
        let mut entry = Some(entry.to_vec());
        if let Some(lie) = &self.0.lies.lock().unwrap().entry {
            entry = lie(&self.0, entry);
        }
        let mut answer = match entry {
            None => Err(refused("LEDGER_REFUSED")),
            Some(entry) => {
                let recorded = toy::record(&mut self.0.chain.lock().unwrap(), &entry);
                recorded.map(|(receipt, leaf_index)| DelegationEntryResponse {
                    receipt: receipt.into(),
                    leaf_index,
                })
            }
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().recorded {
            answer = lie(&self.0, answer);
        }
        answer.map(Response::new)
    }
}

/// Records the intent that an act leads to, and signs.
pub(crate) fn sign_act(
    chain: &mut Chain,
    entry: &[u8],
    leaf_index: u64,
    r: &Hash,
    message: &[u8],
) -> SignResponse {
    let Ok(Entry::Authored(Authored {
        act: Act::Delegation(DelegationAct::Operate { key_id, commitment, .. }),
        ..
    })) = Entry::decode(entry)
    else {
        panic!("no act")
    };
    let chain_id = chain.chain_id();
    let parts: [&[u8]; 5] =
        [&[27], b"keyward/delegated-intent/v1", &chain_id, &leaf_index.to_be_bytes(), &sha256(&[entry])];
    let not_after = chain.height + 100;
    let intent = Intent {
        id: sha256(&parts),
        key_id,
        executor: SERVICE,
        commitment,
        policy: policy().hash,
        not_after,
    };
    signed(chain, intent, r, message)
}

/// Records an intent, and releases a signature for it.
pub(crate) fn signed(chain: &mut Chain, intent: Intent, r: &Hash, message: &[u8]) -> SignResponse {
    toy::released(chain, &hosted(&ANNA), intent, r, message)
}

#[tonic::async_trait]
impl Delegation for Face {
    async fn show(&self, request: Request<ShowDelegationsRequest>) -> Answered<ShowDelegationsResponse> {
        let own = account(&request);
        let of: Hash = Hash::try_from(&request.get_ref().account[..]).unwrap_or(own);
        let mut response = shown(&self.0.chain.lock().unwrap(), &of);
        if let Some(lie) = &self.0.lies.lock().unwrap().show {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn appoint(&self, request: Request<DelegationEntryRequest>) -> Answered<DelegationEntryResponse> {
        self.record(&request.get_ref().entry)
    }

    async fn revoke(&self, request: Request<DelegationEntryRequest>) -> Answered<DelegationEntryResponse> {
        self.record(&request.get_ref().entry)
    }

    async fn policies(&self, _: Request<DelegatePoliciesRequest>) -> Answered<DelegatePoliciesResponse> {
        let PolicySet { hash, schema, files } = policy();
        let files = files.into_iter().map(|(name, text)| PolicyFile { name, text }).collect();
        let mut response = DelegatePoliciesResponse {
            policies: vec![DelegatePolicy { hash: hash.to_vec().into(), schema, files }],
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().policies {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn act(&self, request: Request<ActRequest>) -> Answered<ActResponse> {
        let ActRequest { entry, r, payload, .. } = request.into_inner();
        let Some(act_request::Payload::Message(message)) = payload else { panic!("a message") };
        let recorded = self.record(&entry)?.into_inner();
        let mut response = {
            let mut chain = self.0.chain.lock().unwrap();
            let (r, leaf) = (Hash::try_from(&r[..]).unwrap(), recorded.leaf_index);
            let signed = Some(sign_act(&mut chain, &entry, leaf, &r, &message));
            ActResponse { signed, act_receipt: recorded.receipt, act_leaf_index: leaf }
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().acted {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }
}

#[tonic::async_trait]
impl Recovery for Face {
    async fn begin(&self, request: Request<BeginRecoveryRequest>) -> Answered<BeginRecoveryResponse> {
        let BeginRecoveryRequest { registration_request, .. } = request.into_inner();
        let name = [0x77; 32];
        let mut response = BeginRecoveryResponse {
            registration_response: self.0.opaque.register(&name, &registration_request).unwrap().into(),
            chain_id: self.0.chain.lock().unwrap().chain_id().to_vec().into(),
            account: ANNA.to_vec().into(),
            registration_name: name.to_vec().into(),
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().begun {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn open(&self, request: Request<OpenRecoveryRequest>) -> Answered<DelegationEntryResponse> {
        let OpenRecoveryRequest { entry, registration_upload, registration_name, .. } = request.into_inner();
        self.0.logins.lock().unwrap().push((registration_name.to_vec(), registration_upload.to_vec()));
        self.record(&entry)
    }

    async fn veto(&self, request: Request<DelegationEntryRequest>) -> Answered<DelegationEntryResponse> {
        self.record(&request.get_ref().entry)
    }

    async fn cancel(&self, request: Request<DelegationEntryRequest>) -> Answered<DelegationEntryResponse> {
        self.record(&request.get_ref().entry)
    }

    async fn execute(&self, request: Request<DelegationEntryRequest>) -> Answered<DelegationEntryResponse> {
        self.record(&request.get_ref().entry)
    }
}
