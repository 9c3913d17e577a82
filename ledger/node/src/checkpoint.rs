//! Checkpoints of the log for the tools of others, signed with a key of this validator's own.
//!
//! They are made at fixed heights, so that every validator signs the same ones and anybody can merge them. They are no
//! part of agreement, and no receipt rests on them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use keyward_ledger_core::block::{SIGNED_HEADER_BYTES, SignedHeader};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::log::{
    HashStore, ProofError, prove_consistency, prove_inclusion, root_at, verify_consistency,
};
use keyward_ledger_verify::checkpoint::{LogCheckpoint, Note, binding_message, origin};
use keyward_ledger_verify::cose;
use keyward_proto::ledger::{GetCheckpointRequest, GetCheckpointResponse};
use thiserror::Error;
use tonic::Status;
use tracing::warn;

use crate::Config;
use crate::face::{failed, hashes};
use crate::machine::Clock;
use crate::refusal::Refusal;
use crate::repair;
use crate::shared::{Anchor, Shared};

/// A checkpoint is made after every block whose height is a multiple of this.
const EVERY_BLOCKS: u64 = 8;
const EVERY_BLOCKS_STEP: usize = EVERY_BLOCKS as usize;
/// Checkpoints that are kept for those who merge them.
const KEPT_MAX: usize = 256;

/// Why a checkpoint was not made.
#[derive(Debug, Error)]
enum MakeError {
    #[error("the index cannot be read: {0}")]
    Index(#[from] std::io::Error),
    #[error("the log cannot be read: {0}")]
    Log(#[from] ProofError),
    #[error("the log's files do not make what the certified log began with")]
    OtherLog(#[source] ProofError),
}

/// A checkpoint with this validator's signatures.
struct Kept {
    note: Note,
    cose_signature: [u8; 64],
}

/// The checkpoints that this validator signed last, by the log's size.
pub(crate) struct Checkpoints {
    key: SigningKey,
    origin: String,
    validator: [u8; 32],
    binding: [u8; 64],
    kept: Mutex<BTreeMap<u64, Kept>>,
}

impl Checkpoints {
    /// None without a key.
    pub(crate) fn new(config: &Config, shared: &Shared) -> Option<Self> {
        let key = SigningKey::from_seed(config.checkpoint_key.as_deref()?);
        let validator = SigningKey::from_seed(&config.validator_key);
        let chain_id = shared.genesis.chain_id();
        Some(Self {
            origin: origin(shared.genesis.name(), chain_id),
            validator: validator.public_key(),
            binding: validator.sign(&binding_message(chain_id, &key.public_key())),
            key,
            kept: Mutex::default(),
        })
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<u64, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs the log as it was after the block at `height`, which the anchor covers.
    fn make(&self, shared: &Shared, anchor: &Anchor, height: u64, now_ms: u64) -> Result<(), MakeError> {
        let log = anchor.ledger.log();
        let size = match height {
            height if height >= anchor.height() => log.size(),
            height => {
                let bytes = repair::stored(shared, height);
                let header = bytes.as_deref().and_then(|bytes| bytes.get(..SIGNED_HEADER_BYTES));
                let header = header.and_then(|bytes| SignedHeader::decode(bytes).ok());
                let header = header.ok_or_else(|| std::io::Error::other("the block is missing here"))?;
                header.header.log_size
            }
        };
        let root = root_below(&shared.index, size, (log.size(), &log.root())).inspect_err(|_damaged| {
            shared.scrub.ask();
        })?;
        let checkpoint = LogCheckpoint { origin: self.origin.clone(), size, root };
        let note = checkpoint.sign(&self.key, now_ms / 1_000);
        let cose_signature = cose::sign(&checkpoint, &self.key);
        let mut kept = self.kept();
        kept.insert(size, Kept { note, cose_signature });
        while kept.len() > KEPT_MAX {
            kept.pop_first();
        }
        Ok(())
    }

    /// Answers from what is kept, with proofs up to the anchor.
    pub(crate) fn answer(
        &self,
        shared: &Shared,
        anchor: &Anchor,
        request: &GetCheckpointRequest,
    ) -> Result<GetCheckpointResponse, Status> {
        let kept = self.kept();
        let found = match request.log_size {
            Some(size) => kept.get_key_value(&size),
            None => kept.last_key_value(),
        };
        let (size, found) = found.ok_or_else(|| {
            Refusal::CheckpointUnknown.status("no such checkpoint is kept here; ask for the newest, or later")
        })?;
        let (index, size) = (&shared.index, *size);
        let outside = |error: ProofError| match error {
            ProofError::OutOfRange { .. } => {
                Refusal::RequestMalformed.status(format!("the checkpoint has {size} records: {error}"))
            }
            error => failed(&error),
        };
        let inclusion = match request.leaf_index {
            None => Vec::new(),
            Some(leaf) => hashes(prove_inclusion(index, leaf, size).map_err(outside)?),
        };
        let to_anchor = prove_consistency(index, size, anchor.ledger.log().size());
        Ok(GetCheckpointResponse {
            note: found.note.encode(),
            checkpoint_key: Bytes::copy_from_slice(&self.key.public_key()),
            binding: Bytes::copy_from_slice(&self.binding),
            validator: Bytes::copy_from_slice(&self.validator),
            log_sizes: kept.keys().copied().collect(),
            consistency: hashes(prove_consistency(index, request.from_size, size).map_err(outside)?),
            anchor: Some(anchor.to_proto()),
            anchor_proof: hashes(to_anchor.map_err(|error| failed(&error))?),
            inclusion,
            cose_signature: Bytes::copy_from_slice(&found.cose_signature),
        })
    }
}

/// The root of the log's first `size` records, proven to be those that the certified log begins with: what lies in
/// files alone, headers included, may be damaged or exchanged under us.
fn root_below(
    files: &dyn HashStore,
    size: u64,
    (certified_size, certified_root): (u64, &Hash),
) -> Result<Hash, MakeError> {
    let root = root_at(files, size)?;
    let proof = prove_consistency(files, size, certified_size)?;
    verify_consistency(size, certified_size, &proof, &root, certified_root).map_err(MakeError::OtherLog)?;
    Ok(root)
}

/// Makes checkpoints as the ledger grows, until the node stops.
pub(crate) async fn run(checkpoints: Option<Arc<Checkpoints>>, shared: Arc<Shared>, clock: Clock) {
    let Some(checkpoints) = checkpoints else { return };
    let mut views = shared.view.subscribe();
    let mut last = None;
    loop {
        let anchor = views.borrow_and_update().anchor.clone();
        if let Some(anchor) = anchor {
            let newest = anchor.height() - anchor.height() % EVERY_BLOCKS;
            // Heights that certificates skipped are made up for; after a start the newest is enough.
            let first = last.map_or(newest, |last: u64| last + EVERY_BLOCKS);
            for height in (first.max(shared.floor_height() + 1)..=newest).step_by(EVERY_BLOCKS_STEP) {
                if let Err(error) = checkpoints.make(&shared, &anchor, height, clock()) {
                    warn!(%error, height, "alarm: no checkpoint of the log could be made");
                }
                last = Some(height);
            }
        }
        if views.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use keyward_ledger_core::log::{Frontier, leaf_hash};
    use std::collections::HashMap;

    #[derive(Clone, Default)]
    struct Files(HashMap<(u32, u64), Hash>);

    impl HashStore for Files {
        fn node(&self, level: u32, index: u64) -> Option<Hash> {
            self.0.get(&(level, index)).copied()
        }
    }

    fn log(leaves: &[u8]) -> (Files, Hash) {
        let (mut files, mut log) = (Files::default(), Frontier::default());
        for leaf in leaves {
            log.append_with(leaf_hash(&[*leaf]), |level, index, hash| {
                files.0.insert((level, index), hash);
            });
        }
        (files, log.root())
    }

    #[test]
    fn only_a_beginning_of_the_certified_log_is_signed() {
        let leaves: Vec<u8> = (0..13).collect();
        let (files, root) = log(&leaves);
        for size in 0..=13 {
            let below = root_below(&files, size, (13, &root)).unwrap();
            assert_eq!(below, log(leaves.get(..usize::try_from(size).unwrap()).unwrap()).1);
        }
        assert!(root_below(&files, 14, (13, &root)).is_err(), "a header that lies about the size");
        // Files that fit each other, headers included, of another history up to height 8.
        let mut other = leaves.clone();
        other.swap(2, 3);
        let (exchanged, _) = log(&other);
        for size in 1..=13 {
            let found = root_below(&exchanged, size, (13, &root));
            assert!(matches!(found, Err(MakeError::OtherLog(_))), "{size}");
        }
        for place in files.0.keys() {
            let mut damaged = files.clone();
            damaged.0.entry(*place).and_modify(|hash| hash[0] ^= 1);
            for size in 1..=13 {
                let found = root_below(&damaged, size, (13, &root));
                let same = found
                    .as_ref()
                    .is_ok_and(|found| *found == root_below(&files, size, (13, &root)).unwrap());
                assert!(same || found.is_err(), "{place:?} {size}");
            }
        }
    }
}
