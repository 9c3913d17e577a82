//! What a grant opens, as rows. The same tables stand in the grant's schema of PostgreSQL and in a file of SQLite.

use std::collections::{BTreeMap, BTreeSet};

use keyward_audit::{
    AccountFinding, AddressCheck, Approval, ApprovalCase, Approver, Completeness, EpochFinding, GrantAct,
    GrantStep, PaymentReceived, Place, Relinked, RunFinding, RunSource, Transaction,
};
use keyward_domain::detail::Source;
use keyward_ledger_core::entry::{Custody, Party};
use keyward_ledger_core::hash::Hash;

use crate::table::{Column, Row, Table, Value};
use crate::tables::{FORM, RECORDS};

const ABOUT: Table = Table {
    name: "about",
    columns: &[
        Column::bytes("grant_id"),
        Column::int("form"),
        Column::bytes("chain_id"),
        Column::text("ledger"),
        Column::bytes("tenant"),
        Column::text("purpose"),
        Column::int("from_ms"),
        Column::int("until_ms"),
        Column::int("expires_ms"),
        Column::int("leaves"),
        Column::int("height"),
        Column::int("time_ms"),
        Column::int("complete"),
        Column::int("whole"),
    ],
    key: 1,
    indexes: &[],
};
const ACCOUNTS: Table = Table {
    name: "accounts",
    columns: &[
        Column::bytes("account"),
        Column::text("custody").optional(),
        Column::int("epoch_ms").optional(),
        Column::int("unopened").optional(),
        Column::int("leaf_index").optional(),
        Column::bytes("leaf_hash").optional(),
        Column::int("closed_ms").optional(),
        Column::int("closed_leaf_index").optional(),
        Column::bytes("closed_leaf_hash").optional(),
    ],
    key: 1,
    indexes: &[],
};
const RUNS: Table = Table {
    name: "runs",
    columns: &[
        Column::bytes("account"),
        Column::int("first"),
        Column::int("last"),
        Column::text("source"),
        Column::int("active"),
        Column::int("leaf_index").optional(),
        Column::bytes("leaf_hash").optional(),
    ],
    key: 3,
    indexes: &[],
};
const ACTS: Table = Table {
    name: "acts",
    columns: &[
        Column::int("leaf_index"),
        Column::bytes("leaf_hash"),
        Column::int("height"),
        Column::int("time_ms"),
        Column::text("step"),
        Column::text("author_kind").optional(),
        Column::bytes("author").optional(),
        Column::bytes("account").optional(),
        Column::int("first").optional(),
        Column::int("last").optional(),
        Column::bytes("case_id").optional(),
        Column::bytes("hash").optional(),
        Column::int("count").optional(),
    ],
    key: 1,
    indexes: &[],
};
const TRANSACTIONS: Table = Table {
    name: "transactions",
    columns: &[
        Column::int("leaf_index"),
        Column::bytes("leaf_hash"),
        Column::int("height"),
        Column::int("time_ms"),
        Column::bytes("account"),
        Column::int("epoch"),
        Column::int("epoch_ms"),
        Column::bytes("intent_id"),
        Column::text("scheme"),
        Column::bytes("public_key"),
        Column::text("address"),
        Column::text("source").optional(),
        Column::int("source_index").optional(),
        Column::int("source_epoch").optional(),
        Column::bytes("payment").optional(),
        Column::bytes("payload_hash").optional(),
        Column::bytes("opening").optional(),
        Column::bytes("policy").optional(),
        Column::text("app").optional(),
        Column::text("format").optional(),
        Column::text("said").optional(),
        Column::bytes("limit_rule").optional(),
        Column::bytes("limit_handle").optional(),
        Column::bytes("approval_case").optional(),
        Column::bytes("approval_rule").optional(),
        Column::text("approved_by").optional(),
        Column::int("release_leaf_index").optional(),
        Column::bytes("release_leaf_hash").optional(),
        Column::bytes("signature_hash").optional(),
        Column::text("lies"),
        Column::text("lies_in_words"),
    ],
    key: 1,
    indexes: &["account, epoch", "time_ms", "app", "payload_hash", "public_key"],
};
const PAYMENTS: Table = Table {
    name: "payments",
    columns: &[
        Column::int("leaf_index"),
        Column::bytes("account"),
        Column::bytes("leaf_hash"),
        Column::int("height"),
        Column::int("time_ms"),
        Column::int("epoch"),
        Column::bytes("payment"),
        Column::bytes("public_key"),
        Column::int("used_by").optional(),
    ],
    key: 2,
    indexes: &["account, epoch", "public_key"],
};
const EPOCHS: Table = Table {
    name: "epochs",
    columns: &[
        Column::bytes("account"),
        Column::int("epoch"),
        Column::int("epoch_ms"),
        Column::int("found"),
        Column::int("lying"),
        Column::text("completeness"),
        Column::int("closed").optional(),
        Column::int("addresses").optional(),
        Column::int("unreadable"),
        Column::text("why").optional(),
        Column::int("leaf_index").optional(),
        Column::bytes("leaf_hash").optional(),
    ],
    key: 2,
    indexes: &[],
};
/// The records that the other tables speak of: what their leaf hashes are made of, without what they name.
pub(crate) const GRANT_RECORDS: Table =
    Table { columns: RECORDS.columns.split_at(RECORDS.columns.len() - 1).0, indexes: &[], ..RECORDS };
/// The tables of a grant.
pub(crate) const GRANT_TABLES: [Table; 8] =
    [ABOUT, ACCOUNTS, RUNS, ACTS, TRANSACTIONS, PAYMENTS, EPOCHS, GRANT_RECORDS];

/// Everything that a grant opens, up to a record.
#[derive(Debug)]
pub(crate) struct Contents {
    /// Rows of each of [`GRANT_TABLES`] but the last.
    pub(crate) rows: Vec<(&'static Table, Vec<Row>)>,
    /// The records that they speak of: index and leaf hash.
    pub(crate) leaves: BTreeMap<u64, Hash>,
}

impl Contents {
    /// What was found.
    pub(crate) fn of(found: &Relinked) -> Self {
        let rows = vec![
            (&ABOUT, vec![about(found)]),
            (&ACCOUNTS, accounts(found)),
            (&RUNS, found.runs.iter().map(|one| run(found, one)).collect()),
            (&ACTS, found.acts.iter().map(act).collect()),
            (&TRANSACTIONS, found.transactions.iter().map(transaction).collect()),
            (&PAYMENTS, found.payments.iter().map(payment).collect()),
            (&EPOCHS, found.epochs.iter().map(epoch).collect()),
        ];
        Self { rows, leaves: leaves(found) }
    }
}

fn leaves(found: &Relinked) -> BTreeMap<u64, Hash> {
    let dealing = |run: &RunFinding| match run.source {
        RunSource::Keepers(place) => Some(place),
        RunSource::Hosted | RunSource::KeepersUnrecorded => None,
    };
    let transactions = found.transactions.iter();
    let releases = transactions.clone().filter_map(|one| one.release.map(|release| release.place));
    let approvals = transactions.clone().filter_map(|one| one.approval.as_ref()).flat_map(Approval::places);
    let all = transactions.map(|one| one.place).chain(releases).chain(approvals);
    let all = all.chain(found.payments.iter().map(|one| one.place));
    let all = all.chain(found.accounts.iter().flat_map(|one| std::iter::once(one.chosen).chain(one.closed)));
    let all = all.chain(found.epochs.iter().filter_map(|one| one.closing));
    let all = all.chain(found.runs.iter().filter_map(dealing)).chain(found.acts.iter().map(|act| act.place));
    all.map(|place| (place.leaf_index, place.leaf_hash)).collect()
}

fn about(found: &Relinked) -> Row {
    let (granted, grant) = (&found.granted, &found.granted.grant);
    let looked = found.looked;
    vec![
        grant.id.into(),
        Value::Int(FORM),
        granted.chain_id.into(),
        granted.ledger.clone().into(),
        grant.tenant.into(),
        granted.purpose.clone().into(),
        grant.from_ms.into(),
        grant.until_ms.into(),
        grant.expires_ms.into(),
        // Up to where; told apart from what was found, as it moves on with every block.
        looked.map_or(0, |looked| looked.first_leaf.saturating_add(looked.records)).into(),
        looked.map_or(0, |looked| looked.height).into(),
        looked.map_or(0, |looked| looked.until_ms).into(),
        Value::Int(found.is_complete().into()),
        Value::Int(found.is_whole().into()),
    ]
}

/// The accounts that the grant names, and those of the whole tenant that were opened or could have been.
fn accounts(found: &Relinked) -> Vec<Row> {
    let known = |account: &[u8; 32]| found.accounts.iter().find(|one| one.account == *account);
    let opened = found.runs.iter().map(|run| run.account).chain(found.accounts.iter().map(|one| one.account));
    let opened = opened.chain(found.unopened.iter().map(|one| one.account));
    let all: BTreeSet<_> = found.granted.grant.accounts.iter().copied().chain(opened).collect();
    let row = |account: [u8; 32]| {
        let one: Option<&AccountFinding> = known(&account);
        let custody = one.map(|one| match one.custody {
            Custody::Hosted => "hosted",
            Custody::Own => "own",
        });
        let unopened = found.unopened.iter().find(|one| one.account == account);
        let unopened = unopened.map_or(Some(0), |one| one.whole.map(|_| one.missing));
        let [index, hash] = place(one.map(|one| one.chosen));
        let closed = one.and_then(|one| one.closed);
        let [closed_index, closed_hash] = place(closed);
        vec![
            account.into(),
            custody.into(),
            one.map(|one| one.epoch_ms).into(),
            unopened.into(),
            index,
            hash,
            closed.map(|closed| closed.time_ms).into(),
            closed_index,
            closed_hash,
        ]
    };
    all.into_iter().map(row).collect()
}

/// A record's index and leaf hash.
fn place(of: Option<Place>) -> [Value; 2] {
    [of.map(|place| place.leaf_index).into(), of.map(|place| place.leaf_hash).into()]
}

/// A record's index, leaf hash, height and time.
fn stands(place: &Place) -> [Value; 4] {
    [place.leaf_index.into(), place.leaf_hash.into(), place.height.into(), place.time_ms.into()]
}

/// The delivery of a run: a run may be delivered more than once, and the grant file has the receipt of the one that it holds.
fn delivery(found: &Relinked, run: &RunFinding) -> Option<Place> {
    let is_it = |act: &&GrantAct| {
        let GrantStep::Delivered { opened, .. } = &act.what else { return false };
        (opened.account, opened.first, opened.last) == (run.account, run.first, run.last)
            && found.granted.shows(act.place.leaf_index)
    };
    found.acts.iter().find(is_it).map(|act| act.place)
}

fn run(found: &Relinked, run: &RunFinding) -> Row {
    let (source, came) = match run.source {
        RunSource::Hosted => ("hosted", delivery(found, run)),
        RunSource::Keepers(place) => ("keepers", Some(place)),
        RunSource::KeepersUnrecorded => ("keepers-unrecorded", None),
    };
    let [index, hash] = place(came);
    vec![run.account.into(), run.first.into(), run.last.into(), source.into(), run.active.into(), index, hash]
}

fn act(act: &GrantAct) -> Row {
    let (mut account, mut first, mut last) = (Value::Null, Value::Null, Value::Null);
    let (mut case_id, mut hash, mut count) = (Value::Null, Value::Null, Value::Null);
    let step = match act.what {
        GrantStep::Requested => "requested",
        GrantStep::CaseOpened { case } => {
            case_id = case.into();
            "case-opened"
        }
        GrantStep::Approved { case } => {
            case_id = case.into();
            "approved"
        }
        GrantStep::Issued { case } => {
            case_id = case.into();
            "issued"
        }
        GrantStep::Opened(opened) => {
            (account, first, last) = (opened.account.into(), opened.first.into(), opened.last.into());
            "opened"
        }
        GrantStep::Delivered { opened, package_hash } => {
            (account, first, last) = (opened.account.into(), opened.first.into(), opened.last.into());
            hash = package_hash.into();
            "delivered"
        }
        GrantStep::Used { count: queries, what } => {
            (count, hash) = (queries.into(), what.into());
            "used"
        }
        GrantStep::Revoked { reason } => {
            hash = reason.into();
            "revoked"
        }
    };
    let author = act.author.as_ref().map(|author| match author {
        Party::Credential(account) => ("credential", *account),
        Party::Key(key_id) => ("key", key_id.0),
    });
    let about = [step.into(), author.map(|(kind, _)| kind).into(), author.map(|(_, id)| id).into()];
    stands(&act.place).into_iter().chain(about).chain([account, first, last, case_id, hash, count]).collect()
}

/// Whose approvals stood when the case was used up: accounts, and keys that no record binds to one.
fn approved_by(case: &ApprovalCase) -> String {
    let one = |one: &Approver| match (one.account, &one.party) {
        (Some(account), _) => hex::encode(account),
        (None, Party::Credential(account)) => hex::encode(account),
        (None, Party::Key(key)) => format!("key {}", hex::encode(key.0)),
    };
    case.approvers.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn transaction(one: &Transaction) -> Row {
    let (address, address_epoch) = match one.address {
        AddressCheck::Derived => ("derived", None),
        AddressCheck::Foreign => ("foreign", None),
        AddressCheck::NotClosed => ("not-closed", None),
        AddressCheck::OutsideScope { epoch } => ("outside-scope", Some(epoch)),
        AddressCheck::Unknown => ("unknown", None),
    };
    let detail = one.detail.as_ref();
    let (source, index, epoch, payment) = match detail.map(|detail| &detail.source) {
        None => (None, None, None, None),
        Some(Source::Index(index)) => (Some("index"), Some(*index), Some(one.of.epoch), None),
        Some(Source::Payment { epoch, payment }) => (Some("payment"), None, Some(*epoch), Some(*payment)),
    };
    let approval = one.approval.as_ref();
    let approved = approval.and_then(|approval| approval.found.as_ref());
    let [release_index, release_hash] = place(one.release.map(|release| release.place));
    let lies = |words: &dyn Fn(&keyward_audit::Lie) -> String, apart: &str| {
        one.lies.iter().map(words).collect::<Vec<_>>().join(apart)
    };
    let more = vec![
        one.of.account.into(),
        one.of.epoch.into(),
        one.epoch_ms.into(),
        one.intent_id.into(),
        one.scheme.name().into(),
        one.public_key.into(),
        address.into(),
        source.into(),
        index.into(),
        epoch.or(address_epoch).into(),
        payment.into(),
        detail.map(|detail| detail.payload_hash).into(),
        detail.map(|detail| detail.opening).into(),
        detail.map(|detail| detail.policy).into(),
        detail.map(|detail| detail.app.clone()).into(),
        detail.map(|detail| detail.format.clone()).into(),
        detail.map(|detail| detail.said.join("\n")).into(),
        one.limit.map(|limit| limit.rule).into(),
        one.limit.map(|limit| limit.handle).into(),
        approval.map(|approval| approval.case).into(),
        approved.map(|case| case.rule).into(),
        approved.map(approved_by).into(),
        release_index,
        release_hash,
        one.release.map(|release| release.signature_hash).into(),
        lies(&|lie| lie.code().to_owned(), " ").into(),
        lies(&|lie| lie.words(), "; ").into(),
    ];
    stands(&one.place).into_iter().chain(more).collect()
}

fn payment(one: &PaymentReceived) -> Row {
    vec![
        one.place.leaf_index.into(),
        one.of.account.into(),
        one.place.leaf_hash.into(),
        one.place.height.into(),
        one.place.time_ms.into(),
        one.of.epoch.into(),
        one.payment.into(),
        one.public_key.into(),
        one.used_by.into(),
    ]
}

fn epoch(one: &EpochFinding) -> Row {
    let (closed, why) = match &one.completeness {
        Completeness::CountDiffers { closed } => (Some(*closed), None),
        Completeness::ClosingUnreadable { why } => (None, Some(why.clone())),
        Completeness::Complete | Completeness::RecordsDiffer => (Some(one.found), None),
        Completeness::NotClosed | Completeness::BeganBefore => (None, None),
    };
    let [index, hash] = place(one.closing);
    vec![
        one.of.account.into(),
        one.of.epoch.into(),
        one.epoch_ms.into(),
        one.found.into(),
        one.lying.into(),
        one.completeness.name().into(),
        closed.into(),
        one.addresses.into(),
        one.unreadable.into(),
        why.into(),
        index,
        hash,
    ]
}
