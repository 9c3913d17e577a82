//! `keyward vault code`: one-time codes that the service asks for before each attempt.

use serde_json::json;

use super::Context;
use crate::failure::Result;
use crate::service::{As, connect, failed};

#[derive(Debug, clap::Args)]
pub(super) struct Code {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Makes a fresh secret for an authenticator, shown this once; it counts once it is confirmed.
    SetUp {
        /// A code of the secret that counts now, if one does.
        #[arg(long, value_name = "CODE", default_value = "")]
        code: String,
    },
    /// Shows a first code of the fresh secret: from now on each recovery needs one.
    Confirm {
        /// The code that the authenticator shows.
        code: String,
    },
    /// Ends it: the person with a code, a security officer with the user name.
    Remove {
        /// The code that the authenticator shows.
        #[arg(long, value_name = "CODE", required_unless_present = "user")]
        code: Option<String>,
        /// Whose, where a security officer ends it.
        #[arg(long, value_name = "USER_NAME", conflicts_with = "code")]
        user: Option<String>,
    },
}

impl Code {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let whose = As::of(matches!(&self.verb, Verb::Remove { user: Some(_), .. }));
        let client = connect(&context.profile()?, whose).await?.client;
        match self.verb {
            Verb::SetUp { code } => {
                let made = client.set_up_code(&code).await.map_err(failed("cannot set up codes"))?;
                let words = "give this to an authenticator, then `keyward vault code confirm CODE`:\n  ";
                context.output.secret(words, "uri", &made.uri);
            }
            Verb::Confirm { code } => {
                client.confirm_code(&code).await.map_err(failed("cannot confirm the code"))?;
                let words = "each recovery needs a code from now on (`keyward vault recover --code`)";
                context.output.answer(words, &json!({ "code": "required" }));
            }
            Verb::Remove { code, user } => {
                let removed =
                    client.remove_code(&code.unwrap_or_default(), user.as_deref().unwrap_or_default()).await;
                let receipt = removed.map_err(failed("cannot end the codes"))?.map(hex::encode);
                let json = json!({ "code": null, "receipt": receipt });
                context.output.answer("no code is asked for any more", &json);
            }
        }
        Ok(())
    }
}
