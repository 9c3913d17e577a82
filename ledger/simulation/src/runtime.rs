//! What a simulated node may use of the runtime: its time and its tasks.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use commonware_runtime::{Clock as _, Handle, Spawner as _, Supervisor as _, deterministic::Context};

/// The runtime of one node or of the script. Whatever it spawned ends with the node.
#[derive(Clone)]
pub struct Runtime(Arc<Context>);

/// A task; it goes on when this is dropped.
pub struct Task(Handle<()>);

impl Task {
    /// Ends the task where it waits.
    pub fn abort(&self) {
        self.0.abort();
    }
}

impl Runtime {
    pub(crate) fn new(context: Context) -> Self {
        Self(Arc::new(context))
    }

    /// Virtual time since the simulation began.
    pub fn now(&self) -> Duration {
        self.0.current().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// Completes after a while of virtual time.
    pub fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.0.sleep(duration))
    }

    /// Runs a task beside.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Task {
        Task(self.0.child("task").spawn(move |_| task))
    }
}
