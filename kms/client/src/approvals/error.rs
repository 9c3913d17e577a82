//! Why approvals cannot be read, or an entry about them is not recorded.

use keyward_domain::Coded as _;
use keyward_domain::disclosure::DisclosureError;
use thiserror::Error;

use crate::error::ClientError;
use crate::evidence::EvidenceError;
use crate::petition::{PetitionError, party_words};
use keyward_ledger_core::entry::Party;

/// Why what a service shows or does about approvals is not accepted.
#[derive(Debug, Error)]
pub enum ApprovalError {
    /// Nothing can be verified.
    #[error("the client has no trust file: nothing that a service says of approvals can be believed")]
    TrustMissing,
    /// Who signs is another than the session's account.
    #[error("the login is for another account than the session's")]
    OtherAccount,
    /// What the service shows of the ledger is not accepted, or is a refusal.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The payload is not what it is said to be.
    #[error("the payload that the service shows is not one to be approved")]
    Payload(#[source] DisclosureError),
    /// Nothing says what the case is about.
    #[error("the service does not show what the case is about: nobody approves unseen")]
    Unseen,
    /// Who asked has taken it back, as far as the service says: it alone knows who asked.
    #[error(
        "the service keeps no more what the case is about, as of one that was taken back: nothing can be signed by it"
    )]
    Withdrawn,
    /// There is no such rule.
    #[error("no approval rule of this name was defined")]
    RuleUnknown,
    /// The service does not know the rule by its names.
    #[error("the service does not know whose the approval rule is and what it is called")]
    RuleUnnamed,
    /// There is no such case.
    #[error("no case of this id is open on the ledger")]
    CaseUnknown,
    /// The case is not open any more.
    #[error("the case is {0}")]
    NotOpen(&'static str),
    /// The rule was changed since.
    #[error("the case's rule was defined anew since: its approvals are worth nothing")]
    RuleVersion,
    /// Whoever speaks is not one of the approvers.
    #[error("the case's rule does not name {}", party_words(*.0))]
    NotNamed(Party),
    /// Nobody approves what they asked for.
    #[error("the account has opened the case: somebody else has to approve")]
    Initiator,
    /// The case is about something else than what is to be signed.
    #[error("the case is about another payload or key than what is to be signed")]
    OtherPayload,
    /// The word could not be given.
    #[error(transparent)]
    Petition(#[from] PetitionError),
    /// The service refused, or did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl ApprovalError {
    /// The stable code.
    pub fn code(&self) -> Option<&str> {
        Some(match self {
            Self::TrustMissing => "APPROVAL_TRUST_MISSING",
            Self::OtherAccount => "APPROVAL_OTHER_ACCOUNT",
            Self::Evidence(error) => error.code("APPROVAL_UNPROVEN", "APPROVAL_SUBSTITUTED"),
            Self::Payload(error) => error.code().name(),
            Self::Unseen => "APPROVAL_UNSEEN",
            Self::RuleUnknown | Self::RuleUnnamed => "RULE_UNKNOWN",
            Self::CaseUnknown => "CASE_UNKNOWN",
            Self::NotOpen("used up") => "CASE_USED",
            Self::NotOpen("over") => "CASE_UNKNOWN",
            Self::NotOpen(_) | Self::Withdrawn => "CASE_CLOSED",
            Self::RuleVersion => "RULE_VERSION",
            Self::NotNamed(_) => "AUTHOR_NOT_NAMED",
            Self::Initiator => "APPROVER_IS_INITIATOR",
            Self::OtherPayload => "APPROVAL_PAYLOAD_OTHER",
            Self::Petition(_) => return None,
            Self::Client(error) => return error.code(),
        })
    }

    /// What to do next, where this side knows it.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::TrustMissing => "give the profile the ledger's trust file",
            Self::OtherAccount => "log in first (`keyward account login`)",
            Self::Evidence(error) => error.remedy("look at `keyward approve show`, and begin again"),
            Self::Payload(_) => {
                "approve nothing, and call the person who asked: payload, format and hash do not belong together"
            }
            Self::Unseen => "have the person who asked ask again, through the service that you use",
            Self::RuleUnknown => "have the rule defined first (`keyward approve rule define`)",
            Self::RuleUnnamed => "ask through the service at which the rule was defined",
            Self::CaseUnknown | Self::NotOpen(_) | Self::Withdrawn | Self::RuleVersion => {
                "have approvals asked for anew (`keyward approve ask`)"
            }
            Self::NotNamed(_) => "have one of those approve whom `keyward approve show` names",
            Self::Initiator => "have somebody else approve",
            Self::OtherPayload => "sign exactly what was asked for (`keyward approve show`), or ask anew",
            Self::Petition(_) => "try again",
            Self::Client(error) => return error.remedy(),
        })
    }

    /// Whether nobody could be reached, so that nothing was decided.
    pub fn unreachable(&self) -> bool {
        matches!(self, Self::Client(error) if error.unreachable())
    }
}
