//! `keyward.v1.Approvals`.

use bytes::Bytes;
use keyward_domain::{
    Code,
    approval::{About, Publication, Published, Signing},
    scheme::KeyId,
};
use keyward_ledger_core::entry::{AuditTerms, Case, Grant, PublishAudit, PublishPolicy};
use keyward_proto::custody::{self as proto, approval_about, approvals_server::Approvals};
use tonic::{Request, Response, Status};

use super::{Face, convert::array};
use crate::{
    approvals::{
        entries::{HandIn, Heard, Kind},
        show::ShownRule,
    },
    failure::Failure,
};

impl Face {
    async fn approval_entry(
        &self,
        verb: &'static str,
        kind: Kind,
        request: Request<proto::ApprovalEntryRequest>,
    ) -> Result<Response<proto::ApprovalEntryResponse>, Status> {
        self.answer(verb, request, move |custody, caller, m| async move {
            let what = HandIn { kind, entry: &m.entry, about: None, mark: &m.idempotency_key };
            let done = custody.hand_in_approval(&caller, what).await?;
            Ok(proto::ApprovalEntryResponse { receipt: done.receipt.into(), leaf_index: done.leaf_index })
        })
        .await
    }
}

#[tonic::async_trait]
impl Approvals for Face {
    async fn define_rule(
        &self,
        request: Request<proto::ApprovalEntryRequest>,
    ) -> Result<Response<proto::ApprovalEntryResponse>, Status> {
        self.approval_entry("approval.define", Kind::Define, request).await
    }

    async fn rules(
        &self,
        request: Request<proto::ListApprovalRulesRequest>,
    ) -> Result<Response<proto::ListApprovalRulesResponse>, Status> {
        self.answer("approval.rules", request, |custody, caller, m| async move {
            let one = if m.rule.is_empty() { None } else { Some(array("rule", &m.rule)?) };
            let shown = match m.rate {
                true => vec![custody.show_rate_rule(&caller, &array("rule", &m.rule)?).await?],
                false => custody.show_approval_rules(&caller, one).await?,
            };
            Ok(proto::ListApprovalRulesResponse { rules: shown.into_iter().map(rule).collect() })
        })
        .await
    }

    async fn ask(
        &self,
        request: Request<proto::AskApprovalRequest>,
    ) -> Result<Response<proto::AskApprovalResponse>, Status> {
        self.answer("approval.ask", request, |custody, caller, m| async move {
            let about = about(m.about)?;
            let (kind, about) = (Kind::Ask, Some(&about));
            let what = HandIn { kind, entry: &m.entry, about, mark: &m.idempotency_key };
            let done = custody.hand_in_approval(&caller, what).await?;
            Ok(proto::AskApprovalResponse { receipt: done.receipt.into(), leaf_index: done.leaf_index })
        })
        .await
    }

    async fn list(
        &self,
        request: Request<proto::ListApprovalsRequest>,
    ) -> Result<Response<proto::ListApprovalsResponse>, Status> {
        self.answer("approval.list", request, |custody, caller, _| async move {
            let lines = custody.list_approvals(&caller).await?.into_iter();
            let approvals = lines.map(|line| proto::ListedApproval {
                case_id: Bytes::copy_from_slice(&line.case),
                initiator: Bytes::copy_from_slice(&line.account),
                asked_unix_ms: line.created_ms,
                ends_unix_ms: line.ends_ms,
            });
            Ok(proto::ListApprovalsResponse { approvals: approvals.collect() })
        })
        .await
    }

    async fn show(
        &self,
        request: Request<proto::ShowApprovalRequest>,
    ) -> Result<Response<proto::ShowApprovalResponse>, Status> {
        self.answer("approval.show", request, |custody, caller, m| async move {
            let case = array("case_id", &m.case_id)?;
            let shown = custody.show_approval(&caller, &case).await?;
            Ok(proto::ShowApprovalResponse {
                case: shown.case.into(),
                rule: shown.rule.into(),
                about: shown.about.map(to_proto),
            })
        })
        .await
    }

    async fn give(
        &self,
        request: Request<proto::ApprovalEntryRequest>,
    ) -> Result<Response<proto::ApprovalEntryResponse>, Status> {
        self.approval_entry("approval.give", Kind::Give, request).await
    }

    async fn refuse(
        &self,
        request: Request<proto::ApprovalEntryRequest>,
    ) -> Result<Response<proto::ApprovalEntryResponse>, Status> {
        self.approval_entry("approval.refuse", Kind::Refuse, request).await
    }

    async fn withdraw(
        &self,
        request: Request<proto::ApprovalEntryRequest>,
    ) -> Result<Response<proto::WithdrawApprovalResponse>, Status> {
        self.answer("approval.withdraw", request, |custody, caller, m| async move {
            Ok(match custody.withdraw_approval(&caller, &m.entry, &m.idempotency_key).await? {
                Heard::Recorded(done) => proto::WithdrawApprovalResponse {
                    receipt: done.receipt.into(),
                    leaf_index: done.leaf_index,
                    here: false,
                },
                Heard::TakenBack => proto::WithdrawApprovalResponse { here: true, ..Default::default() },
            })
        })
        .await
    }
}

fn rule(shown: ShownRule) -> proto::ShownApprovalRule {
    let (owner, name) = shown.names.map_or_else(Default::default, |names| {
        (Bytes::copy_from_slice(&names.owner), Bytes::copy_from_slice(&names.name))
    });
    proto::ShownApprovalRule { owner, name, rule: shown.receipt.into() }
}

fn about(about: Option<proto::ApprovalAbout>) -> Result<About, Failure> {
    use approval_about::About as Of;
    match about.and_then(|about| about.about) {
        Some(Of::Signing(m)) => Ok(About::Signing(Signing {
            key_id: KeyId(array("key_id", &m.key_id)?),
            payload: m.payload.to_vec(),
            format: m.format,
            payload_hash: array("payload_hash", &m.payload_hash)?,
            opening: array("opening", &m.opening)?,
        })),
        Some(Of::Dispute(m)) => Ok(About::Dispute(Case {
            id: array("case_id", &m.case_id)?,
            payload: array("payload", &m.payload)?,
        })),
        Some(Of::Publication(m)) => publication(Published::Policy, m),
        Some(Of::Risk(m)) => publication(Published::Risk, m),
        Some(Of::Grant(m)) => {
            let what = "what the case is about is no grant";
            let malformed = |error| Failure::because(Code::ApprovalRequestMalformed, what, error);
            Ok(About::Grant { grant: Grant::decode(&m.grant).map_err(malformed)?, purpose: m.purpose })
        }
        Some(Of::Audit(m)) => audit_terms(&m),
        Some(Of::Address(_)) => {
            let what = "who asks for what an address signs is named by no case (`Addresses.Ask`)";
            Err(Failure::new(Code::ApprovalRequestMalformed, what))
        }
        None => {
            let what = "nothing that this version knows says what the case is about";
            Err(Failure::new(Code::ApprovalRequestMalformed, what))
        }
    }
}

fn publication(of: Published, m: proto::ApprovalOfPublication) -> Result<About, Failure> {
    let (tenant, set) = (array("tenant", &m.tenant)?, array("set", &m.set)?);
    let publish =
        PublishPolicy { tenant, version: m.version, set, rule: array("rule", &m.rule)?, case: None };
    Ok(About::Publication(Publication { of, publish, text: m.text }))
}

fn audit_terms(m: &proto::ApprovalOfAuditTerms) -> Result<About, Failure> {
    let what = "`accounts_max` is more than 65535";
    let wide = |error| Failure::because(Code::ApprovalRequestMalformed, what, error);
    let terms = AuditTerms {
        accounts_max: u16::try_from(m.accounts_max).map_err(wide)?,
        span_ms_max: m.span_ms_max,
        live_ms_max: m.live_ms_max,
        kept_ms: m.kept_ms,
    };
    let (tenant, rule) = (array("tenant", &m.tenant)?, array("rule", &m.rule)?);
    Ok(About::AuditTerms(PublishAudit { tenant, version: m.version, terms, rule, case: None }))
}

fn to_proto(about: About) -> proto::ApprovalAbout {
    use approval_about::About as Of;
    let of = match about {
        About::Signing(Signing { key_id, payload, format, payload_hash, opening }) => {
            Of::Signing(proto::ApprovalOfSigning {
                key_id: Bytes::copy_from_slice(&key_id.0),
                payload: payload.into(),
                format,
                payload_hash: Bytes::copy_from_slice(&payload_hash),
                opening: Bytes::copy_from_slice(&opening),
            })
        }
        About::Dispute(Case { id, payload }) => Of::Dispute(proto::ApprovalOfDispute {
            case_id: Bytes::copy_from_slice(&id),
            payload: Bytes::copy_from_slice(&payload),
        }),
        About::Publication(Publication { of, publish, text }) => {
            let publication = proto::ApprovalOfPublication {
                tenant: Bytes::copy_from_slice(&publish.tenant),
                version: publish.version,
                set: Bytes::copy_from_slice(&publish.set),
                rule: Bytes::copy_from_slice(&publish.rule),
                text,
            };
            match of {
                Published::Policy => Of::Publication(publication),
                Published::Risk => Of::Risk(publication),
            }
        }
        About::Grant { grant, purpose } => {
            Of::Grant(proto::ApprovalOfGrant { grant: grant.encode().into(), purpose })
        }
        About::AuditTerms(PublishAudit { tenant, version, terms, rule, .. }) => {
            Of::Audit(proto::ApprovalOfAuditTerms {
                tenant: Bytes::copy_from_slice(&tenant),
                version,
                accounts_max: terms.accounts_max.into(),
                span_ms_max: terms.span_ms_max,
                live_ms_max: terms.live_ms_max,
                kept_ms: terms.kept_ms,
                rule: Bytes::copy_from_slice(&rule),
            })
        }
        About::Address(asked) => Of::Address(proto::ApprovalOfAddress {
            account: Bytes::copy_from_slice(&asked.account),
            salt: Bytes::copy_from_slice(&asked.salt),
            scheme: asked.scheme.name().to_owned(),
            payload: asked.payload.into(),
            format: asked.format,
            payload_hash: Bytes::copy_from_slice(&asked.payload_hash),
        }),
    };
    proto::ApprovalAbout { about: Some(of) }
}
