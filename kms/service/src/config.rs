//! The service's configuration, as plain data: whoever starts it reads files and flags.

use std::{fmt, net::SocketAddr, time::Duration};

use keyward_ledger_client::Identity;
use keyward_ledger_core::{ed25519::SigningKey, trust::Trust};
use keyward_store::Location;
use keyward_token::{ModuleSource, Pin};
use zeroize::Zeroizing;

/// One custody service.
#[derive(Debug)]
pub struct Config {
    /// The tenant: it stands before names in account commitments.
    pub tenant: String,
    /// Where to listen; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// The service's side of TLS.
    pub tls: Tls,
    /// Where the database is.
    pub database: Location,
    /// The ledger.
    pub ledger: LedgerConfig,
    /// PKCS#11 modules.
    pub tokens: Vec<ModuleSource>,
    /// The key-encryption key.
    pub kek: KekConfig,
    /// The token agents that may hold a stream; others are refused.
    pub agents: Vec<AgentConfig>,
    /// How owners are told of what waits for a veto.
    pub notices: NoticesConfig,
    /// Unlinkable addresses.
    pub addresses: AddressesConfig,
    /// Bounds.
    pub limits: Limits,
}

/// Unlinkable addresses.
#[derive(Clone, Copy, Debug)]
pub struct AddressesConfig {
    /// The length of an address epoch, for accounts that choose addresses from now on.
    pub epoch: Duration,
    /// The id of the rate rule on the ledger that each use of a hosted address counts against; it has one window and nobody who
    /// charges it.
    pub limit: Option<[u8; 32]>,
}

impl Default for AddressesConfig {
    fn default() -> Self {
        Self { epoch: Duration::from_secs(3600), limit: None }
    }
}

/// The service's side of TLS, PEM.
pub struct Tls {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: Zeroizing<String>,
    /// The authorities of client certificates.
    pub client_ca_pem: String,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(redacted)")
    }
}

/// How to reach the ledger, and as whom.
pub struct LedgerConfig {
    /// `https://host:port` of validators.
    pub nodes: Vec<String>,
    /// How connections to them are opened where that is not straight: through a proxy.
    pub dial: Option<std::sync::Arc<dyn keyward_ledger_client::Dial>>,
    /// TLS identity towards them.
    pub identity: Identity,
    /// The anchor of everything they say.
    pub trust: Trust,
    /// The submitter key; one process at a time uses it.
    pub submitter: SigningKey,
    /// How long a request waits for finality.
    pub deadline: Duration,
}

impl fmt::Debug for LedgerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerConfig").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

/// The key-encryption key: AES-256 in a token.
#[derive(Debug)]
pub struct KekConfig {
    /// The token's label or serial.
    pub token: String,
    /// The key's label; made when it is missing.
    pub label: String,
    /// The token's PIN.
    pub pin: Pin,
}

/// A token agent.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The name in its certificate.
    pub name: String,
    /// The names of the operators that may link keys through it.
    pub operators: Vec<String>,
}

/// Bounds of the service.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests under way at once; more are told that the service is busy.
    pub concurrent: usize,
    /// Requests of one stream under way at once.
    pub stream_in_flight: usize,
    /// Opened keys in memory.
    pub opened_keys: usize,
    /// How long an opened key stays.
    pub opened_key_lifetime: Duration,
    /// How long a request waits for a token agent at most.
    pub agent_wait: Duration,
    /// How long a keeper of vault shares is waited for.
    pub keeper_wait: Duration,
    /// How long settled intents and idempotent responses are kept.
    pub keep_settled: Duration,
    /// The shortest waiting period before a key is destroyed; the ledger's own bounds are a second and 366 days.
    pub destruction_wait_min: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrent: 1024,
            stream_in_flight: 256,
            opened_keys: 256,
            opened_key_lifetime: Duration::from_secs(60),
            agent_wait: Duration::from_secs(5 * 60),
            keeper_wait: Duration::from_secs(10),
            keep_settled: Duration::from_secs(30 * 24 * 3600),
            destruction_wait_min: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// How owners are told of what waits for a veto; nobody is told anything without one of them.
#[derive(Debug, Default)]
pub struct NoticesConfig {
    /// A request to a program.
    pub webhook: Option<WebhookConfig>,
    /// Mail to the address in the owner's profile.
    pub mail: Option<MailConfig>,
}

/// Where notices are posted.
pub struct WebhookConfig {
    /// `https://host[:port]/path`, without a password.
    pub url: String,
    /// The authorities that its certificate may be from, PEM.
    pub ca_pem: String,
    /// What requests are signed with, at least 32 bytes.
    pub key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookConfig").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The server that takes mail.
pub struct MailConfig {
    /// Its name, as its certificate has it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How TLS begins.
    pub tls: MailTls,
    /// The authorities that its certificate may be from, PEM.
    pub ca_pem: String,
    /// The address that mail is from.
    pub from: String,
    /// User and password, where it asks for them.
    pub login: Option<(String, Zeroizing<String>)>,
}

impl fmt::Debug for MailConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// How TLS begins; mail is never handed over without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// With the first byte.
    Implicit,
    /// When STARTTLS is said.
    StartTls,
}

/// Why owners cannot be told as configured.
#[derive(Debug, thiserror::Error)]
pub enum NoticesError {
    /// The URL is none that notices are posted to.
    #[error("`{url}` is no `https://host[:port]/path` without a password")]
    Url {
        /// As it stands.
        url: String,
    },
    /// The name is none that a certificate could have.
    #[error("`{host}` is no name of a server")]
    Host {
        /// As it stands.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The authorities cannot be read.
    #[error("the authorities are no certificates in PEM")]
    Authorities {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The key is too short.
    #[error("the key has `{bytes}` bytes, and must have at least `{min}`")]
    Key {
        /// How many it has.
        bytes: usize,
        /// How many it must have.
        min: usize,
    },
    /// Mail cannot be from there.
    #[error("`{address}` is no plain mail address")]
    From {
        /// As it stands.
        address: String,
    },
}

impl NoticesConfig {
    /// Refuses what could never be told; speaks to nobody.
    pub fn check(&self) -> Result<(), NoticesError> {
        crate::adapters::couriers(self).map(drop)
    }
}
