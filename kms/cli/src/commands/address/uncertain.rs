//! `keyward address uncertain`: uses of which no answer came, asked of the validators past the service.

use std::path::PathBuf;

use keyward_client::Client;
use keyward_client::addresses::{UncertainUse, UseStanding};
use serde_json::{Value, json};

use super::{Context, Reached, hosted, reach};
use crate::commands::ledger;
use crate::commands::own::PasswordFrom;
use crate::failure::Result;
use crate::files;
use crate::profile::Profile;
use crate::service::failed;

#[derive(Debug, clap::Args)]
pub(super) struct Uncertain {
    /// The receipt of such a use's record, as an auditor gets it (`keyward ledger get LEAF --receipt FILE`); may be given several
    /// times. What it proves is known from then on: the address signs what it was used for, and its epoch is closed with it.
    #[arg(long = "receipt", value_name = "FILE")]
    receipts: Vec<PathBuf>,
    #[command(flatten)]
    password: PasswordFrom,
}

/// A use, what is proven of it, and the proof.
struct Proven {
    uncertain: UncertainUse,
    standing: UseStanding,
    proof: Vec<u8>,
}

impl Uncertain {
    pub(super) async fn run(self, context: &Context, profile: &Profile, client: &Client) -> Result<()> {
        let Reached::Own(own) = reach(context, profile, client, &self.password).await? else {
            return Err(hosted(
                "nothing is to be done: the service begins and records uses of hosted roots by itself",
            ));
        };
        let (root, cannot) = (own.root(), failed("cannot say what became of the uses"));
        let mut settled = Vec::with_capacity(self.receipts.len());
        for path in &self.receipts {
            settled.push(own.client.settle_use(&root, &files::read(path)?).map_err(&cannot)?);
        }
        let uncertain = own.client.uncertain_uses(&root).await.map_err(&cannot)?;
        let mut proven = Vec::with_capacity(uncertain.len());
        if !uncertain.is_empty() {
            let validators = ledger::connect(profile).await?;
            for uncertain in uncertain {
                let state = validators.state(&uncertain.state_key()).await;
                let proof =
                    state.map_err(|error| ledger::failed("cannot ask the validators", &error))?.receipt;
                let standing = own.client.use_standing(&uncertain, &proof).map_err(&cannot)?;
                proven.push(Proven { uncertain, standing, proof });
            }
        }
        let settled =
            settled.into_iter().map(|address| format!("{}  its receipt is kept", hex::encode(address)));
        let lines: Vec<_> = settled.chain(proven.iter().map(Proven::words)).collect();
        let words = match lines.is_empty() {
            true => "every use that was begun here has its receipt".to_owned(),
            false => lines.join("\n"),
        };
        let uses = proven.iter().map(Proven::json).collect::<Vec<_>>();
        context.output.answer(words, &json!({ "settled": self.receipts.len(), "uncertain": uses }));
        Ok(())
    }
}

impl Proven {
    fn words(&self) -> String {
        let address = hex::encode(self.uncertain.address);
        match self.standing {
            UseStanding::Used { leaf_index, height } => format!(
                "{address}  used at leaf {leaf_index} (proven at height {height}): who denies it lies; have an auditor get its receipt \
                 (`keyward ledger get {leaf_index} --receipt FILE`), and give it here (`--receipt`)"
            ),
            UseStanding::Unused { height, lapsed: true } => {
                format!(
                    "{address}  not used as of height {height}, and its intent cannot be recorded any more"
                )
            }
            UseStanding::Unused { height, lapsed: false } => match self.uncertain.not_after {
                Some(last) => {
                    format!(
                        "{address}  not used as of height {height}; its intent can be recorded up to height {last}"
                    )
                }
                None => format!("{address}  not used as of height {height}, whatever the service says"),
            },
        }
    }

    fn json(&self) -> Value {
        let UncertainUse { address, epoch, not_after, .. } = &self.uncertain;
        let (leaf_index, height, lapsed) = match self.standing {
            UseStanding::Used { leaf_index, height } => (Some(leaf_index), height, false),
            UseStanding::Unused { height, lapsed } => (None, height, lapsed),
        };
        json!({
            "address": hex::encode(address), "epoch": epoch, "leaf_index": leaf_index, "height": height,
            "not_after": not_after, "lapsed": lapsed, "proof": hex::encode(&self.proof),
        })
    }
}
