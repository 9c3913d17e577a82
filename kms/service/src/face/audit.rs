//! `keyward.v1.Audit`.

use bytes::Bytes;
use keyward_proto::custody::{self as proto, audit_server::Audit};
use tonic::{Request, Response, Status};

use super::{Face, convert::array};
use crate::{
    audit::{
        hand_in::{HandIn, Kind},
        open::Delivery,
        show::ListedGrant,
    },
    vaults::entries::HandedIn,
};

fn recorded(done: HandedIn) -> proto::AuditEntryResponse {
    proto::AuditEntryResponse { receipt: done.receipt.into(), leaf_index: done.leaf_index }
}

impl Face {
    async fn audit_entry(
        &self,
        verb: &'static str,
        kind: Kind,
        request: Request<proto::AuditEntryRequest>,
    ) -> Result<Response<proto::AuditEntryResponse>, Status> {
        self.answer(verb, request, move |custody, caller, m| async move {
            let what = HandIn { kind, entry: &m.entry, purpose: "", mark: &m.idempotency_key };
            Ok(recorded(custody.hand_in_audit(&caller, what).await?))
        })
        .await
    }
}

#[tonic::async_trait]
impl Audit for Face {
    async fn terms(
        &self,
        request: Request<proto::AuditTermsRequest>,
    ) -> Result<Response<proto::AuditTermsResponse>, Status> {
        self.answer("audit.terms", request, |custody, caller, m| async move {
            let shown = custody.show_audit_terms(&caller, &m.tenant).await?;
            Ok(proto::AuditTermsResponse {
                tenant: Bytes::copy_from_slice(&shown.tenant),
                terms: shown.terms.into(),
                rule: shown.rule.into(),
            })
        })
        .await
    }

    async fn publish_terms(
        &self,
        request: Request<proto::AuditEntryRequest>,
    ) -> Result<Response<proto::AuditEntryResponse>, Status> {
        self.audit_entry("audit.publish", Kind::Publish, request).await
    }

    async fn request(
        &self,
        request: Request<proto::RequestGrantRequest>,
    ) -> Result<Response<proto::AuditEntryResponse>, Status> {
        self.answer("audit.request", request, |custody, caller, m| async move {
            let (kind, entry, mark) = (Kind::Request, &m.entry[..], &m.idempotency_key[..]);
            let what = HandIn { kind, entry, purpose: &m.purpose, mark };
            Ok(recorded(custody.hand_in_audit(&caller, what).await?))
        })
        .await
    }

    async fn issue(
        &self,
        request: Request<proto::AuditEntryRequest>,
    ) -> Result<Response<proto::AuditEntryResponse>, Status> {
        self.audit_entry("audit.issue", Kind::Issue, request).await
    }

    async fn revoke(
        &self,
        request: Request<proto::AuditEntryRequest>,
    ) -> Result<Response<proto::AuditEntryResponse>, Status> {
        self.audit_entry("audit.revoke", Kind::Revoke, request).await
    }

    async fn list(
        &self,
        request: Request<proto::ListGrantsRequest>,
    ) -> Result<Response<proto::ListGrantsResponse>, Status> {
        self.answer("audit.list", request, |custody, caller, m| async move {
            let after = match m.after_grant_id.is_empty() {
                true => None,
                false => Some(array("after_grant_id", &m.after_grant_id)?),
            };
            let grants = custody.list_grants(&caller, after).await?.into_iter();
            let grants = grants.map(|ListedGrant { grant, purpose, grantee, requested_ms }| {
                let (grant_id, grantee) = (Bytes::copy_from_slice(&grant), Bytes::copy_from_slice(&grantee));
                proto::ListedGrant { grant_id, purpose, grantee, requested_unix_ms: requested_ms }
            });
            Ok(proto::ListGrantsResponse { grants: grants.collect() })
        })
        .await
    }

    async fn show(
        &self,
        request: Request<proto::ShowGrantRequest>,
    ) -> Result<Response<proto::ShowGrantResponse>, Status> {
        self.answer("audit.show", request, |custody, caller, m| async move {
            let shown = custody.show_grant(&caller, &array("grant_id", &m.grant_id)?).await?;
            Ok(proto::ShowGrantResponse { grant: shown.grant.into(), purpose: shown.purpose })
        })
        .await
    }

    async fn open(
        &self,
        request: Request<proto::OpenGrantRequest>,
    ) -> Result<Response<proto::OpenGrantResponse>, Status> {
        self.answer("audit.open", request, |custody, caller, m| async move {
            let done = custody.open_grant(&caller, &m.entry, &m.idempotency_key).await?;
            let opened = done.opened.receipt.into();
            Ok(match done.delivery {
                Delivery::Hosted { delivered, package } => {
                    let (delivered, dealt) = (delivered.into(), Vec::new());
                    proto::OpenGrantResponse { opened, delivered, package, dealt }
                }
                Delivery::Own(dealt) => proto::OpenGrantResponse { opened, dealt, ..Default::default() },
            })
        })
        .await
    }

    async fn accounts(
        &self,
        request: Request<proto::GrantAccountsRequest>,
    ) -> Result<Response<proto::GrantAccountsResponse>, Status> {
        self.answer("audit.accounts", request, |custody, caller, m| async move {
            let accounts = custody.grant_accounts(&caller, &array("grant_id", &m.grant_id)?).await?;
            let accounts = accounts.iter().map(|account| Bytes::copy_from_slice(account)).collect();
            Ok(proto::GrantAccountsResponse { accounts })
        })
        .await
    }
}
