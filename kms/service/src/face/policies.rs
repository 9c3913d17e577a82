//! `keyward.v1.Policies`.

use bytes::Bytes;
use keyward_domain::publication::Published;
use keyward_policies::{Verdict, tenant_id};
use keyward_proto::custody::{self as proto, policies_server::Policies};
use tonic::{Request, Response, Status};

use super::Face;
use crate::policies::{AskToPublish, Changed, Version};

#[tonic::async_trait]
impl Policies for Face {
    async fn show(
        &self,
        request: Request<proto::ShowPolicyRequest>,
    ) -> Result<Response<proto::ShowPolicyResponse>, Status> {
        self.answer("policy.show", request, |custody, caller, m| async move {
            let shown = custody.show_policy(&caller, m.version).await?;
            let (schema, files) = custody.policy_floor();
            let file = |(name, text): &(&str, &str)| proto::FloorFile {
                name: (*name).to_owned(),
                text: (*text).to_owned(),
            };
            Ok(proto::ShowPolicyResponse {
                tenant: Bytes::copy_from_slice(&tenant_id(&custody.tenant)),
                version: shown.version,
                hash: shown.hash.into(),
                text: shown.text,
                state: shown.state.into(),
                policy: Bytes::copy_from_slice(&shown.policy),
                schema: schema.to_owned(),
                floor: files.iter().map(file).collect(),
            })
        })
        .await
    }

    async fn publish(
        &self,
        request: Request<proto::PublishPolicyRequest>,
    ) -> Result<Response<proto::PublishPolicyResponse>, Status> {
        self.answer("policy.publish", request, |custody, caller, m| async move {
            let (of, mark) = (Published::Policy, &m.idempotency_key[..]);
            let ask = AskToPublish { of, text: &m.text, entry: &m.entry, mark };
            let (done, version) = custody.publish(&caller, ask).await?;
            let (receipt, leaf_index) = (done.receipt.into(), done.leaf_index);
            Ok(proto::PublishPolicyResponse { receipt, leaf_index, version })
        })
        .await
    }

    async fn explain(
        &self,
        request: Request<proto::ExplainPolicyRequest>,
    ) -> Result<Response<proto::ExplainPolicyResponse>, Status> {
        self.answer("policy.explain", request, |custody, caller, m| async move {
            let verdict = custody.explain_policy(&caller, &m.request, &m.text).await?;
            Ok(proto::ExplainPolicyResponse { verdict: Some(said(&verdict)) })
        })
        .await
    }

    async fn dry_run(
        &self,
        request: Request<proto::DryRunPolicyRequest>,
    ) -> Result<Response<proto::DryRunPolicyResponse>, Status> {
        self.answer("policy.dry-run", request, |custody, caller, m| async move {
            let tried = custody.try_policy(&caller, &m.text).await?;
            let one = |one: Changed| proto::ChangedDecision {
                request: one.request,
                decided_unix_ms: one.at_ms,
                before: Some(said(&one.before)),
                after: Some(said(&one.after)),
            };
            Ok(proto::DryRunPolicyResponse {
                requests: count(tried.requests),
                since_unix_ms: tried.since_ms,
                changed: count(tried.changed),
                changes: tried.changes.into_iter().map(one).collect(),
            })
        })
        .await
    }

    async fn list(
        &self,
        request: Request<proto::ListPoliciesRequest>,
    ) -> Result<Response<proto::ListPoliciesResponse>, Status> {
        self.answer("policy.list", request, |custody, caller, _| async move {
            let versions = custody.list_policies(&caller).await?;
            let one = |Version { row, policies }: Version| proto::PolicyVersion {
                version: row.version,
                hash: Bytes::copy_from_slice(&row.hash),
                account: row.account.map(|id| Bytes::copy_from_slice(&id)).unwrap_or_default(),
                published_unix_ms: row.kept_ms,
                policies: count(policies),
            };
            Ok(proto::ListPoliciesResponse { versions: versions.into_iter().map(one).collect() })
        })
        .await
    }
}

fn said(verdict: &Verdict) -> proto::PolicyVerdict {
    let rules = match verdict {
        Verdict::NeedsApproval { rules, .. } => {
            rules.iter().map(|rule| Bytes::copy_from_slice(rule)).collect()
        }
        _ => Vec::new(),
    };
    let (decision, policies) = (verdict.name().to_owned(), verdict.policies().to_vec());
    proto::PolicyVerdict { decision, policies, rules }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
