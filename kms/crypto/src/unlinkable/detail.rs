//! The detail of a transaction, sealed for those who see its address epoch.
//!
//! AES-256-GCM does not commit to its key: a sealed detail could be made to open under two. So the key's commitment stands in
//! front and is compared first (Bellare and Hoang: Efficient schemes for committing authenticated encryption, 2022, section 5).

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::epoch::ViewingLeaf;
use super::error::AddressError;
use crate::labels;
use crate::secret::SecretBytes;

/// The longest detail.
pub const DETAIL_BYTES_MAX: usize = 16 * 1024 - LENGTH_BYTES;
const VERSION: u8 = 1;
const WHAT: &str = "sealed detail";
const LENGTH_BYTES: usize = 4;
const KEY_BYTES: usize = 32;
/// Lengths that a padded detail has: what stands in it is not told by its size.
const SIZES: [usize; 4] = [256, 1024, 4 * 1024, 16 * 1024];

/// Seals the detail of one record. `record` is a fresh random id: under the same one nothing else is ever sealed. `public` are the
/// record's fields in the clear, without which it does not open.
///
/// `version u8 (1) || commitment[32] || ciphertext || tag[16]`.
pub fn seal_detail(
    view: &ViewingLeaf,
    record: &[u8; 32],
    public: &[u8],
    detail: &[u8],
) -> Result<Vec<u8>, AddressError> {
    let too_long = || AddressError::TooLong { len: detail.len() };
    let size = SIZES.into_iter().find(|size| LENGTH_BYTES + detail.len() <= *size).ok_or_else(too_long)?;
    let length = u32::try_from(detail.len()).map_err(|_| too_long())?;
    let mut padded = Zeroizing::new(Vec::with_capacity(size));
    padded.extend_from_slice(&length.to_be_bytes());
    padded.extend_from_slice(detail);
    padded.resize(size, 0);
    let (key, commitment) = keys(view, record)?;
    let payload = Payload { msg: &padded, aad: &associated(public) };
    let sealed = cipher(&key).encrypt(&[0; 12].into(), payload).map_err(AddressError::Seal)?;
    Ok([&[VERSION][..], &commitment, &sealed].concat())
}

/// Opens what [`seal_detail`] sealed.
pub fn open_detail(
    view: &ViewingLeaf,
    record: &[u8; 32],
    public: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, AddressError> {
    let malformed = || AddressError::Malformed { what: WHAT, len: sealed.len() };
    let (&version, rest) = sealed.split_first().ok_or_else(malformed)?;
    if version != VERSION {
        return Err(AddressError::Version { what: WHAT, version });
    }
    let (found, ciphertext) = rest.split_first_chunk::<32>().ok_or_else(malformed)?;
    if !SIZES.iter().any(|size| size + 16 == ciphertext.len()) {
        return Err(malformed());
    }
    let (key, commitment) = keys(view, record)?;
    if !bool::from(commitment.ct_eq(found)) {
        return Err(AddressError::OtherKey);
    }
    let payload = Payload { msg: ciphertext, aad: &associated(public) };
    let padded = cipher(&key).decrypt(&[0; 12].into(), payload).map_err(AddressError::Changed)?;
    let padded = Zeroizing::new(padded);
    let (length, rest) = padded.split_first_chunk().ok_or_else(malformed)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| malformed())?;
    let (detail, zeros) = rest.split_at_checked(length).ok_or_else(malformed)?;
    let fits = SIZES.into_iter().find(|size| LENGTH_BYTES + length <= *size) == Some(padded.len());
    if !fits || zeros.iter().any(|byte| *byte != 0) {
        return Err(malformed());
    }
    Ok(SecretBytes::new(detail.to_vec()))
}

/// The key of one record, and what commits to it.
type Keys = (Zeroizing<[u8; KEY_BYTES]>, [u8; 32]);

fn keys(view: &ViewingLeaf, record: &[u8; 32]) -> Result<Keys, AddressError> {
    let both = view.of_record(labels::ADDRESS_DETAIL, record)?;
    let (key, commitment) = both.split_at(KEY_BYTES);
    let (mut of_key, mut of_commitment) = (Zeroizing::new([0; KEY_BYTES]), [0; 32]);
    of_key.copy_from_slice(key);
    of_commitment.copy_from_slice(commitment);
    Ok((of_key, of_commitment))
}

fn cipher(key: &[u8; KEY_BYTES]) -> Aes256Gcm {
    Aes256Gcm::new(&(*key).into())
}

/// `label || public fields`.
fn associated(public: &[u8]) -> Vec<u8> {
    [&labels::tagged(labels::ADDRESS_DETAIL)[..], public].concat()
}
