//! Votes of the engine's agreement protocol as bytes, read back so that two of them can convict their author.
//!
//! The message of a finalize vote is also that of certificates; what votes mean is the engine's business.

use crate::certificate::consensus_namespace;
use crate::codec::{DecodeError, Reader};
use crate::hash::Hash;

/// The longest message of a vote: namespace, three numbers and a digest with room to spare.
pub const VOTE_BYTES_MAX: usize = 256;

/// What a vote says of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ballot {
    /// For a proposal.
    Notarize {
        /// The view of its parent.
        parent_view: u64,
        /// The block.
        digest: Hash,
    },
    /// To skip the view.
    Nullify,
    /// To finalize a proposal.
    Finalize {
        /// The view of its parent.
        parent_view: u64,
        /// The block.
        digest: Hash,
    },
}

/// One vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The epoch.
    pub epoch: u64,
    /// The view.
    pub view: u64,
    /// What it says.
    pub ballot: Ballot,
}

impl Vote {
    /// Reads the message of a vote of this ledger.
    pub fn parse(chain_id: &Hash, message: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(message);
        let kind = read_kind(chain_id, &mut reader)?;
        let (epoch, view) = (read_varint(&mut reader)?, read_varint(&mut reader)?);
        let ballot = match kind {
            Kind::Nullify => Ballot::Nullify,
            Kind::Notarize => Ballot::Notarize {
                parent_view: read_varint(&mut reader)?,
                digest: reader.array("block digest")?,
            },
            Kind::Finalize => Ballot::Finalize {
                parent_view: read_varint(&mut reader)?,
                digest: reader.array("block digest")?,
            },
        };
        reader.finish("vote")?;
        Ok(Self { epoch, view, ballot })
    }

    /// Whether an honest validator never signs both: two proposals notarized or finalized in one view, or a
    /// view both skipped and finalized.
    pub fn excludes(&self, other: &Self) -> bool {
        use Ballot::{Finalize, Notarize, Nullify};
        (self.epoch, self.view) == (other.epoch, other.view)
            && match (self.ballot, other.ballot) {
                (Notarize { .. }, Notarize { .. }) | (Finalize { .. }, Finalize { .. }) => {
                    self.ballot != other.ballot
                }
                (Nullify, Finalize { .. }) | (Finalize { .. }, Nullify) => true,
                _ => false,
            }
    }
}

enum Kind {
    Notarize,
    Nullify,
    Finalize,
}

fn read_kind(chain_id: &Hash, reader: &mut Reader<'_>) -> Result<Kind, DecodeError> {
    let other = DecodeError::Invalid { what: "vote", why: "is not one of this ledger" };
    let len = usize::try_from(read_varint(reader)?).unwrap_or(usize::MAX);
    let namespace = reader.take("namespace", len)?;
    let Some(suffix) = namespace.strip_prefix(consensus_namespace(chain_id).as_slice()) else {
        return Err(other);
    };
    match suffix {
        b"_NOTARIZE" => Ok(Kind::Notarize),
        b"_NULLIFY" => Ok(Kind::Nullify),
        b"_FINALIZE" => Ok(Kind::Finalize),
        _ => Err(other),
    }
}

/// LEB128 in its shortest form.
fn read_varint(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let refuse = |why| DecodeError::Invalid { what: "varint", why };
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = reader.u8("varint")?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return if byte == 0 && shift > 0 { Err(refuse("is not the shortest")) } else { Ok(value) };
        }
    }
    Err(refuse("is longer than 64 bits"))
}
