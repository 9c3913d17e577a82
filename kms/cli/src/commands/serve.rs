//! `keyward serve`: wiring of one custody service.

use std::path::PathBuf;

use crate::config::serve::ServeConfig;
use crate::failure::{Failure, Result};
use crate::local::child::Ready;
use crate::signals;

#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// The configuration file; environment variables `KEYWARD_SERVE_<KEY>` stand over it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// A setting over file and environment: `listen=127.0.0.1:7000`, `ledger.deadline_ms=3000`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Ends when standard input closes, and says on standard output when it is ready.
    #[arg(long)]
    supervised: bool,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<()> {
        let failed = |error: &(dyn std::error::Error + 'static)| {
            Failure::refused("the service ended", "read the log above; its data stays as it is")
                .because(error)
        };
        keyward_crypto::disable_core_dumps().map_err(|error| failed(&error))?;
        let config = ServeConfig::load(&self.config, &self.settings)?.open(&self.config)?;
        let supervised = self.supervised;
        let ready = move |ready: keyward_service::Ready| {
            if ready.unreleased > 0 {
                tracing::warn!(count = ready.unreleased, "intents of earlier runs were never released");
            }
            announce(&Ready { ready: ready.address, unreleased: ready.unreleased }, supervised);
        };
        keyward_service::run(config, end_of(supervised), ready).await.map_err(|error| failed(&error))
    }
}

/// Tells a supervisor, or the log, that we are ready.
pub(super) fn announce(ready: &Ready, supervised: bool) {
    tracing::info!(address = %ready.ready, "ready");
    if supervised && let Ok(line) = serde_json::to_string(ready) {
        println!("{line}");
    }
}

/// When to end: on a signal, or when the supervisor is gone.
pub(super) async fn end_of(supervised: bool) {
    if supervised {
        tokio::select! {
            () = signals::end() => {}
            () = signals::end_of_input() => {}
        }
    } else {
        signals::end().await;
    }
    tracing::info!("ending");
}
