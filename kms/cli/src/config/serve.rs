//! The configuration of `keyward serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyward_domain::key::{DESTRUCTION_WAIT_MAX_MS, DESTRUCTION_WAIT_MIN_MS};
use keyward_domain::{Principal, Role};
use keyward_ledger_client::Identity;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::trust::Trust;
use keyward_service::{AgentConfig, Config, KekConfig, LedgerConfig, Limits, Tls};
use keyward_store::Location;
use keyward_token::{HostProgram, ModuleSource, Pin};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::addresses::AddressesFile;
use super::notices::NoticesFile;
use super::{Sources, TlsFiles, environment, from_folder, load};
use crate::certificate::principal_of;
use crate::failure::{Failure, Result};
use crate::files;
use crate::sealed::OperatorSecret;

/// What environment variables for the service begin with.
pub(crate) const PREFIX: &str = "KEYWARD_SERVE_";
/// What a sealed submitter key is sealed for.
pub(crate) const SUBMITTER_KEY: &str = "submitter-key";
/// What a token's sealed PIN is sealed for.
pub(crate) const TOKEN_PIN: &str = "token-pin";

/// What stands in the file; relative paths count from its folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServeConfig {
    /// Stands before names in account commitments.
    #[serde(default = "tenant")]
    pub(crate) tenant: String,
    /// Where callers reach us.
    pub(crate) listen: SocketAddr,
    /// The SQLite file, or `postgres://user@host/name`.
    pub(crate) database: String,
    /// The file with the password of a PostgreSQL database; without it `PGPASSFILE` and `~/.pgpass` are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) database_password: Option<PathBuf>,
    /// How long a request waits for a token agent at most, in milliseconds.
    #[serde(default = "agent_wait_ms")]
    pub(crate) agent_wait_ms: u64,
    /// The shortest waiting period before a key is destroyed, in seconds: 1 to 366 days.
    #[serde(default = "destruction_wait_min_s")]
    pub(crate) destruction_wait_min_s: u64,
    /// The secret that keys are sealed under.
    pub(crate) operator_secret: PathBuf,
    pub(crate) tls: TlsFiles,
    pub(crate) ledger: LedgerFile,
    pub(crate) token: TokenFile,
    /// The token agents that may hold a stream.
    #[serde(default, rename = "agent", skip_serializing_if = "Vec::is_empty")]
    pub(crate) agents: Vec<AgentFile>,
    /// How owners are told of what waits for a veto; without it nobody is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notices: Option<NoticesFile>,
    /// Unlinkable addresses.
    #[serde(default)]
    pub(crate) addresses: AddressesFile,
}

/// A token agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentFile {
    /// The name in its certificate.
    pub(crate) name: String,
    /// The names of the operators that may link keys through it.
    #[serde(default)]
    pub(crate) operators: Vec<String>,
}

/// The ledger that acts are recorded on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LedgerFile {
    /// Its nodes: `https://host:port`.
    pub(crate) nodes: Vec<String>,
    /// The HTTP proxy that they are reached through, `http://[user:password@]host:port`; an empty one means none,
    /// whatever the environment says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proxy: Option<String>,
    /// The trust file.
    pub(crate) trust: PathBuf,
    /// Our sealed submitter key.
    pub(crate) submitter_key: PathBuf,
    /// How long an entry may take to become final, in milliseconds.
    #[serde(default = "deadline_ms")]
    pub(crate) deadline_ms: u64,
}

/// The tokens, and the key-encryption key that lives in one of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenFile {
    /// PKCS#11 modules; none: the bundled one is looked for.
    #[serde(default)]
    pub(crate) modules: Vec<ModuleFile>,
    /// Label or serial of the token with the key-encryption key.
    pub(crate) kek_token: String,
    /// The label of the key-encryption key.
    #[serde(default = "kek_label")]
    pub(crate) kek_label: String,
    /// The sealed PIN of that token.
    pub(crate) pin: PathBuf,
}

/// A PKCS#11 module: its path, or `{ path = "...", isolated = false }`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum ModuleFile {
    /// Every module but the bundled one is isolated.
    Path(PathBuf),
    /// As it says.
    Chosen(ChosenModule),
}

/// A module, and whether a process of its own loads it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChosenModule {
    path: PathBuf,
    isolated: bool,
}

fn tenant() -> String {
    "default".to_owned()
}

const fn destruction_wait_min_s() -> u64 {
    7 * 24 * 3600
}

const fn agent_wait_ms() -> u64 {
    5 * 60 * 1000
}

const fn deadline_ms() -> u64 {
    5000
}

fn kek_label() -> String {
    "keyward-kek".to_owned()
}

impl ServeConfig {
    /// Reads the file with environment and flags over it.
    pub(crate) fn load(file: &Path, flags: &[String]) -> Result<Self> {
        load(&Sources { file, prefix: PREFIX, environment: environment(), flags })
    }

    /// Opens what the file names.
    pub(crate) fn open(&self, file: &Path) -> Result<Config> {
        let at = |path: &Path| from_folder(file, path);
        let secret = OperatorSecret::load(&at(&self.operator_secret))?;
        let (ca_pem, certificate_pem, key_pem) = self.tls.open_parts(file, &secret)?;
        let owner = principal_of(&at(&self.tls.certificate))?;
        let identity = Identity {
            ca_pem: ca_pem.clone(),
            certificate_pem: certificate_pem.clone(),
            key_pem: Zeroizing::new(key_pem.to_string()),
        };
        Ok(Config {
            tenant: self.tenant.clone(),
            listen: self.listen,
            tls: Tls { certificate_pem, key_pem, client_ca_pem: ca_pem },
            database: self.location(file)?,
            ledger: self.ledger.open(file, &secret, &owner, identity)?,
            tokens: self.token.modules(file)?,
            kek: self.token.open(file, &secret, &owner)?,
            agents: self.agents()?,
            addresses: self.addresses.open()?,
            notices: self.notices.as_ref().map(|notices| notices.open(file)).transpose()?.unwrap_or_default(),
            limits: Limits {
                agent_wait: Duration::from_millis(self.agent_wait_ms),
                destruction_wait_min: self.destruction_wait_min()?,
                ..Limits::default()
            },
        })
    }
}

impl ServeConfig {
    /// Where the database is; a URL's password comes from a file, never from the configuration itself.
    pub(crate) fn location(&self, file: &Path) -> Result<Location> {
        if !Location::is_url(&self.database) {
            return Ok(Location::File(from_folder(file, Path::new(&self.database))));
        }
        let password = match &self.database_password {
            Some(path) => Some(files::read_secret(&from_folder(file, path))?.trim_end().to_owned()),
            None => None,
        };
        Location::postgres(&self.database, password).map_err(|error| {
            Failure::usage("`database` names no database", "correct it, then see `keyward config check FILE`")
                .because(&error)
        })
    }
}

impl ServeConfig {
    fn destruction_wait_min(&self) -> Result<Duration> {
        let wait_ms = self.destruction_wait_min_s.saturating_mul(1000);
        if (DESTRUCTION_WAIT_MIN_MS..=DESTRUCTION_WAIT_MAX_MS).contains(&wait_ms) {
            return Ok(Duration::from_millis(wait_ms));
        }
        Err(Failure::usage(
            format!("`destruction_wait_min_s` is `{}`", self.destruction_wait_min_s),
            "choose 1 second to 366 days",
        ))
    }

    fn agents(&self) -> Result<Vec<AgentConfig>> {
        let check = |name: &str, role| {
            Principal::new(role, name).map_err(|error| Failure::of_coded("cannot name an agent", &error))
        };
        let agents = self.agents.iter().map(|agent| {
            check(&agent.name, Role::Agent)?;
            agent.operators.iter().try_for_each(|name| check(name, Role::Operator).map(drop))?;
            Ok(AgentConfig { name: agent.name.clone(), operators: agent.operators.clone() })
        });
        agents.collect()
    }
}

impl LedgerFile {
    fn open(
        &self,
        file: &Path,
        secret: &OperatorSecret,
        owner: &Principal,
        identity: Identity,
    ) -> Result<LedgerConfig> {
        let seed = secret.open32(&from_folder(file, &self.submitter_key), SUBMITTER_KEY, owner)?;
        Ok(LedgerConfig {
            nodes: self.nodes.clone(),
            dial: crate::proxy::way_out(self.proxy.as_deref(), &self.nodes)?,
            identity,
            trust: read_trust(&from_folder(file, &self.trust))?,
            submitter: SigningKey::from_seed(&seed),
            deadline: Duration::from_millis(self.deadline_ms),
        })
    }
}

impl TokenFile {
    fn modules(&self, file: &Path) -> Result<Vec<ModuleSource>> {
        if self.modules.is_empty() {
            return Ok(vec![module_source(bundled_module(None)?, None)?]);
        }
        let source = |module: &ModuleFile| match module {
            ModuleFile::Path(path) => module_source(from_folder(file, path), None),
            ModuleFile::Chosen(ChosenModule { path, isolated }) => {
                module_source(from_folder(file, path), Some(*isolated))
            }
        };
        self.modules.iter().map(source).collect()
    }

    fn open(&self, file: &Path, secret: &OperatorSecret, owner: &Principal) -> Result<KekConfig> {
        let path = from_folder(file, &self.pin);
        let pin = secret.open(&path, TOKEN_PIN, owner)?.expose(Pin::from_bytes).map_err(|error| {
            Failure::refused(format!("`{}` holds no PIN", path.display()), "restore the file").because(&error)
        })?;
        Ok(KekConfig { token: self.kek_token.clone(), label: self.kek_label.clone(), pin })
    }
}

/// A module and where it is loaded: isolated or not as asked, else in a process of its own unless it is the bundled
/// one, which is ours.
pub(crate) fn module_source(path: PathBuf, isolated: Option<bool>) -> Result<ModuleSource> {
    let bundled = path.file_name().is_some_and(|name| name == keyward_token::MODULE_FILE);
    if !isolated.unwrap_or(!bundled) {
        return Ok(ModuleSource { path, host: None });
    }
    let program = std::env::current_exe().map_err(|error| {
        Failure::refused("cannot find this program again", "start it by its full path").because(&error)
    })?;
    let arguments = ["token", "host", "--module"].map(std::ffi::OsString::from).to_vec();
    Ok(ModuleSource { path, host: Some(HostProgram::new(program, arguments)) })
}

/// Finds the PKCS#11 module: given, named by the environment, or bundled.
pub(crate) fn bundled_module(given: Option<&Path>) -> Result<PathBuf> {
    let environment = std::env::var_os("KEYWARD_TOKEN_MODULE");
    let executable = std::env::current_exe().ok();
    keyward_token::find_module(given, environment.as_deref(), executable.as_deref()).map_err(|error| {
        Failure::refused("there is no PKCS#11 module", "")
            .because(&error)
            .coded(keyward_domain::Code::TokenModuleMissing)
    })
}

/// Reads a trust file.
pub(crate) fn read_trust(path: &Path) -> Result<Trust> {
    Trust::decode(&files::read(path)?).map_err(|error| {
        let what = format!("`{}` is not a trust file", path.display());
        Failure::refused(what, "get the trust file again from somebody you trust").because(&error)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    const TEXT: &str = "listen = \"127.0.0.1:0\"\ndatabase = \"DATABASE\"\noperator_secret = \"s\"\n\
        [tls]\nca = \"a\"\ncertificate = \"b\"\nkey = \"c\"\n\
        [ledger]\nnodes = []\ntrust = \"t\"\nsubmitter_key = \"k\"\n[token]\nkek_token = \"x\"\npin = \"p\"\n";

    fn location(folder: &Path, database: &str, flags: &[&str]) -> Result<Location> {
        let file = folder.join("serve.toml");
        std::fs::write(&file, TEXT.replace("DATABASE", database)).unwrap();
        let flags: Vec<_> = flags.iter().map(|&flag| flag.to_owned()).collect();
        ServeConfig::load(&file, &flags)?.location(&file)
    }

    #[test]
    fn a_database_is_a_file_beside_the_configuration_or_a_url() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        assert_eq!(location(at, "k.sqlite", &[]).unwrap(), Location::File(at.join("k.sqlite")));
        let url = "postgres://kw@127.0.0.1/kw";
        let shown = location(at, url, &[]).unwrap().to_string();
        assert_eq!(shown, url);
        let over = location(at, "k.sqlite", &[&format!("database={url}")]).unwrap();
        assert_eq!(over.to_string(), url, "flags and environment stand over the file");
    }

    #[test]
    fn a_password_stands_in_a_file_of_its_own_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        files::write(&folder.path().join("password"), b"hunter2\n", files::Access::Secret).unwrap();
        let flag = &["database_password=password"];
        let there = location(folder.path(), "postgres://kw@127.0.0.1/kw", flag).unwrap();
        assert!(!format!("{there} {there:?}").contains("hunter2"));
        assert!(location(folder.path(), "postgres://kw@127.0.0.1/kw", &["database_password=none"]).is_err());
        let failure = location(folder.path(), "postgres://kw:hunter2@127.0.0.1/kw", &[]).unwrap_err();
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
        assert!(location(folder.path(), "postgres://kw@db.example/kw?sslmode=prefer", &[]).is_err());
    }
}
