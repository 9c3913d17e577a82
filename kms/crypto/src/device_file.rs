//! What the files of a person's device have in common: a readable head, and behind it what is sealed under the export key of a
//! login. It opens behind no other head.

use std::ops::RangeBounds;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::device::DeviceKeyError;
use crate::envelope::{KeyEncryptionKey as _, MemoryKek, NONCE_BYTES};
use crate::labels;
use crate::secret::SecretBytes;

/// The longest alias.
pub(crate) const ALIAS_BYTES_MAX: usize = 255;
/// Length of an OPAQUE export key.
pub(crate) const EXPORT_KEY_BYTES: usize = 64;
const TAG_BYTES: usize = 16;

/// `nonce[12] || ciphertext || tag[16]`, with AES-256-GCM. The associated data is the kind of file's label and the file's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sealed {
    nonce: [u8; NONCE_BYTES],
    ciphertext: Vec<u8>,
}

impl Sealed {
    /// Seals under an export key of 64 bytes.
    pub(crate) fn new(
        export_key: &SecretBytes,
        nonce: [u8; NONCE_BYTES],
        associated: &[u8],
        plain: &[u8],
    ) -> Result<Self, DeviceKeyError> {
        let ciphertext = derived(export_key)?.encrypt(&nonce, associated, plain);
        Ok(Self { nonce, ciphertext: ciphertext.map_err(DeviceKeyError::Seal)? })
    }

    /// Opens it.
    pub(crate) fn open(
        &self,
        export_key: &SecretBytes,
        associated: &[u8],
    ) -> Result<SecretBytes, DeviceKeyError> {
        let opened = derived(export_key)?.decrypt(&self.nonce, associated, &self.ciphertext);
        opened.map_err(DeviceKeyError::Refused)
    }

    /// The file with this head.
    pub(crate) fn behind(&self, head: &[u8]) -> Vec<u8> {
        [head, &self.nonce, &self.ciphertext].concat()
    }

    /// Reads what stands behind a head, if so many bytes may be sealed in it.
    pub(crate) fn read(bytes: &[u8], lengths: impl RangeBounds<usize>) -> Option<Self> {
        let (nonce, ciphertext) = bytes.split_first_chunk()?;
        let length = ciphertext.len().checked_sub(TAG_BYTES)?;
        lengths.contains(&length).then(|| Self { nonce: *nonce, ciphertext: ciphertext.to_vec() })
    }
}

/// The key that a device's files are sealed under, from the export key.
pub(crate) fn derived(export_key: &SecretBytes) -> Result<MemoryKek, DeviceKeyError> {
    let len = export_key.len();
    let mut derived = Zeroizing::new([0; 32]);
    // INVARIANT: HKDF-SHA256 gives up to 8160 bytes, so 32 never fail.
    let expanded = export_key.expose(|key| {
        Hkdf::<Sha256>::new(None, key).expand(labels::DEVICE_KEY.as_bytes(), derived.as_mut_slice())
    });
    if len != EXPORT_KEY_BYTES || expanded.is_err() {
        return Err(DeviceKeyError::ExportKey { len });
    }
    MemoryKek::new(&derived).map_err(DeviceKeyError::Seal)
}

/// Ids of 32 bytes each, and what follows.
pub(crate) fn read_ids<const N: usize>(bytes: &[u8]) -> Option<([[u8; 32]; N], &[u8])> {
    let (ids, rest) = bytes.split_at_checked(32 * N)?;
    Some((ids.as_chunks::<32>().0.try_into().ok()?, rest))
}

/// `u8 length || alias`, and what follows.
pub(crate) fn read_alias(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (alias, rest) = rest.split_at_checked(usize::from(length))?;
    let alias = std::str::from_utf8(alias).ok().filter(|alias| !alias.is_empty())?;
    Some((alias.to_owned(), rest))
}

/// Writes `u8 length || alias`.
pub(crate) fn write_alias(out: &mut Vec<u8>, alias: &str) {
    // INVARIANT: longer ones are not sealed.
    out.push(u8::try_from(alias.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(alias.as_bytes());
}

/// Holds that a file opens, and none that has a byte changed, cut off or added.
#[cfg(test)]
pub(crate) fn assert_opens_unchanged_alone(file: &[u8], opens: impl Fn(&[u8]) -> bool) {
    assert!(opens(file));
    for at in 0..file.len() {
        let changed = file.iter().enumerate().map(|(place, byte)| byte ^ u8::from(place == at));
        assert!(!opens(&changed.collect::<Vec<_>>()), "byte {at}");
        assert!(!opens(file.split_at(at).0), "cut at {at}");
    }
    assert!(!opens(&[file, &[0]].concat()));
}
