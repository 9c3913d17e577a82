//! Addresses that do not point to each other, and what opens exactly the ones that were granted.
//!
//! Time is cut into address epochs. From an account's address root grow two trees over their numbers: who holds a viewing leaf
//! recognises the addresses of its epoch and reads what was sealed with them, who holds the spending leaf too signs with them.
//! A node of the viewing tree opens the epochs below it and no others. Pure: no clock, no ledger; the bytes are in SPEC.md.
//!
//! ```
//! use keyward_crypto::unlinkable::{AddressRoot, EpochAddresses, ViewingCover};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let root = AddressRoot::generate()?;
//! let spending = root.spending_leaf(489_000)?;
//! let own = EpochAddresses::new(root.viewing_leaf(489_000), spending.point());
//! let paid_from = own.address(0)?;
//!
//! let granted = ViewingCover::of(&root, 488_990..=489_010);
//! let seen = EpochAddresses::new(granted.leaf(489_000).ok_or("not granted")?, spending.point());
//! assert_eq!(seen.address(0)?, paid_from);
//! assert!(granted.leaf(489_011).is_none());
//! # Ok(()) }
//! ```

mod closing;
mod cover;
mod delivery;
mod detail;
mod epoch;
mod error;
mod payment;
mod punctured;
mod scalar;
mod tree;

pub use closing::{Closing, SEALED_CLOSING_BYTES, closing_tag, open_closing, seal_closing};
pub use cover::{COVER_NODES_MAX, ViewingCover};
pub use delivery::{Delivery, GrantKey, open_delivery, seal_delivery};
pub use detail::{DETAIL_BYTES_MAX, detail_is_for, open_detail, seal_detail};
pub use epoch::{Address, EpochAddresses, SpendingLeaf, SpendingPoint, ViewingLeaf};
pub use error::AddressError;
pub use payment::{MetaAddress, Payment};
pub use punctured::PuncturedViewing;
pub use tree::AddressRoot;

#[cfg(test)]
mod tests;
