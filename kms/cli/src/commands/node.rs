//! `keyward node`: wiring of one validator, and of the keeper beside it.

use std::path::PathBuf;

use keyward_ledger_node::DISK_REMEDY;

use crate::commands::serve::{announce, end_of};
use crate::config::node::NodeConfig;
use crate::failure::{Exit, Failure, Result};
use crate::keeper::{self, Started};
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
        let settings = NodeConfig::load(&self.config, &self.settings)?;
        let config = settings.open(&self.config)?;
        let Started { beside, serves, keeping } = keeper::start(&settings, &self.config);
        let supervised = self.supervised;
        let ready = move |address| {
            if let Some(serves) = serves {
                // A keeper that ended already needs no address.
                let _ended = serves.send(address);
            }
            announce(&Ready { ready: address, unreleased: 0 }, supervised);
        };
        // The keeper first: it begins nothing new while its validator ends.
        let end = async move {
            end_of(supervised).await;
            if let Some(keeping) = keeping {
                keeping.end().await;
            }
        };
        keyward_ledger_node::run(config, beside, end, ready).await.map_err(|error| {
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
