//! A person's own keys: in a folder of the profile, opened by a login for the length of one command; and an app's, opened by
//! the key that it keeps itself.

use std::path::{Path, PathBuf};

use keyward_client::{Client, ClientError, DeviceKeys, Login, Password, Session};
use keyward_crypto::{SigningKey, read_private_key};
use keyward_domain::scheme::Scheme;

use super::token::ask;
use crate::failure::{Failure, Result};
use crate::files;
use crate::local::prepare::read_pin;
use crate::output::{Output, aside};
use crate::profile::{Profile, SessionFile};
use crate::service::failed;

/// The folder of sealed keys, beside the profile's file.
pub(crate) const FOLDER: &str = "keys";

/// Where the password comes from.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct PasswordFrom {
    /// For keys of mode `self`, shared ones and own addresses: a file of mode 0600 that holds the password; without it, the password is asked for.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// For an app, which has no password: the Ed25519 key in this file of mode 0600, which `keyward key import --stays` has
    /// bound, speaks for its account and opens its shares.
    #[arg(long, value_name = "FILE", conflicts_with = "password_file")]
    pub(crate) key_file: Option<PathBuf>,
}

impl PasswordFrom {
    /// The files that are read.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.password_file.iter().chain(&self.key_file).map(PathBuf::as_path)
    }
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
    if let Some(file) = &from.key_file {
        return unlock_app(profile, client, file).await;
    }
    let nobody = || {
        let next =
            "log in first (`keyward account login`); an app says which key speaks for it (`--key-file`)";
        Failure::refused("nobody is logged in", next)
    };
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

/// What an app's own key opens. Whose the key is, the service says: what is signed in another account's name is refused on the ledger.
async fn unlock_app(profile: &Profile, client: &Client, file: &Path) -> Result<Unlocked> {
    if profile.session()?.is_some() {
        let next = "log out (`keyward account logout`), or use the app's own profile";
        return Err(Failure::usage("somebody is logged in: an app speaks with its certificate alone", next));
    }
    let key = speaking_key(file)?;
    let account = account_of(client, &key.public_key().id().to_string()).await?;
    let client = client.clone().with_account(account);
    let device = client.device_keys(&profile.path(Path::new(FOLDER)));
    let login = Login::of_app(account, key).map_err(failed("cannot use the key"))?;
    Ok(Unlocked { device: device.map_err(failed("cannot use the shares on this device"))?, client, login })
}

/// The account that a key is bound to, as the service says.
pub(crate) async fn account_of(client: &Client, key: &str) -> Result<[u8; 32]> {
    let cannot = failed("cannot look at the key");
    let shown = client.show_key(key).await.map_err(&cannot)?;
    let malformed = ClientError::Answer { what: "an account's id has 32 bytes" };
    <[u8; 32]>::try_from(&shown.account[..]).map_err(|_length| cannot(malformed))
}

fn speaking_key(file: &Path) -> Result<SigningKey> {
    let bytes = files::read_secret_bytes(file)?;
    read_private_key(Scheme::Ed25519, &bytes).map_err(|error| {
        let what = format!("`{}` holds no private Ed25519 key", file.display());
        Failure::refused(what, "give the PKCS#8 file that `keyward key import --stays` was given")
            .because(&error)
    })
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

/// Who is not logged in has no keys of its own side, but for the one that speaks for an app.
pub(crate) fn not_for_apps() -> Failure {
    Failure::usage(
        "without a password, keys of mode `self` are not made on this device",
        "log in first (`keyward account login`), without `--as-certificate`; an app binds a key that it keeps itself (`keyward key \
         import --stays`), and shares keys in its name (`--key-file`)",
    )
}

/// Says on the side what a key on this device alone needs next.
pub(crate) fn warn_only_here(alias: &str) {
    aside(&format!(
        "keyward: the private part of `{alias}` is on this device alone; `keyward vault seal` backs it up, and without \
         that it is lost with the device"
    ));
}
