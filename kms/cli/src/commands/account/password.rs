//! `keyward account password`: another password, and the keys on this device made ready for it before it counts.

use std::path::{Path, PathBuf};

use keyward_client::{ClientError, PasswordChange};
use keyward_domain::{Code, UserName};
use serde_json::json;

use super::read_password;
use crate::commands::Context;
use crate::commands::own::FOLDER;
use crate::failure::{Failure, Result};
use crate::files::{self, Access};
use crate::profile::Profile;
use crate::service::{As, connect, failed};

#[derive(Debug, clap::Args)]
pub(super) struct NewPassword {
    /// The user name.
    user_name: String,
    /// A file of mode 0600 that holds the present password; without it, it is asked for.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// A file of mode 0600 that holds the new one; without it, it is asked for twice.
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
    /// Changes it even if keys of mode `self` are not on this device: under the new password no vault that is sealed by now
    /// gives them back, nor do their files on other devices open.
    #[arg(long)]
    abandon_keys: bool,
    /// Writes the receipt here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

impl NewPassword {
    pub(super) async fn run(self, context: &Context, profile: &Profile) -> Result<()> {
        let user = UserName::parse(&self.user_name)
            .map_err(|error| Failure::of_coded("cannot use the user name", &error))?;
        let present = read_password(self.password_file.as_deref(), "present password", false)?;
        let next = read_password(self.new_password_file.as_deref(), "new password", true)?;
        let service = connect(profile, As::Certificate).await?;
        let waiting = context.output.wait_for("both passwords are stretched");
        let change = service.client.begin_password_change(user.as_str(), &present, &next).await;
        let mut change = change.map_err(failed("cannot change the password"))?;
        drop(waiting);
        let folder = profile.path(Path::new(FOLDER));
        if !self.abandon_keys {
            refuse_keys_elsewhere(&change, &folder).await?;
        }
        let keys = change.prepare_device(&folder);
        let keys = keys.map_err(failed("the password stays: the keys on this device"))?;
        let receipt = change.finish().await.map_err(unfinished)?;
        if let Some(path) = &self.receipt {
            files::write(path, &receipt, Access::Public)?;
        }
        profile.forget_session()?;
        let words = format!(
            "the password of `{user}` is changed; every session has ended, log in again (`keyward account login {user}`)\n\
             {keys} keys on this device open under the new one\n\
             vaults of mode `self` that were sealed before cannot be opened any more under the new password: seal each \
             anew now (`keyward vault seal --anew`)\n\
             keys on other devices do not open there any more: bring them there from the vault (`keyward vault recover`)"
        );
        let json = json!({ "user_name": user.as_str(), "keys": keys, "receipt": hex::encode(&receipt) });
        context.output.answer(words, &json);
        Ok(())
    }
}

/// A key of mode `self` that is not here would be lost with the present password: nobody does that unasked.
async fn refuse_keys_elsewhere(change: &PasswordChange, folder: &Path) -> Result<()> {
    let elsewhere = change.keys_elsewhere(folder).await;
    let elsewhere = elsewhere.map_err(failed("the password stays: cannot tell where your keys are"))?;
    if elsewhere.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = elsewhere.iter().map(|key| format!("`{}`", key.alias)).collect();
    let what = format!(
        "the password stays: not on this device are {}, and under another password neither a vault sealed by now nor a \
         file on another device gives them back",
        names.join(", ")
    );
    let next = "bring them here first (`keyward vault recover`, or change the password on their device), or give \
                `--abandon-keys` if they may be lost";
    Err(Failure { code: Some("PASSWORD_KEYS_ELSEWHERE".to_owned()), ..Failure::refused(what, next) })
}

/// A refusal by name says that the password stays; after anything else nobody knows.
fn unfinished(error: ClientError) -> Failure {
    let by_name = |code| !matches!(code, Code::Internal | Code::LedgerUnverified);
    let refused = matches!(&error, ClientError::Refused(refusal)
        if !refusal.retry && refusal.code.is_some_and(by_name));
    let mut failure = failed("cannot change the password")(error);
    if !refused {
        failure.causes.push("whether it is changed is not known".to_owned());
        "log in with the new password, and if that fails with the present one; both find their keys on this device"
            .clone_into(&mut failure.next);
    }
    failure
}
