//! Keepers in the state.

use super::layout::{decode_exactly, read_bool};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;
use crate::keeper::Keeper;

/// The most keepers of a ledger.
pub const KEEPERS_MAX: usize = 64;

/// `keeper/` and the keeper's id: [`KeeperState`].
pub fn keeper_key(id: &Hash) -> Vec<u8> {
    [b"keeper/".as_slice(), id].concat()
}

/// `keepers`: the ids of those who are keepers now, ascending.
pub fn keepers_key() -> Vec<u8> {
    b"keepers".to_vec()
}

/// A keeper: `present u8 || height u64 || keeper`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeeperState {
    /// Whether it is one still.
    pub present: bool,
    /// The height of the last change.
    pub height: u64,
    /// What it says of itself.
    pub keeper: Keeper,
}

impl KeeperState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(256);
        out.u8(u8::from(self.present)).u64(self.height);
        self.keeper.write(&mut out);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            present: read_bool(reader, "present")?,
            height: reader.u64("height")?,
            keeper: Keeper::read(reader)?,
        })
    }
}
decode_exactly!(KeeperState, "keeper");
