//! Finding what a grant opens, record by record: each goes to what is found by it.

use std::collections::{BTreeMap, HashMap};

use keyward_ledger_core::entry::{Act, AddressAct, Authored, Entry, kind, kind_of};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::record::Record;

use crate::error::AuditError;
use crate::finding::{
    AccountEpoch, AccountFinding, Announced, Cases, Epoch, GrantAct, GrantStep, Live, PaymentReceived, Place,
    Transaction,
};
use crate::grant_file::GrantFile;
use crate::granted::Granted;
use crate::leaves::Leaves;
use crate::relinked::Looked;

/// An audit under way: fed with verified records, it knows what they tell of the accounts that a grant opened.
#[derive(Debug)]
pub struct Relinker {
    pub(crate) granted: Granted,
    pub(crate) leaves: Leaves,
    pub(crate) looked: Option<Looked>,
    /// Accounts that the grant is for, opened or not.
    pub(crate) accounts: BTreeMap<Hash, AccountFinding>,
    pub(crate) acts: Vec<GrantAct>,
    pub(crate) transactions: Vec<Transaction>,
    /// By intent, for releases.
    pub(crate) intents: HashMap<Hash, Live>,
    /// Uses that commit to the key of an opened epoch and do not open with it: whoever saw one can write such.
    pub(crate) claims: u32,
    /// Transactions whose address follows from keys of an epoch that is not closed yet.
    pub(crate) waiting: HashMap<AccountEpoch, Vec<usize>>,
    /// Everybody's announcements in epochs that were opened, by length and number of the epoch.
    pub(crate) announced: HashMap<(u64, u32), Vec<Announced>>,
    pub(crate) payments: Vec<PaymentReceived>,
    pub(crate) epochs: BTreeMap<AccountEpoch, Epoch>,
    /// Cases that name nobody.
    pub(crate) cases: Cases,
    /// Dealings to keepers: their hash and place.
    pub(crate) dealt: HashMap<(Hash, u32, u32), (Hash, Place)>,
}

impl Relinker {
    /// Verifies the grant file's receipts against a trust file, and takes what it opens.
    pub fn new(file: GrantFile, trust: &[u8]) -> Result<Self, AuditError> {
        let granted = file.check(trust)?;
        Ok(Self {
            granted,
            leaves: Leaves::of(file),
            looked: None,
            accounts: BTreeMap::new(),
            acts: Vec::new(),
            transactions: Vec::new(),
            intents: HashMap::new(),
            claims: 0,
            waiting: HashMap::new(),
            announced: HashMap::new(),
            payments: Vec::new(),
            epochs: BTreeMap::new(),
            cases: Cases::default(),
            dealt: HashMap::new(),
        })
    }

    /// By what right.
    pub const fn granted(&self) -> &Granted {
        &self.granted
    }

    /// Transactions so far, in the log's order. Release and address check of one may still come.
    pub fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    /// Records that the grant file shows and that did not come: none of them was held against the log that was fed.
    pub fn unseen(&self) -> Vec<u64> {
        let came = |leaf_index: &u64| {
            self.looked.is_some_and(|looked| {
                (looked.first_leaf..looked.first_leaf.saturating_add(looked.records)).contains(leaf_index)
            })
        };
        self.granted.shown.keys().copied().filter(|leaf_index| !came(leaf_index)).collect()
    }

    /// Takes the next record of the log, which the caller has verified. The first one may stand anywhere.
    pub fn feed(&mut self, leaf_index: u64, record: &Record) -> Result<(), AuditError> {
        self.advance(leaf_index, record)?;
        if !record.outcome.is_accepted() || !kind_of(&record.entry).is_some_and(matters) {
            return Ok(());
        }
        let entry = Entry::decode(&record.entry).map_err(|cause| AuditError::Entry { leaf_index, cause })?;
        let mut at = At { leaf_index, record, place: None };
        match entry {
            Entry::UseAddress(used) => self.used(&mut at, &used),
            Entry::Release(release) => self.released(&mut at, &release),
            Entry::CloseEpoch(close) => self.closed(&mut at, &close),
            Entry::CloseAccount { account } => self.left(&mut at, &account),
            Entry::AnnouncePayment(announce) => self.announced(&mut at, &announce),
            Entry::DeliverGrant(delivered) => {
                let (opened, package_hash) = (delivered.opened, delivered.package_hash);
                self.step(&mut at, &opened.grant, GrantStep::Delivered { opened, package_hash }, None);
            }
            Entry::UseGrant(used) => {
                self.step(&mut at, &used.grant, GrantStep::Used { count: used.count, what: used.what }, None);
            }
            Entry::OpenBlindCase(open) => {
                let place = at.place();
                self.cases.opened(&open, &record.outcome.data, place);
            }
            Entry::UseBlindCase(used) => self.cases.used(&used, at.place()),
            Entry::BindKey(bind) => self.cases.bound(&bind),
            Entry::RotateKey(rotate) => self.cases.bound(&rotate.bind),
            Entry::Authored(authored) => {
                self.cases.said(&authored, || at.place());
                self.authored(&mut at, &authored);
            }
            _ => {}
        }
        Ok(())
    }

    /// Records come without gaps, and those that the grant file shows are the same here.
    fn advance(&mut self, leaf_index: u64, record: &Record) -> Result<(), AuditError> {
        let looked = self.looked.get_or_insert(Looked {
            first_leaf: leaf_index,
            records: 0,
            from_ms: record.time_ms,
            until_ms: record.time_ms,
            height: record.height,
        });
        let expected = looked.first_leaf.saturating_add(looked.records);
        if leaf_index != expected {
            return Err(AuditError::Gap { expected, found: leaf_index });
        }
        let shown = self.granted.shown.get(&leaf_index);
        if shown.is_some_and(|shown| *shown != record.id()) {
            return Err(AuditError::OtherRecord { leaf_index });
        }
        looked.records = looked.records.saturating_add(1);
        (looked.until_ms, looked.height) = (record.time_ms, record.height);
        Ok(())
    }

    fn authored(&mut self, at: &mut At<'_>, authored: &Authored) {
        match &authored.act {
            Act::Addresses(AddressAct::Choose(choose)) => self.chose(at, choose),
            Act::Addresses(AddressAct::Deal(deal)) => self.dealt(at, deal),
            Act::CloseAccount { account } => self.left(at, account),
            _ => self.acted(at, authored),
        }
    }
}

/// The record that is looked at. Its leaf hash is made only where something is found.
pub(crate) struct At<'a> {
    leaf_index: u64,
    pub(crate) record: &'a Record,
    place: Option<Place>,
}

impl At<'_> {
    pub(crate) fn place(&mut self) -> Place {
        *self.place.get_or_insert_with(|| Place {
            leaf_index: self.leaf_index,
            leaf_hash: self.record.id(),
            height: self.record.height,
            time_ms: self.record.time_ms,
        })
    }
}

/// Kinds of entries that an audit looks at.
const fn matters(kind: u16) -> bool {
    matches!(
        kind,
        kind::USE_ADDRESS
            | kind::RELEASE
            | kind::CLOSE_EPOCH
            | kind::CLOSE_ACCOUNT
            | kind::CLOSE_OWN_ACCOUNT
            | kind::ANNOUNCE_PAYMENT
            | kind::CHOOSE_ADDRESSES
            | kind::DEAL_VIEWING
            | kind::OPEN_APPROVAL
            | kind::APPROVE
            | kind::WITHDRAW_APPROVAL
            | kind::OPEN_BLIND_CASE
            | kind::USE_BLIND_CASE
            | kind::BIND_KEY
            | kind::ROTATE_KEY
            | kind::ROTATE_OWN_KEY
            | kind::REQUEST_GRANT..=kind::REVOKE_GRANT
    )
}
