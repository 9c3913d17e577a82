//! Questions to the log: which records are looked for. Asked by clients, answered by nodes, and what is answered
//! is held against the question by the same code.

use crate::entry::{Entry, kind, kind_of};
use crate::hash::Hash;
use crate::record::Record;

/// Which records are looked for: those that fit everything that is named. Nothing named: all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The record's id: its leaf hash.
    pub id: Option<Hash>,
    /// Who submitted it.
    pub submitter: Option<[u8; 32]>,
    /// The kind of its entry.
    pub kind: Option<u16>,
    /// What its entry names, see [`Entry::subjects`].
    pub subject: Option<Hash>,
    /// Recorded at this time or later, in milliseconds since 1970.
    pub from_ms: Option<u64>,
    /// Recorded before this time, in milliseconds since 1970.
    pub to_ms: Option<u64>,
}

impl Question {
    /// Whether a record is one of those.
    pub fn fits(&self, record: &Record) -> bool {
        self.fits_time(record.time_ms)
            && self.fits_entry(&record.submitter, &record.entry)
            && self.id.is_none_or(|id| id == record.id())
    }

    /// Whether the time of a block is in the range.
    pub fn fits_time(&self, time_ms: u64) -> bool {
        self.from_ms.is_none_or(|from| time_ms >= from) && self.to_ms.is_none_or(|to| time_ms < to)
    }

    /// Whether submitter, kind and subject are those that are looked for.
    pub fn fits_entry(&self, submitter: &[u8; 32], entry: &[u8]) -> bool {
        self.submitter.is_none_or(|wanted| wanted == *submitter)
            && self.kind.is_none_or(|wanted| kind_of(entry) == Some(wanted))
            && self.subject.is_none_or(|wanted| subjects_of(entry).contains(&wanted))
    }
}

/// What an encoded entry names; nothing if this version cannot read it.
pub fn subjects_of(entry: &[u8]) -> Vec<Hash> {
    if kind_of(entry) == Some(kind::NOTE) {
        return Vec::new();
    }
    Entry::decode(entry).map_or_else(|_unknown| Vec::new(), |entry| entry.subjects())
}
