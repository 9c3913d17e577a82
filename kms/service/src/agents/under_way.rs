//! Requests of this server that wait for an agent, by their idempotency keys: who asks again waits for the same answer
//! instead of being told to come back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use keyward_domain::Code;
use keyward_store::IdempotencyKey;
use tokio::{sync::watch, time::timeout};

use crate::{caller::Caller, custody::Custody, failure::Failure, guard::Signed, keybook::KnownKey};

/// What a request came to: signature and receipt, or code and words.
type Shared = Result<(Vec<u8>, Vec<u8>), (Code, String)>;

/// Whose idempotency key, and which.
type Name = (String, Vec<u8>);
type Waiting = watch::Receiver<Option<Arc<Shared>>>;

/// The list.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Arc<Mutex<HashMap<Name, Waiting>>>);

/// The request that others may wait for; when it ends without a word, they are told to ask again.
#[derive(Debug)]
pub(crate) struct Leader(Option<Leading>);

#[derive(Debug)]
struct Leading {
    list: Arc<Mutex<HashMap<Name, Waiting>>>,
    name: Name,
    tell: watch::Sender<Option<Arc<Shared>>>,
}

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lead(&self, name: Name) -> Leading {
        let (tell, waiting) = watch::channel(None);
        self.lock().insert(name.clone(), waiting);
        Leading { list: self.0.clone(), name, tell }
    }

    /// The answer of the request with this key, waited for so long; none: it is not under way here.
    async fn follow(&self, name: &Name, left: Duration) -> Option<Shared> {
        let mut waiting = self.lock().get(name).cloned()?;
        match timeout(left, waiting.wait_for(Option::is_some)).await {
            Ok(Ok(told)) => told.as_deref().cloned(),
            Ok(Err(_ended_without_a_word)) => None,
            Err(_elapsed) => {
                Some(Err((Code::DeadlineExceeded, "the desk was not faster than the deadline".into())))
            }
        }
    }
}

impl Leader {
    /// Tells everybody who waits.
    pub(crate) fn end(self, passed: &Result<Signed, Failure>) {
        let shared = match passed {
            Ok(signed) => Ok((signed.signature.clone(), signed.receipt.clone())),
            Err(failure) => Err((failure.code, failure.message.clone())),
        };
        if let Some(leading) = &self.0 {
            leading.tell.send_replace(Some(Arc::new(shared)));
        }
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

impl Custody {
    /// From now on a request for an agent's key that is sent again waits for this one.
    pub(crate) fn lead_agent(&self, key: &KnownKey, name: Option<&IdempotencyKey>) -> Leader {
        let name = key.agent().and(name);
        Leader(name.map(|name| self.agents.under_way.lead((name.principal.clone(), name.key.clone()))))
    }

    /// The answer to the request that this one repeats, if that waits for an agent on this server. Another server's is
    /// not waited for: the caller is told that it is under way.
    pub(crate) async fn follow_agent(
        &self,
        key: &Arc<KnownKey>,
        caller: &Caller,
        name: Option<&IdempotencyKey>,
    ) -> Option<Result<Signed, Failure>> {
        let name = key.agent().and(name)?;
        let left_ms = match caller.deadline_ms {
            Some(deadline_ms) => deadline_ms.saturating_sub(self.clock.now_ms()),
            None => u64::try_from(self.agents.wait_max.as_millis()).unwrap_or(u64::MAX),
        };
        let name = (name.principal.clone(), name.key.clone());
        let shared = self.agents.under_way.follow(&name, Duration::from_millis(left_ms)).await?;
        Some(match shared {
            Ok((signature, receipt)) => Ok(Signed { key: key.clone(), signature, receipt }),
            Err((code, message)) => Err(Failure::new(code, message)),
        })
    }
}
