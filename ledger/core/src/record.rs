//! A record: an entry with its place, its submitter and its outcome. Its bytes are a leaf of the log.

use crate::codec::{DecodeError, Reader, Writer};
use crate::entry::ENTRY_BYTES_MAX;
use crate::hash::{Hash, Hasher};
use crate::log;
use crate::outcome::{OUTCOME_DATA_MAX, Outcome};

/// The version of records.
pub const RECORD_VERSION: u8 = 1;
/// Bytes before the entry.
const HEAD_BYTES: usize = 1 + 8 + 8 + 32 + 8 + 4;
/// The longest record.
pub const RECORD_BYTES_MAX: usize = HEAD_BYTES + 4 + ENTRY_BYTES_MAX + 4 + 4 + OUTCOME_DATA_MAX;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The height of the block that carries it.
    pub height: u64,
    /// That block's time, in milliseconds since 1970.
    pub time_ms: u64,
    /// The submitter's Ed25519 public key.
    pub submitter: [u8; 32],
    /// The batch's sequence.
    pub sequence: u64,
    /// The entry's place in its batch, from 0.
    pub index: u32,
    /// The entry's exact bytes.
    pub entry: Vec<u8>,
    /// What the ledger answered.
    pub outcome: Outcome,
}

impl Record {
    /// The leaf data.
    pub fn encode(&self) -> Vec<u8> {
        let outcome = self.outcome.encode();
        let mut out = Writer::with_capacity(HEAD_BYTES + 8 + self.entry.len() + outcome.len());
        out.raw(&self.place().head()).bytes(&self.entry).bytes(&outcome);
        out.finish()
    }

    /// Decodes leaf data.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("record version", RECORD_VERSION)?;
        let record = Self {
            height: reader.u64("height")?,
            time_ms: reader.u64("time")?,
            submitter: reader.array("submitter")?,
            sequence: reader.u64("sequence")?,
            index: reader.u32("index")?,
            entry: reader.bytes("entry", ENTRY_BYTES_MAX)?.to_vec(),
            outcome: Outcome::decode(reader.bytes("outcome", 4 + OUTCOME_DATA_MAX)?)?,
        };
        reader.finish("record")?;
        Ok(record)
    }

    /// The leaf hash, which is also the record's id.
    pub fn id(&self) -> Hash {
        self.place().leaf_hash(&self.entry, &self.outcome)
    }

    const fn place(&self) -> Place<'_> {
        Place {
            height: self.height,
            time_ms: self.time_ms,
            submitter: &self.submitter,
            sequence: self.sequence,
            index: self.index,
        }
    }
}

/// Where a record stands; hashes a leaf without building its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) height: u64,
    pub(crate) time_ms: u64,
    pub(crate) submitter: &'a [u8; 32],
    pub(crate) sequence: u64,
    pub(crate) index: u32,
}

impl Place<'_> {
    fn head(&self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[0] = RECORD_VERSION;
        head[1..9].copy_from_slice(&self.height.to_be_bytes());
        head[9..17].copy_from_slice(&self.time_ms.to_be_bytes());
        head[17..49].copy_from_slice(self.submitter);
        head[49..57].copy_from_slice(&self.sequence.to_be_bytes());
        head[57..61].copy_from_slice(&self.index.to_be_bytes());
        head
    }

    pub(crate) fn leaf_hash(&self, entry: &[u8], outcome: &Outcome) -> Hash {
        let mut hasher: Hasher = log::leaf_hasher();
        hasher.update(&self.head());
        hasher.update(&length(entry.len()));
        hasher.update(entry);
        if outcome.is_accepted() && outcome.data.is_empty() {
            hasher.update(&[0, 0, 0, 4, 0, 0, 0, 0]);
        } else {
            let outcome = outcome.encode();
            hasher.update(&length(outcome.len()));
            hasher.update(&outcome);
        }
        hasher.finish()
    }
}

fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}
