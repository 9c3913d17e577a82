//! A person's key on its way to the service, sealed with HPKE.
//!
//! The `info` binds chain, account, challenge nonce and public key, so that a sealed key cannot be replayed for another
//! account or challenge.

use std::fmt;

use keyward_domain::scheme::PublicKey;

use crate::hpke_box::{self, BoxError, BoxKey};
use crate::labels;
use crate::random::with_randomness;
use crate::secret::SecretBytes;

/// A sealed secret key has at most 32 bytes, with room for nothing else.
const SECRET_BYTES_MAX: usize = 32;

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
pub struct ImportSealingKey(BoxKey);

impl ImportSealingKey {
    /// Makes one from the system's randomness.
    pub fn generate() -> Result<Self, BoxError> {
        Ok(Self(BoxKey::generate()?))
    }

    /// From the bytes that [`Self::expose`] lent.
    pub fn from_secret(bytes: &[u8]) -> Result<Self, BoxError> {
        Ok(Self(BoxKey::from_secret(bytes)?))
    }

    /// The public part, 32 bytes.
    pub const fn public(&self) -> [u8; 32] {
        self.0.public()
    }

    /// Lends the secret, only so that it can be sealed.
    pub fn expose<R>(&self, f: impl for<'a> FnOnce(&'a [u8]) -> R) -> R {
        self.0.expose(f)
    }

    /// Opens a sealed key.
    pub fn open(&self, binding: &ImportBinding<'_>, sealed: &[u8]) -> Result<SecretBytes, BoxError> {
        self.0.open(&binding.info(), sealed, SECRET_BYTES_MAX)
    }
}

impl fmt::Debug for ImportSealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImportSealingKey(redacted)")
    }
}

/// The user's side: seals a secret key to the service.
pub fn seal_to_service(
    service: &[u8],
    binding: &ImportBinding<'_>,
    secret: &[u8],
) -> Result<Vec<u8>, BoxError> {
    with_randomness(|random| hpke_box::seal(service, &binding.info(), secret, random))
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
            assert!(matches!(service.open(&wrong, &sealed), Err(BoxError::Refused(_))));
        }
        let stranger = ImportSealingKey::generate().unwrap();
        assert!(matches!(stranger.open(&binding, &sealed), Err(BoxError::Refused(_))));
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
    fn key_that_was_sealed_elsewhere_opens() {
        // Computed apart from this code, by RFC 9180: secret key 32 times 07, ephemeral key 32 times 08.
        let sealed = "31d4ab6aceec961137917037936e60716fac573afe94d9da84a8020448dfc112e8752fc0d44e9da325711f45da54ef42\
                      3ee67a528f2d5cbf94176654eac548cd13472ad56593386aeb0e680f0d1da906";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let public_key = PublicKey::parse(Scheme::Ed25519, &hex::decode(public).unwrap()).unwrap();
        let binding =
            ImportBinding { chain_id: &[1; 32], account: &[2; 32], nonce: &[3; 32], public_key: &public_key };
        let service = ImportSealingKey::from_secret(&[7; 32]).unwrap();
        let opened = service.open(&binding, &hex::decode(sealed).unwrap()).unwrap();
        assert!(opened.matches(&[5; 32]));
    }

    #[test]
    fn every_changed_byte_cut_and_length_is_refused() {
        let service = ImportSealingKey::generate().unwrap();
        let key = SigningKey::generate(Scheme::Ed25519).unwrap();
        let n = [3; 32];
        let binding = ImportBinding { chain_id: &n, account: &n, nonce: &n, public_key: key.public_key() };
        let sealed = seal_to_service(&service.public(), &binding, &[5; 32]).unwrap();
        assert_eq!(sealed.len(), SECRET_BYTES_MAX + hpke_box::OVERHEAD_BYTES);
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
        assert!(matches!(ImportSealingKey::from_secret(&[1; 31]), Err(BoxError::Key(_))));
        let key = SigningKey::generate(Scheme::Ed25519).unwrap();
        let n = [3; 32];
        let binding = ImportBinding { chain_id: &n, account: &n, nonce: &n, public_key: key.public_key() };
        for bad in [&[][..], &[1; 31], &[0; 32]] {
            assert!(seal_to_service(bad, &binding, &[5; 32]).is_err());
        }
    }
}
