//! Notices: an owner is told of what waits for a veto, by a request to a program of the operator's and by mail.
//!
//! What waits stands on the ledger, whoever handed it in. So it is looked for there: at once where this service handed it in,
//! and account by account in the background. Each thing is one row for each way that it is told, under an id that follows from
//! it, and is told until somebody has taken it: at least once, and not again once that is written down.
//!
//! INVARIANT: no notice holds a secret, and only mail to the owner holds a name.

pub(crate) mod address;
pub(crate) mod contact;
mod deliver;
mod look;
mod words;

pub(crate) use self::deliver::By;

use std::{fmt, sync::Arc, time::Duration};

use keyward_crypto::MemoryKek;
use keyward_policies::Verb;
use keyward_store::{Id, Notice, Store};

use crate::{
    adapters::Couriers,
    caller::Caller,
    custody::{Custody, random},
    failure::Failure,
    ports::{Courier, Kek},
    secrets,
};

/// How often is looked and delivered.
const EVERY: Duration = Duration::from_secs(2);
/// How many times nothing is looked at once all accounts were: a minute.
const REST: u32 = 30;
/// Notices that an operator is shown.
const SHOWN_MAX: u32 = 1000;

/// Who tells, and what keeps addresses from whoever reads the database.
pub(crate) struct Notices {
    pub(crate) webhook: Option<Arc<dyn Courier>>,
    pub(crate) mail: Option<Arc<dyn Courier>>,
    pub(crate) key: MemoryKek,
}

impl Notices {
    /// None where nobody is to be told.
    pub(crate) async fn open(
        couriers: Couriers,
        store: &dyn Store,
        kek: &dyn Kek,
    ) -> Result<Option<Self>, Failure> {
        let Couriers { webhook, mail } = couriers;
        if webhook.is_none() && mail.is_none() {
            return Ok(None);
        }
        Ok(Some(Self { webhook, mail, key: secrets::notices(store, kek).await? }))
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notices(webhook: {}, mail: {})", self.webhook.is_some(), self.mail.is_some())
    }
}

/// Runs until the service ends.
pub(crate) async fn run(custody: Arc<Custody>) {
    let (requests, mail) = (deliver(&custody, By::Webhook), deliver(&custody, By::Mail));
    let ((), (), ()) = tokio::join!(look(&custody), requests, mail);
}

fn ticks() -> tokio::time::Interval {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick
}

async fn look(custody: &Custody) {
    let mut tick = ticks();
    // Anywhere: whoever is restarted often would else look at the first accounts alone.
    let mut after: Id = random().unwrap_or_default();
    let mut resting: u32 = 0;
    loop {
        tick.tick().await;
        resting = resting.saturating_sub(1);
        if resting > 0 {
            continue;
        }
        match custody.look_at_accounts(after).await {
            Ok(next) => {
                resting = if next == Id::default() { REST } else { 0 };
                after = next;
            }
            Err(failure) => tracing::debug!(%failure, "owners are told a little later"),
        }
    }
}

async fn deliver(custody: &Custody, by: By) {
    let mut tick = ticks();
    loop {
        tick.tick().await;
        if let Err(failure) = custody.deliver_notices(by).await {
            tracing::debug!(%failure, "notices wait");
        }
    }
}

impl Custody {
    /// What was not delivered: what waits first, then what was given up last.
    pub(crate) async fn undelivered_notices(&self, caller: &Caller) -> Result<Vec<Notice>, Failure> {
        self.authorise_tenant(caller, Verb::AdminStatus)?;
        Ok(self.store.undelivered_notices(SHOWN_MAX).await?)
    }
}
