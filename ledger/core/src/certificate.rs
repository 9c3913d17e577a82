//! Validator sets, quorums, and certificates: who finalized a block, verified from the set alone.
//!
//! The message that validators sign is the engine's finalize vote, rebuilt here byte by byte. What votes
//! mean for agreement is the engine's business.

use thiserror::Error;

use crate::codec::{DecodeError, Reader, Writer};
use crate::ed25519::{Ed25519Error, VerifyingKey};
use crate::hash::{Hash, Tag};

/// The most validators of a set.
pub const VALIDATORS_MAX: usize = 256;
/// The version of certificates.
pub const CERTIFICATE_VERSION: u8 = 1;

const NAMESPACE: &[u8] = b"keyward/consensus/v1";
const FINALIZE_SUFFIX: &[u8] = b"_FINALIZE";

/// Why a list of keys is not a validator set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SetError {
    /// The list is empty or too long.
    #[error("a validator set has 1 to {max} members, not {count}", max = VALIDATORS_MAX)]
    Size {
        /// How many there are.
        count: usize,
    },
    /// The keys do not ascend strictly.
    #[error("validator {index} does not follow the one before it")]
    Order {
        /// The place in the list.
        index: usize,
    },
    /// A key is refused.
    #[error("the key of validator {index} is refused")]
    Key {
        /// The place in the list.
        index: usize,
        /// Why.
        #[source]
        cause: Ed25519Error,
    },
}

/// The validators of a term: Ed25519 public keys in strictly ascending order, parsed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorSet {
    keys: Vec<VerifyingKey>,
    hash: Hash,
}

impl ValidatorSet {
    /// Checks the keys and their order.
    pub fn new(keys: &[[u8; 32]]) -> Result<Self, SetError> {
        if keys.is_empty() || keys.len() > VALIDATORS_MAX {
            return Err(SetError::Size { count: keys.len() });
        }
        for (index, (before, key)) in keys.iter().zip(keys.iter().skip(1)).enumerate() {
            if before >= key {
                return Err(SetError::Order { index: index + 1 });
            }
        }
        let parse = |(index, key)| VerifyingKey::parse(key).map_err(|cause| SetError::Key { index, cause });
        let parsed = keys.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { keys: parsed, hash: set_hash(keys) })
    }

    /// The keys, ascending.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = [u8; 32]> + '_ {
        self.keys.iter().map(VerifyingKey::to_bytes)
    }

    /// How many validators there are.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never: a set has members.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many signers a certificate needs: n - floor((n - 1) / 3).
    pub const fn quorum(&self) -> usize {
        quorum(self.keys.len())
    }

    /// The hash that stands in headers.
    pub const fn hash(&self) -> &Hash {
        &self.hash
    }

    /// The validator at an index.
    pub fn key(&self, index: usize) -> Option<&VerifyingKey> {
        self.keys.get(index)
    }

    /// The parsed key of a member.
    pub fn member(&self, public_key: &[u8; 32]) -> Option<&VerifyingKey> {
        self.keys.iter().find(|key| key.to_bytes() == *public_key)
    }

    /// The list: `count u32 || keys`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(4 + 32 * self.keys.len());
        write_keys(&mut out, self.keys());
        out.finish()
    }

    /// Decodes exactly one list.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let set = Self::read(&mut reader)?;
        reader.finish("validator set")?;
        Ok(set)
    }

    /// Reads a list from the front.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let keys = reader.list("validators", VALIDATORS_MAX, |reader| reader.array("validator"))?;
        Self::new(&keys).map_err(|error| DecodeError::Invalid {
            what: "validators",
            why: match error {
                SetError::Size { .. } => "are none",
                SetError::Order { .. } => "do not ascend strictly",
                SetError::Key { .. } => "hold a key that the ed25519 rule refuses",
            },
        })
    }

    /// Verifies a certificate strictly: quorum, distinct members, every signature valid. Gives the number
    /// of signers.
    pub fn verify(&self, chain_id: &Hash, certificate: &Certificate) -> Result<usize, CertificateError> {
        let count = certificate.signers.len();
        if count < self.quorum() {
            return Err(CertificateError::NoQuorum { count, quorum: self.quorum() });
        }
        if !certificate.is_ordered() {
            return Err(CertificateError::Order);
        }
        let message = certificate.message(chain_id);
        for signer in &certificate.signers {
            let index = signer.index;
            let key = usize::try_from(index).ok().and_then(|index| self.keys.get(index));
            let key = key.ok_or(CertificateError::Stranger { index, members: self.keys.len() })?;
            key.verify(&message, &signer.signature)
                .map_err(|cause| CertificateError::Signature { index, cause })?;
        }
        Ok(count)
    }
}

/// n - floor((n - 1) / 3).
pub const fn quorum(members: usize) -> usize {
    members - members.saturating_sub(1) / 3
}

/// `tagged("keyward/set/v1", count u32 || keys)`.
pub fn set_hash(keys: &[[u8; 32]]) -> Hash {
    let mut out = Writer::with_capacity(4 + 32 * keys.len());
    write_keys(&mut out, keys.iter().copied());
    Tag::Set.hash(&[out.as_slice()])
}

fn write_keys(out: &mut Writer, keys: impl ExactSizeIterator<Item = [u8; 32]>) {
    out.count(keys.len());
    for key in keys {
        out.raw(&key);
    }
}

/// The base namespace of consensus messages: the label and the chain id. The engine gets exactly this.
pub fn consensus_namespace(chain_id: &Hash) -> Vec<u8> {
    [NAMESPACE, chain_id].concat()
}

/// The message of a finalize vote.
pub fn finalize_message(
    chain_id: &Hash,
    epoch: u64,
    view: u64,
    parent_view: u64,
    block_digest: &Hash,
) -> Vec<u8> {
    let namespace_len = NAMESPACE.len() + chain_id.len() + FINALIZE_SUFFIX.len();
    let mut message = Vec::with_capacity(1 + namespace_len + 30 + 32);
    write_varint(&mut message, u64::try_from(namespace_len).unwrap_or(0));
    message.extend_from_slice(NAMESPACE);
    message.extend_from_slice(chain_id);
    message.extend_from_slice(FINALIZE_SUFFIX);
    write_varint(&mut message, epoch);
    write_varint(&mut message, view);
    write_varint(&mut message, parent_view);
    message.extend_from_slice(block_digest);
    message
}

/// LEB128: seven bits a byte, least significant first, the high bit on all but the last byte.
fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// One validator's finalize vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The validator's place in its set.
    pub index: u32,
    /// Its Ed25519 signature over [`finalize_message`].
    pub signature: [u8; 64],
}

/// A quorum's finalize votes for one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The epoch; equals that of the block's header.
    pub epoch: u64,
    /// The view in which the block was finalized.
    pub view: u64,
    /// The view of its parent in the engine's sense.
    pub parent_view: u64,
    /// The block.
    pub block_digest: Hash,
    /// The votes, by strictly ascending index.
    pub signers: Vec<Signer>,
}

/// Why a certificate does not certify.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// Too few signers.
    #[error("{count} signers are no quorum, {quorum} are needed")]
    NoQuorum {
        /// How many signed.
        count: usize,
        /// How many are needed.
        quorum: usize,
    },
    /// The signers do not ascend strictly: one may stand twice.
    #[error("the signers do not ascend strictly")]
    Order,
    /// A signer's index lies outside the set.
    #[error("signer {index} is not one of the {members} validators")]
    Stranger {
        /// The index.
        index: u32,
        /// The set's size.
        members: usize,
    },
    /// A signature does not verify.
    #[error("the signature of validator {index} is refused")]
    Signature {
        /// The validator's index.
        index: u32,
        /// Why.
        #[source]
        cause: Ed25519Error,
    },
}

impl Certificate {
    /// The message that every signer signed.
    pub fn message(&self, chain_id: &Hash) -> Vec<u8> {
        finalize_message(chain_id, self.epoch, self.view, self.parent_view, &self.block_digest)
    }

    fn is_ordered(&self) -> bool {
        let indices = self.signers.iter().map(|signer| signer.index);
        indices.clone().zip(indices.skip(1)).all(|(before, index)| before < index)
    }

    /// Appends the encoding.
    pub fn write(&self, out: &mut Writer) {
        out.u8(CERTIFICATE_VERSION).u64(self.epoch).u64(self.view).u64(self.parent_view);
        out.raw(&self.block_digest).count(self.signers.len());
        for signer in &self.signers {
            out.u32(signer.index).raw(&signer.signature);
        }
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(61 + 68 * self.signers.len());
        self.write(&mut out);
        out.finish()
    }

    /// Decodes exactly one certificate.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let certificate = Self::read(&mut reader)?;
        reader.finish("certificate")?;
        Ok(certificate)
    }

    /// Reads a certificate from the front.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.version("certificate version", CERTIFICATE_VERSION)?;
        let certificate = Self {
            epoch: reader.u64("epoch")?,
            view: reader.u64("view")?,
            parent_view: reader.u64("parent view")?,
            block_digest: reader.array("block digest")?,
            signers: reader.list("signers", VALIDATORS_MAX, |reader| {
                Ok(Signer { index: reader.u32("signer")?, signature: reader.array("signer's signature")? })
            })?,
        };
        if !certificate.is_ordered() {
            return Err(DecodeError::Invalid { what: "signers", why: "do not ascend strictly" });
        }
        Ok(certificate)
    }
}
