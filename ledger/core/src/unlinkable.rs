//! Addresses that do not point to each other: the epochs that they belong to, and the messages that their keys and keepers sign.
//!
//! What opens an epoch, and what is sealed with a use, is opaque here: `kms/crypto` makes it. Ledger, keepers, service and
//! clients share this one encoding.

use crate::codec::{DecodeError, Reader, Writer};
use crate::ed25519;
use crate::hash::Hash;

/// How far a service's clock may lie from block time, in milliseconds: an epoch is under way that much longer at both ends.
pub const EDGE_MS: u64 = 10_000;
/// The shortest address epoch, in milliseconds.
pub const EPOCH_MS_MIN: u64 = 1_000;
/// The longest address epoch, in milliseconds: a day.
pub const EPOCH_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// The most time that the epochs of one dealing take, in milliseconds: a day.
pub const DEALT_MS_MAX: u64 = EPOCH_MS_MAX;
/// The one length of a sealed detail: another one would tell something of what it holds.
pub const SEALED_DETAIL_BYTES: usize = 1_073;
/// The one length of a sealed closing.
pub const SEALED_CLOSING_BYTES: usize = 305;
/// The length of a payment, as a payer announces it.
pub const PAYMENT_BYTES: usize = 50;
/// The most keepers of one dealing: what still fits an entry with every acknowledgement.
pub const VIEWING_KEEPERS_MAX: usize = 16;
/// The least threshold of a dealing: of one, each keeper could open it alone.
pub const VIEWING_THRESHOLD_MIN: u8 = 2;

const INTENT_LABEL: &[u8] = b"keyward/address-intent/v1";
const ACKNOWLEDGEMENT_LABEL: &[u8] = b"keyward/viewing-acknowledgement/v1";

/// An address epoch: from `number * length_ms` on, for `length_ms`, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressEpoch {
    /// Its length.
    pub length_ms: u64,
    /// Which one it is.
    pub number: u32,
}

impl AddressEpoch {
    /// An epoch of a length.
    pub const fn new(length_ms: u64, number: u32) -> Self {
        Self { length_ms, number }
    }

    /// The epoch of a time; none if the length is out of its bounds, or no number reaches that far.
    pub fn at(length_ms: u64, time_ms: u64) -> Option<Self> {
        let number = u32::try_from(time_ms.checked_div(length_ms)?).ok()?;
        Some(Self { length_ms, number }).filter(Self::is_sound)
    }

    /// Whether the length is within its bounds.
    pub fn is_sound(&self) -> bool {
        (EPOCH_MS_MIN..=EPOCH_MS_MAX).contains(&self.length_ms)
    }

    /// When it begins.
    pub const fn begins_ms(&self) -> u64 {
        self.length_ms.saturating_mul(self.number as u64)
    }

    /// When the next one begins.
    pub const fn ends_ms(&self) -> u64 {
        self.begins_ms().saturating_add(self.length_ms)
    }

    /// Whether it is under way for somebody whose clock lies at most [`EDGE_MS`] from this time.
    pub const fn is_under_way(&self, time_ms: u64) -> bool {
        self.begins_ms() <= time_ms.saturating_add(EDGE_MS)
            && time_ms < self.ends_ms().saturating_add(EDGE_MS)
    }

    /// Whether it is over for everybody whose clock lies at most [`EDGE_MS`] from this time.
    pub const fn is_elapsed(&self, time_ms: u64) -> bool {
        time_ms >= self.ends_ms().saturating_add(EDGE_MS)
    }
}

/// A run of closed epochs that was dealt to keepers: `account[32] || first u32 || last u32 || dealing hash[32] || expires_ms u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DealtRun {
    /// The account.
    pub account: Hash,
    /// The first epoch.
    pub first: u32,
    /// The last epoch.
    pub last: u32,
    /// The hash of what is public of the dealing.
    pub dealing_hash: Hash,
    /// The last block time at which it may be recorded: keepers let go of shares that were not, and not before.
    pub expires_ms: u64,
}

impl DealtRun {
    /// What a keeper signs once its share of the dealing fits: `u8 34 || "keyward/viewing-acknowledgement/v1" || chain id[32]
    /// || run || keeper id[32]`.
    pub fn acknowledgement_message(&self, chain_id: &Hash, keeper_id: &Hash) -> Vec<u8> {
        let mut out = Writer::with_capacity(112);
        self.write(&mut out).raw(keeper_id);
        labelled(ACKNOWLEDGEMENT_LABEL, chain_id, out.as_slice())
    }

    /// A keeper's acknowledgement of its share.
    pub fn acknowledge(&self, key: &ed25519::SigningKey, chain_id: &Hash, keeper_id: &Hash) -> [u8; 64] {
        key.sign(&self.acknowledgement_message(chain_id, keeper_id))
    }

    pub(crate) fn write<'a>(&self, out: &'a mut Writer) -> &'a mut Writer {
        out.raw(&self.account).u32(self.first).u32(self.last).raw(&self.dealing_hash).u64(self.expires_ms)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            account: reader.array("account")?,
            first: reader.u32("first epoch")?,
            last: reader.u32("last epoch")?,
            dealing_hash: reader.array("dealing hash")?,
            expires_ms: reader.u64("end")?,
        })
    }
}

/// What the key of an address signs of its one use: `u8 25 || "keyward/address-intent/v1" || chain id[32] || body`, the
/// body being all of [`UseAddress`](crate::entry::UseAddress) up to the proof.
pub fn use_address_message(chain_id: &Hash, body: &[u8]) -> Vec<u8> {
    labelled(INTENT_LABEL, chain_id, body)
}

fn labelled(label: &[u8], chain_id: &Hash, body: &[u8]) -> Vec<u8> {
    let mut out = Writer::with_capacity(1 + label.len() + 32 + body.len());
    // INVARIANT: the labels are shorter than 256 bytes.
    out.u8(u8::try_from(label.len()).unwrap_or(u8::MAX)).raw(label).raw(chain_id).raw(body);
    out.finish()
}
