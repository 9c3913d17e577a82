//! Trying again: only what is marked, only what may come out otherwise, only as long as the caller waits.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::error::ClientError;

/// The pause after a connection that broke; it doubles with each try.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl Client {
    /// Calls until it is done, refused for good, tried often enough, or late. Every call carries the same mark.
    pub(crate) async fn try_again<T, F>(
        &self,
        until: Instant,
        call: impl Fn(Duration) -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let mut tried = 1;
        loop {
            let error = match call(until.saturating_duration_since(Instant::now())).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let Some(pause) = error.pause(tried).filter(|_| tried < self.tries) else { return Err(error) };
            if Instant::now() + pause >= until {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            tried += 1;
        }
    }
}

impl ClientError {
    /// How long to wait before the same marked request is sent again; nothing where that is no use.
    pub fn pause(&self, tried: u32) -> Option<Duration> {
        let first = match self {
            Self::Refused(refusal) if refusal.retry => {
                refusal.retry_after_ms.map_or(PAUSE, |wait_ms| Duration::from_millis(wait_ms.into()))
            }
            // It may have been done: the mark finds it.
            Self::Unreachable { .. } => PAUSE,
            _ => return None,
        };
        let doubled = first.saturating_mul(1 << tried.saturating_sub(1).min(6));
        Some(doubled.min(PAUSE_MAX).max(first))
    }
}
