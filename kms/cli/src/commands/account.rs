//! `keyward account`: a person's account. The password never leaves this side.

mod password;
mod profile;

use std::path::{Path, PathBuf};

use keyward_client::Password;
use keyward_domain::UserName;
use serde_json::json;

use super::Context;
use super::address::leave::{Left, leave};
use super::own::{PasswordFrom, unlock};
use super::token::ask;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::local::prepare::read_pin;
use crate::output::aside;
use crate::profile::{Profile, SessionFile};
use crate::service::{As, connect, failed};

#[derive(Debug, clap::Args)]
pub(crate) struct Account {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Opens an account under a user name and a password.
    Register(Login),
    /// Logs in; later commands with this profile act for the person, until the session ends.
    Login(Login),
    /// Forgets the session.
    Logout,
    /// Shows the account.
    Show,
    /// Gives the account another password; every session ends.
    Password(password::NewPassword),
    /// Contact and identity fields.
    Profile(profile::Profile),
    /// Closes the account for good; its keys no longer sign. Your login signs it.
    Close {
        /// Says that closing is meant.
        #[arg(long)]
        yes: bool,
        /// Of an own address root: leaves no epoch to keepers before. Nobody opens those that were not dealt, for any grant.
        #[arg(long)]
        undealt: bool,
        /// A file of mode 0600 that holds the password; without it, the password is asked for.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// Writes the receipt here.
        #[arg(long, value_name = "FILE")]
        receipt: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct Login {
    /// The user name.
    user_name: String,
    /// A file of mode 0600 that holds the password; without it, the password is asked for.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Account {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let profile = context.profile()?;
        match self.verb {
            Verb::Register(login) => register(context, &profile, &login).await,
            Verb::Login(login) => log_in(context, &profile, &login).await,
            Verb::Logout => {
                profile.forget_session()?;
                context.output.answer("the session is forgotten", &json!({ "session": null }));
                Ok(())
            }
            Verb::Password(change) => change.run(context, &profile).await,
            Verb::Profile(command) => command.run(context).await,
            Verb::Show => show(context, &profile).await,
            Verb::Close { yes, undealt, password_file, receipt } => {
                if !yes {
                    return Err(Failure::usage(
                        "a closed account stays closed",
                        "give `--yes` if this is meant; with an address root of your own, epochs that are over are left to keepers before (`keyward address deal`), unless you say `--undealt`",
                    ));
                }
                let password = PasswordFrom { password_file, key_file: None };
                close(context, &profile, (&password, undealt), receipt).await
            }
        }
    }
}

impl Login {
    fn user_name(&self) -> Result<UserName> {
        UserName::parse(&self.user_name)
            .map_err(|error| Failure::of_coded("cannot use the user name", &error))
    }

    fn password(&self, twice: bool) -> Result<Password> {
        read_password(self.password_file.as_deref(), "password", twice)
    }
}

/// A password from a file, or typed.
fn read_password(file: Option<&Path>, what: &str, twice: bool) -> Result<Password> {
    let text = match file {
        Some(path) => read_pin(path)?,
        None => ask(&format!("{what}: "))?,
    };
    if twice && file.is_none() && *ask(&format!("{what} again: "))? != *text {
        return Err(Failure::usage("the passwords differ", "type the same password twice"));
    }
    Password::new(text.to_string()).map_err(failed("cannot use the password"))
}

async fn register(context: &Context, profile: &Profile, login: &Login) -> Result<()> {
    let (user, password) = (login.user_name()?, login.password(true)?);
    let service = connect(profile, As::Certificate).await?;
    let waiting = context.output.wait_for("the password is stretched and the account recorded");
    let registered =
        service.client.register(user.as_str(), &password).await.map_err(failed("cannot register"))?;
    drop(waiting);
    let account = hex::encode(registered.account);
    let words = format!("account `{user}` is open, known to the ledger as {account}");
    let json = json!({ "user_name": user.as_str(), "account": account, "receipt": hex::encode(&registered.receipt) });
    context.output.answer(words, &json);
    Ok(())
}

async fn log_in(context: &Context, profile: &Profile, login: &Login) -> Result<()> {
    let (user, password) = (login.user_name()?, login.password(false)?);
    let service = connect(profile, As::Certificate).await?;
    let waiting = context.output.wait_for("the password is stretched");
    let session =
        service.client.login(user.as_str(), &password).await.map_err(failed("cannot log in"))?.session;
    drop(waiting);
    let kept = SessionFile::new(&session.token, &session.account, user.as_str(), session.expires_unix_ms);
    profile.keep_session(&kept)?;
    let words = format!("logged in as `{user}`; the session is kept in `{}`", profile.folder.display());
    let json = json!({
        "user_name": user.as_str(), "account": hex::encode(session.account),
        "expires_unix_ms": session.expires_unix_ms,
    });
    context.output.answer(words, &json);
    Ok(())
}

async fn show(context: &Context, profile: &Profile) -> Result<()> {
    let service = connect(profile, As::Whoever).await?;
    let account = service.client.show_account().await.map_err(failed("cannot show the account"))?;
    let words = format!(
        "account `{}`, {}, {} keys, known to the ledger as {}",
        account.user_name,
        account.state,
        account.key_count,
        hex::encode(&account.account)
    );
    let json = json!({
        "user_name": account.user_name, "account": hex::encode(&account.account), "state": account.state,
        "created_unix_ms": account.created_unix_ms, "key_count": account.key_count,
    });
    context.output.answer(words, &json);
    Ok(())
}

async fn close(
    context: &Context,
    profile: &Profile,
    (password, undealt): (&PasswordFrom, bool),
    receipt: Option<PathBuf>,
) -> Result<()> {
    let service = connect(profile, As::Certificate).await?;
    let own = unlock(context.output, profile, &service.client, password).await?;
    let left = if undealt { Left::default() } else { leave(context, &own).await? };
    left.words().iter().for_each(|line| aside(line));
    let closed = own.client.close_account(&own.login).await.map_err(failed("cannot close the account"))?;
    if let Some(path) = &receipt {
        files::write(path, &closed.receipt, Access::Public)?;
    }
    profile.forget_session()?;
    let said = if closed.keeping_waits {
        "the account is closed; what audits may open of its addresses is not sealed yet, and the service goes on by itself until it is"
    } else {
        "the account is closed"
    };
    let json = json!({ "receipt": hex::encode(&closed.receipt), "keeping_waits": closed.keeping_waits,
        "address_epochs": left.to_json() });
    context.output.answer(said, &json);
    Ok(())
}
