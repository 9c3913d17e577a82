//! A block as the engine sees it: opaque bytes with a height, a parent and a digest. What the bytes
//! mean is the application's business, which it states through [`Format`].
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, Write};
use commonware_consensus::{BoundedBlock, Heightable, types::Height};
use commonware_cryptography::{Digested, Digestible, sha256::Digest};
use std::{fmt, sync::Arc};

/// The widest varint of the length that precedes a block's bytes on the wire.
const LENGTH_SIZE_MAX: usize = 10;

/// An opaque block.
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    /// Height above the genesis block, which has height 0.
    pub height: u64,
    /// Digest of the block below.
    pub parent: [u8; 32],
    /// Digest of this block; one digest has one body (see [`Format`]).
    pub digest: [u8; 32],
    /// The exact bytes of the block.
    pub bytes: Bytes,
}

impl Block {
    /// Reads a block from its bytes, or `None` if the format refuses them.
    pub fn parse(format: &dyn Format, bytes: Bytes) -> Option<Self> {
        if bytes.len() > format.block_bytes_max() {
            return None;
        }
        let header = format.parse(&bytes)?;
        Some(Self { height: header.height, parent: header.parent, digest: header.digest, bytes })
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block(height {}, digest {}, {} bytes)", self.height, hex(&self.digest), self.bytes.len())
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the engine has to know of a block's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// Height above the genesis block.
    pub height: u64,
    /// Digest of the block below.
    pub parent: [u8; 32],
    /// Digest of the block.
    pub digest: [u8; 32],
}

/// How block bytes are read.
///
/// Every block from the network and from the store passes through `parse`, so it must be pure, refuse
/// malformed and non-canonical bytes and trailing bytes, and the digest must commit to every byte: two
/// byte strings that parse to one digest would break agreement.
pub trait Format: Send + Sync + 'static {
    /// Reads height, parent and digest, or `None` for bytes that are not a block.
    fn parse(&self, bytes: &[u8]) -> Option<BlockHeader>;

    /// The greatest length of a block in bytes. Every node of a chain must name the same.
    fn block_bytes_max(&self) -> usize;
}

/// [`Format`] as commonware's decoding configuration.
#[derive(Clone)]
pub(crate) struct BlockCodec(pub(crate) Arc<dyn Format>);

/// A [`Block`] in commonware's clothes; its digest was computed by the format or by the store's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed(pub(crate) Block);

impl Sealed {
    pub(crate) fn digested(block: Block) -> Digested<Self> {
        let digest = Digest(block.digest);
        Digested::precomputed(Self(block), digest)
    }
}

impl Write for Sealed {
    fn write(&self, buffer: &mut impl BufMut) {
        self.0.bytes.write(buffer);
    }
}

impl EncodeSize for Sealed {
    fn encode_size(&self) -> usize {
        self.0.bytes.encode_size()
    }
}

impl Read for Sealed {
    type Cfg = BlockCodec;

    fn read_cfg(buffer: &mut impl Buf, codec: &BlockCodec) -> Result<Self, Error> {
        let bytes = Bytes::read_cfg(buffer, &RangeCfg::from(0..=codec.0.block_bytes_max()))?;
        Block::parse(&*codec.0, bytes)
            .map(Self)
            .ok_or(Error::Invalid("keyward block", "the format refuses the bytes"))
    }
}

impl Digestible for Sealed {
    type Digest = Digest;

    fn digest(&self) -> Digest {
        Digest(self.0.digest)
    }
}

impl Heightable for Sealed {
    fn height(&self) -> Height {
        Height::new(self.0.height)
    }
}

impl commonware_consensus::Block for Sealed {
    fn parent(&self) -> Digest {
        Digest(self.0.parent)
    }
}

impl BoundedBlock for Sealed {
    fn max_encode_size(codec: &BlockCodec) -> usize {
        codec.0.block_bytes_max().saturating_add(LENGTH_SIZE_MAX)
    }
}
