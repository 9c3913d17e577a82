//! Vaults in the state, and who holds what of them.

use super::layout::{decode_exactly, read_bool};
use crate::codec::{DecodeError, Reader, Writer};
use crate::entry::RuleName;
use crate::hash::Hash;
use crate::vault::VAULT_KEEPERS_MAX;

/// `vault/` and the vault's id as a rule: [`VaultState`].
pub fn vault_key(rule: &Hash) -> Vec<u8> {
    [b"vault/".as_slice(), rule].concat()
}

/// `vault/holder/`, the vault's id as a rule, and the keeper's id: [`HolderState`].
pub fn holder_key(rule: &Hash, keeper: &Hash) -> Vec<u8> {
    [b"vault/holder/".as_slice(), rule, keeper].concat()
}

/// A vault: `account[32] || vault id[32] || destroyed u8 || version u32 || sealing hash[32] || u64 sealing leaf || share
/// version u32 || shares hash[32] || u64 shares leaf || threshold u8 || list(16) of keeper id[32] || constants[64]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultState {
    /// The account, and the vault's id.
    pub vault: RuleName,
    /// Whether it has ended.
    pub destroyed: bool,
    /// How often it was sealed.
    pub version: u32,
    /// The hash of the newest sealing.
    pub sealing: Hash,
    /// The log index of its record.
    pub sealing_leaf: u64,
    /// 1 for the shares of the sealing, then one more each time they are dealt anew.
    pub share_version: u32,
    /// The hash of the sealing or refresh that these shares are of.
    pub shares: Hash,
    /// The log index of its record.
    pub shares_leaf: u64,
    /// How many shares are needed.
    pub threshold: u8,
    /// The ids of those who hold shares; an index is the place here, from 1.
    pub keepers: Vec<Hash>,
    /// The commitments to the secrets themselves.
    pub constants: [[u8; 32]; 2],
}

impl VaultState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(256 + 32 * self.keepers.len());
        out.raw(&self.vault.owner).raw(&self.vault.name).u8(u8::from(self.destroyed));
        out.u32(self.version).raw(&self.sealing).u64(self.sealing_leaf);
        out.u32(self.share_version).raw(&self.shares).u64(self.shares_leaf);
        out.u8(self.threshold).count(self.keepers.len());
        self.keepers.iter().chain(&self.constants).for_each(|item| {
            out.raw(item);
        });
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            vault: RuleName { owner: reader.array("account")?, name: reader.array("vault id")? },
            destroyed: read_bool(reader, "destroyed")?,
            version: reader.u32("vault version")?,
            sealing: reader.array("sealing hash")?,
            sealing_leaf: reader.u64("sealing leaf")?,
            share_version: reader.u32("share version")?,
            shares: reader.array("shares hash")?,
            shares_leaf: reader.u64("shares leaf")?,
            threshold: reader.u8("threshold")?,
            keepers: reader.list("keepers", VAULT_KEEPERS_MAX, |reader| reader.array("keeper id"))?,
            constants: [reader.array("constant")?, reader.array("constant")?],
        })
    }
}
decode_exactly!(VaultState, "vault");

/// What a keeper holds of a vault: `held u32 || erased u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HolderState {
    /// The newest version of which it has acknowledged a share.
    pub held: u32,
    /// The highest version that it has erased, with all below; 0 for none. Lower than `held` while it holds a share.
    pub erased: u32,
}

impl HolderState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(8);
        out.u32(self.held).u32(self.erased);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { held: reader.u32("held version")?, erased: reader.u32("erased version")? })
    }
}
decode_exactly!(HolderState, "holder");
