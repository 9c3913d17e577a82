//! What was found: transactions, payments, the acts around the grant, and how complete an epoch is.

use keyward_domain::detail::{Detail, PAYMENT_BYTES};
use keyward_domain::moment::moment;
use keyward_ledger_core::entry::{Custody, HandleLimit, OpenGrant, Party};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::scheme::Scheme;

use crate::approvals::Approval;
use crate::granted::Granted;

/// Where a record stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its index.
    pub leaf_index: u64,
    /// Its leaf hash.
    pub leaf_hash: Hash,
    /// The height of its block.
    pub height: u64,
    /// That block's time, in milliseconds since 1970.
    pub time_ms: u64,
}

/// An account's address epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountEpoch {
    /// The account.
    pub account: Hash,
    /// The epoch.
    pub epoch: u32,
}

/// One use of an address, opened.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Its record.
    pub place: Place,
    /// Whose viewing leaf opens it, and of which epoch.
    pub of: AccountEpoch,
    /// The length of the epoch, as the record has it.
    pub epoch_ms: u64,
    /// Its intent.
    pub intent_id: Hash,
    /// How the address signs.
    pub scheme: Scheme,
    /// The address: SEC1 compressed.
    pub public_key: [u8; 33],
    /// What it counted against.
    pub limit: Option<HandleLimit>,
    /// What was sealed with it; nothing where that is no detail.
    pub detail: Option<Detail>,
    /// Whether the address is the account's.
    pub address: AddressCheck,
    /// What its detail says that approved it, where others had to.
    pub approval: Option<Approval>,
    /// What was released, if that was recorded.
    pub release: Option<Release>,
    /// What about it is not true.
    pub lies: Vec<Lie>,
}

/// What a release record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its record.
    pub place: Place,
    /// The hash of the signature that left.
    pub signature_hash: Hash,
}

/// Whether an address follows from the account's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressCheck {
    /// It does, at the place that the detail names.
    Derived,
    /// It does not.
    Foreign,
    /// The epoch of its keys is not closed in these records, so that the spending point is not known.
    NotClosed,
    /// It was paid to in an epoch that the grant does not open.
    OutsideScope {
        /// That epoch.
        epoch: u32,
    },
    /// The detail does not say where it comes from.
    Unknown,
}

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

/// An announced payment that only the account and its payer recognise.
#[derive(Clone, Copy, Debug)]
pub struct PaymentReceived {
    /// The announcement's record.
    pub place: Place,
    /// Who is paid, in which epoch.
    pub of: AccountEpoch,
    /// The announcement.
    pub payment: [u8; PAYMENT_BYTES],
    /// The address that it leads to: SEC1 compressed.
    pub public_key: [u8; 33],
    /// The index in the log of the transaction that used this address, if one was found.
    pub used_by: Option<u64>,
}

/// How complete what was found of an epoch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// The epoch is closed, over exactly the records that were found.
    Complete,
    /// The epoch is closed over another number of records.
    CountDiffers {
        /// How many the closing counts.
        closed: u32,
    },
    /// As many records, and not the same ones.
    RecordsDiffer,
    /// No closing was found.
    NotClosed,
    /// There is a closing, and it does not open.
    ClosingUnreadable {
        /// Why, in words.
        why: String,
    },
    /// The records that were looked at begin after the epoch did.
    BeganBefore,
}

impl Completeness {
    /// The stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::CountDiffers { .. } => "count-differs",
            Self::RecordsDiffer => "records-differ",
            Self::NotClosed => "not-closed",
            Self::ClosingUnreadable { .. } => "closing-unreadable",
            Self::BeganBefore => "began-before",
        }
    }
}

/// An epoch of an account in which something was found.
#[derive(Clone, Debug)]
pub struct EpochFinding {
    /// Which.
    pub of: AccountEpoch,
    /// Its length in milliseconds, where a record says it.
    pub epoch_ms: u64,
    /// Transactions that were found.
    pub found: u32,
    /// Those of them about which something is not true.
    pub lying: u32,
    /// Addresses that were given out, as the closing says.
    pub addresses: Option<u32>,
    /// The record of the closing: the first under its tag that opens, else the first.
    pub closing: Option<Place>,
    /// Records under its tag that do not open: others can write such.
    pub unreadable: u32,
    /// How complete it is.
    pub completeness: Completeness,
}

/// A run of epochs that was opened, and what came of it.
#[derive(Clone, Debug)]
pub struct RunFinding {
    /// The account.
    pub account: Hash,
    /// The first epoch.
    pub first: u32,
    /// The last epoch.
    pub last: u32,
    /// How it came.
    pub source: RunSource,
    /// Epochs in which something was found.
    pub active: u32,
}

/// Who opened a run of epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunSource {
    /// The service that hosts the account's root.
    Hosted,
    /// Keepers, from the dealing that the ledger has at this place.
    Keepers(Place),
    /// Keepers, as the grant file says; these records have no such dealing.
    KeepersUnrecorded,
}

/// An account of which something that had elapsed of the grant's period was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unopened {
    /// The account.
    pub account: Hash,
    /// Its whole epochs of the period that had elapsed at the last record; nothing where the records do not show its choice.
    pub whole: Option<u64>,
    /// How many of these were not opened.
    pub missing: u64,
}

/// What is known of an account beside its transactions.
#[derive(Clone, Copy, Debug)]
pub struct AccountFinding {
    /// The account.
    pub account: Hash,
    /// Where its root lies.
    pub custody: Custody,
    /// The length of its epochs, in milliseconds.
    pub epoch_ms: u64,
    /// Where it chose them.
    pub chosen: Place,
    /// Where it was closed, if it was. A use names no account, so the ledger takes one with its keys afterwards too.
    pub closed: Option<Place>,
}

/// Something that was done about the grant.
#[derive(Clone, Debug)]
pub struct GrantAct {
    /// Its record.
    pub place: Place,
    /// What.
    pub what: GrantStep,
    /// Who; submitters speak for nobody.
    pub author: Option<Party>,
}

/// A step in a grant's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantStep {
    /// It was asked for.
    Requested,
    /// Approvals were asked for.
    CaseOpened {
        /// The case.
        case: Hash,
    },
    /// Somebody approved.
    Approved {
        /// The case.
        case: Hash,
    },
    /// It was issued.
    Issued {
        /// The case that decided.
        case: Hash,
    },
    /// A run of epochs was opened.
    Opened(OpenGrant),
    /// What opens them was handed over.
    Delivered {
        /// Of which opening.
        opened: OpenGrant,
        /// The hash of the package.
        package_hash: Hash,
    },
    /// Something was looked at.
    Used {
        /// How many queries.
        count: u32,
        /// The hash of what they were.
        what: Hash,
    },
    /// It ended.
    Revoked {
        /// The hash of the reason.
        reason: Hash,
    },
}

/// Which records were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The first record's index in the log.
    pub first_leaf: u64,
    /// How many.
    pub records: u64,
    /// The time of the first one's block.
    pub from_ms: u64,
    /// The time of the last one's block.
    pub until_ms: u64,
    /// The height of the last one's block.
    pub height: u64,
}

/// Everything that was found.
#[derive(Clone, Debug)]
pub struct Relinked {
    /// By what right.
    pub granted: Granted,
    /// The accounts that were opened, as far as the records tell of them.
    pub accounts: Vec<AccountFinding>,
    /// What was opened.
    pub runs: Vec<RunFinding>,
    /// What was not, by account: of those that the grant names, and of those that chose addresses under its tenant if it is for all.
    pub unopened: Vec<Unopened>,
    /// What was done about the grant, in the log's order.
    pub acts: Vec<GrantAct>,
    /// Transactions, in the log's order.
    pub transactions: Vec<Transaction>,
    /// Announced payments, in the log's order.
    pub payments: Vec<PaymentReceived>,
    /// Epochs with something in them, by account and number.
    pub epochs: Vec<EpochFinding>,
    /// Uses that commit to an opened epoch's key and do not open with it. The commitment stands in the clear in the record that it was
    /// made for, so others can write such: they are nobody's, and count for nothing.
    pub claims: u32,
    /// Which records were looked at; nothing if there were none.
    pub looked: Option<Looked>,
}

impl Relinked {
    /// The places of all records that it speaks of, ascending: what receipts are wanted of.
    pub fn places(&self) -> Vec<u64> {
        let transactions = self
            .transactions
            .iter()
            .flat_map(|one| std::iter::once(one.place).chain(one.release.map(|release| release.place)));
        let approvals = self.transactions.iter().filter_map(|one| one.approval.as_ref());
        let approvals = approvals.flat_map(Approval::places);
        let accounts = self.accounts.iter().flat_map(|one| std::iter::once(one.chosen).chain(one.closed));
        let epochs = self.epochs.iter().filter_map(|one| one.closing);
        let dealings = self.runs.iter().filter_map(|run| match run.source {
            RunSource::Keepers(place) => Some(place),
            RunSource::Hosted | RunSource::KeepersUnrecorded => None,
        });
        let acts = self.acts.iter().map(|act| act.place);
        let payments = self.payments.iter().map(|payment| payment.place);
        let all = transactions
            .chain(approvals)
            .chain(payments)
            .chain(accounts)
            .chain(epochs)
            .chain(dealings)
            .chain(acts);
        let mut places: Vec<_> = all.map(|place| place.leaf_index).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// How many transactions have something about them that is not true.
    pub fn lying(&self) -> usize {
        self.transactions.iter().filter(|one| !one.lies.is_empty()).count()
    }

    /// Whether something was found, every epoch with something in it is closed over exactly what was found, and nothing lies. It says
    /// nothing about what was not opened: [`Self::is_whole`] does.
    pub fn is_complete(&self) -> bool {
        !self.epochs.is_empty()
            && self.lying() == 0
            && self.epochs.iter().all(|one| one.completeness == Completeness::Complete)
    }

    /// Whether nothing of the grant's period that had elapsed at the last record was left unopened.
    pub fn is_whole(&self) -> bool {
        self.knows_accounts() && self.unopened.is_empty()
    }

    /// Whether the records show which accounts the grant is for: those of a whole tenant are known from the log's beginning on only.
    pub(crate) fn knows_accounts(&self) -> bool {
        self.looked.is_some_and(|looked| looked.first_leaf == 0 || !self.granted.grant.is_whole_tenant())
    }
}
