//! `keyward node`: wiring of one validator.

use std::path::PathBuf;

use keyward_ledger_node::DISK_REMEDY;

use crate::commands::serve::{announce, end_of};
use crate::config::node::NodeConfig;
use crate::failure::{Exit, Failure, Result};
use crate::local::child::Ready;

#[derive(Debug, clap::Args)]
pub(crate) struct Node {
    /// The configuration file; environment variables `KEYWARD_NODE_<KEY>` stand over it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// A setting over file and environment: `rpc_listen=127.0.0.1:7000`, `tls.ca=ca.pem`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Ends when standard input closes, and says on standard output when it is ready.
    #[arg(long)]
    supervised: bool,
}

impl Node {
    pub(crate) async fn run(self) -> Result<()> {
        keyward_crypto::disable_core_dumps().map_err(|error| failed(&error))?;
        crate::signals::bear_file_limits();
        let config = NodeConfig::load(&self.config, &self.settings)?.open(&self.config)?;
        let supervised = self.supervised;
        let ready = move |address| announce(&Ready { ready: address, unreleased: 0 }, supervised);
        keyward_ledger_node::run(config, end_of(supervised), ready).await.map_err(|error| {
            if error.is_of_disk() {
                let failure = Failure::refused("the validator stopped voting and ended", DISK_REMEDY);
                return Failure { exit: Exit::Disk, ..failure.because(&error) };
            }
            failed(&error)
        })
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::refused("the validator ended", "read the log above; its data stays as it is").because(error)
}
