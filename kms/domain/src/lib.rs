//! Nouns and decisions of custody: who calls, what they name, and what a key, an account or a session may do next.
//!
//! Pure: no clock, no randomness, no I/O; callers pass in the time (`now_ms`, Unix milliseconds) and random bytes.
//! Signature schemes and public keys live once, in `ledger/core`, and are re-exported here.

pub use keyward_ledger_core::contracts::attempts::success_message;
pub use keyward_ledger_core::contracts::registry::{
    credential_challenge, possession_challenge, rotation_challenge,
};
pub use keyward_ledger_core::scheme;

pub mod account;
pub mod approval;
pub mod audit;
pub mod authorisation;
pub mod blind;
pub mod challenge;
pub mod code;
pub mod delegation;
pub mod deposit;
pub mod detail;
pub mod disclosure;
pub mod key;
pub mod label;
pub mod login;
pub mod meaning;
pub mod moment;
pub mod name;
pub mod payload;
pub mod principal;
pub mod profile;
pub mod publication;
pub mod risk;
pub mod session;

pub use account::{AccountId, AccountName, AccountState};
pub use approval::ApprovalRuleName;
pub use authorisation::Authorisation;
pub use challenge::{Challenge, Purpose};
pub use code::{Canonical, Code, Coded};
pub use delegation::{DelegationName, recovery_login};
pub use deposit::{vault_deposit_message, viewing_deposit_message};
pub use disclosure::{DisclosureError, disclosed};
pub use key::{KeyState, Mode};
pub use label::Labels;
pub use login::LoginLimit;
pub use name::{Alias, AppName, IdempotencyKey, KeyName, UserName, VaultName};
pub use payload::Payload;
pub use principal::{Principal, Role};
pub use session::{Fingerprint, Session};
