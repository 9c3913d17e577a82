//! Who submits: a key, and the sequences it has used.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use keyward_ledger_core::{batch::Batch, ed25519::SigningKey, entry::Entry, hash::Hash, outcome::Outcome};
use keyward_proto::ledger::{SubmitRequest, SubmitResponse};

/// A submitter. Clones share its sequences.
#[derive(Clone)]
pub(crate) struct Hand {
    key: Arc<SigningKey>,
    chain_id: Hash,
    used: Arc<AtomicU64>,
}

impl Hand {
    pub(crate) fn new(seed: [u8; 32], chain_id: Hash) -> Self {
        Self { key: Arc::new(SigningKey::from_seed(&seed)), chain_id, used: Arc::default() }
    }

    /// A batch of one entry under the next sequence.
    pub(crate) fn batch(&self, entry: &Entry) -> SubmitRequest {
        let (chain_id, sequence) = (self.chain_id, self.used.fetch_add(1, Relaxed) + 1);
        let batch = Batch { chain_id, sequence, not_after: u64::MAX, entries: vec![entry.encode()] };
        let signed = batch.sign(&self.key).unwrap();
        SubmitRequest { batch: Bytes::copy_from_slice(signed.bytes()), wait: true }
    }
}

/// The place in the log of a batch's one entry, and what became of it.
pub(crate) fn placed(answer: SubmitResponse) -> Option<(u64, Outcome)> {
    let fin = answer.r#final?;
    Some((fin.first_leaf, Outcome::decode(fin.outcomes.first()?).unwrap()))
}
