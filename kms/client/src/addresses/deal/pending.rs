//! A dealing under way, in a file beside the account's keys: nothing in it is secret, its shares are sealed to keepers.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use keyward_crypto::viewing::Dealing;
use keyward_ledger_core::codec::{DecodeError, Reader, Writer};
use keyward_ledger_core::entry::ENTRY_BYTES_MAX;
use keyward_ledger_core::unlinkable::VIEWING_KEEPERS_MAX;

use super::{DealError, DealOrder, majority};
use crate::device::{DeviceError, DeviceKeys, failed, gone, read_file};
use crate::file_lock::FileLock;
use crate::vault::KeeperChoice;
use crate::vault::keepers::Keepers;

const VERSION: u8 = 1;
const WHAT: &str = "dealing under way";
const DEALING_BYTES_MAX: usize = 16 << 10;
const SHARE_BYTES_MAX: usize = 1 << 10;
/// What is left of a dealing's time when keepers are asked for it again, in milliseconds.
const LEFT_MS: u64 = 60 * 60 * 1_000;

/// A dealing that keepers were asked to take, or will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) dealing: Dealing,
    /// Sealed, in the keepers' order.
    pub(super) shares: Vec<Vec<u8>>,
    /// What is to be recorded, once all have acknowledged.
    pub(super) entry: Option<Vec<u8>>,
}

impl Pending {
    /// Whether it is what is wanted now, of keepers that are there still, and can be recorded yet.
    pub(super) fn serves(&self, run: (u32, u32), order: &DealOrder, known: &Keepers) -> bool {
        let Dealing { first, last, threshold, ref keepers, .. } = self.dealing;
        let holder = |id: &[u8; 32]| known.list.iter().find(|keeper| keeper.id == *id);
        let Some(holders) = keepers.iter().map(holder).collect::<Option<Vec<_>>>() else { return false };
        if known.time_ms.saturating_add(LEFT_MS) > self.dealing.expires_ms {
            return false;
        }
        let (as_wanted, wanted) = match &order.keepers {
            None => (true, majority(&KeeperChoice::Any(keepers.len()))),
            Some(choice @ KeeperChoice::Any(count)) => (*count == keepers.len(), majority(choice)),
            Some(choice @ KeeperChoice::Named(names)) => {
                let all = holders.iter().all(|keeper| names.contains(&keeper.name));
                (all && names.len() == keepers.len(), majority(choice))
            }
        };
        as_wanted && (first, last) == run && threshold == order.threshold.unwrap_or(wanted)
    }

    /// `version u8 (1) || bytes dealing || list(16) of bytes share || (0 u8 | 1 u8 || bytes entry)`.
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(8 << 10);
        out.u8(VERSION).bytes(&self.dealing.encode()).count(self.shares.len());
        for share in &self.shares {
            out.bytes(share);
        }
        match &self.entry {
            None => out.u8(0),
            Some(entry) => out.u8(1).bytes(entry),
        };
        out.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(WHAT, VERSION)?;
        let dealing = Dealing::decode(reader.bytes("dealing", DEALING_BYTES_MAX)?);
        let dealing =
            dealing.map_err(|_error| DecodeError::Invalid { what: "dealing", why: "does not read" })?;
        let shares = reader.list("shares", VIEWING_KEEPERS_MAX, |reader| {
            Ok(reader.bytes("share", SHARE_BYTES_MAX)?.to_vec())
        })?;
        let entry =
            reader.option_with("entry", |reader| Ok(reader.bytes("entry", ENTRY_BYTES_MAX)?.to_vec()))?;
        reader.finish(WHAT)?;
        if shares.len() != dealing.keepers.len() {
            return Err(DecodeError::Invalid { what: "shares", why: "are not one for each keeper" });
        }
        Ok(Self { dealing, shares, entry })
    }
}

/// Where it lies, held by one command at a time.
pub(super) struct PendingFile<'a> {
    device: &'a DeviceKeys,
    path: PathBuf,
    _lock: FileLock,
}

impl<'a> PendingFile<'a> {
    /// Refused while another command deals.
    pub(super) fn lock(device: &'a DeviceKeys) -> Result<Self, DealError> {
        let name = hex::encode(device.account());
        let (path, lock) = (
            device.folder().join(format!("{name}.dealing")),
            device.folder().join(format!("{name}.dealing-lock")),
        );
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&lock);
        let file = opened.map_err(failed(&lock))?;
        match FileLock::alone(file) {
            Ok(held) => Ok(Self { device, path, _lock: held }),
            Err(std::fs::TryLockError::WouldBlock) => Err(DeviceError::Busy { path: lock }.into()),
            Err(std::fs::TryLockError::Error(source)) => Err(DeviceError::File { path: lock, source }.into()),
        }
    }

    /// What an earlier command left. What does not read is of no use to anybody: another dealing takes its place.
    pub(super) fn read(&self) -> Result<Option<Pending>, DealError> {
        let Some(bytes) = read_file(&self.path)? else { return Ok(None) };
        Ok(Pending::decode(&bytes).ok().filter(|pending| pending.dealing.account == self.device.account()))
    }

    pub(super) fn write(&self, pending: &Pending) -> Result<(), DealError> {
        Ok(self.device.write_file(&pending.encode(), &self.path)?)
    }

    pub(super) fn remove(&self) -> Result<(), DealError> {
        Ok(gone(&self.path).map_err(failed(&self.path))?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use keyward_crypto::unlinkable::{AddressRoot, PuncturedViewing};
    use keyward_crypto::vault::{BoxKey, VaultKeeper};
    use keyward_crypto::viewing::{DealingPlan, deal};
    use zeroize::Zeroizing;

    use super::*;
    use crate::vault::LedgerKeeper;

    const ENDS_MS: u64 = 10 * LEFT_MS;

    fn keepers() -> Vec<LedgerKeeper> {
        let keeper = |number: u8| LedgerKeeper {
            id: [number; 32],
            name: format!("keeper-{number}"),
            key: [number; 32],
            hpke_key: BoxKey::from_secret(&[number; 32]).unwrap().public(),
            validator: None,
            address: "https://keeper.example:1".into(),
            present: true,
        };
        (1..=3).map(keeper).collect()
    }

    fn pending() -> Pending {
        let viewing = PuncturedViewing::from_root(&AddressRoot::from_bytes(Zeroizing::new([5; 32])));
        let keepers: Vec<VaultKeeper> = keepers().iter().map(LedgerKeeper::of_vault).collect();
        let plan =
            DealingPlan { chain_id: [1; 32], account: [2; 32], expires_ms: ENDS_MS, threshold: 2, keepers };
        let (dealing, shares) = deal(&plan, &viewing.cover(3..=9).unwrap()).unwrap();
        Pending { dealing, shares, entry: None }
    }

    fn known(list: Vec<LedgerKeeper>, time_ms: u64) -> Keepers {
        Keepers { list, height: 1, time_ms }
    }

    #[test]
    fn what_is_left_of_a_dealing_reads_back_and_what_is_cut_off_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let device = DeviceKeys::open(folder.path(), [1; 32], [2; 32]).unwrap();
        let file = PendingFile::lock(&device).unwrap();
        assert!(matches!(PendingFile::lock(&device), Err(DealError::Device(DeviceError::Busy { .. }))));
        assert_eq!(file.read().unwrap(), None);
        for entry in [None, Some(vec![7; 40])] {
            let pending = Pending { entry, ..pending() };
            file.write(&pending).unwrap();
            assert_eq!(file.read().unwrap(), Some(pending.clone()));
            let bytes = pending.encode();
            for end in 0..bytes.len() {
                assert!(Pending::decode(&bytes[..end]).is_err(), "{end}");
            }
            assert!(Pending::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
        let other = DeviceKeys::open(folder.path(), [1; 32], [3; 32]).unwrap();
        assert_eq!(PendingFile::lock(&other).unwrap().read().unwrap(), None, "another account's");
        file.remove().unwrap();
        file.remove().unwrap();
        assert_eq!(file.read().unwrap(), None);
    }

    #[test]
    fn a_dealing_is_gone_on_with_only_where_it_is_what_is_wanted() {
        let (pending, run) = (pending(), (3, 9));
        let any = DealOrder::default();
        let serves = |order: &DealOrder| pending.serves(run, order, &known(keepers(), 1_000));
        assert!(serves(&any));
        assert!(!pending.serves((3, 8), &any, &known(keepers(), 1_000)));
        assert!(!pending.serves(run, &any, &known(keepers()[1..].to_vec(), 1_000)), "one left");
        assert!(pending.serves(run, &any, &known(keepers(), ENDS_MS - LEFT_MS)));
        assert!(!pending.serves(run, &any, &known(keepers(), ENDS_MS - LEFT_MS + 1)), "too late");
        let named = |names: &[&str]| DealOrder {
            keepers: Some(KeeperChoice::Named(names.iter().map(|name| (*name).into()).collect())),
            ..DealOrder::default()
        };
        assert!(serves(&named(&["keeper-3", "keeper-1", "keeper-2"])));
        assert!(!serves(&named(&["keeper-3", "keeper-1"])));
        assert!(!serves(&named(&["keeper-3", "keeper-1", "other"])));
        assert!(serves(&DealOrder { keepers: Some(KeeperChoice::Any(3)), ..any.clone() }));
        assert!(!serves(&DealOrder { keepers: Some(KeeperChoice::Any(2)), ..any.clone() }));
        assert!(!serves(&DealOrder { threshold: Some(3), ..any.clone() }));
        assert!(serves(&DealOrder { threshold: Some(2), ..any }));
    }
}
