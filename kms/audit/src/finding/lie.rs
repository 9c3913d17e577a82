//! What about a transaction is not true. What is untrue of its approval stands with the cases that approve.

use keyward_crypto::SecretBytes;
use keyward_domain::detail::Detail;
use keyward_domain::moment::moment;
use keyward_ledger_core::entry::UseAddress;
use keyward_ledger_core::hash::{Hash, commitment};
use keyward_ledger_core::unlinkable::EDGE_MS;

use super::{AccountEpoch, AccountFinding, Place};

/// What about a record is not true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lie {
    /// What was sealed for this epoch with these public fields is no detail.
    Unreadable {
        /// Why, in words.
        why: String,
    },
    /// The detail names another account than the one whose keys open it.
    OtherAccount {
        /// The account that it names.
        named: Hash,
    },
    /// The record's commitment is not to the detail's payload.
    Commitment,
    /// The address does not follow from the account's keys.
    Address,
    /// The case that its detail names is not there.
    ApprovalUnknown,
    /// That case's payload does not follow from account and what was signed.
    ApprovalOther,
    /// That case was not used up before the address was used: the ledger never found it complete.
    ApprovalIncomplete,
    /// The account that asked is one of those that approved.
    ApprovalOwn,
    /// Another use before it names the same case.
    ApprovalTwice,
    /// The record's epochs have another length than the account chose.
    EpochLength {
        /// What the account chose, in milliseconds.
        chosen_ms: u64,
    },
    /// The account was closed before, by more than the edge.
    AfterClosing {
        /// When it was closed, in milliseconds since 1970.
        closed_ms: u64,
    },
}

impl Lie {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "DETAIL_UNREADABLE",
            Self::OtherAccount { .. } => "DETAIL_OTHER_ACCOUNT",
            Self::Commitment => "DETAIL_OTHER_PAYLOAD",
            Self::Address => "ADDRESS_FOREIGN",
            Self::ApprovalUnknown => "APPROVAL_UNKNOWN",
            Self::ApprovalOther => "APPROVAL_OTHER",
            Self::ApprovalIncomplete => "APPROVAL_INCOMPLETE",
            Self::ApprovalOwn => "APPROVAL_OWN",
            Self::ApprovalTwice => "APPROVAL_TWICE",
            Self::EpochLength { .. } => "EPOCH_LENGTH_OTHER",
            Self::AfterClosing { .. } => "AFTER_CLOSING",
        }
    }

    /// In words.
    pub fn words(&self) -> String {
        match self {
            Self::Unreadable { why } => format!("what was sealed with it is no detail: {why}"),
            Self::OtherAccount { named } => {
                format!(
                    "its detail names another account, {}, than the one whose keys open it",
                    hex::encode(named)
                )
            }
            Self::Commitment => {
                "what the ledger committed to is not the payload that its detail names".to_owned()
            }
            Self::Address => "its address does not follow from the account's keys".to_owned(),
            Self::ApprovalUnknown => "the case that it says approved it is not on the ledger".to_owned(),
            Self::ApprovalOther => "the case that it says approved it is about something else".to_owned(),
            Self::ApprovalIncomplete => "the case that it says approved it was never completed".to_owned(),
            Self::ApprovalOwn => "it was approved by its own account".to_owned(),
            Self::ApprovalTwice => {
                "the case that approved it was used for another transaction before".to_owned()
            }
            Self::EpochLength { chosen_ms } => {
                format!("its epoch has another length than the {chosen_ms} ms that the account chose")
            }
            Self::AfterClosing { closed_ms } => {
                format!("its account was closed before, at {}", moment(*closed_ms))
            }
        }
    }
}

/// What was sealed with a use.
pub(super) fn detail(opened: &SecretBytes) -> (Option<Detail>, Vec<Lie>) {
    match opened.expose(Detail::decode) {
        Ok(detail) => (Some(detail), Vec::new()),
        Err(error) => (None, vec![Lie::Unreadable { why: error.to_string() }]),
    }
}

/// What a detail says that the record or the keys contradict.
pub(super) fn contradictions(detail: &Detail, of: &AccountEpoch, used: &UseAddress) -> Vec<Lie> {
    let mut lies = Vec::new();
    if detail.account != of.account {
        lies.push(Lie::OtherAccount { named: detail.account });
    }
    if commitment(&detail.opening, &detail.payload_hash) != used.commitment {
        lies.push(Lie::Commitment);
    }
    lies
}

/// What about a use's time its account's choice and closing contradict.
pub(super) fn out_of_time(
    known: &AccountFinding,
    used: &UseAddress,
    place: &Place,
) -> impl Iterator<Item = Lie> + use<> {
    let chosen_ms = known.epoch_ms;
    let length = (chosen_ms != used.epoch_ms).then_some(Lie::EpochLength { chosen_ms });
    // What was under way when it was closed may be recorded a little later.
    let closed_ms = known.closed.map(|closed| closed.time_ms);
    let closed_ms = closed_ms.filter(|closed_ms| place.time_ms > closed_ms.saturating_add(EDGE_MS));
    length.into_iter().chain(closed_ms.map(|closed_ms| Lie::AfterClosing { closed_ms }))
}
