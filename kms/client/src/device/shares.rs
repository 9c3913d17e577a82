//! Parts in shared keys, in the same folder as keys of mode `self` and by the same rules: a crash leaves the file before or
//! the one after, and a change of password finds every part ready.
//!
//! With which holders a share is not used any more stands beside it, in a file for each of them, which needs no password: it is
//! there at once, whatever else is written, and no change of password and no second writer takes it away.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use keyward_crypto::{DeviceShare, SecretBytes, SharePart};

use super::{BANNED, DeviceError, DeviceKeys, SHARES, failed, read_as};

/// A part that is kept here, as its file says without being opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptPart {
    /// The shared key's name, 32 bytes.
    pub name: [u8; 32],
    /// The alias under which the person made the key.
    pub alias: String,
}

impl DeviceKeys {
    /// Seals a part under an export key, in place of the one that is kept under that name.
    pub fn put_part(
        &self,
        kept: &KeptPart,
        part: &SharePart,
        export_key: &SecretBytes,
    ) -> Result<(), DeviceError> {
        let _lock = self.lock_shared()?;
        self.place_part(kept, part, export_key, &self.in_place(&hex::encode(kept.name), SHARES))
    }

    fn place_part(
        &self,
        kept: &KeptPart,
        part: &SharePart,
        export_key: &SecretBytes,
        path: &Path,
    ) -> Result<(), DeviceError> {
        let owner = (self.chain_id, self.account);
        let sealed = DeviceShare::seal(export_key, owner, kept.name, &kept.alias, part);
        self.write_file(&sealed.map_err(DeviceError::Seal)?.encode(), path)
    }

    /// Opens the part of that name. One that was made ready for another password, and opens under it, takes its place.
    pub fn load_part(
        &self,
        name: &[u8; 32],
        export_key: &SecretBytes,
    ) -> Result<(KeptPart, SharePart), DeviceError> {
        let digits = hex::encode(name);
        let open = |path: &Path| {
            let sealed = read_as(path, DeviceShare::decode)?;
            sealed.map(|sealed| self.unseal_part(sealed, name, export_key, path)).transpose()
        };
        self.first((&digits, SHARES), open)?.ok_or(DeviceError::PartMissing { name: digits })
    }

    fn unseal_part(
        &self,
        sealed: DeviceShare,
        name: &[u8; 32],
        export_key: &SecretBytes,
        path: &Path,
    ) -> Result<(KeptPart, SharePart), DeviceError> {
        let path = path.to_owned();
        if !self.is_own_part(&sealed) || sealed.name != *name {
            return Err(DeviceError::Other { path });
        }
        let part = sealed.open(export_key).map_err(|source| DeviceError::Closed { path, source })?;
        Ok((KeptPart { name: sealed.name, alias: sealed.alias }, part))
    }

    /// What is kept here, by name; needs no password. A damaged file is told, unless another one holds its part.
    pub fn parts(&self) -> Result<Vec<KeptPart>, DeviceError> {
        let own = |path: &Path| {
            let sealed = read_as(path, DeviceShare::decode)?.filter(|sealed| self.is_own_part(sealed));
            Ok(sealed.map(|DeviceShare { name, alias, .. }| KeptPart { name, alias }))
        };
        self.each(SHARES, own)
    }

    /// Forgets a part on this device; fine when it is not here.
    pub fn remove_part(&self, name: &[u8; 32]) -> Result<(), DeviceError> {
        self.forget(&hex::encode(name), SHARES)
    }

    /// Notes, durably, that a share of this version is not used with the holder at a place any more.
    pub fn ban(&self, name: &[u8; 32], share_version: u32, place: u8) -> Result<(), DeviceError> {
        let path = self.folder.join(format!("{}.{share_version}-{place}.{BANNED}", hex::encode(name)));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        match made.and_then(|file| file.sync_all()) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(&path)(error)),
            _ => {}
        }
        self.sync()
    }

    /// The places of the holders with which a share of this version is not used any more. A note that cannot be read is none that
    /// is passed over.
    pub fn banned(&self, name: &[u8; 32], share_version: u32) -> Result<BTreeSet<u8>, DeviceError> {
        let (name, mut places) = (hex::encode(name), BTreeSet::new());
        for path in self.every(&[BANNED])? {
            let note =
                path.file_stem().and_then(|stem| stem.to_str()?.strip_prefix(&name)?.strip_prefix('.'));
            let Some(note) = note else { continue };
            let read = note
                .split_once('-')
                .and_then(|(version, place)| Some((version.parse::<u32>().ok()?, place.parse::<u8>().ok()?)));
            match read {
                Some((version, place)) if version == share_version => _ = places.insert(place),
                Some(_) => {}
                None => return Err(DeviceError::Other { path }),
            }
        }
        Ok(places)
    }

    /// Makes every part ready for a next password; gives how many.
    pub(super) fn prepare_shares(
        &self,
        present: &SecretBytes,
        next: &SecretBytes,
        tag: &str,
    ) -> Result<usize, DeviceError> {
        let parts = self.parts()?;
        for kept in &parts {
            let (_, part) = self.load_part(&kept.name, present)?;
            self.place_part(kept, &part, next, &self.ready(&hex::encode(kept.name), tag, SHARES))?;
        }
        Ok(parts.len())
    }

    fn is_own_part(&self, sealed: &DeviceShare) -> bool {
        (sealed.chain_id, sealed.account) == (self.chain_id, self.account)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use keyward_crypto::SigningKey;
    use keyward_domain::scheme::Scheme;

    use super::*;

    const NAME: [u8; 32] = [7; 32];

    fn export_key(byte: u8) -> SecretBytes {
        SecretBytes::new(vec![byte; 64])
    }

    fn kept() -> KeptPart {
        KeptPart { name: NAME, alias: "treasury".to_owned() }
    }

    fn open(folder: &Path, account: u8) -> DeviceKeys {
        DeviceKeys::open(folder, [1; 32], [account; 32]).unwrap()
    }

    fn signing(part: &SharePart) -> Vec<u8> {
        part.signing.public_key().as_bytes().to_vec()
    }

    #[test]
    fn a_part_is_kept_for_its_owner_alone_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let (device, part) = (open(folder.path(), 2), SharePart::generate().unwrap());
        let missing = device.load_part(&NAME, &export_key(3)).unwrap_err();
        assert!(matches!(missing, DeviceError::PartMissing { .. }), "{missing}");
        device.put_part(&kept(), &part, &export_key(3)).unwrap();
        let path = device.in_place(&hex::encode(NAME), SHARES);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = open(folder.path(), 2);
        let (found, opened) = again.load_part(&NAME, &export_key(3)).unwrap();
        assert_eq!((found, signing(&opened)), (kept(), signing(&part)));
        assert_eq!(again.parts().unwrap(), [kept()]);
        assert!(matches!(again.load_part(&NAME, &export_key(4)), Err(DeviceError::Closed { .. })));
        let other = open(folder.path(), 9);
        assert!(other.parts().unwrap().is_empty());
        assert!(matches!(other.load_part(&NAME, &export_key(3)), Err(DeviceError::Other { .. })));
        // A part is no key of mode `self`.
        assert!(again.list().unwrap().is_empty());
        again.remove_part(&NAME).unwrap();
        assert!(again.parts().unwrap().is_empty());
    }

    #[test]
    fn a_change_of_password_finds_every_part_ready_whichever_password_counts_in_the_end() {
        for counts in [3, 4] {
            let folder = tempfile::tempdir().unwrap();
            let (device, part) = (open(folder.path(), 2), SharePart::generate().unwrap());
            device.put_part(&kept(), &part, &export_key(3)).unwrap();
            let next = SigningKey::from_secret(Scheme::Ed25519, &[4; 32]).unwrap();
            let ready = device.prepare(&export_key(3), &export_key(4), next.public_key()).unwrap();
            assert_eq!(ready.keys, 1);
            let busy = device.put_part(&kept(), &part, &export_key(3));
            assert!(matches!(busy, Err(DeviceError::Busy { .. })));
            drop(ready);
            let (_, opened) = device.load_part(&NAME, &export_key(counts)).unwrap();
            assert_eq!(signing(&opened), signing(&part));
            if counts == 4 {
                let closed = device.load_part(&NAME, &export_key(3));
                assert!(matches!(closed, Err(DeviceError::Closed { .. })), "given up");
                assert_eq!(device.files(&hex::encode(NAME), SHARES).unwrap().len(), 1);
            }
        }
    }

    #[test]
    fn a_ban_is_there_for_good_for_its_share_alone_and_needs_no_password() {
        let folder = tempfile::tempdir().unwrap();
        let device = open(folder.path(), 2);
        assert!(device.banned(&NAME, 1).unwrap().is_empty());
        device.put_part(&kept(), &SharePart::generate().unwrap(), &export_key(3)).unwrap();
        // Even while the password changes, and as often as it is noted.
        let next = SigningKey::from_secret(Scheme::Ed25519, &[4; 32]).unwrap();
        let ready = device.prepare(&export_key(3), &export_key(4), next.public_key()).unwrap();
        for place in [2, 1, 2] {
            device.ban(&NAME, 1, place).unwrap();
        }
        drop(ready);
        device.load_part(&NAME, &export_key(4)).unwrap();
        let again = open(folder.path(), 2);
        assert_eq!(again.banned(&NAME, 1).unwrap(), BTreeSet::from([1, 2]));
        assert!(again.banned(&NAME, 2).unwrap().is_empty() && again.banned(&[8; 32], 1).unwrap().is_empty());
        assert_eq!(again.parts().unwrap(), [kept()]);
        fs::write(folder.path().join(format!("{}.1-x.{BANNED}", hex::encode(NAME))), b"").unwrap();
        assert!(matches!(again.banned(&NAME, 1), Err(DeviceError::Other { .. })), "not passed over");
    }

    #[test]
    fn a_damaged_part_is_told_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let device = open(folder.path(), 2);
        device.put_part(&kept(), &SharePart::generate().unwrap(), &export_key(3)).unwrap();
        let path = device.in_place(&hex::encode(NAME), SHARES);
        fs::write(&path, b"torn").unwrap();
        assert!(matches!(device.parts(), Err(DeviceError::Format { .. })));
        assert!(matches!(device.load_part(&NAME, &export_key(3)), Err(DeviceError::Format { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"torn");
    }
}
