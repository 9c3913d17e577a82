//! Snapshots of the state, so that a restart executes few blocks again.
//!
//! A file `snapshot-<height>` holds `"KWSNAP01" || head (u32 length || signed header and log frontier) ||
//! count u64 || (key, value: u32 length || bytes each)... || SHA-256 of everything before`. It is written
//! beside, made durable and renamed. One that does not check is set aside and the one before is used: blocks
//! are the truth, a snapshot only spares time.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use keyward_ledger_core::{
    block::SignedHeader,
    execute::{Ledger, LedgerHead},
};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

const MAGIC: &[u8; 8] = b"KWSNAP01";
const KEPT: usize = 2;
/// Longer than the head of any snapshot.
const HEAD_BYTES_MAX: u32 = 8192;

/// A ledger with the header that proves it.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) signed_header: SignedHeader,
    pub(crate) ledger: Ledger,
}

/// Whether a block is the last of its epoch: snapshots of those are offered to others.
pub(crate) const fn ends_epoch(height: u64, epoch_length: u64) -> bool {
    height.saturating_add(1).is_multiple_of(epoch_length)
}

/// Writes a snapshot durably and removes all but the newest two and the newest of an epoch's end.
pub(crate) fn write(dir: &Path, snapshot: &Snapshot, epoch_length: u64) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let path = dir.join(format!("snapshot-{:020}", snapshot.ledger.height()));
    let beside = dir.join("snapshot.new");
    let mut out = Hashed { inner: BufWriter::new(File::create(&beside)?), hash: Sha256::new() };
    out.write_all(MAGIC)?;
    let state = snapshot.ledger.state();
    let head =
        LedgerHead { signed_header: snapshot.signed_header.clone(), log: snapshot.ledger.log().clone() };
    write_bytes(&mut out, &head.encode())?;
    out.write_all(&(state.len() as u64).to_be_bytes())?;
    for (key, value) in state.iter() {
        write_bytes(&mut out, key)?;
        write_bytes(&mut out, value)?;
    }
    let Hashed { mut inner, hash } = out;
    inner.write_all(&hash.finalize())?;
    inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&beside, &path)?;
    File::open(dir)?.sync_all()?;
    let all = list(dir)?;
    let is_end = |path: &&PathBuf| height_of(path).is_some_and(|height| ends_epoch(height, epoch_length));
    let newest_end = all.iter().rev().find(is_end);
    for old in all.iter().rev().skip(KEPT).filter(|path| Some(*path) != newest_end) {
        fs::remove_file(old)?;
    }
    Ok(())
}

/// The newest snapshot that checks and that `usable` takes.
pub(crate) fn newest(
    dir: &Path,
    usable: impl Fn(&Snapshot) -> io::Result<bool>,
) -> io::Result<Option<Snapshot>> {
    if !dir.exists() {
        return Ok(None);
    }
    for path in list(dir)?.into_iter().rev() {
        match read(&fs::read(&path)?) {
            Ok(snapshot) if !usable(&snapshot)? => {
                warn!(path = %path.display(), "alarm: the derived files do not reach as far as this snapshot");
            }
            Ok(snapshot) => {
                info!(
                    height = snapshot.ledger.height(),
                    entries = snapshot.ledger.state().len(),
                    "snapshot read"
                );
                return Ok(Some(snapshot));
            }
            Err(reason) => {
                warn!(path = %path.display(), reason, "alarm: a snapshot does not check and is set aside");
                set_aside(&path)?;
            }
        }
    }
    Ok(None)
}

/// The header of a snapshot whose every byte checks.
pub(crate) fn check(path: &Path) -> io::Result<Option<SignedHeader>> {
    let bytes = fs::read(path)?;
    let Some((body, sum)) = bytes.split_last_chunk::<32>() else { return Ok(None) };
    if Sha256::digest(body).as_slice() != sum {
        return Ok(None);
    }
    let mut rest = Rest(body);
    let head = rest.take(8).and_then(|_magic| rest.bytes());
    Ok(head.ok().and_then(|head| LedgerHead::decode(head).ok()).map(|head| head.signed_header))
}

/// The header of a snapshot whose bytes are not looked at otherwise.
pub(crate) fn header_of(file: &File) -> Result<SignedHeader, String> {
    let mut start = [0; 12];
    file.read_exact_at(&mut start, 0).map_err(|error| error.to_string())?;
    let mut rest = Rest::new(&start);
    if rest.take(8)? != MAGIC {
        return Err("not a snapshot of this version".into());
    }
    let length = u32::from_be_bytes(rest.array()?).min(HEAD_BYTES_MAX);
    let mut head = vec![0; length as usize];
    file.read_exact_at(&mut head, 12).map_err(|error| error.to_string())?;
    LedgerHead::decode(&head).map(|head| head.signed_header).map_err(|error| error.to_string())
}

/// The height in a snapshot's name.
pub(crate) fn height_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("snapshot-")?.parse().ok()
}

/// Takes a snapshot that does not check out of use.
pub(crate) fn set_aside(path: &Path) -> io::Result<()> {
    fs::rename(path, path.with_extension("damaged"))
}

/// Snapshot files, oldest first.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<_> = fs::read_dir(dir)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.strip_prefix("snapshot-")
                .is_some_and(|rest| rest.len() == 20 && rest.bytes().all(|b| b.is_ascii_digit()))
        })
        .collect();
    paths.sort();
    Ok(paths)
}

/// Reads a snapshot's bytes; the reason when they do not check.
pub(crate) fn read(bytes: &[u8]) -> Result<Snapshot, String> {
    let (body, sum) = bytes.split_last_chunk::<32>().ok_or_else(|| "too short".to_owned())?;
    if Sha256::digest(body).as_slice() != sum {
        return Err("the sum differs".into());
    }
    let mut rest = Rest(body);
    if rest.take(8)? != MAGIC {
        return Err("not a snapshot of this version".into());
    }
    let head = LedgerHead::decode(rest.bytes()?).map_err(|error| error.to_string())?;
    let count = u64::from_be_bytes(rest.array()?);
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push((rest.bytes()?, rest.bytes()?));
    }
    if !rest.is_empty() {
        return Err("bytes follow the last entry".into());
    }
    let ledger = Ledger::restore(&head, entries).map_err(|error| error.to_string())?;
    Ok(Snapshot { signed_header: head.signed_header, ledger })
}

pub(crate) struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], &'static str> {
        let (head, rest) = self.0.split_at_checked(len).ok_or("ends early")?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        self.take(N)?.try_into().map_err(|_length| "ends early")
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], &'static str> {
        let len = u32::from_be_bytes(self.array()?);
        self.take(len as usize)
    }
}

fn write_bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    out.write_all(&len.to_be_bytes())?;
    out.write_all(bytes)
}

/// Hashes what passes through.
struct Hashed<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..len).unwrap_or_default());
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use keyward_ledger_core::{
        block::Regime,
        ed25519::SigningKey,
        execute::BlockLimits,
        genesis::{Genesis, GenesisDocument},
    };

    const EPOCH: u64 = 256;

    /// A ledger some empty blocks above genesis.
    fn sample(height: u64) -> Snapshot {
        let key = SigningKey::from_seed(&[1; 32]);
        let genesis = Genesis::new(GenesisDocument {
            name: "test".into(),
            time_ms: 1,
            validators: vec![key.public_key()],
            submitters: Vec::new(),
            keepers: Vec::new(),
            epoch_length: EPOCH,
            regime: Regime::Fast,
            clock_bound_ms: 1000,
        });
        let mut ledger = Ledger::genesis(&genesis.unwrap());
        loop {
            let proposal = ledger.propose(5, &[], &BlockLimits::default(), &key).unwrap();
            ledger = proposal.executed.ledger;
            if ledger.height() == height {
                return Snapshot { signed_header: proposal.block.signed_header, ledger };
            }
        }
    }

    #[test]
    fn a_snapshot_reads_back_and_only_the_newest_two_stay() {
        let dir = tempfile::tempdir().unwrap();
        assert!(newest(dir.path(), |_| Ok(true)).unwrap().is_none());
        for height in [1, 2, 3] {
            write(dir.path(), &sample(height), EPOCH).unwrap();
        }
        let back = newest(dir.path(), |_| Ok(true)).unwrap().unwrap().ledger;
        let expected = sample(3).ledger;
        assert_eq!(
            (back.height(), back.tip(), back.state().root()),
            (3, expected.tip(), expected.state().root())
        );
        assert_eq!(list(dir.path()).unwrap().len(), 2);
    }

    #[test]
    fn the_newest_of_an_epochs_end_stays_for_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let heights =
            || list(dir.path()).unwrap().iter().filter_map(|path| height_of(path)).collect::<Vec<_>>();
        for height in [1, 2, 3, 4, 5, 6] {
            write(dir.path(), &sample(height), 4).unwrap();
        }
        assert_eq!(heights(), [3, 5, 6]);
        write(dir.path(), &sample(7), 4).unwrap();
        write(dir.path(), &sample(8), 4).unwrap();
        assert_eq!(heights(), [7, 8]);
        let file = File::open(list(dir.path()).unwrap().pop().unwrap()).unwrap();
        assert_eq!(header_of(&file).unwrap().header.height, 8);
    }

    #[test]
    fn a_damaged_snapshot_is_set_aside_and_the_one_before_used() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &sample(1), EPOCH).unwrap();
        write(dir.path(), &sample(2), EPOCH).unwrap();
        let path = list(dir.path()).unwrap().pop().unwrap();
        let bytes = fs::read(&path).unwrap();
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1;
            assert!(read(&flipped).is_err(), "byte {place}");
            assert!(read(&bytes[..place]).is_err(), "cut at {place}");
        }
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(newest(dir.path(), |_| Ok(true)).unwrap().unwrap().ledger.height(), 1);
        assert!(!path.exists());
    }
}
