//! A ledger's export for the measurement: blocks of four validators with real digests, signatures, certificates, log and proofs, as
//! `keyward ledger export` writes them. Nobody executed them: their state roots are none, and every entry was accepted.

use std::collections::HashMap;
use std::path::Path;

use keyward_ledger_core::batch::{Batch, BatchError, UnverifiedBatch};
use keyward_ledger_core::block::{self, Header, Regime, SignedHeader, body_hash};
use keyward_ledger_core::certificate::{Certificate, Signer, finalize_message};
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::entry::Entry;
use keyward_ledger_core::export::{ChunkName, ProvenBlock, encode_links};
use keyward_ledger_core::genesis::{Genesis, GenesisDocument};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::log::{Frontier, HashStore, prove_range};
use keyward_ledger_core::outcome::Outcome;
use keyward_ledger_core::record::Record;

use super::refused;
use crate::commands::ledger::folder::{Folder, Writing};
use crate::failure::{Failure, Result};
use crate::sealed::random32;

const VALIDATORS: u64 = 4;
const EPOCH_LENGTH: u64 = 256;

/// An export in the making.
pub(super) struct Chain {
    genesis: Genesis,
    /// As the set has them.
    validators: Vec<SigningKey>,
    submitter: SigningKey,
    folder: Folder,
    writing: Writing,
    chunks: Vec<ChunkName>,
    /// The most entries of a block; half as many of a batch.
    block_entries: usize,
    /// The last block: its height and digest.
    height: u64,
    parent: Hash,
    log: Frontier,
    sequence: u64,
    /// The block in the making.
    time_ms: u64,
    batches: Vec<Vec<Vec<u8>>>,
    leaves: Vec<Hash>,
}

/// The hashes to the left of a block, by level and index.
struct Nodes(HashMap<(u32, u64), Hash>);

impl HashStore for Nodes {
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        self.0.get(&(level, index)).copied()
    }
}

impl Chain {
    pub(super) fn begin(path: &Path, block_entries: usize) -> Result<Self> {
        let keys = (0..VALIDATORS).map(|_| Ok(SigningKey::from_seed(&*random32()?)));
        let mut validators = keys.collect::<Result<Vec<_>>>()?;
        validators.sort_by_key(SigningKey::public_key);
        let genesis = Genesis::new(GenesisDocument {
            name: "measurement".to_owned(),
            time_ms: 0,
            validators: validators.iter().map(SigningKey::public_key).collect(),
            submitters: Vec::new(),
            keepers: Vec::new(),
            epoch_length: EPOCH_LENGTH,
            regime: Regime::Fast,
            clock_bound_ms: 1_000,
        });
        let genesis = genesis.map_err(|error| refused(&error))?;
        let folder = Folder::at(path);
        folder.write_genesis(&genesis)?;
        Ok(Self {
            parent: *genesis.block().digest(),
            genesis,
            validators,
            submitter: SigningKey::from_seed(&*random32()?),
            folder,
            writing: Writing::from(1),
            chunks: Vec::new(),
            block_entries,
            height: 0,
            log: Frontier::default(),
            sequence: 0,
            time_ms: 0,
            batches: Vec::new(),
            leaves: Vec::new(),
        })
    }

    pub(super) const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Takes an entry, and gives its leaf hash. A block that is full, or of another time, is closed before.
    pub(super) fn take(&mut self, time_ms: u64, entry: &Entry) -> Result<Hash> {
        if self.leaves.len() >= self.block_entries || time_ms != self.time_ms {
            self.close()?;
        }
        self.time_ms = time_ms;
        if self.leaves.len().is_multiple_of(self.block_entries.div_ceil(2)) {
            self.batches.push(Vec::new());
            self.sequence += 1;
        }
        let Some(batch) = self.batches.last_mut() else { return Err(unmade()) };
        let record = Record {
            height: self.height + 1,
            time_ms,
            submitter: self.submitter.public_key(),
            sequence: self.sequence,
            index: u32::try_from(batch.len()).map_err(|_long| unmade())?,
            entry: entry.encode(),
            outcome: Outcome::ACCEPTED,
        };
        let leaf = record.id();
        batch.push(record.entry);
        self.leaves.push(leaf);
        Ok(leaf)
    }

    /// Signs, certifies and writes the block in the making, if there is one.
    pub(super) fn close(&mut self) -> Result<Option<ProvenBlock>> {
        let leaves = std::mem::take(&mut self.leaves);
        if leaves.is_empty() {
            return Ok(None);
        }
        let batches = self.signed().map_err(|error| refused(&error))?;
        let first_leaf = self.log.size();
        let left = Nodes(self.log.peaks().map(|(level, index, hash)| ((level, index), hash)).collect());
        leaves.iter().for_each(|leaf| self.log.append(*leaf));
        let size = self.log.size();
        let range_proof = prove_range(&left, first_leaf..size, size).map_err(|error| refused(&error))?;
        let (header, certificate) = self.certified(body_hash(batches.iter().map(UnverifiedBatch::id)))?;
        let proven = ProvenBlock {
            block: block::encode(&header, batches.iter().map(UnverifiedBatch::bytes)),
            first_leaf,
            outcomes: vec![Outcome::ACCEPTED; leaves.len()],
            range_proof,
            descendants: Vec::new(),
            certificate,
        };
        self.writing.push(&proven);
        if self.writing.is_full() {
            self.write()?;
        }
        Ok(Some(proven))
    }

    fn signed(&mut self) -> std::result::Result<Vec<UnverifiedBatch>, BatchError> {
        let all = std::mem::take(&mut self.batches);
        let first = self.sequence + 1 - all.len() as u64;
        let sign = |(sequence, entries)| {
            let batch = Batch { chain_id: *self.genesis.chain_id(), sequence, not_after: u64::MAX, entries };
            batch.sign(&self.submitter).map(UnverifiedBatch::from)
        };
        (first..).zip(all).map(sign).collect()
    }

    /// The next block's header with its proposer's signature, and a quorum's certificate.
    fn certified(&mut self, body_hash: Hash) -> Result<(SignedHeader, Certificate)> {
        self.height += 1;
        let (chain_id, set) = (*self.genesis.chain_id(), self.genesis.set());
        let turn = usize::try_from(self.height % VALIDATORS).unwrap_or_default();
        let proposer = self.validators.get(turn).ok_or_else(unmade)?;
        let header = Header {
            chain_id,
            height: self.height,
            epoch: self.height / EPOCH_LENGTH,
            parent: self.parent,
            time_ms: self.time_ms,
            proposer: proposer.public_key(),
            regime: Regime::Fast,
            body_hash,
            log_size: self.log.size(),
            log_root: self.log.root(),
            state_root: [0; 32],
            set_hash: *set.hash(),
            next_set_hash: *set.hash(),
        };
        let (epoch, view, parent_view) = (header.epoch, self.height, self.height - 1);
        let signed = SignedHeader::sign(header, proposer);
        self.parent = signed.digest();
        let message = finalize_message(&chain_id, epoch, view, parent_view, &self.parent);
        let signers = (0..).zip(self.validators.iter().take(set.quorum()));
        let signers = signers.map(|(index, key)| Signer { index, signature: key.sign(&message) }).collect();
        Ok((signed, Certificate { epoch, view, parent_view, block_digest: self.parent, signers }))
    }

    fn write(&mut self) -> Result<()> {
        let full = std::mem::replace(&mut self.writing, Writing::from(self.height + 1));
        let chunk = full.write(&self.folder, self.height).map_err(|mut failure| {
            "free space there, or name another folder with TMPDIR".clone_into(&mut failure.next);
            failure
        })?;
        self.chunks.push(chunk);
        Ok(())
    }

    /// Finishes the export, and gives the number of its blocks.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.close()?;
        if !self.writing.is_empty() {
            self.write()?;
        }
        self.folder.write_manifest(&encode_links(&[]), &self.genesis, self.chunks)?;
        Ok(self.height)
    }
}

fn unmade() -> Failure {
    Failure::refused("the export could not be made", "report this as a fault")
}
