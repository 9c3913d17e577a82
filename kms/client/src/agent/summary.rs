//! What a person at the desk is shown of a payload: made here, from the very bytes that would be signed.

use sha2::{Digest as _, Sha256};

use crate::petition::{AttemptConsent, attempt_consent};
use crate::word;

/// How much of a text is shown.
const SHOWN_CHARS_MAX: usize = 160;

/// What is to be signed.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload {
    /// A message.
    Message(Vec<u8>),
    /// A message that is the key's word, which the ledger will go by.
    Word(Word),
    /// The SHA-256 digest of a message that is not shown to us.
    Digest([u8; 32]),
}

/// A key's word, and what it says: read from the very bytes that would be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The bytes.
    pub message: Vec<u8>,
    /// What it is for: [`Kind::Consent`], [`Kind::Association`] or [`Kind::Approval`].
    pub kind: Kind,
    /// All of it, one line each.
    pub lines: Vec<String>,
}

impl Word {
    /// Reads a message that is the key's word on this ledger, with what is told of it; none if it is anything else.
    pub(super) fn read(
        message: &[u8],
        of: (&[u8; 32], &[u8; 32]),
        told: Option<&keyward_proto::custody::Word>,
    ) -> Option<Self> {
        let (kind, lines) = match attempt_consent(message, of.0, of.1) {
            Some(AttemptConsent { fingerprint, not_after }) => {
                let line = format!(
                    "consent to one attempt at somebody's vault, request {fingerprint}, which counts up to height \
                     {not_after}: compare these digits with the person who recovers, by voice"
                );
                (Kind::Consent, vec![line])
            }
            None => {
                let word::Told { about, lines } = word::told(message, of, told?)?;
                let kind = match about {
                    word::Subject::Association => Kind::Association,
                    word::Subject::Approval => Kind::Approval,
                };
                (kind, lines)
            }
        };
        Some(Self { message: message.to_vec(), kind, lines })
    }
}

impl Payload {
    /// SHA-256 of the message.
    pub fn hash(&self) -> [u8; 32] {
        match self {
            Self::Message(message) | Self::Word(Word { message, .. }) => Sha256::digest(message).into(),
            Self::Digest(digest) => *digest,
        }
    }

    /// The message's length; a digest counts as its own 32 bytes.
    pub const fn len(&self) -> usize {
        match self {
            Self::Message(message) | Self::Word(Word { message, .. }) => message.len(),
            Self::Digest(digest) => digest.len(),
        }
    }

    /// Whether there is nothing to sign.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message(message) => write!(f, "Message({} bytes)", message.len()),
            Self::Word(word) => write!(f, "Word({})", word.kind.name()),
            Self::Digest(_) => f.write_str("Digest"),
        }
    }
}

/// What kind of bytes these look like. Nothing is parsed yet: it is a look at the first and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Text that begins like XML.
    Xml,
    /// Text that begins and ends like JSON.
    Json,
    /// Other UTF-8 text.
    Text,
    /// Anything else.
    Bytes,
    /// The key's word for an attempt at somebody's vault.
    Consent,
    /// The key's word for a change of an association, or a dispute of it.
    Association,
    /// The key's word in an approval case: asking, approving, refusing, taking back, using up.
    Approval,
    /// A digest: what it stands for is not known here.
    Digest,
}

impl Kind {
    /// The word in rules and output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xml => "xml",
            Self::Json => "json",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Consent => "consent",
            Self::Association => "association",
            Self::Approval => "approval",
            Self::Digest => "digest",
        }
    }
}

/// A payload in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What it looks like.
    pub kind: Kind,
    /// Its beginning, of a word all of it; without a character that could move a terminal's cursor or hide another.
    pub text: String,
    /// Its length.
    pub bytes: usize,
    /// SHA-256 of the message.
    pub sha256: [u8; 32],
}

impl Summary {
    /// Looks at a payload.
    pub fn of(payload: &Payload) -> Self {
        let (kind, text) = match payload {
            Payload::Digest(_) => {
                (Kind::Digest, String::from("a digest alone: the message is not shown to this desk"))
            }
            // In full: whoever signs has read it.
            Payload::Word(word) => {
                let lines = word.lines.iter().map(|line| shown(line, usize::MAX));
                (word.kind, lines.collect::<Vec<_>>().join("\n    "))
            }
            Payload::Message(message) => look(message),
        };
        Self { kind, text, bytes: payload.len(), sha256: payload.hash() }
    }
}

fn look(message: &[u8]) -> (Kind, String) {
    let Ok(text) = std::str::from_utf8(message) else {
        let first: Vec<u8> = message.iter().copied().take(16).collect();
        return (Kind::Bytes, format!("bytes that begin with {}", hex::encode(first)));
    };
    let trimmed = text.trim();
    let kind = if trimmed.starts_with("<?xml") || (trimmed.starts_with('<') && trimmed.ends_with('>')) {
        Kind::Xml
    } else if trimmed.starts_with('{') && trimmed.ends_with('}')
        || trimmed.starts_with('[') && trimmed.ends_with(']')
    {
        Kind::Json
    } else {
        Kind::Text
    };
    (kind, shown(text, SHOWN_CHARS_MAX))
}

/// Text that is safe to print: at most so many characters, everything but letters, digits, ASCII signs and single
/// blanks is escaped, so that it neither moves the cursor nor hides or reorders what stands beside it.
pub fn shown(text: &str, chars_max: usize) -> String {
    let mut out = String::new();
    let mut blank = false;
    let mut left = chars_max;
    for c in text.chars() {
        if left == 0 {
            out.push_str(" ..");
            break;
        }
        if matches!(c, ' ' | '\n' | '\t' | '\r') {
            blank = !out.is_empty();
            continue;
        }
        if std::mem::take(&mut blank) {
            out.push(' ');
        }
        if c.is_ascii_graphic() || c.is_alphanumeric() {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
        left -= 1;
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    fn kind(message: &[u8]) -> Kind {
        Summary::of(&Payload::Message(message.to_vec())).kind
    }

    #[test]
    fn a_payload_is_named_by_what_it_looks_like() {
        assert_eq!(kind(b"<?xml version=\"1.0\"?><Document/>"), Kind::Xml);
        assert_eq!(kind(b" <Document></Document>\n"), Kind::Xml);
        assert_eq!(kind(b"{\"amount\": 1}"), Kind::Json);
        assert_eq!(kind(b"pay 12 EUR"), Kind::Text);
        assert_eq!(kind(b""), Kind::Text);
        assert_eq!(kind(&[0xff, 0xfe]), Kind::Bytes);
        assert_eq!(Summary::of(&Payload::Digest([1; 32])).kind, Kind::Digest);
        assert_eq!(Summary::of(&Payload::Digest([1; 32])).sha256, [1; 32]);
    }

    #[test]
    fn a_word_is_shown_as_what_it_is_in_full_and_moves_no_cursor() {
        let (message, lines) = (vec![1, 2], vec!["a".repeat(500), "pay\u{1b}[2K".to_owned()]);
        let summary =
            Summary::of(&Payload::Word(Word { message: message.clone(), kind: Kind::Approval, lines }));
        assert_eq!((summary.kind, summary.bytes), (Kind::Approval, 2));
        assert_eq!(summary.sha256, Payload::Message(message).hash());
        assert_eq!(summary.text, format!("{}\n    pay\\u{{1b}}[2K", "a".repeat(500)));
    }

    #[test]
    fn what_is_shown_cannot_move_the_cursor_or_hide_anything() {
        let evil = "pay 1\u{1b}[2K\rpay 1000000\u{202e}fdp\u{200b}\u{7}\0";
        let shown = shown(evil, 200);
        assert_eq!(shown, "pay 1\\u{1b}[2K pay 1000000\\u{202e}fdp\\u{200b}\\u{7}\\u{0}");
        assert!(super::shown(&"x".repeat(1000), 160).len() < 170);
        assert_eq!(super::shown("Zürich \u{00a0}1", 20), "Zürich \\u{a0}1");
    }
}
