//! A key of mode `self` on its person's device: sealed under the export key of a login, so that it opens with the
//! password alone, and bound to its ledger, its account and itself.

use hkdf::Hkdf;
use keyward_domain::scheme::{PublicKey, PublicKeyError, Scheme};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::device_file::{ALIAS_BYTES_MAX, EXPORT_KEY_BYTES, Sealed, read_alias, read_ids, write_alias};
use crate::envelope::{Envelope, NONCE_BYTES, SealError};
use crate::labels;
use crate::secret::SecretBytes;
use crate::signing::{SECRET_BYTES, SigningKey, SigningKeyError};

/// Of files that do not say under which alias the key was made.
const NAMELESS_VERSION: u8 = 1;
const VERSION: u8 = 2;
/// Version, chain id, account, scheme and the public key's length.
const HEAD_BYTES: usize = 1 + 32 + 32 + 1 + 4;

/// Why a file of a device was not sealed, read or opened.
#[derive(Debug, Error)]
pub enum DeviceKeyError {
    /// Not a sealed file.
    #[error("{len} bytes are not a sealed file of a device")]
    Malformed {
        /// Their count.
        len: usize,
    },
    /// An alias that does not fit.
    #[error("an alias has 1 to 255 bytes of UTF-8, not {len}")]
    Alias {
        /// Its length.
        len: usize,
    },
    /// Sealed by another version.
    #[error("a sealed file of version {version} is not known")]
    Version {
        /// The version found.
        version: u8,
    },
    /// A scheme that this version does not know.
    #[error("scheme {code} is not known")]
    Scheme {
        /// The scheme's code.
        code: u8,
    },
    /// The public key in it is none.
    #[error("the public key of the sealed key is refused")]
    PublicKey(#[source] PublicKeyError),
    /// The export key is none.
    #[error("an export key has 64 bytes, not {len}")]
    ExportKey {
        /// Its length.
        len: usize,
    },
    /// It does not open: another password sealed it, or it was changed.
    #[error("the sealed file does not open: another password sealed it, or it was changed")]
    Refused(#[source] SealError),
    /// Sealing failed.
    #[error("the file could not be sealed")]
    Seal(#[source] SealError),
    /// What was sealed is no private key.
    #[error("what was sealed is no private key")]
    Secret(#[source] SigningKeyError),
    /// What was sealed is another key's private part.
    #[error("what was sealed is another key's private part")]
    OtherKey,
    /// What was sealed is no part in a shared key.
    #[error("what was sealed is no part in a shared key")]
    Part,
    /// More, or longer, than such a file holds.
    #[error("what is to be sealed is too long to be kept")]
    TooLong,
    /// A kind of secret that this version does not know.
    #[error("a sealed secret of kind {code} is not known")]
    Kind {
        /// The kind's code.
        code: u8,
    },
}

/// A sealed key: who it belongs to is readable, its private part is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceKey {
    /// The ledger.
    pub chain_id: [u8; 32],
    /// The account's name on the ledger.
    pub account: [u8; 32],
    /// The key.
    pub public_key: PublicKey,
    /// The alias under which the key was made, as its person gave it; none in version 1.
    pub alias: Option<String>,
    sealed: Sealed,
}

impl DeviceKey {
    /// Seals a key under an export key of 64 bytes, with a fresh nonce; without an alias as version 1.
    pub fn seal(
        export_key: &SecretBytes,
        owner: ([u8; 32], [u8; 32]),
        key: &SigningKey,
        alias: Option<&str>,
    ) -> Result<Self, DeviceKeyError> {
        let nonce = Envelope::fresh_nonce().map_err(DeviceKeyError::Seal)?;
        Self::seal_with(export_key, owner, key, alias, nonce)
    }

    /// `owner`: the ledger, and the account's name on it.
    fn seal_with(
        export_key: &SecretBytes,
        owner: ([u8; 32], [u8; 32]),
        key: &SigningKey,
        alias: Option<&str>,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Self, DeviceKeyError> {
        if let Some(alias) = alias.filter(|alias| !(1..=ALIAS_BYTES_MAX).contains(&alias.len())) {
            return Err(DeviceKeyError::Alias { len: alias.len() });
        }
        let ((chain_id, account), public_key) = (owner, key.public_key().clone());
        let alias = alias.map(str::to_owned);
        let empty = Self { chain_id, account, public_key, alias, sealed: Sealed::default() };
        let sealed = key.expose(|secret| Sealed::new(export_key, nonce, &empty.associated(), secret))?;
        Ok(Self { sealed, ..empty })
    }

    /// Opens it; the private part is held against the public key.
    pub fn open(&self, export_key: &SecretBytes) -> Result<SigningKey, DeviceKeyError> {
        let key = self
            .sealed
            .open(export_key, &self.associated())?
            .expose(|bytes| SigningKey::from_secret(self.public_key.scheme(), bytes))
            .map_err(DeviceKeyError::Secret)?;
        if *key.public_key() == self.public_key { Ok(key) } else { Err(DeviceKeyError::OtherKey) }
    }

    /// The bytes that are kept.
    pub fn encode(&self) -> Vec<u8> {
        self.sealed.behind(&self.head())
    }

    /// Reads what [`Self::encode`] wrote, and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DeviceKeyError> {
        let malformed = || DeviceKeyError::Malformed { len: bytes.len() };
        let (version, rest) = bytes.split_first().ok_or_else(malformed)?;
        if ![NAMELESS_VERSION, VERSION].contains(version) {
            return Err(DeviceKeyError::Version { version: *version });
        }
        let ([chain_id, account], rest) = read_ids(rest).ok_or_else(malformed)?;
        let (code, rest) = rest.split_first().ok_or_else(malformed)?;
        let (len, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
        let (public_key, rest) = rest.split_at_checked(len).ok_or_else(malformed)?;
        let (alias, rest) = match *version {
            VERSION => read_alias(rest).map(|(alias, rest)| (Some(alias), rest)).ok_or_else(malformed)?,
            _ => (None, rest),
        };
        let sealed = Sealed::read(rest, SECRET_BYTES..=SECRET_BYTES).ok_or_else(malformed)?;
        let scheme = Scheme::from_code(*code).ok_or(DeviceKeyError::Scheme { code: *code })?;
        let public_key = PublicKey::parse(scheme, public_key).map_err(DeviceKeyError::PublicKey)?;
        Ok(Self { chain_id, account, public_key, alias, sealed })
    }

    /// `version u8 (2) || chain id[32] || account[32] || scheme u8 || u32 length || public key || u8 length || alias`; in
    /// version 1 without the alias.
    fn head(&self) -> Vec<u8> {
        let public_key = self.public_key.as_bytes();
        let mut head = Vec::with_capacity(HEAD_BYTES + public_key.len() + 1 + ALIAS_BYTES_MAX);
        head.push(if self.alias.is_some() { VERSION } else { NAMELESS_VERSION });
        head.extend_from_slice(&self.chain_id);
        head.extend_from_slice(&self.account);
        head.push(self.public_key.scheme().code());
        // INVARIANT: public keys have at most some hundred bytes.
        head.extend_from_slice(&u32::try_from(public_key.len()).unwrap_or(u32::MAX).to_be_bytes());
        head.extend_from_slice(public_key);
        if let Some(alias) = &self.alias {
            write_alias(&mut head, alias);
        }
        head
    }

    fn associated(&self) -> Vec<u8> {
        [labels::tagged(labels::DEVICE_FILE), self.head()].concat()
    }
}

/// What an app has in the place of a person's export key: 64 bytes, `HKDF-SHA256(private key[32], info = label)` of a key that
/// only the app has. So what it keeps on its side opens with that key, and there is no password.
pub fn app_export_key(key: &SigningKey) -> Result<SecretBytes, DeviceKeyError> {
    let mut derived = Zeroizing::new(vec![0; EXPORT_KEY_BYTES]);
    // INVARIANT: HKDF-SHA256 gives up to 8160 bytes, so 64 never fail.
    let expanded = key.expose(|secret| {
        Hkdf::<Sha256>::new(None, secret).expand(labels::APP_EXPORT_KEY.as_bytes(), derived.as_mut_slice())
    });
    match expanded {
        Ok(()) => Ok(SecretBytes::new(std::mem::take(&mut *derived))),
        Err(_length) => Err(DeviceKeyError::ExportKey { len: EXPORT_KEY_BYTES }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: [u8; 32] = [1; 32];
    const ACCOUNT: [u8; 32] = [2; 32];
    /// Made with Python's hmac and hashlib.
    const GOLDEN_APP_EXPORT_KEY: &str = "859fe35a607135ddc5409ef87d320b0c79dcd004db72db6304264b02c4510d8afc7e8066c807acb2f11bd480e54e737e31f0969878afc5faed519f76335b1387";

    fn export_key(byte: u8) -> SecretBytes {
        SecretBytes::new(vec![byte; 64])
    }

    fn sealed(scheme: Scheme) -> (SigningKey, DeviceKey) {
        let key = SigningKey::generate(scheme).unwrap();
        let sealed = DeviceKey::seal(&export_key(3), (CHAIN, ACCOUNT), &key, Some("pay")).unwrap();
        (key, sealed)
    }

    #[test]
    fn an_apps_export_key_is_the_golden_one_of_its_key_alone() {
        let of = |secret: [u8; 32]| {
            let key = SigningKey::from_secret(Scheme::Ed25519, &secret).unwrap();
            hex::encode(app_export_key(&key).unwrap().expose(|bytes| bytes.to_vec()))
        };
        assert_eq!(of([0x42; 32]), GOLDEN_APP_EXPORT_KEY);
        assert_ne!(of([0x43; 32]), GOLDEN_APP_EXPORT_KEY);
    }

    #[test]
    fn a_key_of_every_scheme_opens_under_its_export_key_alone() {
        for scheme in [Scheme::EcdsaSecp256k1, Scheme::Bip340, Scheme::EcdsaP256, Scheme::Ed25519] {
            let (key, sealed) = sealed(scheme);
            let kept = DeviceKey::decode(&sealed.encode()).unwrap();
            assert_eq!(kept, sealed);
            let opened = kept.open(&export_key(3)).unwrap();
            assert_eq!(opened.public_key(), key.public_key());
            assert!(matches!(kept.open(&export_key(4)), Err(DeviceKeyError::Refused(_))));
        }
    }

    #[test]
    fn the_alias_is_bound_to_its_key_and_of_before_there_is_none() {
        let (key, good) = sealed(Scheme::Ed25519);
        assert_eq!(DeviceKey::decode(&good.encode()).unwrap().alias.as_deref(), Some("pay"));
        for alias in [None, Some("pax".to_owned()), Some("pay2".to_owned())] {
            let renamed = DeviceKey { alias, ..good.clone() };
            let kept = DeviceKey::decode(&renamed.encode()).unwrap();
            assert!(matches!(kept.open(&export_key(3)), Err(DeviceKeyError::Refused(_))));
        }
        for alias in [String::new(), "a".repeat(ALIAS_BYTES_MAX + 1)] {
            let refused = DeviceKey::seal(&export_key(3), (CHAIN, ACCOUNT), &key, Some(&alias));
            assert!(matches!(refused, Err(DeviceKeyError::Alias { .. })), "{}", alias.len());
        }
        let nameless = DeviceKey::seal(&export_key(3), (CHAIN, ACCOUNT), &key, None).unwrap().encode();
        assert_eq!(nameless.first(), Some(&1));
        let kept = DeviceKey::decode(&nameless).unwrap();
        assert_eq!(kept.alias, None);
        assert_eq!(kept.open(&export_key(3)).unwrap().public_key(), key.public_key());
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_refused() {
        let sealed = sealed(Scheme::Ed25519).1.encode();
        let opens =
            |bytes: &[u8]| DeviceKey::decode(bytes).and_then(|kept| kept.open(&export_key(3))).is_ok();
        assert!(opens(&sealed));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(!opens(&changed), "byte {at}");
            assert!(DeviceKey::decode(&sealed[..at]).is_err(), "cut at {at}");
        }
        assert!(DeviceKey::decode(&[&sealed[..], &[0]].concat()).is_err());
    }

    #[test]
    fn another_account_ledger_or_key_does_not_open_it() {
        let (_, good) = sealed(Scheme::Ed25519);
        let other = sealed(Scheme::Ed25519).1.public_key;
        let swapped = [
            DeviceKey { chain_id: [9; 32], ..good.clone() },
            DeviceKey { account: [9; 32], ..good.clone() },
            DeviceKey { public_key: other, ..good },
        ];
        for sealed in swapped {
            assert!(matches!(sealed.open(&export_key(3)), Err(DeviceKeyError::Refused(_))));
        }
    }

    #[test]
    fn an_export_key_of_another_length_is_refused() {
        let (key, sealed) = sealed(Scheme::Ed25519);
        for len in [0, 32, 63, 65] {
            let short = SecretBytes::new(vec![3; len]);
            assert!(matches!(sealed.open(&short), Err(DeviceKeyError::ExportKey { .. })), "{len}");
            let refused = DeviceKey::seal(&short, (CHAIN, ACCOUNT), &key, None);
            assert!(matches!(refused, Err(DeviceKeyError::ExportKey { .. })), "{len}");
        }
    }

    #[test]
    fn other_versions_are_refused_by_name() {
        let mut bytes = sealed(Scheme::Ed25519).1.encode();
        for version in [0, 3] {
            bytes[0] = version;
            let refused = DeviceKey::decode(&bytes);
            assert!(matches!(refused, Err(DeviceKeyError::Version { version: found }) if found == version));
        }
    }

    #[test]
    fn the_file_has_the_golden_bytes() {
        // RFC 8032, section 7.1, test 1; the derived key and the ciphertext were made by another implementation.
        let secret = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = SigningKey::from_secret(Scheme::Ed25519, &secret).unwrap();
        let sealed = DeviceKey::seal_with(&export_key(3), (CHAIN, ACCOUNT), &key, None, [4; 12]).unwrap();
        let golden = include_str!("../tests/vectors/device.txt");
        assert_eq!(hex::encode(sealed.encode()), golden.trim_end());
    }
}
