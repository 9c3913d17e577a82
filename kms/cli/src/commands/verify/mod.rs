//! `keyward verify`: a receipt, or a state receipt, against a trust file, without any network.

pub(crate) mod state;

use std::path::PathBuf;

use keyward_ledger_core::entry::Entry;
use keyward_ledger_core::receipt::{Receipt, StateReceipt};
use keyward_ledger_verify::{Anchor, SignatureCheck, Verdict, verify_receipt};
use serde_json::{Value, json};

use self::state::Fresh;
use super::Context;
use super::ledger::addresses::{addresses_json, addresses_words};
use super::ledger::audits::{audit_json, audit_words};
use super::ledger::delegations::{delegation_json, delegation_words};
use super::ledger::shared::{shared_json, shared_words};
use super::ledger::state_key::StateKey;
use super::ledger::vaults::{vault_json, vault_words};
use crate::failure::{Failure, Result};
use crate::files;

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The trust file: the one line that names the ledger you mean [default: the profile's].
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// The message that was signed.
    #[arg(long, value_name = "FILE")]
    message: Option<PathBuf>,
    /// Of a state receipt: the key that it must be about, as `keyward ledger state` names it, in one word: `"key
    /// <KEY ID>"`.
    #[arg(long, value_name = "KEY", conflicts_with = "message")]
    key: Option<String>,
    #[command(flatten)]
    fresh: Fresh,
    /// The receipt.
    receipt: PathBuf,
}

impl Verify {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let trust = match self.trust {
            Some(path) => path,
            None => {
                let profile = context.profile()?;
                profile.path(&profile.file.trust)
            }
        };
        let (trust, receipt) = (files::read(&trust)?, files::read(&self.receipt)?);
        if self.key.is_some() || self.fresh.is_asked() || is_state_receipt(&receipt) {
            if self.message.is_some() {
                return Err(invalid(&keyward_ledger_verify::Failure::MessageWithoutSignature));
            }
            let key = self.key.map(|key| StateKey::parse(&[key])).transpose()?;
            let shown = state::check(&trust, &receipt, key.as_ref(), &self.fresh)?;
            context.output.answer(state::words(&shown), &state::to_json(&shown));
            return Ok(());
        }
        let message = self.message.map(|path| files::read(&path)).transpose()?;
        match verify(&trust, &receipt, message.as_deref()) {
            Ok(verdict) => {
                context.output.answer(words(&verdict), &to_json(&verdict));
                Ok(())
            }
            Err(error) => Err(invalid(&error)),
        }
    }
}

/// A receipt is tried first: what reads as one is held to its rules.
fn is_state_receipt(bytes: &[u8]) -> bool {
    StateReceipt::decode(bytes).is_ok() && Receipt::decode(bytes).is_err()
}

/// The verdict, or the first thing that does not hold.
pub(crate) fn verify(
    trust: &[u8],
    receipt: &[u8],
    message: Option<&[u8]>,
) -> std::result::Result<Verdict, keyward_ledger_verify::Failure> {
    verify_receipt(trust, receipt, message)
}

/// What a verdict's refusal is to the caller.
pub(crate) fn invalid(error: &keyward_ledger_verify::Failure) -> Failure {
    let next = match error.code() {
        "TRUST_MALFORMED" => "get the trust file again from somebody you trust",
        "OTHER_LEDGER" | "OTHER_GENESIS" => {
            "verify with the trust file of the ledger that the receipt is from"
        }
        "OTHER_MESSAGE" => "verify with the message that was signed, byte for byte",
        "MESSAGE_NEEDED" => "give the signed message with `--message`",
        "OTHER_STATE_KEY" => {
            "verify with the key that the receipt is about, or ask for a receipt of this one"
        }
        "STATE_TOO_OLD" | "STATE_TOO_LOW" => "get a newer receipt with `keyward ledger state`",
        "MESSAGE_WITHOUT_SIGNATURE" => "leave `--message` away: this receipt carries no signature",
        _ => "do not rely on what this receipt claims",
    };
    let mut failure = Failure::refused("the receipt does not hold", next).because(error);
    failure.code = Some(error.code().to_owned());
    failure.verdict = true;
    failure
}

fn anchor(verdict: &Verdict) -> String {
    match verdict.anchor {
        Anchor::Genesis => "genesis".to_owned(),
        Anchor::Checkpoint { height } => format!("checkpoint {height}"),
    }
}

const fn signature_check(verdict: &Verdict) -> &'static str {
    match verdict.signature_check {
        SignatureCheck::None => "none",
        SignatureCheck::PayloadHash => "payload-hash",
        SignatureCheck::Message => "message",
    }
}

fn words(verdict: &Verdict) -> String {
    let signed = match verdict.signature_check {
        SignatureCheck::None => "carries no signature".to_owned(),
        SignatureCheck::PayloadHash => {
            format!("the {} signature verifies for the payload hash", scheme(verdict))
        }
        SignatureCheck::Message => format!("the {} signature verifies for the message", scheme(verdict)),
    };
    format!(
        "valid: {} on `{}`, {} ({})\n  record {} at height {}, time {} ms\n  certified at height {} by {} validators, \
         {} needed; anchor: {} {}{}",
        verdict.entry_kind,
        verdict.name,
        verdict.outcome.name(),
        signed,
        verdict.leaf_index,
        verdict.height,
        verdict.time_ms,
        verdict.certified_height,
        verdict.signers,
        verdict.quorum,
        anchor(verdict),
        hex::encode(verdict.chain_id),
        verdict
            .entry
            .as_ref()
            .and_then(|entry| vault_words(entry)
                .or_else(|| delegation_words(entry))
                .or_else(|| shared_words(entry))
                .or_else(|| addresses_words(entry))
                .or_else(|| audit_words(entry)))
            .map(|said| format!("\n  {said}"))
            .unwrap_or_default(),
    )
}

fn scheme(verdict: &Verdict) -> &'static str {
    verdict.scheme().map_or("", keyward_domain::scheme::Scheme::name)
}

/// What `--output json` prints.
pub(crate) fn to_json(verdict: &Verdict) -> Value {
    let intent = match &verdict.entry {
        Some(Entry::Intent(intent)) => json!({
            "id": hex::encode(intent.id), "key_id": intent.key_id.to_string(),
            "executor": hex::encode(intent.executor), "policy": hex::encode(intent.policy),
        }),
        _ => Value::Null,
    };
    json!({
        "valid": true,
        "anchor": { "kind": anchor(verdict), "name": verdict.name, "chain_id": hex::encode(verdict.chain_id) },
        "height": verdict.height,
        "time_ms": verdict.time_ms,
        "leaf_index": verdict.leaf_index,
        "certified_height": verdict.certified_height,
        "block_digest": hex::encode(verdict.block_digest),
        "submitter": hex::encode(verdict.submitter),
        "entry": verdict.entry_kind,
        "intent": intent,
        "vault": verdict.entry.as_ref().and_then(|entry| vault_json(entry, &verdict.outcome)),
        "delegation": verdict.entry.as_ref().and_then(|entry| delegation_json(entry, &verdict.outcome)),
        "shared": verdict.entry.as_ref().and_then(shared_json),
        "address": verdict.address.map(hex::encode),
        "addresses": verdict.entry.as_ref().and_then(addresses_json),
        "audit": verdict.entry.as_ref().and_then(audit_json),
        "outcome": verdict.outcome.name(),
        "accepted": verdict.accepted,
        "signers": verdict.signers,
        "quorum": verdict.quorum,
        "signature_check": signature_check(verdict),
        "scheme": verdict.scheme().map(keyward_domain::scheme::Scheme::name),
        "public_key": verdict.public_key.as_ref().map(|key| hex::encode(key.as_bytes())),
        "output_key": verdict.output_key.as_ref().map(|key| hex::encode(key.as_bytes())),
        "signature": verdict.signature.as_ref().map(hex::encode),
        "payload_hash": verdict.payload_hash.map(hex::encode),
    })
}
