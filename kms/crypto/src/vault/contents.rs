//! What lies in a vault: secret keys with the public keys that they belong to, and their encryption.

use std::fmt;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use keyward_domain::scheme::{PublicKey, Scheme};
use opaque_ke::rand::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use super::facts::VaultMode;
use crate::labels;
use crate::secret::SecretBytes;
use crate::signing::{SECRET_BYTES, SigningKey, SigningKeyError};

/// The most keys of one vault.
pub const VAULTED_KEYS_MAX: usize = 16;
/// The longest secret of one key.
pub const VAULTED_SECRET_BYTES_MAX: usize = 4096;
/// The most bytes of all keys together, before the padding.
const CONTENTS_BYTES_MAX: usize = 16 * 1024;
/// Contents grow in steps, so that their length says little of what they are.
const STEP_BYTES: usize = 512;
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// The longest ciphertext of a vault.
pub const CIPHERTEXT_BYTES_MAX: usize = 1 + NONCE_BYTES + CONTENTS_BYTES_MAX + TAG_BYTES;

/// Why contents were not sealed, or not read.
#[derive(Debug, Error)]
pub enum ContentsError {
    /// No key, or more than 16.
    #[error("{count} keys: a vault holds 1 to {VAULTED_KEYS_MAX}")]
    Count {
        /// How many.
        count: usize,
    },
    /// One secret, or all of them, too long.
    #[error("the keys are too long for a vault")]
    TooLong,
    /// The ciphertext has an impossible length or another version.
    #[error("{len} bytes are no ciphertext of a vault")]
    Ciphertext {
        /// The length.
        len: usize,
    },
    /// Another key, vault, version or mode, or changed.
    #[error("the contents do not open")]
    Refused(#[source] aes_gcm::Error),
    /// Decrypted, but not the encoding.
    #[error("the contents are malformed")]
    Malformed,
    /// The secret does not give the public key beside it.
    #[error("a key's secret does not belong to its public key")]
    Key(#[source] Option<SigningKeyError>),
}

/// A secret key in a vault.
pub struct VaultedKey {
    /// The key's id in the service.
    pub id: [u8; 32],
    /// Its public key.
    pub public_key: PublicKey,
    /// The secret, as its scheme writes it; of a shared key the user's share.
    pub secret: SecretBytes,
}

impl VaultedKey {
    /// Whether the secret is not the whole private key but the user's share of it (see [`crate::shared`]), which has more
    /// bytes than a private key.
    pub fn is_share(&self) -> bool {
        self.secret.len() > SECRET_BYTES
    }

    /// The key, ready to sign; refused if it does not belong to the public key.
    pub fn signing_key(&self) -> Result<SigningKey, ContentsError> {
        let key = self.secret.expose(|secret| SigningKey::from_secret(self.public_key.scheme(), secret));
        let key = key.map_err(|source| ContentsError::Key(Some(source)))?;
        if *key.public_key() == self.public_key { Ok(key) } else { Err(ContentsError::Key(None)) }
    }
}

impl fmt::Debug for VaultedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultedKey").field("public_key", &self.public_key).finish_non_exhaustive()
    }
}

/// `version u8 (1) || count u8 || (id[32] || scheme u8 || u16 length || public key || u16 length || secret)*`, and
/// zeros up to a multiple of 512 bytes.
pub(crate) fn encode(keys: &[VaultedKey]) -> Result<Zeroizing<Vec<u8>>, ContentsError> {
    let count =
        u8::try_from(keys.len()).ok().filter(|count| (1..=VAULTED_KEYS_MAX).contains(&usize::from(*count)));
    let count = count.ok_or(ContentsError::Count { count: keys.len() })?;
    // One allocation: growing would leave copies that nobody wipes.
    let mut out = Zeroizing::new(Vec::with_capacity(CONTENTS_BYTES_MAX));
    out.extend_from_slice(&[VERSION, count]);
    for key in keys {
        let public = key.public_key.as_bytes();
        let fits = key.secret.len() <= VAULTED_SECRET_BYTES_MAX
            && out.len() + 32 + 1 + 2 + public.len() + 2 + key.secret.len() <= CONTENTS_BYTES_MAX;
        let lengths = (u16::try_from(public.len()), u16::try_from(key.secret.len()));
        let (true, (Ok(public_len), Ok(secret_len))) = (fits, lengths) else {
            return Err(ContentsError::TooLong);
        };
        out.extend_from_slice(&key.id);
        out.push(key.public_key.scheme().code());
        out.extend_from_slice(&public_len.to_be_bytes());
        out.extend_from_slice(public);
        out.extend_from_slice(&secret_len.to_be_bytes());
        key.secret.expose(|secret| out.extend_from_slice(secret));
    }
    let padded = out.len().next_multiple_of(STEP_BYTES);
    out.resize(padded, 0);
    Ok(out)
}

/// Reads what [`encode`] wrote, and nothing else.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<VaultedKey>, ContentsError> {
    let mut rest = bytes;
    let [VERSION, count] = take(&mut rest)? else { return Err(ContentsError::Malformed) };
    if !(1..=VAULTED_KEYS_MAX).contains(&usize::from(*count)) {
        return Err(ContentsError::Count { count: usize::from(*count) });
    }
    let mut keys = Vec::with_capacity(usize::from(*count));
    for _ in 0..*count {
        let id = *take(&mut rest)?;
        let [scheme] = take(&mut rest)?;
        let scheme = Scheme::from_code(*scheme).ok_or(ContentsError::Malformed)?;
        let public_key =
            PublicKey::parse(scheme, counted(&mut rest)?).ok().ok_or(ContentsError::Malformed)?;
        let secret = counted(&mut rest)?;
        if secret.len() > VAULTED_SECRET_BYTES_MAX {
            return Err(ContentsError::TooLong);
        }
        keys.push(VaultedKey { id, public_key, secret: SecretBytes::new(secret.to_vec()) });
    }
    let whole = bytes.len() == (bytes.len() - rest.len()).next_multiple_of(STEP_BYTES);
    if whole && rest.iter().all(|byte| *byte == 0) { Ok(keys) } else { Err(ContentsError::Malformed) }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], ContentsError> {
    let (head, tail) = rest.split_first_chunk().ok_or(ContentsError::Malformed)?;
    *rest = tail;
    Ok(head)
}

fn counted<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], ContentsError> {
    let len = usize::from(u16::from_be_bytes(*take(rest)?));
    let (head, tail) = rest.split_at_checked(len).ok_or(ContentsError::Malformed)?;
    *rest = tail;
    Ok(head)
}

/// Where a ciphertext belongs: its associated data.
pub(crate) struct Place<'a> {
    pub(crate) account: &'a [u8; 32],
    pub(crate) vault: &'a [u8; 32],
    pub(crate) version: u32,
    pub(crate) mode: VaultMode,
}

impl Place<'_> {
    /// `label || account[32] || vault id[32] || version u32 || mode u8`.
    fn aad(&self) -> Vec<u8> {
        let label = labels::tagged(labels::VAULT_CONTENTS);
        [&label[..], self.account, self.vault, &self.version.to_be_bytes(), &[self.mode as u8]].concat()
    }
}

/// `version u8 (1) || nonce[12] || ciphertext || tag[16]`, AES-256-GCM under the data key.
pub(crate) fn seal(
    key: &[u8; 32],
    place: &Place<'_>,
    plain: &[u8],
    random: &mut (impl RngCore + CryptoRng),
) -> Result<Vec<u8>, ContentsError> {
    let mut nonce = [0; NONCE_BYTES];
    random.fill_bytes(&mut nonce);
    let payload = Payload { msg: plain, aad: &place.aad() };
    let sealed = Aes256Gcm::new(key.into()).encrypt(&nonce.into(), payload);
    Ok([&[VERSION][..], &nonce, &sealed.map_err(ContentsError::Refused)?].concat())
}

pub(crate) fn open(
    key: &[u8; 32],
    place: &Place<'_>,
    ciphertext: &[u8],
) -> Result<Vec<VaultedKey>, ContentsError> {
    let refused = || ContentsError::Ciphertext { len: ciphertext.len() };
    let rest = ciphertext.strip_prefix(&[VERSION]).ok_or_else(refused)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(refused)?;
    if ciphertext.len() > CIPHERTEXT_BYTES_MAX {
        return Err(refused());
    }
    let payload = Payload { msg: sealed, aad: &place.aad() };
    let plain = Aes256Gcm::new(key.into()).decrypt(nonce.into(), payload).map_err(ContentsError::Refused)?;
    decode(&Zeroizing::new(plain))
}

/// The hash that a sealing names: SHA-256.
pub fn ciphertext_hash(ciphertext: &[u8]) -> [u8; 32] {
    Sha256::digest(ciphertext).into()
}
