//! The folder of an export: its files, written whole, and read back with the hash that its manifest names.

use std::path::{Path, PathBuf};

use keyward_ledger_core::export::{CHUNK_BYTES_MAX, CHUNK_MAGIC, Chunk, ChunkName, Manifest, ProvenBlock};
use keyward_ledger_core::genesis::Genesis;
use keyward_ledger_core::hash::sha256;
use keyward_ledger_verify::{Broken, Held, History};

use crate::failure::{Failure, Result};
use crate::files::{self, Access};

/// A chunk is closed when it has grown over this.
const CHUNK_BYTES: usize = 8 << 20;
const _: () = assert!(CHUNK_BYTES + (32 << 20) < CHUNK_BYTES_MAX, "a chunk holds the greatest block");

const MANIFEST: &str = "manifest";
const GENESIS: &str = "genesis";
const LINKS: &str = "links";
const AGAIN: &str = "export again into an empty folder, or get the files again from whom you have them";

/// An export on disk.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn genesis(&self) -> Result<Option<Vec<u8>>> {
        let path = self.path(GENESIS);
        if path.is_file() { files::read(&path).map(Some) } else { Ok(None) }
    }

    pub(crate) fn write_genesis(&self, genesis: &Genesis) -> Result<()> {
        files::write(&self.path(GENESIS), &genesis.encode(), Access::Public)
    }

    /// Refuses a folder that holds something else.
    pub(super) fn check_is_ours(&self) -> Result<()> {
        let empty = std::fs::read_dir(&self.0).map_or(true, |mut entries| entries.next().is_none());
        if empty || self.path(GENESIS).is_file() {
            return Ok(());
        }
        let what = format!("`{}` is a folder of something else", self.0.display());
        Err(Failure::usage(what, "give an empty folder, or one of an export that was begun"))
    }

    /// The heights of the first blocks of the chunks that lie here, ascending.
    pub(super) fn chunks(&self) -> Result<Vec<u64>> {
        let entries = std::fs::read_dir(&self.0).map_err(|error| {
            Failure::usage(
                format!("cannot read the folder `{}`", self.0.display()),
                "name an export's folder",
            )
            .because(&error)
        })?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let firsts = names.filter_map(|name| name.strip_prefix("blocks-")?.parse::<u64>().ok());
        let mut firsts: Vec<_> =
            firsts.filter(|first| self.path(&ChunkName::file(*first)).is_file()).collect();
        firsts.sort_unstable();
        Ok(firsts)
    }

    pub(super) fn chunk(&self, first: u64) -> Result<Vec<u8>> {
        files::read(&self.path(&ChunkName::file(first)))
    }

    pub(super) fn write_chunk(&self, first: u64, bytes: &[u8]) -> Result<()> {
        files::write(&self.path(&ChunkName::file(first)), bytes, Access::Public)
    }

    /// Writes what names everything else: an export without a manifest was never finished.
    pub(crate) fn write_manifest(
        &self,
        links: &[u8],
        genesis: &Genesis,
        chunks: Vec<ChunkName>,
    ) -> Result<()> {
        files::write(&self.path(LINKS), links, Access::Public)?;
        let manifest = Manifest {
            name: genesis.name().to_owned(),
            chain_id: *genesis.chain_id(),
            genesis: sha256(&[&genesis.encode()]),
            links: sha256(&[links]),
            chunks,
        };
        files::write(&self.path(MANIFEST), manifest.encode().as_bytes(), Access::Public)
    }

    pub(crate) fn manifest(&self) -> Result<Manifest> {
        let path = self.path(MANIFEST);
        if !path.is_file() {
            let what = format!("`{}` holds no finished export: there is no `{MANIFEST}`", self.0.display());
            return Err(Failure::usage(what, "finish it with `keyward ledger export`"));
        }
        Manifest::decode(&files::read(&path)?).map_err(|error| {
            verdict("MANIFEST_MALFORMED", "the export's manifest does not hold").because(&error)
        })
    }

    /// A file that the manifest names, with the hash it names.
    pub(crate) fn named(&self, name: &str, hash: &[u8; 32]) -> Result<Vec<u8>> {
        let bytes = files::read(&self.path(name))?;
        if sha256(&[&bytes]) == *hash {
            return Ok(bytes);
        }
        Err(other_file(name))
    }

    pub(crate) fn named_genesis(&self, manifest: &Manifest) -> Result<Genesis> {
        let bytes = self.named(GENESIS, &manifest.genesis)?;
        Genesis::decode(&bytes).map_err(|error| {
            verdict("GENESIS_MALFORMED", "the export's genesis does not read").because(&error)
        })
    }

    pub(crate) fn named_links(
        &self,
        manifest: &Manifest,
    ) -> Result<Vec<keyward_ledger_core::receipt::SetLink>> {
        let bytes = self.named(LINKS, &manifest.links)?;
        keyward_ledger_core::export::decode_links(&bytes)
            .map_err(|error| verdict("LINKS_MALFORMED", "the export's links do not read").because(&error))
    }
}

/// A chunk in the making.
pub(crate) struct Writing {
    first: u64,
    bytes: Vec<u8>,
}

impl Writing {
    pub(crate) fn from(first: u64) -> Self {
        Self { first, bytes: CHUNK_MAGIC.to_vec() }
    }

    pub(crate) fn push(&mut self, block: &ProvenBlock) {
        self.bytes.extend(block.encode());
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= CHUNK_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() <= CHUNK_MAGIC.len()
    }

    pub(crate) fn write(self, folder: &Folder, last: u64) -> Result<ChunkName> {
        folder.write_chunk(self.first, &self.bytes)?;
        Ok(ChunkName { first: self.first, last, sha256: sha256(&[&self.bytes]) })
    }
}

/// Checks the blocks of a chunk, one after the other, and hands on each that holds.
pub(super) fn check_chunk(
    history: &mut History,
    bytes: &[u8],
    mut held: impl FnMut(&ProvenBlock, Held) -> Result<()>,
) -> Result<()> {
    let unreadable = |history: &History, error: &keyward_ledger_core::codec::DecodeError| {
        let what = format!("the export does not hold: height {}", history.next_height());
        verdict("CHUNK_MALFORMED", &what).because(error)
    };
    let mut chunk = Chunk::open(bytes).map_err(|error| unreadable(history, &error))?;
    while let Some(block) = chunk.block().map_err(|error| unreadable(history, &error))? {
        let found = history.check(&block).map_err(|broken| refuted(&broken))?;
        held(&block, found)?;
    }
    Ok(())
}

/// What does not hold, by its code and height.
pub(super) fn refuted(broken: &Broken) -> Failure {
    let mut failure = verdict(broken.cause.code(), "the ledger does not hold").because(broken);
    "do not rely on it; compare with other validators and tell the ledger's operators"
        .clone_into(&mut failure.next);
    failure
}

pub(super) fn other_file(name: &str) -> Failure {
    verdict("FILE_CHANGED", &format!("the file `{name}` is not the one that the manifest names"))
}

pub(crate) fn verdict(code: &str, what: &str) -> Failure {
    let mut failure = Failure::refused(what, AGAIN);
    failure.code = Some(code.to_owned());
    failure.verdict = true;
    failure
}
