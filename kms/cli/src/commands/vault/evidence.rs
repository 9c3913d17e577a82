//! What convicts a keeper: its signed answer beside everything it is held against.

use keyward_client::vault::{Fault, Granted};
use keyward_crypto::vault::{Answered, Evidence};
use serde_json::{Value, json};

/// The evidence among faults; each convicts by itself. Of a release it holds the keeper's part of the mask, which opens
/// nothing alone.
pub(super) fn to_json(granted: &Granted, faults: &[Fault]) -> Vec<Value> {
    let vault = granted.status.vault();
    let found = faults.iter().filter_map(|fault| Some((fault, fault.evidence()?)));
    let convicting = found.filter(|(_, evidence)| evidence.convicts(vault, &granted.grant));
    convicting.map(|(fault, evidence)| one(granted, fault, evidence)).collect()
}

fn one(granted: &Granted, fault: &Fault, evidence: &Evidence) -> Value {
    let keeper = granted.status.holders.iter().find(|holder| holder.index == fault.index);
    let shares = granted.status.vault().shares();
    json!({
        "format": "keyward-vault-evidence-1", "keeper": fault.keeper, "index": evidence.index,
        "keeper_key": keeper.map(|holder| hex::encode(holder.keeper.key)), "chain_id": hex::encode(shares.chain_id),
        "account": hex::encode(shares.account), "vault_id": hex::encode(shares.vault), "version": shares.version,
        "share_version": shares.share_version, "shares_hash": hex::encode(shares.shares_hash),
        "attempt": hex::encode(evidence.attempt), "element_hash": hex::encode(granted.grant.element_hash),
        "reply_key": hex::encode(evidence.reply_key), "answered": answered(&evidence.answered),
        "signature": hex::encode(evidence.signature), "attempt_receipt": hex::encode(&granted.receipt),
        "sealing_receipt": hex::encode(&granted.status.receipt),
    })
}

fn answered(answered: &Answered) -> Value {
    match answered {
        Answered::Evaluation { element, evaluation } => json!({
            "kind": "evaluation", "element": hex::encode(element), "evaluation": hex::encode(evaluation.element),
            "proof": hex::encode(evaluation.proof),
        }),
        Answered::Release { mask, blinder, ciphertext_hash } => json!({
            "kind": "release", "mask": hex::encode(mask.as_slice()), "blinder": hex::encode(blinder.as_slice()),
            "ciphertext_hash": hex::encode(ciphertext_hash),
        }),
    }
}
