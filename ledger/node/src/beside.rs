//! What runs beside a validator in its process and on its port. The validator serves it, and knows nothing else of it.

use std::{fmt, sync::Arc};

use tokio::sync::watch;
use tonic::service::Routes;

use crate::{
    alarms::{Alarm, Code},
    shared::Shared,
};

/// gRPC services for the validator's port, and what is wrong with them.
#[derive(Default)]
pub struct Beside {
    /// Served beside the ledger's own services. Who calls has shown a certificate of the ledger's authority; what it
    /// may do is theirs to decide.
    pub routes: Routes,
    /// What does not work, for people; none while everything does. An alarm stands as long as this says something.
    pub trouble: Option<watch::Receiver<Option<String>>>,
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Beside")
    }
}

/// Turns what is said into alarms, until nobody can say anything any more. The last word stands.
pub(crate) async fn hear(trouble: Option<watch::Receiver<Option<String>>>, shared: Arc<Shared>) {
    let Some(mut trouble) = trouble else { return };
    loop {
        let said = trouble.borrow_and_update().clone();
        let over = |alarm: &Alarm| alarm.code == Code::KeeperFailed && said.as_ref() != Some(&alarm.text);
        shared.alarms.repaired(over);
        if let Some(text) = &said {
            shared.alarms.raise(Alarm::new(Code::KeeperFailed, text));
        }
        if trouble.changed().await.is_err() {
            return;
        }
    }
}
