//! The detail of a transaction, sealed for those who see its address epoch.

use zeroize::Zeroizing;

use super::epoch::ViewingLeaf;
use super::error::{AddressError, behind_version};
use crate::committing::{self, CommittedKey};
use crate::labels;
use crate::secret::SecretBytes;

/// The longest detail.
pub const DETAIL_BYTES_MAX: usize = PADDED_BYTES - LENGTH_BYTES;
const VERSION: u8 = 1;
const WHAT: &str = "sealed detail";
const LENGTH_BYTES: usize = 4;
/// Every padded detail has this length: what stands in it is not told by its size.
const PADDED_BYTES: usize = 1024;

/// Seals the detail of one record. `record` is a fresh random id: under the same one nothing else is ever sealed. `public` are the
/// record's fields in the clear, without which it does not open.
///
/// `version u8 (1) || commitment[32] || ciphertext[1024] || tag[16]`.
pub fn seal_detail(
    view: &ViewingLeaf,
    record: &[u8; 32],
    public: &[u8],
    detail: &[u8],
) -> Result<Vec<u8>, AddressError> {
    let too_long = || AddressError::TooLong { len: detail.len() };
    let length = u32::try_from(detail.len()).map_err(|_| too_long())?;
    if detail.len() > DETAIL_BYTES_MAX {
        return Err(too_long());
    }
    let mut padded = Zeroizing::new(Vec::with_capacity(PADDED_BYTES));
    padded.extend_from_slice(&length.to_be_bytes());
    padded.extend_from_slice(detail);
    padded.resize(PADDED_BYTES, 0);
    let sealed = key(view, record)?.seal(&associated(public), &padded)?;
    Ok([&[VERSION][..], &sealed].concat())
}

/// Opens what [`seal_detail`] sealed.
pub fn open_detail(
    view: &ViewingLeaf,
    record: &[u8; 32],
    public: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, AddressError> {
    let malformed = || AddressError::Malformed { what: WHAT, len: sealed.len() };
    let rest = behind_version(VERSION, WHAT, sealed)?;
    if rest.len() != PADDED_BYTES + committing::OVERHEAD_BYTES {
        return Err(malformed());
    }
    let padded = key(view, record)?.open(&associated(public), rest)?;
    let (length, rest) = padded.split_first_chunk().ok_or_else(malformed)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| malformed())?;
    let (detail, zeros) = rest.split_at_checked(length).ok_or_else(malformed)?;
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(malformed());
    }
    Ok(SecretBytes::new(detail.to_vec()))
}

/// Whether a detail was sealed for this record by somebody who had this leaf, told by its commitment alone: a trial that costs two
/// HMACs and no cipher. That it opens, and with these public fields, says [`open_detail`].
pub fn detail_is_for(view: &ViewingLeaf, record: &[u8; 32], sealed: &[u8]) -> bool {
    let Some((&VERSION, rest)) = sealed.split_first() else { return false };
    key(view, record).is_ok_and(|key| key.has_sealed(rest))
}

fn key(view: &ViewingLeaf, record: &[u8; 32]) -> Result<CommittedKey, AddressError> {
    Ok(CommittedKey::new(&*view.of_record(labels::ADDRESS_DETAIL, record)?))
}

/// `label || public fields`.
fn associated(public: &[u8]) -> Vec<u8> {
    [&labels::tagged(labels::ADDRESS_DETAIL)[..], public].concat()
}
