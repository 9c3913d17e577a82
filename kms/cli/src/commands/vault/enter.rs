//! Logging in for one command: the password opens the account, and the vault as well unless it has one of its own.

use std::path::PathBuf;

use keyward_client::{Client, Login, Password};
use keyward_domain::UserName;

use crate::commands::Context;
use crate::commands::own::same_account;
use crate::commands::token::ask;
use crate::failure::{Failure, Result};
use crate::local::prepare::read_pin;
use crate::profile::{Profile, SessionFile};
use crate::service::{As, connect, failed};

#[derive(Debug, clap::Args)]
pub(super) struct Enter {
    /// Whose vault it is; without it, that of whoever logged in last with this profile.
    #[arg(long, value_name = "USER_NAME")]
    user: Option<String>,
    /// A file of mode 0600 that holds the account's password; without it, the password is asked for.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A file of mode 0600 that holds the vault's password, where that is another one than the account's.
    #[arg(long, value_name = "FILE", conflicts_with = "other_password")]
    vault_password_file: Option<PathBuf>,
    /// Asks for the vault's password, because it is another one than the account's.
    #[arg(long)]
    other_password: bool,
}

/// Somebody who has logged in.
pub(super) struct Entered {
    /// In the login's session; verifies.
    pub(super) client: Client,
    pub(super) login: Login,
    /// The vault's password.
    pub(super) password: Password,
    pub(super) profile: Profile,
}

impl Enter {
    /// Logs in. The session takes the place of the kept one, so that logins do not pile up. `twice`: a password that is
    /// new is typed twice.
    pub(super) async fn run(&self, context: &Context, twice: bool) -> Result<Entered> {
        let profile = context.profile()?;
        let user = self.user_name(&profile)?;
        let own = read(self.password_file.as_ref(), "password: ", false)?;
        let other = self.vault_password_file.is_some() || self.other_password;
        let text = if other {
            read(self.vault_password_file.as_ref(), "the vault's password: ", twice)?
        } else {
            own.clone()
        };
        let service = connect(&profile, As::Certificate).await?;
        let waiting = context.output.wait_for("the password is stretched, and you are logged in");
        let login = service.client.login(&user, &password(own)?).await.map_err(failed("cannot log in"))?;
        drop(waiting);
        let session = &login.session;
        if let Some(kept) = profile.session()?.filter(|kept| kept.user_name == user) {
            same_account(&kept, session)?;
        }
        let kept = SessionFile::new(&session.token, &session.account, &user, session.expires_unix_ms);
        profile.keep_session(&kept)?;
        let client = service.client.with_session(&session.token).map_err(failed("cannot use the session"))?;
        let client = client.with_account(session.account);
        Ok(Entered { client, password: password(text)?, login, profile })
    }

    fn user_name(&self, profile: &Profile) -> Result<String> {
        let Some(name) = &self.user else {
            let nobody = || Failure::usage("nobody is logged in", "say whose vault it is with `--user`");
            return Ok(profile.session()?.ok_or_else(nobody)?.user_name.clone());
        };
        let name = UserName::parse(name);
        let name = name.map_err(|error| Failure::of_coded("cannot use the user name", &error))?;
        Ok(name.as_str().to_owned())
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.password_file.iter().chain(&self.vault_password_file)
    }
}

type Text = zeroize::Zeroizing<String>;

fn read(file: Option<&PathBuf>, prompt: &str, twice: bool) -> Result<Text> {
    let Some(path) = file else {
        let text = ask(prompt)?;
        if twice && *ask("once more: ")? != *text {
            return Err(Failure::usage("the passwords differ", "type the same password twice"));
        }
        return Ok(text);
    };
    read_pin(path)
}

fn password(text: Text) -> Result<Password> {
    Password::new(text.to_string()).map_err(failed("cannot use the password"))
}
