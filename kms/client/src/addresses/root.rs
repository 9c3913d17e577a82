//! The file of an own address root on its person's device: read and replaced whole, by one command at a time.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;

use keyward_crypto::unlinkable::{AddressRoot, PuncturedViewing};
use keyward_crypto::{SecretBytes, SecretKind};

use super::Address;
use super::book::Book;
use super::error::AddressesError;
use crate::device::{DeviceError, DeviceKeys};

/// The file that is locked, beside the lock of all that lies in the folder.
const LOCK: &str = "addresses.lock";

/// Where an own address root is kept, and what opens it.
#[derive(Clone, Copy)]
pub struct OwnRoot<'a> {
    device: &'a DeviceKeys,
    export_key: &'a SecretBytes,
}

impl<'a> OwnRoot<'a> {
    /// Of a device's account.
    pub const fn at(device: &'a DeviceKeys, export_key: &'a SecretBytes) -> Self {
        Self { device, export_key }
    }

    /// The device that it is on.
    pub(super) const fn device(&self) -> &'a DeviceKeys {
        self.device
    }

    /// Whether it is here.
    pub fn is_here(&self) -> Result<bool, AddressesError> {
        match self.read() {
            Ok(_) => Ok(true),
            Err(AddressesError::RootMissing) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes it from fresh randomness, unless it is here.
    pub fn make(&self) -> Result<(), AddressesError> {
        let _lock = self.lock()?;
        if self.is_here()? {
            return Ok(());
        }
        let root = AddressRoot::generate()?;
        self.write(&Book::new(PuncturedViewing::from_root(&root)))
    }

    /// What is kept.
    pub fn read(&self) -> Result<Book, AddressesError> {
        let kept = match self.device.load_secret(self.named(), self.export_key) {
            Err(DeviceError::SecretMissing { .. }) => return Err(AddressesError::RootMissing),
            kept => kept?,
        };
        kept.expose(Book::decode)
    }

    /// Changes what is kept: nobody else does in between, and a crash leaves what was before or what comes after. Nothing is
    /// written if the change is refused.
    pub fn update<T>(
        &self,
        change: impl FnOnce(&mut Book) -> Result<T, AddressesError>,
    ) -> Result<T, AddressesError> {
        let _lock = self.lock()?;
        let mut book = self.read()?;
        let done = change(&mut book)?;
        self.write(&book)?;
        Ok(done)
    }

    /// Takes back that what was paid to an address is known to be a payment.
    pub fn doubt_payment(&self, address: &Address) -> Result<(), AddressesError> {
        self.update(|book| book.doubt(address))
    }

    /// Erases what opens epochs up to this one: the keepers have it.
    pub fn forget_through(&self, last: u32) -> Result<(), AddressesError> {
        let _lock = self.lock()?;
        self.write(&self.read()?.without_through(last)?)
    }

    fn write(&self, book: &Book) -> Result<(), AddressesError> {
        Ok(self.device.put_secret(self.named(), &book.encode(), self.export_key)?)
    }

    const fn named(&self) -> (SecretKind, [u8; 32]) {
        (SecretKind::AddressRoot, self.device.account())
    }

    /// Released when it is dropped.
    fn lock(&self) -> Result<File, AddressesError> {
        let path = self.device.folder().join(LOCK);
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let locked = opened.and_then(|file| file.lock().map(|()| file));
        Ok(locked.map_err(|source| DeviceError::File { path, source })?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use std::path::Path;

    use keyward_crypto::SigningKey;
    use keyward_domain::scheme::Scheme;

    use super::*;

    fn export_key(byte: u8) -> SecretBytes {
        SecretBytes::new(vec![byte; 64])
    }

    fn device(folder: &Path) -> DeviceKeys {
        DeviceKeys::open(folder, [1; 32], [2; 32]).unwrap()
    }

    #[test]
    fn a_root_is_made_once_and_opens_for_its_password_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (device, present, other) = (device(folder.path()), export_key(3), export_key(4));
        let root = OwnRoot::at(&device, &present);
        assert!(!root.is_here().unwrap());
        assert!(matches!(root.read(), Err(AddressesError::RootMissing)));
        root.make().unwrap();
        let made = root.read().unwrap().encode();
        root.make().unwrap();
        assert!(root.read().unwrap().encode().expose(|again| made.matches(again)));
        assert!(OwnRoot::at(&device, &other).read().is_err());
        assert!(OwnRoot::at(&device, &other).make().is_err(), "nothing takes its place");
        assert!(root.is_here().unwrap());
    }

    #[test]
    fn many_at_once_are_never_given_one_index_twice() {
        let folder = tempfile::tempdir().unwrap();
        OwnRoot::at(&device(folder.path()), &export_key(3)).make().unwrap();
        let mut given: Vec<_> = std::thread::scope(|scope| {
            let taking = || {
                let (device, key) = (device(folder.path()), export_key(3));
                let root = OwnRoot::at(&device, &key);
                (0..8).map(|_| root.update(|book| book.give_out(7)).unwrap()).collect::<Vec<_>>()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(taking)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        given.sort_unstable();
        assert_eq!(given, (0..32).collect::<Vec<_>>());
    }

    #[test]
    fn a_refused_change_leaves_what_was_and_a_dealt_epoch_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (device, key) = (device(folder.path()), export_key(3));
        let root = OwnRoot::at(&device, &key);
        root.make().unwrap();
        let refused = root.update(|book| {
            book.give_out(7)?;
            Err::<(), _>(AddressesError::NotOurs)
        });
        assert!(matches!(refused, Err(AddressesError::NotOurs)));
        assert_eq!(root.update(|book| book.give_out(7)).unwrap(), 0);
        root.update(|book| book.give_out(8)).unwrap();
        let later = root.read().unwrap().viewing.viewing_leaf(8).unwrap();
        root.forget_through(7).unwrap();
        let book = root.read().unwrap();
        assert!(book.viewing.viewing_leaf(7).is_none() && !book.epochs().contains_key(&7));
        let kept = book.viewing.viewing_leaf(8).unwrap();
        assert!(kept.expose(|kept| later.expose(|later| kept == later)), "the next one is as it was");
        assert_eq!(book.epochs()[&8].next, 1);
    }

    #[test]
    fn a_root_survives_a_change_of_password_whichever_counts_in_the_end() {
        for counts in [3, 4] {
            let folder = tempfile::tempdir().unwrap();
            let (device, present) = (device(folder.path()), export_key(3));
            OwnRoot::at(&device, &present).make().unwrap();
            OwnRoot::at(&device, &present).update(|book| book.give_out(7)).unwrap();
            let next = SigningKey::from_secret(Scheme::Ed25519, &[4; 32]).unwrap();
            let ready = device.prepare(&present, &export_key(4), next.public_key()).unwrap();
            let busy = OwnRoot::at(&device, &present).update(|book| book.give_out(7));
            assert!(busy.is_err(), "the next password would bring an index back");
            drop(ready);
            let counting = export_key(counts);
            assert_eq!(OwnRoot::at(&device, &counting).update(|book| book.give_out(7)).unwrap(), 1);
        }
    }
}
