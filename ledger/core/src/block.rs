//! Blocks: a fixed header, the proposer's signature, and a body of signed batches.
//!
//! A digest stands for exactly one block: it covers header and signature, the header covers the body, and
//! decoding checks that. Whether the block may follow its parent is decided in [`execute`](crate::execute).

use thiserror::Error;

use crate::batch::{BATCH_BYTES_MAX, BatchError, SignedBatch, UnverifiedBatch};
use crate::codec::{DecodeError, Reader, Writer};
use crate::ed25519::{Ed25519Error, SigningKey, VerifyingKey};
use crate::hash::{Hash, Tag};

/// The version of blocks.
pub const BLOCK_VERSION: u8 = 1;
/// The length of a header.
pub const HEADER_BYTES: usize = 290;
/// The length of a header with its proposer's signature.
pub const SIGNED_HEADER_BYTES: usize = HEADER_BYTES + 64;
/// The longest body.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// The longest block.
pub const BLOCK_BYTES_MAX: usize = SIGNED_HEADER_BYTES + BODY_BYTES_MAX;
/// The most batches of a block.
pub const BLOCK_BATCHES_MAX: usize = 8192;

/// How the ledger agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Regime {
    /// A stable leader.
    Fast = 1,
    /// Rotating leaders.
    Strict = 2,
}

impl Regime {
    /// The code that stands in headers.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The regime of a code, if there is one.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Fast),
            2 => Some(Self::Strict),
            _ => None,
        }
    }

    /// `fast` or `strict`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Strict => "strict",
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = reader.u8("regime")?;
        Self::from_code(code).ok_or(DecodeError::UnknownCode { what: "regime", code: u64::from(code) })
    }
}

/// What a block says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The genesis hash.
    pub chain_id: Hash,
    /// 0 for genesis, then one more each block.
    pub height: u64,
    /// `height / epoch_length`.
    pub epoch: u64,
    /// The digest of the block before.
    pub parent: Hash,
    /// Milliseconds since 1970; never goes back.
    pub time_ms: u64,
    /// The proposer's Ed25519 public key.
    pub proposer: [u8; 32],
    /// How the ledger agrees.
    pub regime: Regime,
    /// [`body_hash`] of the batches.
    pub body_hash: Hash,
    /// Records since genesis, this block's included.
    pub log_size: u64,
    /// The root of the log of that size.
    pub log_root: Hash,
    /// The root of the state after this block.
    pub state_root: Hash,
    /// The validators that certify this block.
    pub set_hash: Hash,
    /// The validators that certify the next block.
    pub next_set_hash: Hash,
}

impl Header {
    /// The 290 bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Writer::with_capacity(HEADER_BYTES);
        out.u8(BLOCK_VERSION).raw(&self.chain_id).u64(self.height).u64(self.epoch).raw(&self.parent);
        out.u64(self.time_ms).raw(&self.proposer).u8(self.regime.code()).raw(&self.body_hash);
        out.u64(self.log_size).raw(&self.log_root).raw(&self.state_root);
        out.raw(&self.set_hash).raw(&self.next_set_hash);
        let mut bytes = [0; HEADER_BYTES];
        bytes.copy_from_slice(out.as_slice());
        bytes
    }

    /// Decodes exactly one header.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let header = Self::read(&mut reader)?;
        reader.finish("header")?;
        Ok(header)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.version("block version", BLOCK_VERSION)?;
        Ok(Self {
            chain_id: reader.array("chain id")?,
            height: reader.u64("height")?,
            epoch: reader.u64("epoch")?,
            parent: reader.array("parent")?,
            time_ms: reader.u64("time")?,
            proposer: reader.array("proposer")?,
            regime: Regime::read(reader)?,
            body_hash: reader.array("body hash")?,
            log_size: reader.u64("log size")?,
            log_root: reader.array("log root")?,
            state_root: reader.array("state root")?,
            set_hash: reader.array("set hash")?,
            next_set_hash: reader.array("next set hash")?,
        })
    }
}

/// A header with its proposer's signature: 354 bytes that the block digest is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeader {
    /// The header.
    pub header: Header,
    /// The proposer's Ed25519 signature; zero in genesis.
    pub signature: [u8; 64],
}

impl SignedHeader {
    /// Signs a header.
    pub fn sign(header: Header, key: &SigningKey) -> Self {
        let signature = key.sign(&proposal_message(&header));
        Self { header, signature }
    }

    /// Verifies the proposer's signature.
    pub fn verify(&self, proposer: &VerifyingKey) -> Result<(), Ed25519Error> {
        proposer.verify(&proposal_message(&self.header), &self.signature)
    }

    /// The block's digest.
    pub fn digest(&self) -> Hash {
        Tag::Block.hash(&[&self.header.encode(), &self.signature])
    }

    /// The 354 bytes.
    pub fn encode(&self) -> [u8; SIGNED_HEADER_BYTES] {
        let mut bytes = [0; SIGNED_HEADER_BYTES];
        bytes[..HEADER_BYTES].copy_from_slice(&self.header.encode());
        bytes[HEADER_BYTES..].copy_from_slice(&self.signature);
        bytes
    }

    /// Decodes exactly 354 bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let signed = Self::read(&mut reader)?;
        reader.finish("signed header")?;
        Ok(signed)
    }

    /// Reads from the front.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { header: Header::read(reader)?, signature: reader.array("proposer's signature")? })
    }
}

fn proposal_message(header: &Header) -> Hash {
    Tag::Proposal.hash(&[&header.encode()])
}

/// The hash of a body: `tagged("keyward/body/v1", count u32 || batch ids)`.
pub fn body_hash<'a>(ids: impl ExactSizeIterator<Item = &'a Hash>) -> Hash {
    let mut hasher = Tag::Body.hasher();
    hasher.update(&u32::try_from(ids.len()).unwrap_or(u32::MAX).to_be_bytes());
    for id in ids {
        hasher.update(id);
    }
    hasher.finish()
}

/// Why bytes are not a block.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BlockError {
    /// The bytes are malformed.
    #[error("the block is malformed")]
    Malformed(#[from] DecodeError),
    /// The body is not the one that the header names.
    #[error("the body does not have the hash that the header names")]
    Body,
}

/// A well-formed block with the body that its header names. Signatures were not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Header and proposer's signature.
    pub signed_header: SignedHeader,
    /// The body.
    pub batches: Vec<UnverifiedBatch>,
    digest: Hash,
}

impl Block {
    /// Puts a block together. Refused when the body is not the header's.
    pub fn new(signed_header: SignedHeader, batches: Vec<UnverifiedBatch>) -> Result<Self, BlockError> {
        if body_hash(batches.iter().map(UnverifiedBatch::id)) != signed_header.header.body_hash {
            return Err(BlockError::Body);
        }
        Ok(Self::assemble(signed_header, batches))
    }

    /// INVARIANT: the header's body hash is that of the batches.
    pub(crate) fn assemble(signed_header: SignedHeader, batches: Vec<UnverifiedBatch>) -> Self {
        let digest = signed_header.digest();
        Self { signed_header, batches, digest }
    }

    /// Decodes a block and checks its body against the header.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlockError> {
        if bytes.len() > BLOCK_BYTES_MAX {
            let len = bytes.len();
            return Err(DecodeError::TooLong { what: "block", len, max: BLOCK_BYTES_MAX }.into());
        }
        let mut reader = Reader::new(bytes);
        let signed_header = SignedHeader::read(&mut reader)?;
        let batches = reader.list("block batches", BLOCK_BATCHES_MAX, |reader| {
            UnverifiedBatch::decode(reader.bytes("batch", BATCH_BYTES_MAX)?)
        })?;
        reader.finish("block")?;
        Self::new(signed_header, batches)
    }

    /// The bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.signed_header, self.batches.iter().map(UnverifiedBatch::bytes))
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.signed_header.header
    }

    /// The digest, computed once.
    pub const fn digest(&self) -> &Hash {
        &self.digest
    }

    /// Verifies the batches' signatures, sparing those whose [id](UnverifiedBatch::id) was verified before.
    pub fn verify_batches(
        &self,
        mut verified_before: impl FnMut(&Hash) -> bool,
    ) -> Result<Vec<SignedBatch>, BatchError> {
        let verify = |batch: &UnverifiedBatch| {
            if verified_before(batch.id()) {
                Ok(batch.clone().trust_signature_verified_before())
            } else {
                batch.clone().verify()
            }
        };
        self.batches.iter().map(verify).collect()
    }

    /// The batches of a block that is final already: a quorum verified them.
    pub fn trust_batches_of_final_block(&self) -> Vec<SignedBatch> {
        self.batches.iter().map(|batch| batch.clone().trust_signature_verified_before()).collect()
    }
}

/// How many bytes a batch of that length takes in a body.
pub const fn body_bytes(batch_len: usize) -> usize {
    4 + batch_len
}

/// The bytes of a block from its parts.
pub fn encode<'a>(signed_header: &SignedHeader, batches: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Writer::with_capacity(SIGNED_HEADER_BYTES + 4);
    out.raw(&signed_header.encode()).count(batches.len());
    for batch in batches {
        out.bytes(batch);
    }
    out.finish()
}
