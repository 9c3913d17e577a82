//! Verifying that an intent is final and accepted, and what it commits to: for whoever is to act on it.

use keyward_ledger_core::hash::{Hash, commitment};
use keyward_ledger_core::receipt::Receipt;
use keyward_ledger_core::scheme::KeyId;
use keyward_ledger_core::trust::Trust;

use crate::failure::Failure;
use crate::receipt::accepted_intent;
use crate::verifier::Verifier;

/// What opens an intent's commitment.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The random value.
    pub r: &'a Hash,
    /// SHA-256 of what is to be signed.
    pub payload_hash: &'a Hash,
}

/// An intent that is final and accepted, and opens to the payload hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyIntent {
    /// Its id.
    pub id: Hash,
    /// The one key it may use.
    pub key_id: KeyId,
    /// The submitter that claimed it.
    pub executor: [u8; 32],
    /// The last ledger height at which the claim lives.
    pub not_after: u64,
    /// The ledger, by its genesis hash.
    pub chain_id: Hash,
    /// The height of its record.
    pub height: u64,
    /// The time of that block, in milliseconds since 1970, as a quorum of validators accepted it.
    pub time_ms: u64,
}

/// Verifies the receipt of an intent that nothing was released for, and that its commitment opens to this payload.
///
/// Whether it is too old, and whether it was acted on before, is for the caller to say: this has no clock and no
/// memory.
pub fn verify_intent(trust: &[u8], receipt: &[u8], opening: Opening<'_>) -> Result<ReadyIntent, Failure> {
    Verifier::new(trust)?.intent(receipt, opening)
}

impl Verifier {
    /// The same as [`verify_intent`] against this verifier's trust file.
    pub fn intent(&self, receipt: &[u8], opening: Opening<'_>) -> Result<ReadyIntent, Failure> {
        let receipt = Receipt::decode(receipt).map_err(Failure::Receipt)?;
        if receipt.released.is_some() {
            return Err(Failure::AlreadyReleased);
        }
        let checked = self.certified(&receipt.certified)?;
        let (tracker, block) = &*checked;
        let record = block.record(&receipt.record, receipt.leaf_index, &receipt.proof)?;
        let intent = accepted_intent(&record)?;
        if commitment(opening.r, opening.payload_hash) != intent.commitment {
            return Err(Failure::Commitment);
        }
        if intent.executor != record.submitter {
            return Err(Failure::OtherExecutor);
        }
        Ok(ReadyIntent {
            id: intent.id,
            key_id: intent.key_id,
            executor: intent.executor,
            not_after: intent.not_after,
            chain_id: tracker.trust().chain_id,
            height: record.height,
            time_ms: record.time_ms,
        })
    }
}

/// The ledger that a trust file names: its genesis hash.
pub fn chain_id(trust: &[u8]) -> Result<Hash, Failure> {
    Ok(Trust::decode(trust)?.chain_id)
}
