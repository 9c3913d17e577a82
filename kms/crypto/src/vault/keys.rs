//! From a password to the keys of a vault: stretching, root, proof key, data key.

use hkdf::Hkdf;
use keyward_domain::scheme::Scheme;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use super::facts::{VaultMode, VaultStretch};
use super::group::SecretScalar;
use super::oprf::OUTPUT_BYTES;
use crate::labels;
use crate::secret::SecretBytes;
use crate::signing::{SigningKey, SigningKeyError};

/// The OPAQUE export key has this length.
const EXPORT_KEY_BYTES: usize = 64;
const MEMORY_KIB_MAX: u32 = 2 * 1024 * 1024;
const PASSES_MAX: u32 = 64;
const LANES_MAX: u32 = 16;

/// Why a vault's keys could not be derived.
#[derive(Debug, Error)]
pub enum VaultKeyError {
    /// There is nothing to stretch.
    #[error("the password is empty")]
    PasswordEmpty,
    /// The parameters would cost more than a vault may ask, or are none.
    #[error("stretching over {memory_kib} KiB in {passes} passes on {lanes} lanes is refused")]
    Stretch {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes.
        passes: u32,
        /// Lanes.
        lanes: u32,
        /// What the library said, if it was asked.
        #[source]
        source: Option<argon2::Error>,
    },
    /// Mode `self` needs the OPAQUE export key of 64 bytes, mode `vault` takes none.
    #[error("an export key of {len} bytes does not fit the vault's mode")]
    ExportKey {
        /// Its length, 0 if there is none.
        len: usize,
    },
    /// The proof key could not be made.
    #[error("the vault's proof key could not be made")]
    ProofKey(#[source] SigningKeyError),
    /// A key of 32 bytes could not be expanded.
    #[error("a key could not be expanded")]
    Expand,
}

/// `Argon2id(password, salt = SHA-256(label || account || vault id))`, 32 bytes: what the oblivious function takes.
pub(crate) fn stretch(
    password: &SecretBytes,
    account: &[u8; 32],
    vault: &[u8; 32],
    stretch: &VaultStretch,
) -> Result<Zeroizing<[u8; 32]>, VaultKeyError> {
    let VaultStretch { memory_kib, passes, lanes } = *stretch;
    let refused = |source| VaultKeyError::Stretch { memory_kib, passes, lanes, source };
    if password.is_empty() {
        return Err(VaultKeyError::PasswordEmpty);
    }
    if memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX || lanes > LANES_MAX {
        return Err(refused(None));
    }
    let salt = Sha256::digest([&labels::tagged(labels::VAULT_SALT)[..], account, vault].concat());
    let params = argon2::Params::new(memory_kib, passes, lanes, None).map_err(|e| refused(Some(e)))?;
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut stretched = Zeroizing::new([0; 32]);
    password
        .expose(|password| argon2.hash_password_into(password, &salt, stretched.as_mut_slice()))
        .map_err(|e| refused(Some(e)))?;
    Ok(stretched)
}

/// The root of a vault, 32 bytes: whoever has it knows the password or t keepers and a right guess.
pub(crate) struct Root(Zeroizing<[u8; 32]>);

impl Root {
    /// `HKDF-SHA256(output of the oblivious function, info = label)`.
    pub(crate) fn new(output: &[u8; OUTPUT_BYTES]) -> Result<Self, VaultKeyError> {
        Ok(Self(expand(output, labels::VAULT_ROOT.as_bytes())?))
    }

    /// The key a, whose public part A stands in the sealing: Ed25519, seed `HKDF-SHA256(root, info = label)`.
    pub(crate) fn proof_key(&self) -> Result<SigningKey, VaultKeyError> {
        let seed = expand(self.0.as_slice(), labels::VAULT_PROOF_KEY.as_bytes())?;
        SigningKey::from_secret(Scheme::Ed25519, seed.as_slice()).map_err(VaultKeyError::ProofKey)
    }

    /// `HKDF-SHA256(root || mask || export key, info = label || mode u8)`; the export key only in mode `self`.
    pub(crate) fn data_key(
        &self,
        mask: &SecretScalar,
        mode: VaultMode,
        export_key: Option<&SecretBytes>,
    ) -> Result<Zeroizing<[u8; 32]>, VaultKeyError> {
        let len = export_key.map_or(0, SecretBytes::len);
        if len != expected_export_key(mode) {
            return Err(VaultKeyError::ExportKey { len });
        }
        let mut input = Zeroizing::new(Vec::with_capacity(32 + 32 + EXPORT_KEY_BYTES));
        input.extend_from_slice(self.0.as_slice());
        input.extend_from_slice(mask.bytes());
        if let Some(key) = export_key {
            key.expose(|key| input.extend_from_slice(key));
        }
        let info = [&labels::tagged(labels::VAULT_DATA_KEY)[..], &[mode as u8]].concat();
        expand(&input, &info)
    }
}

const fn expected_export_key(mode: VaultMode) -> usize {
    match mode {
        VaultMode::Own => EXPORT_KEY_BYTES,
        VaultMode::Vault => 0,
    }
}

fn expand(input: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; 32]>, VaultKeyError> {
    let mut key = Zeroizing::new([0; 32]);
    // HKDF-SHA256 gives up to 8160 bytes; the library's error says nothing more.
    let expanded = Hkdf::<Sha256>::new(None, input).expand(info, key.as_mut_slice());
    expanded.ok().ok_or(VaultKeyError::Expand)?;
    Ok(key)
}
