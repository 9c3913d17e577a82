//! An encryption or a decryption under way.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{MESSAGE_BYTES_MAX, Reply, Room};
use crate::cipher::{self, BLOCK_BYTES, BlockStep, Counter, Gcm};
use crate::error::{Refusal, Result};
use crate::key::{Envelope, Key};
use crate::mechanism::Cipher;

/// An encryption or a decryption. Its state is made when the first part comes, so that a call for the whole
/// message that found too little room can be made again.
pub(crate) struct Ciphering {
    cipher: Cipher,
    key: Arc<Key>,
    encrypts: bool,
    parts: Option<Parts>,
    /// The last output, kept until there is room for it.
    last: Option<Zeroizing<Vec<u8>>>,
}

/// A message that comes in parts.
enum Parts {
    /// Whole blocks go through; a remainder waits.
    Blocks {
        step: BlockStep,
        waiting: Zeroizing<Vec<u8>>,
        padded: bool,
        encrypts: bool,
    },
    Counter(Counter),
    Seal {
        gcm: Gcm,
        tag_bytes: usize,
    },
    /// Nothing is given out before the tag was checked.
    Open {
        gcm: Gcm,
        tag_bytes: usize,
        gathered: Zeroizing<Vec<u8>>,
    },
}

impl Ciphering {
    pub(crate) fn new(cipher: Cipher, key: Arc<Key>, encrypts: bool) -> Result<Self, Refusal> {
        let fits = match (&cipher, &*key) {
            (Cipher::Rsa(_), Key::RsaPublic(_)) => encrypts,
            (Cipher::Rsa(_), Key::RsaPrivate(_)) => !encrypts,
            (Cipher::Rsa(_), _) => false,
            (_, key) => matches!(key, Key::Aes(_)),
        };
        let made = Self { cipher, key, encrypts, parts: None, last: None };
        if fits { Ok(made) } else { Err(Refusal::KeyType) }
    }

    /// The whole message in one call.
    pub(crate) fn whole(active: &mut Option<Self>, data: &[u8], room: Room) -> Result<Reply> {
        let operation = active.take().ok_or(Refusal::OperationMissing)?;
        if operation.parts.is_some() || operation.has_ended() {
            return Err(Refusal::OperationActive.into());
        }
        let bound = operation.output_bytes(data.len())?;
        let reply = match room {
            Room::Query => Reply::Length(bound),
            Room::Bytes(room) if room < bound && operation.is_exact() => Reply::TooSmall(bound),
            Room::Bytes(room) => {
                let output = operation.run(data)?;
                if output.len() <= room {
                    return Ok(Reply::Bytes(output));
                }
                Reply::TooSmall(output.len())
            }
        };
        *active = Some(operation);
        Ok(reply)
    }

    /// One part of the message. An error leaves a state that must not be used again.
    pub(crate) fn update(&mut self, part: &[u8], room: Room) -> Result<Reply> {
        let parts = match &mut self.parts {
            Some(parts) => parts,
            empty => empty.insert(Parts::start(&self.cipher, &self.key, self.encrypts)?),
        };
        let needed = parts.update_bytes(part.len());
        match room {
            Room::Query => Ok(Reply::Length(needed)),
            Room::Bytes(room) if room < needed => Ok(Reply::TooSmall(needed)),
            Room::Bytes(_) => Ok(Reply::Bytes(parts.update(part)?)),
        }
    }

    /// What is left when the message has ended.
    pub(crate) fn finish(active: &mut Option<Self>, room: Room) -> Result<Reply> {
        let mut operation = active.take().ok_or(Refusal::OperationMissing)?;
        let last = match operation.last.take() {
            Some(last) => last,
            None => {
                let parts = match operation.parts.take() {
                    Some(parts) => parts,
                    None => Parts::start(&operation.cipher, &operation.key, operation.encrypts)?,
                };
                parts.end()?
            }
        };
        let reply = match room {
            Room::Bytes(room) if room >= last.len() => return Ok(Reply::Bytes(last)),
            Room::Bytes(_) => Reply::TooSmall(last.len()),
            Room::Query => Reply::Length(last.len()),
        };
        operation.last = Some(last);
        *active = Some(operation);
        Ok(reply)
    }

    /// Whether the last output was computed and waits for room: no part may follow it.
    pub(crate) fn has_ended(&self) -> bool {
        self.last.is_some()
    }

    /// Whether [`Self::output_bytes`] is the length itself: padding makes a plaintext shorter.
    fn is_exact(&self) -> bool {
        self.encrypts || !matches!(self.cipher, Cipher::Rsa(_) | Cipher::Cbc { padded: true, .. })
    }

    fn output_bytes(&self, input: usize) -> Result<usize, Refusal> {
        match &self.cipher {
            Cipher::Ecb | Cipher::Cbc { padded: false, .. } => match input.is_multiple_of(BLOCK_BYTES) {
                true => Ok(input),
                false => Err(self.length_refusal()),
            },
            Cipher::Cbc { padded: true, .. } if self.encrypts => Ok((input / BLOCK_BYTES + 1) * BLOCK_BYTES),
            Cipher::Cbc { padded: true, .. } => match input > 0 && input.is_multiple_of(BLOCK_BYTES) {
                true => Ok(input),
                false => Err(Refusal::CiphertextLength),
            },
            Cipher::Counter { .. } => Ok(input),
            Cipher::Gcm { tag_bytes, .. } if self.encrypts => Ok(input + tag_bytes),
            Cipher::Gcm { tag_bytes, .. } => input.checked_sub(*tag_bytes).ok_or(Refusal::CiphertextLength),
            Cipher::Rsa(envelope) => Ok(rsa_bytes(&self.key, envelope)),
        }
    }

    fn length_refusal(&self) -> Refusal {
        if self.encrypts { Refusal::DataLength } else { Refusal::CiphertextLength }
    }

    fn run(&self, data: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        match (&self.cipher, &*self.key) {
            (Cipher::Rsa(envelope), Key::RsaPublic(key)) => key.encrypt(envelope, data),
            (Cipher::Rsa(envelope), Key::RsaPrivate(key)) => Ok(key.decrypt(envelope, data)?),
            _ => {
                let mut parts = Parts::start(&self.cipher, &self.key, self.encrypts)?;
                let mut output = parts.update(data)?;
                output.extend_from_slice(&parts.end()?);
                Ok(output)
            }
        }
    }
}

/// A ciphertext's length, or a bound on the plaintext's.
fn rsa_bytes(key: &Key, envelope: &Envelope) -> usize {
    match (key, envelope) {
        (Key::RsaPublic(key), _) => key.modulus_bytes(),
        (Key::RsaPrivate(key), Envelope::Pkcs1) => key.modulus_bytes().saturating_sub(11),
        (Key::RsaPrivate(key), Envelope::Oaep { hash, .. }) => {
            key.modulus_bytes().saturating_sub(2 * hash.bytes() + 2)
        }
        _ => 0,
    }
}

impl Parts {
    fn start(cipher: &Cipher, key: &Key, encrypts: bool) -> Result<Self, Refusal> {
        let Key::Aes(key) = key else {
            // RSA takes its message whole (PKCS#11 v2.40, section 2.1).
            return Err(Refusal::NotSupported);
        };
        let blocks = |step, padded| Self::Blocks { step, waiting: Zeroizing::default(), padded, encrypts };
        Ok(match cipher {
            Cipher::Ecb => blocks(cipher::ecb(key, encrypts)?, false),
            Cipher::Cbc { iv, padded } => blocks(cipher::cbc(key, iv, encrypts)?, *padded),
            Cipher::Counter { bits, block } => Self::Counter(Counter::new(key, *block, *bits)?),
            Cipher::Gcm { nonce, aad, tag_bytes } => {
                let (gcm, tag_bytes) = (Gcm::new(key, nonce, aad)?, *tag_bytes);
                match encrypts {
                    true => Self::Seal { gcm, tag_bytes },
                    false => Self::Open { gcm, tag_bytes, gathered: Zeroizing::default() },
                }
            }
            Cipher::Rsa(_) => return Err(Refusal::KeyType),
        })
    }

    fn update_bytes(&self, input: usize) -> usize {
        match self {
            Self::Blocks { waiting, padded, encrypts, .. } => {
                let there = waiting.len() + input;
                // The last block of a padded ciphertext waits, because it holds the padding.
                let ready = if *padded && !encrypts { there.saturating_sub(1) } else { there };
                ready / BLOCK_BYTES * BLOCK_BYTES
            }
            Self::Counter(_) | Self::Seal { .. } => input,
            Self::Open { .. } => 0,
        }
    }

    fn update(&mut self, part: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let ready = self.update_bytes(part.len());
        match self {
            Self::Blocks { step, waiting, .. } => {
                waiting.extend_from_slice(part);
                let rest = Zeroizing::new(waiting.split_off(ready));
                let mut output = std::mem::replace(waiting, rest);
                cipher::run_blocks(step, &mut output);
                Ok(output)
            }
            Self::Counter(counter) => {
                let mut output = Zeroizing::new(part.to_vec());
                counter.apply(&mut output)?;
                Ok(output)
            }
            Self::Seal { gcm, .. } => {
                let mut output = Zeroizing::new(part.to_vec());
                gcm.seal(&mut output)?;
                Ok(output)
            }
            Self::Open { gathered, .. } => {
                if part.len() > (MESSAGE_BYTES_MAX + BLOCK_BYTES).saturating_sub(gathered.len()) {
                    return Err(Refusal::CiphertextLength.into());
                }
                gathered.extend_from_slice(part);
                Ok(Zeroizing::default())
            }
        }
    }

    fn end(self) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        match self {
            Self::Blocks { waiting, padded: false, encrypts, .. } => match (waiting.is_empty(), encrypts) {
                (true, _) => Ok(Zeroizing::default()),
                (false, true) => Err(Refusal::DataLength),
                (false, false) => Err(Refusal::CiphertextLength),
            },
            Self::Blocks { mut step, mut waiting, padded: true, encrypts: true } => {
                cipher::pad(&mut waiting);
                cipher::run_blocks(&mut step, &mut waiting);
                Ok(waiting)
            }
            Self::Blocks { mut step, mut waiting, padded: true, encrypts: false } => {
                if waiting.len() != BLOCK_BYTES {
                    return Err(Refusal::CiphertextLength);
                }
                cipher::run_blocks(&mut step, &mut waiting);
                let bytes = cipher::unpadded(&waiting)?;
                waiting.truncate(bytes);
                Ok(waiting)
            }
            Self::Counter(_) => Ok(Zeroizing::default()),
            Self::Seal { gcm, tag_bytes } => {
                Ok(Zeroizing::new(gcm.tag().into_iter().take(tag_bytes).collect()))
            }
            Self::Open { gcm, tag_bytes, mut gathered } => {
                let text = gathered.len().checked_sub(tag_bytes).ok_or(Refusal::CiphertextLength)?;
                let tag = gathered.split_off(text);
                gcm.open(&mut gathered, &tag)?;
                Ok(gathered)
            }
        }
    }
}
