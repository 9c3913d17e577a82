//! Keepers of vault shares: what each says of itself, and what its key signs to join.
//!
//! How one becomes a keeper is the business of the contract `members`, what it keeps that of `vault`.

use crate::change::{RPC_ADDRESS_BYTES_MAX, is_visible, read_text};
use crate::codec::{DecodeError, Reader, Writer};
use crate::genesis::{NAME_BYTES_MAX, is_name};
use crate::hash::{Hash, Tag};

/// A keeper: its name, which never changes, and the keys and address that it has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// Its name: 1 to 64 of `a-z`, `0-9`, `-`. Makes its id.
    pub name: String,
    /// The Ed25519 public key with which it submits and acknowledges shares.
    pub key: [u8; 32],
    /// The X25519 public key that shares are sealed to (HPKE). The ledger does not look into it.
    pub hpke_key: [u8; 32],
    /// The validator it stands beside, if any.
    pub validator: Option<[u8; 32]>,
    /// Where it answers callers, as they write it: at most 256 visible ASCII characters.
    pub rpc: String,
}

/// A keeper's id, which outlives its keys: `tagged("keyward/keeper-id/v1", name)`.
pub fn keeper_id(name: &str) -> Hash {
    Tag::KeeperId.hash(&[name.as_bytes()])
}

impl Keeper {
    /// The keeper's id.
    pub fn id(&self) -> Hash {
        keeper_id(&self.name)
    }

    /// What the key signs to join, and the next key to take its place: `tagged("keyward/keeper/v1", chain id || keeper)`.
    pub fn message(&self, chain_id: &Hash) -> Hash {
        let mut out = Writer::with_capacity(256);
        self.write(&mut out);
        Tag::Keeper.hash(&[chain_id, out.as_slice()])
    }

    /// Appends `bytes name || key[32] || hpke key[32] || (0 u8 | 1 u8 || validator[32]) || bytes rpc`.
    pub fn write(&self, out: &mut Writer) {
        out.bytes(self.name.as_bytes()).raw(&self.key).raw(&self.hpke_key);
        out.option(self.validator.as_ref()).bytes(self.rpc.as_bytes());
    }

    /// Reads from the front.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: read_text(reader, "keeper name", NAME_BYTES_MAX, is_name)?,
            key: reader.array("keeper key")?,
            hpke_key: reader.array("hpke key")?,
            validator: reader.option("validator")?,
            rpc: read_text(reader, "rpc address", RPC_ADDRESS_BYTES_MAX, is_visible)?,
        })
    }
}
