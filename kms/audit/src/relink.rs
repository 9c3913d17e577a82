//! Finding what a grant opens, record by record.
//!
//! An entry that an account made names nobody. What was sealed with it begins with a commitment to its key, which whoever holds the
//! viewing leaf of its epoch can compute: so each entry is held against the leaves of its own epoch, two HMACs for each account.

use std::collections::{BTreeMap, HashMap};

use keyward_crypto::SecretBytes;
use keyward_crypto::unlinkable::{detail_is_for, open_closing, open_detail};
use keyward_domain::detail::{Detail, PAYMENT_BYTES, Source};
use keyward_ledger_core::entry::{
    Act, AddressAct, AnnouncePayment, AuditAct, Authored, ChooseAddresses, CloseEpoch, Entry, Party,
    Release as ReleaseEntry, UseAddress, kind, kind_of,
};
use keyward_ledger_core::hash::{Hash, commitment};
use keyward_ledger_core::record::Record;
use keyward_ledger_core::unlinkable::EDGE_MS;

use crate::approvals::Cases;
use crate::epoch::Epoch;
use crate::error::AuditError;
use crate::finding::{
    AccountEpoch, AccountFinding, AddressCheck, GrantAct, GrantStep, Lie, Looked, PaymentReceived, Place,
    Release, Transaction,
};
use crate::grant_file::GrantFile;
use crate::granted::Granted;
use crate::leaves::Leaves;

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
    intents: HashMap<Hash, Live>,
    /// Uses that commit to the key of an opened epoch and do not open with it: whoever saw one can write such.
    pub(crate) claims: u32,
    /// Transactions whose address follows from keys of an epoch that is not closed yet.
    waiting: HashMap<AccountEpoch, Vec<usize>>,
    /// Everybody's announcements, by length and number of their epoch, until it is closed.
    announced: HashMap<(u64, u32), Vec<Announced>>,
    pub(crate) payments: Vec<PaymentReceived>,
    pub(crate) epochs: BTreeMap<AccountEpoch, Epoch>,
    /// Cases that name nobody.
    cases: Cases,
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

    fn used(&mut self, at: &mut At<'_>, used: &UseAddress) {
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
    fn check_address(&mut self, number: usize) {
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

    fn released(&mut self, at: &mut At<'_>, release: &ReleaseEntry) {
        let Some(live) = self.intents.get(&release.intent_id) else { return };
        // After that height the id is free again, for anybody's intent.
        if live.executor != at.record.submitter || at.record.height > live.not_after {
            return;
        }
        let Some(transaction) = self.transactions.get_mut(live.transaction) else { return };
        let signature_hash = release.signature_hash;
        transaction.release.get_or_insert_with(|| Release { place: at.place(), signature_hash });
    }

    fn closed(&mut self, at: &mut At<'_>, close: &CloseEpoch) {
        let leaves = self.leaves.at(close.epoch);
        let Some(leaf) = leaves.iter().find(|leaf| leaf.tag == Some(close.tag)) else { return };
        let closing = open_closing(&leaf.view, &close.public_fields(), &close.closing);
        let of = AccountEpoch { account: leaf.account, epoch: close.epoch };
        let Some(view) = self.leaves.copy(&of.account, of.epoch) else { return };
        let epoch = self.epochs.entry(of).or_default();
        if !epoch.close(close.epoch_ms, at.place(), closing, view) {
            return;
        }
        let announced = self.announced.get(&(close.epoch_ms, close.epoch));
        for (place, payment) in announced.into_iter().flatten() {
            let Some(public_key) = epoch.paid(payment) else { continue };
            self.payments.push(PaymentReceived {
                place: *place,
                of,
                payment: *payment,
                public_key,
                used_by: None,
            });
        }
        for number in self.waiting.remove(&of).unwrap_or_default() {
            self.check_address(number);
        }
    }

    fn announced(&mut self, at: &mut At<'_>, announce: &AnnouncePayment) {
        if !self.leaves.at(announce.epoch).is_empty() {
            let of_epoch = self.announced.entry((announce.epoch_ms, announce.epoch)).or_default();
            of_epoch.push((at.place(), announce.payment));
        }
    }

    fn authored(&mut self, at: &mut At<'_>, authored: &Authored) {
        let grant = self.granted.grant.id;
        let payload = || self.granted.grant.payload();
        let (about, step) = match &authored.act {
            Act::Addresses(AddressAct::Choose(choose)) => {
                if self.concerns(choose) {
                    let (account, custody, epoch_ms) = (choose.account, choose.custody, choose.epoch_ms);
                    let (chosen, closed) = (at.place(), None);
                    let known = AccountFinding { account, custody, epoch_ms, chosen, closed };
                    self.accounts.insert(account, known);
                }
                return;
            }
            Act::CloseAccount { account } => return self.left(at, account),
            Act::Addresses(AddressAct::Deal(deal)) => {
                let run = (deal.run.account, deal.run.first, deal.run.last);
                self.dealt.insert(run, (deal.run.dealing_hash, at.place()));
                return;
            }
            Act::OpenApproval { payload: about, .. } if *about == payload() => {
                let case = at.record.outcome.data.as_slice().try_into().unwrap_or_default();
                (grant, GrantStep::CaseOpened { case })
            }
            Act::Approve { case, .. } if case.payload == payload() => {
                (grant, GrantStep::Approved { case: case.id })
            }
            Act::Audit(AuditAct::Request(asked)) => (asked.id, GrantStep::Requested),
            Act::Audit(AuditAct::Issue { grant, case }) => (*grant, GrantStep::Issued { case: *case }),
            Act::Audit(AuditAct::Open(opened)) => (opened.grant, GrantStep::Opened(*opened)),
            Act::Audit(AuditAct::Revoke(revoke)) => {
                (revoke.grant, GrantStep::Revoked { reason: revoke.reason })
            }
            _ => return,
        };
        let author = authored.authors.first().map(|author| author.party);
        self.step(at, &about, step, author);
    }

    fn left(&mut self, at: &mut At<'_>, account: &Hash) {
        self.cases.left(account);
        if let Some(known) = self.accounts.get_mut(account) {
            known.closed = Some(at.place());
        }
    }

    /// Whether the grant is for the account.
    fn concerns(&self, choose: &ChooseAddresses) -> bool {
        let grant = &self.granted.grant;
        (grant.is_whole_tenant() && grant.tenant == choose.tenant)
            || grant.accounts.contains(&choose.account)
            || self.leaves.openings().iter().any(|opening| opening.account == choose.account)
    }

    fn step(&mut self, at: &mut At<'_>, grant: &Hash, what: GrantStep, author: Option<Party>) {
        if *grant == self.granted.grant.id {
            self.acts.push(GrantAct { place: at.place(), what, author });
        }
    }
}

/// An intent whose use was found: who may say until when that it was released.
#[derive(Clone, Copy, Debug)]
struct Live {
    transaction: usize,
    executor: [u8; 32],
    not_after: u64,
}

/// An announcement: its record, and the payment.
type Announced = (Place, [u8; PAYMENT_BYTES]);

/// The record that is looked at. Its leaf hash is made only where something is found.
struct At<'a> {
    leaf_index: u64,
    record: &'a Record,
    place: Option<Place>,
}

impl At<'_> {
    fn place(&mut self) -> Place {
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

fn detail(opened: &SecretBytes) -> (Option<Detail>, Vec<Lie>) {
    match opened.expose(Detail::decode) {
        Ok(detail) => (Some(detail), Vec::new()),
        Err(error) => (None, vec![Lie::Unreadable { why: error.to_string() }]),
    }
}

/// What about a use's time its account's choice and closing contradict.
fn out_of_time(
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

/// What a detail says that the record or the keys contradict.
fn contradictions(detail: &Detail, of: &AccountEpoch, used: &UseAddress) -> Vec<Lie> {
    let mut lies = Vec::new();
    if detail.account != of.account {
        lies.push(Lie::OtherAccount { named: detail.account });
    }
    if commitment(&detail.opening, &detail.payload_hash) != used.commitment {
        lies.push(Lie::Commitment);
    }
    lies
}
