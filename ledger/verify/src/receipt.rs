//! Verifying a receipt.

use keyward_ledger_core::entry::{Act, Authored, Entry, SharedAct, SharedIntent, Tweak, kind_name, kind_of};
use keyward_ledger_core::hash::{Hash, commitment, sha256};
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_core::receipt::{Receipt, Released};
use keyward_ledger_core::record::Record;
use keyward_ledger_core::scheme::{self, KeyId, PublicKey, Scheme, taproot_output};

use crate::failure::Failure;
use crate::tracker::{Anchor, CertifiedBlock, SetTracker};
use crate::verifier::Verifier;

/// What was checked of the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureCheck {
    /// The receipt carries none.
    None,
    /// It verifies for the payload hash; the message was not given.
    PayloadHash,
    /// It verifies for the message.
    Message,
}

/// What holds.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The ledger's name.
    pub name: String,
    /// The genesis hash.
    pub chain_id: Hash,
    /// What the verdict rests on.
    pub anchor: Anchor,
    /// The height of the block that carries the record.
    pub height: u64,
    /// That block's time, in milliseconds since 1970.
    pub time_ms: u64,
    /// The record's index in the log.
    pub leaf_index: u64,
    /// The height of the certified block whose log proves the record.
    pub certified_height: u64,
    /// The digest of that block.
    pub block_digest: Hash,
    /// Who submitted the record.
    pub submitter: [u8; 32],
    /// The kind of entry.
    pub entry_kind: &'static str,
    /// The entry, if this version knows its kind and it is well-formed.
    pub entry: Option<Entry>,
    /// What the ledger answered.
    pub outcome: Outcome,
    /// Whether the entry took effect.
    pub accepted: bool,
    /// How many validators signed.
    pub signers: usize,
    /// How many had to sign.
    pub quorum: usize,
    /// What was checked of the signature.
    pub signature_check: SignatureCheck,
    /// The key that signed, if the receipt carries a signature; under a tweak, the one before it.
    pub public_key: Option<PublicKey>,
    /// The address whose one use the record is, SEC1 compressed, if it is one; its key is shown under its scheme.
    pub address: Option<[u8; 33]>,
    /// What the signature verifies with, if the intent tweaks the key (BIP341).
    pub output_key: Option<PublicKey>,
    /// The signature, if the receipt carries one.
    pub signature: Option<Vec<u8>>,
    /// SHA-256 of the signed message, if the receipt carries a signature.
    pub payload_hash: Option<Hash>,
}

impl Verdict {
    /// The scheme of the key that signed.
    pub fn scheme(&self) -> Option<Scheme> {
        self.public_key.as_ref().map(PublicKey::scheme)
    }

    /// The id of the key that signed.
    pub fn key_id(&self) -> Option<KeyId> {
        self.public_key.as_ref().map(PublicKey::id)
    }
}

/// Verifies a receipt against a trust file, and the signature it carries against the message if one is given.
pub fn verify_receipt(trust: &[u8], receipt: &[u8], message: Option<&[u8]>) -> Result<Verdict, Failure> {
    Verifier::new(trust)?.receipt(receipt, message)
}

impl Verifier {
    /// The same as [`verify_receipt`] against this verifier's trust file.
    pub fn receipt(&self, receipt: &[u8], message: Option<&[u8]>) -> Result<Verdict, Failure> {
        let receipt = Receipt::decode(receipt).map_err(Failure::Receipt)?;
        let checked = self.certified(&receipt.certified)?;
        let (tracker, block) = &*checked;
        let record = block.record(&receipt.record, receipt.leaf_index, &receipt.proof)?;
        let signature_check = match (&receipt.released, message) {
            (Some(released), message) => check_released(&record, released, message)?,
            (None, None) => SignatureCheck::None,
            (None, Some(_)) => return Err(Failure::MessageWithoutSignature),
        };
        Ok(verdict(tracker, block, record, receipt, signature_check))
    }
}

fn check_released(
    record: &Record,
    released: &Released,
    message: Option<&[u8]>,
) -> Result<SignatureCheck, Failure> {
    let intent = accepted_intent(record)?;
    if released.public_key.id() != intent.key_id {
        return Err(Failure::OtherKey);
    }
    if commitment(&released.r, &released.payload_hash) != intent.commitment {
        return Err(Failure::Commitment);
    }
    let output = intent.output_key(&released.public_key)?;
    let (key, signature) = (output.as_ref().unwrap_or(&released.public_key), &released.signature);
    match message {
        Some(message) if sha256(&[message]) != released.payload_hash => Err(Failure::OtherMessage),
        Some(message) => {
            scheme::verify(key, message, signature).map_err(Failure::Signature)?;
            Ok(SignatureCheck::Message)
        }
        None if !key.scheme().signs_digest() => Err(Failure::MessageNeeded),
        None => {
            scheme::verify_digest(key, &released.payload_hash, signature).map_err(Failure::Signature)?;
            Ok(SignatureCheck::PayloadHash)
        }
    }
}

/// What an intent claims, of whichever kind it is.
pub(crate) struct Claim {
    pub(crate) id: Hash,
    pub(crate) key_id: KeyId,
    pub(crate) executor: [u8; 32],
    pub(crate) commitment: Hash,
    pub(crate) not_after: u64,
    tweak: Tweak,
}

impl Claim {
    /// What a signature verifies with, if not with the key itself.
    fn output_key(&self, key: &PublicKey) -> Result<Option<PublicKey>, Failure> {
        let root = match &self.tweak {
            Tweak::Plain => return Ok(None),
            Tweak::KeyPath => None,
            Tweak::Root(root) => Some(root),
        };
        taproot_output(key, root).map(Some).ok_or(Failure::OtherKey)
    }
}

pub(crate) fn accepted_intent(record: &Record) -> Result<Claim, Failure> {
    if !record.outcome.is_accepted() {
        return Err(Failure::NotAnAcceptedIntent { found: record.outcome.name().to_owned() });
    }
    let entry = Entry::decode(&record.entry).map_err(Failure::Record)?;
    match &entry {
        Entry::Intent(intent) => Ok(Claim {
            id: intent.id,
            key_id: intent.key_id,
            executor: intent.executor,
            commitment: intent.commitment,
            not_after: intent.not_after,
            tweak: Tweak::Plain,
        }),
        Entry::Authored(Authored { act: Act::Shared(SharedAct::Intent(intent)), .. }) => Ok(shared(intent)),
        Entry::UseAddress(used) => Ok(Claim {
            id: used.id,
            key_id: used.key_id().ok_or(Failure::OtherKey)?,
            executor: used.executor,
            commitment: used.commitment,
            not_after: used.not_after,
            tweak: Tweak::Plain,
        }),
        _ => Err(Failure::NotAnAcceptedIntent { found: entry.name().to_owned() }),
    }
}

const fn shared(intent: &SharedIntent) -> Claim {
    Claim {
        id: intent.id,
        key_id: intent.key_id,
        executor: intent.executor,
        commitment: intent.commitment,
        not_after: intent.not_after,
        tweak: intent.tweak,
    }
}

fn verdict(
    tracker: &SetTracker,
    block: &CertifiedBlock,
    record: Record,
    receipt: Receipt,
    signature_check: SignatureCheck,
) -> Verdict {
    let output_key = match (&receipt.released, accepted_intent(&record)) {
        // Checked already: a receipt that carries a signature is one of an intent.
        (Some(released), Ok(intent)) => intent.output_key(&released.public_key).ok().flatten(),
        _ => None,
    };
    let (public_key, signature, payload_hash) = match receipt.released {
        None => (None, None, None),
        Some(released) => (Some(released.public_key), Some(released.signature), Some(released.payload_hash)),
    };
    let entry = Entry::decode(&record.entry).ok();
    let address = match &entry {
        Some(Entry::UseAddress(used)) => Some(used.public_key),
        _ => None,
    };
    Verdict {
        name: tracker.trust().name.clone(),
        chain_id: tracker.trust().chain_id,
        anchor: tracker.anchor(),
        height: record.height,
        time_ms: record.time_ms,
        leaf_index: receipt.leaf_index,
        certified_height: block.header().height,
        block_digest: *block.digest(),
        submitter: record.submitter,
        entry_kind: kind_of(&record.entry).map_or("malformed", kind_name),
        entry,
        accepted: record.outcome.is_accepted(),
        outcome: record.outcome,
        signers: block.signers(),
        quorum: block.quorum(),
        signature_check,
        public_key,
        address,
        output_key,
        signature,
        payload_hash,
    }
}
