//! Which policy set and which rules of risk a tenant goes by: published version by version.

use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::{Hash, Tag};

/// A tenant's name on the ledger: `tagged("keyward/tenant/v1", name)`.
pub fn tenant_id(name: &str) -> Hash {
    Tag::Tenant.hash(&[name.as_bytes()])
}

/// A policy set, or a set of rules of risk, in its next version:
/// `tenant[32] || version u32 || set hash[32] || rule id[32] || (0 u8 | 1 u8 || case[32])`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishPolicy {
    /// The tenant, see [`tenant_id`].
    pub tenant: Hash,
    /// 1, then one more each time.
    pub version: u32,
    /// The hash of the set's text.
    pub set: Hash,
    /// The id of the approval rule by which the next version is published.
    pub rule: Hash,
    /// The approval case that decided; none for the first version.
    pub case: Option<Hash>,
}

impl PublishPolicy {
    /// What approvers decide of policies: `tagged("keyward/policy-publication/v1", tenant || version u32 || set hash || rule id)`.
    pub fn publication(&self) -> Hash {
        self.tagged(Tag::PolicyPublication)
    }

    /// What approvers decide of rules of risk: the same under `keyward/risk-publication/v1`.
    pub fn risk_publication(&self) -> Hash {
        self.tagged(Tag::RiskPublication)
    }

    fn tagged(&self, tag: Tag) -> Hash {
        tag.hash(&[&self.tenant, &self.version.to_be_bytes(), &self.set, &self.rule])
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.raw(&self.tenant).u32(self.version).raw(&self.set).raw(&self.rule).option(self.case.as_ref());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            tenant: reader.array("tenant")?,
            version: reader.u32("policy version")?,
            set: reader.array("set hash")?,
            rule: reader.array("rule")?,
            case: reader.option("approval case")?,
        })
    }
}
