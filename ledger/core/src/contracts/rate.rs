//! `rate`: what may be spent in fixed windows of block time. Check and charge are one step.
//!
//! Windows are fixed: twice the limit fits around the border of two of them. Name a shorter window beside a longer one
//! where that matters.

use super::authored::{Consent, next_version};
use super::{Call, Context, StateView, Stop, only};
use crate::entry::{Act, Define, RateTerms, RuleName, Terms as _, Window, kind};
use crate::genesis::Role;
use crate::hash::Hash;
use crate::outcome::{Outcome, Refusal};
use crate::state::layout::{RateState, Spent, rate_key};

/// The contract.
pub fn apply(state: &mut dyn StateView, call: &Call<'_>, context: &Context<'_>) -> Result<Outcome, Stop> {
    let (act, consent) = Consent::carried(call)?;
    let id = |rule: &RuleName| rule.id(kind::DEFINE_RATE);
    match act {
        Act::DefineRate(Define { rule, version, terms }) => {
            consent.of_account(state, context, &rule.owner)?;
            define(state, &id(rule), *version, terms)?;
        }
        Act::ChargeRate { rule, amount, .. } => {
            let rate = rate(state, &id(rule))?;
            match rate.terms.chargers.as_slice() {
                [] => {
                    only(call, &[Role::Service])?;
                    consent.named(state, context, &[], 0)?;
                }
                chargers => {
                    consent.named(state, context, chargers, 1)?;
                }
            }
            charge(state, context, &id(rule), *amount)?;
        }
        _ => return Err(Refusal::EntryKindUnknown.into()),
    }
    Ok(Outcome::ACCEPTED)
}

/// Sets a rate in its next version. A window that stays keeps what was spent in it.
pub fn define(state: &mut dyn StateView, rule: &Hash, version: u32, terms: &RateTerms) -> Result<(), Stop> {
    let before = state.get(&rate_key(rule)).map(RateState::decode).transpose()?;
    next_version(before.as_ref().map(|before| before.version), version)?;
    if !terms.is_sound() {
        return Err(Refusal::RuleInvalid.into());
    }
    let kept = |window: &Window| {
        let before = before.as_ref()?;
        let mut all = before.terms.windows.iter().zip(&before.spent);
        all.find(|(old, _)| old.length_ms == window.length_ms).map(|(_, spent)| *spent)
    };
    let spent = terms.windows.iter().map(|window| kept(window).unwrap_or_default()).collect();
    state.put(rate_key(rule), RateState { version, terms: terms.clone(), spent }.encode());
    Ok(())
}

/// Charges one act and its amount to every window, or refuses and changes nothing.
pub fn charge(
    state: &mut dyn StateView,
    context: &Context<'_>,
    rule: &Hash,
    amount: u128,
) -> Result<(), Stop> {
    let RateState { version, terms, spent } = rate(state, rule)?;
    let windows = terms.windows.iter().zip(&spent);
    let charged = windows.map(|(window, spent)| charged(window, *spent, context.time_ms, amount));
    let spent = charged.collect::<Option<_>>().ok_or(Refusal::RateExceeded)?;
    state.put(rate_key(rule), RateState { version, terms, spent }.encode());
    Ok(())
}

/// The rate as it was charged last.
pub fn rate(state: &dyn StateView, rule: &Hash) -> Result<RateState, Stop> {
    let value = state.get(&rate_key(rule)).ok_or(Refusal::RuleUnknown)?;
    Ok(RateState::decode(value)?)
}

fn charged(window: &Window, spent: Spent, now_ms: u64, amount: u128) -> Option<Spent> {
    let index = now_ms.checked_div(window.length_ms)?;
    let now = if spent.index == index { spent } else { Spent { index, ..Spent::default() } };
    let count = now.count.checked_add(1).filter(|count| *count <= window.count_max)?;
    let amount = now.amount.checked_add(amount).filter(|amount| *amount <= window.amount_max)?;
    Some(Spent { index, count, amount })
}
