//! The end of an address epoch with activity: what its account committed to, for those who see the epoch.
//!
//! The tag says which closing is an epoch's, to those alone who have its viewing leaf. A closing may be sealed again after a crash,
//! with other counts: so its key comes from fresh randomness that stands in front, never from the tag.

use zeroize::Zeroizing;

use super::epoch::{SpendingPoint, ViewingLeaf};
use super::error::{AddressError, behind_version};
use crate::committing::CommittedKey;
use crate::labels;

/// Length of a sealed closing, whatever stands in it.
pub const SEALED_CLOSING_BYTES: usize = 1 + SALT_BYTES + crate::committing::OVERHEAD_BYTES + PADDED_BYTES;
const VERSION: u8 = 1;
const WHAT: &str = "closing";
const SALT_BYTES: usize = 32;
/// `version u8 || spending point[38] || u32 || u32 || root[32]`.
const CLOSING_BYTES: usize = 1 + 38 + 4 + 4 + 32;
const PADDED_BYTES: usize = 224;

/// What an account says of an epoch that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The public half of the epoch's spending key: with the viewing leaf it gives every address.
    pub spending: SpendingPoint,
    /// How many addresses were given out.
    pub addresses: u32,
    /// How many records the ledger has of them.
    pub records: u32,
    /// The root of the tree over those records' leaf hashes, in the log's order.
    pub root: [u8; 32],
}

impl Closing {
    /// `version u8 (1) || spending point[38] || addresses u32 || records u32 || root[32]`.
    pub fn encode(&self) -> Result<Vec<u8>, AddressError> {
        let (addresses, records) = (self.addresses.to_be_bytes(), self.records.to_be_bytes());
        Ok([&[VERSION][..], &self.spending.encode()?, &addresses, &records, &self.root].concat())
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, AddressError> {
        let malformed = || AddressError::Malformed { what: WHAT, len: bytes.len() };
        let rest = behind_version(VERSION, WHAT, bytes)?;
        let (spending, rest) = rest.split_first_chunk::<38>().ok_or_else(malformed)?;
        let (addresses, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        let (records, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
        Ok(Self {
            spending: SpendingPoint::decode(spending)?,
            addresses: u32::from_be_bytes(*addresses),
            records: u32::from_be_bytes(*records),
            root: rest.try_into().map_err(|_| malformed())?,
        })
    }
}

/// What names an epoch's closing on the ledger: the same for ever, and to everybody without the leaf a random number.
pub fn closing_tag(view: &ViewingLeaf) -> Result<[u8; 32], AddressError> {
    Ok(*view.bytes(labels::ADDRESS_CLOSED, &[])?)
}

/// Seals a closing for those who see its epoch. `public` are the record's fields in the clear, without which it does not open.
///
/// `version u8 (1) || salt[32] || commitment[32] || ciphertext[224] || tag[16]`, the salt fresh each time.
pub fn seal_closing(view: &ViewingLeaf, public: &[u8], closing: &Closing) -> Result<Vec<u8>, AddressError> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt)?;
    same_epoch(view, closing)?;
    let mut padded = Zeroizing::new(closing.encode()?);
    padded.resize(PADDED_BYTES, 0);
    let sealed = key(view, &salt)?.seal(&associated(public), &padded)?;
    Ok([&[VERSION][..], &salt, &sealed].concat())
}

/// Opens what [`seal_closing`] sealed.
pub fn open_closing(view: &ViewingLeaf, public: &[u8], sealed: &[u8]) -> Result<Closing, AddressError> {
    let malformed = || AddressError::Malformed { what: WHAT, len: sealed.len() };
    let rest = behind_version(VERSION, WHAT, sealed)?;
    if sealed.len() != SEALED_CLOSING_BYTES {
        return Err(malformed());
    }
    let (salt, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
    let padded = key(view, salt)?.open(&associated(public), rest)?;
    let (closing, zeros) = padded.split_at_checked(CLOSING_BYTES).ok_or_else(malformed)?;
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(malformed());
    }
    let closing = Closing::decode(closing)?;
    same_epoch(view, &closing)?;
    Ok(closing)
}

fn same_epoch(view: &ViewingLeaf, closing: &Closing) -> Result<(), AddressError> {
    let (one, other) = (view.epoch(), closing.spending.epoch());
    if one == other { Ok(()) } else { Err(AddressError::Epochs { one, other }) }
}

fn key(view: &ViewingLeaf, salt: &[u8; SALT_BYTES]) -> Result<CommittedKey, AddressError> {
    Ok(CommittedKey::new(&*view.of_record(labels::ADDRESS_CLOSING, salt)?))
}

/// `label || public fields`.
fn associated(public: &[u8]) -> Vec<u8> {
    [&labels::tagged(labels::ADDRESS_CLOSING)[..], public].concat()
}
