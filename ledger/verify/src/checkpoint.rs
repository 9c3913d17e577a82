//! Checkpoints of the log for the tools of others: C2SP signed-note, tlog-checkpoint and tlog-cosignature.
//!
//! A checkpoint says size and root of the log. Each validator signs it with a key of its own, under two names: as the log
//! (so that any witness takes it), and as a cosigner with the time. Receipts do not rest on it.

use keyward_ledger_core::ed25519::{self, SigningKey, VerifyingKey};
use keyward_ledger_core::hash::{Hash, sha256};
use thiserror::Error;

use crate::base64;

/// The longest note.
pub const NOTE_BYTES_MAX: usize = 1 << 20;
/// The most signatures of one note.
pub const SIGNATURES_MAX: usize = 512;

const BINDING_LABEL: &[u8] = b"keyward/checkpoint-key/v1";
const SEPARATOR: &str = "\n\n";
const SIGNATURE_MARK: &str = "\u{2014} ";

/// Why bytes are not a checkpoint of the log, or a signature on one does not count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// The note is not one of the form that this ledger writes.
    #[error("the checkpoint is malformed: {why}")]
    Malformed {
        /// What is wrong.
        why: &'static str,
    },
    /// The checkpoint is about another log.
    #[error("the checkpoint is about `{found}`, not `{wanted}`")]
    Origin {
        /// The first line of the note.
        found: String,
        /// The log that was asked about.
        wanted: String,
    },
    /// Two notes to merge are about different states of the log.
    #[error("the checkpoints are not of the same size and root")]
    Different,
    /// The key of a verifier line is refused.
    #[error("`{key}` is no key of a checkpoint")]
    Key {
        /// The line.
        key: String,
    },
}

const fn malformed(why: &'static str) -> CheckpointError {
    CheckpointError::Malformed { why }
}

/// The first line of every checkpoint: `keyward/<ledger name>/<chain id in hex>`.
pub fn origin(ledger: &str, chain_id: &Hash) -> String {
    let hex: String = chain_id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("keyward/{ledger}/{hex}")
}

/// What a validator signs, with its consensus key, of its checkpoint key: `u8 25 || "keyward/checkpoint-key/v1" ||
/// chain id[32] || checkpoint key[32]`.
pub fn binding_message(chain_id: &Hash, checkpoint_key: &[u8; 32]) -> Vec<u8> {
    // INVARIANT: the label is shorter than 256 bytes.
    let length = u8::try_from(BINDING_LABEL.len()).unwrap_or(u8::MAX);
    [[length].as_slice(), BINDING_LABEL, chain_id, checkpoint_key].concat()
}

/// What a key signs of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The note itself (signed-note, type 1), in the log's name.
    Log,
    /// The note at a time (tlog-cosignature, type 4), in the validator's name.
    Cosignature,
}

impl Form {
    const fn code(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Cosignature => 4,
        }
    }
}

/// The public side of a checkpoint key: `<name>+<id in hex>+<base64 of type and key>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    /// The origin, or the origin and the start of the key in hex.
    pub name: String,
    /// What it verifies.
    pub form: Form,
    /// The Ed25519 key.
    pub public_key: [u8; 32],
}

impl Verifier {
    /// The two names of a validator's key.
    pub fn of(origin: &str, public_key: [u8; 32]) -> [Self; 2] {
        let start: String = public_key.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        [
            Self { name: origin.to_owned(), form: Form::Log, public_key },
            Self { name: format!("{origin}/{start}"), form: Form::Cosignature, public_key },
        ]
    }

    /// The first four bytes of `SHA-256(name || 0x0a || type || key)`.
    pub fn id(&self) -> [u8; 4] {
        let hash = sha256(&[self.name.as_bytes(), b"\n", &[self.form.code()], &self.public_key]);
        hash.first_chunk().copied().unwrap_or_default()
    }

    /// The line that is given to tools.
    pub fn line(&self) -> String {
        let id: String = self.id().iter().map(|byte| format!("{byte:02x}")).collect();
        let key = [[self.form.code()].as_slice(), &self.public_key].concat();
        format!("{}+{id}+{}", self.name, base64::encode(&key))
    }

    /// Reads a line; the id must be the key's.
    pub fn parse(line: &str) -> Result<Self, CheckpointError> {
        let refused = || CheckpointError::Key { key: line.to_owned() };
        let mut parts = line.splitn(3, '+');
        let (Some(name), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(refused());
        };
        let key = base64::decode(key).ok_or_else(refused)?;
        let form = match key.first() {
            Some(1) => Form::Log,
            Some(4) => Form::Cosignature,
            _ => return Err(refused()),
        };
        let public_key = key.get(1..).and_then(|key| key.try_into().ok()).ok_or_else(refused)?;
        let verifier = Self { name: name.to_owned(), form, public_key };
        let usable = is_name(name) && VerifyingKey::parse(&public_key).is_ok() && verifier.line() == line;
        if usable { Ok(verifier) } else { Err(refused()) }
    }
}

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCheckpoint {
    /// Which log.
    pub origin: String,
    /// How many records it has.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

impl LogCheckpoint {
    /// The text that is signed: three lines, each ended by a line feed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, base64::encode(&self.root))
    }

    /// The checkpoint with both signatures of one validator, at a time in seconds since 1970.
    pub fn sign(&self, key: &SigningKey, time_s: u64) -> Note {
        let text = self.text();
        let [log, cosigner] = Verifier::of(&self.origin, key.public_key());
        let plain = key.sign(text.as_bytes());
        let timed = key.sign(cosignature_message(&text, time_s).as_bytes());
        let line = |verifier: &Verifier, parts: &[&[u8]]| SignatureLine {
            name: verifier.name.clone(),
            bytes: [[verifier.id().as_slice()].as_slice(), parts].concat().concat(),
        };
        let signatures =
            vec![line(&log, &[&plain]), line(&cosigner, &[&time_s.to_be_bytes(), timed.as_slice()])];
        Note { checkpoint: self.clone(), signatures }
    }
}

/// What a cosigner signs.
fn cosignature_message(text: &str, time_s: u64) -> String {
    format!("cosignature/v1\ntime {time_s}\n{text}")
}

/// One signature: who says to have made it, and `key id[4] || signature[64]` or `key id[4] || time u64 ||
/// signature[64]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    /// The key's name.
    pub name: String,
    /// Key id and signature.
    pub bytes: Vec<u8>,
}

/// A checkpoint and its signatures, some of which may be of keys that nobody here knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What is signed.
    pub checkpoint: LogCheckpoint,
    /// Who signed.
    pub signatures: Vec<SignatureLine>,
}

impl Note {
    /// The note as text.
    pub fn encode(&self) -> String {
        let line =
            |it: &SignatureLine| format!("{SIGNATURE_MARK}{} {}\n", it.name, base64::encode(&it.bytes));
        format!("{}\n{}", self.checkpoint.text(), self.signatures.iter().map(line).collect::<String>())
    }

    /// Reads a note about one log. Extension lines are refused: this ledger writes none.
    pub fn parse(text: &str, wanted: &str) -> Result<Self, CheckpointError> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let (body, signatures) = text.split_once(SEPARATOR).ok_or(malformed("it has no signatures"))?;
        let mut lines = body.split('\n');
        let (Some(found), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(malformed("it does not have three lines"));
        };
        if found != wanted {
            return Err(CheckpointError::Origin { found: found.to_owned(), wanted: wanted.to_owned() });
        }
        let root = base64::decode(root).and_then(|root| root.try_into().ok());
        let root = root.ok_or(malformed("the root is not 32 bytes in base64"))?;
        let value: u64 = size.parse().or(Err(malformed("the size is no number")))?;
        if value.to_string() != size {
            return Err(malformed("the size is not written shortest"));
        }
        let signatures = signatures.strip_suffix('\n').ok_or(malformed("the last line has no end"))?;
        let signatures: Vec<_> = signatures.split('\n').map(read_signature).collect::<Result<_, _>>()?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(malformed("it has too many signatures"));
        }
        Ok(Self { checkpoint: LogCheckpoint { origin: found.to_owned(), size: value, root }, signatures })
    }

    /// Adds the signatures of another note about the same state of the log, each once.
    pub fn merge(&mut self, other: &Self) -> Result<(), CheckpointError> {
        if self.checkpoint != other.checkpoint {
            return Err(CheckpointError::Different);
        }
        for signature in &other.signatures {
            if !self.signatures.contains(signature) && self.signatures.len() < SIGNATURES_MAX {
                self.signatures.push(signature.clone());
            }
        }
        Ok(())
    }

    /// Whether a key signed the checkpoint: its time in seconds since 1970, or 0 for the log's own form.
    pub fn signed_by(&self, verifier: &Verifier) -> Option<u64> {
        let text = self.checkpoint.text();
        self.signatures.iter().find_map(|line| {
            let signed = line.bytes.strip_prefix(&verifier.id()).filter(|_| line.name == verifier.name)?;
            let (time_s, message, signature) = match verifier.form {
                Form::Log => (0, text.clone(), signed),
                Form::Cosignature => {
                    let (time, signature) = signed.split_first_chunk()?;
                    let time_s = u64::from_be_bytes(*time);
                    (time_s, cosignature_message(&text, time_s), signature)
                }
            };
            ed25519::verify(&verifier.public_key, message.as_bytes(), signature).ok().map(|()| time_s)
        })
    }
}

fn read_signature(line: &str) -> Result<SignatureLine, CheckpointError> {
    let rest = line.strip_prefix(SIGNATURE_MARK).ok_or(malformed("a signature line has another start"))?;
    let (name, bytes) = rest.split_once(' ').ok_or(malformed("a signature line has no name"))?;
    let bytes = base64::decode(bytes).ok_or(malformed("a signature is not base64"))?;
    if !is_name(name) || bytes.len() < 5 {
        return Err(malformed("a signature line has no name or no signature"));
    }
    Ok(SignatureLine { name: name.to_owned(), bytes })
}

/// Names hold no space and no plus sign (signed-note, "Signatures").
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|char| char.is_whitespace() || char == '+')
}

/// The body of a witness's `add-checkpoint` (tlog-witness): `old <size>`, the proof, an empty line, the note.
pub fn add_checkpoint_body(old_size: u64, proof: &[Hash], note: &Note) -> String {
    let proof: String = proof.iter().map(|hash| base64::encode(hash) + "\n").collect();
    format!("old {old_size}\n{proof}\n{}", note.encode())
}
