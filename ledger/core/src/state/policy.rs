//! Tenants' policy sets and rules of risk in the state.

use super::layout::decode_exactly;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;

/// `policy/tenant/` and the tenant: [`PolicyState`].
pub fn policy_key(tenant: &Hash) -> Vec<u8> {
    [b"policy/tenant/".as_slice(), tenant].concat()
}

/// `risk/tenant/` and the tenant: [`PolicyState`] of its rules of risk.
pub fn risk_key(tenant: &Hash) -> Vec<u8> {
    [b"risk/tenant/".as_slice(), tenant].concat()
}

/// The set in force: `version u32 || set hash[32] || rule id[32] || log index u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyState {
    /// 1, then one more each time.
    pub version: u32,
    /// The hash of the set's text.
    pub set: Hash,
    /// The id of the approval rule by which the next version is published.
    pub rule: Hash,
    /// The log index of the record that published it.
    pub leaf: u64,
}

impl PolicyState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(76);
        out.u32(self.version).raw(&self.set).raw(&self.rule).u64(self.leaf);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: reader.u32("policy version")?,
            set: reader.array("set hash")?,
            rule: reader.array("rule")?,
            leaf: reader.u64("log index")?,
        })
    }
}
decode_exactly!(PolicyState, "policy");
