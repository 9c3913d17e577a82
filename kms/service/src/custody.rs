//! The service as one value: its rooms' doors, its memories and its bounds. The verbs are `impl`s in their files.

use std::{sync::Arc, time::Duration};

use keyward_crypto::{ImportSealingKey, MemoryKek, OpaqueServer, unlinkable::AddressRoot};
use keyward_policies::DelegatePolicies;
use keyward_store::{Server, Store, StoreError};
use tokio::sync::{Notify, Semaphore};

use crate::{
    accounts::{login::Logins, principal::Opening},
    acts::{InFlight, Undecided},
    addresses::{BegunAddresses, Closings, Limit, Round},
    agents::Agents,
    caller::Sessions,
    config::AddressesConfig,
    failure::Failure,
    guard::{Begun, BegunShared},
    keybook::KeyBook,
    notices::Notices,
    once::Owed,
    opened::Opened,
    policies::InForce,
    ports::{Clock, Keepers, Kek, Ledger, Tokens},
    risk::Risk,
    shared::facts::SharedBook,
    unreleased::Unreleased,
    vaults::{
        ended::Rounds,
        floods::{Asking, Floods},
    },
};

/// Everything that use cases share.
pub(crate) struct Custody {
    pub(crate) tenant: String,
    pub(crate) boot: [u8; 16],
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) kek: Arc<dyn Kek>,
    pub(crate) tokens: Arc<dyn Tokens>,
    pub(crate) keepers: Arc<dyn Keepers>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policies: InForce,
    pub(crate) risk: Risk,
    /// Under which delegates act.
    pub(crate) delegate_policies: DelegatePolicies,
    pub(crate) opaque: OpaqueServer,
    pub(crate) sealing: ImportSealingKey,
    /// What cases of approvals are about is sealed under it.
    pub(crate) mail_key: MemoryKek,
    /// What closes epochs of addresses is sealed under it.
    pub(crate) epoch_key: MemoryKek,
    pub(crate) addresses: AddressesConfig,
    pub(crate) address_limit: Limit,
    pub(crate) roots: Opened<AddressRoot>,
    pub(crate) begun_addresses: BegunAddresses,
    pub(crate) closings: Closings,
    pub(crate) kept_round: Round,
    pub(crate) orphan_round: Round,
    pub(crate) closing_round: Round,
    pub(crate) keys: KeyBook,
    pub(crate) opened: Opened,
    pub(crate) sessions: Sessions,
    pub(crate) logins: Logins,
    pub(crate) opening: Opening,
    pub(crate) in_flight: InFlight,
    pub(crate) undecided: Undecided,
    pub(crate) unreleased: Unreleased,
    pub(crate) begun: Begun,
    pub(crate) begun_shared: BegunShared,
    pub(crate) shared_book: SharedBook,
    pub(crate) owed: Owed,
    pub(crate) agents: Arc<Agents>,
    pub(crate) notices: Option<Notices>,
    pub(crate) floods: Floods,
    pub(crate) asking: Asking,
    pub(crate) rounds: Rounds,
    /// How long a keeper is waited for.
    pub(crate) keeper_wait: Duration,
    /// The shortest waiting period before a key is destroyed.
    pub(crate) destruction_wait_min_ms: u64,
    pub(crate) permits: Arc<Semaphore>,
    /// Rung when a release was queued.
    pub(crate) queued: Notify,
}

impl Custody {
    /// Joins the servers over this database; refused while another one that lives has our submitter key.
    pub(crate) async fn enter(&self, name: String) -> Result<(), StoreError> {
        self.store.enter(Server { boot: self.boot, name, submitter: self.ledger.submitter() }).await
    }
}

/// Fresh random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(Failure::internal)?;
    Ok(bytes)
}
