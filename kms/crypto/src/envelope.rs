//! Envelopes: secrets at rest under a key-encryption key, with AES-256-GCM.
//!
//! An envelope is `version u8 (2) || kek u32 || nonce[12] || ciphertext || tag[16]`; the first version names no
//! key-encryption key: it is under the first one, or under an operator's. The associated data names what is
//! sealed, so that an envelope copied to another row does not open. The key-encryption key lives in a token;
//! [`MemoryKek`] is for an operator's secret and for tests.

use std::fmt;
use std::num::NonZeroU32;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use keyward_domain::scheme::KeyId;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::labels;
use crate::locked::{LockError, LockedSecret};
use crate::secret::SecretBytes;

/// Length of a nonce.
pub const NONCE_BYTES: usize = 12;
const UNNAMED: u8 = 1;
const NAMED: u8 = 2;
const TAG_BYTES: usize = 16;
/// The longest secret that is sealed here; a bound on what a decoder accepts.
const PLAINTEXT_BYTES_MAX: usize = 1 << 20;

/// Why nothing was sealed or opened.
#[derive(Debug, Error)]
pub enum SealError {
    /// Not an envelope.
    #[error("{len} bytes are not an envelope")]
    Malformed {
        /// Their count.
        len: usize,
    },
    /// An envelope of another version.
    #[error("envelope version {version} is not known")]
    Version {
        /// The version found.
        version: u8,
    },
    /// Wrong key, wrong associated data or changed bytes.
    #[error("the envelope does not open: it was changed, or belongs to something else")]
    Refused(#[source] aes_gcm::Error),
    /// The secret is too long.
    #[error("a secret of {len} bytes is too long to seal")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[source] getrandom::Error),
    /// The memory could not be locked.
    #[error(transparent)]
    Memory(#[from] LockError),
    /// The device that holds the key-encryption key failed.
    #[error("the key-encryption key could not be used")]
    Device(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// AES-256-GCM under a key that stays where it is.
pub trait KeyEncryptionKey: Send + Sync {
    /// Seals; the result is the ciphertext and the 16-byte tag. The nonce must be fresh.
    fn encrypt(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SealError>;
    /// Opens what [`Self::encrypt`] made.
    fn decrypt(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        ciphertext: &[u8],
    ) -> Result<SecretBytes, SealError>;
}

/// Seals a secret into an envelope, under a fresh random nonce.
pub fn seal(kek: &dyn KeyEncryptionKey, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
    if plaintext.len() > PLAINTEXT_BYTES_MAX {
        return Err(SealError::TooLong { len: plaintext.len() });
    }
    let nonce = Envelope::fresh_nonce()?;
    let ciphertext = kek.encrypt(&nonce, aad, plaintext)?;
    Ok(Envelope { kek: None, nonce, ciphertext }.encode())
}

/// Opens an envelope.
pub fn open(kek: &dyn KeyEncryptionKey, aad: &[u8], sealed: &[u8]) -> Result<SecretBytes, SealError> {
    let envelope = Envelope::decode(sealed)?;
    kek.decrypt(&envelope.nonce, aad, &envelope.ciphertext)
}

/// The parts of an envelope, for a key-encryption key that answers asynchronously.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The number of the key-encryption key, from 1 on; none in the first version.
    pub kek: Option<NonZeroU32>,
    /// The nonce.
    pub nonce: [u8; NONCE_BYTES],
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

impl Envelope {
    /// A fresh random nonce.
    pub fn fresh_nonce() -> Result<[u8; NONCE_BYTES], SealError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(SealError::Randomness)?;
        Ok(nonce)
    }

    /// The bytes that are kept.
    pub fn encode(&self) -> Vec<u8> {
        match self.kek {
            None => [&[UNNAMED][..], &self.nonce, &self.ciphertext].concat(),
            Some(kek) => [&[NAMED][..], &kek.get().to_be_bytes(), &self.nonce, &self.ciphertext].concat(),
        }
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, SealError> {
        let malformed = || SealError::Malformed { len: bytes.len() };
        let (version, rest) = bytes.split_first().ok_or_else(malformed)?;
        let (kek, rest) = match *version {
            UNNAMED => (None, rest),
            NAMED => {
                let (number, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
                let number = NonZeroU32::new(u32::from_be_bytes(*number)).ok_or_else(malformed)?;
                (Some(number), rest)
            }
            version => return Err(SealError::Version { version }),
        };
        let (nonce, ciphertext) = rest.split_first_chunk().ok_or_else(malformed)?;
        if !(TAG_BYTES..=PLAINTEXT_BYTES_MAX + TAG_BYTES).contains(&ciphertext.len()) {
            return Err(malformed());
        }
        Ok(Self { kek, nonce: *nonce, ciphertext: ciphertext.to_vec() })
    }
}

/// Associated data of a hosted key: `label || key id[32] || account[32] || version u32`.
pub fn hosted_key_aad(key: &KeyId, account: &[u8; 32], version: u32) -> Vec<u8> {
    let label = labels::tagged(labels::HOSTED_KEY);
    [&label[..], key.as_bytes(), account, &version.to_be_bytes()].concat()
}

/// Associated data of a secret of the service itself: `label || name`.
pub fn service_secret_aad(name: &str) -> Vec<u8> {
    [&labels::tagged(labels::SERVICE_SECRET)[..], name.as_bytes()].concat()
}

/// Associated data of an account's data key: `label || account[32] || version u32 (1)`.
pub fn profile_key_aad(account: &[u8; 32]) -> Vec<u8> {
    profile(labels::PROFILE_KEY, account)
}

/// Associated data of an account's profile under its data key: `label || account[32] || version u32 (1)`.
pub fn profile_aad(account: &[u8; 32]) -> Vec<u8> {
    profile(labels::PROFILE, account)
}

/// Associated data of a keeper's share at rest: `label || keeper id[32] || hash[32]`, of the sealing, refresh or dealing.
pub fn keeper_share_aad(keeper: &[u8; 32], shares_hash: &[u8; 32]) -> Vec<u8> {
    [&labels::tagged(labels::KEEPER_SHARE)[..], keeper, shares_hash].concat()
}

fn profile(label: &str, account: &[u8; 32]) -> Vec<u8> {
    [&labels::tagged(label)[..], account, &1_u32.to_be_bytes()].concat()
}

/// A key-encryption key in this process's locked memory: for an operator's secret and for tests.
pub struct MemoryKek(LockedSecret);

impl MemoryKek {
    /// From 32 secret bytes.
    pub fn new(secret: &[u8; 32]) -> Result<Self, SealError> {
        Ok(Self(LockedSecret::new(Zeroizing::new(secret.to_vec()))?))
    }

    /// A fresh one.
    pub fn generate() -> Result<Self, SealError> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut_slice()).map_err(SealError::Randomness)?;
        Self::new(&secret)
    }

    /// Lends the key, only so that it can be sealed.
    pub fn expose<R>(&self, f: impl for<'a> FnOnce(&'a [u8]) -> R) -> R {
        self.0.expose(f)
    }

    fn cipher(&self) -> Result<Aes256Gcm, SealError> {
        self.0.expose(|key| Aes256Gcm::new_from_slice(key).map_err(|e| SealError::Device(Box::new(e))))
    }
}

impl KeyEncryptionKey for MemoryKek {
    fn encrypt(&self, nonce: &[u8; NONCE_BYTES], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        self.cipher()?.encrypt(nonce.into(), Payload { msg: plaintext, aad }).map_err(SealError::Refused)
    }

    fn decrypt(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        ciphertext: &[u8],
    ) -> Result<SecretBytes, SealError> {
        let plain = self.cipher()?.decrypt(nonce.into(), Payload { msg: ciphertext, aad });
        Ok(SecretBytes::new(plain.map_err(SealError::Refused)?))
    }
}

impl fmt::Debug for MemoryKek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryKek(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_secret_opens_under_the_same_name_only() {
        let kek = MemoryKek::generate().unwrap();
        let aad = hosted_key_aad(&KeyId([1; 32]), &[2; 32], 3);
        let sealed = seal(&kek, &aad, b"secret").unwrap();
        assert!(open(&kek, &aad, &sealed).unwrap().matches(b"secret"));
        for other in [
            hosted_key_aad(&KeyId([9; 32]), &[2; 32], 3),
            hosted_key_aad(&KeyId([1; 32]), &[9; 32], 3),
            hosted_key_aad(&KeyId([1; 32]), &[2; 32], 4),
            service_secret_aad("opaque-setup"),
        ] {
            assert!(matches!(open(&kek, &other, &sealed), Err(SealError::Refused(_))));
        }
        let stranger = MemoryKek::generate().unwrap();
        assert!(matches!(open(&stranger, &aad, &sealed), Err(SealError::Refused(_))));
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_refused() {
        let kek = MemoryKek::generate().unwrap();
        let sealed = seal(&kek, b"name", b"secret").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&kek, b"name", &changed).is_err(), "byte {at}");
            assert!(open(&kek, b"name", &sealed[..at]).is_err(), "cut at {at}");
        }
        assert!(open(&kek, b"name", &[sealed.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn envelope_has_the_golden_bytes() {
        let kek = MemoryKek::new(&[0; 32]).unwrap();
        // NIST GCM test case 14: zero key, zero nonce, one zero block.
        let ciphertext = kek.encrypt(&[0; 12], &[], &[0; 16]).unwrap();
        let golden = "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919";
        assert_eq!(hex::encode(&ciphertext), golden);
        let bytes = Envelope { kek: None, nonce: [0; 12], ciphertext: ciphertext.clone() }.encode();
        assert_eq!(hex::encode(&bytes), format!("01{}{golden}", "00".repeat(12)));
        assert_eq!(Envelope::decode(&bytes).unwrap().encode(), bytes);
        let kek = NonZeroU32::new(0x0102_0304);
        let bytes = Envelope { kek, nonce: [0; 12], ciphertext }.encode();
        assert_eq!(hex::encode(&bytes), format!("0201020304{}{golden}", "00".repeat(12)));
        assert_eq!(Envelope::decode(&bytes).unwrap(), Envelope { kek, ..Envelope::decode(&bytes).unwrap() });
        assert_eq!(Envelope::decode(&bytes).unwrap().encode(), bytes);
    }

    #[test]
    fn envelopes_of_no_version_or_kek_and_cut_ones_are_refused() {
        for version in [0, 3, 255] {
            let envelope = [&[version][..], &[1; 60]].concat();
            assert!(matches!(Envelope::decode(&envelope), Err(SealError::Version { .. })));
        }
        assert!(
            Envelope::decode(&[&[NAMED, 0, 0, 0, 0][..], &[1; 60]].concat()).is_err(),
            "there is no kek 0"
        );
        for len in 0..NONCE_BYTES + TAG_BYTES {
            assert!(Envelope::decode(&[&[UNNAMED][..], &vec![1; len]].concat()).is_err());
            assert!(Envelope::decode(&[&[NAMED, 0, 0, 0, 1][..], &vec![1; len]].concat()).is_err());
        }
    }

    #[test]
    fn associated_data_has_the_golden_bytes() {
        let aad = hosted_key_aad(&KeyId([0xaa; 32]), &[0xbb; 32], 0x0102_0304);
        let label = hex::encode("keyward/hosted-key/v1");
        assert_eq!(hex::encode(aad), format!("15{label}{}{}01020304", "aa".repeat(32), "bb".repeat(32)));
        let label = hex::encode("keyward/profile-key/v1");
        assert_eq!(
            hex::encode(profile_key_aad(&[0xbb; 32])),
            format!("16{label}{}00000001", "bb".repeat(32))
        );
        let label = hex::encode("keyward/profile/v1");
        assert_eq!(hex::encode(profile_aad(&[0xbb; 32])), format!("12{label}{}00000001", "bb".repeat(32)));
        let label = hex::encode("keyward/service-secret/v1");
        assert_eq!(hex::encode(service_secret_aad("x")), format!("19{label}78"));
    }

    #[test]
    fn two_seals_of_one_secret_differ() {
        let kek = MemoryKek::generate().unwrap();
        assert_ne!(seal(&kek, b"", b"s").unwrap(), seal(&kek, b"", b"s").unwrap());
        assert!(matches!(seal(&kek, b"", &vec![0; PLAINTEXT_BYTES_MAX + 1]), Err(SealError::TooLong { .. })));
    }
}
