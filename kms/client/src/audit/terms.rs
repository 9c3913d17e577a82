//! A tenant's terms: how far a grant may reach, and who approves it.

use keyward_ledger_core::entry::{AuditAct, AuditTerms, PublishAudit};
use keyward_ledger_core::state::audit::{AuditState, audit_key};
use keyward_ledger_core::state::layout::{ApprovalState, approval_key};
use keyward_proto::custody::{AuditEntryRequest, AuditTermsRequest};

use super::{AuditError, Done};
use crate::approvals::Voice;
use crate::client::{Client, bytes32};
use crate::evidence::EvidenceError;

/// A tenant's terms, proven.
#[derive(Clone, Debug)]
pub struct ShownTerms {
    /// The tenant's id on the ledger.
    pub tenant: [u8; 32],
    /// The terms; none were ever published otherwise.
    pub state: Option<AuditState>,
    /// The approval rule that they name, as it is now.
    pub rule: Option<ApprovalState>,
    /// The height that this holds for.
    pub height: u64,
}

impl ShownTerms {
    /// The publication of the next version. Version 1 needs the rule to be named.
    pub fn next(&self, terms: AuditTerms, rule: Option<[u8; 32]>) -> Option<PublishAudit> {
        let version = self.state.map_or(0, |state| state.version).checked_add(1)?;
        let rule = rule.or(self.state.map(|state| state.rule))?;
        Some(PublishAudit { tenant: self.tenant, version, terms, rule, case: None })
    }
}

impl Client {
    /// The terms of a tenant by its name, or, without one, of the service's own: which one that is, is its word.
    pub async fn show_audit_terms(&self, tenant: Option<&str>) -> Result<ShownTerms, AuditError> {
        self.approval_trust()?;
        let message = AuditTermsRequest { tenant: tenant.unwrap_or_default().to_owned() };
        let shown = self.answer(self.audits().terms(self.request(message)).await)?;
        let id = bytes32("tenant", &shown.tenant)?;
        if tenant.is_some_and(|name| keyward_ledger_core::entry::tenant_id(name) != id) {
            return Err(EvidenceError::Substituted("the terms of another tenant").into());
        }
        let what = "the terms of audits";
        let proven = self.proven_audit(what, &audit_key(&id), &shown.terms)?;
        let state = proven.value.map(|value| AuditState::decode(&value)).transpose();
        let state = state.map_err(EvidenceError::malformed(what))?;
        let rule = match &state {
            Some(state) => {
                let what = "the rule that approves grants";
                let proven = self.proven_audit(what, &approval_key(&state.rule), &shown.rule)?;
                let rule = proven.value.map(|value| ApprovalState::decode(&value)).transpose();
                rule.map_err(EvidenceError::malformed(what))?
            }
            None => None,
        };
        Ok(ShownTerms { tenant: id, state, rule, height: proven.height })
    }

    /// Puts terms in force, from version 2 on with the case that has approved them.
    pub async fn publish_audit_terms(
        &self,
        voice: Voice<'_>,
        (publish, height): (&PublishAudit, u64),
        case: Option<[u8; 32]>,
    ) -> Result<Done, AuditError> {
        let act = AuditAct::Publish(PublishAudit { case, ..*publish });
        self.hand_in_audit(voice, (act, height), |entry, idempotency_key, left| {
            let message = AuditEntryRequest { entry, idempotency_key };
            let mut audits = self.audits();
            async move {
                let answer = self.answer(audits.publish_terms(self.request_within(message, left)).await)?;
                Ok((answer.receipt, answer.leaf_index))
            }
        })
        .await
    }
}
