//! `[notices]` of the configuration of `keyward serve`: how owners are told of what waits for a veto.

use std::path::{Path, PathBuf};

use keyward_service::{MailConfig, MailTls, NoticesConfig, WebhookConfig};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::from_folder;
use crate::failure::{Failure, Result};
use crate::files;

/// Either, or both; relative paths count from the file's folder.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoticesFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    webhook: Option<WebhookFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mail: Option<MailFile>,
}

/// Where notices are posted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookFile {
    /// `https://host[:port]/path`.
    url: String,
    /// The authorities that its certificate may be from, PEM.
    ca: PathBuf,
    /// The secret file with the key that requests are signed with: a line of 32 characters or more.
    key: PathBuf,
}

/// The server that takes mail.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MailFile {
    host: String,
    /// 587 with STARTTLS, 465 with TLS from the first byte, unless it says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default)]
    tls: TlsFile,
    /// The authorities that its certificate may be from, PEM.
    ca: PathBuf,
    /// The address that mail is from.
    from: String,
    /// With `password`, where the server asks who we are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// The secret file with the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<PathBuf>,
}

/// How TLS begins.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TlsFile {
    #[default]
    StartTls,
    Implicit,
}

impl NoticesFile {
    /// Opens what the section names, and refuses what could never be told.
    pub(crate) fn open(&self, file: &Path) -> Result<NoticesConfig> {
        let webhook = self.webhook.as_ref().map(|webhook| webhook.open(file)).transpose()?;
        let mail = self.mail.as_ref().map(|mail| mail.open(file)).transpose()?;
        let config = NoticesConfig { webhook, mail };
        config.check().map_err(|error| {
            Failure::usage("`notices` cannot be told so", "correct it, then see `keyward config check FILE`")
                .because(&error)
        })?;
        Ok(config)
    }
}

impl WebhookFile {
    fn open(&self, file: &Path) -> Result<WebhookConfig> {
        let key = files::read_secret(&from_folder(file, &self.key))?;
        Ok(WebhookConfig {
            url: self.url.clone(),
            ca_pem: files::read_text(&from_folder(file, &self.ca))?,
            key: Zeroizing::new(key.trim_end().as_bytes().to_vec()),
        })
    }
}

impl MailFile {
    fn open(&self, file: &Path) -> Result<MailConfig> {
        let login = match (&self.user, &self.password) {
            (None, None) => None,
            (Some(user), Some(password)) => {
                let password = files::read_secret(&from_folder(file, password))?;
                Some((user.clone(), Zeroizing::new(password.trim_end().to_owned())))
            }
            _ => {
                let what = "`notices.mail` has one of `user` and `password`";
                return Err(Failure::usage(what, "give both, or neither"));
            }
        };
        let (tls, port) = match self.tls {
            TlsFile::StartTls => (MailTls::StartTls, 587),
            TlsFile::Implicit => (MailTls::Implicit, 465),
        };
        Ok(MailConfig {
            host: self.host.clone(),
            port: self.port.unwrap_or(port),
            tls,
            ca_pem: files::read_text(&from_folder(file, &self.ca))?,
            from: self.from.clone(),
            login,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    fn open(text: &str) -> Result<NoticesConfig> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let key = rcgen::KeyPair::generate().unwrap();
        let ca = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap().pem();
        files::write(&at("ca.pem"), ca.as_bytes(), files::Access::Public).unwrap();
        files::write(&at("none.pem"), b"", files::Access::Public).unwrap();
        files::write(&at("key"), format!("{}\n", "k".repeat(32)).as_bytes(), files::Access::Secret).unwrap();
        files::write(&at("short"), b"k\n", files::Access::Secret).unwrap();
        let parsed: NoticesFile = toml::from_str(text)
            .map_err(|error| Failure::usage("malformed", "correct it").because(&error))?;
        parsed.open(&at("serve.toml"))
    }

    const HOOK: &str = "[webhook]\nurl = \"https://one.example/\"\nca = \"ca.pem\"\nkey = \"key\"\n";
    const MAIL: &str = "[mail]\nhost = \"mail.example\"\nca = \"ca.pem\"\nfrom = \"kw@one.example\"\n";

    #[test]
    fn both_ways_open_with_what_their_files_hold() {
        let config = open(&format!("{HOOK}{MAIL}user = \"me\"\npassword = \"key\"\n")).unwrap();
        assert_eq!(*config.webhook.unwrap().key, [b'k'; 32]);
        let mail = config.mail.unwrap();
        assert_eq!((mail.port, mail.tls), (587, MailTls::StartTls));
        assert_eq!(mail.login.unwrap().1.as_str(), "k".repeat(32));
        let mail = open(&format!("{MAIL}tls = \"implicit\"\n")).unwrap().mail.unwrap();
        assert_eq!((mail.port, mail.tls), (465, MailTls::Implicit));
    }

    #[test]
    fn what_could_never_be_told_is_refused() {
        for bad in [
            &HOOK.replace("https", "http"),
            &HOOK.replace("\"key\"", "\"short\""),
            &HOOK.replace("ca.pem", "none.pem"),
            &HOOK.replace("\"key\"", "\"missing\""),
            &MAIL.replace("kw@one.example", "nobody"),
            &format!("{MAIL}user = \"me\"\n"),
            &format!("{MAIL}tls = \"none\"\n"),
            &format!("{MAIL}secret = \"x\"\n"),
        ] {
            assert!(open(bad).is_err(), "{bad}");
        }
    }
}
