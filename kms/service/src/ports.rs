//! What the use cases need of the world: ledger, tokens, the key-encryption key, the clock.

use std::{error::Error, future::Future, num::NonZeroU32, ops::RangeInclusive, pin::Pin};

use bytes::Bytes;
use keyward_crypto::SecretBytes;
use keyward_domain::scheme::{PublicKey, Scheme};
use keyward_ledger_core::{entry::Entry, outcome::Outcome, receipt::Released};
use keyward_proto::custody as proto;
use keyward_store::Id;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// An answer under way.
pub(crate) type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A cause that crosses a port.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// Unix milliseconds.
pub(crate) trait Clock: Send + Sync {
    fn now_ms(&self) -> u64;
}

/// The ledger, seen by one submitter.
pub(crate) trait Ledger: Send + Sync {
    fn chain_id(&self) -> [u8; 32];
    fn submitter(&self) -> [u8; 32];
    /// The newest verified height.
    fn height(&self) -> u64;
    fn trust_line(&self) -> String;
    /// Answers when the entry's record is final and verified; it may have been refused.
    fn commit(&self, entry: Entry) -> Later<'_, Result<Box<dyn Final>, LedgerError>>;
    /// The same for an entry that nobody waits for: it may come a little later, so that it costs less.
    fn commit_later(&self, entry: Entry) -> Later<'_, Result<Box<dyn Final>, LedgerError>> {
        self.commit(entry)
    }
    /// The accepted record of exactly this entry by any submitter, in a block of these heights.
    fn accepted_within(
        &self,
        heights: RangeInclusive<u64>,
        entry: Entry,
    ) -> Later<'_, Result<Option<Box<dyn Final>>, LedgerError>>;
    /// The verified value of a state key.
    fn state(&self, key: Vec<u8>) -> Later<'_, Result<Option<Vec<u8>>, LedgerError>>;
    /// What stands under a state key, with its proof.
    fn proven(&self, key: Vec<u8>) -> Later<'_, Result<Proven, LedgerError>>;
    /// A record by its place in the log.
    fn record(&self, leaf_index: u64) -> Later<'_, Result<Box<dyn Final>, LedgerError>>;
    /// Accepted records of a kind in blocks of these times, from a log index on, and the index from which the next page comes; none:
    /// there is none. A validator that lies can leave records out, and invents none.
    fn of_kind(
        &self,
        kind: u16,
        times_ms: std::ops::Range<u64>,
        from_leaf: u64,
    ) -> Later<'_, Result<Page, LedgerError>>;
    /// Asks for the newest height now.
    fn refresh(&self) -> Later<'_, Result<u64, LedgerError>>;
}

/// Records in the log's order, and where the next page begins.
pub(crate) type Page = (Vec<Box<dyn Final>>, Option<u64>);

/// What stands under a state key.
#[derive(Clone, Debug)]
pub(crate) struct Proven {
    /// None: proven absence.
    pub(crate) value: Option<Vec<u8>>,
    /// The height that this is of: a little below the newest, and not always above the one before.
    pub(crate) height: u64,
    /// The time of the block at that height.
    pub(crate) time_ms: u64,
    /// The exact bytes of the state receipt.
    pub(crate) receipt: Vec<u8>,
}

/// A final record.
pub(crate) trait Final: Send + Sync {
    /// The entry's bytes.
    fn entry(&self) -> &[u8];
    fn outcome(&self) -> &Outcome;
    fn leaf_index(&self) -> u64;
    fn height(&self) -> u64;
    /// The time of its block.
    fn time_ms(&self) -> u64;
    /// The record's id.
    fn leaf_hash(&self) -> [u8; 32];
    /// The exact bytes of the receipt.
    fn receipt(&self, released: Option<Released>) -> Vec<u8>;
}

/// Why an entry's fate is not known to be good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// Nothing is known to be recorded; it may still become final up to that height.
    #[error("the ledger did not answer in time")]
    Unavailable { until: u64, source: Cause },
    /// A node's answer does not verify.
    #[error("a node's answer does not verify")]
    Unverified { source: Cause },
    /// The batch as such was refused.
    #[error("the ledger refused the batch (`{code}`)")]
    Refused { code: String, source: Cause },
}

/// What is passed on to a keeper, unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToKeeper {
    Deposit { sealing: Bytes, share: Bytes, signature: [u8; 64] },
    Evaluate { leaf_index: u64, element: [u8; 32] },
    Release { leaf_index: u64, opened_leaf_index: u64 },
    Drill { account: [u8; 32], vault: [u8; 32], nonce: [u8; 32] },
    DepositViewing { dealing: Bytes, share: Bytes, signature: [u8; 64] },
    OpenViewing { leaf_index: u64, first: u32 },
}

/// What is passed on to a keeper of a shared key, in the network's own form: nothing of it is for us.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ToCoSigner {
    OpenKey(proto::OpenKeyRequest),
    DealKey(proto::DealKeyRequest),
    AgreeKey(proto::AgreeKeyRequest),
    KeepKey(proto::KeepKeyRequest),
    Commit(proto::CommitRequest),
    Answer(proto::AnswerRequest),
    CoSign(proto::CoSignRequest),
    RedealKey(proto::RedealKeyRequest),
    KeepRenewedKey(proto::KeepRenewedKeyRequest),
    AskRepair(proto::AskRepairRequest),
    SplitShare(proto::SplitShareRequest),
    SumShare(proto::SumShareRequest),
    KeepRepairedShare(proto::KeepRepairedShareRequest),
    ShowShare(proto::ShowShareRequest),
}

/// What it answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CoSigned {
    Round(proto::Round),
    /// To `ShowShare`.
    Share(proto::ShowShareResponse),
}

/// Why there is no answer of a keeper.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeeperError {
    /// It cannot be reached, or says nothing.
    #[error("the keeper does not answer")]
    Silent { source: Cause },
    /// It refused, in its own words.
    #[error("the keeper refused (`{code}`)")]
    Refused { code: String, message: String },
    /// Its answer is none.
    #[error("the keeper's answer cannot be read")]
    Malformed { source: Cause },
}

/// The keepers of vaults, shared keys and closed address epochs.
pub(crate) trait Keepers: Send + Sync {
    /// Asks the one that answers at an address; returns its answer unchanged.
    fn ask(&self, address: String, what: ToKeeper) -> Later<'_, Result<Bytes, KeeperError>>;
    /// Asks it about a shared key.
    fn co_sign(&self, address: String, what: ToCoSigner) -> Later<'_, Result<CoSigned, KeeperError>>;
}

/// The key-encryption keys, wherever they live. They are numbered; one of them is the current one.
pub(crate) trait Kek: Send + Sync {
    /// An envelope under the current key.
    fn seal(&self, aad: Vec<u8>, plaintext: Zeroizing<Vec<u8>>) -> Later<'_, Result<Vec<u8>, Failure>> {
        self.seal_under(self.current(), aad, plaintext)
    }
    /// An envelope under one key, which it names. It is known to open to what was given: nobody need look again.
    fn seal_under(
        &self,
        number: NonZeroU32,
        aad: Vec<u8>,
        plaintext: Zeroizing<Vec<u8>>,
    ) -> Later<'_, Result<Vec<u8>, Failure>>;
    fn open(&self, aad: Vec<u8>, sealed: Vec<u8>) -> Later<'_, Result<SecretBytes, Failure>>;
    /// Whether the current key can be used right now.
    fn ready(&self) -> Later<'_, bool>;
    /// What a key is called in the token and in rows.
    fn label(&self, number: NonZeroU32) -> String;
    /// The number of the key that seals.
    fn current(&self) -> NonZeroU32;
    /// From now on this key seals; an older one changes nothing.
    fn adopt(&self, number: NonZeroU32);
    fn exists(&self, number: NonZeroU32) -> Later<'_, Result<bool, Failure>>;
    /// Finds the key, or makes it.
    fn make(&self, number: NonZeroU32) -> Later<'_, Result<(), Failure>>;
    /// Removes the key for good; says whether there was one.
    fn remove(&self, number: NonZeroU32) -> Later<'_, Result<bool, Failure>>;
}

/// A key that was found in an attached token.
#[derive(Clone, Debug)]
pub(crate) struct FoundKey {
    pub(crate) label: String,
    pub(crate) id: Vec<u8>,
    pub(crate) kind: String,
    /// One for each scheme that the token signs with.
    pub(crate) public_keys: Vec<PublicKey>,
    pub(crate) claims: Vec<String>,
}

/// An attached token.
#[derive(Clone, Debug)]
pub(crate) struct Attached {
    pub(crate) label: String,
    pub(crate) serial: String,
    pub(crate) manufacturer: String,
    pub(crate) model: String,
    pub(crate) module: String,
    pub(crate) logged_in: bool,
    pub(crate) keys: Vec<FoundKey>,
}

/// What a token key is to sign.
#[derive(Clone, Debug)]
pub(crate) enum ToSign {
    Message(Vec<u8>),
    Digest([u8; 32]),
}

/// The tokens attached to this service.
pub(crate) trait Tokens: Send + Sync {
    fn list(&self) -> Later<'_, Result<Vec<Attached>, Failure>>;
    /// The token's label and serial, by either.
    fn find_token(&self, name: String) -> Later<'_, Result<(String, String), Failure>>;
    /// Logs in, for somebody who needs the token from now on.
    fn login(&self, serial: String, pin: Zeroizing<Vec<u8>>) -> Later<'_, Result<(), Failure>>;
    /// Whoever logged in needs the token no more: with the last of them, it is logged out.
    fn release(&self, serial: String) -> Later<'_, ()>;
    /// Exactly one key, by label, id or both.
    fn find_key(&self, serial: String, label: String, id: Vec<u8>) -> Later<'_, Result<FoundKey, Failure>>;
    /// A canonical signature; the caller verifies it.
    fn sign(
        &self,
        serial: String,
        id: Vec<u8>,
        scheme: Scheme,
        what: ToSign,
    ) -> Later<'_, Result<Vec<u8>, Failure>>;
}

/// Something to tell somebody outside.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// Of the notice: the same each time that it is told.
    pub(crate) id: Id,
    pub(crate) now_ms: u64,
    /// Where mail goes; programs have one place.
    pub(crate) to: String,
    pub(crate) subject: &'static str,
    /// JSON for programs, ASCII text for persons.
    pub(crate) body: String,
}

/// Why a letter is not known to have arrived.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CourierError {
    /// It cannot be reached, is not who it should be, or says nothing in time.
    #[error("there is no answer")]
    Silent { source: Cause },
    /// It did not take it.
    #[error("it was not taken (`{answer}`)")]
    Refused { answer: String },
}

/// For what is not there, whatever the reason.
pub(crate) fn silent(error: impl Into<Cause>) -> CourierError {
    CourierError::Silent { source: error.into() }
}

/// One way to tell somebody outside.
pub(crate) trait Courier: Send + Sync {
    /// Answers once the other side has taken it.
    fn deliver(&self, letter: Letter) -> Later<'_, Result<(), CourierError>>;
}
