//! `policy`: which policy set and which rules of risk each tenant goes by, version by version, as others than their publisher
//! have approved.

use super::authored::{Consent, next_version};
use super::{Call, Context, StateView, Stop, approval, only};
use crate::entry::{Act, Case, PublishPolicy};
use crate::genesis::Role;
use crate::hash::Hash;
use crate::outcome::{Outcome, Refusal};
use crate::state::layout::{ApprovalCase, approval_case_key};
use crate::state::policy::{PolicyState, policy_key, risk_key};

/// The contract.
pub fn apply(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<Outcome, Stop> {
    let (act, consent) = Consent::carried(call)?;
    let (publish, key, publication) = match act {
        Act::PublishPolicy(publish) => (publish, policy_key(&publish.tenant), publish.publication()),
        Act::PublishRisk(publish) => (publish, risk_key(&publish.tenant), publish.risk_publication()),
        _ => return Err(Refusal::EntryKindUnknown.into()),
    };
    let (_, account) = consent.one(state, context)?;
    let before = state.get(&key).map(PolicyState::decode).transpose()?;
    next_version(before.map(|before| before.version), publish.version)?;
    approval::rule(state, &publish.rule)?;
    let succession = Succession { rule: before.map(|before| before.rule), case: publish.case, publication };
    succession.allowed(state, call, context, &account)?;
    let PublishPolicy { version, set, rule, .. } = *publish;
    let published = PolicyState { version, set, rule, leaf: context.leaf_index };
    state.put(key, published.encode());
    Ok(Outcome::ACCEPTED)
}

/// What stands where something is published, and what is to take its place.
pub(super) struct Succession {
    /// The rule by which others approve; none where nothing stands.
    pub(super) rule: Option<Hash>,
    /// The case that the entry names.
    pub(super) case: Option<Hash>,
    /// What approvers decide.
    pub(super) publication: Hash,
}

impl Succession {
    /// Refuses unless nothing stands by which anybody could approve, or others have approved of exactly this.
    pub(super) fn allowed(
        &self,
        state: &mut dyn StateView,
        call: &Call<'_>,
        context: &Context<'_>,
        publisher: &Hash,
    ) -> Result<(), Stop> {
        match (self.rule, self.case) {
            (None, None) => Ok(only(call, &[Role::Service, Role::Operator])?),
            (None, Some(_)) => Err(Refusal::CaseUnknown.into()),
            (Some(_), None) => Err(Refusal::ApprovalsMissing.into()),
            (Some(rule), Some(id)) => {
                approved(state, context, &rule, &Case { id, payload: self.publication }, publisher)
            }
        }
    }
}

/// Uses up what others approved of exactly this payload, under the rule that stands; the account itself asked for it.
pub(super) fn approved(
    state: &mut dyn StateView,
    context: &Context<'_>,
    rule: &Hash,
    case: &Case,
    asker: &Hash,
) -> Result<(), Stop> {
    let found = state.get(&approval_case_key(&case.id)).ok_or(Refusal::CaseUnknown)?;
    if ApprovalCase::decode(found)?.initiator != *asker {
        return Err(Refusal::AuthorNotNamed.into());
    }
    approval::use_up(state, context, rule, case, &[*asker])
}
