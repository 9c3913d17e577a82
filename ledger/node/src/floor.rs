//! Where this node's history begins, if not at genesis: the last block of an epoch, taken over from the others.
//!
//! The folder `floor` comes into being whole, by one rename, and never changes. `proof` holds `"KWFLOR01" ||
//! certified || log frontier || u8 seated || SHA-256 of everything before`; certified is that of receipts (SPEC.md,
//! section 10), both parts have a u32 length before them. `snapshot` is the state after that block, as in
//! `snapshot.rs`. Everything in them was verified from genesis on when they were taken, and is again at each start.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use keyward_ledger_core::{
    execute::{BlockOutcomes, Ledger},
    genesis::Genesis,
    log::Frontier,
    receipt::Certified,
    trust::Trust,
};
use keyward_ledger_engine as engine;
use keyward_ledger_verify::SetTracker;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::{
    index::{Index, Place},
    snapshot::{self, Rest, Snapshot},
};

const MAGIC: &[u8; 8] = b"KWFLOR01";
const PROOF: &str = "proof";
const SNAPSHOT: &str = "snapshot";

/// Why a floor's files are of no use.
#[derive(Debug, Error)]
pub(crate) enum FloorError {
    /// A file failed.
    #[error("a file failed")]
    Io(#[from] io::Error),
    /// Bytes do not check.
    #[error("{0}")]
    Damaged(String),
}

/// The beginning of this node's history: it holds what comes after.
#[derive(Debug)]
pub(crate) struct Floor {
    dir: PathBuf,
    /// The block, and the way from genesis to those who certified it.
    pub(crate) certified: Certified,
    /// The log after it.
    pub(crate) log: Frontier,
    /// Whether this node's key may have voted before: its journal is lost then.
    pub(crate) seated: bool,
}

impl Floor {
    /// Where the floor of a node lies.
    pub(crate) fn dir(data_dir: &Path) -> PathBuf {
        data_dir.join("floor")
    }

    /// The snapshot within a floor's folder.
    pub(crate) fn snapshot_in(dir: &Path) -> PathBuf {
        dir.join(SNAPSHOT)
    }

    /// Reads and verifies the floor of a node that has one.
    pub(crate) fn open(data_dir: &Path, genesis: &Genesis) -> Result<Option<Self>, FloorError> {
        let dir = Self::dir(data_dir);
        if !dir.exists() {
            return Ok(None);
        }
        let bytes = fs::read(dir.join(PROOF))?;
        let (certified, log, seated) = decode(&bytes).map_err(FloorError::Damaged)?;
        let floor = Self { dir, certified, log, seated };
        let damaged = |error: &dyn std::error::Error| FloorError::Damaged(error.to_string());
        verify(genesis, &floor.certified).map_err(|error| damaged(&error))?;
        let header = &floor.certified.signed_header.header;
        if (floor.log.size(), floor.log.root()) != (header.log_size, header.log_root) {
            return Err(FloorError::Damaged("the log is not that of the certified block".into()));
        }
        Ok(Some(floor))
    }

    /// Writes the proof beside the snapshot that lies in a folder already.
    pub(crate) fn write_proof(
        dir: &Path,
        certified: &Certified,
        log: &Frontier,
        seated: bool,
    ) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        for part in [certified.encode(), log.encode()] {
            bytes.extend(u32::try_from(part.len()).map_err(io::Error::other)?.to_be_bytes());
            bytes.extend(part);
        }
        bytes.push(u8::from(seated));
        bytes.extend(Sha256::digest(&bytes));
        fs::write(dir.join(PROOF), bytes)?;
        for name in [PROOF, SNAPSHOT] {
            fs::File::open(dir.join(name))?.sync_all()?;
        }
        fs::File::open(dir)?.sync_all()
    }

    /// The height of its block: what comes after is held here.
    pub(crate) fn height(&self) -> u64 {
        self.certified.signed_header.header.height
    }

    /// The state after its block.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, FloorError> {
        let found = snapshot::read(&fs::read(Self::snapshot_in(&self.dir))?).map_err(FloorError::Damaged)?;
        if found.signed_header != self.certified.signed_header {
            return Err(FloorError::Damaged("the snapshot is of another block than the proof".into()));
        }
        Ok(found)
    }

    /// Whether its files say on the disk what they said at the start.
    pub(crate) fn check(&self, genesis: &Genesis) -> Result<(), FloorError> {
        let data_dir = self.dir.parent().unwrap_or(&self.dir);
        let found = Self::open(data_dir, genesis)?;
        let same = found.is_some_and(|found| found.certified == self.certified && found.log == self.log);
        let header = snapshot::check(&Self::snapshot_in(&self.dir))?;
        match header {
            Some(header) if same && header == self.certified.signed_header => Ok(()),
            _ => Err(FloorError::Damaged("its files are missing or changed".into())),
        }
    }

    /// The ledger after its block.
    pub(crate) fn ledger(&self) -> Result<Ledger, FloorError> {
        self.snapshot().map(|snapshot| snapshot.ledger)
    }

    /// Lets the derived files begin here, as often as a node begins here again.
    pub(crate) fn begin(&self, index: &Index) -> Result<Snapshot, FloorError> {
        let snapshot = self.snapshot()?;
        index.begin(self.height(), &self.log)?;
        Ok(snapshot)
    }

    /// Where the engine begins.
    pub(crate) fn for_engine(&self) -> engine::Floor {
        let certificate = &self.certified.certificate;
        // The set that certified the block: that of the last link, or of genesis.
        let set = self.certified.links.last().map_or(&self.certified.genesis.set, |link| &link.set);
        engine::Floor {
            height: self.height(),
            certificate: engine::Certificate {
                epoch: certificate.epoch,
                view: certificate.view,
                parent_view: certificate.parent_view,
                digest: certificate.block_digest,
                set_size: u32::try_from(set.len()).unwrap_or(u32::MAX),
                signers: certificate.signers.iter().map(|signer| (signer.index, signer.signature)).collect(),
            },
        }
    }
}

/// Whether a block is certified, from genesis on.
pub(crate) fn verify(genesis: &Genesis, certified: &Certified) -> Result<(), keyward_ledger_verify::Failure> {
    let trust = Trust::genesis(genesis.name().to_owned(), *genesis.chain_id());
    SetTracker::certified(trust, certified).map(|_verified| ())
}

fn decode(bytes: &[u8]) -> Result<(Certified, Frontier, bool), String> {
    let (body, sum) = bytes.split_last_chunk::<32>().ok_or("too short")?;
    if Sha256::digest(body).as_slice() != sum {
        return Err("the sum differs".into());
    }
    let mut rest = Rest::new(body);
    if rest.take(8)? != MAGIC {
        return Err("not a floor of this version".into());
    }
    let certified = Certified::decode(rest.bytes()?).map_err(|error| error.to_string())?;
    let log = Frontier::decode(rest.bytes()?).map_err(|error| error.to_string())?;
    let seated = match rest.array()? {
        [0] => false,
        [1] => true,
        _ => return Err("a flag is neither 0 nor 1".into()),
    };
    if rest.is_empty() { Ok((certified, log, seated)) } else { Err("bytes follow".into()) }
}

impl Place {
    /// The place of a block above which a history begins.
    pub(crate) fn beginning(log: &Frontier) -> (Self, Vec<u8>) {
        let outcomes = BlockOutcomes::default().encode();
        let place = Self { first_leaf: log.size(), outcomes_len: outcomes.len() as u64, ..Self::default() };
        (place, outcomes)
    }
}
