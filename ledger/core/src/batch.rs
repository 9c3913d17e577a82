//! Batches: what a submitter signs and ships, kept as the exact bytes that were signed.

pub mod mix;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use thiserror::Error;

use crate::codec::{DecodeError, Reader, Writer};
use crate::ed25519::{Ed25519Error, SigningKey, VerifyingKey};
use crate::entry::ENTRY_BYTES_MAX;
use crate::hash::{Hash, Tag};

/// The version of batches.
pub const BATCH_VERSION: u8 = 1;
/// The most entries of one batch.
pub const BATCH_ENTRIES_MAX: usize = 4096;
/// The longest batch, signature included.
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// Bytes of a batch before its first entry.
pub const BATCH_HEAD_BYTES: usize = 1 + 32 + 32 + 8 + 8 + 4;
const SIGNATURE_BYTES: usize = 64;

/// Why a batch is refused by itself, without looking at the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// The bytes are not a batch.
    #[error("the batch is malformed")]
    Malformed(#[from] DecodeError),
    /// The submitter did not sign it.
    #[error("the batch's signature is refused")]
    Signature(#[source] Ed25519Error),
}

/// A batch before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The ledger it is for.
    pub chain_id: Hash,
    /// The submitter's count of batches, from 1.
    pub sequence: u64,
    /// The last height at which it may enter a block.
    pub not_after: u64,
    /// Encoded entries: at least one.
    pub entries: Vec<Vec<u8>>,
}

impl Batch {
    /// Signs the batch. Refused when it breaks a bound.
    pub fn sign(&self, key: &SigningKey) -> Result<SignedBatch, BatchError> {
        let entry_bytes: usize = self.entries.iter().map(|entry| 4 + entry.len()).sum();
        let mut out = Writer::with_capacity(BATCH_HEAD_BYTES + entry_bytes + SIGNATURE_BYTES);
        out.u8(BATCH_VERSION).raw(&self.chain_id).raw(&key.public_key());
        out.u64(self.sequence).u64(self.not_after).count(self.entries.len());
        for entry in &self.entries {
            out.bytes(entry);
        }
        let digest = Tag::Batch.hash(&[out.as_slice()]);
        out.raw(&key.sign(&digest));
        Ok(UnverifiedBatch::decode(&out.finish())?.trust_signature_verified_before())
    }
}

struct Inner {
    bytes: Box<[u8]>,
    chain_id: Hash,
    submitter: [u8; 32],
    sequence: u64,
    not_after: u64,
    entries: Vec<Range<usize>>,
    digest: Hash,
    id: Hash,
}

/// A well-formed batch whose signature was not looked at. Cheap to clone.
#[derive(Clone)]
pub struct UnverifiedBatch(Arc<Inner>);

/// A batch whose submitter signed it. Cheap to clone.
#[derive(Clone)]
pub struct SignedBatch(Arc<Inner>);

impl UnverifiedBatch {
    /// Decodes a batch and keeps its exact bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > BATCH_BYTES_MAX {
            return Err(DecodeError::TooLong { what: "batch", len: bytes.len(), max: BATCH_BYTES_MAX });
        }
        let mut reader = Reader::new(bytes);
        reader.version("batch version", BATCH_VERSION)?;
        let chain_id = reader.array("chain id")?;
        let submitter = reader.array("submitter")?;
        let sequence = reader.u64("sequence")?;
        let not_after = reader.u64("not after")?;
        let entries = read_entries(&mut reader, bytes.len())?;
        let signed = bytes.len() - reader.rest().len();
        let signature: [u8; SIGNATURE_BYTES] = reader.array("batch signature")?;
        reader.finish("batch")?;
        if sequence == 0 {
            return Err(DecodeError::Invalid { what: "sequence", why: "starts at 1" });
        }
        let digest = Tag::Batch.hash(&[bytes.get(..signed).unwrap_or_default()]);
        let id = Tag::BatchId.hash(&[&digest, &signature]);
        let bytes = bytes.into();
        Ok(Self(Arc::new(Inner { bytes, chain_id, submitter, sequence, not_after, entries, digest, id })))
    }

    /// Verifies the submitter's signature.
    pub fn verify(self) -> Result<SignedBatch, BatchError> {
        let key = VerifyingKey::parse(&self.0.submitter).map_err(BatchError::Signature)?;
        self.verify_with(&key)
    }

    /// Verifies with the submitter's key, parsed before. A key of somebody else is refused as a mismatch.
    pub fn verify_with(self, key: &VerifyingKey) -> Result<SignedBatch, BatchError> {
        if key.to_bytes() != self.0.submitter {
            return self.verify();
        }
        let signature = self.signature()?;
        key.verify(&self.0.digest, &signature).map_err(BatchError::Signature)?;
        Ok(SignedBatch(self.0))
    }

    /// Skips the verification: only for a batch with this very [`id`](Self::id) that was verified before, or
    /// for a block that is final already (replay).
    pub fn trust_signature_verified_before(self) -> SignedBatch {
        SignedBatch(self.0)
    }

    fn signature(&self) -> Result<[u8; SIGNATURE_BYTES], DecodeError> {
        let bytes = &self.0.bytes;
        let missing =
            DecodeError::Truncated { what: "batch signature", needed: SIGNATURE_BYTES, left: bytes.len() };
        bytes.last_chunk().copied().ok_or(missing)
    }
}

impl From<SignedBatch> for UnverifiedBatch {
    fn from(batch: SignedBatch) -> Self {
        Self(batch.0)
    }
}

fn read_entries(reader: &mut Reader<'_>, total: usize) -> Result<Vec<Range<usize>>, DecodeError> {
    let entries = reader.list("batch entries", BATCH_ENTRIES_MAX, |reader| {
        let len = reader.bytes("entry", ENTRY_BYTES_MAX)?.len();
        let end = total - reader.rest().len();
        Ok(end - len..end)
    })?;
    if entries.is_empty() {
        return Err(DecodeError::Invalid { what: "batch entries", why: "are none" });
    }
    Ok(entries)
}

macro_rules! accessors {
    ($type:ident) => {
        impl $type {
            /// The exact bytes, signature included.
            pub fn bytes(&self) -> &[u8] {
                &self.0.bytes
            }

            /// The ledger it is for.
            pub fn chain_id(&self) -> &Hash {
                &self.0.chain_id
            }

            /// The submitter's Ed25519 public key.
            pub fn submitter(&self) -> &[u8; 32] {
                &self.0.submitter
            }

            /// The submitter's count of batches.
            pub fn sequence(&self) -> u64 {
                self.0.sequence
            }

            /// The last height at which it may enter a block.
            pub fn not_after(&self) -> u64 {
                self.0.not_after
            }

            /// How many entries it holds.
            pub fn entry_count(&self) -> usize {
                self.0.entries.len()
            }

            /// The exact bytes of each entry, in order.
            pub fn entries(&self) -> impl ExactSizeIterator<Item = &[u8]> + '_ {
                self.0.entries.iter().map(|range| self.0.bytes.get(range.clone()).unwrap_or_default())
            }

            /// The exact bytes of one entry.
            pub fn entry(&self, index: usize) -> Option<&[u8]> {
                self.0.bytes.get(self.0.entries.get(index)?.clone())
            }

            /// What the submitter signed: equal digests ask for the same.
            pub fn digest(&self) -> &Hash {
                &self.0.digest
            }

            /// Digest and signature together. Pools and caches of verified batches go by this, never by
            /// the digest: another signature over the same digest has not been verified.
            pub fn id(&self) -> &Hash {
                &self.0.id
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($type))
                    .field("submitter", &hex::encode(self.submitter()))
                    .field("sequence", &self.sequence())
                    .field("entries", &self.entry_count())
                    .finish_non_exhaustive()
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.0.id == other.0.id
            }
        }

        impl Eq for $type {}
    };
}

accessors!(UnverifiedBatch);
accessors!(SignedBatch);
