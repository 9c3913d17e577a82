//! `keyward up`: everything on one machine, until Ctrl-C.

use std::path::PathBuf;

use serde_json::json;

use super::Context;
use crate::failure::Result;
use crate::local::cluster::{Cluster, VALIDATORS_DEFAULT};
use crate::local::layout::{PROFILES, UP_FOLDER};
use crate::local::state::Wanted;

#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// Everything is kept in this folder; starting again on it goes on where it ended.
    #[arg(long, value_name = "DIR", default_value = UP_FOLDER)]
    dir: PathBuf,
    /// How many validators, at the first start [default: 4].
    #[arg(long, value_name = "N")]
    validators: Option<usize>,
    /// How many custody servers over one database, at the first start [default: 1].
    #[arg(long, value_name = "N")]
    servers: Option<usize>,
    /// A PostgreSQL database, `postgres://user@host/name`, at the first start [default: an SQLite file].
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

impl Up {
    fn wanted(&self) -> Wanted {
        let (validators, servers) = (self.validators, self.servers);
        Wanted { validators, servers, database: self.database.clone() }
    }

    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let output = context.output;
        output.note("Keyward starts on this machine: NON-PRODUCTION, for trying things out.");
        let mut cluster = Cluster::open(&self.dir, self.wanted(), output)?;
        let started = tokio::select! {
            started = cluster.start() => started,
            () = crate::signals::end() => {
                cluster.stop().await;
                return Ok(());
            }
        };
        let ready = match started {
            Ok(ready) => ready,
            Err(failure) => {
                cluster.stop().await;
                return Err(failure);
            }
        };
        if ready.unreleased > 0 {
            output.note(format!("  intents of earlier runs that were never released: {}", ready.unreleased));
        }
        tell(&cluster, context);
        cluster.watch().await?;
        output.note("  ending ..");
        cluster.stop().await;
        output.note("  ended; `keyward up` on the same folder goes on where this ended");
        Ok(())
    }
}

fn tell(cluster: &Cluster, context: &Context) {
    let profile = |role: &str| cluster.layout.profile(role);
    let words = format!(
        "\nReady: {} validators, service at {}, everything in {}\n\n\
         In another terminal:\n\n  export KEYWARD_PROFILE={}\n\n\
         then try:\n  keyward token list\n  keyward key create --alias payroll --scheme ecdsa-secp256k1\n  \
         keyward sign --key payroll --receipt receipt README.md\n  \
         keyward verify --trust {} --message README.md receipt\n  \
         keyward --profile local-operator token link --token {} --label sample-p256 --scheme ecdsa-p256 --alias bank \
         --pin-file {}\n  keyward ledger status\n\nCtrl-C ends it.",
        cluster.validators(),
        cluster.service_url(),
        cluster.layout.root().display(),
        profile("app").display(),
        cluster.layout.trust().display(),
        crate::local::prepare::TOKEN_LABEL,
        cluster.layout.token_pin().display(),
    );
    let profiles: serde_json::Map<_, _> =
        PROFILES.iter().map(|role| (format!("local-{role}"), json!(profile(role)))).collect();
    let json = json!({
        "ready": true, "folder": cluster.layout.root(), "service": cluster.service_url(),
        "services": cluster.service_urls(),
        "nodes": cluster.node_urls(), "profiles": profiles, "trust": cluster.layout.trust(),
        "export": format!("export KEYWARD_PROFILE={}", profile("app").display()),
    });
    context.output.answer(words, &json);
}

const _: () = assert!(VALIDATORS_DEFAULT == 4, "the help of `--validators` names it");
