//! What is wanted of audits: terms that approvers keep, and grants that open accounts for a period.

use super::{ascending, kind};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::{Hash, Tag};

/// The most accounts that one grant names; more take a grant for the whole tenant.
pub const GRANT_ACCOUNTS_MAX: usize = 64;
/// For how many accounts a grant for the whole tenant counts.
pub const GRANT_TENANT_ACCOUNTS: u16 = u16::MAX;

/// The longest that what a closed account did stays open to grants, in milliseconds: a hundred years of 366 days.
pub const KEPT_MS_MAX: u64 = 100 * 366 * 24 * 60 * 60 * 1_000;

/// How far a grant may reach: `accounts_max u16 || span_ms_max u64 || live_ms_max u64 || kept_ms u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditTerms {
    /// How many accounts; the whole tenant counts as 65,535.
    pub accounts_max: u16,
    /// How long a period.
    pub span_ms_max: u64,
    /// How far ahead its end lies when it is asked for.
    pub live_ms_max: u64,
    /// How long after an account was closed what it did before can be opened; 0 ends it with the account.
    pub kept_ms: u64,
}

/// A tenant's audit terms in their next version: `tenant[32] || version u32 || terms || rule id[32] || (0 u8 | 1 u8 || case
/// id[32])`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishAudit {
    /// The tenant, see [`tenant_id`](super::tenant_id).
    pub tenant: Hash,
    /// 1, then one more each time.
    pub version: u32,
    /// How far a grant may reach.
    pub terms: AuditTerms,
    /// The id of the approval rule by which grants are issued, and the next version is published.
    pub rule: Hash,
    /// The approval case that decided; none for the first version.
    pub case: Option<Hash>,
}

/// What somebody asks to see: `id[32] || tenant[32] || grantee key[32] || purpose hash[32] || from_ms u64 || until_ms u64 ||
/// expires_ms u64 || list(64) of account[32]`, strictly ascending; an empty list is the whole tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Random, never used again.
    pub id: Hash,
    /// The tenant of the accounts.
    pub tenant: Hash,
    /// The X25519 key that packages are sealed to. The ledger does not look into it.
    pub grantee_key: [u8; 32],
    /// See [`Grant::purpose_hash_of`].
    pub purpose_hash: Hash,
    /// Where the period begins, in milliseconds since 1970.
    pub from_ms: u64,
    /// Where it ends; not part of it.
    pub until_ms: u64,
    /// The first block time at which the grant is worth nothing.
    pub expires_ms: u64,
    /// The accounts; none for the whole tenant.
    pub accounts: Vec<Hash>,
}

/// Opens a run of epochs of one account: `grant id[32] || account[32] || first u32 || last u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenGrant {
    /// The grant.
    pub grant: Hash,
    /// The account.
    pub account: Hash,
    /// The first epoch.
    pub first: u32,
    /// The last epoch.
    pub last: u32,
}

/// A grant is worth nothing any more: `grant id[32] || reason[32]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevokeGrant {
    /// The grant.
    pub grant: Hash,
    /// The hash of what people wrote elsewhere.
    pub reason: Hash,
}

/// What is about to be delivered: `opened || package hash[32]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliverGrant {
    /// What was opened.
    pub opened: OpenGrant,
    /// SHA-256 of the sealed package.
    pub package_hash: Hash,
}

/// What was looked at under a grant: `grant id[32] || what[32] || count u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UseGrant {
    /// The grant.
    pub grant: Hash,
    /// The hash of the log segment that says it.
    pub what: Hash,
    /// How many queries or looks.
    pub count: u32,
}

/// What is wanted of a tenant's audits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditAct {
    /// Publishes terms; the author asked for its approvals.
    Publish(PublishAudit),
    /// Asks for a grant; the author is the grantee.
    Request(Grant),
    /// Issues a grant that others have approved; the author is the grantee.
    Issue {
        /// The grant.
        grant: Hash,
        /// The approval case that is used up; about [`Grant::payload`].
        case: Hash,
    },
    /// Opens a run of epochs; the author is the grantee.
    Open(OpenGrant),
    /// Ends a grant; the author is the grantee, or an approver of the tenant's audits.
    Revoke(RevokeGrant),
}

impl AuditTerms {
    /// Whether every bound of a grant is at least 1, and nothing is kept longer than [`KEPT_MS_MAX`].
    pub const fn is_sound(&self) -> bool {
        self.accounts_max >= 1
            && self.span_ms_max >= 1
            && self.live_ms_max >= 1
            && self.kept_ms <= KEPT_MS_MAX
    }

    pub(crate) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.u16(self.accounts_max).u64(self.span_ms_max).u64(self.live_ms_max).u64(self.kept_ms)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            accounts_max: reader.u16("most accounts")?,
            span_ms_max: reader.u64("longest period")?,
            live_ms_max: reader.u64("longest life")?,
            kept_ms: reader.u64("how long closed accounts are kept")?,
        })
    }
}

impl PublishAudit {
    /// What approvers decide: `tagged("keyward/audit-publication/v1", tenant || version u32 || terms || rule id)`.
    pub fn publication(&self) -> Hash {
        let mut out = Writer::with_capacity(104);
        self.terms.write(out.raw(&self.tenant).u32(self.version)).raw(&self.rule);
        Tag::AuditPublication.hash(&[out.as_slice()])
    }

    fn write(&self, out: &mut Writer) {
        self.terms.write(out.raw(&self.tenant).u32(self.version)).raw(&self.rule).option(self.case.as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            tenant: reader.array("tenant")?,
            version: reader.u32("terms version")?,
            terms: AuditTerms::read(reader)?,
            rule: reader.array("rule")?,
            case: reader.option("approval case")?,
        })
    }
}

impl Grant {
    /// What a grant says of its purpose: `tagged("keyward/grant-purpose/v1", the text in UTF-8)`.
    pub fn purpose_hash_of(purpose: &str) -> Hash {
        Tag::GrantPurpose.hash(&[purpose.as_bytes()])
    }

    /// What approvers approve: `tagged("keyward/grant/v1", grant)`.
    pub fn payload(&self) -> Hash {
        Tag::Grant.hash(&[&self.encode()])
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(160 + 32 * self.accounts.len());
        self.write(&mut out);
        out.finish()
    }

    /// Decodes exactly one grant.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let grant = Self::read(&mut reader)?;
        reader.finish("grant")?;
        Ok(grant)
    }

    /// Whether it names no account, and so is for the whole tenant.
    pub const fn is_whole_tenant(&self) -> bool {
        self.accounts.is_empty()
    }

    /// For how many accounts it counts.
    pub fn account_count(&self) -> u16 {
        if self.is_whole_tenant() {
            return GRANT_TENANT_ACCOUNTS;
        }
        // INVARIANT: decoding allows GRANT_ACCOUNTS_MAX.
        u16::try_from(self.accounts.len()).unwrap_or(GRANT_TENANT_ACCOUNTS)
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.raw(&self.id).raw(&self.tenant).raw(&self.grantee_key).raw(&self.purpose_hash);
        out.u64(self.from_ms).u64(self.until_ms).u64(self.expires_ms).count(self.accounts.len());
        for account in &self.accounts {
            out.raw(account);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let grant = Self {
            id: reader.array("grant id")?,
            tenant: reader.array("tenant")?,
            grantee_key: reader.array("grantee key")?,
            purpose_hash: reader.array("purpose hash")?,
            from_ms: reader.u64("begin of the period")?,
            until_ms: reader.u64("end of the period")?,
            expires_ms: reader.u64("expiry")?,
            accounts: reader.list("accounts", GRANT_ACCOUNTS_MAX, |reader| reader.array("account"))?,
        };
        ascending("accounts", grant.accounts.is_sorted_by(|before, account| before < account))?;
        Ok(grant)
    }
}

impl OpenGrant {
    fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.raw(&self.grant).raw(&self.account).u32(self.first).u32(self.last)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            grant: reader.array("grant id")?,
            account: reader.array("account")?,
            first: reader.u32("first epoch")?,
            last: reader.u32("last epoch")?,
        })
    }
}

impl DeliverGrant {
    pub(super) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        self.opened.write(out).raw(&self.package_hash)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { opened: OpenGrant::read(reader)?, package_hash: reader.array("package hash")? })
    }
}

impl UseGrant {
    pub(super) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.raw(&self.grant).raw(&self.what).u32(self.count)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            grant: reader.array("grant id")?,
            what: reader.array("what was looked at")?,
            count: reader.u32("count")?,
        })
    }
}

impl AuditAct {
    /// The code of the entry's kind.
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Publish(_) => kind::PUBLISH_AUDIT,
            Self::Request(_) => kind::REQUEST_GRANT,
            Self::Issue { .. } => kind::ISSUE_GRANT,
            Self::Open(_) => kind::OPEN_GRANT,
            Self::Revoke(_) => kind::REVOKE_GRANT,
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        match self {
            Self::Publish(publish) => publish.write(out),
            Self::Request(grant) => grant.write(out),
            Self::Issue { grant, case } => {
                out.raw(grant).raw(case);
            }
            Self::Open(open) => {
                open.write(out);
            }
            Self::Revoke(revoke) => {
                out.raw(&revoke.grant).raw(&revoke.reason);
            }
        }
    }

    /// Reads an act of one of these kinds.
    pub(super) fn read(kind: u16, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            kind::PUBLISH_AUDIT => Self::Publish(PublishAudit::read(reader)?),
            kind::REQUEST_GRANT => Self::Request(Grant::read(reader)?),
            kind::ISSUE_GRANT => {
                Self::Issue { grant: reader.array("grant id")?, case: reader.array("approval case")? }
            }
            kind::OPEN_GRANT => Self::Open(OpenGrant::read(reader)?),
            kind::REVOKE_GRANT => Self::Revoke(RevokeGrant {
                grant: reader.array("grant id")?,
                reason: reader.array("reason")?,
            }),
            code => return Err(DecodeError::UnknownCode { what: "entry kind", code: u64::from(code) }),
        })
    }
}
