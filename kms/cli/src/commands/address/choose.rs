//! `keyward address choose`.

use keyward_client::Client;
use keyward_client::addresses::{ChooseTerms, Custody};
use serde_json::json;

use super::Context;
use crate::commands::audit::whose::Whose;
use crate::commands::own::{PasswordFrom, unlock};
use crate::commands::recorded::{Keep, tell};
use crate::failure::Result;
use crate::output::aside;
use crate::profile::Profile;
use crate::service::failed;

#[derive(Debug, clap::Args)]
pub(super) struct Choose {
    /// The root of all addresses is made here and stays here: the service links nothing that it is not shown, and nobody brings
    /// the root back.
    #[arg(long)]
    own: bool,
    /// Refused unless this is the tenant whose audit terms the account comes under.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    #[command(flatten)]
    password: PasswordFrom,
    #[command(flatten)]
    keep: Keep,
}

impl Choose {
    pub(super) async fn run(self, context: &Context, profile: &Profile, client: &Client) -> Result<()> {
        let cannot = failed("cannot choose addresses");
        let own = unlock(context.output, profile, client, &self.password).await?;
        // What is shown here is what is chosen, whatever the service says afterwards.
        let whose = Whose::of_choice(&own.client, self.tenant.as_deref()).await?;
        let custody = if self.own { Custody::Own } else { Custody::Hosted };
        // Of an account that has chosen on another device, another root would be none of its own.
        if self.own && own.client.show_addresses().await.map_err(&cannot)?.chosen.is_none() {
            own.root().make().map_err(&cannot)?;
        }
        whose.show(context.output);
        let terms = ChooseTerms { tenant: Some(whose.tenant()), epoch_ms: None };
        let chosen = own.client.choose_addresses(&own.login, custody, terms).await;
        let (done, chose) = chosen.map_err(cannot)?;
        let words = format!(
            "unlinkable addresses, {}, for good\n  account  {}\n  tenant   {}: its audit terms are the account's\n  epoch    {} s",
            custody.name(),
            hex::encode(chose.account),
            hex::encode(chose.tenant),
            chose.epoch_ms / 1000,
        );
        let json = json!({
            "account": hex::encode(chose.account), "tenant": hex::encode(chose.tenant), "custody": custody.name(),
            "epoch_ms": chose.epoch_ms, "terms": whose.to_json(),
        });
        tell(context, &words, &done, &self.keep, &json)?;
        if self.own {
            aside(
                "keyward: the root of your addresses is on this device alone, in the profile's folder `keys`; keep a copy of that \
                 folder, for nobody brings it back",
            );
        }
        Ok(())
    }
}
