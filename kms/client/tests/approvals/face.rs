//! The service's face: what it answers, after its lies.

use std::sync::Arc;

use keyward_domain::approval::policy_text_hash;
use keyward_ledger_core::entry::{Intent, kind, tenant_id};
use keyward_ledger_core::hash::{Hash, commitment, sha256};
use keyward_ledger_core::state::layout::{ApprovalCase, approval_case_key, approval_key, rate_key};
use keyward_ledger_core::state::policy::{PolicyState, policy_key};
use keyward_proto::custody::approvals_server::{Approvals, ApprovalsServer};
use keyward_proto::custody::policies_server::{Policies, PoliciesServer};
use keyward_proto::custody::risk_server::RiskServer;
use keyward_proto::custody::sign_request::Payload;
use keyward_proto::custody::signing_server::{Signing, SigningServer};
use keyward_proto::custody::*;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status, Streaming};

use crate::approvals::world::{World, hosted, rule};
use crate::toy::{self, Answered, Chain, SERVICE, refused};

#[derive(Clone)]
pub(crate) struct Face(pub(crate) Arc<World>);

pub(crate) fn router(world: Arc<World>) -> Router {
    let face = Face(world);
    Server::builder()
        .add_service(ApprovalsServer::new(face.clone()))
        .add_service(PoliciesServer::new(face.clone()))
        .add_service(RiskServer::new(face.clone()))
        .add_service(SigningServer::new(face))
}

impl Face {
    pub(crate) fn record(&self, entry: &[u8]) -> Result<ApprovalEntryResponse, Status> {
        self.0.handed_in.lock().unwrap().push(entry.to_vec());
        let mut entry = entry.to_vec();
        if let Some(lie) = &self.0.lies.lock().unwrap().entry {
            entry = lie(&self.0, entry);
        }
        let recorded = toy::record(&mut self.0.chain.lock().unwrap(), &entry);
        let mut answer = recorded
            .map(|(receipt, leaf_index)| ApprovalEntryResponse { receipt: receipt.into(), leaf_index });
        if let Some(lie) = &self.0.lies.lock().unwrap().recorded {
            answer = lie(&self.0, answer);
        }
        answer
    }
}

/// Records the intent that a use leads to, and signs.
pub(crate) fn sign_used(
    chain: &mut Chain,
    (entry, leaf_index): (&[u8], u64),
    r: &Hash,
    message: &[u8],
) -> SignResponse {
    let chain_id = chain.chain_id();
    let parts: [&[u8]; 5] =
        [&[26], b"keyward/approved-intent/v1", &chain_id, &leaf_index.to_be_bytes(), &sha256(&[entry])];
    signed(chain, sha256(&parts), r, message)
}

/// Records an intent under that id, and releases a signature for it.
pub(crate) fn signed(chain: &mut Chain, id: Hash, r: &Hash, message: &[u8]) -> SignResponse {
    let (key, payload_hash, not_after) = (hosted(), sha256(&[message]), chain.height + 100);
    let (commitment, policy) = (commitment(r, &payload_hash), [9; 32]);
    let intent =
        Intent { id, key_id: key.public_key().id(), executor: SERVICE, commitment, policy, not_after };
    toy::released(chain, &key, intent, r, message)
}

#[tonic::async_trait]
impl Approvals for Face {
    async fn define_rule(&self, request: Request<ApprovalEntryRequest>) -> Answered<ApprovalEntryResponse> {
        self.record(&request.get_ref().entry).map(Response::new)
    }

    async fn rules(&self, request: Request<ListApprovalRulesRequest>) -> Answered<ListApprovalRulesResponse> {
        let ListApprovalRulesRequest { rule: wanted, rate } = request.into_inner();
        let id = Hash::try_from(&wanted[..]).unwrap_or(rule().id(kind::DEFINE_APPROVAL));
        let key = if rate { rate_key(&id) } else { approval_key(&id) };
        let receipt = self.0.chain.lock().unwrap().proof(&key);
        let one = ShownApprovalRule {
            owner: rule().owner.to_vec().into(),
            name: rule().name.to_vec().into(),
            rule: receipt.into(),
        };
        let mut response = ListApprovalRulesResponse { rules: vec![one] };
        if let Some(lie) = &self.0.lies.lock().unwrap().rules {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn ask(&self, request: Request<AskApprovalRequest>) -> Answered<AskApprovalResponse> {
        let AskApprovalRequest { entry, about, .. } = request.into_inner();
        let ApprovalEntryResponse { receipt, leaf_index } = self.record(&entry)?;
        let case = self.0.chain.lock().unwrap().entry(leaf_index).unwrap().1.data.clone();
        self.0.mail.lock().unwrap().insert(case.try_into().unwrap(), about.unwrap());
        Ok(Response::new(AskApprovalResponse { receipt, leaf_index }))
    }

    async fn list(&self, _: Request<ListApprovalsRequest>) -> Answered<ListApprovalsResponse> {
        let mail = self.0.mail.lock().unwrap();
        let approvals = mail.keys().map(|case| ListedApproval {
            case_id: case.to_vec().into(),
            initiator: crate::approvals::world::ANNA.to_vec().into(),
            asked_unix_ms: 1,
            ends_unix_ms: 2,
        });
        Ok(Response::new(ListApprovalsResponse { approvals: approvals.collect() }))
    }

    async fn show(&self, request: Request<ShowApprovalRequest>) -> Answered<ShowApprovalResponse> {
        let case = Hash::try_from(&request.get_ref().case_id[..]).unwrap();
        let mut response = {
            let chain = self.0.chain.lock().unwrap();
            let key = approval_case_key(&case);
            let rule = chain.state.get(&key).map(|value| ApprovalCase::decode(value).unwrap().rule);
            ShowApprovalResponse {
                case: chain.proof(&key).into(),
                rule: rule.map(|rule| chain.proof(&approval_key(&rule))).unwrap_or_default().into(),
                about: self.0.mail.lock().unwrap().get(&case).cloned(),
            }
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().show {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn give(&self, request: Request<ApprovalEntryRequest>) -> Answered<ApprovalEntryResponse> {
        self.record(&request.get_ref().entry).map(Response::new)
    }

    async fn refuse(&self, request: Request<ApprovalEntryRequest>) -> Answered<ApprovalEntryResponse> {
        self.record(&request.get_ref().entry).map(Response::new)
    }

    async fn withdraw(&self, request: Request<ApprovalEntryRequest>) -> Answered<WithdrawApprovalResponse> {
        if self.0.lies.lock().unwrap().here {
            return Ok(Response::new(WithdrawApprovalResponse { here: true, ..Default::default() }));
        }
        let ApprovalEntryResponse { receipt, leaf_index } = self.record(&request.get_ref().entry)?;
        Ok(Response::new(WithdrawApprovalResponse { receipt, leaf_index, here: false }))
    }
}

#[tonic::async_trait]
impl Policies for Face {
    async fn show(&self, _: Request<ShowPolicyRequest>) -> Answered<ShowPolicyResponse> {
        let tenant = tenant_id("bank");
        let mut response = {
            let chain = self.0.chain.lock().unwrap();
            let state =
                chain.state.get(&policy_key(&tenant)).map(|value| PolicyState::decode(value).unwrap());
            let texts = self.0.texts.lock().unwrap();
            ShowPolicyResponse {
                tenant: tenant.to_vec().into(),
                version: state.map_or(0, |state| state.version),
                hash: state.map_or_else(Vec::new, |state| state.set.to_vec()).into(),
                text: state.and_then(|state| texts.get(&state.set).cloned()).unwrap_or_default(),
                state: chain.proof(&policy_key(&tenant)).into(),
                policy: vec![9; 32].into(),
                ..Default::default()
            }
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().policy {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn publish(&self, request: Request<PublishPolicyRequest>) -> Answered<PublishPolicyResponse> {
        let PublishPolicyRequest { text, entry, .. } = request.into_inner();
        let ApprovalEntryResponse { receipt, leaf_index } = self.record(&entry)?;
        self.0.texts.lock().unwrap().insert(policy_text_hash(&text), text);
        let mut response = PublishPolicyResponse { receipt, leaf_index, version: 1 };
        if let Some(lie) = &self.0.lies.lock().unwrap().published {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn explain(&self, _: Request<ExplainPolicyRequest>) -> Answered<ExplainPolicyResponse> {
        Err(refused("NOT_ALLOWED"))
    }

    async fn dry_run(&self, _: Request<DryRunPolicyRequest>) -> Answered<DryRunPolicyResponse> {
        Err(refused("NOT_ALLOWED"))
    }

    async fn list(&self, _: Request<ListPoliciesRequest>) -> Answered<ListPoliciesResponse> {
        Err(refused("NOT_ALLOWED"))
    }
}

#[tonic::async_trait]
impl Signing for Face {
    async fn sign(&self, request: Request<SignRequest>) -> Answered<SignResponse> {
        let SignRequest { payload, approval, .. } = request.into_inner();
        let (Some(Payload::Message(message)), Some(ApprovedUse { opening, use_entry, .. })) =
            (payload, approval)
        else {
            panic!("a message with a case")
        };
        let ApprovalEntryResponse { receipt, leaf_index } = self.record(&use_entry)?;
        let mut response = {
            let mut chain = self.0.chain.lock().unwrap();
            let r = Hash::try_from(&opening[..]).unwrap();
            sign_used(&mut chain, (&use_entry, leaf_index), &r, &message)
        };
        response.approval_receipt = receipt;
        response.approval_leaf_index = leaf_index;
        if let Some(lie) = &self.0.lies.lock().unwrap().signed {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn begin(&self, _: Request<SignRequest>) -> Answered<BeginResponse> {
        Err(refused("KEY_NOT_SELF"))
    }

    async fn finish(&self, _: Request<FinishRequest>) -> Answered<SignResponse> {
        Err(refused("KEY_NOT_SELF"))
    }

    async fn sign_batch(&self, _: Request<SignBatchRequest>) -> Answered<SignBatchResponse> {
        Err(refused("INTERNAL"))
    }

    type SignStreamStream = tokio_stream::Empty<Result<SignStreamResponse, Status>>;

    async fn sign_stream(&self, _: Request<Streaming<SignRequest>>) -> Answered<Self::SignStreamStream> {
        Err(refused("INTERNAL"))
    }
}
