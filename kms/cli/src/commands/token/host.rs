//! `keyward token host`: one PKCS#11 module in a process of its own, for whoever started it.

use std::path::PathBuf;

use crate::failure::{Failure, Result};

#[derive(Debug, clap::Args)]
pub(super) struct Host {
    /// The PKCS#11 module.
    #[arg(long, value_name = "FILE")]
    module: PathBuf,
}

impl Host {
    /// Answers on standard output what is asked on standard input, until that closes; then the process ends, even if
    /// the module hangs.
    pub(super) async fn run(self) -> Result<()> {
        keyward_crypto::disable_core_dumps().map_err(|error| failed(&error))?;
        let served = tokio::task::spawn_blocking(move || keyward_token::serve_host(&self.module)).await;
        served.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::refused(
        "the token host ended",
        "it is started by `keyward serve` for modules with `isolated = true`, not by hand",
    )
    .because(error)
}
