//! What delegates sign together: it goes from one to the next, as one line of text.

use keyward_domain::payload::MESSAGE_LEN_MAX;
use keyward_domain::recovery_login;
use keyward_ledger_core::ed25519;
use keyward_ledger_core::entry::{
    Act, Authored, DelegationAct, ENTRY_BYTES_MAX, Entry, Party, Recovery, RuleName,
};
use keyward_ledger_core::hash::{commitment, sha256};

use super::error::DelegationError;

const FORMAT: &str = "keyward-delegates-1";
/// The longest last message of a registration that is read; those that are made are a fraction of it.
const UPLOAD_BYTES_MAX: usize = 4096;

/// Something that delegates ask together, with the signatures that it has so far: that a recovery is opened or taken back, or
/// that a key of the account signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub(super) chain_id: [u8; 32],
    pub(super) with: With,
    pub(super) authored: Authored,
}

/// What goes to the service beside the entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum With {
    /// Nothing.
    Nothing,
    /// The registration of the new login.
    Login(NewLogin),
    /// What is to be signed.
    Payload(Payload),
}

/// What the service is to bind: the random name that the registration is keyed with, and its last message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewLogin {
    pub(super) name: [u8; 32],
    pub(super) upload: Vec<u8>,
}

/// What a delegated act has signed, and what opens its commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) r: [u8; 32],
    /// Under it the service does it once, however often it is asked.
    pub(super) mark: [u8; 16],
    pub(super) what: What,
}

/// A message, or the SHA-256 digest of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Message(Vec<u8>),
    Digest([u8; 32]),
}

impl Payload {
    /// SHA-256 of what is signed.
    pub(super) fn hash(&self) -> [u8; 32] {
        match &self.what {
            What::Message(message) => sha256(&[message]),
            What::Digest(digest) => *digest,
        }
    }
}

impl With {
    fn to_word(&self) -> String {
        match self {
            Self::Nothing => "-".to_owned(),
            Self::Login(NewLogin { name, upload }) => {
                format!("login:{}:{}", hex::encode(name), hex::encode(upload))
            }
            Self::Payload(Payload { r, mark, what }) => {
                let (kind, bytes) = match what {
                    What::Message(message) => ("message", message.as_slice()),
                    What::Digest(digest) => ("digest", digest.as_slice()),
                };
                format!("{kind}:{}:{}:{}", hex::encode(r), hex::encode(mark), hex::encode(bytes))
            }
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        if word == "-" {
            return Some(Self::Nothing);
        }
        let parts: Vec<_> = word.split(':').collect();
        Some(match parts.as_slice() {
            ["login", name, upload] if upload.len() <= 2 * UPLOAD_BYTES_MAX => {
                Self::Login(NewLogin { name: array(name)?, upload: hex::decode(upload).ok()? })
            }
            ["message", r, mark, message] if message.len() <= 2 * MESSAGE_LEN_MAX => {
                let what = What::Message(hex::decode(message).ok()?);
                Self::Payload(Payload { r: array(r)?, mark: array(mark)?, what })
            }
            ["digest", r, mark, digest] => {
                let what = What::Digest(array(digest)?);
                Self::Payload(Payload { r: array(r)?, mark: array(mark)?, what })
            }
            _ => return None,
        })
    }
}

fn array<const N: usize>(digits: &str) -> Option<[u8; N]> {
    hex::decode(digits).ok()?.try_into().ok()
}

impl Request {
    /// Reads a request, and checks what can be checked without asking anybody: the new key's proof, that the login is the
    /// one that will be signed, that the act is for exactly this payload.
    pub fn parse(text: &str) -> Result<Self, DelegationError> {
        let request = Self::read(text);
        let request =
            request.ok_or(DelegationError::Request { why: "it is not a line that this version writes" })?;
        request.check()?;
        Ok(request)
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (Some(FORMAT), Some(chain), Some(with), Some(entry), None) =
            (words.next(), words.next(), words.next(), words.next(), words.next())
        else {
            return None;
        };
        let entry = hex::decode(entry).ok().filter(|bytes| bytes.len() <= ENTRY_BYTES_MAX)?;
        let Ok(Entry::Authored(authored)) = Entry::decode(&entry) else { return None };
        Some(Self { chain_id: array(chain)?, with: With::of_word(with)?, authored })
    }

    fn check(&self) -> Result<(), DelegationError> {
        let why = match (&self.authored.act, &self.with) {
            (Act::Delegation(DelegationAct::OpenRecovery { recovery, proof }), With::Login(login)) => {
                if recovery.login != recovery_login(&login.name, &login.upload) {
                    "it brings another login than it names"
                } else if ed25519::verify(&recovery.public_key, &recovery.payload(&self.chain_id), proof)
                    .is_err()
                {
                    "the new key has not signed it"
                } else {
                    return Ok(());
                }
            }
            (Act::Delegation(DelegationAct::Operate { commitment: named, .. }), With::Payload(payload)) => {
                if *named == commitment(&payload.r, &payload.hash()) {
                    return Ok(());
                }
                "it brings something else to sign than it names"
            }
            (Act::Delegation(DelegationAct::CancelRecovery(_)), With::Nothing) => return Ok(()),
            _ => "it asks for nothing that delegates sign together",
        };
        Err(DelegationError::Request { why })
    }

    /// The line.
    pub fn to_text(&self) -> String {
        let entry = Entry::Authored(self.authored.clone()).encode();
        format!("{FORMAT} {} {} {}\n", hex::encode(self.chain_id), self.with.to_word(), hex::encode(entry))
    }

    /// Whether a key of the account is to sign.
    pub const fn is_act(&self) -> bool {
        matches!(self.with, With::Payload(_))
    }

    /// The message that is to be signed, for those who are to put their names to it; none where it is a digest.
    pub fn message(&self) -> Option<&[u8]> {
        match &self.with {
            With::Payload(Payload { what: What::Message(message), .. }) => Some(message),
            _ => None,
        }
    }

    /// What is asked, if a recovery is to be opened.
    pub fn recovery(&self) -> Option<&Recovery> {
        match &self.authored.act {
            Act::Delegation(DelegationAct::OpenRecovery { recovery, .. }) => Some(recovery),
            _ => None,
        }
    }

    /// The delegation that it goes by; none for one that takes a recovery back, which names a case alone.
    pub fn rule(&self) -> Option<RuleName> {
        match &self.authored.act {
            Act::Delegation(DelegationAct::OpenRecovery { recovery, .. }) => Some(recovery.rule),
            Act::Delegation(DelegationAct::Operate { rule, .. }) => Some(*rule),
            _ => None,
        }
    }

    /// The account that it is about.
    pub fn account(&self) -> Option<[u8; 32]> {
        self.rule().map(|rule| rule.owner)
    }

    /// What it asks, in words for who is to sign it.
    pub fn describe(&self) -> String {
        let short = |bytes: &[u8; 32]| hex::encode(bytes);
        match (&self.authored.act, &self.with) {
            (Act::Delegation(DelegationAct::OpenRecovery { recovery, .. }), _) => {
                format!("give account {} another login", short(&recovery.rule.owner))
            }
            (
                Act::Delegation(DelegationAct::Operate { rule, key_id, amount, .. }),
                With::Payload(payload),
            ) => format!(
                "sign with key {key_id} of account {}, amount {amount}, {}",
                short(&rule.owner),
                match &payload.what {
                    What::Message(message) => {
                        format!(
                            "a message of {} bytes with SHA-256 {}",
                            message.len(),
                            short(&payload.hash())
                        )
                    }
                    What::Digest(digest) => format!("the SHA-256 digest {}", short(digest)),
                }
            ),
            (Act::Delegation(DelegationAct::CancelRecovery(case)), _) => {
                format!("take back the recovery {}", short(&case.id))
            }
            _ => "nothing".to_owned(),
        }
    }

    /// Twenty hex digits that its maker and those who sign compare by voice, four by four; over everything that is signed.
    pub fn fingerprint(&self) -> String {
        let digits = hex::encode(self.authored.payload());
        let groups: Vec<_> = digits.as_bytes().chunks(4).take(5).map(String::from_utf8_lossy).collect();
        groups.join("-")
    }

    /// Whether somebody has read out this request's fingerprint, however they grouped its digits.
    pub(super) fn has_fingerprint(&self, heard: &str) -> bool {
        let digits = |text: &str| -> String {
            let kept = text.chars().filter(|digit| !digit.is_whitespace() && *digit != '-');
            kept.map(|digit| digit.to_ascii_lowercase()).collect()
        };
        digits(heard) == digits(&self.fingerprint())
    }

    /// The accounts that have signed.
    pub fn signed_by(&self) -> Vec<[u8; 32]> {
        let account = |party: &Party| match party {
            Party::Credential(account) => Some(*account),
            Party::Key(_) => None,
        };
        self.authored.authors.iter().filter_map(|author| account(&author.party)).collect()
    }
}

#[cfg(test)]
mod tests;
