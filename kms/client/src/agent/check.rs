//! What the desk holds against a request before anybody is asked: everything that the service could lie about and
//! that the ledger proves.

use keyward_domain::payload::{MESSAGE_LEN_MAX, is_reserved};
use keyward_domain::scheme::Scheme;
use keyward_ledger_verify::{Failure, Opening, verify_intent};
use keyward_proto::custody::{AgentSign, agent_sign};

use super::summary::{Payload, Word};
use crate::receipts::Trusted;

/// The oldest block, by the desk's clock, whose intents are still signed.
pub const INTENT_AGE_MS_MAX: u64 = 10 * 60 * 1000;
/// How far a certified block may lie ahead of the desk's clock.
pub const CLOCK_AHEAD_MS_MAX: u64 = 60 * 1000;
/// A receipt's length at most.
const RECEIPT_BYTES_MAX: usize = 1 << 20;

/// A request that the ledger vouches for.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The intent's id.
    pub intent: [u8; 32],
    /// The key.
    pub key_id: [u8; 32],
    /// The scheme.
    pub scheme: Scheme,
    /// The bytes.
    pub payload: Payload,
    /// The certified time of the intent's block.
    pub time_ms: u64,
    /// Until when the service waits, in Unix milliseconds.
    pub expires_ms: u64,
}

/// The first thing that does not hold.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A field has the wrong form.
    #[error("the request's `{0}` is malformed")]
    Malformed(&'static str),
    /// The receipt does not verify, or opens to something else.
    #[error("the intent does not verify")]
    Receipt(#[source] Failure),
    /// Another intent than the request names.
    #[error("the receipt is for another intent")]
    OtherIntent,
    /// Another key than the request names.
    #[error("the intent is for another key")]
    OtherKey,
    /// The scheme does not sign digests.
    #[error("`{0}` signs messages, not digests")]
    DigestNotAllowed(Scheme),
    /// The service no longer waits.
    #[error("the request has expired")]
    Expired,
    /// The intent became final too long ago.
    #[error("the intent became final {age_ms} ms ago, at most {INTENT_AGE_MS_MAX} are allowed")]
    TooOld {
        /// How long ago.
        age_ms: u64,
    },
    /// The intent is older than the journal remembers.
    #[error("the intent is older than this desk's journal")]
    Forgotten,
    /// The desk's clock is behind the ledger's.
    #[error("the intent's block is {ahead_ms} ms ahead of this desk's clock")]
    ClockBehind {
        /// How far.
        ahead_ms: u64,
    },
    /// A message that means something to Keyward itself.
    #[error("the message begins like a proof of Keyward's own: it is never signed as a payload")]
    Reserved,
    /// A message that means something to Keyward, and an act that is not it.
    #[error(
        "the message is not this key's word for the act that is told with it, or that act is not told in full"
    )]
    Word,
}

impl CheckError {
    /// The name of what does not hold.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "REQUEST_MALFORMED",
            Self::Receipt(failure) => failure.code(),
            Self::OtherIntent => "OTHER_INTENT",
            Self::OtherKey => "OTHER_KEY",
            Self::DigestNotAllowed(_) => "DIGEST_NOT_ALLOWED",
            Self::Expired => "REQUEST_EXPIRED",
            Self::TooOld { .. } => "INTENT_TOO_OLD",
            Self::Forgotten => "INTENT_FORGOTTEN",
            Self::ClockBehind { .. } => "CLOCK_BEHIND",
            Self::Reserved => "PAYLOAD_RESERVED",
            Self::Word => "WORD_OTHER",
        }
    }
}

/// What the desk knows by itself.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its trust file.
    pub trust: &'a [u8],
    /// Its clock, in Unix milliseconds.
    pub now_ms: u64,
    /// What its journal has forgotten lies below this.
    pub floor_ms: u64,
}

/// Checks a request.
pub fn check(sign: &AgentSign, known: Known<'_>) -> Result<Checked, CheckError> {
    let intent = array("job", &sign.job)?;
    let r = array("r", &sign.r)?;
    let key_id = array("key_id", &sign.key_id)?;
    let scheme = Scheme::from_name(&sign.scheme).ok_or(CheckError::Malformed("scheme"))?;
    let payload = payload(sign, scheme, known.trust, &key_id)?;
    if sign.receipt.len() > RECEIPT_BYTES_MAX {
        return Err(CheckError::Malformed("receipt"));
    }
    if sign.expires_unix_ms <= known.now_ms {
        return Err(CheckError::Expired);
    }
    let opening = Opening { r: &r, payload_hash: &payload.hash() };
    let ready = verify_intent(known.trust, &sign.receipt, opening).map_err(CheckError::Receipt)?;
    if ready.id != intent {
        return Err(CheckError::OtherIntent);
    }
    if *ready.key_id.as_bytes() != key_id {
        return Err(CheckError::OtherKey);
    }
    if ready.time_ms < known.floor_ms {
        return Err(CheckError::Forgotten);
    }
    let age_ms = known.now_ms.saturating_sub(ready.time_ms);
    if age_ms > INTENT_AGE_MS_MAX {
        return Err(CheckError::TooOld { age_ms });
    }
    let ahead_ms = ready.time_ms.saturating_sub(known.now_ms);
    if ahead_ms > CLOCK_AHEAD_MS_MAX {
        return Err(CheckError::ClockBehind { ahead_ms });
    }
    let expires_ms = sign.expires_unix_ms.min(ready.time_ms.saturating_add(INTENT_AGE_MS_MAX));
    Ok(Checked { intent, key_id, scheme, payload, time_ms: ready.time_ms, expires_ms })
}

fn payload(sign: &AgentSign, scheme: Scheme, trust: &[u8], key_id: &[u8; 32]) -> Result<Payload, CheckError> {
    match &sign.payload {
        Some(agent_sign::Payload::Message(message)) if message.len() > MESSAGE_LEN_MAX => {
            Err(CheckError::Malformed("message"))
        }
        // Of Keyward's own proofs a key gives its word to what the desk can show as what it is; to nothing else.
        Some(agent_sign::Payload::Message(message)) if is_reserved(message) => {
            let trusted = Trusted::parse(trust).map_err(|_trust| CheckError::Reserved)?;
            let word = Word::read(message, (&trusted.chain_id, key_id), sign.word.as_ref());
            let unread = if sign.word.is_none() { CheckError::Reserved } else { CheckError::Word };
            word.map(Payload::Word).ok_or(unread)
        }
        Some(agent_sign::Payload::Message(message)) => Ok(Payload::Message(message.to_vec())),
        Some(agent_sign::Payload::Digest(_)) if !scheme.signs_digest() => {
            Err(CheckError::DigestNotAllowed(scheme))
        }
        Some(agent_sign::Payload::Digest(digest)) => Ok(Payload::Digest(array("digest", digest)?)),
        None => Err(CheckError::Malformed("payload")),
    }
}

pub(crate) fn array<const N: usize>(what: &'static str, bytes: &[u8]) -> Result<[u8; N], CheckError> {
    bytes.try_into().ok().ok_or(CheckError::Malformed(what))
}
