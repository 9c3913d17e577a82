//! Whether the files that hold a node's keys still do: the scrubber asks, because a damaged one is met at the
//! next start only, when it is too late to make a copy.

use std::{fmt, path::PathBuf, sync::Arc};

/// A key's file that does not give the key any more, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostKey {
    /// The file.
    pub path: PathBuf,
    /// For people: what is wrong, and what to do.
    pub reason: String,
}

/// Opens the files of the keys that a node runs with, again.
#[derive(Clone)]
pub struct KeyCheck(Arc<dyn Fn() -> Vec<LostKey> + Send + Sync>);

impl KeyCheck {
    /// `look` names the files that do not give the keys in use.
    pub fn new(look: impl Fn() -> Vec<LostKey> + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }

    pub(crate) fn lost(&self) -> Vec<LostKey> {
        (self.0)()
    }
}

impl fmt::Debug for KeyCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyCheck")
    }
}
