//! The service's face for approvals of what addresses sign.

use std::sync::Arc;

use keyward_client::approvals::{ApprovalTerms, Group, Party, RuleName};
use keyward_domain::approval::AddressSigning;
use keyward_ledger_core::entry::{Entry, kind};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::state::layout::{
    ApprovalCase, ApprovalCaseStatus, ApprovalState, approval_case_key, approval_key,
};
use keyward_proto::custody::approvals_server::Approvals;
use keyward_proto::custody::*;
use tonic::{Request, Response, Status};

use crate::addresses::world::{BORIS, CLARA, World};
use crate::toy::{self, Answered, refused};

pub(crate) const LIVE_MS: u64 = 60_000;

/// Clara's rule: Boris approves.
pub(crate) fn rule() -> RuleName {
    RuleName { owner: CLARA, name: [9; 32] }
}

#[derive(Clone)]
pub(crate) struct Desk(pub(crate) Arc<World>);

impl World {
    pub(crate) fn define_rule(&self) {
        let members = vec![Party::Credential(BORIS)];
        let groups = vec![Group { role: "treasury".into(), needed: 1, members }];
        let terms = ApprovalTerms { live_ms_max: LIVE_MS, groups };
        let state = ApprovalState { version: 1, terms, cases: 0 }.encode();
        let key = approval_key(&rule().id(kind::DEFINE_APPROVAL));
        self.chain.lock().unwrap().state.insert(&key, &state);
    }

    /// Opens a case for whoever it is about.
    pub(crate) fn open_case(&self, asked: AddressSigning) -> (Hash, u64) {
        let open = Entry::OpenBlindCase(asked.blinded().open(rule().id(kind::DEFINE_APPROVAL), LIVE_MS));
        let mut chain = self.chain.lock().unwrap();
        let (leaf_index, _) = chain.record(&open.encode());
        let case = chain.entry(leaf_index).unwrap().1.data.clone().try_into().unwrap();
        self.mail.lock().unwrap().insert(case, asked);
        (case, leaf_index)
    }

    /// Uses a case up, if that was not done before.
    pub(crate) fn use_case(&self, case: &Hash) -> Result<(), Status> {
        if self.is_used(case) {
            return Ok(());
        }
        let asked = self.mail.lock().unwrap()[case].clone();
        let used = Entry::UseBlindCase(asked.blinded().use_up(*case));
        toy::record(&mut self.chain.lock().unwrap(), &used.encode()).map(drop)
    }

    pub(crate) fn case(&self, case: &Hash) -> Option<ApprovalCase> {
        let chain = self.chain.lock().unwrap();
        chain.state.get(&approval_case_key(case)).map(|value| ApprovalCase::decode(value).unwrap())
    }

    pub(crate) fn is_used(&self, case: &Hash) -> bool {
        self.case(case).is_some_and(|found| found.status == ApprovalCaseStatus::Used)
    }
}

fn about(asked: AddressSigning) -> ApprovalAbout {
    let of = ApprovalOfAddress {
        account: asked.account.to_vec().into(),
        salt: asked.salt.to_vec().into(),
        scheme: asked.scheme.name().into(),
        payload: asked.payload.into(),
        format: asked.format,
        payload_hash: asked.payload_hash.to_vec().into(),
    };
    ApprovalAbout { about: Some(approval_about::About::Address(of)) }
}

#[tonic::async_trait]
impl Approvals for Desk {
    async fn define_rule(&self, _: Request<ApprovalEntryRequest>) -> Answered<ApprovalEntryResponse> {
        Err(refused("NOT_ALLOWED"))
    }

    async fn rules(&self, _: Request<ListApprovalRulesRequest>) -> Answered<ListApprovalRulesResponse> {
        Err(refused("NOT_ALLOWED"))
    }

    async fn ask(&self, _: Request<AskApprovalRequest>) -> Answered<AskApprovalResponse> {
        Err(refused("NOT_ALLOWED"))
    }

    async fn list(&self, _: Request<ListApprovalsRequest>) -> Answered<ListApprovalsResponse> {
        Err(refused("NOT_ALLOWED"))
    }

    async fn show(&self, request: Request<ShowApprovalRequest>) -> Answered<ShowApprovalResponse> {
        let case = Hash::try_from(&request.get_ref().case_id[..]).unwrap();
        let asked = self.0.mail.lock().unwrap().get(&case).cloned();
        let asked = match &self.0.lies.lock().unwrap().asked {
            Some(lie) => lie(&self.0, asked),
            None => asked,
        };
        let rule = self.0.case(&case).map(|found| found.rule).unwrap_or_default();
        let chain = self.0.chain.lock().unwrap();
        Ok(Response::new(ShowApprovalResponse {
            case: chain.proof(&approval_case_key(&case)).into(),
            rule: chain.proof(&approval_key(&rule)).into(),
            about: asked.map(about),
        }))
    }

    async fn give(&self, request: Request<ApprovalEntryRequest>) -> Answered<ApprovalEntryResponse> {
        let recorded = toy::record(&mut self.0.chain.lock().unwrap(), &request.get_ref().entry);
        let (receipt, leaf_index) = recorded?;
        Ok(Response::new(ApprovalEntryResponse { receipt: receipt.into(), leaf_index }))
    }

    async fn refuse(&self, _: Request<ApprovalEntryRequest>) -> Answered<ApprovalEntryResponse> {
        Err(refused("NOT_ALLOWED"))
    }

    async fn withdraw(&self, _: Request<ApprovalEntryRequest>) -> Answered<WithdrawApprovalResponse> {
        Err(refused("NOT_ALLOWED"))
    }
}
