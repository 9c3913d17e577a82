//! `keyward association`: addresses of several parties and chains that belong together, in versions that all of them share.
//!
//! Whatever the service says of an association is verified against the profile's trust file before it is believed.

mod change;
mod check;
mod give;
mod make;
mod voice;
pub(super) mod words;

use std::path::{Path, PathBuf};

use keyward_client::associations::{AssociationError, AssociationState, Shown, missing, parse_address};
use keyward_client::delegation::Done;
use keyward_client::{Client, Petition};
use keyward_ledger_core::address::Address;
use keyward_ledger_core::codec::parse_hex32;
use keyward_ledger_core::hash::Hash;
use serde_json::json;

use self::voice::{Speaker, Speaking};
use super::Context;
use super::recorded::parse_account;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::service::{failed, told};

#[derive(Debug, clap::Args)]
pub(crate) struct Association {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Opens an association: who belongs to it, who changes it, who settles a dispute.
    Create(Box<make::Create>),
    /// Shows what stands in an association.
    Show {
        /// Its id, 64 hex digits.
        association: String,
    },
    /// Prints the text that an address of another chain signs in its own wallet to belong to an association.
    Text(make::Text),
    /// Adds or removes members, or changes by whom the association is changed.
    Update(Box<make::Update>),
    /// Adds your signature to a request, whose fingerprint its maker has read out to you; the last one hands it in.
    Consent(give::Consent),
    /// Takes an address of your account out.
    Leave(change::Leave),
    /// Stops every change until what you dispute is settled.
    Dispute(change::Dispute),
    /// Ends a dispute: alone if you raised it, else with those whom the association names for this.
    Settle(change::Settle),
    /// Proves that everything the ledger says of an association is one version; or holds an export to that.
    Check(check::Check),
    /// Writes an association with its proofs to a file, which verifies without any network.
    Export {
        /// Its id, 64 hex digits.
        association: String,
        /// Where the file is written.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

impl Association {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self.verb {
            Verb::Create(create) => create.run(context).await,
            Verb::Show { association } => check::show(context, &association).await,
            Verb::Text(text) => text.run(context).await,
            Verb::Update(update) => update.run(context).await,
            Verb::Consent(consent) => consent.run(context).await,
            Verb::Leave(leave) => leave.run(context).await,
            Verb::Dispute(dispute) => dispute.run(context).await,
            Verb::Settle(settle) => settle.run(context).await,
            Verb::Check(check) => check.run(context).await,
            Verb::Export { association, out } => check::export(context, &association, &out).await,
        }
    }
}

/// Who signs what is made here, and where it goes if others have to sign too.
#[derive(Debug, clap::Args)]
struct Sign {
    /// Where the request is written if others have to sign too.
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// Writes the receipt here, if it is handed in at once.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    #[command(flatten)]
    speaker: Speaker,
}

impl Sign {
    /// Refuses to write in the place of a file that is read.
    fn apart_from(&self, read: Option<&PathBuf>) -> Result<()> {
        files::distinct(self.request.iter().chain(&self.receipt).chain(read).map(PathBuf::as_path))
    }

    async fn enter(&self, context: &Context) -> Result<Speaking> {
        let paths = self.request.iter().chain(&self.receipt).map(PathBuf::as_path);
        files::distinct(paths.chain(self.speaker.paths()))?;
        self.speaker.open(context).await
    }

    /// Signs, and hands in if nobody else has to sign; else writes the request.
    async fn sign(
        &self,
        context: &Context,
        own: &Speaking,
        mut petition: Petition,
        standing: Option<&AssociationState>,
    ) -> Result<()> {
        own.sign(context, &mut petition).await?;
        pass_on(context, &own.client, &petition, standing, self.request.as_deref(), self.receipt.as_deref())
            .await
    }
}

/// Hands in what enough have signed, or writes it for those who are missing.
async fn pass_on(
    context: &Context,
    client: &Client,
    petition: &Petition,
    standing: Option<&AssociationState>,
    request: Option<&Path>,
    receipt: Option<&Path>,
) -> Result<()> {
    let speakers =
        client.association_speakers(petition).await.map_err(failed("cannot see who has signed"))?;
    let missing = missing(petition, standing, &speakers);
    if missing.is_nobody() {
        let waiting = context.output.wait_for("the ledger records it");
        let done = client.hand_in_association(petition).await.map_err(failed("cannot hand it in"));
        drop(waiting);
        return tell(context, petition, &done?, receipt);
    }
    let path = request.ok_or_else(|| {
        let next = "name a file for the request with `--request`, and give it to those who have to sign";
        Failure::usage(format!("others have to sign too: {}", words::missing(&missing)), next)
    })?;
    files::write(path, petition.to_text().as_bytes(), Access::Public)?;
    let words = format!(
        "request `{0}`: {1}\n  fingerprint  {2}\n  missing      {3}\ngive it to them, and read the fingerprint out to each by \
         voice: they sign (`keyward association consent {0}`), and the last one's signature hands it in",
        path.display(),
        words::act(petition.act()),
        petition.fingerprint(),
        words::missing(&missing),
    );
    let json = json!({
        "request": path.display().to_string(), "fingerprint": petition.fingerprint(),
        "association": words::association_of(petition.act()), "missing": words::missing_json(&missing),
    });
    context.output.answer(words, &json);
    Ok(())
}

fn tell(context: &Context, petition: &Petition, done: &Done, receipt: Option<&Path>) -> Result<()> {
    if let Some(path) = receipt {
        files::write(path, &done.receipt, Access::Public)?;
    }
    let kept = receipt.map(|path| format!("\n  receipt      {}", path.display())).unwrap_or_default();
    let association = words::association_of(petition.act());
    let words = format!(
        "done: {}\n  association  {}\n  record       {}{kept}",
        words::act(petition.act()),
        association.as_deref().unwrap_or_default(),
        done.leaf_index,
    );
    let json = json!({
        "association": association, "leaf_index": done.leaf_index, "time_unix_ms": done.time_ms,
        "receipt": hex::encode(&done.receipt),
    });
    context.output.answer(words, &json);
    Ok(())
}

/// What stands under an id, which must be something.
async fn standing(client: &Client, association: &Hash) -> Result<(AssociationState, Shown)> {
    let shown = client.show_association(association).await.map_err(failed("cannot read the association"))?;
    match shown.state.clone() {
        Some(state) => Ok((state, shown)),
        None => Err(failed("cannot read the association")(AssociationError::Unknown)),
    }
}

fn parse_id(text: &str) -> Result<Hash> {
    parse_hex32(text).ok_or_else(|| {
        let next = "copy the association's id from a member, or from `keyward association create`";
        Failure::usage(format!("`{text}` is not 64 lower-case hex digits"), next)
    })
}

fn address(text: &str) -> Result<Address> {
    let next = "write the chain's name, a colon, and the address as its chain does: `ethereum:0x..`, `bitcoin:bc1..`, \
                `ed25519:HEX`, `sm2:HEX`, `key:KEY ID`";
    parse_address(text).map_err(|error| Failure::usage("cannot use the address", next).because(&error))
}

told!(AssociationError, Self::Client(error) => error);
