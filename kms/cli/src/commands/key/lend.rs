//! `keyward key authorize` and `revoke`: standing authorisations.

use keyward_domain::AppName;
use serde_json::json;

use super::{Context, parse_key};
use crate::failure::{Failure, Result};
use crate::service::{Service, failed};

#[derive(Debug, clap::Args)]
pub(super) struct Lending {
    /// Alias, or key id in hex.
    key: String,
    /// The name in the app's certificate.
    #[arg(long)]
    app: String,
}

impl Lending {
    pub(super) async fn authorize(&self, context: &Context, service: &Service) -> Result<()> {
        let (key, app) = self.parse()?;
        let receipt = service.client.authorize(&key, &app).await;
        self.answer(context, "may sign with", &receipt.map_err(failed("cannot authorise the app"))?);
        Ok(())
    }

    pub(super) async fn revoke(&self, context: &Context, service: &Service) -> Result<()> {
        let (key, app) = self.parse()?;
        let receipt = service.client.revoke(&key, &app).await;
        let receipt = receipt.map_err(failed("cannot revoke the authorisation"))?;
        self.answer(context, "may no longer sign with", &receipt);
        Ok(())
    }

    fn parse(&self) -> Result<(String, String)> {
        let app =
            AppName::parse(&self.app).map_err(|error| Failure::of_coded("cannot name the app", &error))?;
        Ok((parse_key(&self.key)?, app.to_string()))
    }

    fn answer(&self, context: &Context, what: &str, receipt: &[u8]) {
        let words = format!("app `{}` {what} key `{}`", self.app, self.key);
        let json = json!({ "key": self.key, "app": self.app, "receipt": hex::encode(receipt) });
        context.output.answer(words, &json);
    }
}
