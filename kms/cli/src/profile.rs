//! Profiles: where the service and the ledger are, and who we are to them.
//!
//! A profile is a folder with `profile.toml`, or that file itself; paths inside count from its folder.

use std::path::{Path, PathBuf};

use keyward_client::{Proxy, ProxyError};
use keyward_domain::Role;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};
use crate::files::{self, Access};

/// The file inside a profile's folder.
pub(crate) const FILE: &str = "profile.toml";
const SESSION: &str = "session";
const NEXT: &str =
    "run `keyward up`, then the `export KEYWARD_PROFILE=..` line that it prints, or give `--profile`";

/// What stands in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileFile {
    /// `app`, `operator`, `officer`, `auditor` or `agent`, as in the certificate.
    pub(crate) role: String,
    /// The custody service: `https://host:port`.
    pub(crate) service: String,
    /// Other servers of the same service, for when the first is not reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) more_services: Vec<String>,
    /// The ledger's nodes: `https://host:port`.
    pub(crate) nodes: Vec<String>,
    /// The authority that service and nodes are certified by, PEM.
    pub(crate) ca: PathBuf,
    /// Our certificate, PEM.
    pub(crate) certificate: PathBuf,
    /// Our private key, PEM, mode 0600.
    pub(crate) key: PathBuf,
    /// The trust file.
    pub(crate) trust: PathBuf,
    /// The secret that `submitter_key` is sealed under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) operator_secret: Option<PathBuf>,
    /// A submitter's sealed key (`keyward ledger member submitter`): for `ledger project --submitter`, and `bench ledger`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) submitter_key: Option<PathBuf>,
    /// The HTTP proxy that service and nodes are reached through, `http://[user:password@]host:port`; an empty one means
    /// none, whatever the environment says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proxy: Option<String>,
}

/// A profile that was read.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// The folder that its paths count from.
    pub(crate) folder: PathBuf,
    pub(crate) file: ProfileFile,
}

/// The session of a login, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionFile {
    /// 32 bytes in hex.
    token: String,
    /// The account's name on the ledger, 32 bytes in hex.
    account: String,
    pub(crate) user_name: String,
    pub(crate) expires_unix_ms: u64,
}

impl Drop for SessionFile {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.token);
    }
}

impl SessionFile {
    pub(crate) fn new(token: &[u8], account: &[u8; 32], user_name: &str, expires_unix_ms: u64) -> Self {
        let (token, account) = (hex::encode(token), hex::encode(account));
        Self { token, account, user_name: user_name.to_owned(), expires_unix_ms }
    }

    /// The session's bytes.
    pub(crate) fn token(&self) -> Result<Zeroizing<[u8; 32]>> {
        let mut token = Zeroizing::new([0; 32]);
        hex::decode_to_slice(&self.token, token.as_mut()).map_err(|error| malformed(&error))?;
        Ok(token)
    }

    /// The account's name on the ledger.
    pub(crate) fn account(&self) -> Result<[u8; 32]> {
        let mut account = [0; 32];
        hex::decode_to_slice(&self.account, &mut account).map_err(|error| malformed(&error))?;
        Ok(account)
    }
}

fn malformed(error: &hex::FromHexError) -> Failure {
    Failure::refused("the kept session is malformed", "log in again (`keyward account login`)").because(error)
}

impl Profile {
    /// Finds and reads a profile, by name or by path.
    pub(crate) fn find(wanted: Option<&str>) -> Result<Self> {
        let wanted = wanted.ok_or_else(|| Failure::usage("no profile is chosen", NEXT))?;
        let current = std::env::var_os("KEYWARD_PROFILE").map(PathBuf::from);
        let places = places(wanted, current.as_deref());
        let found = places.iter().find(|place| place.is_file()).ok_or_else(|| {
            let looked: Vec<_> = places.iter().map(|place| format!("`{}`", place.display())).collect();
            Failure::usage(format!("there is no profile `{wanted}`, looked at {}", looked.join(", ")), NEXT)
        })?;
        Self::read(found)
    }

    /// Reads a profile's file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = files::read_text(path)?;
        let file: ProfileFile = toml::from_str(&text).map_err(|error| {
            let what = format!("the profile `{}` is malformed", path.display());
            Failure::usage(what, "correct the file: unknown keys are errors").because(&error)
        })?;
        if Role::from_name(&file.role).is_none() {
            return Err(Failure::usage(
                format!("`{}` in `{}` is not a role", file.role, path.display()),
                "choose one of app, operator, officer, auditor, agent",
            ));
        }
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(Self { folder, file })
    }

    /// A path of the profile, from where we are.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// The authority's certificate, our certificate and our key.
    pub(crate) fn identity(&self) -> Result<(String, String, Zeroizing<String>)> {
        Ok((
            files::read_text(&self.path(&self.file.ca))?,
            files::read_text(&self.path(&self.file.certificate))?,
            files::read_secret(&self.path(&self.file.key))?,
        ))
    }

    /// The proxy to the service: the profile's own, else that of the environment.
    pub(crate) fn proxy(&self) -> Result<Option<Proxy>> {
        let wrong = |error: ProxyError| {
            Failure::usage("the proxy cannot be used", "correct `proxy` in the profile, or `https_proxy`")
                .because(&error)
        };
        let from_environment =
            || crate::proxy::of_environment(&self.file.service, |name| std::env::var(name).ok());
        let text = self.file.proxy.clone().or_else(from_environment).filter(|text| !text.is_empty());
        text.map(|text| Proxy::parse(&text)).transpose().map_err(wrong)
    }

    /// The kept session, if there is one.
    pub(crate) fn session(&self) -> Result<Option<SessionFile>> {
        let path = self.path(Path::new(SESSION));
        if !path.exists() {
            return Ok(None);
        }
        let text = files::read_secret(&path)?;
        let session = toml::from_str(&text).map_err(|error| {
            let what = format!("the session in `{}` is malformed", path.display());
            Failure::refused(what, "log in again (`keyward account login`)").because(&error)
        })?;
        Ok(Some(session))
    }

    /// Keeps a session, for our eyes only.
    pub(crate) fn keep_session(&self, session: &SessionFile) -> Result<()> {
        let text = toml::to_string(session).map_err(|error| {
            Failure::refused("cannot write the session", "tell us about this").because(&error)
        })?;
        let text = Zeroizing::new(text);
        files::write(&self.path(Path::new(SESSION)), text.as_bytes(), Access::Secret)
    }

    /// Forgets the kept session.
    pub(crate) fn forget_session(&self) -> Result<()> {
        let path = self.path(Path::new(SESSION));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let what = format!("cannot remove `{}`", path.display());
                Err(Failure::refused(what, "remove the file yourself").because(&error))
            }
            _ => Ok(()),
        }
    }
}

/// Where a profile may be: at a path, beside the profile in use, or in the usual folders.
fn places(wanted: &str, current: Option<&Path>) -> Vec<PathBuf> {
    let path = Path::new(wanted);
    if path.components().count() > 1 || wanted.ends_with(".toml") {
        return if wanted.ends_with(".toml") { vec![path.to_path_buf()] } else { vec![path.join(FILE)] };
    }
    let beside = current.map(|current| {
        let folder = if current.ends_with(FILE) { current.parent().unwrap_or(current) } else { current };
        folder.parent().map(Path::to_path_buf).unwrap_or_default()
    });
    let usual = [crate::local::layout::UP_FOLDER, crate::local::layout::DEMO_FOLDER]
        .map(|folder| Path::new(folder).join("profiles"));
    beside.into_iter().chain(usual).map(|folder| folder.join(wanted).join(FILE)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    const TEXT: &str = "role = \"app\"\nservice = \"https://127.0.0.1:1\"\nnodes = []\nca = \"ca.pem\"\n\
                        certificate = \"c.pem\"\nkey = \"k.pem\"\ntrust = \"../trust\"\n";

    #[test]
    fn a_name_is_looked_for_beside_the_profile_in_use() {
        for current in ["d/profiles/local-app", "d/profiles/local-app/profile.toml"] {
            let places = places("local-officer", Some(Path::new(current)));
            assert_eq!(places[0], Path::new("d/profiles/local-officer/profile.toml"));
        }
        assert_eq!(places("d/x", None), [Path::new("d/x/profile.toml")]);
        assert_eq!(places("x.toml", None), [Path::new("x.toml")]);
    }

    #[test]
    fn unknown_keys_and_roles_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        files::write(&path, TEXT.as_bytes(), Access::Public).unwrap();
        assert_eq!(Profile::read(&path).unwrap().file.role, "app");
        for bad in [format!("{TEXT}colour = \"red\"\n"), TEXT.replace("\"app\"", "\"king\"")] {
            files::write(&path, bad.as_bytes(), Access::Public).unwrap();
            assert_eq!(Profile::read(&path).unwrap_err().exit, crate::failure::Exit::Usage);
        }
    }

    #[test]
    fn a_session_is_kept_for_its_owner_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        files::write(&path, TEXT.as_bytes(), Access::Public).unwrap();
        let profile = Profile::read(&path).unwrap();
        assert!(profile.session().unwrap().is_none());
        profile.keep_session(&SessionFile::new(&[1; 32], &[2; 32], "alice", 7)).unwrap();
        let kept = profile.session().unwrap().unwrap();
        assert_eq!(
            (*kept.token().unwrap(), kept.account().unwrap(), kept.expires_unix_ms),
            ([1; 32], [2; 32], 7)
        );
        profile.forget_session().unwrap();
        profile.forget_session().unwrap();
        assert!(profile.session().unwrap().is_none());
    }
}
