//! `policy`: which policy set and which rules of risk each tenant goes by, version by version, as others than their publisher
//! have approved.

use super::authored::{Consent, next_version};
use super::{Call, Context, Contract, StateView, Stop, approval, only};
use crate::entry::{Act, Case, PublishPolicy};
use crate::genesis::Role;
use crate::hash::Hash;
use crate::outcome::{Outcome, Refusal};
use crate::state::layout::{ApprovalCase, approval_case_key};
use crate::state::policy::{PolicyState, policy_key, risk_key};

/// The contract.
#[derive(Clone, Copy, Debug)]
pub struct Policies;

impl Contract for Policies {
    fn apply(
        &self,
        state: &mut dyn StateView,
        call: &Call<'_>,
        context: &Context<'_>,
    ) -> Result<Outcome, Stop> {
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
        match (before, publish.case) {
            // Nothing stands by which anybody could approve.
            (None, None) => only(call, &[Role::Service, Role::Operator])?,
            (None, Some(_)) => return Err(Refusal::CaseUnknown.into()),
            (Some(_), None) => return Err(Refusal::ApprovalsMissing.into()),
            (Some(before), Some(id)) => {
                approved(state, context, &before.rule, &Case { id, payload: publication }, &account)?;
            }
        }
        let PublishPolicy { version, set, rule, .. } = *publish;
        let published = PolicyState { version, set, rule, leaf: context.leaf_index };
        state.put(key, published.encode());
        Ok(Outcome::ACCEPTED)
    }
}

/// Uses up what others approved of exactly this publication, under the rule that stands; the publisher asked for it.
fn approved(
    state: &mut dyn StateView,
    context: &Context<'_>,
    rule: &Hash,
    case: &Case,
    publisher: &Hash,
) -> Result<(), Stop> {
    let found = state.get(&approval_case_key(&case.id)).ok_or(Refusal::CaseUnknown)?;
    if ApprovalCase::decode(found)?.initiator != *publisher {
        return Err(Refusal::AuthorNotNamed.into());
    }
    approval::use_up(state, context, rule, case, &[*publisher])
}
