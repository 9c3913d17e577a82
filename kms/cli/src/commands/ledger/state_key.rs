//! State keys by the names that people give them, and what stands under them in words.

use std::fmt;

use keyward_ledger_core::certificate::ValidatorSet;
use keyward_ledger_core::codec::parse_hex32;
use keyward_ledger_core::entry::{DelegationTerms, Party, Scope, kind};
use keyward_ledger_core::scheme::KeyId;
use keyward_ledger_core::state::association::{AddressState, AssociationState};
use keyward_ledger_core::state::delegation::{DelegationState, Delegations, delegations_key};
use keyward_ledger_core::state::keeper::{KEEPERS_MAX, KeeperState, keepers_key};
use keyward_ledger_core::state::member::decode_list;
use keyward_ledger_core::state::policy::PolicyState;
use keyward_ledger_core::state::shared::{SharedIntentState, SharedKeyState, SharedNameState};
use keyward_ledger_core::state::vault::VaultState;
use keyward_ledger_core::state::{STATE_KEY_BYTES_MAX, layout};
use serde_json::{Value, json};

use super::addresses::addresses_state;
use super::audits::audit_state;
use crate::commands::association;
use crate::failure::{Failure, Result};

/// A state key and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateKey {
    bytes: Vec<u8>,
    name: String,
}

/// Keys that are a prefix and 32 bytes.
const PREFIXES: &[&str] = &[
    "account",
    "credential",
    "key",
    "intent",
    "submitter",
    "keeper",
    "vault",
    "delegation",
    "shared/key",
    "shared/run",
    "shared/intent",
    "association/id",
    "policy/tenant",
    "risk/tenant",
    "address/account",
    "address/used",
    "audit/tenant",
    "audit/grant",
];

impl StateKey {
    /// A key from its words.
    pub(crate) fn parse(words: &[String]) -> Result<Self> {
        let words: Vec<_> = words.iter().flat_map(|word| word.split_whitespace()).collect();
        let bytes = match *words.as_slice() {
            ["validators"] => layout::validators_key(),
            ["parameters"] => layout::parameters_key(),
            ["keepers"] => keepers_key(),
            ["delegations", account] => delegations_key(&id(account)?),
            ["raw", text] => {
                hex::decode(text).ok().filter(|raw| raw.len() <= STATE_KEY_BYTES_MAX).ok_or_else(|| {
                    wrong(&format!("`{text}` is not at most {STATE_KEY_BYTES_MAX} bytes in hex"))
                })?
            }
            ["batch", submitter, sequence] => {
                let sequence = sequence
                    .parse()
                    .map_err(|error| wrong(&format!("`{sequence}` is no sequence")).because(&error))?;
                layout::batch_key(&id(submitter)?, sequence)
            }
            [kind, name] if PREFIXES.contains(&kind) => [kind.as_bytes(), b"/", &id(name)?].concat(),
            _ => return Err(wrong(&format!("`{}` is no state key", words.join(" ")))),
        };
        Ok(Self { name: words.join(" "), bytes })
    }

    /// A key from a receipt.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self { name: name_of(bytes), bytes: bytes.to_vec() }
    }

    /// The key's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn wrong(what: &str) -> Failure {
    let next = "name a key as `key <64 hex digits>`, `validators`, `parameters` or `raw <hex>`: see `--help`";
    Failure::usage(what, next)
}

fn id(text: &str) -> Result<[u8; 32]> {
    parse_hex32(text).ok_or_else(|| wrong(&format!("`{text}` is not 64 lower-case hex digits")))
}

fn name_of(bytes: &[u8]) -> String {
    if [layout::validators_key(), layout::parameters_key(), keepers_key()].iter().any(|key| key == bytes) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    if let Some(account) = bytes.strip_prefix(b"delegation/account/").filter(|rest| rest.len() == 32) {
        return format!("delegations {}", hex::encode(account));
    }
    let of_prefix = PREFIXES.iter().find_map(|kind| {
        let rest = bytes.strip_prefix(kind.as_bytes())?.strip_prefix(b"/")?;
        (rest.len() == 32).then(|| format!("{kind} {}", hex::encode(rest)))
    });
    of_prefix.unwrap_or_else(|| format!("raw {}", hex::encode(bytes)))
}

/// What a value says, for those that this version can read.
pub(crate) fn decoded(key: &[u8], value: &[u8]) -> Option<Value> {
    let is = |prefix: &[u8]| key.starts_with(prefix);
    if key == layout::validators_key() {
        let keys: Vec<_> = ValidatorSet::decode(value).ok()?.keys().map(hex::encode).collect();
        return Some(json!({ "validators": keys }));
    }
    if key == layout::parameters_key() {
        let parameters = layout::Parameters::decode(value).ok()?;
        return Some(json!({
            "epoch_length": parameters.epoch_length, "regime": parameters.regime.name(),
            "clock_bound_ms": parameters.clock_bound_ms,
        }));
    }
    if is(b"key/") {
        let state = layout::KeyState::decode(value).ok()?;
        return Some(json!({
            "status": status_name(state.status), "mode": state.mode.name(),
            "scheme": state.scheme.name(), "version": state.version, "account": hex::encode(state.account),
            "successor": state.status.successor().as_ref().map(KeyId::to_string), "bound_at_height": state.height,
        }));
    }
    if is(b"account/") {
        let state = layout::AccountState::decode(value).ok()?;
        return Some(json!({ "open": state.open, "since_height": state.height }));
    }
    if is(b"credential/") {
        let state = layout::CredentialState::decode(value).ok()?;
        return Some(json!({ "version": state.version, "public_key": hex::encode(state.public_key) }));
    }
    if is(b"submitter/") {
        let state = layout::SubmitterState::decode(value).ok()?;
        return Some(json!({
            "role": state.role.name(), "block_entries_max": state.block_entries_max,
            "highest_sequence": state.highest,
        }));
    }
    if is(b"batch/") {
        let state = layout::BatchState::decode(value).ok()?;
        return Some(json!({
            "sequence": state.sequence, "digest": hex::encode(state.digest), "height": state.height,
            "first_leaf": state.first_leaf, "records": state.count,
        }));
    }
    if is(b"intent/") {
        let state = layout::IntentState::decode(value).ok()?;
        return Some(json!({
            "executor": hex::encode(state.executor), "key_id": state.key_id.to_string(),
            "not_after": state.not_after, "released": state.released,
        }));
    }
    if key == keepers_key() {
        let ids: Vec<_> = decode_list(Some(value), KEEPERS_MAX).ok()?.iter().map(hex::encode).collect();
        return Some(json!({ "keepers": ids }));
    }
    if is(b"keeper/") {
        let KeeperState { present, height, keeper } = KeeperState::decode(value).ok()?;
        return Some(json!({
            "name": keeper.name, "present": present, "key": hex::encode(keeper.key),
            "hpke_key": hex::encode(keeper.hpke_key), "validator": keeper.validator.map(hex::encode),
            "rpc": keeper.rpc, "since_height": height,
        }));
    }
    // Below `vault/` lie longer keys too, of what each keeper holds.
    if is(b"vault/") {
        let state = VaultState::decode(value).ok()?;
        let keepers: Vec<_> = state.keepers.iter().map(hex::encode).collect();
        return Some(json!({
            "account": hex::encode(state.vault.owner), "vault_id": hex::encode(state.vault.name),
            "destroyed": state.destroyed, "version": state.version, "sealing": hex::encode(state.sealing),
            "sealing_leaf": state.sealing_leaf, "share_version": state.share_version,
            "shares": hex::encode(state.shares), "shares_leaf": state.shares_leaf,
            "threshold": state.threshold, "keepers": keepers,
        }));
    }
    if is(b"delegation/account/") {
        let all = Delegations::decode(value).ok()?;
        return Some(json!({
            "delegations": all.rules.iter().map(hex::encode).collect::<Vec<_>>(), "changes": all.changes,
            "last_recovery": all.recovery.map(hex::encode), "no_change_before_ms": all.hold_ms,
        }));
    }
    if is(b"delegation/") {
        let state = DelegationState::decode(value).ok()?;
        return Some(json!({
            "account": hex::encode(state.rule.owner), "name": hex::encode(state.rule.name),
            "version": state.version, "acting_revoked": state.stopped,
            "in_force": state.terms.as_ref().map(delegation_words),
            "next": state.next.as_ref().map(|next| json!({
                "version": next.version, "from_ms": next.from_ms, "revoked": next.terms.is_none(),
                "terms": next.terms.as_ref().map(delegation_words),
            })),
        }));
    }
    if key.starts_with(b"shared/") {
        return shared(key, value);
    }
    if is(b"address/") {
        return addresses_state(key, value);
    }
    if is(b"audit/") {
        return audit_state(key, value);
    }
    if let Some(id) = key.strip_prefix(b"association/id/") {
        let state = AssociationState::decode(value).ok()?;
        return Some(association::words::state_json(&hex::encode(id), &state, None));
    }
    if is(b"association/address/") {
        let state = AddressState::decode(value).ok()?;
        return Some(json!({
            "association": hex::encode(state.association), "since": state.since, "left_at_height": state.left,
        }));
    }
    if is(b"policy/tenant/") || is(b"risk/tenant/") {
        let state = PolicyState::decode(value).ok()?;
        return Some(json!({
            "version": state.version, "set": hex::encode(state.set), "rule": hex::encode(state.rule),
            "leaf_index": state.leaf,
        }));
    }
    None
}

/// What a value about shared keys says.
fn shared(key: &[u8], value: &[u8]) -> Option<Value> {
    if key.starts_with(b"shared/key/") {
        let state = SharedKeyState::decode(value).ok()?;
        return Some(json!({
            "account": hex::encode(state.name.owner), "name": hex::encode(state.name.name),
            "scheme": state.scheme.name(), "share_version": state.share_version, "shares_leaf": state.leaf,
            "key_hash": hex::encode(state.key_hash), "threshold": state.circle.threshold,
            "keepers": state.circle.keepers.iter().map(hex::encode).collect::<Vec<_>>(),
            "speakers": state.speakers.iter().map(party_name).collect::<Vec<_>>(),
            "device": hex::encode(state.device.signing_key), "lock_ms": state.lock_ms,
            "next_device": state.pending.map(|next| json!({
                "device": hex::encode(next.device.signing_key), "in_force_from_ms": next.opens_ms,
            })),
            "approval_rule": state.approval_rule.map(hex::encode),
            "policy_tenant": state.policy_tenant.map(hex::encode),
        }));
    }
    if key.starts_with(b"shared/run/") {
        return Some(match SharedNameState::decode(value).ok()? {
            SharedNameState::Bound(key_id) => json!({ "key_id": key_id.to_string() }),
            SharedNameState::Run(run) => json!({
                "account": hex::encode(run.name.owner), "attempt": run.attempt, "expires_ms": run.expires_ms,
                "threshold": run.circle.threshold,
                "keepers": run.circle.keepers.iter().map(hex::encode).collect::<Vec<_>>(),
            }),
        });
    }
    let state = SharedIntentState::decode(value).ok()?;
    Some(json!({
        "act": hex::encode(state.act), "share_version": state.share_version, "not_after": state.not_after,
        "approved_rule": state.approved_rule.map(hex::encode),
    }))
}

fn delegation_words(terms: &DelegationTerms) -> Value {
    json!({
        "delegates": terms.delegates.iter().map(party_name).collect::<Vec<_>>(), "needed": terms.needed,
        "recovers": terms.scope.includes(Scope::RECOVER), "acts": terms.scope.includes(Scope::OPERATE),
        "delay_ms": terms.delay_ms, "open_ms": terms.open_ms, "policy": hex::encode(terms.policy),
        "judges": terms.judges.map(|judges| hex::encode(judges.id(kind::DEFINE_APPROVAL))),
    })
}

fn party_name(party: &Party) -> String {
    match party {
        Party::Credential(account) => format!("account {}", hex::encode(account)),
        Party::Key(key_id) => format!("key {key_id}"),
    }
}

const fn status_name(status: layout::KeyStatus) -> &'static str {
    match status {
        layout::KeyStatus::Active => "active",
        layout::KeyStatus::Frozen => "frozen",
        layout::KeyStatus::Superseded { .. } => "superseded",
        layout::KeyStatus::Scheduled { .. } => "scheduled",
        layout::KeyStatus::Destroyed { .. } => "destroyed",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    fn parse(text: &str) -> Result<StateKey> {
        StateKey::parse(&[text.to_owned()])
    }

    #[test]
    fn a_key_is_found_by_its_words_and_named_by_its_bytes() {
        let hex = "0a".repeat(32);
        for text in [
            "validators".to_owned(),
            "parameters".to_owned(),
            "keepers".to_owned(),
            format!("keeper {hex}"),
            format!("vault {hex}"),
            format!("shared/key {hex}"),
            format!("shared/run {hex}"),
            format!("shared/intent {hex}"),
            format!("address/account {hex}"),
            format!("address/used {hex}"),
            format!("audit/tenant {hex}"),
            format!("audit/grant {hex}"),
            format!("delegation {hex}"),
            format!("delegations {hex}"),
            format!("key {hex}"),
            format!("account {hex}"),
            format!("credential {hex}"),
            format!("submitter {hex}"),
            format!("intent {hex}"),
            "raw 00ff".to_owned(),
        ] {
            let key = parse(&text).unwrap();
            assert_eq!(key.to_string(), text);
            assert_eq!(StateKey::of_bytes(key.bytes()), key);
        }
        assert_eq!(parse(&format!("key {hex}")).unwrap().bytes(), layout::key_key(&KeyId([10; 32])));
        assert_eq!(parse(&format!("batch {hex} 1025")).unwrap().bytes(), layout::batch_key(&[10; 32], 1));
    }

    #[test]
    fn what_names_no_key_is_wrong_usage() {
        let long = format!("raw {}", "00".repeat(STATE_KEY_BYTES_MAX + 1));
        let upper = format!("key {}", "AB".repeat(32));
        for text in
            ["", "key", "key 00", &upper, "king 00", "raw 0", "raw xy", "validators 1", &long, "batch 00 1"]
        {
            assert_eq!(parse(text).unwrap_err().exit, crate::failure::Exit::Usage, "{text}");
        }
    }
}
