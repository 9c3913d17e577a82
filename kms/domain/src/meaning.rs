//! What a payload says, read from the payload itself: amounts and destinations for approvers, policies and limits.
//!
//! Nobody says in words what is signed: the words come from the bytes whose digest is signed, or there are none. What cannot be
//! read is opaque, and a reader refuses rather than passes over what it does not know.

use std::fmt;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

mod bytes;
mod ethereum;
mod pain;
mod psbt;
#[cfg(test)]
mod tests;
mod words;

/// The longest payload that is read: 1 MiB.
pub const PAYLOAD_LEN_MAX: usize = 1 << 20;
/// The longest account, address or script (in hex) that is read.
pub const TEXT_LEN_MAX: usize = 1 << 15;
/// The most transfers of one payload.
pub const TRANSFERS_MAX: usize = 1024;
const LABEL: &[u8] = b"\x12keyward/meaning/v1";

/// How a payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Form {
    /// A digest that says nothing of itself.
    Opaque = 0,
    /// An unsigned Ethereum transaction of type 0 (with EIP-155's chain id), 1 (EIP-2930) or 2 (EIP-1559).
    Ethereum = 1,
    /// A partially signed Bitcoin transaction, version 0 (BIP 174).
    BitcoinPsbt = 2,
    /// A customer credit transfer initiation of ISO 20022, pain.001.001.03 to .12.
    Pain001 = 3,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 4] = [Self::Opaque, Self::Ethereum, Self::BitcoinPsbt, Self::Pain001];

    /// The name in commands, policies and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opaque => "opaque",
            Self::Ethereum => "ethereum",
            Self::BitcoinPsbt => "bitcoin-psbt",
            Self::Pain001 => "pain.001",
        }
    }

    /// The form of a name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An exact amount: `value` times ten to the power of minus `decimals`, of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    /// How many of the smallest parts.
    pub value: u128,
    /// How many of its digits stand behind the point.
    pub decimals: u8,
    /// `wei`, `sat`, a currency's code, or a token's contract.
    pub unit: String,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = usize::from(self.decimals);
        let text = format!("{:0>width$}", self.value, width = digits + 1);
        let (whole, part) = text.split_at(text.len() - digits);
        let point = if part.is_empty() { "" } else { "." };
        write!(f, "{whole}{point}{part} {}", self.unit)
    }
}

/// Something that goes to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// How much.
    pub amount: Amount,
    /// To whom: an address, a script in hex, or an account.
    pub to: String,
}

/// A contract that is called with what nobody here understands, or created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The contract; nothing where one is created.
    pub to: Option<String>,
    /// The first four bytes of what it is told, where there are so many.
    pub selector: Option<[u8; 4]>,
}

/// What a payload says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// How it is written.
    pub form: Form,
    /// Where it counts, as CAIP-2 names chains; nothing where the payload does not say.
    pub network: Option<String>,
    /// What goes to whom, in the payload's order.
    pub transfers: Vec<Transfer>,
    /// What else it does, which nobody here understands: policy decides.
    pub calls: Vec<Call>,
    /// The most that it costs beside.
    pub fee: Option<Amount>,
    /// The digests that a signer of this payload signs.
    pub digests: Vec<[u8; 32]>,
}

/// Why a payload is not understood as said.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MeaningError {
    /// Longer than 1 MiB.
    #[error("a payload of {0} bytes is longer than {PAYLOAD_LEN_MAX}")]
    TooLong(usize),
    /// Not of this form.
    #[error("the payload is no {form}: {what}")]
    Malformed {
        /// The form.
        form: Form,
        /// What is wrong, in words.
        what: &'static str,
    },
    /// Of this form, and with something in it that is not read here: nothing may be passed over.
    #[error("the {form} payload has what is not read here: {what}")]
    Unread {
        /// The form.
        form: Form,
        /// What.
        what: &'static str,
    },
    /// What is to be signed is not what signers of this payload sign.
    #[error("the digest to be signed is not the payload's")]
    OtherDigest,
    /// The summary that was approved is not the payload's.
    #[error("the summary is not the payload's")]
    OtherSummary,
}

impl MeaningError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "MEANING_TOO_LONG",
            Self::Malformed { .. } => "MEANING_MALFORMED",
            Self::Unread { .. } => "MEANING_UNREAD",
            Self::OtherDigest => "MEANING_OTHER_DIGEST",
            Self::OtherSummary => "MEANING_OTHER_SUMMARY",
        }
    }
}

impl Meaning {
    /// Of a digest of which nothing is known.
    pub fn opaque(digest: [u8; 32]) -> Self {
        Self {
            form: Form::Opaque,
            network: None,
            transfers: Vec::new(),
            calls: Vec::new(),
            fee: None,
            digests: vec![digest],
        }
    }

    /// Reads a payload that is said to be of this form. An opaque one is the digest itself.
    pub fn read(form: Form, payload: &[u8]) -> Result<Self, MeaningError> {
        if payload.len() > PAYLOAD_LEN_MAX {
            return Err(MeaningError::TooLong(payload.len()));
        }
        let meaning = match form {
            Form::Opaque => match payload.try_into() {
                Ok(digest) => Self::opaque(digest),
                Err(_) => return Err(MeaningError::Malformed { form, what: "a digest has 32 bytes" }),
            },
            Form::Ethereum => ethereum::read(payload)?,
            Form::BitcoinPsbt => psbt::read(payload)?,
            Form::Pain001 => pain::read(payload)?,
        };
        if meaning.transfers.iter().any(|transfer| transfer.to.len() > TEXT_LEN_MAX) {
            return Err(MeaningError::Unread { form, what: "an account or script that is too long" });
        }
        Ok(meaning)
    }

    /// Reads a payload for whoever is to sign `digest` on the word of a summary: refused unless digest and summary are the
    /// payload's own.
    pub fn confirm(
        form: Form,
        payload: &[u8],
        digest: &[u8; 32],
        summary: &[u8; 32],
    ) -> Result<Self, MeaningError> {
        let meaning = Self::read(form, payload)?;
        if !meaning.digests.contains(digest) {
            return Err(MeaningError::OtherDigest);
        }
        if meaning.hash() != *summary {
            return Err(MeaningError::OtherSummary);
        }
        Ok(meaning)
    }

    /// Whether all of it is understood.
    pub fn is_clear(&self) -> bool {
        self.form != Form::Opaque && self.calls.is_empty()
    }

    /// What stands for it in an intent: `SHA-256(label || bytes)`.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest([LABEL, &self.encode()].concat()).into()
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, byte| {
        // INVARIANT: writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
