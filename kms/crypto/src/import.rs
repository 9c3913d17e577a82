//! A person's key on its way to the service: HPKE (RFC 9180), base mode, DHKEM(X25519, HKDF-SHA256),
//! HKDF-SHA256, AES-256-GCM.
//!
//! Bytes: `encapsulated key[32] || ciphertext || tag[16]`. The `info` binds chain, account, challenge nonce
//! and public key, so that a sealed key cannot be replayed for another account or challenge.

use std::fmt;

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, HpkeError, Kem as _, OpModeR, OpModeS, Serializable as _};
use keyward_domain::scheme::PublicKey;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::labels;
use crate::locked::{LockError, LockedSecret};
use crate::secret::SecretBytes;

const PUBLIC_BYTES: usize = 32;
/// A sealed secret key of at most 32 bytes, with room for nothing else.
const SEALED_BYTES_MAX: usize = PUBLIC_BYTES + 32 + 16;

type Kem = X25519HkdfSha256;

/// Why a key was not sealed to the service, or not opened there.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The service's sealing key is not one.
    #[error("the service's sealing key is malformed")]
    SealingKey(#[source] HpkeError),
    /// The sealed bytes have an impossible length.
    #[error("{len} bytes are not a sealed key")]
    Malformed {
        /// Their count.
        len: usize,
    },
    /// Sealed to another key, bound to another challenge, or changed.
    #[error("the sealed key does not open: it was changed, or belongs to another challenge")]
    Refused(#[source] HpkeError),
    /// Sealing failed.
    #[error("the key could not be sealed")]
    Failed(#[source] HpkeError),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[source] getrandom::Error),
    /// The memory could not be locked.
    #[error(transparent)]
    Memory(#[from] LockError),
}

/// What a sealed key is bound to.
#[derive(Clone, Copy, Debug)]
pub struct ImportBinding<'a> {
    /// The ledger's chain id.
    pub chain_id: &'a [u8; 32],
    /// The account's name on the ledger.
    pub account: &'a [u8; 32],
    /// The nonce of the challenge.
    pub nonce: &'a [u8; 32],
    /// The public key that belongs to the sealed secret.
    pub public_key: &'a PublicKey,
}

impl ImportBinding<'_> {
    /// `label || chain id[32] || account[32] || nonce[32] || scheme u8 || u32 length || public key`.
    fn info(&self) -> Vec<u8> {
        let label = labels::tagged(labels::IMPORT);
        let key = self.public_key.as_bytes();
        // INVARIANT: a parsed public key has at most `PublicKey::BYTES_MAX` bytes.
        let len = u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes();
        let scheme = [self.public_key.scheme().code()];
        [&label[..], self.chain_id, self.account, self.nonce, &scheme, &len, key].concat()
    }
}

/// The service's side: opens keys that people sealed to it.
pub struct ImportSealingKey {
    secret: LockedSecret,
    public: [u8; PUBLIC_BYTES],
}

impl ImportSealingKey {
    /// Makes one from the system's randomness.
    pub fn generate() -> Result<Self, ImportError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(ImportError::Randomness)?;
        let (secret, _) = Kem::derive_keypair(seed.as_slice());
        Self::from_secret(&Zeroizing::new(secret.to_bytes().to_vec()))
    }

    /// From the bytes that [`Self::expose`] lent.
    pub fn from_secret(bytes: &[u8]) -> Result<Self, ImportError> {
        let secret = private_key(bytes)?;
        let public = Kem::sk_to_pk(&secret).to_bytes().into();
        Ok(Self { secret: LockedSecret::new(Zeroizing::new(bytes.to_vec()))?, public })
    }

    /// The public part, 32 bytes.
    pub const fn public(&self) -> [u8; PUBLIC_BYTES] {
        self.public
    }

    /// Lends the secret, only so that it can be sealed.
    pub fn expose<R>(&self, f: impl for<'a> FnOnce(&'a [u8]) -> R) -> R {
        self.secret.expose(f)
    }

    /// Opens a sealed key.
    pub fn open(&self, binding: &ImportBinding<'_>, sealed: &[u8]) -> Result<SecretBytes, ImportError> {
        let malformed = || ImportError::Malformed { len: sealed.len() };
        if sealed.len() > SEALED_BYTES_MAX {
            return Err(malformed());
        }
        let (encapsulated, ciphertext) = sealed.split_at_checked(PUBLIC_BYTES).ok_or_else(malformed)?;
        let encapsulated =
            <Kem as hpke::Kem>::EncappedKey::from_bytes(encapsulated).map_err(ImportError::Refused)?;
        let secret = self.secret.expose(private_key)?;
        let info = binding.info();
        let plain = hpke::single_shot_open::<AesGcm256, HkdfSha256, Kem>(
            &OpModeR::Base,
            &secret,
            &encapsulated,
            &info,
            ciphertext,
            &[],
        );
        Ok(SecretBytes::new(plain.map_err(ImportError::Refused)?))
    }
}

impl fmt::Debug for ImportSealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImportSealingKey(redacted)")
    }
}

fn private_key(bytes: &[u8]) -> Result<<Kem as hpke::Kem>::PrivateKey, ImportError> {
    <Kem as hpke::Kem>::PrivateKey::from_bytes(bytes).map_err(ImportError::SealingKey)
}

/// The user's side: seals a secret key to the service.
pub fn seal_to_service(
    service: &[u8],
    binding: &ImportBinding<'_>,
    secret: &[u8],
) -> Result<Vec<u8>, ImportError> {
    let service = <Kem as hpke::Kem>::PublicKey::from_bytes(service).map_err(ImportError::SealingKey)?;
    // The library panics when the system has no randomness: ask once before, and answer with an error.
    getrandom::fill(&mut [0; 1]).map_err(ImportError::Randomness)?;
    let (encapsulated, ciphertext) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, Kem>(
        &OpModeS::Base,
        &service,
        &binding.info(),
        secret,
        &[],
    )
    .map_err(ImportError::Failed)?;
    Ok([encapsulated.to_bytes().as_slice(), &ciphertext].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;
    use keyward_domain::scheme::Scheme;

    #[test]
    fn sealed_key_opens_for_its_challenge_only() {
        let service = ImportSealingKey::generate().unwrap();
        let key = SigningKey::generate(Scheme::EcdsaSecp256k1).unwrap();
        let other = SigningKey::generate(Scheme::EcdsaSecp256k1).unwrap();
        let (a, b) = ([1; 32], [2; 32]);
        let binding = ImportBinding { chain_id: &a, account: &a, nonce: &a, public_key: key.public_key() };
        let sealed = key.expose(|secret| seal_to_service(&service.public(), &binding, secret)).unwrap();
        let opened = service.open(&binding, &sealed).unwrap();
        assert!(key.expose(|secret| opened.matches(secret)));
        for wrong in [
            ImportBinding { chain_id: &b, ..binding },
            ImportBinding { account: &b, ..binding },
            ImportBinding { nonce: &b, ..binding },
            ImportBinding { public_key: other.public_key(), ..binding },
        ] {
            assert!(matches!(service.open(&wrong, &sealed), Err(ImportError::Refused(_))));
        }
        let stranger = ImportSealingKey::generate().unwrap();
        assert!(matches!(stranger.open(&binding, &sealed), Err(ImportError::Refused(_))));
    }

    #[test]
    fn info_has_the_golden_bytes() {
        // RFC 8032, section 7.1, test 1.
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let public_key = PublicKey::parse(Scheme::Ed25519, &hex::decode(public).unwrap()).unwrap();
        let binding =
            ImportBinding { chain_id: &[1; 32], account: &[2; 32], nonce: &[3; 32], public_key: &public_key };
        let run = |byte: &str| byte.repeat(32);
        let label = hex::encode("keyward/import/v1");
        let golden = format!("11{label}{}{}{}0400000020{public}", run("01"), run("02"), run("03"));
        assert_eq!(hex::encode(binding.info()), golden);
    }

    #[test]
    fn every_changed_byte_cut_and_length_is_refused() {
        let service = ImportSealingKey::generate().unwrap();
        let key = SigningKey::generate(Scheme::Ed25519).unwrap();
        let n = [3; 32];
        let binding = ImportBinding { chain_id: &n, account: &n, nonce: &n, public_key: key.public_key() };
        let sealed = seal_to_service(&service.public(), &binding, &[5; 32]).unwrap();
        assert_eq!(sealed.len(), SEALED_BYTES_MAX);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(service.open(&binding, &changed).is_err(), "byte {at}");
            assert!(service.open(&binding, &sealed[..at]).is_err(), "cut at {at}");
        }
        for len in [0, 31, 32, 47, 81, 4096] {
            assert!(service.open(&binding, &vec![1; len]).is_err());
        }
    }

    #[test]
    fn sealing_key_survives_its_own_bytes_and_refuses_others() {
        let service = ImportSealingKey::generate().unwrap();
        let again = service.expose(ImportSealingKey::from_secret).unwrap();
        assert_eq!(service.public(), again.public());
        assert!(matches!(ImportSealingKey::from_secret(&[1; 31]), Err(ImportError::SealingKey(_))));
        let key = SigningKey::generate(Scheme::Ed25519).unwrap();
        let n = [3; 32];
        let binding = ImportBinding { chain_id: &n, account: &n, nonce: &n, public_key: key.public_key() };
        for bad in [&[][..], &[1; 31], &[0; 32]] {
            assert!(seal_to_service(bad, &binding, &[5; 32]).is_err());
        }
    }
}
