//! A person's own keys: in a folder of the profile, opened by a login for the length of one command.

use std::path::{Path, PathBuf};

use keyward_client::{Client, DeviceKeys, Login, Password, Session};

use super::token::ask;
use crate::failure::{Failure, Result};
use crate::local::prepare::read_pin;
use crate::output::{Output, aside};
use crate::profile::{Profile, SessionFile};
use crate::service::failed;

/// The folder of sealed keys, beside the profile's file.
pub(crate) const FOLDER: &str = "keys";

/// Where the password comes from.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct PasswordFrom {
    /// For keys of mode `self` and shared ones: a file of mode 0600 that holds the password; without it, the password is asked for.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

/// What a login opened.
pub(crate) struct Unlocked {
    pub(crate) client: Client,
    pub(crate) device: DeviceKeys,
    pub(crate) login: Login,
}

/// Logs the profile's person in once more, which opens the keys on this device. The session takes the place of the kept
/// one, so that logins do not pile up.
pub(crate) async fn unlock(
    output: Output,
    profile: &Profile,
    client: &Client,
    from: &PasswordFrom,
) -> Result<Unlocked> {
    let nobody = || Failure::refused("nobody is logged in", "log in first (`keyward account login`)");
    let kept = profile.session()?.ok_or_else(nobody)?;
    let password = password(from.password_file.as_deref())?;
    let waiting = output.wait_for("the password is stretched");
    let login = client.login(&kept.user_name, &password).await.map_err(failed("cannot open your keys"))?;
    drop(waiting);
    let session = &login.session;
    same_account(&kept, session)?;
    let next = SessionFile::new(&session.token, &session.account, &kept.user_name, session.expires_unix_ms);
    profile.keep_session(&next)?;
    let wrong = failed("cannot use the session");
    let client = client.clone().with_session(&session.token).map_err(&wrong)?.with_account(session.account);
    let device = client.device_keys(&profile.path(Path::new(FOLDER)));
    Ok(Unlocked { device: device.map_err(failed("cannot use the keys on this device"))?, client, login })
}

/// A service that takes a user name for another account now than when it was logged in is not followed.
pub(crate) fn same_account(kept: &SessionFile, session: &Session) -> Result<()> {
    if session.account == kept.account()? {
        return Ok(());
    }
    let what = format!("the service takes `{}` for another account than before", kept.user_name);
    Err(Failure::refused(what, "log in again (`keyward account login`), and ask the operator why"))
}

fn password(file: Option<&Path>) -> Result<Password> {
    let text = match file {
        Some(path) => read_pin(path)?,
        None => ask("password: ")?,
    };
    Password::new(text.to_string()).map_err(failed("cannot use the password"))
}

/// Who is not logged in has no keys of its own side.
pub(crate) fn not_for_apps() -> Failure {
    Failure::usage(
        "keys of mode `self` are for persons",
        "log in first (`keyward account login`), without `--as-certificate`",
    )
}

/// Says on the side what a key on this device alone needs next.
pub(crate) fn warn_only_here(alias: &str) {
    aside(&format!(
        "keyward: the private part of `{alias}` is on this device alone; `keyward vault seal` backs it up, and without \
         that it is lost with the device"
    ));
}
