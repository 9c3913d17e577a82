//! The service's face: what it answers, after its lies.

use std::sync::Arc;

use keyward_crypto::unlinkable::{Delivery, ViewingCover, seal_delivery};
use keyward_ledger_core::entry::{Act, AuditAct, Authored, DeliverGrant, Entry, OpenGrant, kind, tenant_id};
use keyward_ledger_core::hash::{Hash, sha256};
use keyward_ledger_core::state::audit::{AuditGrantState, AuditState, audit_grant_key, audit_key};
use keyward_ledger_core::state::layout::{ApprovalCase, approval_case_key, approval_key};
use keyward_proto::custody::approvals_server::{Approvals, ApprovalsServer};
use keyward_proto::custody::audit_server::{Audit, AuditServer};
use keyward_proto::custody::*;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status};

use crate::audits::world::{ANNA, World, rule};
use crate::toy::{self, Answered, refused};

#[derive(Clone)]
struct Face(Arc<World>);

pub(crate) fn router(world: Arc<World>) -> Router {
    let face = Face(world);
    Server::builder().add_service(ApprovalsServer::new(face.clone())).add_service(AuditServer::new(face))
}

impl Face {
    fn hand_in(&self, entry: &[u8]) -> Result<(Vec<u8>, u64), Status> {
        *self.0.handed_in.lock().unwrap() += 1;
        toy::record(&mut self.0.chain.lock().unwrap(), entry)
    }

    fn record(&self, entry: &[u8]) -> Answered<AuditEntryResponse> {
        let (receipt, leaf_index) = self.hand_in(entry)?;
        let mut answer = AuditEntryResponse { receipt: receipt.into(), leaf_index };
        if let Some(lie) = &self.0.lies.lock().unwrap().recorded {
            answer = lie(&self.0, answer);
        }
        Ok(Response::new(answer))
    }

    fn approval(&self, entry: &[u8]) -> Answered<ApprovalEntryResponse> {
        let (receipt, leaf_index) = self.hand_in(entry)?;
        Ok(Response::new(ApprovalEntryResponse { receipt: receipt.into(), leaf_index }))
    }

    /// The package of an opening, and its record.
    fn deliver(&self, opened: OpenGrant) -> Result<(Vec<u8>, Vec<u8>), Status> {
        let mut chain = self.0.chain.lock().unwrap();
        let found = chain.state.get(&audit_grant_key(&opened.grant)).unwrap();
        let grantee = AuditGrantState::decode(found).unwrap().grant.grantee_key;
        let OpenGrant { grant, account, first, last } = opened;
        let mut sealed = (Delivery { chain_id: chain.chain_id(), grant, account, first, last }, grantee);
        if let Some(lie) = &self.0.lies.lock().unwrap().sealed {
            sealed = lie(&self.0, sealed);
        }
        let (delivery, key) = sealed;
        let cover = ViewingCover::of(&self.0.root, delivery.first..=delivery.last);
        let package = seal_delivery(&delivery, &key, &cover).unwrap();
        let deliver = Entry::DeliverGrant(DeliverGrant { opened, package_hash: sha256(&[&package]) });
        let (delivered, _) = toy::record(&mut chain, &deliver.encode())?;
        Ok((delivered, package))
    }
}

#[tonic::async_trait]
impl Audit for Face {
    async fn terms(&self, _: Request<AuditTermsRequest>) -> Answered<AuditTermsResponse> {
        let tenant = tenant_id("bank");
        let mut response = {
            let chain = self.0.chain.lock().unwrap();
            let state = chain.state.get(&audit_key(&tenant)).map(|value| AuditState::decode(value).unwrap());
            AuditTermsResponse {
                tenant: tenant.to_vec().into(),
                terms: chain.proof(&audit_key(&tenant)).into(),
                rule: state.map(|state| chain.proof(&approval_key(&state.rule))).unwrap_or_default().into(),
            }
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().terms {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn publish_terms(&self, request: Request<AuditEntryRequest>) -> Answered<AuditEntryResponse> {
        self.record(&request.get_ref().entry)
    }

    async fn request(&self, request: Request<RequestGrantRequest>) -> Answered<AuditEntryResponse> {
        let RequestGrantRequest { entry, purpose, .. } = request.into_inner();
        if let Ok(Entry::Authored(Authored { act: Act::Audit(AuditAct::Request(grant)), .. })) =
            Entry::decode(&entry)
        {
            self.0.purposes.lock().unwrap().insert(grant.id, purpose);
        }
        self.record(&entry)
    }

    async fn issue(&self, request: Request<AuditEntryRequest>) -> Answered<AuditEntryResponse> {
        self.record(&request.get_ref().entry)
    }

    async fn revoke(&self, request: Request<AuditEntryRequest>) -> Answered<AuditEntryResponse> {
        self.record(&request.get_ref().entry)
    }

    async fn list(&self, _: Request<ListGrantsRequest>) -> Answered<ListGrantsResponse> {
        let purposes = self.0.purposes.lock().unwrap();
        let grants = purposes.iter().map(|(id, purpose)| ListedGrant {
            grant_id: id.to_vec().into(),
            purpose: purpose.clone(),
            grantee: ANNA.to_vec().into(),
            requested_unix_ms: 1,
        });
        Ok(Response::new(ListGrantsResponse { grants: grants.collect() }))
    }

    async fn show(&self, request: Request<ShowGrantRequest>) -> Answered<ShowGrantResponse> {
        let id = Hash::try_from(&request.get_ref().grant_id[..]).unwrap();
        let mut response = ShowGrantResponse {
            grant: self.0.chain.lock().unwrap().proof(&audit_grant_key(&id)).into(),
            purpose: self.0.purposes.lock().unwrap().get(&id).cloned().unwrap_or_default(),
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().grant {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn open(&self, request: Request<OpenGrantRequest>) -> Answered<OpenGrantResponse> {
        let entry = &request.get_ref().entry;
        let (opened, _) = self.hand_in(entry)?;
        let Ok(Entry::Authored(Authored { act: Act::Audit(AuditAct::Open(open)), .. })) =
            Entry::decode(entry)
        else {
            panic!("an opening")
        };
        let (delivered, package) = self.deliver(open)?;
        let mut response = OpenGrantResponse {
            opened: opened.into(),
            delivered: delivered.into(),
            package: package.into(),
            dealt: Vec::new(),
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().opened {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn accounts(&self, _: Request<GrantAccountsRequest>) -> Answered<GrantAccountsResponse> {
        let accounts = [[2; 32], [1; 32]].map(|account: Hash| account.to_vec().into());
        Ok(Response::new(GrantAccountsResponse { accounts: accounts.to_vec() }))
    }
}

#[tonic::async_trait]
impl Approvals for Face {
    async fn define_rule(&self, request: Request<ApprovalEntryRequest>) -> Answered<ApprovalEntryResponse> {
        self.approval(&request.get_ref().entry)
    }

    async fn rules(&self, request: Request<ListApprovalRulesRequest>) -> Answered<ListApprovalRulesResponse> {
        let id = Hash::try_from(&request.get_ref().rule[..]).unwrap_or(rule().id(kind::DEFINE_APPROVAL));
        let one = ShownApprovalRule {
            owner: rule().owner.to_vec().into(),
            name: rule().name.to_vec().into(),
            rule: self.0.chain.lock().unwrap().proof(&approval_key(&id)).into(),
        };
        Ok(Response::new(ListApprovalRulesResponse { rules: vec![one] }))
    }

    async fn ask(&self, request: Request<AskApprovalRequest>) -> Answered<AskApprovalResponse> {
        let AskApprovalRequest { entry, about, .. } = request.into_inner();
        let (receipt, leaf_index) = self.hand_in(&entry)?;
        let case = self.0.chain.lock().unwrap().entry(leaf_index).unwrap().1.data.clone();
        self.0.mail.lock().unwrap().insert(case.try_into().unwrap(), about.unwrap());
        Ok(Response::new(AskApprovalResponse { receipt: receipt.into(), leaf_index }))
    }

    async fn list(&self, _: Request<ListApprovalsRequest>) -> Answered<ListApprovalsResponse> {
        Err(refused("NOT_ALLOWED"))
    }

    async fn show(&self, request: Request<ShowApprovalRequest>) -> Answered<ShowApprovalResponse> {
        let case = Hash::try_from(&request.get_ref().case_id[..]).unwrap();
        let mut response = {
            let chain = self.0.chain.lock().unwrap();
            let key = approval_case_key(&case);
            let rule = ApprovalCase::decode(chain.state.get(&key).unwrap()).unwrap().rule;
            ShowApprovalResponse {
                case: chain.proof(&key).into(),
                rule: chain.proof(&approval_key(&rule)).into(),
                about: self.0.mail.lock().unwrap().get(&case).cloned(),
            }
        };
        if let Some(lie) = &self.0.lies.lock().unwrap().case {
            response = lie(&self.0, response);
        }
        Ok(Response::new(response))
    }

    async fn give(&self, request: Request<ApprovalEntryRequest>) -> Answered<ApprovalEntryResponse> {
        self.approval(&request.get_ref().entry)
    }

    async fn refuse(&self, _: Request<ApprovalEntryRequest>) -> Answered<ApprovalEntryResponse> {
        Err(refused("NOT_ALLOWED"))
    }

    async fn withdraw(&self, _: Request<ApprovalEntryRequest>) -> Answered<WithdrawApprovalResponse> {
        Err(refused("NOT_ALLOWED"))
    }
}
