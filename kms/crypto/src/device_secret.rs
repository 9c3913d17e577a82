//! What else a person's device keeps: sealed under the export key of a login as keys of mode `self` are, and bound to its ledger,
//! its account, its kind and its name.

use crate::device::DeviceKeyError;
use crate::device_file::{Sealed, read_ids};
use crate::envelope::{Envelope, NONCE_BYTES};
use crate::labels;
use crate::secret::SecretBytes;

const VERSION: u8 = 1;
/// The longest secret.
pub const DEVICE_SECRET_BYTES_MAX: usize = 1 << 20;

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SecretKind {
    /// The account's own address root; its name is the account's.
    AddressRoot = 1,
    /// The X25519 key that packages of a grant are sealed to; its name is the grant's id.
    GrantKey = 2,
}

impl SecretKind {
    const fn of(code: u8) -> Result<Self, DeviceKeyError> {
        match code {
            1 => Ok(Self::AddressRoot),
            2 => Ok(Self::GrantKey),
            code => Err(DeviceKeyError::Kind { code }),
        }
    }
}

/// A sealed secret: whose it is, is readable, what it is, is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSecret {
    /// The ledger.
    pub chain_id: [u8; 32],
    /// The account's name on the ledger.
    pub account: [u8; 32],
    /// What it is.
    pub kind: SecretKind,
    /// What it is called among its kind.
    pub name: [u8; 32],
    sealed: Sealed,
}

impl DeviceSecret {
    /// Seals a secret of 1 to 1 MiB bytes under an export key of 64 bytes, with a fresh nonce. `owner`: the ledger, and the account's
    /// name on it.
    pub fn seal(
        export_key: &SecretBytes,
        owner: ([u8; 32], [u8; 32]),
        (kind, name): (SecretKind, [u8; 32]),
        secret: &SecretBytes,
    ) -> Result<Self, DeviceKeyError> {
        let nonce = Envelope::fresh_nonce().map_err(DeviceKeyError::Seal)?;
        Self::seal_with(export_key, owner, (kind, name), secret, nonce)
    }

    fn seal_with(
        export_key: &SecretBytes,
        (chain_id, account): ([u8; 32], [u8; 32]),
        (kind, name): (SecretKind, [u8; 32]),
        secret: &SecretBytes,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Self, DeviceKeyError> {
        if !(1..=DEVICE_SECRET_BYTES_MAX).contains(&secret.len()) {
            return Err(DeviceKeyError::TooLong);
        }
        let empty = Self { chain_id, account, kind, name, sealed: Sealed::default() };
        let sealed = secret.expose(|plain| Sealed::new(export_key, nonce, &empty.associated(), plain))?;
        Ok(Self { sealed, ..empty })
    }

    /// Opens it.
    pub fn open(&self, export_key: &SecretBytes) -> Result<SecretBytes, DeviceKeyError> {
        self.sealed.open(export_key, &self.associated())
    }

    /// The bytes that are kept.
    pub fn encode(&self) -> Vec<u8> {
        self.sealed.behind(&self.head())
    }

    /// Reads what [`Self::encode`] wrote, and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DeviceKeyError> {
        let malformed = || DeviceKeyError::Malformed { len: bytes.len() };
        let (&version, rest) = bytes.split_first().ok_or_else(malformed)?;
        if version != VERSION {
            return Err(DeviceKeyError::Version { version });
        }
        let (&kind, rest) = rest.split_first().ok_or_else(malformed)?;
        let kind = SecretKind::of(kind)?;
        let ([chain_id, account, name], rest) = read_ids(rest).ok_or_else(malformed)?;
        let sealed = Sealed::read(rest, 1..=DEVICE_SECRET_BYTES_MAX).ok_or_else(malformed)?;
        Ok(Self { chain_id, account, kind, name, sealed })
    }

    /// `version u8 (1) || kind u8 || chain id[32] || account[32] || name[32]`.
    fn head(&self) -> Vec<u8> {
        [&[VERSION, self.kind as u8][..], &self.chain_id, &self.account, &self.name].concat()
    }

    fn associated(&self) -> Vec<u8> {
        [labels::tagged(labels::DEVICE_SECRET), self.head()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_file::assert_opens_unchanged_alone;

    const OWNER: ([u8; 32], [u8; 32]) = ([1; 32], [2; 32]);
    const NAME: (SecretKind, [u8; 32]) = (SecretKind::GrantKey, [5; 32]);
    /// Made with Python's cryptography (HKDF-SHA256, AES-256-GCM).
    const GOLDEN: &str = "01020101010101010101010101010101010101010101010101010101010101010101020202020202020202020202020202020202020202020202020202020202020205050505050505050505050505050505050505050505050505050505050505050404040404040404040404043b87e8d888108f715a423400dd585c446f3311b02446850653dc9985d62f4498e8ea3cc070e38ae5d4b5c025279812d9";

    fn export_key(byte: u8) -> SecretBytes {
        SecretBytes::new(vec![byte; 64])
    }

    fn sealed(len: usize) -> DeviceSecret {
        DeviceSecret::seal(&export_key(3), OWNER, NAME, &SecretBytes::new(vec![7; len])).unwrap()
    }

    #[test]
    fn a_secret_opens_under_its_export_key_alone() {
        for len in [1, 32, DEVICE_SECRET_BYTES_MAX] {
            let kept = DeviceSecret::decode(&sealed(len).encode()).unwrap();
            assert_eq!((kept.kind, kept.name), NAME);
            assert!(kept.open(&export_key(3)).unwrap().matches(&vec![7; len]));
            assert!(matches!(kept.open(&export_key(4)), Err(DeviceKeyError::Refused(_))));
        }
        for len in [0, DEVICE_SECRET_BYTES_MAX + 1] {
            let refused = DeviceSecret::seal(&export_key(3), OWNER, NAME, &SecretBytes::new(vec![7; len]));
            assert!(matches!(refused, Err(DeviceKeyError::TooLong)), "{len}");
        }
    }

    #[test]
    fn another_account_ledger_kind_or_name_does_not_open_it() {
        let good = sealed(32);
        let swapped = [
            DeviceSecret { chain_id: [9; 32], ..good.clone() },
            DeviceSecret { account: [9; 32], ..good.clone() },
            DeviceSecret { kind: SecretKind::AddressRoot, ..good.clone() },
            DeviceSecret { name: [9; 32], ..good },
        ];
        for sealed in swapped {
            assert!(matches!(sealed.open(&export_key(3)), Err(DeviceKeyError::Refused(_))));
        }
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_refused() {
        let sealed = sealed(32).encode();
        let opens =
            |bytes: &[u8]| DeviceSecret::decode(bytes).and_then(|kept| kept.open(&export_key(3))).is_ok();
        assert_opens_unchanged_alone(&sealed, opens);
        let (mut version, mut kind) = (sealed.clone(), sealed);
        (version[0], kind[1]) = (2, 9);
        assert!(matches!(DeviceSecret::decode(&version), Err(DeviceKeyError::Version { version: 2 })));
        assert!(matches!(DeviceSecret::decode(&kind), Err(DeviceKeyError::Kind { code: 9 })));
    }

    #[test]
    fn the_file_has_the_golden_bytes() {
        let secret = SecretBytes::new(vec![7; 32]);
        let sealed = DeviceSecret::seal_with(&export_key(3), OWNER, NAME, &secret, [4; 12]).unwrap();
        assert_eq!(hex::encode(sealed.encode()), GOLDEN);
    }
}
