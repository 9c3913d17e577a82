//! A ledger as files: proven blocks in chunks, the changes of the validator set, and a manifest that names them.
//!
//! Bytes in and out; what must hold about them is checked in `ledger/verify`, files are the business of others.

use thiserror::Error;

use crate::block::{BLOCK_BYTES_MAX, SignedHeader};
use crate::certificate::Certificate;
use crate::codec::{DecodeError, Reader, Writer, parse_hex32};
use crate::execute::BLOCK_ENTRIES_MAX;
use crate::genesis::is_name;
use crate::hash::{Hash, sha256};
use crate::log::RANGE_HASHES_MAX;
use crate::outcome::Outcome;
use crate::receipt::{LINKS_MAX, SetLink};

const FORMAT: &str = "keyward-export-1";
/// What a chunk begins with; the last byte is the version.
pub const CHUNK_MAGIC: &[u8; 9] = b"KWEXPORT\x01";
/// The most headers between a block and the certified one that proves it.
pub const DESCENDANTS_MAX: usize = 256;
/// The longest chunk: one that has grown over its writer's bound by the greatest block.
pub const CHUNK_BYTES_MAX: usize = 64 << 20;
/// The longest manifest.
pub const MANIFEST_BYTES_MAX: usize = 64 << 20;

/// A block with everything that proves it and its records. Nothing of it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenBlock {
    /// The block's exact bytes.
    pub block: Vec<u8>,
    /// The log index of its first record, or of the next one if it has none.
    pub first_leaf: u64,
    /// One outcome for each entry, in the order of the log.
    pub outcomes: Vec<Outcome>,
    /// The hashes beside its records in the certified log; none if it has no records.
    pub range_proof: Vec<Hash>,
    /// The headers above it up to the certified one; none if it is certified itself.
    pub descendants: Vec<SignedHeader>,
    /// The certificate of the last of the descendants, or of the block.
    pub certificate: Certificate,
}

impl ProvenBlock {
    fn write(&self, out: &mut Writer) {
        out.bytes(&self.block).u64(self.first_leaf).count(self.outcomes.len());
        for outcome in &self.outcomes {
            outcome.write(out);
        }
        out.count(self.range_proof.len());
        for hash in &self.range_proof {
            out.raw(hash);
        }
        out.count(self.descendants.len());
        for header in &self.descendants {
            out.raw(&header.encode());
        }
        self.certificate.write(out);
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(1024 + self.block.len());
        self.write(&mut out);
        out.finish()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let records_max = usize::try_from(BLOCK_ENTRIES_MAX).unwrap_or(usize::MAX);
        Ok(Self {
            block: reader.bytes("block", BLOCK_BYTES_MAX)?.to_vec(),
            first_leaf: reader.u64("first leaf")?,
            outcomes: reader.list("outcomes", records_max, Outcome::read)?,
            range_proof: reader.list("range proof", RANGE_HASHES_MAX, |reader| reader.array("proof hash"))?,
            descendants: reader.list("descendants", DESCENDANTS_MAX, SignedHeader::read)?,
            certificate: Certificate::read(reader)?,
        })
    }
}

/// The blocks of a chunk, read one after the other.
#[derive(Clone, Debug)]
pub struct Chunk<'a>(Reader<'a>);

impl<'a> Chunk<'a> {
    /// Looks at the beginning of a chunk.
    pub fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.array::<9>("chunk")? != *CHUNK_MAGIC {
            return Err(DecodeError::Invalid { what: "chunk", why: "is none of this version" });
        }
        Ok(Self(reader))
    }

    /// The next block; after an error there is none.
    pub fn block(&mut self) -> Result<Option<ProvenBlock>, DecodeError> {
        if self.0.rest().is_empty() {
            return Ok(None);
        }
        ProvenBlock::read(&mut self.0).map(Some)
    }
}

/// The bytes of `links`: the changes of the validator set since genesis, as receipts carry them.
pub fn encode_links(links: &[SetLink]) -> Vec<u8> {
    let mut out = Writer::with_capacity(1024 * links.len() + 4);
    out.count(links.len());
    for link in links {
        link.write(&mut out);
    }
    out.finish()
}

/// Decodes exactly one list of links.
pub fn decode_links(bytes: &[u8]) -> Result<Vec<SetLink>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let links = reader.list("set links", LINKS_MAX, SetLink::read)?;
    reader.finish("set links")?;
    Ok(links)
}

/// A chunk in the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkName {
    /// The height of its first block.
    pub first: u64,
    /// The height of its last block.
    pub last: u64,
    /// SHA-256 of the file.
    pub sha256: Hash,
}

impl ChunkName {
    /// The name of a chunk's file, by the height of its first block.
    pub fn file(first: u64) -> String {
        format!("blocks-{first:020}")
    }
}

/// What an export holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The ledger's name.
    pub name: String,
    /// The genesis hash.
    pub chain_id: Hash,
    /// SHA-256 of the file `genesis`.
    pub genesis: Hash,
    /// SHA-256 of the file `links`.
    pub links: Hash,
    /// The chunks, without gaps; at least one.
    pub chunks: Vec<ChunkName>,
}

/// Why bytes are not a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// Not lines of ASCII that each end with a line feed, or too long.
    #[error("the manifest is not lines of text that end with a line feed")]
    NotText,
    /// Another format.
    #[error("the manifest does not start with `{FORMAT}`")]
    Format,
    /// A line is not what belongs there.
    #[error("line {line} of the manifest is malformed")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// The chunks leave a gap or overlap.
    #[error("line {line} of the manifest does not go on where the chunk before it ends")]
    Gap {
        /// Counted from 1.
        line: usize,
    },
    /// The last line does not fit the others.
    #[error("the manifest's last line is not the hash of the lines before it")]
    End,
}

impl Manifest {
    /// The first and last height.
    pub fn heights(&self) -> Option<(u64, u64)> {
        Some((self.chunks.first()?.first, self.chunks.last()?.last))
    }

    /// The lines.
    pub fn encode(&self) -> String {
        let mut text = format!(
            "{FORMAT} {} {}\ngenesis {}\nlinks {}\n",
            self.name,
            hex::encode(self.chain_id),
            hex::encode(self.genesis),
            hex::encode(self.links)
        );
        for chunk in &self.chunks {
            text += &format!("blocks {} {} {}\n", chunk.first, chunk.last, hex::encode(chunk.sha256));
        }
        let end = hex::encode(sha256(&[text.as_bytes()]));
        text + "end " + &end + "\n"
    }

    /// Decodes exactly one manifest.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii());
        let text = text.filter(|text| text.len() <= MANIFEST_BYTES_MAX).ok_or(ManifestError::NotText)?;
        let body = text.strip_suffix('\n').ok_or(ManifestError::NotText)?;
        let (before, end) = body.rsplit_once('\n').ok_or(ManifestError::End)?;
        let covered = text.get(..=before.len()).unwrap_or_default();
        if !text.starts_with(FORMAT) {
            return Err(ManifestError::Format);
        }
        if end.strip_prefix("end ").and_then(parse_hex32) != Some(sha256(&[covered.as_bytes()])) {
            return Err(ManifestError::End);
        }
        Self::of_lines(before)
    }

    fn of_lines(text: &str) -> Result<Self, ManifestError> {
        let mut lines = (1..).zip(text.split('\n'));
        let malformed = |line| ManifestError::Line { line };
        let mut head = |line: usize| lines.next().map(|(_, text)| text).ok_or(malformed(line));
        let fields: Vec<_> = head(1)?.split(' ').collect();
        let [FORMAT, name, chain_id] = *fields.as_slice() else { return Err(ManifestError::Format) };
        if !is_name(name) {
            return Err(malformed(1));
        }
        let chain_id = parse_hex32(chain_id).ok_or(malformed(1))?;
        let genesis = head(2)?.strip_prefix("genesis ").and_then(parse_hex32).ok_or(malformed(2))?;
        let links = head(3)?.strip_prefix("links ").and_then(parse_hex32).ok_or(malformed(3))?;
        let mut chunks: Vec<ChunkName> = Vec::new();
        for (line, text) in lines {
            let chunk = chunk(text).ok_or(malformed(line))?;
            let next = chunks.last().map(|before| before.last.checked_add(1));
            if chunk.first > chunk.last || next.is_some_and(|next| next != Some(chunk.first)) {
                return Err(ManifestError::Gap { line });
            }
            chunks.push(chunk);
        }
        if chunks.is_empty() {
            return Err(malformed(4));
        }
        Ok(Self { name: name.to_owned(), chain_id, genesis, links, chunks })
    }
}

fn chunk(text: &str) -> Option<ChunkName> {
    let fields: Vec<_> = text.split(' ').collect();
    let ["blocks", first, last, hash] = *fields.as_slice() else { return None };
    Some(ChunkName { first: height(first)?, last: height(last)?, sha256: parse_hex32(hash)? })
}

/// A height from 1, without leading zeros.
fn height(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| canonical)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    fn sample() -> Manifest {
        let chunk = |first, last| ChunkName { first, last, sha256: [3; 32] };
        Manifest {
            name: "story".into(),
            chain_id: [7; 32],
            genesis: [1; 32],
            links: [2; 32],
            chunks: vec![chunk(1, 90), chunk(91, 91), chunk(92, 1000)],
        }
    }

    #[test]
    fn a_manifest_reads_back_and_every_changed_or_cut_byte_is_noticed() {
        let text = sample().encode();
        assert_eq!(Manifest::decode(text.as_bytes()), Ok(sample()));
        assert_eq!(sample().heights(), Some((1, 1000)));
        for place in 0..text.len() {
            for bit in [1, 0x20, 0x80] {
                let mut bytes = text.clone().into_bytes();
                bytes[place] ^= bit;
                assert!(Manifest::decode(&bytes).is_err(), "byte {place}");
            }
            assert!(Manifest::decode(&text.as_bytes()[..place]).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn a_manifest_with_a_right_end_is_still_held_to_its_rules() {
        let with_end = |lines: &str| {
            let end = hex::encode(sha256(&[lines.as_bytes()]));
            Manifest::decode(format!("{lines}end {end}\n").as_bytes())
        };
        let (good, hash) = (sample().encode(), "03".repeat(32));
        let lines = good.rsplit_once("end").unwrap().0.to_owned();
        assert_eq!(with_end(&lines), Ok(sample()));
        let twice = lines.replace("blocks 91 91", "blocks 90 91");
        assert_eq!(with_end(&twice), Err(ManifestError::Gap { line: 5 }));
        let gap = lines.replace("blocks 91 91", "blocks 92 92");
        assert_eq!(with_end(&gap), Err(ManifestError::Gap { line: 5 }));
        for (from, to) in [
            ("blocks 91 91", "blocks 91 091"),
            ("blocks 91 91", "blocks 91 +91"),
            ("blocks 91 91", "blocks 91"),
            ("genesis ", "genesis  "),
            ("links 02", "links 2"),
            ("story", "Story"),
            (&*hash, ""),
        ] {
            let changed = with_end(&lines.replace(from, to));
            assert!(matches!(changed, Err(ManifestError::Line { .. })), "{from} -> {to}: {changed:?}");
        }
        assert_eq!(with_end(&lines.replace("export-1", "export-2")), Err(ManifestError::Format));
        let none: String = lines.lines().take(3).map(|line| format!("{line}\n")).collect();
        assert_eq!(with_end(&none), Err(ManifestError::Line { line: 4 }));
    }
}
