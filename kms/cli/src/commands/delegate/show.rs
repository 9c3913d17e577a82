//! `keyward delegate list`, and delegations in words and as JSON.

use keyward_client::delegation::{
    DelegationStatus, DelegationTerms, LiveRecovery, Party, Scope, Trust, Window,
};
use keyward_domain::DelegationName;
use serde_json::{Value, json};

use super::{Context, DEFAULT_NAME, failed, parse_account};
use crate::commands::key::moment;
use crate::failure::Result;
use crate::service::{As, connect};

pub(super) async fn list(context: &Context, of: Option<String>) -> Result<()> {
    let of = of.as_deref().map(parse_account).transpose()?;
    let client = connect(&context.profile()?, As::Whoever).await?.client;
    let trust = client.delegations(of).await.map_err(failed("cannot show delegations"))?;
    let json: Vec<_> = trust.delegations.iter().map(|one| to_json(&trust, one)).collect();
    let json = json!({
        "account": hex::encode(trust.account), "changes": trust.changes, "no_change_before_unix_ms": trust.hold_ms,
        "height": trust.height, "delegations": json,
    });
    context.output.answer(words(&trust), &json);
    Ok(())
}

fn words(trust: &Trust) -> String {
    let head = format!(
        "account {}, proven at height {}: {} changes of its delegates so far",
        hex::encode(trust.account),
        trust.height,
        trust.changes
    );
    if trust.delegations.is_empty() {
        return format!(
            "{head}\nno delegation: nobody can take the account back if its password is lost (`keyward delegate appoint`)"
        );
    }
    let blocks: Vec<_> = trust.delegations.iter().map(|one| block(trust, one)).collect();
    format!("{head}\n{}", blocks.join("\n"))
}

/// One of them, in lines.
pub(super) fn block(trust: &Trust, one: &DelegationStatus) -> String {
    let mut lines = vec![format!("delegation {}, name id {}", name_of(one), hex::encode(one.rule.name))];
    let mut add = |what: &str, said: String| lines.push(format!("  {what:<10}  {said}"));
    let revoked = one.stopped && !trust.is_due(one);
    match trust.in_force(one) {
        // Those who may use keys alone may do nothing more, though the terms stand until their end.
        Some(terms) if revoked && terms.scope == Scope::OPERATE => {
            add("in force", "nothing any more".to_owned());
        }
        Some(terms) => {
            add("in force", format!("{} (change {})", scope_words(terms), version(trust, one)));
            terms_words(terms).into_iter().for_each(|(what, said)| add(what, said));
        }
        None => add("in force", "nothing yet".to_owned()),
    }
    if revoked {
        add("revoked", "they use no key any more".to_owned());
    }
    if let Some(next) = one.next.as_ref().filter(|_| !trust.is_due(one)) {
        let from = moment(next.from_ms.max(trust.hold_ms));
        match &next.terms {
            None => add("ends", format!("from {from} on (change {})", next.version)),
            Some(terms) => {
                add("waits", format!("from {from} on: {} (change {})", scope_words(terms), next.version));
                terms_words(terms).into_iter().for_each(|(what, said)| add(what, said));
            }
        }
    }
    if let Some(recovery) = &one.recovery {
        add("RECOVERY", recovery_words(recovery));
        add("", "if the account's holder does not want it: `keyward delegate veto`".to_owned());
    }
    lines.join("\n")
}

/// Names stand on the ledger as their hashes: the usual one is known, others their owner knows.
fn name_of(one: &DelegationStatus) -> String {
    let usual = DelegationName::parse(DEFAULT_NAME).is_ok_and(|name| name.id() == one.rule.name);
    if usual { format!("`{DEFAULT_NAME}`") } else { "of another name".to_owned() }
}

fn version(trust: &Trust, one: &DelegationStatus) -> u32 {
    one.next.as_ref().filter(|_| trust.is_due(one)).map_or(one.version, |next| next.version)
}

fn scope_words(terms: &DelegationTerms) -> String {
    let scope = match terms.scope {
        Scope::OPERATE => "use its keys",
        Scope::RECOVER => "take it back",
        _ => "take it back and use its keys",
    };
    format!("{} of {} delegates {scope}", terms.needed, terms.delegates.len())
}

fn terms_words(terms: &DelegationTerms) -> Vec<(&'static str, String)> {
    let mut lines: Vec<_> = terms.delegates.iter().map(|delegate| ("delegate", party(delegate))).collect();
    if terms.scope.includes(Scope::RECOVER) {
        let (delay, open) = (period(terms.delay_ms), period(terms.open_ms));
        lines.push(("recovery", format!("waits {delay}, can then be executed for {open}")));
        let judges = match &terms.judges {
            Some(judges) => format!(
                "rule {} of account {} from the second veto on",
                hex::encode(judges.name),
                hex::encode(judges.owner)
            ),
            None => "none: whoever knows the password can veto for ever".to_owned(),
        };
        lines.push(("judges", judges));
    }
    lines.extend(terms.vetoers.iter().map(|key| ("veto key", key.to_string())));
    lines.extend(terms.windows.iter().map(|window| ("limit", window_words(window))));
    if terms.scope.includes(Scope::OPERATE) {
        lines.push(("policy", hex::encode(terms.policy)));
    }
    lines
}

fn window_words(window: &Window) -> String {
    let amount = if window.amount_max == u128::MAX {
        "any amount".to_owned()
    } else {
        format!("amount {}", window.amount_max)
    };
    format!("{} acts and {amount} in each {}", window.count_max, period(window.length_ms))
}

/// When a recovery may be executed.
pub(super) fn recovery_words(recovery: &LiveRecovery) -> String {
    let disputed = if recovery.disputed { "; it is disputed, and the judges decide" } else { "" };
    format!(
        "case {}, may be executed from {} until {}{disputed}",
        hex::encode(recovery.case.id),
        moment(recovery.opens_ms),
        moment(recovery.ends_ms)
    )
}

/// A period in its largest whole unit.
fn period(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.iter().find(|(unit, _)| ms.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{ms} ms"), |(unit, name)| format!("{} {name}", ms / unit))
}

/// One of them, for programs.
pub(super) fn to_json(trust: &Trust, one: &DelegationStatus) -> Value {
    let waiting = one.next.as_ref().filter(|_| !trust.is_due(one));
    json!({
        "name_id": hex::encode(one.rule.name), "version": version(trust, one),
        "acting_revoked": one.stopped && !trust.is_due(one), "in_force": trust.in_force(one).map(terms_json),
        "next": waiting.map(|next| json!({
            "version": next.version, "from_unix_ms": next.from_ms.max(trust.hold_ms),
            "terms": next.terms.as_ref().map(terms_json),
        })),
        "recovery": one.recovery.as_ref().map(recovery_json),
    })
}

pub(super) fn recovery_json(recovery: &LiveRecovery) -> Value {
    json!({
        "case": hex::encode(recovery.case.id), "opens_unix_ms": recovery.opens_ms,
        "ends_unix_ms": recovery.ends_ms, "disputed": recovery.disputed,
    })
}

fn terms_json(terms: &DelegationTerms) -> Value {
    let delegates: Vec<_> = terms.delegates.iter().map(party).collect();
    let scope = match terms.scope {
        Scope::OPERATE => "operate",
        Scope::RECOVER => "recover",
        _ => "both",
    };
    // Amounts as text: JSON's numbers end before ours.
    let window = |window: &Window| {
        let amount = window.amount_max.to_string();
        json!({ "length_ms": window.length_ms, "count_max": window.count_max, "amount_max": amount })
    };
    json!({
        "scope": scope, "delegates": delegates, "needed": terms.needed, "delay_ms": terms.delay_ms, "open_ms": terms.open_ms,
        "veto_keys": terms.vetoers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "judges": terms.judges.map(|judges| json!([hex::encode(judges.owner), hex::encode(judges.name)])),
        "limits": terms.windows.iter().map(window).collect::<Vec<_>>(), "policy": hex::encode(terms.policy),
    })
}

fn party(party: &Party) -> String {
    match party {
        Party::Credential(account) => hex::encode(account),
        Party::Key(key_id) => format!("key {key_id}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_client::delegation::{NextDelegation, RuleName};
    use keyward_ledger_core::entry::Case;

    use super::*;

    const DAY_MS: u64 = 86_400_000;

    fn terms(scope: Scope) -> DelegationTerms {
        let window = Window { length_ms: DAY_MS, count_max: 20, amount_max: u128::MAX };
        DelegationTerms {
            scope,
            delay_ms: 7 * DAY_MS,
            open_ms: DAY_MS,
            needed: 2,
            delegates: vec![Party::Credential([1; 32]), Party::Credential([2; 32])],
            vetoers: Vec::new(),
            judges: None,
            policy: [9; 32],
            windows: if scope.includes(Scope::OPERATE) { vec![window] } else { Vec::new() },
        }
    }

    fn trust(one: DelegationStatus, read_ms: u64) -> Trust {
        let delegations = vec![one];
        Trust { account: [4; 32], changes: 3, hold_ms: 0, delegations, height: 8, read_ms }
    }

    fn appointed() -> DelegationStatus {
        let next = NextDelegation { version: 1, from_ms: DAY_MS, terms: Some(terms(Scope::BOTH)) };
        let name = DelegationName::parse(DEFAULT_NAME).unwrap().id();
        let rule = RuleName { owner: [4; 32], name };
        DelegationStatus { rule, version: 0, stopped: false, terms: None, next: Some(next), recovery: None }
    }

    fn revoked(scope: Scope) -> DelegationStatus {
        let next = Some(NextDelegation { version: 2, from_ms: 2 * DAY_MS, terms: None });
        DelegationStatus { stopped: true, terms: Some(terms(scope)), next, version: 1, ..appointed() }
    }

    #[test]
    fn what_waits_is_told_with_its_time_and_holds_when_it_has_come() {
        let early = words(&trust(appointed(), DAY_MS - 1));
        assert!(
            early.contains("nothing yet") && early.contains("from 1970-01-02 00:00:00 UTC on"),
            "{early}"
        );
        assert!(
            early.contains("delegation `main`") && early.contains("20 acts and any amount in each 1 d"),
            "{early}"
        );
        let later = trust(appointed(), DAY_MS);
        let said = words(&later);
        assert!(said.contains("2 of 2 delegates take it back and use its keys (change 1)"), "{said}");
        assert!(!said.contains("\n  waits"), "{said}");
        assert_eq!(to_json(&later, &later.delegations[0])["in_force"]["needed"], 2);
    }

    #[test]
    fn an_open_recovery_is_shouted_and_lets_nothing_else_hold() {
        let case = Case { id: [6; 32], payload: [7; 32] };
        let recovery = LiveRecovery { case, opens_ms: DAY_MS, ends_ms: 2 * DAY_MS, disputed: true };
        let one =
            DelegationStatus { recovery: Some(recovery), terms: Some(terms(Scope::RECOVER)), ..appointed() };
        let said = words(&trust(one, 3 * DAY_MS));
        for part in ["RECOVERY", "disputed", "keyward delegate veto", "\n  waits", "veto for ever"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn who_was_revoked_is_said_to_use_no_key_any_more() {
        let said = words(&trust(revoked(Scope::BOTH), DAY_MS));
        assert!(said.contains("use no key any more") && said.contains("ends "), "{said}");
        assert!(words(&trust(revoked(Scope::OPERATE), DAY_MS)).contains("nothing any more"));
        let none = trust(appointed(), 0);
        assert!(words(&Trust { delegations: Vec::new(), ..none }).contains("no delegation"));
    }
}
