//! What policies say of a signature with a shared key: the same question that every keeper of it answers for itself.

use keyward_domain::{AccountId, Code, meaning::Meaning};
use keyward_ledger_core::{
    entry::SharedIntent,
    shared::approval_payload,
    state::{
        layout::{ApprovalCase, approval_case_key},
        shared::SharedKeyState,
    },
};
use keyward_policies::{Facts, PolicySet, SharedSigning, Verdict};
use keyward_store::Id;

use crate::{
    caller::Caller,
    custody::Custody,
    failure::Failure,
    guard::{denied, needs},
};

impl Custody {
    /// Refuses unless the policies let the account sign this.
    pub(crate) fn decide_shared(
        &self,
        set: &PolicySet,
        (state, intent): (&SharedKeyState, &SharedIntent),
        meaning: &Meaning,
        approvals: &[Id],
    ) -> Result<(), Failure> {
        let facts = Facts::of(meaning);
        let asked = SharedSigning {
            account: AccountId(state.name.owner),
            key_id: intent.key_id.0,
            facts: &facts,
            time_ms: self.clock.now_ms(),
            approvals,
        };
        let verdict = set.decide_shared(&asked);
        self.policies.remember_shared(&asked);
        tracing::debug!(key = %intent.key_id, verdict = verdict.name(), policies = ?verdict.policies(), "decided");
        match &verdict {
            Verdict::Allow { .. } => Ok(()),
            Verdict::NeedsApproval { rules, policies } => Err(needs(rules, policies)),
            Verdict::Deny { reasons } => Err(denied(reasons)),
        }
    }

    /// The rules under which exactly this is approved: that of the case which the intent uses up. Whether it is approved, and not
    /// used yet, is the ledger's to say when it takes the intent; that nobody approves their own wish under another account is
    /// ours.
    pub(crate) async fn approvals_of(
        &self,
        caller: &Caller,
        intent: &SharedIntent,
    ) -> Result<Vec<Id>, Failure> {
        let Some(case) = intent.case else { return Ok(Vec::new()) };
        let unknown = || Failure::new(Code::CaseUnknown, "the ledger knows no such approval case");
        let value = self.ledger.state(approval_case_key(&case)).await?.ok_or_else(unknown)?;
        let found = ApprovalCase::decode(&value).map_err(Failure::internal)?;
        if found.payload != approval_payload(&intent.key_id, &intent.commitment) {
            let message = "the approval case is about another key or payload";
            return Err(Failure::new(Code::CasePayload, message));
        }
        self.check_approvers(caller, &case).await?;
        Ok(vec![found.rule])
    }
}
