//! The control file: rules, read and replaced whole; and what is done to a token's own file.
//!
//! Text: the line `hsm-sim faults 1`, then one [`Rule`] a line. No file is no faults.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cryptoki_sys::CK_SLOT_ID;
use thiserror::Error;

use super::rule::{Fault, Rule, RuleError};
use crate::error::Error as TokenError;
use crate::image::Image;
use crate::seal::Role;
use crate::store::{self, Home, Stamp};
use crate::token::PIN_FAILURES_MAX;

/// The control file's name in the store's folder.
pub const CONTROL_FILE: &str = "faults";
/// Its first line.
const HEADER: &str = "hsm-sim faults 1";
/// The longest control file that is read, in bytes.
const CONTROL_BYTES_MAX: u64 = 1 << 16;
/// The most rules at once.
const RULES_MAX: usize = 256;

/// Why a control file or a token's file could not be used.
#[derive(Debug, Error)]
pub enum ControlError {
    /// The operating system refused.
    #[error("cannot use `{path}`")]
    Store {
        /// The file.
        path: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The first line is another.
    #[error("`{path}` does not begin with the line `hsm-sim faults 1`")]
    Header {
        /// The file.
        path: String,
    },
    /// It is too long, or holds too many rules.
    #[error("`{path}` is too long")]
    TooLong {
        /// The file.
        path: String,
    },
    /// A line is no rule.
    #[error("line {line} of `{path}` is no rule")]
    Line {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: RuleError,
    },
    /// What was to be added is no rule.
    #[error("this is no rule")]
    Rule(#[from] RuleError),
    /// The token's own file cannot be used.
    #[error("cannot change the token in slot `{slot}`")]
    Token {
        /// The slot.
        slot: CK_SLOT_ID,
        /// What the store said.
        #[source]
        source: Box<TokenError>,
    },
    /// There is no token file, or no PIN of this role.
    #[error("the token in slot `{slot}` has no {what}")]
    Nothing {
        /// The slot.
        slot: CK_SLOT_ID,
        /// What is missing.
        what: &'static str,
    },
}

type Result<T, E = ControlError> = std::result::Result<T, E>;

/// The control file of one store.
#[derive(Debug, Clone)]
pub struct Control {
    folder: PathBuf,
    file: PathBuf,
}

impl Control {
    /// The control file of the store in `folder`.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), file: folder.join(CONTROL_FILE) }
    }

    /// The control file of the store that the environment names (`HSM_SIM_DIR`, or the user's data folder).
    ///
    /// # Errors
    /// If no folder can be named.
    pub fn from_environment() -> crate::Result<Self> {
        store::folder().map(|folder| Self::at(&folder))
    }

    /// The rules, in the order of their lines.
    ///
    /// # Errors
    /// If the file cannot be read, or is no control file.
    pub fn rules(&self) -> Result<Vec<Rule>> {
        self.load().map(|(_, rules)| rules)
    }

    /// Adds a rule, given as its line. A second `pull`, `buggy` or `latency` of a slot takes the first one's place.
    ///
    /// # Errors
    /// If the line is no rule, or the file cannot be used.
    pub fn add(&self, line: &str) -> Result<()> {
        let rule: Rule = line.parse()?;
        self.update(|rules| {
            let lasting = |fault: &Fault| fault.trigger().is_none();
            let same = |known: &Rule| {
                let kinds = std::mem::discriminant(&known.fault) == std::mem::discriminant(&rule.fault);
                known.slot == rule.slot && kinds && lasting(&known.fault) && lasting(&rule.fault)
            };
            rules.retain(|known| !same(known));
            rules.push(rule);
            true
        })
    }

    /// Puts a token back: takes out each `pull` of its slot.
    ///
    /// # Errors
    /// If the file cannot be used.
    pub fn plug(&self, slot: CK_SLOT_ID) -> Result<()> {
        self.take_out(|rule| rule.slot == slot && matches!(rule.fault, Fault::Pull(_)))
    }

    /// Takes every rule out, or those of one slot.
    ///
    /// # Errors
    /// If the file cannot be used. One that cannot be read is removed all the same when every rule is to go.
    pub fn clear(&self, slot: Option<CK_SLOT_ID>) -> Result<()> {
        match slot {
            Some(slot) => self.take_out(|rule| rule.slot == slot),
            None => {
                let _guard = self.lock_file()?;
                self.remove()
            }
        }
    }

    fn take_out(&self, which: impl Fn(&Rule) -> bool) -> Result<()> {
        self.update(|rules| {
            let before = rules.len();
            rules.retain(|rule| !which(rule));
            rules.len() != before
        })
    }

    /// Reads, changes and replaces the rules under a lock; `change` says whether it changed anything.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Vec<Rule>) -> bool) -> Result<()> {
        let _guard = self.lock_file()?;
        let (_, mut rules) = self.load()?;
        if !change(&mut rules) {
            return Ok(());
        }
        if rules.is_empty() {
            return self.remove();
        }
        if rules.len() > RULES_MAX {
            return Err(ControlError::TooLong { path: self.path() });
        }
        let lines: String = rules.iter().map(|rule| format!("{rule}\n")).collect();
        let text = format!("{HEADER}\n{lines}");
        store::replace(&self.file, text.as_bytes()).map(|_| ()).map_err(|source| self.store(source))
    }

    fn remove(&self) -> Result<()> {
        match fs::remove_file(&self.file) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(self.store(source)),
            _ => Ok(()),
        }
    }

    fn lock_file(&self) -> Result<store::Guard> {
        let lock = self.folder.join("faults.lock");
        store::lock(&self.folder, &lock).map_err(|source| self.store(source))
    }

    /// What the file is now; `None` if there is none. One `stat`.
    pub(crate) fn stamp(&self) -> Result<Option<Stamp>> {
        store::stamp(&self.file).map_err(|source| self.store(source))
    }

    /// The rules, and the stamp of the file that they came from.
    pub(crate) fn load(&self) -> Result<(Option<Stamp>, Vec<Rule>)> {
        let Some((stamp, bytes)) =
            store::read(&self.file, CONTROL_BYTES_MAX + 1).map_err(|source| self.store(source))?
        else {
            return Ok((None, Vec::new()));
        };
        if bytes.len() as u64 > CONTROL_BYTES_MAX {
            return Err(ControlError::TooLong { path: self.path() });
        }
        Ok((Some(stamp), self.parse(&String::from_utf8_lossy(&bytes))?))
    }

    fn parse(&self, text: &str) -> Result<Vec<Rule>> {
        let mut lines = text.lines().enumerate();
        if lines.next().is_none_or(|(_, line)| line.trim() != HEADER) {
            return Err(ControlError::Header { path: self.path() });
        }
        let mut rules = Vec::new();
        for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            let rule = line.parse().map_err(|source| ControlError::Line {
                path: self.path(),
                line: index + 1,
                source,
            })?;
            rules.push(rule);
        }
        if rules.len() > RULES_MAX {
            return Err(ControlError::TooLong { path: self.path() });
        }
        Ok(rules)
    }

    /// Locks a PIN in the token's own file, as five wrong ones do.
    ///
    /// # Errors
    /// If there is no such PIN, or the file cannot be used.
    pub fn lock(&self, slot: CK_SLOT_ID, role: Role) -> Result<()> {
        self.set_failures(slot, role, PIN_FAILURES_MAX)
    }

    /// Sets the count of a PIN's failures to 0 in the token's own file.
    ///
    /// # Errors
    /// If there is no such PIN, or the file cannot be used.
    pub fn unlock(&self, slot: CK_SLOT_ID, role: Role) -> Result<()> {
        self.set_failures(slot, role, 0)
    }

    fn set_failures(&self, slot: CK_SLOT_ID, role: Role, failures: u8) -> Result<()> {
        let home = Home::new(&self.folder, slot);
        let token = |source| ControlError::Token { slot, source: Box::new(source) };
        let guard = home.lock().map_err(token)?;
        let (_, mut image) =
            home.load().map_err(token)?.ok_or(ControlError::Nothing { slot, what: "file" })?;
        match role {
            Role::Officer => image.officer.failures = failures,
            Role::User => {
                let wrap = image.user.as_mut().ok_or(ControlError::Nothing { slot, what: "user PIN" })?;
                wrap.failures = failures;
            }
        }
        image.generation += 1;
        home.save(&guard, &image).map(|_| ()).map_err(token)
    }

    /// Flips a bit in the middle of the token's own file; a whole copy is kept beside it. Twice is once.
    ///
    /// # Errors
    /// If there is no such file, or it cannot be used.
    pub fn damage(&self, slot: CK_SLOT_ID) -> Result<()> {
        let (file, whole) = self.token_files(slot);
        let _guard = self.lock_token(slot)?;
        let read = store::read(&file, store::FILE_BYTES_MAX).map_err(|source| self.store(source))?;
        let (_, mut bytes) = read.ok_or(ControlError::Nothing { slot, what: "file" })?;
        if Image::decode(&bytes).is_err() {
            return Ok(()); // damaged already
        }
        store::replace(&whole, &bytes).map_err(|source| self.store(source))?;
        let middle = bytes.len() / 2;
        bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 1);
        store::replace(&file, &bytes).map(|_| ()).map_err(|source| self.store(source))
    }

    /// Puts the whole copy of a damaged token file back.
    ///
    /// # Errors
    /// If there is no copy, or it cannot be used.
    pub fn repair(&self, slot: CK_SLOT_ID) -> Result<()> {
        let (file, whole) = self.token_files(slot);
        let _guard = self.lock_token(slot)?;
        let read = store::read(&whole, store::FILE_BYTES_MAX).map_err(|source| self.store(source))?;
        let (_, bytes) = read.ok_or(ControlError::Nothing { slot, what: "whole copy" })?;
        let now = store::read(&file, store::FILE_BYTES_MAX).map_err(|source| self.store(source))?;
        // A token that was made anew meanwhile is whole: the copy is of another one.
        if now.is_none_or(|(_, now)| Image::decode(&now).is_err()) {
            store::replace(&file, &bytes).map_err(|source| self.store(source))?;
        }
        fs::remove_file(&whole).map_err(|source| self.store(source))
    }

    fn token_files(&self, slot: CK_SLOT_ID) -> (PathBuf, PathBuf) {
        let name = |end| self.folder.join(format!("token-{slot}.{end}"));
        (name("hsm"), name("whole"))
    }

    fn lock_token(&self, slot: CK_SLOT_ID) -> Result<store::Guard> {
        let locked = Home::new(&self.folder, slot).lock();
        locked.map_err(|source| ControlError::Token { slot, source: Box::new(source) })
    }

    fn path(&self) -> String {
        self.file.display().to_string()
    }

    fn store(&self, source: io::Error) -> ControlError {
        ControlError::Store { path: self.path(), source }
    }
}
