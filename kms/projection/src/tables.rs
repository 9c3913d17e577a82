//! The tables. What each column means stands in SPEC.md; the tables of a grant are the same in PostgreSQL and in a file.

use keyward_ledger_core::entry::{Entry, kind_name, kind_of};
use keyward_ledger_core::hash::Hash;
use keyward_ledger_core::record::Record;

use crate::table::{Column, Row, Table, Value};

/// The version of the tables.
pub(crate) const FORM: i64 = 1;
/// The schema of what the projector keeps; the ledger's records among it.
pub(crate) const SCHEMA: &str = "keyward";

/// The ledger's records.
pub(crate) const RECORDS: Table = Table {
    name: "records",
    columns: &[
        Column::int("leaf_index"),
        Column::bytes("leaf_hash"),
        Column::int("height"),
        Column::int("time_ms"),
        Column::bytes("submitter"),
        Column::int("sequence"),
        Column::int("place"),
        Column::int("kind"),
        Column::text("kind_name"),
        Column::bytes("entry"),
        Column::int("outcome"),
        Column::text("outcome_name"),
        Column::bytes("outcome_data"),
        Column::hashes("subjects"),
    ],
    key: 1,
    indexes: &["kind, leaf_index", "submitter, leaf_index", "time_ms", "subjects"],
};

/// The columns of a record that its leaf hash is made of, and the hash.
pub(crate) const LEAF_COLUMNS: &str =
    "leaf_index, leaf_hash, height, time_ms, submitter, sequence, place, entry, outcome, outcome_data";

/// The row of a record.
pub(crate) fn record_row(leaf_index: u64, record: &Record) -> Row {
    let kind = kind_of(&record.entry).unwrap_or_default();
    let mut subjects = Entry::decode(&record.entry).map(|entry| entry.subjects()).unwrap_or_default();
    subjects.sort_unstable();
    subjects.dedup();
    vec![
        leaf_index.into(),
        record.id().into(),
        record.height.into(),
        record.time_ms.into(),
        record.submitter.into(),
        record.sequence.into(),
        record.index.into(),
        kind.into(),
        kind_name(kind).into(),
        record.entry.clone().into(),
        record.outcome.code.into(),
        record.outcome.name().into(),
        record.outcome.data.clone().into(),
        Value::Hashes(subjects),
    ]
}

/// What a record of a database says of itself.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) index: u64,
    pub(crate) hash: Hash,
    pub(crate) record: Record,
}

/// The tables that only the projector reads, beside [`RECORDS`].
pub(crate) const OWN: [Table; 6] = [
    Table {
        name: "ledger",
        columns: &[
            Column::bytes("chain_id"),
            Column::int("form"),
            Column::text("name"),
            Column::int("height"),
            Column::int("time_ms"),
            Column::int("leaves"),
        ],
        key: 1,
        indexes: &[],
    },
    READERS,
    Table {
        name: "queries",
        columns: &[
            Column::text("role"),
            Column::int("number"),
            Column::bytes("line"),
            Column::int("statements"),
            Column::int("segment").optional(),
        ],
        key: 2,
        indexes: &["role, segment, number"],
    },
    Table {
        name: "segments",
        columns: &[
            Column::text("role"),
            Column::int("number"),
            Column::bytes("grant_id"),
            Column::bytes("what"),
            Column::int("count"),
            Column::int("leaf_index").optional(),
            Column::text("refused").optional(),
            Column::int("filed_ms").optional(),
        ],
        key: 2,
        indexes: &["what", "filed_ms"],
    },
    Table {
        name: "log_places",
        columns: &[Column::text("file"), Column::int("read_to")],
        key: 1,
        indexes: &[],
    },
    Table {
        name: "strangers",
        columns: &[
            Column::text("role"),
            Column::int("began_ms"),
            Column::int("count"),
            Column::int("kept"),
            Column::bytes("hash"),
        ],
        key: 1,
        indexes: &[],
    },
];

/// Roles that were made.
pub(crate) const READERS: Table = Table {
    name: "readers",
    columns: &[
        Column::text("role"),
        Column::bytes("grant_id").optional(),
        Column::text("verifier"),
        Column::int("made_ms"),
        Column::int("expires_ms").optional(),
        Column::int("ended_ms").optional(),
        Column::text("ended_because").optional(),
    ],
    key: 1,
    indexes: &[],
};
