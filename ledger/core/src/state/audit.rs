//! Audit terms and grants in the state.

use super::layout::decode_exactly;
use crate::codec::{DecodeError, Reader, Writer};
use crate::entry::{AuditTerms, Grant};
use crate::hash::Hash;

/// `audit/tenant/` and the tenant: [`AuditState`].
pub fn audit_key(tenant: &Hash) -> Vec<u8> {
    [b"audit/tenant/".as_slice(), tenant].concat()
}

/// `audit/grant/` and the grant's id: [`AuditGrantState`].
pub fn audit_grant_key(grant: &Hash) -> Vec<u8> {
    [b"audit/grant/".as_slice(), grant].concat()
}

/// A tenant's audit terms: `version u32 || accounts_max u16 || span_ms_max u64 || live_ms_max u64 || kept_ms u64 || rule id[32] || leaf u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditState {
    /// 1, then one more each time.
    pub version: u32,
    /// How far a grant may reach.
    pub terms: AuditTerms,
    /// The id of the approval rule by which grants are issued, and the next version is published.
    pub rule: Hash,
    /// The log index of the record that published them.
    pub leaf: u64,
}

impl AuditState {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(70);
        self.terms.write(out.u32(self.version)).raw(&self.rule).u64(self.leaf);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: reader.u32("terms version")?,
            terms: AuditTerms::read(reader)?,
            rule: reader.array("rule")?,
            leaf: reader.u64("log index")?,
        })
    }
}
decode_exactly!(AuditState, "audit terms");

/// Where a grant stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AuditGrantStatus {
    /// It was asked for.
    Requested = 1,
    /// It was issued.
    Issued = 2,
    /// It is worth nothing any more.
    Revoked = 3,
}

impl AuditGrantStatus {
    /// `requested`, `issued` or `revoked`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Issued => "issued",
            Self::Revoked => "revoked",
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8("grant status")? {
            1 => Ok(Self::Requested),
            2 => Ok(Self::Issued),
            3 => Ok(Self::Revoked),
            code => Err(DecodeError::UnknownCode { what: "grant status", code: u64::from(code) }),
        }
    }
}

/// A grant: `status u8 || grantee account[32] || terms version u32 || leaf of the request u64 || leaf of the issue u64 (0 before)
/// || block time of its revocation u64 (0 before) || grant`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditGrantState {
    /// Where it stands.
    pub status: AuditGrantStatus,
    /// The account that asked.
    pub grantee: Hash,
    /// The version of the audit terms under which it asked.
    pub terms_version: u32,
    /// The log index of the request's record.
    pub requested_leaf: u64,
    /// The log index of the record that issued it; 0 before.
    pub issued_leaf: u64,
    /// The block time of the record that revoked it; 0 before.
    pub revoked_ms: u64,
    /// What was asked.
    pub grant: Grant,
}

impl AuditGrantState {
    /// When it ended or ends, if it was ever issued.
    pub fn ends_ms(&self) -> Option<u64> {
        let revoked = (self.status == AuditGrantStatus::Revoked).then_some(self.revoked_ms);
        let ends_ms = self.grant.expires_ms.min(revoked.unwrap_or(u64::MAX));
        (self.issued_leaf > 0).then_some(ends_ms)
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(232 + 32 * self.grant.accounts.len());
        out.u8(self.status as u8).raw(&self.grantee).u32(self.terms_version);
        self.grant.write(out.u64(self.requested_leaf).u64(self.issued_leaf).u64(self.revoked_ms));
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            status: AuditGrantStatus::read(reader)?,
            grantee: reader.array("grantee")?,
            terms_version: reader.u32("terms version")?,
            requested_leaf: reader.u64("log index of the request")?,
            issued_leaf: reader.u64("log index of the issue")?,
            revoked_ms: reader.u64("time of the revocation")?,
            grant: Grant::read(reader)?,
        })
    }
}
decode_exactly!(AuditGrantState, "grant");
