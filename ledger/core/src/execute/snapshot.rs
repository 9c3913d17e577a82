//! Taking a ledger apart for a store, and putting it together again.

use std::sync::Arc;

use thiserror::Error;

use super::{Expiry, Ledger, StateBroken};
use crate::block::SignedHeader;
use crate::certificate::ValidatorSet;
use crate::codec::{DecodeError, Reader, Writer};
use crate::log::Frontier;
use crate::state::layout::{self, Parameters};
use crate::state::{DuplicateKey, Tree};

const HEAD_BYTES_MAX: usize = 12 + 64 * 32;

/// Everything of a ledger but its state entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerHead {
    /// The last block's header; its digest is the tip.
    pub signed_header: SignedHeader,
    /// The right edge of the log after it.
    pub log: Frontier,
}

/// Why a snapshot is not a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// The head is malformed.
    #[error("the snapshot's head is malformed")]
    Malformed(#[from] DecodeError),
    /// A key stands twice.
    #[error("the snapshot's state is refused")]
    Duplicate(#[from] DuplicateKey),
    /// The state does not have the root in the header.
    #[error("the snapshot's state does not have the root in its header")]
    StateRoot,
    /// The log edge does not have size and root of the header.
    #[error("the snapshot's log does not have the root in its header")]
    LogRoot,
    /// The validators in the state are not those in the header.
    #[error("the snapshot's validators are not those in its header")]
    Set,
    /// The state holds what no contract wrote.
    #[error("the snapshot's state is broken")]
    Broken(#[from] StateBroken),
}

impl LedgerHead {
    /// The encoding: `header || signature || u32 length || log frontier`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(512);
        out.raw(&self.signed_header.encode()).bytes(&self.log.encode());
        out.finish()
    }

    /// Decodes exactly one head.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let signed_header = SignedHeader::read(&mut reader)?;
        let log = Frontier::decode(reader.bytes("log frontier", HEAD_BYTES_MAX)?)?;
        reader.finish("snapshot head")?;
        Ok(Self { signed_header, log })
    }
}

impl Ledger {
    /// Restores the ledger after the block in the head from its state entries, in any order. Everything is
    /// checked against the header, so a caller that trusts the header may take the entries from anywhere.
    pub fn restore<K, V>(
        head: &LedgerHead,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, SnapshotError>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let header = &head.signed_header.header;
        if (head.log.size(), head.log.root()) != (header.log_size, header.log_root) {
            return Err(SnapshotError::LogRoot);
        }
        let state = Tree::build(entries)?;
        if state.root() != header.state_root {
            return Err(SnapshotError::StateRoot);
        }
        let set = read_set(&state)?;
        if *set.hash() != header.next_set_hash {
            return Err(SnapshotError::Set);
        }
        Ok(Self {
            chain_id: header.chain_id,
            tip: head.signed_header.digest(),
            height: header.height,
            time_ms: header.time_ms,
            log: head.log.clone(),
            parameters: read_parameters(&state)?,
            set: Arc::new(set),
            expiry: Expiry::of(&state).map_err(StateBroken::of("entry that ends"))?,
            state,
        })
    }
}

fn read_set(state: &Tree) -> Result<ValidatorSet, StateBroken> {
    let value = state.get(&layout::validators_key()).ok_or_else(|| StateBroken::missing("validators"))?;
    ValidatorSet::decode(value).map_err(StateBroken::of("validators"))
}

fn read_parameters(state: &Tree) -> Result<Parameters, StateBroken> {
    let value = state.get(&layout::parameters_key()).ok_or_else(|| StateBroken::missing("parameters"))?;
    Parameters::decode(value).map_err(StateBroken::of("parameters"))
}
