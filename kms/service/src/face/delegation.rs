//! `keyward.v1.Delegation` and `keyward.v1.Recovery`.

use keyward_domain::Code;
use keyward_proto::custody::{
    self as proto, act_request::Payload, delegation_server::Delegation, recovery_server::Recovery,
};
use tonic::{Request, Response, Status};

use super::{
    Face,
    convert::{array, shown, signed},
};
use crate::{
    delegation::{
        act::AskToAct,
        entries::{HandIn, Kind, Login},
    },
    failure::Failure,
    guard::{Input, Said},
};

impl Face {
    async fn delegation_entry(
        &self,
        verb: &'static str,
        kind: Kind,
        request: Request<proto::DelegationEntryRequest>,
    ) -> Result<Response<proto::DelegationEntryResponse>, Status> {
        self.answer(verb, request, move |custody, caller, m| async move {
            let what = HandIn { kind, entry: &m.entry, mark: &m.idempotency_key, login: None };
            let done = custody.hand_in_delegation(&caller, what).await?;
            Ok(proto::DelegationEntryResponse { receipt: done.receipt.into(), leaf_index: done.leaf_index })
        })
        .await
    }
}

#[tonic::async_trait]
impl Delegation for Face {
    async fn show(
        &self,
        request: Request<proto::ShowDelegationsRequest>,
    ) -> Result<Response<proto::ShowDelegationsResponse>, Status> {
        self.answer("delegation.show", request, |custody, caller, m| async move {
            let of = if m.account.is_empty() { None } else { Some(array("account", &m.account)?) };
            let shown = custody.show_delegations(&caller, of).await?;
            let one = |one: crate::delegation::show::ShownOne| proto::ShownDelegation {
                delegation: one.delegation.into(),
                timelock: one.timelock.into(),
                recovery: one.recovery.into(),
            };
            let delegations = shown.delegations.into_iter().map(one).collect();
            Ok(proto::ShowDelegationsResponse { account: shown.account.into(), delegations })
        })
        .await
    }

    async fn appoint(
        &self,
        request: Request<proto::DelegationEntryRequest>,
    ) -> Result<Response<proto::DelegationEntryResponse>, Status> {
        self.delegation_entry("delegation.appoint", Kind::Appoint, request).await
    }

    async fn revoke(
        &self,
        request: Request<proto::DelegationEntryRequest>,
    ) -> Result<Response<proto::DelegationEntryResponse>, Status> {
        self.delegation_entry("delegation.revoke", Kind::Revoke, request).await
    }

    async fn policies(
        &self,
        request: Request<proto::DelegatePoliciesRequest>,
    ) -> Result<Response<proto::DelegatePoliciesResponse>, Status> {
        self.answer("delegation.policies", request, |custody, caller, _| async move {
            let editions = custody.delegate_editions(&caller)?;
            let policies = editions.iter().map(|edition| proto::DelegatePolicy {
                hash: edition.policies.hash().to_vec().into(),
                schema: edition.schema.to_owned(),
                files: edition.files.iter().map(|(name, text)| policy_file(name, text)).collect(),
            });
            Ok(proto::DelegatePoliciesResponse { policies: policies.collect() })
        })
        .await
    }

    async fn act(&self, request: Request<proto::ActRequest>) -> Result<Response<proto::ActResponse>, Status> {
        self.answer("delegation.act", request, |custody, caller, m| async move {
            let input = match m.payload {
                Some(Payload::Message(message)) => Input::Message(message),
                Some(Payload::Digest(digest)) => Input::Digest(digest),
                None => {
                    let what = "there is neither a message nor a digest";
                    return Err(Failure::new(Code::PayloadMissing, what));
                }
            };
            let (entry, r, mark) = (&m.entry[..], array("r", &m.r)?, &m.idempotency_key[..]);
            let said = Said::of(&input, m.shown.map(shown).as_ref())?;
            let ask = AskToAct { entry, r, input: &input, said: &said, mark };
            let done = custody.delegated_act(&caller, ask).await?;
            Ok(proto::ActResponse {
                signed: Some(signed(done.signed)),
                act_receipt: done.act.receipt.into(),
                act_leaf_index: done.act.leaf_index,
            })
        })
        .await
    }
}

#[tonic::async_trait]
impl Recovery for Face {
    async fn begin(
        &self,
        request: Request<proto::BeginRecoveryRequest>,
    ) -> Result<Response<proto::BeginRecoveryResponse>, Status> {
        self.answer("recovery.begin", request, |custody, _, m| async move {
            let begun = custody.recovery_begin(&m.user_name, &m.registration_request).await?;
            Ok(proto::BeginRecoveryResponse {
                registration_response: begun.response.into(),
                chain_id: custody.ledger.chain_id().to_vec().into(),
                account: begun.account.to_vec().into(),
                registration_name: begun.name.to_vec().into(),
            })
        })
        .await
    }

    async fn open(
        &self,
        request: Request<proto::OpenRecoveryRequest>,
    ) -> Result<Response<proto::DelegationEntryResponse>, Status> {
        self.answer("recovery.open", request, |custody, caller, m| async move {
            let (entry, mark) = (&m.entry[..], &m.idempotency_key[..]);
            let name = array("registration_name", &m.registration_name)?;
            let login = Some(Login { name: &name, upload: &m.registration_upload });
            let what = HandIn { kind: Kind::Open, entry, mark, login };
            let done = custody.hand_in_delegation(&caller, what).await?;
            Ok(proto::DelegationEntryResponse { receipt: done.receipt.into(), leaf_index: done.leaf_index })
        })
        .await
    }

    async fn veto(
        &self,
        request: Request<proto::DelegationEntryRequest>,
    ) -> Result<Response<proto::DelegationEntryResponse>, Status> {
        self.delegation_entry("recovery.veto", Kind::Veto, request).await
    }

    async fn cancel(
        &self,
        request: Request<proto::DelegationEntryRequest>,
    ) -> Result<Response<proto::DelegationEntryResponse>, Status> {
        self.delegation_entry("recovery.cancel", Kind::Cancel, request).await
    }

    async fn execute(
        &self,
        request: Request<proto::DelegationEntryRequest>,
    ) -> Result<Response<proto::DelegationEntryResponse>, Status> {
        self.delegation_entry("recovery.execute", Kind::Execute, request).await
    }
}

fn policy_file(name: &str, text: &str) -> proto::PolicyFile {
    proto::PolicyFile { name: name.to_owned(), text: text.to_owned() }
}
