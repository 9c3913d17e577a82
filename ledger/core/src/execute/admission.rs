//! Whether a batch may enter the next block: chain, life time, submitter, sequence window.

use thiserror::Error;

use super::{Ledger, StateBroken};
use crate::batch::SignedBatch;
use crate::genesis::Role;
use crate::hash::Hash;
use crate::state::layout::{BatchState, SEQUENCE_WINDOW, SubmitterState, batch_key, submitter_key};

/// How many entries of a validator that submits with its own key one block may carry.
pub const MEMBER_ENTRIES_MAX: u32 = 16;

/// A validator that has not submitted anything.
const MEMBER: SubmitterState =
    SubmitterState { role: Role::Member, block_entries_max: MEMBER_ENTRIES_MAX, highest: 0 };

/// Why a batch may not enter a block. A block that carries such a batch is invalid as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchRefusal {
    /// It is for another ledger.
    #[error("the batch is for another ledger")]
    WrongChain,
    /// Its last height has passed.
    #[error("the batch could enter blocks up to height {not_after}, the next is {height}")]
    Expired {
        /// The batch's last height.
        not_after: u64,
        /// The height of the block it would enter.
        height: u64,
    },
    /// Nobody with this key may submit.
    #[error("the submitter `{}` is unknown", hex::encode(.submitter))]
    SubmitterUnknown {
        /// The key.
        submitter: [u8; 32],
    },
    /// The very batch is in a block already: its original outcome stands.
    #[error("the batch is in block {height} already")]
    Replayed {
        /// Where it was recorded.
        original: BatchState,
        /// The height of that block.
        height: u64,
    },
    /// Another batch has this sequence.
    #[error("another batch has sequence {sequence}")]
    SequenceConflict {
        /// The sequence.
        sequence: u64,
    },
    /// The sequence lies below the submitter's window.
    #[error("sequence {sequence} is too old, the oldest allowed is {oldest}")]
    SequenceTooOld {
        /// The sequence.
        sequence: u64,
        /// The oldest sequence allowed.
        oldest: u64,
    },
    /// The sequence lies beyond the submitter's window.
    #[error("sequence {sequence} is too far ahead, the newest allowed is {newest}")]
    SequenceTooFarAhead {
        /// The sequence.
        sequence: u64,
        /// The newest sequence allowed.
        newest: u64,
    },
    /// The submitter's share of the block is used up.
    #[error("the block would carry {entries} entries of the submitter, at most {limit} are allowed")]
    SubmitterLimit {
        /// How many there would be.
        entries: u32,
        /// The limit.
        limit: u32,
    },
    /// The block is full.
    #[error("the block would carry {entries} entries, at most {limit} are allowed")]
    BlockFull {
        /// How many there would be.
        entries: u32,
        /// The limit.
        limit: u32,
    },
    /// The node's own state is broken; not the batch's fault.
    #[error("the state is broken")]
    StateBroken(#[from] StateBroken),
}

impl BatchRefusal {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::WrongChain => "WRONG_CHAIN",
            Self::Expired { .. } => "EXPIRED",
            Self::SubmitterUnknown { .. } => "SUBMITTER_UNKNOWN",
            Self::Replayed { .. } => "REPLAYED",
            Self::SequenceConflict { .. } => "SEQUENCE_CONFLICT",
            Self::SequenceTooOld { .. } => "SEQUENCE_TOO_OLD",
            Self::SequenceTooFarAhead { .. } => "SEQUENCE_TOO_FAR_AHEAD",
            Self::SubmitterLimit { .. } => "SUBMITTER_LIMIT",
            Self::BlockFull { .. } => "BLOCK_FULL",
            Self::StateBroken(_) => "STATE_BROKEN",
        }
    }

    /// Whether the same batch may be admitted in a later block.
    pub const fn may_pass_later(&self) -> bool {
        matches!(
            self,
            Self::SequenceTooFarAhead { .. } | Self::SubmitterLimit { .. } | Self::BlockFull { .. }
        )
    }
}

/// What the ledger knows of a submitter's sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    /// Free: a batch with this sequence may come.
    New,
    /// The very batch is recorded.
    Recorded(BatchState),
    /// Another batch has this sequence.
    Conflict,
    /// Below the window: nobody can say any more.
    TooOld {
        /// The oldest sequence in the window.
        oldest: u64,
    },
    /// Beyond the window.
    TooFarAhead {
        /// The newest sequence in the window.
        newest: u64,
    },
    /// The submitter is unknown.
    Stranger,
}

impl Ledger {
    /// Whether the batch may enter the next block. Pools ask this; of the limits of a block only that is looked at which the
    /// batch would pass by itself, for it could never enter one.
    pub fn check_batch(&self, batch: &SignedBatch) -> Result<(), BatchRefusal> {
        let limit = self.admit(batch, self.height + 1)?.block_entries_max;
        let entries = u32::try_from(batch.entry_count()).unwrap_or(u32::MAX);
        if entries > limit { Err(BatchRefusal::SubmitterLimit { entries, limit }) } else { Ok(()) }
    }

    /// What is known of a submitter's sequence and the digest of its batch.
    pub fn submission(
        &self,
        submitter: &[u8; 32],
        sequence: u64,
        digest: &Hash,
    ) -> Result<Submission, StateBroken> {
        match self.submitter(submitter)? {
            None => Ok(Submission::Stranger),
            Some(state) => self.place_in_window(submitter, &state, sequence, digest),
        }
    }

    /// What the state holds about a submitter.
    ///
    /// A validator in force that nobody made a submitter is one by itself, with the role `member`; somebody who
    /// was removed is none.
    pub fn submitter(&self, submitter: &[u8; 32]) -> Result<Option<SubmitterState>, StateBroken> {
        let value = self.state.get(&submitter_key(submitter));
        let known = value.map(SubmitterState::decode).transpose().map_err(StateBroken::of("submitter"))?;
        Ok(match known {
            Some(state) if state.role != Role::Member => {
                Some(state).filter(|state| state.block_entries_max > 0)
            }
            known => self.set.member(submitter).map(|_| known.unwrap_or(MEMBER)),
        })
    }

    pub(super) fn admit(&self, batch: &SignedBatch, height: u64) -> Result<SubmitterState, BatchRefusal> {
        if batch.chain_id() != &self.chain_id {
            return Err(BatchRefusal::WrongChain);
        }
        if height > batch.not_after() {
            return Err(BatchRefusal::Expired { not_after: batch.not_after(), height });
        }
        let (submitter, sequence) = (*batch.submitter(), batch.sequence());
        let state = self.submitter(&submitter)?.ok_or(BatchRefusal::SubmitterUnknown { submitter })?;
        match self.place_in_window(&submitter, &state, sequence, batch.digest())? {
            Submission::New => Ok(state),
            Submission::Recorded(original) => {
                Err(BatchRefusal::Replayed { original, height: original.height })
            }
            Submission::Conflict => Err(BatchRefusal::SequenceConflict { sequence }),
            Submission::TooOld { oldest } => Err(BatchRefusal::SequenceTooOld { sequence, oldest }),
            Submission::TooFarAhead { newest } => Err(BatchRefusal::SequenceTooFarAhead { sequence, newest }),
            Submission::Stranger => Err(BatchRefusal::SubmitterUnknown { submitter }),
        }
    }

    fn place_in_window(
        &self,
        submitter: &[u8; 32],
        state: &SubmitterState,
        sequence: u64,
        digest: &Hash,
    ) -> Result<Submission, StateBroken> {
        let oldest = (state.highest + 1).saturating_sub(SEQUENCE_WINDOW).max(1);
        let newest = state.highest.saturating_add(SEQUENCE_WINDOW);
        if sequence < oldest {
            return Ok(Submission::TooOld { oldest });
        }
        if sequence > newest {
            return Ok(Submission::TooFarAhead { newest });
        }
        let slot = self.state.get(&batch_key(submitter, sequence)).map(BatchState::decode);
        match slot.transpose().map_err(StateBroken::of("batch"))? {
            Some(slot) if slot.sequence != sequence => Ok(Submission::New),
            Some(slot) if slot.digest == *digest => Ok(Submission::Recorded(slot)),
            Some(_) => Ok(Submission::Conflict),
            None => Ok(Submission::New),
        }
    }

    /// Takes an admitted batch into its submitter's window.
    pub(super) fn remember(&mut self, batch: &SignedBatch, submitter: SubmitterState, first_leaf: u64) {
        let (key, sequence) = (batch.submitter(), batch.sequence());
        let slot = BatchState {
            sequence,
            digest: *batch.digest(),
            height: self.height,
            first_leaf,
            count: u32::try_from(batch.entry_count()).unwrap_or(u32::MAX),
        };
        self.state.insert(&batch_key(key, sequence), &slot.encode());
        if sequence > submitter.highest {
            let submitter = SubmitterState { highest: sequence, ..submitter };
            self.state.insert(&submitter_key(key), &submitter.encode());
        }
    }
}
