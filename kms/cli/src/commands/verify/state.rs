//! State receipts: what stood under a key of the state, or that nothing did, and how long ago.

use keyward_ledger_core::receipt::StateReceipt;
use keyward_ledger_core::trust::Trust;
use keyward_ledger_verify::{Anchor, Failure as Verdict, MaxAge, StateQuery, StateVerdict, verify_state};
use serde_json::{Value, json};

use super::invalid;
use crate::commands::key::life::parse_wait;
use crate::commands::ledger::state_key::{StateKey, decoded};
use crate::failure::Result;

/// How recent a state must be.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Fresh {
    /// How old the state may be by this machine's clock: a number with s, m, h or d, as `10m`.
    #[arg(long, value_name = "TIME", value_parser = parse_wait)]
    pub(crate) max_age: Option<u64>,
    /// The lowest height that the state may be of.
    #[arg(long, value_name = "HEIGHT")]
    pub(crate) min_height: Option<u64>,
}

impl Fresh {
    /// Whether anything is demanded.
    pub(crate) const fn is_asked(&self) -> bool {
        self.max_age.is_some() || self.min_height.is_some()
    }
}

/// A state that verified.
#[derive(Debug)]
pub(crate) struct Shown {
    key: StateKey,
    trust: Trust,
    verdict: StateVerdict,
    age_ms: u64,
}

/// Verifies a state receipt: for the wanted key, or whichever it is about.
pub(crate) fn check(trust: &[u8], receipt: &[u8], wanted: Option<&StateKey>, fresh: &Fresh) -> Result<Shown> {
    let refused = |error: Verdict| invalid(&error);
    let parsed = Trust::decode(trust).map_err(|error| refused(error.into()))?;
    let found = StateReceipt::decode(receipt).map_err(|error| refused(Verdict::Receipt(error)))?;
    let key = wanted.cloned().unwrap_or_else(|| StateKey::of_bytes(&found.key));
    let now_ms = now_ms();
    let query = StateQuery {
        key: key.bytes(),
        min_height: fresh.min_height.unwrap_or(0),
        max_age: fresh.max_age.map(|max_age_ms| MaxAge { now_ms, max_age_ms }),
    };
    let verdict = verify_state(trust, receipt, &query).map_err(refused)?;
    Ok(Shown { key, trust: parsed, age_ms: now_ms.saturating_sub(verdict.time_ms), verdict })
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn anchor(verdict: &StateVerdict) -> String {
    match verdict.anchor {
        Anchor::Genesis => "genesis".to_owned(),
        Anchor::Checkpoint { height } => format!("checkpoint {height}"),
    }
}

pub(crate) fn words(shown: &Shown) -> String {
    let Shown { key, trust, verdict, age_ms } = shown;
    let what = match &verdict.value {
        None => format!("valid: nothing stands under `{key}` on `{}`", trust.name),
        Some(value) => {
            let text = decoded(key.bytes(), value)
                .map_or_else(|| format!("\n  value {}", hex::encode(value)), |fields| lines(&fields));
            format!("valid: `{key}` stands on `{}`{text}", trust.name)
        }
    };
    format!(
        "{what}\n  holds after height {}, time {} ms, {} s ago\n  certified by {} validators, {} needed; anchor: {} {}",
        verdict.height,
        verdict.time_ms,
        age_ms / 1000,
        verdict.signers,
        verdict.quorum,
        anchor(verdict),
        hex::encode(trust.chain_id),
    )
}

fn lines(fields: &Value) -> String {
    let fields = fields.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let line = |(name, value): (&String, &Value)| {
        format!(
            "\n  {} {}",
            name.replace('_', " "),
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        )
    };
    fields.map(line).collect()
}

/// What `--output json` prints.
pub(crate) fn to_json(shown: &Shown) -> Value {
    let Shown { key, trust, verdict, age_ms } = shown;
    json!({
        "valid": true,
        "anchor": { "kind": anchor(verdict), "name": trust.name, "chain_id": hex::encode(trust.chain_id) },
        "key": key.to_string(),
        "state_key": hex::encode(key.bytes()),
        "present": verdict.value.is_some(),
        "value": verdict.value.as_ref().map(hex::encode),
        "decoded": verdict.value.as_ref().and_then(|value| decoded(key.bytes(), value)),
        "height": verdict.height,
        "time_ms": verdict.time_ms,
        "age_ms": age_ms,
        "signers": verdict.signers,
        "quorum": verdict.quorum,
    })
}
