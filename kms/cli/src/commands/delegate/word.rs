//! Logging in for one command: what is signed here is signed with the key that comes from the password.

use std::path::PathBuf;

use keyward_client::{Client, Login, Password};

use crate::commands::Context;
use crate::commands::own::same_account;
use crate::commands::token::ask;
use crate::failure::{Failure, Result};
use crate::local::prepare::read_pin;
use crate::profile::SessionFile;
use crate::service::{As, connect, failed};

/// The password of who is logged in.
#[derive(Debug, clap::Args)]
pub(crate) struct Word {
    /// A file of mode 0600 that holds your password; without it, the password is asked for.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

impl Word {
    /// Logs in again as who is logged in. The session takes the place of the kept one, so that logins do not pile up.
    pub(crate) async fn login(&self, context: &Context) -> Result<(Client, Login)> {
        let profile = context.profile()?;
        let nobody = || Failure::refused("nobody is logged in", "log in first (`keyward account login`)");
        let kept = profile.session()?.ok_or_else(nobody)?;
        let text = match &self.password_file {
            Some(path) => read_pin(path)?,
            None => ask("your password: ")?,
        };
        let password = Password::new(text.to_string()).map_err(failed("cannot use the password"))?;
        let client = connect(&profile, As::Certificate).await?.client;
        let waiting = context.output.wait_for("the password is stretched, and you are logged in");
        let login = client.login(&kept.user_name, &password).await.map_err(failed("cannot log in"))?;
        drop(waiting);
        let session = &login.session;
        same_account(&kept, session)?;
        let next =
            SessionFile::new(&session.token, &session.account, &kept.user_name, session.expires_unix_ms);
        profile.keep_session(&next)?;
        let client = client.with_session(&session.token).map_err(failed("cannot use the session"))?;
        Ok((client.with_account(session.account), login))
    }
}
