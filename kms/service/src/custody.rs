//! The service as one value: its rooms' doors, its memories and its bounds. The verbs are `impl`s in their files.

use std::sync::Arc;

use keyward_crypto::{ImportSealingKey, OpaqueServer};
use keyward_policies::PolicySet;
use keyward_store::Store;
use tokio::sync::{Notify, Semaphore};

use crate::{
    accounts::{login::Logins, principal::Opening},
    acts::InFlight,
    caller::Sessions,
    failure::Failure,
    keybook::KeyBook,
    opened::Opened,
    ports::{Clock, Kek, Ledger, Tokens},
    unreleased::Unreleased,
};

/// Everything that use cases share.
pub(crate) struct Custody {
    pub(crate) tenant: String,
    pub(crate) boot: [u8; 16],
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) kek: Arc<dyn Kek>,
    pub(crate) tokens: Arc<dyn Tokens>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policies: PolicySet,
    pub(crate) opaque: OpaqueServer,
    pub(crate) sealing: ImportSealingKey,
    pub(crate) keys: KeyBook,
    pub(crate) opened: Opened,
    pub(crate) sessions: Sessions,
    pub(crate) logins: Logins,
    pub(crate) opening: Opening,
    pub(crate) in_flight: InFlight,
    pub(crate) unreleased: Unreleased,
    pub(crate) permits: Arc<Semaphore>,
    /// Rung when a release was queued.
    pub(crate) queued: Notify,
}

/// Fresh random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(Failure::internal)?;
    Ok(bytes)
}
