//! What else is kept in the folder of keys of mode `self`, by the same rules: a crash leaves the file before or the one after, and a
//! change of password finds every secret ready.

use std::path::Path;

use keyward_crypto::{DeviceSecret, SecretBytes, SecretKind};

use super::{DeviceError, DeviceKeys, Kind, read_as};

/// The files of a kind of secret, and what it is called.
const fn files(kind: SecretKind) -> (Kind, &'static str) {
    match kind {
        SecretKind::AddressRoot => (Kind { place: "root", next: "root-next" }, "address root"),
        SecretKind::GrantKey => (Kind { place: "grant", next: "grant-next" }, "key of grant"),
    }
}

const KINDS: [SecretKind; 2] = [SecretKind::AddressRoot, SecretKind::GrantKey];

impl DeviceKeys {
    /// Seals a secret under an export key, in place of the one that is kept under that name.
    pub fn put_secret(
        &self,
        (kind, name): (SecretKind, [u8; 32]),
        secret: &SecretBytes,
        export_key: &SecretBytes,
    ) -> Result<(), DeviceError> {
        let _lock = self.lock_shared()?;
        let path = self.in_place(&hex::encode(name), files(kind).0);
        self.place_secret((kind, name), secret, export_key, &path)
    }

    fn place_secret(
        &self,
        named: (SecretKind, [u8; 32]),
        secret: &SecretBytes,
        export_key: &SecretBytes,
        path: &Path,
    ) -> Result<(), DeviceError> {
        let sealed = DeviceSecret::seal(export_key, (self.chain_id, self.account), named, secret);
        self.write_file(&sealed.map_err(DeviceError::Seal)?.encode(), path)
    }

    /// Opens the secret of that name. One that was made ready for another password, and opens under it, takes its place.
    pub fn load_secret(
        &self,
        (kind, name): (SecretKind, [u8; 32]),
        export_key: &SecretBytes,
    ) -> Result<SecretBytes, DeviceError> {
        let ((suffixes, what), digits) = (files(kind), hex::encode(name));
        let open = |path: &Path| {
            let sealed = read_as(path, DeviceSecret::decode)?;
            sealed.map(|sealed| self.unseal_secret(&sealed, (kind, name), export_key, path)).transpose()
        };
        self.first((&digits, suffixes), open)?.ok_or(DeviceError::SecretMissing { what, name: digits })
    }

    fn unseal_secret(
        &self,
        sealed: &DeviceSecret,
        named: (SecretKind, [u8; 32]),
        export_key: &SecretBytes,
        path: &Path,
    ) -> Result<SecretBytes, DeviceError> {
        let path = path.to_owned();
        if !self.is_own_secret(sealed) || (sealed.kind, sealed.name) != named {
            return Err(DeviceError::Other { path });
        }
        sealed.open(export_key).map_err(|source| DeviceError::Closed { path, source })
    }

    /// The names of what is kept here of a kind; needs no password. A damaged file is told, unless another one holds its secret.
    pub fn secrets(&self, kind: SecretKind) -> Result<Vec<[u8; 32]>, DeviceError> {
        let own = |path: &Path| {
            let sealed = read_as(path, DeviceSecret::decode)?.filter(|sealed| self.is_own_secret(sealed));
            Ok(sealed.map(|sealed| sealed.name))
        };
        self.each(files(kind).0, own)
    }

    /// Makes every secret ready for a next password; gives how many.
    pub(super) fn prepare_secrets(
        &self,
        present: &SecretBytes,
        next: &SecretBytes,
        tag: &str,
    ) -> Result<usize, DeviceError> {
        let mut ready = 0;
        for kind in KINDS {
            for name in self.secrets(kind)? {
                let secret = self.load_secret((kind, name), present)?;
                let path = self.ready(&hex::encode(name), tag, files(kind).0);
                self.place_secret((kind, name), &secret, next, &path)?;
                ready += 1;
            }
        }
        Ok(ready)
    }

    fn is_own_secret(&self, sealed: &DeviceSecret) -> bool {
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

    const GRANT: (SecretKind, [u8; 32]) = (SecretKind::GrantKey, [7; 32]);
    const ROOT: (SecretKind, [u8; 32]) = (SecretKind::AddressRoot, [0; 32]);

    fn bytes(byte: u8, len: usize) -> SecretBytes {
        SecretBytes::new(vec![byte; len])
    }

    fn open(folder: &Path, account: u8) -> DeviceKeys {
        DeviceKeys::open(folder, [1; 32], [account; 32]).unwrap()
    }

    #[test]
    fn a_secret_is_kept_for_its_owner_kind_and_name_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (device, export_key) = (open(folder.path(), 2), bytes(3, 64));
        let missing = device.load_secret(GRANT, &export_key).unwrap_err();
        assert!(missing.to_string().contains("key of grant"), "{missing}");
        device.put_secret(GRANT, &bytes(8, 32), &export_key).unwrap();
        let path = device.in_place(&hex::encode(GRANT.1), files(GRANT.0).0);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = open(folder.path(), 2);
        assert!(again.load_secret(GRANT, &export_key).unwrap().matches(&[8; 32]));
        assert_eq!(again.secrets(SecretKind::GrantKey).unwrap(), [GRANT.1]);
        assert!(again.secrets(SecretKind::AddressRoot).unwrap().is_empty());
        assert!(matches!(again.load_secret(GRANT, &bytes(4, 64)), Err(DeviceError::Closed { .. })));
        let other = open(folder.path(), 9);
        assert!(other.secrets(SecretKind::GrantKey).unwrap().is_empty());
        assert!(matches!(other.load_secret(GRANT, &export_key), Err(DeviceError::Other { .. })));
        // A file under another's name is none of it, and a damaged one is told.
        fs::copy(&path, device.in_place(&hex::encode([8; 32]), files(GRANT.0).0)).unwrap();
        let renamed = device.load_secret((SecretKind::GrantKey, [8; 32]), &export_key);
        assert!(matches!(renamed, Err(DeviceError::Other { .. })));
        fs::write(&path, b"torn").unwrap();
        assert!(matches!(device.secrets(SecretKind::GrantKey), Err(DeviceError::Format { .. })));
        assert!(matches!(device.load_secret(GRANT, &export_key), Err(DeviceError::Format { .. })));
    }

    #[test]
    fn a_change_of_password_finds_every_secret_ready_whichever_password_counts_in_the_end() {
        for counts in [3, 4] {
            let folder = tempfile::tempdir().unwrap();
            let device = open(folder.path(), 2);
            for (named, len) in [(GRANT, 32), (ROOT, 70_000)] {
                device.put_secret(named, &bytes(8, len), &bytes(3, 64)).unwrap();
            }
            let next = SigningKey::from_secret(Scheme::Ed25519, &[4; 32]).unwrap();
            let ready = device.prepare(&bytes(3, 64), &bytes(4, 64), next.public_key()).unwrap();
            assert_eq!(ready.keys, 2);
            let busy = device.put_secret(GRANT, &bytes(9, 32), &bytes(3, 64));
            assert!(matches!(busy, Err(DeviceError::Busy { .. })));
            drop(ready);
            for (named, len) in [(GRANT, 32), (ROOT, 70_000)] {
                let opened = device.load_secret(named, &bytes(counts, 64)).unwrap();
                assert!(opened.matches(&vec![8; len]));
                if counts == 4 {
                    let closed = device.load_secret(named, &bytes(3, 64));
                    assert!(matches!(closed, Err(DeviceError::Closed { .. })), "given up");
                }
            }
        }
    }
}
