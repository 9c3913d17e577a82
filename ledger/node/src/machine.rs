//! What a validator takes from the machine it runs on: clock, timers, threads. The rest of the room asks this,
//! so that the same code runs on the machine's time and in a simulation's.

use std::{fmt, io, sync::Arc, thread::JoinHandle, time::Duration};

use keyward_ledger_engine::BoxFuture;

/// Milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Waiting, and the time that has passed meanwhile.
pub trait Timer: Send + Sync {
    /// Time since some moment before; it never goes back.
    fn now(&self) -> Duration;

    /// Completes after a while.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

impl dyn Timer {
    /// What `future` gives, or `None` when it takes longer.
    pub(crate) async fn within<T>(&self, duration: Duration, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            value = future => Some(value),
            () = self.sleep(duration) => None,
        }
    }
}

/// Work that may go on while the executor goes on.
pub type Work = Box<dyn FnOnce() + Send>;

/// The machine of one validator.
#[derive(Clone)]
pub struct Machine {
    /// The time that goes into blocks.
    pub clock: Clock,
    /// Waiting.
    pub timer: Arc<dyn Timer>,
    /// Begins work; a handle to wait for unless it is done already.
    pub begin: fn(Work) -> io::Result<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Machine")
    }
}

impl Machine {
    /// The real one.
    pub(crate) fn real() -> Self {
        Self {
            clock: system_clock(),
            timer: Arc::new(Tokio(tokio::time::Instant::now())),
            begin: on_a_thread,
        }
    }
}

/// Timers of the tokio runtime that polls.
struct Tokio(tokio::time::Instant);

impl Timer for Tokio {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The one place in this room that reads the machine's clock.
fn system_clock() -> Clock {
    Arc::new(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

fn on_a_thread(work: Work) -> io::Result<Option<JoinHandle<()>>> {
    std::thread::Builder::new().name("ledger-snapshot".into()).spawn(work).map(Some)
}
