//! Labels: what callers write on a key to find it again. They are of no meaning to the service.

use std::collections::BTreeMap;

use crate::code::{Code, Coded};

/// Labels by key, sorted.
pub type Labels = BTreeMap<String, String>;

/// The most labels of one key.
pub const LABELS_MAX: usize = 50;
/// The longest key of a label, in bytes.
pub const LABEL_KEY_BYTES_MAX: usize = 63;
/// The longest value of a label, in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 255;

/// Why labels were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// A key breaks its rule.
    #[error("a label's key is 1 to {LABEL_KEY_BYTES_MAX} of a-z, 0-9, `.`, `_`, `-`, `/`")]
    Key,
    /// A value breaks its rule.
    #[error("a label's value is at most {LABEL_VALUE_BYTES_MAX} bytes without control characters")]
    Value,
    /// There would be too many.
    #[error("a key has at most {LABELS_MAX} labels")]
    TooMany,
}

impl Coded for LabelError {
    fn code(&self) -> Code {
        match self {
            Self::Key | Self::Value => Code::LabelInvalid,
            Self::TooMany => Code::TooMany,
        }
    }
}

/// Checks one label.
pub fn check_label(key: &str, value: &str) -> Result<(), LabelError> {
    check_label_key(key)?;
    let fits = value.len() <= LABEL_VALUE_BYTES_MAX && !value.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(LabelError::Value) }
}

/// Checks the key of a label.
pub fn check_label_key(key: &str) -> Result<(), LabelError> {
    let fits = (1..=LABEL_KEY_BYTES_MAX).contains(&key.len())
        && key.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/'));
    if fits { Ok(()) } else { Err(LabelError::Key) }
}

/// The labels after a change: `set` first, then those of `remove` are taken away.
pub fn changed(labels: &Labels, set: &Labels, remove: &[String]) -> Result<Labels, LabelError> {
    let mut changed = labels.clone();
    for (key, value) in set {
        check_label(key, value)?;
        changed.insert(key.clone(), value.clone());
    }
    for key in remove {
        check_label_key(key)?;
        changed.remove(key);
    }
    if changed.len() > LABELS_MAX { Err(LabelError::TooMany) } else { Ok(changed) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    fn one(key: &str, value: &str) -> Labels {
        Labels::from([(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn labels_are_set_replaced_and_removed() {
        let labels = changed(&Labels::new(), &one("team", "treasury"), &[]).unwrap();
        let labels = changed(&labels, &one("team", "höhere Finanz"), &["absent".into()]).unwrap();
        assert_eq!(labels, one("team", "höhere Finanz"));
        assert_eq!(changed(&labels, &Labels::new(), &["team".into()]).unwrap(), Labels::new());
    }

    #[test]
    fn labels_out_of_bounds_are_refused() {
        let (long_key, long_value) = ("k".repeat(64), "v".repeat(256));
        for (key, value) in [("", "v"), ("A", "v"), ("a b", "v"), ("ä", "v"), (&long_key, "v")] {
            assert_eq!(changed(&Labels::new(), &one(key, value), &[]), Err(LabelError::Key), "{key}");
            assert_eq!(changed(&Labels::new(), &Labels::new(), &[key.into()]), Err(LabelError::Key));
        }
        for value in [long_value.as_str(), "a\nb", "\u{0}", "\u{85}"] {
            assert_eq!(changed(&Labels::new(), &one("k", value), &[]), Err(LabelError::Value), "{value:?}");
        }
        let full: Labels = (0..LABELS_MAX).map(|n| (format!("k{n}"), String::new())).collect();
        assert_eq!(changed(&full, &one("k0", "again"), &[]).unwrap().len(), LABELS_MAX);
        assert_eq!(changed(&full, &one("one-more", ""), &[]), Err(LabelError::TooMany));
    }
}
