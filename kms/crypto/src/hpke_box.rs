//! What is sealed to one receiver: to the service, to a keeper, to a recovering user. HPKE (RFC 9180), base mode, DHKEM(X25519, HKDF-SHA256),
//! HKDF-SHA256, AES-256-GCM, one message: `encapsulated key[32] || ciphertext || tag[16]`, no associated data.

use std::fmt;

use hpke::aead::AeadTag;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, HpkeError, Kem as _, OpModeR, OpModeS, Serializable as _};
use opaque_ke::rand::{CryptoRng, RngCore};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::locked::{LockError, LockedSecret};
use crate::random::{Newer, with_randomness};
use crate::secret::SecretBytes;

type Kem = X25519HkdfSha256;
const PUBLIC_BYTES: usize = 32;
/// How much longer a message is sealed than plain.
pub(crate) const OVERHEAD_BYTES: usize = PUBLIC_BYTES + size_of::<AeadTag<AesGcm256>>();

/// Why something was not sealed or opened.
#[derive(Debug, Error)]
pub enum BoxError {
    /// The key is none.
    #[error("the sealing key is malformed")]
    Key(#[source] HpkeError),
    /// Longer than a message of this kind may be, or too short for any.
    #[error("{len} bytes are no sealed message")]
    Length {
        /// The length.
        len: usize,
    },
    /// Sealed to another key or in another context, or changed.
    #[error("the message does not open: it was changed, or belongs elsewhere")]
    Refused(#[source] HpkeError),
    /// Sealing failed.
    #[error("the message could not be sealed")]
    Failed(#[source] HpkeError),
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness(#[from] getrandom::Error),
    /// The memory could not be locked.
    #[error(transparent)]
    Memory(#[from] LockError),
}

/// The secret key that messages are opened with, in locked memory: the service's or a keeper's own, or a recovery's reply
/// key.
pub struct BoxKey {
    secret: LockedSecret,
    public: [u8; PUBLIC_BYTES],
}

impl BoxKey {
    /// A fresh one.
    pub fn generate() -> Result<Self, BoxError> {
        with_randomness(Self::random)
    }

    pub(crate) fn random(random: &mut (impl RngCore + CryptoRng)) -> Result<Self, BoxError> {
        let mut seed = Zeroizing::new([0; 32]);
        random.fill_bytes(seed.as_mut_slice());
        let (secret, _) = Kem::derive_keypair(seed.as_slice());
        Self::from_secret(&Zeroizing::new(secret.to_bytes().to_vec()))
    }

    /// From the 32 bytes that [`Self::expose`] lent.
    pub fn from_secret(bytes: &[u8]) -> Result<Self, BoxError> {
        let secret = <Kem as hpke::Kem>::PrivateKey::from_bytes(bytes).map_err(BoxError::Key)?;
        let public = Kem::sk_to_pk(&secret).to_bytes().into();
        Ok(Self { secret: LockedSecret::new(Zeroizing::new(bytes.to_vec()))?, public })
    }

    /// The public part.
    pub const fn public(&self) -> [u8; PUBLIC_BYTES] {
        self.public
    }

    /// Lends the secret, only so that it can be sealed.
    pub fn expose<R>(&self, f: impl for<'a> FnOnce(&'a [u8]) -> R) -> R {
        self.secret.expose(f)
    }

    pub(crate) fn open(&self, info: &[u8], sealed: &[u8], plain_max: usize) -> Result<SecretBytes, BoxError> {
        let length = || BoxError::Length { len: sealed.len() };
        let (encapsulated, ciphertext) = sealed.split_at_checked(PUBLIC_BYTES).ok_or_else(length)?;
        if sealed.len() > plain_max + OVERHEAD_BYTES {
            return Err(length());
        }
        let encapsulated =
            <Kem as hpke::Kem>::EncappedKey::from_bytes(encapsulated).map_err(BoxError::Refused)?;
        let secret = self.secret.expose(<Kem as hpke::Kem>::PrivateKey::from_bytes).map_err(BoxError::Key)?;
        let plain = hpke::single_shot_open::<AesGcm256, HkdfSha256, Kem>(
            &OpModeR::Base,
            &secret,
            &encapsulated,
            info,
            ciphertext,
            &[],
        );
        Ok(SecretBytes::new(plain.map_err(BoxError::Refused)?))
    }
}

impl fmt::Debug for BoxKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxKey(redacted)")
    }
}

/// Seals a message to a public key.
pub(crate) fn seal(
    to: &[u8],
    info: &[u8],
    plain: &[u8],
    random: &mut (impl RngCore + CryptoRng),
) -> Result<Vec<u8>, BoxError> {
    let to = <Kem as hpke::Kem>::PublicKey::from_bytes(to).map_err(BoxError::Key)?;
    let (encapsulated, ciphertext) = hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, Kem>(
        &OpModeS::Base,
        &to,
        info,
        plain,
        &[],
        &mut Newer(random),
    )
    .map_err(BoxError::Failed)?;
    Ok([encapsulated.to_bytes().as_slice(), &ciphertext].concat())
}
