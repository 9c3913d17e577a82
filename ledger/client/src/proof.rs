//! Checking what validators answer, so that one honest answer is enough and no dishonest one is believed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use keyward_ledger_core::{
    batch::SignedBatch,
    block::SignedHeader,
    certificate::{Certificate, ValidatorSet},
    codec::DecodeError,
    genesis::GenesisProof,
    hash::Hash,
    outcome::Outcome,
    receipt::{Certified, SetLink},
    record::Record,
};
use keyward_ledger_verify::{CertifiedBlock, Failure, SetTracker};
use keyward_proto::ledger as proto;
use std::sync::Arc;
use thiserror::Error;

/// Certified headers that are kept checked: every record of one block shares one.
const CHECKED_MAX: usize = 16;

/// Why a validator's answer is not believed.
#[derive(Debug, Error)]
pub enum ProofError {
    /// A part is missing.
    #[error("the answer has no `{part}`")]
    Missing {
        /// The part.
        part: &'static str,
    },
    /// A part is malformed.
    #[error("the answer's `{part}` is malformed")]
    Malformed {
        /// The part.
        part: &'static str,
        /// The cause.
        #[source]
        source: DecodeError,
    },
    /// A hash does not have 32 bytes.
    #[error("the answer's `{part}` has {len} bytes, not 32")]
    Length {
        /// The part.
        part: &'static str,
        /// Its length.
        len: usize,
    },
    /// The answer is about something else than what was asked.
    #[error("the answer is not about the `{part}` that was asked for")]
    Other {
        /// What differs.
        part: &'static str,
    },
    /// It is proven, but too old to say what holds now.
    #[error("the answer holds for height {height}, while height {seen} was seen before")]
    Stale {
        /// The height for which it holds.
        height: u64,
        /// The newest height seen.
        seen: u64,
    },
    /// It does not verify.
    #[error("the answer does not verify")]
    Unproven(#[from] Failure),
}

/// A block header that a quorum certified, with everything a receipt needs of it.
#[derive(Debug)]
pub struct CertifiedHeader {
    pub(crate) block: CertifiedBlock,
    pub(crate) certified: Certified,
    /// `certified` as it stands in receipts.
    pub(crate) encoded: Vec<u8>,
}

impl CertifiedHeader {
    /// The checked header.
    pub const fn block(&self) -> &CertifiedBlock {
        &self.block
    }
}

/// The validator set followed from the trust file, and the headers checked last.
pub(crate) struct Checker {
    genesis: GenesisProof,
    inner: Mutex<Inner>,
}

struct Inner {
    tracker: SetTracker,
    links: Vec<SetLink>,
    checked: Vec<(Vec<u8>, Arc<CertifiedHeader>)>,
}

impl Checker {
    pub(crate) fn new(tracker: SetTracker, genesis: GenesisProof) -> Self {
        Self { genesis, inner: Mutex::new(Inner { tracker, links: Vec::new(), checked: Vec::new() }) }
    }

    /// Checks the certificate over a header, once for each pair.
    pub(crate) fn anchor(&self, anchor: Option<proto::Anchor>) -> Result<Arc<CertifiedHeader>, ProofError> {
        let anchor = anchor.ok_or(ProofError::Missing { part: "anchor" })?;
        let name = [&anchor.header[..], &anchor.certificate[..]].concat();
        let mut inner = self.inner();
        if let Some((_, checked)) = inner.checked.iter().find(|(other, _)| *other == name) {
            return Ok(checked.clone());
        }
        inner.follow(&anchor.links)?;
        let signed_header = SignedHeader::decode(&anchor.header).map_err(malformed("header"))?;
        let certificate = Certificate::decode(&anchor.certificate).map_err(malformed("certificate"))?;
        let block = inner.tracker.certify(&signed_header, &certificate)?;
        // A receipt carries the changes below its block, and no later ones.
        let height = block.header().height;
        let below = |link: &&SetLink| link.signed_header.header.height < height;
        let links = inner.links.iter().filter(below).cloned().collect();
        let certified = Certified { signed_header, certificate, genesis: self.genesis.clone(), links };
        let encoded = certified.encode();
        let checked = Arc::new(CertifiedHeader { block, certified, encoded });
        if inner.checked.len() >= CHECKED_MAX {
            inner.checked.remove(0);
        }
        inner.checked.push((name, checked.clone()));
        Ok(checked)
    }

    /// The changes of the set that were followed.
    pub(crate) fn links(&self) -> Vec<SetLink> {
        self.inner().links.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes the links that are new.
    fn follow(&mut self, links: &[proto::SetLink]) -> Result<(), ProofError> {
        for link in links.iter().skip(self.links.len()) {
            let keys = link
                .next_validators
                .iter()
                .map(|key| hash("validator", key))
                .collect::<Result<Vec<_>, _>>()?;
            let set = ValidatorSet::new(&keys).map_err(|error| {
                tracing::warn!(%error, "a validator names a set that is none");
                ProofError::Other { part: "validator set" }
            })?;
            let link = SetLink {
                signed_header: SignedHeader::decode(&link.header).map_err(malformed("link header"))?,
                certificate: Certificate::decode(&link.certificate).map_err(malformed("link certificate"))?,
                set,
            };
            self.tracker.follow(&link)?;
            self.links.push(link);
        }
        Ok(())
    }
}

/// The records of a batch, rebuilt from what the caller knows and what the validator says, and proven.
pub(crate) fn batch_records(
    checker: &Checker,
    batch: &SignedBatch,
    fin: proto::BatchFinal,
) -> Result<(Arc<CertifiedHeader>, Vec<Proven>), ProofError> {
    let header = checker.anchor(fin.anchor)?;
    if fin.outcomes.len() != batch.entry_count() {
        return Err(ProofError::Other { part: "number of entries" });
    }
    let entries = (0..).zip(batch.entries()).zip(&fin.outcomes);
    let leaves = entries.map(|((index, entry), outcome)| {
        leaf(fin.height, fin.time_ms, (batch.submitter(), batch.sequence(), index), entry, outcome)
    });
    let leaves = leaves.collect::<Result<Vec<_>, _>>()?;
    let proven = prove_leaves(&header, leaves, fin.first_leaf, &fin.range_proof)?;
    Ok((header, proven))
}

/// The leaf data of an entry with its outcome, from where and by whom it was recorded.
pub(crate) fn leaf(
    height: u64,
    time_ms: u64,
    (submitter, sequence, index): (&[u8; 32], u64, u32),
    entry: &[u8],
    outcome: &[u8],
) -> Result<Vec<u8>, ProofError> {
    let outcome = Outcome::decode(outcome).map_err(malformed("outcome"))?;
    let entry = entry.to_vec();
    Ok(Record { height, time_ms, submitter: *submitter, sequence, index, entry, outcome }.encode())
}

/// A proven record.
pub(crate) struct Proven {
    pub(crate) record: Record,
    pub(crate) leaf: Vec<u8>,
    pub(crate) leaf_index: u64,
    pub(crate) path: Vec<Hash>,
}

pub(crate) fn prove_leaves(
    header: &CertifiedHeader,
    leaves: Vec<Vec<u8>>,
    first_leaf: u64,
    proof: &[bytes::Bytes],
) -> Result<Vec<Proven>, ProofError> {
    let proof = hashes("range proof", proof)?;
    let records = header.block.records(&leaves, first_leaf, &proof)?;
    let indexed = (first_leaf..).zip(leaves).zip(records);
    Ok(indexed
        .map(|((leaf_index, leaf), (record, path))| Proven { record, leaf, leaf_index, path })
        .collect())
}

pub(crate) fn malformed(part: &'static str) -> impl FnOnce(DecodeError) -> ProofError {
    move |source| ProofError::Malformed { part, source }
}

pub(crate) fn hashes(part: &'static str, items: &[bytes::Bytes]) -> Result<Vec<Hash>, ProofError> {
    items.iter().map(|item| hash(part, item)).collect()
}

pub(crate) fn hash(part: &'static str, bytes: &[u8]) -> Result<Hash, ProofError> {
    bytes.try_into().map_err(|_length| ProofError::Length { part, len: bytes.len() })
}
