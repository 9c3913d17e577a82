//! The trust file: one line that says which ledger a verifier means, and perhaps a later block that it pins.
//!
//! `keyward-trust-1 <name> <genesis hash>[ <height> <block digest> <set hash> <check>]` and a line feed.

use thiserror::Error;

use crate::codec::parse_hex32;
use crate::genesis::is_name;
use crate::hash::{Hash, Tag};

const FORMAT: &str = "keyward-trust-1";
/// The longest trust file.
pub const TRUST_BYTES_MAX: usize = 512;

/// What a verifier trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The ledger's name.
    pub name: String,
    /// The genesis hash.
    pub chain_id: Hash,
    /// A later block that is pinned.
    pub checkpoint: Option<Checkpoint>,
}

/// A pinned block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its height, at least 1.
    pub height: u64,
    /// Its digest.
    pub digest: Hash,
    /// The `set_hash` in its header.
    pub set_hash: Hash,
}

/// Why bytes are not a trust file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TrustError {
    /// Too long, or not one line of ASCII that ends with a line feed.
    #[error("the trust file is not one line of text that ends with a line feed")]
    NotALine,
    /// Another format.
    #[error("the trust file does not start with `{FORMAT}`")]
    Format,
    /// The number of fields is wrong.
    #[error("the trust file has {count} fields, 3 or 7 are needed")]
    Fields {
        /// How many there are.
        count: usize,
    },
    /// A field breaks its rule.
    #[error("the trust file's `{what}` is malformed")]
    Field {
        /// The field.
        what: &'static str,
    },
    /// The checksum does not fit.
    #[error("the trust file's checkpoint does not fit its check")]
    Check,
}

impl Trust {
    /// Trust in a ledger from its genesis.
    pub const fn genesis(name: String, chain_id: Hash) -> Self {
        Self { name, chain_id, checkpoint: None }
    }

    /// The line.
    pub fn encode(&self) -> String {
        let line = format!("{FORMAT} {} {}", self.name, hex::encode(self.chain_id));
        let Some(checkpoint) = &self.checkpoint else { return line + "\n" };
        let digest = hex::encode(checkpoint.digest);
        let line = format!("{line} {} {digest} {}", checkpoint.height, hex::encode(checkpoint.set_hash));
        let check = check(&line);
        line + " " + &check + "\n"
    }

    /// Decodes exactly one line.
    pub fn decode(bytes: &[u8]) -> Result<Self, TrustError> {
        let line =
            std::str::from_utf8(bytes).ok().filter(|line| line.len() <= TRUST_BYTES_MAX && line.is_ascii());
        let line = line.and_then(|line| line.strip_suffix('\n')).ok_or(TrustError::NotALine)?;
        let fields: Vec<_> = line.split(' ').collect();
        match *fields.as_slice() {
            [format, ..] if format != FORMAT => Err(TrustError::Format),
            [_, name, chain_id] => {
                Ok(Self::genesis(parse_name(name)?, parse_hash("genesis hash", chain_id)?))
            }
            [_, name, chain_id, height, digest, set_hash, found] => {
                let trust = Self {
                    name: parse_name(name)?,
                    chain_id: parse_hash("genesis hash", chain_id)?,
                    checkpoint: Some(Checkpoint {
                        height: parse_height(height)?,
                        digest: parse_hash("block digest", digest)?,
                        set_hash: parse_hash("set hash", set_hash)?,
                    }),
                };
                let covered = line.len() - found.len() - 1;
                let expected = line.get(..covered).map(check);
                if expected.as_deref() == Some(found) { Ok(trust) } else { Err(TrustError::Check) }
            }
            _ => Err(TrustError::Fields { count: fields.len() }),
        }
    }
}

/// The first 8 bytes of a tagged hash over the line before it, in hex: whoever edits the line notices.
fn check(line: &str) -> String {
    let mut text = hex::encode(Tag::Checkpoint.hash(&[line.as_bytes()]));
    text.truncate(16);
    text
}

fn parse_name(name: &str) -> Result<String, TrustError> {
    if is_name(name) { Ok(name.to_owned()) } else { Err(TrustError::Field { what: "name" }) }
}

fn parse_hash(what: &'static str, text: &str) -> Result<Hash, TrustError> {
    parse_hex32(text).ok_or(TrustError::Field { what })
}

fn parse_height(text: &str) -> Result<u64, TrustError> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| canonical).ok_or(TrustError::Field { what: "height" })
}
