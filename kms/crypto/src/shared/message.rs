//! What holders send one another: one signed form for every step of every run, read strictly.

use std::collections::BTreeMap;

use keyward_domain::scheme::{PublicKey, Scheme, verify};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::errors::RunError;
use super::roster::{Holder, Roster};
use crate::labels;

const VERSION: u8 = 1;
const SIGNATURE_BYTES: usize = 64;
/// `version u8 || step u8 || run[32] || from u8 || length u32`.
const HEAD_BYTES: usize = 1 + 1 + 32 + 1 + 4;
/// The longest body of most steps: 31 identifiers that commit to 31 others each take half of it.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Of the steps that carry oblivious transfers: a user's four parties with five keepers take 2.9 MB of an agreement, the
/// longest answer half a megabyte.
const AGREEMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// The longest encoded message.
pub const MESSAGE_BYTES_MAX: usize = HEAD_BYTES + AGREEMENT_BYTES_MAX + SIGNATURE_BYTES;

/// Which step of a run a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// Generation, first round: commitments and proofs of knowledge. Its hash is what the ledger records.
    Opening = 1,
    /// Generation, second round: a sealed piece for every other holder.
    Dealing = 2,
    /// Generation, renewal and refresh, last round: the hash of what is public of the key.
    Confirmation = 3,
    /// Signing, first round: commitments to nonces.
    Commitment = 4,
    /// Signing, second round: signature shares.
    Share = 5,
    /// Renewal: commitments, and a sealed piece for every holder to come.
    Redealing = 6,
    /// Repair: a keeper asks for its lost share.
    Request = 7,
    /// Repair: commitments, and sealed summands for the other helpers.
    Split = 8,
    /// Repair: a helper's sums, sealed to the keeper that asked.
    Sum = 9,
    /// Refresh: commitments, and a sealed piece for every keeper.
    Shift = 10,
    /// Generation of ECDSA keys, between dealing and confirmation: opened proofs, and sealed oblivious transfers.
    Agreement = 11,
    /// Signing with ECDSA keys, between commitment and share: sealed products.
    Answer = 12,
}

impl Step {
    const ALL: [Self; 12] = [
        Self::Opening,
        Self::Dealing,
        Self::Confirmation,
        Self::Commitment,
        Self::Share,
        Self::Redealing,
        Self::Request,
        Self::Split,
        Self::Sum,
        Self::Shift,
        Self::Agreement,
        Self::Answer,
    ];

    /// The longest body of the step.
    const fn body_bytes_max(self) -> usize {
        match self {
            Self::Agreement => AGREEMENT_BYTES_MAX,
            Self::Commitment | Self::Answer => ANSWER_BYTES_MAX,
            _ => BODY_BYTES_MAX,
        }
    }

    fn of(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step as u8 == code)
    }
}

/// Why bytes are no message. Nobody is to blame: whoever carried them may have made them.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum MessageError {
    /// Another version than 1.
    #[error("version {found} of messages is not known")]
    Version {
        /// The version.
        found: u8,
    },
    /// No such step.
    #[error("there is no step {found}")]
    Step {
        /// The step's number.
        found: u8,
    },
    /// Too short, too long, or followed by something.
    #[error("{found} bytes are no message")]
    Length {
        /// How many bytes there are.
        found: usize,
    },
}

/// A signed message of one holder in one step of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    step: Step,
    run: [u8; 32],
    from: u8,
    body: Vec<u8>,
    signature: [u8; SIGNATURE_BYTES],
}

impl Message {
    pub(crate) fn new(
        (step, run, from): (Step, &[u8; 32], u8),
        body: Vec<u8>,
        sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_BYTES],
    ) -> Self {
        let mut message = Self { step, run: *run, from, body, signature: [0; SIGNATURE_BYTES] };
        message.signature = sign(&message.statement());
        message
    }

    /// Which step it is.
    pub const fn step(&self) -> Step {
        self.step
    }

    /// The run that it belongs to.
    pub const fn run(&self) -> &[u8; 32] {
        &self.run
    }

    /// The place of the holder in whose name it speaks.
    pub const fn from(&self) -> u8 {
        self.from
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// `version u8 (1) || step u8 || run[32] || from u8 || u32 length || body || signature[64]`.
    pub fn encode(&self) -> Vec<u8> {
        [&self.head()[..], &self.body, &self.signature].concat()
    }

    /// SHA-256 of what is signed: whoever signs the same twice has still sent one message.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.statement()).into()
    }

    /// Reads exactly one.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let length = MessageError::Length { found: bytes.len() };
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(length)?;
        let &[version, step, ref run @ .., _, _, _, _, _] = head;
        if version != VERSION {
            return Err(MessageError::Version { found: version });
        }
        let step = Step::of(step).ok_or(MessageError::Step { found: step })?;
        let &[.., from, a, b, c, d] = head;
        let body = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| length)?;
        if body > step.body_bytes_max() {
            return Err(length);
        }
        let (body, signature) = rest.split_at_checked(body).ok_or(length)?;
        let signature = signature.try_into().map_err(|_| length)?;
        Ok(Self { step, run: *run, from, body: body.to_vec(), signature })
    }

    fn head(&self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        // INVARIANT: bodies are shorter than 4 GiB; a longer one than the limit is read by nobody.
        let length = u32::try_from(self.body.len()).unwrap_or(u32::MAX).to_be_bytes();
        let parts = [&[VERSION, self.step as u8][..], &self.run, &[self.from], &length];
        head.iter_mut().zip(parts.concat()).for_each(|(byte, part)| *byte = part);
        head
    }

    fn statement(&self) -> Vec<u8> {
        [&labels::tagged(labels::SHARED_MESSAGE)[..], &self.head(), &self.body].concat()
    }

    fn is_of(&self, holder: &Holder) -> bool {
        PublicKey::parse(Scheme::Ed25519, &holder.signing_key)
            .is_ok_and(|key| verify(&key, &self.statement(), &self.signature).is_ok())
    }
}

/// Whether two messages convict their sender: both signed by it, for the same step of the same run, and not the same.
pub fn equivocation(roster: &Roster, [first, second]: [&[u8]; 2]) -> Option<u8> {
    let (first, second) = (Message::decode(first).ok()?, Message::decode(second).ok()?);
    let holder = roster.at(first.from)?;
    let same = first.run == second.run && first.step == second.step && first.from == second.from;
    let differs = first.body != second.body; // of one body there may be two signatures
    (same && differs && first.is_of(holder) && second.is_of(holder)).then_some(first.from)
}

/// The one message of each of these holders in a step of a run, whatever order they came in, however often.
pub(crate) fn collect(
    roster: &Roster,
    run: &[u8; 32],
    step: Step,
    from: &[u8],
    messages: &[Vec<u8>],
) -> Result<BTreeMap<u8, Message>, RunError> {
    collect_read(from, messages, |bytes| alone(roster, run, step, from, bytes))
}

/// The same, of messages that are read and judged otherwise.
pub(crate) fn collect_read(
    from: &[u8],
    messages: &[Vec<u8>],
    read: impl Fn(&[u8]) -> Result<Message, RunError>,
) -> Result<BTreeMap<u8, Message>, RunError> {
    let mut found: BTreeMap<u8, Message> = BTreeMap::new();
    for bytes in messages {
        let message = read(bytes)?;
        let place = message.from;
        match found.get(&place) {
            Some(first) if first.body != message.body => {
                return Err(RunError::Equivocated { place, evidence: [first.encode(), message.encode()] });
            }
            Some(_) => {}
            None => drop(found.insert(place, message)),
        }
    }
    let missing: Vec<u8> = from.iter().copied().filter(|place| !found.contains_key(place)).collect();
    if missing.is_empty() { Ok(found) } else { Err(RunError::Missing { places: missing }) }
}

/// One message by itself, as a judge has it.
pub(crate) fn alone(
    roster: &Roster,
    run: &[u8; 32],
    step: Step,
    from: &[u8],
    bytes: &[u8],
) -> Result<Message, RunError> {
    let message = check(roster, run, step, bytes)?;
    let place = message.from;
    if from.contains(&place) { Ok(message) } else { Err(RunError::Unexpected { place }) }
}

fn check(roster: &Roster, run: &[u8; 32], step: Step, bytes: &[u8]) -> Result<Message, RunError> {
    let message = Message::decode(bytes)?;
    let place = message.from;
    let holder = roster.at(place).ok_or(RunError::NotAHolder { place })?;
    if !message.is_of(holder) {
        return Err(RunError::Unsigned { place });
    }
    if message.run != *run {
        return Err(RunError::OtherRun { place });
    }
    if message.step != step {
        return Err(RunError::OtherStep { place, found: message.step });
    }
    Ok(message)
}
