//! Entries that carry authority: an act, and the signatures of those who want it.

use super::addresses::AddressAct;
use super::association::AssociationAct;
use super::audit::AuditAct;
use super::author::{Author, RuleName};
use super::delegation::DelegationAct;
use super::kind;
use super::policy::PublishPolicy;
use super::shared::SharedAct;
use super::terms::{ApprovalTerms, AttemptsTerms, RateTerms, Terms, TimelockTerms};
use super::vault::VaultAct;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::{Hash, Tag};

/// An act and its authors: `act || list(16) of author`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authored {
    /// What is wanted.
    pub act: Act,
    /// Who wants it; strictly ascending by party.
    pub authors: Vec<Author>,
}

/// A rule in its next version: `owner[32] || name[32] || version u32 || terms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Define<T> {
    /// The rule.
    pub rule: RuleName,
    /// 1, then one more each time.
    pub version: u32,
    /// What it says from now on.
    pub terms: T,
}

/// An attempt and everything it is bound to: `version u32 || element[32] || reply_key[32]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The counter's version; a vault's shares have the same.
    pub version: u32,
    /// The hash of the blinded element.
    pub element: Hash,
    /// The key that answers are sealed to.
    pub reply_key: [u8; 32],
}

/// A case and what it is about: `case[32] || payload[32]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The id that the ledger gave to the case.
    pub id: Hash,
    /// The hash of what is to be done.
    pub payload: Hash,
}

/// What is wanted of a standard contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Closes an account for good; the author is its credential.
    CloseAccount {
        /// The account.
        account: Hash,
    },
    /// Sets a counter of attempts.
    DefineAttempts(Define<AttemptsTerms>),
    /// Spends an attempt.
    GrantAttempt {
        /// The counter.
        rule: RuleName,
        /// What is asked.
        attempt: Attempt,
    },
    /// Shows that an attempt succeeded.
    ProveAttempt {
        /// The counter.
        rule: RuleName,
        /// What was asked.
        attempt: Attempt,
        /// The success key's signature over
        /// [`success_message`](crate::contracts::attempts::success_message).
        signature: [u8; 64],
    },
    /// Sets a rate.
    DefineRate(Define<RateTerms>),
    /// Charges a rate.
    ChargeRate {
        /// The rate.
        rule: RuleName,
        /// How much; the count grows by one.
        amount: u128,
        /// What it is for.
        what: Hash,
    },
    /// Sets who must approve.
    DefineApproval(Define<ApprovalTerms>),
    /// Asks for approvals; the author is the initiator.
    OpenApproval {
        /// Who must approve.
        rule: RuleName,
        /// The hash of what is to be done.
        payload: Hash,
        /// How long the case lives.
        live_ms: u64,
    },
    /// Approves.
    Approve {
        /// The case.
        case: Case,
        /// The group for which the author approves, from 0.
        group: u8,
    },
    /// Refuses: the case is closed.
    RefuseApproval(Case),
    /// An approver takes an approval back, or the initiator the case.
    WithdrawApproval(Case),
    /// Uses the approvals up; the author is the initiator.
    UseApproval(Case),
    /// Sets who may open an act, and how long it waits.
    DefineTimelock(Define<TimelockTerms>),
    /// Opens an act.
    OpenTimelock {
        /// The rule.
        rule: RuleName,
        /// The hash of what is to be done.
        payload: Hash,
    },
    /// Stops an act.
    VetoTimelock(Case),
    /// An opener takes the act back.
    CancelTimelock(Case),
    /// Does what was opened.
    ExecuteTimelock {
        /// The case.
        case: Case,
        /// The approval case that decided, if the act was disputed.
        judged: Option<Hash>,
    },
    /// Something about a vault.
    Vault(VaultAct),
    /// Something about delegates.
    Delegation(DelegationAct),
    /// Something about a shared key.
    Shared(SharedAct),
    /// Publishes a tenant's policy set; the author asked for its approvals.
    PublishPolicy(PublishPolicy),
    /// Publishes a tenant's rules of risk, as policies are published.
    PublishRisk(PublishPolicy),
    /// Something about an association.
    Association(AssociationAct),
    /// Something about an account's unlinkable addresses.
    Addresses(AddressAct),
    /// Something about a tenant's audits.
    Audit(AuditAct),
}

impl Authored {
    /// What authors sign of the act: `tagged("keyward/payload/v1", kind u16 || act)`.
    pub fn payload(&self) -> Hash {
        self.act.payload()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        self.act.write(out);
        Author::write_list(&self.authors, out);
    }

    pub(super) fn read(kind: u16, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { act: Act::read(kind, reader)?, authors: Author::read_list(reader)? })
    }
}

impl Act {
    /// What authors sign of the act: `tagged("keyward/payload/v1", kind u16 || act)`.
    pub fn payload(&self) -> Hash {
        let mut out = Writer::with_capacity(256);
        out.u16(self.kind());
        self.write(&mut out);
        Tag::Payload.hash(&[out.as_slice()])
    }

    /// The code of the entry's kind.
    pub const fn kind(&self) -> u16 {
        match self {
            Self::CloseAccount { .. } => kind::CLOSE_OWN_ACCOUNT,
            Self::DefineAttempts(_) => kind::DEFINE_ATTEMPTS,
            Self::GrantAttempt { .. } => kind::GRANT_ATTEMPT,
            Self::ProveAttempt { .. } => kind::PROVE_ATTEMPT,
            Self::DefineRate(_) => kind::DEFINE_RATE,
            Self::ChargeRate { .. } => kind::CHARGE_RATE,
            Self::DefineApproval(_) => kind::DEFINE_APPROVAL,
            Self::OpenApproval { .. } => kind::OPEN_APPROVAL,
            Self::Approve { .. } => kind::APPROVE,
            Self::RefuseApproval(_) => kind::REFUSE_APPROVAL,
            Self::WithdrawApproval(_) => kind::WITHDRAW_APPROVAL,
            Self::UseApproval(_) => kind::USE_APPROVAL,
            Self::DefineTimelock(_) => kind::DEFINE_TIMELOCK,
            Self::OpenTimelock { .. } => kind::OPEN_TIMELOCK,
            Self::VetoTimelock(_) => kind::VETO_TIMELOCK,
            Self::CancelTimelock(_) => kind::CANCEL_TIMELOCK,
            Self::ExecuteTimelock { .. } => kind::EXECUTE_TIMELOCK,
            Self::Vault(act) => act.kind(),
            Self::Delegation(act) => act.kind(),
            Self::Shared(act) => act.kind(),
            Self::PublishPolicy(_) => kind::PUBLISH_POLICY,
            Self::PublishRisk(_) => kind::PUBLISH_RISK,
            Self::Association(act) => act.kind(),
            Self::Addresses(act) => act.kind(),
            Self::Audit(act) => act.kind(),
        }
    }

    fn write(&self, out: &mut Writer) {
        match self {
            Self::CloseAccount { account } => {
                out.raw(account);
            }
            Self::DefineAttempts(define) => define.write(out),
            Self::DefineRate(define) => define.write(out),
            Self::DefineApproval(define) => define.write(out),
            Self::DefineTimelock(define) => define.write(out),
            Self::GrantAttempt { rule, attempt } => attempt.write(rule.write(out)),
            Self::ProveAttempt { rule, attempt, signature } => {
                attempt.write(rule.write(out));
                out.raw(signature);
            }
            Self::ChargeRate { rule, amount, what } => {
                rule.write(out).raw(&amount.to_be_bytes()).raw(what);
            }
            Self::OpenApproval { rule, payload, live_ms } => {
                rule.write(out).raw(payload).u64(*live_ms);
            }
            Self::Approve { case, group } => {
                case.write(out).u8(*group);
            }
            Self::RefuseApproval(case)
            | Self::WithdrawApproval(case)
            | Self::UseApproval(case)
            | Self::VetoTimelock(case)
            | Self::CancelTimelock(case) => {
                case.write(out);
            }
            Self::OpenTimelock { rule, payload } => {
                rule.write(out).raw(payload);
            }
            Self::ExecuteTimelock { case, judged } => {
                case.write(out).option(judged.as_ref());
            }
            Self::Vault(act) => act.write(out),
            Self::Delegation(act) => act.write(out),
            Self::Shared(act) => act.write(out),
            Self::PublishPolicy(publish) | Self::PublishRisk(publish) => publish.write(out),
            Self::Association(act) => act.write(out),
            Self::Addresses(act) => act.write(out),
            Self::Audit(act) => act.write(out),
        }
    }

    fn read(kind: u16, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            kind::CLOSE_OWN_ACCOUNT => Self::CloseAccount { account: reader.array("account")? },
            kind::DEFINE_ATTEMPTS => Self::DefineAttempts(Define::read(reader)?),
            kind::DEFINE_RATE => Self::DefineRate(Define::read(reader)?),
            kind::DEFINE_APPROVAL => Self::DefineApproval(Define::read(reader)?),
            kind::DEFINE_TIMELOCK => Self::DefineTimelock(Define::read(reader)?),
            kind::GRANT_ATTEMPT => {
                Self::GrantAttempt { rule: RuleName::read(reader)?, attempt: Attempt::read(reader)? }
            }
            kind::PROVE_ATTEMPT => Self::ProveAttempt {
                rule: RuleName::read(reader)?,
                attempt: Attempt::read(reader)?,
                signature: reader.array("signature")?,
            },
            kind::CHARGE_RATE => Self::ChargeRate {
                rule: RuleName::read(reader)?,
                amount: u128::from_be_bytes(reader.array("amount")?),
                what: reader.array("what")?,
            },
            kind::OPEN_APPROVAL => Self::OpenApproval {
                rule: RuleName::read(reader)?,
                payload: reader.array("payload")?,
                live_ms: reader.u64("life")?,
            },
            kind::APPROVE => Self::Approve { case: Case::read(reader)?, group: reader.u8("group")? },
            kind::REFUSE_APPROVAL => Self::RefuseApproval(Case::read(reader)?),
            kind::WITHDRAW_APPROVAL => Self::WithdrawApproval(Case::read(reader)?),
            kind::USE_APPROVAL => Self::UseApproval(Case::read(reader)?),
            kind::OPEN_TIMELOCK => {
                Self::OpenTimelock { rule: RuleName::read(reader)?, payload: reader.array("payload")? }
            }
            kind::VETO_TIMELOCK => Self::VetoTimelock(Case::read(reader)?),
            kind::CANCEL_TIMELOCK => Self::CancelTimelock(Case::read(reader)?),
            kind::EXECUTE_TIMELOCK => {
                Self::ExecuteTimelock { case: Case::read(reader)?, judged: reader.option("approval case")? }
            }
            kind @ kind::SEAL_VAULT..=kind::REFRESH_VAULT => Self::Vault(VaultAct::read(kind, reader)?),
            kind @ kind::OPEN_SHARED_KEY..=kind::CANCEL_DEVICE => {
                Self::Shared(SharedAct::read(kind, reader)?)
            }
            kind::PUBLISH_POLICY => Self::PublishPolicy(PublishPolicy::read(reader)?),
            kind::PUBLISH_RISK => Self::PublishRisk(PublishPolicy::read(reader)?),
            kind @ kind::OPEN_ASSOCIATION..=kind::SETTLE_ASSOCIATION => {
                Self::Association(AssociationAct::read(kind, reader)?)
            }
            kind::CHOOSE_ADDRESSES | kind::DEAL_VIEWING => Self::Addresses(AddressAct::read(kind, reader)?),
            kind::PUBLISH_AUDIT..=kind::OPEN_GRANT | kind::REVOKE_GRANT => {
                Self::Audit(AuditAct::read(kind, reader)?)
            }
            kind => Self::Delegation(DelegationAct::read(kind, reader)?),
        })
    }
}

impl<T: Terms> Define<T> {
    pub(super) fn write(&self, out: &mut Writer) {
        self.rule.write(out).u32(self.version);
        self.terms.write(out);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            rule: RuleName::read(reader)?,
            version: reader.u32("rule version")?,
            terms: T::read(reader)?,
        })
    }
}

impl Attempt {
    fn write(&self, out: &mut Writer) {
        out.u32(self.version).raw(&self.element).raw(&self.reply_key);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: reader.u32("counter version")?,
            element: reader.array("element")?,
            reply_key: reader.array("reply key")?,
        })
    }
}

impl Case {
    pub(super) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.raw(&self.id).raw(&self.payload)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { id: reader.array("case id")?, payload: reader.array("payload")? })
    }
}
