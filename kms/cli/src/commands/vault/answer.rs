//! Vaults in words and as JSON.

use keyward_client::vault::{Attempts, Factor, Fault, Holder, VaultStatus};
use keyward_crypto::vault::VaultMode;
use serde_json::{Value, json};

use crate::commands::key::moment;
use crate::output::table;

/// A vault for people.
pub(super) fn words(name: &str, status: &VaultStatus, factors: &[Factor]) -> String {
    let facts = status.vault().facts();
    let ended = if status.destroyed { ", destroyed" } else { "" };
    let login = if facts.mode == VaultMode::Own { ", the login" } else { "" };
    let holding = status.holding();
    let rows: Vec<_> = status.holders.iter().map(|holder| row(holder, status)).collect();
    let opens = if status.destroyed {
        "nothing any more".to_owned()
    } else {
        format!("the password{login} and {} of {} keepers", facts.threshold, rows.len())
    };
    format!(
        "vault `{name}`, version {}{ended}\n  opens with  {opens}\n  asks for    {}\n  guesses     {}\n  held by     \
         {holding} of {} keepers, shares {}\n  as of       height {}, {}\n{}",
        facts.version,
        super::factors::words(&status.sealing, factors),
        guesses(&status.attempts),
        rows.len(),
        facts.share_version,
        status.height,
        moment(status.time_ms),
        table(&["index", "keeper", "address", "share"], &rows),
    )
}

fn row(holder: &Holder, status: &VaultStatus) -> Vec<String> {
    let share = match (holder.holds(status.version()), status.destroyed, holder.keeper.present) {
        (false, _, _) => "erased",
        (true, true, _) => "to be erased",
        (true, false, true) => "held",
        (true, false, false) => "held, but it is no keeper of the ledger any more",
    };
    vec![
        holder.index.to_string(),
        holder.keeper.name.clone(),
        holder.keeper.address.clone(),
        share.to_owned(),
    ]
}

/// What is left of the guesses.
pub(super) fn guesses(attempts: &Attempts) -> String {
    let Attempts { limit, left, lifetime, lifetime_left, refill_ms, next_ms, .. } = attempts;
    if *lifetime_left == 0 {
        return format!("none: all {lifetime} are spent, and the vault is locked");
    }
    let back = match refill_ms {
        0 => "none comes back by itself".to_owned(),
        ms => format!("one comes back every {}", period(*ms)),
    };
    let next = match next_ms {
        None => "none without a right one".to_owned(),
        Some(0) => "the next one any time".to_owned(),
        Some(ms) => format!("the next one from {} on", moment(*ms)),
    };
    format!("{left} of {limit} left, {next}; {back}; {lifetime_left} of {lifetime} until it locks")
}

/// A period in its largest whole unit.
fn period(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.iter().find(|(unit, _)| ms.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{ms} ms"), |(unit, name)| format!("{} {name}", ms / unit))
}

pub(super) fn to_json(name: &str, status: &VaultStatus, factors: &[Factor]) -> Value {
    let facts = status.vault().facts();
    let holders: Vec<_> = status.holders.iter().map(|holder| holder_json(holder, status)).collect();
    json!({
        "vault": name, "vault_id": hex::encode(facts.vault), "account": hex::encode(facts.account),
        "version": facts.version, "share_version": facts.share_version, "destroyed": status.destroyed,
        "mode": mode_name(facts.mode), "threshold": facts.threshold, "holding": status.holding(), "keepers": holders,
        "attempts": attempts_json(&status.attempts), "factors": super::factors::to_json(&status.sealing, factors),
        "sealing": hex::encode(status.sealing.hash()),
        "leaf_index": status.leaf_index, "height": status.height, "time_ms": status.time_ms,
        "receipt": hex::encode(&status.receipt),
    })
}

const fn mode_name(mode: VaultMode) -> &'static str {
    match mode {
        VaultMode::Own => "self",
        VaultMode::Vault => "vault",
    }
}

fn holder_json(holder: &Holder, status: &VaultStatus) -> Value {
    json!({
        "index": holder.index, "name": holder.keeper.name, "id": hex::encode(holder.keeper.id),
        "address": holder.keeper.address, "present": holder.keeper.present, "held": holder.held, "erased": holder.erased,
        "holds": holder.holds(status.version()),
    })
}

pub(super) fn attempts_json(attempts: &Attempts) -> Value {
    json!({
        "limit": attempts.limit, "left": attempts.left, "lifetime": attempts.lifetime,
        "lifetime_left": attempts.lifetime_left, "cool_down_ms": attempts.cool_down_ms,
        "refill_ms": attempts.refill_ms, "next_ms": attempts.next_ms,
    })
}

/// What was wrong with a keeper.
pub(super) fn fault_words(fault: &Fault) -> String {
    let mut words = format!("keeper `{}`: {}", fault.keeper, fault.cause);
    if fault.evidence().is_some() {
        words.push_str(" (it signed that: evidence)");
    }
    words
}

pub(super) fn faults_json(faults: &[Fault]) -> Value {
    let each = faults.iter().map(|fault| {
        json!({
            "index": fault.index, "keeper": fault.keeper, "fault": fault.cause.to_string(),
            "evidence": fault.evidence().is_some(),
        })
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Attempts = Attempts {
        limit: 5,
        left: 5,
        lifetime: 25,
        lifetime_left: 25,
        cool_down_ms: 10_000,
        refill_ms: 86_400_000,
        next_ms: Some(0),
    };

    #[test]
    fn guesses_are_told_plainly() {
        assert_eq!(
            guesses(&FULL),
            "5 of 5 left, the next one any time; one comes back every 1 d; 25 of 25 until it locks"
        );
        let spent =
            Attempts { left: 0, lifetime_left: 20, next_ms: Some(86_400_000), refill_ms: 90_000, ..FULL };
        assert_eq!(
            guesses(&spent),
            "0 of 5 left, the next one from 1970-01-02 00:00:00 UTC on; one comes back every 90 s; 20 of 25 until it locks"
        );
        let never = Attempts { left: 0, next_ms: None, refill_ms: 0, ..FULL };
        assert!(guesses(&never).contains("none without a right one; none comes back by itself"));
        let locked = Attempts { left: 0, lifetime_left: 0, next_ms: None, ..FULL };
        assert_eq!(guesses(&locked), "none: all 25 are spent, and the vault is locked");
    }
}
