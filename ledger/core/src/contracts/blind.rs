//! Blind cases: approvals for somebody who is not named, over something that is not told.
//!
//! They are cases of `approval` in all else. Who asks is not known here, so nobody is excluded from approving for having asked: who opens
//! what is hidden checks that. Therefore a blind case decides nothing on the ledger: no other payload is one of its hashes, and nobody but
//! who knows its token uses it up.

use super::approval::{open, use_up};
use super::{Call, Context, StateView, Stop, only};
use crate::entry::{Case, Entry, UseBlindCase};
use crate::genesis::Role;
use crate::outcome::{Outcome, Refusal};
use crate::state::layout::{ApprovalCase, approval_case_key};

/// The contract.
pub fn apply(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<Outcome, Stop> {
    only(call, &[Role::Service])?;
    match call.entry {
        Entry::OpenBlindCase(asked) => {
            let payload = asked.payload();
            // No account asks: the payload stands in its place.
            let case = open(state, context, &asked.rule, &payload, asked.live_ms, &payload)?;
            Ok(Outcome::accepted_with(&case))
        }
        Entry::UseBlindCase(used) => use_blind(state, context, used),
        _ => Err(Refusal::EntryKindUnknown.into()),
    }
}

fn use_blind(state: &mut dyn StateView, context: &Context<'_>, used: &UseBlindCase) -> Result<Outcome, Stop> {
    let value = state.get(&approval_case_key(&used.case)).ok_or(Refusal::CaseUnknown)?;
    let rule = ApprovalCase::decode(value)?.rule;
    use_up(state, context, &rule, &Case { id: used.case, payload: used.payload() }, &[])?;
    Ok(Outcome::ACCEPTED)
}
