//! What is printed of keys.

use std::path::PathBuf;

use keyward_client::KeyWithReceipt;
use keyward_proto::custody::{Key as KeyMessage, KeyVersion};
use serde_json::{Value, json};

use super::Context;
use crate::commands::shared::EXPERIMENTAL;
use crate::failure::Result;
use crate::files::{self, Access};

/// Prints a key.
pub(super) fn show(context: &Context, key: &KeyMessage) {
    context.output.answer(words(key), &to_json(key));
}

/// Prints a changed key, and keeps its receipt if wanted.
pub(crate) fn answer_change(
    context: &Context,
    what: &str,
    changed: &KeyWithReceipt,
    receipt: Option<PathBuf>,
) -> Result<()> {
    answer_next(context, what, changed, receipt, "")
}

/// The same, with what follows from it.
pub(super) fn answer_next(
    context: &Context,
    what: &str,
    changed: &KeyWithReceipt,
    receipt: Option<PathBuf>,
    next: &str,
) -> Result<()> {
    if let Some(path) = &receipt {
        files::write(path, &changed.receipt, Access::Public)?;
    }
    let key = &changed.key;
    let kept = receipt.map(|path| format!("\n  receipt     {}", path.display())).unwrap_or_default();
    let next = if next.is_empty() { String::new() } else { format!("\n{next}") };
    let words = format!("key `{}` is {what}\n{}{kept}{next}", key.alias, words(key));
    let mut json = to_json(key);
    if let Value::Object(map) = &mut json {
        map.insert("receipt".into(), json!(hex::encode(&changed.receipt)));
    }
    context.output.answer(words, &json);
    Ok(())
}

fn words(key: &KeyMessage) -> String {
    let versions: Vec<_> = key.versions.iter().map(version_words).collect();
    let destroyed_after = match key.destroy_after_unix_ms {
        0 => String::new(),
        after_ms => moment(after_ms),
    };
    let lines = [
        ("alias", key.alias.clone()),
        ("version", key.version.to_string()),
        ("key id", hex::encode(&key.key_id)),
        ("scheme", key.scheme.clone()),
        ("public key", hex::encode(&key.public_key)),
        ("address", key.address.clone()),
        ("mode", key.mode.clone()),
        ("protocol", if key.experimental { EXPERIMENTAL.to_owned() } else { String::new() }),
        ("state", key.state.clone()),
        ("destroyed", destroyed_after),
        ("successor", hex::encode(&key.successor)),
        ("labels", labels(key)),
        ("token", key.token.clone()),
        ("agent", key.agent.clone()),
        ("claims", key.claims.join(", ")),
        ("account", hex::encode(&key.account)),
        ("versions", if versions.len() > 1 { versions.join(", ") } else { String::new() }),
    ];
    let shown = lines.iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| format!("  {name:<11} {value}")).collect::<Vec<_>>().join("\n")
}

/// Labels as they are written on the command line, sorted.
pub(super) fn labels(key: &KeyMessage) -> String {
    let mut labels: Vec<_> = key.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    labels.sort_unstable();
    labels.join(", ")
}

fn version_words(version: &KeyVersion) -> String {
    format!("{} {}", version.version, version.state)
}

/// A moment as seconds since 1970 and as a time of day in UTC.
pub(crate) fn moment(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Year, month and day of a day since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

pub(super) fn to_json(key: &KeyMessage) -> Value {
    let labels: serde_json::Map<_, _> =
        key.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let versions: Vec<_> = key.versions.iter().map(version_json).collect();
    json!({
        "alias": key.alias, "key_id": hex::encode(&key.key_id), "scheme": key.scheme,
        "public_key": hex::encode(&key.public_key), "address": key.address, "mode": key.mode, "state": key.state,
        "experimental": key.experimental,
        "version": key.version, "created_unix_ms": key.created_unix_ms, "token": key.token,
        "account": hex::encode(&key.account), "claims": key.claims, "agent": key.agent, "labels": labels,
        "changed_unix_ms": key.changed_unix_ms, "destroy_after_unix_ms": key.destroy_after_unix_ms,
        "successor": hex::encode(&key.successor), "versions": versions,
    })
}

fn version_json(version: &KeyVersion) -> Value {
    json!({
        "version": version.version, "key_id": hex::encode(&version.key_id), "state": version.state,
        "created_unix_ms": version.created_unix_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_in_utc() {
        for (unix_ms, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399_999, "2000-02-28 23:59:59 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199_000, "2024-02-29 23:59:59 UTC"),
            (4_102_444_800_000, "2100-01-01 00:00:00 UTC"),
        ] {
            assert_eq!(moment(unix_ms), text);
        }
    }
}
