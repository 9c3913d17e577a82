//! The configuration of `keyward serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyward_ledger_client::Identity;
use keyward_ledger_core::ed25519::SigningKey;
use keyward_ledger_core::trust::Trust;
use keyward_service::{Config, KekConfig, LedgerConfig, Limits, Tls};
use keyward_token::Pin;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Sources, TlsFiles, environment, from_folder, load};
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
    /// The SQLite file.
    pub(crate) database: PathBuf,
    /// The secret that keys are sealed under.
    pub(crate) operator_secret: PathBuf,
    pub(crate) tls: TlsFiles,
    pub(crate) ledger: LedgerFile,
    pub(crate) token: TokenFile,
}

/// The ledger that acts are recorded on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LedgerFile {
    /// Its nodes: `https://host:port`.
    pub(crate) nodes: Vec<String>,
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
    pub(crate) modules: Vec<PathBuf>,
    /// Label or serial of the token with the key-encryption key.
    pub(crate) kek_token: String,
    /// The label of the key-encryption key.
    #[serde(default = "kek_label")]
    pub(crate) kek_label: String,
    /// The sealed PIN of that token.
    pub(crate) pin: PathBuf,
}

fn tenant() -> String {
    "default".to_owned()
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
        let identity = Identity {
            ca_pem: ca_pem.clone(),
            certificate_pem: certificate_pem.clone(),
            key_pem: Zeroizing::new(key_pem.to_string()),
        };
        Ok(Config {
            tenant: self.tenant.clone(),
            listen: self.listen,
            tls: Tls { certificate_pem, key_pem, client_ca_pem: ca_pem },
            database: at(&self.database),
            ledger: self.ledger.open(file, &secret, identity)?,
            tokens: self.token.modules(file)?,
            kek: self.token.open(file, &secret)?,
            limits: Limits::default(),
        })
    }
}

impl LedgerFile {
    fn open(&self, file: &Path, secret: &OperatorSecret, identity: Identity) -> Result<LedgerConfig> {
        let seed = secret.open32(&from_folder(file, &self.submitter_key), SUBMITTER_KEY)?;
        Ok(LedgerConfig {
            nodes: self.nodes.clone(),
            identity,
            trust: read_trust(&from_folder(file, &self.trust))?,
            submitter: SigningKey::from_seed(&seed),
            deadline: Duration::from_millis(self.deadline_ms),
        })
    }
}

impl TokenFile {
    fn modules(&self, file: &Path) -> Result<Vec<PathBuf>> {
        if self.modules.is_empty() {
            return Ok(vec![bundled_module(None)?]);
        }
        Ok(self.modules.iter().map(|module| from_folder(file, module)).collect())
    }

    fn open(&self, file: &Path, secret: &OperatorSecret) -> Result<KekConfig> {
        let path = from_folder(file, &self.pin);
        let pin = secret.open(&path, TOKEN_PIN)?.expose(Pin::from_bytes).map_err(|error| {
            Failure::refused(format!("`{}` holds no PIN", path.display()), "restore the file").because(&error)
        })?;
        Ok(KekConfig { token: self.kek_token.clone(), label: self.kek_label.clone(), pin })
    }
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
