//! Rows of unlinkable addresses.

use std::fmt;

use super::Id;

words! {
    /// Where the root of an account's addresses lies.
    AddressCustody {
        /// Here, sealed.
        Hosted = "hosted",
        /// On the person's side.
        Own = "own",
    }
}

words! {
    /// Where the choice of addresses stands.
    AddressState {
        /// It is under way on the ledger.
        Pending = "pending",
        /// Chosen, for good.
        Chosen = "chosen",
        /// The account was closed, and the root is gone; what opens its epochs is kept for audits.
        Kept = "kept",
        /// The account was closed, and all of it is gone.
        Erased = "erased",
    }
}

/// An account with addresses.
#[derive(Clone, PartialEq, Eq)]
pub struct AddressAccount {
    /// The account.
    pub account: Id,
    /// Where its root lies.
    pub custody: AddressCustody,
    /// Where the choice stands.
    pub state: AddressState,
    /// The length of its address epochs.
    pub epoch_ms: u64,
    /// The account's data key, sealed under the key-encryption key; empty once erased.
    pub sealed_key: Vec<u8>,
    /// The key-encryption key.
    pub kek: String,
    /// Hosted: the root, and what opens epochs once it is only kept. Sealed under the data key; empty once erased.
    pub sealed_root: Vec<u8>,
    /// When.
    pub created_ms: u64,
}

impl fmt::Debug for AddressAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressAccount(redacted, {}, {})", self.custody.word(), self.state.word())
    }
}

/// Where an address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressOrigin {
    /// The i-th of its epoch.
    Index(u32),
    /// Paid to.
    Payment([u8; 50]),
}

/// An address that was given out, found, or is about to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewAddress {
    /// SEC1 compressed.
    pub public_key: [u8; 33],
    /// The epoch whose keys it has.
    pub epoch: u32,
    /// Where it comes from.
    pub origin: AddressOrigin,
}

/// An address, and whose it is. Prints redacted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AddressRow {
    /// Whose it is.
    pub account: Id,
    /// The address.
    pub new: NewAddress,
    /// The intent that uses it, or may have used it.
    pub intent: Option<Id>,
    /// The epoch of that intent.
    pub used_epoch: Option<u32>,
    /// The place of the intent's accepted record and its leaf hash, once known.
    pub leaf: Option<(u64, Id)>,
    /// When; no two of an account have the same.
    pub created_ms: u64,
}

impl fmt::Debug for AddressRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressRow(redacted)")
    }
}

/// Indices that are given out from the first that never was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressSpan {
    /// The account.
    pub account: Id,
    /// The epoch.
    pub epoch: u32,
    /// How many; 0 remembers that the epoch is to be closed.
    pub count: u32,
    /// What closes the epoch, sealed.
    pub sealed: Vec<u8>,
}

/// The use of an address by an intent.
#[derive(Clone, PartialEq, Eq)]
pub struct AddressUse {
    /// Whose it is.
    pub account: Id,
    /// The address; not known here yet if the root is the person's own.
    pub address: NewAddress,
    /// The epoch of the intent.
    pub epoch: u32,
    /// Hosted: what closes that epoch, sealed.
    pub sealed: Option<Vec<u8>>,
    /// Own: the hash of the viewing leaf of that epoch, which stays the same.
    pub leaf_pin: Option<Id>,
    /// Own: the hash of the spending point of that epoch, where it was shown.
    pub spending_pin: Option<Id>,
}

impl fmt::Debug for AddressUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressUse({:?} in {}, redacted)", self.address, self.epoch)
    }
}

/// An epoch of an account in which something was given out or used.
#[derive(Clone, PartialEq, Eq)]
pub struct AddressEpoch {
    /// The account.
    pub account: Id,
    /// The epoch.
    pub epoch: u32,
    /// Its length.
    pub epoch_ms: u64,
    /// How many addresses were given out.
    pub given: u32,
    /// Intents of which it is known that the ledger accepted them.
    pub records: u32,
    /// Hosted, until it is closed: what closes it, sealed.
    pub sealed: Option<Vec<u8>>,
    /// Own: the hash of its viewing leaf.
    pub leaf_pin: Option<Id>,
    /// Own: the hash of its spending point.
    pub spending_pin: Option<Id>,
    /// The entry that closes it.
    pub closing: Option<Vec<u8>>,
    /// The place of that entry, once it is accepted.
    pub closed_leaf: Option<u64>,
}

impl fmt::Debug for AddressEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressEpoch({}, redacted, closed: {})", self.epoch, self.closed_leaf.is_some())
    }
}
