//! The split-key vault from the side of the person whose keys lie in it.
//!
//! The service in between passes on and hands in, and may lie in all of it. So nothing here is believed that does not
//! verify against the client's own trust file: keepers and their keys come from state receipts of a bounded age, what a
//! vault is from the receipt of its sealing, whose hash must be the one in the vault's proven state. Without a trust file
//! every call refuses.
//!
//! ```no_run
//! use keyward_client::vault::SealOrder;
//! use keyward_client::{Client, Password};
//! use keyward_domain::VaultName;
//!
//! # async fn person(client: Client, order: SealOrder) -> Result<(), Box<dyn std::error::Error>> {
//! let (vault, password) = (VaultName::parse("main")?, Password::new("correct horse".into())?);
//! let login = client.login("anna", &password).await?;
//! let client = client.with_session(&login.session.token)?.with_account(login.session.account);
//! client.seal_vault(&login, &vault, &password, order, &|_| ()).await?;
//!
//! // Another device, later: the same password, and t of the keepers.
//! let recovered = client.recover_vault(&login, &vault, &password, "", &|_| ()).await?;
//! println!("{} keys are back", recovered.keys.len());
//! # Ok(())
//! # }
//! ```

mod asked;
mod check;
mod code;
mod consent;
mod destroy;
pub(crate) mod entry;
mod error;
mod factors;
mod fault;
pub(crate) mod gather;
pub(crate) mod keepers;
mod order;
pub(crate) mod proof;
mod recover;
mod recovered;
pub(crate) mod seal;
mod signers;
pub(crate) mod status;

use std::time::Duration;

pub use asked::Asked;
pub use check::{Checked, Drilled};
pub use code::CodeSecret;
pub use consent::ConsentError;
pub use destroy::Destroyed;
pub use error::VaultError;
pub use factors::{Factor, Factors, FactorsError};
pub use fault::{Fault, FaultCause};
pub use keepers::LedgerKeeper;
pub use keyward_ledger_core::entry::{Party, VaultAttempt};
pub use keyward_ledger_core::vault::Sealing;
pub use order::{KeeperChoice, SealError, SealOrder, Sealed, VaultTerms};
pub use recovered::{Granted, RecoverError, RecoverFailure, Recovered, Spent, Standing};
pub use signers::{Signer, Unable};
pub use status::{Attempts, Holder, VaultStatus};

/// The oldest state that is believed. Blocks come far more often, also where nothing happens.
pub const STATE_AGE_MAX: Duration = Duration::from_secs(10 * 60);
/// How often an entry is handed in where nobody says whether it arrived: its mark sees to it that it is done once.
pub(crate) const HAND_IN_TRIES: u32 = 4;

/// What is being done, for those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaultStep {
    /// What the service shows is held against the trust file.
    Proving,
    /// The password is stretched, and secrets are made or blinded.
    Stretching,
    /// Every keeper is given its share.
    Depositing,
    /// An entry waits until it is final.
    Recording,
    /// Keepers evaluate the blinded password.
    Evaluating,
    /// Keepers release their parts of the mask.
    Releasing,
    /// Keepers show that they hold their shares.
    Drilling,
}

/// Where steps are told.
pub type Progress<'a> = &'a (dyn Fn(VaultStep) + Sync);
