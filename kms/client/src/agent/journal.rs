//! The desk's durable memory: which intents the token was asked to sign, so that none is signed twice, whatever dies
//! between asking and answering.
//!
//! One append-only file: a header, then records, each made durable before the next step is taken.
//!
//! ```text
//! header  = "keyward-agent-journal-1\n" || chain id [32] || u64 floor_ms || check [8]
//! record  = u16 length || body || check [8]                 check = first 8 bytes of SHA-256 over what is before it
//! body    = u8 1 || intent [32] || u64 time_ms || u32 payload bytes || rule [8]       begun: the token may have signed
//!         | u8 2 || intent [32] || signature                                         signed: this was the answer
//!         | u8 3 || intent [32] || code                                              failed: it never will be signed
//! ```
//!
//! `time_ms` is the time of the block that holds the intent, as validators certified it: no clock of the desk, and no
//! word of the service. Intents below `floor_ms` are refused, so records below it can be forgotten.
//!
//! A torn end is cut off: it was never durable, so the token was not asked. Damage before it is an error.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::file_lock::FileLock;

/// An intent's id.
pub type IntentId = [u8; 32];

const MAGIC: &[u8; 24] = b"keyward-agent-journal-1\n";
const HEADER_BYTES: usize = 24 + 32 + 8 + CHECK_BYTES;
const CHECK_BYTES: usize = 8;
const BODY_BYTES_MAX: usize = 1 + 32 + 1024;
/// How long an intent is remembered after it became final: longer than any window of a rule.
pub const KEEP_MS: u64 = 25 * 3600 * 1000;
/// Records are forgotten when the file is longer than this.
const COMPACT_BYTES: u64 = 8 << 20;
/// Intents in memory at most: the desk refuses more until the oldest are forgotten.
const INTENTS_MAX: usize = 200_000;

/// Why the journal cannot be used; nothing is signed without it.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another agent holds it.
    #[error("another agent uses the journal `{}`", .0.display())]
    InUse(PathBuf),
    /// Not ours, or of another version.
    #[error("`{}` is no journal of this version", .0.display())]
    Format(PathBuf),
    /// It belongs to another ledger.
    #[error("the journal `{}` belongs to another ledger", .0.display())]
    OtherLedger(PathBuf),
    /// A record before the last is damaged: what was signed is not known any more.
    #[error("the journal `{}` is damaged at byte {at}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        at: u64,
    },
    /// Too many intents in too short a time.
    #[error(
        "the journal holds {INTENTS_MAX} intents of the last day: no more until the oldest are forgotten"
    )]
    Full,
    /// An intent is begun that was begun before. The agent asks first; this is the last line.
    #[error("the intent was begun before")]
    BegunBefore,
    /// The file system refused.
    #[error("the journal `{}` cannot be read or written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What is known of an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The token was asked; its answer is not known.
    Begun,
    /// This was the token's signature.
    Signed(Vec<u8>),
    /// The token refused, with this code.
    Failed(String),
}

/// The start of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The intent.
    pub intent: IntentId,
    /// The certified time of its block, in Unix milliseconds.
    pub time_ms: u64,
    /// How long the payload is.
    pub payload_bytes: u32,
    /// The rule that allowed it, by the first bytes of its hash.
    pub rule: [u8; 8],
}

/// How the journal names a rule: the first 8 bytes of the SHA-256 of its name.
pub(super) fn rule_mark(name: &str) -> [u8; 8] {
    check(&[name.as_bytes()])
}

#[derive(Clone, Debug)]
struct Entry {
    time_ms: u64,
    payload_bytes: u32,
    rule: [u8; 8],
    kept: Kept,
}

/// The open journal. It is locked: two agents never share one.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: FileLock,
    bytes: u64,
    chain_id: [u8; 32],
    floor_ms: u64,
    newest_ms: u64,
    intents: HashMap<IntentId, Entry>,
    broken: bool,
    compact_bytes: u64,
}

impl Journal {
    /// Opens the journal of a ledger, or makes it.
    pub fn open(path: &Path, chain_id: &[u8; 32]) -> Result<Self, JournalError> {
        let failed = |source| JournalError::File { path: path.to_owned(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        let mut file = FileLock::alone(file).map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::InUse(path.to_owned()),
            TryLockError::Error(source) => failed(source),
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            bytes: 0,
            chain_id: *chain_id,
            floor_ms: 0,
            newest_ms: 0,
            intents: HashMap::new(),
            broken: false,
            compact_bytes: COMPACT_BYTES,
        };
        if bytes.len() < HEADER_BYTES && MAGIC.starts_with(bytes.get(..24).unwrap_or(&bytes)) {
            // New, or torn before the header was durable.
            journal.file.set_len(0).map_err(failed)?;
            journal.append(&header(chain_id, 0))?;
            journal.sync_folder()?;
        } else {
            journal.read(&bytes)?;
        }
        Ok(journal)
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let format = || JournalError::Format(self.path.clone());
        let (head, mut rest) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(format)?;
        let (chain, floor) = parse_header(head).ok_or_else(format)?;
        if chain != self.chain_id {
            return Err(JournalError::OtherLedger(self.path.clone()));
        }
        (self.floor_ms, self.newest_ms) = (floor, floor);
        let mut at = HEADER_BYTES as u64;
        while !rest.is_empty() {
            match take_record(rest) {
                Some((body, after)) => {
                    self.apply(body).ok_or(JournalError::Damaged { path: self.path.clone(), at })?;
                    at = at.saturating_add((rest.len() - after.len()) as u64);
                    rest = after;
                }
                // Torn while it was written: nothing whole may follow.
                None if !holds_record(rest) => break,
                None => return Err(JournalError::Damaged { path: self.path.clone(), at }),
            }
        }
        self.cut_to(at).map_err(|source| JournalError::File { path: self.path.clone(), source })
    }

    fn apply(&mut self, body: &[u8]) -> Option<()> {
        let (kind, rest) = body.split_first()?;
        let (intent, rest) = rest.split_first_chunk::<32>()?;
        match kind {
            1 => {
                let (time_ms, rest) = rest.split_first_chunk::<8>()?;
                let (payload_bytes, rest) = rest.split_first_chunk::<4>()?;
                let begin = Begin {
                    intent: *intent,
                    time_ms: u64::from_be_bytes(*time_ms),
                    payload_bytes: u32::from_be_bytes(*payload_bytes),
                    rule: rest.try_into().ok()?,
                };
                self.note(begin);
            }
            2 => self.intents.get_mut(intent)?.kept = Kept::Signed(rest.to_vec()),
            3 => {
                let code = String::from_utf8(rest.to_vec()).ok()?;
                self.intents.get_mut(intent)?.kept = Kept::Failed(code);
            }
            _ => return None,
        }
        Some(())
    }

    fn note(&mut self, begin: Begin) {
        self.newest_ms = self.newest_ms.max(begin.time_ms);
        let Begin { intent, time_ms, payload_bytes, rule } = begin;
        self.intents.insert(intent, Entry { time_ms, payload_bytes, rule, kept: Kept::Begun });
    }

    /// What is known of an intent; none: the token was never asked.
    pub fn find(&self, intent: &IntentId) -> Option<&Kept> {
        self.intents.get(intent).map(|entry| &entry.kept)
    }

    /// Intents of blocks before this time are refused: some of them may have been forgotten.
    pub const fn floor_ms(&self) -> u64 {
        self.floor_ms
    }

    /// How many signatures a rule allowed within a window before `now_ms`, and how many payload bytes.
    pub fn spent(&self, rule: &[u8; 8], now_ms: u64, window_ms: u64) -> (u64, u64) {
        let from = now_ms.saturating_sub(window_ms);
        let within = self.intents.values().filter(|entry| entry.rule == *rule && entry.time_ms > from);
        within.fold((0, 0), |(count, bytes), entry| (count + 1_u64, bytes + u64::from(entry.payload_bytes)))
    }

    /// Before the token is asked. When this answers, a crash at any later moment leaves the intent begun.
    pub fn begin(&mut self, begin: Begin) -> Result<(), JournalError> {
        if self.intents.contains_key(&begin.intent) {
            return Err(JournalError::BegunBefore);
        }
        if self.bytes > self.compact_bytes {
            self.compact()?;
        }
        if self.intents.len() >= INTENTS_MAX {
            return Err(JournalError::Full);
        }
        let mut body = vec![1];
        body.extend(begin.intent);
        body.extend(begin.time_ms.to_be_bytes());
        body.extend(begin.payload_bytes.to_be_bytes());
        body.extend(begin.rule);
        self.append(&record(&body))?;
        self.note(begin);
        Ok(())
    }

    /// The token signed: the same answer will be given again.
    pub fn signed(&mut self, intent: &IntentId, signature: &[u8]) -> Result<(), JournalError> {
        self.end(2, intent, signature, Kept::Signed(signature.to_vec()))
    }

    /// The token did not sign: the same refusal will be given again.
    pub fn failed(&mut self, intent: &IntentId, code: &str) -> Result<(), JournalError> {
        self.end(3, intent, code.as_bytes(), Kept::Failed(code.to_owned()))
    }

    fn end(&mut self, kind: u8, intent: &IntentId, rest: &[u8], kept: Kept) -> Result<(), JournalError> {
        let body = [&[kind], &intent[..], rest].concat();
        self.append(&record(&body))?;
        if let Some(entry) = self.intents.get_mut(intent) {
            entry.kept = kept;
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let failed = |path: &Path, source| JournalError::File { path: path.to_owned(), source };
        if self.broken {
            let source =
                std::io::Error::other("an earlier write failed, and what it left could not be taken back");
            return Err(failed(&self.path, source));
        }
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_all());
        if let Err(source) = written {
            // Half a record must not stand before a whole one.
            self.broken = self.cut_to(self.bytes).is_err();
            return Err(failed(&self.path, source));
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn cut_to(&mut self, bytes: u64) -> std::io::Result<()> {
        self.file.set_len(bytes)?;
        self.file.seek(SeekFrom::Start(bytes))?;
        self.file.sync_all()?;
        self.bytes = bytes;
        Ok(())
    }

    /// Forgets what is older than any rule or intent needs: a new file beside, then into its place.
    fn compact(&mut self) -> Result<(), JournalError> {
        let floor_ms = self.floor_ms.max(self.newest_ms.saturating_sub(KEEP_MS));
        // INVARIANT: what is forgotten lies below the floor, also when a step below fails.
        self.floor_ms = floor_ms;
        self.intents.retain(|_, entry| entry.time_ms >= floor_ms);
        let mut bytes = header(&self.chain_id, floor_ms);
        for (intent, entry) in &self.intents {
            let mut body = vec![1];
            body.extend(intent);
            body.extend(entry.time_ms.to_be_bytes());
            body.extend(entry.payload_bytes.to_be_bytes());
            body.extend(entry.rule);
            bytes.extend(record(&body));
            match &entry.kept {
                Kept::Begun => {}
                Kept::Signed(signature) => bytes.extend(record(&[&[2], &intent[..], signature].concat())),
                Kept::Failed(code) => bytes.extend(record(&[&[3], &intent[..], code.as_bytes()].concat())),
            }
        }
        // Appended, not exchanged: journals beside each other must not meet here, nor one with itself.
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let failed = |source| JournalError::File { path: beside.clone(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)
            .map_err(failed)?;
        let mut file = FileLock::wait_alone(file).map_err(failed)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        std::fs::rename(&beside, &self.path).map_err(failed)?;
        (self.file, self.bytes) = (file, bytes.len() as u64);
        // While most of it is needed, the next look is as far away again.
        self.compact_bytes = COMPACT_BYTES.max(self.bytes.saturating_mul(2));
        self.sync_folder()
    }

    fn sync_folder(&self) -> Result<(), JournalError> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let synced = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        synced.map_err(|source| JournalError::File { path: self.path.clone(), source })
    }
}

fn check(parts: &[&[u8]]) -> [u8; CHECK_BYTES] {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    let hash: [u8; 32] = hasher.finalize().into();
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(hash.split_at(CHECK_BYTES).0);
    check
}

fn header(chain_id: &[u8; 32], floor_ms: u64) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], chain_id, &floor_ms.to_be_bytes()].concat();
    bytes.extend(check(&[&bytes]));
    bytes
}

fn parse_header(bytes: &[u8]) -> Option<([u8; 32], u64)> {
    let (covered, found) = bytes.split_at_checked(HEADER_BYTES - CHECK_BYTES)?;
    let rest = covered.strip_prefix(MAGIC)?;
    let (chain_id, floor) = rest.split_first_chunk::<32>()?;
    (check(&[covered]) == found).then_some((*chain_id, u64::from_be_bytes(floor.try_into().ok()?)))
}

fn record(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut bytes = [&length, body].concat();
    bytes.extend(check(&[&bytes]));
    bytes
}

/// The body of the record that these bytes begin with, and what follows it.
fn take_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let len = usize::from(u16::from_be_bytes(*length));
    if len > BODY_BYTES_MAX {
        return None;
    }
    let (body, rest) = rest.split_at_checked(len)?;
    let (found, after) = rest.split_at_checked(CHECK_BYTES)?;
    (check(&[length, body]) == found).then_some((body, after))
}

/// Whether a whole record stands anywhere in these bytes behind their first.
fn holds_record(bytes: &[u8]) -> bool {
    (1..bytes.len()).any(|from| bytes.get(from..).is_some_and(|rest| take_record(rest).is_some()))
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
