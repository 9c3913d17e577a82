//! Unlinkable addresses from the account's side: chosen once, used one by one, closed by epochs, and paid to.
//!
//! What the service answers is held against the client's own trust file, and, where the account keeps its own root, against what
//! this side derives. An address signs nothing before the ledger has recorded, for exactly this payload, that it is used; and what is
//! sealed with its record is opened here before the address vouches for it. Of a hosted root the service derives everything: there
//! its word is taken for which address is the account's, and for nothing else.

mod approved;
mod book;
mod chosen;
mod close;
mod deal;
mod derive;
mod entry;
mod error;
mod give;
mod intent;
mod limit;
mod order;
mod own;
mod pay;
mod recorded;
mod root;
mod scan;
mod sign;
mod uncertain;

use std::time::{SystemTime, UNIX_EPOCH};

pub use book::{AddressSource, Begun, Book, EpochBook, Found, Spent};
pub use chosen::{AddressEpochs, ChooseTerms, Chosen};
pub use close::ClosedEpoch;
pub use deal::{DealError, DealOrder, DealtEpochs, undealt_days};
pub use error::AddressesError;
pub use give::{AddressState, KnownAddress};
pub use keyward_ledger_core::entry::{ChooseAddresses, Custody};
pub use keyward_ledger_core::unlinkable::AddressEpoch;
pub use limit::{AddressLimit, LimitRule};
pub use order::AddressOrder;
pub use pay::{OwnMeta, Paid};
pub use recorded::RecordedUses;
pub use root::OwnRoot;
pub use scan::{LOOKS_MAX, Scan};
pub use sign::{AddressSignature, Which};
pub use uncertain::{UncertainUse, UseStanding};

/// Types that link an account and its addresses, or say what was signed: whoever prints them sees neither.
macro_rules! redacted {
    ($($name:ident),+) => {
        $(impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(redacted)"))
            }
        })+
    };
}

redacted!(AddressSignature, Begun, Found, KnownAddress, RecordedUses, Spent, UncertainUse);

/// The public key of a one-time address: SEC1 compressed.
pub type Address = [u8; 33];

/// This side's time, in milliseconds since 1970.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
