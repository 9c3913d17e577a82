//! Whether a signature may be given: by the final intent, the payload that it is shown for, approvals and policies.

use keyward_domain::{AccountId, DisclosureError, disclosed, scheme::Scheme};
use keyward_ledger_core::{
    entry::{Act, Authored, Entry, SharedAct, SharedIntent},
    hash::{Hash, commitment, sha256},
    state::{
        layout::{IntentState, intent_key},
        policy::{PolicyState, policy_key},
        shared::{SharedIntentState, shared_intent_key},
    },
};
use keyward_policies::{Facts as PayloadFacts, PolicySet, SharedSigning, Verdict, tenant_set_hash};
use std::sync::Arc;

use super::{error::SharedError, lag::soon, plan::SigningPlan, roster::Facts};
use crate::{keeper::Keeper, ledger::Look};

/// What is shown of a signature, and where the intent stands. It does not print: the ledger hides what is signed.
#[derive(Clone)]
pub(crate) struct Disclosed {
    pub(crate) leaf_index: u64,
    pub(crate) payload: Vec<u8>,
    pub(crate) format: String,
    pub(crate) opening: Hash,
    /// The tenant's policy set, where one is published.
    pub(crate) policy: Vec<u8>,
}

/// An intent that is final, accepted and alive.
struct Claimed {
    intent: SharedIntent,
    /// The rule that has approved it.
    approved: Option<Hash>,
    /// The time of its block.
    time_ms: u64,
}

impl Keeper {
    /// Refuses what the final intent does not allow.
    pub(crate) async fn permit(
        &self,
        facts: &Facts,
        plan: &SigningPlan,
        disclosed: &Disclosed,
    ) -> Result<(), SharedError> {
        facts.require_active()?;
        self.require_open(&facts.shared.name.owner).await?;
        let claimed = self.claimed(facts, plan, disclosed.leaf_index).await?;
        let payload = shown(facts, plan, disclosed, &claimed.intent)?;
        if facts.shared.approval_rule.is_some() && claimed.approved != facts.shared.approval_rule {
            return Err(SharedError::NotApproved);
        }
        let policies = self.policies(facts, &disclosed.policy).await?;
        if policies.hash() != claimed.intent.policy {
            return Err(SharedError::OtherPolicy);
        }
        let approvals: Vec<Hash> = claimed.approved.into_iter().collect();
        let request = SharedSigning {
            account: AccountId(facts.shared.name.owner),
            key_id: facts.key_id.0,
            facts: &payload,
            time_ms: claimed.time_ms,
            approvals: &approvals,
        };
        match policies.decide_shared(&request) {
            Verdict::Allow { .. } => Ok(()),
            Verdict::NeedsApproval { rules, .. } => {
                let rules = rules.iter().map(hex::encode).collect::<Vec<_>>().join(", ");
                Err(SharedError::NeedsApproval { rules })
            }
            Verdict::Deny { reasons } => Err(SharedError::Forbidden { reasons: reasons.join(", ") }),
        }
    }

    /// The intent of a record, if it is the plan's and lives.
    async fn claimed(
        &self,
        facts: &Facts,
        plan: &SigningPlan,
        leaf_index: u64,
    ) -> Result<Claimed, SharedError> {
        let refused = |why| SharedError::Intent { leaf_index, why };
        let keys = vec![shared_intent_key(&plan.intent), intent_key(&plan.intent)];
        let look = soon(true, || async { Ok(self.look(leaf_index, keys.clone()).await?) });
        let Look { record: found, values, .. } = look.await?.ok_or(refused("there is none"))?;
        let (act, intent) = shared_intent(&found.entry).ok_or(refused("it is no intent of a shared key"))?;
        if !found.outcome.is_accepted() {
            return Err(refused("the ledger has refused it"));
        }
        let same = intent.id == plan.intent
            && intent.key_id == plan.key_id
            && intent.signers == plan.signers
            && intent.tweak == plan.tweak_on_ledger();
        if !same {
            return Err(refused("it has another id, key, tweak or other signers"));
        }
        if intent.share_version != facts.shared.share_version {
            return Err(SharedError::Stale { now: facts.shared.share_version });
        }
        let [live, claim] = values.as_slice() else { return Err(refused("its state is not known")) };
        let live = live.as_deref().map(SharedIntentState::decode).transpose()?;
        let claim = claim.as_deref().map(IntentState::decode).transpose()?;
        // An intent lives up to its last height; then another one of this id may.
        let (Some(live), Some(claim)) = (live, claim) else { return Err(refused("it has expired")) };
        if live.act != act || live.share_version != intent.share_version {
            return Err(refused("another one of this id is alive"));
        }
        if claim.released {
            return Err(refused("its signature was released"));
        }
        Ok(Claimed { intent, approved: live.approved_rule, time_ms: found.time_ms })
    }

    /// The policy set in force for a key: the floor of this build, and what its tenant has published. `text` is what the
    /// caller says that this is; the ledger has its hash.
    async fn policies(&self, facts: &Facts, text: &[u8]) -> Result<Arc<PolicySet>, SharedError> {
        let tenants = &self.0.shared.policies;
        let Some(tenant) = facts.shared.policy_tenant else { return Ok(tenants.floor()) };
        let (value, _) = self.recent(&policy_key(&tenant)).await?;
        let Some(published) = value.map(|value| PolicyState::decode(&value)).transpose()? else {
            return Ok(tenants.floor());
        };
        let in_force = |set: &Arc<PolicySet>| set.tenant_hash() == Some(published.set);
        if let Some(known) = tenants.of(&tenant).filter(in_force) {
            return Ok(known);
        }
        let text = std::str::from_utf8(text).map_err(|_words| SharedError::OtherPolicy)?.to_owned();
        if tenant_set_hash(&text) != published.set {
            return Err(SharedError::OtherPolicy);
        }
        let (inner, _turn) = (self.0.clone(), self.0.turns.costly()?);
        self.work(move || Ok(inner.shared.policies.publish(tenant, &text)?)).await
    }
}

/// The intent of an entry, and the hash of its act.
fn shared_intent(entry: &[u8]) -> Option<(Hash, SharedIntent)> {
    match Entry::decode(entry).ok()? {
        Entry::Authored(Authored { act, .. }) => {
            let hash = act.payload();
            match act {
                Act::Shared(SharedAct::Intent(intent)) => Some((hash, *intent)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// What the payload says, if it is the one that the intent commits to and whose signature is asked for.
fn shown(
    facts: &Facts,
    plan: &SigningPlan,
    shown: &Disclosed,
    intent: &SharedIntent,
) -> Result<PayloadFacts, SharedError> {
    let payload_hash = match facts.shared.scheme {
        Scheme::Ed25519 => sha256(&[&plan.message]),
        // What it signs is a digest.
        _ => {
            let digest = plan.message.as_slice().try_into();
            digest.map_err(|_length| SharedError::Malformed { what: "message" })?
        }
    };
    if commitment(&shown.opening, &payload_hash) != intent.commitment {
        return Err(SharedError::Payload(DisclosureError::Other));
    }
    Ok(PayloadFacts::of(&disclosed(&shown.format, &shown.payload, &payload_hash)?))
}
