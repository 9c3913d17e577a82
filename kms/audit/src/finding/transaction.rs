//! Uses of addresses, opened.
//!
//! What was sealed with a use begins with a commitment to its key, which whoever holds the viewing leaf of its epoch can compute:
//! so each use is held against the leaves of its own epoch, two HMACs for each account.

use keyward_crypto::unlinkable::{detail_is_for, open_detail};
use keyward_domain::detail::{Detail, Source};
use keyward_ledger_core::entry::{HandleLimit, Release as ReleaseEntry, UseAddress};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::scheme::Scheme;

use super::lie::{contradictions, detail, out_of_time};
use super::{AccountEpoch, Approval, Lie, Place};
use crate::relink::{At, Relinker};

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

/// An intent whose use was found: who may say until when that it was released.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Live {
    transaction: usize,
    executor: [u8; 32],
    not_after: u64,
}

impl Relinker {
    /// An address was used.
    pub(crate) fn used(&mut self, at: &mut At<'_>, used: &UseAddress) {
        let leaves = self.leaves.at(used.epoch);
        let own = leaves.iter().find(|leaf| detail_is_for(&leaf.view, &used.id, &used.detail));
        let Some(leaf) = own else { return };
        let Ok(opened) = open_detail(&leaf.view, &used.id, &used.public_fields(), &used.detail) else {
            self.claims = self.claims.saturating_add(1);
            return;
        };
        let of = AccountEpoch { account: leaf.account, epoch: used.epoch };
        let place = at.place();
        self.epochs.entry(of).or_default().record(used.epoch_ms, &place);
        let (detail, mut lies) = detail(&opened);
        lies.extend(detail.iter().flat_map(|detail| contradictions(detail, &of, used)));
        let whole = self.looked.is_some_and(|looked| looked.first_leaf == 0);
        let approval = detail.as_ref().and_then(|detail| {
            let (approval, wrong) = self.cases.of_use(detail, used.scheme, whole);
            lies.extend(wrong);
            approval
        });
        lies.extend(
            self.accounts.get(&of.account).into_iter().flat_map(|known| out_of_time(known, used, &place)),
        );
        let number = self.transactions.len();
        self.transactions.push(Transaction {
            place,
            of,
            epoch_ms: used.epoch_ms,
            intent_id: used.id,
            scheme: used.scheme,
            public_key: used.public_key,
            limit: used.limit,
            detail,
            address: AddressCheck::Unknown,
            approval,
            release: None,
            lies,
        });
        let live = Live { transaction: number, executor: used.executor, not_after: used.not_after };
        self.intents.insert(used.id, live);
        self.check_address(number);
    }

    /// Holds an address against the keys that its detail names, once they are known.
    pub(crate) fn check_address(&mut self, number: usize) {
        let Some(transaction) = self.transactions.get_mut(number) else { return };
        let Some(detail) = &transaction.detail else { return };
        let (address, scheme) = (&transaction.public_key, transaction.scheme);
        let keys = AccountEpoch {
            account: transaction.of.account,
            epoch: match detail.source {
                Source::Index(_) => transaction.of.epoch,
                Source::Payment { epoch, .. } => epoch,
            },
        };
        let checked = match (self.epochs.get(&keys), &detail.source) {
            (Some(epoch), Source::Index(index)) => epoch.check_index(*index, address, scheme),
            (Some(epoch), Source::Payment { payment, .. }) => epoch.check_payment(payment, address, scheme),
            (None, _) if self.leaves.at(keys.epoch).iter().any(|leaf| leaf.account == keys.account) => {
                AddressCheck::NotClosed
            }
            (None, _) => AddressCheck::OutsideScope { epoch: keys.epoch },
        };
        transaction.address = checked;
        match checked {
            AddressCheck::Foreign => transaction.lies.push(Lie::Address),
            AddressCheck::NotClosed => self.waiting.entry(keys).or_default().push(number),
            AddressCheck::Derived | AddressCheck::OutsideScope { .. } | AddressCheck::Unknown => {}
        }
    }

    /// A signature was released.
    pub(crate) fn released(&mut self, at: &mut At<'_>, release: &ReleaseEntry) {
        let Some(live) = self.intents.get(&release.intent_id) else { return };
        // After that height the id is free again, for anybody's intent.
        if live.executor != at.record.submitter || at.record.height > live.not_after {
            return;
        }
        let Some(transaction) = self.transactions.get_mut(live.transaction) else { return };
        let signature_hash = release.signature_hash;
        transaction.release.get_or_insert_with(|| Release { place: at.place(), signature_hash });
    }
}
