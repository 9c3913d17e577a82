//! An act that several sign, each on its own side: a line of text that goes about until enough have.
//!
//! Nothing in it is secret, and who changes it makes it worthless. Who is asked to sign compares its
//! [`Petition::fingerprint`] with the person who made it, by voice: a stranger's looks the same.

use keyward_crypto::{SignError, SigningKey};
use keyward_ledger_core::contracts::authored::authored_message;
use keyward_ledger_core::entry::{Act, Author, Authored, ENTRY_BYTES_MAX, Entry, Party, kind};
use thiserror::Error;

const FORMAT: &str = "keyward-petition-1";

/// An act and the signatures that it has so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Petition {
    chain_id: [u8; 32],
    authored: Authored,
}

/// A signature that is still to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blank {
    /// Who is to sign.
    pub party: Party,
    /// Fresh random bytes: a signature is taken once.
    pub nonce: [u8; 32],
    /// The last height at which it counts.
    pub not_after: u64,
}

/// Why a petition cannot be read or signed.
#[derive(Debug, Error)]
pub enum PetitionError {
    /// It is none.
    #[error("it is not a line that this version writes")]
    Malformed,
    /// Nobody signs twice.
    #[error("it bears the signature of {} already", party_words(*.0))]
    SignedBefore(Party),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[source] getrandom::Error),
    /// The signature could not be made.
    #[error("it could not be signed")]
    Sign(#[source] SignError),
}

/// A party in words.
pub fn party_words(party: Party) -> String {
    match party {
        Party::Credential(account) => format!("account {}", hex::encode(account)),
        Party::Key(key_id) => format!("key {key_id}"),
    }
}

impl Petition {
    /// An act on one ledger that nobody has signed yet.
    pub const fn new(chain_id: [u8; 32], act: Act) -> Self {
        Self { chain_id, authored: Authored { act, authors: Vec::new() } }
    }

    /// Reads the line. Whether its signatures are any is not looked at.
    pub fn parse(text: &str) -> Result<Self, PetitionError> {
        let mut words = text.split_ascii_whitespace();
        let (Some(FORMAT), Some(chain), Some(entry), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(PetitionError::Malformed);
        };
        let chain_id = hex::decode(chain).ok().and_then(|bytes| bytes.try_into().ok());
        let entry = hex::decode(entry).ok().filter(|bytes| bytes.len() <= ENTRY_BYTES_MAX);
        let (Some(chain_id), Some(entry)) = (chain_id, entry) else { return Err(PetitionError::Malformed) };
        match Entry::decode(&entry) {
            Ok(Entry::Authored(authored)) => Ok(Self { chain_id, authored }),
            _ => Err(PetitionError::Malformed),
        }
    }

    /// The line: the format's name, the chain id, and the entry with its signatures so far, both in hex.
    pub fn to_text(&self) -> String {
        let entry = Entry::Authored(self.authored.clone()).encode();
        format!("{FORMAT} {} {}\n", hex::encode(self.chain_id), hex::encode(entry))
    }

    /// The ledger it is for.
    pub const fn chain_id(&self) -> &[u8; 32] {
        &self.chain_id
    }

    /// What is to be done.
    pub const fn act(&self) -> &Act {
        &self.authored.act
    }

    /// The signatures, ascending by who made them.
    pub fn authors(&self) -> &[Author] {
        &self.authored.authors
    }

    /// Whether both ask for the same on the same ledger, whoever has signed.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.chain_id == other.chain_id && self.authored.act == other.authored.act
    }

    /// What the ledger takes once enough have signed.
    pub fn entry(&self) -> Entry {
        Entry::Authored(self.authored.clone())
    }

    /// Twenty hex digits that its maker and those who sign compare by voice, four by four; over everything that is signed.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.authored.payload())
    }

    /// A signature's place.
    pub fn blank(&self, party: Party, not_after: u64) -> Result<Blank, PetitionError> {
        Blank::new(party, not_after).map_err(PetitionError::Randomness)
    }

    /// The bytes that the party signs.
    pub fn message(&self, blank: &Blank) -> Vec<u8> {
        blank.message(&self.chain_id, &self.authored.act)
    }

    /// Signs with an account's credential.
    pub fn sign_as_account(
        &mut self,
        account: [u8; 32],
        credential: &SigningKey,
        not_after: u64,
    ) -> Result<(), PetitionError> {
        self.sign(Party::Credential(account), credential, not_after)
    }

    /// Signs with a key of this side.
    pub fn sign_as_key(&mut self, key: &SigningKey, not_after: u64) -> Result<(), PetitionError> {
        self.sign(Party::Key(key.public_key().id()), key, not_after)
    }

    pub(crate) fn sign(
        &mut self,
        party: Party,
        key: &SigningKey,
        not_after: u64,
    ) -> Result<(), PetitionError> {
        let blank = self.blank(party, not_after)?;
        let author = blank.sign(&self.chain_id, &self.authored.act, key).map_err(PetitionError::Sign)?;
        self.add(author)
    }

    /// Takes a party's signature out, for another one of it.
    pub(crate) fn forget(&mut self, party: Party) {
        self.authored.authors.retain(|author| author.party != party);
    }

    /// Adds a signature that was made elsewhere.
    pub fn add(&mut self, author: Author) -> Result<(), PetitionError> {
        let authors = &mut self.authored.authors;
        match authors.binary_search_by_key(&author.party, |author| author.party) {
            Ok(_) => Err(PetitionError::SignedBefore(author.party)),
            Err(place) => {
                authors.insert(place, author);
                Ok(())
            }
        }
    }
}

impl Blank {
    pub(crate) fn new(party: Party, not_after: u64) -> Result<Self, getrandom::Error> {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce)?;
        Ok(Self { party, nonce, not_after })
    }

    fn message(&self, chain_id: &[u8; 32], act: &Act) -> Vec<u8> {
        authored_message(chain_id, act.kind(), &act.payload(), self.party, &self.nonce, self.not_after)
    }

    /// Filled in with a key of this side: the party's own.
    pub(crate) fn sign(self, chain_id: &[u8; 32], act: &Act, key: &SigningKey) -> Result<Author, SignError> {
        let signature = key.sign_message(&self.message(chain_id, act))?;
        let public_key = match self.party {
            Party::Credential(_) => Vec::new(),
            Party::Key(_) => key.public_key().as_bytes().to_vec(),
        };
        Ok(self.signed(public_key, signature))
    }

    /// Filled in; the public key is empty for a credential, which the ledger knows.
    pub const fn signed(self, public_key: Vec<u8>, signature: Vec<u8>) -> Author {
        let Self { party, nonce, not_after } = self;
        Author { party, nonce, not_after, public_key, signature }
    }
}

pub(crate) fn fingerprint(payload: &[u8; 32]) -> String {
    let digits = hex::encode(payload);
    let groups: Vec<_> = digits.as_bytes().chunks(4).take(5).map(String::from_utf8_lossy).collect();
    groups.join("-")
}

/// A key's consent to an attempt at a vault, read from the bytes that it would sign.
pub(crate) struct AttemptConsent {
    pub(crate) fingerprint: String,
    /// The last height at which it counts.
    pub(crate) not_after: u64,
}

/// Reads what a key is asked to sign: none if it is anything else than its own consent to an attempt on this ledger.
pub(crate) fn attempt_consent(
    message: &[u8],
    chain_id: &[u8; 32],
    key_id: &[u8; 32],
) -> Option<AttemptConsent> {
    // The payload stands before the party (33 bytes), the nonce (32) and the height (8).
    let (rest, _tail) = message.split_last_chunk::<73>()?;
    let (_rest, payload) = rest.split_last_chunk::<32>()?;
    let not_after = own_word(message, (chain_id, key_id), kind::ATTEMPT_VAULT, payload)?;
    Some(AttemptConsent { fingerprint: fingerprint(payload), not_after })
}

/// The last height at which a message counts as a key's own word, on a ledger, for the act of a kind with a payload; none if it
/// is anything else.
pub(crate) fn own_word(
    message: &[u8],
    (chain_id, key_id): (&[u8; 32], &[u8; 32]),
    kind: u16,
    payload: &[u8; 32],
) -> Option<u64> {
    let party = Party::Key(keyward_domain::scheme::KeyId(*key_id));
    let (rest, height) = message.split_last_chunk::<8>()?;
    let (_rest, nonce) = rest.split_last_chunk::<32>()?;
    let not_after = u64::from_be_bytes(*height);
    let again = authored_message(chain_id, kind, payload, party, nonce, not_after);
    (again == message).then_some(not_after)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_domain::scheme::Scheme;
    use keyward_ledger_core::entry::{RuleName, VaultAct, VaultAttempt};

    use super::*;

    const CHAIN: [u8; 32] = [0xcc; 32];

    fn attempt(element: u8) -> Act {
        let vault = RuleName { owner: [1; 32], name: [2; 32] };
        let (version, share_version, reply_key) = (1, 1, [4; 32]);
        Act::Vault(VaultAct::Attempt(VaultAttempt {
            vault,
            version,
            share_version,
            element: [element; 32],
            reply_key,
        }))
    }

    fn key(number: u8) -> SigningKey {
        SigningKey::from_secret(Scheme::Ed25519, &[number; 32]).unwrap()
    }

    #[test]
    fn a_petition_comes_back_from_its_line_with_those_who_signed_in_their_order() {
        let mut made = Petition::new(CHAIN, attempt(3));
        let before = made.fingerprint();
        made.sign_as_key(&key(9), 77).unwrap();
        made.sign_as_account([5; 32], &key(8), 78).unwrap();
        let again = Petition::parse(&made.to_text()).unwrap();
        assert_eq!((&again, again.fingerprint()), (&made, before.clone()));
        assert_eq!(again.authors()[0].party, Party::Credential([5; 32]));
        assert_eq!(before.len(), 24, "twenty digits in five groups");
        assert_ne!(Petition::new(CHAIN, attempt(4)).fingerprint(), before);
        let twice = made.sign_as_key(&key(9), 79).unwrap_err();
        assert!(matches!(twice, PetitionError::SignedBefore(Party::Key(_))), "{twice}");
    }

    #[test]
    fn what_is_no_line_of_this_version_is_refused() {
        let text = Petition::new(CHAIN, attempt(3)).to_text();
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        let (entry, more) = (words[2], format!("{text} more"));
        let later = text.replacen(FORMAT, "keyward-petition-2", 1);
        let long = text.replace(entry, &"00".repeat(ENTRY_BYTES_MAX + 1));
        let cut = &text[..text.len() - 3];
        for bad in ["", FORMAT, &later, &more, cut, &long, &text.replace(entry, "zz")] {
            assert!(matches!(Petition::parse(bad), Err(PetitionError::Malformed)), "{bad}");
        }
    }

    #[test]
    fn only_a_keys_own_consent_to_an_attempt_on_this_ledger_is_read_as_one() {
        let (petition, id) = (Petition::new(CHAIN, attempt(3)), [6; 32]);
        let party = Party::Key(keyward_domain::scheme::KeyId(id));
        let message = petition.message(&petition.blank(party, 1000).unwrap());
        let read = attempt_consent(&message, &CHAIN, &id).unwrap();
        assert_eq!((read.fingerprint, read.not_after), (petition.fingerprint(), 1000));
        assert!(attempt_consent(&message, &[0; 32], &id).is_none(), "another ledger");
        assert!(attempt_consent(&message, &CHAIN, &[7; 32]).is_none(), "another key");
        assert!(attempt_consent(&message[..message.len() - 1], &CHAIN, &id).is_none());
        assert!(attempt_consent(&[&message[..], &[0]].concat(), &CHAIN, &id).is_none());
        let account = petition.blank(Party::Credential(id), 1000).unwrap();
        assert!(attempt_consent(&petition.message(&account), &CHAIN, &id).is_none(), "not a key");
        let destroy = VaultAct::Destroy { vault: RuleName { owner: [1; 32], name: [2; 32] }, version: 1 };
        let other = Petition::new(CHAIN, Act::Vault(destroy));
        let message = other.message(&other.blank(party, 1000).unwrap());
        assert!(attempt_consent(&message, &CHAIN, &id).is_none(), "another act");
    }
}
